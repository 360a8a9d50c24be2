// SPDX-License-Identifier: Apache-2.0
//
// Products with a matrix per head against a computation in double precision, both ways, with strides that fit nothing,
// and the promise that a token's bits do not depend on the tokens beside it.
#include "tests.h"

#include <math.h>

typedef struct shape {
    size_t n_head, n_row, n_col, n_tok, n_tail;
} shape;

enum { GAP = 5 }; // elements between heads and rows that nothing may touch
static const lf_bf16 untouched = 0x1234;

static size_t width_in(const shape *s, bool is_transposed) { return is_transposed ? s->n_row : s->n_col; }
static size_t width_out(const shape *s, bool is_transposed) { return is_transposed ? s->n_col : s->n_row; }

// y of tokens [first, first + n_tok) of x; malloced rows of n_head (width_out + n_tail + GAP).
static lf_bf16 *run(const shape *s, bool is_transposed, lf_dptr weight, lf_dptr x, size_t first, size_t n_tok)
{
    size_t x_head = width_in(s, is_transposed) + s->n_tail + GAP,
           y_head = width_out(s, is_transposed) + s->n_tail + GAP;
    size_t bytes = n_tok * s->n_head * y_head * sizeof(lf_bf16);
    lf_dptr y = reserve(bytes);
    for (size_t i = 0; i < bytes / sizeof(lf_bf16); i++) ((lf_bf16 *)y.address)[i] = untouched;
    lf_head_product_args args = {.weight = weight,
                                 .head_stride = s->n_row * s->n_col + GAP,
                                 .n_row = s->n_row,
                                 .n_col = s->n_col,
                                 .is_transposed = is_transposed,
                                 .x = lf_dptr_at(x, first * s->n_head * x_head * sizeof(lf_bf16)),
                                 .x_stride = s->n_head * x_head,
                                 .x_head_stride = x_head,
                                 .y = y,
                                 .y_stride = s->n_head * y_head,
                                 .y_head_stride = y_head,
                                 .n_tail = s->n_tail,
                                 .n_tok = n_tok,
                                 .n_head = s->n_head};
    assert_int_equal(test_device()->ops->head_product(test_device(), &args, NULL), LF_OK);
    lf_bf16 *result = malloc(bytes);
    memcpy(result, y.address, bytes);
    release(y);
    return result;
}

static void expect_head(const shape *s, bool is_transposed, const lf_bf16 *w, const lf_bf16 *x, const lf_bf16 *y)
{
    size_t n_in = width_in(s, is_transposed), n_out = width_out(s, is_transposed);
    for (size_t o = 0; o < n_out; o++) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < n_in; i++) {
            size_t at = is_transposed ? i * s->n_col + o : o * s->n_col + i;
            double product = (double)lf_bf16_to_f32(w[at]) * (double)lf_bf16_to_f32(x[i]);
            sum += product;
            magnitude += fabs(product);
        }
        test_assert_close(lf_bf16_to_f32(y[o]), (float)sum, 0.52f, (float)(1e-6 * magnitude), "head product", o);
    }
    assert_memory_equal(y + n_out, x + n_in, s->n_tail * sizeof *x);
    for (size_t i = 0; i < GAP; i++) assert_int_equal(y[n_out + s->n_tail + i], untouched);
}

static void check(const shape *s, bool is_transposed, uint64_t seed)
{
    test_random random = {seed};
    size_t x_head = width_in(s, is_transposed) + s->n_tail + GAP,
           y_head = width_out(s, is_transposed) + s->n_tail + GAP;
    size_t head_stride = s->n_row * s->n_col + GAP;
    lf_dptr weight = test_random_bf16(&random, s->n_head * head_stride, 1);
    lf_dptr x = test_random_bf16(&random, s->n_tok * s->n_head * x_head, 1);
    lf_bf16 *y = run(s, is_transposed, weight, x, 0, s->n_tok);
    for (size_t i = 0; i < s->n_tok * s->n_head; i++) {
        expect_head(s, is_transposed, (const lf_bf16 *)weight.address + i % s->n_head * head_stride,
                    (const lf_bf16 *)x.address + i * x_head, y + i * y_head);
    }
    static const size_t steps[] = {1, 3, 13};
    for (size_t i = 0; i < 3; i++) {
        for (size_t t = 0; t < s->n_tok; t += steps[i]) {
            size_t n = steps[i] < s->n_tok - t ? steps[i] : s->n_tok - t;
            lf_bf16 *part = run(s, is_transposed, weight, x, t, n);
            assert_memory_equal(part, y + t * s->n_head * y_head, n * s->n_head * y_head * sizeof *y);
            free(part);
        }
    }
    free(y);
    release(weight);
    release(x);
}

static void agrees_with_double_precision(void **state)
{
    static const shape shapes[] = {
        {1, 1, 1, 1, 0},      {3, 12, 20, 2, 8},    {4, 64, 128, 11, 0},  {5, 65, 33, 12, 3},
        {2, 128, 512, 7, 64}, {7, 10, 128, 100, 2}, {2, 200, 576, 30, 4}, {1, 63, 31, 230, 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(&shapes[i], false, 700 + i);
        check(&shapes[i], true, 800 + i);
    }
}

static void refuses_latents_without_scratch(void **state)
{
    lf_error err = {0};
    lf_head_product_args args = {.n_row = 4, .n_col = 4096, .n_tok = 1, .n_head = 1};
    assert_int_equal(test_device()->ops->head_product(test_device(), &args, &err), LF_ERR_UNSUPPORTED);
}

int test_head_product(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_precision),
        cmocka_unit_test(refuses_latents_without_scratch),
    };
    return cmocka_run_group_tests_name("head product", tests, NULL, NULL);
}
