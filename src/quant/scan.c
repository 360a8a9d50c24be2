// SPDX-License-Identifier: Apache-2.0
//
// The data of all FP8 weights, looked at once: what headers cannot show. Runs the same dequantization as loading does
// and throws the numbers away, so that what passes here cannot stop a load.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "quant/quant.h"

enum { ROWS_PER_ITEM = 32, COLS_PER_CALL = 8192 };

typedef struct scan {
    const lf_logical_tensor *tensor;
    int64_t n_row, n_col;
    lf_dequant_report *reports; // one per item, so that the first position does not depend on the threads
} scan;

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
    const scan *s = ctx;
    lf_bf16 products[COLS_PER_CALL];
    for (size_t item = begin; item < end; item++) {
        int64_t first = (int64_t)item * ROWS_PER_ITEM, last = LF_MIN(first + ROWS_PER_ITEM, s->n_row);
        for (int64_t row = first; row < last; row++) {
            for (int64_t col = 0; col < s->n_col; col += COLS_PER_CALL) {
                lf_dequant_report part = {0};
                lf_rect rect = {row, col, 1, LF_MIN(s->n_col - col, (int64_t)COLS_PER_CALL)};
                // Cannot fail: the tensor is paired and the rectangle inside.
                (void)lf_dequant_bf16(s->tensor, rect, LF_DEQUANT_EXACT, products, COLS_PER_CALL, &part, NULL);
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

lf_status lf_quant_scan(const lf_quant *quant, lf_progress *progress, lf_findings *findings, lf_error *err)
{
    for (size_t i = 0; i < lf_quant_count(quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
        if (tensor->layout == LF_SCALE_NONE || tensor->layout == LF_SCALE_BROKEN) continue;
        scan s = {.tensor = tensor};
        lf_logical_matrix_shape(tensor, &s.n_row, &s.n_col);
        if (s.n_col == 0) continue;
        size_t n_item = (size_t)lf_ceil_div(s.n_row, ROWS_PER_ITEM);
        s.reports = lf_realloc_array(NULL, n_item, sizeof *s.reports);
        if (!s.reports) return lf_error_no_memory(err, n_item * sizeof *s.reports);
        memset(s.reports, 0, n_item * sizeof *s.reports);
        lf_par_for_dynamic(n_item, 1, scan_items, &s);
        lf_dequant_report sum = {0};
        for (size_t k = 0; k < n_item; k++) {
            const lf_dequant_report *part = &s.reports[k];
            if (part->n_nan_code + part->n_bad_scale + part->n_overflow) add_report(&sum, part);
        }
        report(tensor, &sum, findings);
        free(s.reports);
        if (progress) lf_progress_add(progress, tensor->weight->bytes);
    }
    return findings->failed ? lf_error_no_memory(err, 0) : LF_OK;
}
