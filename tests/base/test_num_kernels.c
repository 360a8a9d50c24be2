// SPDX-License-Identifier: Apache-2.0
//
// Every array kernel of every instruction set this processor has, bit for bit against the portable one: all codes,
// scales from subnormal to NaN, every tail length, unaligned pointers, and nothing written past the end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/num_int.h"
#include "tests.h"

enum { N_CODE = 256, MAX_TAIL = 2 * 64 + 1 };

static const lf_dtype formats[] = {LF_DTYPE_F8_E4M3, LF_DTYPE_F8_E5M2, LF_DTYPE_F8_E4M3FNUZ, LF_DTYPE_F8_E5M2FNUZ};

typedef void kernel_test(const lf__num_kernels *kernels);

static void for_each_isa(kernel_test *test)
{
#if defined(__x86_64__)
    if (lf_cpu_isa_best() >= LF_CPU_ISA_AVX2) test(&lf__num_kernels__avx2);
    if (lf_cpu_isa_best() >= LF_CPU_ISA_AVX512) test(&lf__num_kernels__avx512);
#endif
    test(&lf__num_kernels__ref);
}

static uint64_t next_random(uint64_t *state) // xorshift64*
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

static void compare_all_codes(const lf__num_kernels *kernels, const uint8_t *codes, uint32_t scale_bits)
{
    lf_bf16 expected[N_CODE], got[N_CODE];
    for (size_t k = 0; k < LF_ARRAY_LENGTH(formats); k++) {
        float scale = lf_f32_from_bits(scale_bits);
        size_t n_nan = 0;
        for (size_t i = 0; i < N_CODE; i++) n_nan += lf_fp8_is_nan(formats[k], codes[i]);
        assert_int_equal(lf__num_kernels__ref.dequant_fp8_bf16(expected, codes, N_CODE, scale, formats[k]), n_nan);
        assert_int_equal(kernels->dequant_fp8_bf16(got, codes, N_CODE, scale, formats[k]), n_nan);
        if (memcmp(expected, got, sizeof got) == 0) continue;
        for (size_t i = 0; i < N_CODE; i++) {
            if (expected[i] != got[i]) {
                fail_msg("%s code 0x%02x scale 0x%08x: expected 0x%04x, got 0x%04x", lf_dtype_name(formats[k]),
                         codes[i], scale_bits, expected[i], got[i]);
            }
        }
    }
}

static void compare_scales(const lf__num_kernels *kernels)
{
    // In order (runs of special codes take the slow path) and one ordering without special codes beside regular ones.
    uint8_t in_order[N_CODE], regular[N_CODE];
    for (int i = 0; i < N_CODE; i++) {
        in_order[i] = (uint8_t)i;
        regular[i] = (uint8_t)((i & 0x7f) >= 0x7c || i == 0x80 ? 0x38 : i);
    }
    const uint32_t special[] = {0,          0x80000000, 1,          0x007fffff, 0x00400000,
                                0x7f7fffff, 0x7f800000, 0xff800000, 0x7f800001, 0x7fc00000,
                                0xffc00000, 0xbf800000, 0x3f800000, 0x7f000000, 0x00800000};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(special); i++) {
        compare_all_codes(kernels, in_order, special[i]);
        compare_all_codes(kernels, regular, special[i]);
    }
    uint64_t state = 42;
    for (uint32_t exponent = 0; exponent <= 255; exponent++) { // every binade: all borders of the fast path
        for (int i = 0; i < 12; i++) {
            uint32_t mantissa = (uint32_t)next_random(&state) & 0x7fffff;
            if (i == 0) mantissa = 0;
            if (i == 1) mantissa = 0x7fffff;
            if (i == 2) mantissa &= 0x7f0000; // a bf16 scale
            compare_all_codes(kernels, i % 2 ? in_order : regular, exponent << 23 | mantissa);
        }
    }
}

static void dequantizes_like_ref(void **state) { for_each_isa(compare_scales); }

