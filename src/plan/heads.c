// SPDX-License-Identifier: Apache-2.0
//
// Who holds which heads. Query heads are cut in balanced ranges; a KV head belongs to a group of consecutive query
// heads, so the KV heads of a rank are consecutive too, and neighbours share at most the one at their border (or, with
// more ranks than KV heads, several ranks share one).
#include "base/mem.h"
#include "plan/plan.h"

lf_range lf_range_balanced(int64_t n, int64_t n_rank, int64_t rank)
{
    int64_t length = n / n_rank, n_longer = n % n_rank;
    int64_t begin = rank * length + LF_MIN(rank, n_longer);
    return (lf_range){begin, begin + length + (rank < n_longer)};
}

int64_t lf_range_balanced_owner(int64_t n, int64_t n_rank, int64_t i)
{
    int64_t length = n / n_rank, n_longer = n % n_rank;
    int64_t end_of_longer = n_longer * (length + 1);
    return i < end_of_longer ? i / (length + 1) : n_longer + (i - end_of_longer) / length;
}

int64_t lf_plan_kv_head_of(const lf_config *config, int64_t query_head)
{
    return query_head / (config->num_attention_heads / config->num_key_value_heads);
}

lf_status lf_rank_plan_build(lf_rank_plan *out, const lf_config *config, int64_t n_rank, int64_t rank, lf_error *err)
{
    if (n_rank < 1 || n_rank > LF_MAX_RANKS || rank < 0 || rank >= n_rank) {
        lf_error_set(err, LF_ERR_USAGE, "there is no rank %lld of %lld", (long long)rank, (long long)n_rank);
        return lf_error_expected(err, "a tensor-parallel size of 1 to %d", LF_MAX_RANKS);
    }
    lf_range heads = lf_range_balanced(config->num_attention_heads, n_rank, rank);
    lf_range kv_heads = {0, 0};
    if (lf_range_length(heads) > 0) {
        kv_heads.begin = lf_plan_kv_head_of(config, heads.begin);
        kv_heads.end = lf_plan_kv_head_of(config, heads.end - 1) + 1;
    }
    *out = (lf_rank_plan){
        .rank = rank,
        .n_rank = n_rank,
        .query_heads = heads,
        .kv_heads = kv_heads,
        .ffn = lf_range_balanced(config->intermediate_size, n_rank, rank),
        .vocab = lf_range_balanced(config->vocab_size, n_rank, rank),
        .experts = {0, config->num_experts},
    };
    return LF_OK;
}

void lf_rank_plan_deal_experts(lf_rank_plan *plan, const lf_config *config, int64_t n_rank, int64_t rank)
{
    if (config->num_experts == 0) return;
    plan->experts = lf_range_balanced(config->num_experts, n_rank, rank);
    plan->deals_experts = true;
}

int64_t lf_plan_kv_owner(const lf_config *config, int64_t n_rank, int64_t kv_head)
{
    int64_t group = config->num_attention_heads / config->num_key_value_heads;
    return lf_range_balanced_owner(config->num_attention_heads, n_rank, kv_head * group);
}

int64_t lf_plan_kv_copies(const lf_config *config, int64_t n_rank, int64_t kv_head)
{
    int64_t group = config->num_attention_heads / config->num_key_value_heads;
    int64_t last = lf_range_balanced_owner(config->num_attention_heads, n_rank, (kv_head + 1) * group - 1);
    return last - lf_plan_kv_owner(config, n_rank, kv_head) + 1;
}
