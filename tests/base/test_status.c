// SPDX-License-Identifier: Apache-2.0
//
// Errors: exit statuses, the one-line form, context in front of a message, errno mapping.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "tests.h"

static void maps_to_exit_statuses(void **state)
{
    assert_int_equal(lf_status_exit(LF_OK), 0);
    assert_int_equal(lf_status_exit(LF_ERR_FINDINGS), 1);
    assert_int_equal(lf_status_exit(LF_ERR_FORMAT), 1);
    assert_int_equal(lf_status_exit(LF_ERR_USAGE), 2);
    assert_int_equal(lf_status_exit(LF_ERR_NO_MEMORY), 3);
    assert_int_equal(lf_status_exit((lf_status)999), 3);
    assert_string_equal(lf_status_text((lf_status)999), "unknown status");
}

static void formats_one_line(void **state)
{
    lf_error err;
    char line[256];
    lf_error_set(&err, LF_ERR_FORMAT, "scale missing for '%s'", "w");
    lf_error_expected(&err, "[%d, %d] F32", 24, 8);
    lf_error_found(&err, "none");
    lf_error_at(&err, "shard %d", 2);
    lf_error_format(&err, line, sizeof line);
    assert_string_equal(line, "shard 2: scale missing for 'w': expected [24, 8] F32, found none");
    lf_error_format(&err, line, 8);
    assert_string_equal(line, "shard 2");
}

static void maps_errno(void **state)
{
    lf_error err;
    assert_int_equal(lf_error_errno(&err, ENOSPC, "cannot write x"), LF_ERR_NO_SPACE);
    assert_int_equal(lf_error_errno(&err, ENOMEM, "cannot map x"), LF_ERR_NO_MEMORY);
    assert_int_equal(lf_error_errno(&err, EACCES, "cannot open %s", "x"), LF_ERR_IO);
    assert_string_equal(err.message, "cannot open x: Permission denied");
    assert_int_equal(lf_error_errno(&err, ENOENT, "x"), LF_ERR_NOT_FOUND);
}

int test_status(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_to_exit_statuses),
        cmocka_unit_test(formats_one_line),
        cmocka_unit_test(maps_errno),
    };
    return cmocka_run_group_tests_name("status", tests, NULL, NULL);
}
