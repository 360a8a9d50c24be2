// SPDX-License-Identifier: Apache-2.0
//
// Every golden checkpoint through the loader: each row filled once, each value the one that a naive element-by-element
// computation gives, each tensor used or ignored for a reason. (Lessons L2 and L3.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/log.h"
#include "base/mem.h"
#include "fake_device.h"
#include "load/load.h"
#include "tests.h"

static const char *const goldens[] = {
    "llama_bf16_bias_tied",
    "llama_bf16_llama3rope",
    "llama_bf16_yarn",
    "llama_fp8_block_f16",
    "llama_fp8_e5m2",
    "llama_fp8_tensor_static",
    "qwen2_bf16_tied",
    "qwen2_fp8_block",
    "qwen3_bf16",
    "qwen3_bf16_yarn_7to1",
    "qwen3_fp8_block",
    "qwen3_fp8_block_32x48",
    "qwen3_fp8_block_e8m0",
    "qwen3_fp8_channel_ct",
    "moe/qwen3_moe_fp8_block",
    "moe/minimax_m2_bf16",
    "moe/deepseek_v3_fp8_block",
    "moe/deepseek_v3_bf16_no_q_lora",
};

static void open_golden(opened *o, const char *name)
{
    char folder[512];
    const char *root = getenv("LF_TEST_GOLDEN");
    assert_non_null(root);
    snprintf(folder, sizeof folder, "%s/%s/checkpoint", root, name);
    opened_init(o, folder);
    assert_int_equal(o->findings.n_error, 0);
}

static lf_weights *load(fake_device *fake, const opened *o)
{
    lf_error err = {0};
    lf_weights *weights = NULL;
    lf_load_args args = {.device = &fake->base, .config = &o->config, .quant = o->quant};
    if (lf_weights_load(&weights, &args, &err)) fail_msg("%s", err.message);
    return weights;
}

static float stored_value(const lf_stored_tensor *tensor, int64_t i)
{
    uint8_t bytes[4];
    size_t size = (size_t)lf_dtype_bits(tensor->dtype) / 8;
    memcpy(bytes, tensor->data + (size_t)i * size, size);
    uint16_t half;
    uint32_t word;
    memcpy(&half, bytes, sizeof half);
    memcpy(&word, bytes, sizeof word);
    switch (tensor->dtype) {
    case LF_DTYPE_BF16: return lf_bf16_to_f32(half);
    case LF_DTYPE_F16: return lf_f16_to_f32(half);
    case LF_DTYPE_F32: return lf_f32_from_bits(word);
    default: return lf_fp8_to_f32(tensor->dtype, bytes[0]);
    }
}

// Element (row, col) as float32 before the rounding to bf16.
static float naive(const lf_logical_tensor *tensor, int64_t row, int64_t col)
{
    int64_t n_row, n_col;
    lf_logical_matrix_shape(tensor, &n_row, &n_col);
    float value = stored_value(tensor->weight, row * n_col + col);
    switch (tensor->layout) {
    case LF_SCALE_BROKEN: fail();
    case LF_SCALE_NONE: return value;
    case LF_SCALE_TENSOR: return value * stored_value(tensor->scale, 0);
    case LF_SCALE_CHANNEL: return value * stored_value(tensor->scale, row);
    case LF_SCALE_BLOCK:
    case LF_SCALE_GROUP: break;
    }
    int64_t per_row = lf_ceil_div(n_col, tensor->block_cols);
    return value * stored_value(tensor->scale, row / tensor->block_rows * per_row + col / tensor->block_cols);
}

// The rows of the parameter's object.
static const lf_bf16 *bf16_values(const lf_weights *weights, const lf_parameter *parameter)
{
    lf_slot slot = parameter->slot;
    if (lf_slot_is_row_major(slot)) return lf_weights_rows(weights, slot, parameter->layer).address;
    const lf_weight *matrix = parameter->expert >= 0
                                  ? lf_weights_experts(weights, slot, parameter->layer)[parameter->expert]
                                  : lf_weights_matrix(weights, slot, parameter->layer);
    assert_true(fake_weight_is_filled_once(matrix));
    return fake_weight_values(matrix);
}

static void compare_parameter(const lf_weights *weights, const lf_parameter *parameter, const lf_logical_tensor *tensor)
{
    if (lf_slot_is_f32(parameter->slot)) {
        const float *values = lf_weights_vector(weights, parameter->slot, parameter->layer).address;
        for (int64_t i = 0; i < parameter->shape[0] * parameter->shape[1]; i++) {
            int64_t row = i / parameter->shape[1], col = i % parameter->shape[1];
            float expected = parameter->rank == 1 ? naive(tensor, 0, i) : naive(tensor, row, col);
            assert_true(values[parameter->slot_row * parameter->shape[1] + i] == expected);
        }
        return;
    }
    const lf_bf16 *values = bf16_values(weights, parameter) + parameter->slot_row * parameter->shape[1];
    for (int64_t row = 0; row < parameter->shape[0]; row++) {
        for (int64_t col = 0; col < parameter->shape[1]; col++) {
            lf_bf16 expected = lf_bf16_from_f32(naive(tensor, row, col));
            if (values[row * parameter->shape[1] + col] != expected) {
                fail_msg("%s[%d, %d]: %04x, expected %04x", parameter->name, (int)row, (int)col,
                         values[row * parameter->shape[1] + col], expected);
            }
        }
    }
}

