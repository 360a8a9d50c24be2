// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary: tokens by id, ids by content. Built once, then read by any number of threads.
// A token has two faces. TEXT is its content in tokenizer.json ("\u0120the", "<|im_end|>"). BYTES is what it stands for
// in decoded text (" the", "<|im_end|>"). For byte-level models they differ: each byte of the text is written as one
// printable character there, by a fixed table of 256 (lf_byte_char).
#ifndef LF_TEXT_VOCAB_H
#define LF_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/status.h"

enum {
    LF_VOCAB_MAX_TOKENS = 1 << 21, // ids are below this
    LF_VOCAB_NONE = -1,
};

enum lf_token_flag {
    LF_TOKEN_PRESENT = 1,
    LF_TOKEN_IN_MODEL = 2,   // listed in model.vocab
    LF_TOKEN_ADDED = 4,      // listed in added_tokens
    LF_TOKEN_SPECIAL = 8,    // left out by skip_special_tokens
    LF_TOKEN_BYTE = 16,      // one raw byte of the byte fallback ("<0x0A>")
    LF_TOKEN_BYTE_LEVEL = 32 // the text consists of lf_byte_char characters only
};

typedef struct lf_token {
    uint32_t text_off; // into lf_vocab.arena
    uint32_t text_length;
    uint32_t bytes_off;
    uint32_t bytes_length;
    uint32_t flags; // of lf_token_flag
} lf_token;

// Open addressing, linear probing, a power of two of slots, at most 3/5 full. A slot says where its key lies, so that a
// look-up touches two places of memory.
typedef struct lf_id_map {
    struct lf_id_slot {
        uint32_t hash;
        uint32_t id_plus_1; // 0: free
        uint32_t key_off;   // into lf_vocab.arena
        uint32_t key_length;
    } * slots; // OWNED
    uint32_t mask;
    uint32_t count;
} lf_id_map;

typedef struct lf_vocab {
    lf_token *tokens; // OWNED, indexed by id
    size_t n_token;   // highest id + 1
    size_t capacity;
    lf_buf arena; // texts and bytes
    lf_id_map by_text;
    lf_id_map by_bytes; // only LF_TOKEN_IN_MODEL and LF_TOKEN_BYTE_LEVEL
    uint64_t seed;      // random, so that no file can be made of colliding keys
} lf_vocab;

lf_status lf_vocab_init(lf_vocab *vocab, lf_error *err);
void lf_vocab_fini(lf_vocab *vocab);

// Room for about that many tokens, to spare the growing.
lf_status lf_vocab_reserve(lf_vocab *vocab, size_t n_token, lf_error *err);
// Adds a token whose text and id must both be new. `flags` may be LF_TOKEN_IN_MODEL and LF_TOKEN_ADDED.
lf_status lf_vocab_add(lf_vocab *vocab, const char *text, size_t length, uint32_t id, uint32_t flags, lf_error *err);
// Sets what the token stands for; `bytes` is copied and must not lie in the arena.
lf_status lf_vocab_set_bytes(lf_vocab *vocab, uint32_t id, const void *bytes, size_t length, lf_error *err);
// Gives every model token its bytes by the byte-level table (a text with other characters stands for itself) and fills
// by_bytes.
lf_status lf_vocab_map_byte_level(lf_vocab *vocab, lf_error *err);

// The id, or LF_VOCAB_NONE.
int32_t lf_vocab_find(const lf_vocab *vocab, const char *text, size_t length);
int32_t lf_vocab_find_bytes(const lf_vocab *vocab, const void *bytes, size_t length);

static inline bool lf_vocab_has(const lf_vocab *vocab, int64_t id)
{
    return id >= 0 && (uint64_t)id < vocab->n_token && (vocab->tokens[id].flags & LF_TOKEN_PRESENT);
}
static inline const char *lf_vocab_text(const lf_vocab *vocab, const lf_token *token)
{
    return lf_buf_text(&vocab->arena) + token->text_off;
}
static inline const char *lf_vocab_bytes(const lf_vocab *vocab, const lf_token *token)
{
    return lf_buf_text(&vocab->arena) + token->bytes_off;
}

// The byte-level table of GPT-2: printable Latin-1 stands for itself, the other 68 bytes for U+0100, U+0101, ... in
// order.
uint32_t lf_byte_char(uint8_t byte);
// The byte whose character `codepoint` is, -1 when it is none of them.
int lf_byte_of_char(uint32_t codepoint);
// Appends the bytes that a byte-level text stands for; false (and nothing appended) when a character is not in the
// table.
bool lf_byte_level_decode(lf_buf *out, const char *text, size_t length);

// Keyed hash of short byte strings and of pairs of ids.
static inline uint64_t lf_hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}
static inline uint64_t lf_hash_bytes(const void *bytes, size_t length, uint64_t seed)
{
    const uint8_t *at = bytes;
    uint64_t hash = seed ^ length * 0x9e3779b97f4a7c15u;
    uint64_t low = 0;
    uint64_t high = 0;
    for (; length > 16; length -= 16, at += 16) {
        memcpy(&low, at, 8);
        memcpy(&high, at + 8, 8);
        hash = lf_hash_mix(low ^ hash, high ^ 0xd6e8feb86659fd93u);
    }
    low = high = 0;
    if (length >= 8) {
        memcpy(&low, at, 8);
        memcpy(&high, at + length - 8, 8);
    } else if (length >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + length - 4, 4);
    } else if (length) {
        low = (uint64_t)at[0] | (uint64_t)at[length / 2] << 8 | (uint64_t)at[length - 1] << 16;
    }
    return lf_hash_mix(low ^ hash ^ 0xa0761d6478bd642fu, high ^ seed ^ 0xe7037ed1a0b428dbu);
}

#endif
