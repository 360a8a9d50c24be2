// SPDX-License-Identifier: Apache-2.0
//
// config.json as numbers, read as transformers reads it: a key that is absent means the default of the class, null
// means what the class makes of None. The file comes from outside: every number has a limit here, and the products that
// the rest of the program forms of them (rows times columns, heads times head size) cannot overflow int64_t within
// these limits.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

static const int64_t max_hidden_size = 1 << 20;
static const int64_t max_intermediate_size = 1 << 22;
static const int64_t max_heads = 1 << 14;
static const int64_t max_head_dim = 1 << 12;
static const int64_t max_vocab_size = 1 << 26;
static const int64_t max_positions = 1 << 28;
static const size_t max_file_bytes = (size_t)16 << 20;

const char *lf_config_supported(void)
{
    return "LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Qwen3MoeForCausalLM, MiniMaxM2ForCausalLM, "
           "DeepseekV3ForCausalLM";
}

static lf_status unsupported(lf_error *err, const char *key, const char *found, const char *what)
{
    lf_error_set(err, LF_ERR_UNSUPPORTED, "%s", what);
    lf_error_subject(err, "%s", key);
    return lf_error_found(err, "%s", found);
}

static lf_status malformed(lf_error *err, const char *key, const char *what)
{
    lf_error_set(err, LF_ERR_FORMAT, "%s", what);
    return lf_error_subject(err, "%s", key);
}

// An integer of [min, max] whose key may be absent or null, which are different things.
static lf_status read_int(const json_t *json, const char *key, int64_t min, int64_t max, int64_t if_absent,
                          int64_t if_null, int64_t *value, lf_error *err)
{
    const json_t *found = json_object_get(json, key);
    *value = !found ? if_absent : if_null;
    return lf_json_int(json, key, min, max, value, err);
}

static const lf_arch *arch_of_model_type(const char *model_type)
{
    for (size_t i = 0; i < lf__n_arch; i++) {
        if (strcmp(lf__archs[i]->model_type, model_type) == 0) return lf__archs[i];
    }
    return NULL;
}

static lf_status unknown_architecture(lf_error *err, const char *name)
{
    lf_error_set(err, LF_ERR_UNSUPPORTED, "architecture '%s' is not supported", name);
    lf_error_subject(err, "architectures");
    lf_error_expected(err, "one of %s", lf_config_supported());
    return lf_error_found(err, "%s", name);
}

// The first of `architectures`, or what model_type stands for when there is no such list. The two must not contradict
// each other: transformers follows the one and vLLM the other.
static lf_status read_architecture(const lf_arch **out, const json_t *json, lf_error *err)
{
    const char *model_type = NULL, *name = NULL;
    lf_status status = lf_json_string(json, "model_type", &model_type, err);
    if (status) return status;
    const json_t *list = json_object_get(json, "architectures");
    if (list && !json_is_null(list) && !(json_is_array(list) && json_array_size(list) > 0)) {
        return malformed(err, "architectures", "\"architectures\" is not a list of names");
    }
    if (json_is_array(list)) {
        name = json_string_value(json_array_get(list, 0));
        if (!name) return malformed(err, "architectures", "\"architectures\" is not a list of names");
        *out = lf__arch_find(name);
    } else if (model_type) {
        name = model_type;
        *out = arch_of_model_type(model_type);
    } else {
        return malformed(err, "architectures", "config.json has neither \"architectures\" nor \"model_type\"");
    }
    if (!*out) return unknown_architecture(err, name);
    if (model_type && strcmp((*out)->model_type, model_type) != 0) {
        lf_error_set(err, LF_ERR_UNSUPPORTED, "\"architectures\" and \"model_type\" contradict each other");
        lf_error_subject(err, "model_type");
        lf_error_expected(err, "\"%s\" for %s", (*out)->model_type, (*out)->architecture);
        return lf_error_found(err, "\"%s\"", model_type);
    }
    return LF_OK;
}

