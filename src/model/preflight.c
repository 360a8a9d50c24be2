// SPDX-License-Identifier: Apache-2.0
//
// Preflight: checkpoint, config, pairing and parameter table in the order of the data flow, each stage on what the one
// before left usable. The rule between the stages: one mistake is told once. Parameters of a shard that could not be
// read are not also reported as missing.
#include "model/preflight.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

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

static lf_status load_config(lf_preflight *pf, const char *dir, lf_error *err)
{
    lf_error problem = {0};
    lf_status status = lf_config_load(&pf->config, &pf->config_json, dir, &problem);
    if (!status) status = lf_parameters_build(&pf->parameters, &pf->config, &problem);
    pf->has_table = status == LF_OK;
    if (!status) return LF_OK;
    if (status == LF_ERR_NO_MEMORY) return lf_error_no_memory(err, 0);
    if (!pf->config_json) {
        lf_error ignored;
        if (load_json_alone(pf, dir, &ignored)) return lf_error_no_memory(err, 0);
    }
    if (status == LF_ERR_NOT_FOUND) {
        add(&pf->findings, "config-missing", LF_SEVERITY_ERROR, "config.json", &problem);
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

// The table check; what refused shards took away is counted in one note.
static void check_table(lf_preflight *pf)
{
    bool has_refused = false;
    for (size_t i = 0; i < lf_checkpoint_n_shard(pf->checkpoint); i++) {
        has_refused |= lf_checkpoint_shard(pf->checkpoint, i)->is_refused;
    }
    has_refused |= lf_checkpoint_n_shard(pf->checkpoint) == 0;
    if (!has_refused) {
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
    lf_findings_add(&pf->findings, &args, "%zu parameters were not compared: shards that could not be read hold them",
                    n_missing);
}

lf_status lf_preflight_run(lf_preflight *out, const char *model_dir, lf_error *err)
{
    *out = (lf_preflight){0};
    lf_status status = lf_checkpoint_open(&out->checkpoint, model_dir, &out->findings, err);
    if (!status) status = load_config(out, model_dir, err);
    if (!status) status = lf_quant_open(&out->quant, out->checkpoint, out->config_json, &out->findings, err);
    if (!status && out->has_table) check_table(out);
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
