// SPDX-License-Identifier: Apache-2.0
//
// Encoding beyond merges: added tokens and their settings, special tokens, normalizers, unknown characters, templates,
// bad text.
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

#define TOKEN(id, content, flags) "{\"id\":" #id ",\"content\":\"" content "\"," flags "}"
#define FLAGS(single_word, lstrip, rstrip, normalized, special)                                                        \
    "\"single_word\":" #single_word ",\"lstrip\":" #lstrip ",\"rstrip\":" #rstrip ",\"normalized\":" #normalized       \
    ",\"special\":" #special
#define PLAIN FLAGS(false, false, false, false, false)
#define SPECIAL FLAGS(false, false, false, false, true)

static void the_longest_added_token_wins(void **state)
{
    parts from = {.added_tokens = TOKEN(256, "<a>", PLAIN) "," TOKEN(257, "<a>b", PLAIN) "," TOKEN(258, "a>", PLAIN)};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_int_equal(lf_tokenizer_vocab_size(tokenizer), 259);
    assert_ids(tokenizer, 0, "", NO_IDS);
    assert_ids(tokenizer, 0, "<a>", IDS(256));
    assert_ids(tokenizer, 0, "<a>b<a>cxa>", IDS(257, 256, 'c', 'x', 258));
    assert_ids(tokenizer, 0, "<a", IDS('<', 'a'));
    assert_ids(tokenizer, 0, "<<a><a>>", IDS('<', 256, 256, '>'));
    lf_tokenizer_close(tokenizer);
}

static void special_tokens_are_text_unless_parsed(void **state)
{
    parts from = {.added_tokens = TOKEN(256, "<s>", SPECIAL) "," TOKEN(257, "<t>", PLAIN) "," TOKEN(258, "s>", PLAIN)};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, LF_ENCODE_PARSE_SPECIAL, "a<s>b<t>", IDS('a', 256, 'b', 257));
    // A special token that is not parsed still hides the shorter token inside it.
    assert_ids(tokenizer, 0, "a<s>b<t>s>", IDS('a', '<', 's', '>', 'b', 257, 258));
    lf_tokenizer_close(tokenizer);
}

static void added_tokens_take_white_space_and_mind_words(void **state)
{
    parts from = {.added_tokens = TOKEN(256, "LL", FLAGS(false, true, false, false, false)) "," //
                  TOKEN(257, "RR", FLAGS(false, false, true, false, false)) ","                 //
                  TOKEN(258, "WW", FLAGS(true, false, false, false, false))};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "a \xe3\x80\x80LL b", IDS('a', 256, ' ', 'b'));
    assert_ids(tokenizer, 0, "a RR \n b", IDS('a', ' ', 257, 'b'));
    assert_ids(tokenizer, 0, "RR LL", IDS(257, 256)); // the space is taken once
    assert_ids(tokenizer, 0, "WW", IDS(258));
    assert_ids(tokenizer, 0, "-WW WW.", IDS('-', 258, ' ', 258, '.'));
    assert_ids(tokenizer, 0, "aWW WWb WW_", IDS('a', 'W', 'W', ' ', 'W', 'W', 'b', ' ', 'W', 'W', '_'));
    assert_ids(tokenizer, 0, "\xc3\xa9WW", IDS(0xc3, 0xa9, 'W', 'W'));
    lf_tokenizer_close(tokenizer);
}

