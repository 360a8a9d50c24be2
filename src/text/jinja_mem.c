// SPDX-License-Identifier: Apache-2.0
//
// Memory and accounting of the Jinja interpreter: the arena, the limits of a run, and text under construction. The
// arena only grows; its memory is zeroed once, when a chunk is made, which is enough because nothing is ever handed out
// twice.
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"

struct jinja_chunk {
    jinja_chunk *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char data[];
};

enum { FIRST_CHUNK_BYTES = 16 << 10, LARGEST_CHUNK_BYTES = 1 << 20, ALIGNMENT = alignof(max_align_t) };

void lf__jinja_arena_init(jinja_arena *arena, size_t limit_bytes)
{
    *arena = (jinja_arena){.limit_bytes = limit_bytes};
}

void lf__jinja_arena_fini(jinja_arena *arena)
{
    while (arena->chunks) {
        jinja_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    *arena = (jinja_arena){0};
}

static jinja_chunk *chunk_new(jinja_arena *arena, size_t capacity)
{
    size_t total, bytes;
    if (!lf_add_size(capacity, sizeof(jinja_chunk), &bytes) || !lf_add_size(arena->total_bytes, bytes, &total) ||
        total > arena->limit_bytes) {
        arena->over_limit = true;
        return NULL;
    }
    jinja_chunk *chunk = calloc(1, bytes);
    arena->over_limit = false;
    if (!chunk) return NULL;
    chunk->capacity = capacity;
    arena->total_bytes = total;
    return chunk;
}

void *lf__jinja_arena_alloc(jinja_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) {
        arena->over_limit = true;
        return NULL;
    }
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    jinja_chunk *head = arena->chunks;
    if (head && bytes <= head->capacity - head->used) {
        head->used += bytes;
        return head->data + head->used - bytes;
    }
    size_t usual = LF_MIN((size_t)LARGEST_CHUNK_BYTES, head ? head->capacity * 2 : (size_t)FIRST_CHUNK_BYTES);
    bool alone = bytes > usual / 4; // a large block gets a chunk of its own; the head stays in use
    jinja_chunk *chunk = chunk_new(arena, alone ? bytes : usual);
    if (!chunk) return NULL;
    chunk->used = bytes;
    if (alone && head) {
        chunk->next = head->next;
        head->next = chunk;
    } else {
        chunk->next = head;
        arena->chunks = chunk;
    }
    return chunk->data;
}

void *lf__jinja_arena_grow(jinja_arena *arena, void *old, size_t old_bytes, size_t bytes)
{
    jinja_chunk *head = arena->chunks;
    size_t old_rounded = (old_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (old && head && bytes <= SIZE_MAX / 2 && (char *)old + old_rounded == head->data + head->used) {
        size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (rounded - old_rounded <= head->capacity - head->used) {
            head->used += rounded - old_rounded;
            return old;
        }
    }
    void *fresh = lf__jinja_arena_alloc(arena, bytes);
    if (fresh && old_bytes) memcpy(fresh, old, old_bytes);
    return fresh;
}

lf_status lf__jinja_alloc(jinja_run *run, size_t n, size_t element_bytes, void **out)
{
    size_t bytes;
    bool fits = lf_mul_size(n, element_bytes, &bytes);
    void *memory = fits ? lf__jinja_arena_alloc(&run->arena, bytes) : NULL;
    if (memory) {
        *out = memory;
        return LF_OK;
    }
    if (fits && !run->arena.over_limit) return lf_error_no_memory(run->err, bytes);
    return lf__jinja_error_status(run, LF_ERR_LIMIT, "template needs more than %zu bytes of memory",
                                  run->limits.max_memory_bytes);
}

lf_status lf__jinja_charge(jinja_run *run, uint64_t steps)
{
    if (steps > run->limits.max_steps - run->steps) {
        run->steps = run->limits.max_steps;
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "template takes more than %llu steps",
                                      (unsigned long long)run->limits.max_steps);
    }
    run->steps += steps;
    return LF_OK;
}

