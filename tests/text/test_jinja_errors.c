// SPDX-License-Identifier: Apache-2.0
//
// What a template that fails says: the status tells whose fault it is, the message names the line, and the text of
// raise_exception() arrives as it was written.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests.h"
#include "text/jinja.h"

typedef struct failure {
    const char *source;
    lf_status status;
    const char *message;
} failure;

static void check_failure(const failure *expected)
{
    lf_jinja_template *compiled = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    json_t *context = json_pack("{s:i,s:[i,i],s:s}", "n", 7, "l", 1, 2, "s", "text");
    lf_status status = lf_jinja_compile(&compiled, expected->source, strlen(expected->source), &err);
    if (!status) status = lf_jinja_render(compiled, context, NULL, &out, &err);
    if (status != expected->status || strcmp(err.message, expected->message) != 0)
        fail_msg("%s\n gives %s: %s\n not %s: %s", expected->source, lf_status_text(status), err.message,
                 lf_status_text(expected->status), expected->message);
    assert_int_equal(err.status, status);
    json_decref(context);
    lf_buf_fini(&out);
    lf_jinja_free(compiled);
}

static void check_failures(const failure *failures, size_t n)
{
    for (size_t i = 0; i < n; i++) check_failure(&failures[i]);
}

static void refuses_malformed_templates(void **state)
{
    static const failure failures[] = {
        {"{% if n %}", LF_ERR_FORMAT, "template line 1: unexpected end of template, looking for 'elif'"},
        {"a\nb\n{{ 1 + }}", LF_ERR_FORMAT, "template line 3: unexpected 'end of print statement'"},
        {"{{ 'open }}", LF_ERR_FORMAT, "template line 1: unexpected char '''"},
        {"{{ (1] }}", LF_ERR_FORMAT, "template line 1: unexpected ']', expected ')'"},
        {"{# never closed", LF_ERR_FORMAT, "template line 1: missing end of comment tag"},
        {"{% raw %}{{", LF_ERR_FORMAT, "template line 1: missing end of raw directive"},
        {"\n{% nonsense %}", LF_ERR_FORMAT, "template line 2: encountered unknown tag 'nonsense'"},
        {"{% for x in l %}{% endif %}", LF_ERR_FORMAT,
         "template line 1: encountered unknown tag 'endif', looking for endfor"},
        {"{{ n | nonsense }}", LF_ERR_FORMAT, "template line 1: no filter named 'nonsense'"},
        {"{{ n is nonsense }}", LF_ERR_FORMAT, "template line 1: no test named 'nonsense'"},
        {"{% break %}", LF_ERR_FORMAT, "template line 1: 'break' outside loop"},
        {"{% set none = 1 %}", LF_ERR_FORMAT, "template line 1: can't assign to this expression"},
        {"{% for loop in l %}{% endfor %}", LF_ERR_FORMAT,
         "template line 1: can't assign to special loop variable in for-loop"},
        {"{{ f(a=1, a=2) }}", LF_ERR_FORMAT, "template line 1: keyword argument repeated: a"},
        {"{{ '\\xg' }}", LF_ERR_FORMAT, "template line 1: truncated escape in a string"},
        {"{{ '\\ud800' }}", LF_ERR_FORMAT, "template line 1: escape of U+D800 in a string is not a character"},
        {"\xff", LF_ERR_FORMAT, "template is not UTF-8"},
    };
    check_failures(failures, sizeof failures / sizeof *failures);
}

static void names_what_it_leaves_out(void **state)
{
    static const failure failures[] = {
        {"{% include 'x' %}", LF_ERR_UNSUPPORTED,
         "template line 1: the tag 'include' is not supported in chat templates"},
        {"{% import 'x' as y %}", LF_ERR_UNSUPPORTED,
         "template line 1: the tag 'import' is not supported in chat templates"},
        {"{% extends 'x' %}", LF_ERR_UNSUPPORTED,
         "template line 1: the tag 'extends' is not supported in chat templates"},
        {"{{ s | urlize }}", LF_ERR_UNSUPPORTED,
         "template line 1: the filter 'urlize' is not supported in chat templates"},
        {"{{ '\\N{BULLET}' }}", LF_ERR_UNSUPPORTED,
         "template line 1: characters by name (\\N{...}) in strings are not supported"},
        {"{{ (-8) ** 0.5 }}", LF_ERR_UNSUPPORTED, "template line 1: complex numbers are not supported"},
        {"{{ 9223372036854775807 + n }}", LF_ERR_LIMIT, "template line 1: integer result does not fit into 64 bits"},
        {"{{ 9223372036854775808 }}", LF_ERR_LIMIT,
         "template line 1: integer 9223372036854775808 does not fit into 64 bits"},
    };
    check_failures(failures, sizeof failures / sizeof *failures);
}

