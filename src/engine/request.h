// SPDX-License-Identifier: Apache-2.0
//
// A request, and the hub through which other threads reach the engine thread. Everything a request needs while it runs
// is allocated when it is made, so that no step allocates.
#ifndef LF_ENGINE_REQUEST_H
#define LF_ENGINE_REQUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/kv.h"
#include "engine/sample.h"

// The meeting point of the threads. It is counted, because a request may be released after the engine has closed: the
// engine and every request hold one reference.
typedef struct lf_hub {
    pthread_mutex_t lock; // protects all below; held for moments only, never during a step or a callback
    pthread_cond_t work;  // the engine thread waits here: something below changed
    pthread_cond_t done;  // lf_request_release and lf_engine_open wait here
    size_t n_reference;
    lf_request *incoming, **incoming_end; // submitted, not yet seen by the engine thread
    size_t n_incoming;
    bool is_open;    // requests are accepted
    bool is_closing; // the engine thread must end
    bool has_cancel; // some request was cancelled since the engine thread last looked
    bool is_profiling;
    lf_engine_stats stats;     // as last published by the engine thread; n_waiting without the incoming
    lf_engine_profile profile; // likewise
    uint64_t n_submitted;
} lf_hub;

lf_status lf__hub_new(lf_hub **out, lf_error *err);
void lf__hub_unref(lf_hub *hub);

struct lf_request {
    // Set by lf__request_new and constant from then on.
    lf_hub *hub; // one reference
    lf_token_fn on_event;
    void *ctx;
    lf_sampling sampling; // its pointers are NULL: stop_tokens and edits hold copies
    int32_t *stop_tokens; // OWNED
    size_t n_stop_token;
    uint64_t seed; // of its random numbers
    size_t n_prompt;
    size_t max_length; // prompt and output together; the room in `tokens`
    bool is_seeded;

    // The engine thread's, from the moment it takes the request off the hub.
    lf_request *next; // in the hub's or the scheduler's queue
    int32_t *tokens;  // OWNED: prompt, then output
    size_t n_token;
    size_t n_computed; // the first tokens, whose keys and values are in the cache
    lf_block_table table;
    lf_edit_book edits;
    size_t n_step_tok;      // tokens of this request in the step that is running
    size_t n_prompt_row;    // prompt logprob rows delivered: the next one is for prompt position n_prompt_row + 1
    bool is_stopped;        // the caller answered LF_STOP
    lf_request_times times; // readable by others from the last event on

    atomic_bool is_cancelled; // any thread
    bool is_done; // hub->lock: the last event has been delivered, the engine thread holds no pointer any more
};

typedef struct lf_request_args {
    lf_hub *hub;
    const lf_config *config;
    const int32_t *prompt;
    size_t n_prompt;
    const lf_sampling *sampling;
    lf_token_fn on_event;
    void *ctx;
    size_t max_model_len, block_size;
} lf_request_args;

// Checks prompt and sampling parameters and allocates. The reference on the hub is taken by the caller, under its lock.
lf_status lf__request_new(lf_request **out, const lf_request_args *args, lf_error *err);
// Frees the request's memory and nothing else; NULL is accepted.
void lf__request_free(lf_request *request);

static inline size_t lf__request_n_generated(const lf_request *request) { return request->n_token - request->n_prompt; }
// Tokens whose keys and values are still to be computed.
static inline size_t lf__request_n_pending(const lf_request *request) { return request->n_token - request->n_computed; }

#endif
