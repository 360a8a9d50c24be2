// SPDX-License-Identifier: Apache-2.0
//
// The rotary embedding's section of config.json in both spellings: rope_scaling beside rope_theta (transformers 4), and
// rope_parameters (transformers 5). Rules of transformers' modeling_rope_utils.py: the object wins over keys beside it,
// an original_max_position_embeddings beside it wins over the one inside.
//
// Trap: partial_rotary_factor. The three classes of transformers ignore it for rope type "default" (version 5) or fail
// on it (version 4); it is taken at its word here, as vLLM's Llama does.
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"

static const double max_theta = 1e18;
static const double min_factor = 1e-6, max_factor = 1e6;
static const int64_t max_original_positions = 1 << 28;

static const struct {
    const char *name;
    lf_rope_kind kind;
} kinds[] = {
    {"default", LF_ROPE_DEFAULT},
    {"linear", LF_ROPE_LINEAR},
    {"llama3", LF_ROPE_LLAMA3},
    {"yarn", LF_ROPE_YARN},
};

static lf_status missing(lf_error *err, const char *kind, const char *key)
{
    lf_error_set(err, LF_ERR_FORMAT, "rope type \"%s\" needs \"%s\"", kind, key);
    return lf_error_subject(err, "%s", key);
}

// The object that describes the embedding, or NULL for none (a plain "default" rope).
static lf_status find_section(const json_t **section, const char **section_key, const json_t *json, lf_error *err)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    *section = NULL;
    *section_key = keys[1];
    for (size_t i = 0; i < LF_ARRAY_LENGTH(keys); i++) {
        const json_t *value = json_object_get(json, keys[i]);
        if (!value || json_is_null(value)) continue;
        if (!json_is_object(value)) {
            lf_error_set(err, LF_ERR_FORMAT, "\"%s\" is not an object", keys[i]);
            return lf_error_subject(err, "%s", keys[i]);
        }
        if (!*section && json_object_size(value) > 0) {
            *section = value;
            *section_key = keys[i];
        }
    }
    return LF_OK;
}

static lf_status read_kind(lf_rope *rope, const char **name, const json_t *section, const char *section_key,
                           lf_error *err)
{
    *name = NULL;
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)section, key, value)
    {
        if (!json_is_object(value)) continue;
        lf_error_set(err, LF_ERR_UNSUPPORTED, "a rotary embedding per layer type is not supported");
        return lf_error_subject(err, "%s.%s", section_key, key);
    }
    lf_status status = lf_json_string(section, "rope_type", name, err);
    if (!status && !*name) status = lf_json_string(section, "type", name, err);
    if (status) return status;
    if (!*name) *name = "default";
    for (size_t i = 0; i < LF_ARRAY_LENGTH(kinds); i++) {
        if (strcmp(kinds[i].name, *name) != 0) continue;
        rope->kind = kinds[i].kind;
        return LF_OK;
    }
    lf_error_set(err, LF_ERR_UNSUPPORTED, "rope type \"%s\" is not supported", *name);
    lf_error_subject(err, "%s", section_key);
    lf_error_expected(err, "default, linear, llama3 or yarn");
    return lf_error_found(err, "%s", *name);
}

// 0.1 m ln(scale) + 1: the temperature of YaRN's attention.
static double yarn_mscale(double scale, double m) { return scale <= 1 ? 1 : 0.1 * m * log(scale) + 1; }

static lf_status read_yarn(lf_rope *rope, const lf_config *config, const json_t *section, lf_error *err)
{
    double mscale = 0, mscale_all_dim = rope->mscale_all_dim;
    rope->attention_factor = 0;
    rope->truncate = true;
    lf_status status = lf_json_real(section, "attention_factor", 1e-6, 1e6, &rope->attention_factor, err);
    if (!status) status = lf_json_real(section, "mscale", 0, 1e3, &mscale, err);
    if (!status) status = lf_json_real(section, "beta_fast", 0, 1e6, &rope->beta_fast, err);
    if (!status) status = lf_json_real(section, "beta_slow", 0, 1e6, &rope->beta_slow, err);
    if (!status) status = lf_json_bool(section, "truncate", &rope->truncate, err);
    if (status) return status;
    if (!(rope->theta > 1)) {
        lf_error_set(err, LF_ERR_FORMAT, "yarn needs a \"rope_theta\" above 1");
        return lf_error_subject(err, "rope_theta");
    }
    if (rope->factor == 0) {
        rope->factor = (double)config->max_position_embeddings / (double)rope->original_max_position_embeddings;
    }
    if (rope->beta_fast == 0) rope->beta_fast = 32;
    if (rope->beta_slow == 0) rope->beta_slow = 1;
    if (rope->attention_factor == 0) {
        rope->attention_factor = mscale != 0 && mscale_all_dim != 0
                                     ? yarn_mscale(rope->factor, mscale) / yarn_mscale(rope->factor, mscale_all_dim)
                                     : yarn_mscale(rope->factor, 1);
    }
    return LF_OK;
}

