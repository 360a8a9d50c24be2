// SPDX-License-Identifier: Apache-2.0
//
// Finding added tokens. A search costs the text's length times the longest token's, which LF_TOKENIZER_MAX_ADDED_BYTES
// bounds; in practice one table look-up per byte, because few bytes start a token.
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/component.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

enum { MAX_ADDED_TOKENS = 1 << 16, MAX_TREE_NODES = 1 << 22 };
static const uint32_t NO_NODE = 0; // the root is nobody's child

typedef struct lf_tree_node {
    uint32_t first_child;
    uint32_t next_sibling;
    uint32_t item_plus_1; // index into lf_added_tokens.items of the token that ends here
    uint8_t byte;
} lf_tree_node;

static uint32_t tree_child(const lf_token_tree *tree, uint32_t node, uint8_t byte)
{
    uint32_t child = tree->nodes[node].first_child;
    while (child != NO_NODE && tree->nodes[child].byte != byte) child = tree->nodes[child].next_sibling;
    return child;
}

static lf_status tree_grow(lf_token_tree *tree, lf_error *err)
{
    if (tree->n_node == MAX_TREE_NODES) return lf_error_set(err, LF_ERR_LIMIT, "the added tokens are too many");
    if (!lf_array_grow((void **)&tree->nodes, &tree->capacity, (size_t)tree->n_node + 1, sizeof *tree->nodes)) {
        return lf_error_no_memory(err, sizeof *tree->nodes);
    }
    tree->nodes[tree->n_node++] = (lf_tree_node){0};
    return LF_OK;
}

static lf_status tree_add(lf_token_tree *tree, const char *text, size_t length, uint32_t item, lf_error *err)
{
    lf_status status = tree->n_node ? LF_OK : tree_grow(tree, err);
    uint32_t node = 0;
    for (size_t i = 0; i < length && !status; i++) {
        uint32_t child = tree_child(tree, node, (uint8_t)text[i]);
        if (child == NO_NODE) {
            status = tree_grow(tree, err);
            if (status) return status;
            child = tree->n_node - 1;
            tree->nodes[child].byte = (uint8_t)text[i];
            tree->nodes[child].next_sibling = tree->nodes[node].first_child;
            tree->nodes[node].first_child = child;
        }
        node = child;
    }
    if (status) return status;
    if (tree->nodes[node].item_plus_1) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "two added tokens have the same normalized form '%.*s'",
                            (int)length, text);
    }
    tree->is_first[(uint8_t)text[0]] = true;
    tree->nodes[node].item_plus_1 = item + 1;
    return LF_OK;
}

// The longest token that text[0, length) starts with; NULL when there is none.
static const lf_added_token *tree_longest(const lf_added_tokens *added, const lf_token_tree *tree, const char *text,
                                          size_t length, size_t *token_length)
{
    const lf_added_token *found = NULL;
    uint32_t node = 0;
    for (size_t i = 0; i < length; i++) {
        node = tree_child(tree, node, (uint8_t)text[i]);
        if (node == NO_NODE) break;
        if (!tree->nodes[node].item_plus_1) continue;
        found = &added->items[tree->nodes[node].item_plus_1 - 1];
        *token_length = i + 1;
    }
    return found;
}

// The id the reference library gives: the model's for a word of the model, else the next free one in the order of the
// list.
static lf_status enter(lf_vocab *vocab, const char *content, size_t length, int64_t id, uint32_t *next_id,
                       lf_error *err)
{
    int32_t present = lf_vocab_find(vocab, content, length);
    int64_t expected = present >= 0 ? present : (int64_t)*next_id;
    if (id != expected) {
        lf_error_set(err, LF_ERR_UNSUPPORTED,
                     "added token '%.*s' has an id that its place in the list does not give it", (int)length, content);
        lf_error_expected(err, "%lld", (long long)expected);
        return lf_error_found(err, "%lld", (long long)id);
    }
    if (present < 0) {
        *next_id += 1;
        return lf_vocab_add(vocab, content, length, (uint32_t)id, LF_TOKEN_ADDED, err);
    }
    vocab->tokens[id].flags |= LF_TOKEN_ADDED;
    return LF_OK;
}

