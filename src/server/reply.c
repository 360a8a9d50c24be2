// SPDX-License-Identifier: Apache-2.0
//
// Replies and the pieces of JSON that every generation's answer has.
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/answer.h"

static int append_bytes(const char *bytes, size_t length, void *ctx)
{
    lf_buf *buf = ctx;
    lf_buf_append(buf, bytes, length);
    return lf_buf_failed(buf) ? -1 : 0;
}

bool lf_buf_append_json(lf_buf *buf, json_t *root)
{
    // 9 digits carry a float32 exactly
    int failed = root ? json_dump_callback(root, append_bytes, buf, JSON_COMPACT | JSON_REAL_PRECISION(9)) : -1;
    json_decref(root);
    return failed == 0;
}

void lf_reply_json(lf_reply *reply, int http_status, json_t *root)
{
    reply->http_status = http_status;
    reply->content_type = "application/json";
    lf_buf_clear(&reply->body);
    if (lf_buf_append_json(&reply->body, root)) return;
    reply->http_status = 500;
    lf_buf_fini(&reply->body);
    lf_buf_puts(&reply->body, "{\"error\":{\"message\":\"out of memory\",\"type\":\"" LF_REFUSAL_INTERNAL
                              "\",\"param\":null,\"code\":500}}");
}

void lf_reply_refusal(lf_reply *reply, const lf_refusal *refusal)
{
    lf_reply_json(reply, refusal->http_status, lf_refusal_json(refusal));
}

json_t *lf_usage_json(const lf_answer *answer, const lf_choice *only, bool is_chunk)
{
    size_t n_prompt = 0, n_generated = 0;
    if (only) {
        n_prompt = only->prompt->ids.count;
        n_generated = only->n_generated;
    } else {
        for (size_t i = 0; i < answer->prompts.count; i++) n_prompt += answer->prompts.items[i].ids.count;
        for (size_t i = 0; i < answer->n_choice; i++) n_generated += answer->choices[i].n_generated;
    }
    json_t *usage = json_pack("{s:I, s:I, s:I}", "prompt_tokens", (json_int_t)n_prompt, "total_tokens",
                              (json_int_t)(n_prompt + n_generated), "completion_tokens", (json_int_t)n_generated);
    if (!is_chunk) {
        lf_json_put(&usage, "prompt_tokens_details", json_null());
        lf_json_put(&usage, "completion_tokens_details", json_null());
    }
    return usage;
}

json_t *lf_stop_reason_json(const lf_answer *answer, const lf_choice *choice)
{
    const lf_chunk *chunk = &choice->chunk;
    if (!chunk->is_done) return json_null();
    if (chunk->stop_index != LF_STOP_NONE) {
        const lf_stop_string *stop = &answer->ask.stop[chunk->stop_index];
        return json_stringn(stop->text, stop->length);
    }
    return chunk->stop_token >= 0 ? json_integer(chunk->stop_token) : json_null();
}

json_t *lf_finish_reason_json(const lf_choice *choice)
{
    if (!choice->chunk.is_done) return json_null();
    switch (choice->chunk.finish) {
    case LF_FINISH_STOP: return json_string("stop");
    case LF_FINISH_LENGTH: return json_string("length");
    case LF_FINISH_CANCELLED: return json_string("abort");
    case LF_FINISH_ERROR: return json_string("error");
    case LF_FINISH_NONE: break;
    }
    return json_null();
}

json_t *lf_token_ids_json(const int32_t *tokens, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n && list; i++) lf_json_append(&list, json_integer(tokens[i]));
    return list;
}
