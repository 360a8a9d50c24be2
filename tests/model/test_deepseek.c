// SPDX-License-Identifier: Apache-2.0
//
// DeepSeek-V3: its config (defaults, limits, what is refused), its table, and the layers for multi-token prediction.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/mem.h"
#include "config_text.h"
#include "tests.h"

#define V3(more) "{\"model_type\": \"deepseek_v3\"" more "}"

static void absent_keys_are_the_defaults_of_the_class(void **state)
{
    lf_config c = parse(V3(""));
    assert_string_equal(c.architecture, "DeepseekV3ForCausalLM");
    assert_int_equal(c.hidden_size, 7168);
    assert_int_equal(c.num_hidden_layers, 61);
    assert_int_equal(c.q_lora_rank, 1536);
    assert_int_equal(c.kv_lora_rank, 512);
    assert_int_equal(c.qk_nope_head_dim, 128);
    assert_int_equal(c.qk_rope_head_dim, 64);
    assert_int_equal(c.v_head_dim, 128);
    assert_int_equal(c.head_dim, 192);
    assert_int_equal(c.num_experts, 256);
    assert_int_equal(c.num_experts_per_tok, 8);
    assert_int_equal(c.moe_intermediate_size, 2048);
    assert_int_equal(c.shared_intermediate_size, 2048);
    assert_int_equal(c.n_group, 8);
    assert_int_equal(c.topk_group, 4);
    assert_int_equal(c.num_mtp_layers, 1);
    assert_true(c.routed_scaling_factor == 2.5);
    assert_true(c.norm_topk_prob && c.routes_by_sigmoid && c.has_router_bias && c.has_shared_experts && c.has_q_lora);
    assert_true(c.rope.is_interleaved);
    assert_int_equal(c.rope.rotary_dim, 64);
    for (int64_t layer = 0; layer < 61; layer++) assert_int_equal(lf_config_layer_is_moe(&c, layer), layer >= 3);
    assert_int_equal(lf_config_cache_width(&c), 576);
}

static void keys_are_read(void **state)
{
    lf_config c = parse(V3(", \"q_lora_rank\": null, \"n_shared_experts\": null, \"rope_interleave\": false, "
                           "\"first_k_dense_replace\": 100, \"num_nextn_predict_layers\": 0, \"n_group\": null, "
                           "\"topk_group\": 1, \"num_key_value_heads\": 5, \"routed_scaling_factor\": 0.5"));
    assert_false(c.has_q_lora || c.has_shared_experts || c.rope.is_interleaved);
    assert_int_equal(c.shared_intermediate_size, 0);
    assert_int_equal(c.num_mtp_layers, 0);
    assert_int_equal(c.num_key_value_heads, 1);
    assert_true(c.routed_scaling_factor == 0.5);
    assert_false(lf_config_layer_is_moe(&c, 60));
    c = parse(V3(", \"n_shared_experts\": 3, \"moe_intermediate_size\": 100, \"num_experts_per_tok\": 128"));
    assert_int_equal(c.shared_intermediate_size, 300);
}

// The scale that vLLM computes for the released model, and what has no part in it.
static void yarn_scales_the_scores(void **state)
{
#define YARN(type, more)                                                                                               \
    ", \"rope_scaling\": {\"type\": \"" type "\", \"factor\": 40, "                                                    \
    "\"original_max_position_embeddings\": 4096" more "}"
    lf_config c = parse(V3(YARN("yarn", ", \"mscale\": 1.0, \"mscale_all_dim\": 1.0")));
    assert_true(fabs(lf_config_softmax_scale(&c) - 0.13523377) < 1e-7);
    assert_true(fabs(c.rope.attention_factor - 1) < 1e-12);
    c = parse(V3(YARN("yarn", ", \"mscale\": 0.7, \"mscale_all_dim\": 1.1")));
    assert_true(fabs(c.rope.attention_factor - (0.07 * log(40) + 1) / (0.11 * log(40) + 1)) < 1e-12);
    assert_true(fabs(lf_config_softmax_scale(&c) * sqrt(192) - pow(0.11 * log(40) + 1, 2)) < 1e-12);
    c = parse(V3(YARN("linear", ", \"mscale_all_dim\": 1.0")));
    assert_true(fabs(lf_config_softmax_scale(&c) * sqrt(192) - pow(0.1 * log(40) + 1, 2)) < 1e-12);
    c = parse(V3(YARN("yarn", "")));
    assert_true(fabs(lf_config_softmax_scale(&c) * sqrt(192) - 1) < 1e-12);
    assert_true(fabs(c.rope.attention_factor - (0.1 * log(40) + 1)) < 1e-12);
    c = parse("{\"model_type\": \"qwen3\", \"head_dim\": 64" YARN("yarn", ", \"mscale_all_dim\": 1.0") "}");
    assert_true(lf_config_softmax_scale(&c) == 0.125);
}

