// SPDX-License-Identifier: Apache-2.0
//
// JSON reads: typed getters, ranges, and errors that name the key.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    lf_error err;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "test", &err), LF_OK);
    return json;
}

static void reads_typed_values(void **state)
{
    lf_error err;
    int64_t integer = -1;
    double real = -1;
    bool flag = false;
    const char *text = "unset";
    json_t *json = parse("{\"i\": 7, \"e\": 1e6, \"r\": 0.5, \"b\": true, \"s\": \"x\", \"n\": null}");
    assert_int_equal(lf_json_int(json, "i", 0, 7, &integer, &err), LF_OK);
    assert_int_equal(integer, 7);
    assert_int_equal(lf_json_int(json, "e", 0, 1000000, &integer, &err), LF_OK);
    assert_int_equal(integer, 1000000);
    assert_int_equal(lf_json_real(json, "r", 0, 1, &real, &err), LF_OK);
    assert_true(real == 0.5);
    assert_int_equal(lf_json_real(json, "i", 0, 10, &real, &err), LF_OK);
    assert_true(real == 7);
    assert_int_equal(lf_json_bool(json, "b", &flag, &err), LF_OK);
    assert_true(flag);
    assert_int_equal(lf_json_string(json, "s", &text, &err), LF_OK);
    assert_string_equal(text, "x");
    integer = 3;
    assert_int_equal(lf_json_int(json, "n", 0, 7, &integer, &err), LF_OK);
    assert_int_equal(lf_json_int(json, "absent", 0, 7, &integer, &err), LF_OK);
    assert_int_equal(integer, 3);
    json_decref(json);
}

static void names_what_is_wrong(void **state)
{
    lf_error err;
    int64_t integer = 3;
    double real = 3;
    bool flag = true;
    const char *text = NULL;
    json_t *json = parse("{\"i\": 7, \"r\": 0.5, \"s\": \"x\", \"a\": [], \"big\": 1e300}");
    assert_int_equal(lf_json_int(json, "i", 0, 6, &integer, &err), LF_ERR_FORMAT);
    assert_string_equal(err.expected, "0 to 6");
    assert_string_equal(err.found, "7");
    assert_int_equal(lf_json_int(json, "r", 0, 6, &integer, &err), LF_ERR_FORMAT);
    assert_string_equal(err.found, "a real number");
    assert_int_equal(lf_json_int(json, "big", INT64_MIN, INT64_MAX, &integer, &err), LF_ERR_FORMAT);
    assert_int_equal(lf_json_real(json, "s", 0, 1, &real, &err), LF_ERR_FORMAT);
    assert_string_equal(err.subject, "s");
    assert_int_equal(lf_json_real(json, "big", 0, 1, &real, &err), LF_ERR_FORMAT);
    assert_int_equal(lf_json_bool(json, "i", &flag, &err), LF_ERR_FORMAT);
    assert_int_equal(lf_json_string(json, "a", &text, &err), LF_ERR_FORMAT);
    assert_string_equal(err.found, "an array");
    assert_int_equal(integer, 3);
    assert_true(flag && real == 3);
    json_decref(json);
}

static void refuses_malformed_text(void **state)
{
    static const char *const cases[] = {"", "{", "{\"a\": 1, \"a\": 2}", "{\"a\": NaN}", "[1,]", "{} x", "\"\xff\""};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = NULL;
        lf_error err;
        assert_int_equal(lf_json_parse(&json, cases[i], strlen(cases[i]), "file.json", &err), LF_ERR_FORMAT);
        assert_null(json);
        assert_non_null(strstr(err.message, "file.json is not valid JSON: line 1"));
    }
    // jansson refuses deep nesting by itself; the stack must survive it
    static char deep[200000];
    memset(deep, '[', sizeof deep);
    json_t *json = NULL;
    lf_error err;
    assert_int_equal(lf_json_parse(&json, deep, sizeof deep, "deep", &err), LF_ERR_FORMAT);
}

int test_json(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_typed_values),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(refuses_malformed_text),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
