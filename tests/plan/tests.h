// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_PLAN_H
#define LF_TESTS_PLAN_H

int test_census(void);
int test_cover(void);
int test_heads(void);
int test_slice(void);
int test_split_check(void);

#endif
