// SPDX-License-Identifier: Apache-2.0
//
// From a rank's ranges to rectangles of parameters. The parts of a slot stack up in table order; with one rank every
// part is whole and lands on the parameter's own slot_row.
#include <stdlib.h>

#include "base/mem.h"
#include "plan/plan.h"

// The rows (or columns) of some of n_head heads, which have equally many of n each.
static lf_range of_heads(lf_range heads, int64_t n, int64_t n_head)
{
    int64_t unit = n / n_head;
    return (lf_range){heads.begin * unit, heads.end * unit};
}

static bool is_whole(const lf_parameter *parameter, const lf_rank_plan *plan)
{
    return parameter->expert >= 0 && plan->deals_experts;
}

static bool is_held(const lf_parameter *parameter, const lf_rank_plan *plan)
{
    int64_t expert = parameter->expert;
    return expert < 0 || (expert >= plan->experts.begin && expert < plan->experts.end);
}

lf_rect lf_slice_rect(const lf_parameter *parameter, const lf_config *config, const lf_rank_plan *plan)
{
    if (!is_held(parameter, plan)) return (lf_rect){0};
    lf_range rows = {0, parameter->shape[0]}, cols = {0, parameter->shape[1]};
    switch (is_whole(parameter, plan) ? LF_PARTITION_NONE : parameter->partition) {
    case LF_PARTITION_NONE: break;
    case LF_PARTITION_Q_HEADS: rows = of_heads(plan->query_heads, rows.end, config->num_attention_heads); break;
    case LF_PARTITION_KV_HEADS: rows = of_heads(plan->kv_heads, rows.end, config->num_key_value_heads); break;
    case LF_PARTITION_O_HEADS: cols = of_heads(plan->query_heads, cols.end, config->num_attention_heads); break;
    case LF_PARTITION_FFN_ROWS: rows = lf_range_balanced(rows.end, plan->n_rank, plan->rank); break;
    case LF_PARTITION_FFN_COLS: cols = lf_range_balanced(cols.end, plan->n_rank, plan->rank); break;
    case LF_PARTITION_VOCAB: rows = plan->vocab; break;
    }
    return (lf_rect){rows.begin, cols.begin, lf_range_length(rows), lf_range_length(cols)};
}

lf_status lf_slices_build(lf_slices *out, const lf_parameters *parameters, const lf_config *config,
                          const lf_rank_plan *plan, lf_error *err)
{
    *out = (lf_slices){0};
    out->items = lf_realloc_array(NULL, LF_MAX(parameters->count, 1), sizeof *out->items);
    if (!out->items) return lf_error_no_memory(err, 0);

    // The last parameter of each slot: a slice begins a new object when layer or expert changes.
    const lf_parameter *last[LF_SLOT_COUNT] = {NULL};
    int64_t next_row[LF_SLOT_COUNT] = {0};
    for (size_t i = 0; i < parameters->count; i++) {
        const lf_parameter *parameter = &parameters->items[i];
        lf_slot slot = parameter->slot;
        lf_rect rect = lf_slice_rect(parameter, config, plan);
        bool goes_on = last[slot] && last[slot]->layer == parameter->layer && last[slot]->expert == parameter->expert;
        if (!goes_on) next_row[slot] = 0;
        last[slot] = parameter;
        out->items[out->count++] = (lf_slice){.parameter = parameter, .rect = rect, .slot_row = next_row[slot]};
        if (!is_held(parameter, plan)) continue;
        next_row[slot] += rect.n_row;
        out->slot_n_row[slot] = next_row[slot];
        out->slot_n_col[slot] = rect.n_col;
    }
    return LF_OK;
}

void lf_slices_fini(lf_slices *slices)
{
    free(slices->items);
    *slices = (lf_slices){0};
}
