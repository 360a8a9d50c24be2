// SPDX-License-Identifier: Apache-2.0
//
// Decoders whose feed-forward part is a mixture of experts: Qwen3-MoE and MiniMax-M2. To be read beside transformers'
// models/qwen3_moe/modeling_qwen3_moe.py and models/minimax_m2/modeling_minimax_m2.py; MiniMax-M2's names are those of
// the released checkpoints (block_sparse_moe, w1 w2 w3), which transformers renames while loading.
#include "base/mem.h"
#include "model/arch_rows.h"

#define EXPERT "mlp.experts.{expert}."

// clang-format off
static const lf_param qwen3_moe_params[] = {
    //  name                                     slot            partition rows      columns     slot row       condition
    ROW("model.embed_tokens.weight",             EMBED,          VOCAB,    VOCAB,    HIDDEN,     TOP,           ALWAYS),
    ROW(LAYER "input_layernorm.weight",          INPUT_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.q_proj.weight",         QKV,            Q_HEADS,  Q_ROWS,   HIDDEN,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.k_proj.weight",         QKV,            KV_HEADS, KV_ROWS,  HIDDEN,     Q_ROWS,        ALWAYS),
    ROW(LAYER "self_attn.v_proj.weight",         QKV,            KV_HEADS, KV_ROWS,  HIDDEN,     Q_AND_KV_ROWS, ALWAYS),
    ROW(LAYER "self_attn.q_proj.bias",           QKV_BIAS,       Q_HEADS,  Q_ROWS,   VECTOR,     TOP,           IF(has_qkv_bias)),
    ROW(LAYER "self_attn.k_proj.bias",           QKV_BIAS,       KV_HEADS, KV_ROWS,  VECTOR,     Q_ROWS,        IF(has_qkv_bias)),
    ROW(LAYER "self_attn.v_proj.bias",           QKV_BIAS,       KV_HEADS, KV_ROWS,  VECTOR,     Q_AND_KV_ROWS, IF(has_qkv_bias)),
    ROW(LAYER "self_attn.q_norm.weight",         Q_NORM,         NONE,     HEAD,     VECTOR,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.k_norm.weight",         K_NORM,         NONE,     HEAD,     VECTOR,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.o_proj.weight",         O,              O_HEADS,  HIDDEN,   Q_ROWS,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.o_proj.bias",           O_BIAS,         NONE,     HIDDEN,   VECTOR,     TOP,           IF(has_o_bias)),
    ROW(LAYER "post_attention_layernorm.weight", POST_ATTN_NORM, NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW(LAYER "mlp.gate_proj.weight",            GATE_UP,        FFN_ROWS, FFN,      HIDDEN,     TOP,           IN(DENSE)),
    ROW(LAYER "mlp.up_proj.weight",              GATE_UP,        FFN_ROWS, FFN,      HIDDEN,     FFN,           IN(DENSE)),
    ROW(LAYER "mlp.down_proj.weight",            DOWN,           FFN_COLS, HIDDEN,   FFN,        TOP,           IN(DENSE)),
    ROW(LAYER "mlp.gate.weight",                 ROUTER,         NONE,     EXPERTS,  HIDDEN,     TOP,           IN(MOE)),
    ROW(LAYER EXPERT "gate_proj.weight",         EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   TOP,           IN(MOE)),
    ROW(LAYER EXPERT "up_proj.weight",           EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   EXPERT_FFN,    IN(MOE)),
    ROW(LAYER EXPERT "down_proj.weight",         EXPERT_DOWN,    FFN_COLS, HIDDEN,   EXPERT_FFN, TOP,           IN(MOE)),
    ROW("model.norm.weight",                     FINAL_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW("lm_head.weight",                        LM_HEAD,        VOCAB,    VOCAB,    HIDDEN,     TOP,           UNLESS(tie_word_embeddings)),
};

#define MOE "block_sparse_moe."
static const lf_param minimax_m2_params[] = {
    //  name                                     slot            partition rows      columns     slot row       condition
    ROW("model.embed_tokens.weight",             EMBED,          VOCAB,    VOCAB,    HIDDEN,     TOP,           ALWAYS),
    ROW(LAYER "input_layernorm.weight",          INPUT_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.q_proj.weight",         QKV,            Q_HEADS,  Q_ROWS,   HIDDEN,     TOP,           ALWAYS),
    ROW(LAYER "self_attn.k_proj.weight",         QKV,            KV_HEADS, KV_ROWS,  HIDDEN,     Q_ROWS,        ALWAYS),
    ROW(LAYER "self_attn.v_proj.weight",         QKV,            KV_HEADS, KV_ROWS,  HIDDEN,     Q_AND_KV_ROWS, ALWAYS),
    ROW(LAYER "self_attn.q_norm.weight",         Q_NORM,         Q_HEADS,  Q_ROWS,   VECTOR,     TOP,           IF(has_wide_qk_norm)),
    ROW(LAYER "self_attn.k_norm.weight",         K_NORM,         KV_HEADS, KV_ROWS,  VECTOR,     TOP,           IF(has_wide_qk_norm)),
    ROW(LAYER "self_attn.o_proj.weight",         O,              O_HEADS,  HIDDEN,   Q_ROWS,     TOP,           ALWAYS),
    ROW(LAYER "post_attention_layernorm.weight", POST_ATTN_NORM, NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW(LAYER MOE "gate.weight",                 ROUTER,         NONE,     EXPERTS,  HIDDEN,     TOP,           ALWAYS),
    ROW(LAYER MOE "e_score_correction_bias",     ROUTER_BIAS,    NONE,     EXPERTS,  VECTOR,     TOP,           IF(has_router_bias)),
    ROW(LAYER MOE "experts.{expert}.w1.weight",  EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   TOP,           ALWAYS),
    ROW(LAYER MOE "experts.{expert}.w3.weight",  EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   EXPERT_FFN,    ALWAYS),
    ROW(LAYER MOE "experts.{expert}.w2.weight",  EXPERT_DOWN,    FFN_COLS, HIDDEN,   EXPERT_FFN, TOP,           ALWAYS),
    ROW("model.norm.weight",                     FINAL_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,           ALWAYS),
    ROW("lm_head.weight",                        LM_HEAD,        VOCAB,    VOCAB,    HIDDEN,     TOP,           UNLESS(tie_word_embeddings)),
};
// clang-format on

static const lf_ignored_name moe_ignored[] = {
    {"*.rotary_emb.inv_freq", "rotary_emb.inv_freq: computed from config.json", LF__ALWAYS},
    {"lm_head.weight",
     "lm_head.weight: tie_word_embeddings is true, so it counts only if it differs from the embedding",
     LF__IF(tie_word_embeddings)},
};

static const lf_moe_keys qwen3_moe_keys = {
    .num_experts = {"num_experts", "num_local_experts"},
    .moe_intermediate_size = "moe_intermediate_size",
    .num_experts_default = 128,
    .num_experts_per_tok_default = 8,
    .moe_intermediate_size_default = 768,
    .reads_norm_topk_prob = true,
    .reads_sparse_step = true,
};

static const lf_config_defaults qwen3_moe_defaults = {
    .vocab_size = 151936,
    .hidden_size = 2048,
    .intermediate_size = 6144,
    .num_hidden_layers = 24,
    .num_attention_heads = 32,
    .num_key_value_heads = 4,
    .head_dim = -1,
    .max_position_embeddings = 32768,
    .rms_norm_eps = 1e-6,
    .bos_token_id = -1,
    .eos_token_id = -1,
    .sliding_window = 4096,
    .max_window_layers = 0,
    .reads_attention_bias = true,
    .has_qk_norm = true,
    .moe = &qwen3_moe_keys,
};

static const lf_moe_keys minimax_m2_keys = {
    .num_experts = {"num_local_experts", "num_experts"},
    .moe_intermediate_size = "intermediate_size",
    .num_experts_default = 256,
    .num_experts_per_tok_default = 8,
    .moe_intermediate_size_default = 1536,
    .norm_topk_prob = true,
    .routes_by_sigmoid = true,
    .has_router_bias = true,
};

static const lf_config_defaults minimax_m2_defaults = {
    .vocab_size = 200064,
    .hidden_size = 3072,
    .intermediate_size = 1536,
    .num_hidden_layers = 62,
    .num_attention_heads = 48,
    .num_key_value_heads = 8,
    .head_dim = 128,
    .max_position_embeddings = 196608,
    .rms_norm_eps = 1e-6,
    .rope_theta = 5000000,
    .bos_token_id = 200034,
    .eos_token_id = 200020,
    .sliding_window = -1,
    .max_window_layers = -1,
    .has_wide_qk_norm = true,
    .moe = &minimax_m2_keys,
};

#define TABLE(params_name)                                                                                             \
    .params = params_name, .n_param = LF_ARRAY_LENGTH(params_name), .ignored = moe_ignored,                            \
    .n_ignored = LF_ARRAY_LENGTH(moe_ignored)

const lf_arch lf__arch_qwen3_moe = {.architecture = "Qwen3MoeForCausalLM",
                                    .model_type = "qwen3_moe",
                                    .defaults = &qwen3_moe_defaults,
                                    TABLE(qwen3_moe_params)};
const lf_arch lf__arch_minimax_m2 = {.architecture = "MiniMaxM2ForCausalLM",
                                     .model_type = "minimax_m2",
                                     .defaults = &minimax_m2_defaults,
                                     TABLE(minimax_m2_params)};
