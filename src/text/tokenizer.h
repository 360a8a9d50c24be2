// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer of a checkpoint: tokenizer.json with a BPE model, as Qwen, Llama 3, DeepSeek-V3, gpt-oss and their kin
// have it. Ids are those of the reference library (Hugging Face tokenizers); what this reader does not understand is
// refused by name, never approximated. An open tokenizer never changes: any number of threads may use it at once.
//
// "truncation" and "padding" of the file are ignored: serving neither truncates nor pads.
#ifndef LF_TEXT_TOKENIZER_H
#define LF_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

typedef struct lf_tokenizer lf_tokenizer;

enum {
    LF_TOKENIZER_MAX_FILE_BYTES = 256 << 20,
    LF_TOKENIZER_MAX_TEXT_BYTES = 64 << 20, // of one encode
    LF_TOKENIZER_MAX_ADDED_BYTES = 1024,    // content of one added token
};

// A growing array of token ids. Zero-initialise; what is there is kept, calls append.
typedef struct lf_ids {
    int32_t *data; // OWNED
    size_t count;
    size_t capacity;
} lf_ids;

#define LF_IDS_INIT ((lf_ids){0})
void lf_ids_fini(lf_ids *ids);
// Room for `extra` more; false when memory is gone.
bool lf_ids_reserve(lf_ids *ids, size_t extra);

// Opens a tokenizer.json. LF_ERR_NOT_FOUND, LF_ERR_FORMAT (malformed), LF_ERR_UNSUPPORTED (names what is not done).
lf_status lf_tokenizer_open(lf_tokenizer **out, const char *path, lf_error *err);
// The same from memory; the text is not kept.
lf_status lf_tokenizer_open_memory(lf_tokenizer **out, const char *json, size_t length, lf_error *err);
void lf_tokenizer_close(lf_tokenizer *tokenizer); // NULL is fine

enum lf_encode_flag {
    LF_ENCODE_ADD_SPECIAL = 1, // what the post-processor puts around a prompt (bos, eos)
    LF_ENCODE_PARSE_SPECIAL =
        2, // special tokens written in the text become their ids; without it they are ordinary text
};

// Appends the ids of text[0, length). Text that is not well-formed UTF-8 is refused (LF_ERR_FORMAT, with the offset);
// it may hold NUL bytes. On failure `out` may have grown.
lf_status lf_tokenizer_encode(const lf_tokenizer *tokenizer, const char *text, size_t length, unsigned flags,
                              lf_ids *out, lf_error *err);

// Appends the text of ids[0, n). Ids that are no token stand for nothing. Bytes that are no UTF-8 become U+FFFD.
lf_status lf_tokenizer_decode(const lf_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special_tokens,
                              lf_buf *out, lf_error *err);

// The highest id plus one. (A model may have more rows than that.)
int32_t lf_tokenizer_vocab_size(const lf_tokenizer *tokenizer);
// The id of a token by its exact content in tokenizer.json ("<|im_end|>"; byte-level tokens in their printable form),
// -1 if none.
int32_t lf_tokenizer_id(const lf_tokenizer *tokenizer, const char *content, size_t length);

typedef struct lf_token_info {
    const char *content; // as in tokenizer.json, BORROWED, not NUL-terminated
    size_t content_length;
    const char *bytes; // what it stands for in decoded text, BORROWED; need not be UTF-8 by itself
    size_t bytes_length;
    bool is_special; // left out by skip_special_tokens
    bool is_added;   // from added_tokens, not a word of the model
} lf_token_info;
// false when `id` is no token.
bool lf_tokenizer_token(const lf_tokenizer *tokenizer, int32_t id, lf_token_info *info);
// Appends the text form that vLLM's logprobs show: the token decoded alone, nothing skipped, U+FFFD for partial
// characters.
lf_status lf_tokenizer_token_text(const lf_tokenizer *tokenizer, int32_t id, lf_buf *out, lf_error *err);

// Decoding one id at a time. The appended pieces together are exactly what lf_tokenizer_decode() gives for all the ids,
// and no piece ends inside a character: its bytes wait for the tokens that complete it.
typedef struct lf_detokenizer {
    const lf_tokenizer *tokenizer; // BORROWED
    bool skip_special_tokens;
    size_t n_strip; // leading spaces that are still to be dropped
    lf_buf held;    // bytes that are not text yet
} lf_detokenizer;

void lf_detokenizer_init(lf_detokenizer *detokenizer, const lf_tokenizer *tokenizer, bool skip_special_tokens);
void lf_detokenizer_fini(lf_detokenizer *detokenizer);
lf_status lf_detokenizer_push(lf_detokenizer *detokenizer, int32_t id, lf_buf *out, lf_error *err);
// The end: what is still held comes out (an incomplete character as U+FFFD). The object is then as new.
lf_status lf_detokenizer_flush(lf_detokenizer *detokenizer, lf_buf *out, lf_error *err);

#endif
