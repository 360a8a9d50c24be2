// SPDX-License-Identifier: Apache-2.0
//
// One request at a time: how it begins, what its events say, how it ends.
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
#include "golden.h"

typedef struct fixture {
    golden g;
    lf_engine *engine;
} fixture;

static int open_fixture(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    golden_read(&f->g, "qwen3_bf16");
    f->engine = client_open(&(lf_engine_options){.model_dir = f->g.dir, .max_num_seqs = 4, .max_model_len = 256});
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    fixture *f = *state;
    lf_engine_close(f->engine);
    golden_free(&f->g);
    free(f);
    return 0;
}

static client *run(fixture *f, const lf_sampling *sampling)
{
    client *c = calloc(1, sizeof *c);
    client_start(c, f->engine, f->g.prompt, f->g.n_prompt, sampling);
    client_wait(c);
    return c;
}

static void end(client *c)
{
    client_release(c);
    free(c);
}

static lf_verdict ignore(void *ctx, const lf_token_event *event)
{
    (void)ctx;
    (void)event;
    return LF_GO_ON;
}

static void assert_refused(fixture *f, const int32_t *prompt, size_t n, const lf_sampling *sampling, const char *why)
{
    lf_request *request = NULL;
    lf_error err = {0};
    assert_int_equal(lf_engine_submit(f->engine, prompt, n, sampling, ignore, NULL, &request, &err), LF_ERR_INVALID);
    assert_null(request);
    if (!strstr(err.message, why)) fail_msg("'%s' does not say '%s'", err.message, why);
}

static void test_refuses_bad_requests(void **state)
{
    fixture *f = *state;
    int32_t tokens[300] = {0};
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    assert_refused(f, tokens, 0, &sampling, "empty");
    assert_refused(f, tokens, 256, &sampling, "no room");
    assert_refused(f, tokens, 300, &sampling, "no room");
    tokens[2] = (int32_t)f->g.n_vocab;
    assert_refused(f, tokens, 5, &sampling, "outside the vocabulary");
    tokens[2] = -1;
    assert_refused(f, tokens, 5, &sampling, "position 2");
    tokens[2] = 0;
    sampling.top_p = 2;
    assert_refused(f, tokens, 5, &sampling, "top_p");
    sampling.top_p = 1;
    sampling.max_tokens = 0;
    assert_refused(f, tokens, 257, &sampling, "no room");
}

static void test_ends_by_length(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(3);
    client *c = run(f, &sampling);
    assert_int_equal(c->finish, LF_FINISH_LENGTH);
    assert_int_equal(c->n_token, 3);
    assert_int_equal(c->n_event, 3); // the last token's event is the last one
    assert_int_equal(c->n_row, 0);
    lf_request_times times;
    lf_request_times_read(c->request, &times);
    assert_int_equal(times.n_prompt, f->g.n_prompt);
    assert_int_equal(times.n_generated, 3);
    assert_true(times.submitted_ns <= times.scheduled_ns && times.scheduled_ns <= times.first_token_ns);
    assert_true(times.first_token_ns < times.last_token_ns);
    end(c);
}

static void test_ends_at_max_model_len(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(100000);
    client *c = run(f, &sampling);
    assert_int_equal(c->finish, LF_FINISH_LENGTH);
    assert_int_equal(c->n_token, 256 - f->g.n_prompt);
    end(c);
}

static void test_full_prompt_without_output(void **state)
{
    fixture *f = *state;
    int32_t tokens[256];
    for (size_t i = 0; i < 256; i++) tokens[i] = (int32_t)(i * 7 % f->g.n_vocab);
    lf_sampling sampling = client_greedy(0);
    sampling.prompt_logprobs = 1;
    client *c = calloc(1, sizeof *c);
    client_start(c, f->engine, tokens, 256, &sampling);
    client_wait(c);
    assert_int_equal(c->finish, LF_FINISH_LENGTH);
    assert_int_equal(c->n_token, 0);
    assert_int_equal(c->n_prompt_row, 255);
    assert_true(c->n_prompt_piece > 1); // four rows of logits at a time
    for (size_t i = 1; i < 256; i++) {
        assert_int_equal(c->prompt_rows[i].n_top, 1);
        assert_true(c->prompt_rows[i].target_logprob <= c->prompt_rows[i].top_logprobs[0]);
        bool is_top = c->prompt_rows[i].top_tokens[0] == tokens[i];
        assert_true(is_top == (c->prompt_rows[i].target_rank == 1));
    }
    end(c);
}

