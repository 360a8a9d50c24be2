// SPDX-License-Identifier: Apache-2.0
//
// Partition questions for the shapes that went wrong in the wild: a K norm over the full width under replicated KV
// heads, FP8 blocks that a slice cuts, sizes that ranks do not divide.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../support/sparse.h"
#include "base/mem.h"
#include "plan/split_check.h"
#include "tests.h"

static void check(sparse_model *model, int64_t tp, int64_t ep)
{
    lf_error err;
    lf_topology args = {.tensor_parallel_size = tp, .expert_parallel_size = ep};
    lf_findings_fini(&model->findings);
    assert_int_equal(lf_split_check(&model->outline, model->quant, args, &model->findings, &err), LF_OK);
    assert_int_equal(model->findings.n_error, 0);
}

static void assert_says(const sparse_model *model, const char *code, const char *subject, const char *text)
{
    const lf_finding *finding = sparse_find(model, code, subject);
    if (!finding) fail_msg("no finding %s", code);
    if (!strstr(finding->message, text) && !strstr(finding->found, text) && !strstr(finding->expected, text))
        fail_msg("%s: '%s' is not in '%s', '%s', '%s'", code, text, finding->message, finding->expected,
                 finding->found);
}

#define FP8_BLOCKS "\"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [128, 128]}"

static const char minimax_config[] =
    "{\"architectures\": [\"MiniMaxM2ForCausalLM\"], \"hidden_size\": 3072, \"num_hidden_layers\": 62,"
    " \"num_attention_heads\": 48, \"num_key_value_heads\": 8, \"head_dim\": 128, \"intermediate_size\": 1536,"
    " \"num_local_experts\": 256, \"vocab_size\": 200064, " FP8_BLOCKS "}";

#define FP8(name, rows, cols)                                                                                          \
    {name ".weight", "F8_E4M3", {rows, cols}},                                                                         \
    {                                                                                                                  \
        name ".weight_scale_inv", "F32", { (rows + 127) / 128, (cols + 127) / 128 }                                    \
    }

static const sparse_tensor minimax[] = {
    {"lm_head.weight", "BF16", {200064, 3072}},
    FP8("model.layers.0.block_sparse_moe.experts.0.w1", 1536, 3072),
    FP8("model.layers.0.block_sparse_moe.experts.0.w2", 3072, 1536),
    {"model.layers.0.self_attn.k_norm.weight", "BF16", {1024}},
    FP8("model.layers.0.self_attn.k_proj", 1024, 3072),
    FP8("model.layers.0.self_attn.o_proj", 3072, 6144),
    {"model.layers.0.self_attn.q_norm.weight", "BF16", {6144}},
    FP8("model.layers.0.self_attn.q_proj", 6144, 3072),
};

static void names_the_k_norm_of_minimax(void **state)
{
    sparse_model model;
    sparse_open(&model, minimax_config, minimax, LF_ARRAY_LENGTH(minimax));
    const char *k_norm = "model.layers.0.self_attn.k_norm.weight";
    check(&model, 16, 1);
    assert_says(&model, "norm-full-width", k_norm, "k_norm: 128 expected, an even split gives 64");
    assert_says(&model, "split-kv", "model.layers.0.self_attn.k_proj.weight",
                "k_proj: 128 expected, an even split gives 64");
    assert_says(&model, "kv-replicated", NULL, "head 0 on ranks 0-1, head 1 on ranks 2-3");
    assert_null(sparse_find(&model, "norm-full-width", "model.layers.0.self_attn.q_norm.weight")); // 48 heads: even
    assert_null(sparse_find(&model, "heads-uneven", NULL));
    assert_says(&model, "blocks-cut", "model.layers.0.block_sparse_moe.experts.0.w1.weight",
                "96 of 1536 rows, 0.75 blocks");
    check(&model, 8, 1);
    assert_null(sparse_find(&model, "norm-full-width", NULL));
    assert_null(sparse_find(&model, "kv-replicated", NULL));
    check(&model, 4, 1); // 1536 / 4 = 3 blocks
    assert_int_equal(model.findings.count, 0);
    check(&model, 1, 1);
    assert_int_equal(model.findings.count, 0);
    sparse_close(&model);
}