static void what_is_not_built_is_refused(void **state)
{
    static const struct {
        const char *text;
        lf_status status;
        const char *subject;
    } cases[] = {
        {V3(", \"attention_bias\": true"), LF_ERR_UNSUPPORTED, "attention_bias"},
        {V3(", \"topk_method\": \"greedy\""), LF_ERR_UNSUPPORTED, "topk_method"},
        {V3(", \"scoring_func\": \"softmax\""), LF_ERR_UNSUPPORTED, "scoring_func"},
        {V3(", \"partial_rotary_factor\": 0.5"), LF_ERR_UNSUPPORTED, "partial_rotary_factor"},
        {V3(", \"rotary_dim\": 32"), LF_ERR_UNSUPPORTED, "qk_rope_head_dim"},
        {V3(", \"moe_layer_freq\": 2"), LF_ERR_FORMAT, "moe_layer_freq"},
        {V3(", \"qk_rope_head_dim\": 3"), LF_ERR_FORMAT, "qk_rope_head_dim"},
        {V3(", \"kv_lora_rank\": 0"), LF_ERR_FORMAT, "kv_lora_rank"},
        {V3(", \"kv_lora_rank\": 65537"), LF_ERR_FORMAT, "kv_lora_rank"},
        {V3(", \"q_lora_rank\": -1"), LF_ERR_FORMAT, "q_lora_rank"},
        {V3(", \"qk_nope_head_dim\": 2049"), LF_ERR_FORMAT, "qk_nope_head_dim"},
        {V3(", \"v_head_dim\": \"wide\""), LF_ERR_FORMAT, "v_head_dim"},
        {V3(", \"n_group\": 7"), LF_ERR_FORMAT, "n_group"},
        {V3(", \"n_group\": 0"), LF_ERR_FORMAT, "n_group"},
        {V3(", \"topk_group\": 9"), LF_ERR_FORMAT, "topk_group"},
        {V3(", \"num_experts_per_tok\": 129"), LF_ERR_FORMAT, "num_experts_per_tok"},
        {V3(", \"n_routed_experts\": 4096, \"num_hidden_layers\": 65"), LF_ERR_FORMAT, "n_routed_experts"},
        {V3(", \"n_shared_experts\": 4096"), LF_ERR_FORMAT, "n_shared_experts"},
        {V3(", \"routed_scaling_factor\": 0"), LF_ERR_FORMAT, "routed_scaling_factor"},
        {V3(", \"num_nextn_predict_layers\": -1"), LF_ERR_FORMAT, "num_nextn_predict_layers"},
        {V3(", \"first_k_dense_replace\": -1"), LF_ERR_FORMAT, "first_k_dense_replace"},
        {"{\"architectures\": [\"DeepseekV2ForCausalLM\"], \"model_type\": \"deepseek_v2\"}", LF_ERR_UNSUPPORTED,
         "architectures"},
        {"{\"architectures\": [\"DeepseekV32ForCausalLM\"]}", LF_ERR_UNSUPPORTED, "architectures"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_config config;
        lf_error err;
        lf_status status = try_parse(&config, cases[i].text, &err);
        if (status != cases[i].status) fail_msg("%s: %s: %s", cases[i].text, lf_status_text(status), err.message);
        if (strcmp(err.subject, cases[i].subject) != 0) fail_msg("%s: about %s", cases[i].text, err.subject);
    }
}

#define SMALL(more)                                                                                                    \
    V3(", \"hidden_size\": 20, \"intermediate_size\": 15, \"num_hidden_layers\": 3, \"num_attention_heads\": 3, "      \
       "\"kv_lora_rank\": 6, \"qk_nope_head_dim\": 5, \"qk_rope_head_dim\": 2, \"v_head_dim\": 4, "                    \
       "\"n_routed_experts\": 4, \"n_group\": 2, \"topk_group\": 1, \"num_experts_per_tok\": 2, "                      \
       "\"moe_intermediate_size\": 7, \"first_k_dense_replace\": 1, \"vocab_size\": 30" more)

typedef struct expected {
    const char *name;
    lf_slot slot;
    int64_t n_row, n_col, slot_row;
    lf_partition partition;
} expected;

static void assert_parameters(const lf_parameters *parameters, const expected *rows, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        size_t i = 0;
        while (i < parameters->count && strcmp(parameters->items[i].name, rows[k].name) != 0) i++;
        if (i == parameters->count) fail_msg("no %s", rows[k].name);
        const lf_parameter *p = &parameters->items[i];
        bool is_same = p->slot == rows[k].slot && p->shape[0] == rows[k].n_row && p->shape[1] == rows[k].n_col &&
                       p->slot_row == rows[k].slot_row && p->partition == rows[k].partition;
        if (!is_same) fail_msg("%s", rows[k].name);
    }
}