static lf_status read_llama3(lf_rope *rope, const json_t *section, lf_error *err)
{
    lf_status status = lf_json_real(section, "low_freq_factor", min_factor, max_factor, &rope->low_freq_factor, err);
    if (!status) {
        status = lf_json_real(section, "high_freq_factor", min_factor, max_factor, &rope->high_freq_factor, err);
    }
    if (status) return status;
    if (rope->low_freq_factor == 0) return missing(err, "llama3", "low_freq_factor");
    if (rope->high_freq_factor == 0) return missing(err, "llama3", "high_freq_factor");
    if (rope->high_freq_factor <= rope->low_freq_factor) {
        lf_error_set(err, LF_ERR_FORMAT, "\"high_freq_factor\" is not above \"low_freq_factor\"");
        lf_error_subject(err, "high_freq_factor");
        lf_error_expected(err, "more than %g", rope->low_freq_factor);
        return lf_error_found(err, "%g", rope->high_freq_factor);
    }
    return LF_OK;
}

// What the kinds with a scaling have in common: factor, and the length that the model was trained for.
static lf_status read_scaling(lf_rope *rope, const lf_config *config, const json_t *json, const json_t *section,
                              const char *kind, lf_error *err)
{
    rope->original_max_position_embeddings = config->max_position_embeddings;
    lf_status status = lf_json_real(section, "factor", min_factor, max_factor, &rope->factor, err);
    if (!status) status = lf_json_real(section, "mscale_all_dim", 0, 1e3, &rope->mscale_all_dim, err);
    for (size_t i = 0; !status && i < 2; i++) {
        status = lf_json_int(i ? json : section, "original_max_position_embeddings", 1, max_original_positions,
                             &rope->original_max_position_embeddings, err);
    }
    if (status) return status;
    bool may_derive = rope->kind == LF_ROPE_YARN && json_object_get(section, "factor") != NULL;
    if (rope->factor == 0 && !may_derive) return missing(err, kind, "factor");
    if (rope->kind == LF_ROPE_YARN) return read_yarn(rope, config, section, err);
    if (rope->kind == LF_ROPE_LLAMA3) return read_llama3(rope, section, err);
    return LF_OK;
}

// How many dimensions rotate. Of latent attention it is the whole part of a head that is there for it.
static lf_status settle_rotary_dim(lf_config *config, double partial, int64_t width, int64_t rotary_dim, lf_error *err)
{
    lf_rope *rope = &config->rope;
    const char *key = partial < 1 ? "partial_rotary_factor" : config->kv_lora_rank ? "qk_rope_head_dim" : "head_dim";
    rope->rotary_dim = partial < 1 ? (int64_t)((double)width * partial) : rotary_dim;
    bool is_good = rope->rotary_dim >= 2 && rope->rotary_dim % 2 == 0;
    if (is_good && (!config->kv_lora_rank || rope->rotary_dim == width)) return LF_OK;
    if (is_good) {
        lf_error_set(err, LF_ERR_UNSUPPORTED, "a part of qk_rope_head_dim cannot rotate alone");
    } else {
        lf_error_set(err, LF_ERR_FORMAT, "the rotary embedding needs an even number of dimensions");
    }
    lf_error_subject(err, "%s", key);
    return lf_error_found(err, "%lld of %lld", (long long)rope->rotary_dim, (long long)width);
}

lf_status lf__config_read_rope(lf_config *config, const lf_config_defaults *defaults, const json_t *json, lf_error *err)
{
    lf_rope *rope = &config->rope;
    *rope = (lf_rope){.kind = LF_ROPE_DEFAULT,
                      .theta = defaults->rope_theta > 0 ? defaults->rope_theta : 10000,
                      .attention_factor = 1,
                      .is_interleaved = defaults->latent && defaults->latent->rope_interleave};
    const json_t *section;
    const char *section_key, *kind = "default";
    double partial = 1;
    lf_status status = find_section(&section, &section_key, json, err);
    for (size_t i = 0; !status && i < 2; i++) {
        const json_t *object = i ? section : json;
        if (!object) continue;
        status = lf_json_real(object, "rope_theta", 1, max_theta, &rope->theta, err);
        if (!status) status = lf_json_real(object, "partial_rotary_factor", 0, 1, &partial, err);
    }
    // MiniMax-M2 says the same as a number of dimensions, and the factor wins over it.
    int64_t width = config->kv_lora_rank ? config->qk_rope_head_dim : config->head_dim, rotary_dim = width;
    if (!status) status = lf_json_int(json, "rotary_dim", 2, LF_MAX(width, 2), &rotary_dim, err);
    if (!status && defaults->latent) status = lf_json_bool(json, "rope_interleave", &rope->is_interleaved, err);
    if (!status && section) status = read_kind(rope, &kind, section, section_key, err);
    if (!status && rope->kind != LF_ROPE_DEFAULT) status = read_scaling(rope, config, json, section, kind, err);
    return status ? status : settle_rotary_dim(config, partial, width, rotary_dim, err);
}
