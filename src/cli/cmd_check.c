// SPDX-License-Identifier: Apache-2.0
//
// landfall check: the strict preflight of a model directory. Reads headers and JSON only (--deep: all data as well);
// every finding names the file or tensor, what was expected, what was found and what to do. Exit status 1 when there is
// an error.
//
// --json prints one object, --sarif writes a file: docs/check-json.md describes both.
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/finding_json.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/outline.h"
#include "model/preflight.h"
#include "plan/plan.h"
#include "plan/split_check.h"
#include "text/text_check.h"

typedef struct check_args {
    int64_t tensor_parallel_size, expert_parallel_size; // the latter 0: not given
    bool expert_parallel;
    bool deep;
    bool all;
    bool json;
    const char *sarif;
    const char *hf_overrides;
} check_args;

static const lf_opt check_opts[] = {
    {.name = "tensor-parallel-size",
     .alias = "-tp",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "also check the partition over N ranks (default 1)",
     .offset = offsetof(check_args, tensor_parallel_size),
     .min = 1,
     .max = LF_MAX_RANKS},
    {.name = "expert-parallel-size",
     .alias = "-ep",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "experts are dealt out whole to N ranks",
     .offset = offsetof(check_args, expert_parallel_size),
     .min = 1,
     .max = LF_MAX_RANKS},
    {.name = "enable-expert-parallel",
     .kind = LF_OPT_FLAG,
     .help = "the same for as many ranks as --tensor-parallel-size",
     .offset = offsetof(check_args, expert_parallel)},
    {.name = "hf-overrides",
     .kind = LF_OPT_STRING,
     .metavar = "JSON",
     .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'",
     .offset = offsetof(check_args, hf_overrides)},
    {.name = "deep",
     .kind = LF_OPT_FLAG,
     .help = "read all data too: NaN codes, bad or odd scales, zeros, duplicates, digests",
     .offset = offsetof(check_args, deep)},
    {.name = "all",
     .kind = LF_OPT_FLAG,
     .help = "print every finding, not 20 of each kind",
     .offset = offsetof(check_args, all)},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print JSON", .offset = offsetof(check_args, json)},
    {.name = "sarif",
     .kind = LF_OPT_STRING,
     .metavar = "FILE",
     .help = "also write the findings as SARIF 2.1.0, for continuous integration",
     .offset = offsetof(check_args, sarif)},
};

enum { SHOWN_PER_CODE = 20 };

static lf_status check_ranks(lf_preflight *pf, const check_args *args, lf_error *err)
{
    lf_outline outline;
    lf_topology split = {.tensor_parallel_size = args->tensor_parallel_size,
                         .expert_parallel_size = args->expert_parallel_size};
    if (!split.expert_parallel_size)
        split.expert_parallel_size = args->expert_parallel ? split.tensor_parallel_size : 1;
    lf_outline_read(&outline, pf->config_json, pf->has_table ? &pf->config : NULL);
    if (args->expert_parallel || args->expert_parallel_size > 1) lf_split_check_experts(&outline, &pf->findings);
    return lf_split_check(&outline, pf->quant, split, &pf->findings, err);
}

typedef struct data_read {
    lf_digest *digests; // OWNED, one for each tensor of the checkpoint; NULL: the data was not read
    double seconds;
} data_read;

static lf_status check_data(lf_preflight *pf, data_read *data, lf_error *err)
{
    lf_progress progress;
    data->digests = calloc(LF_MAX(lf_checkpoint_count(pf->checkpoint), 1), sizeof *data->digests);
    if (!data->digests) return lf_error_no_memory(err, 0);
    int64_t start_ns = lf_now_ns();
    lf_progress_begin(&progress, "reading data", "bytes", lf_checkpoint_bytes(pf->checkpoint));
    lf_status status = lf_quant_scan(pf->quant, data->digests, &progress, &pf->findings, err);
    lf_progress_end(&progress);
    data->seconds = (double)(lf_now_ns() - start_ns) * 1e-9;
    return status;
}

