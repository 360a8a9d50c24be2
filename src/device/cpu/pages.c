// SPDX-License-Identifier: Apache-2.0
//
// Zeroed pages for weights, KV cache and scratch. Large blocks are mapped on a 2 MiB boundary and offered to the kernel
// for huge pages: streaming a model's weights touches every page of it for every token, and 4 KiB pages cost a tenth of
// the bandwidth.
#include "device/cpu/cpu_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, SMALL_PAGE = 4096, SMALL_BLOCK = 1 << 20 };

lf_status lf__pages_map(lf_pages *out, size_t bytes, lf_error *err)
{
    if (bytes < SMALL_BLOCK) {
        void *block = lf_aligned_calloc(bytes);
        if (!block) return lf_error_no_memory(err, bytes);
        *out = (lf_pages){.address = block};
        return LF_OK;
    }
    size_t mapped, padded;
    if (!lf_add_size(bytes, HUGE_PAGE - 1, &padded) || !lf_add_size(padded, HUGE_PAGE, &mapped)) {
        return lf_error_no_memory(err, bytes);
    }
    padded -= padded % HUGE_PAGE;
    char *raw = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        if (errno == ENOMEM) return lf_error_no_memory(err, bytes);
        return lf_error_errno(err, errno, "cannot map %zu bytes", bytes);
    }
    size_t before = (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(raw, before);
    if (mapped - before > padded) munmap(raw + before + padded, mapped - before - padded);
    madvise(raw + before, padded, MADV_HUGEPAGE); // advice: without huge pages all is as well, only slower
    *out = (lf_pages){.address = raw + before, .bytes = padded};
    return LF_OK;
}

void lf__pages_unmap(lf_pages *pages)
{
    if (!pages->address) return;
    if (pages->bytes) {
        munmap(pages->address, pages->bytes);
    } else {
        free(pages->address);
    }
    *pages = (lf_pages){0};
}

lf_status lf__chunk_take(lf_chunk **current, size_t bytes, void **out, lf_error *err)
{
    assert(bytes <= LF_CHUNK_MOST);
    size_t padded = (bytes + SMALL_PAGE - 1) / SMALL_PAGE * SMALL_PAGE;
    if (!*current || LF_CHUNK_BYTES - (*current)->used < padded) {
        lf_chunk *chunk = calloc(1, sizeof *chunk);
        if (!chunk) return lf_error_no_memory(err, sizeof *chunk);
        lf_status rc = lf__pages_map(&chunk->pages, LF_CHUNK_BYTES, err);
        if (rc) {
            free(chunk);
            return rc;
        }
        *current = chunk;
    }
    *out = (char *)(*current)->pages.address + (*current)->used;
    (*current)->used += padded;
    (*current)->n_block++;
    return LF_OK;
}

void lf__chunk_give(lf_chunk **current, lf_chunk *chunk)
{
    if (--chunk->n_block > 0) return;
    if (*current == chunk) *current = NULL;
    lf__pages_unmap(&chunk->pages);
    free(chunk);
}
