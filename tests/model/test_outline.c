// SPDX-License-Identifier: Apache-2.0
//
// Outlines of published configurations, and what tensors are by their names: for architectures with a table the roles
// must agree with it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/outline.h"
#include "tests.h"

static lf_outline outline_of(const char *text, bool is_strict)
{
    lf_error err;
    lf_config config;
    lf_outline outline;
    json_t *json = NULL;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    if (is_strict) assert_int_equal(lf_config_parse(&config, json, &err), LF_OK);
    lf_outline_read(&outline, json, is_strict ? &config : NULL);
    json_decref(json);
    return outline;
}

static void reads_mixtures_of_experts(void **state)
{
    lf_outline o = outline_of(
        "{\"architectures\": [\"DeepseekV3ForCausalLM\"], \"hidden_size\": 7168, \"num_hidden_layers\": 61,"
        " \"num_attention_heads\": 128, \"num_key_value_heads\": 128, \"kv_lora_rank\": 512, \"qk_rope_head_dim\": 64,"
        " \"v_head_dim\": 128, \"intermediate_size\": 18432, \"moe_intermediate_size\": 2048, \"n_routed_experts\": "
        "256,"
        " \"n_shared_experts\": 1, \"num_experts_per_tok\": 8, \"num_nextn_predict_layers\": 1, \"vocab_size\": 129280,"
        " \"rope_theta\": 10000, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40}}",
        false);
    assert_string_equal(o.architecture, "DeepseekV3ForCausalLM");
    assert_int_equal(o.num_experts, 256);
    assert_int_equal(o.shared_intermediate_size, 2048);
    assert_int_equal(o.num_mtp_layers, 1);
    assert_string_equal(o.rope_type, "yarn");
    assert_true(o.rope_factor == 40 && o.rope_theta == 10000);
    assert_int_equal(lf_outline_kv_bytes(&o, 128), 61 * 576 * 2); // a latent, whatever the heads are
    assert_int_equal(lf_outline_kv_bytes(&o, 1), 61 * 576 * 2);

    o = outline_of(
        "{\"text_config\": {\"num_local_experts\": 8, \"intermediate_size\": 1536, \"num_hidden_layers\": 2,"
        " \"num_attention_heads\": 48, \"num_key_value_heads\": 8, \"head_dim\": 128}, \"vision_config\": {}}",
        false);
    assert_int_equal(o.moe_intermediate_size, 1536);
    assert_true(o.has_vision && !o.has_audio);
    assert_true(lf_outline_has_heads(&o));
    assert_int_equal(lf_outline_kv_bytes(&o, 8), 2 * 2 * 8 * 128 * 2);
}

static void ignores_nonsense(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"num_attention_heads\": -4, \"hidden_size\": \"big\", \"num_hidden_layers\": 1e99, \"vocab_size\": null}",
        "{\"num_attention_heads\": 99999999999999, \"architectures\": [7], \"text_config\": 3, \"rope_scaling\": []}",
        "{\"num_attention_heads\": 7, \"num_key_value_heads\": 3}",
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(texts); i++) {
        lf_outline o = outline_of(texts[i], false);
        assert_false(lf_outline_has_heads(&o));
        assert_string_equal(o.architecture, "");
        lf_role_of(&o, "model.layers.0.self_attn.q_proj.weight", 64, 64);
        lf_outline_kv_bytes(&o, 3);
    }
    lf_outline o;
    lf_outline_read(&o, NULL, NULL);
    assert_int_equal(o.num_hidden_layers, 0);
}