static void test_stop_tokens(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(GOLDEN_GREEDY);
    // The first token that did not occur before it: generation must get there.
    size_t at = 5;
    for (size_t i = 0; i < at; i++) {
        if (f->g.greedy[i] == f->g.greedy[at]) at++, i = (size_t)-1;
    }
    sampling.stop_token_ids = &f->g.greedy[at];
    sampling.n_stop_token_id = 1;
    client *c = run(f, &sampling);
    assert_int_equal(c->finish, LF_FINISH_STOP);
    assert_int_equal(c->n_token, at + 1); // the stop token is delivered
    assert_int_equal(c->stop_token, f->g.greedy[at]);
    assert_false(c->is_eos);
    end(c);

    sampling.min_tokens = (int64_t)at + 3; // now it cannot be sampled that early
    c = run(f, &sampling);
    assert_true(c->n_token >= at + 3);
    for (size_t i = 0; i < at + 3; i++) assert_true(c->tokens[i] != f->g.greedy[at]);
    end(c);
}

static void test_end_token(void **state)
{
    fixture *f = *state;
    int32_t eos = (int32_t)lf_engine_config(f->engine)->eos_token_ids[0];
    lf_logit_bias bias = {eos, 1000};
    lf_sampling sampling = client_greedy(20);
    sampling.logit_bias = &bias;
    sampling.n_logit_bias = 1;
    client *c = run(f, &sampling); // ignore_eos
    assert_int_equal(c->n_token, 20);
    for (size_t i = 0; i < 20; i++) assert_int_equal(c->tokens[i], eos);
    end(c);

    sampling.ignore_eos = false;
    c = run(f, &sampling);
    assert_int_equal(c->finish, LF_FINISH_STOP);
    assert_int_equal(c->n_token, 1);
    assert_int_equal(c->stop_token, eos);
    assert_true(c->is_eos);
    end(c);

    sampling.min_tokens = 7;
    c = run(f, &sampling);
    assert_int_equal(c->finish, LF_FINISH_STOP);
    assert_int_equal(c->n_token, 8); // banned for seven tokens, then the bias has its way
    for (size_t i = 0; i < 7; i++) assert_true(c->tokens[i] != eos);
    end(c);
}

static void test_caller_stops(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(GOLDEN_GREEDY);
    client *c = calloc(1, sizeof *c);
    c->stop_after = 4;
    client_start(c, f->engine, f->g.prompt, f->g.n_prompt, &sampling);
    client_wait(c);
    assert_int_equal(c->finish, LF_FINISH_STOP);
    assert_int_equal(c->n_token, 4);
    assert_int_equal(c->n_event, 5); // and one without a token
    assert_int_equal(c->stop_token, -1);
    end(c);

    sampling.prompt_logprobs = 0;
    c = calloc(1, sizeof *c);
    c->stop_at_prompt_rows = true;
    client_start(c, f->engine, f->g.prompt, f->g.n_prompt, &sampling);
    client_wait(c);
    assert_int_equal(c->finish, LF_FINISH_STOP);
    assert_int_equal(c->n_token, 0);
    assert_int_equal(c->n_prompt_piece, 1);
    end(c);
}

// Edits change what is sampled and leave the logprobs the model's own.
static void test_logprobs_are_of_unedited_logits(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(1);
    sampling.logprobs = 3;
    client *plain = run(f, &sampling);
    lf_logit_bias bias = {(f->g.greedy[0] + 1) % (int32_t)f->g.n_vocab, 1000};
    sampling.logit_bias = &bias;
    sampling.n_logit_bias = 1;
    client *biased = run(f, &sampling);
    assert_int_equal(plain->tokens[0], f->g.greedy[0]);
    assert_int_equal(biased->tokens[0], bias.token);
    assert_int_equal(biased->rows[0].top_tokens[0], f->g.greedy[0]);
    assert_true(biased->rows[0].log_sum_exp == plain->rows[0].log_sum_exp);
    assert_true(biased->rows[0].target_logprob < plain->rows[0].target_logprob);
    assert_true(biased->rows[0].target_rank > 1);
    end(plain);
    end(biased);
}

