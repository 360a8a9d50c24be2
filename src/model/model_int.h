// SPDX-License-Identifier: Apache-2.0
//
// The form of a parameter table, for the files of this module: an architecture is a list of rows and a handful of
// defaults, all `static const`. Expressions name fields of lf_config, so that a misspelt dimension does not compile.
#ifndef LF_MODEL_MODEL_INT_H
#define LF_MODEL_MODEL_INT_H

#include "model/model.h"
#include "model/outline.h"

// A sum of up to two products of two config fields each. A field is its offset in lf_config; 0 (no int64_t field stands
// there) is the factor one, and a term without fields is absent. The empty expression is 0.
typedef struct lf_expr {
    struct {
        uint16_t a, b;
    } terms[2];
} lf_expr;

#define LF__FIELD(name) ((uint16_t)offsetof(lf_config, name))
#define LF__ZERO                                                                                                       \
    {                                                                                                                  \
        .terms = { {0, 0} }                                                                                            \
    }
#define LF__DIM(name)                                                                                                  \
    {                                                                                                                  \
        .terms = { {LF__FIELD(name), 0} }                                                                              \
    }
#define LF__PRODUCT(x, y)                                                                                              \
    {                                                                                                                  \
        .terms = { {LF__FIELD(x), LF__FIELD(y)} }                                                                      \
    }
#define LF__SUM_OF_PRODUCTS(x0, y0, x1, y1)                                                                            \
    {                                                                                                                  \
        .terms = { {LF__FIELD(x0), LF__FIELD(y0)}, {LF__FIELD(x1), LF__FIELD(y1)} }                                    \
    }

#define LF__SUM(x, y)                                                                                                  \
    {                                                                                                                  \
        .terms = { {LF__FIELD(x), 0}, {LF__FIELD(y), 0} }                                                              \
    }

// A row exists when the boolean field `flag` of lf_config (0: none) differs from `negated`, in layers of this kind.
typedef enum lf_layers { LF_ALL_LAYERS, LF_DENSE_LAYERS, LF_MOE_LAYERS } lf_layers;
typedef struct lf_condition {
    uint16_t flag;
    bool negated;
    uint8_t layers; // lf_layers
} lf_condition;

#define LF__ALWAYS                                                                                                     \
    {                                                                                                                  \
        0                                                                                                              \
    }
#define LF__IF(name)                                                                                                   \
    {                                                                                                                  \
        LF__FIELD(name), false, LF_ALL_LAYERS                                                                          \
    }
#define LF__UNLESS(name)                                                                                               \
    {                                                                                                                  \
        LF__FIELD(name), true, LF_ALL_LAYERS                                                                           \
    }
#define LF__LAYERS(layers)                                                                                             \
    {                                                                                                                  \
        0, false, layers                                                                                               \
    }
#define LF__LAYERS_IF(layers, name)                                                                                    \
    {                                                                                                                  \
        LF__FIELD(name), false, layers                                                                                 \
    }

// One row of a table. "{layer}" in the pattern makes it a row per layer; such rows stand together. "{expert}" makes it
// a row per expert; such rows stand together within a layer. A column expression of LF__ZERO makes a vector.
typedef struct lf_param {
    const char *pattern;
    lf_slot slot;
    lf_partition partition;
    lf_expr n_row, n_col;
    lf_expr slot_row;
    lf_condition condition;
} lf_param;

// A name that may be stored without a use: `pattern` is a whole name, or with a leading '*' its end.
typedef struct lf_ignored_name {
    const char *pattern;
    const char *reason;
    lf_condition condition;
} lf_ignored_name;

// How a class spells and means its experts.
typedef struct lf_moe_keys {
    const char *num_experts[2];        // key of config.json, and what it may be called instead
    const char *moe_intermediate_size; // key
    int64_t num_experts_default, num_experts_per_tok_default, moe_intermediate_size_default;
    bool norm_topk_prob, reads_norm_topk_prob; // what holds without the key; whether the class looks at it
    bool routes_by_sigmoid;
    bool has_router_bias;
    bool reads_sparse_step;        // decoder_sparse_step and mlp_only_layers make layers dense
    int64_t first_k_dense_replace; // so many first layers are dense; this and the next: 0: the class has no such key
    int64_t n_group, topk_group;
    int64_t n_shared_experts;
    double routed_scaling_factor;
} lf_moe_keys;

// Latent attention where a key is absent.
typedef struct lf_latent_keys {
    int64_t q_lora_rank, kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
    bool rope_interleave;
} lf_latent_keys;

// What config.json means where a key is absent. -1: the default is another field's value (see config.c).
typedef struct lf_config_defaults {
    int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads;
    int64_t num_key_value_heads; // -1: num_attention_heads, which null means in every class
    int64_t head_dim;            // -1: hidden_size / num_attention_heads, which null means in every class
    int64_t max_position_embeddings;
    double rms_norm_eps;
    int64_t bos_token_id, eos_token_id;        // -1: none
    int64_t sliding_window, max_window_layers; // -1: the class knows no such key
    bool reads_attention_bias, reads_mlp_bias; // whether the class looks at attention_bias, mlp_bias
    bool has_qkv_bias;                         // always, whatever attention_bias says
    bool has_qk_norm, has_wide_qk_norm;
    double rope_theta;                // 0: 10000
    int64_t num_nextn_predict_layers; // 0: the class has no such key
    const lf_moe_keys *moe;           // NULL: the class has no experts
    const lf_latent_keys *latent;     // NULL: every head has keys and values of its own, or of its group
} lf_config_defaults;

typedef struct lf_arch {
    const char *architecture; // "Qwen3ForCausalLM"
    const char *model_type;   // "qwen3"
    const lf_config_defaults *defaults;
    const lf_param *params;
    size_t n_param;
    const lf_ignored_name *ignored;
    size_t n_ignored;
    const char *mtp_prefix; // "model.layers.{layer}.": how names of layers after the last begin; NULL: there are none
    const char *mtp_reason; // why these are ignored
} lf_arch;

extern const lf_arch lf__arch_llama, lf__arch_qwen2, lf__arch_qwen3, lf__arch_qwen3_moe, lf__arch_minimax_m2;
extern const lf_arch lf__arch_deepseek_v3;
extern const lf_arch *const lf__archs[];
extern const size_t lf__n_arch;

// NULL when there is none.
const lf_arch *lf__arch_find(const char *architecture);

int64_t lf__expr_eval(const lf_expr *expr, const lf_config *config);
// layer -1: whether it holds anywhere.
bool lf__condition_holds(const lf_condition *condition, const lf_config *config, int64_t layer);

// lf_config_parse() over *json with `overrides` laid over it; *json becomes the result.
lf_status lf__config_parse_over(lf_config *config, json_t **json, const json_t *overrides, lf_error *err);

// Fills the fields of latent attention, and head_dim and num_key_value_heads, which follow from them.
lf_status lf__config_read_latent(lf_config *config, const lf_latent_keys *keys, const json_t *json, lf_error *err);

// Fills config->rope from rope_parameters, rope_scaling, rope_theta, partial_rotary_factor, rotary_dim and
// rope_interleave; the dimensions of `config` are already read.
lf_status lf__config_read_rope(lf_config *config, const lf_config_defaults *defaults, const json_t *json,
                               lf_error *err);

// Fills the expert fields of `config`; its dimensions are already read.
lf_status lf__config_read_moe(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err);

// Layers and experts that are not there, of a model without a parameter table: layer-missing, expert-incomplete.
void lf__census(const lf_outline *outline, const lf_quant *quant, lf_findings *findings);

#endif