typedef struct reader {
    lf_added_tokens *added;
    const lf_normalizer *normalizer;
    lf_regex_scratch *scratch;
    lf_vocab *vocab;
    uint32_t next_id;
    lf_buf normal; // the normalized form of the token at hand
} reader;

static lf_status read_settings(const json_t *json, lf_added_token *item, bool *is_normalized, lf_error *err)
{
    static const char *const keys[] = {"id",     "content",    "single_word", "lstrip",
                                       "rstrip", "normalized", "special",     NULL};
    int64_t id = 0;
    if (!json_is_object(json)) return lf_error_set(err, LF_ERR_FORMAT, "an added token is not an object");
    lf_status status = lf_component_only(json, "an added token", keys, err);
    if (!status) status = lf_component_int(json, "id", 0, LF_VOCAB_MAX_TOKENS - 1, &id, err);
    if (!status) status = lf_component_bool(json, "single_word", &item->single_word, err);
    if (!status) status = lf_component_bool(json, "lstrip", &item->lstrip, err);
    if (!status) status = lf_component_bool(json, "rstrip", &item->rstrip, err);
    if (!status) status = lf_component_bool(json, "normalized", is_normalized, err);
    if (!status) status = lf_component_bool(json, "special", &item->is_special, err);
    item->id = (int32_t)id;
    return status;
}

// Leaves in r->normal what the token is searched for and decoded as.
static lf_status make_normal(reader *r, const char *content, size_t length, bool is_normalized, lf_error *err)
{
    lf_status status = LF_OK;
    lf_buf_clear(&r->normal);
    if (is_normalized) {
        status = lf_normalizer_run(r->normalizer, r->scratch, &r->normal, content, length, err);
    } else {
        lf_buf_append(&r->normal, content, length);
    }
    if (status) return status;
    if (lf_buf_failed(&r->normal)) return lf_error_no_memory(err, length);
    bool is_same = r->normal.length == length && memcmp(r->normal.data, content, length) == 0;
    int32_t present = lf_vocab_find(r->vocab, content, length);
    if (!is_same && present >= 0 && (r->vocab->tokens[present].flags & LF_TOKEN_IN_MODEL)) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED,
                            "added token '%s' is a word of the model and changed by the normalizer", content);
    }
    if (r->normal.length == 0 || r->normal.length > LF_TOKENIZER_MAX_ADDED_BYTES) {
        return lf_error_set(err, LF_ERR_LIMIT, "added token '%.*s' has %zu bytes when normalized, not 1 to %d",
                            (int)LF_MIN(length, (size_t)80), content, r->normal.length, LF_TOKENIZER_MAX_ADDED_BYTES);
    }
    return LF_OK;
}

static lf_status add_item(reader *r, const lf_added_token *item, bool is_normalized, lf_error *err)
{
    lf_added_tokens *added = r->added;
    if (!lf_array_grow((void **)&added->items, &added->capacity, added->count + 1, sizeof *item)) {
        return lf_error_no_memory(err, sizeof *item);
    }
    added->items[added->count] = *item;
    if (item->is_special) r->vocab->tokens[item->id].flags |= LF_TOKEN_SPECIAL;
    lf_status status = lf_vocab_set_bytes(r->vocab, (uint32_t)item->id, r->normal.data, r->normal.length, err);
    if (status) return status;
    lf_token_tree *tree = is_normalized ? &added->normalized : &added->raw;
    return tree_add(tree, r->normal.data, r->normal.length, (uint32_t)added->count++, err);
}

static lf_status read_token(reader *r, const json_t *json, lf_error *err)
{
    lf_added_token item = {0};
    bool is_normalized = false;
    char *content = NULL;
    size_t length = 0;
    lf_status status = read_settings(json, &item, &is_normalized, err);
    if (!status) status = lf_component_string(json, "content", &content, &length, err);
    if (!status && length > LF_TOKENIZER_MAX_ADDED_BYTES) {
        status = lf_error_set(err, LF_ERR_LIMIT, "added token %d has %zu bytes, more than %d", (int)item.id, length,
                              LF_TOKENIZER_MAX_ADDED_BYTES);
    }
    if (!status && length > 0) { // the reference skips empty ones
        status = enter(r->vocab, content, length, item.id, &r->next_id, err);
        if (!status) status = make_normal(r, content, length, is_normalized, err);
        if (!status) status = add_item(r, &item, is_normalized, err);
    }
    free(content);
    return status;
}