static void test_repetition_penalty_forbids_repeats(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(60);
    sampling.presence_penalty = 2;
    sampling.frequency_penalty = 2;
    sampling.repetition_penalty = 1000; // in effect a ban of every token seen
    client *c = run(f, &sampling);
    for (size_t i = 0; i < c->n_token; i++) {
        for (size_t k = 0; k < i; k++) assert_true(c->tokens[i] != c->tokens[k]);
        for (size_t k = 0; k < f->g.n_prompt; k++) assert_true(c->tokens[i] != f->g.prompt[k]);
    }
    end(c);
}

static bool same_tokens(const client *a, const client *b)
{
    return a->n_token == b->n_token && memcmp(a->tokens, b->tokens, a->n_token * sizeof a->tokens[0]) == 0;
}

static void test_seeds(void **state)
{
    fixture *f = *state;
    lf_sampling sampling = client_greedy(60);
    sampling.temperature = 3; // flat enough that streams differ at once
    sampling.has_seed = true;
    sampling.seed = 12345;
    client *a = run(f, &sampling), *b = run(f, &sampling);
    assert_true(same_tokens(a, b));
    sampling.seed = 12346;
    client *c = run(f, &sampling);
    assert_false(same_tokens(a, c));
    sampling.has_seed = false;
    client *d = run(f, &sampling), *e = run(f, &sampling);
    assert_false(same_tokens(d, e));
    end(a);
    end(b);
    end(c);
    end(d);
    end(e);
}

static void test_statistics(void **state)
{
    fixture *f = *state;
    lf_engine_stats before, after;
    lf_engine_stats_read(f->engine, &before);
    lf_sampling sampling = client_greedy(9);
    client *c = run(f, &sampling);
    lf_engine_stats_read(f->engine, &after); // the last event is counted when it is seen
    assert_int_equal(after.n_prompt_token - before.n_prompt_token, f->g.n_prompt);
    assert_int_equal(after.n_generation_token - before.n_generation_token, 9);
    assert_int_equal(after.n_finished[LF_FINISH_LENGTH] - before.n_finished[LF_FINISH_LENGTH], 1);
    assert_int_equal(after.n_step - before.n_step, 9); // prompt and first token in one
    assert_int_equal(after.n_running, 0);
    assert_int_equal(after.n_waiting, 0);
    assert_true(after.kv_cache_usage == 0);
    assert_int_equal(after.n_not_finite_row, 0);
    end(c);
}

static void test_profile(void **state)
{
    fixture *f = *state;
    lf_engine_profile profile;
    lf_engine_profile_set(f->engine, true);
    lf_sampling sampling = client_greedy(5);
    client *c = run(f, &sampling);
    end(c);
    lf_engine_profile_set(f->engine, false);
    c = run(f, &sampling); // not counted; and the profile of the first is published by now
    end(c);
    lf_engine_profile_read(f->engine, &profile);
    assert_int_equal(profile.prefill.n_step, 1);
    assert_int_equal(profile.prefill.n_token, f->g.n_prompt);
    assert_int_equal(profile.decode.n_step, 4);
    assert_int_equal(profile.decode.n_token, 4);
    for (const lf_step_profile *p = &profile.prefill;; p = &profile.decode) {
        assert_true(p->linear_ns > 0 && p->attention_ns > 0 && p->lm_head_ns > 0);
        assert_true(p->linear_ns + p->lm_head_ns + p->attention_ns + p->other_ns + p->sample_ns <= p->step_ns);
        if (p == &profile.decode) break;
    }
}

int test_requests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_bad_requests),
        cmocka_unit_test(test_ends_by_length),
        cmocka_unit_test(test_ends_at_max_model_len),
        cmocka_unit_test(test_full_prompt_without_output),
        cmocka_unit_test(test_stop_tokens),
        cmocka_unit_test(test_end_token),
        cmocka_unit_test(test_caller_stops),
        cmocka_unit_test(test_logprobs_are_of_unedited_logits),
        cmocka_unit_test(test_repetition_penalty_forbids_repeats),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_profile),
    };
    return cmocka_run_group_tests_name("engine/requests", tests, open_fixture, close_fixture);
}
