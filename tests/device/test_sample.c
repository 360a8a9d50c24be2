// SPDX-License-Identifier: Apache-2.0
//
// Sampling against a plain implementation that sorts: which tokens each filter keeps, where the border cuts among
// equals, the draw at every place of the cumulative distribution, and rows that cannot be sampled.
#include "tests.h"

#include <math.h>

typedef struct entry {
    int32_t id;
    float logit;
    double p;
} entry;

static int by_logit(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

// The tokens that stay, largest first, with their probabilities among themselves; returns how many.
static size_t expected_tokens(const float *x, size_t n, const lf_sample_row *row, entry *out)
{
    double max = -HUGE_VAL, total = 0;
    for (size_t i = 0; i < n; i++) max = fmax(max, (double)x[i]);
    for (size_t i = 0; i < n; i++) {
        out[i] = (entry){(int32_t)i, x[i], exp(((double)x[i] - max) / (double)row->temperature)};
    }
    qsort(out, n, sizeof *out, by_logit);
    size_t count = 0;
    while (count < n && out[count].logit > -INFINITY && out[count].p >= (double)row->min_p) count++;
    if (row->top_k > 0 && (size_t)row->top_k < count) {
        float border = out[row->top_k - 1].logit;
        count = (size_t)row->top_k;
        while (count < n && out[count].logit == border) count++;
    }
    for (size_t i = 0; i < count; i++) total += out[i].p;
    if (row->top_p < 1) {
        double before = 0;
        size_t kept = 0;
        while (kept < count && (kept == 0 || before < (double)row->top_p * total)) before += out[kept++].p;
        count = kept;
        total = before;
    }
    for (size_t i = 0; i < count; i++) out[i].p /= total;
    return count;
}

static int32_t sample_one(const float *x, size_t n, lf_sample_row row)
{
    int32_t token = -2;
    lf_dptr logits = {(void *)(uintptr_t)x};
    assert_int_equal(test_device()->ops->sample(test_device(), logits, n, n, 1, &row, &token, NULL), LF_OK);
    return token;
}

static int by_id(const void *a, const void *b) { return ((const entry *)a)->id < ((const entry *)b)->id ? -1 : 1; }

// In the middle of each kept token's share of [0, 1) that token must come out.
static void check_row(const float *x, size_t n, lf_sample_row row)
{
    entry *kept = malloc(n * sizeof *kept);
    size_t count = expected_tokens(x, n, &row, kept);
    qsort(kept, count, sizeof *kept, by_id);
    double before = 0;
    size_t step = count / 40 + 1;
    for (size_t i = 0; i < count; i++) {
        row.uniform = (float)(before + kept[i].p / 2);
        before += kept[i].p;
        if (i % step != 0 || kept[i].p < 1e-5) continue;
        int32_t token = sample_one(x, n, row);
        if (token != kept[i].id) {
            fail_msg("n %zu T %g k %d p %g min_p %g at %g: token %d, expected %d", n, (double)row.temperature,
                     row.top_k, (double)row.top_p, (double)row.min_p, (double)row.uniform, token, kept[i].id);
        }
    }
    free(kept);
}

static float *random_logits(test_random *random, size_t n, float scale, bool coarse)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = scale * test_random_normal(random);
        if (coarse) x[i] = roundf(x[i]);
    }
    return x;
}

