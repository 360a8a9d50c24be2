// SPDX-License-Identifier: Apache-2.0
//
// Aligned blocks and growing arrays on top of the C library's allocator.
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void *lf_aligned_alloc(size_t bytes)
{
    size_t padded;
    if (!lf_add_size(bytes ? bytes : 1, LF_CACHE_LINE_BYTES - 1, &padded)) return NULL;
    padded -= padded % LF_CACHE_LINE_BYTES;
    return aligned_alloc(LF_CACHE_LINE_BYTES, padded);
}

void *lf_aligned_calloc(size_t bytes)
{
    void *block = lf_aligned_alloc(bytes);
    if (block) memset(block, 0, bytes);
    return block;
}

void *lf_realloc_array(void *old, size_t n, size_t element_bytes)
{
    size_t bytes;
    if (!lf_mul_size(n, element_bytes, &bytes)) return NULL;
    return realloc(old, bytes ? bytes : 1);
}

bool lf_array_grow(void **array, size_t *capacity, size_t need, size_t element_bytes)
{
    if (need <= *capacity) return true;
    size_t grown = *capacity + *capacity / 2;
    if (grown < need) grown = need;
    if (grown < 16) grown = 16;
    void *moved = lf_realloc_array(*array, grown, element_bytes);
    if (!moved) return false;
    *array = moved;
    *capacity = grown;
    return true;
}
