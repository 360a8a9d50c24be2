// SPDX-License-Identifier: Apache-2.0
//
// Rectangles of logical tensors as bf16 or float32. Scales are looked up by global row and column, so a rectangle may
// begin and end inside a scale block (a tensor-parallel slice does). Rows run through the array kernels of base/num.h,
// one call for each scale, or one for many where each column has its own; what is wrong with the data is counted on the
// way: NaN codes by the kernels, bad scales where they are read, and products one by one only under scales that are
// large enough to overflow.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant.h"

bool lf_logical_is_fp4(const lf_logical_tensor *tensor)
{
    bool has_scale = tensor->layout != LF_SCALE_NONE && tensor->layout != LF_SCALE_BROKEN;
    return has_scale && tensor->weight->dtype == LF_DTYPE_I8;
}

int lf_logical_shape(const lf_logical_tensor *tensor, int64_t shape[LF_MAX_RANK])
{
    const lf_stored_tensor *weight = tensor->weight;
    int last = weight->rank - 1;
    for (int i = 0; i <= last; i++) shape[i] = weight->shape[i];
    if (last >= 0 && lf_logical_is_fp4(tensor) && shape[last] <= INT64_MAX / 2) shape[last] *= 2;
    return weight->rank;
}

void lf_logical_matrix_shape(const lf_logical_tensor *tensor, int64_t *n_row, int64_t *n_col)
{
    int64_t shape[LF_MAX_RANK];
    int rank = lf_logical_shape(tensor, shape);
    *n_col = rank ? shape[rank - 1] : 1;
    *n_row = 1;
    for (int i = 0; i + 1 < rank; i++) *n_row *= shape[i];
}

typedef struct job {
    const lf_logical_tensor *tensor;
    lf_dequant_rounding rounding;
    lf_dequant_report *report;
    int64_t matrix_cols;
    bool is_fp4;
    int64_t chunk_scale_rows; // rows of scales of a chunk
    int64_t scale_cols;       // scales in one of these rows
} job;

static lf_status check_rect(const lf_logical_tensor *tensor, lf_rect rect, int64_t *matrix_cols, lf_error *err)
{
    int64_t n_row, n_col;
    lf_logical_matrix_shape(tensor, &n_row, &n_col);
    *matrix_cols = n_col;
    bool is_inside = rect.row >= 0 && rect.col >= 0 && rect.n_row >= 0 && rect.n_col >= 0 && rect.row <= n_row &&
                     rect.col <= n_col && rect.n_row <= n_row - rect.row && rect.n_col <= n_col - rect.col;
    if (is_inside) return LF_OK;
    lf_error_set(err, LF_ERR_INVALID, "rectangle outside of tensor '%s'", tensor->name);
    lf_error_subject(err, "%s", tensor->name);
    lf_error_expected(err, "a part of [%lld, %lld]", (long long)n_row, (long long)n_col);
    return lf_error_found(err, "rows %lld + %lld, columns %lld + %lld", (long long)rect.row, (long long)rect.n_row,
                          (long long)rect.col, (long long)rect.n_col);
}

static lf_status unsupported(const lf_logical_tensor *tensor, lf_error *err)
{
    bool is_raw = tensor->layout == LF_SCALE_BROKEN || lf_dtype_is_fp8(tensor->weight->dtype);
    lf_error_set(err, LF_ERR_UNSUPPORTED, is_raw ? "tensor '%s' has no usable scale" : "tensor '%s' cannot become bf16",
                 tensor->name);
    lf_error_subject(err, "%s", tensor->name);
    lf_error_expected(err, is_raw ? "a weight paired with its scale" : "BF16, F16, F32, or FP8 with a scale");
    return lf_error_found(err, "%s", lf_dtype_name(tensor->weight->dtype));
}

static float scale_value(const job *j, int64_t i)
{
    const lf_stored_tensor *scale = j->tensor->scale;
    float value = 0;
    uint16_t half;
    switch (scale->dtype) {
    case LF_DTYPE_F32: memcpy(&value, scale->data + 4 * i, sizeof value); break;
    case LF_DTYPE_U8: // MXFP8: the bytes are E8M0
    case LF_DTYPE_F8_E8M0: value = lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scale->data[i]); break;
    default:
        memcpy(&half, scale->data + 2 * i, sizeof half);
        value = scale->dtype == LF_DTYPE_F16 ? lf_f16_to_f32(half) : lf_bf16_to_f32(half);
    }
    if (j->rounding == LF_DEQUANT_BF16_SCALE) value = lf_bf16_to_f32(lf_bf16_from_f32(value));
    return value;
}

