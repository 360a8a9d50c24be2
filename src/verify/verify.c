// SPDX-License-Identifier: Apache-2.0
//
// The order of a bring-up: preflight, gate A with dummy weights, gate B with real weights, report.
#include "verify/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/finding_json.h"
#include "base/mem.h"
#include "landfall.h"
#include "model/preflight.h"
#include "verify/verify_int.h"

// A model without its last layers computes something, but not what the checkpoint is for: that rules sign-off out.
static void add_layers_step(lf__steps *steps, const lf_preflight *preflight)
{
    lf__step_result result = {.status = LF_STEP_PASSED};
    int64_t n = preflight->config.num_hidden_layers, n_checkpoint = preflight->config.num_checkpoint_layers;
    lf__steps_begin(steps);
    if (!preflight->has_table) {
        result.status = LF_STEP_SKIPPED;
        snprintf(result.detail, sizeof result.detail, "the number of layers is not known: no parameter table");
    } else if (n < n_checkpoint) {
        result.status = LF_STEP_SKIPPED;
        snprintf(result.detail, sizeof result.detail,
                 "%lld of %lld layers were run (--hf-overrides): weaker evidence, which is never signed off",
                 (long long)n, (long long)n_checkpoint);
    } else {
        snprintf(result.detail, sizeof result.detail, "%lld layers", (long long)n);
    }
    if (preflight->has_table) {
        result.evidence = json_pack("{s:I, s:I}", "num_hidden_layers", (json_int_t)n, "num_checkpoint_layers",
                                    (json_int_t)n_checkpoint);
    }
    lf__steps_add(steps, "preflight.layers", &result, NULL);
}

// Runs the strict check and puts what it saw into the report.
static lf_status run_preflight(const lf_verify_options *options, const json_t *overrides, json_t *report,
                               lf__steps *steps, lf__model *model, lf_error *err)
{
    lf_preflight preflight;
    json_t *fingerprint = NULL;
    lf__step_result result = {.status = LF_STEP_PASSED};
    *model = (lf__model){0};
    lf__steps_begin(steps);
    lf_status status = lf_preflight_run(&preflight, options->model_dir, overrides, err);
    if (status) return status;

    const lf_findings *findings = &preflight.findings;
    if (findings->failed) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    if (preflight.checkpoint && preflight.config_json) {
        status = lf__fingerprint(&fingerprint, options->model_dir, preflight.checkpoint, options->hash_data, err);
        if (status) goto out;
        json_object_set_new(report, "fingerprint", fingerprint);
    }
    model->has_vision = json_is_object(json_object_get(preflight.config_json, "vision_config"));
    json_object_set_new(report, "architecture",
                        json_string(preflight.has_table ? preflight.config.architecture : "unknown"));
    json_object_set_new(report, "scheme", json_string(preflight.quant ? lf_quant_scheme(preflight.quant) : "unknown"));
    lf_error first;
    if (lf_findings_status(findings, &first)) {
        result.status = LF_STEP_FAILED;
        lf_error_format(&first, result.detail, sizeof result.detail);
    } else if (!preflight.has_table) {
        result.status = LF_STEP_FAILED;
        snprintf(result.detail, sizeof result.detail,
                 "no parameter table for this architecture: names and shapes went unchecked");
    } else {
        model->is_sound = true;
        snprintf(result.detail, sizeof result.detail, "%zu tensors, %zu quantized, %zu warnings",
                 lf_checkpoint_count(preflight.checkpoint), lf_quant_n_quantized(preflight.quant), findings->n_warning);
    }
    result.evidence = json_pack("{s:o}", "findings", lf_findings_json(findings));
    lf__steps_add(steps, "preflight.check", &result, NULL);
    add_layers_step(steps, &preflight);
    model->has_table = preflight.has_table;
    if (preflight.has_table) model->config = preflight.config;

out:
    lf_preflight_fini(&preflight);
    return status;
}

// What may stand beside the report and belongs to it.
static const char *const evidence_files[] = {
    "dummy.log", "dummy.ranks.log", "dummy.one_rank.log", "dummy.ranks.trace", "dummy.one_rank.trace",
    "real.log",  "real.ranks.log",  "real.one_rank.log",  "real.ranks.trace",  "real.one_rank.trace",
};

static void add_log_digests(json_t *report, const char *output_dir)
{
    json_t *logs = json_object();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(evidence_files); i++) {
        char hex[65];
        lf_error err; // a gate that never started has no log
        const char *name = evidence_files[i];
        char *path = lf_path_join(output_dir, name);
        if (path && lf__file_digest(path, hex, &err) == LF_OK) json_object_set_new(logs, name, json_string(hex));
        free(path);
    }
    json_object_set_new(report, "logs", logs);
}

