// SPDX-License-Identifier: Apache-2.0
//
// Building prompts. The message for an over-long prompt is the one that clients of vLLM look for word for word.
#include "server/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

void lf_prompts_fini(lf_prompts *prompts)
{
    for (size_t i = 0; i < prompts->count; i++) {
        lf_ids_fini(&prompts->items[i].ids);
        lf_buf_fini(&prompts->items[i].text);
    }
    free(prompts->items);
    *prompts = (lf_prompts){0};
}

lf_status lf_text_encode(lf_ids *out, const lf_session *session, const char *text, size_t length,
                         bool add_special_tokens, lf_refusal *refusal)
{
    lf_error problem = {0};
    unsigned flags = LF_ENCODE_PARSE_SPECIAL | (add_special_tokens ? LF_ENCODE_ADD_SPECIAL : 0u);
    if (lf_tokenizer_encode(session->tokenizer, text, length, flags, out, &problem))
        return lf_refuse_error(refusal, &problem);
    return LF_OK;
}

// Cuts the front of a prompt off when the client asked for it, then demands that it fits.
static lf_status check_length(lf_prompt *prompt, const lf_session *session, const lf_ask *ask, lf_refusal *refusal)
{
    int64_t max = session->info.max_model_len;
    if (ask->truncate_prompt_tokens.is_set) {
        int64_t keep = ask->truncate_prompt_tokens.value < 0 ? max - 1 : ask->truncate_prompt_tokens.value;
        if ((int64_t)prompt->ids.count > keep) {
            size_t drop = prompt->ids.count - (size_t)keep;
            memmove(prompt->ids.data, prompt->ids.data + drop, (size_t)keep * sizeof *prompt->ids.data);
            prompt->ids.count = (size_t)keep;
        }
    }
    size_t n = prompt->ids.count;
    if (n == 0) return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "prompt", "the prompt is empty: it has no tokens");
    bool is_evaluated_only = ask->sampling.max_tokens == 0;
    if ((int64_t)n < max || ((int64_t)n == max && is_evaluated_only)) return LF_OK;
    return lf_refuse(
        refusal, 400, LF_REFUSAL_VALUE, "input_tokens",
        "This model's maximum context length is %lld tokens. However, your prompt contains %zu input tokens, which %s. "
        "Please reduce the length of the input prompt. (parameter=input_tokens, value=%zu)",
        (long long)max, n,
        (int64_t)n == max ? "leaves no room for output tokens" : "exceeds this limit even without any output tokens",
        n);
}

static lf_status from_text(lf_prompt *prompt, const lf_session *session, const lf_ask *ask, const json_t *text,
                           lf_refusal *refusal)
{
    const char *bytes = json_string_value(text);
    size_t length = json_string_length(text);
    if (length == 0)
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "prompt", "a prompt is needed, and it must not be empty");
    lf_status status = lf_text_encode(&prompt->ids, session, bytes, length, ask->add_special_tokens, refusal);
    if (status) return status;
    if (ask->echo) lf_buf_append(&prompt->text, bytes, length);
    return lf_buf_failed(&prompt->text) ? lf_refuse_no_memory(refusal) : LF_OK;
}

static lf_status from_ids(lf_prompt *prompt, const lf_session *session, const lf_ask *ask, const json_t *ids,
                          const char *location, lf_refusal *refusal)
{
    size_t n = json_array_size(ids);
    if (!lf_ids_reserve(&prompt->ids, n)) return lf_refuse_no_memory(refusal);
    lf_problems problems = {0};
    for (size_t i = 0; i < n; i++) {
        char place[96];
        int64_t id;
        snprintf(place, sizeof place, "%s.%zu", location, i);
        const json_t *item = json_array_get(ids, i);
        if (json_is_boolean(item) || !lf_field_int(item, place, &id, &problems)) {
            if (json_is_boolean(item)) lf_problem_add(&problems, place, "expected a token id");
            continue;
        }
        if (id < 0) {
            lf_problem_add(&problems, place, "a token id must be at least 0, got %lld", (long long)id);
        } else if (id >= session->vocab_size) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                             "token id %lld is outside the vocabulary of %lld tokens", (long long)id,
                             (long long)session->vocab_size);
        } else {
            prompt->ids.data[prompt->ids.count++] = (int32_t)id;
        }
    }
    lf_status status = lf_problems_refuse(&problems, refusal);
    lf_error problem = {0};
    if (!status && ask->echo &&
        lf_tokenizer_decode(session->tokenizer, prompt->ids.data, prompt->ids.count, false, &prompt->text, &problem)) {
        return lf_refuse_error(refusal, &problem);
    }
    return status;
}

