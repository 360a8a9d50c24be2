// SPDX-License-Identifier: Apache-2.0
//
// The messages of a chat request. Roles are free, as in vLLM: the template decides. Text parts are joined with newlines
// for templates that want a string; pictures, sound and video are refused, because the model has no eyes.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/prompt.h"

typedef struct message_context {
    lf_chat_content content;
    const char *model_name;
    lf_problems problems;
    lf_refusal *refusal;
} message_context;

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++) {
        if (strcmp(name, *names) == 0) return true;
    }
    return false;
}

// The text of one content part, BORROWED; NULL with a problem or a refusal (status) when it has none.
static lf_status part_text(message_context *context, const json_t *part, const char *place, const json_t **text)
{
    static const char *const text_types[] = {"text", "input_text", "output_text", "refusal", "thinking", NULL};
    static const char *const media_types[] = {"image_url",   "input_image",  "image_pil", "image_embeds", "audio_url",
                                              "input_audio", "audio_embeds", "video_url", "file",         NULL};
    *text = NULL;
    if (json_is_string(part)) {
        *text = part;
        return LF_OK;
    }
    const json_t *type = json_object_get(part, "type");
    const char *name = json_string_value(type);
    if (!json_is_object(part) || (type && !name)) {
        lf_problem_add(&context->problems, place, "expected a content part: an object with a \"type\"");
        return LF_OK;
    }
    if (name ? is_one_of(name, media_types) : json_object_get(part, "image_url") != NULL) {
        return lf_refuse(context->refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "%s is not a multimodal model: it cannot read a content part of type '%.40s'",
                         context->model_name, name ? name : "image_url");
    }
    if (name && !is_one_of(name, text_types)) {
        return lf_refuse(context->refusal, 400, LF_REFUSAL_VALUE, NULL, "unknown type of content part: '%.60s'", name);
    }
    const char *key = name && (strcmp(name, "refusal") == 0 || strcmp(name, "thinking") == 0) ? name : "text";
    *text = json_object_get(part, key);
    if (!json_is_string(*text)) {
        *text = NULL;
        lf_problem_add(&context->problems, place, "expected a string \"%s\" in the content part", key);
    }
    return LF_OK;
}

static lf_status parts_to_string(message_context *context, const json_t *parts, const char *place, json_t **out)
{
    lf_buf joined = LF_BUF_INIT;
    lf_status status = LF_OK;
    for (size_t i = 0; i < json_array_size(parts) && !status; i++) {
        const json_t *text;
        char where[LF_REFUSAL_PARAM_BYTES];
        snprintf(where, sizeof where, "%s.%zu", place, i);
        status = part_text(context, json_array_get(parts, i), where, &text);
        if (!text) continue;
        if (i > 0) lf_buf_putc(&joined, '\n');
        lf_buf_append(&joined, json_string_value(text), json_string_length(text));
    }
    if (!status) *out = lf_buf_failed(&joined) ? NULL : json_stringn(lf_buf_text(&joined), joined.length);
    if (!status && !*out) status = lf_refuse_no_memory(context->refusal);
    lf_buf_fini(&joined);
    return status;
}

static json_t *text_part(const json_t *text) { return json_pack("{s:s, s:O}", "type", "text", "text", text); }

static lf_status parts_to_parts(message_context *context, const json_t *content, const char *place, json_t **out)
{
    json_t *parts = json_array();
    lf_status status = parts ? LF_OK : lf_refuse_no_memory(context->refusal);
    if (!status && json_is_string(content) && json_array_append_new(parts, text_part(content))) {
        status = lf_refuse_no_memory(context->refusal);
    }
    for (size_t i = 0; i < json_array_size(content) && !status; i++) {
        const json_t *text;
        char where[LF_REFUSAL_PARAM_BYTES];
        snprintf(where, sizeof where, "%s.%zu", place, i);
        status = part_text(context, json_array_get(content, i), where, &text);
        if (text && json_array_append_new(parts, text_part(text))) status = lf_refuse_no_memory(context->refusal);
    }
    if (status)
        json_decref(parts);
    else
        *out = parts;
    return status;
}

