// SPDX-License-Identifier: Apache-2.0
//
// How a verb becomes several processes. lf_ranks_open() finds out what this process is: the only rank; one of the ranks
// that a launcher started (mpirun, srun, or this program itself); or, with --tensor-parallel-size and no launcher, the
// one that starts the ranks and has nothing else to do. lf_ranks_close() ends it: one failure, one line, one exit
// status, whichever rank it was that failed.
#ifndef LF_CLI_RANKS_H
#define LF_CLI_RANKS_H

#include "cli/opts.h"
#include "comm/comm.h"

typedef struct lf_ranks {
    lf_comm *comm;   // OWNED; NULL for one rank
    bool is_over;    // this process was the launcher and all ranks have ended: return exit_status
    int exit_status; // of the whole, when is_over
    int n_thread;    // threads for this rank unless the user says how many; 0: all its processors
} lf_ranks;

// For the verb's option table: .metavar, .help and limits of --tensor-parallel-size, -tp. 0 is "not given".
enum { LF_RANKS_MAX = 65536 };

// LF_ERR_USAGE when a launcher has started another number of ranks, or when it is more than this machine is given.
lf_status lf_ranks_check_size(int64_t tensor_parallel_size, lf_error *err);
// `argc` and `argv` as the verb got them: they are the ranks' too. Call it when all that can be said about the command
// line has been said, and before there are threads. On ranks above 0 stdout is closed to /dev/null, the log has only
// warnings with the rank before them, and SIGTERM and SIGINT are ignored: they end when rank 0 does. Each rank keeps to
// its share of the processors. Fails as lf_ranks_check_size() does, and as lf_comm_open().
lf_status lf_ranks_open(lf_ranks *ranks, const lf_verb *verb, int argc, char **argv, int64_t tensor_parallel_size,
                        lf_error *err);
// While ranks are lent, lf_ranks_open() gives them to whoever asks, with the size they have, and lf_ranks_close()
// leaves them open. `ranks` is BORROWED until the call with NULL. For a verb that runs others.
void lf_ranks_lend(const lf_ranks *ranks);
// Leaves the ranks and returns the process's exit status. A failure (`status`, with `err`) that the others do not know
// of is told to them. It is printed as lf_cli_fail() does, once for all ranks. Accepts what lf_ranks_open() refused.
int lf_ranks_close(lf_ranks *ranks, const lf_verb *verb, lf_status status, const lf_error *err);

#endif
