// SPDX-License-Identifier: Apache-2.0
//
// A tensor that the quick scan found suspicious, element by element: what is wrong, how often, and where first. Weights
// with a scale run through the same dequantization as loading does, so that what passes here cannot stop a load.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "quant/scan_int.h"

enum { ROWS_PER_ITEM = 32, COLS_PER_CALL = 8192 };

typedef struct exact_scan {
    const lf_logical_tensor *tensor;
    int64_t n_row, n_col;
    lf_dequant_report *reports; // one per item, so that the first position does not depend on the threads
} exact_scan;

static void add_report(lf_dequant_report *sum, const lf_dequant_report *part)
{
    bool is_first = sum->n_nan_code + sum->n_bad_scale + sum->n_overflow == 0;
    if (is_first) {
        sum->first_row = part->first_row;
        sum->first_col = part->first_col;
    }
    sum->n_nan_code += part->n_nan_code;
    sum->n_bad_scale += part->n_bad_scale;
    sum->n_overflow += part->n_overflow;
}

static void scan_items(void *ctx, size_t begin, size_t end, int thread)
{
    const exact_scan *s = ctx;
    lf_bf16 products[COLS_PER_CALL];
    for (size_t item = begin; item < end; item++) {
        int64_t first = (int64_t)item * ROWS_PER_ITEM, last = LF_MIN(first + ROWS_PER_ITEM, s->n_row);
        for (int64_t row = first; row < last; row++) {
            for (int64_t col = 0; col < s->n_col; col += COLS_PER_CALL) {
                lf_dequant_report part = {0};
                lf_error ignored; // cannot fail: the tensor is paired and the rectangle inside
                lf_rect rect = {row, col, 1, LF_MIN(s->n_col - col, (int64_t)COLS_PER_CALL)};
                (void)lf_dequant_bf16(s->tensor, rect, LF_DEQUANT_EXACT, products, COLS_PER_CALL, &part, &ignored);
                if (part.n_nan_code + part.n_bad_scale + part.n_overflow) add_report(&s->reports[item], &part);
            }
        }
    }
}

static void report(const lf_logical_tensor *tensor, const lf_dequant_report *sum, lf_findings *findings)
{
    const struct {
        const char *code, *what, *expected, *remedy;
        uint64_t count;
    } kinds[] = {
        {"nan-code", "NaN codes", "finite codes", "the file is damaged or was written wrongly: get it again",
         sum->n_nan_code},
        {"bad-scale", "rows under a scale that is NaN, infinite, negative, or zero over values",
         "positive, finite scales", "a scale was not written: get the checkpoint again", sum->n_bad_scale},
        {"overflow", "products that are not finite in bf16", "finite products",
         "the scale or the weight is wrong: get the checkpoint again", sum->n_overflow},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(kinds); i++) {
        if (kinds[i].count == 0) continue;
        char found[96];
        snprintf(found, sizeof found, "%llu; the first finding stands at row %lld, column %lld",
                 (unsigned long long)kinds[i].count, (long long)sum->first_row, (long long)sum->first_col);
        lf_finding_args args = {.code = kinds[i].code,
                                .severity = LF_SEVERITY_ERROR,
                                .subject = tensor->name,
                                .expected = kinds[i].expected,
                                .found = found,
                                .remedy = kinds[i].remedy};
        lf_findings_add(findings, &args, "'%s' holds %s", tensor->name, kinds[i].what);
    }
}

lf_status lf__scan_products(const lf_logical_tensor *tensor, lf_findings *findings, lf_error *err)
{
    exact_scan s = {.tensor = tensor};
    lf_logical_matrix_shape(tensor, &s.n_row, &s.n_col);
    if (s.n_col == 0 || s.n_row == 0) return LF_OK;
    size_t n_item = (size_t)lf_ceil_div(s.n_row, ROWS_PER_ITEM);
    s.reports = calloc(n_item, sizeof *s.reports);
    if (!s.reports) return lf_error_no_memory(err, n_item * sizeof *s.reports);
    lf_par_for_dynamic(n_item, 1, scan_items, &s);
    lf_dequant_report sum = {0};
    for (size_t k = 0; k < n_item; k++) {
        const lf_dequant_report *part = &s.reports[k];
        if (part->n_nan_code + part->n_bad_scale + part->n_overflow) add_report(&sum, part);
    }
    report(tensor, &sum, findings);
    free(s.reports);
    return LF_OK;
}

// --- values that are stored as they are

typedef struct special_count {
    uint64_t n_nan, n_infinite, first; // index of the first of either
} special_count;

// The value's class: 0 finite, 1 infinite, 2 NaN.
static int class_of(lf_dtype dtype, const uint8_t *data, uint64_t i)
{
    uint16_t half;
    uint32_t bits = 0;
    switch (dtype) {
    case LF_DTYPE_F32: memcpy(&bits, data + 4 * i, sizeof bits); break;
    case LF_DTYPE_BF16:
        memcpy(&half, data + 2 * i, sizeof half);
        bits = (uint32_t)half << 16;
        break;
    case LF_DTYPE_F16:
        memcpy(&half, data + 2 * i, sizeof half);
        bits = (half & 0x7c00u) == 0x7c00u ? 0x7f800000u | (half & 0x3ffu) : 0;
        break;
    default: return lf_fp8_is_nan(dtype, data[i]) ? 2 : 0;
    }
    bits &= 0x7fffffffu;
    return bits > 0x7f800000u ? 2 : bits == 0x7f800000u;
}

void lf__scan_values(const lf_stored_tensor *tensor, lf_findings *findings)
{
    special_count count = {0};
    uint64_t n = tensor->bytes * 8 / (uint64_t)lf_dtype_bits(tensor->dtype);
    for (uint64_t i = 0; i < n; i++) {
        int class = class_of(tensor->dtype, tensor->data, i);
        if (class == 0) continue;
        if (count.n_nan + count.n_infinite == 0) count.first = i;
        count.n_nan += class == 2;
        count.n_infinite += class == 1;
    }
    if (count.n_nan + count.n_infinite == 0) return;
    char found[128];
    snprintf(found, sizeof found, "%llu NaN and %llu infinite values; the first is element %llu",
             (unsigned long long)count.n_nan, (unsigned long long)count.n_infinite, (unsigned long long)count.first);
    bool is_fp8 = lf_dtype_is_fp8(tensor->dtype);
    lf_finding_args args = {.code = is_fp8 ? "nan-code" : "nan-value",
                            .severity = count.n_nan ? LF_SEVERITY_ERROR : LF_SEVERITY_WARNING,
                            .subject = tensor->name,
                            .expected = "finite values",
                            .found = found,
                            .remedy = "the file is damaged or was written wrongly: get it again"};
    lf_findings_add(findings, &args, "'%s' holds values that are not finite", tensor->name);
}
