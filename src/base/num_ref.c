// SPDX-License-Identifier: Apache-2.0
//
// The portable array kernels: what the others must equal bit for bit. Elements go through memcpy because sources (and
// destinations) may be unaligned.
#include <string.h>

#include "base/num_int.h"

// A NaN product becomes 0x7fc0 whatever its operands were: which NaN a multiplication hands on differs between
// processors.
static lf_bf16 product(float value, float scale)
{
    float result = value * scale;
    return result == result ? lf_bf16_from_f32(result) : 0x7fc0;
}

static size_t dequant_fp8_bf16__ref(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype)
{
    const float *table = lf_fp8_table(dtype);
    lf__fp8_format format = lf__fp8_format_of(dtype);
    size_t n_nan = 0;
    for (size_t i = 0; i < n; i++) {
        lf_bf16 bits = product(table[codes[i]], scale);
        memcpy((char *)dst + i * sizeof bits, &bits, sizeof bits);
        n_nan += ((codes[i] ^ format.flip) & format.mask) >= format.nan_from;
    }
    return n_nan;
}

static size_t dequant_fp8_scales_bf16__ref(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n,
                                           lf_dtype dtype)
{
    const float *table = lf_fp8_table(dtype);
    lf__fp8_format format = lf__fp8_format_of(dtype);
    size_t n_nan = 0;
    for (size_t i = 0; i < n; i++) {
        lf_bf16 bits = product(table[codes[i]], scales[i]);
        memcpy((char *)dst + i * sizeof bits, &bits, sizeof bits);
        n_nan += ((codes[i] ^ format.flip) & format.mask) >= format.nan_from;
    }
    return n_nan;
}

static size_t dequant_fp8_groups_bf16__ref(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                           lf_dtype dtype)
{
    size_t n_nan = 0;
    for (size_t g = 0; g < n_group; g++) {
        lf_bf16 *to = (lf_bf16 *)(void *)((char *)dst + 2 * LF_MX_GROUP * g);
        float scale = lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scales[g]);
        n_nan += dequant_fp8_bf16__ref(to, codes + LF_MX_GROUP * g, LF_MX_GROUP, scale, dtype);
    }
    return n_nan;
}

static void dequant_fp4_bf16__ref(lf_bf16 *dst, const uint8_t *packed, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        lf_bf16 bits = product(lf_fp4_to_f32(packed[i / 2] >> (i % 2 * 4)), scale);
        memcpy((char *)dst + i * sizeof bits, &bits, sizeof bits);
    }
}

static void convert_f32_bf16__ref(lf_bf16 *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, (const char *)src + i * sizeof value, sizeof value);
        lf_bf16 bits = lf_bf16_from_f32(value);
        memcpy((char *)dst + i * sizeof bits, &bits, sizeof bits);
    }
}

static void convert_bf16_f32__ref(float *dst, const lf_bf16 *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lf_bf16 bits;
        memcpy(&bits, (const char *)src + i * sizeof bits, sizeof bits);
        uint32_t wide = (uint32_t)bits << 16;
        memcpy((char *)dst + i * sizeof wide, &wide, sizeof wide);
    }
}

static void convert_f16_f32__ref(float *dst, const lf_f16 *src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lf_f16 bits;
        memcpy(&bits, (const char *)src + i * sizeof bits, sizeof bits);
        float value = lf_f16_to_f32(bits);
        memcpy((char *)dst + i * sizeof value, &value, sizeof value);
    }
}

const lf__num_kernels lf__num_kernels__ref = {
    .dequant_fp8_bf16 = dequant_fp8_bf16__ref,
    .dequant_fp8_groups_bf16 = dequant_fp8_groups_bf16__ref,
    .dequant_fp8_scales_bf16 = dequant_fp8_scales_bf16__ref,
    .dequant_fp4_bf16 = dequant_fp4_bf16__ref,
    .convert_f32_bf16 = convert_f32_bf16__ref,
    .convert_bf16_f32 = convert_bf16_f32__ref,
    .convert_f16_f32 = convert_f16_f32__ref,
};
