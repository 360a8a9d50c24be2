// SPDX-License-Identifier: Apache-2.0
//
// The bytes of an output tensor, one chunk at a time: made in a scratch buffer when the tensor is dequantized, shown
// where they lie in the mapped source when it is taken over. Writing and verifying ask the same function. The trap is
// memory: a mapped page counts as ours until it is given back, and a fault maps its neighbours too.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "convert/convert_int.h"

// A fault maps up to this much around it (fault_around_bytes; the kernel's folios may be larger), so this much more
// than was read is given back.
static const uint64_t fault_around_bytes = 2 << 20;

// How the matrix form of a dequantized tensor is cut: whole rows when a row fits, parts of one row otherwise.
typedef struct grid {
    int64_t n_row, n_col;
    int64_t rows, cols;    // of a chunk
    uint64_t per_row;      // chunks beside each other
    uint64_t n_row_chunks; // and below each other
} grid;

static grid grid_of(const lf_logical_tensor *tensor)
{
    enum { COLS = LF__CHUNK_BYTES / sizeof(lf_bf16) };
    grid g = {0};
    lf_logical_matrix_shape(tensor, &g.n_row, &g.n_col);
    if (g.n_row == 0 || g.n_col == 0) return g;
    g.cols = LF_MIN(g.n_col, (int64_t)COLS);
    g.rows = LF_MIN(g.n_row, COLS / g.cols);
    g.per_row = (uint64_t)lf_ceil_div(g.n_col, g.cols);
    g.n_row_chunks = (uint64_t)lf_ceil_div(g.n_row, g.rows);
    return g;
}

uint64_t lf__chunk_count(const lf__out_tensor *tensor)
{
    if (!lf__is_dequantized(tensor)) return tensor->bytes / LF__CHUNK_BYTES + (tensor->bytes % LF__CHUNK_BYTES != 0);
    grid g = grid_of(tensor->tensor);
    return g.per_row * g.n_row_chunks;
}

static lf_status judge(const lf_dequant_report *report, const lf_logical_tensor *tensor, lf_error *err)
{
    if (report->n_nan_code + report->n_bad_scale + report->n_overflow == 0) return LF_OK;
    const char *what = report->n_nan_code    ? "NaN code"
                       : report->n_bad_scale ? "bad scale"
                                             : "overflow of code times scale";
    lf_error_set(err, LF_ERR_FORMAT, "%s in '%s' at row %" PRId64 ", column %" PRId64, what, tensor->name,
                 report->first_row, report->first_col);
    lf_error_subject(err, "%s", tensor->name);
    return lf_error_hint(err, "the checkpoint is damaged or was quantized wrongly; `landfall check --deep` lists all");
}

lf_status lf__chunk_make(const lf__out_tensor *tensor, uint64_t i, lf_dequant_rounding rounding, uint8_t *scratch,
                         lf__chunk *out, lf_error *err)
{
    const lf_logical_tensor *logical = tensor->tensor;
    if (!lf__is_dequantized(tensor)) {
        uint64_t off = i * LF__CHUNK_BYTES;
        size_t bytes = (size_t)LF_MIN((uint64_t)LF__CHUNK_BYTES, tensor->bytes - off);
        *out = (lf__chunk){off, bytes, logical->weight->data + off};
        return LF_OK;
    }
    grid g = grid_of(logical);
    lf_rect rect = {.row = (int64_t)(i / g.per_row) * g.rows, .col = (int64_t)(i % g.per_row) * g.cols};
    rect.n_row = LF_MIN(g.rows, g.n_row - rect.row);
    rect.n_col = LF_MIN(g.cols, g.n_col - rect.col);
    lf_dequant_report report = {0};
    lf_bf16 *values = (lf_bf16 *)(void *)scratch;
    lf_status status = lf_dequant_bf16(logical, rect, rounding, values, (size_t)rect.n_col, &report, err);
    if (!status) status = judge(&report, logical, err);
    out->off = ((uint64_t)rect.row * (uint64_t)g.n_col + (uint64_t)rect.col) * sizeof(lf_bf16);
    out->bytes = (size_t)rect.n_row * (size_t)rect.n_col * sizeof(lf_bf16);
    out->data = scratch;
    return status;
}

// The stored byte that chunk i begins with.
static uint64_t source_off(const lf__out_tensor *tensor, uint64_t i)
{
    uint64_t stored_bytes = tensor->tensor->weight->bytes;
    if (i >= lf__chunk_count(tensor)) return stored_bytes;
    if (!lf__is_dequantized(tensor)) return i * LF__CHUNK_BYTES;
    grid g = grid_of(tensor->tensor);
    uint64_t element = i / g.per_row * (uint64_t)(g.rows * g.n_col) + i % g.per_row * (uint64_t)g.cols;
    return element / ((uint64_t)(g.n_row * g.n_col) / stored_bytes);
}

static void advise(const uint8_t *begin, const uint8_t *end, int advice)
{
    enum { PAGE_BYTES = 4096 }; // larger pages round further by themselves
    uintptr_t from = (uintptr_t)begin & ~(uintptr_t)(PAGE_BYTES - 1);
    if ((uintptr_t)end > from) (void)madvise((void *)from, (uintptr_t)end - from, advice);
}

void lf__chunk_prefetch(const lf__out_tensor *tensor, uint64_t begin, uint64_t end)
{
    const uint8_t *data = tensor->tensor->weight->data;
    if (data && begin < end) advise(data + source_off(tensor, begin), data + source_off(tensor, end), MADV_WILLNEED);
}

// Gives the pages of bytes [first, last) of a stored tensor back, and those around them, inside the mapping of its
// file.
static void release(const lf_checkpoint *checkpoint, const lf_stored_tensor *stored, uint64_t first, uint64_t last)
{
    if (!stored->data) return;
    const uint8_t *file = stored->data - stored->file_off;
    uint64_t file_bytes = lf_checkpoint_shard(checkpoint, stored->shard)->file_bytes;
    uint64_t begin = stored->file_off + first, end = stored->file_off + last;
    begin -= LF_MIN(begin, fault_around_bytes);
    end = LF_MIN(end + fault_around_bytes, file_bytes);
    advise(file + begin, file + end, MADV_DONTNEED);
}

void lf__chunk_release(const lf_checkpoint *checkpoint, const lf__out_tensor *tensor, uint64_t begin, uint64_t end)
{
    const lf_logical_tensor *logical = tensor->tensor;
    release(checkpoint, logical->weight, source_off(tensor, begin), source_off(tensor, end));
    if (logical->scale && end >= lf__chunk_count(tensor)) release(checkpoint, logical->scale, 0, logical->scale->bytes);
}
