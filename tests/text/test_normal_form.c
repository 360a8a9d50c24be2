// SPDX-License-Identifier: Apache-2.0
//
// Normal forms: the reference library's, for old characters and for those newer than it, and linear in time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/sanitized.h"
#include "base/mem.h"
#include "helpers.h"
#include "tests.h"
#include "text/normalize.h"
#include "text/utf8.h"

static void assert_form(lf_normal_form form, const char *text, const char *expected)
{
    lf_buf out = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_normalize_form(&out, form, text, strlen(text), &err), LF_OK);
    assert_string_equal(lf_buf_text(&out), expected);
    lf_buf_fini(&out);
}

static void composes_and_decomposes(void **state)
{
    assert_form(LF_NFC, "", "");
    assert_form(LF_NFC, "plain ascii", "plain ascii");
    assert_form(LF_NFC, "e\u0301 a\u0308\u0323 =\u0338", "\u00e9 \u1ea1\u0308 \u2260");
    assert_form(LF_NFC, "\u212b \u2126 \u0958", "\u00c5 \u03a9 \u0915\u093c"); // singletons, an exclusion
    assert_form(LF_NFC, "\u1112\u1161\u11ab \u304b\u3099", "\ud55c \u304c");
    assert_form(LF_NFC, "\u6f22\u5b57\u0301", "\u6f22\u5b57\u0301");
    assert_form(LF_NFC, "\u0301a", "\u0301a");
    assert_form(LF_NFD, "\u00e9\u1ea1\u0308 \ud55c", "e\u0301a\u0323\u0308 \u1112\u1161\u11ab");
    assert_form(LF_NFKC, "\ufb01 \u00b2 \u2167 \uff21", "fi 2 VIII A");
    assert_form(LF_NFKD, "\ufb01\u00e9 \u3392", "fie\u0301 MHz");
}

// U+11A7 is no final consonant. U+07FD, U+1DF6 (classes), U+32FF, U+11938 (decompositions) came after Unicode 9, where
// the reference's normalizer stopped.
static void follows_the_reference_where_tables_differ(void **state)
{
    assert_form(LF_NFC, "\u110b\u1170\u11a7", "\uc6e8\u11a7");
    assert_form(LF_NFC, "a\u07fd\u0301", "a\u07fd\u0301");
    assert_form(LF_NFD, "a\u1df6\u0301", "a\u1df6\u0301");
    assert_form(LF_NFKC, "\u32ff", "\u32ff");
    assert_form(LF_NFD, "\U00011938", "\U00011938");
    assert_form(LF_NFC, "\U00011935\U00011930", "\U00011935\U00011930");
}

static void normalizing_twice_changes_nothing(void **state)
{
    lf_error err;
    const uint32_t stride = IS_SANITIZED ? 7 : 1;
    if (IS_SANITIZED) print_message("one character of %u under a sanitizer\n", stride);
    for (uint32_t c = 0; c < 0x110000; c += stride) {
        if (c >= 0xd800 && c < 0xe000) continue;
        char text[16];
        size_t length = lf_utf8_put(text, c);
        for (int form = LF_NFC; form <= LF_NFKD; form++) {
            lf_buf once = LF_BUF_INIT;
            lf_buf twice = LF_BUF_INIT;
            assert_int_equal(lf_normalize_form(&once, (lf_normal_form)form, text, length, &err), LF_OK);
            assert_int_equal(lf_normalize_form(&twice, (lf_normal_form)form, once.data, once.length, &err), LF_OK);
            if (once.length != twice.length || memcmp(once.data, twice.data, once.length) != 0) fail_msg("U+%04X", c);
            lf_buf_fini(&once);
            lf_buf_fini(&twice);
        }
    }
}

// 400,000 marks in the worst order: swapping neighbours would take 4e10 steps.
static void piled_up_marks_take_linear_time(void **state)
{
    lf_buf text = LF_BUF_INIT;
    lf_buf out = LF_BUF_INIT;
    lf_error err;
    for (int i = 0; i < 200000; i++) lf_buf_puts(&text, "\u0301\u0323");
    double start = cpu_seconds();
    assert_int_equal(lf_normalize_form(&out, LF_NFC, text.data, text.length, &err), LF_OK);
    assert_true(cpu_seconds() - start < 5);
    assert_int_equal(out.length, text.length);
    assert_memory_equal(out.data, "\u0323\u0323", 4);
    assert_memory_equal(out.data + out.length - 4, "\u0301\u0301", 4);
    lf_buf_fini(&text);
    lf_buf_fini(&out);
}

int test_normal_form(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(composes_and_decomposes),
        cmocka_unit_test(follows_the_reference_where_tables_differ),
        cmocka_unit_test(normalizing_twice_changes_nothing),
        cmocka_unit_test(piled_up_marks_take_linear_time),
    };
    return cmocka_run_group_tests_name("normal_form", tests, NULL, NULL);
}
