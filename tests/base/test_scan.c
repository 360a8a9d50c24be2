// SPDX-License-Identifier: Apache-2.0
//
// The scan of bytes: every kernel against the portable one, every code of every format, and a digest that notices what
// a damaged or mixed-up file looks like.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/scan.h"
#include "base/scan_int.h"
#include "tests.h"

static const lf_dtype dtypes[] = {LF_DTYPE_U8,          LF_DTYPE_F8_E4M3,     LF_DTYPE_F8_E5M2,
                                  LF_DTYPE_F8_E4M3FNUZ, LF_DTYPE_F8_E5M2FNUZ, LF_DTYPE_BF16,
                                  LF_DTYPE_F16,         LF_DTYPE_F32,         LF_DTYPE_I64};

static void fill(uint8_t *bytes, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 57);
    }
}

// The stripes of one kernel, whatever the processor would choose.
static void equals_the_reference(void **state)
{
#if defined(__x86_64__)
    if (lf_cpu_isa_best() < LF_CPU_ISA_AVX2) {
        print_message("no AVX2 here: skipped\n");
        skip();
    }
    const lf__special specials[] = {{0},
                                    {.width = 1, .mask8 = 0x7f, .from8 = 0x7f},
                                    {.width = 1, .flip = 0x7f, .mask8 = 0xff, .from8 = 0xff},
                                    {.width = 2, .mask = 0x7f80},
                                    {.width = 2, .mask = 0x7c00},
                                    {.width = 4, .mask = 0x7f800000}};
    static uint8_t bytes[40 * LF__SCAN_STRIPE + 3];
    for (size_t k = 0; k < LF_ARRAY_LENGTH(specials); k++) {
        for (size_t n = 0; n <= 40; n++) {
            for (size_t shift = 0; shift < 3; shift++) {
                for (unsigned density = 0; density < 3; density++) {
                    fill(bytes, sizeof bytes, n * 31 + k);
                    if (density == 0) memset(bytes, 0, sizeof bytes);
                    if (density == 1 && n) bytes[shift + (n * 7919) % (n * LF__SCAN_STRIPE)] = 0xff;
                    lf__scan_state a = {.keys = {1, 2, 3, 4, 5, 6, 7, 8}}, b = a;
                    lf__scan_stripes__ref(&a, bytes + shift, n, specials[k]);
                    lf__scan_stripes__avx2(&b, bytes + shift, n, specials[k]);
                    if (specials[k].width != 1) a.max_code = b.max_code = 0; // of FP8 only
                    assert_memory_equal(&a, &b, sizeof a);
                }
            }
        }
    }
#else
    skip();
#endif
}

// One code among ordinary ones, for all codes and formats, in the stripes and in the tail.
static void finds_every_special_code(void **state)
{
    uint8_t bytes[150];
    for (size_t k = 0; k < LF_ARRAY_LENGTH(dtypes); k++) {
        lf_dtype dtype = dtypes[k];
        if (!lf_dtype_is_fp8(dtype)) continue;
        for (int code = 0; code < 256; code++) {
            for (size_t at = 7; at < sizeof bytes; at += 67) {
                memset(bytes, 1, sizeof bytes);
                bytes[at] = (uint8_t)code;
                lf_scan scan = lf_scan_bytes(bytes, sizeof bytes, dtype);
                assert_int_equal(scan.has_special, lf_fp8_is_nan(dtype, (uint8_t)code));
                assert_int_equal(scan.max_code, LF_MAX(code & 0x7f, 1));
            }
        }
    }
}

static void finds_every_special_half(void **state)
{
    uint8_t bytes[2 * 70];
    for (uint32_t bits = 0; bits < 65536; bits++) {
        uint16_t half = (uint16_t)bits;
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes + 2 * (bits % 70), &half, sizeof half);
        assert_int_equal(lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_BF16).has_special, (bits & 0x7f80) == 0x7f80);
        assert_int_equal(lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_F16).has_special, (bits & 0x7c00) == 0x7c00);
        uint32_t wide = bits << 16 | 1;
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes + 4 * (bits % 35), &wide, sizeof wide);
        assert_int_equal(lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_F32).has_special, (bits & 0x7f80) == 0x7f80);
        assert_false(lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_I64).has_special);
    }
}

static void digests_notice_changes(void **state)
{
    enum { N = 1000 };
    uint8_t bytes[N], other[N];
    fill(bytes, N, 5);
    lf_scan whole = lf_scan_bytes(bytes, N, LF_DTYPE_U8), again;
    for (size_t bit = 0; bit < N * 8; bit++) {
        memcpy(other, bytes, N);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        again = lf_scan_bytes(other, N, LF_DTYPE_U8);
        assert_true(again.digest.high != whole.digest.high && again.digest.low != whole.digest.low);
    }
    for (size_t a = 0; a + 128 <= N; a += 64) { // neighbouring rows change places
        memcpy(other, bytes, N);
        memcpy(other + a, bytes + a + 64, 64);
        memcpy(other + a + 64, bytes + a, 64);
        again = lf_scan_bytes(other, N, LF_DTYPE_U8);
        assert_true(again.digest.high != whole.digest.high && again.digest.low != whole.digest.low);
    }
    lf_digest seen[200]; // zeros of every length
    memset(other, 0, N);
    for (size_t n = 0; n < 200; n++) {
        seen[n] = lf_scan_bytes(other, n, LF_DTYPE_U8).digest;
        for (size_t i = 0; i < n; i++) assert_true(seen[i].high != seen[n].high && seen[i].low != seen[n].low);
    }
    lf_digest ab = lf_digest_join(seen[3], seen[4]), ba = lf_digest_join(seen[4], seen[3]);
    assert_true(ab.high != ba.high && ab.low != ba.low);
    for (size_t k = 0; k < LF_ARRAY_LENGTH(dtypes); k++) { // the dtype does not enter
        again = lf_scan_bytes(bytes, N, dtypes[k]);
        assert_true(again.digest.high == whole.digest.high && again.digest.low == whole.digest.low);
    }
}

static void sums_up(void **state)
{
    uint8_t bytes[300] = {0};
    lf_scan scan = lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_F8_E4M3);
    assert_true(scan.any == 0 && scan.max_code == 0 && !scan.has_special);
    bytes[299] = 0x80; // minus zero is not nothing
    scan = lf_scan_bytes(bytes, sizeof bytes, LF_DTYPE_F8_E4M3);
    assert_true(scan.any == 0x80 && scan.max_code == 0);
    scan = lf_scan_bytes(NULL, 0, LF_DTYPE_F32);
    assert_true(scan.any == 0 && !scan.has_special);
    char hex[LF_DIGEST_HEX_BYTES];
    lf_digest_hex((lf_digest){0x0123456789abcdefu, 0xfedcba9876543210u}, hex);
    assert_string_equal(hex, "0123456789abcdeffedcba9876543210");
    // The same everywhere: a fixed text and its digest.
    const char *text = "The digest of a text that is longer than one stripe of sixty-four bytes must never change.";
    lf_scan fixed = lf_scan_bytes((const uint8_t *)text, strlen(text), LF_DTYPE_U8);
    lf_digest_hex(fixed.digest, hex);
    assert_string_equal(hex, "3bbd09dcf4d3a87c34c769677f233e47");
}

int test_scan(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),
        cmocka_unit_test(finds_every_special_code),
        cmocka_unit_test(finds_every_special_half),
        cmocka_unit_test(digests_notice_changes),
        cmocka_unit_test(sums_up),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
