// SPDX-License-Identifier: Apache-2.0
//
// A caller of the engine: submits a request and keeps what its events say, checking their order on the way.
#ifndef LF_TESTS_ENGINE_CLIENT_H
#define LF_TESTS_ENGINE_CLIENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

enum { CLIENT_MAX_TOKEN = 512 };

typedef struct client {
    lf_request *request;
    size_t stop_after; // answer LF_STOP to this many tokens; 0: never
    bool stop_at_prompt_rows;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_finished;
    lf_finish finish;
    lf_error error; // LF_FINISH_ERROR
    int32_t stop_token;
    bool is_eos;
    int32_t tokens[CLIENT_MAX_TOKEN];
    lf_logprob_row rows[CLIENT_MAX_TOKEN]; // of the tokens, when asked for
    size_t n_token, n_row, n_event;
    lf_logprob_row prompt_rows[CLIENT_MAX_TOKEN]; // index: prompt position
    size_t n_prompt_row, n_prompt_piece;
} client;

// Opens an engine that must open.
lf_engine *client_open(const lf_engine_options *options);
// Submits; the request must be accepted. Zero the client first, then set stop_after.
void client_start(client *c, lf_engine *engine, const int32_t *prompt, size_t n_prompt, const lf_sampling *sampling);
void client_wait(client *c);    // for the last event
void client_release(client *c); // without waiting
// Greedy sampling of n tokens that no end token cuts short.
lf_sampling client_greedy(int64_t n);

#endif
