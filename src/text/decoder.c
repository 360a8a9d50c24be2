// SPDX-License-Identifier: Apache-2.0
//
// Reading the decoder and giving each token its bytes.
#include "text/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/component.h"

static lf_status order_error(const char *type, lf_error *err)
{
    return lf_error_set(err, LF_ERR_UNSUPPORTED, "decoder '%s' at this place of a sequence is not supported", type);
}

static lf_status read_replace(lf_decoder *decoder, const json_t *json, lf_error *err)
{
    const json_t *pattern = json_object_get(json, "pattern");
    lf_status status =
        lf_component_only(json, "decoder Replace", (const char *const[]){"type", "pattern", "content", NULL}, err);
    if (status) return status;
    if (decoder->is_byte_level || decoder->has_byte_fallback || decoder->is_fused) return order_error("Replace", err);
    if (decoder->n_replace == LF_DECODER_MAX_REPLACE)
        return lf_error_set(err, LF_ERR_LIMIT, "too many Replace decoders");
    const json_t *literal = json_object_get(pattern, "String");
    if (json_object_size(pattern) != 1 || json_string_length(literal) == 0) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "decoder Replace has a pattern that is no string");
    }
    struct lf_decoder_replace *replace = &decoder->replaces[decoder->n_replace++];
    status = lf_component_string(pattern, "String", &replace->pattern, &replace->pattern_length, err);
    if (!status) status = lf_component_string(json, "content", &replace->content, &replace->content_length, err);
    return status;
}

static lf_status read_strip(lf_decoder *decoder, const json_t *json, lf_error *err)
{
    static const char *const keys[] = {"type", "content", "start", "stop", NULL};
    int64_t start = 0;
    int64_t stop = 0;
    char *content = NULL;
    size_t length = 0;
    lf_status status = lf_component_only(json, "decoder Strip", keys, err);
    if (!status) status = lf_component_int(json, "start", 0, 1 << 20, &start, err);
    if (!status) status = lf_component_int(json, "stop", 0, 1 << 20, &stop, err);
    if (!status) status = lf_component_string(json, "content", &content, &length, err);
    if (!status && (!decoder->is_fused || decoder->n_strip || stop || strcmp(content, " ") != 0 || length != 1)) {
        status = order_error("Strip", err);
    }
    decoder->n_strip = (size_t)start;
    free(content);
    return status;
}

static lf_status read_one(void *ctx, const json_t *json, const char *type, lf_error *err)
{
    lf_decoder *decoder = ctx;
    if (strcmp(type, "ByteLevel") == 0) {
        static const char *const keys[] = {"type", "add_prefix_space", "trim_offsets", "use_regex", NULL};
        if (decoder->is_byte_level || decoder->has_byte_fallback || decoder->is_fused || decoder->n_replace) {
            return order_error(type, err);
        }
        decoder->is_byte_level = true; // the settings are the pre-tokenizer's; decoding has none
        return lf_component_only(json, "decoder ByteLevel", keys, err);
    }
    if (strcmp(type, "ByteFallback") == 0) {
        if (decoder->is_byte_level || decoder->has_byte_fallback || decoder->is_fused) return order_error(type, err);
        decoder->has_byte_fallback = true;
        return lf_component_only(json, "decoder ByteFallback", (const char *const[]){"type", NULL}, err);
    }
    if (strcmp(type, "Fuse") == 0) {
        decoder->is_fused = true; // pieces are joined anyway
        return lf_component_only(json, "decoder Fuse", (const char *const[]){"type", NULL}, err);
    }
    if (strcmp(type, "Replace") == 0) return read_replace(decoder, json, err);
    if (strcmp(type, "Strip") == 0) return read_strip(decoder, json, err);
    return lf_error_set(err, LF_ERR_UNSUPPORTED, "decoder '%s' is not supported", type);
}

