// SPDX-License-Identifier: Apache-2.0
//
// Templates that want to hang the server, eat its memory or overrun its stack, with the default limits and with small
// ones; and one template rendered by several threads at once.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/sanitized.h"
#include "helpers.h"
#include "tests.h"
#include "text/jinja.h"

static lf_status run(const char *source, const lf_jinja_options *options, size_t *out_bytes, lf_error *err)
{
    lf_jinja_template *compiled = NULL;
    lf_buf out = LF_BUF_INIT;
    json_t *context = json_pack("{s:s,s:[i,i,i]}", "s", "0123456789", "l", 1, 2, 3);
    lf_status status = lf_jinja_compile(&compiled, source, strlen(source), err);
    if (!status) status = lf_jinja_render(compiled, context, options, &out, err);
    if (out_bytes) *out_bytes = out.length;
    json_decref(context);
    lf_buf_fini(&out);
    lf_jinja_free(compiled);
    return status;
}

static void stops_hostile_templates(void **state)
{
    static const char *const hostile[] = {
        // time
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for x in l recursive %}{{ loop(l) }}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99999) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor "
        "%}",
        "{% set t = s * 100000 %}{% for i in range(99999) %}{{ t.rfind('98') == t.count('x') }}{% endfor %}",
        "{% set t = 'a' * 500000 %}{{ t.rfind('b' ~ t[:250000]) }}{{ t.rsplit('aab') | length }}"
        "{% for i in range(99999) %}{% if t in t %}{% endif %}{% endfor %}",
        "{% set t = 'ab ' * 100000 %}{% for i in range(9999) %}{% set q = t | wordwrap(1) | title | e %}{% endfor %}",
        "{% for i in range(99999) %}{% set q = range(99999) | map('string') | list | sort %}{% endfor %}",
        // memory
        "{{ s * 1000000000 }}",
        "{{ s * 9223372036854775807 }}",
        "{{ [1] * 1000000000 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:1000000}'.format(s) | list | string * 99 }}",
        "{{ '{:999999999999}'.format(1) }}",
        "{{ s.ljust(100000000000) }}",
        "{{ s | center(9223372036854775807) }}",
        "{{ s.zfill(9223372036854775807) }}",
        "{{ l | tojson(indent=1000000000) }}",
        "{{ s | indent(1000000000, true) }}",
        "{{ 'a\tb'.expandtabs(9223372036854775807) }}",
        "{{ range(100001) }}",
        "{{ l | batch(1000000000, 1) | list }}",
        "{{ l | slice(1000000000) | list }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        // depth of values
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson "
        "}}",
        "{% set ns = namespace(x=[], y=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}"
        "{% endfor %}{{ ns.x == ns.y }}",
        "{% set ns = namespace(x=()) %}{% for i in range(99999) %}{% set ns.x = (ns.x,) %}{% endfor %}{{ {ns.x: 1} }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | pprint "
        "}}",
        "{% set ns = namespace(x=l) %}{% for i in range(99999) %}{% set ns.x = ns.x | map('string') %}{% endfor %}"
        "{{ ns.x | list }}",
    };
    // A tenth of the default steps, so that the test is short: time goes with steps.
    lf_jinja_options options = {.limits = {.max_steps = 5000000}};
    if (IS_SANITIZED) {
        print_message("a fifth of the steps, and a sixteenth of the memory, under a sanitizer\n");
        options.limits = (lf_jinja_limits){.max_steps = 1000000, .max_memory_bytes = (size_t)16 << 20};
    }
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        lf_error err = {0};
        double start = cpu_seconds();
        lf_status status = run(hostile[i], &options, NULL, &err);
        double seconds = cpu_seconds() - start;
        if (status != LF_ERR_LIMIT) fail_msg("%s\n gives %s: %s", hostile[i], lf_status_text(status), err.message);
        if (seconds > 10) fail_msg("%s\n takes %.1f s", hostile[i], seconds);
    }
}

// prefix, n times middle, suffix
static char *repeated(const char *prefix, const char *middle, int n, const char *suffix)
{
    lf_buf text = LF_BUF_INIT;
    lf_buf_puts(&text, prefix);
    for (int i = 0; i < n; i++) lf_buf_puts(&text, middle);
    lf_buf_puts(&text, suffix);
    return lf_buf_take(&text);
}

