// SPDX-License-Identifier: Apache-2.0
//
// The scheduler without a device: tokens are "computed" by counting. Whatever the sizes, every request ends, budgets
// hold, blocks cover what is planned, the order of arrival is kept, and nothing is lost.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/sched.h"

typedef struct fixture {
    lf_config config;
    lf_block_pool pool;
    lf_sched sched;
    size_t max_model_len;
} fixture;

static void open_fixture(fixture *f, size_t n_block, size_t block_size, size_t max_seq, size_t max_tok)
{
    *f = (fixture){.max_model_len = n_block * block_size};
    f->config.vocab_size = 10;
    assert_int_equal(lf__block_pool_init(&f->pool, n_block, block_size, NULL), LF_OK);
    assert_int_equal(lf__sched_init(&f->sched, &f->pool, max_seq, max_tok, NULL), LF_OK);
}

static void close_fixture(fixture *f)
{
    assert_int_equal(f->pool.n_free, f->pool.n_block);
    lf__sched_fini(&f->sched);
    lf__block_pool_fini(&f->pool);
}

static lf_request *make_request(fixture *f, size_t n_prompt, int64_t max_tokens)
{
    int32_t prompt[512] = {0};
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    sampling.max_tokens = max_tokens;
    lf_request_args args = {.config = &f->config,
                            .prompt = prompt,
                            .n_prompt = n_prompt,
                            .sampling = &sampling,
                            .max_model_len = f->max_model_len,
                            .block_size = f->pool.block_size};
    lf_request *request = NULL;
    assert_int_equal(lf__request_new(&request, &args, NULL), LF_OK);
    return request;
}

// What the engine does after a step, with token 0 for every sample. Returns the number of requests that ended.
static size_t finish_step(fixture *f)
{
    size_t n_done = 0;
    for (size_t i = 0; i < f->sched.n_planned; i++) {
        lf_request *request = f->sched.planned[i];
        request->n_computed += request->n_step_tok;
        if (lf__request_n_pending(request) > 0) continue;
        if (request->n_token < request->max_length) request->tokens[request->n_token++] = 0;
        if (request->n_token < request->max_length) continue;
        lf__sched_remove(&f->sched, request);
        lf__request_free(request);
        n_done++;
    }
    return n_done;
}

static void check_plan(const fixture *f)
{
    const lf_sched *sched = &f->sched;
    assert_true(sched->n_planned > 0);
    assert_true(sched->n_planned <= sched->max_seq);
    size_t n_tok = 0;
    for (size_t i = 0; i < sched->n_planned; i++) {
        const lf_request *request = sched->planned[i];
        assert_true(request->n_step_tok > 0);
        assert_true(request->n_step_tok <= lf__request_n_pending(request));
        assert_true(request->table.n_block * f->pool.block_size >= request->n_computed + request->n_step_tok);
        n_tok += request->n_step_tok;
    }
    assert_int_equal(n_tok, sched->n_planned_tok);
    assert_true(n_tok <= sched->max_batched_tok);
    for (size_t i = 1; i < sched->n_running; i++) {
        assert_true(sched->running[i - 1]->times.submitted_ns <= sched->running[i]->times.submitted_ns);
    }
    for (const lf_request *r = sched->waiting; r; r = r->next) {
        assert_int_equal(r->table.n_block, 0);
        if (sched->n_running == 0) continue;
        assert_true(r->times.submitted_ns >= sched->running[sched->n_running - 1]->times.submitted_ns);
    }
}

static void test_decodes_ride_along_with_a_long_prompt(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 100, 4, 4, 16);
    lf_request *long_one = make_request(&f, 100, 1), *short_one = make_request(&f, 3, 50);
    lf__sched_enqueue(&f.sched, short_one);
    lf__sched_plan(&f.sched);
    assert_int_equal(f.sched.n_planned_tok, 3);
    finish_step(&f);
    lf__sched_enqueue(&f.sched, long_one);
    for (int i = 0; i < 6; i++) {
        lf__sched_plan(&f.sched);
        assert_int_equal(f.sched.n_planned, 2);
        assert_int_equal(short_one->n_step_tok, 1);
        assert_int_equal(long_one->n_step_tok, 15);
        assert_int_equal(finish_step(&f), 0);
    }
    lf__sched_plan(&f.sched);
    assert_int_equal(long_one->n_step_tok, 10);
    assert_int_equal(finish_step(&f), 1); // its one token is made
    lf__sched_remove(&f.sched, short_one);
    lf__request_free(short_one);
    close_fixture(&f);
}

