// SPDX-License-Identifier: Apache-2.0
//
// JSON reads: typed getters, ranges, and errors that name the key.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

// jansson's allocations: the one of this number fails, and with fails_on all after it.
static long n_call, fail_at = -1, n_live;
static bool fails_on;

static void *failing_malloc(size_t bytes)
{
    long call = n_call++;
    if (fail_at >= 0 && (call == fail_at || (fails_on && call > fail_at))) return NULL;
    n_live++;
    return malloc(bytes);
}

static void counting_free(void *block)
{
    n_live -= block != NULL;
    free(block);
}

static void fail_call(long at)
{
    n_call = 0;
    fail_at = at;
}

// The first failed allocation of a parse is not taken for wrong syntax, and a copy or a document is complete or absent.
static void memory_that_is_gone_is_no_fault_of_the_text(void **state)
{
    static const char text[] = "{\"a\":[\"x\",2.5,{\"b\":null}],\"c\":{\"d\":\"y\",\"e\":true}}";
    json_set_alloc_funcs(failing_malloc, counting_free);
    json_t *value = parse(text);
    for (int goes_on = 0; goes_on < 2; goes_on++) {
        fails_on = goes_on;
        for (long at = 0; at < 64; at++) {
            json_error_t problem;
            bool is_no_memory;
            long live = n_live;
            fail_call(at);
            json_t *found = lf_json_loadb(text, strlen(text), 0, &problem, &is_no_memory);
            fail_call(-1);
            if (!goes_on) assert_non_null(found);
            assert_true(!found || json_equal(found, value));
            json_decref(found);

            json_t *(*const copiers[])(const json_t *) = {lf_json_copy, lf_json_deep_copy};
            for (size_t i = 0; i < 2; i++) {
                fail_call(at);
                json_t *copy = copiers[i](value);
                fail_call(-1);
                assert_true(!copy || json_equal(copy, value));
                json_decref(copy);
            }

            fail_call(at);
            json_t *list = json_array(), *object = json_object();
            for (int i = 0; i < 20; i++) lf_json_append(&list, json_integer(i));
            lf_json_put(&object, "list", list);
            lf_json_put(&object, "text", json_string("x"));
            fail_call(-1);
            assert_true(!object ||
                        (json_array_size(json_object_get(object, "list")) == 20 && json_object_size(object) == 2));
            json_decref(object);
            assert_int_equal(n_live, live);
        }
    }
    json_decref(value);
    json_set_alloc_funcs(malloc, free);
}

int test_json(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_typed_values),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(refuses_malformed_text),
        cmocka_unit_test(memory_that_is_gone_is_no_fault_of_the_text),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