// scales[0..n) = scales [at, at + n).
static void load_scales(const job *j, int64_t at, int64_t n, float *scales)
{
    const lf_stored_tensor *scale = j->tensor->scale;
    bool is_exact = j->rounding == LF_DEQUANT_EXACT;
    if (scale->dtype == LF_DTYPE_F32 && is_exact) {
        memcpy(scales, scale->data + 4 * at, (size_t)n * sizeof *scales);
    } else if (scale->dtype == LF_DTYPE_BF16) { // exact under both roundings
        lf_convert_bf16_f32(scales, (const lf_bf16 *)(const void *)(scale->data + 2 * at), (size_t)n);
    } else {
        for (int64_t i = 0; i < n; i++) scales[i] = scale_value(j, at + i);
    }
}

static void note(lf_dequant_report *report, uint64_t *counter, uint64_t n, int64_t row, int64_t col)
{
    if (report->n_nan_code + report->n_bad_scale + report->n_overflow == 0) {
        report->first_row = row;
        report->first_col = col;
    }
    *counter += n;
}

// One row of codes: of FP8 a byte each; of packed FP4 half a byte, element 2 i in the low half of byte i.
typedef struct code_row {
    const uint8_t *bytes;
    bool is_fp4;
    lf_dtype dtype;
} code_row;

static float code_value(const code_row *codes, int64_t i)
{
    if (codes->is_fp4) return lf_fp4_to_f32(codes->bytes[i / 2] >> (i % 2 * 4) & 0xf);
    return lf_fp8_to_f32(codes->dtype, codes->bytes[i]);
}

// Under such a scale no product of a finite code overflows or is hidden: 57344 * 2^110 fits. E5M2 also has codes for
// Inf.
static bool is_plain(lf_dtype dtype, float scale) { return scale > 0 && scale < 0x1p110f && dtype != LF_DTYPE_F8_E5M2; }

// The slow look at columns [col, col + n) of a row under one scale: which products are not finite although code and
// scale are, and whether a scale of zero hides codes.
static void inspect(const job *j, const code_row *codes, int64_t n, float scale, int64_t row, int64_t col)
{
    bool is_valid = scale >= 0 && scale < INFINITY, has_value = false;
    for (int64_t i = col; i < col + n; i++) {
        float value = code_value(codes, i);
        has_value |= value != 0; // NaN as well
        if (!is_valid || isnan(value)) continue;
        bool is_overflow = !isfinite(lf_bf16_to_f32(lf_bf16_from_f32(value * scale)));
        if (is_overflow || isinf(value)) note(j->report, &j->report->n_overflow, 1, row, i);
    }
    if (!is_valid || (scale == 0 && has_value)) note(j->report, &j->report->n_bad_scale, 1, row, col);
}

static void note_nan(const job *j, const code_row *codes, size_t n_nan, int64_t row, int64_t col)
{
    if (n_nan == 0) return;
    while (!lf_fp8_is_nan(codes->dtype, codes->bytes[col])) col++;
    note(j->report, &j->report->n_nan_code, n_nan, row, col);
}

// dst[0..n) from the codes of columns [col, col + n) under one scale.
static void dequant_stretch(const job *j, const code_row *codes, lf_bf16 *dst, int64_t n, float scale, int64_t row,
                            int64_t col)
{
    if (!is_plain(codes->dtype, scale)) inspect(j, codes, n, scale, row, col);
    if (codes->is_fp4)
        lf_dequant_fp4_bf16(dst, codes->bytes, (size_t)col, (size_t)n, scale);
    else
        note_nan(j, codes, lf_dequant_fp8_bf16(dst, codes->bytes + col, (size_t)n, scale, codes->dtype), row, col);
}

