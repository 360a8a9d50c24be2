// SPDX-License-Identifier: Apache-2.0
//
// Number formats: every code of the 8-bit formats against the formula of its format, every f16, and the test vectors
// for code times scale.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/num.h"
#include "tests.h"

static void names_and_sizes(void **state)
{
    lf_dtype dtype;
    for (int i = 0; i < LF_DTYPE_COUNT; i++) {
        const char *name = lf_dtype_name((lf_dtype)i);
        assert_true(lf_dtype_from_name(name, strlen(name), &dtype));
        assert_int_equal(dtype, i);
        assert_true(lf_dtype_bits((lf_dtype)i) >= 4);
    }
    const char *const wrong[] = {"", "F8_E4M3FN", "F8_E8M0FNU", "f32", "I4", "MXFP4", "BF1", "BF16 ", "bf16"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(wrong); i++) {
        assert_false(lf_dtype_from_name(wrong[i], strlen(wrong[i]), &dtype));
    }
    assert_string_equal(lf_dtype_name(LF_DTYPE_COUNT), "?");
    assert_int_equal(lf_dtype_bits(LF_DTYPE_COUNT), 0);
    assert_true(lf_dtype_is_fp8(LF_DTYPE_F8_E5M2FNUZ));
    assert_false(lf_dtype_is_fp8(LF_DTYPE_F8_E8M0));
}

typedef struct format {
    lf_dtype dtype;
    int mantissa_bits, bias;
    int n_nan, n_inf;
    double largest;
} format;

static const format formats[] = {
    {LF_DTYPE_F8_E4M3, 3, 7, 2, 0, 448},
    {LF_DTYPE_F8_E5M2, 2, 15, 6, 2, 57344},
    {LF_DTYPE_F8_E4M3FNUZ, 3, 8, 1, 0, 240},
    {LF_DTYPE_F8_E5M2FNUZ, 2, 16, 1, 0, 57344},
};

// The value by the definition of the format, for a code that is neither NaN nor Inf.
static double defined_value(const format *f, int code)
{
    int mantissa = code & ((1 << f->mantissa_bits) - 1), exponent = (code & 0x7f) >> f->mantissa_bits;
    double value = exponent == 0 ? ldexp(mantissa, 1 - f->bias - f->mantissa_bits)
                                 : ldexp(mantissa + (1 << f->mantissa_bits), exponent - f->bias - f->mantissa_bits);
    return code & 0x80 ? -value : value;
}

// E2M1: one mantissa bit, bias 1, neither Inf nor NaN; any first element and any length of a packed run.
static void decodes_fp4(void **state)
{
    const format e2m1 = {.mantissa_bits = 1, .bias = 1};
    uint8_t packed[8];
    lf_bf16 got[16];
    for (uint8_t code = 0; code < 16; code++) {
        double value = defined_value(&e2m1, code & 7) * (code & 8 ? -1 : 1);
        assert_true((double)lf_fp4_to_f32(code) == value);
        assert_int_equal(signbit(lf_fp4_to_f32(code)) != 0, code >= 8);
        assert_true(lf_fp4_to_f32(code | 0xf0) == lf_fp4_to_f32(code));
        packed[code / 2] = (uint8_t)(code % 2 ? packed[code / 2] | code << 4 : code);
    }
    for (size_t first = 0; first <= 16; first++) {
        for (size_t n = 0; first + n <= 16; n++) {
            lf_dequant_fp4_bf16(got, packed, first, n, 0.25f);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(got[i], lf_bf16_from_f32(0.25f * lf_fp4_to_f32((uint8_t)(first + i))));
        }
    }
}

static void decodes_every_fp8_code(void **state)
{
    int n_checked = 0;
    for (size_t k = 0; k < LF_ARRAY_LENGTH(formats); k++) {
        const format *f = &formats[k];
        int n_nan = 0, n_inf = 0;
        double largest = 0;
        for (int code = 0; code < 256; code++, n_checked++) {
            float value = lf_fp8_to_f32(f->dtype, (uint8_t)code);
            assert_int_equal(lf_fp8_is_nan(f->dtype, (uint8_t)code), isnan(value) != 0);
            n_nan += isnan(value) != 0;
            n_inf += isinf(value) != 0;
            if (!isfinite(value)) continue;
            assert_true((double)value == defined_value(f, code));
            assert_int_equal(signbit(value) != 0, code >> 7);
            largest = fmax(largest, (double)value);
        }
        assert_int_equal(n_nan, f->n_nan);
        assert_int_equal(n_inf, f->n_inf);
        assert_true(largest == f->largest);
    }
    assert_int_equal(n_checked, 4 * 256);
    assert_true(isnan(lf_fp8_to_f32(LF_DTYPE_F8_E4M3, 0x7f)) && isnan(lf_fp8_to_f32(LF_DTYPE_F8_E4M3, 0xff)));
    assert_true(isinf(lf_fp8_to_f32(LF_DTYPE_F8_E5M2, 0x7c)) && isnan(lf_fp8_to_f32(LF_DTYPE_F8_E5M2, 0x7d)));
    assert_true(isnan(lf_fp8_to_f32(LF_DTYPE_F8_E4M3FNUZ, 0x80)) && isnan(lf_fp8_to_f32(LF_DTYPE_F8_E5M2FNUZ, 0x80)));
}