static void the_table_follows_the_config(void **state)
{
    static const expected rows[] = {
        {"model.layers.0.self_attn.q_a_proj.weight", LF_SLOT_QKV, 8, 20, 0, LF_PARTITION_NONE},
        {"model.layers.0.self_attn.kv_a_proj_with_mqa.weight", LF_SLOT_QKV, 8, 20, 8, LF_PARTITION_NONE},
        {"model.layers.0.self_attn.q_a_layernorm.weight", LF_SLOT_Q_A_NORM, 8, 1, 0, LF_PARTITION_NONE},
        {"model.layers.0.self_attn.q_b_proj.weight", LF_SLOT_Q_B, 21, 8, 0, LF_PARTITION_Q_HEADS},
        {"model.layers.0.self_attn.kv_a_layernorm.weight", LF_SLOT_KV_A_NORM, 6, 1, 0, LF_PARTITION_NONE},
        {"model.layers.0.self_attn.kv_b_proj.weight", LF_SLOT_KV_B, 27, 6, 0, LF_PARTITION_Q_HEADS},
        {"model.layers.0.self_attn.o_proj.weight", LF_SLOT_O, 20, 12, 0, LF_PARTITION_O_HEADS},
        {"model.layers.0.mlp.up_proj.weight", LF_SLOT_GATE_UP, 15, 20, 15, LF_PARTITION_FFN_ROWS},
        {"model.layers.2.mlp.gate.weight", LF_SLOT_ROUTER, 4, 20, 0, LF_PARTITION_NONE},
        {"model.layers.2.mlp.gate.e_score_correction_bias", LF_SLOT_ROUTER_BIAS, 4, 1, 0, LF_PARTITION_NONE},
        {"model.layers.2.mlp.shared_experts.up_proj.weight", LF_SLOT_SHARED_GATE_UP, 14, 20, 14, LF_PARTITION_FFN_ROWS},
        {"model.layers.2.mlp.shared_experts.down_proj.weight", LF_SLOT_SHARED_DOWN, 20, 14, 0, LF_PARTITION_FFN_COLS},
        {"model.layers.2.mlp.experts.3.up_proj.weight", LF_SLOT_EXPERT_GATE_UP, 7, 20, 7, LF_PARTITION_FFN_ROWS},
        {"model.layers.2.mlp.experts.3.down_proj.weight", LF_SLOT_EXPERT_DOWN, 20, 7, 0, LF_PARTITION_FFN_COLS},
    };
    static const expected direct[] = {
        {"model.layers.1.self_attn.q_proj.weight", LF_SLOT_QKV, 21, 20, 0, LF_PARTITION_Q_HEADS},
        {"model.layers.1.self_attn.kv_a_proj_with_mqa.weight", LF_SLOT_QKV, 8, 20, 21, LF_PARTITION_NONE},
    };
    lf_config config = parse(SMALL(", \"q_lora_rank\": 8, \"n_shared_experts\": 2"));
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
    assert_int_equal(parameters.count, 3 + 3 * 9 + 3 + 2 * (2 + 3 + 4 * 3)); // model, attention, dense, sparse
    assert_parameters(&parameters, rows, LF_ARRAY_LENGTH(rows));
    lf_parameters_fini(&parameters);
    config = parse(SMALL(", \"q_lora_rank\": null, \"n_shared_experts\": 0"));
    assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
    assert_int_equal(parameters.count, 3 + 3 * 7 + 3 + 2 * (2 + 4 * 3));
    assert_parameters(&parameters, direct, LF_ARRAY_LENGTH(direct));
    lf_parameters_fini(&parameters);
}

