// SPDX-License-Identifier: Apache-2.0
//
// One process of several: joining, taking a share of the processors, being quiet above rank 0, and ending together.
#include "cli/ranks.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/launch.h"

enum {
    MOST_STARTED = 64, // on one machine with fewer processors: more is a slip of the finger
    FIRST_WORD_US =
        2000000,      // for rank 0 and for a launcher that ends the others, before another rank says why it failed
    LAST_WORDS_S = 8, // from a failure to the end of this process, whatever it is busy with
};

static const lf_ranks *lent; // see lf_ranks_lend

void lf_ranks_lend(const lf_ranks *ranks) { lent = ranks; }

// ---- opening ----

lf_status lf_ranks_check_size(int64_t size, lf_error *err)
{
    lf_comm_world world = lf_comm_world_of_environment();
    if (world.is_launched) {
        if (size == 0 || size == world.n_rank) return LF_OK;
        lf_error_set(err, LF_ERR_USAGE, "--tensor-parallel-size is not the number of ranks that the launcher started");
        lf_error_expected(err, "%d", world.n_rank);
        lf_error_found(err, "%lld", (long long)size);
        return lf_error_hint(err, "give the same number to both, or leave the flag out");
    }
    int64_t most = LF_MAX(MOST_STARTED, lf_cpu_count());
    if (size <= most) return LF_OK;
    lf_error_set(err, LF_ERR_USAGE,
                 "--tensor-parallel-size %lld: at most %lld ranks are started on this machine of %d "
                 "processors",
                 (long long)size, (long long)most, lf_cpu_count());
    return lf_error_hint(err, "start ranks on several hosts with mpirun or srun");
}

// argv of the ranks, without argv[0]: OWNED array of BORROWED strings.
static char **rank_arguments(const lf_verb *verb, int argc, char **argv)
{
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    if (!arguments) return NULL;
    arguments[0] = (char *)verb->name;
    for (int i = 0; i < argc; i++) arguments[i + 1] = argv[i];
    return arguments;
}

static lf_status launch(lf_ranks *ranks, const lf_verb *verb, int argc, char **argv, int n_rank, lf_error *err)
{
    char **arguments = rank_arguments(verb, argc, argv);
    if (!arguments) return lf_error_no_memory(err, 0);
    lf_status status = lf_launch_run(n_rank, verb->name, arguments, &ranks->exit_status, err);
    free(arguments);
    ranks->is_over = !status;
    return status;
}

// ---- a failure while this rank is busy ----

static _Atomic(const lf_verb *) current_verb; // of the thread below, which has nobody to give it one; NULL: all is said

static bool has_the_word(const lf_comm *comm, const lf_comm_world *world, const lf_error *err);

// A rank that reads a large checkpoint, or computes a long step, looks at its peers only afterwards.
static void *end_in_time(void *argument)
{
    lf_comm *comm = argument;
    lf_error cause;
    char line[LF_LAUNCH_TEXT_BYTES];
    lf_comm_world world = lf_comm_world_of_environment();
    sleep(LAST_WORDS_S);
    lf_comm_failure(comm, &cause);
    lf_error_format(&cause, line, sizeof line);
    const lf_verb *verb = atomic_load(&current_verb);
    if (verb && !lf_launch_is_attached() && has_the_word(comm, &world, &cause)) lf_cli_fail(verb, &cause);
    lf_launch_say(LF_LAUNCH_END, lf_status_exit(cause.status), line);
    _exit(lf_status_exit(cause.status));
}

static void on_failure(void *comm)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_in_time, comm) == 0) pthread_detach(thread);
}

// ---- joining ----

static void be_quiet(int rank)
{
    char name[32];
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null_fd >= 0) {
        fflush(stdout);
        dup2(null_fd, STDOUT_FILENO);
        close(null_fd);
    }
    snprintf(name, sizeof name, "rank %d", rank);
    lf_log_set_level(LF_LOG_WARNING);
    lf_log_set_name(name);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
}

lf_status lf_ranks_open(lf_ranks *ranks, const lf_verb *verb, int argc, char **argv, int64_t tensor_parallel_size,
                        lf_error *err)
{
    lf_comm_world world = lf_comm_world_of_environment();
    *ranks = (lf_ranks){0};
    if (lent) {
        *ranks = *lent;
        return lf_comm_failure(lent->comm, err) ? err->status : LF_OK;
    }
    lf_status status = lf_launch_attach(world.rank, err);
    if (!status) status = lf_ranks_check_size(tensor_parallel_size, err);
    if (status) return status;
    if (!world.is_launched && tensor_parallel_size > 1) {
        return launch(ranks, verb, argc, argv, (int)tensor_parallel_size, err);
    }
    if (world.n_rank == 1) return LF_OK;
    if (world.rank > 0) be_quiet(world.rank);
    if (!lf_cpu_take_share(world.local_rank, world.n_local_rank)) ranks->n_thread = 1;
    lf_par_set_threads(ranks->n_thread);
    status = lf_comm_open(&ranks->comm, err);
    if (status) return status;
    atomic_store(&current_verb, verb);
    lf_comm_on_failure(ranks->comm, on_failure, ranks->comm);
    lf_launch_say(LF_LAUNCH_OPEN, 0, "");
    return LF_OK;
}

// ---- closing ----

// Whether this rank is the one that prints a failure when there is no launcher of ours to do it. After they have met
// all ranks know the same cause: it is for rank 0, and for rank 1 when the cause is that rank 0 has gone. Before, each
// knows its own.
static bool has_the_word(const lf_comm *comm, const lf_comm_world *world, const lf_error *err)
{
    if (world->rank == 0) return true;
    if (err->status == LF_ERR_USAGE || world->lacks_pmi) return false; // all ranks say the same
    if (comm) return world->rank == 1 && strncmp(err->message, "rank 0 ", 7) == 0;
    usleep(FIRST_WORD_US);
    return true;
}

int lf_ranks_close(lf_ranks *ranks, const lf_verb *verb, lf_status status, const lf_error *err)
{
    char line[LF_LAUNCH_TEXT_BYTES] = "";
    int exit_status = lf_status_exit(status);
    lf_comm_world world = lf_comm_world_of_environment();
    if (status) {
        lf_error cause = *err;
        if (world.rank > 0) lf_error_at(&cause, "rank %d", world.rank);
        lf_comm_give_up(ranks->comm, &cause); // without effect when all know of a failure
        lf_error_format(err, line, sizeof line);
        if (!lf_launch_is_attached() && has_the_word(ranks->comm, &world, err)) lf_cli_fail(verb, err);
        atomic_store(&current_verb, NULL);
    }
    fflush(stdout);
    if (lent) return exit_status;
    lf_comm_close(ranks->comm);
    ranks->comm = NULL;
    lf_launch_say(LF_LAUNCH_END, exit_status, line);
    return exit_status;
}
