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

#include "base/mem.h"
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

// A latent is one array, whole wherever there is a head; elsewhere keys and values of the rank's heads.
static void test_layers_are_as_the_config_says(void **state)
{
    (void)state;
    static const struct {
        lf_config config;
        size_t n_kv_head, d_head, d_value, block_bytes;
        bool has_values;
    } cases[] = {
        {{.num_hidden_layers = 2, .head_dim = 8}, 3, 8, 8, 2 * 3 * (8 + 8) * 4 * 2, true},
        {{.num_hidden_layers = 2, .head_dim = 9, .kv_lora_rank = 12, .qk_rope_head_dim = 4},
         1,
         16,
         12,
         2 * 16 * 4 * 2,
         false},
        {{.num_hidden_layers = 2, .head_dim = 9, .kv_lora_rank = 12, .qk_rope_head_dim = 4}, 0, 16, 12, 0, false},
    };
    lf_device *device = NULL;
    assert_int_equal(lf_device_cpu_open(&device, &(lf_device_options){.max_n_tok = 1}, NULL), LF_OK);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_kv_cache kv = {0};
        size_t bytes;
        assert_true(lf__kv_block_bytes(&cases[i].config, cases[i].n_kv_head, 4, &bytes));
        assert_int_equal(bytes, cases[i].block_bytes);
        assert_int_equal(lf__kv_init(&kv, device, &cases[i].config, cases[i].n_kv_head, 5, 4, NULL), LF_OK);
        for (size_t layer = 0; layer < 2; layer++) {
            assert_int_equal(kv.layers[layer].d_head, cases[i].d_head);
            assert_int_equal(kv.layers[layer].d_value, cases[i].d_value);
            assert_int_equal(!lf_dptr_is_null(kv.layers[layer].keys), cases[i].n_kv_head > 0);
            assert_int_equal(!lf_dptr_is_null(kv.layers[layer].values), cases[i].has_values);
        }
        lf__kv_fini(&kv);
    }
    device->ops->close(device);
}

int test_kv(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_absurd_pools),
        cmocka_unit_test(test_grows_all_or_nothing),
        cmocka_unit_test(test_random_operations_keep_ownership),
        cmocka_unit_test(test_layers_are_as_the_config_says),
    };
    return cmocka_run_group_tests_name("engine/kv", tests, NULL, NULL);
}
