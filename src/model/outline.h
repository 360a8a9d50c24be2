// SPDX-License-Identifier: Apache-2.0
//
// An outline of any model: what config.json says about sizes and features, read leniently, and what a tensor is by its
// name. It serves check, inspect and plan where an architecture has no parameter table, and it answers questions about
// other engines; nothing that loads or runs a model may use it.
#ifndef LF_MODEL_OUTLINE_H
#define LF_MODEL_OUTLINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/model.h"

// Numbers are 0 where config.json says nothing (or nonsense); every number is within the limits that lf_config_parse
// sets, so that products of two of them fit.
typedef struct lf_outline {
    char architecture[64]; // "" when config.json names none
    char model_type[32];
    int64_t hidden_size, num_hidden_layers, vocab_size, max_position_embeddings, sliding_window;
    int64_t num_checkpoint_layers; // more than num_hidden_layers when overrides leave layers out; 0: the same
    int64_t num_attention_heads, num_key_value_heads, head_dim;
    int64_t intermediate_size;                // of dense layers
    int64_t num_experts, num_experts_per_tok; // routed experts of a layer; 0: a dense model
    int64_t moe_intermediate_size;            // of one routed expert
    int64_t shared_intermediate_size;         // of the shared experts together
    int64_t kv_lora_rank, qk_rope_head_dim;   // multi-head latent attention: one latent vector per token is cached
    int64_t qk_nope_head_dim, v_head_dim;
    int64_t block_rows, block_cols; // of block-quantized weights: weight_block_size; 0 when there is none
    int64_t num_mtp_layers;         // layers for multi-token prediction that config.json promises
    double rope_theta, rope_factor;
    char rope_type[24]; // "" when positions are not scaled
    bool tie_word_embeddings;
    bool has_dense_layers; // some layers have a feed-forward part without experts
    bool has_vision, has_audio;
    bool has_linear_attention; // some layers keep a state instead of keys and values
} lf_outline;

// Reads the outline from a parsed config.json (NULL: all zero). `config` is the same file read strictly, NULL when its
// architecture has no table; it decides where both speak.
void lf_outline_read(lf_outline *out, const json_t *json, const lf_config *config);

// Whether heads can be handed out: both counts are known and the groups are even.
bool lf_outline_has_heads(const lf_outline *outline);
// The outline's numbers as the fields of lf_config that plans are made of; heads must be there.
lf_config lf_outline_dims(const lf_outline *outline);
// Bytes of keys and values (bf16) that a token takes in all layers on one rank with `n_kv_head` heads; a latent is
// whole on every rank. An upper bound for hybrid models.
uint64_t lf_outline_kv_bytes(const lf_outline *outline, int64_t n_kv_head);

// The part of a model that a tensor belongs to.
typedef enum lf_part {
    LF_PART_EMBEDDING,
    LF_PART_ATTENTION,
    LF_PART_MLP,     // dense feed-forward layers and shared experts
    LF_PART_EXPERTS, // routed experts and their router
    LF_PART_NORM,
    LF_PART_HEAD,
    LF_PART_MTP,
    LF_PART_VISION, // vision and audio towers, projectors
    LF_PART_OTHER,
    LF_PART_COUNT,
} lf_part;

const char *lf_part_name(lf_part part); // "embedding" ...

// What a tensor is by its name and shape, in the naming of the transformers library and of DeepSeek's own code.
typedef struct lf_role {
    lf_part part;
    lf_partition partition; // how tensor parallelism cuts it; LF_PARTITION_NONE when it is whole or not known
    int64_t unit;           // rows or columns of one head, otherwise 1
    bool is_expert;         // of a routed expert: its FFN is as wide as moe_intermediate_size
    bool is_head_norm;      // a norm over one head, which every rank holds whole
} lf_role;

// `name` is a logical tensor's: a weight, bias or norm, no scale. `shape` is its matrix form; a vector has n_col 1.
lf_role lf_role_of(const lf_outline *outline, const char *name, int64_t n_row, int64_t n_col);

// Whether a tensor is of a layer for multi-token prediction: named so, or past the last layer.
bool lf_name_is_mtp(const lf_outline *outline, const char *name);

// The number in "...layers.<n>..." that counts decoder layers, -1 when the name has none.
int64_t lf_layer_of(const char *name);

#endif
