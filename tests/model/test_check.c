// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints against the parameter table: every kind of finding with subject, expected and found, all of them at once,
// nothing told twice, and tens of thousands of parameters in one merge.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/mem.h"
#include "tests.h"

static const char plain_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 12, \"intermediate_size\": 10, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"vocab_size\": 13}";
static const char tied_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 12, \"intermediate_size\": 10, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"vocab_size\": 13, \"tie_word_embeddings\": true}";

// The findings of the table check alone, for a finished checkpoint, which is removed.
static lf_findings check(synthetic *s)
{
    opened o;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_parameters parameters;
    synthetic_end(s, 0);
    opened_init(&o, s->folder);
    assert_int_equal(lf_parameters_build(&parameters, &o.config, NULL), LF_OK);
    lf_model_check(&parameters, &o.config, o.quant, &findings);
    assert_false(findings.failed);
    lf_parameters_fini(&parameters);
    opened_fini(&o);
    synthetic_remove(s);
    return findings;
}

static void assert_finding(const lf_findings *findings, size_t i, const char *code, const char *subject,
                           const char *expected, const char *found)
{
    assert_true(i < findings->count);
    const lf_finding *finding = &findings->items[i];
    assert_string_equal(finding->code, code);
    assert_string_equal(finding->subject, subject);
    assert_string_equal(finding->expected, expected);
    assert_string_equal(finding->found, found);
    assert_non_null(strstr(finding->message, finding->severity == LF_SEVERITY_ERROR ? subject : ""));
}

static void a_complete_checkpoint_has_no_findings(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, NULL);
    lf_findings findings = check(&s);
    assert_int_equal(findings.count, 0);
    lf_findings_fini(&findings);
}

static void everything_wrong_is_told_at_once(void **state)
{
    synthetic s;
    uint8_t bytes[4096] = {0};
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, "layers.1.");
    static const struct {
        const char *name;
        lf_dtype dtype;
        int rank;
        int64_t n_row, n_col;
    } layer[] = {
        {"input_layernorm.weight", LF_DTYPE_F32, 1, 12, 1},
        {"mlp.down_proj.weight", LF_DTYPE_F32, 2, 12, 10},
        {"mlp.gate_proj.weight", LF_DTYPE_BF16, 2, 12, 10}, // transposed
        {"mlp.up_proj.weight", LF_DTYPE_F64, 2, 10, 12},
        {"post_attention_layernorm.weight", LF_DTYPE_BF16, 2, 12, 1},
        {"self_attn.k_proj.weight", LF_DTYPE_BF16, 2, 4, 12},
        {"self_attn.o_proj.weight", LF_DTYPE_F16, 2, 12, 12},
        {"self_attn.q_proj.bias", LF_DTYPE_BF16, 1, 12, 1},
        {"self_attn.q_proj.weight", LF_DTYPE_BF16, 2, 12, 12},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(layer); i++) {
        char name[128];
        snprintf(name, sizeof name, "model.layers.1.%s", layer[i].name);
        synthetic_add(&s, name, layer[i].dtype, layer[i].rank, layer[i].n_row, layer[i].n_col, bytes);
    }
    lf_findings findings = check(&s);
    assert_int_equal(findings.count, 5);
    assert_int_equal(findings.n_error, 5);
    assert_finding(&findings, 0, "parameter-shape", "model.layers.1.mlp.gate_proj.weight", "[10, 12]", "[12, 10]");
    assert_finding(&findings, 1, "parameter-dtype", "model.layers.1.mlp.up_proj.weight",
                   "BF16, F16, F32, or FP8 with a scale", "F64");
    assert_finding(&findings, 2, "parameter-shape", "model.layers.1.post_attention_layernorm.weight", "[12]",
                   "[12, 1]");
    assert_finding(&findings, 3, "parameter-unexpected", "model.layers.1.self_attn.q_proj.bias", "no such tensor",
                   "[12] BF16");
    assert_finding(&findings, 4, "parameter-missing", "model.layers.1.self_attn.v_proj.weight", "[4, 12]",
                   "no such tensor");
    lf_findings_fini(&findings);
}

