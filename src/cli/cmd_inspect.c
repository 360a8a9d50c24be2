// SPDX-License-Identifier: Apache-2.0
//
// landfall inspect: what a model directory is, on one screen; with --tensors the list of its tensors, all or those
// whose name matches a pattern given after MODEL. It describes and does not judge: what is wrong is counted, `check`
// says it.
//
// --json prints one object: model, architecture (or null), has_table, config (the numbers of config.json, or null),
// features (array of strings), scheme, shards [{file, bytes, tensors}], dtypes [{dtype, tensors, bytes}], parts [{part,
// tensors, parameters, bytes}], tensors (count), bytes, quantized, side_tensors, parameters (elements of all weights),
// bf16_bytes, fp8_bytes, per_rank [{tensor_parallel_size, bf16_bytes, fp8_bytes, kv_bytes_per_token}], errors,
// warnings; with --tensors also tensor_list [{name, dtype, shape, file, offset, bytes, layout, scale}].
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/outline.h"
#include "model/preflight.h"
#include "plan/census.h"

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

typedef struct part_sum {
    uint64_t n_tensor, n_parameter, bytes;
} part_sum;

// Everything that the screen and the JSON form say, except the list of tensors.
typedef struct survey {
    size_t n_tensor[LF_DTYPE_COUNT];
    uint64_t bytes[LF_DTYPE_COUNT];
    part_sum parts[LF_PART_COUNT];
    lf_outline outline;
    lf_census census;
    uint64_t fp8_bytes; // of all weights, with quantized ones as they are
} survey;

static const int64_t rank_counts[] = {1, 2, 4, 8, 16};

