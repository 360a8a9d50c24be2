// SPDX-License-Identifier: Apache-2.0
//
// The two large values of a tokenizer.json, model.vocab and model.merges: 300,000 strings that would cost jansson a
// second. They are cut out of the document, which jansson reads without them, and read in place by a strict reader of
// just their shape.
#ifndef LF_TEXT_MODEL_JSON_H
#define LF_TEXT_MODEL_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lf_json_range {
    const char *text; // BORROWED from the document; NULL when the value is not there
    size_t length;
} lf_json_range;

typedef struct lf_model_json {
    json_t *root; // OWNED: the document with null in place of the two values
    lf_json_range vocab;
    lf_json_range merges;
} lf_model_json;

// LF_ERR_FORMAT for anything that is not JSON. The ranges are not yet known to be valid: reading them tells.
lf_status lf_model_json_open(lf_model_json *out, const char *json, size_t length, lf_error *err);
void lf_model_json_close(lf_model_json *model);

// {"token": id, ...} in the order of the document. Strings are BORROWED until the function returns.
typedef lf_status (*lf_vocab_entry_fn)(void *ctx, const char *token, size_t length, uint32_t id, lf_error *err);
lf_status lf_model_json_vocab(lf_json_range range, lf_vocab_entry_fn entry, void *ctx, lf_error *err);

// ["left right", ...] or [["left", "right"], ...], ranks from 0. A text entry that starts with "#version" is passed
// over.
typedef lf_status (*lf_merge_entry_fn)(void *ctx, const char *left, size_t left_length, const char *right,
                                       size_t right_length, uint32_t rank, lf_error *err);
lf_status lf_model_json_merges(lf_json_range range, lf_merge_entry_fn entry, void *ctx, lf_error *err);

#endif
