// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all.
#ifndef LF_TESTS_ENGINE_H
#define LF_TESTS_ENGINE_H

int test_batch(void);
int test_faults(void);
int test_golden(void);
int test_kv(void);
int test_latent(void);
int test_open(void);
int test_requests(void);
int test_sample(void);
int test_sched(void);
int test_threads(void);
int test_trace(void);

#endif
