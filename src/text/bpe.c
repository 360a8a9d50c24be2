// SPDX-License-Identifier: Apache-2.0
//
// Merging. Symbols of a long word form a linked list in one array; a candidate in the queue is stale when its pair is
// no longer there, which shows in the merge the two neighbours have now.
#include "text/bpe.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "text/utf8.h"

enum { SHORT_WORD = 48 }; // symbols up to which the plain scan beats the queue
static const uint32_t END = UINT32_MAX;

typedef struct lf_bpe_symbol {
    uint32_t id;
    uint32_t prev;
    uint32_t next;
    uint32_t is_live;
} lf_bpe_symbol;

typedef struct lf_bpe_candidate {
    uint32_t rank;
    uint32_t at; // the left symbol
    uint32_t id; // what the pair becomes
} lf_bpe_candidate;

static uint32_t pair_hash(const lf_bpe *bpe, uint32_t left, uint32_t right)
{
    return (uint32_t)lf_hash_mix(((uint64_t)left << 32 | right) ^ bpe->vocab->seed, 0x9e3779b97f4a7c15u);
}

static const lf_merge *merge_find(const lf_bpe *bpe, uint32_t left, uint32_t right)
{
    for (uint32_t at = pair_hash(bpe, left, right) & bpe->mask;; at = (at + 1) & bpe->mask) {
        const lf_merge *merge = &bpe->merges[at];
        if (!merge->id_plus_1) return NULL;
        if (merge->left == left && merge->right == right) return merge;
    }
}

static lf_status merges_reserve(lf_bpe *bpe, size_t count, lf_error *err)
{
    size_t n_slot = 64;
    while (n_slot * 3 < count * 5) n_slot *= 2;
    if (bpe->merges && n_slot <= (size_t)bpe->mask + 1) return LF_OK;
    lf_merge *grown = calloc(n_slot, sizeof *grown);
    if (!grown) return lf_error_no_memory(err, n_slot * sizeof *grown);
    uint32_t mask = (uint32_t)(n_slot - 1);
    for (size_t i = 0; bpe->merges && i <= bpe->mask; i++) {
        if (!bpe->merges[i].id_plus_1) continue;
        uint32_t at = pair_hash(bpe, bpe->merges[i].left, bpe->merges[i].right) & mask;
        while (grown[at].id_plus_1) at = (at + 1) & mask;
        grown[at] = bpe->merges[i];
    }
    free(bpe->merges);
    bpe->merges = grown;
    bpe->mask = mask;
    return LF_OK;
}

lf_status lf_bpe_init(lf_bpe *bpe, const lf_vocab *vocab, lf_error *err)
{
    *bpe = (lf_bpe){.vocab = vocab, .unknown_id = LF_BPE_NO_UNKNOWN};
    return merges_reserve(bpe, vocab->n_token, err);
}

void lf_bpe_fini(lf_bpe *bpe)
{
    free(bpe->merges);
    free((void *)bpe->whole);
    *bpe = (lf_bpe){0};
}

static int32_t model_token(const lf_vocab *vocab, const char *text, size_t length)
{
    int32_t id = lf_vocab_find(vocab, text, length);
    return id >= 0 && (vocab->tokens[id].flags & LF_TOKEN_IN_MODEL) ? id : LF_VOCAB_NONE;
}

static bool is_token(const lf_vocab *vocab, int32_t id, const char *text, size_t length)
{
    if (!lf_vocab_has(vocab, id)) return false;
    const lf_token *token = &vocab->tokens[id];
    return (token->flags & LF_TOKEN_IN_MODEL) && token->text_length == length &&
           memcmp(lf_vocab_text(vocab, token), text, length) == 0;
}

lf_status lf_bpe_add_merge(lf_bpe *bpe, const char *left, size_t left_length, const char *right, size_t right_length,
                           uint32_t rank, lf_error *err)
{
    char joined_small[256];
    size_t length = left_length + right_length;
    char *joined = length <= sizeof joined_small ? joined_small : malloc(length);
    if (!joined) return lf_error_no_memory(err, length);
    memcpy(joined, left, left_length);
    memcpy(joined + left_length, right, right_length);
    int32_t left_id = model_token(bpe->vocab, left, left_length);
    int32_t right_id = model_token(bpe->vocab, right, right_length);
    int32_t id = bpe->last_id + 1; // most vocabularies list results in the order of merges
    if (!is_token(bpe->vocab, id, joined, length)) id = model_token(bpe->vocab, joined, length);
    if (joined != joined_small) free(joined);
    if (left_id < 0 || right_id < 0 || id < 0) {
        return lf_error_set(err, LF_ERR_FORMAT, "merge %u of '%.*s' and '%.*s': %s is not in the vocabulary", rank,
                            (int)LF_MIN(left_length, (size_t)80), left, (int)LF_MIN(right_length, (size_t)80), right,
                            left_id < 0    ? "the first"
                            : right_id < 0 ? "the second"
                                           : "the result");
    }
    bpe->last_id = id;
    lf_status status = merges_reserve(bpe, (size_t)bpe->n_merge + 1, err);
    if (status) return status;
    uint32_t at = pair_hash(bpe, (uint32_t)left_id, (uint32_t)right_id) & bpe->mask;
    while (bpe->merges[at].id_plus_1 &&
           (bpe->merges[at].left != (uint32_t)left_id || bpe->merges[at].right != (uint32_t)right_id)) {
        at = (at + 1) & bpe->mask;
    }
    bpe->n_merge += bpe->merges[at].id_plus_1 == 0;
    bpe->merges[at] = (lf_merge){(uint32_t)left_id, (uint32_t)right_id, rank, (uint32_t)id + 1};
    return LF_OK;
}