static void keeps_what_the_filters_keep(void **state)
{
    static const lf_sample_row rows[] = {
        {.temperature = 1, .top_p = 1},
        {.temperature = 0.7f, .top_p = 1, .top_k = 1},
        {.temperature = 0.7f, .top_p = 1, .top_k = 5},
        {.temperature = 1.3f, .top_p = 1, .top_k = 40},
        {.temperature = 1, .top_p = 1, .top_k = 900},
        {.temperature = 1, .top_p = 1, .top_k = 1000000},
        {.temperature = 1, .top_p = 0.9f},
        {.temperature = 2, .top_p = 0.5f},
        {.temperature = 1, .top_p = 1e-6f},
        {.temperature = 5, .top_p = 0.999f},
        {.temperature = 1, .top_p = 1, .min_p = 0.1f},
        {.temperature = 0.5f, .top_p = 1, .min_p = 1},
        {.temperature = 0.8f, .top_p = 0.8f, .top_k = 20},
        {.temperature = 1.5f, .top_p = 0.95f, .top_k = 50, .min_p = 0.02f},
        {.temperature = 1.5f, .top_p = 0.7f, .min_p = 0.05f},
    };
    static const size_t sizes[] = {1, 2, 7, 255, 256, 257, 1024, 5000, 32768};
    test_random random = {1};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            float *x = random_logits(&random, sizes[s], r % 2 ? 4 : 1.5f, false);
            check_row(x, sizes[s], rows[r]);
            free(x);
        }
    }
}

static void cuts_among_equals_in_order_of_id(void **state)
{
    test_random random = {2};
    for (size_t trial = 0; trial < 30; trial++) {
        float *x = random_logits(&random, 700, 1.5f, true);
        // A p that falls between two elements of equal logits, never on the border of one.
        check_row(x, 700, (lf_sample_row){.temperature = 1, .top_p = 0.3f + 0.02f * (float)trial});
        check_row(x, 700, (lf_sample_row){.temperature = 1, .top_p = 1, .top_k = 1 + (int32_t)trial});
        free(x);
    }
    float equal[100];
    for (size_t i = 0; i < 100; i++) equal[i] = -2.5f;
    for (size_t i = 0; i < 100; i++) {
        lf_sample_row row = {.temperature = 1, .top_p = 0.095f, .uniform = ((float)i + 0.5f) / 100};
        assert_int_equal(sample_one(equal, 100, row),
                         (int)(row.uniform * 10)); // 0.095 of 100 equal ones: the first ten
        row.top_p = 1;
        assert_int_equal(sample_one(equal, 100, row), (int)i);
        row.top_k = 3;
        assert_int_equal(sample_one(equal, 100, row), (int)i); // ties with the third stay
    }
}

static void banned_tokens_never_come(void **state)
{
    test_random random = {3};
    float *x = random_logits(&random, 3000, 1, false);
    for (size_t i = 0; i < 3000; i++) {
        if (i % 3 != 1) x[i] = -INFINITY;
    }
    static const lf_sample_row rows[] = {{.temperature = 1, .top_p = 1},
                                         {.temperature = 1, .top_p = 0.99f},
                                         {.temperature = 9, .top_p = 1, .top_k = 2000},
                                         {.temperature = 0, .top_p = 1},
                                         {.temperature = 1, .top_p = 1, .min_p = 1e-9f}};
    for (size_t r = 0; r < 5; r++) {
        for (size_t i = 0; i <= 200; i++) {
            lf_sample_row row = rows[r];
            row.uniform = i == 200 ? 0x1.fffffep-1f : (float)i / 200;
            assert_int_equal(sample_one(x, 3000, row) % 3, 1);
        }
    }
    free(x);
}

static void greedy_takes_the_first_largest(void **state)
{
    float x[600];
    for (size_t i = 0; i < 600; i++) x[i] = -(float)(i % 50);
    x[301] = x[302] = x[599] = 7;
    lf_sample_row row = {.temperature = 0, .top_p = 0.5f, .top_k = 3, .uniform = 0.9f};
    assert_int_equal(sample_one(x, 600, row), 301);
    row.temperature = 1e-7f; // below vLLM's smallest
    assert_int_equal(sample_one(x, 600, row), 301);
    x[10] = -0.0f;
    float zeros[] = {-1, -0.0f, 0.0f};
    assert_int_equal(sample_one(zeros, 3, row), 1);
}

static void broken_rows_give_no_token(void **state)
{
    float x[300];
    for (int kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < 300; i++) x[i] = kind == 2 ? -INFINITY : (float)i;
        if (kind < 2) x[299 * kind] = kind ? NAN : INFINITY;
        assert_int_equal(sample_one(x, 300, (lf_sample_row){.temperature = 0, .top_p = 1}), -1);
        assert_int_equal(sample_one(x, 300, (lf_sample_row){.temperature = 1, .top_p = 1}), -1);
        assert_int_equal(sample_one(x, 300, (lf_sample_row){.temperature = 1, .top_p = 0.9f, .top_k = 4}), -1);
    }
}

