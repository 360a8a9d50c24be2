// SPDX-License-Identifier: Apache-2.0
//
// The array kernels of num.h, one struct per instruction set; num.c chooses by lf_cpu_isa_best(). Files of one ISA are
// compiled with exactly their own flags, so only static inline helpers are shared with them.
#ifndef LF_BASE_NUM_INT_H
#define LF_BASE_NUM_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

typedef struct lf__num_kernels {
    size_t (*dequant_fp8_bf16)(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype);
    size_t (*dequant_fp8_groups_bf16)(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                      lf_dtype dtype);
    size_t (*dequant_fp8_scales_bf16)(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n,
                                      lf_dtype dtype);
    void (*dequant_fp4_bf16)(lf_bf16 *dst, const uint8_t *packed, size_t n, float scale); // begins with a low half
    void (*convert_f32_bf16)(lf_bf16 *dst, const float *src, size_t n);
    void (*convert_bf16_f32)(float *dst, const lf_bf16 *src, size_t n);
    void (*convert_f16_f32)(float *dst, const lf_f16 *src, size_t n);
} lf__num_kernels;

extern const lf__num_kernels lf__num_kernels__ref;
#if defined(__x86_64__)
extern const lf__num_kernels lf__num_kernels__avx2;
extern const lf__num_kernels lf__num_kernels__avx512;
// AVX-512 has these three of AVX2.
size_t lf__dequant_fp8_groups_bf16__avx2(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                         lf_dtype dtype);
size_t lf__dequant_fp8_scales_bf16__avx2(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n,
                                         lf_dtype dtype);
void lf__dequant_fp4_bf16__avx2(lf_bf16 *dst, const uint8_t *packed, size_t n, float scale);
#endif

// A weight format as bit fields. Codes that are not sign, exponent and mantissa (NaN, Inf) are recognized by one
// unsigned comparison: ((code ^ flip) & mask) >= special_from. Of these, the ones >= nan_from are NaN.
typedef struct lf__fp8_format {
    uint8_t mantissa_bits, bias;
    uint8_t flip, mask, special_from, nan_from;
} lf__fp8_format;

#define LF__FP8_E4M3 ((lf__fp8_format){3, 7, 0, 0x7f, 0x7f, 0x7f})
#define LF__FP8_E5M2 ((lf__fp8_format){2, 15, 0, 0x7f, 0x7c, 0x7d})
#define LF__FP8_E4M3FNUZ ((lf__fp8_format){3, 8, 0x7f, 0xff, 0xff, 0xff})
#define LF__FP8_E5M2FNUZ ((lf__fp8_format){2, 16, 0x7f, 0xff, 0xff, 0xff})

static inline lf__fp8_format lf__fp8_format_of(lf_dtype dtype)
{
    switch (dtype) {
    case LF_DTYPE_F8_E5M2: return LF__FP8_E5M2;
    case LF_DTYPE_F8_E4M3FNUZ: return LF__FP8_E4M3FNUZ;
    case LF_DTYPE_F8_E5M2FNUZ: return LF__FP8_E5M2FNUZ;
    default: return LF__FP8_E4M3;
    }
}

// Whether every product of a finite code with `scale` is zero or a normal number, before and after rounding to bf16.
// Then
//   bf16(code * scale) = bf16(mantissa * scale) + exponent difference,
// so that a table over the mantissas (16 entries at most) and one integer addition give all 256 products: rounding is
// the same in every binade. Outside this range (and for zero, negative and NaN scales) the product is computed one by
// one.
static inline bool lf__fp8_scale_is_regular(lf__fp8_format format, float scale)
{
    uint32_t bits = lf_f32_bits(scale);
    uint32_t top = (1u << (7 - format.mantissa_bits)) - 1u - format.bias;   // exponent of the largest codes
    uint32_t lowest = (uint32_t)(format.bias + format.mantissa_bits) << 23; // smallest code * scale >= 2^-126
    uint32_t limit = (253u - top) << 23;                                    // largest code * scale < 2^127
    return bits >= lowest && bits < limit;
}

#endif
