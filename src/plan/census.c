// SPDX-License-Identifier: Apache-2.0
//
// Grouping by a hash table over family, shape and format, and the shares of ranks.
#include "plan/census.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_FAMILY_BYTES = 4200 }; // a tensor's name has at most 4096

typedef struct table {
    uint32_t *slots; // OWNED; index of a group plus one
    size_t n_slot;   // a power of two
    size_t capacity; // of the groups
} table;

static uint64_t mix_in(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x9e3779b97f4a7c15u ^ (hash >> 29); }

static uint64_t hash_of(const char *family, int64_t n_row, int64_t n_col, bool is_mtp, const lf_logical_tensor *tensor)
{
    lf_digest digest = lf_scan_bytes((const uint8_t *)family, strlen(family), LF_DTYPE_U8).digest;
    uint64_t hash = mix_in(mix_in(digest.high, (uint64_t)n_row), (uint64_t)n_col);
    hash = mix_in(hash, (uint64_t)is_mtp << 16 | (uint64_t)tensor->weight->dtype << 8 | (uint64_t)tensor->layout);
    return hash ^ hash >> 32;
}

static bool belongs(const lf_group *group, const char *family, int64_t n_row, int64_t n_col, bool is_mtp,
                    const lf_logical_tensor *tensor)
{
    return (group->role.part == LF_PART_MTP) == is_mtp && group->n_row == n_row && group->n_col == n_col &&
           group->first->weight->dtype == tensor->weight->dtype && group->first->layout == tensor->layout &&
           strcmp(group->family, family) == 0;
}

