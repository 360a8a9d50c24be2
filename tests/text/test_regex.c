// SPDX-License-Identifier: Apache-2.0
//
// Tokenizer patterns: what they match is Oniguruma's idea, what is not understood is refused, and no text hangs one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "helpers.h"
#include "tests.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

static lf_regex *compile(const char *pattern)
{
    lf_regex *regex = NULL;
    lf_error err;
    if (lf_regex_compile(&regex, pattern, strlen(pattern), &err)) fail_msg("%s: %s", pattern, err.message);
    return regex;
}

// All matches, each in brackets, the rest as it is.
static void assert_matches(const char *pattern, const char *text, const char *expected)
{
    lf_regex *regex = compile(pattern);
    lf_regex_scratch *scratch = NULL;
    lf_error err;
    lf_buf out = LF_BUF_INIT;
    assert_int_equal(lf_regex_scratch_new(&scratch, &err), LF_OK);
    lf_regex_walk walk = {
        .regex = regex, .scratch = scratch, .text = text, .length = strlen(text), .last_end = SIZE_MAX};
    size_t done = 0;
    for (;;) {
        bool found;
        size_t begin;
        size_t end;
        assert_int_equal(lf_regex_next(&walk, &found, &begin, &end, &err), LF_OK);
        if (!found) break;
        lf_buf_append(&out, text + done, begin - done);
        lf_buf_printf(&out, "[%.*s]", (int)(end - begin), text + begin);
        done = end;
    }
    lf_buf_puts(&out, text + done);
    assert_string_equal(lf_buf_text(&out), expected);
    lf_buf_fini(&out);
    lf_regex_free(regex);
    lf_regex_scratch_free(scratch);
}

static void matches_as_the_reference_does(void **state)
{
    assert_matches("a{1,3}+", "baaaaab", "b[aaaaa]b"); // again and again, not possessive
    assert_matches("a{2}+", "baaaaab", "b[aaaa]ab");
    assert_matches("a{,2}b", "aaab", "a[aab]");
    assert_matches("a++b|a", "aaab", "[aaab]");
    assert_matches("a*", "baac", "[]b[aa]c[]");
    assert_matches("x|", "axb", "[]a[x]b[]");
    assert_matches("^b", "a\nb\nb", "a\n[b]\n[b]"); // always at lines
    assert_matches("a$", "a\nba\n", "[a]\nb[a]\n");
    assert_matches(".", "\n\ra", "\n[\r][a]"); // only "\n" ends a line
    assert_matches("\\v", "\x0b\x0c", "[\x0b]\x0c");
    assert_matches("[a-]+", "b-a", "b[-a]");
    assert_matches("(?i:'s|'ll)", "'S 'lL 's", "['S] ['lL] ['s]");
    assert_matches("(?i:'s)", "'\xc5\xbf", "['\xc5\xbf]"); // long s
    assert_matches("\\s+(?!\\S)|\\s+", "a   b  ", "a[  ][ ]b[  ]");
    assert_matches("(?<=a)b|(?<!c)d", "ab cb cd ed", "a[b] cb cd e[d]");
    assert_matches("\\bab\\b|\\B-\\B", "ab xab - a-b", "[ab] xab [-] a-b");
    assert_matches("\\u0061\\x62\\x{63}", "abc", "[abc]");
    assert_matches("(a)(b)?", "aba", "[ab][a]");
}

// How many characters a one-character pattern matches, of all there are.
static size_t count_characters(const char *pattern)
{
    lf_regex *regex = compile(pattern);
    lf_regex_scratch *scratch = NULL;
    lf_error err;
    lf_buf text = LF_BUF_INIT;
    size_t n = 0;
    assert_int_equal(lf_regex_scratch_new(&scratch, &err), LF_OK);
    for (uint32_t c = 0; c < 0x110000; c++) {
        char bytes[4];
        if (c < 0xd800 || c >= 0xe000) lf_buf_append(&text, bytes, lf_utf8_put(bytes, c));
    }
    lf_regex_walk walk = {
        .regex = regex, .scratch = scratch, .text = text.data, .length = text.length, .last_end = SIZE_MAX};
    for (;;) {
        bool found;
        size_t begin;
        size_t end;
        assert_int_equal(lf_regex_next(&walk, &found, &begin, &end, &err), LF_OK);
        if (!found) break;
        n++;
    }
    lf_buf_fini(&text);
    lf_regex_free(regex);
    lf_regex_scratch_free(scratch);
    return n;
}

