// SPDX-License-Identifier: Apache-2.0
//
// The comparison with one rank where it cannot be made: nothing is started, and the step says why it does not count.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests.h"
#include "verify/verify_int.h"

static lf__model model_of(const char *text)
{
    lf_error err = {0};
    lf__model model = {.is_sound = true, .has_table = true};
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    if (lf_config_parse(&model.config, json, &err)) fail_msg("%s", err.message);
    json_decref(json);
    return model;
}

static lf__step_result result_of(const lf_verify_options *options, const lf__model *model)
{
    lf__step_result result;
    lf__single_rank(&result, options, model, true);
    assert_null(result.evidence);
    return result;
}

static void a_model_too_large_for_one_rank_is_skipped(void **state)
{
    // 2^12 layers of 2^20 x 2^22 weights: no memory holds them.
    lf__model model = model_of("{\"architectures\": [\"Qwen3ForCausalLM\"], \"hidden_size\": 1048576, "
                               "\"intermediate_size\": 4194304, \"num_hidden_layers\": 4096, \"head_dim\": 128}");
    const lf_verify_options options = {.program = "/nonexistent",
                                       .output_dir = "/nonexistent",
                                       .tensor_parallel_size = 2,
                                       .compare_single_rank = true};
    lf__step_result result = result_of(&options, &model);
    assert_int_equal(result.status, LF_STEP_SKIPPED);
    assert_non_null(strstr(result.detail, "one rank needs"));
    assert_non_null(strstr(result.detail, "GiB are available"));
    model.has_table = false;
    result = result_of(&options, &model);
    assert_int_equal(result.status, LF_STEP_SKIPPED);
}

static void what_was_not_asked_for_does_not_apply(void **state)
{
    lf__model model = model_of("{\"architectures\": [\"Qwen3ForCausalLM\"], \"num_hidden_layers\": 1}");
    lf_verify_options options = {.program = "/nonexistent", .output_dir = "/nonexistent", .tensor_parallel_size = 2};
    lf__step_result result = result_of(&options, &model);
    assert_int_equal(result.status, LF_STEP_NOT_APPLICABLE);
    assert_non_null(strstr(result.detail, "--compare-single-rank"));
    options.compare_single_rank = true;
    options.tensor_parallel_size = 0;
    result = result_of(&options, &model);
    assert_int_equal(result.status, LF_STEP_NOT_APPLICABLE);
}

static void a_run_that_fails_fails_the_step(void **state)
{
    lf__model model = model_of("{\"architectures\": [\"Qwen3ForCausalLM\"], \"num_hidden_layers\": 1, "
                               "\"hidden_size\": 64, \"intermediate_size\": 64, \"vocab_size\": 64}");
    char folder[] = "/tmp/landfall-single-rank-XXXXXX", log_path[64];
    assert_non_null(mkdtemp(folder));
    const lf_verify_options options = {.program = "/nonexistent/landfall",
                                       .model_dir = "/nonexistent",
                                       .output_dir = folder,
                                       .tensor_parallel_size = 2,
                                       .compare_single_rank = true,
                                       .ready_timeout_s = 10};
    lf__step_result result = result_of(&options, &model);
    assert_int_equal(result.status, LF_STEP_FAILED);
    assert_non_null(strstr(result.detail, "2 ranks: "));
    snprintf(log_path, sizeof log_path, "%s/real.ranks.log", folder);
    unlink(log_path);
    assert_int_equal(rmdir(folder), 0);
}

int test_single_rank(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_too_large_for_one_rank_is_skipped),
        cmocka_unit_test(what_was_not_asked_for_does_not_apply),
        cmocka_unit_test(a_run_that_fails_fails_the_step),
    };
    return cmocka_run_group_tests_name("single rank", tests, NULL, NULL);
}
