// SPDX-License-Identifier: Apache-2.0
//
// The checkpoint as a source. FP8, F16 and F32 tensors are turned into bf16 tile by tile in the caller's scratch; bf16
// tensors are handed over where they lie in the mapped file. Pages of the file are given back as soon as their rows are
// filled, so that the process never holds more than the bf16 model and a few tiles.
//
// Every value passes a test for NaN and Inf: a model with one broken weight computes nothing but NaN, and says so only
// long after.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "load/load_int.h"

static lf_status at_element(lf_error *err, const lf_logical_tensor *tensor, int64_t row, int64_t col, const char *what,
                            const char *hint)
{
    lf_error_set(err, LF_ERR_FORMAT, "%s in '%s' at row %" PRId64 ", column %" PRId64, what, tensor->name, row, col);
    lf_error_subject(err, "%s", tensor->name);
    return lf_error_hint(err, "%s", hint);
}

static lf_status judge(const lf_dequant_report *report, const lf_logical_tensor *tensor, lf_error *err)
{
    static const char hint[] =
        "the checkpoint is damaged or was quantized wrongly; `landfall check --deep` lists all of it";
    if (report->n_nan_code + report->n_bad_scale + report->n_overflow == 0) return LF_OK;
    const char *what = report->n_nan_code    ? "NaN code"
                       : report->n_bad_scale ? "bad scale"
                                             : "overflow of code times scale";
    return at_element(err, tensor, report->first_row, report->first_col, what, hint);
}

// Whether any of n bf16 numbers is NaN or Inf: four at a time, a carry out of the exponent tells that it is all ones.
// This is the first look at the data, so it asks for what follows: processors do not look ahead over a page's end.
static bool has_non_finite(const lf_bf16 *values, int64_t n)
{
    enum { LINE = LF_CACHE_LINE_BYTES / sizeof(lf_bf16), AHEAD = 32 * LINE };
    const uint64_t exponents = 0x7f807f807f807f80u, ones = 0x0080008000800080u, carries = 0x8000800080008000u;
    uint64_t found = 0;
    int64_t i = 0;
    for (; i + LINE <= n; i += LINE) {
        __builtin_prefetch(values + i + AHEAD);
        for (int64_t k = 0; k < LINE; k += 4) {
            uint64_t four;
            memcpy(&four, values + i + k, sizeof four);
            found |= (four & exponents) + ones;
        }
    }
    for (; i < n; i++) found |= (uint64_t)(values[i] & 0x7f80u) + 0x80u;
    return (found & carries) != 0;
}

static lf_status judge_values(const lf_tile *tile, lf_rect rect, const lf_logical_tensor *tensor, lf_error *err)
{
    for (int64_t r = 0; r < rect.n_row; r++) {
        const lf_bf16 *row = tile->data + (size_t)r * tile->stride;
        if (!has_non_finite(row, rect.n_col)) continue;
        int64_t c = 0;
        while ((row[c] & 0x7f80u) != 0x7f80u) c++;
        return at_element(err, tensor, rect.row + r, rect.col + c, "value that is not finite",
                          "the checkpoint is damaged, or the model diverged in training");
    }
    return LF_OK;
}

static void count_read(const lf_real_source *source, const lf_logical_tensor *tensor, int64_t n_row, int64_t n_col)
{
    uint64_t bits = (uint64_t)lf_dtype_bits(tensor->weight->dtype) / (lf_logical_is_fp4(tensor) ? 2 : 1);
    atomic_fetch_add_explicit(source->source_bytes, (uint64_t)n_row * (uint64_t)n_col * bits / 8, memory_order_relaxed);
}

// Of the scales that a rectangle needs: rows and columns of the blocks that it touches (see lf_logical_tensor).
static uint64_t scale_bytes(const lf_logical_tensor *tensor, lf_rect rect)
{
    if (!tensor->scale) return 0;
    int64_t chunk = tensor->chunk_rows, first = rect.row, last = rect.row + rect.n_row - 1;
    int64_t of_chunk = lf_ceil_div(chunk, tensor->block_rows), n_row, n_col;
    n_row = last / chunk * of_chunk + last % chunk / tensor->block_rows -
            (first / chunk * of_chunk + first % chunk / tensor->block_rows) + 1;
    n_col = (rect.col + rect.n_col - 1) / tensor->block_cols - rect.col / tensor->block_cols + 1;
    return (uint64_t)(n_row * n_col) * (uint64_t)lf_dtype_bits(tensor->scale->dtype) / 8;
}

