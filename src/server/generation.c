// SPDX-License-Identifier: Apache-2.0
//
// Generations. Two threads meet here: the engine's (on_event, the only writer of text and tokens) and the reader's.
// `lock` protects everything below it in the struct; it is held for microseconds and never while calling out.
// Invariant: text[0, ready) will not change any more; text past it is held back until it cannot be part of a stop
// string.
#include "server/generation.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct lf_generation {
    lf_request *request; // OWNED
    void (*wake)(void *ctx);
    void *wake_ctx;
    int64_t min_tokens;
    bool wakes_when_done_only;
    bool include_stop_in_output;
    bool wants_rows;

    // the engine thread's alone
    lf_detokenizer detokenizer;
    lf_stop_matcher *matcher; // OWNED; NULL: no stop strings
    lf_buf piece;             // text of the newest token

    pthread_mutex_t lock;
    pthread_cond_t done; // signalled when is_done becomes true
    lf_buf text;         // all text so far, without what a stop string cut off
    size_t ready, taken_text;
    int32_t *tokens; // OWNED, as the three below; `token_capacity` entries each
    int64_t *arrival_ns;
    lf_logprob_row *rows; // NULL unless wants_rows
    size_t n_token, taken_tokens;
    size_t token_capacity, arrival_capacity, row_capacity;
    lf_logprob_row *prompt_rows; // OWNED
    size_t n_prompt_row, prompt_capacity;
    size_t n_not_finite;
    size_t stop_index;
    int32_t stop_token;
    lf_finish finish;
    bool is_stopped; // a stop string was found: no more text
    bool is_done;
    bool is_done_taken;
    lf_error error; // status LF_OK: none
};

void lf_chunk_fini(lf_chunk *chunk)
{
    lf_buf_fini(&chunk->text);
    free(chunk->tokens);
    free(chunk->rows);
    *chunk = (lf_chunk){0};
}

static void append_prompt_rows(lf_generation *generation, const lf_token_event *event)
{
    size_t need = generation->n_prompt_row + event->n_prompt_row;
    if (!lf_array_grow((void **)&generation->prompt_rows, &generation->prompt_capacity, need,
                       sizeof *generation->prompt_rows)) {
        lf_error_no_memory(&generation->error, 0);
        return;
    }
    for (size_t i = 0; i < event->n_prompt_row; i++) {
        generation->prompt_rows[generation->n_prompt_row++] = event->prompt_rows[i];
        if (event->prompt_rows[i].n_not_finite > 0) generation->n_not_finite++;
    }
}

static bool append_token(lf_generation *generation, const lf_token_event *event)
{
    size_t need = generation->n_token + 1;
    if (!lf_array_grow((void **)&generation->tokens, &generation->token_capacity, need, sizeof *generation->tokens) ||
        !lf_array_grow((void **)&generation->arrival_ns, &generation->arrival_capacity, need,
                       sizeof *generation->arrival_ns)) {
        return false;
    }
    if (generation->wants_rows) {
        if (!lf_array_grow((void **)&generation->rows, &generation->row_capacity, need, sizeof *generation->rows))
            return false;
        generation->rows[generation->n_token] = event->logprob ? *event->logprob : (lf_logprob_row){0};
    }
    if (event->logprob && event->logprob->n_not_finite > 0) generation->n_not_finite++;
    generation->tokens[generation->n_token] = event->token;
    generation->arrival_ns[generation->n_token] = lf_now_ns();
    generation->n_token++;
    return true;
}

// Appends new text byte by byte to the stop automata; at the first complete stop string the text is cut. The wait for
// min_tokens concerns stop strings too. When memory is gone `ready` stays where it is.
static void append_text(lf_generation *generation, const lf_buf *piece)
{
    bool may_match = (int64_t)generation->n_token > generation->min_tokens;
    for (size_t i = 0; i < piece->length && generation->matcher; i++) {
        size_t stop = lf_stop_matcher_feed(generation->matcher, (unsigned char)piece->data[i], may_match);
        if (stop == LF_STOP_NONE) continue;
        lf_buf_append(&generation->text, piece->data, i + 1);
        if (lf_buf_failed(&generation->text)) return;
        if (!generation->include_stop_in_output)
            generation->text.length -= lf_stop_matcher_length(generation->matcher, stop);
        generation->stop_index = stop;
        generation->is_stopped = true;
        generation->ready = generation->text.length;
        return;
    }
    lf_buf_append(&generation->text, piece->data, piece->length);
    if (lf_buf_failed(&generation->text)) return;
    generation->ready = generation->text.length - lf_stop_matcher_pending(generation->matcher);
}