static lf_status read_dimensions(lf_config *config, const lf_config_defaults *defaults, const json_t *json,
                                 lf_error *err)
{
    const struct {
        const char *key;
        int64_t *value;
        int64_t if_absent, max;
    } plain[] = {
        {"vocab_size", &config->vocab_size, defaults->vocab_size, max_vocab_size},
        {"hidden_size", &config->hidden_size, defaults->hidden_size, max_hidden_size},
        {"intermediate_size", &config->intermediate_size, defaults->intermediate_size, max_intermediate_size},
        {"num_hidden_layers", &config->num_hidden_layers, defaults->num_hidden_layers, LF_MAX_LAYERS},
        {"num_attention_heads", &config->num_attention_heads, defaults->num_attention_heads, max_heads},
        {"max_position_embeddings", &config->max_position_embeddings, defaults->max_position_embeddings, max_positions},
    };
    lf_status status;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(plain); i++) {
        *plain[i].value = plain[i].if_absent;
        status = lf_json_int(json, plain[i].key, 1, plain[i].max, plain[i].value, err);
        if (status) return status;
    }

    if (defaults->latent) return lf__config_read_latent(config, defaults->latent, json, err);
    int64_t heads = config->num_attention_heads;
    int64_t kv_default = defaults->num_key_value_heads < 0 ? heads : defaults->num_key_value_heads;
    status = read_int(json, "num_key_value_heads", 1, max_heads, kv_default, heads, &config->num_key_value_heads, err);
    if (status) return status;
    if (heads % config->num_key_value_heads != 0) {
        lf_error_set(err, LF_ERR_FORMAT, "num_attention_heads is not a multiple of num_key_value_heads");
        lf_error_subject(err, "num_key_value_heads");
        lf_error_expected(err, "a divisor of %lld", (long long)heads);
        return lf_error_found(err, "%lld", (long long)config->num_key_value_heads);
    }

    status = read_int(json, "head_dim", 1, max_head_dim, defaults->head_dim, -1, &config->head_dim, err);
    if (status || config->head_dim > 0) return status;
    if (config->hidden_size % heads != 0 || config->hidden_size / heads > max_head_dim) {
        lf_error_set(err, LF_ERR_FORMAT, "there is no \"head_dim\", and hidden_size / num_attention_heads is none");
        lf_error_subject(err, "head_dim");
        lf_error_expected(err, "an integer up to %lld", (long long)max_head_dim);
        return lf_error_found(err, "%lld / %lld", (long long)config->hidden_size, (long long)heads);
    }
    config->head_dim = config->hidden_size / heads;
    return LF_OK;
}

static lf_status read_features(lf_config *config, const lf_config_defaults *defaults, const json_t *json, lf_error *err)
{
    const char *activation = "silu";
    bool attention_bias = false, mlp_bias = false;
    config->rms_norm_eps = defaults->rms_norm_eps;
    config->has_qk_norm = defaults->has_qk_norm;
    config->has_wide_qk_norm = defaults->has_wide_qk_norm;
    lf_status status = lf_json_real(json, "rms_norm_eps", 0, 1, &config->rms_norm_eps, err);
    if (!status) status = lf_json_bool(json, "tie_word_embeddings", &config->tie_word_embeddings, err);
    if (!status) status = lf_json_bool(json, "attention_bias", &attention_bias, err);
    if (!status) status = lf_json_bool(json, "mlp_bias", &mlp_bias, err);
    if (!status) status = lf_json_string(json, "hidden_act", &activation, err);
    if (!status && defaults->num_nextn_predict_layers) {
        config->num_mtp_layers = defaults->num_nextn_predict_layers;
        status = lf_json_int(json, "num_nextn_predict_layers", 0, LF_MAX_LAYERS, &config->num_mtp_layers, err);
    }
    if (!status && defaults->has_wide_qk_norm) {
        status = lf_json_bool(json, "use_qk_norm", &config->has_wide_qk_norm, err);
    }
    if (status) return status;
    config->has_o_bias = defaults->reads_attention_bias && attention_bias;
    config->has_qkv_bias = defaults->has_qkv_bias || config->has_o_bias;
    config->has_mlp_bias = defaults->reads_mlp_bias && mlp_bias;
    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0) {
        return unsupported(err, "hidden_act", activation, "this activation is not supported, only \"silu\"");
    }
    const json_t *per_layer = json_object_get(json, "per_layer_config");
    if (per_layer && !json_is_null(per_layer)) {
        return unsupported(err, "per_layer_config", "it is present", "layers of different shapes are not supported");
    }
    return LF_OK;
}

