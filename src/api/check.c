// SPDX-License-Identifier: Apache-2.0
//
// The check as one call. It says what `landfall check` says, in the same order; tests/api holds the two together.
#include <inttypes.h>

#include "api/api_int.h"
#include "plan/split_check.h"
#include "text/text_check.h"

lf_status lf__api_topology(lf_topology *out, int64_t tensor_parallel_size, int64_t expert_parallel_size, lf_error *err)
{
    *out =
        (lf_topology){tensor_parallel_size ? tensor_parallel_size : 1, expert_parallel_size ? expert_parallel_size : 1};
    const int64_t sizes[] = {out->tensor_parallel_size, out->expert_parallel_size};
    for (int i = 0; i < 2; i++) {
        if (sizes[i] >= 1 && sizes[i] <= LF_MAX_RANKS) continue;
        lf_error_set(err, LF_ERR_USAGE, "%s is out of range", i == 0 ? "tensor_parallel_size" : "expert_parallel_size");
        lf_error_expected(err, "1 to %d", LF_MAX_RANKS);
        return lf_error_found(err, "%" PRId64, sizes[i]);
    }
    return LF_OK;
}

// The preflight's findings stay with the model: a second check finds them again.
static void copy_findings(lf_findings *to, const lf_findings *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const lf_finding *f = &from->items[i];
        lf_finding_args args = {f->code, f->severity, f->subject, f->expected, f->found, f->remedy};
        lf_findings_add(to, &args, "%s", f->message);
    }
    to->failed |= from->failed;
}

lf_status lf_check_run(const lf_model *model, const lf_check_options *options, lf_findings *findings, lf_error *err)
{
    static const lf_check_options defaults = {0};
    const lf_preflight *pf = &model->preflight;
    lf_topology topology;
    lf_text_summary text;
    if (!options) options = &defaults;
    lf_status status = lf__api_topology(&topology, options->tensor_parallel_size, options->expert_parallel_size, err);
    if (status) return status;
    copy_findings(findings, &pf->findings);
    status = lf_text_check(model->dir, &text, findings, err);
    if (status) return status;
    lf_preflight_vocabulary(pf, text.n_token, findings);
    if (topology.expert_parallel_size > 1) lf_split_check_experts(&model->outline, findings);
    status = lf_split_check(&model->outline, pf->quant, topology, findings, err);
    if (!status && options->deep) status = lf_quant_scan(pf->quant, NULL, NULL, findings, err);
    if (!status && findings->failed) status = lf_error_no_memory(err, 0);
    return status;
}