// The counts are those of the reference library 0.23.3 (Oniguruma with Unicode 16) over the same text. Known to differ
// with PCRE2 10.42: \p{Mn} also has U+1171E; \p{Cn} has what is new since Unicode 14; \p{Hiragana} lacks U+1B132;
// \p{Latin} lacks U+A7CB to U+A7CD, U+A7DA to U+A7DC and U+1DF25 to U+1DF2A.
static void classes_have_the_reference_s_sizes(void **state)
{
    assert_int_equal(count_characters("\\s"), 25);
    assert_int_equal(count_characters("\\S"), 0x110000 - 0x800 - 25);
    assert_int_equal(count_characters("\\d"), 760);
    assert_int_equal(count_characters("\\D"), 0x110000 - 0x800 - 760);
    assert_int_equal(count_characters("\\w"), 144671);
    assert_int_equal(count_characters("\\p{L}"), 141028);
    assert_int_equal(count_characters("\\P{L}"), 0x110000 - 0x800 - 141028);
    assert_int_equal(count_characters("\\p{^L}"), 0x110000 - 0x800 - 141028);
    assert_int_equal(count_characters("\\p{Lu}"), 1858);
    assert_int_equal(count_characters("\\p{Ll}"), 2258);
    assert_int_equal(count_characters("\\p{Lo}"), 136477);
    assert_int_equal(count_characters("\\p{N}"), 1911);
    assert_int_equal(count_characters("\\p{So}"), 7376);
    assert_int_equal(count_characters("\\p{Han}"), 99030);
    assert_int_equal(count_characters("[^\\s\\p{L}\\p{N}]"), 969100);
    assert_int_equal(count_characters("(?i:k)"), 3); // k, K, Kelvin
    assert_int_equal(count_characters("(?i:[a-z])"), 54);
}

static void own_classes_agree_with_the_patterns(void **state)
{
    size_t n_space = 0;
    size_t n_number = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000) continue;
        n_space += lf_is_white_space(c);
        n_number += lf_is_number(c);
    }
    assert_int_equal(n_space, 25);
    assert_int_equal(n_number, 1911);
    assert_true(lf_is_word('_') && lf_is_word(0x24b6) && lf_is_word(0x301) && lf_is_word(0x200d));
    assert_false(lf_is_word('-') || lf_is_word(' ') || lf_is_word(0xb2));
    assert_true(lf_is_punctuation('$') && lf_is_punctuation(0x3002) && lf_is_punctuation(0x1b4e));
    assert_false(lf_is_punctuation('a') || lf_is_punctuation(0x20ac));
}

static void refuses_what_the_engines_read_differently(void **state)
{
    static const char *const patterns[] = {
        "",
        "(",
        ")",
        "[a",
        "[]a]",
        "[a[b]]",
        "[[:alpha:]]",
        "[a&&b]",
        "[b-a]",
        "[a-\\s]",
        "[\\s-a]",
        "\\1",
        "\\h",
        "\\R",
        "\\X",
        "\\G",
        "\\K",
        "\\Qa\\E",
        "\\k<a>",
        "\\x80",
        "\\xg",
        "\\u12",
        "\\x{}",
        "\\x{d800}",
        "\\p",
        "\\pL",
        "\\p{}",
        "\\p{L&}",
        "\\p{Any!}",
        "\\p{Nope}",
        "(?i)a",
        "(?m:a)",
        "(?s:a)",
        "(?<n>a)",
        "(?P<n>a)",
        "(?#a)",
        "(?R)",
        "(*ACCEPT)a",
        "a**",
        "a{2}?",
        "a{3,1}",
        "a{1001}",
        "a{x",
        "{1}",
        "*a",
        "(?=a)*",
        "^*",
        "a|*",
        "(?i:ss)",
        "(?i:ffi)",
        "(?i:\xc3\xa9)",
        "(?i:\\p{L})",
        "\\",
        "[\\",
        "[\\W]",
        "[\\h]",
        "\xff",
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(patterns); i++) {
        lf_regex *regex = NULL;
        lf_error err;
        lf_status status = lf_regex_compile(&regex, patterns[i], strlen(patterns[i]), &err);
        if (status != LF_ERR_UNSUPPORTED && status != LF_ERR_FORMAT)
            fail_msg("'%s' gives status %d", patterns[i], status);
        assert_null(regex);
        assert_true(strlen(err.message) > 0);
    }
}

