// SPDX-License-Identifier: Apache-2.0
//
// Rectangles against an element-by-element reference, bit for bit: all layouts, scale dtypes, partial blocks,
// rectangles that begin and end inside blocks; and the report of what is wrong with the data.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

static float scale_at(const lf_stored_tensor *scale, int64_t i)
{
    uint16_t half;
    float value;
    switch (scale->dtype) {
    case LF_DTYPE_F32: memcpy(&value, scale->data + 4 * i, 4); return value;
    case LF_DTYPE_F8_E8M0: return ldexpf(1, scale->data[i] - 127);
    case LF_DTYPE_F16: memcpy(&half, scale->data + 2 * i, 2); return lf_f16_to_f32(half);
    default: memcpy(&half, scale->data + 2 * i, 2); return lf_bf16_to_f32(half);
    }
}

// The definition: bf16(float(code) * float(scale)).
static lf_bf16 reference(const lf_logical_tensor *t, int64_t row, int64_t col, lf_dequant_rounding rounding)
{
    int64_t n_row, n_col, at = 0;
    lf_logical_matrix_shape(t, &n_row, &n_col);
    if (t->layout == LF_SCALE_CHANNEL) at = row;
    if (t->layout == LF_SCALE_BLOCK) {
        int64_t per_row = (n_col + t->block_cols - 1) / t->block_cols;
        at = row / t->block_rows * per_row + col / t->block_cols;
    }
    float scale = scale_at(t->scale, at);
    if (rounding == LF_DEQUANT_BF16_SCALE) scale = lf_bf16_to_f32(lf_bf16_from_f32(scale));
    return lf_bf16_from_f32(lf_fp8_to_f32(t->weight->dtype, t->weight->data[row * n_col + col]) * scale);
}

static void compare_rect(const lf_logical_tensor *t, lf_rect rect, lf_dequant_rounding rounding)
{
    size_t stride = (size_t)rect.n_col + 3, n = stride * (size_t)rect.n_row + 1;
    lf_bf16 *got = malloc(n * sizeof *got);
    float *wide = malloc(n * sizeof *wide);
    lf_dequant_report report = {0};
    lf_error err;
    memset(got, 0xa5, n * sizeof *got);
    memset(wide, 0xa5, n * sizeof *wide);
    assert_int_equal(lf_dequant_bf16(t, rect, rounding, got, stride, &report, &err), LF_OK);
    assert_int_equal(lf_dequant_f32(t, rect, rounding, wide, stride, &report, &err), LF_OK);
    for (int64_t r = 0; r < rect.n_row; r++) {
        for (size_t c = 0; c < stride; c++) {
            size_t i = (size_t)r * stride + c;
            bool is_outside = c >= (size_t)rect.n_col;
            lf_bf16 expected = is_outside ? 0xa5a5 : reference(t, rect.row + r, rect.col + (int64_t)c, rounding);
            if (got[i] != expected)
                fail_msg("%s row %lld column %zu: 0x%04x, expected 0x%04x", t->name, (long long)r, c, got[i], expected);
            if (!is_outside)
                assert_int_equal(lf_f32_bits(wide[i]), (uint32_t)expected << 16);
            else
                assert_int_equal(lf_f32_bits(wide[i]), 0xa5a5a5a5u);
        }
    }
    assert_int_equal(report.n_nan_code + report.n_bad_scale + report.n_overflow, 0);
    free(got);
    free(wide);
}

// Positive scales of an ordinary size, in the given dtype.
static void *make_scales(const char *dtype, size_t n)
{
    uint8_t *bytes = calloc(n, 4);
    for (size_t i = 0; i < n; i++) {
        float value = 0.0001f * (float)(1 + i * 37 % 101) + 1e-6f * (float)i;
        lf_bf16 narrow = dtype[0] == 'B' ? lf_bf16_from_f32(value) : lf_f16_from_f32(value);
        if (strcmp(dtype, "F32") == 0)
            memcpy(bytes + 4 * i, &value, 4);
        else if (strcmp(dtype, "F8_E8M0") == 0)
            bytes[i] = (uint8_t)(110 + i % 20);
        else
            memcpy(bytes + 2 * i, &narrow, 2);
    }
    return bytes;
}

