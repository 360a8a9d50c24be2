// SPDX-License-Identifier: Apache-2.0
//
// Ranks that a launcher started (mpirun, srun), for a verb that runs other verbs on them, one after another. MPI can be
// started once in the life of a process, so the ranks stay, and each command finds them as it would have found its own.
// Rank 0 becomes two processes: the host, which is rank 0 to MPI and to the commands, and the one that was there
// before, which asks for commands and goes on when the ranks have gone.
#ifndef LF_CLI_RANK_COMMANDS_H
#define LF_CLI_RANK_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/opts.h"
#include "verify/verify.h"

typedef struct lf_rank_commands {
    bool is_over;    // this process was a rank and its work is done: return exit_status
    int exit_status; // when is_over
    int n_rank;      // 1: no launcher has started ranks, and `ranks` is not to be used
    lf_verify_ranks ranks;
    int fd;         // OWNED: to the host; -1: it has ended
    pid_t host;     // 0: it has ended
    int end_status; // of the host, as waitpid() has it, when it has ended
} lf_rank_commands;

// `argc`, `argv` and `tensor_parallel_size` as for lf_ranks_open(). Joins all ranks; above rank 0, and in rank 0's
// host, it returns when all commands have been run, with is_over. Before the process has threads. `commands` must stay
// where it is until lf_rank_commands_close(). A failure has been printed when is_over is set.
lf_status lf_rank_commands_open(lf_rank_commands *commands, const lf_verb *verb, int argc, char **argv,
                                int64_t tensor_parallel_size, lf_error *err);
// Lets the ranks end, and waits for rank 0's host.
void lf_rank_commands_close(lf_rank_commands *commands);

#endif
