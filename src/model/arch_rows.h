// SPDX-License-Identifier: Apache-2.0
//
// The shorthand in which the parameter tables are written (arch_*.c), so that a row reads as one line.
#ifndef LF_MODEL_ARCH_ROWS_H
#define LF_MODEL_ARCH_ROWS_H

#include "model/model_int.h"

#define LAYER "model.layers.{layer}."
#define HIDDEN LF__DIM(hidden_size)
#define FFN LF__DIM(intermediate_size)
#define VOCAB LF__DIM(vocab_size)
#define HEAD LF__DIM(head_dim)
#define Q_ROWS LF__PRODUCT(num_attention_heads, head_dim)
#define KV_ROWS LF__PRODUCT(num_key_value_heads, head_dim)
#define Q_AND_KV_ROWS LF__SUM_OF_PRODUCTS(num_attention_heads, head_dim, num_key_value_heads, head_dim)
#define TOP LF__ZERO
#define VECTOR LF__ZERO
#define ALWAYS LF__ALWAYS
#define IF(flag) LF__IF(flag)
#define UNLESS(flag) LF__UNLESS(flag)
#define ROW(name, slot, partition, ...)                                                                                \
    {                                                                                                                  \
        name, LF_SLOT_##slot, LF_PARTITION_##partition, __VA_ARGS__                                                    \
    }
#define EXPERTS LF__DIM(num_experts)
#define EXPERT_FFN LF__DIM(moe_intermediate_size)
#define SHARED_FFN LF__DIM(shared_intermediate_size)
#define Q_RANK LF__DIM(q_lora_rank)
#define KV_RANK LF__DIM(kv_lora_rank)
#define LATENT_ROWS LF__SUM(kv_lora_rank, qk_rope_head_dim)
#define KV_B_ROWS LF__SUM_OF_PRODUCTS(num_attention_heads, qk_nope_head_dim, num_attention_heads, v_head_dim)
#define V_COLUMNS LF__PRODUCT(num_attention_heads, v_head_dim)
#define IN(kind) LF__LAYERS(LF_##kind##_LAYERS)
#define IN_IF(kind, flag) LF__LAYERS_IF(LF_##kind##_LAYERS, flag)

#endif
