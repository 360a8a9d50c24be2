// SPDX-License-Identifier: Apache-2.0
//
// What a client asks for: the body of /v1/completions or /v1/chat/completions as typed values, all of its fields
// checked. Reading is a pure function of the body and a few numbers of the model, so that it can be fuzzed without
// sockets or weights; prompts stay JSON here (see prompt.h).
#ifndef LF_SERVER_REQUEST_H
#define LF_SERVER_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"
#include "server/fields.h"
#include "server/session.h"
#include "server/stop.h"

typedef enum lf_endpoint {
    LF_ENDPOINT_COMPLETIONS = 1,
    LF_ENDPOINT_CHAT = 2,
    LF_ENDPOINT_TOKENIZE = 4,
} lf_endpoint;

enum {
    LF_REQUEST_MAX_N = 128,
    LF_REQUEST_MAX_SEQUENCES = 1024, // prompts times n
    LF_REQUEST_MAX_BIASES = 1024,
    LF_REQUEST_MAX_STOP_TOKENS = 1024,
};

// The numbers of a model that values are checked against.
typedef struct lf_request_limits {
    int64_t max_model_len;
    int64_t vocab_size;
    const char *const *model_names; // NULL-terminated; the first is the name in answers
    lf_generation_defaults defaults;
} lf_request_limits;

typedef struct lf_ask {
    lf_endpoint endpoint;
    json_t *body; // OWNED; every pointer to text or JSON below is a VIEW of it

    const char *model;      // NULL: not said
    const json_t *prompt;   // completions
    const json_t *messages; // chat
    const json_t *tools, *documents, *chat_template_kwargs;
    const char *reasoning_effort;
    bool add_generation_prompt, continue_final_message;
    bool add_special_tokens;
    lf_maybe_int truncate_prompt_tokens;

    bool stream, include_usage, continuous_usage_stats;
    int64_t n;
    bool echo;
    bool skip_special_tokens, include_stop_str_in_output;
    bool return_token_ids, return_tokens_as_token_ids;

    // logprobs and prompt_logprobs of `sampling` are what the engine is asked for; has_* is what the answer shows
    bool has_logprobs, has_prompt_logprobs;
    lf_sampling sampling; // max_tokens is final only in prompt.c, which knows the prompt's length
    bool has_max_tokens;
    lf_stop_string *stop; // OWNED; texts are VIEWS of the body
    size_t n_stop;
    int32_t *stop_token_ids;   // OWNED, in sampling too
    lf_logit_bias *logit_bias; // OWNED, in sampling too
} lf_ask;

// Reads and checks a body (taking it over, also on failure). `ask` must be released with lf_ask_fini in any case.
lf_status lf_ask_read(lf_ask *ask, lf_endpoint endpoint, json_t *body, const lf_request_limits *limits,
                      lf_refusal *refusal);
void lf_ask_fini(lf_ask *ask);

// 404 with `param` "model" unless `model` is NULL or one of the names.
lf_status lf_model_name_check(const char *model, const lf_request_limits *limits, lf_refusal *refusal);

#endif
