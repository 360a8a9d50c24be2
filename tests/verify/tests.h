// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests.
#ifndef LF_TESTS_VERIFY_H
#define LF_TESTS_VERIFY_H

#include <jansson.h>

int test_compare(void);
int test_probes(void);
int test_report(void);
int test_signoff(void);
int test_single_rank(void);

// A list in which every step of the bring-up has passed, images and probes included. Owned by the caller.
json_t *all_steps_passed(void);
// Changes one step's status.
void set_step(json_t *steps, const char *id, const char *status);

#endif
