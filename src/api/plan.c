// SPDX-License-Identifier: Apache-2.0
//
// The plan of a model over ranks. Bytes come from the parameter table when the architecture has one and from the
// headers otherwise, as `landfall plan` counts them; tests/api holds the two together.
#include <stdlib.h>

#include "api/api_int.h"
#include "base/mem.h"
#include "plan/plan.h"

struct lf_plan {
    lf_share *shares; // OWNED
    size_t n_rank;
};

static lf_span span_of(lf_range range) { return (lf_span){range.begin, range.end}; }

static lf_share share_of(const lf_rank_plan *plan, const lf_config *dims)
{
    lf_share share = {
        .query_heads = span_of(plan->query_heads), .kv_heads = span_of(plan->kv_heads), .vocab = span_of(plan->vocab)};
    for (int64_t head = plan->kv_heads.begin; head < plan->kv_heads.end; head++)
        share.n_kv_replicated += lf_plan_kv_copies(dims, plan->n_rank, head) > 1;
    return share;
}

static lf_status weigh_by_table(lf_share *share, const lf_model *model, const lf_rank_plan *plan, lf_error *err)
{
    const lf_preflight *pf = &model->preflight;
    lf_slices slices = {0};
    lf_status status = lf_slices_build(&slices, &pf->parameters, &pf->config, plan, err);
    if (!status) {
        lf_budget budget = lf_budget_of(&slices, &pf->config, plan);
        share->weight_bytes = budget.weight_bytes;
        share->kv_bytes_per_token = budget.kv_bytes_per_token;
    }
    lf_slices_fini(&slices);
    return status;
}

static lf_status fill_share(lf_share *share, const lf_model *model, lf_topology topology, int64_t rank, lf_error *err)
{
    const lf_outline *outline = &model->outline;
    const lf_preflight *pf = &model->preflight;
    lf_config dims = pf->has_table ? pf->config : lf_outline_dims(outline);
    lf_rank_plan plan;
    int64_t tp = topology.tensor_parallel_size, ep = topology.expert_parallel_size;
    lf_status status = lf_rank_plan_build(&plan, &dims, tp, rank % tp, err);
    if (status) return status;
    *share = share_of(&plan, &dims);
    share->intermediate = span_of(lf_topology_width(outline, topology, rank));
    if (ep > 1) share->experts = span_of(lf_range_balanced(outline->num_experts, ep, rank % ep));
    if (pf->has_table && ep > 1) lf_rank_plan_deal_experts(&plan, &dims, ep, rank % ep);
    if (pf->has_table) return weigh_by_table(share, model, &plan, err);
    share->weight_bytes = lf_census_rank_bytes(&model->census, outline, topology, rank, LF_RESIDENCY_BF16);
    share->kv_bytes_per_token = lf_outline_kv_bytes(outline, lf_range_length(plan.kv_heads));
    return LF_OK;
}

lf_status lf_plan_open(lf_plan **out, const lf_model *model, const lf_plan_options *options, lf_error *err)
{
    static const lf_plan_options defaults = {0};
    lf_topology topology;
    *out = NULL;
    if (!options) options = &defaults;
    lf_status status = lf__api_topology(&topology, options->tensor_parallel_size, options->expert_parallel_size, err);
    if (status) return status;
    if (!model->preflight.has_table && !lf_outline_has_heads(&model->outline))
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "config.json says nothing about attention heads");
    if (model->outline.num_experts == 0) topology.expert_parallel_size = 1;
    size_t n_rank = (size_t)LF_MAX(topology.tensor_parallel_size, topology.expert_parallel_size);
    lf_plan *plan = calloc(1, sizeof *plan);
    if (plan) plan->shares = calloc(n_rank, sizeof *plan->shares);
    if (!plan || !plan->shares) {
        status = lf_error_no_memory(err, n_rank * sizeof *plan->shares);
        goto out;
    }
    plan->n_rank = n_rank;
    for (size_t rank = 0; !status && rank < n_rank; rank++)
        status = fill_share(&plan->shares[rank], model, topology, (int64_t)rank, err);
    if (status) goto out;
    *out = plan;
    plan = NULL;
out:
    lf_plan_close(plan);
    return status;
}

void lf_plan_close(lf_plan *plan)
{
    if (!plan) return;
    free(plan->shares);
    free(plan);
}

size_t lf_plan_n_rank(const lf_plan *plan) { return plan->n_rank; }

const lf_share *lf_plan_share(const lf_plan *plan, size_t rank)
{
    return rank < plan->n_rank ? &plan->shares[rank] : NULL;
}
