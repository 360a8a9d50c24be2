// SPDX-License-Identifier: Apache-2.0
//
// The verbs of the program. Each is one file, cmd_<verb>.c, that defines the object named here.
#ifndef LF_CLI_VERBS_H
#define LF_CLI_VERBS_H

#include "cli/opts.h"

// X(verb): in the order of the help page.
#define LF_VERB_MAP(X)                                                                                                 \
    X(inspect)                                                                                                         \
    X(check)                                                                                                           \
    X(convert)                                                                                                         \
    X(plan)                                                                                                            \
    X(run)                                                                                                             \
    X(serve)                                                                                                           \
    X(verify)                                                                                                          \
    X(bench)

#define X(verb) extern const lf_verb lf_verb_##verb;
LF_VERB_MAP(X)
#undef X

#endif