lf_status lf_decoder_init(lf_decoder *decoder, const json_t *json, lf_error *err)
{
    *decoder = (lf_decoder){0};
    if (!json || json_is_null(json)) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "a tokenizer without decoder is not supported");
    }
    return lf_component_walk(json, "decoder", "decoders", read_one, decoder, err);
}

void lf_decoder_fini(lf_decoder *decoder)
{
    for (size_t i = 0; i < decoder->n_replace; i++) {
        free(decoder->replaces[i].pattern);
        free(decoder->replaces[i].content);
    }
    *decoder = (lf_decoder){0};
}

static void replace_all(lf_buf *out, const struct lf_decoder_replace *replace, const char *text, size_t length)
{
    const char *end = text + length;
    const char *hit;
    while ((hit = memmem(text, (size_t)(end - text), replace->pattern, replace->pattern_length))) {
        lf_buf_append(out, text, (size_t)(hit - text));
        lf_buf_append(out, replace->content, replace->content_length);
        text = hit + replace->pattern_length;
    }
    lf_buf_append(out, text, (size_t)(end - text));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The byte that "<0xHH>" is, -1 for other texts.
static int fallback_byte(const char *text, size_t length)
{
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    if (text[3] == '+' && hex_digit(text[4]) >= 0) return hex_digit(text[4]); // Rust's number parser takes a sign
    if (hex_digit(text[3]) < 0 || hex_digit(text[4]) < 0) return -1;
    return hex_digit(text[3]) * 16 + hex_digit(text[4]);
}

static lf_status apply_one(const lf_decoder *decoder, lf_vocab *vocab, uint32_t id, lf_buf work[2], lf_error *err)
{
    lf_token *token = &vocab->tokens[id];
    lf_buf_clear(&work[0]);
    lf_buf_append(&work[0], lf_vocab_bytes(vocab, token), token->bytes_length);
    if (lf_buf_failed(&work[0])) return lf_error_no_memory(err, token->bytes_length);
    if (decoder->is_byte_level) {
        lf_buf_clear(&work[1]);
        bool is_mapped = lf_byte_level_decode(&work[1], work[0].data, work[0].length);
        if (lf_buf_failed(&work[1])) return lf_error_no_memory(err, token->bytes_length);
        if (!is_mapped) return LF_OK;
        return lf_vocab_set_bytes(vocab, id, lf_buf_text(&work[1]), work[1].length, err);
    }
    lf_buf *text = &work[0];
    for (size_t i = 0; i < decoder->n_replace; i++) {
        lf_buf *target = text == &work[0] ? &work[1] : &work[0];
        lf_buf_clear(target);
        replace_all(target, &decoder->replaces[i], lf_buf_text(text), text->length);
        text = target;
    }
    if (lf_buf_failed(text)) return lf_error_no_memory(err, 0);
    int byte = decoder->has_byte_fallback ? fallback_byte(lf_buf_text(text), text->length) : -1;
    if (byte >= 0) {
        char value = (char)byte;
        token->flags |= LF_TOKEN_BYTE;
        return lf_vocab_set_bytes(vocab, id, &value, 1, err);
    }
    return decoder->n_replace ? lf_vocab_set_bytes(vocab, id, lf_buf_text(text), text->length, err) : LF_OK;
}

lf_status lf_decoder_apply(const lf_decoder *decoder, lf_vocab *vocab, lf_error *err)
{
    lf_buf work[2] = {LF_BUF_INIT, LF_BUF_INIT};
    lf_status status = LF_OK;
    for (uint32_t id = 0; id < vocab->n_token && !status; id++) {
        uint32_t flags = vocab->tokens[id].flags;
        bool is_done = decoder->is_byte_level && !(flags & LF_TOKEN_ADDED);
        if ((flags & LF_TOKEN_PRESENT) && !is_done) status = apply_one(decoder, vocab, id, work, err);
    }
    lf_buf_fini(&work[0]);
    lf_buf_fini(&work[1]);
    return status;
}
