// SPDX-License-Identifier: Apache-2.0
//
// Packed weights and the linear layer: exact packing, agreement with double precision, and the promise that a token's
// bits do not depend on its batch.
#include "tests.h"

#include <math.h>

typedef struct problem {
    size_t n_tok, n_row, n_col, x_stride, y_stride;
    lf_dptr x, rows, bias;
    lf_weight *weight;
} problem;

static problem make_problem(test_random *random, size_t n_tok, size_t n_row, size_t n_col)
{
    problem p = {.n_tok = n_tok, .n_row = n_row, .n_col = n_col, .x_stride = n_col + 3, .y_stride = n_row + 5};
    p.x = test_random_bf16(random, n_tok * p.x_stride, 1);
    p.rows = test_random_bf16(random, n_row * n_col, 0.5f);
    p.weight = test_weight(p.rows.address, n_row, n_col);
    p.bias = reserve(n_row * sizeof(float));
    for (size_t i = 0; i < n_row; i++) ((float *)p.bias.address)[i] = test_random_normal(random);
    return p;
}

static void free_problem(problem *p)
{
    release(p->x);
    release(p->rows);
    release(p->bias);
    test_device()->ops->weight_free(test_device(), p->weight);
}

static void run_linear(const problem *p, size_t first_tok, size_t n_tok, bool bias, lf_dptr y)
{
    lf_linear_args args = {.weight = p->weight,
                           .x = lf_dptr_at(p->x, first_tok * p->x_stride * sizeof(lf_bf16)),
                           .x_stride = p->x_stride,
                           .y = lf_dptr_at(y, first_tok * p->y_stride * sizeof(float)),
                           .y_stride = p->y_stride,
                           .n_tok = n_tok,
                           .y_is_f32 = true};
    if (bias) args.bias = p->bias;
    assert_int_equal(test_device()->ops->linear(test_device(), &args, NULL), LF_OK);
}

static void check_problem(const problem *p, bool bias)
{
    lf_dptr y = reserve(p->n_tok * p->y_stride * sizeof(float));
    run_linear(p, 0, p->n_tok, bias, y);
    const lf_bf16 *x = p->x.address, *w = p->rows.address;
    for (size_t t = 0; t < p->n_tok; t++) {
        for (size_t r = 0; r < p->n_row; r++) {
            double sum = 0, size = 0;
            for (size_t k = 0; k < p->n_col; k++) {
                double term =
                    (double)lf_bf16_to_f32(x[t * p->x_stride + k]) * (double)lf_bf16_to_f32(w[r * p->n_col + k]);
                sum += term;
                size += fabs(term);
            }
            if (bias) sum += (double)((float *)p->bias.address)[r];
            float got = ((float *)y.address)[t * p->y_stride + r];
            // The a-priori bound of a chain of n float32 additions is n * 2^-24 * size; typical errors are its square
            // root.
            if (fabs((double)got - sum) > 4e-7 * (size + 1) * sqrt((double)p->n_col) + 1e-6) {
                fail_msg("[%zu, %zu, %zu] token %zu row %zu: %g, expected %g", p->n_tok, p->n_row, p->n_col, t, r,
                         (double)got, sum);
            }
        }
        for (size_t r = p->n_row; r < p->y_stride; r++) assert_true(((float *)y.address)[t * p->y_stride + r] == 0);
    }
    release(y);
}

static void agrees_with_double_precision(void **state)
{
    test_random random = {1};
    static const size_t columns[] = {1, 2, 31, 32, 33, 40, 64, 96, 160, 257, 1024};
    static const size_t rows[] = {1, 15, 16, 17, 63, 64, 65, 129, 200};
    static const size_t tokens[] = {1, 2, 3, 5, 8, 9, 31};
    for (size_t c = 0; c < 11; c++) {
        for (size_t r = 0; r < 9; r++) {
            problem p = make_problem(&random, tokens[(c + r) % 7], rows[r], columns[c]);
            check_problem(&p, (c + r) % 2 == 0);
            free_problem(&p);
        }
    }
}

static void every_number_of_tokens_gives_the_same_bits(void **state)
{
    test_random random = {2};
    problem p = make_problem(&random, 210, 136, 600);
    lf_dptr alone = reserve(p.n_tok * p.y_stride * sizeof(float));
    for (size_t t = 0; t < p.n_tok; t++) run_linear(&p, t, 1, true, alone);
    for (size_t n = 2; n <= 210; n = n < 30 ? n + 1 : n + 45) {
        lf_dptr together = reserve(p.n_tok * p.y_stride * sizeof(float));
        for (size_t t = 0; t < p.n_tok; t += n) run_linear(&p, t, n < p.n_tok - t ? n : p.n_tok - t, true, together);
        assert_memory_equal(alone.address, together.address, p.n_tok * p.y_stride * sizeof(float));
        release(together);
    }
    release(alone);
    free_problem(&p);
}

