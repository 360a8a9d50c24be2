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
        {"model.layers.0.x.weight", "BF16", {8}},
        {"model.layers.1.x.weight", "BF16", {8}},
        {name, "BF16", {8, 8}},
    };
    sparse_open(&model, config, tensors, LF_ARRAY_LENGTH(tensors));
    assert_int_equal(lf_preflight_run(&pf, model.dir, NULL, &err), LF_OK);
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

// The subject of the one error of a model of 2 layers with 2 experts, whose tensors are these; NULL: none.
static void assert_census(const char *more, const char *code, const char *subject, const char *const names[8])
{
    char config[300];
    lf_error err;
    lf_preflight pf;
    sparse_model model;
    sparse_tensor tensors[8] = {0};
    size_t n = 0;
    for (; n < 8 && names[n]; n++) tensors[n] = (sparse_tensor){names[n], "BF16", {8, 8}};
    snprintf(config, sizeof config,
             "{\"architectures\": [\"UnheardOf\"], \"num_hidden_layers\": 2, \"num_experts\": 2%s}", more);
    sparse_open(&model, config, tensors, n);
    assert_int_equal(lf_preflight_run(&pf, model.dir, NULL, &err), LF_OK);
    assert_int_equal(pf.findings.n_error, subject ? 1 : 0);
    if (subject) assert_string_equal(find(&pf.findings, code)->subject, subject);
    lf_preflight_fini(&pf);
    sparse_close(&model);
}

#define EXPERT(layer, number) "model.layers." #layer ".mlp.experts." #number "."

static void counts_layers_and_experts(void **state)
{
    const char *const whole[8] = {EXPERT(0, 0) "w1.weight", EXPERT(0, 1) "w1.weight", EXPERT(1, 0) "w1.weight",
                                  EXPERT(1, 1) "w1.weight"};
    const char *const layer[8] = {"model.layers.1.x.weight", "model.layers.2.x.weight"};
    const char *const expert[8] = {EXPERT(0, 0) "w1.weight", EXPERT(0, 1) "w1.weight", EXPERT(1, 0) "w1.weight"};
    const char *const part[8] = {EXPERT(0, 0) "w1.weight", EXPERT(0, 0) "w2.weight", EXPERT(0, 1) "w2.weight",
                                 "model.layers.1.x.weight"};
    const char *const third[8] = {EXPERT(0, 0) "w1.weight", EXPERT(0, 1) "w1.weight", EXPERT(0, 2) "w1.weight",
                                  EXPERT(0, 3) "w1.weight", "model.layers.1.x.weight"};
    const char *const fused[8] = {"model.layers.0.mlp.experts.up_proj", "model.layers.1.mlp.experts.up_proj"};
    const char *const other[8] = {"encoder.layers.0.x.weight", "decoder.layers.1.x.weight"};
    assert_census("", NULL, NULL, whole);
    assert_census("", NULL, NULL, fused);
    assert_census("", NULL, NULL, other);
    assert_census("", "layer-missing", "model.layers.0", layer);
    assert_census(", \"block_configs\": []", NULL, NULL, layer);
    assert_census("", "expert-incomplete", "model.layers.1.mlp.experts.1", expert);
    assert_census("", "expert-incomplete", "model.layers.0.mlp.experts.1", part);
    assert_census("", "expert-incomplete", "model.layers.0.mlp.experts.2", third);
}

int test_preflight(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(misses_promised_layers),
                                       cmocka_unit_test(counts_layers_and_experts)};
    return cmocka_run_group_tests_name("preflight", tests, NULL, NULL);
}
