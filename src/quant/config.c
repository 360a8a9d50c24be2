// SPDX-License-Identifier: Apache-2.0
//
// quantization_config: the block sizes and the lists of unconverted modules, out of the spellings that published
// checkpoints use. Sources: the catalog's sections 2, 5.16 and 5.17.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

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

static void add_block(lf__quant_config *out, const char *key, int64_t rows, int64_t cols, lf_findings *findings)
{
    enum { MAX_BLOCK = 1 << 20 };
    if (rows < 1 || cols < 1 || rows > MAX_BLOCK || cols > MAX_BLOCK) {
        char found[64];
        snprintf(found, sizeof found, "[%lld, %lld]", (long long)rows, (long long)cols);
        lf_finding_args args = {.code = "block-size-invalid",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = "config.json",
                                .expected = "two positive integers",
                                .found = found,
                                .remedy = "take quantization_config from the original checkpoint"};
        lf_findings_add(findings, &args, "%s of config.json is no block size", key);
        return;
    }
    for (size_t i = 0; i < out->n_block; i++) {
        if (out->blocks[i].rows == rows && out->blocks[i].cols == cols) return;
    }
    if (out->n_block < LF__MAX_BLOCKS) out->blocks[out->n_block++] = (lf__block){rows, cols};
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
    add_block(out, key, rows, cols, findings);
}

static void read_group(lf__quant_config *out, const json_t *weights, lf_findings *findings)
{
    const char *strategy = json_string_value(json_object_get(weights, "strategy"));
    if (!strategy) return;
    out->has_channel |= strcmp(strategy, "channel") == 0;
    out->has_group |= strcmp(strategy, "group") == 0 || strcmp(strategy, "tensor_group") == 0;
    if (strcmp(strategy, "block") == 0) read_block(out, weights, "block_structure", findings);
}

void lf__quant_config_read(lf__quant_config *out, const json_t *config, lf_findings *findings)
{
    static const char *const lists[] = {"modules_to_not_convert", "ignored_layers", "ignore"};
    *out = (lf__quant_config){.method = ""};
    const json_t *object = find_object(config);
    if (!object) return;
    out->is_present = true;
    const char *method = json_string_value(json_object_get(object, "quant_method"));
    if (method) out->method = method;
    read_block(out, object, "weight_block_size", findings);
    const char *algorithm = json_string_value(json_object_get(object, "quant_algo")); // ModelOpt: the block is fixed
    if (algorithm && strcmp(algorithm, "FP8_PB_WO") == 0) add_block(out, "quant_algo", 128, 128, findings);
    const char *name;
    json_t *group;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(object, "config_groups"), name, group)
    {
        read_group(out, json_object_get(group, "weights"), findings);
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(lists); i++) {
        const json_t *list = json_object_get(object, lists[i]);
        if (json_is_array(list)) out->unconverted[i] = list;
    }
}
