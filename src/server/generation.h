// SPDX-License-Identifier: Apache-2.0
//
// A generation: one sequence being generated, as text. The engine's thread turns each token into text, looks for stop
// strings and answers "go on" or "stop" at once, so that the result never depends on how fast anybody reads; the reader
// takes what is new whenever it likes. Text that may still become a stop string is held back. What waits for a slow
// reader is bounded by max_tokens.
#ifndef LF_SERVER_GENERATION_H
#define LF_SERVER_GENERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "engine/engine.h"
#include "server/session.h"
#include "server/stop.h"

typedef struct lf_generation lf_generation;

typedef struct lf_generation_args {
    const int32_t *prompt; // copied
    size_t n_prompt;
    lf_sampling sampling;
    const lf_stop_string *stop; // copied
    size_t n_stop;
    bool include_stop_in_output; // the stop string, or the stop token's text, stays in the text
    bool skip_special_tokens;
    // Called on the engine's thread after each event (or only when done), never under a lock; must be quick. NULL:
    // nobody.
    void (*wake)(void *ctx);
    void *wake_ctx;
    bool wakes_when_done_only;
} lf_generation_args;

// What is new since the last take. Zero-initialise; reused from take to take.
typedef struct lf_chunk {
    lf_buf text;          // whole UTF-8 characters
    int32_t *tokens;      // OWNED
    lf_logprob_row *rows; // OWNED; one per token when logprobs were asked for, else NULL
    size_t n_token;
    size_t capacity;
    bool is_done;       // nothing comes after this chunk
    lf_finish finish;   // when done
    size_t stop_index;  // the stop string that ended it, LF_STOP_NONE otherwise
    int32_t stop_token; // the stop token (of the request, not an end token of the model) that ended it, -1 otherwise
} lf_chunk;
void lf_chunk_fini(lf_chunk *chunk);

lf_status lf_generation_start(lf_generation **out, lf_session *session, const lf_generation_args *args, lf_error *err);
// Replaces the chunk's content. After LF_FINISH_ERROR, or when memory ran out, the failure is returned in `err`.
lf_status lf_generation_take(lf_generation *generation, lf_chunk *chunk, lf_error *err);
// Whether a take would bring anything.
bool lf_generation_has_news(lf_generation *generation);
bool lf_generation_is_done(lf_generation *generation);
lf_finish lf_generation_finish(lf_generation *generation); // LF_FINISH_NONE until it is done
// Blocks until the generation is done.
void lf_generation_wait(lf_generation *generation);
// Asks for an early end; a last chunk with LF_FINISH_CANCELLED follows unless it was done.
void lf_generation_cancel(lf_generation *generation);
// Cancels, waits for the engine to let go, frees. NULL is accepted.
void lf_generation_free(lf_generation *generation);

// Log-probabilities of the prompt: row i belongs to position i + 1. Complete from the first token on, and constant
// then.
const lf_logprob_row *lf_generation_prompt_rows(lf_generation *generation, size_t *n);
// Rows with NaN or infinite logits seen so far: not 0 means that the answer is worthless.
size_t lf_generation_n_not_finite(lf_generation *generation);

// Valid once done: the engine's timings, and when each token arrived (monotonic nanoseconds).
void lf_generation_times(lf_generation *generation, lf_request_times *times, const int64_t **arrival_ns,
                         size_t *n_arrival);

#endif
