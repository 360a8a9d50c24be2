// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions of tokenizer.json on PCRE2. The patterns are written for Oniguruma (the engine of the reference
// library), so each is first translated: what both engines read alike is kept, what they read differently (\s, \w,
// \p{Han}, {n,m}+, \uHHHH, ...) is spelled out, and everything else is refused by name rather than guessed.
#ifndef LF_TEXT_REGEX_H
#define LF_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/status.h"

typedef struct lf_regex lf_regex; // const after compiling: shared by threads
typedef struct lf_regex_scratch
    lf_regex_scratch; // memory of one thread's matches, for one encoding and any number of expressions

enum { LF_REGEX_MAX_PATTERN_BYTES = 16384 };

// Appends the PCRE2 form of an Oniguruma pattern. LF_ERR_UNSUPPORTED names the construct and its offset.
lf_status lf_regex_translate(lf_buf *out, const char *pattern, size_t length, lf_error *err);

lf_status lf_regex_compile(lf_regex **out, const char *pattern, size_t length, lf_error *err);
void lf_regex_free(lf_regex *regex); // NULL is fine

lf_status lf_regex_scratch_new(lf_regex_scratch **out, lf_error *err);
void lf_regex_scratch_free(lf_regex_scratch *scratch); // NULL is fine

// One walk over the matches in a text, in order and without overlap.
typedef struct lf_regex_walk {
    const lf_regex *regex;     // BORROWED
    lf_regex_scratch *scratch; // BORROWED
    const char *text;          // BORROWED, well-formed UTF-8; matches see nothing outside of it
    size_t length;
    size_t from;     // where the next search starts; 0 at the beginning
    size_t last_end; // end of the last match; SIZE_MAX before the first
} lf_regex_walk;

// *found tells whether there is a further match, then [*begin, *end) is it. An empty match that touches the match
// before it is passed over. LF_ERR_LIMIT when a match needs more steps or memory than a sane pattern can.
lf_status lf_regex_next(lf_regex_walk *walk, bool *found, size_t *begin, size_t *end, lf_error *err);

#endif