lf_status lf_bpe_finish(lf_bpe *bpe, bool want_byte_level, lf_error *err)
{
    bpe->is_byte_level = want_byte_level;
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];
        size_t length = lf_utf8_put(text, lf_byte_char((uint8_t)byte));
        bpe->byte_id[byte] = model_token(bpe->vocab, text, length);
        if (bpe->byte_id[byte] < 0) bpe->is_byte_level = false;
        snprintf(text, sizeof text, "<0x%02X>", byte);
        bpe->fallback_id[byte] = model_token(bpe->vocab, text, 6);
    }
    bpe->whole = calloc(bpe->vocab->n_token + 1, sizeof *bpe->whole);
    return bpe->whole ? LF_OK : lf_error_no_memory(err, bpe->vocab->n_token + 1);
}

void lf_bpe_scratch_fini(lf_bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (lf_bpe_scratch){0};
}

// --- the symbols a word starts as

static void put_symbol(lf_bpe_scratch *scratch, int32_t id)
{
    uint32_t at = (uint32_t)scratch->n_symbol++;
    scratch->symbols[at] = (lf_bpe_symbol){(uint32_t)id, at ? at - 1 : END, at + 1, 1};
}

static bool put_fallback(const lf_bpe *bpe, lf_bpe_scratch *scratch, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bpe->fallback_id[bytes[i]] < 0) return false;
    }
    for (size_t i = 0; i < length; i++) put_symbol(scratch, bpe->fallback_id[bytes[i]]);
    return true;
}

// Characters one by one. A character that nothing stands for becomes the unknown token, or nothing when there is none.
// An unknown is put only before the next known character, AFTER fallback bytes in between: so does the reference, and
// ids follow it.
static lf_status put_characters(const lf_bpe *bpe, lf_bpe_scratch *scratch, const char *word, size_t length,
                                lf_error *err)
{
    size_t n_pending = 0;
    for (size_t at = 0, step; at < length; at += step) {
        step = lf_utf8_length((uint8_t)word[at]);
        int32_t id = model_token(bpe->vocab, word + at, step);
        if (id >= 0) {
            if (n_pending) put_symbol(scratch, bpe->unknown_id);
            n_pending = 0;
            put_symbol(scratch, id);
            continue;
        }
        if (bpe->byte_fallback && put_fallback(bpe, scratch, (const uint8_t *)word + at, step)) continue;
        if (bpe->unknown_id == LF_BPE_NO_UNKNOWN) continue;
        if (bpe->unknown_id == LF_BPE_UNKNOWN_MISSING) {
            return lf_error_set(err, LF_ERR_FORMAT, "the text needs unk_token, which is not in the vocabulary");
        }
        if (n_pending && !bpe->fuse_unknown) put_symbol(scratch, bpe->unknown_id);
        n_pending = 1;
    }
    if (n_pending) put_symbol(scratch, bpe->unknown_id);
    return LF_OK;
}

static lf_status put_word(const lf_bpe *bpe, lf_bpe_scratch *scratch, const char *word, size_t length, lf_error *err)
{
    scratch->n_symbol = 0;
    if (!lf_array_grow((void **)&scratch->symbols, &scratch->symbol_capacity, length, sizeof *scratch->symbols)) {
        return lf_error_no_memory(err, length * sizeof *scratch->symbols);
    }
    lf_status status = LF_OK;
    if (bpe->is_byte_level) {
        for (size_t i = 0; i < length; i++) put_symbol(scratch, bpe->byte_id[(uint8_t)word[i]]);
    } else {
        status = put_characters(bpe, scratch, word, length, err);
    }
    if (scratch->n_symbol) scratch->symbols[scratch->n_symbol - 1].next = END;
    return status;
}

// --- short words: scan for the lowest rank

static size_t merge_short(const lf_bpe *bpe, uint32_t *ids, size_t n)
{
    uint32_t ranks[SHORT_WORD];
    uint32_t results[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++) {
        const lf_merge *merge = merge_find(bpe, ids[i], ids[i + 1]);
        ranks[i] = merge ? merge->rank : UINT32_MAX;
        results[i] = merge ? merge->id_plus_1 - 1 : 0;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == UINT32_MAX) break;
        ids[best] = results[best];
        n--;
        for (size_t i = best + 1; i < n; i++) ids[i] = ids[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) {
            ranks[i] = ranks[i + 1];
            results[i] = results[i + 1];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const lf_merge *merge = merge_find(bpe, ids[i], ids[i + 1]);
            ranks[i] = merge ? merge->rank : UINT32_MAX;
            results[i] = merge ? merge->id_plus_1 - 1 : 0;
        }
    }
    return n;
}

