// SPDX-License-Identifier: Apache-2.0
//
// Stop strings over a stream of text: finds the earliest end of any of them, wherever tokens are cut, and tells how
// much of the text's end may still become one. Constant time per byte and string (Knuth, Morris, Pratt), so that the
// engine thread may run it.
#ifndef LF_SERVER_STOP_H
#define LF_SERVER_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lf_stop_string {
    const char *text; // BORROWED
    size_t length;    // >= 1
} lf_stop_string;

enum { LF_STOP_MAX_STRINGS = 64, LF_STOP_MAX_BYTES = 4096 }; // per request; per string
#define LF_STOP_NONE ((size_t)-1)

typedef struct lf_stop_matcher lf_stop_matcher;

// The texts are copied. n may be 0 (*out is then NULL, which the functions below accept).
lf_status lf_stop_matcher_new(lf_stop_matcher **out, const lf_stop_string *strings, size_t n, lf_error *err);
void lf_stop_matcher_free(lf_stop_matcher *matcher);
// Takes the next byte of the text. The index of the string that ends with it (the first of the list when several do),
// or LF_STOP_NONE. With may_match false a complete string is passed over.
size_t lf_stop_matcher_feed(lf_stop_matcher *matcher, unsigned char byte, bool may_match);
// Bytes at the end of the text so far that are the beginning of a stop string.
size_t lf_stop_matcher_pending(const lf_stop_matcher *matcher);
size_t lf_stop_matcher_length(const lf_stop_matcher *matcher, size_t i);

#endif
