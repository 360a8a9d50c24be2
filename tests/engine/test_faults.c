// SPDX-License-Identifier: Apache-2.0
//
// Memory: no step allocates, and an allocation that fails anywhere in opening or submitting is reported and leaks
// nothing.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "base/log.h"
#include "client.h"
#include "golden.h"

// Counts allocations between the first and the last token; called on the engine thread.
typedef struct counter {
    long at_first, at_last;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_finished;
} counter;

static lf_verdict count_event(void *ctx, const lf_token_event *event)
{
    counter *c = ctx;
    pthread_mutex_lock(&c->lock);
    if (c->at_first == 0) c->at_first = memory_n_call();
    c->at_last = memory_n_call();
    if (event->finish) {
        c->is_finished = true;
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return LF_GO_ON;
}

static void test_steps_do_not_allocate(void **state)
{
    (void)state;
    golden g;
    golden_read(&g, "qwen3_bf16");
    lf_engine *engine = client_open(&(lf_engine_options){.model_dir = g.dir});
    enum { N = 8 };
    counter counters[N] = {0};
    lf_request *requests[N];
    lf_logit_bias bias = {3, 1};
    for (size_t i = 0; i < N; i++) {
        pthread_mutex_init(&counters[i].lock, NULL);
        pthread_cond_init(&counters[i].changed, NULL);
        lf_sampling sampling = client_greedy(300);
        sampling.temperature = i % 2 ? 1 : 0;
        sampling.top_p = i % 4 == 3 ? 0.5f : 1;
        sampling.logprobs = i % 3 == 0 ? 5 : -1;
        sampling.repetition_penalty = i == 5 ? 1.1f : 1;
        sampling.logit_bias = &bias;
        sampling.n_logit_bias = i == 6;
        assert_int_equal(
            lf_engine_submit(engine, g.prompt, g.n_prompt, &sampling, count_event, &counters[i], &requests[i], NULL),
            LF_OK);
    }
    for (size_t i = 0; i < N; i++) {
        pthread_mutex_lock(&counters[i].lock);
        while (!counters[i].is_finished) pthread_cond_wait(&counters[i].changed, &counters[i].lock);
        pthread_mutex_unlock(&counters[i].lock);
    }
    // The last one was submitted last: nothing but steps has run since its first token.
    assert_true(counters[N - 1].at_first > 0);
    assert_int_equal(counters[N - 1].at_last - counters[N - 1].at_first, 0);
    for (size_t i = 0; i < N; i++) lf_request_release(requests[i]);
    lf_engine_close(engine);
    golden_free(&g);
}

static void discard(void *ctx, lf_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

// Fails allocation 0, 1, 2 ... of opening until it gets through.
static void sweep_open(const lf_engine_options *options)
{
    lf_log_set_sink(discard, NULL);
    long n_failure = 0;
    for (long call = 0;; call++) {
        lf_engine *engine = NULL;
        lf_error err = {0};
        long live = memory_n_live();
        memory_fail_at(call);
        lf_status status = lf_engine_open(&engine, options, &err);
        bool has_failed = memory_stop_failing();
        if (status) {
            n_failure++;
            assert_null(engine);
            assert_int_equal(status, LF_ERR_NO_MEMORY);
            assert_true(strlen(err.message) > 0);
        } else {
            lf_engine_close(engine); // some allocations may fail and be done without
        }
        assert_int_equal(memory_n_live(), live);
        if (!has_failed) break;
    }
    lf_log_set_sink(NULL, NULL);
    print_message("%ld allocations failed in turn\n", n_failure);
    assert_true(n_failure > 20);
}

static void test_open_survives_failed_allocations(void **state)
{
    (void)state;
    char dir[512];
    golden_dir(dir, "qwen3_fp8_block");
    lf_engine_options options = {.model_dir = dir, .max_model_len = 64, .max_num_seqs = 2, .n_thread = 1};
    options.load_format = LF_LOAD_DUMMY;
    sweep_open(&options);
    options.load_format = LF_LOAD_AUTO;
    sweep_open(&options);
}

static void test_submit_survives_failed_allocations(void **state)
{
    (void)state;
    golden g;
    golden_read(&g, "qwen3_bf16");
    lf_engine *engine = client_open(&(lf_engine_options){.model_dir = g.dir, .max_model_len = 256, .max_num_seqs = 2});
    lf_logit_bias bias = {3, 1};
    int32_t stop = 4;
    lf_sampling sampling = client_greedy(5);
    sampling.logit_bias = &bias;
    sampling.n_logit_bias = 1;
    sampling.stop_token_ids = &stop;
    sampling.n_stop_token_id = 1;
    sampling.min_tokens = 5;
    sampling.frequency_penalty = 1;
    for (long call = 0;; call++) {
        lf_request *request = NULL;
        lf_error err = {0};
        long live = memory_n_live();
        memory_fail_at(call);
        counter unused = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        lf_status status =
            lf_engine_submit(engine, g.prompt, g.n_prompt, &sampling, count_event, &unused, &request, &err);
        bool has_failed = memory_stop_failing();
        if (!status) {
            assert_false(has_failed);
            lf_request_release(request);
            break;
        }
        assert_int_equal(status, LF_ERR_NO_MEMORY);
        assert_null(request);
        assert_int_equal(memory_n_live(), live);
    }
    lf_engine_close(engine);
    golden_free(&g);
}

int test_faults(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_do_not_allocate),
        cmocka_unit_test(test_open_survives_failed_allocations),
        cmocka_unit_test(test_submit_survives_failed_allocations),
    };
    return cmocka_run_group_tests_name("engine/faults", tests, NULL, NULL);
}