static void limits_size_and_depth(void **state)
{
    lf_regex *regex = NULL;
    lf_error err;
    lf_buf pattern = LF_BUF_INIT;
    for (int i = 0; i < 65; i++) lf_buf_putc(&pattern, '(');
    for (int i = 0; i < 65; i++) lf_buf_putc(&pattern, ')');
    assert_int_equal(lf_regex_compile(&regex, pattern.data, pattern.length, &err), LF_ERR_UNSUPPORTED);
    while (pattern.length <= LF_REGEX_MAX_PATTERN_BYTES) lf_buf_putc(&pattern, 'a');
    assert_int_equal(lf_regex_compile(&regex, pattern.data, pattern.length, &err), LF_ERR_LIMIT);
    assert_int_equal(lf_regex_compile(&regex, "((?:ab){9}c){999}d{9}", 21, &err),
                     LF_ERR_UNSUPPORTED); // too large for PCRE2
    lf_buf_fini(&pattern);
}

// The status of the first search of a pattern in n copies of `unit`.
static lf_status search_many(const char *pattern, const char *unit, size_t n)
{
    lf_regex *regex = compile(pattern);
    lf_regex_scratch *scratch = NULL;
    lf_error err;
    lf_buf text = LF_BUF_INIT;
    bool found;
    size_t begin;
    size_t end;
    for (size_t i = 0; i < n; i++) lf_buf_puts(&text, unit);
    assert_int_equal(lf_regex_scratch_new(&scratch, &err), LF_OK);
    lf_regex_walk walk = {
        .regex = regex, .scratch = scratch, .text = text.data, .length = text.length, .last_end = SIZE_MAX};
    lf_status status = lf_regex_next(&walk, &found, &begin, &end, &err);
    lf_buf_fini(&text);
    lf_regex_free(regex);
    lf_regex_scratch_free(scratch);
    return status;
}

static void hostile_patterns_end(void **state)
{
    double start = cpu_seconds();
    assert_int_equal(search_many("(?:a+)+[bc]", "a", 64), LF_ERR_LIMIT);
    assert_int_equal(search_many("(?:a|aa)+$[xy]", "a", 200), LF_ERR_LIMIT);
    assert_int_equal(search_many("a*a*a*a*a*a*a*[bc]", "a", 1000), LF_ERR_LIMIT);
    assert_int_equal(search_many("(?:(?:a|b|ab)*)*[cd]", "ab", 100), LF_ERR_LIMIT);
    assert_true(cpu_seconds() - start < 30);
}

// Every match stays below the step limit, but there are too many of them.
static void hostile_patterns_with_many_matches_end(void **state)
{
    lf_regex *regex = compile("(?:a+)+[bc]|a|x");
    lf_regex_scratch *scratch = NULL;
    lf_error err;
    lf_buf text = LF_BUF_INIT;
    for (int i = 0; i < 1000; i++) lf_buf_puts(&text, "aaaaaaaaaaaaaaaaaaaaax");
    assert_int_equal(lf_regex_scratch_new(&scratch, &err), LF_OK);
    lf_regex_walk walk = {
        .regex = regex, .scratch = scratch, .text = text.data, .length = text.length, .last_end = SIZE_MAX};
    bool found = true;
    size_t begin;
    size_t end;
    lf_status status = LF_OK;
    while (found && !status) status = lf_regex_next(&walk, &found, &begin, &end, &err);
    assert_int_equal(status, LF_ERR_LIMIT);
    assert_true(begin > 0);
    lf_buf_fini(&text);
    lf_regex_free(regex);
    lf_regex_scratch_free(scratch);
}

// Deep recursion of a harmless pattern must not be refused: the JIT's stack is too small for it, the interpreter's
// memory is not.
static void long_matches_work(void **state)
{
    assert_int_equal(search_many("(?:a|b)+", "ab", 100000), LF_OK);
    assert_int_equal(search_many("\\s+(?!\\S)|\\s+", " ", 1000000), LF_OK);
    assert_int_equal(search_many("\\s*[\\r\\n]+|\\s+", " ", 1000000), LF_OK);
}

int test_regex(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_the_reference_does),
        cmocka_unit_test(classes_have_the_reference_s_sizes),
        cmocka_unit_test(own_classes_agree_with_the_patterns),
        cmocka_unit_test(refuses_what_the_engines_read_differently),
        cmocka_unit_test(limits_size_and_depth),
        cmocka_unit_test(hostile_patterns_end),
        cmocka_unit_test(hostile_patterns_with_many_matches_end),
        cmocka_unit_test(long_matches_work),
    };
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