static void test_older_prompt_leaves_room_for_younger_decodes(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 100, 4, 3, 4);
    lf_request *a = make_request(&f, 100, 1), *b = make_request(&f, 1, 50);
    lf__sched_enqueue(&f.sched, a);
    lf__sched_plan(&f.sched);
    finish_step(&f);
    a->n_token = 6; // shorten it for a moment: two tokens pending, so b is started in the same step
    lf__sched_enqueue(&f.sched, b);
    lf__sched_plan(&f.sched);
    assert_int_equal(f.sched.n_planned, 2);
    finish_step(&f);
    a->n_token = 100;
    for (int i = 0; i < 5; i++) {
        lf__sched_plan(&f.sched);
        assert_int_equal(a->n_step_tok, 3);
        assert_int_equal(b->n_step_tok, 1);
        finish_step(&f);
    }
    lf__sched_remove(&f.sched, a);
    lf__sched_remove(&f.sched, b);
    lf__request_free(a);
    lf__request_free(b);
    close_fixture(&f);
}

static void test_preempts_the_youngest(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 4, 4, 4, 16);
    lf_request *a = make_request(&f, 4, 8), *b = make_request(&f, 4, 8);
    lf__sched_enqueue(&f.sched, a);
    lf__sched_enqueue(&f.sched, b);
    lf__sched_plan(&f.sched);
    assert_int_equal(f.sched.n_running, 2);
    size_t n_done = finish_step(&f);
    for (int i = 0; n_done == 0; i++) {
        assert_true(i < 100);
        lf__sched_plan(&f.sched);
        check_plan(&f);
        assert_ptr_equal(f.sched.planned[0], a); // the older one never stops
        n_done += finish_step(&f);
    }
    assert_int_equal(f.sched.n_preemption, 1);
    while (n_done < 2) {
        lf__sched_plan(&f.sched);
        assert_ptr_equal(f.sched.planned[0], b);
        n_done += finish_step(&f);
    }
    close_fixture(&f);
}

static void test_removes_from_anywhere(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, 8, 4, 1, 16);
    lf_request *requests[4];
    for (size_t i = 0; i < 4; i++) lf__sched_enqueue(&f.sched, requests[i] = make_request(&f, 4, 4));
    lf__sched_plan(&f.sched);
    lf__sched_remove(&f.sched, requests[3]); // the end of the queue: the next one goes behind requests[2]
    lf__sched_enqueue(&f.sched, requests[3]);
    lf__sched_remove(&f.sched, requests[1]);
    lf__sched_remove(&f.sched, requests[0]);
    assert_int_equal(f.sched.n_running, 0);
    assert_ptr_equal(f.sched.waiting, requests[2]);
    assert_ptr_equal(f.sched.waiting->next, requests[3]);
    lf__sched_remove(&f.sched, requests[2]);
    lf__sched_remove(&f.sched, requests[3]);
    assert_int_equal(f.sched.n_waiting, 0);
    lf__sched_enqueue(&f.sched, requests[0]); // the emptied queue still works
    assert_ptr_equal(f.sched.waiting, requests[0]);
    lf__sched_remove(&f.sched, requests[0]);
    for (size_t i = 0; i < 4; i++) lf__request_free(requests[i]);
    close_fixture(&f);
}

static void test_random_loads_always_end(void **state)
{
    (void)state;
    srand(11);
    uint64_t n_preemption = 0;
    for (int round = 0; round < 300; round++) {
        fixture f;
        size_t block_size = 1 + (size_t)rand() % 5, max_seq = 1 + (size_t)rand() % 6;
        size_t n_block = 4 + (size_t)rand() % 20;
        open_fixture(&f, n_block, block_size, max_seq, max_seq + (size_t)rand() % 10);
        size_t n_submitted = 0, n_done = 0, n_request = 30;
        for (int step = 0; n_done < n_request; step++) {
            assert_true(step < 20000);
            while (n_submitted < n_request && rand() % 3 == 0) {
                size_t n_prompt = 1 + (size_t)rand() % LF_MIN(f.max_model_len - 1, 40);
                lf__sched_enqueue(&f.sched, make_request(&f, n_prompt, rand() % 30));
                n_submitted++;
            }
            if (f.sched.n_running + f.sched.n_waiting == 0) continue;
            lf__sched_plan(&f.sched);
            check_plan(&f);
            n_done += finish_step(&f);
        }
        n_preemption += f.sched.n_preemption;
        close_fixture(&f);
    }
    assert_true(n_preemption > 100); // the loads were hard enough to mean something
}

int test_sched(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decodes_ride_along_with_a_long_prompt),
        cmocka_unit_test(test_older_prompt_leaves_room_for_younger_decodes),
        cmocka_unit_test(test_preempts_the_youngest),
        cmocka_unit_test(test_removes_from_anywhere),
        cmocka_unit_test(test_random_loads_always_end),
    };
    return cmocka_run_group_tests_name("engine/sched", tests, NULL, NULL);
}
