// SPDX-License-Identifier: Apache-2.0
//
// The dense decoder family: Llama, Qwen2 and Qwen3 are one table whose conditions say which biases and norms a class
// has. To be read beside transformers' models/llama/modeling_llama.py, models/qwen2/modeling_qwen2.py and
// models/qwen3/modeling_qwen3.py; the defaults beside their configuration_*.py. This file is the one place where
// tensors have names.
#include "base/mem.h"
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

// clang-format off
static const lf_param dense_params[] = {
    // name                                     slot                     partition              rows     columns first slot row condition
    {"model.embed_tokens.weight",               LF_SLOT_EMBED,           LF_PARTITION_VOCAB,    VOCAB,   HIDDEN, TOP,           LF__ALWAYS},
    {LAYER "input_layernorm.weight",            LF_SLOT_INPUT_NORM,      LF_PARTITION_NONE,     HIDDEN,  VECTOR, TOP,           LF__ALWAYS},
    {LAYER "self_attn.q_proj.weight",           LF_SLOT_QKV,             LF_PARTITION_Q_HEADS,  Q_ROWS,  HIDDEN, TOP,           LF__ALWAYS},
    {LAYER "self_attn.k_proj.weight",           LF_SLOT_QKV,             LF_PARTITION_KV_HEADS, KV_ROWS, HIDDEN, Q_ROWS,        LF__ALWAYS},
    {LAYER "self_attn.v_proj.weight",           LF_SLOT_QKV,             LF_PARTITION_KV_HEADS, KV_ROWS, HIDDEN, Q_AND_KV_ROWS, LF__ALWAYS},
    {LAYER "self_attn.q_proj.bias",             LF_SLOT_QKV_BIAS,        LF_PARTITION_Q_HEADS,  Q_ROWS,  VECTOR, TOP,           LF__IF(has_qkv_bias)},
    {LAYER "self_attn.k_proj.bias",             LF_SLOT_QKV_BIAS,        LF_PARTITION_KV_HEADS, KV_ROWS, VECTOR, Q_ROWS,        LF__IF(has_qkv_bias)},
    {LAYER "self_attn.v_proj.bias",             LF_SLOT_QKV_BIAS,        LF_PARTITION_KV_HEADS, KV_ROWS, VECTOR, Q_AND_KV_ROWS, LF__IF(has_qkv_bias)},
    {LAYER "self_attn.q_norm.weight",           LF_SLOT_Q_NORM,          LF_PARTITION_NONE,     HEAD,    VECTOR, TOP,           LF__IF(has_qk_norm)},
    {LAYER "self_attn.k_norm.weight",           LF_SLOT_K_NORM,          LF_PARTITION_NONE,     HEAD,    VECTOR, TOP,           LF__IF(has_qk_norm)},
    {LAYER "self_attn.o_proj.weight",           LF_SLOT_O,               LF_PARTITION_O_HEADS,  HIDDEN,  Q_ROWS, TOP,           LF__ALWAYS},
    {LAYER "self_attn.o_proj.bias",             LF_SLOT_O_BIAS,          LF_PARTITION_NONE,     HIDDEN,  VECTOR, TOP,           LF__IF(has_o_bias)},
    {LAYER "post_attention_layernorm.weight",   LF_SLOT_POST_ATTN_NORM,  LF_PARTITION_NONE,     HIDDEN,  VECTOR, TOP,           LF__ALWAYS},
    {LAYER "mlp.gate_proj.weight",              LF_SLOT_GATE_UP,         LF_PARTITION_FFN_ROWS, FFN,     HIDDEN, TOP,           LF__ALWAYS},
    {LAYER "mlp.up_proj.weight",                LF_SLOT_GATE_UP,         LF_PARTITION_FFN_ROWS, FFN,     HIDDEN, FFN,           LF__ALWAYS},
    {LAYER "mlp.gate_proj.bias",                LF_SLOT_GATE_UP_BIAS,    LF_PARTITION_FFN_ROWS, FFN,     VECTOR, TOP,           LF__IF(has_mlp_bias)},
    {LAYER "mlp.up_proj.bias",                  LF_SLOT_GATE_UP_BIAS,    LF_PARTITION_FFN_ROWS, FFN,     VECTOR, FFN,           LF__IF(has_mlp_bias)},
    {LAYER "mlp.down_proj.weight",              LF_SLOT_DOWN,            LF_PARTITION_FFN_COLS, HIDDEN,  FFN,    TOP,           LF__ALWAYS},
    {LAYER "mlp.down_proj.bias",                LF_SLOT_DOWN_BIAS,       LF_PARTITION_NONE,     HIDDEN,  VECTOR, TOP,           LF__IF(has_mlp_bias)},
    {"model.norm.weight",                       LF_SLOT_FINAL_NORM,      LF_PARTITION_NONE,     HIDDEN,  VECTOR, TOP,           LF__ALWAYS},
    {"lm_head.weight",                          LF_SLOT_LM_HEAD,         LF_PARTITION_VOCAB,    VOCAB,   HIDDEN, TOP,           LF__UNLESS(tie_word_embeddings)},
};
// clang-format on

static const lf_ignored_name dense_ignored[] = {
    {"*.rotary_emb.inv_freq", "rotary_emb.inv_freq: computed from config.json", LF__ALWAYS},
    {"lm_head.weight", "lm_head.weight: tie_word_embeddings is true, the embedding stands for it",
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

static const lf_arch llama = {
    .architecture = "LlamaForCausalLM", .model_type = "llama", .defaults = &llama_defaults, DENSE_TABLE};
static const lf_arch qwen2 = {
    .architecture = "Qwen2ForCausalLM", .model_type = "qwen2", .defaults = &qwen2_defaults, DENSE_TABLE};
static const lf_arch qwen3 = {
    .architecture = "Qwen3ForCausalLM", .model_type = "qwen3", .defaults = &qwen3_defaults, DENSE_TABLE};

const lf_arch *const lf__archs[] = {&llama, &qwen2, &qwen3};
const size_t lf__n_arch = LF_ARRAY_LENGTH(lf__archs);