static void bounds_nesting_of_templates(void **state)
{
    static const struct {
        const char *prefix, *middle, *suffix;
    } deep[] = {
        {"{{ ", "(", ""},
        {"{{ ", "[", ""},
        {"{{ ", "{'a':", ""},
        {"{{ ", "not ", "1 }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ ", "1+", "1 }}"},
        {"{{ 1", "|abs", " }}"},
        {"{{ l", "[0]", " }}"},
        {"{{ s", ".x", " }}"},
        {"{{ 1 ", "if 1 else 1 ", "}}"},
        {"", "{% if 1 %}", ""},
        {"", "{% for x in l %}", ""},
        {"", "{% filter upper %}", ""},
        {"{{ f", "(1)", " }}"},
        {"{{ 1 ", "and 1 ", "}}"},
    };
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        char *source = repeated(deep[i].prefix, deep[i].middle, 50000, deep[i].suffix);
        lf_error err = {0};
        lf_status status = run(source, NULL, NULL, &err);
        if (status != LF_ERR_LIMIT) fail_msg("50000 times '%s' gives %s", deep[i].middle, lf_status_text(status));
        free(source);
    }
    // Long is not deep.
    lf_error err;
    char *source = repeated("{% if s == 'x' %}", "{% elif s %}", 50000, "{% endif %}");
    assert_int_equal(run(source, NULL, NULL, &err), LF_OK);
    free(source);
    source = repeated("{{ [", "1,", 100000, "] | length }}");
    assert_int_equal(run(source, NULL, NULL, &err), LF_OK);
    free(source);
    source = repeated("{{ 'a'", " ~ 'b'", 50000, " }}");
    assert_int_equal(run(source, NULL, NULL, &err), LF_OK);
    free(source);
}

static void bounds_the_template(void **state)
{
    lf_error err;
    char *source = repeated("", "a", LF_JINJA_MAX_TEMPLATE_BYTES, "");
    assert_int_equal(run(source, NULL, NULL, &err), LF_OK);
    free(source);
    source = repeated("", "a", LF_JINJA_MAX_TEMPLATE_BYTES + 1, "");
    assert_int_equal(run(source, NULL, NULL, &err), LF_ERR_LIMIT);
    free(source);
}

// Templates of the largest size that are all of one kind: nothing in compiling may be quadratic.
static void compiles_large_templates(void **state)
{
    static const char *const units[] = {"{{a}}",     "{%if a%}{%endif%}",
                                        "{#-#}",     "{%set a=1%}",
                                        "{% raw %}", "{%      ",
                                        "{{ 'a' ",   "   \n",
                                        "{%-%}",     "{",
                                        "<!--",      "{% for a in b %}{{ loop.x }}{% endfor %}"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        char *source = repeated("", units[i], (int)(LF_JINJA_MAX_TEMPLATE_BYTES / strlen(units[i])), "");
        lf_jinja_template *compiled = NULL;
        double start = cpu_seconds();
        lf_error err;
        lf_jinja_compile(&compiled, source, strlen(source), &err);
        if (cpu_seconds() - start > 10) fail_msg("'%s' takes too long to compile", units[i]);
        lf_jinja_free(compiled);
        free(source);
    }
}

