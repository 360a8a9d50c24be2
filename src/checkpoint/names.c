// SPDX-License-Identifier: Apache-2.0
//
// Tensor names: storage in blocks, and a sort that hostile names cannot slow down. Names of a checkpoint share long
// prefixes
// ("model.layers.17.mlp.experts."), which makes strcmp the whole cost of an ordinary sort; here each comparison is one
// integer.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"

struct lf__arena_block {
    struct lf__arena_block *next;
    char bytes[];
};

enum { BLOCK_BYTES = 256 * 1024 };

bool lf__text_is(lf__text text, const char *literal)
{
    return strlen(literal) == text.length && memcmp(text.bytes, literal, text.length) == 0;
}

void lf__arena_fini(lf__arena *arena)
{
    while (arena->blocks) {
        struct lf__arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    *arena = (lf__arena){0};
}

const char *lf__arena_copy(lf__arena *arena, lf__text text)
{
    size_t need;
    if (!lf_add_size(text.length, 1, &need)) return NULL;
    if (need > arena->capacity - arena->used) {
        size_t capacity = LF_MAX(need, (size_t)BLOCK_BYTES), bytes;
        if (!lf_add_size(capacity, sizeof(struct lf__arena_block), &bytes)) return NULL;
        struct lf__arena_block *block = malloc(bytes);
        if (!block) return NULL;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->capacity = capacity;
        arena->used = 0;
    }
    char *copy = arena->blocks->bytes + arena->used;
    if (text.length) memcpy(copy, text.bytes, text.length);
    copy[text.length] = '\0';
    arena->used += need;
    return copy;
}

typedef struct keyed_name {
    uint64_t key; // 8 bytes of the name, most significant first; NUL bytes after its end
    uint32_t index;
} keyed_name;

static uint64_t key_at(const char *name)
{
    uint64_t key = 0;
    for (int i = 0; i < 8; i++) {
        key = key << 8 | (uint8_t)*name;
        name += *name != '\0';
    }
    return key;
}

static inline bool is_before(const keyed_name *a, const keyed_name *b)
{
    return a->key != b->key ? a->key < b->key : a->index < b->index;
}

static void insertion_sort(keyed_name *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        keyed_name item = items[i];
        size_t at = i;
        for (; at > 0 && is_before(&item, &items[at - 1]); at--) items[at] = items[at - 1];
        items[at] = item;
    }
}

// qsort() for one element type: the comparison is inlined, which is most of the time here. `spare` holds n items.
// Halves that are in order already are not merged, so that sorted runs cost one pass.
static void merge_sort(keyed_name *items, keyed_name *spare, size_t n)
{
    enum { SMALL = 16 };
    if (n <= SMALL) {
        insertion_sort(items, n);
        return;
    }
    size_t half = n / 2;
    merge_sort(items, spare, half);
    merge_sort(items + half, spare, n - half);
    if (is_before(&items[half - 1], &items[half])) return;
    memcpy(spare, items, half * sizeof *items);
    for (size_t left = 0, right = half, to = 0; left < half; to++) {
        bool takes_right = right < n && is_before(&items[right], &spare[left]);
        items[to] = takes_right ? items[right++] : spare[left++];
    }
}

// Sorts names that agree in their first `depth` bytes, none of which is their end. The recursion is at most
// LF__MAX_NAME_BYTES / 8 deep.
static void sort_from(const char *const *names, keyed_name *items, keyed_name *spare, size_t n, size_t depth)
{
    for (size_t i = 0; i < n; i++) items[i].key = key_at(names[items[i].index] + depth);
    merge_sort(items, spare, n);
    for (size_t begin = 0; begin < n;) {
        size_t end = begin + 1;
        while (end < n && items[end].key == items[begin].key) end++;
        bool has_ended = (items[begin].key & 0xff) == 0; // then all of the run are the same name
        if (end - begin > 1 && !has_ended) sort_from(names, items + begin, spare, end - begin, depth + 8);
        begin = end;
    }
}

bool lf__sort_names(const char *const *names, size_t n, uint32_t *order)
{
    if (n == 0) return true;
    if (n > UINT32_MAX) return false;
    keyed_name *items = lf_realloc_array(NULL, n, sizeof *items);
    keyed_name *spare = lf_realloc_array(NULL, n, sizeof *spare);
    bool is_done = items && spare;
    if (is_done) {
        for (size_t i = 0; i < n; i++) items[i].index = (uint32_t)i;
        sort_from(names, items, spare, n, 0);
        for (size_t i = 0; i < n; i++) order[i] = items[i].index;
    }
    free(items);
    free(spare);
    return is_done;
}