static void more_tokens_than_one_round(void **state)
{
    test_random random = {3};
    problem p = make_problem(&random, 600, 80, 48);
    check_problem(&p, true);
    free_problem(&p);
}

static void rounds_to_bf16(void **state)
{
    test_random random = {4};
    problem p = make_problem(&random, 20, 70, 64);
    lf_dptr wide = reserve(p.n_tok * p.y_stride * sizeof(float)),
            narrow = reserve(p.n_tok * p.y_stride * sizeof(lf_bf16));
    run_linear(&p, 0, p.n_tok, true, wide);
    lf_linear_args args = {.weight = p.weight,
                           .x = p.x,
                           .x_stride = p.x_stride,
                           .bias = p.bias,
                           .y = narrow,
                           .y_stride = p.y_stride,
                           .n_tok = p.n_tok};
    assert_int_equal(test_device()->ops->linear(test_device(), &args, NULL), LF_OK);
    for (size_t i = 0; i < p.n_tok * p.y_stride; i++) {
        assert_int_equal(((lf_bf16 *)narrow.address)[i], lf_bf16_from_f32(((float *)wide.address)[i]));
    }
    release(wide);
    release(narrow);
    free_problem(&p);
}

// Any rectangle may arrive alone; embed reads the rows back.
static void fills_by_rectangles(void **state)
{
    const struct lf_device_ops *ops = test_device()->ops;
    static const size_t shapes[][2] = {{1, 1}, {70, 33}, {128, 64}, {130, 95}};
    test_random random = {5};
    for (size_t s = 0; s < 4; s++) {
        size_t n_row = shapes[s][0], n_col = shapes[s][1];
        lf_dptr rows = test_random_bf16(&random, n_row * n_col, 1), y = reserve(n_row * n_col * sizeof(lf_bf16));
        lf_weight *weight = NULL;
        assert_int_equal(ops->weight_create(test_device(), (int64_t)n_row, (int64_t)n_col, &weight, NULL), LF_OK);
        for (size_t r = 0; r < n_row;) {
            size_t height = 1 + test_random_bits(&random) % (n_row - r);
            for (size_t c = 0; c < n_col;) {
                size_t width = 1 + test_random_bits(&random) % (n_col - c);
                ops->weight_fill(weight, (int64_t)r, (int64_t)height, (int64_t)c, (int64_t)width,
                                 (lf_bf16 *)rows.address + r * n_col + c, n_col);
                c += width;
            }
            r += height;
        }
        int32_t *ids = calloc(n_row, sizeof *ids);
        for (size_t r = 0; r < n_row; r++) ids[r] = (int32_t)(n_row - 1 - r);
        lf_embed_args args = {.weight = weight, .ids = {ids}, .y = y, .y_stride = n_col, .n_tok = n_row, .d = n_col};
        assert_int_equal(ops->embed(test_device(), &args, NULL), LF_OK);
        for (size_t r = 0; r < n_row; r++) {
            assert_memory_equal((lf_bf16 *)y.address + r * n_col, (lf_bf16 *)rows.address + (n_row - 1 - r) * n_col,
                                n_col * sizeof(lf_bf16));
        }
        free(ids);
        release(rows);
        release(y);
        ops->weight_free(test_device(), weight);
    }
}

static void refuses_impossible_matrices(void **state)
{
    const struct lf_device_ops *ops = test_device()->ops;
    lf_weight *weight = NULL;
    lf_error err = {0};
    assert_int_equal(ops->weight_create(test_device(), 0, 5, &weight, &err), LF_ERR_INVALID);
    assert_int_equal(ops->weight_create(test_device(), 5, -1, &weight, &err), LF_ERR_INVALID);
    assert_int_equal(ops->weight_create(test_device(), INT64_MAX, 5, &weight, &err), LF_ERR_INVALID);
    assert_int_equal(ops->weight_create(test_device(), INT32_MAX, INT32_MAX, &weight, &err), LF_ERR_NO_MEMORY);
    assert_null(weight);
}

int test_linear(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_precision), cmocka_unit_test(every_number_of_tokens_gives_the_same_bits),
        cmocka_unit_test(more_tokens_than_one_round),   cmocka_unit_test(rounds_to_bf16),
        cmocka_unit_test(fills_by_rectangles),          cmocka_unit_test(refuses_impossible_matrices),
    };
    return cmocka_run_group_tests_name("linear", tests, NULL, NULL);
}