// 20000 draws with a uniform sequence: chi squared of the 12 most probable tokens and the rest.
static void draws_follow_the_distribution(void **state)
{
    enum { N = 1500, DRAWS = 20000, CELLS = 12 };
    test_random random = {4};
    float *x = random_logits(&random, N, 2.5f, false);
    entry kept[N];
    lf_sample_row row = {.temperature = 0.9f, .top_p = 0.97f, .top_k = 400};
    size_t count = expected_tokens(x, N, &row, kept);
    assert_true(count > CELLS);
    int seen[N] = {0};
    for (int i = 0; i < DRAWS; i++) {
        row.uniform = test_random_uniform(&random);
        int32_t token = sample_one(x, N, row);
        assert_in_range(token, 0, N - 1);
        seen[token]++;
    }
    double chi_squared = 0, rest_p = 1, rest_seen = DRAWS;
    for (size_t i = 0; i < CELLS; i++) {
        double expected = kept[i].p * DRAWS, difference = seen[kept[i].id] - expected;
        chi_squared += difference * difference / expected;
        rest_p -= kept[i].p;
        rest_seen -= seen[kept[i].id];
    }
    chi_squared += (rest_seen - rest_p * DRAWS) * (rest_seen - rest_p * DRAWS) / (rest_p * DRAWS);
    assert_true(chi_squared < 32.9); // 12 degrees of freedom, one in a thousand
    int kept_seen = 0;
    for (size_t i = 0; i < count; i++) kept_seen += seen[kept[i].id];
    assert_int_equal(kept_seen, DRAWS);
    free(x);
}

static void rows_are_independent(void **state)
{
    enum { N = 3000, ROWS = 33 };
    test_random random = {5};
    float *x = random_logits(&random, N * ROWS, 2, false);
    lf_sample_row rows[ROWS];
    int32_t together[ROWS], tokens[1];
    for (int i = 0; i < ROWS; i++) {
        rows[i] = (lf_sample_row){.row = ROWS - 1 - i,
                                  .temperature = 1,
                                  .top_p = i % 2 ? 0.9f : 1,
                                  .top_k = i % 5 * 10,
                                  .uniform = test_random_uniform(&random)};
    }
    const struct lf_device_ops *ops = test_device()->ops;
    assert_int_equal(ops->sample(test_device(), (lf_dptr){x}, N, N, ROWS, rows, together, NULL), LF_OK);
    for (int i = 0; i < ROWS; i++) {
        assert_int_equal(ops->sample(test_device(), (lf_dptr){x}, N, N, 1, &rows[i], tokens, NULL), LF_OK);
        assert_int_equal(tokens[0], together[i]);
    }
    free(x);
}

static void edits_logits(void **state)
{
    float x[] = {2, -2, 0, 5, 1, 1};
    const lf_logit_edit edits[] = {
        {0, 0, 2, 0}, {0, 1, 2, 0.5f}, {1, 0, 1, -INFINITY}, {1, 2, 4, -0.25f}, {0, 0, 1, 1}};
    assert_int_equal(test_device()->ops->edit_logits(test_device(), (lf_dptr){x}, 3, 5, edits, NULL), LF_OK);
    assert_true(x[0] == 2 && x[1] == -3.5f && x[2] == 0 && x[3] == -INFINITY && x[4] == 1 && x[5] == 0);
}

int test_sample(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_the_filters_keep), cmocka_unit_test(cuts_among_equals_in_order_of_id),
        cmocka_unit_test(banned_tokens_never_come),    cmocka_unit_test(greedy_takes_the_first_largest),
        cmocka_unit_test(broken_rows_give_no_token),   cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(rows_are_independent),        cmocka_unit_test(edits_logits),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