static void refuses_what_python_refuses(void **state)
{
    static const failure failures[] = {
        {"\n\n{{ missing.member }}", LF_ERR_INVALID, "template line 3: 'missing' is undefined"},
        {"{{ n.member.deep }}", LF_ERR_INVALID, "template line 1: 'int object' has no attribute 'member'"},
        {"{{ l[9].x }}", LF_ERR_INVALID, "template line 1: list object has no element 9"},
        {"{{ s + n }}", LF_ERR_INVALID, "template line 1: can only concatenate str (not \"int\") to str"},
        {"{{ n < s }}", LF_ERR_INVALID, "template line 1: '<' not supported between instances of 'int' and 'str'"},
        {"{{ n / 0 }}", LF_ERR_INVALID, "template line 1: division by zero"},
        {"{% for x in n %}{% endfor %}", LF_ERR_INVALID, "template line 1: 'int' object is not iterable"},
        {"{% set a, b = l + l %}", LF_ERR_INVALID, "template line 1: too many values to unpack (expected 2)"},
        {"{{ l.append(3) }}", LF_ERR_INVALID,
         "template line 1: access to attribute 'append' of 'list' object is unsafe."},
        {"{{ s.__class__.__mro__ }}", LF_ERR_INVALID,
         "template line 1: access to attribute '__class__' of 'str' object is unsafe."},
        {"{% set s.x = 1 %}", LF_ERR_INVALID, "template line 1: cannot assign attribute on non-namespace object"},
        {"{% macro m(a) %}{% endmacro %}\n{{ m(b=1) }}", LF_ERR_INVALID,
         "template line 2: macro 'm' takes no keyword argument 'b'"},
        {"{{ missing | tojson }}", LF_ERR_INVALID,
         "template line 1: Object of type Undefined is not JSON serializable"},
    };
    check_failures(failures, sizeof failures / sizeof *failures);
}

static void passes_raised_text_on(void **state)
{
    static const failure failures[] = {
        {"{% if n > 5 %}\n{{ raise_exception('roles must alternate: ' ~ s) }}{% endif %}", LF_ERR_INVALID,
         "roles must alternate: text"},
        {"{{ raise_exception('') }}", LF_ERR_INVALID, ""},
    };
    check_failures(failures, sizeof failures / sizeof *failures);
}

static void cuts_long_messages_at_characters(void **state)
{
    static const char source[] = "{{ raise_exception('\xe4\xb8\xad' * 500) }}";
    lf_jinja_template *compiled;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    json_t *context = json_object();
    assert_int_equal(lf_jinja_compile(&compiled, source, strlen(source), &err), LF_OK);
    assert_int_equal(lf_jinja_render(compiled, context, NULL, &out, &err), LF_ERR_INVALID);
    assert_true(strlen(err.message) > 400);
    assert_int_equal(strlen(err.message) % 3, 0);
    assert_string_equal(err.subject, "template line 1");
    json_decref(context);
    lf_buf_fini(&out);
    lf_jinja_free(compiled);
}

static void accepts_no_object(void **state)
{
    lf_jinja_template *compiled = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_jinja_compile(&compiled, "{% if", 5, &err), LF_ERR_FORMAT);
    assert_null(compiled);
    assert_int_equal(lf_jinja_compile(&compiled, "{{ x.y }}", 9, &err), LF_OK);
    json_t *array = json_array(), *object = json_object();
    assert_int_equal(lf_jinja_render(compiled, array, NULL, &out, &err), LF_ERR_INVALID);
    assert_int_equal(lf_jinja_render(compiled, object, NULL, &out, &err), LF_ERR_INVALID);
    assert_int_equal(lf_jinja_render(compiled, NULL, NULL, &out, &err), LF_ERR_INVALID);
    json_decref(array);
    json_decref(object);
    lf_jinja_free(compiled);
    lf_jinja_free(NULL);
    lf_buf_fini(&out);
}

int test_jinja_errors(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_malformed_templates),      cmocka_unit_test(names_what_it_leaves_out),
        cmocka_unit_test(refuses_what_python_refuses),      cmocka_unit_test(passes_raised_text_on),
        cmocka_unit_test(cuts_long_messages_at_characters), cmocka_unit_test(accepts_no_object),
    };
    return cmocka_run_group_tests_name("jinja errors", tests, NULL, NULL);
}
