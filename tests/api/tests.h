// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests: each file offers one, test_main.c runs them all. They use landfall.h as any other
// program does.
#ifndef LF_TESTS_API_H
#define LF_TESTS_API_H

int test_conversion(void);
int test_faults(void);
int test_model(void);
int test_program(void);

// The bundled checkpoint: 92 tensors in two shards, FP8 in blocks.
const char *bundled(void);
// A golden checkpoint: its directory in a static buffer.
const char *golden(const char *name);

#endif