// Layers of sliding attention according to layer_types; *is_listed is false when the config has no such list.
static lf_status count_sliding(const json_t *json, int64_t n_layer, int64_t *count, bool *is_listed, lf_error *err)
{
    const json_t *list = json_object_get(json, "layer_types");
    *is_listed = list && !json_is_null(list);
    if (!*is_listed) return LF_OK;
    if (!json_is_array(list) || json_array_size(list) != (size_t)n_layer) {
        return malformed(err, "layer_types", "\"layer_types\" is not a list of num_hidden_layers names");
    }
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        const char *type = json_string_value(item);
        if (!type) return malformed(err, "layer_types", "\"layer_types\" is not a list of num_hidden_layers names");
        if (strcmp(type, "sliding_attention") == 0) {
            (*count)++;
        } else if (strcmp(type, "full_attention") != 0) {
            return unsupported(err, "layer_types", type, "this layer type is not supported");
        }
    }
    return LF_OK;
}

// sliding_window, use_sliding_window, max_window_layers and layer_types come down to one window for the whole model, or
// to a refusal: layers of both kinds are not supported.
static lf_status read_sliding_window(lf_config *config, const lf_config_defaults *defaults, const json_t *json,
                                     lf_error *err)
{
    bool uses_window = false, is_listed = false;
    int64_t window = 0, first_sliding = 0, n_layer = config->num_hidden_layers, n_sliding = 0;
    lf_status status;
    if (defaults->sliding_window >= 0) {
        status = lf_json_bool(json, "use_sliding_window", &uses_window, err);
        if (!status) {
            status = read_int(json, "sliding_window", 0, max_positions, defaults->sliding_window, 0, &window, err);
        }
        if (!status) {
            status = read_int(json, "max_window_layers", 0, INT32_MAX, defaults->max_window_layers,
                              defaults->max_window_layers, &first_sliding, err);
        }
        if (status) return status;
        if (!uses_window) window = 0;
    }
    status = count_sliding(json, n_layer, &n_sliding, &is_listed, err);
    if (status) return status;
    if (!is_listed && window > 0) n_sliding = LF_MAX(0, n_layer - first_sliding);

    if (n_sliding == 0) return LF_OK;
    if (n_sliding < n_layer) {
        char found[64];
        snprintf(found, sizeof found, "%lld of %lld layers slide", (long long)n_sliding, (long long)n_layer);
        return unsupported(err, is_listed ? "layer_types" : "max_window_layers", found,
                           "sliding-window attention in some layers only is not supported");
    }
    if (window == 0) return malformed(err, "sliding_window", "sliding attention without a \"sliding_window\"");
    config->sliding_window = window;
    return LF_OK;
}

// Ids that are no token of the vocabulary (-1, or a stale number) can never be generated and are dropped.
static lf_status add_eos(lf_config *config, int64_t id, lf_error *err)
{
    if (id < 0 || id >= config->vocab_size) return LF_OK;
    for (size_t i = 0; i < config->n_eos_token_id; i++) {
        if (config->eos_token_ids[i] == id) return LF_OK;
    }
    if (config->n_eos_token_id == LF_ARRAY_LENGTH(config->eos_token_ids)) {
        lf_error_set(err, LF_ERR_LIMIT, "more than %zu end tokens", LF_ARRAY_LENGTH(config->eos_token_ids));
        return lf_error_subject(err, "eos_token_id");
    }
    config->eos_token_ids[config->n_eos_token_id++] = id;
    return LF_OK;
}