// Two values in a byte: the table is compared with what the bytes stand for.
static void packed_fp4_has_the_shape_of_its_values(void **state)
{
    synthetic s;
    uint8_t bytes[10 * 32] = {0};
    synthetic_begin(&s, "{\"model_type\": \"llama\", \"hidden_size\": 32, \"intermediate_size\": 10, "
                        "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"vocab_size\": 13}");
    synthetic_add_all(&s, "mlp.");
    synthetic_add(&s, "model.layers.0.mlp.up_proj.weight", LF_DTYPE_I8, 2, 10, 16, bytes);
    synthetic_add(&s, "model.layers.0.mlp.up_proj.scale", LF_DTYPE_F8_E8M0, 2, 10, 1, bytes);
    synthetic_add(&s, "model.layers.0.mlp.gate_proj.weight", LF_DTYPE_I8, 2, 10, 32, bytes);
    synthetic_add(&s, "model.layers.0.mlp.gate_proj.scale", LF_DTYPE_F8_E8M0, 2, 10, 2, bytes);
    synthetic_add(&s, "model.layers.0.mlp.down_proj.weight", LF_DTYPE_F8_E4M3, 2, 32, 10, bytes);
    synthetic_add(&s, "model.layers.0.mlp.down_proj.weight_scale", LF_DTYPE_F32, 2, 32, 1, bytes);
    lf_findings findings = check(&s);
    assert_int_equal(findings.count, 1);
    assert_finding(&findings, 0, "parameter-shape", "model.layers.0.mlp.gate_proj.weight", "[10, 32]", "[10, 64]");
    lf_findings_fini(&findings);
}

static void stale_buffers_and_tied_heads_are_notes(void **state)
{
    synthetic s;
    uint8_t bytes[13 * 12 * 2] = {0};
    synthetic_begin(&s, tied_config);
    synthetic_add_all(&s, NULL);
    synthetic_add(&s, "lm_head.weight", LF_DTYPE_BF16, 2, 13, 12, bytes);
    synthetic_add(&s, "model.layers.0.self_attn.rotary_emb.inv_freq", LF_DTYPE_F32, 1, 2, 1, bytes);
    lf_findings findings = check(&s);
    assert_int_equal(findings.count, 2);
    assert_int_equal(findings.n_error + findings.n_warning, 0);
    assert_finding(&findings, 0, "parameter-ignored", "lm_head.weight", "", "[13, 12] BF16");
    assert_finding(&findings, 1, "parameter-ignored", "model.layers.0.self_attn.rotary_emb.inv_freq", "", "[2] F32");
    lf_findings_fini(&findings);
}

// What an earlier stage has told about a tensor is not told again as "missing".
static void nothing_is_told_twice(void **state)
{
    synthetic s;
    opened o;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_parameters parameters;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, "mlp.");
    synthetic_end(&s, 0);
    opened_init(&o, s.folder);
    static const lf_finding_args earlier = {
        .code = "tensor-misplaced", .severity = LF_SEVERITY_ERROR, .subject = "model.layers.0.mlp.up_proj.weight"};
    static const lf_finding_args remark = {
        .code = "remark", .severity = LF_SEVERITY_NOTE, .subject = "model.layers.0.mlp.down_proj.weight"};
    lf_findings_add(&findings, &earlier, "elsewhere");
    lf_findings_add(&findings, &remark, "a remark");
    assert_int_equal(lf_parameters_build(&parameters, &o.config, NULL), LF_OK);
    lf_model_check(&parameters, &o.config, o.quant, &findings);
    assert_int_equal(findings.count, 2 + 5);
    assert_string_equal(findings.items[2].subject, "model.layers.0.mlp.down_proj.weight");
    assert_string_equal(findings.items[4].subject, "model.layers.1.mlp.down_proj.weight");
    lf_parameters_fini(&parameters);
    lf_findings_fini(&findings);
    opened_fini(&o);
    synthetic_remove(&s);
}

static void many_parameters_are_one_merge(void **state)
{
    synthetic s;
    synthetic_begin(&s, "{\"model_type\": \"qwen3\", \"hidden_size\": 2, \"intermediate_size\": 1, "
                        "\"num_hidden_layers\": 4096, \"num_attention_heads\": 1, \"num_key_value_heads\": 1, "
                        "\"head_dim\": 2, \"vocab_size\": 2, \"attention_bias\": true}");
    synthetic_add_all(&s, "layers.4095.");
    lf_findings findings = check(&s);
    assert_int_equal(findings.n_error, 15);
    lf_findings_fini(&findings);
}

int test_check(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_complete_checkpoint_has_no_findings),
        cmocka_unit_test(everything_wrong_is_told_at_once),
        cmocka_unit_test(stale_buffers_and_tied_heads_are_notes),
        cmocka_unit_test(nothing_is_told_twice),
        cmocka_unit_test(many_parameters_are_one_merge),
        cmocka_unit_test(packed_fp4_has_the_shape_of_its_values),
    };
    return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
