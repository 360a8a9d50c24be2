// SPDX-License-Identifier: Apache-2.0
//
// Overrides over config.json: what merges and what replaces, what is refused and as whose mistake, and which tensors a
// model with fewer layers leaves in the checkpoint.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/mem.h"
#include "model/preflight.h"
#include "tests.h"

#define COMMON                                                                                                         \
    "\"vocab_size\": 16, \"hidden_size\": 8, \"intermediate_size\": 8, \"num_hidden_layers\": 3, "                     \
    "\"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 4, \"max_position_embeddings\": 64, "       \
    "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}, "
static const char dense_text[] = "{\"architectures\": [\"Qwen3ForCausalLM\"], " COMMON
                                 "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\"]}";
static const char sparse_text[] = "{\"architectures\": [\"Qwen3MoeForCausalLM\"], " COMMON
                                  "\"num_experts\": 4, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 8}";

static lf_status load(lf_config *config, json_t **json, const char *folder, const char *text, lf_error *err)
{
    json_t *overrides = NULL;
    *err = (lf_error){0};
    lf_status status = lf_overrides_parse(&overrides, text, err);
    if (!status) status = lf_config_load(config, json, folder, overrides, err);
    json_decref(overrides);
    return status;
}

static void objects_merge_and_values_replace(void **state)
{
    synthetic s;
    lf_config config;
    lf_error err;
    json_t *json = NULL;
    synthetic_begin(&s, dense_text);
    assert_int_equal(load(&config, &json, s.folder, "{\"rope_scaling\": {\"factor\": 4}, \"head_dim\": 6}", &err),
                     LF_OK);
    assert_int_equal(config.rope.kind, LF_ROPE_LINEAR); // kept beside the new factor
    assert_true(config.rope.factor == 4);
    assert_int_equal(config.head_dim, 6);
    assert_int_equal(config.num_hidden_layers, 3);
    assert_int_equal(config.num_checkpoint_layers, 3);
    assert_int_equal(json_integer_value(json_object_get(json, "head_dim")), 6);
    json_decref(json);

    assert_int_equal(load(&config, &json, s.folder, "{\"rope_scaling\": null}", &err), LF_OK);
    assert_int_equal(config.rope.kind, LF_ROPE_DEFAULT);
    json_decref(json);

    assert_int_equal(load(&config, &json, s.folder, "{\"num_hidden_layers\": 2}", &err), LF_OK);
    assert_int_equal(config.num_hidden_layers, 2);
    assert_int_equal(config.num_checkpoint_layers, 3);
    assert_int_equal(json_array_size(json_object_get(json, "layer_types")), 2);
    json_decref(json);

    assert_int_equal(load(&config, &json, s.folder, "{}", &err), LF_OK);
    json_decref(json);
    synthetic_remove(&s);
}

static void nonsense_is_wrong_usage(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"num_hidden_layers\": 2", "--hf-overrides is not valid JSON"},
        {"", "--hf-overrides is not valid JSON"},
        {"[4]", "not a JSON object"},
        {"4", "not a JSON object"},
        {"{\"head_dim\": 4, \"head_dim\": 5}", "not valid JSON"},
        {"{\"num_hiden_layers\": 2}", "has no \"num_hiden_layers\""},
        {"{\"num_hidden_layers\": \"two\"}", "--hf-overrides"},
        {"{\"num_hidden_layers\": 0}", "--hf-overrides"},
        {"{\"num_hidden_layers\": -1}", "--hf-overrides"},
        {"{\"num_hidden_layers\": 1.5}", "--hf-overrides"},
        {"{\"num_hidden_layers\": 100000}", "--hf-overrides"},
        {"{\"num_key_value_heads\": 3}", "--hf-overrides"},
        {"{\"hidden_act\": \"relu\"}", "--hf-overrides"},
        {"{\"rope_scaling\": {\"rope_type\": \"spiral\"}}", "--hf-overrides"},
        {"{\"architectures\": [\"UnheardOf\"]}", "--hf-overrides"},
        {"{\"layer_types\": [\"full_attention\"]}", "--hf-overrides"},
    };
    synthetic s;
    synthetic_begin(&s, dense_text);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_config config;
        lf_error err;
        json_t *json = NULL;
        if (load(&config, &json, s.folder, cases[i].text, &err) != LF_ERR_USAGE)
            fail_msg("accepted: %s", cases[i].text);
        if (!strstr(err.message, cases[i].message)) fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(json);
    }
    synthetic_remove(&s);
}

