// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/chat/completions: the answer's shape, whole and streamed.
#include <string.h>

#include "base/json.h"
#include "landfall.h"
#include "server/answer.h"

// Who speaks: the assistant, or whoever the message to be continued belongs to.
static const char *answer_role(const lf_answer *answer)
{
    const lf_ask *ask = &answer->ask;
    if (ask->add_generation_prompt) return "assistant";
    const json_t *last = json_array_get(ask->messages, json_array_size(ask->messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    return role ? role : "assistant";
}

// With `echo`, the text of the last message stands in front of the answer when the same role goes on speaking.
static const json_t *echoed_text(const lf_answer *answer)
{
    const lf_ask *ask = &answer->ask;
    if (!ask->echo) return NULL;
    const json_t *last = json_array_get(ask->messages, json_array_size(ask->messages) - 1);
    const char *role = json_string_value(json_object_get(last, "role"));
    const json_t *content = json_object_get(last, "content");
    return role && strcmp(role, answer_role(answer)) == 0 && json_is_string(content) ? content : NULL;
}

static json_t *content_json(const json_t *echoed, const lf_buf *text)
{
    if (!echoed) return lf_json_text(lf_buf_text(text), text->length);
    lf_buf joined = LF_BUF_INIT;
    lf_buf_append(&joined, json_string_value(echoed), json_string_length(echoed));
    lf_buf_append(&joined, lf_buf_text(text), text->length);
    json_t *string = lf_buf_failed(&joined) ? NULL : lf_json_text(lf_buf_text(&joined), joined.length);
    lf_buf_fini(&joined);
    return string;
}

static json_t *logprobs_json(const lf_answer *answer, const lf_choice *choice)
{
    return answer->ask.has_logprobs ? lf_chat_logprobs_json(answer, choice) : json_null();
}

static json_t *token_ids_json(const lf_answer *answer, const lf_choice *choice)
{
    return answer->ask.return_token_ids ? lf_token_ids_json(choice->chunk.tokens, choice->chunk.n_token) : json_null();
}

static json_t *whole_choice(const lf_answer *answer, const lf_choice *choice)
{
    json_t *message = json_pack("{s:s, s:o, s:n, s:n, s:n, s:n, s:n}", "role", answer_role(answer), "content",
                                content_json(echoed_text(answer), &choice->chunk.text), "refusal", "annotations",
                                "audio", "function_call", "reasoning");
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "index", (json_int_t)choice->index, "message", message,
                     "logprobs", logprobs_json(answer, choice), "finish_reason", lf_finish_reason_json(choice),
                     "stop_reason", lf_stop_reason_json(answer, choice), "token_ids", token_ids_json(answer, choice));
}

static json_t *whole(lf_answer *answer)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < answer->n_choice; i++) lf_json_append(&choices, whole_choice(answer, &answer->choices[i]));
    if (!choices) return NULL;
    const lf_ids *ids = &answer->prompts.items[0].ids;
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:n, s:o, s:o, s:o, s:o, s:n}", "id", answer->id, "object",
                     "chat.completion", "created", (json_int_t)answer->created, "model",
                     answer->service->limits.model_names[0], "choices", choices, "service_tier", "system_fingerprint",
                     json_sprintf("landfall-%s", lf_version()), "usage", lf_usage_json(answer, NULL, false),
                     "prompt_logprobs", lf_prompt_logprobs_json(answer, &answer->choices[0]), "prompt_token_ids",
                     answer->ask.return_token_ids ? lf_token_ids_json(ids->data, ids->count) : json_null(),
                     "prompt_text");
}

static json_t *opening(lf_answer *answer, lf_choice *choice)
{
    const json_t *echoed = echoed_text(answer);
    json_t *content = echoed ? json_incref((json_t *)echoed) : json_string("");
    return json_pack("{s:I, s:{s:s, s:o}, s:n, s:n}", "index", (json_int_t)choice->index, "delta", "role",
                     answer_role(answer), "content", content, "logprobs", "finish_reason");
}

static json_t *piece(lf_answer *answer, lf_choice *choice, bool *is_empty)
{
    const lf_chunk *chunk = &choice->chunk;
    bool shows_tokens = answer->ask.has_logprobs || answer->ask.return_token_ids;
    *is_empty = chunk->text.length == 0 && !chunk->is_done && !(shows_tokens && chunk->n_token > 0);
    if (*is_empty) return NULL;
    json_t *entry = json_pack("{s:I, s:{s:o}, s:o, s:o}", "index", (json_int_t)choice->index, "delta", "content",
                              content_json(NULL, &chunk->text), "logprobs", logprobs_json(answer, choice),
                              "finish_reason", lf_finish_reason_json(choice));
    if (chunk->is_done) lf_json_put(&entry, "stop_reason", lf_stop_reason_json(answer, choice));
    lf_json_put(&entry, "token_ids", token_ids_json(answer, choice));
    return entry;
}

const lf_writer lf_chat_writer = {
    .whole = whole,
    .piece = piece,
    .opening = opening,
    .chunk_object = "chat.completion.chunk",
};

void lf_handle_chat(lf_service *service, const lf_call *call, lf_reply *reply)
{
    lf_answer_handle(service, LF_ENDPOINT_CHAT, call, reply);
}
