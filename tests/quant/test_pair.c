// SPDX-License-Identifier: Apache-2.0
//
// Pairing in both directions, layouts by shape, block sizes by config, and each way in which it can be wrong.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "quant/quant_int.h"
#include "tests.h"

static const char block128[] = "{\"quant_method\":\"fp8\",\"weight_block_size\":[128,128]}";
static const char plain[] = "{\"quant_method\":\"fp8\"}";

typedef struct layout_row {
    const char *scale_name, *dtype;
    int64_t shape[5]; // of the scale, -1 ends it
    const char *config;
    lf_scale_layout layout;
    int64_t block_rows, block_cols;
} layout_row;

// The weight is called m.weight and is [300, 200].
static const layout_row layouts[] = {
    {"m.weight_scale_inv", "F32", {3, 2, -1}, block128, LF_SCALE_BLOCK, 128, 128},
    {"m.weight_scale", "BF16", {3, 2, -1}, block128, LF_SCALE_BLOCK, 128, 128},
    {"m.scale", "F8_E8M0", {3, 2, -1}, block128, LF_SCALE_BLOCK, 128, 128},
    {"m.weight_scale_inv",
     "F16",
     {10, 5, -1},
     "{\"quant_method\":\"fp8\",\"weight_block_size\":[32,48]}",
     LF_SCALE_BLOCK,
     32,
     48},
    {"m.weight_scale",
     "F32",
     {3, 1, 2, 1, -1},
     "{\"quant_method\":\"modelopt\",\"quant_algo\":\"FP8_PB_WO\"}",
     LF_SCALE_BLOCK,
     128,
     128},
    {"m.weight_scale",
     "F32",
     {3, 2, -1},
     "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"group_0\":{\"weights\":{\"strategy\":\"block\","
     "\"block_structure\":[128,128]}}}}",
     LF_SCALE_BLOCK,
     128,
     128},
    {"m.weight_scale",
     "BF16",
     {3, 2, -1},
     "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"any\":{\"weights\":{\"strategy\":\"block\",\"block_"
     "structure\":\"128x128\"}}}}",
     LF_SCALE_BLOCK,
     128,
     128},
    {"m.weight_scale", "F32", {-1}, plain, LF_SCALE_TENSOR, 300, 200},
    {"m.weight_scale_inv", "BF16", {1, -1}, plain, LF_SCALE_TENSOR, 300, 200},
    {"m.qscale_weight", "F32", {-1}, NULL, LF_SCALE_TENSOR, 300, 200},
    {"m.weight_scale",
     "F32",
     {1, 1, -1},
     "{\"quant_method\":\"fp8\",\"weight_block_size\":null}",
     LF_SCALE_TENSOR,
     300,
     200},
    {"m.weight_scale_inv", "F32", {-1}, block128, LF_SCALE_TENSOR, 300, 200},
    {"m.weight_scale",
     "BF16",
     {300, 1, -1},
     "{\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"g\":{\"weights\":{\"strategy\":\"channel\"}}}}",
     LF_SCALE_CHANNEL,
     1,
     200},
    {"m.weight_scale", "F32", {300, -1}, "{\"quant_method\":\"fbgemm_fp8\"}", LF_SCALE_CHANNEL, 1, 200},
};

static void recognizes_layouts(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(layouts); i++) {
        const layout_row *row = &layouts[i];
        maker m = {0};
        opened o;
        ADD(&m, "m.weight", "F8_E4M3", 300, 200);
        add_tensor(&m, row->scale_name, row->dtype, NULL, row->shape);
        open_made(&o, &m, row->config);
        assert_no_findings(&o.findings);
        assert_int_equal(lf_quant_count(o.quant), 1);
        assert_int_equal(lf_quant_n_quantized(o.quant), 1);
        const lf_logical_tensor *tensor = lf_quant_find(o.quant, "m.weight");
        assert_int_equal(tensor->layout, row->layout);
        assert_int_equal(tensor->block_rows, row->block_rows);
        assert_int_equal(tensor->block_cols, row->block_cols);
        assert_string_equal(tensor->scale->name, row->scale_name);
        close_opened(&o);
    }
}

