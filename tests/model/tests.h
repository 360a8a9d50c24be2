// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_MODEL_H
#define LF_TESTS_MODEL_H

int test_check(void);
int test_config(void);
int test_config_rope(void);
int test_deepseek(void);
int test_outline(void);
int test_overrides(void);
int test_preflight(void);
int test_rope(void);
int test_table(void);

#endif
