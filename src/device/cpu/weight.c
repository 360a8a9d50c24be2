// SPDX-License-Identifier: Apache-2.0
//
// The packed matrix: the one copy of a parameter in memory, in the layout that GEMV, GEMM and matrix units all read
// (kernels.h). Padding rows and columns are zero because the pages are and nothing writes them.
#include "device/cpu/cpu_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/par.h"

static lf_status map_weight(lf_cpu_device *cpu, lf_weight *weight, lf_error *err)
{
    size_t bytes;
    if (!lf_mul_size(weight->n_panel * LF_PANEL_PAIR * sizeof(lf_bf16), weight->n_pair, &bytes)) {
        return lf_error_no_memory(err, 0);
    }
    if (bytes < LF_CHUNK_FEWEST || bytes > LF_CHUNK_MOST) return lf__pages_map(&weight->pages, bytes, err);
    lf_status rc = lf__chunk_take(&cpu->weights_chunk, bytes, &weight->pages.address, err);
    if (!rc) weight->chunk = cpu->weights_chunk;
    return rc;
}

lf_status lf__cpu_weight_create(lf_device *device, int64_t n_row, int64_t n_col, lf_weight **out, lf_error *err)
{
    if (n_row <= 0 || n_col <= 0 || n_row > INT32_MAX || n_col > INT32_MAX) {
        return lf_error_set(err, LF_ERR_INVALID, "cannot make a matrix of [%lld, %lld]", (long long)n_row,
                            (long long)n_col);
    }
    lf_weight *weight = calloc(1, sizeof *weight);
    if (!weight) return lf_error_no_memory(err, sizeof *weight);
    weight->kernels = &lf__cpu(device)->kernels;
    weight->n_row = (size_t)n_row;
    weight->n_col = (size_t)n_col;
    weight->n_panel = (size_t)lf_ceil_div(n_row, LF_PANEL_ROWS);
    weight->n_pair = (size_t)lf_ceil_div(n_col, LF_WEIGHT_COLUMN_GROUP) * (LF_WEIGHT_COLUMN_GROUP / 2);
    lf_status rc = map_weight(lf__cpu(device), weight, err);
    if (!rc) rc = lf__cpu_linear_reserve(lf__cpu(device), weight->n_pair, err);
    if (rc) {
        lf__cpu_weight_free(device, weight);
        return lf_error_at(err, "weight [%lld, %lld]", (long long)n_row, (long long)n_col);
    }
    *out = weight;
    return LF_OK;
}

void lf__cpu_weight_free(lf_device *device, lf_weight *weight)
{
    if (!weight) return;
    if (weight->chunk) {
        lf__chunk_give(&lf__cpu(device)->weights_chunk, weight->chunk);
    } else {
        lf__pages_unmap(&weight->pages);
    }
    free(weight);
}

uint64_t lf__cpu_weight_bytes(const lf_weight *weight)
{
    return (uint64_t)weight->n_panel * weight->n_pair * LF_PANEL_PAIR * sizeof(lf_bf16);
}

// An odd first column fills the second half of its pair.
static void fill_column(lf_bf16 *panel, size_t row, size_t n_row, size_t col, const lf_bf16 *src, size_t src_stride)
{
    lf_bf16 *dst = panel + col / 2 * LF_PANEL_PAIR + row * 2 + col % 2;
    for (size_t r = 0; r < n_row; r++) dst[2 * r] = src[r * src_stride];
}

void lf__cpu_weight_fill(lf_weight *weight, int64_t row, int64_t n_row, int64_t col, int64_t n_col, const lf_bf16 *src,
                         size_t src_stride)
{
    assert(row >= 0 && n_row >= 0 && (size_t)(row + n_row) <= weight->n_row);
    assert(col >= 0 && n_col >= 0 && (size_t)(col + n_col) <= weight->n_col);
    size_t end = (size_t)(row + n_row), c = (size_t)col, columns = (size_t)n_col;
    for (size_t r = (size_t)row; r < end && columns;) {
        size_t in_panel = r % LF_PANEL_ROWS, count = LF_MIN(end - r, LF_PANEL_ROWS - in_panel);
        lf_bf16 *panel = lf__weight_panel(weight, r / LF_PANEL_ROWS);
        size_t head = c % 2, tail = (columns - head) % 2, middle = columns - head - tail;
        if (head) fill_column(panel, in_panel, count, c, src, src_stride);
        if (middle) {
            lf_bf16 *dst = panel + (c + head) / 2 * LF_PANEL_PAIR;
            weight->kernels->pack_rows(dst, in_panel, src + head, src_stride, count, middle);
        }
        if (tail) fill_column(panel, in_panel, count, c + columns - 1, src + columns - 1, src_stride);
        src += count * src_stride;
        r += count;
    }
}

// Elements of row `row` of the matrix, spread over the pairs of its panel.
static void read_row(const lf_weight *weight, size_t row, lf_bf16 *y)
{
    const lf_bf16 *pair = lf__weight_panel(weight, row / LF_PANEL_ROWS) + row % LF_PANEL_ROWS * 2;
    for (size_t c = 0; c + 1 < weight->n_col; c += 2, pair += LF_PANEL_PAIR) memcpy(y + c, pair, 2 * sizeof *y);
    if (weight->n_col % 2) y[weight->n_col - 1] = pair[0];
}

static void read_row_f32(const lf_weight *weight, size_t row, float *y)
{
    const lf_bf16 *pair = lf__weight_panel(weight, row / LF_PANEL_ROWS) + row % LF_PANEL_ROWS * 2;
    for (size_t c = 0; c < weight->n_col; c++) y[c] = lf_bf16_to_f32(pair[c / 2 * LF_PANEL_PAIR + c % 2]);
}

static void embed_range(void *ctx, size_t begin, size_t end, int thread)
{
    const lf_embed_args *args = ctx;
    const int32_t *ids = args->ids.address;
    size_t element = args->y_is_f32 ? sizeof(float) : sizeof(lf_bf16);
    size_t n_row = args->weight ? args->weight->n_row : 0;
    assert(n_row == 0 || args->weight->n_col == args->d);
    for (size_t t = begin; t < end; t++) {
        char *y = (char *)args->y.address + t * args->y_stride * element;
        int64_t row = ids[t] - args->first_id;
        if (row < 0 || (uint64_t)row >= n_row) {
            memset(y, 0, args->d * element);
        } else if (args->y_is_f32) {
            read_row_f32(args->weight, (size_t)row, (float *)(void *)y);
        } else {
            read_row(args->weight, (size_t)row, (lf_bf16 *)(void *)y);
        }
    }
}

lf_status lf__cpu_embed(lf_device *device, const lf_embed_args *args, lf_error *err)
{
    lf_embed_args copy = *args;
    lf_par_for(args->n_tok, 16, embed_range, &copy);
    return LF_OK;
}
