// SPDX-License-Identifier: Apache-2.0
//
// Groups of tensors and the shares of ranks: nothing is lost or counted twice, whatever the topology; and the sizes
// that engines accept.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../support/sparse.h"
#include "base/mem.h"
#include "plan/admissible.h"
#include "plan/census.h"
#include "tests.h"

#define FP8(name, rows, cols)                                                                                          \
    {name ".weight", "F8_E4M3", {rows, cols}},                                                                         \
    {                                                                                                                  \
        name ".weight_scale_inv", "F32", { (rows + 127) / 128, (cols + 127) / 128 }                                    \
    }

// A small mixture of experts: 8 heads of 128, 4 KV heads, 4 experts of 256, one dense layer, one MTP layer.
static const char config[] =
    "{\"hidden_size\": 512, \"num_hidden_layers\": 2, \"num_attention_heads\": 8, \"num_key_value_heads\": 4,"
    " \"head_dim\": 128, \"intermediate_size\": 1024, \"moe_intermediate_size\": 256, \"num_experts\": 4,"
    " \"first_k_dense_replace\": 1, \"num_nextn_predict_layers\": 1, \"vocab_size\": 1000,"
    " \"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128]}}";

static const sparse_tensor tensors[] = {
    {"lm_head.weight", "BF16", {1000, 512}},
    {"model.embed_tokens.weight", "BF16", {1000, 512}},
    FP8("model.layers.0.mlp.down_proj", 512, 1024),
    FP8("model.layers.0.mlp.up_proj", 1024, 512),
    FP8("model.layers.0.self_attn.k_proj", 512, 512),
    FP8("model.layers.0.self_attn.o_proj", 512, 1024),
    FP8("model.layers.0.self_attn.q_proj", 1024, 512),
    FP8("model.layers.1.mlp.experts.0.up_proj", 256, 512),
    FP8("model.layers.1.mlp.experts.1.up_proj", 256, 512),
    FP8("model.layers.1.mlp.experts.2.up_proj", 256, 512),
    FP8("model.layers.1.mlp.experts.3.up_proj", 256, 512),
    {"model.layers.1.mlp.gate.weight", "BF16", {4, 512}},
    FP8("model.layers.1.self_attn.k_proj", 512, 512),
    FP8("model.layers.1.self_attn.o_proj", 512, 1024),
    FP8("model.layers.1.self_attn.q_proj", 1024, 512),
    FP8("model.layers.2.mlp.experts.0.up_proj", 256, 512),
    {"model.norm.weight", "BF16", {512}},
};

static const lf_group *find(const lf_census *census, const char *family, lf_part part)
{
    for (size_t i = 0; i < census->count; i++) {
        const lf_group *group = &census->groups[i];
        if (strcmp(group->family, family) == 0 && group->role.part == part) return group;
    }
    return NULL;
}

static void groups_by_family(void **state)
{
    sparse_model model;
    lf_census census;
    lf_error err;
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    assert_int_equal(lf_census_build(&census, &model.outline, model.quant, &err), LF_OK);
    const lf_group *experts = find(&census, "model.layers.#.mlp.experts.#.up_proj.weight", LF_PART_EXPERTS);
    assert_non_null(experts);
    assert_int_equal(experts->count, 4);
    assert_int_equal(experts->stored_bytes, 4 * (256 * 512 + 2 * 4 * 4));
    const lf_group *mtp = find(&census, "model.layers.#.mlp.experts.#.up_proj.weight", LF_PART_MTP);
    assert_int_equal(mtp->count, 1);
    assert_int_equal(find(&census, "model.layers.#.self_attn.q_proj.weight", LF_PART_ATTENTION)->count, 2);
    uint64_t n = 0, stored = 0, parameters = 0;
    for (size_t i = 0; i < census.count; i++) {
        const lf_group *g = &census.groups[i];
        n += g->count;
        stored += g->stored_bytes;
        parameters += g->count * (uint64_t)g->n_row * (uint64_t)g->n_col;
    }
    assert_int_equal(n, lf_quant_count(model.quant));
    assert_int_equal(stored, lf_checkpoint_bytes(model.checkpoint));
    assert_int_equal(parameters, census.n_parameter);
    lf_topology alone = {1, 1};
    assert_int_equal(lf_census_rank_bytes(&census, &model.outline, alone, 0, LF_RESIDENCY_BF16), 2 * parameters);
    assert_int_equal(lf_census_rank_bytes(&census, &model.outline, alone, 0, LF_RESIDENCY_FP8), stored);
    lf_census_fini(&census);
    sparse_close(&model);
}