static bool grow_slots(lf_census *census, table *t)
{
    size_t n_slot = t->n_slot ? t->n_slot * 2 : 256;
    uint32_t *slots = calloc(n_slot, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < census->count; i++) {
        const lf_group *g = &census->groups[i];
        size_t at = hash_of(g->family, g->n_row, g->n_col, g->role.part == LF_PART_MTP, g->first) & (n_slot - 1);
        while (slots[at]) at = (at + 1) & (n_slot - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(t->slots);
    t->slots = slots;
    t->n_slot = n_slot;
    return true;
}

// The matrix form for cutting: a vector is a column, the leading dimensions of a fused tensor are folded into rows.
static void shape_of(const lf_logical_tensor *tensor, int64_t *n_row, int64_t *n_col)
{
    if (tensor->weight->rank == 1) {
        *n_row = tensor->weight->shape[0];
        *n_col = 1;
    } else {
        lf_logical_matrix_shape(tensor, n_row, n_col);
    }
}

// The group of a tensor, made when it is the first; NULL without memory.
static lf_group *group_of(lf_census *census, table *t, const lf_outline *outline, const lf_logical_tensor *tensor)
{
    char family[MAX_FAMILY_BYTES];
    int64_t n_row, n_col;
    shape_of(tensor, &n_row, &n_col);
    if (!lf_tensor_family(family, sizeof family, tensor->name)) family[0] = '\0';
    bool is_mtp = lf_name_is_mtp(outline, tensor->name);
    if (2 * census->count >= t->n_slot && !grow_slots(census, t)) return NULL;
    size_t at = hash_of(family, n_row, n_col, is_mtp, tensor) & (t->n_slot - 1);
    for (; t->slots[at]; at = (at + 1) & (t->n_slot - 1)) {
        lf_group *group = &census->groups[t->slots[at] - 1];
        if (belongs(group, family, n_row, n_col, is_mtp, tensor)) return group;
    }
    if (!lf_array_grow((void **)&census->groups, &t->capacity, census->count + 1, sizeof *census->groups)) return NULL;
    lf_group *group = &census->groups[census->count];
    *group = (lf_group){.family = strdup(family), .first = tensor, .n_row = n_row, .n_col = n_col};
    if (!group->family) return NULL;
    group->role = lf_role_of(outline, tensor->name, n_row, n_col);
    t->slots[at] = (uint32_t)++census->count;
    return group;
}

lf_status lf_census_build(lf_census *out, const lf_outline *outline, const lf_quant *quant, lf_error *err)
{
    *out = (lf_census){0};
    table t = {0};
    bool has_memory = true;
    for (size_t i = 0; has_memory && i < lf_quant_count(quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
        lf_group *group = group_of(out, &t, outline, tensor);
        has_memory = group != NULL;
        if (!has_memory) break;
        group->count++;
        group->stored_bytes += tensor->weight->bytes + (tensor->scale ? tensor->scale->bytes : 0);
        out->n_parameter += (uint64_t)group->n_row * (uint64_t)group->n_col; // the file holds them: no overflow
    }
    free(t.slots);
    if (has_memory) return LF_OK;
    lf_census_fini(out);
    return lf_error_no_memory(err, 0);
}

void lf_census_fini(lf_census *census)
{
    for (size_t i = 0; i < census->count; i++) free(census->groups[i].family);
    free(census->groups);
    *census = (lf_census){0};
}

lf_range lf_topology_width(const lf_outline *outline, lf_topology topology, int64_t rank)
{
    int64_t n_rank = topology.tensor_parallel_size;
    if (outline->has_dense_layers) return lf_range_balanced(outline->intermediate_size, n_rank, rank % n_rank);
    if (topology.expert_parallel_size > 1) return (lf_range){0, outline->moe_intermediate_size};
    return lf_range_balanced(outline->moe_intermediate_size, n_rank, rank % n_rank);
}

bool lf_group_cuts_cols(const lf_group *group)
{
    return group->role.partition == LF_PARTITION_O_HEADS || group->role.partition == LF_PARTITION_FFN_COLS;
}

// Heads of a rank times the group's unit; the whole when heads are not known.
static lf_range head_range(const lf_group *group, const lf_outline *outline, int64_t n_rank, int64_t rank,
                           lf_range whole)
{
    lf_rank_plan plan;
    lf_error ignored;
    if (!lf_outline_has_heads(outline)) return whole;
    lf_config dims = lf_outline_dims(outline);
    if (lf_rank_plan_build(&plan, &dims, n_rank, rank, &ignored)) return whole;
    lf_range heads = group->role.partition == LF_PARTITION_KV_HEADS ? plan.kv_heads : plan.query_heads;
    return (lf_range){heads.begin * group->role.unit, heads.end * group->role.unit};
}

lf_range lf_group_range(const lf_group *group, const lf_outline *outline, lf_topology topology, int64_t rank)
{
    lf_range whole = {0, lf_group_cuts_cols(group) ? group->n_col : group->n_row};
    int64_t n_rank = topology.tensor_parallel_size;
    rank %= n_rank;
    switch (group->role.partition) {
    case LF_PARTITION_Q_HEADS:
    case LF_PARTITION_KV_HEADS:
    case LF_PARTITION_O_HEADS: return head_range(group, outline, n_rank, rank, whole);
    case LF_PARTITION_FFN_ROWS:
    case LF_PARTITION_FFN_COLS:
        if (group->role.is_expert && topology.expert_parallel_size > 1) return whole;
        return lf_range_balanced(whole.end, n_rank, rank);
    case LF_PARTITION_VOCAB: return lf_range_balanced(whole.end, n_rank, rank);
    default: return whole;
    }
}

// The part of a group's tensors that a rank holds, as a fraction.
static double share_of(const lf_group *group, const lf_outline *outline, lf_topology topology, int64_t rank)
{
    bool is_of_experts = group->role.is_expert && outline->num_experts > 0;
    if (is_of_experts && topology.expert_parallel_size > 1) {
        lf_range experts = lf_range_balanced(outline->num_experts, topology.expert_parallel_size,
                                             rank % topology.expert_parallel_size);
        return (double)lf_range_length(experts) / (double)outline->num_experts;
    }
    if (is_of_experts && group->role.partition == LF_PARTITION_NONE && group->first->weight->rank > 2)
        return 1.0 / (double)topology.tensor_parallel_size; // fused experts, cut inside each
    int64_t n = lf_group_cuts_cols(group) ? group->n_col : group->n_row;
    return n ? (double)lf_range_length(lf_group_range(group, outline, topology, rank)) / (double)n : 0;
}

uint64_t lf_census_rank_bytes(const lf_census *census, const lf_outline *outline, lf_topology topology, int64_t rank,
                              lf_residency residency)
{
    double sum = 0;
    for (size_t i = 0; i < census->count; i++) {
        const lf_group *group = &census->groups[i];
        double bytes = 2.0 * (double)group->count * (double)group->n_row * (double)group->n_col;
        if (residency == LF_RESIDENCY_FP8 && group->first->scale) bytes = (double)group->stored_bytes;
        sum += bytes * share_of(group, outline, topology, rank);
    }
    return sum < 0x1p63 ? (uint64_t)sum : INT64_MAX;
}

lf_need lf_census_need(const lf_census *census, const lf_outline *outline, lf_topology topology)
{
    lf_need need = {0};
    lf_rank_plan plan;
    lf_error ignored;
    lf_config dims = lf_outline_dims(outline);
    bool has_heads = lf_outline_has_heads(outline);
    int64_t n_rank = LF_MAX(topology.tensor_parallel_size, topology.expert_parallel_size), n_kv_head = 0;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        uint64_t bf16 = lf_census_rank_bytes(census, outline, topology, rank, LF_RESIDENCY_BF16);
        uint64_t fp8 = lf_census_rank_bytes(census, outline, topology, rank, LF_RESIDENCY_FP8);
        need.bf16_bytes = LF_MAX(need.bf16_bytes, bf16);
        need.fp8_bytes = LF_MAX(need.fp8_bytes, fp8);
        if (!has_heads || rank >= topology.tensor_parallel_size) continue;
        if (lf_rank_plan_build(&plan, &dims, topology.tensor_parallel_size, rank, &ignored)) continue;
        n_kv_head = LF_MAX(n_kv_head, lf_range_length(plan.kv_heads));
    }
    need.kv_bytes_per_token = lf_outline_kv_bytes(outline, n_kv_head);
    return need;
}
