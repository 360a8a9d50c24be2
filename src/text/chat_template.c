// SPDX-License-Identifier: Apache-2.0
//
// Chat templates over the Jinja interpreter. The caller's JSON is never changed: where a message gets an alias or a
// mark, it is a copy, as shallow as the change allows.
//
// A final message is continued by rendering it with a mark at its end and cutting the text there: only the template
// knows what it puts behind a message.
#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "text/chat_content.h"

struct lf_chat_template {
    lf_jinja_template *compiled; // OWNED
    json_t *special_tokens;      // OWNED object
    lf_chat_content content;
    bool reads_content; // the word stands somewhere in the source
};

// Ends with a blank, to see whether the template strips what stands before it.
static const char continue_mark[] = "CONTINUE_FINAL_MESSAGE_TAG ";

static lf_status set_new(json_t *object, const char *key, json_t *value, lf_error *err)
{
    return json_object_set_new(object, key, value) ? lf_error_no_memory(err, 0) : LF_OK;
}

static lf_status set(json_t *object, const char *key, const json_t *value, lf_error *err)
{
    // jansson counts references in the value; nothing else of it changes.
    return set_new(object, key, value ? json_incref((json_t *)(uintptr_t)value) : json_null(), err);
}

// --- making --------------------------------------------------------------------------------------

lf_status lf_chat_template_new(lf_chat_template **out, const char *source, size_t length, const json_t *special_tokens,
                               lf_error *err)
{
    lf_status status = LF_ERR_NO_MEMORY;
    lf_chat_template *chat = calloc(1, sizeof *chat);
    if (!chat) return lf_error_no_memory(err, sizeof *chat);
    chat->special_tokens = json_object();
    if (!chat->special_tokens ||
        (special_tokens && json_object_update(chat->special_tokens, (json_t *)(uintptr_t)special_tokens))) {
        lf_error_no_memory(err, 0);
        goto out;
    }
    status = lf_jinja_compile(&chat->compiled, source, length, err);
    if (status) {
        lf_error_at(err, "chat template");
        goto out;
    }
    chat->content = lf__chat_iterates_content(chat->compiled) ? LF_CHAT_CONTENT_PARTS : LF_CHAT_CONTENT_STRING;
    chat->reads_content = memmem(source, length, "content", strlen("content"));
    *out = chat;
    return LF_OK;
out:
    lf_chat_template_free(chat);
    return status;
}

void lf_chat_template_free(lf_chat_template *chat)
{
    if (!chat) return;
    lf_jinja_free(chat->compiled);
    json_decref(chat->special_tokens);
    free(chat);
}

lf_chat_content lf_chat_template_content(const lf_chat_template *chat) { return chat->content; }

// A token is a string, or an object that describes an added token.
static const json_t *token_text(const json_t *token)
{
    if (json_is_object(token)) token = json_object_get(token, "content");
    return json_is_string(token) ? token : NULL;
}

static lf_status read_special_tokens(json_t *tokens, const json_t *config, lf_error *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        const json_t *text = token_text(json_object_get(config, names[i]));
        if (!text) continue;
        lf_status status = set(tokens, names[i], text, err);
        if (status) return status;
    }
    const json_t *more = json_object_get(config, "additional_special_tokens");
    if (!json_is_array(more) || json_array_size(more) == 0) return LF_OK;
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(more); i++) {
        const json_t *text = token_text(json_array_get(more, i));
        if (text && json_array_append(list, (json_t *)(uintptr_t)text)) {
            json_decref(list);
            return lf_error_no_memory(err, 0);
        }
    }
    return set_new(tokens, "additional_special_tokens", list, err);
}

static const char *find_source(const json_t *config, const char *name)
{
    const json_t *templates = json_object_get(config, "chat_template");
    if (json_is_string(templates)) return json_string_value(templates);
    if (!name) name = "default";
    for (size_t i = 0; i < json_array_size(templates); i++) {
        const json_t *entry = json_array_get(templates, i);
        const char *entry_name = json_string_value(json_object_get(entry, "name"));
        if (entry_name && strcmp(entry_name, name) == 0) return json_string_value(json_object_get(entry, "template"));
    }
    return NULL;
}

