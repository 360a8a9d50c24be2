// SPDX-License-Identifier: Apache-2.0
//
// The event handler asserts with cmocka only on the main thread; here a broken order makes the event count absurd,
// which the tests then see.
#include "client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

lf_engine *client_open(const lf_engine_options *options)
{
    lf_engine *engine = NULL;
    lf_error err = {0};
    if (lf_engine_open(&engine, options, &err)) {
        char line[2048];
        lf_error_format(&err, line, sizeof line);
        fail_msg("the engine does not open: %s", line);
    }
    return engine;
}

enum { BROKEN_ORDER = 1000000 };

static void keep_prompt_rows(client *c, const lf_token_event *event)
{
    // Pieces are contiguous, begin at position 1 and come before the first token.
    if (event->prompt_position != c->n_prompt_row + 1 || c->n_token > 0) c->n_event += BROKEN_ORDER;
    c->n_prompt_piece++;
    for (size_t i = 0; i < event->n_prompt_row; i++) {
        if (++c->n_prompt_row < CLIENT_MAX_TOKEN) c->prompt_rows[c->n_prompt_row] = event->prompt_rows[i];
    }
}

static lf_verdict on_event(void *ctx, const lf_token_event *event)
{
    client *c = ctx;
    pthread_mutex_lock(&c->lock);
    if (c->is_finished) c->n_event += BROKEN_ORDER; // nothing may follow the last event
    c->n_event++;
    if (event->n_prompt_row > 0) keep_prompt_rows(c, event);
    if (event->token >= 0 && c->n_token < CLIENT_MAX_TOKEN) {
        if (event->logprob) c->rows[c->n_row++] = *event->logprob;
        c->tokens[c->n_token++] = event->token;
    }
    lf_verdict verdict = LF_GO_ON;
    if (c->stop_after > 0 && c->n_token >= c->stop_after) verdict = LF_STOP;
    if (c->stop_at_prompt_rows && event->n_prompt_row > 0) verdict = LF_STOP;
    if (event->finish != LF_FINISH_NONE) {
        c->is_finished = true;
        c->finish = event->finish;
        c->stop_token = event->stop_token;
        c->is_eos = event->is_eos;
        if (event->error) c->error = *event->error;
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return verdict;
}

void client_start(client *c, lf_engine *engine, const int32_t *prompt, size_t n_prompt, const lf_sampling *sampling)
{
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    lf_error err = {0};
    if (lf_engine_submit(engine, prompt, n_prompt, sampling, on_event, c, &c->request, &err)) {
        fail_msg("the request is refused: %s", err.message);
    }
}

void client_wait(client *c)
{
    pthread_mutex_lock(&c->lock);
    while (!c->is_finished) pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void client_release(client *c)
{
    lf_request_release(c->request);
    c->request = NULL;
    assert_true(c->is_finished);
    assert_true(c->n_event < BROKEN_ORDER);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

lf_sampling client_greedy(int64_t n)
{
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    sampling.temperature = 0;
    sampling.max_tokens = n;
    sampling.ignore_eos = true;
    return sampling;
}