// What the ranks hold together is the model, plus copies of what is whole or replicated.
static void shares_tile_the_model(void **state)
{
    sparse_model model;
    lf_census census;
    lf_error err;
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    assert_int_equal(lf_census_build(&census, &model.outline, model.quant, &err), LF_OK);
    for (int64_t tp = 1; tp <= 12; tp++) {
        for (size_t i = 0; i < census.count; i++) {
            const lf_group *g = &census.groups[i];
            lf_topology topology = {tp, 1};
            int64_t end = 0, sum = 0, whole = lf_group_cuts_cols(g) ? g->n_col : g->n_row;
            for (int64_t rank = 0; rank < tp; rank++) {
                lf_range range = lf_group_range(g, &model.outline, topology, rank);
                bool is_copied = g->role.partition == LF_PARTITION_NONE || g->role.partition == LF_PARTITION_KV_HEADS;
                if (!is_copied && lf_range_length(range)) assert_int_equal(range.begin, end);
                end = LF_MAX(end, range.end);
                sum += lf_range_length(range);
            }
            assert_int_equal(end, whole);
            assert_true(sum >= whole);
        }
    }
    lf_need one = lf_census_need(&census, &model.outline, (lf_topology){1, 1});
    lf_need two = lf_census_need(&census, &model.outline, (lf_topology){2, 1});
    lf_need dealt = lf_census_need(&census, &model.outline, (lf_topology){1, 4});
    assert_int_equal(one.kv_bytes_per_token, 2 * 2 * 4 * 128 * 2);
    assert_int_equal(two.kv_bytes_per_token * 2, one.kv_bytes_per_token);
    assert_true(two.bf16_bytes < one.bf16_bytes && two.bf16_bytes > one.bf16_bytes / 2); // norms and router are whole
    assert_true(one.fp8_bytes < one.bf16_bytes);
    // Experts whole: each of four ranks holds one of the four, and a quarter of the MTP layer's.
    assert_int_equal(one.bf16_bytes - dealt.bf16_bytes, 2 * 256 * 512 * 5 * 3 / 4);
    lf_census_fini(&census);
    sparse_close(&model);
}

static void assert_sizes(const lf_outline *o, lf_engine_rule rule, const int64_t *expected)
{
    for (int64_t tp = 1; tp <= 64; tp++) {
        char why[160];
        bool is_expected = false;
        for (size_t i = 0; expected[i]; i++) is_expected |= expected[i] == tp;
        bool is_fine = lf_tp_is_admissible(o, tp, rule, why, sizeof why);
        if (is_fine != is_expected) fail_msg("rule %d, size %d: %s", rule, (int)tp, is_fine ? "accepted" : why);
        assert_int_equal(is_fine, why[0] == '\0');
    }
}
#define SIZES(...) ((const int64_t[]){__VA_ARGS__, 0})

static void knows_admissible_sizes(void **state)
{
    char why[160];
    lf_outline deepseek = {.num_attention_heads = 128,
                           .num_key_value_heads = 128,
                           .kv_lora_rank = 512,
                           .qk_rope_head_dim = 64,
                           .qk_nope_head_dim = 128,
                           .v_head_dim = 128,
                           .intermediate_size = 18432,
                           .moe_intermediate_size = 2048,
                           .shared_intermediate_size = 2048,
                           .num_experts = 256,
                           .has_dense_layers = true,
                           .block_rows = 128,
                           .block_cols = 128};
    assert_sizes(&deepseek, LF_ENGINE_BF16, SIZES(1, 2, 4, 8, 16, 32, 64));
    assert_sizes(&deepseek, LF_ENGINE_FP8_BLOCK, SIZES(1, 2, 4, 8, 16));
    assert_false(lf_tp_is_admissible(&deepseek, 32, LF_ENGINE_FP8_BLOCK, why, sizeof why));
    assert_string_equal(why, "intermediate_size 18432 / 32 = 576, not a multiple of 128");

    // Qwen3-30B-A3B: experts of 768; 768 / 4 = 192 is one and a half blocks. Whole experts allow more.
    lf_outline qwen = {.num_attention_heads = 32,
                       .num_key_value_heads = 4,
                       .head_dim = 128,
                       .moe_intermediate_size = 768,
                       .intermediate_size = 6144,
                       .num_experts = 128,
                       .block_rows = 128,
                       .block_cols = 128};
    assert_sizes(&qwen, LF_ENGINE_BF16, SIZES(1, 2, 4, 8, 16, 32));
    assert_sizes(&qwen, LF_ENGINE_FP8_BLOCK, SIZES(1, 2));
    assert_sizes(&qwen, LF_ENGINE_FP8_BLOCK_EXPERTS, SIZES(1, 2, 4, 8, 16, 32));

    // MiniMax-M2: 48 heads on 8 KV heads: 6 is no divisor or multiple of 8.
    lf_outline minimax = {.num_attention_heads = 48,
                          .num_key_value_heads = 8,
                          .head_dim = 128,
                          .moe_intermediate_size = 1536,
                          .intermediate_size = 1536,
                          .num_experts = 256,
                          .block_rows = 128,
                          .block_cols = 128};
    assert_sizes(&minimax, LF_ENGINE_BF16, SIZES(1, 2, 4, 8, 16, 24, 48) + 0);
    assert_sizes(&minimax, LF_ENGINE_FP8_BLOCK, SIZES(1, 2, 4));
    assert_false(lf_tp_is_admissible(&minimax, 6, LF_ENGINE_BF16, why, sizeof why));
    assert_string_equal(why, "num_key_value_heads 8 neither divides nor is a multiple of 6");

    lf_outline nothing = {0};
    assert_true(lf_tp_is_admissible(&nothing, 7, LF_ENGINE_FP8_BLOCK, NULL, 0));
}

int test_census(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_by_family),
        cmocka_unit_test(shares_tile_the_model),
        cmocka_unit_test(knows_admissible_sizes),
    };
    return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
