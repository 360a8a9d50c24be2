// SPDX-License-Identifier: Apache-2.0
//
// landfall inspect: what a model directory is, on one screen; with --tensors the list of its tensors, all or those
// whose name matches a pattern given after MODEL. It describes and does not judge: what is wrong is counted, `check`
// says it.
//
// --json prints one object: model, architecture (or null), config (the numbers of config.json, or null), scheme, shards
// [{file, bytes, tensors}], dtypes [{dtype, tensors, bytes}], tensors (count), bytes, quantized, side_tensors,
// parameters (elements of all weights), bf16_bytes, errors, warnings; with --tensors also tensor_list [{name, dtype,
// shape, file, offset, bytes, layout, scale}].
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/preflight.h"

typedef struct inspect_args {
    bool tensors;
    bool json;
} inspect_args;

static const lf_opt inspect_opts[] = {
    {.name = "tensors",
     .kind = LF_OPT_FLAG,
     .help = "list the tensors; a pattern after MODEL selects: inspect MODEL --tensors '*.mlp.*'",
     .offset = offsetof(inspect_args, tensors)},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print JSON", .offset = offsetof(inspect_args, json)},
};

typedef struct totals {
    size_t n_tensor[LF_DTYPE_COUNT];
    uint64_t bytes[LF_DTYPE_COUNT];
    uint64_t n_parameter; // elements of weights, without scales and side tensors
} totals;

static uint64_t n_element(const lf_stored_tensor *tensor)
{
    return tensor->bytes * 8 / (uint64_t)lf_dtype_bits(tensor->dtype);
}

static totals count(const lf_preflight *pf)
{
    totals sums = {0};
    for (size_t i = 0; i < lf_checkpoint_count(pf->checkpoint); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(pf->checkpoint, i);
        sums.n_tensor[tensor->dtype]++;
        sums.bytes[tensor->dtype] += tensor->bytes;
    }
    for (size_t i = 0; i < lf_quant_count(pf->quant); i++)
        sums.n_parameter += n_element(lf_quant_tensor(pf->quant, i)->weight);
    return sums;
}

static const char *architecture_of(const lf_preflight *pf)
{
    if (pf->has_table) return pf->config.architecture;
    return json_string_value(json_array_get(json_object_get(pf->config_json, "architectures"), 0));
}

// The fields that describe a model's size, in the words of config.json.
static const char *const config_fields[] = {
    "num_hidden_layers",   "hidden_size", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "head_dim",    "vocab_size",        "max_position_embeddings"};

static json_int_t config_value(const lf_preflight *pf, size_t i)
{
    const lf_config *c = &pf->config;
    const int64_t values[] = {c->num_hidden_layers,   c->hidden_size, c->intermediate_size, c->num_attention_heads,
                              c->num_key_value_heads, c->head_dim,    c->vocab_size,        c->max_position_embeddings};
    if (pf->has_table) return values[i];
    const json_t *text = json_object_get(pf->config_json, "text_config");
    const json_t *value = json_object_get(json_is_object(text) ? text : pf->config_json, config_fields[i]);
    return json_integer_value(value);
}

static bool is_selected(const char *name, const char *pattern) { return !pattern || fnmatch(pattern, name, 0) == 0; }

static void print_tensors(const lf_preflight *pf, const char *pattern)
{
    size_t n = 0;
    for (size_t i = 0; i < lf_checkpoint_count(pf->checkpoint); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(pf->checkpoint, i);
        if (!is_selected(tensor->name, pattern)) continue;
        const lf_logical_tensor *logical = lf_quant_find(pf->quant, tensor->name);
        char shape[128], bytes[32];
        lf_stored_tensor_format(tensor, shape, sizeof shape);
        printf("%-64s %-24s %12s  %s%s%s\n", tensor->name, shape, lf_show_bytes(bytes, sizeof bytes, tensor->bytes),
               lf_checkpoint_shard(pf->checkpoint, tensor->shard)->file_name,
               logical && logical->layout != LF_SCALE_NONE ? "  scale per " : "",
               logical && logical->layout != LF_SCALE_NONE ? lf_scale_layout_name(logical->layout) : "");
        n++;
    }
    printf("%zu tensors\n", n);
}

static void print_config(const lf_preflight *pf)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(config_fields); i++) {
        json_int_t value = config_value(pf, i);
        if (value > 0) printf("  %-24s %" JSON_INTEGER_FORMAT "\n", config_fields[i], value);
    }
    if (pf->has_table) printf("  %-24s %s\n", "tie_word_embeddings", pf->config.tie_word_embeddings ? "true" : "false");
}

static void print_screen(const lf_preflight *pf, const char *model)
{
    totals sums = count(pf);
    char a[32], b[32];
    const char *architecture = architecture_of(pf);
    printf("%s\n  %-24s %s%s\n", model, "architecture", architecture ? architecture : "unknown",
           pf->has_table ? "" : " (no parameter table: cannot be run)");
    print_config(pf);
    printf("  %-24s %s\n", "scheme", lf_quant_scheme(pf->quant));
    printf("  %-24s %s (%" PRIu64 ")\n", "parameters", lf_show_count(a, sizeof a, sums.n_parameter), sums.n_parameter);
    printf("  %-24s %s\n", "stored bytes", lf_show_bytes(a, sizeof a, lf_checkpoint_bytes(pf->checkpoint)));
    printf("  %-24s %s\n", "bytes at bf16", lf_show_bytes(a, sizeof a, 2 * sums.n_parameter));
    printf("  %-24s %zu in %zu shards; %zu quantized, %zu side tensors\n", "tensors",
           lf_checkpoint_count(pf->checkpoint), lf_checkpoint_n_shard(pf->checkpoint), lf_quant_n_quantized(pf->quant),
           lf_quant_n_side(pf->quant));
    for (size_t i = 0; i < LF_DTYPE_COUNT; i++) {
        if (sums.n_tensor[i] == 0) continue;
        printf("    %-12s %8zu tensors %12s\n", lf_dtype_name((lf_dtype)i), sums.n_tensor[i],
               lf_show_bytes(b, sizeof b, sums.bytes[i]));
    }
    if (pf->findings.n_error || pf->findings.n_warning) {
        printf("  %zu errors and %zu warnings: `landfall check` lists them\n", pf->findings.n_error,
               pf->findings.n_warning);
    }
}