static void compare_layout(const char *weight_dtype, const char *scale_dtype, const int64_t *scale_shape,
                           const char *config)
{
    enum { ROWS = 70, COLS = 150 };
    maker m = {.random = 11};
    opened o;
    size_t n_scale = 1;
    for (size_t i = 0; scale_shape[i] >= 0; i++) n_scale *= (size_t)scale_shape[i];
    void *scales = make_scales(scale_dtype, n_scale);
    ADD(&m, "pad", "U8", 1); // everything behind it is unaligned
    ADD(&m, "m.weight", weight_dtype, ROWS, COLS);
    add_tensor(&m, "m.weight_scale", scale_dtype, scales, scale_shape);
    free(scales);
    open_made(&o, &m, config);
    assert_no_findings(&o.findings);
    const lf_logical_tensor *t = lf_quant_find(o.quant, "m.weight");
    for (int rounding = 0; rounding < 2; rounding++) {
        compare_rect(t, (lf_rect){0, 0, ROWS, COLS}, (lf_dequant_rounding)rounding);
        compare_rect(t, (lf_rect){0, 0, 1, 1}, (lf_dequant_rounding)rounding);
        compare_rect(t, (lf_rect){ROWS - 1, COLS - 1, 1, 1}, (lf_dequant_rounding)rounding);
        for (int64_t row = 0; row < ROWS; row += 13) { // starts and lengths that fit no block
            for (int64_t col = 0; col < COLS; col += 17) {
                lf_rect rect = {row, col, LF_MIN(ROWS - row, 1 + col % 29), LF_MIN(COLS - col, 1 + row * 3 % 131)};
                compare_rect(t, rect, (lf_dequant_rounding)rounding);
            }
        }
    }
    compare_rect(t, (lf_rect){ROWS, COLS, 0, 0}, LF_DEQUANT_EXACT);
    compare_rect(t, (lf_rect){3, 0, 4, 0}, LF_DEQUANT_EXACT);
    close_opened(&o);
}

static void equals_the_definition(void **state)
{
    static const char *const weights[] = {"F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"};
    static const char *const scales[] = {"F32", "BF16", "F16", "F8_E8M0"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(scales); i++) {
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){-1}, NULL);
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){70, 1, -1}, NULL);
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){70, -1}, NULL);
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){2, 3, -1}, "{\"weight_block_size\":[64,64]}");
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){3, 4, -1}, "{\"weight_block_size\":[32,48]}");
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){1, 2, -1}, "{\"weight_block_size\":[128,128]}");
        compare_layout("F8_E4M3", scales[i], (const int64_t[]){70, 150, -1}, "{\"weight_block_size\":[1,1]}");
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(weights); i++) {
        compare_layout(weights[i], "F32", (const int64_t[]){10, 22, -1}, "{\"weight_block_size\":[7,7]}");
    }
}

static void refuses_rectangles_outside(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "m.weight", "F8_E4M3", 4, 8);
    ADD(&m, "m.weight_scale", "F32", 1);
    open_made(&o, &m, NULL);
    const lf_logical_tensor *t = lf_quant_find(o.quant, "m.weight");
    const lf_rect bad[] = {{-1, 0, 1, 1}, {0, -1, 1, 1},        {4, 0, 1, 1},         {0, 8, 1, 1},
                           {0, 0, 5, 8},  {0, 0, 4, 9},         {3, 0, 2, 1},         {0, 0, -1, 1},
                           {0, 0, 1, -1}, {1, 0, INT64_MAX, 1}, {0, 1, 1, INT64_MAX}, {5, 0, 0, 0}};
    lf_bf16 dst[64];
    lf_dequant_report report = {0};
    lf_error err;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(bad); i++) {
        assert_int_equal(lf_dequant_bf16(t, bad[i], LF_DEQUANT_EXACT, dst, 8, &report, &err), LF_ERR_INVALID);
    }
    assert_int_equal(lf_dequant_bf16(t, (lf_rect){0, 0, 4, 8}, LF_DEQUANT_EXACT, dst, 7, &report, &err),
                     LF_ERR_INVALID);
    close_opened(&o);
}

