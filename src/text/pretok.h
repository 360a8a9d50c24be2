// SPDX-License-Identifier: Apache-2.0
//
// Pre-tokenizers: what cuts a text into words before the model sees it. Split (regular expression or string),
// ByteLevel, Digits, Punctuation, WhitespaceSplit, and sequences of them.
#ifndef LF_TEXT_PRETOK_H
#define LF_TEXT_PRETOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "text/pieces.h"
#include "text/regex.h"

typedef struct lf_pretok {
    struct lf_pretok_step *steps; // OWNED
    size_t n_step;
    size_t capacity;
} lf_pretok;

// `json` is the "pre_tokenizer" value; null and NULL leave every text in one piece.
lf_status lf_pretok_init(lf_pretok *pretok, const json_t *json, lf_error *err);
void lf_pretok_fini(lf_pretok *pretok);

// True when the last thing that happens is the byte-level mapping: the model may then take the bytes themselves.
bool lf_pretok_ends_byte_level(const lf_pretok *pretok);

// Runs all steps on pieces[0]; the result is in *result, one of the two. `raw_bytes` leaves out the final byte-level
// mapping (only if lf_pretok_ends_byte_level()).
lf_status lf_pretok_run(const lf_pretok *pretok, lf_regex_scratch *scratch, bool raw_bytes, lf_pieces pieces[2],
                        const lf_pieces **result, lf_error *err);

#endif
