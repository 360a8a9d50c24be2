// SPDX-License-Identifier: Apache-2.0
//
// The partition for every head count up to 24 and every rank count up to 30: nothing is lost, nothing is held twice but
// replicated KV heads, and each of those has one owner. (Lesson L8.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "plan/plan.h"
#include "tests.h"

enum { MAX_HEADS = 24, MAX_RANKS = 30 };

static void balanced_ranges_tile_the_whole(void **state)
{
    for (int64_t n = 0; n <= 70; n++) {
        for (int64_t n_rank = 1; n_rank <= MAX_RANKS; n_rank++) {
            int64_t next = 0;
            for (int64_t rank = 0; rank < n_rank; rank++) {
                lf_range range = lf_range_balanced(n, n_rank, rank);
                assert_int_equal(range.begin, next);
                assert_in_range(lf_range_length(range), n / n_rank, n / n_rank + (n % n_rank != 0));
                for (int64_t i = range.begin; i < range.end; i++) {
                    assert_int_equal(lf_range_balanced_owner(n, n_rank, i), rank);
                }
                next = range.end;
            }
            assert_int_equal(next, n);
        }
    }
}

static lf_config config_of(int64_t n_head, int64_t n_kv_head)
{
    return (lf_config){.num_attention_heads = n_head,
                       .num_key_value_heads = n_kv_head,
                       .head_dim = 8,
                       .intermediate_size = 37,
                       .vocab_size = 101};
}

// One topology: every query head has one rank, which holds its KV head; every held KV head is read by the rank.
static void check_topology(const lf_config *config, int64_t n_rank)
{
    int query_holders[MAX_HEADS] = {0}, kv_holders[MAX_HEADS] = {0};
    int64_t first_holder[MAX_HEADS];
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_rank_plan plan;
        assert_int_equal(lf_rank_plan_build(&plan, config, n_rank, rank, NULL), LF_OK);
        int is_read[MAX_HEADS] = {0};
        for (int64_t head = plan.query_heads.begin; head < plan.query_heads.end; head++) {
            int64_t kv = lf_plan_kv_head_of(config, head);
            assert_int_equal(kv, head * config->num_key_value_heads / config->num_attention_heads);
            assert_true(kv >= plan.kv_heads.begin && kv < plan.kv_heads.end);
            query_holders[head]++;
            is_read[kv] = 1;
        }
        for (int64_t kv = plan.kv_heads.begin; kv < plan.kv_heads.end; kv++) {
            assert_true(is_read[kv]);
            if (kv_holders[kv]++ == 0) first_holder[kv] = rank;
        }
    }
    for (int64_t head = 0; head < config->num_attention_heads; head++) assert_int_equal(query_holders[head], 1);
    for (int64_t kv = 0; kv < config->num_key_value_heads; kv++) {
        assert_true(kv_holders[kv] >= 1);
        assert_int_equal(lf_plan_kv_copies(config, n_rank, kv), kv_holders[kv]);
        assert_int_equal(lf_plan_kv_owner(config, n_rank, kv), first_holder[kv]);
    }
}

static void every_topology_holds_every_head(void **state)
{
    for (int64_t n_head = 1; n_head <= MAX_HEADS; n_head++) {
        for (int64_t n_kv_head = 1; n_kv_head <= n_head; n_kv_head++) {
            if (n_head % n_kv_head != 0) continue;
            lf_config config = config_of(n_head, n_kv_head);
            for (int64_t n_rank = 1; n_rank <= MAX_RANKS; n_rank++) check_topology(&config, n_rank);
        }
    }
}

static void even_division_replicates_nothing(void **state)
{
    lf_config config = config_of(24, 8);
    for (int64_t n_rank = 1; n_rank <= 8; n_rank *= 2) {
        for (int64_t kv = 0; kv < 8; kv++) assert_int_equal(lf_plan_kv_copies(&config, n_rank, kv), 1);
    }
    for (int64_t kv = 0; kv < 8; kv++) assert_int_equal(lf_plan_kv_copies(&config, 24, kv), 3);
}

static void absent_ranks_are_refused(void **state)
{
    lf_config config = config_of(8, 2);
    lf_rank_plan plan;
    const struct {
        int64_t n_rank, rank;
    } wrong[] = {{0, 0}, {-1, 0}, {4, 4}, {4, -1}, {LF_MAX_RANKS + 1, 0}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(wrong); i++) {
        lf_error err = {0};
        assert_int_equal(lf_rank_plan_build(&plan, &config, wrong[i].n_rank, wrong[i].rank, &err), LF_ERR_USAGE);
        assert_true(err.message[0] != '\0');
    }
}

int test_heads(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(balanced_ranges_tile_the_whole),
        cmocka_unit_test(every_topology_holds_every_head),
        cmocka_unit_test(even_division_replicates_nothing),
        cmocka_unit_test(absent_ranks_are_refused),
    };
    return cmocka_run_group_tests_name("heads", tests, NULL, NULL);
}
