// SPDX-License-Identifier: Apache-2.0
//
// The block pool: no block in two tables, growing all or nothing, nothing lost after any sequence of operations.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kv.h"

static void test_refuses_absurd_pools(void **state)
{
    (void)state;
    lf_block_pool pool = {0};
    lf_error err;
    assert_int_equal(lf__block_pool_init(&pool, 0, 16, &err), LF_ERR_INVALID);
    assert_int_equal(lf__block_pool_init(&pool, 4, 0, &err), LF_ERR_INVALID);
    assert_int_equal(lf__block_pool_init(&pool, INT32_MAX / 16 + 1, 16, &err), LF_ERR_INVALID); // slots are int32
}

static void test_grows_all_or_nothing(void **state)
{
    (void)state;
    lf_block_pool pool = {0};
    lf_block_table a = {0}, b = {0};
    assert_int_equal(lf__block_pool_init(&pool, 4, 8, NULL), LF_OK);
    assert_int_equal(lf__block_table_init(&a, 100, 8, NULL), LF_OK);
    assert_int_equal(lf__block_table_init(&b, 100, 8, NULL), LF_OK);
    assert_true(lf__blocks_grow(&pool, &a, 1));
    assert_int_equal(a.n_block, 1);
    assert_true(lf__blocks_grow(&pool, &a, 8));
    assert_int_equal(a.n_block, 1); // still covered
    assert_true(lf__blocks_grow(&pool, &a, 9));
    assert_int_equal(a.n_block, 2);
    assert_false(lf__blocks_grow(&pool, &b, 17)); // three blocks, two are left
    assert_int_equal(b.n_block, 0);
    assert_int_equal(pool.n_free, 2);
    assert_true(lf__blocks_grow(&pool, &b, 16));
    assert_int_equal(pool.n_free, 0);
    lf__blocks_release(&pool, &a);
    lf__blocks_release(&pool, &b);
    assert_int_equal(pool.n_free, 4);
    lf__block_table_fini(&a);
    lf__block_table_fini(&b);
    lf__block_pool_fini(&pool);
}

enum { N_TABLE = 7, N_BLOCK = 40, BLOCK_SIZE = 3 };

static void check_ownership(const lf_block_pool *pool, const lf_block_table *tables)
{
    int owners[N_BLOCK] = {0};
    for (size_t i = 0; i < pool->n_free; i++) owners[pool->free_blocks[i]]++;
    for (size_t t = 0; t < N_TABLE; t++) {
        for (size_t i = 0; i < tables[t].n_block; i++) owners[tables[t].blocks[i]]++;
    }
    for (size_t i = 0; i < N_BLOCK; i++) assert_int_equal(owners[i], 1);
}

static void test_random_operations_keep_ownership(void **state)
{
    (void)state;
    lf_block_pool pool = {0};
    lf_block_table tables[N_TABLE] = {0};
    size_t length[N_TABLE] = {0};
    assert_int_equal(lf__block_pool_init(&pool, N_BLOCK, BLOCK_SIZE, NULL), LF_OK);
    for (size_t i = 0; i < N_TABLE; i++) {
        assert_int_equal(lf__block_table_init(&tables[i], N_BLOCK * BLOCK_SIZE, BLOCK_SIZE, NULL), LF_OK);
    }
    srand(7);
    for (int round = 0; round < 20000; round++) {
        size_t t = (size_t)rand() % N_TABLE;
        if (rand() % 8 == 0) {
            lf__blocks_release(&pool, &tables[t]);
            length[t] = 0;
        } else {
            size_t want = length[t] + (size_t)rand() % 10;
            if (want <= N_BLOCK * BLOCK_SIZE && lf__blocks_grow(&pool, &tables[t], want)) length[t] = want;
        }
        assert_int_equal(tables[t].n_block, lf__blocks_for(&pool, length[t]));
        check_ownership(&pool, tables);
    }
    for (size_t i = 0; i < N_TABLE; i++) lf__block_table_fini(&tables[i]);
    lf__block_pool_fini(&pool);
}

int test_kv(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_absurd_pools),
        cmocka_unit_test(test_grows_all_or_nothing),
        cmocka_unit_test(test_random_operations_keep_ownership),
    };
    return cmocka_run_group_tests_name("engine/kv", tests, NULL, NULL);
}
