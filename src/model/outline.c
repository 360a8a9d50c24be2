// SPDX-License-Identifier: Apache-2.0
//
// config.json read leniently: each quantity has several names in the wild, and a key of a wrong type counts as absent.
#include "model/outline.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_KEYS = 5 };

static const int64_t max_number = (int64_t)1 << 28, max_heads = 1 << 14, max_head_dim = 1 << 12, max_layers = 1 << 12;

// The first of the keys that holds a number of [1, limit]; 0 when none does.
static int64_t read_number(const json_t *json, const char *const keys[MAX_KEYS], int64_t limit)
{
    for (size_t i = 0; i < MAX_KEYS && keys[i]; i++) {
        const json_t *value = json_object_get(json, keys[i]);
        if (!json_is_integer(value)) continue;
        int64_t number = json_integer_value(value);
        if (number > 0 && number <= limit) return number;
    }
    return 0;
}

static void read_numbers(lf_outline *out, const json_t *json)
{
    const struct {
        int64_t *value;
        const char *keys[MAX_KEYS];
        int64_t limit;
    } numbers[] = {
        {&out->hidden_size, {"hidden_size", "n_embd", "d_model", "dim"}, max_number},
        {&out->num_hidden_layers, {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}, max_layers},
        {&out->vocab_size, {"vocab_size"}, max_number},
        {&out->max_position_embeddings,
         {"max_position_embeddings", "max_seq_len", "n_positions", "max_sequence_length"},
         max_number},
        {&out->sliding_window, {"sliding_window", "sliding_window_size"}, max_number},
        {&out->num_attention_heads, {"num_attention_heads", "n_head", "n_heads"}, max_heads},
        {&out->num_key_value_heads, {"num_key_value_heads", "num_kv_heads", "n_kv_heads"}, max_heads},
        {&out->head_dim, {"head_dim", "v_head_dim"}, max_head_dim},
        {&out->intermediate_size, {"intermediate_size", "ffn_hidden_size", "hidden_dim"}, max_number},
        {&out->num_experts, {"n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"}, max_heads},
        {&out->num_experts_per_tok,
         {"num_experts_per_tok", "num_experts_per_token", "moe_topk", "top_k_experts"},
         max_number},
        {&out->moe_intermediate_size,
         {"moe_intermediate_size", "moe_ffn_hidden_size", "expert_intermediate_size"},
         max_number},
        {&out->shared_intermediate_size, {"shared_expert_intermediate_size", "shared_intermediate_size"}, max_number},
        {&out->kv_lora_rank, {"kv_lora_rank"}, max_head_dim * 16},
        {&out->qk_rope_head_dim, {"qk_rope_head_dim"}, max_head_dim},
        {&out->qk_nope_head_dim, {"qk_nope_head_dim"}, max_head_dim},
        {&out->v_head_dim, {"v_head_dim"}, max_head_dim},
        {&out->num_mtp_layers,
         {"num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp_layers"},
         max_number},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(numbers); i++)
        *numbers[i].value = read_number(json, numbers[i].keys, numbers[i].limit);
}

// What follows from other numbers when a key is absent.
static void derive(lf_outline *out, const json_t *json)
{
    static const char *const shared_keys[MAX_KEYS] = {"n_shared_experts", "num_shared_experts"};
    if (!out->num_key_value_heads) out->num_key_value_heads = out->num_attention_heads;
    if (!out->head_dim && out->num_attention_heads) out->head_dim = out->hidden_size / out->num_attention_heads;
    if (out->head_dim > max_head_dim) out->head_dim = 0;
    if (out->num_experts && !out->moe_intermediate_size) out->moe_intermediate_size = out->intermediate_size;
    int64_t n_shared = read_number(json, shared_keys, 1024);
    if (!out->shared_intermediate_size) out->shared_intermediate_size = n_shared * out->moe_intermediate_size;
}

// Every layer has experts unless a key says otherwise.
static bool has_dense_layers(const lf_outline *out, const json_t *json)
{
    static const char *const counts[MAX_KEYS] = {"first_k_dense_replace", "moe_layer_start_index"};
    static const char *const steps[MAX_KEYS] = {"decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step"};
    if (out->num_experts == 0 || read_number(json, counts, max_layers) > 0 || read_number(json, steps, max_layers) > 1)
        return true;
    return json_array_size(json_object_get(json, "mlp_only_layers")) > 0;
}

