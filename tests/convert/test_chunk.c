// SPDX-License-Identifier: Apache-2.0
//
// Chunks: for shapes around every edge of the cut they cover the tensor once, in order, and hold what one call for the
// whole tensor gives; damaged data is named.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

typedef struct built {
    lf_stored_tensor weight, scale;
    lf_logical_tensor logical;
    lf__out_tensor out;
    uint8_t *codes;
    float *scales;
} built;

static void build(built *b, int64_t n_row, int64_t n_col, int64_t block)
{
    size_t n = (size_t)(n_row * n_col), n_scale = (size_t)(lf_ceil_div(n_row, block) * lf_ceil_div(n_col, block));
    *b = (built){.codes = malloc(n + 1), .scales = malloc((n_scale + 1) * sizeof(float))};
    for (size_t i = 0; i < n; i++) b->codes[i] = (uint8_t)((i * 2654435761u >> 7) % 0x7f);
    for (size_t i = 0; i < n_scale; i++) b->scales[i] = 0.001f * (float)(i % 97 + 1);
    b->weight = (lf_stored_tensor){"w", LF_DTYPE_F8_E4M3, 2, {n_row, n_col}, 0, 0, n, b->codes};
    b->scale = (lf_stored_tensor){"s",         LF_DTYPE_F32,
                                  2,           {lf_ceil_div(n_row, block), lf_ceil_div(n_col, block)},
                                  0,           0,
                                  4 * n_scale, (const uint8_t *)b->scales};
    b->logical = (lf_logical_tensor){.name = "w",
                                     .weight = &b->weight,
                                     .scale = &b->scale,
                                     .layout = LF_SCALE_BLOCK,
                                     .chunk_rows = LF_MAX(n_row, 1),
                                     .block_rows = block,
                                     .block_cols = block};
    b->out = (lf__out_tensor){&b->logical, 0, 2 * n};
}

static void release(built *b)
{
    free(b->codes);
    free(b->scales);
}

static void chunks_equal_the_whole(void **state)
{
    const int64_t cols = LF__CHUNK_BYTES / 2;
    const int64_t shapes[][2] = {{1, 1},          {1, cols - 1},     {1, cols},  {1, cols + 1}, {3, cols + 1},
                                 {2, 2 * cols},   {2, 2 * cols + 5}, {700, 300}, {cols, 1},     {cols + 1, 1},
                                 {130, cols / 2}, {5, cols / 2 + 1}, {0, 5},     {5, 0}};
    uint8_t *scratch = lf_aligned_alloc(LF__CHUNK_BYTES);
    for (size_t s = 0; s < LF_ARRAY_LENGTH(shapes); s++) {
        built b;
        lf_error err = {0};
        build(&b, shapes[s][0], shapes[s][1], 128);
        size_t n = (size_t)(shapes[s][0] * shapes[s][1]);
        lf_bf16 *whole = malloc(n * sizeof *whole + 1);
        lf_dequant_report report = {0};
        lf_rect all = {0, 0, shapes[s][0], shapes[s][1]};
        assert_int_equal(lf_dequant_bf16(&b.logical, all, LF_DEQUANT_EXACT, whole, (size_t)shapes[s][1], &report, &err),
                         LF_OK);
        uint64_t off = 0, n_chunk = lf__chunk_count(&b.out);
        for (uint64_t i = 0; i < n_chunk; i++) {
            lf__chunk chunk;
            assert_int_equal(lf__chunk_make(&b.out, i, LF_DEQUANT_EXACT, scratch, &chunk, &err), LF_OK);
            assert_int_equal(chunk.off, off);
            assert_true(chunk.bytes > 0 && chunk.bytes <= LF__CHUNK_BYTES);
            assert_memory_equal(chunk.data, (uint8_t *)whole + off, chunk.bytes);
            off += chunk.bytes;
        }
        assert_int_equal(off, 2 * n);
        free(whole);
        release(&b);
    }
    free(scratch);
}

static void takes_other_tensors_over(void **state)
{
    size_t n = 2 * LF__CHUNK_BYTES + 3, off = 0;
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 7 >> 3);
    lf_stored_tensor stored = {"t", LF_DTYPE_U8, 1, {(int64_t)n}, 0, 0, n, bytes};
    lf_logical_tensor logical = {.name = "t", .weight = &stored};
    lf__out_tensor out = {&logical, 0, n};
    lf_error err = {0};
    assert_int_equal(lf__chunk_count(&out), 3);
    for (uint64_t i = 0; i < 3; i++) {
        lf__chunk chunk;
        assert_int_equal(lf__chunk_make(&out, i, LF_DEQUANT_EXACT, NULL, &chunk, &err), LF_OK);
        assert_ptr_equal(chunk.data, bytes + off);
        off += chunk.bytes;
    }
    assert_int_equal(off, n);
    free(bytes);
}

static void names_damaged_data(void **state)
{
    const struct {
        uint8_t code;
        float scale;
        const char *what;
    } cases[] = {{0x7f, 1, "NaN code in 'w' at row 150, column 3"},
                 {0xff, 1, "NaN code in 'w' at row 150, column 3"},
                 {0x7e, 1e38f, "overflow of code times scale in 'w' at row 150, column 3"},
                 {0x01, NAN, "bad scale in 'w' at row 128, column 0"},
                 {0x01, -1, "bad scale in 'w' at row 128, column 0"},
                 {0x01, INFINITY, "bad scale in 'w' at row 128, column 0"},
                 {0x01, 0, "bad scale in 'w' at row 150, column 0"}};
    uint8_t *scratch = lf_aligned_alloc(LF__CHUNK_BYTES);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        built b;
        lf__chunk chunk;
        lf_error err = {0};
        build(&b, 200, 10, 128);
        memset(b.codes, 0, 2000);
        b.codes[150 * 10 + 3] = cases[i].code;
        b.scales[1] = cases[i].scale;
        assert_int_equal(lf__chunk_make(&b.out, 0, LF_DEQUANT_EXACT, scratch, &chunk, &err), LF_ERR_FORMAT);
        assert_string_equal(err.message, cases[i].what);
        assert_string_equal(err.subject, "w");
        release(&b);
    }
    free(scratch);
}

int test_chunk(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_equal_the_whole),
        cmocka_unit_test(takes_other_tensors_over),
        cmocka_unit_test(names_damaged_data),
    };
    return cmocka_run_group_tests_name("convert chunk", tests, NULL, NULL);
}
