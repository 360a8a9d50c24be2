// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out at every allocation of a use of the library: each call says so and nothing leaks. jansson's own
// allocations do not fail: it takes some failures for syntax errors, and prints on after others.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "landfall.h"
#include "tests.h"

// Open, describe, check, plan, plan a conversion.
static lf_status use(const char *dir, lf_error *err)
{
    lf_model *model = NULL;
    lf_plan *plan = NULL;
    lf_conversion *conversion = NULL;
    lf_tensor_facts tensor;
    const lf_plan_options options = {.tensor_parallel_size = 3};
    const lf_check_options check = {.tensor_parallel_size = 3};
    lf_findings *findings = lf_findings_new();
    if (!findings) return err->status = LF_ERR_NO_MEMORY;
    lf_status status = lf_model_open(&model, dir, err);
    if (!status) status = lf_check_run(model, &check, findings, err);
    if (!status) status = lf_plan_open(&plan, model, &options, err);
    if (!status && !lf_model_tensor(model, 0, &tensor)) status = err->status = LF_ERR_BUG;
    if (!status) status = lf_conversion_open(&conversion, dir, NULL, findings, err);
    lf_conversion_close(conversion);
    lf_plan_close(plan);
    lf_model_close(model);
    lf_findings_free(findings);
    return status;
}

static void survives_memory_running_out(void **state)
{
    lf_error err = {0};
    const char *dir = golden("qwen3_fp8_block");
    assert_int_equal(use(dir, &err), LF_OK); // what is allocated once for the process
    memory_fail_at(-1);
    assert_int_equal(use(dir, &err), LF_OK);
    long n_call = memory_n_call(), n_live = memory_n_live();
    assert_true(n_call > 100);
    // Every allocation of the first hundred, then a sample: the tokenizer alone makes thousands.
    for (long call = 0; call < n_call; call += call < 100 ? 1 : n_call / 150 + 1) {
        memory_fail_at(call);
        lf_status status = use(dir, &err);
        if (memory_stop_failing() && status != LF_OK && status != LF_ERR_NO_MEMORY)
            fail_msg("allocation %ld of %ld: %s: %s", call, n_call, lf_status_text(status), err.message);
        if (status) assert_int_equal(err.status, status);
        assert_int_equal(memory_n_live(), n_live);
    }
}

int test_faults(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_memory_running_out),
    };
    return cmocka_run_group_tests_name("api: faults", tests, NULL, NULL);
}