static void take_token(lf_generation *generation, const lf_token_event *event)
{
    if (!append_token(generation, event)) {
        lf_error_no_memory(&generation->error, 0);
        return;
    }
    lf_buf_clear(&generation->piece);
    bool is_text = event->stop_token < 0 || generation->include_stop_in_output;
    if (is_text && lf_detokenizer_push(&generation->detokenizer, event->token, &generation->piece, &generation->error))
        return;
    append_text(generation, &generation->piece);
    if (lf_buf_failed(&generation->text)) lf_error_no_memory(&generation->error, 0);
    if (event->stop_token >= 0 && !event->is_eos) generation->stop_token = event->stop_token;
}

static void take_finish(lf_generation *generation, const lf_token_event *event)
{
    if (!generation->is_stopped && generation->error.status == LF_OK) {
        lf_buf_clear(&generation->piece);
        if (!lf_detokenizer_flush(&generation->detokenizer, &generation->piece, &generation->error))
            lf_buf_append(&generation->text, generation->piece.data, generation->piece.length);
        if (lf_buf_failed(&generation->text)) lf_error_no_memory(&generation->error, 0);
        generation->ready = generation->text.length;
    }
    if (event->finish == LF_FINISH_ERROR && generation->error.status == LF_OK) {
        if (event->error)
            generation->error = *event->error;
        else
            lf_error_set(&generation->error, LF_ERR_BUG, "the engine gave up without a reason");
    }
    generation->finish = generation->error.status ? LF_FINISH_ERROR
                         : generation->is_stopped ? LF_FINISH_STOP
                                                  : event->finish;
    generation->is_done = true;
    pthread_cond_broadcast(&generation->done);
}

static lf_verdict on_event(void *ctx, const lf_token_event *event)
{
    lf_generation *generation = ctx;
    pthread_mutex_lock(&generation->lock);
    if (event->n_prompt_row > 0) append_prompt_rows(generation, event);
    bool is_live = !generation->is_stopped && generation->error.status == LF_OK;
    if (event->token >= 0 && is_live) take_token(generation, event);
    if (event->finish != LF_FINISH_NONE) take_finish(generation, event);
    lf_verdict verdict = generation->is_stopped || generation->error.status ? LF_STOP : LF_GO_ON;
    void (*wake)(void *) = generation->is_done || !generation->wakes_when_done_only ? generation->wake : NULL;
    void *wake_ctx = generation->wake_ctx;
    pthread_mutex_unlock(&generation->lock);
    if (wake) wake(wake_ctx);
    return verdict;
}

lf_status lf_generation_start(lf_generation **out, lf_session *session, const lf_generation_args *args, lf_error *err)
{
    lf_generation *generation = calloc(1, sizeof *generation);
    if (!generation) return lf_error_no_memory(err, sizeof *generation);
    pthread_mutex_init(&generation->lock, NULL);
    pthread_cond_init(&generation->done, NULL);
    generation->wake = args->wake;
    generation->wake_ctx = args->wake_ctx;
    generation->wakes_when_done_only = args->wakes_when_done_only;
    generation->min_tokens = args->sampling.min_tokens;
    generation->include_stop_in_output = args->include_stop_in_output;
    generation->wants_rows = args->sampling.logprobs >= 0;
    generation->stop_index = LF_STOP_NONE;
    generation->stop_token = -1;
    lf_detokenizer_init(&generation->detokenizer, session->tokenizer, args->skip_special_tokens);
    lf_status status = lf_stop_matcher_new(&generation->matcher, args->stop, args->n_stop, err);
    if (!status) {
        status = lf_engine_submit(session->engine, args->prompt, args->n_prompt, &args->sampling, on_event, generation,
                                  &generation->request, err);
    }
    if (status) {
        lf_generation_free(generation);
        return status;
    }
    *out = generation;
    return LF_OK;
}

