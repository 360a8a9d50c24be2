// SPDX-License-Identifier: Apache-2.0
//
// The program as the launcher of its own ranks: it starts N copies of itself through the mpirun of this machine and
// stays until they have ended. mpirun only brings the processes and MPI together. What a user sees goes past it, on a
// socket between the launcher and each rank: the launcher's own stdin, stdout and stderr are handed to the ranks, the
// exit status and the cause of a failure come back, the end of the line is the end of the process on its other side.
//
// A rank says 'hello' and gets three descriptors, says 'open' when all ranks have met, and 'end' before it ends.
#ifndef LF_CLI_LAUNCH_H
#define LF_CLI_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

// The name of the launcher's socket (abstract, of this machine), in the environment of the ranks.
#define LF_LAUNCH_VARIABLE "LANDFALL_LAUNCHER"

enum { LF_LAUNCH_TEXT_BYTES = 2048 };
typedef enum lf_launch_kind { LF_LAUNCH_HELLO, LF_LAUNCH_OPEN, LF_LAUNCH_END } lf_launch_kind;

// One message of a rank; a record of the socket each.
typedef struct lf_launch_message {
    int32_t kind;                    // lf_launch_kind
    int32_t value;                   // HELLO: rank; END: exit status
    char text[LF_LAUNCH_TEXT_BYTES]; // END: the line for stderr that says why; "": none
} lf_launch_message;

// ---- the launcher (launch.c) ----

// Starts `n_rank` times this program with `arguments` (argv without argv[0], NULL-terminated) and waits for them.
// *exit_status is rank 0's, or 3 when a rank has died or could not start; the cause was then printed on stderr, behind
// "landfall VERB: ". SIGTERM and SIGINT are passed on to rank 0.
lf_status lf_launch_run(int n_rank, const char *verb_name, char *const *arguments, int *exit_status, lf_error *err);

// ---- its command line (mpirun.c) ----

// The command that starts ranks on this machine, for execvp: OWNED array of OWNED strings, free with lf_mpirun_free.
lf_status lf_mpirun_command(char ***out, int n_rank, const char *program, char *const *arguments, lf_error *err);
void lf_mpirun_free(char **command);

// ---- a rank (attach.c) ----

// Connects to the launcher that the environment names, takes its stdin, stdout and stderr over, and ends the process at
// once when the launcher ends. Does nothing when there is none. Before the process prints or starts threads.
lf_status lf_launch_attach(int rank, lf_error *err);
bool lf_launch_is_attached(void);
void lf_launch_say(lf_launch_kind kind, int value, const char *text);

#endif
