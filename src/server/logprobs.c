// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities as JSON, in the three forms that clients know: chat, legacy completions, prompt. Traps: JSON has no
// infinity (clamped to -9999, as vLLM does), and offsets of the legacy form count characters, not bytes.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "server/answer.h"

static json_t *number(float logprob) { return json_real((double)fmaxf(logprob, -9999)); }

// The shown form of a token; false when memory is gone.
static bool token_text(const lf_answer *answer, int32_t token, lf_buf *out)
{
    lf_error ignored = {0};
    lf_buf_clear(out);
    if (answer->ask.return_tokens_as_token_ids) {
        lf_buf_printf(out, "token_id:%d", (int)token);
        return !lf_buf_failed(out);
    }
    return !lf_tokenizer_token_text(answer->service->session->tokenizer, token, out, &ignored) && !lf_buf_failed(out);
}

static json_t *token_string(const lf_answer *answer, int32_t token)
{
    lf_buf text = LF_BUF_INIT;
    json_t *string = token_text(answer, token, &text) ? lf_json_text(lf_buf_text(&text), text.length) : NULL;
    lf_buf_fini(&text);
    return string;
}

// The real bytes of a token: those of an incomplete character too, so that clients can put characters together.
static json_t *token_bytes(const lf_answer *answer, int32_t token)
{
    lf_token_info info;
    json_t *list = json_array();
    if (!lf_tokenizer_token(answer->service->session->tokenizer, token, &info)) return list;
    for (size_t i = 0; i < info.bytes_length; i++) lf_json_append(&list, json_integer((unsigned char)info.bytes[i]));
    return list;
}

static json_t *chat_entry(const lf_answer *answer, int32_t token, float logprob)
{
    return json_pack("{s:o, s:o, s:o}", "token", token_string(answer, token), "logprob", number(logprob), "bytes",
                     token_bytes(answer, token));
}

json_t *lf_chat_logprobs_json(const lf_answer *answer, const lf_choice *choice)
{
    const lf_chunk *chunk = &choice->chunk;
    json_t *content = json_array();
    for (size_t i = 0; i < chunk->n_token && chunk->rows && content; i++) {
        const lf_logprob_row *row = &chunk->rows[i];
        json_t *entry = chat_entry(answer, chunk->tokens[i], row->target_logprob);
        json_t *top = json_array();
        int32_t n = LF_MIN(row->n_top, answer->ask.sampling.logprobs);
        for (int32_t k = 0; k < n && top; k++)
            lf_json_append(&top, chat_entry(answer, row->top_tokens[k], row->top_logprobs[k]));
        lf_json_put(&entry, "top_logprobs", top);
        lf_json_append(&content, entry);
    }
    return json_pack("{s:o}", "content", content);
}

static size_t n_character(const char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

typedef struct legacy_lists {
    json_t *tokens, *logprobs, *top, *offsets;
} legacy_lists;

// top["text of the token"] = logprob. Two ids may look alike; the likelier one was first.
static void put_legacy_top(const lf_answer *answer, json_t **top, int32_t token, float logprob, lf_buf *text)
{
    json_t *value = token_text(answer, token, text) ? number(logprob) : NULL;
    if (value && json_object_get(*top, lf_buf_text(text)))
        json_decref(value);
    else
        lf_json_put(top, lf_buf_text(text), value);
}

// {"text": logprob}: the chosen token first, then the top ones.
static json_t *legacy_top(const lf_answer *answer, int32_t token, const lf_logprob_row *row, lf_buf *text)
{
    json_t *top = json_object();
    put_legacy_top(answer, &top, token, row->target_logprob, text);
    int32_t n = LF_MIN(row->n_top, answer->ask.sampling.logprobs);
    for (int32_t k = 0; k < n; k++) {
        if (row->top_tokens[k] != token) put_legacy_top(answer, &top, row->top_tokens[k], row->top_logprobs[k], text);
    }
    return top;
}

// `row` NULL: the first token of a prompt, of which nothing is known.
static void legacy_token(const lf_answer *answer, lf_choice *choice, legacy_lists *lists, int32_t token,
                         const lf_logprob_row *row)
{
    lf_buf text = LF_BUF_INIT;
    bool has_text = token_text(answer, token, &text);
    lf_json_append(&lists->tokens, has_text ? lf_json_text(lf_buf_text(&text), text.length) : NULL);
    lf_json_append(&lists->offsets, json_integer((json_int_t)choice->text_offset));
    choice->text_offset += n_character(lf_buf_text(&text), text.length);
    lf_json_append(&lists->logprobs, row ? number(row->target_logprob) : json_null());
    lf_json_append(&lists->top, row ? legacy_top(answer, token, row, &text) : json_null());
    lf_buf_fini(&text);
}

json_t *lf_legacy_logprobs_json(const lf_answer *answer, lf_choice *choice, bool with_prompt)
{
    legacy_lists lists = {json_array(), json_array(), json_array(), json_array()};
    if (with_prompt) {
        size_t n_row;
        const lf_logprob_row *rows = lf_generation_prompt_rows(choice->generation, &n_row);
        const lf_ids *ids = &choice->prompt->ids;
        for (size_t i = 0; i < ids->count; i++) {
            legacy_token(answer, choice, &lists, ids->data[i], i > 0 && i <= n_row ? &rows[i - 1] : NULL);
        }
    }
    for (size_t i = 0; i < choice->chunk.n_token && choice->chunk.rows; i++) {
        legacy_token(answer, choice, &lists, choice->chunk.tokens[i], &choice->chunk.rows[i]);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "text_offset", lists.offsets, "token_logprobs", lists.logprobs, "tokens",
                     lists.tokens, "top_logprobs", lists.top);
}

static void prompt_entry(const lf_answer *answer, json_t **position, int32_t token, float logprob, int32_t rank)
{
    char key[16];
    snprintf(key, sizeof key, "%d", (int)token);
    if (json_object_get(*position, key)) return;
    lf_json_put(position, key,
                json_pack("{s:o, s:i, s:o}", "logprob", number(logprob), "rank", (int)rank, "decoded_token",
                          token_string(answer, token)));
}

json_t *lf_prompt_logprobs_json(const lf_answer *answer, const lf_choice *choice)
{
    if (!answer->ask.has_prompt_logprobs) return json_null();
    size_t n_row;
    const lf_logprob_row *rows = lf_generation_prompt_rows(choice->generation, &n_row);
    const lf_ids *ids = &choice->prompt->ids;
    json_t *list = json_array();
    lf_json_append(&list, json_null());
    for (size_t i = 1; i < ids->count && i <= n_row; i++) {
        const lf_logprob_row *row = &rows[i - 1];
        json_t *position = json_object();
        prompt_entry(answer, &position, ids->data[i], row->target_logprob, row->target_rank);
        int32_t n = LF_MIN(row->n_top, answer->ask.sampling.prompt_logprobs);
        for (int32_t k = 0; k < n; k++)
            prompt_entry(answer, &position, row->top_tokens[k], row->top_logprobs[k], k + 1);
        lf_json_append(&list, position);
    }
    return list;
}
