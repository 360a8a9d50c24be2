// SPDX-License-Identifier: Apache-2.0
//
// DeepSeek-V3 (and R1): latent attention, first layers dense, then routed and shared experts. To be read beside
// transformers' models/deepseek_v3/modeling_deepseek_v3.py. What reads the hidden state is one slot: the queries, or
// the latent they are made of, and below them the latent of keys and values with the key part that rotates.
//
// Within an expert rows stand in the order of their names: the names of a checkpoint are sorted, and a hundred thousand
// that are sorted already are no work.
#include "base/mem.h"
#include "model/arch_rows.h"

#define EXPERT "mlp.experts.{expert}."
#define SHARED "mlp.shared_experts."

// clang-format off
static const lf_param deepseek_v3_params[] = {
    //  name                                        slot            partition rows      columns     slot row    condition
    ROW("model.embed_tokens.weight",                EMBED,          VOCAB,    VOCAB,    HIDDEN,     TOP,        ALWAYS),
    ROW(LAYER "input_layernorm.weight",             INPUT_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,        ALWAYS),
    ROW(LAYER "self_attn.q_a_proj.weight",          QKV,            NONE,     Q_RANK,   HIDDEN,     TOP,        IF(has_q_lora)),
    ROW(LAYER "self_attn.q_proj.weight",            QKV,            Q_HEADS,  Q_ROWS,   HIDDEN,     TOP,        UNLESS(has_q_lora)),
    ROW(LAYER "self_attn.kv_a_proj_with_mqa.weight", QKV,           NONE,     LATENT_ROWS, HIDDEN,  Q_RANK,     IF(has_q_lora)),
    ROW(LAYER "self_attn.kv_a_proj_with_mqa.weight", QKV,           NONE,     LATENT_ROWS, HIDDEN,  Q_ROWS,     UNLESS(has_q_lora)),
    ROW(LAYER "self_attn.q_a_layernorm.weight",     Q_A_NORM,       NONE,     Q_RANK,   VECTOR,     TOP,        IF(has_q_lora)),
    ROW(LAYER "self_attn.q_b_proj.weight",          Q_B,            Q_HEADS,  Q_ROWS,   Q_RANK,     TOP,        IF(has_q_lora)),
    ROW(LAYER "self_attn.kv_a_layernorm.weight",    KV_A_NORM,      NONE,     KV_RANK,  VECTOR,     TOP,        ALWAYS),
    ROW(LAYER "self_attn.kv_b_proj.weight",         KV_B,           Q_HEADS,  KV_B_ROWS, KV_RANK,   TOP,        ALWAYS),
    ROW(LAYER "self_attn.o_proj.weight",            O,              O_HEADS,  HIDDEN,   V_COLUMNS,  TOP,        ALWAYS),
    ROW(LAYER "post_attention_layernorm.weight",    POST_ATTN_NORM, NONE,     HIDDEN,   VECTOR,     TOP,        ALWAYS),
    ROW(LAYER "mlp.gate_proj.weight",               GATE_UP,        FFN_ROWS, FFN,      HIDDEN,     TOP,        IN(DENSE)),
    ROW(LAYER "mlp.up_proj.weight",                 GATE_UP,        FFN_ROWS, FFN,      HIDDEN,     FFN,        IN(DENSE)),
    ROW(LAYER "mlp.down_proj.weight",               DOWN,           FFN_COLS, HIDDEN,   FFN,        TOP,        IN(DENSE)),
    ROW(LAYER "mlp.gate.weight",                    ROUTER,         NONE,     EXPERTS,  HIDDEN,     TOP,        IN(MOE)),
    ROW(LAYER "mlp.gate.e_score_correction_bias",   ROUTER_BIAS,    NONE,     EXPERTS,  VECTOR,     TOP,        IN(MOE)),
    ROW(LAYER SHARED "gate_proj.weight",            SHARED_GATE_UP, FFN_ROWS, SHARED_FFN, HIDDEN,   TOP,        IN_IF(MOE, has_shared_experts)),
    ROW(LAYER SHARED "up_proj.weight",              SHARED_GATE_UP, FFN_ROWS, SHARED_FFN, HIDDEN,   SHARED_FFN, IN_IF(MOE, has_shared_experts)),
    ROW(LAYER SHARED "down_proj.weight",            SHARED_DOWN,    FFN_COLS, HIDDEN,   SHARED_FFN, TOP,        IN_IF(MOE, has_shared_experts)),
    ROW(LAYER EXPERT "down_proj.weight",            EXPERT_DOWN,    FFN_COLS, HIDDEN,   EXPERT_FFN, TOP,        IN(MOE)),
    ROW(LAYER EXPERT "gate_proj.weight",            EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   TOP,        IN(MOE)),
    ROW(LAYER EXPERT "up_proj.weight",              EXPERT_GATE_UP, FFN_ROWS, EXPERT_FFN, HIDDEN,   EXPERT_FFN, IN(MOE)),
    ROW("model.norm.weight",                        FINAL_NORM,     NONE,     HIDDEN,   VECTOR,     TOP,        ALWAYS),
    ROW("lm_head.weight",                           LM_HEAD,        VOCAB,    VOCAB,    HIDDEN,     TOP,        UNLESS(tie_word_embeddings)),
};
// clang-format on

