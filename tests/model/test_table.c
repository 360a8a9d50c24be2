// SPDX-License-Identifier: Apache-2.0
//
// The parameter table made concrete: which rows a config has, that the rows of a slot cover it exactly, and that names
// are unique.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "model/model.h"
#include "tests.h"

static lf_config parse(const char *text)
{
    lf_error err = {0};
    lf_config config;
    json_t *json = NULL;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    if (lf_config_parse(&config, json, &err)) fail_msg("%s", err.message);
    json_decref(json);
    return config;
}

#define SMALL                                                                                                          \
    "\"hidden_size\": 80, \"intermediate_size\": 136, \"num_hidden_layers\": 3, \"num_attention_heads\": 6, "          \
    "\"num_key_value_heads\": 3, \"head_dim\": 24, \"vocab_size\": 300"

static const char *const configs[] = {
    "{\"model_type\": \"llama\", " SMALL "}",
    "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true, " SMALL
    "}",
    "{\"model_type\": \"qwen2\", " SMALL "}",
    "{\"model_type\": \"qwen3\", " SMALL "}",
    "{\"model_type\": \"qwen3\", \"attention_bias\": true, \"tie_word_embeddings\": true, " SMALL "}",
};

static const lf_parameter *find(const lf_parameters *parameters, const char *name)
{
    for (size_t i = 0; i < parameters->count; i++) {
        if (strcmp(parameters->items[i].name, name) == 0) return &parameters->items[i];
    }
    return NULL;
}

static void assert_parameter(const lf_parameters *parameters, const char *name, lf_slot slot, int64_t n_row,
                             int64_t n_col, int64_t slot_row, lf_partition partition)
{
    const lf_parameter *parameter = find(parameters, name);
    if (!parameter) fail_msg("no %s", name);
    assert_int_equal(parameter->slot, slot);
    assert_int_equal(parameter->rank, n_col > 1 ? 2 : 1);
    assert_int_equal(parameter->shape[0], n_row);
    assert_int_equal(parameter->shape[1], n_col);
    assert_int_equal(parameter->slot_row, slot_row);
    assert_int_equal(parameter->partition, partition);
}

static void rows_follow_the_conditions(void **state)
{
    static const size_t per_layer[] = {9, 16, 12, 11, 15}, others[] = {3, 2, 3, 3, 2};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(configs); i++) {
        lf_config config = parse(configs[i]);
        lf_parameters parameters;
        assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
        assert_int_equal(parameters.count, 3 * per_layer[i] + others[i]);
        lf_parameters_fini(&parameters);
    }
}

static void shapes_follow_the_config(void **state)
{
    lf_config config = parse(configs[4]);
    lf_parameters p;
    assert_int_equal(lf_parameters_build(&p, &config, NULL), LF_OK);
    assert_parameter(&p, "model.embed_tokens.weight", LF_SLOT_EMBED, 300, 80, 0, LF_PARTITION_VOCAB);
    assert_parameter(&p, "model.layers.2.self_attn.q_proj.weight", LF_SLOT_QKV, 144, 80, 0, LF_PARTITION_Q_HEADS);
    assert_parameter(&p, "model.layers.2.self_attn.k_proj.weight", LF_SLOT_QKV, 72, 80, 144, LF_PARTITION_KV_HEADS);
    assert_parameter(&p, "model.layers.0.self_attn.v_proj.weight", LF_SLOT_QKV, 72, 80, 216, LF_PARTITION_KV_HEADS);
    assert_parameter(&p, "model.layers.0.self_attn.v_proj.bias", LF_SLOT_QKV_BIAS, 72, 1, 216, LF_PARTITION_KV_HEADS);
    assert_parameter(&p, "model.layers.1.self_attn.o_proj.weight", LF_SLOT_O, 80, 144, 0, LF_PARTITION_O_HEADS);
    assert_parameter(&p, "model.layers.1.self_attn.k_norm.weight", LF_SLOT_K_NORM, 24, 1, 0, LF_PARTITION_NONE);
    assert_parameter(&p, "model.layers.1.mlp.up_proj.weight", LF_SLOT_GATE_UP, 136, 80, 136, LF_PARTITION_FFN_ROWS);
    assert_parameter(&p, "model.layers.1.mlp.down_proj.weight", LF_SLOT_DOWN, 80, 136, 0, LF_PARTITION_FFN_COLS);
    assert_parameter(&p, "model.norm.weight", LF_SLOT_FINAL_NORM, 80, 1, 0, LF_PARTITION_NONE);
    assert_null(find(&p, "lm_head.weight"));
    assert_int_equal(find(&p, "model.layers.2.mlp.up_proj.weight")->layer, 2);
    assert_int_equal(find(&p, "model.norm.weight")->layer, -1);
    lf_parameters_fini(&p);
}

