// SPDX-License-Identifier: Apache-2.0
//
// The forward pass of a decoder, dense or with experts, on one rank or several, written once as device operators. It
// owns the activation buffers; all of them, like the step's inputs, keep their addresses, so the same calls can run
// eagerly or be captured.
#ifndef LF_ENGINE_FORWARD_H
#define LF_ENGINE_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "engine/engine.h"
#include "engine/kv.h"
#include "engine/step.h"
#include "load/load.h"
#include "model/model.h"
#include "plan/plan.h"

// A matrix of activations on the device, rows `stride` elements apart.
typedef struct lf_rows {
    lf_dptr data;
    size_t stride;
} lf_rows;

// Dimensions and buffers are this rank's part, as its plan says; n_head, n_kv_head and the widths d_ff, d_shared (of
// the shared experts) and d_expert may be 0.
typedef struct lf_forward {
    lf_device *device; // BORROWED, as the three below
    const lf_config *config;
    const lf_weights *weights;
    const lf_kv_cache *kv;
    size_t rank, n_rank;
    size_t n_head, n_kv_head, d_head, d_model, d_ff, d_shared, d_expert, n_vocab;
    float softmax_scale;
    size_t n_head_per_kv, first_head;  // query heads of a KV head; where in its first KV head's group a rank begins
    size_t first_owned_kv, n_owned_kv; // of the n_kv_head: those that no lower rank holds
    // OWNED
    lf_rows hidden;      // bf16 [max_tok, d_model]: input and output of each block
    lf_rows residual;    // bf16 [max_tok, d_model]: the running sum
    lf_rows qkv;         // bf16 [max_tok, rows of LF_SLOT_QKV]: q heads, k heads, v heads; or latents of q, of k and v
    lf_rows queries;     // bf16 [max_tok, n_head d_head]: latent attention, as the two below
    lf_rows absorbed;    // bf16 [max_tok, n_head (kv_lora_rank + qk_rope_head_dim)]
    lf_rows latents;     // bf16 [max_tok, n_head kv_lora_rank]
    lf_rows attention;   // bf16 [max_tok, n_head d_head (or v_head_dim)]
    lf_rows gate_up;     // bf16 [max_tok, 2 d_ff or 2 d_shared]
    lf_rows activation;  // bf16 [max_tok, d_ff or d_shared]
    lf_rows selected;    // bf16 [max_row, d_model]: the hidden rows that need logits
    lf_rows logits;      // f32 [max_row, n_vocab]; rank 0 only
    lf_dptr cos_sin;     // f32 [n_position, rotary_dim]
    lf_dptr partial;     // f32 [max_tok, d_model]: a rank's part of a block's output; experts or several ranks
    lf_dptr square_sums; // f32 [max_tok, 2]; several ranks
    lf_dptr chosen_experts; // int32 [max_tok, num_experts_per_tok]
    lf_dptr chosen_scores;  // f32 [max_tok, num_experts_per_tok]
    lf_dptr experts_scratch;
    lf_dptr rank_logits;      // f32 [max_row, this rank's vocabulary]; several ranks
    lf_dptr joined_logits;    // f32 [max_row, n_vocab]; rank 0 of several
    size_t *vocab_of_rank;    // [n_rank]
    lf_step_profile *profile; // BORROWED; NULL: nothing is timed
    struct lf_trace *trace;   // BORROWED; NULL: nothing is traced
} lf_forward;

typedef struct lf_forward_args {
    lf_device *device;
    const lf_config *config;
    const lf_weights *weights;
    const lf_rank_plan *plan;
    const lf_kv_cache *kv;
    size_t max_tok, max_row;
    size_t n_position;
} lf_forward_args;

// Device bytes that lf__forward_init will take; false when they do not fit a size_t.
bool lf__forward_bytes(const lf_forward_args *args, size_t *out);
lf_status lf__forward_init(lf_forward *forward, const lf_forward_args *args, lf_error *err);
void lf__forward_fini(lf_forward *forward); // a zeroed or half-built forward is accepted

// All layers and the final norm over the committed step: afterwards `hidden` holds the normed rows.
lf_status lf__forward_layers(const lf_forward *forward, const lf_step *step, lf_error *err);
// logits[i] of the i-th selected row (lf__step_select), i < n_row, on rank 0. Ranks meet in both functions.
lf_status lf__forward_logits(const lf_forward *forward, const lf_step *step, size_t n_row, lf_error *err);

#endif