// --- long words: a binary heap of candidates, lowest (rank, position) on top

static bool comes_before(const lf_bpe_candidate *a, const lf_bpe_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static bool heap_push(lf_bpe_scratch *scratch, lf_bpe_candidate candidate)
{
    if (!lf_array_grow((void **)&scratch->heap, &scratch->heap_capacity, scratch->n_heap + 1, sizeof *scratch->heap)) {
        return false;
    }
    lf_bpe_candidate *heap = scratch->heap;
    size_t at = scratch->n_heap++;
    while (at > 0 && comes_before(&candidate, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = candidate;
    return true;
}

static lf_bpe_candidate heap_pop(lf_bpe_scratch *scratch)
{
    lf_bpe_candidate *heap = scratch->heap;
    lf_bpe_candidate top = heap[0];
    lf_bpe_candidate last = heap[--scratch->n_heap];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= scratch->n_heap) break;
        if (child + 1 < scratch->n_heap && comes_before(&heap[child + 1], &heap[child])) child++;
        if (!comes_before(&heap[child], &last)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static bool push_pair(const lf_bpe *bpe, lf_bpe_scratch *scratch, uint32_t left)
{
    const lf_bpe_symbol *symbols = scratch->symbols;
    if (left == END || symbols[left].next == END) return true;
    const lf_merge *merge = merge_find(bpe, symbols[left].id, symbols[symbols[left].next].id);
    return !merge || heap_push(scratch, (lf_bpe_candidate){merge->rank, left, merge->id_plus_1 - 1});
}

static bool merge_long(const lf_bpe *bpe, lf_bpe_scratch *scratch)
{
    lf_bpe_symbol *symbols = scratch->symbols;
    scratch->n_heap = 0;
    for (uint32_t i = 0; i + 1 < scratch->n_symbol; i++) {
        if (!push_pair(bpe, scratch, i)) return false;
    }
    while (scratch->n_heap) {
        lf_bpe_candidate top = heap_pop(scratch);
        lf_bpe_symbol *left = &symbols[top.at];
        if (!left->is_live || left->next == END) continue;
        lf_bpe_symbol *right = &symbols[left->next];
        const lf_merge *merge = merge_find(bpe, left->id, right->id);
        if (!merge || merge->id_plus_1 - 1 != top.id) continue;
        left->id = top.id;
        left->next = right->next;
        right->is_live = 0;
        if (left->next != END) symbols[left->next].prev = top.at;
        if (!push_pair(bpe, scratch, left->prev) || !push_pair(bpe, scratch, top.at)) return false;
    }
    return true;
}

// --- one word

static lf_status merge_word(const lf_bpe *bpe, lf_bpe_scratch *scratch, const char *word, size_t length, lf_ids *out,
                            lf_error *err)
{
    lf_status status = put_word(bpe, scratch, word, length, err);
    if (status) return status;
    size_t n = scratch->n_symbol;
    if (!lf_ids_reserve(out, n)) return lf_error_no_memory(err, n * sizeof *out->data);
    if (n <= SHORT_WORD) {
        uint32_t ids[SHORT_WORD];
        for (size_t i = 0; i < n; i++) ids[i] = scratch->symbols[i].id;
        n = merge_short(bpe, ids, n);
        for (size_t i = 0; i < n; i++) out->data[out->count++] = (int32_t)ids[i];
        return LF_OK;
    }
    if (!merge_long(bpe, scratch)) return lf_error_no_memory(err, 0);
    for (uint32_t i = 0; i != END; i = scratch->symbols[i].next)
        out->data[out->count++] = (int32_t)scratch->symbols[i].id;
    return LF_OK;
}

static int32_t whole_token(const lf_bpe *bpe, const char *word, size_t length)
{
    return bpe->is_byte_level ? lf_vocab_find_bytes(bpe->vocab, word, length) : model_token(bpe->vocab, word, length);
}

lf_status lf_bpe_encode(const lf_bpe *bpe, lf_bpe_scratch *scratch, const char *word, size_t length, lf_ids *out,
                        lf_error *err)
{
    int32_t whole = whole_token(bpe, word, length);
    if (whole < 0) return merge_word(bpe, scratch, word, length, out, err);
    uint8_t known = atomic_load_explicit(&bpe->whole[whole], memory_order_relaxed);
    if (bpe->ignore_merges || known == 1) {
        if (!lf_ids_reserve(out, 1)) return lf_error_no_memory(err, sizeof *out->data);
        out->data[out->count++] = whole;
        return LF_OK;
    }
    size_t before = out->count;
    lf_status status = merge_word(bpe, scratch, word, length, out, err);
    if (status || known) return status;
    bool is_whole = out->count == before + 1 && out->data[before] == whole;
    atomic_store_explicit(&bpe->whole[whole], is_whole ? 1 : 2, memory_order_relaxed);
    return LF_OK;
}
