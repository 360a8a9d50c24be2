// SPDX-License-Identifier: Apache-2.0
//
// Stop-string automata against the plain definition, over all short texts of a small alphabet.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/stop.h"
#include "tests.h"

// The longest proper beginning of any string that `text` ends with.
static size_t plain_pending(const char *text, size_t length, const lf_stop_string *strings, size_t n)
{
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 1; k < strings[i].length && k <= length; k++) {
            if (memcmp(text + length - k, strings[i].text, k) == 0 && k > longest) longest = k;
        }
    }
    return longest;
}

static size_t plain_match(const char *text, size_t length, const lf_stop_string *strings, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = strings[i].length;
        if (k <= length && memcmp(text + length - k, strings[i].text, k) == 0) return i;
    }
    return LF_STOP_NONE;
}

static void check_text(const char *text, size_t length, const lf_stop_string *strings, size_t n, bool may_match)
{
    lf_stop_matcher *matcher;
    assert_int_equal(lf_stop_matcher_new(&matcher, strings, n, NULL), LF_OK);
    for (size_t i = 0; i < length; i++) {
        size_t found = lf_stop_matcher_feed(matcher, (unsigned char)text[i], may_match);
        size_t expected = plain_match(text, i + 1, strings, n);
        assert_int_equal(found, may_match ? expected : LF_STOP_NONE);
        assert_int_equal(lf_stop_matcher_pending(matcher), plain_pending(text, i + 1, strings, n));
        if (found != LF_STOP_NONE) break;
    }
    lf_stop_matcher_free(matcher);
}

static void all_short_texts(void **state)
{
    static const char *const sets[][3] = {{"ab", "", ""},     {"aab", "", ""},     {"aba", "ba", ""},
                                          {"aaaa", "ab", ""}, {"abab", "bb", "a"}, {"ababaa", "", ""},
                                          {"b", "", ""}};
    size_t n_text = 0;
    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        lf_stop_string strings[3];
        size_t n = 0;
        for (; n < 3 && sets[s][n][0]; n++) strings[n] = (lf_stop_string){sets[s][n], strlen(sets[s][n])};
        for (size_t length = 0; length <= 10; length++) {
            for (unsigned bits = 0; bits < 1u << length; bits++) {
                char text[10];
                for (size_t i = 0; i < length; i++) text[i] = bits >> i & 1 ? 'a' : 'b';
                check_text(text, length, strings, n, true);
                check_text(text, length, strings, n, false);
                n_text++;
            }
        }
    }
    assert_int_equal(n_text, 7 * 2047);
}

static void limits(void **state)
{
    static char longest[LF_STOP_MAX_BYTES + 1];
    lf_stop_matcher *matcher;
    lf_error err = {0};
    memset(longest, 'x', sizeof longest);
    lf_stop_string fits = {longest, LF_STOP_MAX_BYTES}, is_too_long = {longest, LF_STOP_MAX_BYTES + 1},
                   is_empty = {"", 0};
    assert_int_equal(lf_stop_matcher_new(&matcher, &fits, 1, &err), LF_OK);
    lf_stop_matcher_free(matcher);
    assert_int_equal(lf_stop_matcher_new(&matcher, &is_too_long, 1, &err), LF_ERR_INVALID);
    assert_int_equal(lf_stop_matcher_new(&matcher, &is_empty, 1, &err), LF_ERR_INVALID);
    lf_stop_string many[LF_STOP_MAX_STRINGS + 1];
    for (size_t i = 0; i <= LF_STOP_MAX_STRINGS; i++) many[i] = (lf_stop_string){"a", 1};
    assert_int_equal(lf_stop_matcher_new(&matcher, many, LF_STOP_MAX_STRINGS + 1, &err), LF_ERR_INVALID);
    assert_int_equal(lf_stop_matcher_new(&matcher, NULL, 0, &err), LF_OK);
    assert_int_equal(lf_stop_matcher_feed(matcher, 'a', true), LF_STOP_NONE);
    assert_int_equal(lf_stop_matcher_pending(matcher), 0);
}

int test_stop(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_short_texts), cmocka_unit_test(limits)};
    return cmocka_run_group_tests_name("server/stop", tests, NULL, NULL);
}
