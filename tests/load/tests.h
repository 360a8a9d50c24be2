// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_LOAD_H
#define LF_TESTS_LOAD_H

int test_dummy(void);
int test_golden(void);
int test_memory(void);
int test_real(void);

#endif
