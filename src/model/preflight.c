// SPDX-License-Identifier: Apache-2.0
//
// Preflight: checkpoint, config, pairing and parameter table in the order of the data flow, each stage on what the one
// before left usable. The rule between the stages: one mistake is told once. Parameters of a shard that could not be
// read are not also reported as missing.
#include "model/preflight.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/model_int.h"
#include "model/outline.h"

enum { MAX_CONFIG_BYTES = 16 << 20 };

static void add(lf_findings *findings, const char *code, lf_severity severity, const char *subject, const lf_error *err)
{
    lf_finding_args args = {.code = code,
                            .severity = severity,
                            .subject = subject,
                            .expected = err->expected,
                            .found = err->found,
                            .remedy = err->hint};
    lf_findings_add(findings, &args, "%s", err->message);
}

static bool is_supported(const json_t *config)
{
    const char *name = json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
    if (!name) return false;
    const char *found = strstr(lf_config_supported(), name);
    char after = found ? found[strlen(name)] : 'x';
    return after == '\0' || after == ',' || after == ' ';
}

// config.json as JSON although Landfall cannot run it: the block size in it is still needed.
static lf_status load_json_alone(lf_preflight *pf, const char *dir, lf_error *err)
{
    char *path = lf_path_join(dir, "config.json");
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_json_load(&pf->config_json, path, MAX_CONFIG_BYTES, err);
    free(path);
    return status == LF_ERR_NO_MEMORY ? status : LF_OK;
}

static bool is_pointer_file(const char *dir)
{
    lf_error ignored;
    char *text = NULL, *path = lf_path_join(dir, "config.json");
    size_t length = 0;
    bool answer = path && lf_file_read(&text, &length, path, MAX_CONFIG_BYTES, &ignored) == LF_OK &&
                  lf_is_lfs_pointer(text, length);
    free(text);
    free(path);
    return answer;
}

static lf_status load_config(lf_preflight *pf, const char *dir, const json_t *overrides, lf_error *err)
{
    lf_error problem = {0};
    lf_status status = lf_config_load(&pf->config, &pf->config_json, dir, overrides, &problem);
    if (!status) status = lf_parameters_build(&pf->parameters, &pf->config, &problem);
    pf->has_table = status == LF_OK;
    if (!status) return LF_OK;
    if (status == LF_ERR_NO_MEMORY) return lf_error_no_memory(err, 0);
    if (status == LF_ERR_USAGE) {
        *err = problem;
        return status;
    }
    if (overrides && status == LF_ERR_UNSUPPORTED) {
        lf_error_set(err, LF_ERR_USAGE, "--hf-overrides needs an architecture with a parameter table");
        lf_error_expected(err, "%s", lf_config_supported());
        return lf_error_found(err, "%s", problem.message);
    }
    if (!pf->config_json) {
        lf_error ignored;
        if (load_json_alone(pf, dir, &ignored)) return lf_error_no_memory(err, 0);
    }
    if (status == LF_ERR_NOT_FOUND) {
        add(&pf->findings, "config-missing", LF_SEVERITY_ERROR, "config.json", &problem);
    } else if (status != LF_ERR_UNSUPPORTED && is_pointer_file(dir)) {
        lf_finding_args args = {.code = "lfs-pointer",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = "config.json",
                                .remedy = "fetch the data itself: git lfs pull, or download with huggingface-cli"};
        lf_findings_add(&pf->findings, &args, "config.json is a Git LFS pointer, not the data");
    } else if (status != LF_ERR_UNSUPPORTED) {
        add(&pf->findings, "config-invalid", LF_SEVERITY_ERROR, "config.json", &problem);
    } else if (is_supported(pf->config_json)) {
        add(&pf->findings, "config-unsupported", LF_SEVERITY_ERROR, "config.json", &problem);
    } else {
        lf_finding_args args = {.code = "architecture-unknown",
                                .severity = LF_SEVERITY_NOTE,
                                .subject = "config.json",
                                .expected = lf_config_supported(),
                                .found = problem.found};
        lf_findings_add(&pf->findings, &args, "%s: only the checks that need no parameter table were run",
                        problem.message);
    }
    return LF_OK;
}

// Parts of an index that were refused take tensors away like a shard that cannot be read.
static bool has_refused_entry(const lf_preflight *pf)
{
    for (size_t i = 0; i < pf->findings.count; i++) {
        const char *code = pf->findings.items[i].code;
        if (strcmp(code, "index-path") == 0 || strcmp(code, "index-entry") == 0) return true;
    }
    return false;
}