lf_status lf_chat_template_from_config(lf_chat_template **out, const json_t *tokenizer_config, const char *source,
                                       const char *name, lf_error *err)
{
    if (!source) source = find_source(tokenizer_config, name);
    if (!source) return lf_error_set(err, LF_ERR_NOT_FOUND, "the tokenizer has no chat template");
    json_t *tokens = json_object();
    lf_status status = tokens ? read_special_tokens(tokens, tokenizer_config, err) : lf_error_no_memory(err, 0);
    if (!status) status = lf_chat_template_new(out, source, strlen(source), tokens, err);
    json_decref(tokens);
    return status;
}

// --- messages ------------------------------------------------------------------------------------

// The names under which a message's reasoning travels; templates read the first, some the second.
static const char *const reasoning_fields[] = {"reasoning_content", "thinking", "reasoning"};

static lf_status alias_reasoning(json_t *messages, size_t i, lf_error *err)
{
    json_t *message = json_array_get(messages, i), *reasoning = NULL;
    for (size_t k = 0; k < LF_ARRAY_LENGTH(reasoning_fields) && (!reasoning || json_is_null(reasoning)); k++)
        reasoning = json_object_get(message, reasoning_fields[k]);
    if (!reasoning || json_is_null(reasoning)) return LF_OK;
    // As a Python dict display {"thinking": r, **message, "reasoning_content": r}: the order of keys can be seen.
    json_t *aliased = json_object();
    if (!aliased) return lf_error_no_memory(err, 0);
    lf_status status = set(aliased, "thinking", reasoning, err);
    if (!status && json_object_update(aliased, message)) status = lf_error_no_memory(err, 0);
    if (!status) status = set(aliased, "reasoning_content", reasoning, err);
    if (!status && json_array_set(messages, i, aliased)) status = lf_error_no_memory(err, 0);
    json_decref(aliased);
    return status;
}

static lf_status copy_messages(json_t **out, const json_t *messages, lf_error *err)
{
    if (!json_is_array(messages)) return lf_error_set(err, LF_ERR_INVALID, "messages is not an array");
    json_t *copy = *out = lf_json_copy(messages);
    if (!copy) return lf_error_no_memory(err, 0);
    for (size_t i = 0; i < json_array_size(copy); i++) {
        if (!json_is_object(json_array_get(copy, i)))
            return lf_error_set(err, LF_ERR_INVALID, "message %zu is not an object", i);
        lf_status status = alias_reasoning(copy, i, err);
        if (status) return status;
    }
    return LF_OK;
}

// --- continuing ----------------------------------------------------------------------------------

// object[key] += mark; *text gets the unmarked text, BORROWED from `original`.
static lf_status mark_text(json_t *object, const char *key, const json_t *original, const char **text, lf_error *err)
{
    lf_buf marked = LF_BUF_INIT;
    *text = json_string_value(original);
    lf_buf_append(&marked, *text, json_string_length(original));
    lf_buf_puts(&marked, continue_mark);
    lf_status status = lf_buf_failed(&marked) ? lf_error_no_memory(err, 0)
                                              : set_new(object, key, json_stringn(marked.data, marked.length), err);
    lf_buf_fini(&marked);
    return status;
}

// Marks the last part that has text.
static lf_status mark_parts(json_t *message, const json_t *parts, const char **text, lf_error *err)
{
    for (size_t i = json_array_size(parts); i-- > 0;) {
        const json_t *part = json_array_get(parts, i);
        const json_t *original = json_object_get(part, "text");
        if (!json_is_string(original)) continue;
        json_t *copy = lf_json_copy(parts), *marked = lf_json_copy(part);
        lf_status status = !copy || !marked || json_array_set(copy, i, marked) ? lf_error_no_memory(err, 0) : LF_OK;
        if (!status) status = mark_text(marked, "text", original, text, err);
        if (!status) status = set(message, "content", copy, err);
        json_decref(marked);
        json_decref(copy);
        return status;
    }
    return lf_error_set(err, LF_ERR_INVALID,
                        "continue_final_message is set but the final message has no text to continue");
}

