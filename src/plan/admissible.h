// SPDX-License-Identifier: Apache-2.0
//
// Which tensor-parallel sizes engines accept that split evenly, from config.json alone. Landfall accepts every size.
// Rules: vLLM's QKVParallelLinear and divide(); block-quantized linears of vLLM and SGLang, whose slices must be whole
// blocks (the reason why a size works in bf16 and not in FP8).
#ifndef LF_PLAN_ADMISSIBLE_H
#define LF_PLAN_ADMISSIBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/outline.h"

typedef enum lf_engine_rule {
    LF_ENGINE_BF16,              // heads and widths must divide
    LF_ENGINE_FP8_BLOCK,         // every slice must be whole blocks as well
    LF_ENGINE_FP8_BLOCK_EXPERTS, // the same with experts dealt out whole
} lf_engine_rule;

// Whether such an engine accepts the size. When not, `why` (may be NULL) says the first reason: "intermediate_size
// 18432 / 32 = 576, not a multiple of 128".
bool lf_tp_is_admissible(const lf_outline *outline, int64_t tensor_parallel_size, lf_engine_rule rule, char *why,
                         size_t why_bytes);

#endif
