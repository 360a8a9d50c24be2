// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_SERVER_TESTS_H
#define LF_TESTS_SERVER_TESTS_H

int test_stop(void);
int test_request(void);
int test_refusals(void);
int test_answers(void);
int test_stream(void);
int test_http(void);
int test_life(void);
int test_faults(void);

#endif
