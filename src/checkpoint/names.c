// SPDX-License-Identifier: Apache-2.0
//
// Tensor names: storage in blocks, and a sort for lists that are nearly in order. Names of a checkpoint come in long
// ascending runs (the writers of headers sort them, a shard holds neighbouring layers), so the sort finds the runs and
// merges them by leaps; a comparison of two long names is what costs here.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"

struct lf__arena_block {
    struct lf__arena_block *next;
    char bytes[];
};

enum { BLOCK_BYTES = 256 * 1024 };

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

// How many of the sorted names stand before `name` (with `or_equal`: are equal to it, too). Looks near the front first:
// the answer is found in the logarithm of its size.
static size_t count_before(const char *const *names, const uint32_t *sorted, size_t n, const char *name, bool or_equal)
{
    size_t low = 0, high = 1;
    while (high <= n && strcmp(names[sorted[high - 1]], name) < or_equal) {
        low = high;
        high *= 2;
    }
    high = high <= n ? high - 1 : n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names[sorted[middle]], name) < or_equal) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

// Merges two sorted runs; equal names keep their order.
static void merge(const char *const *names, uint32_t *dst, const uint32_t *left, size_t n_left, const uint32_t *right,
                  size_t n_right)
{
    while (n_left && n_right) {
        size_t n = count_before(names, left, n_left, names[right[0]], true);
        memcpy(dst, left, n * sizeof *dst);
        dst += n, left += n, n_left -= n;
        if (n_left == 0) break;
        n = count_before(names, right, n_right, names[left[0]], false);
        memcpy(dst, right, n * sizeof *dst);
        dst += n, right += n, n_right -= n;
    }
    memcpy(dst, n_left ? left : right, (n_left + n_right) * sizeof *dst);
}

// Where the ascending runs of `names` begin, and n at the end; returns their number.
static size_t find_runs(const char *const *names, size_t n, uint32_t *starts)
{
    size_t n_run = 0;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i - 1], names[i]) > 0) starts[n_run++] = (uint32_t)i;
    }
    starts[n_run] = (uint32_t)n;
    return n_run;
}

bool lf_sort_names(const char *const *names, size_t n, uint32_t *order)
{
    if (n == 0) return true;
    if (n >= UINT32_MAX) return false;
    uint32_t *starts = lf_realloc_array(NULL, n + 1, sizeof *starts), *spare = NULL;
    if (!starts) return false;
    size_t n_run = find_runs(names, n, starts);
    uint32_t *from = order;
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    uint32_t *to = spare = n_run > 1 ? lf_realloc_array(NULL, n, sizeof *spare) : NULL;
    bool is_done = n_run == 1 || spare;
    while (is_done && n_run > 1) {
        size_t n_merged = 0;
        for (size_t run = 0; run < n_run; run += 2) { // the last one may be alone: `middle` is then its end
            size_t begin = starts[run], middle = starts[run + 1], end = starts[LF_MIN(run + 2, n_run)];
            merge(names, to + begin, from + begin, middle - begin, from + middle, end - middle);
            starts[n_merged++] = (uint32_t)begin;
        }
        starts[n_run = n_merged] = (uint32_t)n;
        uint32_t *done = to;
        to = from;
        from = done;
    }
    if (is_done && from != order) memcpy(order, from, n * sizeof *order);
    free(starts);
    free(spare);
    return is_done;
}

static bool is_number(const char *at, size_t length)
{
    size_t n = 0;
    while (n < length && at[n] >= '0' && at[n] <= '9') n++;
    return n == length && n > 0;
}

bool lf_tensor_family(char *dst, size_t dst_bytes, const char *name)
{
    size_t used = 0;
    for (;;) {
        size_t length = strcspn(name, ".");
        bool is_any = is_number(name, length);
        size_t n = is_any ? 1 : length;
        if (used + n + 2 > dst_bytes) return false;
        memcpy(dst + used, is_any ? "#" : name, n);
        used += n;
        if (name[length] == '\0') break;
        dst[used++] = '.';
        name += length + 1;
    }
    dst[used] = '\0';
    return true;
}