static void obeys_given_limits(void **state)
{
    static const char *const loop = "{% for x in range(1000) %}{{ s }}{% endfor %}";
    size_t bytes;
    lf_error err;
    lf_jinja_options options = {0};
    assert_int_equal(run(loop, &options, &bytes, &err), LF_OK);
    assert_int_equal(bytes, 10000);

    options.limits = (lf_jinja_limits){.max_output_bytes = 10000};
    assert_int_equal(run(loop, &options, &bytes, &err), LF_OK);
    options.limits.max_output_bytes = 9999;
    assert_int_equal(run(loop, &options, &bytes, &err), LF_ERR_LIMIT);
    assert_true(bytes <= 9999);
    assert_string_equal(err.message, "template line 1: template writes more than 9999 bytes");

    options.limits = (lf_jinja_limits){.max_steps = 3000};
    assert_int_equal(run(loop, &options, &bytes, &err), LF_ERR_LIMIT);
    assert_string_equal(err.message, "template line 1: template takes more than 3000 steps");

    options.limits = (lf_jinja_limits){.max_memory_bytes = 200000};
    assert_int_equal(run("{{ s * 10000 }}", &options, &bytes, &err), LF_OK);
    assert_int_equal(run("{{ s * 20000 }}", &options, &bytes, &err), LF_ERR_LIMIT);
    assert_string_equal(err.message, "template line 1: template needs more than 200000 bytes of memory");

    options.limits = (lf_jinja_limits){.max_depth = 12};
    assert_int_equal(run("{{ [[[[1]]]] }}", &options, &bytes, &err), LF_OK);
    assert_int_equal(run("{{ [[[[[[[[[[[[1]]]]]]]]]]]] }}", &options, &bytes, &err), LF_ERR_LIMIT);
}

// Appending in a loop is the one idiom that must not cost the square of the text.
static void appends_in_linear_memory(void **state)
{
    static const char source[] = "{% set ns = namespace(t='') %}{% for i in range(50000) %}"
                                 "{% set ns.t = ns.t + s + s %}{% endfor %}{{ ns.t | length }} {{ ns.t[-3:] }}";
    lf_jinja_options options = {.limits = {.max_memory_bytes = (size_t)64 << 20}};
    size_t bytes;
    lf_error err = {0};
    assert_int_equal(run(source, &options, &bytes, &err), LF_OK);
    assert_int_equal(bytes, strlen("1000000 789"));
}

typedef struct shared {
    const lf_jinja_template *compiled;
    const char *expected;
    bool is_equal;
} shared;

static void *render_often(void *argument)
{
    shared *s = argument;
    json_t *context = json_pack("{s:[{s:s,s:s}]}", "messages", "role", "user", "content", "h\xc3\xa9llo");
    s->is_equal = true;
    for (int i = 0; i < 500; i++) {
        lf_buf out = LF_BUF_INIT;
        lf_error err;
        s->is_equal &= lf_jinja_render(s->compiled, context, NULL, &out, &err) == LF_OK &&
                       strcmp(lf_buf_text(&out), s->expected) == 0;
        lf_buf_fini(&out);
    }
    json_decref(context);
    return NULL;
}

static void renders_in_threads(void **state)
{
    enum { N_THREAD = 4 };
    static const char source[] =
        "{% set ns = namespace(n=0) %}{% macro m(x, y='\xc3\xa4') %}[{{ x }}{{ y }}]{% endmacro %}"
        "{% for m_ in messages %}{% set ns.n = ns.n + 1 %}{{ m(m_.content[1:3].upper()) }}"
        "{{ '\xc3\xa4\xc3\xb6'[::-1] ~ m_ | tojson }}{% endfor %}{{ ns.n }}";
    lf_jinja_template *compiled;
    lf_error err;
    assert_int_equal(lf_jinja_compile(&compiled, source, strlen(source), &err), LF_OK);
    pthread_t threads[N_THREAD];
    shared states[N_THREAD];
    for (int i = 0; i < N_THREAD; i++) {
        states[i] = (shared){.compiled = compiled,
                             .expected = "[\xc3\x89L\xc3\xa4]\xc3\xb6\xc3\xa4{\"role\": \"user\", \"content\": "
                                         "\"h\xc3\xa9llo\"}1"};
        assert_int_equal(pthread_create(&threads[i], NULL, render_often, &states[i]), 0);
    }
    for (int i = 0; i < N_THREAD; i++) {
        pthread_join(threads[i], NULL);
        assert_true(states[i].is_equal);
    }
    lf_jinja_free(compiled);
}

int test_jinja_limits(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stops_hostile_templates), cmocka_unit_test(bounds_nesting_of_templates),
        cmocka_unit_test(bounds_the_template),     cmocka_unit_test(compiles_large_templates),
        cmocka_unit_test(obeys_given_limits),      cmocka_unit_test(appends_in_linear_memory),
        cmocka_unit_test(renders_in_threads),
    };
    return cmocka_run_group_tests_name("jinja limits", tests, NULL, NULL);
}
