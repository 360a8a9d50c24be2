// SPDX-License-Identifier: Apache-2.0
//
// UTF-8: all characters both ways, all ill-formed beginnings, and one U+FFFD per maximal ill-formed part.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"
#include "text/utf8.h"

static void every_character_survives(void **state)
{
    size_t n = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        char bytes[4];
        size_t length = lf_utf8_put(bytes, c);
        const char *cursor = bytes;
        assert_int_equal(lf_utf8_length((uint8_t)bytes[0]), length);
        assert_int_equal(lf_utf8_valid_prefix(bytes, length), length);
        assert_int_equal(lf_utf8_next(&cursor), c);
        assert_ptr_equal(cursor, bytes + length);
        for (size_t cut = 1; cut < length; cut++) {
            size_t used;
            assert_int_equal(lf_utf8_scan((const uint8_t *)bytes, cut, &used), LF_UTF8_INCOMPLETE);
            assert_int_equal(used, cut);
        }
        n++;
    }
    assert_int_equal(n, 0x110000 - 0x800);
}

// Counts the well-formed strings of two, three and four bytes: there must be as many as characters.
static void nothing_else_is_well_formed(void **state)
{
    size_t n[5] = {0};
    uint8_t b[4];
    for (unsigned lead = 0; lead < 256; lead++) {
        for (unsigned rest = 0; rest < 65536; rest++) {
            size_t used;
            b[0] = (uint8_t)lead;
            b[1] = (uint8_t)(rest >> 8);
            b[2] = (uint8_t)rest;
            b[3] = 0x80;
            if (lf_utf8_scan(b, 4, &used) == LF_UTF8_CHARACTER) n[used]++;
        }
    }
    assert_int_equal(n[1], 0x80 * 65536);
    assert_int_equal(n[2], (0x800 - 0x80) * 256);
    assert_int_equal(n[3], 0x10000 - 0x800 - 0x800);
    assert_int_equal(n[4], 0x100000 / 64); // one of 64 last bytes was tried
}

static void replaces_maximal_parts(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        {"a\x80z", "a\xef\xbf\xbdz"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
        {"\xed\xa0\x80\x41", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\x41\xef\xbf\xbd\xef\xbf\xbd\x42"},
        {"\xf0\x9f\x98", "\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_buf out = LF_BUF_INIT;
        size_t length = strlen(cases[i].bytes);
        assert_int_equal(lf_utf8_append_lossy(&out, (const uint8_t *)cases[i].bytes, length, false), length);
        assert_string_equal(lf_buf_text(&out), cases[i].text);
        lf_buf_fini(&out);
    }
}

static void holds_back_what_may_still_become_a_character(void **state)
{
    lf_buf out = LF_BUF_INIT;
    assert_int_equal(lf_utf8_append_lossy(&out, (const uint8_t *)"ab\xf0\x9f\x98", 5, true), 2);
    assert_int_equal(lf_utf8_append_lossy(&out, (const uint8_t *)"\xf0\x9f\x41", 3, true), 3);
    assert_string_equal(lf_buf_text(&out), "ab\xef\xbf\xbd\x41");
    lf_buf_fini(&out);
}

int test_utf8(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_survives),
        cmocka_unit_test(nothing_else_is_well_formed),
        cmocka_unit_test(replaces_maximal_parts),
        cmocka_unit_test(holds_back_what_may_still_become_a_character),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