static const lf_ignored_name deepseek_v3_ignored[] = {
    {"*.rotary_emb.inv_freq", "rotary_emb.inv_freq: computed from config.json", LF__ALWAYS},
    {"lm_head.weight",
     "lm_head.weight: tie_word_embeddings is true, so it counts only if it differs from the embedding",
     LF__IF(tie_word_embeddings)},
};

static const lf_moe_keys deepseek_v3_moe_keys = {
    .num_experts = {"n_routed_experts", "num_local_experts"},
    .moe_intermediate_size = "moe_intermediate_size",
    .num_experts_default = 256,
    .num_experts_per_tok_default = 8,
    .moe_intermediate_size_default = 2048,
    .norm_topk_prob = true,
    .reads_norm_topk_prob = true,
    .routes_by_sigmoid = true,
    .has_router_bias = true,
    .first_k_dense_replace = 3,
    .n_group = 8,
    .topk_group = 4,
    .n_shared_experts = 1,
    .routed_scaling_factor = 2.5,
};

static const lf_latent_keys deepseek_v3_latent_keys = {
    .q_lora_rank = 1536,
    .kv_lora_rank = 512,
    .qk_nope_head_dim = 128,
    .qk_rope_head_dim = 64,
    .v_head_dim = 128,
    .rope_interleave = true,
};

static const lf_config_defaults deepseek_v3_defaults = {
    .vocab_size = 129280,
    .hidden_size = 7168,
    .intermediate_size = 18432,
    .num_hidden_layers = 61,
    .num_attention_heads = 128,
    .max_position_embeddings = 4096,
    .rms_norm_eps = 1e-6,
    .bos_token_id = 0,
    .eos_token_id = 1,
    .sliding_window = -1,
    .max_window_layers = -1,
    .num_nextn_predict_layers = 1,
    .moe = &deepseek_v3_moe_keys,
    .latent = &deepseek_v3_latent_keys,
};

const lf_arch lf__arch_deepseek_v3 = {
    .architecture = "DeepseekV3ForCausalLM",
    .model_type = "deepseek_v3",
    .defaults = &deepseek_v3_defaults,
    .params = deepseek_v3_params,
    .n_param = LF_ARRAY_LENGTH(deepseek_v3_params),
    .ignored = deepseek_v3_ignored,
    .n_ignored = LF_ARRAY_LENGTH(deepseek_v3_ignored),
    .mtp_prefix = LAYER,
    .mtp_reason = "of a layer for multi-token prediction, which is not run",
};
