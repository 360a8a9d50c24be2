// SPDX-License-Identifier: Apache-2.0
//
// Slices of real tables: together the ranks hold every element of every parameter, exactly once unless it is
// replicated; within a rank the parts of a slot stack without hole or overlap; and the budget is the sum of what is
// held.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "plan/plan.h"
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

#define QWEN3                                                                                                          \
    "{\"model_type\": \"qwen3\", \"hidden_size\": 12, \"intermediate_size\": 17, \"num_hidden_layers\": 2, "           \
    "\"num_attention_heads\": 7, \"num_key_value_heads\": 1, \"head_dim\": 4, \"vocab_size\": 19, "                    \
    "\"attention_bias\": true}"
#define LLAMA                                                                                                          \
    "{\"model_type\": \"llama\", \"hidden_size\": 12, \"intermediate_size\": 16, \"num_hidden_layers\": 1, "           \
    "\"num_attention_heads\": 6, \"num_key_value_heads\": 3, \"vocab_size\": 10, \"mlp_bias\": true, "                 \
    "\"tie_word_embeddings\": true}"
#define QWEN2                                                                                                          \
    "{\"model_type\": \"qwen2\", \"hidden_size\": 40, \"intermediate_size\": 24, \"num_hidden_layers\": 1, "           \
    "\"num_attention_heads\": 10, \"num_key_value_heads\": 5, \"head_dim\": 2, \"vocab_size\": 33}"

// Heads whose queries (7), keys with values (8) and outputs (3) are of different widths.
#define DEEPSEEK(q_lora_rank)                                                                                          \
    "{\"model_type\": \"deepseek_v3\", \"hidden_size\": 12, \"intermediate_size\": 17, \"num_hidden_layers\": 2, "     \
    "\"num_attention_heads\": 7, \"num_key_value_heads\": 7, \"qk_nope_head_dim\": 5, \"qk_rope_head_dim\": 2, "       \
    "\"v_head_dim\": 3, \"kv_lora_rank\": 4, \"q_lora_rank\": " q_lora_rank                                            \
    ", \"first_k_dense_replace\": 2, \"vocab_size\": 19}"

static const char *const configs[] = {QWEN3, LLAMA, QWEN2, DEEPSEEK("6"), DEEPSEEK("null")};

static void one_rank_holds_the_table_as_it_is(void **state)
{
    for (size_t c = 0; c < LF_ARRAY_LENGTH(configs); c++) {
        lf_config config = parse(configs[c]);
        lf_parameters parameters;
        lf_rank_plan plan;
        lf_slices slices;
        assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
        assert_int_equal(lf_rank_plan_build(&plan, &config, 1, 0, NULL), LF_OK);
        assert_int_equal(lf_slices_build(&slices, &parameters, &config, &plan, NULL), LF_OK);
        assert_int_equal(slices.count, parameters.count);
        for (size_t i = 0; i < slices.count; i++) {
            const lf_slice *slice = &slices.items[i];
            const lf_parameter *parameter = slice->parameter;
            assert_ptr_equal(parameter, &parameters.items[i]);
            assert_int_equal(slice->slot_row, parameter->slot_row);
            assert_int_equal(slice->rect.row, 0);
            assert_int_equal(slice->rect.col, 0);
            assert_int_equal(slice->rect.n_row, parameter->shape[0]);
            assert_int_equal(slice->rect.n_col, parameter->shape[1]);
        }
        for (int slot = 0; slot < LF_SLOT_COUNT; slot++) {
            int64_t n_row, n_col;
            lf_slot_shape(&config, slot, &n_row, &n_col);
            assert_int_equal(slices.slot_n_row[slot], n_row);
            assert_int_equal(slices.slot_n_col[slot], n_col);
        }
        lf_slices_fini(&slices);
        lf_parameters_fini(&parameters);
    }
}

// Holders of one element that a partition allows: every rank, the ranks of its KV head, or one.
static int64_t expected_holders(const lf_parameter *parameter, const lf_config *config, int64_t n_rank, int64_t row)
{
    if (parameter->partition == LF_PARTITION_NONE) return n_rank;
    if (parameter->partition == LF_PARTITION_KV_HEADS) return lf_plan_kv_copies(config, n_rank, row / config->head_dim);
    return 1;
}

// A key and a value, or a latent and the part of a key that rotates.
static int64_t cache_width(const lf_config *config) { return config->kv_lora_rank ? 4 + 2 : 2 * config->head_dim; }

