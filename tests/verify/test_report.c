// SPDX-License-Identifier: Apache-2.0
//
// Reports: written whole, read again, and never believed after an edit, however small.
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

static char folder[64];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/landfall-report-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"report.json", "report.md", "real.log"};
    char path[128];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

// Writes a report over these steps with one log beside it, and returns its path.
static const char *write_report(json_t *steps, bool signed_off)
{
    static char path[128], log_path[128];
    char hex[65];
    lf_error err;
    json_t *reasons;
    snprintf(log_path, sizeof log_path, "%s/real.log", folder);
    snprintf(path, sizeof path, "%s/report.json", folder);
    assert_int_equal(lf_file_write(log_path, "ready\n", 6, &err), LF_OK);
    assert_int_equal(lf__file_digest(log_path, hex, &err), LF_OK);
    lf__signoff(steps, &reasons);
    json_t *report = json_pack("{s:s, s:s, s:{s:s}, s:O, s:o, s:b, s:o, s:f}", "format", "landfall-report-1", "model",
                               "tiny|model", "logs", "real.log", hex, "steps", steps, "proof", lf__proof_table(steps),
                               "signed_off", signed_off, "reasons", reasons, "seconds", 0.1234567890123);
    assert_non_null(report);
    assert_int_equal(lf__report_write(report, folder, &err), LF_OK);
    json_decref(report);
    return path;
}

static lf_status recheck(const char *path, const char *message_part)
{
    lf_error err = {0};
    lf_status status = lf_verify_recheck(path, NULL, &err);
    if (message_part && !strstr(err.message, message_part)) fail_msg("message: %s", err.message);
    return status;
}

static void intact_report_is_believed(void **state)
{
    json_t *steps = all_steps_passed();
    const char *path = write_report(steps, true);
    assert_int_equal(recheck(path, NULL), LF_OK);
    json_decref(steps);
}

// Replaces one text by another of the same length in a file.
static void edit(const char *path, const char *from, const char *to)
{
    char *text;
    size_t length;
    lf_error err;
    assert_int_equal(lf_file_read(&text, &length, path, 1 << 20, &err), LF_OK);
    char *at = strstr(text, from);
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    assert_int_equal(lf_file_write(path, text, length, &err), LF_OK);
    free(text);
}

static void edited_report_is_found_out(void **state)
{
    static const char *const edits[][2] = {
        {"\"status\": \"failed\"", "\"status\": \"passed\""},
        {"\"signed_off\": false", "\"signed_off\":  true"},
        {"tiny|model", "tiny|modem"},
        {"\"seconds\": 0.25", "\"seconds\": 0.24"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        json_t *steps = all_steps_passed();
        set_step(steps, "real.answer", "failed");
        const char *path = write_report(steps, false);
        assert_int_equal(recheck(path, "real.answer failed"), LF_ERR_NOT_SIGNED_OFF);
        edit(path, edits[i][0], edits[i][1]);
        assert_int_equal(recheck(path, "digest"), LF_ERR_NOT_SIGNED_OFF);
        json_decref(steps);
    }
}

static void claimed_signoff_is_recomputed(void **state)
{
    json_t *steps = all_steps_passed();
    set_step(steps, "real.finite", "failed");
    const char *path = write_report(steps, true); // a valid digest over a false claim
    assert_int_equal(recheck(path, "its steps say not signed off"), LF_ERR_NOT_SIGNED_OFF);
    json_decref(steps);
}

static void changed_log_is_found_out(void **state)
{
    char log_path[128];
    json_t *steps = all_steps_passed();
    const char *path = write_report(steps, true);
    snprintf(log_path, sizeof log_path, "%s/real.log", folder);
    edit(log_path, "ready", "reads");
    assert_int_equal(recheck(path, "real.log was changed"), LF_ERR_NOT_SIGNED_OFF);
    unlink(log_path);
    assert_int_equal(recheck(path, "real.log"), LF_ERR_NOT_FOUND);
    json_decref(steps);
}

static void other_files_are_no_reports(void **state)
{
    char path[128];
    lf_error err;
    snprintf(path, sizeof path, "%s/report.json", folder);
    static const char *const contents[] = {"{}", "[]", "3", "{\"format\": \"landfall-report-2\"}", "{\"format\": 1}"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        assert_int_equal(lf_file_write(path, contents[i], strlen(contents[i]), &err), LF_OK);
        assert_int_equal(recheck(path, "not a report"), LF_ERR_FORMAT);
    }
    assert_int_equal(lf_file_write(path, "{\"format\"", 9, &err), LF_OK);
    assert_int_equal(recheck(path, "not valid JSON"), LF_ERR_FORMAT);
    assert_int_equal(recheck("/nonexistent/report.json", "cannot open"), LF_ERR_NOT_FOUND);
}

static void markdown_escapes_tables(void **state)
{
    char path[128], *text;
    size_t length;
    lf_error err;
    json_t *steps = all_steps_passed();
    json_t *answers = json_pack("[{s:[{s:s, s:s}], s:s, s:s, s:b}]", "messages", "role", "user", "content", "a|b\nc",
                                "expected", "x", "answer", "y|z", "right", 0);
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "id")), "real.answer") == 0) {
            json_object_set(json_object_get(step, "evidence"), "answers", answers);
        }
    }
    write_report(steps, true);
    snprintf(path, sizeof path, "%s/report.md", folder);
    assert_int_equal(lf_file_read(&text, &length, path, 1 << 20, &err), LF_OK);
    assert_non_null(strstr(text, "| a\\|b c | x | y\\|z | no |"));
    assert_non_null(strstr(text, "# Bring-up of tiny|model: signed off"));
    free(text);
    json_decref(answers);
    json_decref(steps);
}

int test_report(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intact_report_is_believed),     cmocka_unit_test(edited_report_is_found_out),
        cmocka_unit_test(claimed_signoff_is_recomputed), cmocka_unit_test(changed_log_is_found_out),
        cmocka_unit_test(other_files_are_no_reports),    cmocka_unit_test(markdown_escapes_tables),
    };
    return cmocka_run_group_tests_name("report", tests, make_folder, remove_folder);
}