static void compare_tails(const lf__num_kernels *kernels)
{
    uint8_t codes[MAX_TAIL + 1];
    uint64_t random = 7;
    for (size_t i = 0; i < sizeof codes; i++) codes[i] = (uint8_t)next_random(&random);
    for (size_t n = 0; n <= MAX_TAIL; n++) {
        // At an odd address, between guard bytes.
        uint8_t expected[2 * MAX_TAIL + 3], got[2 * MAX_TAIL + 3];
        memset(expected, 0xa5, sizeof expected);
        memset(got, 0xa5, sizeof got);
        lf__num_kernels__ref.dequant_fp8_bf16((void *)(expected + 1), codes + 1, n, 0.0123f, LF_DTYPE_F8_E4M3);
        kernels->dequant_fp8_bf16((void *)(got + 1), codes + 1, n, 0.0123f, LF_DTYPE_F8_E4M3);
        assert_memory_equal(expected, got, sizeof got);
        assert_int_equal(got[2 * n + 1], 0xa5);
        size_t n_nan = 0;
        for (size_t i = 0; i < n; i++) n_nan += lf_fp8_is_nan(LF_DTYPE_F8_E4M3, codes[1 + i]);
        assert_int_equal(kernels->dequant_fp8_bf16((void *)(got + 1), codes + 1, n, 1.0f, LF_DTYPE_F8_E4M3), n_nan);
    }
}

static void handles_every_tail(void **state) { for_each_isa(compare_tails); }

// A scale for each code, and FP4: every length, all codes, all kinds of scales.
static void compare_small_kernels(const lf__num_kernels *kernels)
{
    static const uint32_t scales[] = {0,          0x80000000, 1,          0x00400000, 0x3f800000, 0x3a123456,
                                      0x7e800000, 0x7f000000, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0xbf800000};
    uint8_t codes[N_CODE], expected[4 * N_CODE + 3], got[4 * N_CODE + 3];
    float each[N_CODE];
    for (int i = 0; i < N_CODE; i++) codes[i] = (uint8_t)i;
    for (size_t s = 0; s < LF_ARRAY_LENGTH(scales); s++) {
        for (size_t n = 0; n <= 2 * N_CODE; n += n < 70 ? 1 : 13) { // at an odd address, between guard bytes
            memset(expected, 0xa5, sizeof expected);
            memset(got, 0xa5, sizeof got);
            lf__num_kernels__ref.dequant_fp4_bf16((void *)(expected + 1), codes, n, lf_f32_from_bits(scales[s]));
            kernels->dequant_fp4_bf16((void *)(got + 1), codes, n, lf_f32_from_bits(scales[s]));
            assert_memory_equal(expected, got, sizeof got);
        }
        for (size_t k = 0; k < LF_ARRAY_LENGTH(formats); k++) {
            for (size_t n = 0; n <= N_CODE; n += n < 20 ? 1 : 59) {
                for (size_t i = 0; i < N_CODE; i++)
                    each[i] = lf_f32_from_bits(scales[(s + i / 5) % LF_ARRAY_LENGTH(scales)]);
                memset(expected, 0xa5, sizeof expected);
                memset(got, 0xa5, sizeof got);
                size_t n_nan =
                    lf__num_kernels__ref.dequant_fp8_scales_bf16((void *)(expected + 1), codes, each, n, formats[k]);
                assert_int_equal(kernels->dequant_fp8_scales_bf16((void *)(got + 1), codes, each, n, formats[k]),
                                 n_nan);
                assert_memory_equal(expected, got, sizeof got);
            }
        }
    }
}

// Every E8M0 scale over every code, at odd addresses.
static void compare_groups(const lf__num_kernels *kernels)
{
    enum { N_GROUP = N_CODE / LF_MX_GROUP };
    uint8_t codes[N_CODE + 1], scales[N_GROUP], expected[2 * N_CODE + 3], got[2 * N_CODE + 3];
    for (int i = 0; i < N_CODE; i++) codes[1 + i] = (uint8_t)(i * 8 + i / 32); // special codes in some groups only
    for (int s = 0; s < 256; s++) {
        for (int g = 0; g < N_GROUP; g++) scales[g] = (uint8_t)(s + g * (g % 2));
        for (size_t k = 0; k < LF_ARRAY_LENGTH(formats); k++) {
            for (size_t n = 0; n <= N_GROUP; n++) {
                memset(expected, 0xa5, sizeof expected);
                memset(got, 0xa5, sizeof got);
                size_t n_nan = 0;
                for (size_t i = 0; i < n * LF_MX_GROUP; i++) {
                    float scale = lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scales[i / LF_MX_GROUP]);
                    n_nan += lf__num_kernels__ref.dequant_fp8_bf16((void *)(expected + 1 + 2 * i), codes + 1 + i, 1,
                                                                   scale, formats[k]);
                }
                assert_int_equal(kernels->dequant_fp8_groups_bf16((void *)(got + 1), codes + 1, scales, n, formats[k]),
                                 n_nan);
                assert_memory_equal(expected, got, sizeof got);
            }
        }
    }
}