static void check_stacking(const lf_slices *slices, const lf_config *config)
{
    for (size_t i = 0; i < slices->count; i++) {
        const lf_slice *slice = &slices->items[i];
        lf_slot slot = slice->parameter->slot;
        int64_t before = 0, total = 0;
        for (size_t j = 0; j < slices->count; j++) {
            const lf_slice *other = &slices->items[j];
            if (other->parameter->slot != slot || other->parameter->layer != slice->parameter->layer) continue;
            assert_int_equal(other->rect.n_col, slice->rect.n_col);
            total += other->rect.n_row;
            if (other->parameter->slot_row < slice->parameter->slot_row) before += other->rect.n_row;
        }
        assert_int_equal(slice->slot_row, before);
        assert_int_equal(slices->slot_n_row[slot], total);
        assert_int_equal(slices->slot_n_col[slot], slice->rect.n_col);
    }
}

static void check_ranks(const lf_config *config, const lf_parameters *parameters, int64_t n_rank)
{
    int64_t **holders = calloc(parameters->count, sizeof *holders);
    for (size_t i = 0; i < parameters->count; i++) {
        holders[i] = calloc((size_t)(parameters->items[i].shape[0] * parameters->items[i].shape[1]), sizeof **holders);
    }
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_rank_plan plan;
        lf_slices slices;
        assert_int_equal(lf_rank_plan_build(&plan, config, n_rank, rank, NULL), LF_OK);
        assert_int_equal(lf_slices_build(&slices, parameters, config, &plan, NULL), LF_OK);
        check_stacking(&slices, config);
        uint64_t bytes = 0;
        for (size_t i = 0; i < slices.count; i++) {
            lf_rect rect = slices.items[i].rect;
            int64_t n_col = parameters->items[i].shape[1];
            for (int64_t row = rect.row; row < rect.row + rect.n_row; row++) {
                for (int64_t col = rect.col; col < rect.col + rect.n_col; col++) holders[i][row * n_col + col]++;
            }
            bytes += (uint64_t)(rect.n_row * rect.n_col) * (parameters->items[i].rank == 1 ? 4 : 2);
        }
        lf_budget budget = lf_budget_of(&slices, config, &plan);
        assert_int_equal(budget.weight_bytes, bytes);
        assert_int_equal(budget.kv_bytes_per_token,
                         config->num_hidden_layers * 2 * lf_range_length(plan.kv_heads) * cache_width(config));
        lf_slices_fini(&slices);
    }
    for (size_t i = 0; i < parameters->count; i++) {
        const lf_parameter *parameter = &parameters->items[i];
        for (int64_t row = 0; row < parameter->shape[0]; row++) {
            for (int64_t col = 0; col < parameter->shape[1]; col++) {
                assert_int_equal(holders[i][row * parameter->shape[1] + col],
                                 expected_holders(parameter, config, n_rank, row));
            }
        }
        free(holders[i]);
    }
    free(holders);
}

static void ranks_together_hold_everything(void **state)
{
    for (size_t c = 0; c < LF_ARRAY_LENGTH(configs); c++) {
        lf_config config = parse(configs[c]);
        lf_parameters parameters;
        assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
        for (int64_t n_rank = 1; n_rank <= 12; n_rank++) check_ranks(&config, &parameters, n_rank);
        lf_parameters_fini(&parameters);
    }
}

static void heads_have_their_own_widths(void **state)
{
    lf_config config = parse(DEEPSEEK("6"));
    lf_parameters parameters;
    lf_rank_plan plan;
    assert_int_equal(lf_parameters_build(&parameters, &config, NULL), LF_OK);
    assert_int_equal(lf_rank_plan_build(&plan, &config, 3, 1, NULL), LF_OK); // heads 3 and 4
    static const struct {
        const char *name;
        lf_rect rect;
    } cases[] = {
        {"model.layers.1.self_attn.q_a_proj.weight", {0, 0, 6, 12}},
        {"model.layers.1.self_attn.q_b_proj.weight", {3 * 7, 0, 2 * 7, 6}},
        {"model.layers.1.self_attn.kv_a_proj_with_mqa.weight", {0, 0, 6, 12}},
        {"model.layers.1.self_attn.kv_b_proj.weight", {3 * 8, 0, 2 * 8, 4}},
        {"model.layers.1.self_attn.o_proj.weight", {0, 3 * 3, 12, 2 * 3}},
    };
    for (size_t c = 0; c < LF_ARRAY_LENGTH(cases); c++) {
        size_t i = 0;
        while (strcmp(parameters.items[i].name, cases[c].name) != 0) assert_true(++i < parameters.count);
        lf_rect rect = lf_slice_rect(&parameters.items[i], &config, &plan);
        assert_memory_equal(&rect, &cases[c].rect, sizeof rect);
    }
    lf_parameters_fini(&parameters);
}

int test_slice(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_holds_the_table_as_it_is),
        cmocka_unit_test(ranks_together_hold_everything),
        cmocka_unit_test(heads_have_their_own_widths),
    };
    return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
