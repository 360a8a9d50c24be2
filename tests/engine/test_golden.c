// SPDX-License-Identifier: Apache-2.0
//
// Every golden checkpoint against the reference library: the same 32 greedy tokens, and logits at all positions no
// further from the float32 reference than the library's own bf16 run is.
#include "tests.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "client.h"
#include "engine/engine_int.h"
#include "golden.h"
#include "logits.h"

// Both runs round activations to bf16 between operators and accumulate in float32, so their errors are of one kind and
// size. Over thousands of logits their root mean squares agree closely, and ours must not be the larger one. The worst
// single logit is an extreme value and varies more from run to run: a quarter is allowed for that.
static const double RMS_FACTOR = 1.0, WORST_FACTOR = 1.25;

// The forward pass alone, on this thread: an engine that is built but has no thread.
static void build(lf_engine *engine, const golden *g, int64_t max_tok, int64_t block_size)
{
    *engine = (lf_engine){.options = {.model_dir = g->dir,
                                      .max_num_batched_tokens = max_tok,
                                      .max_num_seqs = 4,
                                      .block_size = block_size,
                                      .kv_cache_memory_bytes = 64 << 20}};
    lf_error err = {0};
    if (lf__engine_build(engine, &err)) {
        char line[2048];
        lf_error_format(&err, line, sizeof line);
        fail_msg("%s: %s", g->dir, line);
    }
}

static int32_t *whole_sequence(const golden *g)
{
    int32_t *tokens = malloc(g->n_row * sizeof *tokens);
    memcpy(tokens, g->prompt, g->n_prompt * sizeof *tokens);
    memcpy(tokens + g->n_prompt, g->greedy, (GOLDEN_GREEDY - 1) * sizeof *tokens);
    return tokens;
}

static void compare_with_reference(const golden *g, const char *name, const float *logits)
{
    double sum = 0, worst = 0;
    for (size_t i = 0; i < g->n_row * g->n_vocab; i++) {
        double difference = fabs((double)logits[i] - (double)g->logits[i]);
        assert_true(difference >= 0); // not NaN
        sum += difference * difference;
        worst = LF_MAX(worst, difference);
    }
    double rms = sqrt(sum / (double)(g->n_row * g->n_vocab));
    print_message("%-26s worst %.4f of %.4f (%.2f), rms %.5f of %.5f (%.2f)\n", name, worst, (double)g->bf16_deviation,
                  worst / (double)g->bf16_deviation, rms, (double)g->bf16_rms_deviation,
                  rms / (double)g->bf16_rms_deviation);
    assert_true(worst <= WORST_FACTOR * (double)g->bf16_deviation);
    assert_true(rms <= RMS_FACTOR * (double)g->bf16_rms_deviation);
    for (size_t step = 0; step < GOLDEN_GREEDY; step++) {
        const float *row = logits + (g->n_prompt - 1 + step) * g->n_vocab;
        size_t best = 0;
        for (size_t i = 1; i < g->n_vocab; i++) best = row[i] > row[best] ? i : best;
        assert_int_equal(best, g->greedy[step]);
    }
}

static void test_logits_of_all_positions(void **state)
{
    (void)state;
    size_t n_golden = 0;
    for (const char *const *name = golden_names(); *name; name++, n_golden++) {
        golden g;
        lf_engine engine;
        golden_read(&g, *name);
        build(&engine, &g, 512, 16);
        int32_t *tokens = whole_sequence(&g);
        float *logits = malloc(g.n_row * g.n_vocab * sizeof *logits);
        engine_logits(&engine, tokens, g.n_row, 512, logits);
        compare_with_reference(&g, *name, logits);
        free(logits);
        free(tokens);
        lf__engine_tear_down(&engine);
        golden_free(&g);
    }
    assert_true(n_golden >= 14);
}