static void normalized_tokens_are_found_in_normalized_text(void **state)
{
    // U+212B is normalized to U+00C5.
    parts from = {.normalizer = "{\"type\":\"NFC\"}",
                  .added_tokens = TOKEN(256, "\xe2\x84\xab", FLAGS(false, false, false, true, false)) "," //
                  TOKEN(257, "\xe2\x84\xab!", PLAIN)};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "x\xc3\x85", IDS('x', 256));
    assert_ids(tokenizer, 0, "A\xcc\x8a", IDS(256));
    assert_ids(tokenizer, 0, "\xe2\x84\xab!", IDS(257)); // not normalized: found before
    assert_ids(tokenizer, 0, "\xc3\x85!", IDS(256, '!'));
    lf_buf text = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_tokenizer_decode(tokenizer, IDS(256), 1, false, &text, &err), LF_OK);
    // The decoder takes the normalized form, U+00C5, for the byte-level character of the byte C5. So does the
    // reference.
    assert_string_equal(lf_buf_text(&text), "\xef\xbf\xbd");
    lf_buf_fini(&text);
    lf_tokenizer_close(tokenizer);
}

static void normalizers_run_in_order(void **state)
{
    parts from = {.normalizer =
                      "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"b\"},"
                      "\"content\":\"xx\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"y\"},"
                      "{\"type\":\"Prepend\",\"prepend\":\">\"}]}"};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "abxc", IDS('>', 'a', 'y', 'c'));
    assert_ids(tokenizer, 0, "", NO_IDS);
    lf_tokenizer_close(tokenizer);
}

// Characters, not bytes: a tokenizer without the byte-level mapping.
static void unknown_characters(void **state)
{
    static const char fallback[] = "\"?\\u0000\":256,\"<0xE2>\":257,\"<0x82>\":258,\"<0xAC>\":259,\"<unk>\":260";
    parts from = {.pre_tokenizer = "null", .decoder = "{\"type\":\"Fuse\"}", .vocab = fallback};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "a\xe6\xbc\xa2\xe2\x82\xac\x62", IDS('a', 'b')); // nothing stands for them
    lf_tokenizer_close(tokenizer);
    from.settings = ",\"unk_token\":\"<unk>\",\"byte_fallback\":true";
    tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "a\xe6\xbc\xa2\xe6\xbc\xa2", IDS('a', 260, 260));
    assert_ids(tokenizer, 0, "\xe2\x82\xac", IDS(257, 258, 259));
    assert_ids(tokenizer, 0, "\xe6\xbc\xa2\xe2\x82\xac\x62",
               IDS(257, 258, 259, 260, 'b')); // as the reference orders them
    lf_tokenizer_close(tokenizer);
    from.settings = ",\"unk_token\":\"<unk>\",\"fuse_unk\":true";
    tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "\xe6\xbc\xa2\xe6\xbc\xa2\x61\xe6\xbc\xa2", IDS(260, 'a', 260));
    lf_tokenizer_close(tokenizer);
    from.settings = ",\"unk_token\":\"<none>\"";
    tokenizer = make_tokenizer(&from);
    lf_ids ids = LF_IDS_INIT;
    lf_error err;
    assert_ids(tokenizer, 0, "ab", IDS('a', 'b'));
    assert_int_equal(lf_tokenizer_encode(tokenizer, "\xe6\xbc\xa2", 3, 0, &ids, &err), LF_ERR_FORMAT);
    lf_ids_fini(&ids);
    lf_tokenizer_close(tokenizer);
}

static void templates_put_tokens_around_a_prompt(void **state)
{
    parts from = {.added_tokens = TOKEN(256, "<bos>", SPECIAL) "," TOKEN(257, "<eos>", SPECIAL),
                  .post_processor = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\",\"add_prefix_"
                                    "space\":true,\"trim_offsets\":false,"
                                    "\"use_regex\":true},{\"type\":\"TemplateProcessing\",\"single\":[{"
                                    "\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":0}},"
                                    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"end\","
                                    "\"type_id\":0}}],\"pair\":[],"
                                    "\"special_tokens\":{\"<bos>\":{\"id\":\"<bos>\",\"ids\":[256],\"tokens\":[\"<bos>"
                                    "\"]},\"end\":{\"id\":\"end\","
                                    "\"ids\":[257,10],\"tokens\":[\"<eos>\",\"x\"]}}}]}"};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "a", IDS('a'));
    assert_ids(tokenizer, LF_ENCODE_ADD_SPECIAL, "a", IDS(256, 'a', 257, 10));
    assert_ids(tokenizer, LF_ENCODE_ADD_SPECIAL, "", IDS(256, 257, 10));
    assert_ids(tokenizer, LF_ENCODE_ADD_SPECIAL | LF_ENCODE_PARSE_SPECIAL, "<bos>", IDS(256, 256, 257, 10));
    lf_tokenizer_close(tokenizer);
}

