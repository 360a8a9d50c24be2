// SPDX-License-Identifier: Apache-2.0
//
// Tokens in one array and one arena; two hash maps of ids beside them. Keys are compared in the arena, so a map holds
// no strings of its own.
#include "text/vocab.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"
#include "text/utf8.h"

enum { FIRST_SHIFTED_CHAR = 0x100, N_SHIFTED = 68 };

static bool is_printable_latin1(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

// The shifted bytes are 00..20, 7f..a0 and ad, in this order.
uint32_t lf_byte_char(uint8_t byte)
{
    if (is_printable_latin1(byte)) return byte;
    if (byte <= 0x20) return FIRST_SHIFTED_CHAR + byte;
    if (byte == 0xad) return FIRST_SHIFTED_CHAR + N_SHIFTED - 1;
    return FIRST_SHIFTED_CHAR + 0x21 + (byte - 0x7fu);
}

int lf_byte_of_char(uint32_t codepoint)
{
    if (codepoint < 0x100) return is_printable_latin1(codepoint) ? (int)codepoint : -1;
    if (codepoint >= FIRST_SHIFTED_CHAR + N_SHIFTED) return -1;
    uint32_t shifted = codepoint - FIRST_SHIFTED_CHAR;
    if (shifted <= 0x20) return (int)shifted;
    if (shifted == N_SHIFTED - 1) return 0xad;
    return (int)(shifted - 0x21 + 0x7f);
}

bool lf_byte_level_decode(lf_buf *out, const char *text, size_t length)
{
    if (!lf_buf_reserve(out, length)) return false; // never more bytes than the text has
    char *at = out->data + out->length;
    const char *cursor = text;
    while (cursor < text + length) {
        int byte = lf_byte_of_char(lf_utf8_next(&cursor));
        if (byte < 0) return false;
        *at++ = (char)byte;
    }
    *at = '\0';
    out->length = (size_t)(at - out->data);
    return true;
}

static lf_status map_reserve(lf_id_map *map, size_t count, lf_error *err)
{
    size_t n_slot = 64;
    while (n_slot * 3 < count * 5) n_slot *= 2;
    if (map->slots && n_slot <= (size_t)map->mask + 1) return LF_OK;
    lf_id_map grown = {.mask = (uint32_t)(n_slot - 1), .count = map->count};
    grown.slots = calloc(n_slot, sizeof *grown.slots);
    if (!grown.slots) return lf_error_no_memory(err, n_slot * sizeof *grown.slots);
    for (size_t i = 0; map->slots && i <= map->mask; i++) {
        if (!map->slots[i].id_plus_1) continue;
        uint32_t at = map->slots[i].hash & grown.mask;
        while (grown.slots[at].id_plus_1) at = (at + 1) & grown.mask;
        grown.slots[at] = map->slots[i];
    }
    free(map->slots);
    *map = grown;
    return LF_OK;
}

// The key is known to be absent.
static lf_status map_insert(lf_id_map *map, struct lf_id_slot slot, lf_error *err)
{
    lf_status status = map_reserve(map, (size_t)map->count + 1, err);
    if (status) return status;
    uint32_t at = slot.hash & map->mask;
    while (map->slots[at].id_plus_1) at = (at + 1) & map->mask;
    map->slots[at] = slot;
    map->count++;
    return LF_OK;
}

static int32_t map_find(const lf_vocab *vocab, const lf_id_map *map, uint32_t hash, const void *key, size_t length)
{
    const char *arena = lf_buf_text(&vocab->arena);
    for (uint32_t at = hash & map->mask; map->slots[at].id_plus_1; at = (at + 1) & map->mask) {
        const struct lf_id_slot *slot = &map->slots[at];
        if (slot->hash != hash || slot->key_length != length) continue;
        if (memcmp(arena + slot->key_off, key, length) == 0) return (int32_t)(slot->id_plus_1 - 1);
    }
    return LF_VOCAB_NONE;
}

lf_status lf_vocab_init(lf_vocab *vocab, lf_error *err)
{
    *vocab = (lf_vocab){0};
    if (getrandom(&vocab->seed, sizeof vocab->seed, GRND_NONBLOCK) != (ssize_t)sizeof vocab->seed) {
        vocab->seed = (uint64_t)(uintptr_t)vocab; // too early in the boot: the address is all the randomness there is
    }
    lf_status status = map_reserve(&vocab->by_text, 0, err);
    if (!status) status = map_reserve(&vocab->by_bytes, 0, err);
    return status;
}

void lf_vocab_fini(lf_vocab *vocab)
{
    free(vocab->tokens);
    free(vocab->by_text.slots);
    free(vocab->by_bytes.slots);
    lf_buf_fini(&vocab->arena);
    *vocab = (lf_vocab){0};
}

static uint32_t hash_of(const lf_vocab *vocab, const void *key, size_t length)
{
    return (uint32_t)lf_hash_bytes(key, length, vocab->seed);
}

int32_t lf_vocab_find(const lf_vocab *vocab, const char *text, size_t length)
{
    return map_find(vocab, &vocab->by_text, hash_of(vocab, text, length), text, length);
}

int32_t lf_vocab_find_bytes(const lf_vocab *vocab, const void *bytes, size_t length)
{
    return map_find(vocab, &vocab->by_bytes, hash_of(vocab, bytes, length), bytes, length);
}

static lf_status arena_append(lf_vocab *vocab, const void *bytes, size_t length, uint32_t *offset, lf_error *err)
{
    if (vocab->arena.length > UINT32_MAX - length) return lf_error_set(err, LF_ERR_LIMIT, "vocabulary is too large");
    *offset = (uint32_t)vocab->arena.length;
    lf_buf_append(&vocab->arena, bytes, length);
    return lf_buf_failed(&vocab->arena) ? lf_error_no_memory(err, length) : LF_OK;
}

lf_status lf_vocab_reserve(lf_vocab *vocab, size_t n_token, lf_error *err)
{
    if (!lf_array_grow((void **)&vocab->tokens, &vocab->capacity, n_token, sizeof *vocab->tokens)) {
        return lf_error_no_memory(err, n_token * sizeof *vocab->tokens);
    }
    return map_reserve(&vocab->by_text, n_token, err);
}

lf_status lf_vocab_add(lf_vocab *vocab, const char *text, size_t length, uint32_t id, uint32_t flags, lf_error *err)
{
    if (id >= LF_VOCAB_MAX_TOKENS) {
        return lf_error_set(err, LF_ERR_LIMIT, "token id %u is not below %d", id, LF_VOCAB_MAX_TOKENS);
    }
    if (length > UINT32_MAX / 4) return lf_error_set(err, LF_ERR_LIMIT, "a token has %zu bytes", length);
    if (lf_vocab_has(vocab, id)) return lf_error_set(err, LF_ERR_FORMAT, "token id %u is given twice", id);
    uint32_t hash = hash_of(vocab, text, length);
    if (map_find(vocab, &vocab->by_text, hash, text, length) != LF_VOCAB_NONE) {
        return lf_error_set(err, LF_ERR_FORMAT, "token '%.*s' is given twice", (int)LF_MIN(length, (size_t)100), text);
    }
    if (!lf_array_grow((void **)&vocab->tokens, &vocab->capacity, (size_t)id + 1, sizeof *vocab->tokens)) {
        return lf_error_no_memory(err, ((size_t)id + 1) * sizeof *vocab->tokens);
    }
    while (vocab->n_token <= id) vocab->tokens[vocab->n_token++] = (lf_token){0};
    lf_token token = {.text_length = (uint32_t)length, .bytes_length = (uint32_t)length};
    lf_status status = arena_append(vocab, text, length, &token.text_off, err);
    if (status) return status;
    token.bytes_off = token.text_off;
    token.flags = flags | LF_TOKEN_PRESENT;
    vocab->tokens[id] = token;
    return map_insert(&vocab->by_text, (struct lf_id_slot){hash, id + 1, token.text_off, token.text_length}, err);
}

lf_status lf_vocab_set_bytes(lf_vocab *vocab, uint32_t id, const void *bytes, size_t length, lf_error *err)
{
    uint32_t offset = 0;
    if (length > UINT32_MAX / 4) return lf_error_set(err, LF_ERR_LIMIT, "a token has %zu bytes", length);
    lf_status status = arena_append(vocab, bytes, length, &offset, err);
    if (status) return status;
    vocab->tokens[id].bytes_off = offset;
    vocab->tokens[id].bytes_length = (uint32_t)length;
    return LF_OK;
}

lf_status lf_vocab_map_byte_level(lf_vocab *vocab, lf_error *err)
{
    lf_status status = map_reserve(&vocab->by_bytes, vocab->n_token, err);
    if (status) return status;
    // Bytes are never longer than the text, so the texts do not move while they are read.
    if (!lf_buf_reserve(&vocab->arena, vocab->arena.length)) return lf_error_no_memory(err, vocab->arena.length);
    for (size_t id = 0; id < vocab->n_token; id++) {
        lf_token *token = &vocab->tokens[id];
        if (!(token->flags & LF_TOKEN_IN_MODEL)) continue;
        size_t start = vocab->arena.length;
        if (!lf_byte_level_decode(&vocab->arena, lf_vocab_text(vocab, token), token->text_length)) continue;
        if (start > UINT32_MAX) return lf_error_set(err, LF_ERR_LIMIT, "vocabulary is too large");
        token->bytes_off = (uint32_t)start;
        token->bytes_length = (uint32_t)(vocab->arena.length - start);
        token->flags |= LF_TOKEN_BYTE_LEVEL;
        uint32_t hash = hash_of(vocab, lf_vocab_bytes(vocab, token), token->bytes_length);
        struct lf_id_slot slot = {hash, (uint32_t)id + 1, token->bytes_off, token->bytes_length};
        status = map_insert(&vocab->by_bytes, slot, err);
        if (status) return status;
    }
    return LF_OK;
}
