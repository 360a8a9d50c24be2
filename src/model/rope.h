// SPDX-License-Identifier: Apache-2.0
//
// The tables of the rotary embedding, in the float32 arithmetic of transformers (modeling_rope_utils.py and the
// classes' RotaryEmbedding.forward), step by step: frequencies, angles and their cosines are each rounded to float32
// where it rounds.
#ifndef LF_MODEL_ROPE_H
#define LF_MODEL_ROPE_H

#include <stddef.h>

#include "model/model.h"

// inv_freq[rotary_dim / 2], scaling of the kind included.
void lf_rope_frequencies(const lf_rope *rope, float *inv_freq);

// dst[n_position, rotary_dim]: row p holds cos(p * inv_freq) in its first half and sin(p * inv_freq) in its second,
// both multiplied with the attention factor. Parallel; fails only without memory.
lf_status lf_rope_table(const lf_rope *rope, size_t n_position, float *dst, lf_error *err);

#endif
