// SPDX-License-Identifier: Apache-2.0
//
// The wrappers behind --wrap. strdup, strndup and asprintf are wrapped as well because the C library's own calls of
// malloc are not seen, while the library frees what they return. Trap: jansson's parser (2.14) drops a character when a
// token that grows finds no memory, and goes on, which no caller can see; so a document is one allocation here.
#include "memory.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void __real_free(void *block);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
int __wrap_asprintf(char **out, const char *format, ...) __attribute__((format(printf, 2, 3)));
// What asprintf is under -D_FORTIFY_SOURCE, with which distributions compile.
int __wrap___asprintf_chk(char **out, int flag, const char *format, ...) __attribute__((format(printf, 3, 4)));
json_t *__real_json_loadb(const char *text, size_t length, size_t flags, json_error_t *problem);
json_t *__wrap_json_loadb(const char *text, size_t length, size_t flags, json_error_t *problem);

static atomic_long n_call, n_live;
static atomic_long fail_at = -1; // -1: none
static atomic_bool fails_on;     // all after it fail too
static atomic_bool has_failed;
static _Thread_local bool is_thread_spared;

static bool fails(void)
{
    if (is_thread_spared) return false;
    long call = atomic_fetch_add(&n_call, 1), at = fail_at;
    if (call != at && !(fails_on && at >= 0 && call > at)) return false;
    has_failed = true;
    return true;
}

static void *count(void *block)
{
    if (block) n_live++;
    return block;
}

void *__wrap_malloc(size_t bytes) { return fails() ? NULL : count(__real_malloc(bytes)); }
void *__wrap_calloc(size_t n, size_t bytes) { return fails() ? NULL : count(__real_calloc(n, bytes)); }

void *__wrap_realloc(void *old, size_t bytes)
{
    if (fails()) return NULL;
    void *block = __real_realloc(old, bytes);
    if (!old) count(block);
    return block;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    return fails() ? NULL : count(__real_aligned_alloc(alignment, bytes));
}

void __wrap_free(void *block)
{
    if (block) n_live--;
    __real_free(block);
}

char *__wrap_strndup(const char *text, size_t n)
{
    size_t length = strnlen(text, n);
    char *copy = __wrap_malloc(length + 1);
    if (!copy) return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

char *__wrap_strdup(const char *text) { return __wrap_strndup(text, strlen(text)); }

static int print(char **out, const char *format, va_list args)
{
    int length = fails() ? -1 : vasprintf(out, format, args);
    if (length >= 0) n_live++;
    return length;
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = print(out, format, args);
    va_end(args);
    return length;
}

int __wrap___asprintf_chk(char **out, int flag, const char *format, ...)
{
    (void)flag;
    va_list args;
    va_start(args, format);
    int length = print(out, format, args);
    va_end(args);
    return length;
}

json_t *__wrap_json_loadb(const char *text, size_t length, size_t flags, json_error_t *problem)
{
    if (fails()) {
        if (problem) *problem = (json_error_t){0};
        return NULL;
    }
    bool was_spared = is_thread_spared;
    is_thread_spared = true;
    json_t *root = __real_json_loadb(text, length, flags, problem);
    is_thread_spared = was_spared;
    return root;
}

static void start_failing(long call, bool goes_on)
{
    fail_at = -1;
    fails_on = goes_on;
    has_failed = false;
    n_call = 0;
    fail_at = call;
}

void memory_fail_at(long call) { start_failing(call, false); }
void memory_fail_from(long call) { start_failing(call, true); }

bool memory_stop_failing(void)
{
    fail_at = -1;
    return has_failed;
}

void memory_spare_thread(bool is_spared) { is_thread_spared = is_spared; }

long memory_n_call(void) { return n_call; }
long memory_n_live(void) { return n_live; }

void memory_route_jansson(bool is_routed)
{
    if (is_routed)
        json_set_alloc_funcs(__wrap_malloc, __wrap_free);
    else
        json_set_alloc_funcs(__real_malloc, __real_free);
}
