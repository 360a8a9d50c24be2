// SPDX-License-Identifier: Apache-2.0
//
// The text buffer: growth, embedded NUL bytes, taking the memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests.h"

static void grows_and_terminates(void **state)
{
    lf_buf buf = LF_BUF_INIT;
    assert_string_equal(lf_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++) lf_buf_printf(&buf, "%d,", i);
    assert_int_equal(buf.length, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(buf.data[buf.length], '\0');
    assert_memory_equal(buf.data, "0,1,2,3,", 8);
    lf_buf_fini(&buf);
}

static void keeps_nul_bytes(void **state)
{
    lf_buf buf = LF_BUF_INIT;
    lf_buf_append(&buf, "a\0b", 3);
    lf_buf_putc(&buf, 'c');
    char *taken = lf_buf_take(&buf);
    assert_memory_equal(taken, "a\0bc", 5);
    assert_null(buf.data);
    free(taken);
}

static void refuses_absurd_sizes(void **state)
{
    lf_buf buf = LF_BUF_INIT;
    lf_buf_puts(&buf, "x");
    assert_false(lf_buf_reserve(&buf, SIZE_MAX - 1));
    assert_true(lf_buf_failed(&buf));
    lf_buf_puts(&buf, "y");
    assert_int_equal(buf.length, 1);
    assert_null(lf_buf_take(&buf));
}

int test_buf(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_terminates),
        cmocka_unit_test(keeps_nul_bytes),
        cmocka_unit_test(refuses_absurd_sizes),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
