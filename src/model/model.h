// SPDX-License-Identifier: Apache-2.0
//
// What a model is: config.json as numbers, and one parameter table per architecture. The table is the pivot of the
// program: check, plan, dummy loading, real loading, memory estimates and the forward pass read it, and no tensor's
// name stands anywhere else.
#ifndef LF_MODEL_MODEL_H
#define LF_MODEL_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/finding.h"
#include "base/status.h"
#include "quant/quant.h"

typedef enum lf_rope_kind { LF_ROPE_DEFAULT, LF_ROPE_LINEAR, LF_ROPE_LLAMA3, LF_ROPE_YARN } lf_rope_kind;

// Rotary embedding: transformers modeling_rope_utils.py. Fields beyond `kind` hold what that kind uses.
typedef struct lf_rope {
    lf_rope_kind kind;
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor; // llama3
    double beta_fast, beta_slow;              // yarn
    double attention_factor;                  // yarn: multiplies cos and sin; computed when the config has none
    int64_t original_max_position_embeddings; // llama3, yarn
    bool truncate;                            // yarn: whole correction range (default true)
    int64_t rotary_dim;                       // even, <= head_dim
    double mscale_all_dim;                    // latent attention: also scales the scores; 0: not
    bool is_interleaved;                      // element 2 i turns with 2 i + 1, otherwise halves with each other
} lf_rope;

enum { LF_MAX_LAYERS = 1 << 12 };

typedef struct lf_config {
    char model_type[32];   // "qwen3"
    char architecture[64]; // "Qwen3ForCausalLM"
    int64_t hidden_size;
    int64_t intermediate_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads;
    int64_t num_key_value_heads; // 1 with latent attention: all heads read one latent
    int64_t head_dim;            // of a query; with latent attention qk_nope_head_dim + qk_rope_head_dim
    int64_t vocab_size;
    int64_t max_position_embeddings;
    double rms_norm_eps;
    lf_rope rope;
    bool tie_word_embeddings;
    bool has_qkv_bias; // Qwen2 always; Llama and Qwen3 by attention_bias
    bool has_o_bias;   // Llama and Qwen3 by attention_bias
    bool has_mlp_bias;
    bool has_qk_norm;         // per head (Qwen3)
    bool has_wide_qk_norm;    // over all heads together (MiniMax-M2)
    int64_t sliding_window;   // 0: full attention in every layer
    int64_t bos_token_id;     // -1: none
    int64_t eos_token_ids[8]; // of config.json and generation_config.json together
    size_t n_eos_token_id;

    // Latent attention (DeepSeek-V2 and later): keys and values of all heads come from one latent of a token by a
    // matrix per head. kv_lora_rank is 0 without. The cache holds the latent and one key part that rotates.
    int64_t q_lora_rank; // 0: queries come straight from the hidden state
    int64_t kv_lora_rank;
    int64_t qk_nope_head_dim, qk_rope_head_dim, v_head_dim;
    bool has_q_lora;

    // Mixture of experts; num_experts is 0 in dense models.
    int64_t num_experts;         // routed experts of a layer
    int64_t num_experts_per_tok; // chosen for a token
    int64_t moe_intermediate_size;
    int64_t shared_intermediate_size; // of the experts that every token takes, together; 0: none
    int64_t n_group, topk_group;      // 1, 1: no groups; else experts of the best topk_group of n_group groups compete
    double routed_scaling_factor;
    bool norm_topk_prob;    // chosen scores are divided by their sum
    bool routes_by_sigmoid; // scores are sigmoids, otherwise a softmax
    bool has_router_bias;   // added to the scores for choosing only
    bool has_shared_experts;
    uint64_t moe_layers[LF_MAX_LAYERS / 64]; // bit l: layer l has experts, others are dense

    // What config.json itself says: more layers than num_hidden_layers are in the checkpoint when overrides leave the
    // last ones out.
    int64_t num_checkpoint_layers, num_checkpoint_experts;
    int64_t num_mtp_layers; // layers for multi-token prediction after them, which are not run
} lf_config;

