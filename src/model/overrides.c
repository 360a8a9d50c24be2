// SPDX-License-Identifier: Apache-2.0
//
// --hf-overrides: a JSON object laid over config.json before it is read, as vLLM does it. What is wrong with it is
// wrong usage and not a fault of the model, so a config that reads well without it and badly with it is LF_ERR_USAGE.
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

// Keys that an override may add to a config.json without them: what config*.c look at. Any key that config.json has may
// be overridden.
static const char *const known_keys[] = {
    "architectures",
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "use_qk_norm",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "layer_types",
    "bos_token_id",
    "eos_token_id",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "rotary_dim",
    "num_experts",
    "num_local_experts",
    "original_max_position_embeddings",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "norm_topk_prob",
    "decoder_sparse_step",
    "mlp_only_layers",
    "quantization_config",
    "q_lora_rank",
    "kv_lora_rank",
    "qk_nope_head_dim",
    "qk_rope_head_dim",
    "v_head_dim",
    "rope_interleave",
    "n_routed_experts",
    "n_shared_experts",
    "first_k_dense_replace",
    "n_group",
    "topk_group",
    "routed_scaling_factor",
    "moe_layer_freq",
    "topk_method",
    "scoring_func",
    "num_nextn_predict_layers",
};

// Lists with an entry for each layer, which follow num_hidden_layers when it is lowered.
static const char *const per_layer_lists[] = {"layer_types", "mlp_layer_types"};

lf_status lf_overrides_parse(json_t **out, const char *text, lf_error *err)
{
    *out = NULL;
    if (!text) return LF_OK;
    json_t *overrides = NULL;
    lf_status status = lf_json_parse(&overrides, text, strlen(text), "--hf-overrides", err);
    if (status == LF_ERR_FORMAT) return err->status = LF_ERR_USAGE;
    if (status) return status;
    if (!json_is_object(overrides)) {
        json_decref(overrides);
        lf_error_set(err, LF_ERR_USAGE, "--hf-overrides is not a JSON object");
        return lf_error_expected(err, "something like {\"num_hidden_layers\": 4}");
    }
    *out = overrides;
    return LF_OK;
}

static bool is_known(const char *key)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(known_keys); i++) {
        if (strcmp(known_keys[i], key) == 0) return true;
    }
    return false;
}

// A misspelt key would change nothing and say nothing.
static lf_status check_keys(const json_t *config, const json_t *overrides, lf_error *err)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)overrides, key, value)
    {
        if (is_known(key) || json_object_get(config, key)) continue;
        lf_error_set(err, LF_ERR_USAGE, "--hf-overrides: config.json has no \"%.100s\", and nothing would read it",
                     key);
        return lf_error_subject(err, "%s", key);
    }
    return LF_OK;
}

// Objects are merged member by member, everything else replaces what was there. false: memory is gone.
static bool merge(json_t *into, const json_t *overrides)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)overrides, key, value)
    {
        json_t *old = json_object_get(into, key);
        bool is_nested = json_is_object(old) && json_is_object(value);
        if (!(is_nested ? merge(old, value) : json_object_set(into, key, value) == 0)) return false;
    }
    return true;
}

static bool shorten_lists(json_t *config, const json_t *overrides, int64_t n_layer, int64_t n_new_layer)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(per_layer_lists); i++) {
        json_t *list = json_object_get(config, per_layer_lists[i]);
        if (json_object_get(overrides, per_layer_lists[i]) || json_array_size(list) != (size_t)n_layer) continue;
        for (int64_t k = n_layer; k > n_new_layer; k--) {
            if (json_array_remove(list, (size_t)k - 1) != 0) return false;
        }
    }
    return true;
}

static lf_status apply(json_t **out, const json_t *config, const json_t *overrides, lf_error *err)
{
    lf_status status = check_keys(config, overrides, err);
    if (status) return status;
    json_t *merged = lf_json_deep_copy(config);
    if (!merged) return lf_error_no_memory(err, 0);
    int64_t n_layer = 0, n_new_layer = 0;
    lf_error ignored; // a number of layers that is none is the parser's to refuse
    bool has_numbers = !lf_json_int(config, "num_hidden_layers", 1, LF_MAX_LAYERS, &n_layer, &ignored) &&
                       !lf_json_int(overrides, "num_hidden_layers", 1, LF_MAX_LAYERS, &n_new_layer, &ignored);
    bool ok = merge(merged, overrides);
    if (ok && has_numbers && n_new_layer > 0) ok = shorten_lists(merged, overrides, n_layer, n_new_layer);
    if (!ok) {
        json_decref(merged);
        return lf_error_no_memory(err, 0);
    }
    *out = merged;
    return LF_OK;
}

lf_status lf__config_parse_over(lf_config *config, json_t **json, const json_t *overrides, lf_error *err)
{
    if (!json_is_object(*json)) return lf_config_parse(config, *json, err);
    lf_config own;
    lf_error own_problem = {0};
    lf_status own_status = lf_config_parse(&own, *json, &own_problem);
    json_t *merged = NULL;
    lf_status status = apply(&merged, *json, overrides, err);
    if (status) return status;
    json_decref(*json);
    *json = merged;
    status = lf_config_parse(config, merged, err);
    if (status && !own_status && status != LF_ERR_NO_MEMORY) {
        lf_error_at(err, "--hf-overrides");
        return err->status = LF_ERR_USAGE;
    }
    if (!status && !own_status) {
        config->num_checkpoint_layers = own.num_hidden_layers;
        config->num_checkpoint_experts = own.num_experts;
    }
    return status;
}
