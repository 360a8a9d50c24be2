// SPDX-License-Identifier: Apache-2.0
//
// The architectures that have a parameter table.
#include "base/mem.h"
#include "model/model_int.h"

const lf_arch *const lf__archs[] = {&lf__arch_llama,     &lf__arch_qwen2,      &lf__arch_qwen3,
                                    &lf__arch_qwen3_moe, &lf__arch_minimax_m2, &lf__arch_deepseek_v3};
const size_t lf__n_arch = LF_ARRAY_LENGTH(lf__archs);
