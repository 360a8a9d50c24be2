// SPDX-License-Identifier: Apache-2.0
//
// An answer in the making: the sequences that one request runs on the engine, and how the two endpoints write them.
// Whole answers and streams are built from the same parts, so they cannot differ.
#ifndef LF_SERVER_ANSWER_H
#define LF_SERVER_ANSWER_H

#include "server/generation.h"
#include "server/job.h"
#include "server/prompt.h"
#include "server/service.h"

// One choice of the answer: prompt i / n, sample i % n. Owned by its answer.
typedef struct lf_choice {
    size_t index;
    const lf_prompt *prompt;
    lf_generation *generation; // OWNED
    lf_chunk chunk;            // the newest take
    size_t n_generated;        // tokens taken so far
    size_t text_offset;        // of the next token in legacy logprobs, in characters
    bool is_begun;             // something of it was streamed
    bool is_ended;             // its last chunk was streamed
} lf_choice;

struct lf_answer {
    lf_service *service;
    lf_ask ask;
    lf_prompts prompts;
    lf_job job;
    char id[160];       // "chatcmpl-..."
    int64_t created;    // Unix seconds
    lf_choice *choices; // OWNED
    size_t n_choice;
    bool is_listed; // among service->answers
    lf_answer *next, *previous;
};

// How an endpoint writes its answers. JSON results are new references, NULL when memory is gone.
typedef struct lf_writer {
    json_t *(*whole)(lf_answer *answer); // every choice's chunk holds all of it
    // The `choices` entry for what a choice's chunk brings; NULL and *is_empty when there is nothing worth sending.
    json_t *(*piece)(lf_answer *answer, lf_choice *choice, bool *is_empty);
    json_t *(*opening)(lf_answer *answer, lf_choice *choice); // a chunk before the first token; may be NULL
    const char *chunk_object;                                 // "chat.completion.chunk"
} lf_writer;
extern const lf_writer lf_chat_writer, lf_completion_writer;

// Reads, checks and submits a request. On failure the refusal is the answer.
lf_status lf_answer_start(lf_answer **out, lf_service *service, lf_endpoint endpoint, const lf_call *call,
                          lf_refusal *refusal);
void lf_answer_free(lf_answer *answer);
void lf_answer_cancel(lf_answer *answer);
// Takes what is new of a choice into choice->chunk.
lf_status lf_choice_take(lf_choice *choice, lf_refusal *refusal);

// The whole life of a request: start, then wait or hand over a stream.
void lf_answer_handle(lf_service *service, lf_endpoint endpoint, const lf_call *call, lf_reply *reply);
lf_stream *lf_stream_new(lf_answer *answer, const lf_writer *writer,
                         int peer_fd); // takes the answer; NULL without memory

// Pieces of JSON that both endpoints use; new references, NULL when memory is gone.
json_t *lf_usage_json(const lf_answer *answer, const lf_choice *only, bool is_chunk);
json_t *lf_stop_reason_json(const lf_answer *answer, const lf_choice *choice);
json_t *lf_finish_reason_json(const lf_choice *choice);
json_t *lf_token_ids_json(const int32_t *tokens, size_t n);
json_t *lf_chat_logprobs_json(const lf_answer *answer, const lf_choice *choice);
// The legacy form for the choice's chunk; with `with_prompt` the prompt's tokens stand in front. Moves
// choice->text_offset on.
json_t *lf_legacy_logprobs_json(const lf_answer *answer, lf_choice *choice, bool with_prompt);
json_t *lf_prompt_logprobs_json(const lf_answer *answer, const lf_choice *choice);

#endif
