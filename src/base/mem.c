// SPDX-License-Identifier: Apache-2.0
//
// Aligned blocks and growing arrays on top of the C library's allocator; how much memory there is.
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

// The number in a one-line file such as memory.max; false when it is absent or says "max".
static bool read_number(const char *path, const char *before, uint64_t *out)
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    char line[256];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        size_t skip = strlen(before);
        unsigned long long value;
        if (strncmp(line, before, skip) == 0 && sscanf(line + skip, "%llu", &value) == 1) {
            *out = value;
            found = true;
        }
    }
    fclose(file);
    return found;
}

uint64_t lf_mem_available(void)
{
    uint64_t available, limit;
    if (read_number("/proc/meminfo", "MemAvailable:", &available)) {
        available *= 1024;
    } else {
        available = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    if (read_number("/sys/fs/cgroup/memory.max", "", &limit) && limit < available) return limit;
    return available;
}
