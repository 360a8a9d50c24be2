// SPDX-License-Identifier: Apache-2.0
//
// The experts against a plain computation in double precision, token by token; and that neither the batch nor the cut
// into ranks by experts changes what a token gets.
#include "tests.h"

#include <math.h>

typedef struct problem {
    size_t n_tok, n_active, n_expert, d, d_ff;
    lf_dptr x;
    size_t x_stride;
    int32_t *experts;
    float *scores;
    lf_bf16 **gate_up_rows, **down_rows;
    lf_weight **gate_up, **down;
} problem;

static lf_bf16 *random_rows(test_random *random, size_t n, float scale)
{
    lf_bf16 *rows = malloc(n * sizeof *rows);
    for (size_t i = 0; i < n; i++) rows[i] = lf_bf16_from_f32(scale * test_random_normal(random));
    return rows;
}

// Every token chooses n_active different experts; with `skewed`, mostly the first ones.
static void choose(test_random *random, problem *p, bool skewed)
{
    for (size_t t = 0; t < p->n_tok; t++) {
        for (size_t i = 0; i < p->n_active;) {
            size_t expert = test_random_bits(random) % p->n_expert;
            if (skewed) expert = expert * expert / p->n_expert;
            size_t j = 0;
            while (j < i && p->experts[t * p->n_active + j] != (int32_t)expert) j++;
            if (j < i) continue;
            p->experts[t * p->n_active + i] = (int32_t)expert;
            p->scores[t * p->n_active + i++] = test_random_uniform(random);
        }
    }
}

static problem make_problem(test_random *random, const size_t shape[5], bool skewed)
{
    problem p = {.n_tok = shape[0], .n_active = shape[1], .n_expert = shape[2], .d = shape[3], .d_ff = shape[4]};
    p.x_stride = p.d + 3;
    p.x = test_random_bf16(random, p.n_tok * p.x_stride, 1);
    p.experts = malloc(p.n_tok * p.n_active * sizeof *p.experts);
    p.scores = malloc(p.n_tok * p.n_active * sizeof *p.scores);
    choose(random, &p, skewed);
    p.gate_up_rows = malloc(p.n_expert * sizeof *p.gate_up_rows);
    p.down_rows = malloc(p.n_expert * sizeof *p.down_rows);
    p.gate_up = malloc(p.n_expert * sizeof(lf_weight *));
    p.down = malloc(p.n_expert * sizeof(lf_weight *));
    for (size_t e = 0; e < p.n_expert; e++) {
        p.gate_up_rows[e] = random_rows(random, 2 * p.d_ff * p.d, 1 / sqrtf((float)p.d));
        p.down_rows[e] = random_rows(random, p.d * p.d_ff, 1 / sqrtf((float)p.d_ff));
        p.gate_up[e] = test_weight(p.gate_up_rows[e], 2 * p.d_ff, p.d);
        p.down[e] = test_weight(p.down_rows[e], p.d, p.d_ff);
    }
    return p;
}

static void free_problem(problem *p)
{
    for (size_t e = 0; e < p->n_expert; e++) {
        free(p->gate_up_rows[e]);
        free(p->down_rows[e]);
        test_device()->ops->weight_free(test_device(), p->gate_up[e]);
        test_device()->ops->weight_free(test_device(), p->down[e]);
    }
    release(p->x);
    free(p->experts);
    free(p->scores);
    free(p->gate_up_rows);
    free(p->down_rows);
    free(p->gate_up);
    free(p->down);
}