static lf_status make_survey(survey *out, const lf_preflight *pf, lf_error *err)
{
    *out = (survey){0};
    lf_outline_read(&out->outline, pf->config_json, pf->has_table ? &pf->config : NULL);
    lf_status status = lf_census_build(&out->census, &out->outline, pf->quant, err);
    if (status) return status;
    for (size_t i = 0; i < lf_checkpoint_count(pf->checkpoint); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(pf->checkpoint, i);
        out->n_tensor[tensor->dtype]++;
        out->bytes[tensor->dtype] += tensor->bytes;
    }
    for (size_t i = 0; i < out->census.count; i++) {
        const lf_group *group = &out->census.groups[i];
        uint64_t n_parameter = group->count * (uint64_t)group->n_row * (uint64_t)group->n_col;
        part_sum *part = &out->parts[group->role.part];
        part->n_tensor += group->count;
        part->n_parameter += n_parameter;
        part->bytes += group->stored_bytes;
        out->fp8_bytes += group->first->scale ? group->stored_bytes : 2 * n_parameter;
    }
    return LF_OK;
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
    const json_t *text = json_object_get(pf->config_json, "text_config");
    const json_t *value = json_object_get(json_is_object(text) ? text : pf->config_json, config_fields[i]);
    return json_is_integer(value) || !pf->has_table ? json_integer_value(value) : values[i];
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

static void add_feature(char features[][80], size_t *n, const char *format, ...) __attribute__((format(printf, 3, 4)));

enum { MAX_FEATURES = 12 };

static void add_feature(char features[][80], size_t *n, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(features[(*n)++], 80, format, args);
    va_end(args);
}

// What the model has beyond a plain decoder, a line each; returns the number.
static size_t list_features(const lf_outline *o, char features[MAX_FEATURES][80])
{
    size_t n = 0;
    if (o->max_position_embeddings)
        add_feature(features, &n, "context of %" PRId64 " tokens", o->max_position_embeddings);
    if (o->rope_type[0]) add_feature(features, &n, "rope scaling %s, factor %g", o->rope_type, o->rope_factor);
    if (o->num_experts) {
        add_feature(features, &n, "%" PRId64 " experts of %" PRId64 ", %" PRId64 " per token", o->num_experts,
                    o->moe_intermediate_size, o->num_experts_per_tok);
    }
    if (o->num_experts && o->shared_intermediate_size)
        add_feature(features, &n, "shared experts of %" PRId64, o->shared_intermediate_size);
    if (o->kv_lora_rank) {
        add_feature(features, &n, "latent attention: %" PRId64 " + %" PRId64 " cached values per token and layer",
                    o->kv_lora_rank, o->qk_rope_head_dim);
    }
    if (o->has_linear_attention)
        add_feature(features, &n, "linear attention in some layers: the cache is smaller than said");
    if (o->sliding_window) add_feature(features, &n, "sliding window of %" PRId64, o->sliding_window);
    if (o->num_mtp_layers) add_feature(features, &n, "multi-token prediction, layers: %" PRId64, o->num_mtp_layers);
    if (o->has_vision) add_feature(features, &n, "vision");
    if (o->has_audio) add_feature(features, &n, "audio");
    if (o->tie_word_embeddings) add_feature(features, &n, "embedding and head are one matrix");
    return n;
}

static void print_config(const lf_preflight *pf, const lf_outline *outline)
{
    char features[MAX_FEATURES][80];
    for (size_t i = 0; i < LF_ARRAY_LENGTH(config_fields); i++) {
        json_int_t value = config_value(pf, i);
        if (value > 0) printf("  %-24s %" JSON_INTEGER_FORMAT "\n", config_fields[i], value);
    }
    size_t n = list_features(outline, features);
    for (size_t i = 0; i < n; i++) printf("  %-24s %s\n", i ? "" : "features", features[i]);
}

static void print_parts(const survey *s)
{
    char count[32], bytes[32];
    printf("\n  %-24s %10s %14s %12s\n", "part", "tensors", "parameters", "stored");
    for (size_t i = 0; i < LF_PART_COUNT; i++) {
        const part_sum *part = &s->parts[i];
        if (part->n_tensor == 0) continue;
        printf("  %-24s %10" PRIu64 " %14s %12s\n", lf_part_name((lf_part)i), part->n_tensor,
               lf_show_count(count, sizeof count, part->n_parameter), lf_show_bytes(bytes, sizeof bytes, part->bytes));
    }
    for (size_t i = 0; i < LF_DTYPE_COUNT; i++) {
        if (s->n_tensor[i] == 0) continue;
        printf("  %-24s %10zu %14s %12s\n", lf_dtype_name((lf_dtype)i), s->n_tensor[i], "",
               lf_show_bytes(bytes, sizeof bytes, s->bytes[i]));
    }
}

static void print_needs(const survey *s)
{
    printf("\n  %-24s %12s %12s %14s %16s\n", "ranks (tensor parallel)", "bf16 weights", "fp8 weights", "KV per token",
           "KV of a context");
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rank_counts); i++) {
        char bf16[32], fp8[32], token[32], context[32];
        lf_need need = lf_census_need(&s->census, &s->outline, (lf_topology){rank_counts[i], 1});
        size_t kv;
        if (!lf_mul_size(need.kv_bytes_per_token, (size_t)s->outline.max_position_embeddings, &kv)) kv = SIZE_MAX;
        printf("  %-24" PRId64 " %12s %12s %14s %16s\n", rank_counts[i],
               lf_show_bytes(bf16, sizeof bf16, need.bf16_bytes), lf_show_bytes(fp8, sizeof fp8, need.fp8_bytes),
               need.kv_bytes_per_token ? lf_show_bytes(token, sizeof token, need.kv_bytes_per_token) : "?",
               kv ? lf_show_bytes(context, sizeof context, kv) : "?");
    }
}

static void print_screen(const lf_preflight *pf, const char *model, const survey *s)
{
    char a[32], b[32];
    const char *architecture = architecture_of(pf);
    printf("%s\n  %-24s %s%s\n", model, "architecture", architecture ? architecture : "unknown",
           pf->has_table ? "" : " (no parameter table: cannot be run)");
    print_config(pf, &s->outline);
    printf("  %-24s %s\n", "scheme", lf_quant_scheme(pf->quant));
    printf("  %-24s %s (%" PRIu64 ")\n", "parameters", lf_show_count(a, sizeof a, s->census.n_parameter),
           s->census.n_parameter);
    printf("  %-24s %s in %zu tensors and %zu shards; %zu quantized, %zu side tensors\n", "stored",
           lf_show_bytes(a, sizeof a, lf_checkpoint_bytes(pf->checkpoint)), lf_checkpoint_count(pf->checkpoint),
           lf_checkpoint_n_shard(pf->checkpoint), lf_quant_n_quantized(pf->quant), lf_quant_n_side(pf->quant));
    printf("  %-24s %s as bf16, %s as stored codes\n", "in memory",
           lf_show_bytes(a, sizeof a, 2 * s->census.n_parameter), lf_show_bytes(b, sizeof b, s->fp8_bytes));
    print_parts(s);
    print_needs(s);
    if (pf->findings.n_error || pf->findings.n_warning) {
        printf("\n  %zu errors and %zu warnings: `landfall check` lists them\n", pf->findings.n_error,
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

static json_t *dtypes_json(const survey *sums)
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

static json_t *parts_json(const survey *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LF_PART_COUNT; i++) {
        const part_sum *part = &s->parts[i];
        if (part->n_tensor == 0) continue;
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I}", "part", lf_part_name((lf_part)i), "tensors",
                                              (json_int_t)part->n_tensor, "parameters", (json_int_t)part->n_parameter,
                                              "bytes", (json_int_t)part->bytes));
    }
    return list;
}

