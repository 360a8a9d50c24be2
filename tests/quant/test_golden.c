// SPDX-License-Identifier: Apache-2.0
//
// The golden checkpoints: their schemes, no findings, clean data; and that each single scale that is taken away is
// named.
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
} goldens[] = {
    {"llama_bf16_bias_tied", "not quantized", 0, 0},
    {"llama_bf16_llama3rope", "not quantized", 0, 0},
    {"llama_bf16_yarn", "not quantized", 0, 0},
    {"llama_fp8_block_f16", "fp8 e4m3, block 64x64, F16 scales", 14, 0},
    {"llama_fp8_e5m2", "fp8 e5m2, per tensor, F32 scales", 14, 0},
    {"llama_fp8_tensor_static", "fp8 e4m3, per tensor, F32 scales", 14, 14},
    {"qwen2_bf16_tied", "not quantized", 0, 0},
    {"qwen2_fp8_block", "fp8 e4m3, block 128x128, F32 scales", 14, 0},
    {"qwen3_bf16", "not quantized", 0, 0},
    {"qwen3_bf16_yarn_7to1", "not quantized", 0, 0},
    {"qwen3_fp8_block", "fp8 e4m3, block 128x128, BF16 scales", 14, 0},
    {"qwen3_fp8_block_32x48", "fp8 e4m3, block 32x48, F32 scales", 14, 0},
    {"qwen3_fp8_block_e8m0", "fp8 e4m3, block 128x128, F8_E8M0 scales", 14, 0},
    {"qwen3_fp8_channel_ct", "fp8 e4m3, per channel, BF16 scales", 14, 0},
};

static void open_golden(opened *o, const char *name)
{
    char dir[512], path[600];
    lf_error err;
    json_t *config;
    snprintf(dir, sizeof dir, "%s/%s/checkpoint", getenv("LF_TEST_GOLDEN"), name);
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(lf_json_load(&config, path, 1 << 20, &err), LF_OK);
    open_directory(o, dir, config);
}

static void opens_and_dequantizes(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(goldens); i++) {
        opened o;
        open_golden(&o, goldens[i].name);
        assert_no_findings(&o.findings);
        assert_string_equal(lf_quant_scheme(o.quant), goldens[i].scheme);
        assert_int_equal(lf_quant_n_quantized(o.quant), goldens[i].n_quantized);
        assert_int_equal(lf_quant_n_side(o.quant), goldens[i].n_side);
        for (size_t k = 0; k < lf_quant_count(o.quant); k++) {
            const lf_logical_tensor *t = lf_quant_tensor(o.quant, k);
            int64_t n_row, n_col;
            lf_logical_matrix_shape(t, &n_row, &n_col);
            lf_bf16 *dst = malloc((size_t)(n_row * n_col) * sizeof *dst);
            lf_dequant_report report = {0};
            lf_error err;
            lf_rect all = {0, 0, n_row, n_col};
            assert_int_equal(lf_dequant_bf16(t, all, LF_DEQUANT_EXACT, dst, (size_t)n_col, &report, &err), LF_OK);
            assert_int_equal(report.n_nan_code + report.n_bad_scale + report.n_overflow, 0);
            free(dst);
        }
        close_opened(&o);
    }
}

// Rebuilds a golden checkpoint as one shard, without the tensor at `skip`.
static void copy_without(maker *m, const lf_checkpoint *source, size_t skip)
{
    for (size_t i = 0; i < lf_checkpoint_count(source); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(source, i);
        int64_t shape[LF_MAX_RANK + 1];
        memcpy(shape, tensor->shape, sizeof tensor->shape);
        shape[tensor->rank] = -1;
        if (i != skip) add_tensor(m, tensor->name, lf_dtype_name(tensor->dtype), tensor->data, shape);
    }
}

/* L4: an unpaired weight is refused before data is read */
static void names_each_scale_that_is_taken_away(void **state)
{
    static const char *const names[] = {"qwen3_fp8_block", "llama_fp8_tensor_static", "qwen3_fp8_channel_ct"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        opened whole;
        open_golden(&whole, names[i]);
        char *quantization = json_dumps(json_object_get(whole.config, "quantization_config"), 0);
        size_t n_tried = 0;
        for (size_t k = 0; k < lf_checkpoint_count(whole.checkpoint); k++) {
            const char *name = lf_checkpoint_tensor(whole.checkpoint, k)->name;
            if (!strstr(name, ".weight_scale")) continue;
            maker m = {0};
            opened o;
            copy_without(&m, whole.checkpoint, k);
            open_made(&o, &m, quantization);
            assert_int_equal(o.findings.n_error, 1);
            const lf_finding *found = find_code(&o.findings, "scale-missing");
            assert_non_null(found);
            assert_int_equal(strncmp(found->subject, name, strlen(found->subject)), 0);
            assert_int_equal(strncmp(found->expected, name, strlen(name)), 0);
            assert_int_equal(lf_quant_n_quantized(o.quant), 13);
            close_opened(&o);
            n_tried++;
        }
        assert_int_equal(n_tried, 14);
        free(quantization);
        close_opened(&whole);
    }
}

int test_golden(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_dequantizes),
        cmocka_unit_test(names_each_scale_that_is_taken_away),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