// Tokens [first, first + n_tok) by the experts [first_expert, first_expert + n_held). Scratch is as long as promised,
// with guards behind it.
static void run_experts(lf_device *device, const problem *p, size_t first, size_t n_tok, size_t first_expert,
                        size_t n_held, bool is_first, float *y)
{
    enum { GUARD = 256 };
    size_t bytes = 0;
    assert_true(device->ops->experts_scratch(n_tok, p->n_active, n_held, p->d, p->d_ff, &bytes));
    lf_dptr scratch = reserve(bytes + GUARD);
    memset(scratch.address, 0xff, bytes + GUARD); // NaN
    lf_experts_args args = {.gate_up = (const lf_weight *const *)p->gate_up + first_expert,
                            .down = (const lf_weight *const *)p->down + first_expert,
                            .first_expert = first_expert,
                            .n_held = n_held,
                            .experts = {p->experts + first * p->n_active},
                            .scores = {p->scores + first * p->n_active},
                            .x = lf_dptr_at(p->x, first * p->x_stride * sizeof(lf_bf16)),
                            .x_stride = p->x_stride,
                            .y = {y + first * p->d},
                            .is_first = is_first,
                            .n_tok = n_tok,
                            .n_active = p->n_active,
                            .d = p->d,
                            .d_ff = p->d_ff,
                            .scratch = scratch};
    lf_error err = {0};
    if (device->ops->experts(device, &args, &err)) fail_msg("%s", err.message);
    for (size_t i = 0; i < GUARD; i++) assert_int_equal(((unsigned char *)scratch.address)[bytes + i], 0xff);
    release(scratch);
}

static double plain_dot(const lf_bf16 *a, const lf_bf16 *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)lf_bf16_to_f32(a[i]) * (double)lf_bf16_to_f32(b[i]);
    return sum;
}

static double rounded(double value) { return (double)lf_bf16_to_f32(lf_bf16_from_f32((float)value)); }

// y += the token's experts in [first_expert, first_expert + n_held), in double precision with bf16 between the
// products. bound += what roundings to bf16 that fall the other way can make of it.
static void plain_token(const problem *p, size_t tok, size_t first_expert, size_t n_held, double *y, double *bound)
{
    const lf_bf16 *x = (const lf_bf16 *)p->x.address + tok * p->x_stride;
    lf_bf16 *gated = malloc(p->d_ff * sizeof *gated);
    double *slack = malloc(p->d_ff * sizeof *slack);
    for (size_t i = 0; i < p->n_active; i++) {
        size_t e = (size_t)p->experts[tok * p->n_active + i];
        if (e < first_expert || e >= first_expert + n_held) continue;
        double score = (double)p->scores[tok * p->n_active + i];
        for (size_t r = 0; r < p->d_ff; r++) {
            const lf_bf16 *rows = p->gate_up_rows[e];
            double gate = rounded(plain_dot(rows + r * p->d, x, p->d));
            double up = rounded(plain_dot(rows + (p->d_ff + r) * p->d, x, p->d));
            gated[r] = lf_bf16_from_f32((float)(gate / (1 + exp(-gate)) * up));
            // One unit of bf16 of each factor (silu's slope is below 1.1) and of the product.
            slack[r] = (1.1 * fabs(gate * up) + 2 * fabs((double)lf_bf16_to_f32(gated[r]))) / 128;
        }
        for (size_t c = 0; c < p->d; c++) {
            const lf_bf16 *row = p->down_rows[e] + c * p->d_ff;
            y[c] += score * plain_dot(row, gated, p->d_ff);
            double squares = 0; // few round the other way, and independently of each other
            for (size_t r = 0; r < p->d_ff; r++) squares += pow(slack[r] * (double)lf_bf16_to_f32(row[r]), 2);
            bound[c] += score * sqrt(squares);
        }
    }
    free(gated);
    free(slack);
}

