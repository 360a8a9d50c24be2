// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests, and what they share: a random sequence, a device, buffers that hold host values.
#ifndef LF_TESTS_DEVICE_H
#define LF_TESTS_DEVICE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"

int test_attention(void);
int test_experts(void);
int test_head_product(void);
int test_kernels(void);
int test_linear(void);
int test_logprob(void);
int test_memory(void);
int test_route(void);
int test_rowwise(void);
int test_sample(void);
int test_shared(void);

// A deterministic sequence (splitmix64).
typedef struct test_random {
    uint64_t state;
} test_random;
uint64_t test_random_bits(test_random *random);
float test_random_uniform(test_random *random); // [0, 1)
float test_random_normal(test_random *random);

// The device that the tests share: 2 threads, 512 tokens, 32768 ids, contexts of 4096.
lf_device *test_device(void);
// A device of its own, to be closed.
lf_device *test_device_open(int n_thread);
void test_device_close(void);

// Device buffers; freed with release.
lf_dptr reserve(size_t bytes);
lf_dptr test_copy(const void *src, size_t bytes);
lf_dptr test_bf16(const float *values, size_t n); // rounded
lf_dptr test_random_bf16(test_random *random, size_t n, float scale);
void release(lf_dptr p);
lf_weight *test_weight(const lf_bf16 *rows, size_t n_row, size_t n_col);

// |a - b| within `ulps` units of bfloat16 at the size of the larger, or within `absolute`.
void test_assert_close(float a, float b, float ulps, float absolute, const char *what, size_t index);

#endif
