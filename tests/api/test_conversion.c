// SPDX-License-Identifier: Apache-2.0
//
// Conversion through the library: options whose zero is the default, refusals, and a second run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "landfall.h"
#include "tests.h"

static void converts_and_goes_on(void **state)
{
    lf_error err;
    lf_conversion *conversion;
    lf_conversion_result result;
    char parent[] = "/tmp/landfall-api-XXXXXX", out[64], command[96];
    lf_findings *findings = lf_findings_new();
    const lf_conversion_options options = {.shard_bytes = 2000000, .copy = true, .verify = true, .no_sync = true};
    assert_non_null(mkdtemp(parent));
    snprintf(out, sizeof out, "%s/bf16", parent);
    assert_int_equal(lf_conversion_open(&conversion, bundled(), &options, findings, &err), LF_OK);
    const lf_conversion_facts *facts = lf_conversion_facts_of(conversion);
    assert_int_equal(facts->n_dequantized, 35);
    assert_int_equal(facts->n_tensor, 92 - 35);
    assert_int_equal(facts->n_shard, 3);
    assert_true(facts->output_bytes > facts->source_bytes);
    assert_int_equal(lf_conversion_run(conversion, out, &result, &err), LF_OK);
    assert_int_equal(result.n_written, 3);
    assert_int_equal(result.n_verified, 3);
    assert_int_equal(result.n_linked, 0);
    assert_true(result.n_copied > 0 && !result.was_complete);
    assert_int_equal(result.bytes_written >= facts->output_bytes, true);
    assert_int_equal(lf_conversion_run(conversion, out, NULL, &err), LF_OK);
    assert_int_equal(lf_conversion_run(conversion, out, &result, &err), LF_OK);
    assert_true(result.was_complete);
    lf_conversion_close(conversion);

    // Another rounding is another conversion.
    const lf_conversion_options other = {.shard_bytes = 2000000, .bf16_scales = true};
    assert_int_equal(lf_conversion_open(&conversion, bundled(), &other, findings, &err), LF_OK);
    assert_int_equal(lf_conversion_run(conversion, out, &result, &err), LF_ERR_USAGE);
    assert_int_equal(lf_conversion_run(conversion, bundled(), &result, &err), LF_ERR_USAGE);
    lf_conversion_close(conversion);

    // What was written is no longer quantized, and the model says so.
    lf_model *model;
    assert_int_equal(lf_model_open(&model, out, &err), LF_OK);
    assert_string_equal(lf_model_facts_of(model)->scheme, "not quantized");
    lf_model_close(model);
    assert_int_equal(lf_conversion_open(&conversion, out, NULL, findings, &err), LF_ERR_UNSUPPORTED);
    assert_null(conversion);
    assert_int_equal(lf_findings_n_error(findings), 0);
    lf_findings_free(findings);
    snprintf(command, sizeof command, "rm -r '%s'", parent);
    assert_int_equal(system(command), 0);
}

static void defaults_are_zero(void **state)
{
    lf_error err;
    lf_conversion *conversion;
    lf_findings *findings = lf_findings_new();
    assert_int_equal(lf_conversion_open(&conversion, bundled(), NULL, findings, &err), LF_OK);
    assert_int_equal(lf_conversion_facts_of(conversion)->n_shard, 1);
    lf_conversion_close(conversion);
    assert_int_equal(lf_conversion_open(&conversion, "/nonexistent/model", NULL, findings, &err), LF_ERR_NOT_FOUND);
    assert_null(conversion);
    lf_findings_free(findings);
}

int test_conversion(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_and_goes_on),
        cmocka_unit_test(defaults_are_zero),
    };
    return cmocka_run_group_tests_name("api: conversion", tests, NULL, NULL);
}
