// SPDX-License-Identifier: Apache-2.0
//
// Command-line options as data: one table per verb is what parses the command line and what prints the help. Flags are
// spelled as vLLM spells them, `--flag value` and `--flag=value` alike, with underscores accepted for dashes.
#ifndef LF_CLI_OPTS_H
#define LF_CLI_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum lf_opt_kind {
    LF_OPT_FLAG,   // bool; no value; "--no-NAME" clears it
    LF_OPT_STRING, // const char *; BORROWED from argv
    LF_OPT_INT,    // int64_t within [min, max]
    LF_OPT_SIZE,   // int64_t within [min, max]; accepts the suffixes k m g (10^3 ...) and K M G (2^10 ...)
    LF_OPT_REAL,   // double within [min, max]
    LF_OPT_LIST,   // lf_opt_list; the flag may be repeated, each time adds a value
} lf_opt_kind;

enum { LF_OPT_LIST_MAX = 16 };
typedef struct lf_opt_list {
    const char *items[LF_OPT_LIST_MAX + 1]; // BORROWED from argv, NULL-terminated
    size_t count;
} lf_opt_list;

typedef struct lf_opt {
    const char *name;  // without dashes: "tensor-parallel-size"
    const char *alias; // second spelling with its dashes, "-tp"; NULL when there is none
    lf_opt_kind kind;
    const char *metavar; // "N"; NULL for flags. After FILE, REPORT and DIR the shells complete paths.
    const char *help;    // one line
    size_t offset;       // of the value in the verb's argument struct
    int64_t min, max;    // INT, SIZE, REAL; both 0: no limits
    const char *choices; // STRING: "auto|dummy"; NULL: any
} lf_opt;

typedef struct lf_verb {
    const char *name;
    const char *operands; // "MODEL", "MODEL OUT", "" ...
    const char *summary;  // one line
    // For the manual page: paragraphs separated by an empty line, and commands to try (NULL: none).
    const char *description, *example;
    const lf_opt *opts;
    size_t n_opt;
    bool computes; // runs parallel loops over a model: see settle_waiting() in main.c
    // Runs the verb and returns the process's exit status. `argv` starts after the verb's name.
    int (*run)(const struct lf_verb *verb, int argc, char **argv);
} lf_verb;

// Parses argv into `values` (the verb's struct, already holding the defaults) and `operands` (at most max_operand;
// unused ones become NULL). `--help` prints the verb's help to stdout and sets *is_done. Unknown flags name the nearest
// one.
lf_status lf_opts_parse(const lf_verb *verb, int argc, char **argv, void *values, const char **operands,
                        size_t max_operand, bool *is_done, lf_error *err);
void lf_opts_help(const lf_verb *verb);
// Prints `err` on stderr as "landfall VERB: message" and returns the exit status that belongs to it.
int lf_cli_fail(const lf_verb *verb, const lf_error *err);

#endif
