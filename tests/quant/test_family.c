// SPDX-License-Identifier: Apache-2.0
//
// Families that are recognized by name and refused with one finding, and the lists of unconverted modules.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

typedef struct part {
    const char *name, *dtype;
    int64_t shape[5];
} part;

typedef struct family_row {
    const char *config;
    const char *word; // in the finding
    part parts[8];
} family_row;

static const family_row families[] = {
    {"{\"quant_method\":\"mxfp4\"}",
     "MXFP4",
     {{"x.experts.gate_up_proj_blocks", "U8", {2, 8, 2, 16, -1}},
      {"x.experts.gate_up_proj_scales", "U8", {2, 8, 2, -1}}}},
    {"{\"quant_method\":\"modelopt\"}",
     "NVFP4",
     {{"x.weight", "U8", {8, 32, -1}},
      {"x.weight_scale", "F8_E4M3", {8, 4, -1}},
      {"x.weight_scale_2", "F32", {-1}},
      {"x.input_scale", "F32", {-1}}}},
    {"{\"quant_method\":\"compressed-tensors\"}",
     "NVFP4",
     {{"x.weight_packed", "U8", {8, 32, -1}},
      {"x.weight_scale", "F8_E4M3", {8, 4, -1}},
      {"x.weight_global_scale", "F32", {1, -1}}}},
    {"{\"quant_method\":\"modelopt\"}",
     "NVFP4",
     {{"x.weight", "F4", {8, 64, -1}}, {"x.weight_scale", "F8_E4M3", {8, 4, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\"}",
     "MXFP4",
     {{"x.weight_packed", "U8", {8, 32, -1}}, {"x.weight_scale", "U8", {8, 2, -1}}}},
    {"{\"quant_method\":\"quark\"}", "MXFP4", {{"x.weight", "U8", {8, 32, -1}}, {"x.weight_scale", "U8", {8, 2, -1}}}},
    {"{\"quant_method\":\"quark\"}",
     "FP6",
     {{"x.weight", "F6_E2M3", {8, 32, -1}}, {"x.weight_scale", "U8", {8, 1, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\"}",
     "INT4",
     {{"x.weight_packed", "I32", {8, 4, -1}},
      {"x.weight_scale", "BF16", {8, 1, -1}},
      {"x.weight_shape", "I64", {2, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\"}",
     "INT8",
     {{"x.weight", "I8", {8, 32, -1}}, {"x.weight_scale", "BF16", {8, 1, -1}}}},
    {"{\"quant_method\":\"gptq\"}",
     "GPTQ",
     {{"x.qweight", "I32", {8, 4, -1}}, {"x.qzeros", "I32", {1, 4, -1}}, {"x.scales", "F16", {1, 4, -1}}}},
    {"{\"quant_method\":\"awq\"}", "AWQ", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"bitsandbytes\"}",
     "bitsandbytes",
     {{"x.weight", "U8", {256, 1, -1}},
      {"x.weight.absmax", "F32", {8, -1}},
      {"x.weight.quant_map", "F32", {16, -1}},
      {"x.weight.quant_state.bitsandbytes__nf4", "U8", {88, -1}}}},
    {"{\"quant_method\":\"bitsandbytes\"}",
     "bitsandbytes",
     {{"x.weight", "I8", {8, 32, -1}}, {"x.SCB", "F32", {8, -1}}}},
    {"{\"quant_method\":\"torchao\"}",
     "torchao",
     {{"x._weight_qdata", "I8", {8, 32, -1}}, {"x._weight_scale", "F32", {8, 1, -1}}}},
    {NULL,
     "ComfyUI",
     {{"x.weight", "F8_E4M3", {8, 32, -1}}, {"x.scale_weight", "F32", {-1}}, {"scaled_fp8", "F32", {-1}}}},
    {"{\"quant_method\":\"fp_quant\"}", "MXFP4", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"nvfp4\"}", "NVFP4", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"hqq\"}", "other than FP8", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\",\"format\":\"pack-quantized\"}", "INT4", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\",\"format\":\"int-quantized\"}", "INT8", {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\",\"format\":\"nvfp4-pack-quantized\"}",
     "NVFP4",
     {{"x.bias", "F16", {8, -1}}}},
    {"{\"quant_method\":\"compressed-tensors\",\"format\":\"mxfp4-pack-quantized\"}",
     "MXFP4",
     {{"x.bias", "F16", {8, -1}}}},
};

static void refuses_families_by_name(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(families); i++) {
        const family_row *row = &families[i];
        maker m = {0};
        opened o;
        for (size_t k = 0; k < LF_ARRAY_LENGTH(row->parts) && row->parts[k].name; k++) {
            add_tensor(&m, row->parts[k].name, row->parts[k].dtype, NULL, row->parts[k].shape);
        }
        open_made(&o, &m, row->config);
        const lf_finding *found = find_code(&o.findings, "scheme-unsupported");
        if (!found || !strstr(found->message, row->word))
            fail_msg("%s: %s", row->word, found ? found->message : "no finding");
        for (size_t k = 0; k < o.findings.count; k++) {
            if (o.findings.items[k].severity == LF_SEVERITY_ERROR &&
                strcmp(o.findings.items[k].code, "scheme-unsupported") != 0) {
                fail_msg("%s: also %s", row->word, o.findings.items[k].message);
            }
        }
        assert_int_equal(o.findings.n_error, 1);
        assert_true(found->remedy[0] != '\0');
        assert_int_equal(lf_quant_n_quantized(o.quant), 0);
        close_opened(&o);
    }
}

// FP8 attention beside experts of a family that is refused (NVIDIA's export of DeepSeek-V4). The supported part is
// paired; one finding names the rest.
static void pairs_the_supported_part_of_a_mixture(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "a.weight", "F8_E4M3", 130, 128);
    ADD(&m, "a.scale", "F8_E8M0", 2, 1);
    ADD(&m, "e.weight", "U8", 8, 32);
    ADD(&m, "e.weight_scale", "F8_E4M3", 8, 4);
    ADD(&m, "e.weight_scale_2", "F32", 1);
    ADD(&m, "e.input_scale", "F32", 1);
    open_made(&o, &m, "{\"quant_method\":\"fp8\",\"weight_block_size\":[128,128]}");
    assert_int_equal(o.findings.n_error, 1);
    assert_finding(&o.findings, "scheme-unsupported", LF_SEVERITY_ERROR, "e.weight");
    assert_int_equal(lf_quant_n_quantized(o.quant), 1);
    assert_int_equal(lf_quant_find(o.quant, "e.weight")->layout, LF_SCALE_BROKEN);
    close_opened(&o);
}

static const struct {
    const char *entry;
    bool listed; // model.layers.0.mlp.gate_proj, the FP8 weight, is matched
} entries[] = {
    {"gate", false},
    {"gate_proj", true},
    {"mlp.gate_proj", true},
    {"model.layers.0.mlp.gate_proj", true},
    {"model.layers.0", true},
    {"model", true},
    {"layers.0.mlp", true},
    {"ayers.0.mlp", false},
    {"layers.0.ml", false},
    {"model.layers.0.mlp.gate_proj.x", false},
    {"layers", true},
    {"lm_head", false},
    {"re:.*gate_proj$", true},
    {"re:gate_proj", false}, // anchored at the start
    {"re:model.*", true},
    {"re:(", false},                // does not compile
    {"re:(.*)*(.*)*(.*)*x", false}, // runs into the match limit
    {"*gate_proj", true},
    {"model.*.up_proj", false},
    {"", false},
};

static void matches_whole_components(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(entries); i++) {
        for (size_t k = 0; k < 3; k++) {
            static const char *const keys[] = {"modules_to_not_convert", "ignored_layers", "ignore"};
            maker m = {0};
            opened o;
            ADD(&m, "model.layers.0.mlp.gate_proj.weight", "F8_E4M3", 8, 8);
            ADD(&m, "model.layers.0.mlp.gate_proj.weight_scale", "F32", 1);
            json_t *config =
                json_pack("{s:s, s:[s,s]}", "quant_method", "fp8", keys[k], "unrelated-x", entries[i].entry);
            char *text = json_dumps(config, 0);
            open_made(&o, &m, text);
            const lf_finding *found = find_code(&o.findings, "modules-disagree");
            if ((found != NULL) != entries[i].listed) fail_msg("entry '%s'", entries[i].entry);
            if (found) assert_int_equal(found->severity, LF_SEVERITY_WARNING);
            assert_int_equal(o.findings.n_error, 0);
            free(text);
            json_decref(config);
            close_opened(&o);
        }
    }
}

static void warns_of_unlisted_projections(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "l.0.up_proj.weight", "F8_E4M3", 8, 8);
    ADD(&m, "l.0.up_proj.weight_scale", "F32", 1);
    ADD(&m, "l.1.up_proj.weight", "BF16", 8, 8);
    ADD(&m, "l.2.up_proj.weight", "BF16", 8, 8);
    ADD(&m, "l.norm.weight", "BF16", 8);
    open_made(&o, &m, "{\"quant_method\":\"fp8\",\"modules_to_not_convert\":[\"lm_head\",\"l.2\",3,null]}");
    assert_finding(&o.findings, "modules-disagree", LF_SEVERITY_WARNING, "l.1.up_proj.weight");
    assert_int_equal(o.findings.count, 1);
    close_opened(&o);
}

int test_family(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_families_by_name),
        cmocka_unit_test(pairs_the_supported_part_of_a_mixture),
        cmocka_unit_test(matches_whole_components),
        cmocka_unit_test(warns_of_unlisted_projections),
    };
    return cmocka_run_group_tests_name("family", tests, NULL, NULL);
}
