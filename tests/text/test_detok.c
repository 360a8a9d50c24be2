// SPDX-License-Identifier: Apache-2.0
//
// Decoding: partial characters wait, invalid bytes become U+FFFD, special tokens are skipped, byte fallback in runs.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helpers.h"
#include "tests.h"

#define SPECIAL_TOKEN                                                                                                  \
    "{\"id\":256,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"    \
    "\"special\":true}"

// Pushes one id and asserts the piece that comes out.
static void assert_piece(lf_detokenizer *detokenizer, int32_t id, const char *expected)
{
    lf_buf out = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_detokenizer_push(detokenizer, id, &out, &err), LF_OK);
    assert_string_equal(lf_buf_text(&out), expected);
    lf_buf_fini(&out);
}

static void assert_flush(lf_detokenizer *detokenizer, const char *expected)
{
    lf_buf out = LF_BUF_INIT;
    lf_error err;
    assert_int_equal(lf_detokenizer_flush(detokenizer, &out, &err), LF_OK);
    assert_string_equal(lf_buf_text(&out), expected);
    lf_buf_fini(&out);
}

static void characters_come_out_whole(void **state)
{
    parts from = {.added_tokens = SPECIAL_TOKEN};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    lf_detokenizer detokenizer;
    lf_detokenizer_init(&detokenizer, tokenizer, true);
    assert_piece(&detokenizer, 'a', "a");
    assert_piece(&detokenizer, 0xf0, "");
    assert_piece(&detokenizer, 0x9f, "");
    assert_piece(&detokenizer, 256, ""); // skipped: it does not interrupt the character
    assert_piece(&detokenizer, 0x98, "");
    assert_piece(&detokenizer, 0x80, "\xf0\x9f\x98\x80");
    assert_piece(&detokenizer, 0xe2, "");
    assert_piece(&detokenizer, 'b',
                 "\xef\xbf\xbd"
                 "b");
    assert_piece(&detokenizer, 0x80, "\xef\xbf\xbd");
    assert_piece(&detokenizer, -1, "");
    assert_piece(&detokenizer, 257, "");
    assert_piece(&detokenizer, 0xc3, "");
    assert_flush(&detokenizer, "\xef\xbf\xbd");
    assert_piece(&detokenizer, 0xa9, "\xef\xbf\xbd"); // as new: nothing is held from before
    assert_flush(&detokenizer, "");
    lf_detokenizer_fini(&detokenizer);
    lf_detokenizer_init(&detokenizer, tokenizer, false);
    assert_piece(&detokenizer, 0xe2, "");
    assert_piece(&detokenizer, 256, "\xef\xbf\xbd<s>");
    lf_detokenizer_fini(&detokenizer);
    lf_tokenizer_close(tokenizer);
}

// What a conversion from SentencePiece has: a run of byte tokens is text only as a whole; one space is dropped at the
// start.
static void byte_fallback_decides_by_runs(void **state)
{
    static const char decoder[] =
        "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" \"},"
        "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" "
        "\",\"start\":1,\"stop\":0}]}";
    parts from = {.pre_tokenizer = "null",
                  .decoder = decoder,
                  .vocab = "\"__a\":300,\"<0xC3>\":301,\"<0xa9>\":302,\"<0x20>\":303,\"<0xGG>\":304"};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    lf_detokenizer detokenizer;
    lf_detokenizer_init(&detokenizer, tokenizer, false);
    assert_piece(&detokenizer, 300, " a"); // the first of two spaces is dropped
    assert_piece(&detokenizer, 300, "  a");
    assert_piece(&detokenizer, 301, "");
    assert_piece(&detokenizer, 302, "");
    assert_piece(&detokenizer, 304, "\xc3\xa9<0xGG>");
    assert_piece(&detokenizer, 301, "");
    assert_piece(&detokenizer, 302, "");
    assert_piece(&detokenizer, 302, "");
    assert_piece(&detokenizer, 'x', "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx");
    assert_piece(&detokenizer, 301, "");
    assert_flush(&detokenizer, "\xef\xbf\xbd");
    assert_piece(&detokenizer, 303, "");
    assert_piece(&detokenizer, 303, "");
    assert_flush(&detokenizer, " ");
    lf_detokenizer_fini(&detokenizer);
    lf_tokenizer_close(tokenizer);
}

int test_detok(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_come_out_whole),
        cmocka_unit_test(byte_fallback_decides_by_runs),
    };
    return cmocka_run_group_tests_name("detok", tests, NULL, NULL);
}
