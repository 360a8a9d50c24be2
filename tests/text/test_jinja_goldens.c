// SPDX-License-Identifier: Apache-2.0
//
// Templates against what Python's jinja2 rendered, byte for byte, and refused where it refused: tests/golden/text.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests.h"
#include "text/jinja.h"

enum { FILE_LIMIT = 16 << 20 };

// Of the oracle: 2023-11-14 22:13:20 UTC.
static const lf_jinja_options options = {.now = 1700000000};

typedef struct tally {
    int n_equal;
    int n_refused;
    int n_wrong;
} tally;

static void complain(tally *t, const char *name, const json_t *golden, const char *got)
{
    t->n_wrong++;
    const char *expected = json_string_value(json_object_get(golden, "expected"));
    print_message("%s\n  template: %s\n  expected: %s\n  rendered: %s\n", name,
                  json_string_value(json_object_get(golden, "template")), expected ? expected : "(an error)", got);
}

static void check_case(tally *t, const char *name, const json_t *golden)
{
    const json_t *source = json_object_get(golden, "template"), *expected = json_object_get(golden, "expected");
    assert_true(json_is_string(source));
    lf_jinja_template *compiled = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    lf_status status = lf_jinja_compile(&compiled, json_string_value(source), json_string_length(source), &err);
    if (!status) status = lf_jinja_render(compiled, json_object_get(golden, "context"), &options, &out, &err);
    if (!expected) {
        if (status)
            t->n_refused++;
        else
            complain(t, name, golden, lf_buf_text(&out));
        // A template may be refused for what it is or does, never because Landfall failed.
        assert_true(status != LF_ERR_BUG && status != LF_ERR_NO_MEMORY);
    } else if (!status && out.length == json_string_length(expected) &&
               memcmp(lf_buf_text(&out), json_string_value(expected), out.length) == 0) {
        t->n_equal++;
    } else {
        complain(t, name, golden, status ? err.message : lf_buf_text(&out));
    }
    lf_buf_fini(&out);
    lf_jinja_free(compiled);
}

static void check_file(tally *t, const char *path)
{
    json_t *goldens;
    lf_error err;
    if (lf_json_load(&goldens, path, FILE_LIMIT, &err)) fail_msg("%s", err.message);
    if (json_is_object(goldens)) check_case(t, path, goldens);
    for (size_t i = 0; i < json_array_size(goldens); i++) {
        char name[600];
        const json_t *golden = json_array_get(goldens, i);
        const char *given = json_string_value(json_object_get(golden, "name"));
        snprintf(name, sizeof name, "%s: %s (case %zu)", path, given ? given : "", i);
        check_case(t, name, golden);
    }
    json_decref(goldens);
}

static const char *golden_path(const char *name)
{
    static char path[512];
    const char *golden = getenv("LF_TEST_GOLDEN");
    assert_non_null(golden);
    snprintf(path, sizeof path, "%s/text/%s", golden, name);
    return path;
}

static void renders_the_language(void **state)
{
    tally t = {0};
    check_file(&t, golden_path("language.json"));
    check_file(&t, golden_path("jinja_cases.json"));
    print_message("language: %d equal, %d refused\n", t.n_equal, t.n_refused);
    assert_int_equal(t.n_wrong, 0);
    assert_true(t.n_equal >= 1000 && t.n_refused >= 100);
}

static void renders_chat_templates(void **state)
{
    char folder[512], path[1024];
    tally t = {0};
    snprintf(folder, sizeof folder, "%s", golden_path("templates"));
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing));) {
        if (!strstr(entry->d_name, ".json")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        check_file(&t, path);
    }
    closedir(listing);
    print_message("chat templates: %d equal, %d refused\n", t.n_equal, t.n_refused);
    assert_int_equal(t.n_wrong, 0);
    assert_true(t.n_equal >= 200 && t.n_refused >= 30);
}

int test_jinja_goldens(void)
{
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_the_language),
        cmocka_unit_test(renders_chat_templates),
    };
    return cmocka_run_group_tests_name("jinja goldens", tests, NULL, NULL);
}
