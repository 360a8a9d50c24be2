// SPDX-License-Identifier: Apache-2.0
//
// Memory of one rank. Cannot overflow: lf_config_parse bounds every dimension.
#include "plan/plan.h"

static const uint64_t bf16_bytes = 2, f32_bytes = 4;

lf_budget lf_budget_of(const lf_slices *slices, const lf_config *config, const lf_rank_plan *plan)
{
    lf_budget budget = {0};
    for (size_t i = 0; i < slices->count; i++) {
        const lf_slice *slice = &slices->items[i];
        uint64_t n_element = (uint64_t)slice->rect.n_row * (uint64_t)slice->rect.n_col;
        budget.weight_bytes += n_element * (lf_slot_is_f32(slice->parameter->slot) ? f32_bytes : bf16_bytes);
    }
    uint64_t kv_heads = (uint64_t)lf_range_length(plan->kv_heads);
    budget.kv_bytes_per_token =
        (uint64_t)config->num_hidden_layers * kv_heads * (uint64_t)lf_config_cache_width(config) * bf16_bytes;
    return budget;
}