static lf_status copy_news(lf_generation *generation, lf_chunk *chunk)
{
    size_t n = generation->n_token - generation->taken_tokens;
    lf_buf_append(&chunk->text, lf_buf_text(&generation->text) + generation->taken_text,
                  generation->ready - generation->taken_text);
    if (lf_buf_failed(&chunk->text)) return LF_ERR_NO_MEMORY;
    if (n > chunk->capacity) {
        int32_t *tokens = lf_realloc_array(chunk->tokens, n, sizeof *tokens);
        if (!tokens) return LF_ERR_NO_MEMORY;
        chunk->tokens = tokens;
        if (generation->wants_rows) {
            lf_logprob_row *rows = lf_realloc_array(chunk->rows, n, sizeof *rows);
            if (!rows) return LF_ERR_NO_MEMORY;
            chunk->rows = rows;
        }
        chunk->capacity = n;
    }
    if (n > 0) {
        memcpy(chunk->tokens, generation->tokens + generation->taken_tokens, n * sizeof *chunk->tokens);
        if (generation->wants_rows)
            memcpy(chunk->rows, generation->rows + generation->taken_tokens, n * sizeof *chunk->rows);
    }
    chunk->n_token = n;
    generation->taken_text = generation->ready;
    generation->taken_tokens = generation->n_token;
    return LF_OK;
}

lf_status lf_generation_take(lf_generation *generation, lf_chunk *chunk, lf_error *err)
{
    lf_buf_clear(&chunk->text);
    chunk->n_token = 0;
    pthread_mutex_lock(&generation->lock);
    lf_status status = copy_news(generation, chunk);
    if (status) lf_error_no_memory(err, 0);
    chunk->is_done = generation->is_done;
    chunk->finish = generation->finish;
    chunk->stop_index = generation->stop_index;
    chunk->stop_token = generation->stop_token;
    if (generation->is_done) generation->is_done_taken = true;
    if (!status && generation->is_done && generation->error.status) {
        status = generation->error.status;
        if (err) *err = generation->error;
    }
    pthread_mutex_unlock(&generation->lock);
    return status;
}

bool lf_generation_has_news(lf_generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    bool has_news = generation->ready > generation->taken_text || generation->n_token > generation->taken_tokens ||
                    (generation->is_done && !generation->is_done_taken);
    pthread_mutex_unlock(&generation->lock);
    return has_news;
}

lf_finish lf_generation_finish(lf_generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    lf_finish finish = generation->is_done ? generation->finish : LF_FINISH_NONE;
    pthread_mutex_unlock(&generation->lock);
    return finish;
}

bool lf_generation_is_done(lf_generation *generation) { return lf_generation_finish(generation) != LF_FINISH_NONE; }

void lf_generation_wait(lf_generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    while (!generation->is_done) pthread_cond_wait(&generation->done, &generation->lock);
    pthread_mutex_unlock(&generation->lock);
}

void lf_generation_cancel(lf_generation *generation) { lf_request_cancel(generation->request); }

void lf_generation_free(lf_generation *generation)
{
    if (!generation) return;
    if (generation->request) lf_request_release(generation->request);
    lf_detokenizer_fini(&generation->detokenizer);
    lf_stop_matcher_free(generation->matcher);
    lf_buf_fini(&generation->piece);
    lf_buf_fini(&generation->text);
    free(generation->tokens);
    free(generation->arrival_ns);
    free(generation->rows);
    free(generation->prompt_rows);
    pthread_cond_destroy(&generation->done);
    pthread_mutex_destroy(&generation->lock);
    free(generation);
}

const lf_logprob_row *lf_generation_prompt_rows(lf_generation *generation, size_t *n)
{
    pthread_mutex_lock(&generation->lock);
    const lf_logprob_row *rows = generation->prompt_rows;
    *n = generation->n_prompt_row;
    pthread_mutex_unlock(&generation->lock);
    return rows;
}

size_t lf_generation_n_not_finite(lf_generation *generation)
{
    pthread_mutex_lock(&generation->lock);
    size_t n = generation->n_not_finite;
    pthread_mutex_unlock(&generation->lock);
    return n;
}

void lf_generation_times(lf_generation *generation, lf_request_times *times, const int64_t **arrival_ns,
                         size_t *n_arrival)
{
    lf_request_times_read(generation->request, times);
    pthread_mutex_lock(&generation->lock);
    *arrival_ns = generation->arrival_ns;
    *n_arrival = generation->n_token;
    pthread_mutex_unlock(&generation->lock);
}