static void check_tokens(const problem *p, size_t first_expert, size_t n_held, const float *before, const float *y)
{
    double *expected = malloc(p->d * sizeof *expected), *bound = malloc(p->d * sizeof *bound);
    for (size_t t = 0; t < p->n_tok; t++) {
        for (size_t c = 0; c < p->d; c++) {
            expected[c] = before ? (double)before[t * p->d + c] : 0;
            bound[c] = 1e-5;
        }
        plain_token(p, t, first_expert, n_held, expected, bound);
        for (size_t c = 0; c < p->d; c++) {
            if (!(fabs((double)y[t * p->d + c] - expected[c]) <= bound[c])) {
                fail_msg("[%zu tokens, %zu of %zu experts, %zu, %zu] token %zu column %zu: %g, expected %g +- %g",
                         p->n_tok, p->n_active, p->n_expert, p->d, p->d_ff, t, c, (double)y[t * p->d + c], expected[c],
                         bound[c]);
            }
        }
    }
    free(expected);
    free(bound);
}

// n_tok, n_active, n_expert, d, d_ff. Groups of one token, of some, of more than LF_MANY_TOKENS, of more than a run.
static const size_t shapes[][5] = {
    {1, 1, 1, 1, 1},     {1, 8, 16, 64, 32},  {2, 2, 4, 97, 200},  {5, 3, 9, 200, 97},  {40, 4, 6, 97, 65},
    {130, 2, 3, 64, 48}, {64, 8, 40, 96, 31}, {600, 1, 1, 33, 17}, {600, 2, 3, 40, 16}, {256, 8, 64, 64, 40},
};
enum { N_SHAPE = sizeof shapes / sizeof *shapes };

static float *random_floats(test_random *random, size_t n)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = test_random_normal(random);
    return values;
}

static void agrees_with_double_precision(void **state)
{
    test_random random = {1};
    for (size_t i = 0; i < N_SHAPE; i++) {
        problem p = make_problem(&random, shapes[i], i % 2);
        size_t n = p.n_tok * p.d;
        float *before = random_floats(&random, n), *y = malloc(n * sizeof *y);
        memcpy(y, before, n * sizeof *y);
        run_experts(test_device(), &p, 0, p.n_tok, 0, p.n_expert, false, y);
        check_tokens(&p, 0, p.n_expert, before, y);
        memset(y, 0xff, n * sizeof *y); // NaN: is_first must not read it
        run_experts(test_device(), &p, 0, p.n_tok, 0, p.n_expert, true, y);
        check_tokens(&p, 0, p.n_expert, NULL, y);
        free(before);
        free(y);
        free_problem(&p);
    }
}

// As expert parallelism has it: ranks that hold ranges of experts, some of them none, add up to the whole.
static void a_range_of_experts_is_its_part(void **state)
{
    test_random random = {2};
    problem p = make_problem(&random, (const size_t[5]){70, 4, 11, 40, 24}, true);
    size_t n = p.n_tok * p.d;
    float *whole = malloc(n * sizeof *whole), *parts = malloc(n * sizeof *parts);
    run_experts(test_device(), &p, 0, p.n_tok, 0, p.n_expert, true, whole);
    static const size_t cuts[] = {0, 3, 3, 4, 10, 11};
    for (size_t i = 0; i + 1 < 6; i++) {
        run_experts(test_device(), &p, 0, p.n_tok, cuts[i], cuts[i + 1] - cuts[i], i == 0, parts);
    }
    assert_memory_equal(whole, parts, n * sizeof *whole); // the order of additions is the same, too
    memset(parts, 0xff, n * sizeof *parts);
    run_experts(test_device(), &p, 0, p.n_tok, 11, 0, true, parts);
    for (size_t i = 0; i < n; i++) assert_true(parts[i] == 0);
    p.d_ff = 0; // a rank with no row of any expert: no matrices either
    lf_weight **gate_up = p.gate_up, **down = p.down;
    p.gate_up = p.down = NULL;
    memset(parts, 0xff, n * sizeof *parts);
    run_experts(test_device(), &p, 0, p.n_tok, 0, 11, true, parts);
    for (size_t i = 0; i < n; i++) assert_true(parts[i] == 0);
    memcpy(parts, whole, n * sizeof *parts);
    run_experts(test_device(), &p, 0, p.n_tok, 0, 11, false, parts);
    assert_memory_equal(whole, parts, n * sizeof *whole);
    p.gate_up = gate_up;
    p.down = down;
    free(whole);
    free(parts);
    free_problem(&p);
}

