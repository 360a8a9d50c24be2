// SPDX-License-Identifier: Apache-2.0
//
// Checked sizes and aligned memory. Landfall allocates with the C library's malloc; the tests put a counting and
// failing allocator behind it at link time, so no allocator is passed around. Sizes that come from outside are
// multiplied and added with these helpers only.
#ifndef LF_BASE_MEM_H
#define LF_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LF_ARRAY_LENGTH(array) (sizeof(array) / sizeof *(array))
#define LF_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LF_MAX(a, b) ((a) > (b) ? (a) : (b))

// false, with *out untouched, when the result does not fit.
static inline bool lf_mul_size(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}

static inline bool lf_add_size(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}

// ceil(a / b) for a >= 0, b > 0; cannot overflow.
static inline int64_t lf_ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

enum { LF_CACHE_LINE_BYTES = 64 };

// 64-byte aligned memory, NULL on failure or overflow; released with free().
void *lf_aligned_alloc(size_t bytes);
// The same, zero-filled.
void *lf_aligned_calloc(size_t bytes);
// realloc() of an array of n elements of element_bytes each; NULL on failure or overflow, `old` is then still valid.
void *lf_realloc_array(void *old, size_t n, size_t element_bytes);
// Grows *capacity (elements) to at least `need`, by half at a time; *array is reallocated. false when memory is gone.
bool lf_array_grow(void **array, size_t *capacity, size_t need, size_t element_bytes);

// Bytes that can be taken without pushing anything out: what the system calls available, or the control group's limit.
uint64_t lf_mem_available(void);

#endif