static void every_value_is_the_naive_one(void **state)
{
    for (size_t g = 0; g < LF_ARRAY_LENGTH(goldens); g++) {
        opened o;
        open_golden(&o, goldens[g]);
        fake_device fake;
        fake_device_init(&fake);
        lf_weights *weights = load(&fake, &o);
        lf_parameters parameters;
        assert_int_equal(lf_parameters_build(&parameters, &o.config, NULL), LF_OK);
        for (size_t i = 0; i < parameters.count; i++) {
            const lf_logical_tensor *tensor = lf_quant_find(o.quant, parameters.items[i].name);
            assert_non_null(tensor);
            compare_parameter(weights, &parameters.items[i], tensor);
        }
        lf_parameters_fini(&parameters);
        lf_weights_free(weights);
        assert_int_equal(fake.n_live, 0);
        opened_fini(&o);
    }
}

static size_t n_quantized_in_use(const opened *o)
{
    size_t n = 0;
    for (size_t i = 0; i < lf_quant_count(o->quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(o->quant, i);
        n += tensor->layout != LF_SCALE_NONE && !lf_config_ignored_reason(&o->config, tensor->name);
    }
    return n;
}

static void the_ledger_accounts_for_every_tensor(void **state)
{
    for (size_t g = 0; g < LF_ARRAY_LENGTH(goldens); g++) {
        opened o;
        open_golden(&o, goldens[g]);
        fake_device fake;
        fake_device_init(&fake);
        lf_weights *weights = load(&fake, &o);
        json_t *ledger = lf_weights_ledger(weights), *ignored = json_object_get(ledger, "tensors_ignored");
        size_t n_used = (size_t)json_integer_value(json_object_get(ledger, "tensors_used"));
        assert_string_equal(json_string_value(json_object_get(ledger, "load_format")), "auto");
        assert_int_equal(n_used + json_array_size(ignored), lf_checkpoint_count(o.checkpoint));
        assert_int_equal(json_integer_value(json_object_get(ledger, "tensors_dequantized")), n_quantized_in_use(&o));
        assert_true(json_integer_value(json_object_get(ledger, "bytes_read")) <=
                    (json_int_t)lf_checkpoint_bytes(o.checkpoint));
        size_t i;
        json_t *item;
        json_array_foreach(ignored, i, item)
        {
            const char *name = json_string_value(json_object_get(item, "name"));
            assert_non_null(lf_checkpoint_find(o.checkpoint, name));
            assert_true(json_string_length(json_object_get(item, "reason")) > 0);
        }
        if (strcmp(goldens[g], "llama_fp8_tensor_static") == 0) assert_true(json_array_size(ignored) > 0);
        if (strcmp(goldens[g], "moe/deepseek_v3_fp8_block") == 0) assert_true(json_array_size(ignored) > 50);
        json_decref(ledger);
        lf_weights_free(weights);
        opened_fini(&o);
    }
}

typedef struct captured {
    char text[4096];
} captured;

static void capture(void *ctx, lf_log_level level, const char *line)
{
    captured *log = ctx;
    size_t used = strlen(log->text);
    snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
}

/* L5: the program takes the dequantizing path by itself and says so. */
static void the_log_says_that_fp8_is_dequantized(void **state)
{
    static const struct {
        const char *golden;
        bool executes_fp8, is_logged;
    } cases[] = {{"qwen3_fp8_block", false, true}, {"qwen3_fp8_block", true, false}, {"qwen3_bf16", false, false}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        opened o;
        open_golden(&o, cases[i].golden);
        fake_device fake;
        fake_device_init(&fake);
        fake.executes_fp8 = cases[i].executes_fp8;
        static captured log; // static: the sink may outlive a failed test
        log.text[0] = 0;
        lf_log_set_level(LF_LOG_INFO);
        lf_log_set_sink(capture, &log);
        lf_weights *weights = load(&fake, &o);
        lf_log_set_sink(NULL, NULL);
        lf_log_set_level(LF_LOG_ERROR);
        assert_int_equal(strstr(log.text, "dequantized to bf16 while loading") != NULL, cases[i].is_logged);
        assert_non_null(strstr(log.text, "Loading weights took "));
        lf_weights_free(weights);
        opened_fini(&o);
    }
}

int test_golden(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_is_the_naive_one),
        cmocka_unit_test(the_ledger_accounts_for_every_tensor),
        cmocka_unit_test(the_log_says_that_fp8_is_dequantized),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
