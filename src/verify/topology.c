// SPDX-License-Identifier: Apache-2.0
//
// The topology of a bring-up for the report: what each rank holds by the plan that the loader follows, which KV heads
// are replicated and where, and what the ranks themselves say about hosts and bytes.
#include <string.h>

#include "base/json.h"
#include "plan/plan.h"
#include "verify/verify_int.h"

static json_t *range_json(lf_range range)
{
    return json_pack("[I, I]", (json_int_t)range.begin, (json_int_t)range.end);
}

static json_t *rank_json(const lf_config *config, const lf_parameters *parameters, int64_t n_rank, int64_t rank,
                         bool deals_experts)
{
    lf_error err;
    lf_rank_plan plan;
    lf_slices slices = {0};
    json_t *out = NULL;
    if (lf_rank_plan_build(&plan, config, n_rank, rank, &err)) return NULL;
    if (deals_experts) lf_rank_plan_deal_experts(&plan, config, n_rank, rank);
    if (!lf_slices_build(&slices, parameters, config, &plan, &err)) {
        lf_budget budget = lf_budget_of(&slices, config, &plan);
        out = json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:I}",                                                    //
                        "rank", (json_int_t)rank, "query_heads", range_json(plan.query_heads),                    //
                        "kv_heads", range_json(plan.kv_heads),                                                    //
                        "experts", config->num_experts > 0 ? range_json(plan.experts) : json_null(),              //
                        "vocab", range_json(plan.vocab), "planned_weight_bytes", (json_int_t)budget.weight_bytes, //
                        "planned_kv_bytes_per_token", (json_int_t)budget.kv_bytes_per_token);
    }
    lf_slices_fini(&slices);
    return out;
}

// KV heads that several ranks hold; the first of the ranks owns it.
static json_t *replicated_json(const lf_config *config, int64_t n_rank)
{
    json_t *list = json_array();
    if (config->kv_lora_rank > 0) return list; // latent attention has no KV heads
    for (int64_t head = 0; head < config->num_key_value_heads; head++) {
        int64_t copies = lf_plan_kv_copies(config, n_rank, head), owner = lf_plan_kv_owner(config, n_rank, head);
        if (copies < 2) continue;
        lf_json_append(&list, json_pack("{s:I, s:I, s:I}", "kv_head", (json_int_t)head, "first_rank", (json_int_t)owner,
                                        "last_rank", (json_int_t)(owner + copies - 1)));
    }
    return list;
}

json_t *lf__topology(const lf_verify_options *options, const lf__model *model)
{
    lf_error err;
    lf_parameters parameters = {0};
    const lf_config *config = &model->config;
    int64_t n_rank = options->tensor_parallel_size > 1 ? options->tensor_parallel_size : 1;
    bool deals_experts = options->enable_expert_parallel && config->num_experts > 0;
    if (!model->has_table || lf_parameters_build(&parameters, config, &err)) return NULL;
    json_t *ranks = json_array();
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_json_append(&ranks, rank_json(config, &parameters, n_rank, rank, deals_experts));
    }
    lf_parameters_fini(&parameters);
    char why[256];
    bool is_refused = options->enable_expert_parallel && !deals_experts;
    if (is_refused) lf_config_dense_reason(config->architecture, why, sizeof why);
    return json_pack("{s:I, s:b, s:s*, s:b, s:o, s:o}", "tensor_parallel_size", (json_int_t)n_rank, "expert_parallel",
                     deals_experts, "expert_parallel_refused", is_refused ? why : NULL, "cache_is_latent",
                     config->kv_lora_rank > 0, "replicated_kv_heads", replicated_json(config, n_rank), "ranks", ranks);
}

static bool is_listed(const json_t *list, const char *text)
{
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item)
    {
        if (strcmp(json_string_value(item), text) == 0) return true;
    }
    return false;
}

void lf__topology_add_ranks(json_t *topology, const json_t *engine)
{
    const json_t *said = json_object_get(engine, "ranks");
    json_t *ranks = json_object_get(topology, "ranks"), *hosts = json_array(), *rank;
    size_t i;
    json_array_foreach(ranks, i, rank)
    {
        const json_t *own = json_array_get(said, i);
        const char *host = json_string_value(json_object_get(own, "host"));
        if (!own || !host) continue;
        json_object_update(rank, (json_t *)(uintptr_t)own);
        if (!is_listed(hosts, host)) json_array_append_new(hosts, json_string(host));
    }
    json_object_set_new(topology, "hosts", hosts);
    json_int_t bytes_read = 0;
    json_array_foreach(said, i, rank) bytes_read += json_integer_value(json_object_get(rank, "bytes_read"));
    json_object_set_new(topology, "bytes_read", json_integer(bytes_read));
}