// The content of a message in the template's form; *out is a new reference, NULL when the message has none.
static lf_status prepare_content(message_context *context, const json_t *message, const char *place, json_t **out)
{
    const json_t *content = json_object_get(message, "content");
    const char *role = json_string_value(json_object_get(message, "role"));
    *out = NULL;
    if (!content || json_is_null(content)) {
        // an assistant's turn may consist of tool calls or reasoning alone
        bool is_assistant = role && strcmp(role, "assistant") == 0;
        if (!is_assistant) lf_problem_add(&context->problems, place, "the content is missing");
        return LF_OK;
    }
    if (!json_is_string(content) && !json_is_array(content)) {
        lf_problem_add(&context->problems, place, "expected a string or a list of content parts");
        return LF_OK;
    }
    if (context->content == LF_CHAT_CONTENT_PARTS) return parts_to_parts(context, content, place, out);
    if (json_is_array(content)) return parts_to_string(context, content, place, out);
    *out = json_incref((json_t *)content);
    return LF_OK;
}

// Templates expect the arguments of a tool call as an object; the API carries them as a JSON text.
static lf_status prepare_tool_calls(message_context *context, json_t *message, const char *place)
{
    json_t *calls = json_object_get(message, "tool_calls");
    if (!calls || json_is_null(calls)) return LF_OK;
    if (!json_is_array(calls)) {
        lf_problem_add(&context->problems, place, "expected tool_calls to be a list");
        return LF_OK;
    }
    json_t *copy = lf_json_deep_copy(calls);
    if (!copy || json_object_set_new(message, "tool_calls", copy)) return lf_refuse_no_memory(context->refusal);
    size_t i;
    json_t *call;
    json_array_foreach(copy, i, call)
    {
        json_t *function = json_object_get(call, "function");
        const json_t *arguments = json_object_get(function, "arguments");
        if (!json_is_string(arguments)) continue;
        json_error_t problem;
        bool is_no_memory = false, is_empty = json_string_length(arguments) == 0;
        json_t *parsed = is_empty ? json_object()
                                  : lf_json_loadb(json_string_value(arguments), json_string_length(arguments),
                                                  JSON_ALLOW_NUL, &problem, &is_no_memory);
        if (is_no_memory || (!parsed && is_empty)) return lf_refuse_no_memory(context->refusal);
        if (!parsed) {
            lf_problem_add(&context->problems, place, "the arguments of tool call %zu are not valid JSON", i);
        } else if (json_object_set_new(function, "arguments", parsed)) {
            return lf_refuse_no_memory(context->refusal);
        }
    }
    return LF_OK;
}

static lf_status prepare_message(message_context *context, const json_t *message, size_t i, json_t **out)
{
    char place[48], content_place[64];
    snprintf(place, sizeof place, "body.messages.%zu", i);
    snprintf(content_place, sizeof content_place, "body.messages.%zu.content", i);
    *out = NULL;
    if (!json_is_object(message)) {
        lf_problem_add(&context->problems, place, "expected an object with \"role\" and \"content\"");
        return LF_OK;
    }
    if (!json_is_string(json_object_get(message, "role"))) {
        lf_problem_add(&context->problems, place, "expected a string \"role\"");
        return LF_OK;
    }
    json_t *content = NULL;
    lf_status status = prepare_content(context, message, content_place, &content);
    json_t *copy = status ? NULL : lf_json_copy(message);
    if (!status && !copy) status = lf_refuse_no_memory(context->refusal);
    if (!status && content && json_object_set(copy, "content", content)) status = lf_refuse_no_memory(context->refusal);
    if (!status) status = prepare_tool_calls(context, copy, place);
    json_decref(content);
    if (status)
        json_decref(copy);
    else
        *out = copy;
    return status;
}

lf_status lf_messages_prepare(json_t **out, const json_t *messages, lf_chat_content content, const char *model_name,
                              lf_refusal *refusal)
{
    message_context context = {.content = content, .model_name = model_name, .refusal = refusal};
    json_t *prepared = json_array();
    lf_status status = prepared ? LF_OK : lf_refuse_no_memory(refusal);
    for (size_t i = 0; i < json_array_size(messages) && !status; i++) {
        json_t *message;
        status = prepare_message(&context, json_array_get(messages, i), i, &message);
        if (message && json_array_append_new(prepared, message)) status = lf_refuse_no_memory(refusal);
    }
    if (!status) status = lf_problems_refuse(&context.problems, refusal);
    if (status)
        json_decref(prepared);
    else
        *out = prepared;
    return status;
}
