// SPDX-License-Identifier: Apache-2.0
//
// Many threads against one engine: submitting, cancelling at random times, releasing at once, reading statistics, while
// it runs and while it closes. Run under ThreadSanitizer and AddressSanitizer too.
#include "tests.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client.h"
#include "golden.h"

enum { N_THREAD = 6, N_ROUND = 25 };

typedef struct worker {
    lf_engine *engine;
    const golden *g;
    unsigned seed;
    atomic_size_t *n_bad;
} worker;

static lf_engine *open_small(const golden *g)
{
    return client_open(&(lf_engine_options){.model_dir = g->dir,
                                            .max_model_len = 256,
                                            .max_num_seqs = 3,
                                            .max_num_batched_tokens = 40,
                                            .kv_cache_memory_bytes = 1 << 20});
}

static void *submit_and_cancel(void *argument)
{
    worker *w = argument;
    for (int round = 0; round < N_ROUND; round++) {
        client *c = calloc(1, sizeof *c);
        lf_sampling sampling = client_greedy(1 + rand_r(&w->seed) % 100);
        sampling.prompt_logprobs = rand_r(&w->seed) % 3 == 0 ? 1 : -1;
        client_start(c, w->engine, w->g->prompt, 1 + (size_t)rand_r(&w->seed) % w->g->n_prompt, &sampling);
        usleep((unsigned)rand_r(&w->seed) % 3000);
        lf_engine_stats stats;
        lf_engine_stats_read(w->engine, &stats);
        switch (rand_r(&w->seed) % 4) {
        case 0: client_wait(c); break;
        case 1:
            lf_request_cancel(c->request);
            client_wait(c);
            break;
        case 2: lf_request_cancel(c->request); break;
        default: break; // released while it runs
        }
        client_release(c);
        bool is_whole = c->finish == LF_FINISH_LENGTH && c->n_token == (size_t)sampling.max_tokens;
        if (!is_whole && c->finish != LF_FINISH_CANCELLED) atomic_fetch_add(w->n_bad, 1);
        free(c);
    }
    return NULL;
}

static void test_cancel_at_random_times(void **state)
{
    (void)state;
    golden g;
    golden_read(&g, "qwen3_bf16");
    lf_engine *engine = open_small(&g);
    atomic_size_t n_bad = 0;
    pthread_t threads[N_THREAD];
    worker workers[N_THREAD];
    for (unsigned i = 0; i < N_THREAD; i++) {
        workers[i] = (worker){.engine = engine, .g = &g, .seed = i + 1, .n_bad = &n_bad};
        assert_int_equal(pthread_create(&threads[i], NULL, submit_and_cancel, &workers[i]), 0);
    }
    for (size_t i = 0; i < N_THREAD; i++) pthread_join(threads[i], NULL);
    assert_int_equal(n_bad, 0);
    lf_engine_stats stats;
    lf_engine_stats_read(engine, &stats);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_true(stats.kv_cache_usage == 0);
    uint64_t n_finished = 0;
    for (size_t i = 0; i < 5; i++) n_finished += stats.n_finished[i];
    assert_int_equal(n_finished, N_THREAD * N_ROUND);
    assert_int_equal(stats.n_finished[LF_FINISH_ERROR], 0);
    lf_engine_close(engine);
    golden_free(&g);
}

static void *release_later(void *argument)
{
    client *c = argument;
    usleep((unsigned)(size_t)c % 5000);
    client_release(c);
    return NULL;
}

// Requests outlive the engine, or are released while it closes.
static void test_close_with_requests(void **state)
{
    (void)state;
    golden g;
    golden_read(&g, "qwen3_bf16");
    for (int round = 0; round < 5; round++) {
        lf_engine *engine = open_small(&g);
        enum { N = 8 };
        client *clients = calloc(N, sizeof *clients);
        pthread_t threads[N / 2];
        lf_sampling sampling = client_greedy(200);
        for (size_t i = 0; i < N; i++) client_start(&clients[i], engine, g.prompt, g.n_prompt, &sampling);
        for (size_t i = 0; i < N / 2; i++) pthread_create(&threads[i], NULL, release_later, &clients[i]);
        if (round % 2) usleep(2000);
        lf_engine_close(engine);
        for (size_t i = 0; i < N / 2; i++) pthread_join(threads[i], NULL);
        for (size_t i = N / 2; i < N; i++) {
            assert_true(clients[i].is_finished); // close has delivered every last event
            assert_int_equal(clients[i].finish, LF_FINISH_CANCELLED);
            lf_request_cancel(clients[i].request); // harmless
            client_release(&clients[i]);
        }
        free(clients);
    }
    golden_free(&g);
}

int test_threads(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_at_random_times),
        cmocka_unit_test(test_close_with_requests),
    };
    return cmocka_run_group_tests_name("engine/threads", tests, NULL, NULL);
}
