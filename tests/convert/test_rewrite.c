// SPDX-License-Identifier: Apache-2.0
//
// config.json and the index: what goes, what changes, and that every other byte stays.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "tests.h"

static void assert_rewritten(const char *text, bool is_params, const char *expected)
{
    lf_error err = {0};
    json_t *parsed = NULL;
    lf_buf out = LF_BUF_INIT;
    assert_int_equal(lf_json_parse(&parsed, text, strlen(text), "config.json", &err), LF_OK);
    json_decref(parsed);
    assert_int_equal(lf__config_rewrite(&out, text, strlen(text), is_params, &err), LF_OK);
    assert_string_equal(lf_buf_text(&out), expected);
    assert_int_equal(lf_json_parse(&parsed, out.data, out.length, "result", &err), LF_OK);
    json_decref(parsed);
    lf_buf_fini(&out);
}

static void removes_the_quantization(void **state)
{
    static const char *const cases[][2] = {
        // first, middle, last, only member; with and without white space
        {"{\"quantization_config\":{\"a\":[1,2,{\"b\":\"}\"}]},\"x\":1,\"dtype\":\"bfloat16\"}",
         "{\"x\":1,\"dtype\":\"bfloat16\"}"},
        {"{\"x\":1,\"quantization_config\":{},\"torch_dtype\":\"bfloat16\"}", "{\"x\":1,\"torch_dtype\":\"bfloat16\"}"},
        {"{\n  \"torch_dtype\": \"bfloat16\",\n  \"x\": 1e-06,\n  \"quantization_config\": {\n    \"a\": 1\n  }\n}\n",
         "{\n  \"torch_dtype\": \"bfloat16\",\n  \"x\": 1e-06\n}\n"},
        {"{\"quantization_config\":null}", "{\"torch_dtype\": \"bfloat16\"}"},
        {"{\"dtype\":\"float16\" , \"compression_config\" : \"x\" , \"y\" : [ ] }",
         "{\"dtype\":\"bfloat16\", \"y\" : [ ] }"},
        {"{\"compression_config\":{},\"quantization_config\":{},\"dtype\":null}", "{\"dtype\":\"bfloat16\"}"},
        // escapes in the key, quotes and brackets in strings
        {"{\"\\u0071uantization_config\":{\"a\":\"\\\"}]\"},\"dtype\":\"bfloat16\",\"s\":\"{\\\\\\\"\"}",
         "{\"dtype\":\"bfloat16\",\"s\":\"{\\\\\\\"\"}"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) assert_rewritten(cases[i][0], false, cases[i][1]);
}

static void looks_into_sub_configs(void **state)
{
    assert_rewritten("{\"text_config\": {\"quantization_config\": {\"x\": 1}, \"dtype\": \"float8_e4m3fn\", \"n\": 2},"
                     " \"vision_config\": {\"torch_dtype\": \"float32\", \"dtype\": \"float8_e4m3fn\"}}",
                     false,
                     "{\"text_config\": { \"dtype\": \"bfloat16\", \"n\": 2},"
                     " \"vision_config\": {\"torch_dtype\": \"float32\", \"dtype\": \"bfloat16\"}}");
    assert_rewritten(
        "{\"thinker_config\":{\"text_config\":{\"compression_config\":{},\"torch_dtype\":\"float16\"}},"
        "\"torch_dtype\":\"float16\"}",
        false, "{\"thinker_config\":{\"text_config\":{\"torch_dtype\":\"bfloat16\"}},\"torch_dtype\":\"bfloat16\"}");
}

static void leaves_the_rest_alone(void **state)
{
    const char *text =
        "\n{ \"torch_dtype\" : \"bfloat16\",\"big\":123456789012345678,\"eps\":1e-06,\"other\":{\"dtype\":\"x\","
        "\"quantization_config\":1},\"list\":[{\"quantization_config\":2}],\"n\":-0.0,\"\\u00e9\":null }  \n";
    assert_rewritten(text, false, text);
}

static void adds_a_dtype_where_none_is(void **state)
{
    assert_rewritten("{}", false, "{\"torch_dtype\": \"bfloat16\"}");
    assert_rewritten("{\n  \"a\": 1,\n  \"b\": 2\n}", false,
                     "{\n  \"a\": 1,\n  \"b\": 2,\n  \"torch_dtype\": \"bfloat16\"\n}");
    assert_rewritten("{\"text_config\":{\"dtype\":\"bfloat16\"}}", false, "{\"text_config\":{\"dtype\":\"bfloat16\"}}");
}

static void rewrites_params(void **state)
{
    assert_rewritten("{\"dim\": 4096, \"quantization\": {\"qformat_weight\": \"fp8_e4m3\"}, \"dtype\": \"x\"}", true,
                     "{\"dim\": 4096, \"dtype\": \"x\"}");
}

// Texts that never passed a parser: no crash, no endless loop, no read past the end (the sanitizers watch).
static void survives_anything(void **state)
{
    static const char text[] =
        "{\"a\\\"\":{\"b\":[1,{\"c\":\"d\\\\\"}]},\"text_config\":{\"dtype\":\"x\"},\"dtype\":\"float8\"}";
    for (size_t length = 1; length < sizeof text; length++) {
        char *part = malloc(length);
        lf_error err = {0};
        lf_buf out = LF_BUF_INIT;
        memcpy(part, text, length);
        assert_int_equal(lf__config_rewrite(&out, part, length, false, &err), LF_OK);
        lf_buf_fini(&out);
        free(part);
    }
}

static void makes_the_index(void **state)
{
    lf_stored_tensor weight = {0};
    lf_logical_tensor logical[] = {
        {.name = "b", .weight = &weight}, {.name = "a\"", .weight = &weight}, {.name = "c", .weight = &weight}};
    lf__out_tensor tensors[] = {{&logical[0], 0, 10}, {&logical[1], 10, 5}, {&logical[2], 0, 1}};
    lf__out_shard shards[] = {{.name = "1.safetensors", .first = 0, .count = 2},
                              {.name = "2.safetensors", .first = 2, .count = 1}};
    lf__plan plan = {.tensors = tensors, .n_tensor = 3, .shards = shards, .n_shard = 2, .totals.output_bytes = 16};
    json_t *old = json_loads(
        "{\"extra\":{\"k\":[1]},\"metadata\":{\"z\":\"kept\",\"total_size\":99},\"weight_map\":{\"s\":\"x\"}}", 0,
        NULL);
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    assert_int_equal(lf__index_make(&out, &plan, old, &err), LF_OK);
    json_t *made = json_loads(lf_buf_text(&out), JSON_REJECT_DUPLICATES, NULL);
    json_t *expected =
        json_loads("{\"extra\":{\"k\":[1]},\"metadata\":{\"z\":\"kept\",\"total_size\":16},"
                   "\"weight_map\":{\"a\\\"\":\"1.safetensors\",\"b\":\"1.safetensors\",\"c\":\"2.safetensors\"}}",
                   0, NULL);
    assert_true(json_equal(made, expected));
    json_decref(made);
    json_decref(expected);
    json_decref(old);
    lf_buf_clear(&out);
    old = json_loads("{\"metadata\":[1]}", 0, NULL);
    assert_int_equal(lf__index_make(&out, &plan, old, &err), LF_OK);
    assert_non_null(strstr(lf_buf_text(&out), "\"total_size\": 16"));
    json_decref(old);
    lf_buf_fini(&out);
}

int test_rewrite(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removes_the_quantization), cmocka_unit_test(looks_into_sub_configs),
        cmocka_unit_test(leaves_the_rest_alone),    cmocka_unit_test(adds_a_dtype_where_none_is),
        cmocka_unit_test(rewrites_params),          cmocka_unit_test(survives_anything),
        cmocka_unit_test(makes_the_index),
    };
    return cmocka_run_group_tests_name("convert rewrite", tests, NULL, NULL);
}