static json_t *features_json(const lf_outline *outline)
{
    char features[MAX_FEATURES][80];
    size_t n = list_features(outline, features);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, lf_json_lossy_string(features[i]));
    return list;
}

static json_t *needs_json(const survey *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rank_counts); i++) {
        lf_need need = lf_census_need(&s->census, &s->outline, (lf_topology){rank_counts[i], 1});
        json_array_append_new(list, json_pack("{s:I, s:I, s:I, s:I}", "tensor_parallel_size",
                                              (json_int_t)rank_counts[i], "bf16_bytes", (json_int_t)need.bf16_bytes,
                                              "fp8_bytes", (json_int_t)need.fp8_bytes, "kv_bytes_per_token",
                                              (json_int_t)need.kv_bytes_per_token));
    }
    return list;
}

static lf_status print_json(const lf_preflight *pf, const char *model, const inspect_args *args, const char *pattern,
                            const survey *s, lf_error *err)
{
    const char *architecture = architecture_of(pf);
    json_t *root =
        json_pack("{s:o, s:o, s:b, s:o, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I}", //
                  "model", lf_json_lossy_string(model),                                                              //
                  "architecture", architecture ? lf_json_lossy_string(architecture) : json_null(),                   //
                  "has_table", pf->has_table, "config", config_json(pf),                                             //
                  "features", features_json(&s->outline), "scheme", lf_quant_scheme(pf->quant),                      //
                  "shards", shards_json(pf), "dtypes", dtypes_json(s), "parts", parts_json(s),                       //
                  "tensors", (json_int_t)lf_checkpoint_count(pf->checkpoint),                                        //
                  "bytes", (json_int_t)lf_checkpoint_bytes(pf->checkpoint),                                          //
                  "quantized", (json_int_t)lf_quant_n_quantized(pf->quant),                                          //
                  "side_tensors", (json_int_t)lf_quant_n_side(pf->quant),                                            //
                  "parameters", (json_int_t)s->census.n_parameter,                                                   //
                  "bf16_bytes", (json_int_t)(2 * s->census.n_parameter),                                             //
                  "fp8_bytes", (json_int_t)s->fp8_bytes, "per_rank", needs_json(s),                                  //
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
    survey found = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, operands, 2, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!operands[0] || (operands[1] && !args.tensors)) {
        lf_error_set(&err, LF_ERR_USAGE, operands[0] ? "a pattern needs --tensors" : "MODEL is missing");
        lf_error_hint(&err, "`landfall inspect --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    status = lf_preflight_run(&pf, operands[0], NULL, &err);
    if (!status) status = make_survey(&found, &pf, &err);
    if (!status && args.json)
        status = print_json(&pf, operands[0], &args, operands[1], &found, &err);
    else if (!status && args.tensors)
        print_tensors(&pf, operands[1]);
    else if (!status)
        print_screen(&pf, operands[0], &found);
    lf_census_fini(&found.census);
    lf_preflight_fini(&pf);
    return status ? lf_cli_fail(verb, &err) : 0;
}

const lf_verb lf_verb_inspect = {
    .name = "inspect",
    .operands = "MODEL",
    .summary = "what a model directory holds: architecture, scheme, sizes",
    .description =
        "What a model directory is, on one screen: architecture, sizes, quantization scheme, data types. It describes "
        "and "
        "does not judge: what is wrong is counted, and landfall check says it. Only headers and JSON are read.",
    .example = "landfall inspect models/Qwen3-8B-FP8 --tensors '*.mlp.*'",
    .opts = inspect_opts,
    .n_opt = LF_ARRAY_LENGTH(inspect_opts),
    .run = run_inspect,
};