bool lf_config_layer_is_moe(const lf_config *config, int64_t layer);
// Why expert parallelism does not apply to a dense model, by the fields of config.json; returns dst.
const char *lf_config_dense_reason(const char *architecture, char *dst, size_t dst_bytes);

// What a parameter is for in the forward pass. One object on the device per slot and layer (and expert); several stored
// tensors may share it (q, k and v rows of one projection).
typedef enum lf_slot {
    LF_SLOT_EMBED,      // matrix [vocab_size, hidden_size], also LF_SLOT_LM_HEAD's when tied
    LF_SLOT_INPUT_NORM, // vector [hidden_size]
    LF_SLOT_QKV,      // matrix [(num_attention_heads + 2 num_key_value_heads) head_dim, hidden_size]: q rows, k rows, v
                      // rows; latent attention: q_lora_rank rows (or q rows), then kv_lora_rank + qk_rope_head_dim
    LF_SLOT_QKV_BIAS, // vector, rows of LF_SLOT_QKV
    LF_SLOT_Q_NORM,   // vector [head_dim], or [num_attention_heads head_dim] over all heads
    LF_SLOT_K_NORM,   // vector [head_dim], or [num_key_value_heads head_dim] over all heads
    LF_SLOT_Q_A_NORM, // vector [q_lora_rank]
    LF_SLOT_Q_B,      // matrix [num_attention_heads head_dim, q_lora_rank]
    LF_SLOT_KV_A_NORM,      // vector [kv_lora_rank]
    LF_SLOT_KV_B,           // per head [qk_nope_head_dim + v_head_dim, kv_lora_rank], row-major
    LF_SLOT_O,              // matrix [hidden_size, num_attention_heads head_dim (latent attention: v_head_dim)]
    LF_SLOT_O_BIAS,         // vector [hidden_size]
    LF_SLOT_POST_ATTN_NORM, // vector [hidden_size]
    LF_SLOT_GATE_UP,        // matrix [2 intermediate_size, hidden_size]: gate rows, then up rows
    LF_SLOT_GATE_UP_BIAS,   // vector
    LF_SLOT_DOWN,           // matrix [hidden_size, intermediate_size]
    LF_SLOT_DOWN_BIAS,      // vector [hidden_size]
    LF_SLOT_ROUTER,         // float32 table [num_experts, hidden_size]
    LF_SLOT_ROUTER_BIAS,    // vector [num_experts]
    LF_SLOT_SHARED_GATE_UP, // matrix [2 shared_intermediate_size, hidden_size]: gate rows, then up rows
    LF_SLOT_SHARED_DOWN,    // matrix [hidden_size, shared_intermediate_size]
    LF_SLOT_EXPERT_GATE_UP, // one matrix per expert [2 moe_intermediate_size, hidden_size]: gate rows, then up rows
    LF_SLOT_EXPERT_DOWN,    // one matrix per expert [hidden_size, moe_intermediate_size]
    LF_SLOT_FINAL_NORM,     // vector [hidden_size]
    LF_SLOT_LM_HEAD,        // matrix [vocab_size, hidden_size]
    LF_SLOT_COUNT,
} lf_slot;

const char *lf_slot_name(lf_slot slot);
bool lf_slot_is_f32(lf_slot slot); // kept as float32 numbers: vectors and the router; the others are bf16 matrices
bool lf_slot_is_row_major(lf_slot slot); // bf16 rows as they are stored, for products with a matrix per head
bool lf_slot_is_per_layer(lf_slot slot);
bool lf_slot_is_per_expert(lf_slot slot);

// The text of --hf-overrides as a JSON object (a new reference); NULL for no text. LF_ERR_USAGE when it is none.
lf_status lf_overrides_parse(json_t **out, const char *text, lf_error *err);

