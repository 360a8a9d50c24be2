// SPDX-License-Identifier: Apache-2.0
//
// The fake engine: one thread that gives every request one token per turn, in the order of their arrival, as the real
// one does.
#include "fake_engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "engine/engine.h"

const lf_sampling LF_SAMPLING_DEFAULT = {
    .temperature = 1, .top_p = 1, .repetition_penalty = 1, .max_tokens = 16, .logprobs = -1, .prompt_logprobs = -1};

struct lf_request {
    lf_engine *engine;
    int32_t *prompt;
    size_t n_prompt;
    lf_sampling sampling;
    int32_t *stop_token_ids;
    lf_token_fn on_event;
    void *ctx;
    size_t script; // next prompt position to repeat; SIZE_MAX: no script
    bool is_slow, is_nan, is_failing;
    bool is_stopping; // the caller said stop
    int64_t n_generated;
    atomic_bool is_cancelled;
    bool is_done; // engine->lock
    lf_request_times times;
    lf_request *next;
};

struct lf_engine {
    lf_config config;
    lf_engine_info info;
    pthread_t thread;
    pthread_mutex_t lock; // protects everything below
    pthread_cond_t work, done;
    lf_request *requests;
    lf_engine_stats stats;
    bool is_closing;
};

static size_t find_marker(const lf_request *request, const char *marker)
{
    size_t length = strlen(marker);
    for (size_t i = 0; i + length <= request->n_prompt; i++) {
        size_t k = 0;
        while (k < length && request->prompt[i + k] == (unsigned char)marker[k]) k++;
        if (k == length) return i + length;
    }
    return SIZE_MAX;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    return a ^ (a >> 29);
}

static int32_t next_token(lf_request *request)
{
    if (request->script != SIZE_MAX) {
        if (request->script >= request->n_prompt || request->prompt[request->script] == ';') return FAKE_IM_END;
        return request->prompt[request->script++];
    }
    uint64_t hash = 7;
    for (size_t i = 0; i < request->n_prompt; i++) hash = mix(hash, (uint64_t)request->prompt[i]);
    hash = mix(hash, (uint64_t)request->n_generated);
    if (request->sampling.temperature > 0)
        hash = mix(hash, request->sampling.has_seed ? request->sampling.seed + 1 : 0);
    return 'a' + (int32_t)(mix(hash, 3) % 26);
}

static lf_logprob_row make_row(const lf_request *request, int32_t token, int32_t n_top)
{
    lf_logprob_row row = {
        .log_sum_exp = 3, .target_logprob = -0.25f - (float)(token % 4), .target_rank = 1 + token % 4};
    row.n_not_finite = request->is_nan;
    row.n_top = n_top;
    for (int32_t i = 0; i < n_top; i++) {
        row.top_tokens[i] = i + 1 == row.target_rank ? token : 'A' + i;
        row.top_logprobs[i] = -0.25f - (float)i;
    }
    return row;
}

// One event. The caller's verdict counts from the next turn on. true when the request is over.
static bool deliver(lf_request *request, lf_token_event *event)
{
    if (event->finish != LF_FINISH_NONE) {
        pthread_mutex_lock(&request->engine->lock);
        request->engine->stats.n_finished[event->finish]++;
        pthread_mutex_unlock(&request->engine->lock);
    }
    bool wants_stop = request->on_event(request->ctx, event) == LF_STOP;
    if (event->finish != LF_FINISH_NONE) return true;
    request->is_stopping = wants_stop;
    return false;
}

static bool finish(lf_request *request, lf_finish why)
{
    static const lf_error failure = {.status = LF_ERR_DEVICE, .message = "the fake device failed"};
    lf_token_event event = {
        .token = -1, .stop_token = -1, .finish = why, .error = why == LF_FINISH_ERROR ? &failure : NULL};
    return deliver(request, &event);
}

