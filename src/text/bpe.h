// SPDX-License-Identifier: Apache-2.0
//
// Byte-pair encoding of one word. The serial definition: write the word as its smallest tokens; while some neighbours
// have a merge, replace the pair of lowest rank (the leftmost of equals) by the token it makes. Short words are done
// literally so; long ones with a queue of pairs, O(n log n), so that no text is slow.
#ifndef LF_TEXT_BPE_H
#define LF_TEXT_BPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { LF_BPE_NO_UNKNOWN = -1, LF_BPE_UNKNOWN_MISSING = -2 };

typedef struct lf_merge {
    uint32_t left;
    uint32_t right;
    uint32_t rank;
    uint32_t id_plus_1; // of the result; 0: free slot
} lf_merge;

typedef struct lf_bpe {
    const lf_vocab *vocab; // BORROWED
    lf_merge *merges;      // OWNED hash table, linear probing
    uint32_t mask;
    uint32_t n_merge;
    int32_t last_id;    // result of the merge added last
    bool is_byte_level; // words come as raw bytes, byte_id has all 256; otherwise they come as characters
    bool ignore_merges; // a word that is a token is that token
    bool byte_fallback; // a character without token becomes its bytes' tokens, if all of them have one
    bool fuse_unknown;
    int32_t unknown_id;       // or one of the enum above
    int32_t byte_id[256];     // byte-level token of each byte
    int32_t fallback_id[256]; // "<0x00>" to "<0xFF>", LF_VOCAB_NONE where there is none
    // OWNED, per token: does the word that is this token's bytes encode to just this token? 0 not known yet, 1 yes, 2
    // no. A cache, filled by whoever needs it first; every thread would write the same value.
    _Atomic uint8_t *whole;
} lf_bpe;

// Memory of one thread's calls; zero-initialise, then lf_bpe_scratch_fini().
typedef struct lf_bpe_scratch {
    struct lf_bpe_symbol *symbols; // OWNED
    size_t n_symbol;
    size_t symbol_capacity;
    struct lf_bpe_candidate *heap; // OWNED
    size_t n_heap;
    size_t heap_capacity;
} lf_bpe_scratch;

lf_status lf_bpe_init(lf_bpe *bpe, const lf_vocab *vocab, lf_error *err);
void lf_bpe_fini(lf_bpe *bpe);
// Adds the merge of two token texts with the next rank; a pair that was there takes the new rank.
lf_status lf_bpe_add_merge(lf_bpe *bpe, const char *left, size_t left_length, const char *right, size_t right_length,
                           uint32_t rank, lf_error *err);
// Makes the tables that depend on the complete vocabulary: byte_id and, when all bytes have one, is_byte_level (only if
// `want_byte_level`); fallback_id; whole.
lf_status lf_bpe_finish(lf_bpe *bpe, bool want_byte_level, lf_error *err);

// Appends the ids of one non-empty word. Its form follows is_byte_level.
lf_status lf_bpe_encode(const lf_bpe *bpe, lf_bpe_scratch *scratch, const char *word, size_t length, lf_ids *out,
                        lf_error *err);
void lf_bpe_scratch_fini(lf_bpe_scratch *scratch);

#endif