static json_t *shape_json(const lf_stored_tensor *tensor)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    return shape;
}

static json_t *tensors_json(const lf_preflight *pf, const char *pattern)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lf_checkpoint_count(pf->checkpoint); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(pf->checkpoint, i);
        if (!is_selected(tensor->name, pattern)) continue;
        const lf_logical_tensor *logical = lf_quant_find(pf->quant, tensor->name);
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:s, s:s?}", "name", tensor->name, "dtype",
                            lf_dtype_name(tensor->dtype), "shape", shape_json(tensor), "file",
                            lf_json_lossy_string(lf_checkpoint_shard(pf->checkpoint, tensor->shard)->file_name),
                            "offset", (json_int_t)tensor->file_off, "bytes", (json_int_t)tensor->bytes, "layout",
                            lf_scale_layout_name(logical ? logical->layout : LF_SCALE_NONE), "scale",
                            logical && logical->scale ? logical->scale->name : NULL));
    }
    return list;
}

static json_t *shards_json(const lf_preflight *pf)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lf_checkpoint_n_shard(pf->checkpoint); i++) {
        const lf_shard *shard = lf_checkpoint_shard(pf->checkpoint, i);
        json_array_append_new(list,
                              json_pack("{s:o, s:I, s:I}", "file", lf_json_lossy_string(shard->file_name), "bytes",
                                        (json_int_t)shard->file_bytes, "tensors", (json_int_t)shard->n_tensor));
    }
    return list;
}

static json_t *dtypes_json(const totals *sums)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LF_DTYPE_COUNT; i++) {
        if (sums->n_tensor[i] == 0) continue;
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "dtype", lf_dtype_name((lf_dtype)i), "tensors",
                                              (json_int_t)sums->n_tensor[i], "bytes", (json_int_t)sums->bytes[i]));
    }
    return list;
}

static json_t *config_json(const lf_preflight *pf)
{
    if (!pf->config_json) return json_null();
    json_t *object = json_object();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(config_fields); i++) {
        json_int_t value = config_value(pf, i);
        if (value > 0) json_object_set_new(object, config_fields[i], json_integer(value));
    }
    return object;
}

static lf_status print_json(const lf_preflight *pf, const char *model, const inspect_args *args, const char *pattern,
                            lf_error *err)
{
    totals sums = count(pf);
    const char *architecture = architecture_of(pf);
    json_t *root =
        json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",        //
                  "model", lf_json_lossy_string(model),                                            //
                  "architecture", architecture ? lf_json_lossy_string(architecture) : json_null(), //
                  "config", config_json(pf), "scheme", lf_quant_scheme(pf->quant),                 //
                  "shards", shards_json(pf), "dtypes", dtypes_json(&sums),                         //
                  "tensors", (json_int_t)lf_checkpoint_count(pf->checkpoint),                      //
                  "bytes", (json_int_t)lf_checkpoint_bytes(pf->checkpoint),                        //
                  "quantized", (json_int_t)lf_quant_n_quantized(pf->quant),                        //
                  "side_tensors", (json_int_t)lf_quant_n_side(pf->quant),                          //
                  "parameters", (json_int_t)sums.n_parameter,                                      //
                  "bf16_bytes", (json_int_t)(2 * sums.n_parameter),                                //
                  "errors", (json_int_t)pf->findings.n_error, "warnings", (json_int_t)pf->findings.n_warning);
    if (root && args->tensors) json_object_set_new(root, "tensor_list", tensors_json(pf, pattern));
    return lf_show_json(root, err);
}

static int run_inspect(const lf_verb *verb, int argc, char **argv)
{
    inspect_args args = {0};
    const char *operands[2] = {0}; // MODEL, pattern
    bool is_done = false;
    lf_error err = {0};
    lf_preflight pf = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, operands, 2, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!operands[0] || (operands[1] && !args.tensors)) {
        lf_error_set(&err, LF_ERR_USAGE, operands[0] ? "a pattern needs --tensors" : "MODEL is missing");
        lf_error_hint(&err, "`landfall inspect --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    status = lf_preflight_run(&pf, operands[0], &err);
    if (!status && args.json)
        status = print_json(&pf, operands[0], &args, operands[1], &err);
    else if (!status && args.tensors)
        print_tensors(&pf, operands[1]);
    else if (!status)
        print_screen(&pf, operands[0]);
    lf_preflight_fini(&pf);
    return status ? lf_cli_fail(verb, &err) : 0;
}

const lf_verb lf_verb_inspect = {
    .name = "inspect",
    .operands = "MODEL",
    .summary = "what a model directory holds: architecture, scheme, sizes",
    .opts = inspect_opts,
    .n_opt = LF_ARRAY_LENGTH(inspect_opts),
    .run = run_inspect,
};
