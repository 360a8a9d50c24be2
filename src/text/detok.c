// SPDX-License-Identifier: Apache-2.0
//
// Ids back to text. Decoding all at once is decoding one by one and flushing, so the two cannot differ.
#include "base/mem.h"
#include "text/tokenizer_int.h"
#include "text/utf8.h"

void lf_detokenizer_init(lf_detokenizer *detokenizer, const lf_tokenizer *tokenizer, bool skip_special_tokens)
{
    *detokenizer = (lf_detokenizer){
        .tokenizer = tokenizer, .skip_special_tokens = skip_special_tokens, .n_strip = tokenizer->decoder.n_strip};
}

void lf_detokenizer_fini(lf_detokenizer *detokenizer) { lf_buf_fini(&detokenizer->held); }

// Text that is final, less the spaces still to be dropped from the start.
static void emit(lf_detokenizer *d, lf_buf *out, const char *text, size_t length)
{
    while (d->n_strip && length && *text == ' ') {
        text++;
        length--;
        d->n_strip--;
    }
    if (length) d->n_strip = 0;
    lf_buf_append(out, text, length);
}

// Byte-level: the bytes join what is held, and all complete characters come out.
static void push_bytes(lf_detokenizer *d, const char *bytes, size_t length, lf_buf *out)
{
    lf_buf_append(&d->held, bytes, length);
    if (lf_buf_failed(&d->held)) return;
    size_t used = lf_utf8_append_lossy(out, (const uint8_t *)lf_buf_text(&d->held), d->held.length, true);
    d->held.length -= used;
    if (used && d->held.length) memmove(d->held.data, d->held.data + used, d->held.length);
}

// Byte fallback: a run of byte tokens has ended.
static void end_run(lf_detokenizer *d, lf_buf *out)
{
    const char *bytes = lf_buf_text(&d->held);
    size_t length = d->held.length;
    if (lf_utf8_valid_prefix(bytes, length) == length) {
        emit(d, out, bytes, length);
    } else {
        for (size_t i = 0; i < length; i++) emit(d, out, "\xef\xbf\xbd", 3);
    }
    lf_buf_clear(&d->held);
}

lf_status lf_detokenizer_push(lf_detokenizer *detokenizer, int32_t id, lf_buf *out, lf_error *err)
{
    const lf_vocab *vocab = &detokenizer->tokenizer->vocab;
    if (!lf_vocab_has(vocab, id)) return LF_OK;
    const lf_token *token = &vocab->tokens[id];
    if (detokenizer->skip_special_tokens && (token->flags & LF_TOKEN_SPECIAL)) return LF_OK;
    const char *bytes = lf_vocab_bytes(vocab, token);
    if (detokenizer->tokenizer->decoder.is_byte_level) {
        push_bytes(detokenizer, bytes, token->bytes_length, out);
    } else if (token->flags & LF_TOKEN_BYTE) {
        lf_buf_append(&detokenizer->held, bytes, token->bytes_length);
    } else {
        if (detokenizer->held.length) end_run(detokenizer, out);
        emit(detokenizer, out, bytes, token->bytes_length);
    }
    if (lf_buf_failed(out) || lf_buf_failed(&detokenizer->held)) return lf_error_no_memory(err, token->bytes_length);
    return LF_OK;
}

lf_status lf_detokenizer_flush(lf_detokenizer *detokenizer, lf_buf *out, lf_error *err)
{
    if (detokenizer->tokenizer->decoder.is_byte_level) {
        lf_utf8_append_lossy(out, (const uint8_t *)lf_buf_text(&detokenizer->held), detokenizer->held.length, false);
        lf_buf_clear(&detokenizer->held);
    } else if (detokenizer->held.length) {
        end_run(detokenizer, out);
    }
    detokenizer->n_strip = detokenizer->tokenizer->decoder.n_strip;
    return lf_buf_failed(out) ? lf_error_no_memory(err, 0) : LF_OK;
}

lf_status lf_tokenizer_decode(const lf_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special_tokens,
                              lf_buf *out, lf_error *err)
{
    lf_detokenizer detokenizer;
    lf_detokenizer_init(&detokenizer, tokenizer, skip_special_tokens);
    lf_status status = LF_OK;
    for (size_t i = 0; i < n && !status; i++) status = lf_detokenizer_push(&detokenizer, ids[i], out, err);
    if (!status) status = lf_detokenizer_flush(&detokenizer, out, err);
    lf_detokenizer_fini(&detokenizer);
    return status;
}

lf_status lf_tokenizer_token_text(const lf_tokenizer *tokenizer, int32_t id, lf_buf *out, lf_error *err)
{
    return lf_tokenizer_decode(tokenizer, &id, 1, false, out, err);
}
