// SPDX-License-Identifier: Apache-2.0
//
// The experts' section of config.json: how many, how wide, how a token chooses, and which layers have them. Rules of
// transformers' configuration and modeling files of the classes (see arch_moe.c).
#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

static const int64_t max_experts = 1 << 12, max_width = 1 << 22;

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
    config->moe_layers[layer / 64] = is_moe ? config->moe_layers[layer / 64] | bit
                                            : config->moe_layers[layer / 64] & ~bit;
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
    if (config->num_experts_per_tok > config->num_experts) {
        return refuse(err, "num_experts_per_tok", config->num_experts_per_tok, config->num_experts,
                      "a token cannot choose more experts than there are");
    }
    return LF_OK;
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
    return LF_OK;
}