static void reads_unquantized_tensors(void **state)
{
    static const float values[6] = {1.0f, -2.5f, 1.00390625f, 1e-40f, 65504.0f, 0.0f};
    uint16_t f16[6], bf16[6];
    for (size_t i = 0; i < 6; i++) {
        f16[i] = lf_f16_from_f32(values[i]);
        bf16[i] = lf_bf16_from_f32(values[i]);
    }
    maker m = {0};
    opened o;
    add_tensor(&m, "a", "F32", values, (const int64_t[]){2, 3, -1});
    add_tensor(&m, "b", "F16", f16, (const int64_t[]){6, -1});
    add_tensor(&m, "c", "BF16", bf16, (const int64_t[]){1, 2, 3, -1});
    add_tensor(&m, "d", "F32", values, (const int64_t[]){-1});
    ADD(&m, "e", "I32", 2);
    open_made(&o, &m, NULL);
    lf_dequant_report report = {0};
    lf_error err;
    float wide[6];
    lf_bf16 narrow[6];
    for (int k = 0; k < 3; k++) {
        const char name[] = {(char)('a' + k), '\0'};
        const lf_logical_tensor *t = lf_quant_find(o.quant, name);
        int64_t n_row, n_col;
        lf_logical_matrix_shape(t, &n_row, &n_col);
        assert_int_equal(n_row, k == 1 ? 1 : 2);
        assert_int_equal(n_col, k == 1 ? 6 : 3);
        lf_rect all = {0, 0, n_row, n_col};
        assert_int_equal(lf_dequant_f32(t, all, LF_DEQUANT_EXACT, wide, (size_t)n_col, &report, &err), LF_OK);
        assert_int_equal(lf_dequant_bf16(t, all, LF_DEQUANT_EXACT, narrow, (size_t)n_col, &report, &err), LF_OK);
        for (size_t i = 0; i < 6; i++) {
            float expected = k == 0 ? values[i] : k == 1 ? lf_f16_to_f32(f16[i]) : lf_bf16_to_f32(bf16[i]);
            assert_int_equal(lf_f32_bits(wide[i]), lf_f32_bits(expected));
            assert_int_equal(narrow[i], lf_bf16_from_f32(expected));
        }
    }
    const lf_logical_tensor *scalar = lf_quant_find(o.quant, "d");
    assert_int_equal(lf_dequant_f32(scalar, (lf_rect){0, 0, 1, 1}, LF_DEQUANT_EXACT, wide, 1, &report, &err), LF_OK);
    assert_true(wide[0] == 1.0f);
    const lf_logical_tensor *integers = lf_quant_find(o.quant, "e");
    assert_int_equal(lf_dequant_f32(integers, (lf_rect){0, 0, 1, 2}, LF_DEQUANT_EXACT, wide, 2, &report, &err),
                     LF_ERR_UNSUPPORTED);
    close_opened(&o);
}

typedef struct report_row {
    const char *dtype;
    uint8_t code; // at row 2, column 40; all other codes are `fill`
    uint8_t fill;
    uint32_t scale_bits; // of the block that holds row 2, column 40; the others are 1
    uint64_t n_nan_code, n_bad_scale, n_overflow;
} report_row;

// Blocks of 4 x 32 in a matrix of 8 x 64: block (0, 1) holds rows 0 to 3, columns 32 to 63.
static const report_row reports[] = {
    {"F8_E4M3", 0x38, 0x38, 0x3f800000, 0, 0, 0},
    {"F8_E4M3", 0x7f, 0x38, 0x3f800000, 1, 0, 0},
    {"F8_E4M3", 0xff, 0x38, 0x3f800000, 1, 0, 0},
    {"F8_E5M2", 0x7d, 0x38, 0x3f800000, 1, 0, 0},
    {"F8_E5M2", 0x7c, 0x38, 0x3f800000, 0, 0, 1}, // Inf in the weight
    {"F8_E4M3FNUZ", 0x80, 0x38, 0x3f800000, 1, 0, 0},
    {"F8_E4M3", 0x38, 0x38, 0x7fc00000, 0, 4, 0}, // NaN, once for each of its rows
    {"F8_E4M3", 0x38, 0x38, 0x7f800000, 0, 4, 0}, // Inf
    {"F8_E4M3", 0x38, 0x38, 0xbf800000, 0, 4, 0}, // negative
    {"F8_E4M3", 0x38, 0x38, 0xff7fffff, 0, 4, 0}, // vLLM's mark of an unloaded scale
    {"F8_E4M3", 0x38, 0x38, 0x00000000, 0, 4, 0}, // zero over values
    {"F8_E4M3", 0x38, 0x00, 0x00000000, 0, 1, 0}, // zero over one value
    {"F8_E4M3", 0x80, 0x00, 0x00000000, 0, 0, 0}, // zero over zeros
    {"F8_E4M3", 0x7e, 0x00, 0x7b800000, 0, 0, 1}, // 448 * 2^120
    {"F8_E4M3", 0x7e, 0x00, 0x7a800000, 0, 0, 0}, // 448 * 2^118 still fits
    {"F8_E4M3", 0x08, 0x00, 0x7f000000, 0, 0, 0}, // a huge scale over small values
};