static void layers_for_more_tokens_are_known(void **state)
{
    lf_config config = parse(SMALL(", \"num_nextn_predict_layers\": 2"));
    static const char *const known[] = {"model.layers.3.eh_proj.weight", "model.layers.4.mlp.experts.3.up_proj.weight"};
    static const char *const unknown[] = {"model.layers.2.eh_proj.weight",  "model.layers.5.eh_proj.weight",
                                          "model.layers.03.eh_proj.weight", "model.layers.3",
                                          "layers.3.eh_proj.weight",        "model.layers.x.eh_proj.weight"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(known); i++) {
        assert_true(lf_config_is_mtp(&config, known[i]));
        assert_non_null(strstr(lf_config_ignored_reason(&config, known[i]), "multi-token prediction"));
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(unknown); i++) {
        assert_false(lf_config_is_mtp(&config, unknown[i]));
        assert_null(lf_config_ignored_reason(&config, unknown[i]));
    }
    config = parse(SMALL(", \"num_nextn_predict_layers\": 0"));
    assert_false(lf_config_is_mtp(&config, known[0]));
    config = parse("{\"model_type\": \"llama\", \"num_hidden_layers\": 3, \"num_nextn_predict_layers\": 2}");
    assert_false(lf_config_is_mtp(&config, known[0]));
}

// A layer of them is one note, and whatever else is wrong is told beside it.
static void such_a_layer_is_one_note(void **state)
{
    synthetic s;
    opened o;
    uint8_t bytes[2 * 20 * 20] = {0};
    synthetic_begin(&s, SMALL(", \"q_lora_rank\": 8"));
    synthetic_add_all(&s, "layers.2.mlp.experts.1.up_proj");
    synthetic_add(&s, "model.layers.3.eh_proj.weight", LF_DTYPE_BF16, 2, 20, 20, bytes);
    synthetic_add(&s, "model.layers.3.enorm.weight", LF_DTYPE_BF16, 1, 20, 1, bytes);
    synthetic_add(&s, "model.layers.4.enorm.weight", LF_DTYPE_BF16, 1, 20, 1, bytes);
    synthetic_end(&s, 0);
    opened_init(&o, s.folder);
    lf_findings findings = LF_FINDINGS_INIT;
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, &o.config, NULL), LF_OK);
    lf_model_check(&parameters, &o.config, o.quant, &findings);
    assert_int_equal(findings.count, 3);
    assert_string_equal(findings.items[0].code, "parameter-missing");
    assert_string_equal(findings.items[0].subject, "model.layers.2.mlp.experts.1.up_proj.weight");
    assert_string_equal(findings.items[1].code, "parameter-unexpected");
    assert_string_equal(findings.items[1].subject, "model.layers.4.enorm.weight");
    assert_string_equal(findings.items[2].code, "parameter-ignored");
    assert_string_equal(findings.items[2].subject, "num_nextn_predict_layers");
    assert_string_equal(findings.items[2].found, "2 tensors after the first 3 layers");
    lf_parameters_fini(&parameters);
    lf_findings_fini(&findings);
    opened_fini(&o);
    synthetic_remove(&s);
}

int test_deepseek(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_are_the_defaults_of_the_class),
        cmocka_unit_test(keys_are_read),
        cmocka_unit_test(yarn_scales_the_scores),
        cmocka_unit_test(what_is_not_built_is_refused),
        cmocka_unit_test(the_table_follows_the_config),
        cmocka_unit_test(layers_for_more_tokens_are_known),
        cmocka_unit_test(such_a_layer_is_one_note),
    };
    return cmocka_run_group_tests_name("deepseek", tests, NULL, NULL);
}
