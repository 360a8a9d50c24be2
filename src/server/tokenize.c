// SPDX-License-Identifier: Apache-2.0
//
// POST /tokenize and /detokenize: the model's own view of a text or a conversation, and the way back.
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/answer.h"

typedef struct tokenize_fields {
    const char *model;
    const json_t *prompt, *messages, *tools, *chat_template_kwargs, *tokens;
    bool add_special_tokens, return_token_strs, add_generation_prompt, continue_final_message, skip_special_tokens;
} tokenize_fields;

enum { EVERY = ~0 };
#define ROW(field, kind)                                                                                               \
    {                                                                                                                  \
#field, LF_FIELD_##kind, (unsigned)EVERY, offsetof(tokenize_fields, field)                                     \
    }
static const lf_field field_rows[] = {
    ROW(model, STRING),
    ROW(prompt, ANY),
    ROW(messages, LIST),
    ROW(tools, LIST),
    ROW(tokens, LIST),
    ROW(chat_template_kwargs, OBJECT),
    ROW(add_special_tokens, BOOL),
    ROW(return_token_strs, BOOL),
    ROW(add_generation_prompt, BOOL),
    ROW(continue_final_message, BOOL),
    ROW(skip_special_tokens, BOOL),
};
#undef ROW

static lf_status read_fields(const lf_service *service, const lf_call *call, json_t **body, tokenize_fields *fields,
                             lf_refusal *refusal)
{
    lf_status status = lf_body_parse(body, call->body, call->body_length, refusal);
    if (status) return status;
    lf_problems problems = {0};
    lf_fields_read(field_rows, LF_ARRAY_LENGTH(field_rows), (unsigned)EVERY, *body, "body", fields, &problems);
    status = lf_problems_refuse(&problems, refusal);
    return status ? status : lf_model_name_check(fields->model, &service->limits, refusal);
}

static lf_status encode_request(const lf_service *service, const tokenize_fields *fields, json_t *body, lf_ids *ids,
                                lf_refusal *refusal)
{
    const lf_session *session = service->session;
    if (json_is_string(fields->prompt)) {
        return lf_text_encode(ids, session, json_string_value(fields->prompt), json_string_length(fields->prompt),
                              fields->add_special_tokens, refusal);
    }
    if (!fields->messages) {
        return lf_refuse(refusal, 400, LF_REFUSAL_FORM, "body.prompt",
                         "either a string `prompt` or a list of `messages` is needed");
    }
    lf_ask ask = {.endpoint = LF_ENDPOINT_CHAT,
                  .model = fields->model,
                  .messages = fields->messages,
                  .tools = fields->tools,
                  .chat_template_kwargs = fields->chat_template_kwargs,
                  .add_generation_prompt = fields->add_generation_prompt && !fields->continue_final_message,
                  .continue_final_message = fields->continue_final_message};
    lf_buf text = LF_BUF_INIT;
    lf_status status = lf_chat_render(&text, session, &ask, refusal);
    bool is_said = json_object_get(body, "add_special_tokens") != NULL; // a template writes its own special tokens
    if (!status) {
        status = lf_text_encode(ids, session, lf_buf_text(&text), text.length, is_said && fields->add_special_tokens,
                                refusal);
    }
    lf_buf_fini(&text);
    return status;
}

static json_t *token_strings(const lf_session *session, const lf_ids *ids)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ids->count; i++) {
        lf_token_info info = {.content = ""};
        lf_tokenizer_token(session->tokenizer, ids->data[i], &info);
        lf_json_append(&list, lf_json_text(info.content, info.content_length));
    }
    return list;
}

void lf_handle_tokenize(lf_service *service, const lf_call *call, lf_reply *reply)
{
    tokenize_fields fields = {.add_special_tokens = true, .add_generation_prompt = true};
    json_t *body = NULL;
    lf_ids ids = LF_IDS_INIT;
    lf_refusal refusal;
    lf_status status = read_fields(service, call, &body, &fields, &refusal);
    if (!status) status = encode_request(service, &fields, body, &ids, &refusal);
    if (status) {
        lf_reply_refusal(reply, &refusal);
    } else {
        json_t *tokens = lf_token_ids_json(ids.data, ids.count);
        lf_reply_json(reply, 200,
                      json_pack("{s:I, s:I, s:o, s:o}", "count", (json_int_t)ids.count, "max_model_len",
                                (json_int_t)service->limits.max_model_len, "tokens", tokens, "token_strs",
                                fields.return_token_strs ? token_strings(service->session, &ids) : json_null()));
    }
    lf_ids_fini(&ids);
    json_decref(body);
}

static lf_status decode_request(const lf_service *service, const tokenize_fields *fields, lf_buf *text,
                                lf_refusal *refusal)
{
    lf_problems problems = {0};
    lf_ids ids = LF_IDS_INIT;
    lf_error problem = {0};
    lf_status status = LF_OK;
    if (!fields->tokens) lf_problem_add(&problems, "body.tokens", "the field is missing");
    if (!lf_ids_reserve(&ids, json_array_size(fields->tokens))) status = lf_refuse_no_memory(refusal);
    for (size_t i = 0; i < json_array_size(fields->tokens) && !status; i++) {
        int64_t id;
        if (!lf_field_int(json_array_get(fields->tokens, i), "body.tokens", &id, &problems)) continue;
        if (id < 0 || id >= service->session->vocab_size) {
            status = lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                               "token id %lld is outside the vocabulary of %lld tokens", (long long)id,
                               (long long)service->session->vocab_size);
            break;
        }
        ids.data[ids.count++] = (int32_t)id;
    }
    if (!status) status = lf_problems_refuse(&problems, refusal);
    if (!status && lf_tokenizer_decode(service->session->tokenizer, ids.data, ids.count, fields->skip_special_tokens,
                                       text, &problem)) {
        status = lf_refuse_error(refusal, &problem);
    }
    lf_ids_fini(&ids);
    return status;
}

void lf_handle_detokenize(lf_service *service, const lf_call *call, lf_reply *reply)
{
    tokenize_fields fields = {0};
    json_t *body = NULL;
    lf_buf text = LF_BUF_INIT;
    lf_refusal refusal;
    lf_status status = read_fields(service, call, &body, &fields, &refusal);
    if (!status) status = decode_request(service, &fields, &text, &refusal);
    if (status)
        lf_reply_refusal(reply, &refusal);
    else
        lf_reply_json(reply, 200, json_pack("{s:o}", "prompt", lf_json_text(lf_buf_text(&text), text.length)));
    lf_buf_fini(&text);
    json_decref(body);
}
