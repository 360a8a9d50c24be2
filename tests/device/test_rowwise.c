// SPDX-License-Identifier: Apache-2.0
//
// Norm, rotary embedding, KV store, gated activation and gather against plain computations in double precision.
#include "tests.h"

#include <math.h>

static float at(lf_dptr p, size_t i) { return lf_bf16_to_f32(((const lf_bf16 *)p.address)[i]); }

static void norms_groups_in_place(void **state)
{
    test_random random = {1};
    static const size_t dims[] = {1, 7, 24, 64, 80, 128, 1024, 1031};
    for (size_t i = 0; i < 8; i++) {
        size_t d = dims[i], n_group = d > 200 ? 1 : 3, stride = n_group * d + 11, n_tok = 5;
        lf_dptr x = test_random_bf16(&random, n_tok * stride, 3), before = test_copy(x.address, n_tok * stride * 2);
        float *weight = malloc(d * sizeof *weight);
        for (size_t j = 0; j < d; j++) weight[j] = test_random_normal(&random);
        lf_norm_args args = {.x = x,
                             .x_stride = stride,
                             .weight = {weight},
                             .y = x,
                             .y_stride = stride,
                             .n_tok = n_tok,
                             .n_group = n_group,
                             .d = d,
                             .eps = 1e-6f};
        assert_int_equal(test_device()->ops->rms_norm(test_device(), &args, NULL), LF_OK);
        for (size_t t = 0; t < n_tok; t++) {
            for (size_t g = 0; g < n_group; g++) {
                size_t base = t * stride + g * d;
                double squares = 0;
                for (size_t j = 0; j < d; j++) squares += (double)at(before, base + j) * (double)at(before, base + j);
                double factor = 1 / sqrt(squares / (double)d + 1e-6);
                for (size_t j = 0; j < d; j++) {
                    test_assert_close(at(x, base + j),
                                      (float)((double)at(before, base + j) * factor * (double)weight[j]), 0.51f, 1e-30f,
                                      "norm", base + j);
                }
            }
            for (size_t j = n_group * d; j < stride; j++)
                assert_true(at(x, t * stride + j) == at(before, t * stride + j));
        }
        free(weight);
        release(x);
        release(before);
    }
}

static void adds_the_residual(void **state)
{
    test_random random = {2};
    size_t d = 100, n_tok = 4;
    lf_dptr x = test_random_bf16(&random, n_tok * d, 1), residual = test_random_bf16(&random, n_tok * d, 5);
    lf_dptr before = test_copy(residual.address, n_tok * d * 2), y = reserve(n_tok * d * 2);
    float weight[100];
    for (size_t j = 0; j < d; j++) weight[j] = 1 + (float)j / 64;
    lf_norm_args args = {.x = x,
                         .x_stride = d,
                         .residual = residual,
                         .residual_stride = d,
                         .weight = {weight},
                         .y = y,
                         .y_stride = d,
                         .n_tok = n_tok,
                         .n_group = 1,
                         .d = d,
                         .eps = 1e-5f};
    assert_int_equal(test_device()->ops->rms_norm(test_device(), &args, NULL), LF_OK);
    for (size_t t = 0; t < n_tok; t++) {
        double squares = 0;
        for (size_t j = t * d; j < (t + 1) * d; j++) {
            assert_true(at(residual, j) == lf_bf16_to_f32(lf_bf16_from_f32(at(before, j) + at(x, j))));
            squares += (double)at(residual, j) * (double)at(residual, j);
        }
        double factor = 1 / sqrt(squares / (double)d + 1e-5);
        for (size_t j = 0; j < d; j++) {
            test_assert_close(at(y, t * d + j), (float)((double)at(residual, t * d + j) * factor * (double)weight[j]),
                              0.51f, 0, "residual norm", t * d + j);
        }
    }
    release(x);
    release(residual);
    release(before);
    release(y);
}

static void expect_rotation(bool is_interleaved)
{
    test_random random = {3};
    static const size_t shapes[][2] = {{24, 24}, {64, 64}, {80, 40}, {128, 128}, {96, 2}, {128, 18}};
    for (size_t i = 0; i < 6; i++) {
        size_t d = shapes[i][0], rotary = shapes[i][1], n_head = 3, stride = n_head * d + 5, n_tok = 3, n_position = 9;
        lf_dptr x = test_random_bf16(&random, n_tok * stride, 1), before = test_copy(x.address, n_tok * stride * 2);
        float *table = malloc(n_position * rotary * sizeof *table);
        for (size_t j = 0; j < n_position * rotary; j++) table[j] = test_random_normal(&random);
        int32_t positions[] = {8, 0, 3};
        lf_rope_args args = {.x = x,
                             .x_stride = stride,
                             .n_tok = n_tok,
                             .n_head = n_head,
                             .d_head = d,
                             .rotary_dim = rotary,
                             .positions = {positions},
                             .cos_sin = {table},
                             .is_interleaved = is_interleaved};
        assert_int_equal(test_device()->ops->rope(test_device(), &args, NULL), LF_OK);
        for (size_t t = 0; t < n_tok; t++) {
            for (size_t h = 0; h < n_head; h++) {
                size_t base = t * stride + h * d, half = rotary / 2;
                const float *row = table + (size_t)positions[t] * rotary;
                for (size_t j = 0; j < half; j++) {
                    size_t first = base + (is_interleaved ? 2 * j : j);
                    size_t second = is_interleaved ? first + 1 : first + half;
                    double a = (double)at(before, first), b = (double)at(before, second);
                    double c = (double)row[j], s = (double)row[half + j];
                    test_assert_close(at(x, first), (float)(a * c - b * s), 0.51f, 1e-6f, "rope", first);
                    test_assert_close(at(x, second), (float)(b * c + a * s), 0.51f, 1e-6f, "rope", second);
                }
                for (size_t j = rotary; j < d; j++) assert_true(at(x, base + j) == at(before, base + j));
            }
        }
        free(table);
        release(x);
        release(before);
    }
}

