// SPDX-License-Identifier: Apache-2.0
//
// Opening, facts, tensors, findings and plans, with right and wrong arguments.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "landfall.h"
#include "tests.h"

static void tells_what_a_model_is(void **state)
{
    lf_error err;
    lf_model *model;
    assert_int_equal(lf_model_open(&model, bundled(), &err), LF_OK);
    const lf_model_facts *facts = lf_model_facts_of(model);
    assert_string_equal(facts->architecture, "Qwen3ForCausalLM");
    assert_string_equal(facts->scheme, "fp8 e4m3, block 128x128, F32 scales");
    assert_true(facts->has_table);
    assert_int_equal(facts->n_tensor, 92);
    assert_int_equal(facts->n_shard, 2);
    assert_int_equal(facts->n_quantized, 35);
    assert_int_equal(facts->num_attention_heads, 6);
    assert_int_equal(facts->num_experts, 0);
    assert_true(facts->n_parameter > facts->stored_bytes / 4 && facts->n_parameter < facts->stored_bytes);
    lf_model_close(model);
}

static void lists_every_tensor(void **state)
{
    lf_error err;
    lf_model *model;
    lf_tensor_facts tensor;
    char before[256] = "";
    size_t i = 0, n_scaled = 0;
    uint64_t bytes = 0;
    assert_int_equal(lf_model_open(&model, bundled(), &err), LF_OK);
    for (; lf_model_tensor(model, i, &tensor); i++) {
        assert_true(strcmp(before, tensor.name) < 0);
        snprintf(before, sizeof before, "%s", tensor.name);
        bytes += tensor.bytes;
        n_scaled += tensor.scale != NULL;
        assert_int_equal(strcmp(tensor.scale_layout, "block") == 0, tensor.scale != NULL);
        assert_int_equal(strcmp(tensor.dtype, "F8_E4M3") == 0, tensor.scale != NULL);
        assert_in_range(tensor.rank, 1, 2);
        assert_true(tensor.shape[0] > 0 && tensor.shape[tensor.rank] == 0);
        assert_non_null(strstr(tensor.file, ".safetensors"));
    }
    assert_int_equal(i, 92);
    assert_int_equal(n_scaled, 35);
    assert_int_equal(bytes, lf_model_facts_of(model)->stored_bytes);
    assert_null(tensor.name); // beyond the end
    assert_false(lf_model_tensor(model, SIZE_MAX, &tensor));
    lf_model_close(model);
}

static void opens_nothing_that_is_not_there(void **state)
{
    lf_error err;
    lf_model *model = (lf_model *)&err;
    lf_status status = lf_model_open(&model, "/nonexistent/model", &err);
    assert_int_equal(status, LF_ERR_NOT_FOUND);
    assert_null(model);
    assert_int_equal(err.status, status);
    assert_int_equal(lf_status_exit(status), 3);
    assert_string_equal(lf_status_text(status), "not found");
    lf_model_close(NULL);
    lf_plan_close(NULL);
    lf_findings_free(NULL);
    lf_conversion_close(NULL);
}

static void checks_as_often_as_asked(void **state)
{
    lf_error err;
    lf_model *model;
    lf_findings *once = lf_findings_new(), *twice = lf_findings_new();
    const lf_check_options options = {.tensor_parallel_size = 4, .deep = true};
    assert_int_equal(lf_model_open(&model, bundled(), &err), LF_OK);
    assert_int_equal(lf_check_run(model, &options, once, &err), LF_OK);
    assert_int_equal(lf_check_run(model, &options, twice, &err), LF_OK);
    assert_int_equal(lf_findings_count(once), lf_findings_count(twice));
    assert_true(lf_findings_count(once) > 0);
    assert_int_equal(lf_findings_status(once, &err), LF_OK);
    bool is_replicated = false;
    for (size_t i = 0; i < lf_findings_count(once); i++) {
        const lf_finding *finding = lf_findings_at(once, i);
        assert_string_equal(finding->code, lf_findings_at(twice, i)->code);
        is_replicated = is_replicated || strcmp(finding->code, "kv-replicated") == 0;
    }
    assert_true(is_replicated); // 6 query heads and 3 KV heads on 4 ranks
    assert_null(lf_findings_at(once, lf_findings_count(once)));
    lf_findings_free(once);
    lf_findings_free(twice);
    lf_model_close(model);
}