// eos_token_id of a config or generation config: absent, null, an integer or a list of integers.
static lf_status read_eos(lf_config *config, const json_t *json, int64_t if_absent, lf_error *err)
{
    const json_t *found = json_object_get(json, "eos_token_id");
    if (!found) return add_eos(config, if_absent, err);
    if (json_is_null(found)) return LF_OK;
    if (json_is_integer(found)) return add_eos(config, json_integer_value(found), err);
    if (!json_is_array(found)) return malformed(err, "eos_token_id", "\"eos_token_id\" is neither a number nor a list");
    size_t i;
    const json_t *item;
    json_array_foreach(found, i, item)
    {
        if (!json_is_integer(item)) {
            return malformed(err, "eos_token_id", "\"eos_token_id\" holds something that is not an integer");
        }
        lf_status status = add_eos(config, json_integer_value(item), err);
        if (status) return status;
    }
    return LF_OK;
}

lf_status lf_config_parse(lf_config *config, const json_t *json, lf_error *err)
{
    *config = (lf_config){.bos_token_id = -1};
    if (!json_is_object(json)) return lf_error_set(err, LF_ERR_FORMAT, "config.json is not a JSON object");
    const lf_arch *arch = NULL;
    lf_status status = read_architecture(&arch, json, err);
    if (status) return status;
    snprintf(config->architecture, sizeof config->architecture, "%s", arch->architecture);
    snprintf(config->model_type, sizeof config->model_type, "%s", arch->model_type);

    const lf_config_defaults *defaults = arch->defaults;
    status = read_dimensions(config, defaults, json, err);
    if (!status) status = read_features(config, defaults, json, err);
    if (!status) status = read_sliding_window(config, defaults, json, err);
    if (!status) status = lf__config_read_rope(config, defaults, json, err);
    if (!status) status = lf__config_read_moe(config, defaults->moe, json, err);
    if (!status) status = read_eos(config, json, defaults->eos_token_id, err);
    if (!status) {
        status = read_int(json, "bos_token_id", INT32_MIN, INT32_MAX, defaults->bos_token_id, -1, &config->bos_token_id,
                          err);
    }
    if (status) return status;
    if (config->bos_token_id < 0 || config->bos_token_id >= config->vocab_size) config->bos_token_id = -1;
    config->num_checkpoint_layers = config->num_hidden_layers;
    config->num_checkpoint_experts = config->num_experts;
    return LF_OK;
}

int64_t lf_config_max_model_len(const lf_config *config)
{
    const lf_rope *rope = &config->rope;
    double length = (double)config->max_position_embeddings;
    if (rope->kind == LF_ROPE_LINEAR) length *= rope->factor;
    if (rope->kind == LF_ROPE_YARN) length = (double)rope->original_max_position_embeddings * rope->factor;
    return LF_MAX(1, (int64_t)LF_MIN(length, (double)max_positions));
}

static lf_status load_object(json_t **json, const char *dir, const char *name, lf_error *err)
{
    char *path = lf_path_join(dir, name);
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_json_load(json, path, max_file_bytes, err);
    free(path);
    return status;
}

lf_status lf_config_load(lf_config *config, json_t **json, const char *dir, const json_t *overrides, lf_error *err)
{
    json_t *root = NULL, *generation = NULL;
    lf_status status = load_object(&root, dir, "config.json", err);
    if (status) return status;
    status = overrides ? lf__config_parse_over(config, &root, overrides, err) : lf_config_parse(config, root, err);
    if (status) {
        if (status != LF_ERR_USAGE) lf_error_at(err, "%s/config.json", dir);
        goto out;
    }

    lf_error absent = {0};
    status = load_object(&generation, dir, "generation_config.json", &absent);
    if (status == LF_ERR_NOT_FOUND) {
        status = LF_OK;
    } else if (status) {
        if (err) *err = absent;
    } else {
        status = read_eos(config, generation, -1, err);
        if (status) lf_error_at(err, "%s/generation_config.json", dir);
    }
out:
    json_decref(generation);
    if (status) {
        json_decref(root);
        return status;
    }
    *json = root;
    return LF_OK;
}
