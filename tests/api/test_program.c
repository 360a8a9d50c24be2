// SPDX-License-Identifier: Apache-2.0
//
// The library says what the program says: findings and plans of golden checkpoints beside `landfall ... --json`.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "../support/sparse.h"
#include "base/mem.h"
#include "landfall.h"
#include "tests.h"

static const char *const goldens[] = {"qwen3_fp8_block", "llama_fp8_tensor_static", "qwen2_bf16_tied"};

// What `landfall ARGUMENTS --json` prints; a new reference.
static json_t *program_says(const char *verb, const char *dir, const char *flags)
{
    char command[8192];
    const char *program = getenv("LF_TEST_PROGRAM");
    if (!program) skip();
    snprintf(command, sizeof command, "'%s' %s '%s' %s --json", program, verb, dir, flags);
    FILE *stream = popen(command, "r");
    assert_non_null(stream);
    json_t *json = json_loadf(stream, 0, NULL);
    pclose(stream);
    assert_non_null(json);
    return json;
}

static void compare_findings(const char *dir, const lf_check_options *options, const char *flags)
{
    lf_error err;
    lf_model *model;
    char *text;
    lf_findings *findings = lf_findings_new();
    json_t *theirs = program_says("check", dir, flags);
    assert_int_equal(lf_model_open(&model, dir, &err), LF_OK);
    assert_int_equal(lf_check_run(model, options, findings, &err), LF_OK);
    assert_int_equal(lf_findings_to_json(findings, &text, &err), LF_OK);
    json_t *ours = json_loads(text, 0, NULL);
    assert_true(json_equal(ours, json_object_get(theirs, "findings")));
    assert_int_equal(lf_findings_n_error(findings), json_integer_value(json_object_get(theirs, "errors")));
    assert_int_equal(lf_findings_n_warning(findings), json_integer_value(json_object_get(theirs, "warnings")));
    assert_int_equal(lf_findings_status(findings, &err) == LF_OK, json_is_true(json_object_get(theirs, "ok")));
    json_decref(ours);
    json_decref(theirs);
    free(text);
    lf_findings_free(findings);
    lf_model_close(model);
}

// An architecture without a table, of which layers are missing that its configuration promises.
static const sparse_tensor unknown_tensors[] = {
    {"model.embed_tokens.weight", "BF16", {64, 256}},
    {"model.layers.0.mlp.experts.0.up_proj.weight", "BF16", {64, 256}},
};
static const char unknown_config[] =
    "{\"architectures\": [\"UnheardOf\"], \"num_hidden_layers\": 1, \"hidden_size\": 256, \"num_attention_heads\": 4, "
    "\"num_key_value_heads\": 2, \"head_dim\": 64, \"num_experts\": 4, \"moe_intermediate_size\": 64, "
    "\"vocab_size\": 64, \"num_nextn_predict_layers\": 1}";
// One with a table, of which nearly all parameters are missing.
static const char poor_config[] =
    "{\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"hidden_size\": "
    "256, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 64, \"intermediate_size\": 512, "
    "\"vocab_size\": 64, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0, "
    "\"tie_word_embeddings\": false}";

static void finds_what_check_finds(void **state)
{
    const lf_check_options deep = {.tensor_parallel_size = 5, .expert_parallel_size = 3, .deep = true};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(goldens); i++) {
        compare_findings(golden(goldens[i]), NULL, "");
        compare_findings(golden(goldens[i]), &deep, "--tensor-parallel-size 5 --expert-parallel-size 3 --deep");
    }
    sparse_model model;
    const char *const configs[] = {unknown_config, poor_config};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(configs); i++) {
        sparse_open(&model, configs[i], unknown_tensors, LF_ARRAY_LENGTH(unknown_tensors));
        compare_findings(model.dir, NULL, "");
        compare_findings(model.dir, &deep, "--tensor-parallel-size 5 --expert-parallel-size 3 --deep");
        sparse_close(&model);
    }
}

static void assert_span(lf_span span, const json_t *rank, const char *key)
{
    const json_t *range = json_object_get(rank, key);
    if (!json_is_array(range)) { // experts that are not dealt out
        assert_int_equal(span.begin, span.end);
        return;
    }
    assert_int_equal(span.begin, json_integer_value(json_array_get(range, 0)));
    assert_int_equal(span.end, json_integer_value(json_array_get(range, 1)));
}

static void compare_plan(const char *dir, const lf_plan_options *options, const char *flags)
{
    lf_error err;
    lf_model *model;
    lf_plan *plan;
    json_t *theirs = program_says("plan", dir, flags), *ranks = json_object_get(theirs, "ranks");
    assert_int_equal(lf_model_open(&model, dir, &err), LF_OK);
    assert_int_equal(lf_plan_open(&plan, model, options, &err), LF_OK);
    assert_int_equal(lf_plan_n_rank(plan), json_array_size(ranks));
    for (size_t i = 0; i < lf_plan_n_rank(plan); i++) {
        const lf_share *share = lf_plan_share(plan, i);
        const json_t *rank = json_array_get(ranks, i);
        assert_span(share->query_heads, rank, "query_heads");
        assert_span(share->kv_heads, rank, "kv_heads");
        assert_span(share->intermediate, rank, "intermediate");
        assert_span(share->vocab, rank, "vocab");
        assert_span(share->experts, rank, "experts");
        assert_int_equal(share->n_kv_replicated, json_array_size(json_object_get(rank, "kv_heads_replicated")));
        assert_int_equal(share->weight_bytes, json_integer_value(json_object_get(rank, "weight_bytes")));
        assert_int_equal(share->kv_bytes_per_token, json_integer_value(json_object_get(rank, "kv_bytes_per_token")));
        assert_true(share->weight_bytes > 0);
    }
    lf_plan_close(plan);
    lf_model_close(model);
    json_decref(theirs);
}

static void plans_what_plan_plans(void **state)
{
    const lf_plan_options five = {.tensor_parallel_size = 5};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(goldens); i++) {
        compare_plan(golden(goldens[i]), NULL, "");
        compare_plan(golden(goldens[i]), &five, "--tensor-parallel-size 5");
    }
    sparse_model model;
    const lf_plan_options experts = {.tensor_parallel_size = 2, .expert_parallel_size = 3};
    sparse_open(&model, unknown_config, unknown_tensors, LF_ARRAY_LENGTH(unknown_tensors));
    compare_plan(model.dir, &experts, "--tensor-parallel-size 2 --expert-parallel-size 3");
    sparse_close(&model);
    sparse_open(&model, "{\"architectures\": [\"UnheardOf\"]}", unknown_tensors, LF_ARRAY_LENGTH(unknown_tensors));
    lf_error err;
    lf_model *opened;
    lf_plan *plan;
    assert_int_equal(lf_model_open(&opened, model.dir, &err), LF_OK);
    assert_int_equal(lf_plan_open(&plan, opened, NULL, &err), LF_ERR_UNSUPPORTED);
    assert_null(plan);
    lf_model_close(opened);
    sparse_close(&model);
}

int test_program(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_check_finds),
        cmocka_unit_test(plans_what_plan_plans),
    };
    return cmocka_run_group_tests_name("api: as the program", tests, NULL, NULL);
}