// One token at a time, odd chunks, other block sizes: the cache holds what the one chunk computed, and logits are the
// same bit for bit.
static void expect_same_logits_in_chunks(const char *name)
{
    static const size_t chunks[] = {1, 3, 7, 31, 33, 64, 512}, block_sizes[] = {16, 5, 1, 16, 64, 16, 3};
    golden g;
    golden_read(&g, name);
    int32_t *tokens = whole_sequence(&g);
    float *expected = malloc(g.n_row * g.n_vocab * sizeof *expected);
    float *logits = malloc(g.n_row * g.n_vocab * sizeof *logits);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(chunks); i++) {
        lf_engine engine;
        build(&engine, &g, 512, (int64_t)block_sizes[i]);
        engine_logits(&engine, tokens, g.n_row, chunks[i], i == 0 ? expected : logits);
        if (i > 0) assert_memory_equal(logits, expected, g.n_row * g.n_vocab * sizeof *logits);
        lf__engine_tear_down(&engine);
    }
    free(logits);
    free(expected);
    free(tokens);
    golden_free(&g);
}

static void test_chunks_do_not_change_logits(void **state)
{
    (void)state;
    expect_same_logits_in_chunks("qwen3_bf16");
    expect_same_logits_in_chunks("moe/deepseek_v3_fp8_block");
    expect_same_logits_in_chunks("moe/deepseek_v3_bf16_no_q_lora");
}

// log softmax of a reference row at a token
static double reference_logprob(const golden *g, size_t row, int32_t token)
{
    const float *logits = g->logits + row * g->n_vocab;
    double max = (double)-INFINITY, sum = 0;
    for (size_t i = 0; i < g->n_vocab; i++) max = LF_MAX(max, (double)logits[i]);
    for (size_t i = 0; i < g->n_vocab; i++) sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}

// A change of at most d of each logit changes a log-probability by at most 2 d.
static void assert_logprob(const golden *g, size_t row, int32_t token, const lf_logprob_row *found)
{
    double expected = reference_logprob(g, row, token);
    assert_true(fabs((double)found->target_logprob - expected) <= 2 * WORST_FACTOR * (double)g->bf16_deviation);
    assert_int_equal(found->n_not_finite, 0);
    assert_true(found->target_rank >= 1);
}

// The whole way: submit, events, logprobs of prompt and tokens.
static void test_greedy_through_the_engine(void **state)
{
    (void)state;
    for (const char *const *name = golden_names(); *name; name++) {
        golden g;
        golden_read(&g, *name);
        lf_engine *engine =
            client_open(&(lf_engine_options){.model_dir = g.dir, .kv_cache_memory_bytes = 64 << 20, .max_num_seqs = 4});
        lf_sampling sampling = client_greedy(GOLDEN_GREEDY);
        sampling.logprobs = sampling.prompt_logprobs = 5;
        client *c = calloc(1, sizeof *c);
        client_start(c, engine, g.prompt, g.n_prompt, &sampling);
        client_wait(c);
        assert_int_equal(c->finish, LF_FINISH_LENGTH);
        assert_int_equal(c->n_token, GOLDEN_GREEDY);
        assert_memory_equal(c->tokens, g.greedy, sizeof g.greedy);
        assert_int_equal(c->n_row, GOLDEN_GREEDY);
        assert_int_equal(c->n_prompt_row, g.n_prompt - 1);
        for (size_t i = 0; i < GOLDEN_GREEDY; i++) {
            assert_logprob(&g, g.n_prompt - 1 + i, g.greedy[i], &c->rows[i]);
            assert_int_equal(c->rows[i].target_rank, 1);
            assert_int_equal(c->rows[i].n_top, 5);
            assert_int_equal(c->rows[i].top_tokens[0], g.greedy[i]);
        }
        for (size_t i = 1; i < g.n_prompt; i++) assert_logprob(&g, i - 1, g.prompt[i], &c->prompt_rows[i]);
        client_release(c);
        free(c);
        lf_engine_close(engine);
        golden_free(&g);
    }
}

int test_golden(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_of_all_positions),
        cmocka_unit_test(test_chunks_do_not_change_logits),
        cmocka_unit_test(test_greedy_through_the_engine),
    };
    return cmocka_run_group_tests_name("engine/golden", tests, NULL, NULL);
}