static json_t *digests_json(const lf_checkpoint *checkpoint, const lf_digest *digests)
{
    json_t *object = json_object();
    for (size_t i = 0; i < lf_checkpoint_count(checkpoint); i++) {
        char hex[LF_DIGEST_HEX_BYTES];
        lf_digest_hex(digests[i], hex);
        json_object_set_new(object, lf_checkpoint_tensor(checkpoint, i)->name, json_string(hex));
    }
    return object;
}

// The tokenizer is read beside the headers: for a large vocabulary it is as much work.
typedef struct text_job {
    const char *dir;
    lf_text_summary summary;
    lf_findings findings;
    lf_status status;
    lf_error err;
} text_job;

static void *run_text_job(void *ctx)
{
    text_job *job = ctx;
    job->status = lf_text_check(job->dir, &job->summary, &job->findings, &job->err);
    return NULL;
}

// Headers and tokenizer, side by side.
static lf_status check_files(lf_preflight *pf, const char *model, const json_t *overrides, lf_error *err)
{
    pthread_t thread;
    text_job job = {.dir = model};
    bool is_beside = pthread_create(&thread, NULL, run_text_job, &job) == 0;
    lf_status status = lf_preflight_run(pf, model, overrides, err);
    if (is_beside)
        pthread_join(thread, NULL);
    else
        run_text_job(&job);
    if (!status && job.status) {
        *err = job.err;
        status = job.status;
    }
    if (!status) {
        lf_findings_append(&pf->findings, &job.findings);
        lf_preflight_vocabulary(pf, job.summary.n_token, &pf->findings);
    }
    lf_findings_fini(&job.findings);
    return status;
}

static const char *architecture_of(const lf_preflight *pf)
{
    if (pf->has_table) return pf->config.architecture;
    return json_string_value(json_array_get(json_object_get(pf->config_json, "architectures"), 0));
}

static void print_text(const lf_preflight *pf, const char *model, const check_args *args, const data_read *data)
{
    const lf_findings *findings = &pf->findings;
    char bytes[32];
    const char *architecture = architecture_of(pf);
    printf("%s: %s, %zu tensors in %zu shards, %s, %s\n\n", model, architecture ? architecture : "unknown architecture",
           lf_checkpoint_count(pf->checkpoint), lf_checkpoint_n_shard(pf->checkpoint),
           lf_show_bytes(bytes, sizeof bytes, lf_checkpoint_bytes(pf->checkpoint)), lf_quant_scheme(pf->quant));
    lf_show_findings(stdout, findings, args->all ? 0 : SHOWN_PER_CODE);
    if (data->digests && data->seconds > 0)
        printf("%s of data read in %.2f s, %.2f GB/s\n", bytes, data->seconds,
               (double)lf_checkpoint_bytes(pf->checkpoint) * 1e-9 / data->seconds);
    printf("%s: %zu error%s, %zu warning%s%s\n", findings->n_error ? "failed" : "ok", findings->n_error,
           findings->n_error == 1 ? "" : "s", findings->n_warning, findings->n_warning == 1 ? "" : "s",
           pf->has_table ? "" : "; the parameter table was not compared");
}

static lf_status print_json(const lf_preflight *pf, const char *model, const check_args *args, const data_read *data,
                            lf_error *err)
{
    const lf_findings *findings = &pf->findings;
    const char *architecture = architecture_of(pf);
    json_t *root = json_pack("{s:o, s:b, s:o, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:o}",   //
                             "model", lf_json_lossy_string(model), "ok", findings->n_error == 0,                   //
                             "architecture", architecture ? lf_json_lossy_string(architecture) : json_null(),      //
                             "has_table", pf->has_table, "scheme", lf_quant_scheme(pf->quant),                     //
                             "shards", (json_int_t)lf_checkpoint_n_shard(pf->checkpoint),                          //
                             "tensors", (json_int_t)lf_checkpoint_count(pf->checkpoint),                           //
                             "bytes", (json_int_t)lf_checkpoint_bytes(pf->checkpoint),                             //
                             "quantized", (json_int_t)lf_quant_n_quantized(pf->quant),                             //
                             "side_tensors", (json_int_t)lf_quant_n_side(pf->quant),                               //
                             "deep", args->deep, "tensor_parallel_size", (json_int_t)args->tensor_parallel_size,   //
                             "errors", (json_int_t)findings->n_error, "warnings", (json_int_t)findings->n_warning, //
                             "dropped", (json_int_t)findings->n_dropped, "findings", lf_findings_json(findings));
    if (root && data->digests) {
        json_object_set_new(root, "data_seconds", json_real(data->seconds));
        json_object_set_new(root, "digests", digests_json(pf->checkpoint, data->digests));
    }
    return lf_show_json(root, err);
}

