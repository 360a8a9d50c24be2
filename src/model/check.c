// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint's logical tensors against the parameter table: what is missing, unexpected, of another shape or of a
// dtype that cannot stand there. Both sides are sorted by name and merged, so a hundred thousand rows are no work.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "model/model.h"

static const char unexpected_remedy[] =
    "the config does not match the checkpoint, or the checkpoint holds parts that this architecture does not have";

// A missing parameter whose tensor was refused earlier (in two shards, not where the index says) is already reported
// by that finding. The subjects of the errors so far, sorted.
typedef struct subjects {
    const char **items; // OWNED array of BORROWED names
    size_t count;
} subjects;

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool subjects_collect(subjects *out, const lf_findings *findings)
{
    *out = (subjects){0};
    if (findings->count == 0) return true;
    out->items = lf_realloc_array(NULL, findings->count, sizeof *out->items);
    if (!out->items) return false;
    for (size_t i = 0; i < findings->count; i++) {
        const lf_finding *finding = &findings->items[i];
        if (finding->severity == LF_SEVERITY_ERROR) out->items[out->count++] = finding->subject;
    }
    qsort(out->items, out->count, sizeof *out->items, compare_text);
    return true;
}

static bool subjects_has(const subjects *known, const char *name)
{
    return known->count && bsearch(&name, known->items, known->count, sizeof *known->items, compare_text);
}