static bool has_refused_shard(const lf_preflight *pf)
{
    if (has_refused_entry(pf)) return true;
    for (size_t i = 0; i < lf_checkpoint_n_shard(pf->checkpoint); i++) {
        if (lf_checkpoint_shard(pf->checkpoint, i)->is_refused) return true;
    }
    return lf_checkpoint_n_shard(pf->checkpoint) == 0;
}

// Whether a tensor's name begins with `prefix`: names are sorted.
static bool has_prefix(const lf_checkpoint *checkpoint, const char *prefix)
{
    size_t low = 0, high = lf_checkpoint_count(checkpoint), length = strlen(prefix);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strncmp(lf_checkpoint_tensor(checkpoint, middle)->name, prefix, length) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < lf_checkpoint_count(checkpoint) &&
           strncmp(lf_checkpoint_tensor(checkpoint, low)->name, prefix, length) == 0;
}

// Layers for multi-token prediction that are there: as layers past the last one, or under a name of their own, of which
// the number is not known (then all count).
static int64_t count_mtp_layers(const lf_preflight *pf, const lf_outline *outline)
{
    static const char *const roots[] = {"model.", "", "language_model.model.", "model.language_model."};
    static const char *const names[] = {"mtp.", "model.mtp", "language_model.mtp", "model.language_model.mtp"};
    char prefix[96];
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        if (has_prefix(pf->checkpoint, names[i])) return outline->num_mtp_layers;
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(roots); i++) {
        int64_t n = 0;
        for (; n < outline->num_mtp_layers; n++) {
            snprintf(prefix, sizeof prefix, "%slayers.%" PRId64 ".", roots[i], outline->num_hidden_layers + n);
            if (!has_prefix(pf->checkpoint, prefix)) break;
        }
        if (n) return n;
    }
    snprintf(prefix, sizeof prefix, ".layers.%" PRId64 ".", outline->num_hidden_layers); // below a root of another name
    for (size_t i = 0; i < lf_checkpoint_count(pf->checkpoint); i++) {
        const char *name = lf_checkpoint_tensor(pf->checkpoint, i)->name;
        bool is_likely = strstr(name, "mtp") || strstr(name, "nextn") || strstr(name, prefix);
        if (is_likely && lf_name_is_mtp(outline, name)) return outline->num_mtp_layers;
    }
    return 0;
}

static void check_mtp(lf_preflight *pf)
{
    lf_outline outline;
    lf_outline_read(&outline, pf->config_json, pf->has_table ? &pf->config : NULL);
    if (outline.num_mtp_layers == 0 || outline.num_mtp_layers > 1024 || has_refused_shard(pf)) return;
    outline.num_hidden_layers = LF_MAX(outline.num_hidden_layers, outline.num_checkpoint_layers);
    int64_t n = count_mtp_layers(pf, &outline);
    if (n >= outline.num_mtp_layers) return;
    char expected[96], found[32];
    snprintf(expected, sizeof expected, "%" PRId64 " layers after the first %" PRId64, outline.num_mtp_layers,
             outline.num_hidden_layers);
    snprintf(found, sizeof found, "%" PRId64, n);
    lf_finding_args args = {.code = "mtp-missing",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = "config.json",
                            .expected = expected,
                            .found = found,
                            .remedy = "nothing for the model itself; an engine that predicts with these layers stops"};
    lf_findings_add(&pf->findings, &args, "layers for multi-token prediction are promised but not there");
}

static lf_status check_tokenizer(lf_preflight *pf, const char *dir, lf_error *err)
{
    char *path = lf_path_join(dir, "tokenizer.json");
    if (!path) return lf_error_no_memory(err, 0);
    if (access(path, R_OK) != 0) {
        lf_finding_args args = {.code = "tokenizer-missing",
                                .severity = LF_SEVERITY_WARNING,
                                .subject = "tokenizer.json",
                                .remedy = "download it: without it prompts have to be token ids"};
        lf_findings_add(&pf->findings, &args, "tokenizer.json is missing or not readable");
    }
    free(path);
    return LF_OK;
}

// Experts cannot be left out of real weights: the router has a row for each. One finding instead of one per tensor.
static bool has_other_experts(lf_preflight *pf)
{
    const lf_config *config = &pf->config;
    char expected[48], found[48];
    if (config->num_experts == config->num_checkpoint_experts) return false;
    snprintf(expected, sizeof expected, "%" PRId64 ", as in config.json", config->num_checkpoint_experts);
    snprintf(found, sizeof found, "%" PRId64, config->num_experts);
    lf_finding_args args = {.code = "experts-overridden",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = "num_experts",
                            .expected = expected,
                            .found = found,
                            .remedy = "leave out layers (num_hidden_layers) instead, or use dummy weights"};
    lf_findings_add(&pf->findings, &args,
                    "--hf-overrides changes the number of experts: the checkpoint's routers have a row for each");
    return true;
}