static void decodes_every_e8m0_code(void **state)
{
    for (int code = 0; code < 255; code++) {
        assert_true((double)lf_fp8_to_f32(LF_DTYPE_F8_E8M0, (uint8_t)code) == ldexp(1, code - 127));
        assert_false(lf_fp8_is_nan(LF_DTYPE_F8_E8M0, (uint8_t)code));
    }
    assert_int_equal(lf_f32_bits(lf_fp8_to_f32(LF_DTYPE_F8_E8M0, 0)), 0x00400000);
    assert_true(isnan(lf_fp8_to_f32(LF_DTYPE_F8_E8M0, 255)));
    assert_true(lf_fp8_is_nan(LF_DTYPE_F8_E8M0, 255));
}

static void converts_every_f16(void **state)
{
    int n_checked = 0;
    for (uint32_t bits = 0; bits <= 0xffff; bits++, n_checked++) {
        float value = lf_f16_to_f32((lf_f16)bits);
        int exponent = (int)(bits >> 10 & 31), mantissa = (int)(bits & 0x3ff);
        if (exponent == 31) {
            assert_int_equal(isnan(value) != 0, mantissa != 0);
            assert_int_equal(isinf(value) != 0, mantissa == 0);
        } else {
            double defined = exponent ? ldexp(mantissa + 1024, exponent - 25) : ldexp(mantissa, -24);
            assert_true((double)value == (bits & 0x8000 ? -defined : defined));
        }
        assert_int_equal(signbit(value) != 0, bits >> 15);
        if (!isnan(value)) assert_int_equal(lf_f16_from_f32(value), bits);
    }
    assert_int_equal(n_checked, 65536);
}

static void rounds_to_f16(void **state)
{
    const struct {
        float value;
        lf_f16 bits;
    } rows[] = {
        {65504.0f, 0x7bff},        {65519.99f, 0x7bff},     {65520.0f, 0x7c00},     {-65520.0f, 0xfc00},
        {INFINITY, 0x7c00},        {0x1p-25f, 0x0000},      {0x1.8p-25f, 0x0001},   {0x1.8p-24f, 0x0002},
        {-0x1p-25f, 0x8000},       {0x1.ffcp-15f, 0x0400},  {1.0f, 0x3c00},         {1.0f + 0x1p-11f, 0x3c00},
        {1.0f + 0x3p-11f, 0x3c02}, {0x1.002002p0f, 0x3c01}, {0x1.ffep-15f, 0x0400},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) assert_int_equal(lf_f16_from_f32(rows[i].value), rows[i].bits);
    assert_int_equal(lf_f16_from_f32(NAN) & 0x7e00, 0x7e00);
}

// Section 3.4 of the catalog: ties to even, sign of zero, NaN with a low payload, overflow, subnormals.
static void rounds_to_bf16(void **state)
{
    const struct {
        uint32_t from;
        lf_bf16 to;
    } rows[] = {
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
        {0x3f818000, 0x3f82}, {0x3f817fff, 0x3f81}, {0x7f7f7fff, 0x7f7f}, {0x7f7f8000, 0x7f80}, {0xff7f8000, 0xff80},
        {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xff800001, 0xffc0}, {0x7fffffff, 0x7fff},
        {0x00008000, 0x0000}, {0x00008001, 0x0001}, {0x00018000, 0x0002}, {0x80400000, 0x8040}, {0x007fffff, 0x0080},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        assert_int_equal(lf_bf16_from_f32(lf_f32_from_bits(rows[i].from)), rows[i].to);
    }
}

static void encodes_e4m3(void **state)
{
    for (int code = 0; code < 256; code++) {
        float value = lf_fp8_to_f32(LF_DTYPE_F8_E4M3, (uint8_t)code);
        if (!isnan(value)) assert_int_equal(lf_e4m3_from_f32(value), code);
    }
    // Between two neighbours: below, at and above the middle; the tie goes to the even code.
    for (int code = 0; code < 0x7e; code++) {
        float low = lf_fp8_to_f32(LF_DTYPE_F8_E4M3, (uint8_t)code),
              high = lf_fp8_to_f32(LF_DTYPE_F8_E4M3, (uint8_t)(code + 1));
        float middle = (low + high) / 2;
        assert_int_equal(lf_e4m3_from_f32(nextafterf(middle, 0)), code);
        assert_int_equal(lf_e4m3_from_f32(middle), code + (code & 1));
        assert_int_equal(lf_e4m3_from_f32(nextafterf(middle, 1000)), code + 1);
        assert_int_equal(lf_e4m3_from_f32(-middle), 0x80 | (code + (code & 1)));
    }
    assert_int_equal(lf_e4m3_from_f32(1e9f), 0x7e);
    assert_int_equal(lf_e4m3_from_f32(-INFINITY), 0xfe);
    assert_int_equal(lf_e4m3_from_f32(NAN), 0x7f);
}