// Every row of every slot of every layer belongs to exactly one parameter, and vectors are vectors.
static void rows_of_a_slot_are_covered_once(void **state)
{
    for (size_t c = 0; c < LF_ARRAY_LENGTH(configs); c++) {
        lf_config config = parse(configs[c]);
        lf_parameters parameters;
        assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
        for (int slot = 0; slot < LF_SLOT_COUNT; slot++) {
            int64_t n_row, n_col;
            lf_slot_shape(&config, slot, &n_row, &n_col);
            bool is_present = n_row > 0;
            for (int64_t layer = 0; layer < config.num_hidden_layers; layer++) {
                uint8_t *seen = calloc((size_t)n_row + 1, 1);
                for (size_t i = 0; i < parameters.count; i++) {
                    const lf_parameter *parameter = &parameters.items[i];
                    if (parameter->slot != (lf_slot)slot) continue;
                    assert_int_equal(parameter->layer >= 0, lf_slot_is_per_layer(slot));
                    assert_int_equal(parameter->rank, lf_slot_is_f32(slot) && slot != LF_SLOT_ROUTER ? 1 : 2);
                    assert_int_equal(parameter->shape[1], n_col);
                    if (parameter->layer >= 0 && parameter->layer != layer) continue;
                    for (int64_t row = 0; row < parameter->shape[0]; row++) seen[parameter->slot_row + row]++;
                }
                for (int64_t row = 0; row < n_row; row++) assert_int_equal(seen[row], 1);
                free(seen);
            }
            if (slot == LF_SLOT_LM_HEAD) assert_int_equal(is_present, !config.tie_word_embeddings);
            if (slot == LF_SLOT_Q_NORM) assert_int_equal(is_present, config.has_qk_norm);
            if (slot == LF_SLOT_EMBED) assert_true(is_present);
        }
        lf_parameters_fini(&parameters);
    }
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void a_deep_model_has_unique_names(void **state)
{
    lf_config config = parse("{\"model_type\": \"qwen3\", \"num_hidden_layers\": 4096, \"attention_bias\": true}");
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
    assert_int_equal(parameters.count, 4096 * 15 + 3);
    const char **names = malloc(parameters.count * sizeof *names);
    for (size_t i = 0; i < parameters.count; i++) names[i] = parameters.items[i].name;
    qsort(names, parameters.count, sizeof *names, compare_names);
    for (size_t i = 1; i < parameters.count; i++) assert_string_not_equal(names[i - 1], names[i]);
    free(names);
    lf_parameters_fini(&parameters);
}

static void names_without_use_have_a_reason(void **state)
{
    lf_config tied = parse(configs[1]), plain = parse(configs[0]);
    assert_non_null(lf_config_ignored_reason(&plain, "model.layers.0.self_attn.rotary_emb.inv_freq"));
    assert_null(lf_config_ignored_reason(&plain, "model.layers.0.self_attn.rotary_emb.inv_freq2"));
    assert_null(lf_config_ignored_reason(&plain, "inv_freq"));
    assert_null(lf_config_ignored_reason(&plain, "lm_head.weight"));
    assert_non_null(lf_config_ignored_reason(&tied, "lm_head.weight"));
    assert_null(lf_config_ignored_reason(&tied, "x.lm_head.weight"));
}

int test_table(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_follow_the_conditions),      cmocka_unit_test(shapes_follow_the_config),
        cmocka_unit_test(rows_of_a_slot_are_covered_once), cmocka_unit_test(a_deep_model_has_unique_names),
        cmocka_unit_test(names_without_use_have_a_reason),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