static void read_block(lf_outline *out, const json_t *json)
{
    const json_t *quantization = json_object_get(json, "quantization_config");
    const json_t *block = json_object_get(quantization, "weight_block_size");
    int64_t rows = json_integer_value(json_array_get(block, 0)), cols = json_integer_value(json_array_get(block, 1));
    if (rows < 1 || cols < 1 || rows > max_number || cols > max_number) return;
    out->block_rows = rows;
    out->block_cols = cols;
}

static void copy_string(char *dst, size_t dst_bytes, const json_t *value)
{
    const char *text = json_string_value(value);
    if (text) snprintf(dst, dst_bytes, "%s", text);
}

static void read_rope(lf_outline *out, const json_t *json)
{
    const json_t *rope = json_object_get(json, "rope_scaling");
    if (!json_is_object(rope)) rope = json_object_get(json, "rope_parameters");
    const json_t *theta = json_object_get(json, "rope_theta");
    out->rope_theta = json_number_value(theta ? theta : json_object_get(rope, "rope_theta"));
    const json_t *type = json_object_get(rope, "rope_type");
    copy_string(out->rope_type, sizeof out->rope_type, type ? type : json_object_get(rope, "type"));
    if (strcmp(out->rope_type, "default") == 0) out->rope_type[0] = '\0';
    out->rope_factor = json_number_value(json_object_get(rope, "factor"));
}

static bool has_linear_layers(const json_t *json)
{
    const json_t *types = json_object_get(json, "layer_types");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type && strcmp(type, "linear_attention") == 0) return true;
    }
    return json_is_integer(json_object_get(json, "linear_num_key_heads"));
}

static void take_config(lf_outline *out, const lf_config *config)
{
    snprintf(out->architecture, sizeof out->architecture, "%s", config->architecture);
    out->hidden_size = config->hidden_size;
    out->num_hidden_layers = config->num_hidden_layers;
    out->num_checkpoint_layers = config->num_checkpoint_layers;
    out->vocab_size = config->vocab_size;
    out->max_position_embeddings = config->max_position_embeddings;
    out->sliding_window = config->sliding_window;
    out->num_attention_heads = config->num_attention_heads;
    out->num_key_value_heads = config->num_key_value_heads;
    out->head_dim = config->head_dim;
    out->intermediate_size = config->intermediate_size;
    out->tie_word_embeddings = config->tie_word_embeddings;
}

void lf_outline_read(lf_outline *out, const json_t *json, const lf_config *config)
{
    *out = (lf_outline){0};
    const json_t *text = json_object_get(json, "text_config"), *numbers = json_is_object(text) ? text : json;
    copy_string(out->architecture, sizeof out->architecture, json_array_get(json_object_get(json, "architectures"), 0));
    copy_string(out->model_type, sizeof out->model_type, json_object_get(json, "model_type"));
    read_numbers(out, numbers);
    derive(out, numbers);
    out->has_dense_layers = has_dense_layers(out, numbers);
    read_block(out, json_is_object(json_object_get(json, "quantization_config")) ? json : numbers);
    read_rope(out, numbers);
    out->tie_word_embeddings = json_is_true(json_object_get(numbers, "tie_word_embeddings"));
    out->has_vision = json_is_object(json_object_get(json, "vision_config"));
    out->has_audio = json_is_object(json_object_get(json, "audio_config"));
    out->has_linear_attention = has_linear_layers(numbers);
    if (config) take_config(out, config);
}

bool lf_outline_has_heads(const lf_outline *outline)
{
    return outline->num_attention_heads > 0 && outline->num_key_value_heads > 0 &&
           outline->num_attention_heads % outline->num_key_value_heads == 0;
}

lf_config lf_outline_dims(const lf_outline *outline)
{
    lf_config dims = {
        .hidden_size = outline->hidden_size,
        .intermediate_size = outline->intermediate_size,
        .num_hidden_layers = outline->num_hidden_layers,
        .num_attention_heads = outline->num_attention_heads,
        .num_key_value_heads = outline->num_key_value_heads,
        .head_dim = outline->head_dim,
        .vocab_size = outline->vocab_size,
        .max_position_embeddings = outline->max_position_embeddings,
    };
    return dims;
}

uint64_t lf_outline_kv_bytes(const lf_outline *outline, int64_t n_kv_head)
{
    const uint64_t bf16_bytes = 2;
    uint64_t width = outline->kv_lora_rank ? (uint64_t)outline->kv_lora_rank + (uint64_t)outline->qk_rope_head_dim
                                           : 2 * (uint64_t)n_kv_head * (uint64_t)outline->head_dim;
    size_t bytes;
    bool fits = lf_mul_size((size_t)width, (size_t)outline->num_hidden_layers * bf16_bytes, &bytes);
    return fits ? bytes : UINT64_MAX;
}