// The same where every column has a scale of its own, the first being scale number `at`.
static void dequant_columns(const job *j, const code_row *codes, lf_bf16 *dst, int64_t n, int64_t at, int64_t row,
                            int64_t col)
{
    enum { CHUNK = 512 };
    float scales[CHUNK];
    for (int64_t done = 0; done < n; done += CHUNK) {
        int64_t count = LF_MIN(n - done, (int64_t)CHUNK), first = col + done;
        bool all_plain = true;
        load_scales(j, at + done, count, scales);
        for (int64_t i = 0; i < count; i++) all_plain &= is_plain(codes->dtype, scales[i]);
        for (int64_t i = 0; !all_plain && i < count; i++) {
            if (!is_plain(codes->dtype, scales[i])) inspect(j, codes, 1, scales[i], row, first + i);
        }
        size_t n_nan =
            lf_dequant_fp8_scales_bf16(dst + done, codes->bytes + first, scales, (size_t)count, codes->dtype);
        note_nan(j, codes, n_nan, row, first);
    }
}

// Whole groups of MXFP8 from column `col` on, the first with scale number `at`; returns the columns done, 0 when there
// is something to look at or the layout is another.
static int64_t dequant_groups(const job *j, const code_row *codes, lf_bf16 *dst, int64_t n, int64_t at, int64_t row,
                              int64_t col)
{
    enum { LARGEST_PLAIN = 236 }; // 2^109, see is_plain
    const lf_logical_tensor *tensor = j->tensor;
    bool is_e8m0 = tensor->scale->dtype == LF_DTYPE_F8_E8M0 || tensor->scale->dtype == LF_DTYPE_U8;
    if (!is_e8m0 || tensor->block_cols != LF_MX_GROUP || codes->is_fp4 || col % LF_MX_GROUP) return 0;
    const uint8_t *scales = tensor->scale->data + at;
    int64_t n_group = n / LF_MX_GROUP;
    uint8_t largest = 0;
    for (int64_t i = 0; i < n_group; i++) largest = LF_MAX(largest, scales[i]);
    if (largest > LARGEST_PLAIN || codes->dtype == LF_DTYPE_F8_E5M2) return 0;
    note_nan(j, codes, lf_dequant_fp8_groups_bf16(dst, codes->bytes + col, scales, (size_t)n_group, codes->dtype), row,
             col);
    return n_group * LF_MX_GROUP;
}

static void dequant_row(const job *j, int64_t row, int64_t col, int64_t n, lf_bf16 *dst)
{
    const lf_logical_tensor *tensor = j->tensor;
    const lf_stored_tensor *weight = tensor->weight;
    int64_t row_bytes = j->is_fp4 ? j->matrix_cols / 2 : j->matrix_cols;
    code_row codes = {weight->data + row * row_bytes, j->is_fp4, weight->dtype};
    int64_t chunk = row / tensor->chunk_rows, in_chunk = row - chunk * tensor->chunk_rows;
    int64_t scale_row = (chunk * j->chunk_scale_rows + in_chunk / tensor->block_rows) * j->scale_cols;
    if (tensor->block_cols == 1 && !j->is_fp4) {
        dequant_columns(j, &codes, dst, n, scale_row + col, row, col);
        return;
    }
    int64_t block = col / tensor->block_cols;
    int64_t done = dequant_groups(j, &codes, dst, n, scale_row + block, row, col);
    block += done / tensor->block_cols;
    for (int64_t end = (block + 1) * tensor->block_cols; done < n; block++, end += tensor->block_cols) {
        int64_t length = LF_MIN(n, end - col) - done;
        dequant_stretch(j, &codes, dst + done, length, scale_value(j, scale_row + block), row, col + done);
        done += length;
    }
}

static void f16_row(const uint8_t *src, int64_t n, lf_bf16 *dst)
{
    enum { CHUNK = 512 };
    float wide[CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        size_t count = (size_t)LF_MIN(n - i, (int64_t)CHUNK);
        lf_convert_f16_f32(wide, (const lf_f16 *)(const void *)(src + 2 * i), count);
        lf_convert_f32_bf16(dst + i, wide, count);
    }
}