// 576 rows in blocks of 128 have 5 rows of scales, the last one for 64 rows; 576 / 5 is no block size.
static void takes_partial_blocks_from_the_config(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "kv.weight", "F8_E4M3", 576, 7168);
    ADD(&m, "kv.weight_scale_inv", "F32", 5, 56);
    json_t *config = json_pack("{s:{s:{s:s, s:[i,i]}}}", "text_config", "quantization_config", "quant_method", "fp8",
                               "weight_block_size", 128, 128); // where multimodal models have it
    open_made(&o, &m, NULL);
    assert_finding(&o.findings, "block-size-missing", LF_SEVERITY_ERROR, "kv.weight");
    lf_error err;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_quant *quant;
    assert_int_equal(lf_quant_open(&quant, o.checkpoint, config, &findings, &err), LF_OK);
    assert_no_findings(&findings);
    assert_int_equal(lf_quant_tensor(quant, 0)->block_rows, 128);
    assert_string_equal(lf_quant_scheme(quant), "fp8 e4m3, block 128x128, F32 scales");
    lf_quant_close(quant);
    json_decref(config);
    close_opened(&o);
}

typedef struct refusal_row {
    const char *scale_name, *dtype;
    int64_t shape[4];
    const char *config;
    const char *code, *subject;
} refusal_row;

static const refusal_row refusals[] = {
    {"m.weight_scale_inv", "F32", {2, 2, -1}, block128, "scale-shape", "m.weight_scale_inv"}, // floor instead of ceil
    {"m.weight_scale_inv", "F32", {2, 3, -1}, block128, "scale-shape", "m.weight_scale_inv"}, // transposed
    {"m.weight_scale_inv", "F32", {6, -1}, block128, "scale-shape", "m.weight_scale_inv"},
    {"m.weight_scale_inv", "F32", {300, 1, -1}, block128, "scale-shape", "m.weight_scale_inv"},
    {"m.weight_scale", "F32", {200, -1}, plain, "scale-shape", "m.weight_scale"},
    {"m.weight_scale", "F32", {0, -1}, plain, "scale-shape", "m.weight_scale"},
    {"m.weight_scale_inv", "F32", {3, 2, -1}, plain, "block-size-missing", "m.weight"},
    {"m.weight_scale_inv", "I8", {3, 2, -1}, block128, "scale-dtype", "m.weight_scale_inv"},
    {"m.weight_scale_inv", "U8", {3, 2, -1}, block128, "scale-dtype", "m.weight_scale_inv"},
    {"m.weight_scale_inv", "F64", {-1}, block128, "scale-dtype", "m.weight_scale_inv"},
    {"m.wrong", "F32", {3, 2, -1}, block128, "scale-missing", "m.weight"},
    {"m.weight_scale_inv",
     "F32",
     {3, 2, -1},
     "{\"quant_method\":\"fp8\",\"weight_block_size\":[0,128]}",
     "block-size-invalid",
     "config.json"},
    {"m.weight_scale_inv",
     "F32",
     {3, 2, -1},
     "{\"quant_method\":\"fp8\",\"weight_block_size\":128}",
     "block-size-invalid",
     "config.json"},
    {"m.weight_scale_inv",
     "F32",
     {3, 2, -1},
     "{\"quant_method\":\"fp8\",\"weight_block_size\":\"128x128x\"}",
     "block-size-invalid",
     "config.json"},
};

static void refuses_what_does_not_fit(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(refusals); i++) {
        const refusal_row *row = &refusals[i];
        maker m = {0};
        opened o;
        ADD(&m, "m.weight", "F8_E4M3", 300, 200);
        add_tensor(&m, row->scale_name, row->dtype, NULL, row->shape);
        open_made(&o, &m, row->config);
        assert_finding(&o.findings, row->code, LF_SEVERITY_ERROR, row->subject);
        assert_int_equal(lf_quant_n_quantized(o.quant), 0);
        const lf_logical_tensor *tensor = lf_quant_find(o.quant, "m.weight");
        assert_int_equal(tensor->layout, LF_SCALE_BROKEN);
        assert_null(tensor->scale);
        lf_bf16 element;
        lf_error err;
        lf_dequant_report report = {0};
        assert_int_equal(lf_dequant_bf16(tensor, (lf_rect){0, 0, 1, 1}, LF_DEQUANT_EXACT, &element, 1, &report, &err),
                         LF_ERR_UNSUPPORTED);
        close_opened(&o);
    }
}

static void names_the_missing_scale(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "a.weight", "F8_E4M3", 300, 200);
    ADD(&m, "a.weight_scale_inv", "F32", 3, 2);
    ADD(&m, "b.weight", "F8_E4M3", 129, 256);
    open_made(&o, &m, block128);
    assert_finding(&o.findings, "scale-missing", LF_SEVERITY_ERROR, "b.weight");
    const lf_finding *found = find_code(&o.findings, "scale-missing");
    assert_non_null(strstr(found->expected, "b.weight_scale_inv, [2, 2]"));
    assert_non_null(strstr(found->found, "model.safetensors"));
    assert_int_equal(o.findings.n_error, 1);
    assert_int_equal(lf_quant_n_quantized(o.quant), 1);
    close_opened(&o);
}

