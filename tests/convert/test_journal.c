// SPDX-License-Identifier: Apache-2.0
//
// The journal: what is written is read again, and nothing else is believed.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char good[] = "{\"format\":\"landfall-convert\",\"version\":1,\"state\":\"running\",\"source\":\"" DIGEST
                           "\",\"stamp\":\"" DIGEST "\",\"plan\":\"" DIGEST
                           "\",\"dequant_rounding\":\"exact\",\"shard_size\":5,\"shards\":[{\"name\":\"m.safetensors\","
                           "\"bytes\":7,\"sha256\":null,\"modified_ns\":3}]}";

static void reads_a_good_one(void **state)
{
    lf__journal journal;
    lf_error err = {0};
    assert_int_equal(lf__journal_parse(&journal, good, strlen(good), &err), LF_OK);
    assert_false(journal.is_complete);
    assert_string_equal(journal.source, DIGEST);
    assert_int_equal(journal.shard_size, 5);
    assert_int_equal(journal.n_shard, 1);
    assert_string_equal(journal.shards[0].name, "m.safetensors");
    assert_int_equal(journal.shards[0].bytes, 7);
    assert_int_equal(journal.shards[0].modified_ns, 3);
    assert_string_equal(journal.shards[0].sha256, "");
    lf__journal_fini(&journal);
}

static void refuses_all_else(void **state)
{
    static const char *const edits[][2] = {
        {"landfall-convert", "landfall"},
        {"\"version\":1", "\"version\":2"},
        {"\"version\":1", "\"version\":\"1\""},
        {"running", "walking"},
        {"running", "complete"}, // without a list of files
        {"\"source\":\"01", "\"source\":\"0"},
        {"\"source\":\"01", "\"source\":\"0X"},
        {"\"stamp\"", "\"stomp\""},
        {"\"plan\":\"0", "\"plan\":\"00"},
        {"\"exact\"", "\"far too long for a rounding\""},
        {"\"exact\"", "1"},
        {"\"shard_size\":5", "\"shard_size\":-5"},
        {"\"shard_size\":5", "\"shard_size\":5.5"},
        {"[{", "[1,{"},
        {"\"shards\":[", "\"shards\":{\"a\":["},
        {"\"bytes\":7", "\"bytes\":-7"},
        {"\"sha256\":null", "\"sha256\":\"abc\""},
        {"\"sha256\":null", "\"sha256\":0"},
        {"m.safetensors", "m\\u0000.safetensors"},
        {"{\"format\"", "[{\"format\""},
        {"\"version\":1", "\"version\":1,\"version\":1"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(edits); i++) {
        char text[1024];
        const char *at = strstr(good, edits[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, edits[i][1], at + strlen(edits[i][0]));
        lf__journal journal;
        lf_error err = {0};
        if (lf__journal_parse(&journal, text, strlen(text), &err) != LF_ERR_FORMAT) fail_msg("accepted: %s", text);
        assert_string_equal(err.subject, LF_CONVERT_MANIFEST);
    }
}

int test_journal(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_good_one),
        cmocka_unit_test(refuses_all_else),
    };
    return cmocka_run_group_tests_name("convert journal", tests, NULL, NULL);
}
