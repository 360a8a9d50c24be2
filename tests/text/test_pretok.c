// SPDX-License-Identifier: Apache-2.0
//
// Pre-tokenizers: the five behaviours, straight and inverted, characters, prefix spaces, and steps behind the
// byte-level mapping.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"
#include "text/pretok.h"

// The pieces that a pre-tokenizer makes of a text, joined by "|".
static void assert_pieces(const char *json, const char *text, const char *expected)
{
    lf_pretok pretok;
    lf_regex_scratch *scratch = NULL;
    lf_error err;
    lf_pieces pieces[2] = {{.text = text}, {.text = NULL}};
    const lf_pieces *result;
    json_t *root = json_loads(json, 0, NULL);
    assert_non_null(root);
    if (lf_pretok_init(&pretok, root, &err)) fail_msg("%s: %s", json, err.message);
    assert_int_equal(lf_regex_scratch_new(&scratch, &err), LF_OK);
    assert_int_equal(lf_pieces_add(&pieces[0], 0, strlen(text), LF_PIECE_TEXT, &err), LF_OK);
    assert_int_equal(lf_pretok_run(&pretok, scratch, false, pieces, &result, &err), LF_OK);
    lf_buf found = LF_BUF_INIT;
    for (size_t i = 0; i < result->count; i++) {
        lf_piece piece = result->items[i];
        lf_buf_printf(&found, "%s%.*s", i ? "|" : "", (int)(piece.end - piece.begin), result->text + piece.begin);
    }
    if (strcmp(lf_buf_text(&found), expected) != 0) fail_msg("%s: '%s'", json, lf_buf_text(&found));
    lf_buf_fini(&found);
    lf_pieces_fini(&pieces[0]);
    lf_pieces_fini(&pieces[1]);
    lf_regex_scratch_free(scratch);
    lf_pretok_fini(&pretok);
    json_decref(root);
}

static void assert_split(const char *pattern, const char *behavior, const char *text, const char *straight,
                         const char *inverted)
{
    for (int invert = 0; invert < 2; invert++) {
        char json[256];
        snprintf(json, sizeof json, "{\"type\":\"Split\",\"pattern\":%s,\"behavior\":\"%s\",\"invert\":%s}", pattern,
                 behavior, invert ? "true" : "false");
        assert_pieces(json, text, invert ? inverted : straight);
    }
}

// Expected by the reference library 0.23.3.
static void splits_in_five_ways(void **state)
{
    const char *text = "a--b-c-";
    assert_split("{\"String\":\"-\"}", "Removed", text, "a|b|c", "-|-|-|-");
    assert_split("{\"String\":\"-\"}", "Isolated", text, "a|-|-|b|-|c|-", "a|-|-|b|-|c|-");
    assert_split("{\"String\":\"-\"}", "Contiguous", text, "a|--|b|-|c|-", "a|--|b|-|c|-");
    assert_split("{\"String\":\"-\"}", "MergedWithPrevious", text, "a-|-|b-|c-", "a|-|-b|-c|-");
    assert_split("{\"String\":\"-\"}", "MergedWithNext", text, "a|-|-b|-c|-", "a-|-|b-|c-");
    assert_split("{\"Regex\":\"-+\"}", "Isolated", text, "a|--|b|-|c|-", "a|--|b|-|c|-");
    assert_split("{\"Regex\":\"-+\"}", "MergedWithNext", text, "a|--b|-c|-", "a--|b-|c-");
}

static void a_string_is_not_a_regular_expression(void **state)
{
    assert_split("{\"String\":\".\"}", "Removed", "a.b", "a|b", ".");
    assert_split("{\"String\":\"(\"}", "Isolated", "(a(", "(|a|(", "(|a|(");
}

static void cuts_at_kinds_of_characters(void **state)
{
    assert_pieces("{\"type\":\"Digits\",\"individual_digits\":true}", "a12\u00b2b", "a|1|2|\u00b2|b");
    assert_pieces("{\"type\":\"Digits\",\"individual_digits\":false}", "a12\u00b2b", "a|12\u00b2|b");
    assert_pieces("{\"type\":\"Punctuation\"}", "Hey!? you", "Hey|!|?| you");
    assert_pieces("{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}", "Hey!? you", "Hey|!?| you");
    assert_pieces("{\"type\":\"WhitespaceSplit\"}", " a\u3000b \n", "a|b");
    assert_pieces("{\"type\":\"WhitespaceSplit\"}", " \n", "");
}

#define BYTE_LEVEL(prefix, regex)                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"trim_offsets\":true,\"use_regex\":" regex "}"

static void maps_bytes_to_characters(void **state)
{
    assert_pieces(BYTE_LEVEL("false", "true"), "It's  \u00e9 42", "It|'s|\u0120|\u0120\u00c3\u00a9|\u012042");
    assert_pieces(BYTE_LEVEL("true", "false"), "a b", "\u0120a\u0120b");
    assert_pieces(BYTE_LEVEL("true", "false"), " a", "\u0120a");
    assert_pieces("{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}", "a b", "a|\u0120b");
}

// The text moves from step to step: prefix spaces are put before every piece, and steps after the mapping see its
// characters.
static void sequences_pass_the_text_on(void **state)
{
    assert_pieces(
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL(
            "true", "false") ",{\"type\":\"Split\",\"pattern\":{\"String\":\"\u0120\"},\"behavior\":"
                             "\"MergedWithNext\",\"invert\":false}]}",
        "a b1c", "\u0120a|\u0120b|\u01201|\u0120c");
    assert_pieces("{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL("false", "false") "," BYTE_LEVEL(
                      "true", "false") ",{\"type\":\"WhitespaceSplit\"}," BYTE_LEVEL("true", "false") "]}",
                  " ", "\u0120\u00c4\u0142\u00c3\u0126\u00c5\u0124");
}

int test_pretok(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_in_five_ways),         cmocka_unit_test(a_string_is_not_a_regular_expression),
        cmocka_unit_test(cuts_at_kinds_of_characters), cmocka_unit_test(maps_bytes_to_characters),
        cmocka_unit_test(sequences_pass_the_text_on),
    };
    return cmocka_run_group_tests_name("pretok", tests, NULL, NULL);
}
