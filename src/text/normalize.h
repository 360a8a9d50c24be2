// SPDX-License-Identifier: Apache-2.0
//
// The normalizer of tokenizer.json: NFC, NFD, NFKC, NFKD, Prepend, Replace, and sequences of them.
#ifndef LF_TEXT_NORMALIZE_H
#define LF_TEXT_NORMALIZE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/status.h"
#include "text/regex.h"

typedef enum lf_normal_form { LF_NFC, LF_NFD, LF_NFKC, LF_NFKD } lf_normal_form;

// Appends the normal form of well-formed UTF-8. Linear in the text, whatever marks it piles up.
lf_status lf_normalize_form(lf_buf *out, lf_normal_form form, const char *text, size_t length, lf_error *err);

typedef struct lf_normalizer {
    struct lf_normal_step *steps; // OWNED
    size_t n_step;
    size_t capacity;
} lf_normalizer;

// `json` is the "normalizer" value; null and NULL make a normalizer that does nothing.
lf_status lf_normalizer_init(lf_normalizer *normalizer, const json_t *json, lf_error *err);
void lf_normalizer_fini(lf_normalizer *normalizer);
// Appends the normalized text. `scratch` is this thread's.
lf_status lf_normalizer_run(const lf_normalizer *normalizer, lf_regex_scratch *scratch, lf_buf *out, const char *text,
                            size_t length, lf_error *err);

#endif
