// SPDX-License-Identifier: Apache-2.0
//
// Findings as JSON and as SARIF: order, fields, and what the SARIF 2.1.0 schema asks of a log.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/finding_json.h"
#include "base/mem.h"
#include "tests.h"

static void add(lf_findings *findings, lf_severity severity, const char *code, const char *subject)
{
    lf_finding_args args = {.code = code,
                            .severity = severity,
                            .subject = subject,
                            .expected = severity == LF_SEVERITY_ERROR ? "one thing" : NULL,
                            .found = severity == LF_SEVERITY_ERROR ? "another" : NULL,
                            .remedy = severity == LF_SEVERITY_NOTE ? NULL : "repair it"};
    lf_findings_add(findings, &args, "about %s", subject);
}

static lf_findings some(void)
{
    lf_findings findings = LF_FINDINGS_INIT;
    add(&findings, LF_SEVERITY_NOTE, "a-note", "config.json");
    add(&findings, LF_SEVERITY_ERROR, "z-error", "model.b.weight");
    add(&findings, LF_SEVERITY_WARNING, "a-warning", "dir with space/\xc3\xa9%#?.json");
    add(&findings, LF_SEVERITY_ERROR, "a-error", "model.c.weight");
    add(&findings, LF_SEVERITY_ERROR, "z-error", "model.a.weight");
    return findings;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static void lists_errors_first(void **state)
{
    static const char *const subjects[] = {"model.c.weight", "model.b.weight", "model.a.weight",
                                           "dir with space/\xc3\xa9%#?.json", "config.json"};
    lf_findings findings = some();
    json_t *list = lf_findings_json(&findings);
    assert_int_equal(json_array_size(list), LF_ARRAY_LENGTH(subjects));
    for (size_t i = 0; i < LF_ARRAY_LENGTH(subjects); i++) {
        const json_t *object = json_array_get(list, i);
        assert_int_equal(json_object_size(object), 7);
        assert_string_equal(text_of(object, "subject"), subjects[i]);
        assert_string_equal(text_of(object, "severity"), i < 3 ? "error" : i == 3 ? "warning" : "note");
        assert_string_equal(text_of(object, "expected"), i < 3 ? "one thing" : "");
    }
    json_decref(list);
    lf_findings_fini(&findings);

    add(&findings, LF_SEVERITY_NOTE, "bad-name", "caf\xe9");
    list = lf_findings_json(&findings);
    assert_string_equal(text_of(json_array_get(list, 0), "subject"), "caf?");
    json_decref(list);
    lf_findings_fini(&findings);
    list = lf_findings_json(&findings);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

static const char *shard_of(void *ctx, const char *subject)
{
    return strncmp(subject, "model.", 6) == 0 ? "model-00001-of-00002.safetensors" : NULL;
}

// A URI reference: letters of RFC 3986 and percent escapes only.
static void assert_uri(const char *uri)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%";
    assert_int_equal(strspn(uri, allowed), strlen(uri));
    for (const char *at = uri; (at = strchr(at, '%')); at++)
        assert_int_equal(strspn(at + 1, "0123456789ABCDEF") >= 2, 1);
}

static void assert_result(const json_t *result, const json_t *rules)
{
    static const char *const levels[] = {"none", "note", "warning", "error"};
    size_t level = 0;
    while (level < LF_ARRAY_LENGTH(levels) && strcmp(levels[level], text_of(result, "level")) != 0) level++;
    assert_true(level < LF_ARRAY_LENGTH(levels));
    size_t rule = (size_t)json_integer_value(json_object_get(result, "ruleIndex"));
    assert_true(rule < json_array_size(rules));
    assert_string_equal(text_of(result, "ruleId"), text_of(json_array_get(rules, rule), "id"));
    assert_true(text_of(json_object_get(result, "message"), "text")[0] != '\0');
    const json_t *location = json_array_get(json_object_get(result, "locations"), 0);
    const json_t *artifact = json_object_get(json_object_get(location, "physicalLocation"), "artifactLocation");
    assert_uri(text_of(artifact, "uri"));
    assert_string_equal(text_of(artifact, "uriBaseId"), "MODEL");
}

static void writes_sarif(void **state)
{
    lf_findings findings = some();
    json_t *log = lf_findings_sarif(&findings, "/", shard_of, NULL);
    assert_string_equal(text_of(log, "version"), "2.1.0");
    assert_non_null(strstr(text_of(log, "$schema"), "sarif-schema-2.1.0"));
    assert_int_equal(json_array_size(json_object_get(log, "runs")), 1);
    const json_t *run = json_array_get(json_object_get(log, "runs"), 0);
    const json_t *driver = json_object_get(json_object_get(run, "tool"), "driver");
    assert_string_equal(text_of(driver, "name"), "landfall");
    const json_t *rules = json_object_get(driver, "rules"), *results = json_object_get(run, "results");
    assert_int_equal(json_array_size(rules), 4); // z-error stands there once
    assert_int_equal(json_array_size(results), 5);
    for (size_t i = 0; i < 5; i++) assert_result(json_array_get(results, i), rules);

    const json_t *first = json_array_get(json_object_get(json_array_get(results, 0), "locations"), 0);
    const json_t *artifact = json_object_get(json_object_get(first, "physicalLocation"), "artifactLocation");
    assert_string_equal(text_of(artifact, "uri"), "model-00001-of-00002.safetensors");
    assert_string_equal(text_of(json_array_get(json_object_get(first, "logicalLocations"), 0), "fullyQualifiedName"),
                        "model.c.weight");
    const json_t *odd = json_array_get(json_object_get(json_array_get(results, 3), "locations"), 0);
    artifact = json_object_get(json_object_get(odd, "physicalLocation"), "artifactLocation");
    assert_string_equal(text_of(artifact, "uri"), "dir%20with%20space/%C3%A9%25%23%3F.json");
    assert_null(json_object_get(odd, "logicalLocations"));
    const char *base = text_of(json_object_get(json_object_get(run, "originalUriBaseIds"), "MODEL"), "uri");
    assert_string_equal(base, "file:///");
    json_decref(log);
    lf_findings_fini(&findings);

    log = lf_findings_sarif(&findings, "/nonexistent", NULL, NULL); // nothing found: results is there and empty
    results = json_object_get(json_array_get(json_object_get(log, "runs"), 0), "results");
    assert_true(json_is_array(results));
    assert_int_equal(json_array_size(results), 0);
    json_decref(log);
}

int test_finding(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_errors_first), cmocka_unit_test(writes_sarif)};
    return cmocka_run_group_tests_name("finding", tests, NULL, NULL);
}
