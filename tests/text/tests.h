// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_TEXT_H
#define LF_TESTS_TEXT_H

int test_bpe(void);
int test_chat_template(void);
int test_detok(void);
int test_jinja_errors(void);
int test_jinja_faults(void);
int test_jinja_goldens(void);
int test_jinja_limits(void);
int test_normal_form(void);
int test_pretok(void);
int test_regex(void);
int test_tokenizer(void);
int test_tokenizer_config(void);
int test_tokenizer_faults(void);
int test_tokenizer_files(void);
int test_tokenizer_hostile(void);
int test_text_check(void);
int test_utf8(void);

#endif
