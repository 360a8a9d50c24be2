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

enum { HUGE_PAGE = 2 << 20, SMALL_BLOCK = 1 << 20 };

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
