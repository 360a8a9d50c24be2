// SPDX-License-Identifier: Apache-2.0
//
// landfall-probes.json: what is accepted, what is refused and why, and how answers are compared.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests.h"
#include "verify/verify_int.h"

static const char path[] = "/tmp/landfall-test-probes.json";

static lf_status load(const char *text, lf_error *err)
{
    json_t *json = NULL;
    lf__probe *probes = NULL;
    size_t n_probe = 0;
    char own_path[64];
    snprintf(own_path, sizeof own_path, "%s.%d", path, (int)getpid());
    assert_int_equal(lf_file_write(own_path, text, strlen(text), err), LF_OK);
    lf_status status = lf__probes_load(&json, &probes, &n_probe, own_path, err);
    unlink(own_path);
    if (status) assert_null(json);
    free(probes);
    json_decref(json);
    return status;
}

static void accepts_and_refuses(void **state)
{
#define HEAD "{\"format\": \"landfall-probes-1\", \"probes\": "
    static const struct {
        const char *text;
        lf_status status;
        const char *message;
    } cases[] = {
        {HEAD "[{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}], \"expect\": \"a\"}]}", LF_OK, ""},
        {HEAD "[]}", LF_ERR_FORMAT, "must list 1 to 1000 probes"},
        {HEAD "{}}", LF_ERR_FORMAT, "must list 1 to 1000 probes"},
        {HEAD "[{\"expect\": \"a\"}]}", LF_ERR_FORMAT, "needs \"messages\""},
        {HEAD "[{\"messages\": [], \"expect\": \"a\"}]}", LF_ERR_FORMAT, "needs \"messages\""},
        {HEAD "[{\"messages\": [1]}]}", LF_ERR_FORMAT, "needs \"expect\""},
        {HEAD "[{\"messages\": [1], \"expect\": \"\"}]}", LF_ERR_FORMAT, "needs \"expect\""},
        {HEAD "[{\"messages\": [1], \"expect\": 3}]}", LF_ERR_FORMAT, "wrong type of \"expect\""},
        {HEAD "[{\"messages\": [1], \"expect\": \"a\", \"match\": \"regex\"}]}", LF_ERR_FORMAT, "bad \"match\""},
        {HEAD "[{\"messages\": [1], \"expect\": \"a\", \"max_tokens\": 0}]}", LF_ERR_FORMAT, "out of range"},
        {"{\"probes\": []}", LF_ERR_FORMAT, "not a probes file"},
        {"[", LF_ERR_FORMAT, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lf_error err = {0};
        assert_int_equal(load(cases[i].text, &err), cases[i].status);
        if (!strstr(err.message, cases[i].message)) fail_msg("case %zu: %s", i, err.message);
    }
}

static void compares_answers(void **state)
{
    const lf__probe contains = {.expect = "Paris"}, exact = {.expect = "Paris", .is_exact = true};
    assert_true(lf__probe_matches(&contains, "The capital is Paris."));
    assert_false(lf__probe_matches(&contains, "paris"));
    assert_false(lf__probe_matches(&contains, ""));
    assert_true(lf__probe_matches(&exact, " Paris\n"));
    assert_false(lf__probe_matches(&exact, "Paris."));
    assert_false(lf__probe_matches(&exact, "Pari"));
    assert_false(lf__probe_matches(&exact, "   "));
}

int test_probes(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_and_refuses),
        cmocka_unit_test(compares_answers),
    };
    return cmocka_run_group_tests_name("probes", tests, NULL, NULL);
}
