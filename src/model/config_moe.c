// SPDX-License-Identifier: Apache-2.0
//
// The experts' section of config.json: how many, how wide, how a token chooses, and which layers have them. Rules of
// transformers' configuration and modeling files of the classes (see arch_moe.c, arch_deepseek.c).
#include <string.h>

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

static const int64_t max_experts = 1 << 12, max_width = 1 << 22;
static const int64_t max_experts_of_all_layers = 1 << 18; // a table has rows for each

static lf_status refuse(lf_error *err, const char *key, int64_t found, int64_t limit, const char *what)
{
    lf_error_set(err, LF_ERR_FORMAT, "%s", what);
    lf_error_subject(err, "%s", key);
    lf_error_expected(err, "at most %lld", (long long)limit);
    return lf_error_found(err, "%lld", (long long)found);
}

static void mark_moe(lf_config *config, int64_t layer, bool is_moe)
{
    uint64_t bit = (uint64_t)1 << layer % 64;
    config->moe_layers[layer / 64] =
        is_moe ? config->moe_layers[layer / 64] | bit : config->moe_layers[layer / 64] & ~bit;
}

// Layers (l + 1) % decoder_sparse_step == 0 have experts, unless mlp_only_layers names them.
static lf_status read_sparse_layers(lf_config *config, const json_t *json, lf_error *err)
{
    int64_t step = 1;
    lf_status status = lf_json_int(json, "decoder_sparse_step", 1, LF_MAX_LAYERS, &step, err);
    if (status) return status;
    for (int64_t layer = 0; layer < config->num_hidden_layers; layer++) {
        mark_moe(config, layer, (layer + 1) % step == 0);
    }
    const json_t *list = json_object_get(json, "mlp_only_layers"), *item;
    if (!list || json_is_null(list)) return LF_OK;
    bool is_good = json_is_array(list);
    size_t i;
    json_array_foreach(list, i, item)
    {
        json_int_t layer = json_integer_value(item);
        is_good = is_good && json_is_integer(item) && layer >= 0;
        if (is_good && layer < config->num_hidden_layers) mark_moe(config, layer, false);
    }
    if (is_good) return LF_OK;
    lf_error_set(err, LF_ERR_FORMAT, "\"mlp_only_layers\" is not a list of layer numbers");
    return lf_error_subject(err, "mlp_only_layers");
}

static lf_status read_counts(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err)
{
    const char *count_key = keys->num_experts[0];
    const json_t *count = json_object_get(json, count_key);
    if ((!count || json_is_null(count)) && keys->num_experts[1]) count_key = keys->num_experts[1];
    config->num_experts = keys->num_experts_default;
    config->num_experts_per_tok = keys->num_experts_per_tok_default;
    config->moe_intermediate_size = keys->moe_intermediate_size_default;
    lf_status status = lf_json_int(json, count_key, 1, max_experts, &config->num_experts, err);
    if (!status) {
        status = lf_json_int(json, "num_experts_per_tok", 1, max_experts, &config->num_experts_per_tok, err);
    }
    if (!status) {
        status = lf_json_int(json, keys->moe_intermediate_size, 1, max_width, &config->moe_intermediate_size, err);
    }
    if (status) return status;
    if (config->num_experts * config->num_hidden_layers > max_experts_of_all_layers) {
        return refuse(err, count_key, config->num_experts * config->num_hidden_layers, max_experts_of_all_layers,
                      "the layers together have too many experts");
    }
    if (config->num_experts_per_tok > config->num_experts) {
        return refuse(err, "num_experts_per_tok", config->num_experts_per_tok, config->num_experts,
                      "a token cannot choose more experts than there are");
    }
    return LF_OK;
}