static void the_batch_does_not_show(void **state)
{
    test_random random = {3};
    problem p = make_problem(&random, (const size_t[5]){100, 3, 12, 97, 72}, true);
    size_t n = p.n_tok * p.d;
    float *alone = malloc(n * sizeof *alone), *together = malloc(n * sizeof *together);
    for (size_t t = 0; t < p.n_tok; t++) run_experts(test_device(), &p, t, 1, 0, p.n_expert, true, alone);
    for (size_t size = 2; size <= p.n_tok; size += size < 8 ? 1 : 23) {
        for (size_t t = 0; t < p.n_tok; t += size)
            run_experts(test_device(), &p, t, size < p.n_tok - t ? size : p.n_tok - t, 0, p.n_expert, true, together);
        assert_memory_equal(alone, together, n * sizeof *alone);
    }
    free(alone);
    free(together);
    free_problem(&p);
}

// What no router gives: the same expert twice, ids that nobody has.
static void strange_choices_do_no_harm(void **state)
{
    test_random random = {4};
    problem p = make_problem(&random, (const size_t[5]){40, 4, 4, 40, 24}, false);
    for (size_t i = 0; i < p.n_tok * p.n_active; i++) p.experts[i] = i % 4 == 3 ? (i % 8 == 3 ? -1 : INT32_MAX) : 1;
    float *y = malloc(p.n_tok * p.d * sizeof *y);
    run_experts(test_device(), &p, 0, p.n_tok, 0, p.n_expert, true, y);
    check_tokens(&p, 0, p.n_expert, NULL, y);
    run_experts(test_device(), &p, 0, 1, 0, p.n_expert, true, y);
    check_tokens(&p, 0, p.n_expert, NULL, y);
    free(y);
    free_problem(&p);
}

static void a_broken_score_shows(void **state)
{
    test_random random = {5};
    problem p = make_problem(&random, (const size_t[5]){3, 2, 4, 40, 24}, false);
    float y[3 * 40];
    p.scores[2 + 1] = NAN;
    run_experts(test_device(), &p, 0, 3, 0, 4, true, y);
    for (size_t i = 0; i < 3 * 40; i++) assert_int_equal(isnan(y[i]) != 0, i / 40 == 1);
    free_problem(&p);
}

static void impossible_scratch_is_refused(void **state)
{
    size_t bytes = 0;
    const struct lf_device_ops *ops = test_device()->ops;
    assert_false(ops->experts_scratch(SIZE_MAX / 2, 8, 256, 3072, 1536, &bytes));
    assert_false(ops->experts_scratch(512, 8, SIZE_MAX / 2, 3072, 1536, &bytes));
    assert_false(ops->experts_scratch(512, 8, 256, SIZE_MAX / 2, 1536, &bytes));
    assert_false(ops->experts_scratch(512, 8, 256, 3072, SIZE_MAX / 2, &bytes));
    assert_true(ops->experts_scratch(0, 8, 256, 3072, 1536, &bytes));
    size_t fewer = 0, more = 0;
    for (size_t n_tok = 1; n_tok <= 4096; n_tok++, fewer = more) { // a buffer for many tokens serves few
        assert_true(ops->experts_scratch(n_tok, 8, 256, 3072, 1536, &more));
        assert_true(more >= fewer);
    }
}

int test_experts(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_precision), cmocka_unit_test(a_range_of_experts_is_its_part),
        cmocka_unit_test(the_batch_does_not_show),      cmocka_unit_test(strange_choices_do_no_harm),
        cmocka_unit_test(a_broken_score_shows),         cmocka_unit_test(impossible_scratch_is_refused),
    };
    return cmocka_run_group_tests_name("experts", tests, NULL, NULL);
}
