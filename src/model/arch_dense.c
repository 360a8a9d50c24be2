// SPDX-License-Identifier: Apache-2.0
//
// The dense decoder family: Llama, Qwen2 and Qwen3 are one table whose conditions say which biases and norms a class
// has. To be read beside transformers' models/llama/modeling_llama.py, models/qwen2/modeling_qwen2.py and
// models/qwen3/modeling_qwen3.py; the defaults beside their configuration_*.py. Tensors have
// names in these tables (arch_*.c) and nowhere else.
#include "base/mem.h"
#include "model/arch_rows.h"

// clang-format off
static const lf_param dense_params[] = {
    //  name                                     slot            partition rows     columns slot row       condition
    ROW("model.embed_tokens.weight",             EMBED,          VOCAB,    VOCAB,   HIDDEN, TOP,           ALWAYS),
    ROW(LAYER "input_layernorm.weight",          INPUT_NORM,     NONE,     HIDDEN,  VECTOR, TOP,           ALWAYS),
    ROW(LAYER "self_attn.q_proj.weight",         QKV,            Q_HEADS,  Q_ROWS,  HIDDEN, TOP,           ALWAYS),
    ROW(LAYER "self_attn.k_proj.weight",         QKV,            KV_HEADS, KV_ROWS, HIDDEN, Q_ROWS,        ALWAYS),
    ROW(LAYER "self_attn.v_proj.weight",         QKV,            KV_HEADS, KV_ROWS, HIDDEN, Q_AND_KV_ROWS, ALWAYS),
    ROW(LAYER "self_attn.q_proj.bias",           QKV_BIAS,       Q_HEADS,  Q_ROWS,  VECTOR, TOP,           IF(has_qkv_bias)),
    ROW(LAYER "self_attn.k_proj.bias",           QKV_BIAS,       KV_HEADS, KV_ROWS, VECTOR, Q_ROWS,        IF(has_qkv_bias)),
    ROW(LAYER "self_attn.v_proj.bias",           QKV_BIAS,       KV_HEADS, KV_ROWS, VECTOR, Q_AND_KV_ROWS, IF(has_qkv_bias)),
    ROW(LAYER "self_attn.q_norm.weight",         Q_NORM,         NONE,     HEAD,    VECTOR, TOP,           IF(has_qk_norm)),
    ROW(LAYER "self_attn.k_norm.weight",         K_NORM,         NONE,     HEAD,    VECTOR, TOP,           IF(has_qk_norm)),
    ROW(LAYER "self_attn.o_proj.weight",         O,              O_HEADS,  HIDDEN,  Q_ROWS, TOP,           ALWAYS),
    ROW(LAYER "self_attn.o_proj.bias",           O_BIAS,         NONE,     HIDDEN,  VECTOR, TOP,           IF(has_o_bias)),
    ROW(LAYER "post_attention_layernorm.weight", POST_ATTN_NORM, NONE,     HIDDEN,  VECTOR, TOP,           ALWAYS),
    ROW(LAYER "mlp.gate_proj.weight",            GATE_UP,        FFN_ROWS, FFN,     HIDDEN, TOP,           ALWAYS),
    ROW(LAYER "mlp.up_proj.weight",              GATE_UP,        FFN_ROWS, FFN,     HIDDEN, FFN,           ALWAYS),
    ROW(LAYER "mlp.gate_proj.bias",              GATE_UP_BIAS,   FFN_ROWS, FFN,     VECTOR, TOP,           IF(has_mlp_bias)),
    ROW(LAYER "mlp.up_proj.bias",                GATE_UP_BIAS,   FFN_ROWS, FFN,     VECTOR, FFN,           IF(has_mlp_bias)),
    ROW(LAYER "mlp.down_proj.weight",            DOWN,           FFN_COLS, HIDDEN,  FFN,    TOP,           ALWAYS),
    ROW(LAYER "mlp.down_proj.bias",              DOWN_BIAS,      NONE,     HIDDEN,  VECTOR, TOP,           IF(has_mlp_bias)),
    ROW("model.norm.weight",                     FINAL_NORM,     NONE,     HIDDEN,  VECTOR, TOP,           ALWAYS),
    ROW("lm_head.weight",                        LM_HEAD,        VOCAB,    VOCAB,   HIDDEN, TOP,           UNLESS(tie_word_embeddings)),
};
// clang-format on

static const lf_ignored_name dense_ignored[] = {
    {"*.rotary_emb.inv_freq", "rotary_emb.inv_freq: computed from config.json", LF__ALWAYS},
    {"lm_head.weight",
     "lm_head.weight: tie_word_embeddings is true, so it counts only if it differs from the embedding",
     LF__IF(tie_word_embeddings)},
};

static const lf_config_defaults llama_defaults = {
    .vocab_size = 32000,
    .hidden_size = 4096,
    .intermediate_size = 11008,
    .num_hidden_layers = 32,
    .num_attention_heads = 32,
    .num_key_value_heads = -1,
    .head_dim = -1,
    .max_position_embeddings = 2048,
    .rms_norm_eps = 1e-6,
    .bos_token_id = 1,
    .eos_token_id = 2,
    .sliding_window = -1,
    .max_window_layers = -1,
    .reads_attention_bias = true,
    .reads_mlp_bias = true,
};

static const lf_config_defaults qwen2_defaults = {
    .vocab_size = 151936,
    .hidden_size = 4096,
    .intermediate_size = 22016,
    .num_hidden_layers = 32,
    .num_attention_heads = 32,
    .num_key_value_heads = 32,
    .head_dim = -1,
    .max_position_embeddings = 32768,
    .rms_norm_eps = 1e-6,
    .bos_token_id = -1,
    .eos_token_id = -1,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .has_qkv_bias = true,
};

static const lf_config_defaults qwen3_defaults = {
    .vocab_size = 151936,
    .hidden_size = 4096,
    .intermediate_size = 22016,
    .num_hidden_layers = 32,
    .num_attention_heads = 32,
    .num_key_value_heads = 32,
    .head_dim = 128,
    .max_position_embeddings = 32768,
    .rms_norm_eps = 1e-6,
    .bos_token_id = -1,
    .eos_token_id = -1,
    .sliding_window = 4096,
    .max_window_layers = 28,
    .reads_attention_bias = true,
    .has_qk_norm = true,
};

#define DENSE_TABLE                                                                                                    \
    .params = dense_params, .n_param = LF_ARRAY_LENGTH(dense_params), .ignored = dense_ignored,                        \
    .n_ignored = LF_ARRAY_LENGTH(dense_ignored)

const lf_arch lf__arch_llama = {
    .architecture = "LlamaForCausalLM", .model_type = "llama", .defaults = &llama_defaults, DENSE_TABLE};
const lf_arch lf__arch_qwen2 = {
    .architecture = "Qwen2ForCausalLM", .model_type = "qwen2", .defaults = &qwen2_defaults, DENSE_TABLE};
const lf_arch lf__arch_qwen3 = {
    .architecture = "Qwen3ForCausalLM", .model_type = "qwen3", .defaults = &qwen3_defaults, DENSE_TABLE};
