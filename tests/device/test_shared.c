// SPDX-License-Identifier: Apache-2.0
//
// The operators in which ranks meet, with ranks that are made up: a collective that adds the parts of others from an
// array, or fails.
#include "tests.h"

#include <math.h>

typedef struct made_up_ranks {
    const float *others; // what the other ranks have, summed; NULL: the collective fails
    size_t n_call, n_last;
} made_up_ranks;

static lf_status add_others(void *ctx, float *x, size_t n, lf_error *err)
{
    made_up_ranks *ranks = ctx;
    ranks->n_call++;
    ranks->n_last = n;
    if (!ranks->others) return lf_error_set(err, LF_ERR_COMM, "rank 1 has gone");
    for (size_t i = 0; i < n; i++) x[i] += ranks->others[i];
    return LF_OK;
}

static lf_device *open_rank(made_up_ranks *ranks)
{
    lf_device *device = NULL;
    lf_error err = {0};
    lf_device_options options = {.n_thread = 2,
                                 .max_n_tok = 64,
                                 .max_vocab = 100,
                                 .max_length = 100,
                                 .collective = {.ctx = ranks, .sum_f32 = add_others}};
    if (lf_device_cpu_open(&device, &options, &err)) fail_msg("%s", err.message);
    return device;
}

static float *random_floats(test_random *random, size_t n)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = test_random_normal(random);
    return values;
}

enum { TOKENS = 50, D = 700 }; // enough for two threads

static void assert_narrowed(const lf_bf16 *y, size_t y_stride, const float *sums, const float *bias, size_t n_tok)
{
    for (size_t t = 0; t < n_tok; t++) {
        for (size_t i = 0; i < D; i++) {
            float sum = sums[t * D + i];
            assert_int_equal(y[t * y_stride + i], lf_bf16_from_f32(bias ? sum + bias[i] : sum));
        }
        for (size_t i = D; i < y_stride; i++) assert_int_equal(y[t * y_stride + i], 0);
    }
}

static void all_reduce_adds_up_and_narrows_once(void **state)
{
    test_random random = {1};
    float *others = random_floats(&random, TOKENS * D), *mine = random_floats(&random, TOKENS * D);
    float *bias = random_floats(&random, D), *x = malloc(TOKENS * D * sizeof *x);
    float *sums = malloc(TOKENS * D * sizeof *sums);
    made_up_ranks ranks = {.others = others};
    lf_device *device = open_rank(&ranks);
    for (int absent = 0; absent < 2; absent++) {
        for (size_t i = 0; i < TOKENS * D; i++) {
            x[i] = absent ? NAN : mine[i]; // an absent part is not read
            sums[i] = absent ? others[i] : mine[i] + others[i];
        }
        lf_dptr y = reserve(TOKENS * (D + 3) * sizeof(lf_bf16));
        lf_all_reduce_args args = {.x = {x},
                                   .is_absent = absent == 1,
                                   .bias = {absent ? NULL : bias},
                                   .y = y,
                                   .y_stride = D + 3,
                                   .n_tok = TOKENS,
                                   .d = D};
        size_t before = ranks.n_call;
        assert_int_equal(device->ops->all_reduce(device, &args, NULL), LF_OK);
        assert_int_equal(ranks.n_call, before + 1);
        assert_int_equal(ranks.n_last, TOKENS * D);
        assert_memory_equal(x, sums, TOKENS * D * sizeof *x);
        assert_narrowed(y.address, D + 3, sums, absent ? NULL : bias, TOKENS);
        release(y);
    }
    device->ops->close(device);
    free(others);
    free(mine);
    free(bias);
    free(x);
    free(sums);
}