static lf_status mark_final(const lf_chat_template *chat, json_t *messages, const char **text, lf_error *err)
{
    size_t n = json_array_size(messages);
    if (n == 0) return lf_error_set(err, LF_ERR_INVALID, "continue_final_message is set but the conversation is empty");
    if (!chat->reads_content)
        return lf_error_set(err, LF_ERR_INVALID, "continue_final_message is set but the template never reads content");
    json_t *message = lf_json_copy(json_array_get(messages, n - 1));
    if (!message || json_array_set_new(messages, n - 1, message)) return lf_error_no_memory(err, 0);
    const json_t *content = json_object_get(message, "content");
    if (json_is_array(content)) return mark_parts(message, content, text, err);
    if (json_is_string(content)) return mark_text(message, "content", content, text, err);
    return lf_error_set(err, LF_ERR_INVALID, "continue_final_message is set but the final message has no content");
}

static bool is_ascii_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F); }

static const char *find_last(const char *data, size_t bytes, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = bytes + 1; i-- > n;)
        if (memcmp(data + i - n, part, n) == 0) return data + i - n;
    return NULL;
}

// Cuts the text that was appended from `start` on at the mark.
static lf_status cut_at_mark(lf_buf *out, size_t start, const char *text, lf_error *err)
{
    char stripped[sizeof continue_mark];
    memcpy(stripped, continue_mark, sizeof stripped);
    stripped[strlen(stripped) - 1] = '\0'; // without the blank
    size_t text_bytes = strlen(text);
    while (text_bytes && is_ascii_space(text[text_bytes - 1])) text_bytes--;
    while (text_bytes && is_ascii_space(*text)) text++, text_bytes--;

    const char *data = lf_buf_text(out) + start;
    size_t bytes = out->length - start;
    const char *mark = find_last(data, bytes, stripped);
    if (!mark || (text_bytes && !memmem(data, bytes, text, text_bytes)))
        return lf_error_set(
            err, LF_ERR_INVALID,
            "continue_final_message is set but the template does not render the final message as it is");
    size_t end = (size_t)(mark - data);
    size_t mark_bytes = strlen(continue_mark);
    bool spaces_kept = bytes - end >= mark_bytes && memcmp(mark, continue_mark, mark_bytes) == 0;
    while (!spaces_kept && end && is_ascii_space(data[end - 1])) end--;
    out->length = start + end;
    out->data[out->length] = '\0';
    return LF_OK;
}

// --- rendering -----------------------------------------------------------------------------------

static lf_status add_extra(json_t *context, const json_t *extra, lf_error *err)
{
    static const char *const reserved[] = {"messages", "tools", "documents"};
    const char *key;
    json_t *value;
    if (!extra) return LF_OK;
    if (!json_is_object(extra)) return lf_error_set(err, LF_ERR_INVALID, "chat_template_kwargs is not an object");
    json_object_foreach((json_t *)(uintptr_t)extra, key, value)
    {
        for (size_t i = 0; i < LF_ARRAY_LENGTH(reserved); i++)
            if (strcmp(key, reserved[i]) == 0)
                return lf_error_set(err, LF_ERR_INVALID, "chat_template_kwargs must not contain '%s'", key);
        lf_status status = set(context, key, value, err);
        if (status) return status;
    }
    return LF_OK;
}

static lf_status fill_context(const lf_chat_template *chat, const lf_chat_render_args *args, json_t *context,
                              const json_t *messages, lf_error *err)
{
    lf_status status = json_object_update(context, chat->special_tokens) ? lf_error_no_memory(err, 0) : LF_OK;
    if (!status) status = set(context, "messages", messages, err);
    if (!status) status = set(context, "tools", args->tools, err);
    if (!status) status = set(context, "documents", args->documents, err);
    if (!status) status = set_new(context, "add_generation_prompt", json_boolean(args->add_generation_prompt), err);
    return status ? status : add_extra(context, args->extra, err);
}

lf_status lf_chat_template_render(const lf_chat_template *chat, const lf_chat_render_args *args, lf_buf *out,
                                  lf_error *err)
{
    json_t *messages = NULL, *context = json_object();
    const char *final_text = NULL;
    size_t start = out->length;
    lf_status status = context ? copy_messages(&messages, args->messages, err) : lf_error_no_memory(err, 0);
    if (!status && args->continue_final_message) status = mark_final(chat, messages, &final_text, err);
    if (!status) status = fill_context(chat, args, context, messages, err);
    if (!status) status = lf_jinja_render(chat->compiled, context, args->options, out, err);
    if (!status && args->continue_final_message) status = cut_at_mark(out, start, final_text, err);
    json_decref(messages);
    json_decref(context);
    return status;
}
