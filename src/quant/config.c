// SPDX-License-Identifier: Apache-2.0
//
// quantization_config: the block sizes and the lists of unconverted modules, out of the spellings that published
// checkpoints use: DeepSeek's and its followers', compressed-tensors, ModelOpt (also in a file of its own), Quark.
// Sources: the catalog's sections 2 and 5.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "quant/quant_int.h"

enum { MAX_FILE = 16 << 20 };

static const lf__block block128 = {128, 128}; // of formats whose block is fixed: ModelOpt's FP8_PB_WO, Quark, FP8_BLOCK

static const json_t *find_object(const json_t *config)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    const json_t *holders[] = {config, json_object_get(config, "text_config")};
    for (size_t h = 0; h < LF_ARRAY_LENGTH(holders); h++) {
        for (size_t k = 0; k < LF_ARRAY_LENGTH(keys); k++) {
            const json_t *found = json_object_get(holders[h], keys[k]);
            if (json_is_object(found)) return found;
        }
    }
    return NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_text(const json_t *object, const char *key, const char *text)
{
    return strcmp(text_of(object, key), text) == 0;
}

static void add_block(lf__quant_config *out, lf__block block)
{
    for (size_t i = 0; i < out->n_block; i++) {
        if (out->blocks[i].rows == block.rows && out->blocks[i].cols == block.cols) return;
    }
    if (out->n_block < LF__MAX_BLOCKS) out->blocks[out->n_block++] = block;
}

static void check_block(lf__quant_config *out, const char *key, int64_t rows, int64_t cols, lf_findings *findings)
{
    enum { MAX_BLOCK = 1 << 20 };
    if (rows >= 1 && cols >= 1 && rows <= MAX_BLOCK && cols <= MAX_BLOCK) {
        add_block(out, (lf__block){rows, cols});
        return;
    }
    char found[64];
    snprintf(found, sizeof found, "[%lld, %lld]", (long long)rows, (long long)cols);
    lf_finding_args args = {.code = "block-size-invalid",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = "config.json",
                            .expected = "two positive integers",
                            .found = found,
                            .remedy = "take quantization_config from the original checkpoint"};
    lf_findings_add(findings, &args, "%s of config.json is no block size", key);
}

// [128, 128], or "128x128" in older files; null and absence mean that there is no block.
static void read_block(lf__quant_config *out, const json_t *object, const char *key, lf_findings *findings)
{
    const json_t *value = json_object_get(object, key);
    long long rows = 0, cols = 0;
    char rest;
    if (!value || json_is_null(value)) return;
    if (json_is_array(value) && json_array_size(value) == 2) {
        rows = json_integer_value(json_array_get(value, 0)); // 0 when it is no integer
        cols = json_integer_value(json_array_get(value, 1));
    } else if (!json_is_string(value) || sscanf(json_string_value(value), "%9lldx%9lld%c", &rows, &cols, &rest) != 2) {
        rows = cols = 0;
    }
    check_block(out, key, rows, cols, findings);
}

// The scheme of one group of compressed-tensors: {"num_bits": 8, "type": "float", "strategy": ...}.
static void read_weights(lf__quant_config *out, const json_t *weights, lf_findings *findings)
{
    const char *strategy = text_of(weights, "strategy");
    const json_t *bits = json_object_get(weights, "num_bits");
    out->has_channel |= strcmp(strategy, "channel") == 0;
    if (strcmp(strategy, "block") == 0) read_block(out, weights, "block_structure", findings);
    bool is_fp8 = is_text(weights, "type", "float") && (!bits || json_integer_value(bits) == 8);
    if (strcmp(strategy, "group") == 0 && is_fp8)
        check_block(out, "group_size", 1, json_integer_value(json_object_get(weights, "group_size")), findings);
}

// The value of a group is an object, or only a list of targets when the group's name is that of a preset.
static void read_groups(lf__quant_config *out, const json_t *groups, lf_findings *findings)
{
    const char *name;
    json_t *group;
    json_object_foreach((json_t *)(uintptr_t)groups, name, group)
    {
        out->has_e8m0_bytes |= is_text(group, "format", "mxfp8-quantized");
        if (json_is_array(group)) {
            out->has_channel |= strcmp(name, "FP8_DYNAMIC") == 0;
            out->has_e8m0_bytes |= strncmp(name, "MXFP8", 5) == 0;
            if (strcmp(name, "FP8_BLOCK") == 0) add_block(out, block128);
        } else {
            read_weights(out, json_object_get(group, "weights"), findings);
        }
    }
}

