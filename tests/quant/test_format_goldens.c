// SPDX-License-Identifier: Apache-2.0
//
// The toy checkpoints of tests/golden/formats, one for each family: no errors, the scheme's name, the side tensors, and
// every weight equal to the expected bf16 tensor, whole and bit for bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "tests.h"

static const struct {
    const char *name, *scheme;
    size_t n_quantized, n_side;
} families[] = {
    {"autofp8", "fp8 e4m3, per tensor, F32 scales; fp8 e4m3, per tensor, F16 scales", 2, 3},
    {"compressed_tensors", "fp8 e4m3, per channel, F32 scales; fp8 e4m3, per channel, BF16 scales", 2, 1},
    {"compressed_tensors_block", "fp8 e4m3, block 32x16, BF16 scales", 1, 0},
    {"compressed_tensors_mxfp8", "fp8 e4m3, groups of 32, U8 scales", 1, 0},
    {"compressed_tensors_tensor", "fp8 e4m3, per tensor, F32 scales", 1, 1},
    {"deepseek_v3", "fp8 e4m3, block 32x16, F32 scales", 2, 0},
    {"deepseek_v4", "fp4 e2m1, groups of 32, F8_E8M0 scales; fp8 e4m3, block 16x16, F8_E8M0 scales", 4, 0},
    {"deepseek_v41", NULL, 3, 0},
    {"e5m2", "fp8 e5m2, block 8x8, F16 scales", 1, 0},
    {"fbgemm", "fp8 e4m3, per channel, F32 scales", 3, 1},
    {"mimo_v2", NULL, 2, 0},
    {"minimax_m3", "fp8 e4m3, groups of 32, U8 scales", 1, 0},
    {"mistral_consolidated", "fp8 e4m3, per tensor, F32 scales", 2, 3},
    {"mistral_small_4", "fp8 e4m3, per expert, BF16 scales; fp8 e4m3, per tensor, BF16 scales", 3, 3},
    {"modelopt", "fp8 e4m3, block 128x128, F32 scales", 1, 2},
    {"modelopt_channel", "fp8 e4m3, per channel, F32 scales", 1, 0},
    {"modelslim", "fp8 e4m3, per channel, F32 scales", 1, 1},
    {"quark", "fp8 e4m3, per channel, F32 scales", 1, 0},
    {"qwen3", "fp8 e4m3, block 128x128, BF16 scales", 2, 0},
    {"qwen38_ngram", "fp8 e4m3, per tensor, BF16 scales", 3, 0},
    {"qwen3_vl_moe", "fp8 e4m3, block 16x16 in chunks of rows, BF16 scales", 2, 0},
    {"torchao", NULL, 2, 0},
};

static void open_part(opened *o, const char *family, const char *part)
{
    char dir[512], path[600];
    lf_error err;
    json_t *config = NULL;
    snprintf(dir, sizeof dir, "%s/formats/%s/%s", getenv("LF_TEST_GOLDEN"), family, part);
    snprintf(path, sizeof path, "%s/config.json", dir);
    if (lf_json_load(&config, path, 1 << 20, &err)) config = json_object(); // "expected" has none
    open_directory(o, dir, config);
}

static void compare_tensor(const lf_logical_tensor *got, const lf_stored_tensor *expected)
{
    int64_t shape[LF_MAX_RANK], n_row, n_col;
    assert_int_equal(lf_logical_shape(got, shape), expected->rank);
    for (int i = 0; i < expected->rank; i++) assert_int_equal(shape[i], expected->shape[i]);
    lf_logical_matrix_shape(got, &n_row, &n_col);
    lf_bf16 *values = malloc(expected->bytes);
    lf_dequant_report report = {0};
    lf_error err;
    lf_rect all = {0, 0, n_row, n_col};
    assert_int_equal(lf_dequant_bf16(got, all, LF_DEQUANT_EXACT, values, (size_t)n_col, &report, &err), LF_OK);
    assert_int_equal(report.n_nan_code + report.n_bad_scale + report.n_overflow, 0);
    if (memcmp(values, expected->data, expected->bytes) != 0) fail_msg("%s differs", expected->name);
    free(values);
}

static void equals_the_expected_tensors(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(families); i++) {
        opened o, e;
        print_message("%s\n", families[i].name);
        open_part(&o, families[i].name, "checkpoint");
        open_part(&e, families[i].name, "expected");
        assert_no_findings(&o.findings);
        if (families[i].scheme) assert_string_equal(lf_quant_scheme(o.quant), families[i].scheme);
        assert_int_equal(lf_quant_n_quantized(o.quant), families[i].n_quantized);
        assert_int_equal(lf_quant_n_side(o.quant), families[i].n_side);
        size_t n_compared = 0, n_quantized = 0;
        for (size_t k = 0; k < lf_checkpoint_count(e.checkpoint); k++, n_compared++) {
            const lf_stored_tensor *expected = lf_checkpoint_tensor(e.checkpoint, k);
            const lf_logical_tensor *got = lf_quant_find(o.quant, expected->name);
            if (!got) fail_msg("no tensor %s", expected->name);
            compare_tensor(got, expected);
            n_quantized += got->scale != NULL;
        }
        assert_true(n_compared > 0);
        assert_int_equal(n_quantized, families[i].n_quantized);
        lf_findings found = LF_FINDINGS_INIT;
        lf_error err;
        assert_int_equal(lf_quant_scan(o.quant, NULL, NULL, &found, &err), LF_OK);
        assert_int_equal(found.n_error, 0); // the values are made up: scales far from their neighbours are a warning
        lf_findings_fini(&found);
        close_opened(&o);
        close_opened(&e);
    }
}

int test_format_goldens(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_expected_tensors),
    };
    return cmocka_run_group_tests_name("format goldens", tests, NULL, NULL);
}
