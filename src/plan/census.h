// SPDX-License-Identifier: Apache-2.0
//
// All tensors of a checkpoint as a short list: those that differ only in the numbers in their names (layers, experts)
// and agree in shape and format are one group; layers for multi-token prediction have groups of their own. What
// inspect, plan and check ask about 90,000 tensors is asked of the groups. Serves architectures without a parameter
// table, too; shares of ranks come from names (model/outline.h).
#ifndef LF_PLAN_CENSUS_H
#define LF_PLAN_CENSUS_H

#include <stdint.h>

#include "base/status.h"
#include "model/outline.h"
#include "plan/plan.h"
#include "quant/quant.h"

typedef struct lf_group {
    char *family;                   // OWNED: the name with '#' for numbers
    const lf_logical_tensor *first; // BORROWED: the first of them in the order of names
    uint64_t count;
    int64_t n_row, n_col; // of each: a vector is one column, the experts of a fused tensor are folded into rows
    lf_role role;
    uint64_t stored_bytes; // of all, with their scales
} lf_group;

typedef struct lf_census {
    lf_group *groups; // OWNED, in the order of their first tensors
    size_t count;
    uint64_t n_parameter; // elements of all weights, without scales and side tensors
} lf_census;

// `quant` must outlive the result. Fails only without memory.
lf_status lf_census_build(lf_census *out, const lf_outline *outline, const lf_quant *quant, lf_error *err);
void lf_census_fini(lf_census *census);

// How a model is laid over ranks: expert_parallel_size 1 cuts experts like other matrices, more deals them out whole.
typedef struct lf_topology {
    int64_t tensor_parallel_size, expert_parallel_size;
} lf_topology;

// The feed-forward width that a rank holds: of the dense layers, or of each of its experts when there are none.
lf_range lf_topology_width(const lf_outline *outline, lf_topology topology, int64_t rank);

// What rank `rank` holds of each tensor of a group, along the dimension that is cut (rows unless lf_group_cuts_cols).
lf_range lf_group_range(const lf_group *group, const lf_outline *outline, lf_topology topology, int64_t rank);
bool lf_group_cuts_cols(const lf_group *group);

typedef enum lf_residency {
    LF_RESIDENCY_BF16, // every value takes two bytes
    LF_RESIDENCY_FP8,  // quantized weights stay codes with their scales
} lf_residency;

// Bytes of weights that a rank holds; with more expert ranks than tensor-parallel ones, the latter repeat.
uint64_t lf_census_rank_bytes(const lf_census *census, const lf_outline *outline, lf_topology topology, int64_t rank,
                              lf_residency residency);

// What the most loaded rank of a topology needs.
typedef struct lf_need {
    uint64_t bf16_bytes, fp8_bytes; // weights by residency
    uint64_t kv_bytes_per_token;    // keys and values in bf16
} lf_need;
lf_need lf_census_need(const lf_census *census, const lf_outline *outline, lf_topology topology);

#endif