static void rotates_halves(void **state) { expect_rotation(false); }

static void rotates_neighbours(void **state) { expect_rotation(true); }

static void stores_keys_and_values_at_slots(void **state)
{
    test_random random = {4};
    size_t n_tok = 4, n_kv_head = 3, d = 24, block_size = 5, n_block = 3, stride = 2 * n_kv_head * d + 1;
    lf_dptr rows = test_random_bf16(&random, n_tok * stride, 1);
    lf_dptr keys = reserve(n_block * n_kv_head * block_size * d * 2),
            values = reserve(n_block * n_kv_head * block_size * d * 2);
    int32_t slots[] = {14, -1, 0, 7};
    lf_kv_layer kv = {keys, values, block_size, n_kv_head, d, d};
    lf_kv_store_args args = {rows, lf_dptr_at(rows, n_kv_head * d * 2), stride, n_tok, {slots}, kv};
    assert_int_equal(test_device()->ops->kv_store(test_device(), &args, NULL), LF_OK);
    for (size_t slot = 0; slot < n_block * block_size; slot++) {
        size_t t = 0;
        while (t < n_tok && slots[t] != (int32_t)slot) t++;
        for (size_t h = 0; h < n_kv_head; h++) {
            for (size_t i = 0; i < d; i++) {
                size_t cell = ((slot / block_size * n_kv_head + h) * block_size + slot % block_size) * d + i;
                assert_true(at(keys, cell) == (t < n_tok ? at(rows, t * stride + h * d + i) : 0));
                assert_true(at(values, cell) == (t < n_tok ? at(rows, t * stride + (n_kv_head + h) * d + i) : 0));
            }
        }
    }
    release(rows);
    release(keys);
    release(values);
}

static void gates(void **state)
{
    test_random random = {5};
    for (size_t d = 1; d <= 70; d += d < 40 ? 1 : 10) {
        size_t n_tok = 3, stride = 2 * d + 3;
        lf_dptr x = test_random_bf16(&random, n_tok * stride, 8), y = reserve(n_tok * d * 2);
        if (d == 4)
            ((lf_bf16 *)x.address)[0] = lf_bf16_from_f32(-1e30f), ((lf_bf16 *)x.address)[1] = lf_bf16_from_f32(1e30f);
        lf_silu_mul_args args = {.x = x, .x_stride = stride, .y = y, .y_stride = d, .n_tok = n_tok, .d = d};
        assert_int_equal(test_device()->ops->silu_mul(test_device(), &args, NULL), LF_OK);
        for (size_t t = 0; t < n_tok; t++) {
            for (size_t i = 0; i < d; i++) {
                double g = (double)at(x, t * stride + i), up = (double)at(x, t * stride + d + i);
                test_assert_close(at(y, t * d + i), (float)(g / (1 + exp(-g)) * up), 0.51f, 1e-30f, "silu", t * d + i);
            }
        }
        release(x);
        release(y);
    }
}

static void gathers_rows(void **state)
{
    test_random random = {6};
    lf_dptr x = test_random_bf16(&random, 7 * 40, 1), y = reserve(3 * 33 * 2);
    int32_t rows[] = {6, 0, 6};
    lf_gather_args args = {.x = x, .x_stride = 40, .rows = {rows}, .y = y, .y_stride = 33, .n_row = 3, .d = 33};
    assert_int_equal(test_device()->ops->gather(test_device(), &args, NULL), LF_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_memory_equal((lf_bf16 *)y.address + i * 33, (lf_bf16 *)x.address + (size_t)rows[i] * 40, 33 * 2);
    }
    release(x);
    release(y);
}

int test_rowwise(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_groups_in_place),
        cmocka_unit_test(adds_the_residual),
        cmocka_unit_test(rotates_halves),
        cmocka_unit_test(rotates_neighbours),
        cmocka_unit_test(stores_keys_and_values_at_slots),
        cmocka_unit_test(gates),
        cmocka_unit_test(gathers_rows),
    };
    return cmocka_run_group_tests_name("rowwise", tests, NULL, NULL);
}
