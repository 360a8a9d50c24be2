// SPDX-License-Identifier: Apache-2.0
//
// Sampling parameters: ranges as vLLM checks them, edits in its order, random numbers that depend on seed and counter
// alone.
#include "tests.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/sample.h"

enum { VOCAB = 100 };

#define REFUSED(...)                                                                                                   \
    do {                                                                                                               \
        lf_sampling s = LF_SAMPLING_DEFAULT;                                                                           \
        __VA_ARGS__;                                                                                                   \
        lf_error err = {0};                                                                                            \
        assert_int_equal(lf__sampling_check(&s, VOCAB, &err), LF_ERR_INVALID);                                         \
        assert_true(strlen(err.message) > 0);                                                                          \
    } while (0)

static void test_ranges(void **state)
{
    (void)state;
    assert_int_equal(lf__sampling_check(&LF_SAMPLING_DEFAULT, VOCAB, NULL), LF_OK);
    REFUSED(s.temperature = -0.1f);
    REFUSED(s.temperature = NAN);
    REFUSED(s.temperature = INFINITY);
    REFUSED(s.top_p = 0);
    REFUSED(s.top_p = 1.5f);
    REFUSED(s.top_p = NAN);
    REFUSED(s.min_p = -0.1f);
    REFUSED(s.min_p = 1.1f);
    REFUSED(s.top_k = -2);
    REFUSED(s.presence_penalty = 2.1f);
    REFUSED(s.frequency_penalty = -2.1f);
    REFUSED(s.repetition_penalty = 0);
    REFUSED(s.repetition_penalty = NAN);
    REFUSED(s.max_tokens = -1);
    REFUSED(s.min_tokens = -1);
    REFUSED(s.min_tokens = 17); // more than max_tokens
    REFUSED(s.logprobs = 21);
    REFUSED(s.logprobs = -2);
    REFUSED(s.prompt_logprobs = 21);
    lf_logit_bias outside = {VOCAB, 1}, negative = {-1, 1}, infinite = {1, INFINITY};
    REFUSED(s.logit_bias = &outside; s.n_logit_bias = 1);
    REFUSED(s.logit_bias = &negative; s.n_logit_bias = 1);
    REFUSED(s.logit_bias = &infinite; s.n_logit_bias = 1);
}

static void test_small_temperatures(void **state)
{
    (void)state;
    lf_sampling s = LF_SAMPLING_DEFAULT;
    s.temperature = 1e-6f;
    assert_true(lf__sampling_row(&s, 0).temperature == 0);
    s.temperature = 1e-4f;
    assert_true(lf__sampling_row(&s, 0).temperature == 1e-2f);
    s.top_k = -1;
    assert_int_equal(lf__sampling_row(&s, 0).top_k, 0);
}

// The edits as the device applies them.
static void apply(float *logits, const lf_logit_edit *edits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float *l = &logits[edits[i].token];
        *l = (*l > 0 ? *l / edits[i].repetition : *l * edits[i].repetition) + edits[i].add;
    }
}

static void test_edits_in_order(void **state)
{
    (void)state;
    lf_sampling s = LF_SAMPLING_DEFAULT;
    const int32_t prompt[] = {3, 4, 3}, stop[] = {9, 5000};
    const int64_t eos[] = {7};
    const lf_logit_bias bias = {4, -5};
    s.presence_penalty = 0.5f;
    s.frequency_penalty = 0.25f;
    s.repetition_penalty = 2;
    s.min_tokens = 2;
    s.stop_token_ids = stop; // 5000 is outside the vocabulary: it cannot be sampled, so it needs no ban
    s.n_stop_token_id = 2;
    s.logit_bias = &bias;
    s.n_logit_bias = 1;
    lf_edit_book_args args = {.sampling = &s,
                              .prompt = prompt,
                              .n_prompt = 3,
                              .max_length = 10,
                              .eos_tokens = eos,
                              .n_eos_token = 1,
                              .vocab_size = VOCAB};
    lf_edit_book book;
    assert_int_equal(lf__edit_book_init(&book, &args, NULL), LF_OK);
    lf__edit_book_add(&book, 3);
    lf__edit_book_add(&book, 3);
    lf__edit_book_add(&book, 11);

    float logits[VOCAB];
    for (size_t i = 0; i < VOCAB; i++) logits[i] = 2;
    size_t n;
    lf_logit_edit *edits = lf__edit_book_row(&book, 1, 6, &n);
    for (size_t i = 0; i < n; i++) assert_int_equal(edits[i].row, 6);
    apply(logits, edits, n);
    assert_true(logits[7] == -INFINITY && logits[9] == -INFINITY);
    assert_true(logits[3] == 2.0f / 2 - 0.5f - 2 * 0.25f); // prompt and twice in the output
    assert_true(logits[4] == (2.0f - 5) * 2);              // biased below zero first, then repelled
    assert_true(logits[11] == 2.0f / 2 - 0.5f - 0.25f);
    assert_true(logits[0] == 2);

    for (size_t i = 0; i < VOCAB; i++) logits[i] = 2;
    edits = lf__edit_book_row(&book, 2, 0, &n); // min_tokens reached: the bans are gone, the rest stays
    apply(logits, edits, n);
    assert_true(logits[7] == 2 && logits[9] == 2 && logits[4] == -6);
    lf__edit_book_fini(&book);
}