static void format_shape(char *dst, size_t dst_bytes, const int64_t *shape, size_t rank)
{
    size_t used = (size_t)snprintf(dst, dst_bytes, "[");
    for (size_t i = 0; i < rank && used < dst_bytes; i++) {
        used += (size_t)snprintf(dst + used, dst_bytes - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    }
    if (used < dst_bytes) snprintf(dst + used, dst_bytes - used, "]");
}

static void report_missing(lf_findings *findings, const lf_parameter *parameter)
{
    char expected[64];
    format_shape(expected, sizeof expected, parameter->shape, parameter->rank);
    lf_findings_add(findings,
                    &(lf_finding_args){.code = "parameter-missing",
                                       .severity = LF_SEVERITY_ERROR,
                                       .subject = parameter->name,
                                       .expected = expected,
                                       .found = "no such tensor",
                                       .remedy = "complete the checkpoint, or correct config.json"},
                    "parameter '%s' is missing", parameter->name);
}

static void report_unexpected(lf_findings *findings, const lf_config *config, const lf_logical_tensor *tensor)
{
    char found[128];
    lf_stored_tensor_format(tensor->weight, found, sizeof found);
    const char *reason = lf_config_ignored_reason(config, tensor->name);
    if (reason) {
        lf_findings_add(
            findings,
            &(lf_finding_args){
                .code = "parameter-ignored", .severity = LF_SEVERITY_NOTE, .subject = tensor->name, .found = found},
            "%s", reason);
        return;
    }
    lf_findings_add(findings,
                    &(lf_finding_args){.code = "parameter-unexpected",
                                       .severity = LF_SEVERITY_ERROR,
                                       .subject = tensor->name,
                                       .expected = "no such tensor",
                                       .found = found,
                                       .remedy = unexpected_remedy},
                    "%s has no parameter '%s'", config->architecture, tensor->name);
}

// Layers for multi-token prediction are one note as well. `first`: the first tensor of them.
static void report_mtp(lf_findings *findings, const lf_config *config, const char *first, size_t n_tensor)
{
    if (n_tensor == 0) return;
    char found[96];
    snprintf(found, sizeof found, "%zu tensors after the first %" PRId64 " layers", n_tensor,
             config->num_checkpoint_layers);
    lf_finding_args args = {.code = "parameter-ignored",
                            .severity = LF_SEVERITY_NOTE,
                            .subject = "num_nextn_predict_layers",
                            .found = found};
    lf_findings_add(findings, &args, "%zu tensors from '%s' on are %s", n_tensor, first,
                    lf_config_ignored_reason(config, first));
}

// Layers that overrides leave out are one note, however many tensors they have.
static void report_skipped(lf_findings *findings, const lf_config *config, size_t n_skipped)
{
    char found[96];
    if (n_skipped == 0) return;
    snprintf(found, sizeof found, "%" PRId64 " layers in the checkpoint, %" PRId64 " in use",
             config->num_checkpoint_layers, config->num_hidden_layers);
    lf_finding_args args = {
        .code = "layers-skipped", .severity = LF_SEVERITY_NOTE, .subject = "num_hidden_layers", .found = found};
    lf_findings_add(findings, &args,
                    "%zu tensors of layers %" PRId64 " to %" PRId64 " are not used: --hf-overrides leaves them out",
                    n_skipped, config->num_hidden_layers, config->num_checkpoint_layers - 1);
}

// Matrices may be stored in any format that dequantizes; vectors (norms, biases) enter sums as they are and are never
// FP8.
static bool dtype_is_allowed(const lf_parameter *parameter, const lf_logical_tensor *tensor)
{
    switch (tensor->weight->dtype) {
    case LF_DTYPE_BF16:
    case LF_DTYPE_F16:
    case LF_DTYPE_F32: return true;
    default: // layout BROKEN was reported by the pairing
        return parameter->rank == 2 && tensor->layout != LF_SCALE_NONE &&
               (lf_dtype_is_fp8(tensor->weight->dtype) || lf_logical_is_fp4(tensor));
    }
}

static void check_pair(lf_findings *findings, const lf_parameter *parameter, const lf_logical_tensor *tensor)
{
    const lf_stored_tensor *weight = tensor->weight;
    if (tensor->layout == LF_SCALE_BROKEN) return; // reported by the pairing; its shape may be that of packed codes
    int64_t shape[LF_MAX_RANK];
    bool same_shape = (size_t)lf_logical_shape(tensor, shape) == parameter->rank;
    for (size_t i = 0; same_shape && i < parameter->rank; i++) same_shape = shape[i] == parameter->shape[i];
    if (!same_shape) {
        char expected[64], found[128];
        format_shape(expected, sizeof expected, parameter->shape, parameter->rank);
        format_shape(found, sizeof found, shape, weight->rank);
        lf_findings_add(findings,
                        &(lf_finding_args){.code = "parameter-shape",
                                           .severity = LF_SEVERITY_ERROR,
                                           .subject = parameter->name,
                                           .expected = expected,
                                           .found = found,
                                           .remedy = "config.json and checkpoint belong to different models"},
                        "wrong shape of '%s'", parameter->name);
    }
    if (!dtype_is_allowed(parameter, tensor)) {
        lf_findings_add(findings,
                        &(lf_finding_args){.code = "parameter-dtype",
                                           .severity = LF_SEVERITY_ERROR,
                                           .subject = parameter->name,
                                           .expected = parameter->rank == 2 ? "BF16, F16, F32, or FP8 with a scale"
                                                                            : "BF16, F16 or F32",
                                           .found = lf_dtype_name(weight->dtype),
                                           .remedy = "this format cannot stand here; export the checkpoint again"},
                        "wrong dtype of '%s'", parameter->name);
    }
}

// The parameters' indices in the order of their names; NULL when memory is gone.
static uint32_t *sort_parameters(const lf_parameters *parameters)
{
    size_t n = parameters->count;
    const char **names = lf_realloc_array(NULL, LF_MAX(n, 1), sizeof *names);
    uint32_t *order = lf_realloc_array(NULL, LF_MAX(n, 1), sizeof *order);
    for (size_t i = 0; names && i < n; i++) names[i] = parameters->items[i].name;
    bool is_sorted = names && order && lf_sort_names(names, n, order);
    free(names);
    if (is_sorted) return order;
    free(order);
    return NULL;
}

void lf_model_check(const lf_parameters *parameters, const lf_config *config, const lf_quant *quant,
                    lf_findings *findings)
{
    size_t n_parameter = parameters->count, n_tensor = lf_quant_count(quant), n_skipped = 0, n_mtp = 0;
    const char *first_mtp = NULL;
    subjects known;
    uint32_t *sorted = sort_parameters(parameters);
    if (!subjects_collect(&known, findings) || !sorted) {
        findings->failed = true;
        goto out;
    }
    for (size_t p = 0, t = 0; p < n_parameter || t < n_tensor;) {
        const lf_parameter *parameter = p < n_parameter ? &parameters->items[sorted[p]] : NULL;
        const lf_logical_tensor *tensor = t < n_tensor ? lf_quant_tensor(quant, t) : NULL;
        int order = !tensor ? -1 : !parameter ? 1 : strcmp(parameter->name, tensor->name);
        if (order < 0 && !subjects_has(&known, parameter->name)) report_missing(findings, parameter);
        if (order == 0) check_pair(findings, parameter, tensor);
        if (order > 0 && lf_config_skips(config, tensor->name)) {
            n_skipped++;
        } else if (order > 0 && lf_config_is_mtp(config, tensor->name)) {
            if (n_mtp++ == 0) first_mtp = tensor->name;
        } else if (order > 0) {
            report_unexpected(findings, config, tensor);
        }
        p += order <= 0;
        t += order >= 0;
    }
    report_skipped(findings, config, n_skipped);
    report_mtp(findings, config, first_mtp, n_mtp);
out:
    free(sorted);
    free(known.items);
}
