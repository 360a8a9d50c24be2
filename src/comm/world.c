// SPDX-License-Identifier: Apache-2.0
//
// What launchers say in the environment. Open MPI's mpirun sets OMPI_COMM_WORLD_*, the hydra of MPICH and Intel MPI and
// Slurm's PMI plugins set PMI_*, and Slurm tells its tasks by SLURM_*. Without a PMI plugin, which is srun's default,
// MPI libraries end the process or take it for the only one, so that is noticed before. A batch script of Slurm runs
// outside of a step and has SLURM_PROCID all the same, so that one counts inside steps only.
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "comm/comm.h"

// A launcher's variables: rank and size make a world, the local ones are optional. `within` must be set too.
typedef struct dialect {
    const char *within, *rank, *size, *local_rank, *local_size;
} dialect;

static const dialect dialects[] = {
    {NULL, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {NULL, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"SLURM_STEP_ID", "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"},
    {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"},
};

enum { MAX_RANKS = 65536 };

// What the PMI plugins of Slurm, and Cray's, tell besides ranks; one of each kind.
static bool has_pmi(void)
{
    static const char *const variables[] = {"PMI_FD",    "PMI_PORT",       "PMI_RANK",         "PMI2_RANK",
                                            "PMIX_RANK", "PMIX_NAMESPACE", "PMI_CONTROL_PORT", "PALS_RANKID"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(variables); i++) {
        if (getenv(variables[i])) return true;
    }
    return false;
}

// A number from 0 to MAX_RANKS, or -1. What follows it is Slurm's list of other hosts, "4(x2),3".
static int number_of(const char *name)
{
    const char *text = name ? getenv(name) : NULL;
    if (!text) return -1;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end == text || errno || value < 0 || value > MAX_RANKS || (*end && *end != '(' && *end != ',')) return -1;
    return (int)value;
}

lf_comm_world lf_comm_world_of_environment(void)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(dialects); i++) {
        const dialect *d = &dialects[i];
        if (d->within && !getenv(d->within)) continue;
        int rank = number_of(d->rank), size = number_of(d->size);
        if (rank < 0 || size <= rank) continue;
        lf_comm_world world = {.is_launched = true, .rank = rank, .n_rank = size, .local_rank = 0, .n_local_rank = 1};
        int local_rank = number_of(d->local_rank), local_size = number_of(d->local_size);
        world.lacks_pmi = d->within && !has_pmi();
        if (local_rank >= 0 && local_size > local_rank) {
            world.local_rank = local_rank;
            world.n_local_rank = local_size;
        }
        return world;
    }
    return (lf_comm_world){.n_rank = 1, .n_local_rank = 1};
}

void lf_comm_world_leave(void)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(dialects); i++) unsetenv(dialects[i].rank);
}