// Groups of experts, and how many of them a token's experts may come from.
static lf_status read_groups(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err)
{
    if (!keys->n_group) return LF_OK;
    config->n_group = keys->n_group;
    config->topk_group = keys->topk_group;
    lf_status status = lf_json_int(json, "n_group", 1, max_experts, &config->n_group, err);
    if (!status) status = lf_json_int(json, "topk_group", 1, max_experts, &config->topk_group, err);
    if (status) return status;
    if (config->num_experts % config->n_group != 0) {
        return refuse(err, "n_group", config->n_group, config->num_experts,
                      "the experts are not divisible into groups");
    }
    if (config->topk_group > config->n_group) {
        return refuse(err, "topk_group", config->topk_group, config->n_group,
                      "a token cannot choose from more groups than there are");
    }
    int64_t most = config->topk_group * (config->num_experts / config->n_group);
    if (config->num_experts_per_tok <= most) return LF_OK;
    return refuse(err, "num_experts_per_tok", config->num_experts_per_tok, most,
                  "a token cannot choose more experts than its groups have");
}

static lf_status read_shared(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err)
{
    int64_t n_shared = keys->n_shared_experts;
    if (!n_shared) return LF_OK;
    if (json_is_null(json_object_get(json, "n_shared_experts"))) n_shared = 0;
    lf_status status = lf_json_int(json, "n_shared_experts", 0, max_experts, &n_shared, err);
    if (status) return status;
    config->shared_intermediate_size = n_shared * config->moe_intermediate_size;
    config->has_shared_experts = n_shared > 0;
    if (config->shared_intermediate_size <= max_width) return LF_OK;
    return refuse(err, "n_shared_experts", config->shared_intermediate_size, max_width,
                  "the shared experts together are too wide");
}

// Of several ways that a key names, one is built.
static lf_status require_text(const json_t *json, const char *key, const char *expected, lf_error *err)
{
    const char *found = expected;
    lf_status status = lf_json_string(json, key, &found, err);
    if (status || strcmp(found, expected) == 0) return status;
    lf_error_set(err, LF_ERR_UNSUPPORTED, "this way of choosing experts is not supported");
    lf_error_subject(err, "%s", key);
    lf_error_expected(err, "\"%s\"", expected);
    return lf_error_found(err, "\"%s\"", found);
}

// Grouped routing, shared experts and dense first layers of DeepSeek-V3.
static lf_status read_deepseek(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err)
{
    int64_t first = keys->first_k_dense_replace, freq = 1;
    if (!first) return LF_OK;
    lf_status status = read_groups(config, keys, json, err);
    if (!status) status = read_shared(config, keys, json, err);
    config->routed_scaling_factor = keys->routed_scaling_factor;
    if (!status) status = lf_json_real(json, "routed_scaling_factor", 1e-6, 1e6, &config->routed_scaling_factor, err);
    if (!status) status = require_text(json, "topk_method", "noaux_tc", err);
    if (!status) status = require_text(json, "scoring_func", "sigmoid", err);
    if (!status) status = lf_json_int(json, "moe_layer_freq", 1, 1, &freq, err);
    if (!status) status = lf_json_int(json, "first_k_dense_replace", 0, LF_MAX_LAYERS, &first, err);
    for (int64_t layer = 0; !status && layer < LF_MIN(first, config->num_hidden_layers); layer++) {
        mark_moe(config, layer, false);
    }
    return status;
}

lf_status lf__config_read_moe(lf_config *config, const lf_moe_keys *keys, const json_t *json, lf_error *err)
{
    config->n_group = config->topk_group = 1;
    config->routed_scaling_factor = 1;
    if (!keys) return LF_OK;
    lf_status status = read_counts(config, keys, json, err);
    config->norm_topk_prob = keys->norm_topk_prob;
    config->routes_by_sigmoid = keys->routes_by_sigmoid;
    config->has_router_bias = keys->has_router_bias;
    if (!status && keys->reads_norm_topk_prob) {
        status = lf_json_bool(json, "norm_topk_prob", &config->norm_topk_prob, err);
    }
    if (status) return status;
    if (keys->reads_sparse_step) return read_sparse_layers(config, json, err);
    for (int64_t layer = 0; layer < config->num_hidden_layers; layer++) mark_moe(config, layer, true);
    return read_deepseek(config, keys, json, err);
}

const char *lf_config_dense_reason(const char *architecture, char *dst, size_t dst_bytes)
{
    snprintf(dst, dst_bytes,
             "not applicable to a dense model: architectures is %.64s, and config.json has no num_experts, "
             "num_local_experts or n_routed_experts",
             architecture[0] ? architecture : "not given");
    return dst;
}
