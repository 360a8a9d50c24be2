// SPDX-License-Identifier: Apache-2.0
//
// A request's tokens do not depend on its company: 32 at once, prompts of all lengths, greedy and sampled, with
// penalties and logprobs, random chunk and block sizes, a cache so small that requests are preempted: each gives what
// it gives alone.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "client.h"
#include "golden.h"

enum { N_REQUEST = 32, MAX_PROMPT = 60, MAX_LEN = 128 };

typedef struct job {
    int32_t prompt[MAX_PROMPT];
    size_t n_prompt;
    lf_sampling sampling;
    client alone;
} job;

static void make_job(job *j, size_t n_vocab)
{
    j->n_prompt = 1 + (size_t)rand() % MAX_PROMPT;
    for (size_t i = 0; i < j->n_prompt; i++) j->prompt[i] = rand() % (int32_t)n_vocab;
    j->sampling = client_greedy(1 + rand() % 60);
    j->sampling.logprobs = rand() % 3 - 1;
    j->sampling.prompt_logprobs = rand() % 4 == 0 ? 2 : -1;
    if (rand() % 2 == 0) return;
    j->sampling.temperature = 0.5f + (float)(rand() % 30) / 10;
    j->sampling.top_p = rand() % 2 ? 1 : 0.9f;
    j->sampling.top_k = rand() % 2 ? 0 : 40;
    j->sampling.has_seed = true;
    j->sampling.seed = (uint64_t)rand();
    if (rand() % 3 == 0) j->sampling.repetition_penalty = 1.2f;
    if (rand() % 3 == 0) j->sampling.frequency_penalty = 0.5f;
}

static void start(client *c, lf_engine *engine, const job *j)
{
    client_start(c, engine, j->prompt, j->n_prompt, &j->sampling);
}

static void assert_same(const client *a, const client *b)
{
    assert_int_equal(a->finish, LF_FINISH_LENGTH);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->n_token, b->n_token);
    assert_memory_equal(a->tokens, b->tokens, a->n_token * sizeof a->tokens[0]);
    assert_int_equal(a->n_row, b->n_row);
    for (size_t i = 0; i < a->n_row; i++) {
        assert_true(a->rows[i].target_logprob == b->rows[i].target_logprob);
    }
    assert_int_equal(a->n_prompt_row, b->n_prompt_row);
    for (size_t i = 1; i <= a->n_prompt_row; i++) {
        assert_true(a->prompt_rows[i].target_logprob == b->prompt_rows[i].target_logprob);
    }
}

// All jobs at once, arriving in bursts, against their answers alone. Returns the number of preemptions.
static uint64_t run_together(const lf_engine_options *options, const job *jobs)
{
    lf_engine *engine = client_open(options);
    client *clients = calloc(N_REQUEST, sizeof *clients);
    for (size_t i = 0; i < N_REQUEST; i++) {
        start(&clients[i], engine, &jobs[i]);
        if (rand() % 8 == 0) client_wait(&clients[rand() % (int)(i + 1)]);
    }
    for (size_t i = 0; i < N_REQUEST; i++) client_wait(&clients[i]);
    lf_engine_stats stats;
    lf_engine_stats_read(engine, &stats);
    assert_int_equal(stats.n_finished[LF_FINISH_LENGTH], N_REQUEST);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_true(stats.kv_cache_usage == 0);
    for (size_t i = 0; i < N_REQUEST; i++) {
        client_release(&clients[i]);
        assert_same(&clients[i], &jobs[i].alone);
    }
    free(clients);
    lf_engine_close(engine);
    return stats.n_preemption;
}

static void test_company_does_not_matter(void **state)
{
    (void)state;
    char dir[512];
    golden g;
    golden_read(&g, "qwen3_fp8_block");
    golden_dir(dir, "qwen3_fp8_block");
    job *jobs = calloc(N_REQUEST, sizeof *jobs);
    lf_engine *engine = client_open(&(lf_engine_options){
        .model_dir = dir, .max_num_seqs = 1, .max_num_batched_tokens = 512, .max_model_len = MAX_LEN});
    const lf_config *config = lf_engine_config(engine);
    size_t token_bytes = (size_t)(config->num_hidden_layers * config->num_key_value_heads * config->head_dim) * 4;
    srand(3);
    for (size_t i = 0; i < N_REQUEST; i++) {
        make_job(&jobs[i], g.n_vocab);
        start(&jobs[i].alone, engine, &jobs[i]);
        client_wait(&jobs[i].alone);
        client_release(&jobs[i].alone);
    }
    lf_engine_close(engine);

    uint64_t n_preemption = 0;
    for (int round = 0; round < 6; round++) {
        lf_engine_options options = {.model_dir = dir, .max_model_len = MAX_LEN, .block_size = 1 + rand() % 20};
        options.max_num_seqs = round == 0 ? N_REQUEST : 2 + rand() % 16;
        options.max_num_batched_tokens = options.max_num_seqs + rand() % 40;
        // Room for one sequence of full length and little more: most have to be preempted at some time.
        size_t n_tok = MAX_LEN + (size_t)options.block_size + (size_t)rand() % (2 * MAX_LEN);
        if (round > 0) options.kv_cache_memory_bytes = (int64_t)(n_tok * token_bytes);
        uint64_t n = run_together(&options, jobs);
        assert_true(round > 0 || n == 0);
        n_preemption += n;
    }
    print_message("%llu preemptions\n", (unsigned long long)n_preemption);
    assert_true(n_preemption >= 5);
    free(jobs);
    golden_free(&g);
}

int test_batch(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_company_does_not_matter)};
    return cmocka_run_group_tests_name("engine/batch", tests, NULL, NULL);
}