static bool begin(lf_request *request)
{
    request->times.scheduled_ns = lf_now_ns();
    lf_token_event event = {.token = -1, .stop_token = -1};
    if (request->sampling.prompt_logprobs >= 0 && request->n_prompt > 1) {
        lf_logprob_row *rows = calloc(request->n_prompt - 1, sizeof *rows);
        if (!rows) return finish(request, LF_FINISH_ERROR);
        for (size_t i = 1; i < request->n_prompt; i++) {
            rows[i - 1] = make_row(request, request->prompt[i], request->sampling.prompt_logprobs);
        }
        event.prompt_rows = rows;
        event.n_prompt_row = request->n_prompt - 1;
        event.prompt_position = 1;
        deliver(request, &event);
        free(rows);
    }
    return request->sampling.max_tokens == 0 && finish(request, LF_FINISH_LENGTH);
}

static bool is_stop_token(const lf_request *request, int32_t token)
{
    for (size_t i = 0; i < request->sampling.n_stop_token_id; i++) {
        if (request->stop_token_ids[i] == token) return true;
    }
    return false;
}

static bool step(lf_request *request)
{
    if (atomic_load(&request->is_cancelled)) return finish(request, LF_FINISH_CANCELLED);
    if (request->is_stopping) return finish(request, LF_FINISH_STOP);
    if (request->is_slow) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    if (request->n_generated == 0 && request->times.scheduled_ns == 0 && begin(request)) return true;
    if (request->is_failing && request->n_generated == 3) return finish(request, LF_FINISH_ERROR);
    int32_t token = next_token(request);
    bool is_early = request->n_generated < request->sampling.min_tokens;
    if (token == FAKE_IM_END && (request->sampling.ignore_eos || is_early)) token = '.';
    bool is_eos = token == FAKE_IM_END;
    bool is_stop = is_eos || (!is_early && is_stop_token(request, token));
    lf_logprob_row row = make_row(request, token, request->sampling.logprobs > 0 ? request->sampling.logprobs : 0);
    request->n_generated++;
    request->times.last_token_ns = lf_now_ns();
    if (request->n_generated == 1) request->times.first_token_ns = request->times.last_token_ns;
    request->times.n_generated = request->n_generated;
    bool is_full = request->n_generated == request->sampling.max_tokens ||
                   (int64_t)request->n_prompt + request->n_generated == request->engine->info.max_model_len;
    lf_token_event event = {.token = token,
                            .finish = is_stop   ? LF_FINISH_STOP
                                      : is_full ? LF_FINISH_LENGTH
                                                : LF_FINISH_NONE,
                            .stop_token = is_stop ? token : -1,
                            .is_eos = is_eos,
                            .logprob = request->sampling.logprobs >= 0 ? &row : NULL};
    pthread_mutex_lock(&request->engine->lock);
    request->engine->stats.n_generation_token++;
    pthread_mutex_unlock(&request->engine->lock);
    return deliver(request, &event);
}

