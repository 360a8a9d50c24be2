// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out at any point of opening, encoding and decoding: the status says so and nothing leaks (jansson
// and PCRE2 are shared libraries and keep their own).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "helpers.h"
#include "tests.h"

// Opens, encodes a long and a short word around an added token, decodes.
static lf_status use(const lf_buf *json, const lf_buf *text)
{
    lf_tokenizer *tokenizer = NULL;
    lf_ids ids = LF_IDS_INIT;
    lf_buf decoded = LF_BUF_INIT;
    lf_error err;
    lf_status status = lf_tokenizer_open_memory(&tokenizer, json->data, json->length, &err);
    if (!status) status = lf_tokenizer_encode(tokenizer, text->data, text->length, 3, &ids, &err);
    if (!status) status = lf_tokenizer_decode(tokenizer, ids.data, ids.count, false, &decoded, &err);
    lf_tokenizer_close(tokenizer);
    lf_ids_fini(&ids);
    lf_buf_fini(&decoded);
    return status;
}

static void every_failed_allocation_is_reported(void **state)
{
    lf_buf json = LF_BUF_INIT;
    lf_buf text = LF_BUF_INIT;
    make_json(&json,
              &(parts){
                  .added_tokens = "{\"id\":257,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":"
                                  "false,\"normalized\":true,\"special\":true}",
                  .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Replace\","
                                "\"pattern\":{\"String\":\"x\"},\"content\":\"yy\"}]}",
                  .pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true}",
                  .vocab = "\"ab\":256",
                  .merges = "[\"a\",\"\\u0062\"]",
              });
    lf_buf_puts(&text, "e\xcc\x81x ab<s>");
    for (int i = 0; i < 100; i++) lf_buf_puts(&text, "ab");
    assert_int_equal(use(&json, &text), LF_OK);
    long n_failure = 0, n_overcome = 0;
    for (long at = 0;; at++) {
        long live = memory_n_live();
        memory_fail_at(at);
        lf_status status = use(&json, &text);
        bool has_failed = memory_stop_failing();
        assert_int_equal(memory_n_live(), live);
        if (!has_failed) break;
        if (!status)
            n_overcome++;
        else
            assert_int_equal(status, LF_ERR_NO_MEMORY);
        n_failure++;
    }
    print_message("failed each of %ld allocations\n", n_failure);
    assert_true(n_failure > 40);
    assert_int_equal(n_overcome, 1); // the document is parsed again
    lf_buf_fini(&json);
    lf_buf_fini(&text);
}

int test_tokenizer_faults(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("tokenizer faults", tests, NULL, NULL);
}
