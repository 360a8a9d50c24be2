// SPDX-License-Identifier: Apache-2.0
//
// Manual pages and shell completion, printed from the option tables that parse the command line. landfall-pages, a
// program that only the build runs, prints them; so none of them can name a flag that the program does not have.
#ifndef LF_CLI_PAGES_H
#define LF_CLI_PAGES_H

#include <stddef.h>
#include <stdio.h>

#include "cli/opts.h"

typedef struct lf_pages {
    const lf_verb *const *verbs; // in the order of the help page
    size_t n_verb;
    const char *date; // of the release, "2026-11-26"
} lf_pages;

// landfall(1).
void lf_pages_man(FILE *stream, const lf_pages *pages);
// landfall-VERB(1).
void lf_pages_man_verb(FILE *stream, const lf_pages *pages, const lf_verb *verb);
void lf_pages_bash(FILE *stream, const lf_pages *pages);
void lf_pages_zsh(FILE *stream, const lf_pages *pages);

// What a shell completes for the value of `opt`.
typedef enum lf_value_source { LF_VALUE_ANY, LF_VALUE_CHOICES, LF_VALUE_FILE, LF_VALUE_DIRECTORY } lf_value_source;
lf_value_source lf_pages_value_source(const lf_opt *opt);
// The next name of a choice list such as "auto|dummy": sets its length and returns where it begins, or returns NULL at
// the end. Begin with *at = opt->choices.
const char *lf_pages_next_choice(const char **at, size_t *length);

#endif