lf_status lf__jinja_charge_bytes(jinja_run *run, size_t bytes) { return lf__jinja_charge(run, 1 + bytes / 16); }

lf_status lf__jinja_charge_search(jinja_run *run, size_t bytes, size_t part_bytes)
{
    return lf__jinja_charge(run, 1 + bytes / 16 + part_bytes / 2);
}

lf_status lf__jinja_enter(jinja_run *run)
{
    if (run->depth >= run->limits.max_depth)
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "template nests deeper than %d evaluations",
                                      run->limits.max_depth);
    run->depth++;
    return lf__jinja_charge(run, 1);
}

static lf_status error_at_line(jinja_run *run, lf_status status, const char *format, va_list args)
{
    char message[LF_ERROR_MESSAGE_BYTES];
    vsnprintf(message, sizeof message, format, args);
    message[lf__utf8_prefix(message, strlen(message))] = '\0'; // the cut may have gone through a character
    lf_error_set(run->err, status, "template line %d: %s", run->line, message);
    lf_error_subject(run->err, "template line %d", run->line);
    return status;
}

lf_status lf__jinja_error_status(jinja_run *run, lf_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_at_line(run, status, format, args);
    va_end(args);
    return status;
}

lf_status lf__jinja_error(jinja_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_at_line(run, LF_ERR_INVALID, format, args);
    va_end(args);
    return LF_ERR_INVALID;
}

void lf__jinja_builder_init(jinja_builder *builder, jinja_run *run) { *builder = (jinja_builder){.run = run}; }

static bool builder_reserve(jinja_builder *builder, size_t extra)
{
    if (builder->status) return false;
    if (extra <= builder->capacity - builder->bytes) return true;
    jinja_run *run = builder->run;
    size_t need;
    void *data = NULL;
    if (lf_add_size(builder->bytes, extra, &need) && need <= run->limits.max_memory_bytes) {
        size_t capacity = LF_MAX(LF_MAX(need, builder->capacity * 2), (size_t)64);
        data = lf__jinja_arena_grow(&run->arena, builder->data, builder->capacity, capacity);
        if (data) {
            builder->data = data;
            builder->capacity = capacity;
            return true;
        }
    } else {
        run->arena.over_limit = true;
    }
    builder->status = run->arena.over_limit
                          ? lf__jinja_error_status(run, LF_ERR_LIMIT, "template needs more than %zu bytes of memory",
                                                   run->limits.max_memory_bytes)
                          : lf_error_no_memory(run->err, 0);
    return false;
}

void lf__jinja_put(jinja_builder *builder, const char *bytes, size_t length)
{
    if (length == 0 || !builder_reserve(builder, length)) return;
    memcpy(builder->data + builder->bytes, bytes, length);
    builder->bytes += length;
}

void lf__jinja_puts(jinja_builder *builder, const char *text) { lf__jinja_put(builder, text, strlen(text)); }

void lf__jinja_put_char(jinja_builder *builder, int32_t code_point)
{
    char bytes[4];
    lf__jinja_put(builder, bytes, lf__utf8_encode(code_point, bytes));
}

void lf__jinja_pad(jinja_builder *builder, int32_t code_point, size_t n)
{
    char bytes[4];
    size_t length = lf__utf8_encode(code_point, bytes), total;
    if (!lf_mul_size(length, n, &total)) total = SIZE_MAX / 2;
    if (!builder_reserve(builder, total)) return;
    for (size_t i = 0; i < n; i++) memcpy(builder->data + builder->bytes + i * length, bytes, length);
    builder->bytes += total;
}

lf_status lf__jinja_builder_finish(jinja_builder *builder, jinja_value *out)
{
    if (builder->status) return builder->status;
    JINJA_TRY(lf__jinja_charge_bytes(builder->run, builder->bytes));
    return lf__jinja_string_view(builder->run, builder->data ? builder->data : "", builder->bytes, out);
}
