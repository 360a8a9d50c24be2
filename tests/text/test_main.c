// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of text; the exit status counts failed tests.
#include "tests.h"

int main(void)
{
    int failed = 0;
    failed += test_utf8();
    failed += test_regex();
    failed += test_normal_form();
    failed += test_pretok();
    failed += test_bpe();
    failed += test_tokenizer();
    failed += test_tokenizer_faults();
    failed += test_tokenizer_hostile();
    failed += test_tokenizer_files();
    failed += test_tokenizer_config();
    failed += test_text_check();
    failed += test_detok();
    failed += test_chat_template();
    failed += test_jinja_errors();
    failed += test_jinja_faults();
    failed += test_jinja_goldens();
    failed += test_jinja_limits();
    return failed ? 1 : 0;
}