static void agrees_with_the_tables(void **state)
{
    static const struct {
        const char *type, *more;
    } models[] = {
        {"llama", "\"attention_bias\": true, \"mlp_bias\": true"},
        {"qwen2", "\"attention_bias\": true"},
        {"qwen3", "\"attention_bias\": true"},
        {"qwen3_moe", "\"num_experts\": 3, \"num_experts_per_tok\": 2, \"mlp_only_layers\": [0]"},
        {"minimax_m2", "\"num_local_experts\": 3, \"num_experts_per_tok\": 2"},
        {"deepseek_v3", "\"n_routed_experts\": 6, \"n_group\": 3, \"topk_group\": 2, \"num_experts_per_tok\": 2, "
                        "\"first_k_dense_replace\": 1"},
        {"deepseek_v3", "\"q_lora_rank\": null, \"first_k_dense_replace\": 2"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(models); i++) {
        char text[600];
        lf_error err;
        lf_config config;
        lf_parameters parameters;
        json_t *json = NULL;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"%s\", %s, \"hidden_size\": 80,"
                 " \"intermediate_size\": 136, \"num_hidden_layers\": 2, \"num_attention_heads\": 6,"
                 " \"num_key_value_heads\": 3, \"head_dim\": 24, \"vocab_size\": 300}",
                 models[i].type, models[i].more);
        assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
        assert_int_equal(lf_config_parse(&config, json, &err), LF_OK);
        assert_int_equal(lf_parameters_build(&parameters, &config, &err), LF_OK);
        lf_outline outline;
        lf_outline_read(&outline, json, &config);
        for (size_t k = 0; k < parameters.count; k++) {
            const lf_parameter *p = &parameters.items[k];
            lf_role role = lf_role_of(&outline, p->name, p->shape[0], p->shape[1]);
            if (role.partition != p->partition) fail_msg("%s: %d instead of %d", p->name, role.partition, p->partition);
            if (p->partition == LF_PARTITION_Q_HEADS)
                assert_int_equal(role.unit, p->shape[0] / config.num_attention_heads);
            if (p->partition == LF_PARTITION_KV_HEADS) assert_int_equal(role.unit, config.head_dim);
            if (p->partition == LF_PARTITION_O_HEADS)
                assert_int_equal(role.unit, p->shape[1] / config.num_attention_heads);
            assert_int_equal(lf_layer_of(p->name), p->layer);
            assert_true(role.part != LF_PART_OTHER && role.part != LF_PART_MTP);
        }
        lf_parameters_fini(&parameters);
        json_decref(json);
    }
}

static void finds_parts_by_name(void **state)
{
    static const struct {
        const char *name;
        lf_part part;
    } names[] = {
        {"model.embed_tokens.weight", LF_PART_EMBEDDING},
        {"lm_head.weight", LF_PART_HEAD},
        {"model.norm.weight", LF_PART_NORM},
        {"model.layers.3.input_layernorm.weight", LF_PART_NORM},
        {"model.layers.3.self_attn.q_norm.weight", LF_PART_NORM},
        {"model.layers.3.self_attn.kv_a_proj_with_mqa.weight", LF_PART_ATTENTION},
        {"model.layers.3.linear_attn.A_log", LF_PART_ATTENTION},
        {"model.layers.3.mlp.gate_proj.weight", LF_PART_MLP},
        {"model.layers.3.mlp.gate.weight", LF_PART_EXPERTS},
        {"model.layers.3.mlp.gate.e_score_correction_bias", LF_PART_EXPERTS},
        {"model.layers.3.mlp.experts.17.down_proj.weight", LF_PART_EXPERTS},
        {"model.layers.3.mlp.shared_experts.up_proj.weight", LF_PART_MLP},
        {"model.layers.3.block_sparse_moe.experts.0.w1.weight", LF_PART_EXPERTS},
        {"model.layers.61.mlp.experts.17.down_proj.weight", LF_PART_MTP},
        {"model.layers.61.eh_proj.weight", LF_PART_MTP},
        {"mtp.0.attn.wq_a.weight", LF_PART_MTP},
        {"model.visual.blocks.0.attn.qkv.weight", LF_PART_VISION},
        {"vision_tower.encoder.layers.70.norm.weight", LF_PART_VISION},
        {"multi_modal_projector.linear_1.weight", LF_PART_VISION},
        {"layers.3.attn.wq_a.weight", LF_PART_ATTENTION},
        {"embed.weight", LF_PART_EMBEDDING},
        {"head.weight", LF_PART_HEAD},
        {"strange", LF_PART_OTHER},
        {"", LF_PART_OTHER},
        {"..", LF_PART_OTHER},
        {"model.layers.99999999999.mlp.up_proj.weight", LF_PART_MLP},
    };
    lf_outline outline = outline_of("{\"num_hidden_layers\": 61}", false);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        lf_part part = lf_role_of(&outline, names[i].name, 64, 64).part;
        if (part != names[i].part)
            fail_msg("%s: %s instead of %s", names[i].name, lf_part_name(part), lf_part_name(names[i].part));
    }
}

int test_outline(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_mixtures_of_experts),
        cmocka_unit_test(ignores_nonsense),
        cmocka_unit_test(agrees_with_the_tables),
        cmocka_unit_test(finds_parts_by_name),
    };
    return cmocka_run_group_tests_name("outline", tests, NULL, NULL);
}
