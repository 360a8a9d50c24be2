// SPDX-License-Identifier: Apache-2.0
//
// Tensor parallelism for any head count and any number of ranks (DESIGN section 4): query heads, feed-forward widths
// and vocab_size are cut into balanced contiguous ranges; a rank holds exactly the KV heads its query heads read, so a
// KV head whose query heads straddle ranks is replicated. One rank is the ordinary case of the same rule.
#ifndef LF_PLAN_PLAN_H
#define LF_PLAN_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "model/model.h"
#include "quant/quant.h"

// [begin, end); empty when equal.
typedef struct lf_range {
    int64_t begin, end;
} lf_range;

static inline int64_t lf_range_length(lf_range range) { return range.end - range.begin; }

// Part `rank` of [0, n) cut into n_rank contiguous parts whose lengths differ by one at most, the longer ones first.
lf_range lf_range_balanced(int64_t n, int64_t n_rank, int64_t rank);
// The part that holds element i of [0, n).
int64_t lf_range_balanced_owner(int64_t n, int64_t n_rank, int64_t i);

enum { LF_MAX_RANKS = 1 << 14 };

// What one rank holds, in global coordinates. Ranges may be empty when there are more ranks than heads.
typedef struct lf_rank_plan {
    int64_t rank, n_rank;
    lf_range query_heads; // of num_attention_heads
    lf_range kv_heads;    // of num_key_value_heads: all that query_heads read, and no others
    lf_range ffn;         // of intermediate_size
    lf_range vocab;       // of vocab_size
    lf_range experts;     // of num_experts: all, cut by width like dense layers, unless dealt out
    bool deals_experts;   // expert parallelism: a rank holds some experts, whole
} lf_rank_plan;

// LF_ERR_USAGE unless 1 <= n_rank <= LF_MAX_RANKS and 0 <= rank < n_rank.
lf_status lf_rank_plan_build(lf_rank_plan *out, const lf_config *config, int64_t n_rank, int64_t rank, lf_error *err);
// Expert parallelism for a plan: experts are dealt out whole, in balanced ranges, and this rank gets part `rank` of
// n_rank (the engine deals to the ranks of tensor parallelism). No change for a dense model.
void lf_rank_plan_deal_experts(lf_rank_plan *plan, const lf_config *config, int64_t n_rank, int64_t rank);
// The KV head that a query head reads, both global.
int64_t lf_plan_kv_head_of(const lf_config *config, int64_t query_head);
// The owner of a KV head: the first rank that holds it. Sums over all KV heads count each head at its owner only.
int64_t lf_plan_kv_owner(const lf_config *config, int64_t n_rank, int64_t kv_head);
// Ranks that hold a KV head; more than one when it is replicated.
int64_t lf_plan_kv_copies(const lf_config *config, int64_t n_rank, int64_t kv_head);

// The part of one parameter that a rank holds, and where it goes: rows of the rank's own slot object are the parts of
// the slot's parameters, one below the other in the table's order.
typedef struct lf_slice {
    const lf_parameter *parameter; // BORROWED
    lf_rect rect;                  // of the parameter, global coordinates; a vector is a column: rows x 1
    int64_t slot_row;              // first row in the rank's slot object
} lf_slice;                        // of an expert that the rank does not hold: no rows, no columns

typedef struct lf_slices {
    lf_slice *items; // OWNED; one per parameter, in its order; rect.n_row or n_col may be 0
    size_t count;
    int64_t slot_n_row[LF_SLOT_COUNT], slot_n_col[LF_SLOT_COUNT]; // of the rank's slot objects, the same wherever held
} lf_slices;

// `parameters` must outlive the result.
lf_status lf_slices_build(lf_slices *out, const lf_parameters *parameters, const lf_config *config,
                          const lf_rank_plan *plan, lf_error *err);
void lf_slices_fini(lf_slices *slices);
lf_rect lf_slice_rect(const lf_parameter *parameter, const lf_config *config, const lf_rank_plan *plan);

// Memory that a rank needs. Matrices are bf16, what lf_slot_is_f32() says float32, keys and values bf16; a device's own
// padding is not counted.
typedef struct lf_budget {
    uint64_t weight_bytes;
    uint64_t kv_bytes_per_token; // keys and values of all layers
} lf_budget;

lf_budget lf_budget_of(const lf_slices *slices, const lf_config *config, const lf_rank_plan *plan);

#endif
