// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_BASE_H
#define LF_TESTS_BASE_H

int test_buf(void);
int test_num(void);
int test_num_kernels(void);
int test_file(void);
int test_finding(void);
int test_json(void);
int test_misc(void);
int test_scan(void);
int test_status(void);

#endif
