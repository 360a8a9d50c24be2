// SPDX-License-Identifier: Apache-2.0
//
// What preflight says about models without a table: layers for multi-token prediction that are promised.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../support/sparse.h"
#include "base/mem.h"
#include "model/preflight.h"
#include "tests.h"

static const lf_finding *find(const lf_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) return &findings->items[i];
    }
    return NULL;
}

// The finding's "found" for a model with these promised layers and one tensor beside the embedding; NULL: none.
static void assert_mtp(int promised, const char *name, const char *found)
{
    char config[300];
    lf_error err;
    lf_preflight pf;
    sparse_model model;
    snprintf(config, sizeof config,
             "{\"architectures\": [\"UnheardOf\"], \"num_hidden_layers\": 2, \"hidden_size\": 8, "
             "\"num_nextn_predict_layers\": %d}",
             promised);
    const sparse_tensor tensors[] = {
        {"model.embed_tokens.weight", "BF16", {8, 8}},
        {"model.layers.1.x.weight", "BF16", {8}},
        {name, "BF16", {8, 8}},
    };
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    assert_int_equal(lf_preflight_run(&pf, model.dir, &err), LF_OK);
    const lf_finding *finding = find(&pf.findings, "mtp-missing");
    if (!found != !finding) fail_msg("%s: %s", name, finding ? finding->message : "no finding");
    if (finding) {
        assert_int_equal(finding->severity, LF_SEVERITY_WARNING);
        assert_string_equal(finding->found, found);
    }
    assert_non_null(find(&pf.findings, "architecture-unknown"));
    assert_int_equal(pf.findings.n_error, 0);
    lf_preflight_fini(&pf);
    sparse_close(&model);
}

static void misses_promised_layers(void **state)
{
    assert_mtp(0, "x", NULL);
    assert_mtp(1, "x", "0");
    assert_mtp(3, "x", "0");
    assert_mtp(1, "model.layers.2.eh_proj.weight", NULL);
    assert_mtp(2, "model.layers.2.eh_proj.weight", "1");
    assert_mtp(1, "model.layers.20.eh_proj.weight", "0"); // another number is another mistake
    assert_mtp(1, "decoder.layers.2.eh_proj.weight", NULL);
    assert_mtp(1, "vision.layers.2.eh_proj.weight", "0");
    assert_mtp(1, "layers.2.eh_proj.weight", NULL);
    assert_mtp(1, "mtp.0.e_proj.weight", NULL);
    assert_mtp(1, "model.mtp_block.fc.weight", NULL);
    assert_mtp(1, "backbone.nextn.fc.weight", NULL);
    assert_mtp(1, "model.layers.0.mlp.gate.weight", "0");
}

int test_preflight(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(misses_promised_layers)};
    return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