static void *engine_main(void *ctx)
{
    lf_engine *engine = ctx;
    pthread_mutex_lock(&engine->lock);
    for (;;) {
        while (!engine->requests && !engine->is_closing) pthread_cond_wait(&engine->work, &engine->lock);
        if (!engine->requests) break;
        for (lf_request **at = &engine->requests; *at;) {
            lf_request *request = *at;
            if (engine->is_closing) atomic_store(&request->is_cancelled, true);
            pthread_mutex_unlock(&engine->lock);
            bool is_over = step(request);
            pthread_mutex_lock(&engine->lock);
            if (!is_over) {
                at = &request->next;
                continue;
            }
            // new ones are put at the end, so `at` still points to it
            *at = request->next;
            engine->stats.n_running--;
            request->is_done = true;
            pthread_cond_broadcast(&engine->done);
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return NULL;
}

lf_status lf_engine_open(lf_engine **out, const lf_engine_options *options, lf_error *err)
{
    lf_engine *engine = calloc(1, sizeof *engine);
    engine->config.vocab_size = FAKE_VOCAB;
    engine->config.bos_token_id = -1;
    engine->config.eos_token_ids[0] = FAKE_IM_END;
    engine->config.n_eos_token_id = 1;
    engine->info.max_model_len = options->max_model_len ? options->max_model_len : FAKE_MAX_MODEL_LEN;
    engine->info.block_size = 16;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->work, NULL);
    pthread_cond_init(&engine->done, NULL);
    if (pthread_create(&engine->thread, NULL, engine_main, engine))
        return lf_error_set(err, LF_ERR_NO_MEMORY, "no thread");
    *out = engine;
    return LF_OK;
}

void lf_engine_close(lf_engine *engine)
{
    if (!engine) return;
    pthread_mutex_lock(&engine->lock);
    engine->is_closing = true;
    pthread_cond_signal(&engine->work);
    pthread_mutex_unlock(&engine->lock);
    pthread_join(engine->thread, NULL);
    free(engine);
}

const lf_config *lf_engine_config(const lf_engine *engine) { return &engine->config; }
void lf_engine_describe(const lf_engine *engine, lf_engine_info *out) { *out = engine->info; }
json_t *lf_engine_ledger(const lf_engine *engine) { return json_pack("{s:b}", "fake", 1); }

lf_status lf_engine_submit(lf_engine *engine, const int32_t *prompt, size_t n_prompt, const lf_sampling *sampling,
                           lf_token_fn on_event, void *ctx, lf_request **out, lf_error *err)
{
    if (n_prompt == 0) return lf_error_set(err, LF_ERR_INVALID, "the prompt is empty");
    lf_request *request = calloc(1, sizeof *request);
    int32_t *prompt_copy = malloc(n_prompt * sizeof *prompt);
    int32_t *stop_copy = malloc((sampling->n_stop_token_id + 1) * sizeof *stop_copy);
    if (!request || !prompt_copy || !stop_copy) {
        free(request);
        free(prompt_copy);
        free(stop_copy);
        return lf_error_no_memory(err, sizeof *request);
    }
    memcpy(prompt_copy, prompt, n_prompt * sizeof *prompt);
    for (size_t i = 0; i < sampling->n_stop_token_id; i++) stop_copy[i] = sampling->stop_token_ids[i];
    request->engine = engine;
    request->prompt = prompt_copy;
    request->n_prompt = n_prompt;
    request->sampling = *sampling;
    request->stop_token_ids = stop_copy;
    request->on_event = on_event;
    request->ctx = ctx;
    request->script = find_marker(request, "say:");
    request->is_slow = find_marker(request, "slow:") != SIZE_MAX;
    request->is_nan = find_marker(request, "nan:") != SIZE_MAX;
    request->is_failing = find_marker(request, "fail:") != SIZE_MAX;
    request->times.submitted_ns = lf_now_ns();
    request->times.n_prompt = (int64_t)n_prompt;
    pthread_mutex_lock(&engine->lock);
    lf_request **end = &engine->requests;
    while (*end) end = &(*end)->next;
    *end = request;
    engine->stats.n_running++;
    engine->stats.n_prompt_token += n_prompt;
    pthread_cond_signal(&engine->work);
    *out = request;
    pthread_mutex_unlock(&engine->lock);
    return LF_OK;
}

void lf_request_cancel(lf_request *request) { atomic_store(&request->is_cancelled, true); }

void lf_request_release(lf_request *request)
{
    lf_request_cancel(request);
    pthread_mutex_lock(&request->engine->lock);
    while (!request->is_done) pthread_cond_wait(&request->engine->done, &request->engine->lock);
    pthread_mutex_unlock(&request->engine->lock);
    free(request->prompt);
    free(request->stop_token_ids);
    free(request);
}

void lf_engine_stats_read(const lf_engine *engine, lf_engine_stats *out)
{
    pthread_mutex_lock((pthread_mutex_t *)&engine->lock);
    *out = engine->stats;
    pthread_mutex_unlock((pthread_mutex_t *)&engine->lock);
}

void lf_engine_profile_set(lf_engine *engine, bool is_on) {}
void lf_engine_profile_read(const lf_engine *engine, lf_engine_profile *out) { *out = (lf_engine_profile){0}; }
void lf_request_times_read(const lf_request *request, lf_request_times *out) { *out = request->times; }