static void reports_bad_data(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(reports); i++) {
        const report_row *row = &reports[i];
        uint8_t codes[8 * 64];
        uint32_t scales[4] = {0x3f800000, row->scale_bits, 0x3f800000, 0x3f800000};
        memset(codes, row->fill, sizeof codes);
        codes[2 * 64 + 40] = row->code;
        maker m = {0};
        opened o;
        add_tensor(&m, "m.weight", row->dtype, codes, (const int64_t[]){8, 64, -1});
        add_tensor(&m, "m.weight_scale_inv", "F32", scales, (const int64_t[]){2, 2, -1});
        open_made(&o, &m, "{\"weight_block_size\":[4,32]}");
        assert_no_findings(&o.findings); // headers do not show it
        const lf_logical_tensor *t = lf_quant_find(o.quant, "m.weight");
        lf_bf16 dst[8 * 64];
        lf_dequant_report report = {0};
        lf_error err;
        assert_int_equal(lf_dequant_bf16(t, (lf_rect){0, 0, 8, 64}, LF_DEQUANT_EXACT, dst, 64, &report, &err), LF_OK);
        if (report.n_nan_code != row->n_nan_code || report.n_bad_scale != row->n_bad_scale ||
            report.n_overflow != row->n_overflow) {
            fail_msg("row %zu: %llu NaN codes, %llu bad scales, %llu overflows", i,
                     (unsigned long long)report.n_nan_code, (unsigned long long)report.n_bad_scale,
                     (unsigned long long)report.n_overflow);
        }
        bool is_element = row->n_nan_code || row->n_overflow || row->n_bad_scale == 1;
        if (is_element) assert_int_equal(report.first_row, 2);
        if (row->n_nan_code || row->n_overflow) assert_int_equal(report.first_col, 40);
        if (row->n_bad_scale) assert_int_equal(report.first_col, 32);
        if (row->n_nan_code) assert_int_equal(dst[2 * 64 + 40], 0x7fc0);
        size_t n_expected = (row->n_nan_code > 0) + (row->n_bad_scale > 0) + (row->n_overflow > 0);
        lf_findings found = LF_FINDINGS_INIT;
        assert_int_equal(lf_quant_scan(o.quant, NULL, NULL, &found, &err), LF_OK);
        assert_int_equal(found.n_error, n_expected);
        if (n_expected) {
            assert_finding(&found,
                           row->n_nan_code    ? "nan-code"
                           : row->n_bad_scale ? "bad-scale"
                                              : "overflow",
                           LF_SEVERITY_ERROR, "m.weight");
        }
        lf_findings_fini(&found);
        // A part that does not touch the block has nothing to report.
        lf_dequant_report clean = {0};
        assert_int_equal(lf_dequant_bf16(t, (lf_rect){0, 0, 8, 32}, LF_DEQUANT_EXACT, dst, 64, &clean, &err), LF_OK);
        assert_int_equal(clean.n_nan_code + clean.n_bad_scale + clean.n_overflow, 0);
        close_opened(&o);
    }
}

int test_dequant(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(refuses_rectangles_outside),
        cmocka_unit_test(reads_unquantized_tensors),
        cmocka_unit_test(reports_bad_data),
    };
    return cmocka_run_group_tests_name("dequant", tests, NULL, NULL);
}
