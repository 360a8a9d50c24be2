// SPDX-License-Identifier: Apache-2.0
//
// Sign-off is computed from the steps: every mandatory step is tried failed, skipped, absent and misspelt; dummy
// evidence alone never signs off.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests.h"
#include "verify/verify_int.h"

json_t *all_steps_passed(void)
{
    size_t n_row;
    const lf__step_row *rows = lf__step_plan(&n_row);
    json_t *steps = json_array();
    for (size_t i = 0; i < n_row; i++) {
        json_array_append_new(steps, json_pack("{s:s, s:s, s:s, s:b, s:s, s:f, s:s, s:{}}", "id", rows[i].id, "gate",
                                               rows[i].gate, "title", rows[i].title, "mandatory", rows[i].is_mandatory,
                                               "status", "passed", "seconds", 0.25, "detail", "seen", "evidence"));
    }
    return steps;
}

void set_step(json_t *steps, const char *id, const char *status)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        if (strcmp(json_string_value(json_object_get(step, "id")), id) != 0) continue;
        json_object_set_new(step, "status", json_string(status));
    }
}

static bool is_signed_off(const json_t *steps, const char *reason_part)
{
    json_t *reasons;
    size_t i;
    json_t *reason;
    bool signed_off = lf__signoff(steps, &reasons), is_named = false;
    json_array_foreach(reasons, i, reason)
    {
        is_named |= reason_part && strstr(json_string_value(reason), reason_part);
    }
    if (signed_off) assert_int_equal(json_array_size(reasons), 0);
    if (reason_part) assert_true(is_named);
    json_decref(reasons);
    return signed_off;
}

static void all_passed_signs_off(void **state)
{
    json_t *steps = all_steps_passed();
    assert_true(is_signed_off(steps, NULL));
    json_decref(steps);
}

static void each_mandatory_step_counts(void **state)
{
    static const char *const bad[] = {"failed", "skipped", "PASSED", ""};
    size_t n_row, n_mandatory = 0;
    const lf__step_row *rows = lf__step_plan(&n_row);
    for (size_t i = 0; i < n_row; i++) {
        for (size_t b = 0; b < 4; b++) {
            json_t *steps = all_steps_passed();
            set_step(steps, rows[i].id, bad[b]);
            assert_int_equal(is_signed_off(steps, rows[i].is_mandatory ? rows[i].id : NULL), !rows[i].is_mandatory);
            json_decref(steps);
        }
        json_t *steps = all_steps_passed();
        json_array_remove(steps, i);
        assert_int_equal(is_signed_off(steps, NULL), !rows[i].is_mandatory);
        json_decref(steps);
        n_mandatory += rows[i].is_mandatory;
    }
    assert_true(n_mandatory >= 15);
}

static void not_applicable_only_where_allowed(void **state)
{
    size_t n_row;
    const lf__step_row *rows = lf__step_plan(&n_row);
    for (size_t i = 0; i < n_row; i++) {
        json_t *steps = all_steps_passed();
        set_step(steps, rows[i].id, "not applicable");
        assert_int_equal(is_signed_off(steps, NULL), rows[i].may_not_apply || !rows[i].is_mandatory);
        json_decref(steps);
    }
}

static void dummy_alone_never_signs_off(void **state)
{
    size_t n_row;
    const lf__step_row *rows = lf__step_plan(&n_row);
    static const char *const ends[] = {"skipped", "not applicable"};
    for (size_t e = 0; e < 2; e++) {
        json_t *steps = all_steps_passed();
        for (size_t i = 0; i < n_row; i++) {
            if (strcmp(rows[i].gate, "real") == 0) set_step(steps, rows[i].id, ends[e]);
        }
        assert_false(is_signed_off(steps, "dummy weights alone never sign off"));
        json_decref(steps);
    }
    json_t *empty = json_array();
    assert_false(is_signed_off(empty, "dummy weights alone"));
    json_decref(empty);
    assert_false(is_signed_off(NULL, "dummy weights alone"));
}

static const char *proof(const json_t *table, const char *claim_part, const char *column)
{
    size_t i;
    json_t *row;
    json_array_foreach(table, i, row)
    {
        if (strstr(json_string_value(json_object_get(row, "claim")), claim_part)) {
            return json_string_value(json_object_get(row, column));
        }
    }
    return "";
}

static void proof_table_tells_dummy_from_real(void **state)
{
    json_t *steps = all_steps_passed();
    set_step(steps, "real.answer", "failed");
    set_step(steps, "real.repeat", "skipped");
    set_step(steps, "dummy.image", "not applicable");
    json_t *table = lf__proof_table(steps);
    assert_string_equal(proof(table, "answers are right", "dummy"), "cannot");
    assert_string_equal(proof(table, "answers are right", "real"), "failed");
    assert_string_equal(proof(table, "repeat", "real"), "not shown");
    assert_string_equal(proof(table, "paired with its scale", "dummy"), "cannot");
    assert_string_equal(proof(table, "paired with its scale", "real"), "proved");
    assert_string_equal(proof(table, "architecture runs", "dummy"), "proved");
    assert_string_equal(proof(table, "images", "dummy"), "not applicable");
    json_decref(table);
    json_decref(steps);
}

// With some layers only: everything else passed, and what was proved was proved for these.
static void fewer_layers_never_sign_off(void **state)
{
    json_t *steps = all_steps_passed();
    set_step(steps, "preflight.layers", "skipped");
    json_object_set_new(json_array_get(steps, 1), "evidence",
                        json_pack("{s:i, s:i}", "num_hidden_layers", 4, "num_checkpoint_layers", 62));
    assert_string_equal(json_string_value(json_object_get(json_array_get(steps, 1), "id")), "preflight.layers");
    assert_false(is_signed_off(steps, "preflight.layers skipped"));
    json_t *table = lf__proof_table(steps);
    assert_string_equal(proof(table, "architecture runs", "dummy"), "proved, 4 of 62 layers");
    assert_string_equal(proof(table, "greedy answers repeat", "real"), "proved, 4 of 62 layers");
    assert_string_equal(proof(table, "answers are right", "dummy"), "cannot");
    json_decref(table);
    json_decref(steps);
}

int test_signoff(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_passed_signs_off),
        cmocka_unit_test(each_mandatory_step_counts),
        cmocka_unit_test(not_applicable_only_where_allowed),
        cmocka_unit_test(dummy_alone_never_signs_off),
        cmocka_unit_test(proof_table_tells_dummy_from_real),
        cmocka_unit_test(fewer_layers_never_sign_off),
    };
    return cmocka_run_group_tests_name("signoff", tests, NULL, NULL);
}
