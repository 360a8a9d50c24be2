// SPDX-License-Identifier: Apache-2.0
//
// Added tokens: strings that are found in the text before the model sees it. At every place the longest one wins. Two
// sets are searched one after the other, as in the reference library: first the tokens with normalized = false in the
// text as it came, then, in each piece that is left and after its normalization, those with normalized = true (in their
// normalized form).
#ifndef LF_TEXT_ADDED_TOKENS_H
#define LF_TEXT_ADDED_TOKENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/normalize.h"
#include "text/pieces.h"
#include "text/vocab.h"

// A tree over the bytes of the tokens: children of a node are a linked list.
typedef struct lf_token_tree {
    struct lf_tree_node *nodes; // OWNED; node 0 is the root
    uint32_t n_node;
    size_t capacity;
    bool is_first[256]; // bytes that some token starts with
} lf_token_tree;

typedef struct lf_added_token {
    int32_t id;
    bool is_special;
    bool single_word; // only where no word character touches it
    bool lstrip;      // takes the white space before it
    bool rstrip;      // and after it
} lf_added_token;

typedef struct lf_added_tokens {
    lf_added_token *items; // OWNED
    size_t count;
    size_t capacity;
    lf_token_tree raw;        // normalized = false
    lf_token_tree normalized; // normalized = true
} lf_added_tokens;

// Reads the "added_tokens" list and enters the tokens into the vocabulary. `json` may be NULL. Ids that differ from
// those the reference library would assign are refused: its ids and the file's would disagree.
lf_status lf_added_tokens_init(lf_added_tokens *added, const json_t *json, const lf_normalizer *normalizer,
                               lf_regex_scratch *scratch, lf_vocab *vocab, lf_error *err);
void lf_added_tokens_fini(lf_added_tokens *added);

// Cuts text[begin, end) of `out->text` at the tokens of one tree and appends the pieces. Special tokens are left in the
// text unless `parse_special`; they still hide shorter tokens inside them, as in the reference.
lf_status lf_added_tokens_split(const lf_added_tokens *added, const lf_token_tree *tree, bool parse_special,
                                size_t begin, size_t end, lf_pieces *out, lf_error *err);

#endif