// Reads DIR/config.json (and generation_config.json for the end tokens) into *config and keeps the parsed JSON in *json
// (a new reference). LF_ERR_UNSUPPORTED names an architecture or a feature that Landfall does not run; wrong types,
// absent or absurd numbers are LF_ERR_FORMAT. `overrides` (NULL: none) is laid over config.json first: objects are
// merged member by member, other values replace; *json is the result. LF_ERR_USAGE when a config that reads well by
// itself does not read with them, or nothing would read one of their keys.
lf_status lf_config_load(lf_config *config, json_t **json, const char *dir, const json_t *overrides, lf_error *err);
lf_status lf_config_parse(lf_config *config, const json_t *json, lf_error *err);
// Architectures with a table: "LlamaForCausalLM, Qwen2ForCausalLM, ...". STATIC.
const char *lf_config_supported(void);

// What scores are multiplied with before the softmax.
double lf_config_softmax_scale(const lf_config *config);
// Elements that one KV head keeps of a token in each layer's cache: a key and a value, or a latent.
int64_t lf_config_cache_width(const lf_config *config);

// The longest context as vLLM derives it: max_position_embeddings, times factor for linear; for yarn the original
// length times factor. At least 1.
int64_t lf_config_max_model_len(const lf_config *config);

// How a parameter is cut for tensor parallelism (DESIGN section 4).
typedef enum lf_partition {
    LF_PARTITION_NONE,     // every rank holds it whole
    LF_PARTITION_Q_HEADS,  // rows by query heads
    LF_PARTITION_KV_HEADS, // rows by the KV heads that a rank's query heads need
    LF_PARTITION_O_HEADS,  // columns by query heads
    LF_PARTITION_FFN_ROWS, // rows in balanced ranges: intermediate_size, or an expert's own width
    LF_PARTITION_FFN_COLS, // columns in the same ranges
    LF_PARTITION_VOCAB,    // rows by vocab_size
} lf_partition;

// One parameter of one model: a row of the table with its expressions evaluated.
typedef struct lf_parameter {
    const char *name; // in lf_parameters.names: the tensor's name in the checkpoint
    lf_slot slot;
    int64_t layer;    // -1: not per layer
    int64_t expert;   // -1: not per expert
    uint8_t rank;     // 1 or 2
    int64_t shape[2]; // rank 1: shape[1] is 1
    int64_t slot_row; // first row of the slot's matrix that this parameter fills
    lf_partition partition;
} lf_parameter;

typedef struct lf_parameters {
    lf_parameter *items; // OWNED, in table order, layer by layer
    size_t count;
    char *names; // OWNED
} lf_parameters;

// The whole table of config->architecture, conditions applied.
lf_status lf_parameters_build(lf_parameters *out, const lf_config *config, lf_error *err);
void lf_parameters_fini(lf_parameters *parameters);
// Rows (and columns) of a slot's object for this config; 0 rows when no layer has the slot (a condition is false).
void lf_slot_shape(const lf_config *config, lf_slot slot, int64_t *n_row, int64_t *n_col);

// Names that a checkpoint of this architecture may hold without a use, with the reason ("rotary_emb.inv_freq: computed
// from config"); NULL when the name is not one of them. STATIC text.
const char *lf_config_ignored_reason(const lf_config *config, const char *name);
// Whether the tensor is of a layer for multi-token prediction: one of num_mtp_layers after the last.
bool lf_config_is_mtp(const lf_config *config, const char *name);
// Whether overrides leave the tensor out: it is a parameter of a layer past num_hidden_layers that the checkpoint has.
bool lf_config_skips(const lf_config *config, const char *name);

// Compares logical tensors with the table: missing, unexpected, wrong shape, wrong dtype; all of them as findings.
void lf_model_check(const lf_parameters *parameters, const lf_config *config, const lf_quant *quant,
                    lf_findings *findings);

#endif