// The table check; what refused shards took away is counted in one note.
static void check_table(lf_preflight *pf)
{
    if (has_other_experts(pf)) return;
    if (!has_refused_shard(pf)) {
        lf_model_check(&pf->parameters, &pf->config, pf->quant, &pf->findings);
        return;
    }
    lf_findings table = LF_FINDINGS_INIT;
    lf_model_check(&pf->parameters, &pf->config, pf->quant, &table);
    size_t n_missing = 0;
    for (size_t i = 0; i < table.count; i++) {
        const lf_finding *f = &table.items[i];
        if (strcmp(f->code, "parameter-missing") == 0) {
            n_missing++;
            continue;
        }
        lf_finding_args args = {f->code, f->severity, f->subject, f->expected, f->found, f->remedy};
        lf_findings_add(&pf->findings, &args, "%s", f->message);
    }
    pf->findings.failed |= table.failed;
    lf_findings_fini(&table);
    if (n_missing == 0) return;
    lf_finding_args args = {
        .code = "parameters-not-compared", .severity = LF_SEVERITY_NOTE, .subject = lf_checkpoint_dir(pf->checkpoint)};
    lf_findings_add(&pf->findings, &args,
                    "%zu parameters were not compared: what could not be read of shards or index holds them",
                    n_missing);
}

void lf_preflight_vocabulary(const lf_preflight *pf, int32_t n_token, lf_findings *findings)
{
    lf_outline outline;
    lf_outline_read(&outline, pf->config_json, pf->has_table ? &pf->config : NULL);
    if (outline.vocab_size == 0 || n_token <= outline.vocab_size) return;
    char expected[48], found[48];
    snprintf(expected, sizeof expected, "ids below %" PRId64, outline.vocab_size);
    snprintf(found, sizeof found, "ids up to %" PRId32, n_token - 1);
    lf_finding_args args = {.code = "tokenizer-too-large",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = "tokenizer.json",
                            .expected = expected,
                            .found = found,
                            .remedy = "tokenizer and config.json belong to different models"};
    lf_findings_add(findings, &args, "the tokenizer has tokens without a row of the embedding");
}

// Where tensors were taken away by an error that was told, counting them again would tell it twice.
static bool lacks_tensors(const lf_preflight *pf)
{
    static const char *const codes[] = {"scale-orphan", "tensor-missing", "tensor-misplaced", "tensor-not-in-index"};
    for (size_t i = 0; i < pf->findings.count; i++) {
        for (size_t k = 0; k < LF_ARRAY_LENGTH(codes); k++) {
            if (strcmp(pf->findings.items[i].code, codes[k]) == 0) return true;
        }
    }
    return has_refused_shard(pf);
}

// block_configs: layers of a pruned model may be empty.
static void check_census(lf_preflight *pf)
{
    lf_outline outline;
    if (json_object_get(pf->config_json, "block_configs") || lacks_tensors(pf)) return;
    lf_outline_read(&outline, pf->config_json, NULL);
    lf__census(&outline, pf->quant, &pf->findings);
}

lf_status lf_preflight_run(lf_preflight *out, const char *model_dir, const json_t *overrides, lf_error *err)
{
    *out = (lf_preflight){0};
    lf_status status = lf_checkpoint_open(&out->checkpoint, model_dir, &out->findings, err);
    if (!status) status = load_config(out, model_dir, overrides, err);
    if (!status) status = lf_quant_open(&out->quant, out->checkpoint, out->config_json, &out->findings, err);
    if (!status && out->has_table) check_table(out);
    if (!status && !out->has_table) check_census(out);
    if (!status) check_mtp(out);
    if (!status) status = check_tokenizer(out, model_dir, err);
    if (!status && out->findings.failed) status = lf_error_no_memory(err, 0);
    if (status) lf_preflight_fini(out);
    return status;
}

void lf_preflight_fini(lf_preflight *pf)
{
    lf_parameters_fini(&pf->parameters);
    lf_quant_close(pf->quant);
    lf_checkpoint_close(pf->checkpoint);
    json_decref(pf->config_json);
    lf_findings_fini(&pf->findings);
    *pf = (lf_preflight){0};
}
