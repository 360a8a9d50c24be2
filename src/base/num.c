// SPDX-License-Identifier: Apache-2.0
//
// Number formats: names, decoding tables, scalar conversions, and the choice of the array kernels. The tables are
// written as float32 bit patterns by constant expressions, so that no code runs before main and no table can be
// half-built.
#include "base/num.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/num_int.h"

static const struct {
    const char *name;
    size_t length;
    int bits;
} dtypes[] = {
#define X(symbol, name, bits) [symbol] = {name, sizeof name - 1, bits},
    LF_DTYPE_MAP(X)
#undef X
};
_Static_assert(LF_ARRAY_LENGTH(dtypes) == LF_DTYPE_COUNT, "one row per dtype");

const char *lf_dtype_name(lf_dtype dtype) { return (size_t)dtype < LF_DTYPE_COUNT ? dtypes[dtype].name : "?"; }

int lf_dtype_bits(lf_dtype dtype) { return (size_t)dtype < LF_DTYPE_COUNT ? dtypes[dtype].bits : 0; }

bool lf_dtype_from_name(const char *name, size_t length, lf_dtype *out)
{
    for (size_t i = 0; i < LF_DTYPE_COUNT; i++) {
        if (dtypes[i].length != length || memcmp(dtypes[i].name, name, length) != 0) continue;
        *out = (lf_dtype)i;
        return true;
    }
    return false;
}

bool lf_dtype_is_fp8(lf_dtype dtype)
{
    return dtype == LF_DTYPE_F8_E4M3 || dtype == LF_DTYPE_F8_E5M2 || dtype == LF_DTYPE_F8_E4M3FNUZ ||
           dtype == LF_DTYPE_F8_E5M2FNUZ;
}

// One code as the bits of a float32. A subnormal code m * 2^(1 - bias - M) is normalized: its leading one becomes
// implicit.
#define SIGN(c) ((uint32_t)((c)&0x80) << 24)
#define LOG2(m) ((m) >= 4 ? 2 : (m) >= 2 ? 1 : 0)
#define SUBNORMAL(m, M, bias)                                                                                          \
    ((m) == 0 ? 0u : (uint32_t)(128 - (bias) - (M) + LOG2(m)) << 23 | ((uint32_t)(m) << (23 - LOG2(m)) & 0x7fffffu))
#define NORMAL(c, M, bias) (((uint32_t)((c)&0x7f) << (23 - (M))) + ((uint32_t)(127 - (bias)) << 23))
#define REGULAR(c, M, bias)                                                                                            \
    (SIGN(c) | (((c)&0x7f) >> (M) ? NORMAL(c, M, bias) : SUBNORMAL((c) & ((1 << (M)) - 1), M, bias)))
#define QUIET_NAN 0x7fc00000u
#define E4M3(c) (((c)&0x7f) == 0x7f ? SIGN(c) | QUIET_NAN : REGULAR(c, 3, 7))
#define E5M2(c)                                                                                                        \
    (((c)&0x7f) > 0x7c ? SIGN(c) | QUIET_NAN : ((c)&0x7f) == 0x7c ? SIGN(c) | 0x7f800000u : REGULAR(c, 2, 15))
#define E4M3FNUZ(c) ((c) == 0x80 ? QUIET_NAN : REGULAR(c, 3, 8))
#define E5M2FNUZ(c) ((c) == 0x80 ? QUIET_NAN : REGULAR(c, 2, 16))
#define E8M0(c) ((c) == 0xff ? QUIET_NAN : (c) == 0 ? 0x00400000u : (uint32_t)(c) << 23)

#define ROW4(F, c) F(c), F((c) + 1), F((c) + 2), F((c) + 3)
#define ROW16(F, c) ROW4(F, c), ROW4(F, (c) + 4), ROW4(F, (c) + 8), ROW4(F, (c) + 12)
#define ROW64(F, c) ROW16(F, c), ROW16(F, (c) + 16), ROW16(F, (c) + 32), ROW16(F, (c) + 48)
#define ALL_CODES(F) ROW64(F, 0), ROW64(F, 64), ROW64(F, 128), ROW64(F, 192)

typedef union code_table {
    uint32_t bits[256];
    float values[256];
} code_table;

static const code_table e4m3_table = {.bits = {ALL_CODES(E4M3)}};
static const code_table e5m2_table = {.bits = {ALL_CODES(E5M2)}};
static const code_table e4m3fnuz_table = {.bits = {ALL_CODES(E4M3FNUZ)}};
static const code_table e5m2fnuz_table = {.bits = {ALL_CODES(E5M2FNUZ)}};
static const code_table e8m0_table = {.bits = {ALL_CODES(E8M0)}};

