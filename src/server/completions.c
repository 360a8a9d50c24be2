// SPDX-License-Identifier: Apache-2.0
//
// POST /v1/completions: the answer's shape, whole and streamed. With `echo` the prompt's text, and with logprobs its
// tokens, stand in front of each choice.
#include <string.h>

#include "base/json.h"
#include "landfall.h"
#include "server/answer.h"

static json_t *text_json(const lf_answer *answer, const lf_choice *choice, bool with_prompt)
{
    const lf_buf *text = &choice->chunk.text;
    if (!with_prompt) return lf_json_text(lf_buf_text(text), text->length);
    lf_buf joined = LF_BUF_INIT;
    lf_buf_append(&joined, lf_buf_text(&choice->prompt->text), choice->prompt->text.length);
    lf_buf_append(&joined, lf_buf_text(text), text->length);
    json_t *string = lf_buf_failed(&joined) ? NULL : lf_json_text(lf_buf_text(&joined), joined.length);
    lf_buf_fini(&joined);
    return string;
}

static json_t *logprobs_json(const lf_answer *answer, lf_choice *choice, bool with_prompt)
{
    return answer->ask.has_logprobs ? lf_legacy_logprobs_json(answer, choice, with_prompt) : json_null();
}

static json_t *prompt_ids_json(const lf_answer *answer, const lf_choice *choice)
{
    const lf_ids *ids = &choice->prompt->ids;
    return answer->ask.return_token_ids ? lf_token_ids_json(ids->data, ids->count) : json_null();
}

static json_t *token_ids_json(const lf_answer *answer, const lf_choice *choice)
{
    return answer->ask.return_token_ids ? lf_token_ids_json(choice->chunk.tokens, choice->chunk.n_token) : json_null();
}

static json_t *whole_choice(const lf_answer *answer, lf_choice *choice)
{
    bool with_prompt = answer->ask.echo;
    json_t *text = text_json(answer, choice, with_prompt);
    json_t *logprobs = logprobs_json(answer, choice, with_prompt);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "index", (json_int_t)choice->index, "text", text,
                     "logprobs", logprobs, "finish_reason", lf_finish_reason_json(choice), "stop_reason",
                     lf_stop_reason_json(answer, choice), "token_ids", token_ids_json(answer, choice),
                     "prompt_logprobs", lf_prompt_logprobs_json(answer, choice), "prompt_token_ids",
                     prompt_ids_json(answer, choice));
}

static json_t *whole(lf_answer *answer)
{
    json_t *choices = json_array();
    for (size_t i = 0; i < answer->n_choice; i++) lf_json_append(&choices, whole_choice(answer, &answer->choices[i]));
    if (!choices) return NULL;
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:n, s:o, s:o}", "id", answer->id, "object", "text_completion",
                     "created", (json_int_t)answer->created, "model", answer->service->limits.model_names[0], "choices",
                     choices, "service_tier", "system_fingerprint", json_sprintf("landfall-%s", lf_version()), "usage",
                     lf_usage_json(answer, NULL, false));
}

static json_t *piece(lf_answer *answer, lf_choice *choice, bool *is_empty)
{
    const lf_chunk *chunk = &choice->chunk;
    bool shows_tokens = answer->ask.has_logprobs || answer->ask.return_token_ids;
    bool has_tokens = chunk->n_token > 0 && (shows_tokens || (answer->ask.echo && !choice->is_begun));
    *is_empty = chunk->text.length == 0 && !chunk->is_done && !has_tokens;
    if (*is_empty) return NULL;
    bool with_prompt = answer->ask.echo && !choice->is_begun;
    json_t *text = text_json(answer, choice, with_prompt);
    json_t *logprobs = logprobs_json(answer, choice, with_prompt);
    json_t *prompt_ids = choice->is_begun ? json_null() : prompt_ids_json(answer, choice);
    choice->is_begun = true;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "index", (json_int_t)choice->index, "text", text,
                     "logprobs", logprobs, "finish_reason", lf_finish_reason_json(choice), "stop_reason",
                     lf_stop_reason_json(answer, choice), "prompt_token_ids", prompt_ids, "token_ids",
                     token_ids_json(answer, choice));
}

const lf_writer lf_completion_writer = {
    .whole = whole,
    .piece = piece,
    .chunk_object = "text_completion",
};

void lf_handle_completions(lf_service *service, const lf_call *call, lf_reply *reply)
{
    lf_answer_handle(service, LF_ENDPOINT_COMPLETIONS, call, reply);
}