static void refuses_orphans_and_ambiguity(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "a.weight", "F8_E4M3", 8, 8);
    ADD(&m, "a.weight_scale", "F32", 1);
    ADD(&m, "a.weight_scale_inv", "F32", 1);
    ADD(&m, "b.weight_scale_inv", "F32", 1); // no weight at all
    ADD(&m, "c.weight", "BF16", 8, 8);
    ADD(&m, "c.weight_scale", "F32", 1); // the weight was converted
    ADD(&m, "d.scale", "F8_E8M0", 1);
    ADD(&m, "e.scale", "BF16", 8);    // an ordinary parameter
    ADD(&m, "logit_scale", "F32", 1); // another
    ADD(&m, "f.weight", "F8_E4M3", 8, 8);
    ADD(&m, "f.weight_scale", "F32", 1);
    ADD(&m, "f.weird_scale", "F32", 1); // beside an FP8 weight: not to be dropped
    open_made(&o, &m, plain);
    assert_finding(&o.findings, "scale-ambiguous", LF_SEVERITY_ERROR, "a.weight");
    assert_finding(&o.findings, "scale-orphan", LF_SEVERITY_ERROR, "b.weight_scale_inv");
    assert_finding(&o.findings, "scale-unknown", LF_SEVERITY_ERROR, "f.weird_scale");
    size_t n_orphan = 0;
    for (size_t i = 0; i < o.findings.count; i++) n_orphan += strcmp(o.findings.items[i].code, "scale-orphan") == 0;
    assert_int_equal(n_orphan, 3); // b, c, d
    assert_int_equal(o.findings.n_error, 5);
    assert_non_null(lf_quant_find(o.quant, "e.scale"));
    assert_non_null(lf_quant_find(o.quant, "logit_scale"));
    assert_null(lf_quant_find(o.quant, "b.weight_scale_inv"));
    assert_int_equal(lf_quant_find(o.quant, "c.weight")->layout, LF_SCALE_NONE);
    close_opened(&o);
}

static void sets_side_tensors_aside(void **state)
{
    static const char *const names[] = {
        "m.input_scale",      "m.activation_scale", "m.qscale_act",          "m.act_scale",         "m.input_scale_ub",
        "m.input_zero_point", "m.scale_input",      "m.weight_g_idx",        "m.k_scale",           "m.v_scale",
        "m.q_scale",          "m.kv_scale",         "m.k_proj.output_scale", "m.x_fake_quantizer.y"};
    maker m = {0};
    opened o;
    ADD(&m, "m.weight", "F8_E4M3", 8, 8);
    ADD(&m, "m.weight_scale", "F32", 1);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) ADD(&m, names[i], "F32", 1);
    open_made(&o, &m, plain);
    assert_no_findings(&o.findings);
    assert_int_equal(lf_quant_n_side(o.quant), LF_ARRAY_LENGTH(names));
    assert_int_equal(lf_quant_count(o.quant), 1);
    for (size_t i = 0; i < lf_quant_n_side(o.quant); i++) assert_true(strlen(lf_quant_side(o.quant, i)->reason) > 10);
    close_opened(&o);
}

static void demands_zero_points_of_zero(void **state)
{
    static const float zero[2] = {0.0f, -0.0f}, other[2] = {0.0f, 1.0f};
    for (int is_bad = 0; is_bad < 2; is_bad++) {
        maker m = {0};
        opened o;
        ADD(&m, "m.weight", "F8_E4M3", 2, 8);
        ADD(&m, "m.weight_scale", "F32", 2, 1);
        add_tensor(&m, "m.weight_offset", "F32", is_bad ? other : zero, (const int64_t[]){2, 1, -1});
        open_made(&o, &m, plain);
        if (is_bad)
            assert_finding(&o.findings, "zero-point", LF_SEVERITY_ERROR, "m.weight_offset");
        else
            assert_no_findings(&o.findings);
        assert_int_equal(lf_quant_n_side(o.quant), 1);
        close_opened(&o);
    }
}

static void renames_torchao_weights(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "b._weight_qdata", "F8_E4M3", 8, 4);
    ADD(&m, "b._weight_scale", "F32", 8, 1);
    ADD(&m, "b.bias", "BF16", 8);
    ADD(&m, "a.weight", "BF16", 8, 4);
    open_made(&o, &m, "{\"quant_method\":\"torchao\"}");
    assert_no_findings(&o.findings);
    assert_int_equal(lf_quant_count(o.quant), 3);
    assert_string_equal(lf_quant_tensor(o.quant, 2)->name, "b.weight");
    assert_int_equal(lf_quant_find(o.quant, "b.weight")->layout, LF_SCALE_CHANNEL);
    close_opened(&o);
}

