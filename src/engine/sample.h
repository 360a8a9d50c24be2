// SPDX-License-Identifier: Apache-2.0
//
// Sampling parameters on the engine's side: their ranges, the edits of the logits that penalties, biases and bans
// amount to, and the random numbers. Nothing here looks at other requests, so a request's tokens do not depend on its
// batch.
#ifndef LF_ENGINE_SAMPLE_H
#define LF_ENGINE_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "engine/engine.h"

// Ranges as vLLM checks them; LF_ERR_INVALID names the field.
lf_status lf__sampling_check(const lf_sampling *sampling, int64_t vocab_size, lf_error *err);
// The row that the device samples: what vLLM does to small temperatures is done here.
lf_sample_row lf__sampling_row(const lf_sampling *sampling, float uniform);

// Number `counter` of the stream `seed`, in [0, 1): a function of the two alone.
float lf__uniform(uint64_t seed, uint64_t counter);

// The edits of one request's logits, kept ready in the order in which they apply: bans of end and stop tokens (while
// fewer than min_tokens are generated), biases, penalties. One penalty entry per distinct token; `slots` finds it by
// open addressing.
typedef struct lf_edit_book {
    lf_logit_edit *edits; // OWNED: [n_ban | n_bias | n_penalty]
    uint32_t *counts;     // OWNED: occurrences in the output, per penalty entry
    int32_t *slots;       // OWNED: hash slot -> penalty entry, -1 empty; n_slot is a power of two
    size_t n_ban, n_bias, n_penalty;
    size_t max_penalty, n_slot;
    float presence, frequency, repetition;
    size_t min_tokens;
} lf_edit_book;

typedef struct lf_edit_book_args {
    const lf_sampling *sampling; // checked
    const int32_t *prompt;
    size_t n_prompt;
    size_t max_length; // of prompt and output together
    const int64_t *eos_tokens;
    size_t n_eos_token;
    int64_t vocab_size;
} lf_edit_book_args;

lf_status lf__edit_book_init(lf_edit_book *book, const lf_edit_book_args *args, lf_error *err);
void lf__edit_book_fini(lf_edit_book *book);
// Counts a generated token. Does not allocate.
void lf__edit_book_add(lf_edit_book *book, int32_t token);
// The edits that apply after n_generated tokens, addressed to `row`; BORROWED until the next call.
lf_logit_edit *lf__edit_book_row(lf_edit_book *book, size_t n_generated, int32_t row, size_t *n_edit);

#endif
