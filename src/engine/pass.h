// SPDX-License-Identifier: Apache-2.0
//
// One run over the layers, and the device's operators as its steps: each takes slots and rows, finds weights and
// buffers by itself, and does nothing once one has failed, so that a sequence of them needs no checks between the
// lines. No line here reads device memory.
#ifndef LF_ENGINE_PASS_H
#define LF_ENGINE_PASS_H

#include "engine/forward.h"

typedef struct lf_pass {
    const lf_forward *f;
    const lf_step *step;
    const struct lf_device_ops *ops;
    lf_device *device;
    int64_t layer;
    lf_status status; // of the first operator that failed
    lf_error *err;
} lf_pass;

lf_pass lf__pass_begin(const lf_forward *f, const lf_step *step, lf_error *err);

// Runs one operator of the device unless one has failed, and times it where somebody wants to know; for steps.
int64_t lf__timer_start(const lf_pass *p);
void lf__timer_stop(lf_pass *p, uint64_t *total_ns, int64_t start);
#define LF__TIMED(p, field, call)                                                                                      \
    do {                                                                                                               \
        if ((p)->status) return;                                                                                       \
        int64_t start = lf__timer_start(p);                                                                            \
        (p)->status = (call);                                                                                          \
        lf__timer_stop(p, (p)->f->profile ? &(p)->f->profile->field : NULL, start);                                    \
    } while (0)

// The same rows from `column` on.
lf_rows lf__columns_from(lf_rows rows, size_t column);

// The embedding of the step's tokens, summed over the ranks that hold the vocabulary.
void lf__embed(lf_pass *p, lf_rows y);
// hidden = norm(residual += hidden), or norm(residual) where there is no block output yet.
void lf__norm(lf_pass *p, lf_slot slot, bool add_hidden);
// y = x * weight^T + bias, this rank's rows. `bias` may name a slot that this model does not have.
void lf__linear(lf_pass *p, lf_slot slot, lf_slot bias, lf_rows x, lf_rows y);
// hidden = x * weight^T + bias, where ranks hold columns of the weight: their parts are summed.
void lf__project(lf_pass *p, lf_slot slot, lf_slot bias, lf_rows x);
// Norms each of n_head heads in place.
void lf__head_norm(lf_pass *p, lf_slot slot, lf_rows heads, size_t n_head);
// Norms q and k over all heads of all ranks, in place; a replicated KV head counts once.
void lf__wide_norms(lf_pass *p, lf_rows q, lf_rows k);
// Norms the first d elements of each row in place.
void lf__row_norm(lf_pass *p, lf_slot slot, lf_rows rows, size_t d, double eps);
// Rotates the first rotary_dim elements of each of n_head heads, d_head apart.
void lf__rope(lf_pass *p, lf_rows heads, size_t n_head, size_t d_head);
// v: none where values are part of keys.
void lf__kv_store(lf_pass *p, lf_rows k, lf_rows v);
void lf__attention(lf_pass *p, lf_rows q, lf_rows out);
void lf__silu_mul(lf_pass *p, lf_rows x, lf_rows y, size_t d);
// partial = what the shared and the chosen experts make of hidden, this rank's part.
void lf__experts(lf_pass *p);
// hidden = the ranks' partial, summed.
void lf__sum_partial(lf_pass *p);
// selected[i] = row i of the selection of hidden; logits = selected * head^T, complete on rank 0.
void lf__select_rows(lf_pass *p, size_t n_row);
void lf__lm_head(lf_pass *p, size_t n_row);

// The attention of a layer whose cache holds latents (latent.c).
void lf__latent_attention(lf_pass *p);

#endif