static void refuses_sizes_out_of_range(void **state)
{
    lf_error err;
    lf_model *model;
    lf_plan *plan;
    lf_findings *findings = lf_findings_new();
    assert_int_equal(lf_model_open(&model, bundled(), &err), LF_OK);
    const int64_t sizes[] = {-1, 16385, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const lf_check_options tp = {.tensor_parallel_size = sizes[i]}, ep = {.expert_parallel_size = sizes[i]};
        const lf_plan_options plan_tp = {.tensor_parallel_size = sizes[i]},
                              plan_ep = {.expert_parallel_size = sizes[i]};
        assert_int_equal(lf_check_run(model, &tp, findings, &err), LF_ERR_USAGE);
        assert_int_equal(lf_check_run(model, &ep, findings, &err), LF_ERR_USAGE);
        assert_string_equal(err.message, "expert_parallel_size is out of range");
        assert_int_equal(lf_plan_open(&plan, model, &plan_tp, &err), LF_ERR_USAGE);
        assert_int_equal(lf_plan_open(&plan, model, &plan_ep, &err), LF_ERR_USAGE);
        assert_null(plan);
    }
    assert_int_equal(lf_findings_count(findings), 0);
    lf_findings_free(findings);
    lf_model_close(model);
}

static void plans_any_number_of_ranks(void **state)
{
    lf_error err;
    lf_model *model;
    assert_int_equal(lf_model_open(&model, bundled(), &err), LF_OK);
    const lf_model_facts *facts = lf_model_facts_of(model);
    for (int64_t n_rank = 0; n_rank <= 9; n_rank++) {
        lf_plan *plan;
        const lf_plan_options options = {.tensor_parallel_size = n_rank, .expert_parallel_size = 3}; // no experts
        assert_int_equal(lf_plan_open(&plan, model, &options, &err), LF_OK);
        assert_int_equal(lf_plan_n_rank(plan), n_rank ? n_rank : 1);
        int64_t head = 0, row = 0;
        for (size_t rank = 0; rank < lf_plan_n_rank(plan); rank++) {
            const lf_share *share = lf_plan_share(plan, rank);
            assert_int_equal(share->query_heads.begin, head);
            assert_int_equal(share->intermediate.begin, row);
            assert_int_equal(share->experts.begin, share->experts.end);
            head = share->query_heads.end;
            row = share->intermediate.end;
        }
        assert_int_equal(head, facts->num_attention_heads);
        assert_int_equal(row, facts->intermediate_size);
        assert_null(lf_plan_share(plan, lf_plan_n_rank(plan)));
        lf_plan_close(plan);
    }
    char why[128] = "";
    assert_true(lf_model_admits(model, 1, LF_SPLIT_FP8_BLOCK, why, sizeof why));
    assert_false(lf_model_admits(model, 4, LF_SPLIT_BF16, why, sizeof why));
    assert_non_null(strstr(why, "num_attention_heads"));
    assert_false(lf_model_admits(model, 4, LF_SPLIT_FP8_BLOCK_EXPERTS, NULL, 0));
    const int64_t no_sizes[] = {0, -1, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        assert_false(lf_model_admits(model, no_sizes[i], LF_SPLIT_BF16, why, sizeof why));
        assert_non_null(strstr(why, "not a number of ranks"));
    }
    assert_false(lf_model_admits(model, 1, (lf_split_rule)3, NULL, 0));
    lf_model_close(model);
}

int test_model(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_a_model_is),           cmocka_unit_test(lists_every_tensor),
        cmocka_unit_test(opens_nothing_that_is_not_there), cmocka_unit_test(checks_as_often_as_asked),
        cmocka_unit_test(refuses_sizes_out_of_range),      cmocka_unit_test(plans_any_number_of_ranks),
    };
    return cmocka_run_group_tests_name("api: model", tests, NULL, NULL);
}