lf_status lf_added_tokens_init(lf_added_tokens *added, const json_t *json, const lf_normalizer *normalizer,
                               lf_regex_scratch *scratch, lf_vocab *vocab, lf_error *err)
{
    *added = (lf_added_tokens){0};
    if (!json || json_is_null(json)) return LF_OK;
    if (!json_is_array(json)) return lf_error_set(err, LF_ERR_FORMAT, "\"added_tokens\" is not a list");
    if (json_array_size(json) > MAX_ADDED_TOKENS) return lf_error_set(err, LF_ERR_LIMIT, "too many added tokens");
    // The reference counts from the number of words, not from the highest id.
    reader r = {.added = added, .normalizer = normalizer, .scratch = scratch, .vocab = vocab};
    r.next_id = vocab->by_text.count;
    lf_status status = LF_OK;
    for (size_t i = 0; i < json_array_size(json) && !status; i++) {
        status = read_token(&r, json_array_get(json, i), err);
    }
    lf_buf_fini(&r.normal);
    return status;
}

void lf_added_tokens_fini(lf_added_tokens *added)
{
    free(added->items);
    free(added->raw.nodes);
    free(added->normalized.nodes);
    *added = (lf_added_tokens){0};
}

// --- searching

static uint32_t char_before(const char *text, size_t at)
{
    size_t start = at - 1;
    while (((uint8_t)text[start] & 0xc0) == 0x80) start--;
    const char *cursor = text + start;
    return lf_utf8_next(&cursor);
}

static uint32_t char_at(const char *text, size_t at)
{
    const char *cursor = text + at;
    return lf_utf8_next(&cursor);
}

static size_t spaces_before(const char *text, size_t begin, size_t at)
{
    while (at > begin && lf_is_white_space(char_before(text, at))) {
        do at--;
        while (((uint8_t)text[at] & 0xc0) == 0x80);
    }
    return at;
}

static size_t spaces_after(const char *text, size_t at, size_t end)
{
    while (at < end && lf_is_white_space(char_at(text, at))) at += lf_utf8_length((uint8_t)text[at]);
    return at;
}

static bool touches_word(const char *text, size_t begin, size_t end, size_t from, size_t to)
{
    return (from > begin && lf_is_word(char_before(text, from))) || (to < end && lf_is_word(char_at(text, to)));
}

lf_status lf_added_tokens_split(const lf_added_tokens *added, const lf_token_tree *tree, bool parse_special,
                                size_t begin, size_t end, lf_pieces *out, lf_error *err)
{
    const char *text = out->text;
    size_t done = begin;
    size_t at = begin;
    size_t run_end = begin; // of the white space last walked over: walked once, however many tokens it is made of
    while (tree->n_node && at < end) {
        if (!tree->is_first[(uint8_t)text[at]]) {
            at++;
            continue;
        }
        size_t length;
        const lf_added_token *token = tree_longest(added, tree, text + at, end - at, &length);
        if (!token) {
            at++;
            continue;
        }
        size_t from = at;
        size_t to = at + length;
        at = to; // the search goes on behind the token's own bytes, whether or not it is taken
        if (token->is_special && !parse_special) continue;
        if (token->single_word && touches_word(text, begin, end, from, to)) continue;
        if (token->lstrip) from = from > done ? spaces_before(text, done, from) : done;
        if (token->rstrip) to = run_end = spaces_after(text, LF_MAX(to, run_end), end);
        lf_status status = done < from ? lf_pieces_add(out, done, from, LF_PIECE_TEXT, err) : LF_OK;
        if (!status) status = lf_pieces_add(out, from, to, token->id, err);
        if (status) return status;
        done = to;
    }
    return done < end ? lf_pieces_add(out, done, end, LF_PIECE_TEXT, err) : LF_OK;
}
