// SPDX-License-Identifier: Apache-2.0
//
// Bodies of requests from anywhere. The first byte chooses the endpoint; what is accepted must keep the promises of
// server/request.h, and a refusal must be one (status, type, a message that becomes JSON).
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/prompt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

static void check_refusal(const lf_refusal *refusal)
{
    require(refusal->http_status >= 400 && refusal->http_status < 600);
    require(refusal->type != NULL && refusal->message[0] != '\0');
    json_t *root = lf_refusal_json(refusal);
    char *text = json_dumps(root, JSON_COMPACT);
    require(root && text);
    free(text);
    json_decref(root);
}

static void check_sampling(const lf_ask *ask, const lf_request_limits *limits)
{
    const lf_sampling *s = &ask->sampling;
    require(s->temperature >= 0 && s->temperature <= 2 && s->top_p > 0 && s->top_p <= 1 && s->min_p >= 0 &&
            s->min_p <= 1);
    require(s->top_k >= 0 && s->repetition_penalty > 0 && isfinite(s->repetition_penalty));
    require(fabsf(s->presence_penalty) <= 2 && fabsf(s->frequency_penalty) <= 2);
    require(s->max_tokens >= 0 && s->max_tokens <= limits->max_model_len && s->min_tokens >= 0 &&
            s->min_tokens <= s->max_tokens);
    require(s->logprobs >= -1 && s->logprobs <= LF_MAX_TOP_LOGPROBS);
    require(s->prompt_logprobs >= -1 && s->prompt_logprobs <= LF_MAX_TOP_LOGPROBS);
    for (size_t i = 0; i < s->n_stop_token_id; i++) {
        require(s->stop_token_ids[i] >= 0 && s->stop_token_ids[i] < limits->vocab_size);
    }
    for (size_t i = 0; i < s->n_logit_bias; i++) {
        require(s->logit_bias[i].token >= 0 && s->logit_bias[i].token < limits->vocab_size);
        require(fabsf(s->logit_bias[i].bias) <= 100);
    }
    require(ask->n >= 1 && ask->n <= LF_REQUEST_MAX_N && (ask->n == 1 || s->temperature > 0));
    for (size_t i = 0; i < ask->n_stop; i++)
        require(ask->stop[i].length >= 1 && ask->stop[i].length <= LF_STOP_MAX_BYTES);
}

static void check_messages(const lf_ask *ask)
{
    for (int kind = 0; kind < 2; kind++) {
        json_t *prepared = NULL;
        lf_refusal refusal;
        lf_chat_content content = kind ? LF_CHAT_CONTENT_PARTS : LF_CHAT_CONTENT_STRING;
        if (lf_messages_prepare(&prepared, ask->messages, content, "model", &refusal)) {
            check_refusal(&refusal);
            continue;
        }
        require(json_array_size(prepared) == json_array_size(ask->messages));
        json_decref(prepared);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static const char *const names[] = {"m", NULL};
    const lf_request_limits limits = {
        .max_model_len = 64,
        .vocab_size = 100,
        .model_names = names,
        .defaults = {.temperature = 1, .top_p = 1, .repetition_penalty = 1},
    };
    if (length == 0) return 0;
    lf_endpoint endpoint = data[0] & 1 ? LF_ENDPOINT_CHAT : LF_ENDPOINT_COMPLETIONS;
    json_t *body = NULL;
    lf_ask ask = {0};
    lf_refusal refusal;
    if (lf_body_parse(&body, (const char *)data + 1, length - 1, &refusal)) {
        check_refusal(&refusal);
        return 0;
    }
    if (lf_ask_read(&ask, endpoint, body, &limits, &refusal)) {
        check_refusal(&refusal);
    } else {
        check_sampling(&ask, &limits);
        if (ask.messages) check_messages(&ask);
    }
    lf_ask_fini(&ask);
    return 0;
}