static void text_may_hold_nul_but_must_be_utf8(void **state)
{
    lf_tokenizer *tokenizer = make_tokenizer(&(parts){.vocab = NULL});
    lf_ids ids = LF_IDS_INIT;
    lf_error err;
    assert_int_equal(lf_tokenizer_encode(tokenizer, "a\0b", 3, 0, &ids, &err), LF_OK);
    assert_int_equal(ids.count, 3);
    assert_int_equal(ids.data[1], 0);
    assert_int_equal(lf_tokenizer_encode(tokenizer, "ab\xc3", 3, 0, &ids, &err), LF_ERR_FORMAT);
    assert_non_null(strstr(err.message, "byte 2"));
    assert_int_equal(lf_tokenizer_encode(tokenizer, "", LF_TOKENIZER_MAX_TEXT_BYTES + 1, 0, &ids, &err), LF_ERR_LIMIT);
    lf_ids_fini(&ids);
    lf_tokenizer_close(tokenizer);
}

static void tells_about_tokens(void **state)
{
    parts from = {.vocab = "\"\\u0120a\":300", .added_tokens = TOKEN(257, "<s>", SPECIAL)};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    lf_token_info info;
    assert_int_equal(lf_tokenizer_vocab_size(tokenizer), 301);
    assert_int_equal(lf_tokenizer_id(tokenizer, "\u0120a", 3), 300);
    assert_int_equal(lf_tokenizer_id(tokenizer, " a", 2), -1);
    assert_int_equal(lf_tokenizer_id(tokenizer, "<s>", 3), 257);
    assert_true(lf_tokenizer_token(tokenizer, 300, &info));
    assert_int_equal(info.content_length, 3);
    assert_int_equal(info.bytes_length, 2);
    assert_memory_equal(info.bytes, " a", 2);
    assert_false(info.is_special || info.is_added);
    assert_true(lf_tokenizer_token(tokenizer, 257, &info));
    assert_true(info.is_special && info.is_added);
    assert_true(lf_tokenizer_token(tokenizer, 0xe2, &info));
    assert_int_equal((uint8_t)info.bytes[0], 0xe2);
    assert_false(lf_tokenizer_token(tokenizer, 299, &info));
    assert_false(lf_tokenizer_token(tokenizer, 301, &info));
    assert_false(lf_tokenizer_token(tokenizer, -1, &info));
    lf_buf text = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_tokenizer_token_text(tokenizer, 0xe2, &text, &err), LF_OK);
    assert_int_equal(lf_tokenizer_token_text(tokenizer, 257, &text, &err), LF_OK);
    assert_int_equal(lf_tokenizer_token_text(tokenizer, 299, &text, &err), LF_OK);
    assert_string_equal(lf_buf_text(&text), "\xef\xbf\xbd<s>");
    lf_buf_fini(&text);
    lf_tokenizer_close(tokenizer);
    lf_tokenizer_close(NULL);
}

int test_tokenizer(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_added_token_wins),
        cmocka_unit_test(special_tokens_are_text_unless_parsed),
        cmocka_unit_test(added_tokens_take_white_space_and_mind_words),
        cmocka_unit_test(normalized_tokens_are_found_in_normalized_text),
        cmocka_unit_test(normalizers_run_in_order),
        cmocka_unit_test(unknown_characters),
        cmocka_unit_test(templates_put_tokens_around_a_prompt),
        cmocka_unit_test(text_may_hold_nul_but_must_be_utf8),
        cmocka_unit_test(tells_about_tokens),
    };
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