// Section 3.3 of the catalog: column A (float32 product, one rounding) and column B (scale rounded to bf16 first).
static const struct {
    uint8_t code;
    uint32_t scale;
    lf_bf16 exact, bf16_scale;
} product_vectors[] = {
    {0x00, 0x3f800000, 0x0000, 0x0000}, {0x00, 0x39123456, 0x0000, 0x0000}, {0x80, 0x3f800000, 0x8000, 0x8000},
    {0x80, 0x39123456, 0x8000, 0x8000}, {0x01, 0x3f800000, 0x3b00, 0x3b00}, {0x07, 0x3f800000, 0x3c60, 0x3c60},
    {0x08, 0x3f800000, 0x3c80, 0x3c80}, {0x38, 0x3f800000, 0x3f80, 0x3f80}, {0x7e, 0x3f800000, 0x43e0, 0x43e0},
    {0xfe, 0x3a03126f, 0xbe65, 0xbe65}, {0x7e, 0x39123456, 0x3d80, 0x3d80}, {0x77, 0x38d1b717, 0x3cc5, 0x3cc5},
    {0x31, 0x389a7834, 0x382e, 0x382d}, {0x3a, 0x383171ff, 0x385e, 0x385d}, {0x11, 0x3a24be40, 0x37b9, 0x37ba},
    {0x7c, 0x3a079d3b, 0x3e4b, 0x3e4c}, {0x09, 0x396471c8, 0x3680, 0x3680}, {0x09, 0x396638e3, 0x3682, 0x3681},
    {0x09, 0x3969c71c, 0x3684, 0x3684}, {0x24, 0x397f5555, 0x3840, 0x383f}, {0x01, 0x00800000, 0x0000, 0x0000},
};

static const struct {
    uint8_t code, scale;
    uint32_t product;
    lf_bf16 exact;
} e8m0_vectors[] = {
    {0x38, 0, 0x00400000, 0x0040},   {0x7e, 0, 0x04600000, 0x0460},   {0x01, 0, 0x00002000, 0x0000},
    {0x38, 1, 0x00800000, 0x0080},   {0x08, 127, 0x3c800000, 0x3c80}, {0x7e, 246, 0x7f600000, 0x7f60},
    {0x7e, 247, 0x7f800000, 0x7f80},
};

static void matches_the_catalog(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(product_vectors); i++) {
        lf_bf16 bits;
        float scale = lf_f32_from_bits(product_vectors[i].scale);
        lf_dequant_fp8_bf16(&bits, &product_vectors[i].code, 1, scale, LF_DTYPE_F8_E4M3);
        assert_int_equal(bits, product_vectors[i].exact);
        scale = lf_bf16_to_f32(lf_bf16_from_f32(scale));
        lf_dequant_fp8_bf16(&bits, &product_vectors[i].code, 1, scale, LF_DTYPE_F8_E4M3);
        assert_int_equal(bits, product_vectors[i].bf16_scale);
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(e8m0_vectors); i++) {
        lf_bf16 bits;
        float scale = lf_fp8_to_f32(LF_DTYPE_F8_E8M0, e8m0_vectors[i].scale);
        float value = lf_fp8_to_f32(LF_DTYPE_F8_E4M3, e8m0_vectors[i].code);
        assert_int_equal(lf_f32_bits(value * scale), e8m0_vectors[i].product);
        lf_dequant_fp8_bf16(&bits, &e8m0_vectors[i].code, 1, scale, LF_DTYPE_F8_E4M3);
        assert_int_equal(bits, e8m0_vectors[i].exact);
    }
    for (int code = 0; code < 256; code++) { // scale byte 255: NaN whatever the code
        lf_bf16 bits;
        uint8_t byte = (uint8_t)code;
        lf_dequant_fp8_bf16(&bits, &byte, 1, lf_fp8_to_f32(LF_DTYPE_F8_E8M0, 255), LF_DTYPE_F8_E4M3);
        assert_int_equal(bits, 0x7fc0);
    }
}

int test_num(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_sizes),        cmocka_unit_test(decodes_fp4),
        cmocka_unit_test(decodes_every_fp8_code), cmocka_unit_test(decodes_every_e8m0_code),
        cmocka_unit_test(converts_every_f16),     cmocka_unit_test(rounds_to_f16),
        cmocka_unit_test(rounds_to_bf16),         cmocka_unit_test(encodes_e4m3),
        cmocka_unit_test(matches_the_catalog),
    };
    return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
