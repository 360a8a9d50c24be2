// SPDX-License-Identifier: Apache-2.0
//
// Memory: no step allocates, and an allocation that fails anywhere in opening or submitting is reported and leaks
// nothing. The linker routes the library's allocations through the wrappers below.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "client.h"
#include "golden.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static atomic_long n_call, n_live;
static atomic_long fail_at = -1; // the call, counted from 0, that fails; -1: none
static atomic_bool has_failed;

static bool fails(void)
{
    if (atomic_fetch_add(&n_call, 1) != fail_at) return false;
    has_failed = true;
    return true;
}

static void *count(void *block)
{
    if (block) n_live++;
    return block;
}

void *__wrap_malloc(size_t bytes) { return fails() ? NULL : count(__real_malloc(bytes)); }
void *__wrap_calloc(size_t n, size_t bytes) { return fails() ? NULL : count(__real_calloc(n, bytes)); }

void *__wrap_realloc(void *old, size_t bytes)
{
    if (fails()) return NULL;
    void *block = __real_realloc(old, bytes);
    if (!old) count(block);
    return block;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : count(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *block)
{
    if (block) n_live--;
    __real_free(block);
}

// The C library's own callers of malloc, whose results the library frees.
char *__wrap_strndup(const char *text, size_t n)
{
    size_t length = strnlen(text, n);
    char *copy = __wrap_malloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *__wrap_strdup(const char *text) { return __wrap_strndup(text, strlen(text)); }

int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fails()) return -1;
    va_list args;
    va_start(args, format);
    int length = vasprintf(out, format, args);
    va_end(args);
    if (length >= 0) n_live++;
    return length;
}

static void start_failing(long call)
{
    has_failed = false;
    n_call = 0;
    fail_at = call;
}

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
    if (c->at_first == 0) c->at_first = n_call;
    c->at_last = n_call;
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
        long live = n_live;
        start_failing(call);
        lf_status status = lf_engine_open(&engine, options, &err);
        fail_at = -1;
        if (status) {
            n_failure++;
            assert_null(engine);
            assert_int_equal(status, LF_ERR_NO_MEMORY);
            assert_true(strlen(err.message) > 0);
        } else {
            lf_engine_close(engine); // some allocations may fail and be done without
        }
        assert_int_equal(n_live, live);
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
        long live = n_live;
        start_failing(call);
        counter unused = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        lf_status status =
            lf_engine_submit(engine, g.prompt, g.n_prompt, &sampling, count_event, &unused, &request, &err);
        fail_at = -1;
        if (!status) {
            assert_false(has_failed);
            lf_request_release(request);
            break;
        }
        assert_int_equal(status, LF_ERR_NO_MEMORY);
        assert_null(request);
        assert_int_equal(n_live, live);
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