static lf_status real_matrix(const lf_source *base, size_t slice, lf_rect rect, lf_bf16 *scratch, lf_tile *out,
                             lf_error *err)
{
    const lf_real_source *source = (const lf_real_source *)base;
    const lf_logical_tensor *tensor = source->tensors[slice];
    const lf_stored_tensor *weight = tensor->weight;
    count_read(source, tensor, rect.n_row, rect.n_col);
    if (weight->dtype == LF_DTYPE_BF16 && (uintptr_t)weight->data % _Alignof(lf_bf16) == 0) {
        size_t n_col = (size_t)weight->shape[1];
        const lf_bf16 *data = (const lf_bf16 *)(const void *)weight->data;
        *out = (lf_tile){data + (size_t)rect.row * n_col + (size_t)rect.col, n_col};
    } else {
        lf_dequant_report report = {0};
        *out = (lf_tile){scratch, (size_t)rect.n_col};
        lf_status status = lf_dequant_bf16(tensor, rect, source->rounding, scratch, out->stride, &report, err);
        if (!status) status = judge(&report, tensor, err);
        if (status) return status;
    }
    return judge_values(out, rect, tensor, err);
}

static lf_status real_vector(const lf_source *base, size_t slice, int64_t row, int64_t n_row, float *dst, lf_error *err)
{
    const lf_real_source *source = (const lf_real_source *)base;
    const lf_logical_tensor *tensor = source->tensors[slice];
    const lf_parameter *parameter = base->weights->slices.items[slice].parameter;
    lf_dequant_report report = {0};
    lf_rect rect = {row, 0, n_row, parameter->shape[1]};
    count_read(source, tensor, n_row, parameter->shape[1]);
    if (parameter->rank == 1) rect = (lf_rect){0, row, 1, n_row}; // a vector is one row to lf_dequant
    lf_status status = lf_dequant_f32(tensor, rect, source->rounding, dst, (size_t)rect.n_col, &report, err);
    if (!status) status = judge(&report, tensor, err);
    for (int64_t i = 0; !status && i < rect.n_row * rect.n_col; i++) {
        if ((lf_f32_bits(dst[i]) & 0x7f800000u) == 0x7f800000u) {
            int64_t at_row = rect.row + i / rect.n_col, at_col = rect.col + i % rect.n_col;
            status = at_element(err, tensor, at_row, at_col, "value that is not finite",
                                "the checkpoint is damaged, or the model diverged in training");
        }
    }
    return status;
}

// Whole pages that hold bytes [begin, end), but the last one when it goes on: its next reader gives it back.
static void advise(const uint8_t *begin, const uint8_t *end, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)begin & ~(page - 1), to = (uintptr_t)end & ~(page - 1);
    if (to > from) madvise((void *)from, to - from, advice);
}

// Rows that are cut are left to the page faults: this rank needs a part of each.
static bool is_cut(const lf_slice *part) { return part->rect.n_col < part->parameter->shape[1]; }

static void real_prefetch(const lf_source *base, size_t slice)
{
    const lf_slice *part = &base->weights->slices.items[slice];
    const lf_stored_tensor *weight = ((const lf_real_source *)base)->tensors[slice]->weight;
    if (!weight->data || part->rect.n_row == 0 || is_cut(part)) return;
    uint64_t row_bytes = weight->bytes / (uint64_t)weight->shape[0];
    const uint8_t *begin = weight->data + (uint64_t)part->rect.row * row_bytes;
    advise(begin, begin + (uint64_t)part->rect.n_row * row_bytes, MADV_WILLNEED);
}

static void advise_rows(const lf_source *base, size_t slice, int64_t row, int64_t n_row, int advice)
{
    const lf_stored_tensor *weight = ((const lf_real_source *)base)->tensors[slice]->weight;
    uint64_t row_bytes = weight->bytes / (uint64_t)weight->shape[0];
    const uint8_t *begin = weight->data + (uint64_t)row * row_bytes;
    advise(begin, begin + (uint64_t)n_row * row_bytes, advice);
}

// One call maps what would otherwise take a fault for every few pages.
static void real_expect(const lf_source *base, size_t slice, int64_t row, int64_t n_row)
{
#ifdef MADV_POPULATE_READ // Linux 5.14
    if (!is_cut(&base->weights->slices.items[slice])) advise_rows(base, slice, row, n_row, MADV_POPULATE_READ);
#endif
}