static void test_no_edits_by_default(void **state)
{
    (void)state;
    const int32_t prompt[] = {1};
    const int64_t eos[] = {2};
    lf_edit_book_args args = {.sampling = &LF_SAMPLING_DEFAULT,
                              .prompt = prompt,
                              .n_prompt = 1,
                              .max_length = 17,
                              .eos_tokens = eos,
                              .n_eos_token = 1,
                              .vocab_size = VOCAB};
    lf_edit_book book;
    assert_int_equal(lf__edit_book_init(&book, &args, NULL), LF_OK);
    lf__edit_book_add(&book, 5);
    size_t n;
    assert_null(lf__edit_book_row(&book, 1, 0, &n));
    assert_int_equal(n, 0);
    lf__edit_book_fini(&book);
}

// Every token of the vocabulary several times: one entry each, counts exact.
static void test_edits_of_a_whole_vocabulary(void **state)
{
    (void)state;
    lf_sampling s = LF_SAMPLING_DEFAULT;
    s.frequency_penalty = 1;
    const int32_t prompt[] = {1};
    lf_edit_book_args args = {
        .sampling = &s, .prompt = prompt, .n_prompt = 1, .max_length = 100000, .vocab_size = VOCAB};
    lf_edit_book book;
    assert_int_equal(lf__edit_book_init(&book, &args, NULL), LF_OK);
    for (int32_t i = 0; i < 10 * VOCAB; i++) lf__edit_book_add(&book, i * 37 % VOCAB);
    size_t n;
    lf_logit_edit *edits = lf__edit_book_row(&book, 0, 0, &n);
    assert_int_equal(n, VOCAB);
    for (size_t i = 0; i < n; i++) assert_true(edits[i].add == -10);
    lf__edit_book_fini(&book);
}

static void test_uniform(void **state)
{
    (void)state;
    enum { N = 1 << 16, N_BIN = 16 };
    int bins[N_BIN] = {0};
    double sum = 0, product = 0;
    float before = 0;
    for (uint64_t i = 0; i < N; i++) {
        float u = lf__uniform(42, i);
        assert_true(u >= 0 && u < 1);
        assert_true(u == lf__uniform(42, i));
        bins[(size_t)(u * N_BIN)]++;
        sum += (double)u;
        product += ((double)u - 0.5) * ((double)before - 0.5);
        before = u;
    }
    double chi2 = 0;
    for (size_t i = 0; i < N_BIN; i++) chi2 += pow(bins[i] - N / N_BIN, 2) / (N / N_BIN);
    assert_true(chi2 < 37.7); // 15 degrees of freedom: exceeded once in a thousand
    assert_true(fabs(sum / N - 0.5) < 4 / sqrt(12.0 * N));
    assert_true(fabs(product / N) < 4.0 / 12 / sqrt(N)); // neighbours are not correlated
    for (uint64_t seed = 0; seed < 1000; seed++) {       // nor are neighbouring seeds shifted streams
        for (uint64_t lag = 0; lag < 4; lag++) assert_true(lf__uniform(seed, lag) != lf__uniform(seed + 1, 0));
    }
}

int test_sample(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_small_temperatures),
        cmocka_unit_test(test_edits_in_order),
        cmocka_unit_test(test_no_edits_by_default),
        cmocka_unit_test(test_edits_of_a_whole_vocabulary),
        cmocka_unit_test(test_uniform),
    };
    return cmocka_run_group_tests_name("engine/sample", tests, NULL, NULL);
}