// ModelOpt: an algorithm for the whole, or for each of the layers.
static void read_algorithm(lf__quant_config *out, const json_t *object)
{
    if (is_text(object, "quant_algo", "FP8_PB_WO")) add_block(out, block128);
    out->has_e8m0_bytes |= is_text(object, "quant_algo", "MXFP8");
    out->has_channel |= is_text(object, "quant_algo", "FP8_PER_CHANNEL_PER_TOKEN");
}

static void read_modelopt(lf__quant_config *out, const json_t *object)
{
    const char *name;
    json_t *layer;
    read_algorithm(out, object);
    json_object_foreach((json_t *)(uintptr_t)json_object_get(object, "quantized_layers"), name, layer)
    {
        read_algorithm(out, layer);
    }
}

static void read_quark_scheme(lf__quant_config *out, const json_t *scheme)
{
    const json_t *weight = json_object_get(scheme, "weight");
    if (json_is_array(weight)) weight = json_array_get(weight, 0);
    out->has_channel |= is_text(weight, "qscheme", "per_channel");
    if (is_text(weight, "qscheme", "per_block")) add_block(out, block128);
}

static void read_quark(lf__quant_config *out, const json_t *object)
{
    static const char *const maps[] = {"layer_quant_config", "layer_type_quant_config"};
    const char *name;
    json_t *scheme;
    read_quark_scheme(out, json_object_get(object, "global_quant_config"));
    for (size_t i = 0; i < LF_ARRAY_LENGTH(maps); i++) {
        json_object_foreach((json_t *)(uintptr_t)json_object_get(object, maps[i]), name, scheme)
        {
            read_quark_scheme(out, scheme);
        }
    }
}

static void read_model(lf__quant_config *out, const json_t *config)
{
    static const char *const keys[] = {"num_key_value_heads", "swa_num_key_value_heads"};
    const json_t *text = json_object_get(config, "text_config");
    if (!json_is_object(text)) text = config;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(keys); i++) {
        json_int_t value = json_integer_value(json_object_get(text, keys[i]));
        if (value > 0 && value <= 1 << 20) out->kv_heads[i] = value;
    }
    out->is_mimo =
        strncmp(text_of(config, "model_type"), "mimo", 4) == 0 || strncmp(text_of(text, "model_type"), "mimo", 4) == 0;
}

// ModelOpt's hf_quant_config.json: {"producer": ..., "quantization": {...}}; NULL when there is none.
static const json_t *read_file(lf__quant_config *out, const char *dir, lf_findings *findings)
{
    static const char name[] = "hf_quant_config.json";
    lf_error err;
    char *path = lf_path_join(dir, name);
    if (!path) {
        findings->failed = true;
        return NULL;
    }
    lf_status status = lf_json_load(&out->file, path, MAX_FILE, &err);
    free(path);
    const json_t *object = status ? NULL : json_object_get(out->file, "quantization");
    if (status == LF_ERR_NOT_FOUND || json_is_object(object)) return object;
    lf_finding_args args = {.code = "quant-config-invalid",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = name,
                            .expected = "a JSON object with \"quantization\"",
                            .found = status ? err.message : "something else",
                            .remedy = "get the file again from the original checkpoint"};
    lf_findings_add(findings, &args, "%s cannot be read", name);
    return NULL;
}

void lf__quant_config_read(lf__quant_config *out, const json_t *config, const char *dir, lf_findings *findings)
{
    static const char *const lists[] = {"modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules",
                                        "exclude"};
    _Static_assert(LF_ARRAY_LENGTH(lists) == LF_ARRAY_LENGTH(out->unconverted), "one list per key");
    *out = (lf__quant_config){.method = "", .format = ""};
    read_model(out, config);
    const json_t *object = find_object(config);
    bool is_file = !object;
    if (is_file) object = read_file(out, dir, findings);
    if (!object) return;
    out->is_present = true;
    out->method = is_file ? "modelopt" : text_of(object, "quant_method");
    out->format = text_of(object, "format");
    out->has_e8m0_bytes = strcmp(out->method, "mxfp8") == 0 || strcmp(out->format, "mxfp8-quantized") == 0;
    read_block(out, object, "weight_block_size", findings);
    read_groups(out, json_object_get(object, "config_groups"), findings);
    read_modelopt(out, object);
    if (strcmp(out->method, "quark") == 0) read_quark(out, object);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(lists); i++) {
        const json_t *list = json_object_get(object, lists[i]);
        if (json_is_array(list)) out->unconverted[i] = list;
    }
}

void lf__quant_config_fini(lf__quant_config *config) { json_decref(config->file); }