// One prompt of a list of prompts.
static lf_status from_item(lf_prompt *prompt, const lf_session *session, const lf_ask *ask, size_t i,
                           lf_refusal *refusal)
{
    const json_t *item = json_array_get(ask->prompt, i);
    char location[48];
    snprintf(location, sizeof location, "body.prompt.%zu", i);
    if (json_is_string(item)) return from_text(prompt, session, ask, item, refusal);
    if (json_is_array(item)) return from_ids(prompt, session, ask, item, location, refusal);
    lf_problems problems = {0};
    lf_problem_add(&problems, location, "expected a string or a list of token ids");
    return lf_problems_refuse(&problems, refusal);
}

static lf_status completion_prompts(lf_prompts *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal)
{
    const json_t *prompt = ask->prompt;
    if (!prompt)
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "prompt", "a prompt is needed, and it must not be empty");
    bool is_list = json_is_array(prompt);
    if (!is_list && !json_is_string(prompt)) {
        return lf_refuse(refusal, 400, LF_REFUSAL_FORM, "body.prompt",
                         "the prompt must be a string, a list of strings, a list of token ids or a list of such lists");
    }
    if (is_list && json_array_size(prompt) == 0) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL, "at least one prompt is needed");
    }
    const json_t *first = is_list ? json_array_get(prompt, 0) : NULL;
    bool is_many = is_list && (json_is_string(first) || json_is_array(first));
    size_t n = is_many ? json_array_size(prompt) : 1;
    if (n * (size_t)ask->n > LF_REQUEST_MAX_SEQUENCES) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "prompt",
                         "%zu prompts times n=%lld are more than the %d sequences of a request", n, (long long)ask->n,
                         LF_REQUEST_MAX_SEQUENCES);
    }
    out->items = calloc(n, sizeof *out->items);
    if (!out->items) return lf_refuse_no_memory(refusal);
    out->count = n;
    if (!is_list) return from_text(&out->items[0], session, ask, prompt, refusal);
    if (!is_many) return from_ids(&out->items[0], session, ask, prompt, "body.prompt", refusal);
    for (size_t i = 0; i < n; i++) {
        lf_status status = from_item(&out->items[i], session, ask, i, refusal);
        if (status) return status;
    }
    return LF_OK;
}

lf_status lf_chat_render(lf_buf *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal)
{
    if (json_array_size(ask->messages) == 0) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "the conversation is empty: at least one message is needed");
    }
    if (!session->chat) return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL, "%s", session->chat_missing);
    json_t *messages = NULL, *extra = NULL;
    lf_error problem = {0};
    lf_status status = lf_messages_prepare(&messages, ask->messages, lf_chat_template_content(session->chat),
                                           ask->model ? ask->model : "this model", refusal);
    if (status) return status;
    extra = ask->chat_template_kwargs ? lf_json_copy(ask->chat_template_kwargs) : json_object();
    if (!extra ||
        (ask->reasoning_effort && json_object_set_new(extra, "reasoning_effort", json_string(ask->reasoning_effort)))) {
        status = lf_refuse_no_memory(refusal);
        goto out;
    }
    lf_chat_render_args args = {.messages = messages,
                                .tools = ask->tools,
                                .documents = ask->documents,
                                .add_generation_prompt = ask->add_generation_prompt,
                                .continue_final_message = ask->continue_final_message,
                                .extra = extra};
    if (lf_chat_template_render(session->chat, &args, out, &problem)) status = lf_refuse_error(refusal, &problem);
out:
    json_decref(messages);
    json_decref(extra);
    return status;
}

static lf_status chat_prompt(lf_prompts *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal)
{
    lf_buf text = LF_BUF_INIT;
    lf_status status = lf_chat_render(&text, session, ask, refusal);
    if (status) goto out;
    out->items = calloc(1, sizeof *out->items);
    if (!out->items) {
        status = lf_refuse_no_memory(refusal);
        goto out;
    }
    out->count = 1;
    status =
        lf_text_encode(&out->items[0].ids, session, lf_buf_text(&text), text.length, ask->add_special_tokens, refusal);
out:
    lf_buf_fini(&text);
    return status;
}

lf_status lf_prompts_build(lf_prompts *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal)
{
    *out = (lf_prompts){0};
    lf_status status = ask->endpoint == LF_ENDPOINT_CHAT ? chat_prompt(out, session, ask, refusal)
                                                         : completion_prompts(out, session, ask, refusal);
    for (size_t i = 0; i < out->count && !status; i++) status = check_length(&out->items[i], session, ask, refusal);
    if (status) lf_prompts_fini(out);
    return status;
}
