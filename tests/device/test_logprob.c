// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities against double precision and a full sort: ties by the smaller id, ranks, rows of a broken model.
#include "tests.h"

#include <math.h>

static void check_row(const float *x, size_t n, int32_t target, int32_t n_top, const lf_logprob_row *row)
{
    double max = -HUGE_VAL, sum = 0;
    for (size_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (size_t i = 0; i < n; i++) sum += exp((double)x[i] - max);
    double log_sum_exp = max + log(sum);
    assert_int_equal(row->n_not_finite, 0);
    assert_true(fabs((double)row->log_sum_exp - log_sum_exp) <= 1e-6 * (1 + fabs(log_sum_exp)));
    assert_int_equal(row->n_top, n_top < (int32_t)n ? n_top : (int32_t)n);
    for (int32_t k = 0; k < row->n_top; k++) {
        size_t id = (size_t)row->top_tokens[k], before = 0;
        for (size_t i = 0; i < n; i++) before += x[i] > x[id] || (x[i] == x[id] && i < id);
        assert_int_equal(before, k); // exactly the k-th
        assert_true(fabs((double)row->top_logprobs[k] - ((double)x[id] - log_sum_exp)) <=
                    2e-6 * (1 + fabs(log_sum_exp)));
    }
    if (target < 0) {
        assert_int_equal(row->target_rank, 0);
        assert_true(row->target_logprob == 0);
        return;
    }
    size_t rank = 1;
    for (size_t i = 0; i < n; i++) rank += x[i] > x[target] || (x[i] == x[target] && i < (size_t)target);
    assert_int_equal(row->target_rank, rank);
    assert_true(fabs((double)row->target_logprob - ((double)x[target] - log_sum_exp)) <=
                2e-6 * (1 + fabs(log_sum_exp)));
}

static void agrees_with_a_full_sort(void **state)
{
    static const size_t sizes[] = {1, 3, 20, 21, 1023, 1024, 1025, 9000};
    test_random random = {1};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        enum { ROWS = 6 };
        size_t n = sizes[s], stride = n + 5;
        float *x = malloc(ROWS * stride * sizeof *x);
        for (size_t i = 0; i < ROWS * stride; i++) {
            x[i] = 6 * test_random_normal(&random) + (float)(i / stride) * 40 - 100;
            if (i / stride % 2) x[i] = roundf(x[i]); // ties
        }
        int32_t targets[ROWS], n_top[ROWS] = {0, 1, 5, 20, 20, 2};
        for (size_t r = 0; r < ROWS; r++) targets[r] = r == 2 ? -1 : (int32_t)(test_random_bits(&random) % n);
        lf_logprob_row out[ROWS];
        const struct lf_device_ops *ops = test_device()->ops;
        assert_int_equal(ops->logprobs(test_device(), (lf_dptr){x}, stride, n, ROWS, targets, n_top, out, NULL), LF_OK);
        for (size_t r = 0; r < ROWS; r++) check_row(x + r * stride, n, targets[r], n_top[r], &out[r]);
        assert_int_equal(ops->logprobs(test_device(), (lf_dptr){x}, stride, n, 1, NULL, NULL, out, NULL), LF_OK);
        check_row(x, n, -1, 0, &out[0]);
        free(x);
    }
}

static void counts_what_is_not_finite(void **state)
{
    float x[2000] = {0};
    x[7] = NAN;
    x[1999] = INFINITY;
    x[1000] = -INFINITY;
    int32_t target = 3, n_top = 5;
    lf_logprob_row out;
    const struct lf_device_ops *ops = test_device()->ops;
    assert_int_equal(ops->logprobs(test_device(), (lf_dptr){x}, 2000, 2000, 1, &target, &n_top, &out, NULL), LF_OK);
    assert_int_equal(out.n_not_finite, 3);
    assert_int_equal(out.n_top, 0);
    assert_int_equal(out.target_rank, 0);
}

int test_logprob(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_full_sort),
        cmocka_unit_test(counts_what_is_not_finite),
    };
    return cmocka_run_group_tests_name("logprob", tests, NULL, NULL);
}