// What the servers said about device and ranks; the later gate's word counts.
static void add_engine(json_t *report, const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        const json_t *engine = json_object_get(json_object_get(step, "evidence"), "engine");
        const json_t *device = json_object_get(engine, "device");
        if (json_is_string(device)) json_object_set(report, "device", (json_t *)(uintptr_t)device);
        if (json_is_array(json_object_get(engine, "ranks"))) {
            lf__topology_add_ranks(json_object_get(report, "topology"), engine);
        }
    }
}

static json_t *new_report(const lf_verify_options *options, json_t *overrides)
{
    char created[32], *dir = realpath(options->model_dir, NULL);
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    const char *model_dir = dir ? dir : options->model_dir;
    const char *slash = strrchr(model_dir, '/');
    json_t *report =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O*}", "format", "landfall-report-1", "landfall_version",
                  lf_version(), "created", created, "model", slash ? slash + 1 : model_dir, "model_dir", model_dir,
                  "load_format", options->dummy_only ? "dummy" : "auto", "hf_overrides", overrides);
    free(dir);
    return report;
}

static lf_status make_folder(const char *path, lf_error *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return LF_OK;
    lf_error_errno(err, errno, "cannot make the folder %s", path);
    lf_error_subject(err, "%s", path);
    return lf_error_hint(err, "--output-dir names another one");
}

// Logs of an earlier run must not stand beside this run's report.
static void remove_old_logs(const char *output_dir)
{
    static const char *const reports[] = {"report.json", "report.md"};
    size_t n_evidence = LF_ARRAY_LENGTH(evidence_files);
    for (size_t i = 0; i < n_evidence + LF_ARRAY_LENGTH(reports); i++) {
        char *path = lf_path_join(output_dir, i < n_evidence ? evidence_files[i] : reports[i - n_evidence]);
        if (path) unlink(path);
        free(path);
    }
}

lf_status lf_verify_run(const lf_verify_options *options, json_t **out_report, lf_error *err)
{
    json_t *report = NULL, *steps_json = NULL, *reasons = NULL, *overrides = NULL;
    lf_status status = lf_overrides_parse(&overrides, options->hf_overrides, err);
    if (status) return status;
    report = new_report(options, overrides);
    steps_json = json_array();
    char *probes_path = NULL;
    lf__steps steps = {.list = steps_json,
                       .output_dir = options->output_dir,
                       .on_step = options->on_step,
                       .on_step_ctx = options->on_step_ctx};
    lf__model model;
    status = report && steps_json ? make_folder(options->output_dir, err) : lf_error_no_memory(err, 0);
    if (status) goto out;
    remove_old_logs(options->output_dir);
    status = run_preflight(options, overrides, report, &steps, &model, err);
    if (status) goto out;

    probes_path =
        options->probes_path ? strdup(options->probes_path) : lf_path_join(options->model_dir, "landfall-probes.json");
    if (!probes_path) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    bool has_probes = options->probes_path || access(probes_path, F_OK) == 0;
    lf__gate_args gate = {.options = options, .probes_path = has_probes ? probes_path : NULL, .model = &model};
    lf__gate_run(&steps, &gate);
    gate.is_real = true;
    if (options->dummy_only) {
        lf__gate_skip(&steps, "real", "--load-format dummy: real weights were not loaded");
    } else if (!model.is_sound) {
        lf__gate_skip(&steps, "real", "the preflight check failed: this checkpoint is not loaded");
    } else {
        lf__gate_run(&steps, &gate);
    }

    bool signed_off = lf__signoff(steps_json, &reasons);
    add_log_digests(report, options->output_dir);
    json_t *topology = lf__topology(options, &model);
    if (topology) json_object_set_new(report, "topology", topology);
    add_engine(report, steps_json);
    json_object_set(report, "steps", steps_json);
    json_object_set_new(report, "proof", lf__proof_table(steps_json));
    json_object_set_new(report, "signed_off", json_boolean(signed_off));
    json_object_set(report, "reasons", reasons);
    if (steps.failed) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    status = lf__report_write(report, options->output_dir, err);
    if (status) goto out;
    *out_report = json_incref(report);
    if (!signed_off) {
        status = lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "not signed off: %s",
                              json_string_value(json_array_get(reasons, 0)));
    }

out:
    free(probes_path);
    json_decref(overrides);
    json_decref(reasons);
    json_decref(steps_json);
    json_decref(report);
    return status;
}