static void all_reduce_may_leave_the_sum_in_place(void **state)
{
    float others[3] = {1, 2, 3}, x[3] = {10, 20, 30}, bias[3] = {5, 5, 5};
    made_up_ranks ranks = {.others = others};
    lf_device *device = open_rank(&ranks);
    lf_all_reduce_args args = {.x = {x}, .bias = {bias}, .n_tok = 1, .d = 3};
    assert_int_equal(device->ops->all_reduce(device, &args, NULL), LF_OK);
    assert_true(x[0] == 11 && x[1] == 22 && x[2] == 33);
    device->ops->close(device);
}

static void one_rank_only_narrows(void **state)
{
    test_random random = {2};
    float *x = random_floats(&random, D), *before = malloc(D * sizeof *before), *bias = random_floats(&random, D);
    memcpy(before, x, D * sizeof *x);
    lf_dptr y = reserve(D * sizeof(lf_bf16));
    lf_all_reduce_args args = {.x = {x}, .bias = {bias}, .y = y, .y_stride = D, .n_tok = 1, .d = D};
    assert_int_equal(test_device()->ops->all_reduce(test_device(), &args, NULL), LF_OK);
    assert_memory_equal(x, before, D * sizeof *x);
    assert_narrowed(y.address, D, before, bias, 1);
    args.is_absent = true; // nobody has a part: the bias is all there is
    assert_int_equal(test_device()->ops->all_reduce(test_device(), &args, NULL), LF_OK);
    memset(before, 0, D * sizeof *before);
    assert_narrowed(y.address, D, before, bias, 1);
    release(y);
    free(x);
    free(before);
    free(bias);
}

static void a_failed_rank_is_passed_on(void **state)
{
    made_up_ranks ranks = {0};
    lf_device *device = open_rank(&ranks);
    float x[2] = {1, 2};
    lf_bf16 y[2] = {7, 7};
    lf_error err = {0};
    lf_all_reduce_args args = {.x = {x}, .y = {y}, .y_stride = 2, .n_tok = 1, .d = 2};
    assert_int_equal(device->ops->all_reduce(device, &args, &err), LF_ERR_COMM);
    assert_non_null(strstr(err.message, "rank 1"));
    assert_true(y[0] == 7 && y[1] == 7);
    device->ops->close(device);
}

// What ranks 1 and up hold of a matrix with 2, 0 and 3 columns; the first rank's part comes from `data`.
static lf_status gather_parts(void *ctx, const void *data, const size_t *part, void *all, lf_error *err)
{
    static const float of_rank_2[] = {3, 4, 5, 30, 40, 50};
    made_up_ranks *ranks = ctx;
    ranks->n_call++;
    if (!ranks->others) return lf_error_set(err, LF_ERR_COMM, "rank 1 has gone");
    assert_int_equal(part[0], 2 * 2 * sizeof(float));
    assert_int_equal(part[1], 0);
    assert_int_equal(part[2], sizeof of_rank_2);
    if (!all) return LF_OK;
    memcpy(all, data, part[0]);
    memcpy((char *)all + part[0], of_rank_2, part[2]);
    return LF_OK;
}

static void join_puts_columns_side_by_side(void **state)
{
    static const size_t n_col[] = {2, 0, 3};
    float x[4] = {1, 2, 10, 20}, y[2 * 7] = {0}, scratch[2 * 5];
    static const float expected[2 * 7] = {1, 2, 3, 4, 5, 0, 0, 10, 20, 30, 40, 50};
    made_up_ranks ranks = {.others = x};
    size_t part_bytes[3];
    for (int rank = 0; rank < 2; rank++) {
        lf_device *device = NULL;
        lf_error err = {0};
        lf_device_options options = {.n_thread = 2, .max_n_tok = 64, .max_vocab = 100, .max_length = 100};
        options.collective =
            (lf_collective){.ctx = &ranks, .rank = rank, .n_rank = 3, .gather = gather_parts, .part_bytes = part_bytes};
        if (lf_device_cpu_open(&device, &options, &err)) fail_msg("%s", err.message);
        lf_join_args args = {.x = {x}, .n_col = n_col, .n_row = 2};
        if (rank == 0) {
            args.y.address = y;
            args.y_stride = 7;
            args.scratch.address = scratch;
        }
        ranks.others = x;
        assert_int_equal(device->ops->join(device, &args, &err), LF_OK);
        assert_memory_equal(y, expected, sizeof y);
        ranks.others = NULL;
        assert_int_equal(device->ops->join(device, &args, &err), LF_ERR_COMM);
        device->ops->close(device);
    }
}