static void real_release(const lf_source *base, size_t slice, int64_t row, int64_t n_row)
{
    advise_rows(base, slice, row, n_row, MADV_DONTNEED);
}

static lf_status require_match(const lf_weights *weights, const lf_quant *quant, lf_error *err)
{
    lf_findings findings = LF_FINDINGS_INIT;
    lf_model_check(&weights->parameters, &weights->config, quant, &findings);
    lf_status status = findings.failed ? lf_error_no_memory(err, 0) : lf_findings_status(&findings, err);
    lf_findings_fini(&findings);
    return status;
}

static lf_status collect_ignored(lf_weights *weights, const lf_quant *quant, lf_error *err)
{
    lf_status status = LF_OK;
    for (size_t i = 0; !status && i < lf_quant_count(quant); i++) {
        const char *name = lf_quant_tensor(quant, i)->name;
        const char *reason = lf_config_ignored_reason(&weights->config, name);
        if (lf_config_skips(&weights->config, name)) {
            const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
            weights->ledger.n_skipped += tensor->scale ? 2 : 1;
            continue;
        }
        const lf_stored_tensor *scale = lf_quant_tensor(quant, i)->scale;
        if (reason) status = lf__ledger_ignore(&weights->ledger, name, reason, err);
        if (reason && scale && !status) status = lf__ledger_ignore(&weights->ledger, scale->name, reason, err);
    }
    for (size_t i = 0; !status && i < lf_quant_n_side(quant); i++) {
        const lf_side_tensor *side = lf_quant_side(quant, i);
        status = lf__ledger_ignore(&weights->ledger, side->tensor->name, side->reason, err);
    }
    return status;
}

// One line for each reason.
static void log_ignored(const lf_ledger *ledger)
{
    for (size_t i = 0, n; i < ledger->n_ignored; i += n) {
        const char *reason = ledger->ignored[i].reason;
        for (n = 1; i + n < ledger->n_ignored && ledger->ignored[i + n].reason == reason; n++) {
        }
        lf_log(LF_LOG_INFO, "%zu tensor%s without a use, from '%s' on: %s", n, n == 1 ? "" : "s",
               ledger->ignored[i].name, reason);
    }
}

lf_status lf__real_source_init(lf_real_source *source, lf_weights *weights, const lf_quant *quant,
                               lf_dequant_rounding rounding, lf_error *err)
{
    size_t n_slice = weights->slices.count;
    *source = (lf_real_source){
        .base = {.matrix = real_matrix,
                 .vector = real_vector,
                 .prefetch = real_prefetch,
                 .expect = real_expect,
                 .release = real_release,
                 .weights = weights},
        .rounding = rounding,
        .source_bytes = &weights->ledger.source_bytes,
    };
    lf_status status = require_match(weights, quant, err);
    if (!status) status = collect_ignored(weights, quant, err);
    if (status) return status;
    if (weights->plan.rank == 0) log_ignored(&weights->ledger);
    source->tensors = lf_realloc_array(NULL, LF_MAX(n_slice, 1), sizeof *source->tensors);
    if (!source->tensors) return lf_error_no_memory(err, n_slice * sizeof *source->tensors);
    for (size_t i = 0; i < n_slice; i++) {
        const char *name = weights->parameters.items[i].name;
        const lf_logical_tensor *tensor = lf_quant_find(quant, name);
        if (!tensor) return lf_error_set(err, LF_ERR_BUG, "'%s' passed the check and is not there", name);
        if (tensor->layout == LF_SCALE_BROKEN) {
            lf_error_set(err, LF_ERR_FORMAT, "'%s' is quantized, but has no usable scale", name);
            return lf_error_subject(err, "%s", name);
        }
        source->tensors[i] = tensor;
        const lf_slice *slice = &weights->slices.items[i];
        if (slice->rect.n_row == 0 || slice->rect.n_col == 0) continue;
        weights->ledger.n_tensor_used += tensor->scale ? 2 : 1;
        weights->ledger.n_quantized += tensor->layout != LF_SCALE_NONE;
        weights->ledger.source_bytes += scale_bytes(tensor, slice->rect);
    }
    return LF_OK;
}

void lf__real_source_fini(lf_real_source *source) { free(source->tensors); }
