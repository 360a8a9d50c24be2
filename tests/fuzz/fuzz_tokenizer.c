// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json from anywhere, and a text behind its first NUL byte: what opens must encode any UTF-8 to ids that
// exist, and decoding whole and piece by piece must agree.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

enum { MAX_TEXT_BYTES = 4096 }; // patterns may be slow on purpose, up to their limit

static void require(int condition)
{
    if (!condition) abort();
}

static void check_decoding(const lf_tokenizer *tokenizer, const lf_ids *ids)
{
    for (int skip = 0; skip < 2; skip++) {
        lf_buf whole = LF_BUF_INIT;
        lf_buf pieces = LF_BUF_INIT;
        lf_detokenizer detokenizer;
        lf_error err;
        require(lf_tokenizer_decode(tokenizer, ids->data, ids->count, skip, &whole, &err) == LF_OK);
        lf_detokenizer_init(&detokenizer, tokenizer, skip);
        for (size_t i = 0; i < ids->count; i++) {
            require(lf_detokenizer_push(&detokenizer, ids->data[i], &pieces, &err) == LF_OK);
            require(lf_utf8_valid_prefix(lf_buf_text(&pieces), pieces.length) == pieces.length);
        }
        require(lf_detokenizer_flush(&detokenizer, &pieces, &err) == LF_OK);
        require(whole.length == pieces.length);
        require(memcmp(lf_buf_text(&whole), lf_buf_text(&pieces), whole.length) == 0);
        lf_detokenizer_fini(&detokenizer);
        lf_buf_fini(&whole);
        lf_buf_fini(&pieces);
    }
}

static void check_encoding(const lf_tokenizer *tokenizer, const char *text, size_t length)
{
    lf_error err;
    for (unsigned flags = 0; flags < 4; flags++) {
        lf_ids ids = LF_IDS_INIT;
        lf_status status = lf_tokenizer_encode(tokenizer, text, length, flags, &ids, &err);
        require(status == LF_OK || status == LF_ERR_LIMIT || status == LF_ERR_FORMAT);
        for (size_t i = 0; !status && i < ids.count; i++) {
            lf_token_info info;
            require(lf_tokenizer_token(tokenizer, ids.data[i], &info));
        }
        if (!status) check_decoding(tokenizer, &ids);
        lf_ids_fini(&ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    lf_tokenizer *tokenizer = NULL;
    lf_error err;
    const uint8_t *nul = length ? memchr(data, 0, length) : NULL;
    size_t json_length = nul ? (size_t)(nul - data) : length;
    const char *text = nul ? (const char *)nul + 1 : "Hello, it's 2024!\n\n \xf0\x9f\x98\x80 e\xcc\x81";
    size_t text_length = nul ? length - json_length - 1 : strlen(text);
    if (text_length > MAX_TEXT_BYTES) return 0;
    if (lf_tokenizer_open_memory(&tokenizer, (const char *)data, json_length, &err)) {
        require(tokenizer == NULL);
        return 0;
    }
    check_encoding(tokenizer, text, text_length);
    lf_tokenizer_close(tokenizer);
    return 0;
}