const float *lf_fp8_table(lf_dtype dtype)
{
    switch (dtype) {
    case LF_DTYPE_F8_E5M2: return e5m2_table.values;
    case LF_DTYPE_F8_E4M3FNUZ: return e4m3fnuz_table.values;
    case LF_DTYPE_F8_E5M2FNUZ: return e5m2fnuz_table.values;
    case LF_DTYPE_F8_E8M0: return e8m0_table.values;
    default: return e4m3_table.values;
    }
}

float lf_fp8_to_f32(lf_dtype dtype, uint8_t code) { return lf_fp8_table(dtype)[code]; }

float lf_fp4_to_f32(uint8_t code)
{
    static const float values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    return values[code & 0xf];
}

bool lf_fp8_is_nan(lf_dtype dtype, uint8_t code)
{
    if (dtype == LF_DTYPE_F8_E8M0) return code == 0xff;
    lf__fp8_format format = lf__fp8_format_of(dtype);
    return ((code ^ format.flip) & format.mask) >= format.nan_from;
}

float lf_f16_to_f32(lf_f16 bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude > 0x7c00u) return lf_f32_from_bits(sign | QUIET_NAN | magnitude << 13);
    if (magnitude == 0x7c00u) return lf_f32_from_bits(sign | 0x7f800000u);
    if (magnitude >= 0x0400u) return lf_f32_from_bits(sign | ((magnitude << 13) + (112u << 23)));
    return lf_f32_from_bits(sign | lf_f32_bits((float)magnitude * 0x1p-24f)); // zero and subnormals: exact
}

lf_f16 lf_f16_from_f32(float value)
{
    uint32_t bits = lf_f32_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (lf_f16)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x47800000u) return (lf_f16)(sign | 0x7c00u); // 65536 and more
    if (magnitude >= 0x38800000u) { // normal: 13 bits are rounded away; may carry into Inf
        magnitude += 0xfffu + (magnitude >> 13 & 1u);
        return (lf_f16)(sign | (magnitude - (112u << 23)) >> 13);
    }
    // Subnormal: adding 1/2 leaves float32 exactly the 24 binary places of an f16 subnormal, rounded to nearest even.
    return (lf_f16)(sign | (lf_f32_bits(lf_f32_from_bits(magnitude) + 0.5f) - 0x3f000000u));
}

uint8_t lf_e4m3_from_f32(float value)
{
    uint32_t bits = lf_f32_bits(value), magnitude = bits & 0x7fffffffu;
    uint8_t sign = (uint8_t)(bits >> 24 & 0x80u);
    if (magnitude > 0x7f800000u) return 0x7f;
    if (magnitude >= 0x43e00000u) return sign | 0x7e; // 448 and more
    if (magnitude < 0x3c800000u) { // below 2^-6: steps of 2^-9; 16384 has a unit in the last place of 2^-9
        return sign | (uint8_t)(lf_f32_bits(lf_f32_from_bits(magnitude) + 16384.0f) - lf_f32_bits(16384.0f));
    }
    magnitude += 0x7ffffu + (magnitude >> 20 & 1u);
    return sign | (uint8_t)((magnitude - (120u << 23)) >> 20);
}

static const lf__num_kernels *kernels(void)
{
#if defined(__x86_64__)
    lf_cpu_isa isa = lf_cpu_isa_best();
    if (isa >= LF_CPU_ISA_AVX512) return &lf__num_kernels__avx512;
    if (isa >= LF_CPU_ISA_AVX2) return &lf__num_kernels__avx2;
#endif
    return &lf__num_kernels__ref;
}

size_t lf_dequant_fp8_bf16(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype)
{
    return kernels()->dequant_fp8_bf16(dst, codes, n, scale, dtype);
}

size_t lf_dequant_fp8_groups_bf16(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                  lf_dtype dtype)
{
    return kernels()->dequant_fp8_groups_bf16(dst, codes, scales, n_group, dtype);
}

size_t lf_dequant_fp8_scales_bf16(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n, lf_dtype dtype)
{
    return kernels()->dequant_fp8_scales_bf16(dst, codes, scales, n, dtype);
}

void lf_dequant_fp4_bf16(lf_bf16 *dst, const uint8_t *packed, size_t first, size_t n, float scale)
{
    packed += first / 2;
    if (first % 2 && n) { // the high half of a byte
        const uint8_t code = *packed++ >> 4;
        lf__num_kernels__ref.dequant_fp4_bf16(dst, &code, 1, scale);
        dst = (lf_bf16 *)(void *)((char *)dst + sizeof *dst);
        n--;
    }
    kernels()->dequant_fp4_bf16(dst, packed, n, scale);
}

void lf_convert_f32_bf16(lf_bf16 *dst, const float *src, size_t n) { kernels()->convert_f32_bf16(dst, src, n); }
void lf_convert_bf16_f32(float *dst, const lf_bf16 *src, size_t n) { kernels()->convert_bf16_f32(dst, src, n); }
void lf_convert_f16_f32(float *dst, const lf_f16 *src, size_t n) { kernels()->convert_f16_f32(dst, src, n); }