// The file of the directory that holds what a finding names: a tensor's shard, the file itself (NULL), or config.json.
static const char *file_of_subject(void *ctx, const char *subject)
{
    const lf_preflight *pf = ctx;
    const lf_stored_tensor *tensor = lf_checkpoint_find(pf->checkpoint, subject);
    if (tensor) return lf_checkpoint_shard(pf->checkpoint, tensor->shard)->file_name;
    static const char *const ends[] = {".json", ".safetensors", ".jinja", ".model"};
    size_t length = strlen(subject);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(ends); i++) {
        size_t end = strlen(ends[i]);
        if (length > end && strcmp(subject + length - end, ends[i]) == 0) return NULL;
    }
    return "config.json";
}

static lf_status write_sarif(lf_preflight *pf, const char *path, lf_error *err)
{
    json_t *log = lf_findings_sarif(&pf->findings, lf_checkpoint_dir(pf->checkpoint), file_of_subject, pf);
    char *text = log ? json_dumps(log, JSON_INDENT(2)) : NULL;
    json_decref(log);
    lf_status status = text ? lf_file_write(path, text, strlen(text), err) : lf_error_no_memory(err, 0);
    free(text);
    return status;
}

static int run_check(const lf_verb *verb, int argc, char **argv)
{
    check_args args = {.tensor_parallel_size = 1};
    const char *model = NULL;
    bool is_done = false;
    lf_error err = {0};
    lf_preflight pf = {0};
    data_read data = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &model, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!model) {
        lf_error_set(&err, LF_ERR_USAGE, "MODEL is missing; `landfall check --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    json_t *overrides = NULL;
    status = lf_overrides_parse(&overrides, args.hf_overrides, &err);
    if (!status) status = check_files(&pf, model, overrides, &err);
    json_decref(overrides);
    if (!status) status = check_ranks(&pf, &args, &err);
    if (!status && args.deep) status = check_data(&pf, &data, &err);
    if (!status && pf.findings.failed) status = lf_error_no_memory(&err, 0);
    if (!status && args.sarif) status = write_sarif(&pf, args.sarif, &err);
    int exit_status = pf.findings.n_error ? lf_status_exit(LF_ERR_FINDINGS) : 0;
    if (!status && args.json)
        status = print_json(&pf, model, &args, &data, &err);
    else if (!status)
        print_text(&pf, model, &args, &data);
    free(data.digests);
    lf_preflight_fini(&pf);
    return status ? lf_cli_fail(verb, &err) : exit_status;
}

const lf_verb lf_verb_check = {
    .name = "check",
    .operands = "MODEL",
    .summary = "strict preflight: files, scales, parameters; headers only",
    .description =
        "Everything that can be known about a checkpoint before its data is copied or loaded: files that are missing, "
        "truncated or foreign, weights without scales and scales without weights, shapes and block sizes, names and "
        "shapes against the parameter table of the architecture, tokenizer and chat template, and the partition over "
        "any number of ranks. All findings come at once, each with what was expected, what was found and what to do."
        "\n\n"
        "Only headers and JSON are read; with --deep all data too.",
    .example = "landfall check models/DeepSeek-V3 --tensor-parallel-size 16 --sarif check.sarif",
    .opts = check_opts,
    .n_opt = LF_ARRAY_LENGTH(check_opts),
    .run = run_check,
};
