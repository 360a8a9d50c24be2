// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the device tests.
#include "tests.h"

#include <math.h>
#include <stdio.h>

uint64_t test_random_bits(test_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float test_random_uniform(test_random *random) { return (float)(test_random_bits(random) >> 40) * 0x1p-24f; }

float test_random_normal(test_random *random)
{
    float sum = -6;
    for (int i = 0; i < 12; i++) sum += test_random_uniform(random);
    return sum;
}

static lf_device *shared;

lf_device *test_device_open(int n_thread)
{
    lf_error err = {0};
    lf_device *device = NULL;
    lf_device_options options = {.n_thread = n_thread, .max_n_tok = 600, .max_vocab = 32768, .max_length = 4096};
    if (lf_device_cpu_open(&device, &options, &err)) fail_msg("%s", err.message);
    return device;
}

lf_device *test_device(void)
{
    if (!shared) shared = test_device_open(2);
    return shared;
}

void test_device_close(void)
{
    if (shared) shared->ops->close(shared);
    shared = NULL;
}

lf_dptr reserve(size_t bytes)
{
    lf_error err = {0};
    lf_dptr p = {0};
    if (test_device()->ops->alloc(test_device(), bytes, &p, &err)) fail_msg("%s", err.message);
    return p;
}

lf_dptr test_copy(const void *src, size_t bytes)
{
    lf_dptr p = reserve(bytes);
    assert_int_equal(test_device()->ops->write(test_device(), p, src, bytes, NULL), LF_OK);
    return p;
}

lf_dptr test_bf16(const float *values, size_t n)
{
    lf_dptr p = reserve(n * sizeof(lf_bf16));
    for (size_t i = 0; i < n; i++) ((lf_bf16 *)p.address)[i] = lf_bf16_from_f32(values[i]);
    return p;
}

lf_dptr test_random_bf16(test_random *random, size_t n, float scale)
{
    lf_dptr p = reserve(n * sizeof(lf_bf16));
    for (size_t i = 0; i < n; i++) ((lf_bf16 *)p.address)[i] = lf_bf16_from_f32(scale * test_random_normal(random));
    return p;
}

void release(lf_dptr p) { test_device()->ops->free(test_device(), p); }

lf_weight *test_weight(const lf_bf16 *rows, size_t n_row, size_t n_col)
{
    lf_error err = {0};
    lf_weight *weight = NULL;
    if (test_device()->ops->weight_create(test_device(), (int64_t)n_row, (int64_t)n_col, &weight, &err)) {
        fail_msg("%s", err.message);
    }
    test_device()->ops->weight_fill(weight, 0, (int64_t)n_row, 0, (int64_t)n_col, rows, n_col);
    return weight;
}

void test_assert_close(float a, float b, float ulps, float absolute, const char *what, size_t index)
{
    float larger = fmaxf(fabsf(a), fabsf(b));
    if (fabsf(a - b) <= absolute || fabsf(a - b) <= ulps * larger / 128) return;
    fail_msg("%s[%zu]: %.9g against %.9g", what, index, (double)a, (double)b);
}