// Ranks with some columns each, one with none, norm as one rank would: sums of squares of the parts, added up, applied
// with the count of the whole width. q's and k's sums lie side by side, two to a token.
static void norms_a_width_that_ranks_share(void **state)
{
    enum { STRIDE = D + 9, RANKS = 4 };
    static const size_t cuts[RANKS + 1] = {0, 129, 129, 400, D};
    test_random random = {3};
    lf_dptr x = test_random_bf16(&random, TOKENS * STRIDE, 3);
    lf_dptr before = test_copy(x.address, TOKENS * STRIDE * sizeof(lf_bf16));
    float *weight = random_floats(&random, D), sums[RANKS][2 * TOKENS], total[2 * TOKENS] = {0};
    const struct lf_device_ops *ops = test_device()->ops;
    for (size_t r = 0; r < RANKS; r++) {
        for (size_t i = 0; i < 2 * TOKENS; i++) sums[r][i] = -1;
        lf_square_sums_args args = {.x = lf_dptr_at(x, cuts[r] * sizeof(lf_bf16)),
                                    .x_stride = STRIDE,
                                    .sums = {sums[r] + 1},
                                    .sums_stride = 2,
                                    .n_tok = TOKENS,
                                    .d = cuts[r + 1] - cuts[r]};
        assert_int_equal(ops->square_sums(test_device(), &args, NULL), LF_OK);
        for (size_t t = 0; t < TOKENS; t++) {
            assert_true(sums[r][2 * t] == -1);
            if (args.d == 0) assert_true(sums[r][2 * t + 1] == 0);
            total[2 * t + 1] += sums[r][2 * t + 1];
        }
    }
    for (size_t r = 0; r < RANKS; r++) {
        lf_scale_norm_args args = {.x = lf_dptr_at(x, cuts[r] * sizeof(lf_bf16)),
                                   .x_stride = STRIDE,
                                   .sums = {total + 1},
                                   .sums_stride = 2,
                                   .weight = {weight + cuts[r]},
                                   .n_tok = TOKENS,
                                   .d = cuts[r + 1] - cuts[r],
                                   .count = D,
                                   .eps = 1e-6f};
        assert_int_equal(ops->scale_norm(test_device(), &args, NULL), LF_OK);
    }
    const lf_bf16 *was = before.address, *is = x.address;
    for (size_t t = 0; t < TOKENS; t++) {
        double squares = 0;
        for (size_t i = 0; i < D; i++) squares += pow((double)lf_bf16_to_f32(was[t * STRIDE + i]), 2);
        double factor = 1 / sqrt(squares / D + 1e-6);
        for (size_t i = 0; i < D; i++) {
            double expected = (double)lf_bf16_to_f32(was[t * STRIDE + i]) * factor * (double)weight[i];
            test_assert_close(lf_bf16_to_f32(is[t * STRIDE + i]), (float)expected, 0.51f, 1e-30f, "shared norm", i);
        }
        for (size_t i = D; i < STRIDE; i++) assert_int_equal(is[t * STRIDE + i], was[t * STRIDE + i]);
    }
    free(weight);
    release(x);
    release(before);
}

int test_shared(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_adds_up_and_narrows_once),
        cmocka_unit_test(all_reduce_may_leave_the_sum_in_place),
        cmocka_unit_test(one_rank_only_narrows),
        cmocka_unit_test(a_failed_rank_is_passed_on),
        cmocka_unit_test(join_puts_columns_side_by_side),
        cmocka_unit_test(norms_a_width_that_ranks_share),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
