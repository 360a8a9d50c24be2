// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints with the head counts that a test asks for: small models whose numbers make a forward pass worth
// comparing. Logits have a standard deviation of about 2, every part of the model moves them, and which experts a token
// gets does not depend on roundings.
#ifndef LF_TESTS_SUPPORT_SHAPED_H
#define LF_TESTS_SUPPORT_SHAPED_H

#include "synthetic.h"

typedef struct shape {
    const char *model_type; // "qwen3", "qwen3_moe", "minimax_m2", "deepseek_v3"
    int64_t n_head, n_kv_head;
    bool is_fp8; // linear layers as F8_E4M3 with blocks of scales; otherwise everything is bf16
} shape;

enum { SHAPED_VOCABULARY = 97 };

// Writes the files of a checkpoint folder; synthetic_remove() takes it away. The same shape gives the same files.
void shaped_write(synthetic *s, const shape *wanted);

#endif