static void dequantizes_mx_groups_like_ref(void **state) { for_each_isa(compare_groups); }

static void dequantizes_small_groups_like_ref(void **state) { for_each_isa(compare_small_kernels); }

static void compare_conversions(const lf__num_kernels *kernels)
{
    enum { N = 65536 };
    lf_bf16 *halves = malloc(N * sizeof *halves), *rounded = malloc(N * sizeof *rounded);
    uint32_t *expected = malloc(N * sizeof *expected), *got = malloc(N * sizeof *got);
    lf_bf16 *expected_rounded = malloc(N * sizeof *expected_rounded);
    for (uint32_t i = 0; i < N; i++) halves[i] = (lf_bf16)i;
    for (uint32_t low = 0; low < 5; low++) { // each upper half with lower halves around the tie
        const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001};
        for (uint32_t i = 0; i < N; i++) got[i] = i << 16 | lower[low];
        lf__num_kernels__ref.convert_f32_bf16(expected_rounded, (const float *)(const void *)got, N);
        kernels->convert_f32_bf16(rounded, (const float *)(const void *)got, N);
        assert_memory_equal(expected_rounded, rounded, N * sizeof *rounded);
        for (uint32_t i = 0; i < N; i += 97) assert_int_equal(rounded[i], lf_bf16_from_f32(lf_f32_from_bits(got[i])));
    }
    lf__num_kernels__ref.convert_bf16_f32((float *)(void *)expected, halves, N);
    kernels->convert_bf16_f32((float *)(void *)got, halves, N);
    assert_memory_equal(expected, got, N * sizeof *got);
    assert_int_equal(got[0x3f80], 0x3f800000);
    lf__num_kernels__ref.convert_f16_f32((float *)(void *)expected, halves, N);
    kernels->convert_f16_f32((float *)(void *)got, halves, N);
    assert_memory_equal(expected, got, N * sizeof *got);
    for (size_t n = 0; n <= 33; n++) { // tails, and nothing past them
        memset(expected_rounded, 0xa5, 80);
        memset(rounded, 0xa5, 80);
        lf__num_kernels__ref.convert_f32_bf16(expected_rounded, (const float *)(const void *)expected, n);
        kernels->convert_f32_bf16(rounded, (const float *)(const void *)expected, n);
        assert_memory_equal(expected_rounded, rounded, 80);
        memset(got, 0xa5, 160);
        kernels->convert_bf16_f32((float *)(void *)got, halves + 0x3f80, n);
        for (size_t i = 0; i < 40; i++) {
            assert_int_equal(got[i], i < n ? (uint32_t)(0x3f80 + i) << 16 : 0xa5a5a5a5u);
        }
        memset(got, 0xa5, 160);
        kernels->convert_f16_f32((float *)(void *)got, halves + 0x3c00, n);
        for (size_t i = n; i < 40; i++) assert_int_equal(got[i], 0xa5a5a5a5u);
    }
    free(halves);
    free(rounded);
    free(expected);
    free(got);
    free(expected_rounded);
}

static void converts_like_ref(void **state) { for_each_isa(compare_conversions); }

int test_num_kernels(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dequantizes_like_ref),
        cmocka_unit_test(handles_every_tail),
        cmocka_unit_test(dequantizes_small_groups_like_ref),
        cmocka_unit_test(dequantizes_mx_groups_like_ref),
        cmocka_unit_test(converts_like_ref),
    };
    return cmocka_run_group_tests_name("num kernels", tests, NULL, NULL);
}