static void warns_of_a_stale_config(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "m.weight", "BF16", 8, 8);
    open_made(&o, &m, block128);
    assert_finding(&o.findings, "stale-config", LF_SEVERITY_WARNING, "config.json");
    assert_int_equal(o.findings.n_error, 0);
    assert_string_equal(lf_quant_scheme(o.quant), "not quantized");
    close_opened(&o);
}

static void lists_logical_tensors_in_order(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "z.weight", "F8_E4M3", 130, 128);
    ADD(&m, "norm.weight", "BF16", 8);
    ADD(&m, "a.weight", "F8_E5M2", 8, 128);
    ADD(&m, "z.weight_scale_inv", "F32", 2, 1);
    ADD(&m, "a.weight_scale_inv", "BF16", 1, 1);
    open_made(&o, &m, block128);
    assert_no_findings(&o.findings);
    assert_int_equal(lf_quant_count(o.quant), 3);
    assert_string_equal(lf_quant_tensor(o.quant, 0)->name, "a.weight");
    assert_string_equal(lf_quant_tensor(o.quant, 1)->name, "norm.weight");
    assert_string_equal(lf_quant_tensor(o.quant, 2)->name, "z.weight");
    assert_null(lf_quant_find(o.quant, "z.weight_scale_inv"));
    assert_non_null(strstr(lf_quant_scheme(o.quant), "fp8 e5m2, block 128x128, BF16 scales"));
    assert_non_null(strstr(lf_quant_scheme(o.quant), "fp8 e4m3, block 128x128, F32 scales"));
    close_opened(&o);
}

// The look around a weight finds what looking up its candidates by name finds, and gives up only in crowded modules.
static void finds_companions_as_by_name(void **state)
{
    static const char *const weights[] = {"c.weight", "a.b.weight", "a.b._weight_qdata", "a.experts.gate_up_proj",
                                          "z.w"};
    for (unsigned present = 0; present < 64; present++) {
        maker m = {.random = present};
        for (size_t w = 0; w < LF_ARRAY_LENGTH(weights); w++) {
            lf_buf name = LF_BUF_INIT;
            ADD(&m, weights[w], "F8_E4M3", 2, 2);
            for (size_t k = 0; k < LF__MAX_CANDIDATES && lf__scale_candidate(weights[w], k, &name); k++) {
                if (present >> k & 1) ADD(&m, lf_buf_text(&name), "F32", 1);
            }
            lf_buf_fini(&name);
        }
        ADD(&m, "c.weight_scale_inv.more", "F32", 1);
        for (int i = 0; i < 40; i++) {
            char name[32];
            snprintf(name, sizeof name, "z.v%d", i);
            ADD(&m, name, "F32", 1);
        }
        opened o;
        open_made(&o, &m, plain);
        size_t n = lf_checkpoint_count(o.checkpoint), n_crowded = 0;
        for (size_t i = 0; i < n; i++) {
            const char *weight = lf_checkpoint_tensor(o.checkpoint, i)->name;
            uint32_t found[LF__MAX_CANDIDATES];
            if (!lf__companions_near(o.checkpoint, i, found)) {
                assert_int_equal(weight[0], 'z');
                n_crowded++;
                continue;
            }
            lf_buf name = LF_BUF_INIT;
            for (size_t k = 0; k < LF__MAX_CANDIDATES; k++) {
                size_t by_name = SIZE_MAX;
                if (lf__scale_candidate(weight, k, &name)) by_name = lf__find_near(o.checkpoint, i, lf_buf_text(&name));
                assert_int_equal(found[k], by_name == SIZE_MAX ? UINT32_MAX : (uint32_t)by_name);
            }
            lf_buf_fini(&name);
        }
        assert_true(n_crowded >= 41);
        close_opened(&o);
    }
}

int test_pair(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recognizes_layouts),
        cmocka_unit_test(takes_partial_blocks_from_the_config),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(finds_companions_as_by_name),
        cmocka_unit_test(names_the_missing_scale),
        cmocka_unit_test(refuses_orphans_and_ambiguity),
        cmocka_unit_test(sets_side_tensors_aside),
        cmocka_unit_test(demands_zero_points_of_zero),
        cmocka_unit_test(renames_torchao_weights),
        cmocka_unit_test(warns_of_a_stale_config),
        cmocka_unit_test(lists_logical_tensors_in_order),
    };
    return cmocka_run_group_tests_name("pair", tests, NULL, NULL);
}
