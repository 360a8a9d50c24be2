// SPDX-License-Identifier: Apache-2.0
//
// The section of config.json about latent attention. Rules of transformers' configuration_deepseek_v3.py and
// modeling_deepseek_v3.py. num_key_value_heads is there and means nothing: all heads read one latent.
#include <math.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

static const int64_t max_rank = 1 << 16, max_head_part = 1 << 11; // two parts make a head

static lf_status refuse(lf_error *err, const char *key, const char *what)
{
    lf_error_set(err, LF_ERR_UNSUPPORTED, "%s", what);
    return lf_error_subject(err, "%s", key);
}

static lf_status read_sizes(lf_config *config, const lf_latent_keys *keys, const json_t *json, lf_error *err)
{
    const struct {
        const char *key;
        int64_t *value;
        int64_t if_absent, max;
    } sizes[] = {
        {"q_lora_rank", &config->q_lora_rank, keys->q_lora_rank, max_rank},
        {"kv_lora_rank", &config->kv_lora_rank, keys->kv_lora_rank, max_rank},
        {"qk_nope_head_dim", &config->qk_nope_head_dim, keys->qk_nope_head_dim, max_head_part},
        {"qk_rope_head_dim", &config->qk_rope_head_dim, keys->qk_rope_head_dim, max_head_part},
        {"v_head_dim", &config->v_head_dim, keys->v_head_dim, max_head_part},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(sizes); i++) {
        *sizes[i].value = sizes[i].if_absent;
        lf_status status = lf_json_int(json, sizes[i].key, 1, sizes[i].max, sizes[i].value, err);
        if (status) return status;
    }
    if (json_is_null(json_object_get(json, "q_lora_rank"))) config->q_lora_rank = 0;
    config->has_q_lora = config->q_lora_rank > 0;
    return LF_OK;
}

lf_status lf__config_read_latent(lf_config *config, const lf_latent_keys *keys, const json_t *json, lf_error *err)
{
    lf_status status = read_sizes(config, keys, json, err);
    bool has_bias = false;
    if (!status) status = lf_json_bool(json, "attention_bias", &has_bias, err);
    if (status) return status;
    if (has_bias) return refuse(err, "attention_bias", "biases of latent attention are not supported");
    config->num_key_value_heads = 1;
    config->head_dim = config->qk_nope_head_dim + config->qk_rope_head_dim;
    return LF_OK;
}

double lf_config_softmax_scale(const lf_config *config)
{
    double scale = 1 / sqrt((double)config->head_dim);
    const lf_rope *rope = &config->rope;
    // YaRN's temperature, which elsewhere is in cosines and sines alone, is in the part that does not rotate too.
    if (config->kv_lora_rank == 0 || rope->mscale_all_dim == 0 || rope->factor <= 1) return scale;
    double temperature = 0.1 * rope->mscale_all_dim * log(rope->factor) + 1;
    return scale * temperature * temperature;
}

int64_t lf_config_cache_width(const lf_config *config)
{
    return config->kv_lora_rank ? config->kv_lora_rank + config->qk_rope_head_dim : 2 * config->head_dim;
}