static void experts_whole_are_not_cut(void **state)
{
    sparse_model model;
    sparse_open(&model, minimax_config, minimax, LF_ARRAY_LENGTH(minimax));
    check(&model, 16, 16);
    assert_null(sparse_find(&model, "blocks-cut", "model.layers.0.block_sparse_moe.experts.0.w1.weight"));
    assert_null(sparse_find(&model, "experts-uneven", NULL));
    check(&model, 1, 7);
    assert_says(&model, "experts-uneven", "num_experts", "parts of 37 and 36");
    check(&model, 1, 300);
    assert_says(&model, "ranks-idle", "num_experts", "44 of 300 ranks");
    sparse_close(&model);
}

static void says_what_does_not_divide(void **state)
{
    sparse_model model;
    sparse_open(&model, minimax_config, minimax, LF_ARRAY_LENGTH(minimax));
    check(&model, 5, 1);
    assert_says(&model, "heads-uneven", "num_attention_heads", "parts of 10 and 9");
    assert_says(&model, "heads-uneven", "num_attention_heads", "1 2 3 4 6 8 12 16 24 48");
    assert_says(&model, "kv-heads-uneven", "num_key_value_heads", "5 ranks");
    assert_says(&model, "vocab-uneven", "vocab_size", "200064 / 5");
    assert_says(&model, "split-kv", "model.layers.0.self_attn.k_proj.weight",
                "k_proj: 256 to 384 expected, an even split of 1024 is impossible");
    check(&model, 64, 1);
    assert_says(&model, "ranks-idle", "num_attention_heads", "16 of 64 ranks");
    sparse_close(&model);
}

static void knows_norms_over_one_head(void **state)
{
    static const char config[] =
        "{\"hidden_size\": 1024, \"num_hidden_layers\": 2, \"num_attention_heads\": 16, \"num_key_value_heads\": 8,"
        " \"head_dim\": 128, \"intermediate_size\": 3072, \"vocab_size\": 1000}";
    static const sparse_tensor tensors[] = {
        {"model.layers.0.self_attn.k_norm.weight", "BF16", {128}},
        {"model.layers.0.self_attn.k_proj.weight", "BF16", {1024, 1024}},
        {"model.layers.1.self_attn.k_norm.weight", "BF16", {128}},
        {"model.norm.weight", "BF16", {1024}},
    };
    sparse_model model;
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    check(&model, 2, 1);
    assert_says(&model, "norm-per-head", "model.layers.0.self_attn.k_norm.weight",
                "k_norm: 128 expected, an even split gives 64 (2 tensors)");
    assert_int_equal(model.findings.count, 1); // the layers together, and nothing about model.norm
    sparse_close(&model);
}

static void knows_blocks_and_latents_of_deepseek(void **state)
{
    static const char config[] =
        "{\"hidden_size\": 7168, \"num_hidden_layers\": 61, \"num_attention_heads\": 128, \"num_key_value_heads\": 128,"
        " \"kv_lora_rank\": 512, \"qk_rope_head_dim\": 64, \"intermediate_size\": 18432, \"moe_intermediate_size\": "
        "2048,"
        " \"n_routed_experts\": 256, \"vocab_size\": 129280, " FP8_BLOCKS "}";
    static const sparse_tensor tensors[] = {
        FP8("model.layers.0.mlp.down_proj", 7168, 18432),
        FP8("model.layers.0.self_attn.kv_a_proj_with_mqa", 576, 7168),
        FP8("model.layers.0.self_attn.q_b_proj", 24576, 1536),
    };
    sparse_model model;
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    check(&model, 32, 1);
    assert_says(&model, "blocks-cut", "model.layers.0.mlp.down_proj.weight", "576 of 18432 columns, 4.5 blocks");
    assert_null(sparse_find(&model, "blocks-cut", "model.layers.0.self_attn.kv_a_proj_with_mqa.weight")); // whole
    assert_says(&model, "kv-latent", "kv_lora_rank", "512 + 64");
    assert_null(sparse_find(&model, "kv-replicated", NULL));
    check(&model, 16, 1);
    assert_null(sparse_find(&model, "blocks-cut", NULL));
    sparse_close(&model);
}

int test_split_check(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_k_norm_of_minimax),
        cmocka_unit_test(experts_whole_are_not_cut),
        cmocka_unit_test(says_what_does_not_divide),
        cmocka_unit_test(knows_norms_over_one_head),
        cmocka_unit_test(knows_blocks_and_latents_of_deepseek),
    };
    return cmocka_run_group_tests_name("split_check", tests, NULL, NULL);
}