// What is wrong without overrides stays the model's mistake; what they repair is repaired.
static void a_wrong_config_is_not_their_fault(void **state)
{
    synthetic s;
    lf_config config;
    lf_error err;
    json_t *json = NULL;
    synthetic_begin(&s, dense_text);
    FILE *file = fopen(strcat(s.folder, "/config.json"), "w");
    assert_non_null(file);
    fputs("{\"architectures\": [\"UnheardOf\"], " COMMON "\"head_dim\": 4}", file);
    fclose(file);
    *strrchr(s.folder, '/') = '\0';
    assert_int_equal(load(&config, &json, s.folder, "{\"num_hidden_layers\": 2}", &err), LF_ERR_FORMAT); // a key twice
    file = fopen(strcat(s.folder, "/config.json"), "w");
    fputs("{\"architectures\": [\"UnheardOf\"], " COMMON "\"vision\": 4}", file);
    fclose(file);
    *strrchr(s.folder, '/') = '\0';
    assert_int_equal(load(&config, &json, s.folder, "{\"num_hidden_layers\": 2}", &err), LF_ERR_UNSUPPORTED);
    assert_int_equal(load(&config, &json, s.folder, "{\"architectures\": [\"Qwen3ForCausalLM\"]}", &err), LF_OK);
    assert_string_equal(config.architecture, "Qwen3ForCausalLM");
    json_decref(json);
    synthetic_remove(&s);
}

static const lf_finding *find(const lf_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) return &findings->items[i];
    }
    return NULL;
}

static void check(lf_preflight *pf, const synthetic *s, const char *text)
{
    json_t *overrides = NULL;
    lf_error err = {0};
    assert_int_equal(lf_overrides_parse(&overrides, text, &err), LF_OK);
    if (lf_preflight_run(pf, s->folder, overrides, &err)) fail_msg("%s", err.message);
    json_decref(overrides);
}

// Every tensor of the layers that are left out counts, in one note; what the whole model would not know is an error.
static void layers_left_out_are_one_note(void **state)
{
    static const char *const texts[] = {dense_text, sparse_text};
    static const char *const counts[] = {"22 tensors of layers 1 to 2", "42 tensors of layers 1 to 2"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(texts); i++) {
        synthetic s;
        lf_preflight pf;
        synthetic_begin(&s, texts[i]);
        synthetic_add_all(&s, NULL);
        const lf_bf16 row[8] = {0};
        synthetic_add(&s, "model.layers.2.self_attn.r_proj.weight", LF_DTYPE_BF16, 1, 8, 1, row);
        synthetic_add(&s, "model.layers.3.input_layernorm.weight", LF_DTYPE_BF16, 1, 8, 1, row);
        synthetic_add(&s, "model.layers.02.input_layernorm.weight", LF_DTYPE_BF16, 1, 8, 1, row);
        synthetic_end(&s, 0);
        check(&pf, &s, "{\"num_hidden_layers\": 1}");
        const lf_finding *note = find(&pf.findings, "layers-skipped");
        assert_non_null(note);
        if (!strstr(note->message, counts[i])) fail_msg("%s", note->message);
        assert_int_equal(note->severity, LF_SEVERITY_NOTE);
        assert_int_equal(pf.findings.n_error, 3);
        assert_non_null(find(&pf.findings, "parameter-unexpected"));
        assert_int_equal(pf.config.num_hidden_layers, 1);
        lf_preflight_fini(&pf);
        check(&pf, &s, "{\"num_hidden_layers\": 3}");
        assert_null(find(&pf.findings, "layers-skipped"));
        assert_int_equal(pf.findings.n_error, 3);
        lf_preflight_fini(&pf);
        synthetic_remove(&s);
    }
}

static void experts_cannot_be_left_out(void **state)
{
    synthetic s;
    lf_preflight pf;
    synthetic_begin(&s, sparse_text);
    synthetic_add_all(&s, NULL);
    synthetic_end(&s, 0);
    check(&pf, &s, "{\"num_experts\": 2}");
    assert_int_equal(pf.findings.n_error, 1);
    assert_non_null(find(&pf.findings, "experts-overridden"));
    lf_preflight_fini(&pf);
    synthetic_remove(&s);
}

int test_overrides(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_merge_and_values_replace),  cmocka_unit_test(nonsense_is_wrong_usage),
        cmocka_unit_test(a_wrong_config_is_not_their_fault), cmocka_unit_test(layers_left_out_are_one_note),
        cmocka_unit_test(experts_cannot_be_left_out),
    };
    return cmocka_run_group_tests_name("overrides", tests, NULL, NULL);
}