static void bf16_row(const job *j, int64_t row, int64_t col, int64_t n, lf_bf16 *dst)
{
    const lf_stored_tensor *weight = j->tensor->weight;
    int64_t at = row * j->matrix_cols + col;
    switch (weight->dtype) {
    case LF_DTYPE_BF16: memcpy(dst, weight->data + 2 * at, (size_t)n * sizeof *dst); break;
    case LF_DTYPE_F16: f16_row(weight->data + 2 * at, n, dst); break;
    case LF_DTYPE_F32: lf_convert_f32_bf16(dst, (const float *)(const void *)(weight->data + 4 * at), (size_t)n); break;
    default: dequant_row(j, row, col, n, dst);
    }
}

static void f32_row(const job *j, int64_t row, int64_t col, int64_t n, float *dst)
{
    enum { CHUNK = 1024 };
    const lf_stored_tensor *weight = j->tensor->weight;
    int64_t at = row * j->matrix_cols + col;
    lf_bf16 narrow[CHUNK];
    switch (weight->dtype) {
    case LF_DTYPE_F32: memcpy(dst, weight->data + 4 * at, (size_t)n * sizeof *dst); return;
    case LF_DTYPE_F16:
        lf_convert_f16_f32(dst, (const lf_f16 *)(const void *)(weight->data + 2 * at), (size_t)n);
        return;
    case LF_DTYPE_BF16:
        lf_convert_bf16_f32(dst, (const lf_bf16 *)(const void *)(weight->data + 2 * at), (size_t)n);
        return;
    default: break;
    }
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = LF_MIN(n - i, (int64_t)CHUNK);
        dequant_row(j, row, col + i, count, narrow);
        lf_convert_bf16_f32(dst + i, narrow, (size_t)count);
    }
}

static bool is_readable(const lf_logical_tensor *tensor)
{
    switch (tensor->weight->dtype) {
    case LF_DTYPE_F32:
    case LF_DTYPE_F16:
    case LF_DTYPE_BF16: return tensor->layout == LF_SCALE_NONE;
    default:
        return lf_logical_is_fp4(tensor) || (lf_dtype_is_fp8(tensor->weight->dtype) &&
                                             tensor->layout != LF_SCALE_NONE && tensor->layout != LF_SCALE_BROKEN);
    }
}

static lf_status begin(job *j, const lf_logical_tensor *tensor, lf_rect rect, lf_dequant_rounding rounding,
                       size_t dst_stride, lf_dequant_report *report, lf_error *err)
{
    *j = (job){.tensor = tensor, .rounding = rounding, .report = report};
    if (!is_readable(tensor)) return unsupported(tensor, err);
    lf_status status = check_rect(tensor, rect, &j->matrix_cols, err);
    if (status) return status;
    if (dst_stride < (size_t)rect.n_col) return lf_error_set(err, LF_ERR_INVALID, "destination rows are too short");
    if (tensor->layout == LF_SCALE_NONE) return LF_OK;
    j->is_fp4 = lf_logical_is_fp4(tensor);
    j->chunk_scale_rows = lf_ceil_div(tensor->chunk_rows, tensor->block_rows);
    j->scale_cols = lf_ceil_div(j->matrix_cols, tensor->block_cols);
    return LF_OK;
}

lf_status lf_dequant_bf16(const lf_logical_tensor *tensor, lf_rect rect, lf_dequant_rounding rounding, lf_bf16 *dst,
                          size_t dst_stride, lf_dequant_report *report, lf_error *err)
{
    job j;
    lf_status status = begin(&j, tensor, rect, rounding, dst_stride, report, err);
    if (status || rect.n_col == 0) return status;
    for (int64_t r = 0; r < rect.n_row; r++)
        bf16_row(&j, rect.row + r, rect.col, rect.n_col, dst + (size_t)r * dst_stride);
    return LF_OK;
}

lf_status lf_dequant_f32(const lf_logical_tensor *tensor, lf_rect rect, lf_dequant_rounding rounding, float *dst,
                         size_t dst_stride, lf_dequant_report *report, lf_error *err)
{
    job j;
    lf_status status = begin(&j, tensor, rect, rounding, dst_stride, report, err);
    if (status || rect.n_col == 0) return status;
    for (int64_t r = 0; r < rect.n_row; r++)
        f32_row(&j, rect.row + r, rect.col, rect.n_col, dst + (size_t)r * dst_stride);
    return LF_OK;
}
