// SPDX-License-Identifier: Apache-2.0
//
// The array kernels in AVX-512 (F, BW, DQ, VL), compiled with exactly these flags. The same method as num_avx2.c (read
// that one first) on 64 codes at a time; tails are masked loads and stores.
#include <immintrin.h>

#include "base/num_int.h"

enum { CODES_PER_STEP = 64 };

typedef struct mantissa_table {
    __m512i low, high; // bytes of the 16-bit entries, the same in all four lanes
} mantissa_table;

static inline mantissa_table mantissa_table_of(lf__fp8_format format, float scale)
{
    float step = lf_f32_from_bits((uint32_t)(128 - format.bias - format.mantissa_bits) << 23);
    __m512 index = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512 products = _mm512_mul_ps(index, _mm512_set1_ps(step * scale)); // step * scale is exact
    __m512i bits = _mm512_castps_si512(products);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i entries = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
    __mmask16 normal = format.mantissa_bits == 3 ? 0xff00 : 0x00f0;
    entries = _mm512_mask_sub_epi32(entries, normal, entries, _mm512_set1_epi32(128));
    return (mantissa_table){
        .low = _mm512_broadcast_i32x4(_mm512_cvtepi32_epi8(entries)),
        .high = _mm512_broadcast_i32x4(_mm512_cvtepi32_epi8(_mm512_srli_epi32(entries, 8))),
    };
}

static inline __mmask64 at_least(__m512i codes, lf__fp8_format format, uint8_t from)
{
    __m512i key = _mm512_and_si512(_mm512_xor_si512(codes, _mm512_set1_epi8((char)format.flip)),
                                   _mm512_set1_epi8((char)format.mask));
    return _mm512_cmpge_epu8_mask(key, _mm512_set1_epi8((char)from));
}

static inline __m512i assemble(__m512i entry, __m512i code, int mantissa_bits)
{
    const __m512i exponent_mask = _mm512_set1_epi16((short)(0x7f00 & ~(((1 << mantissa_bits) - 1) << 8)));
    __m512i exponent = _mm512_srli_epi16(_mm512_and_si512(code, exponent_mask), (unsigned)(1 + mantissa_bits));
    __m512i sign = _mm512_and_si512(code, _mm512_set1_epi16((short)0x8000));
    return _mm512_or_si512(_mm512_add_epi16(entry, exponent), sign);
}

// The first n (at most 64) codes; false, with nothing written, when one of them is NaN or Inf.
static inline bool dequant_step(char *dst, const uint8_t *codes, size_t n, mantissa_table table, lf__fp8_format format)
{
    const __m512i zero = _mm512_setzero_si512();
    const int implicit = 1 << format.mantissa_bits;
    const __mmask64 present = n >= 64 ? ~(__mmask64)0 : ((__mmask64)1 << n) - 1;
    __m512i code = _mm512_maskz_loadu_epi8(present, codes);
    if (__builtin_expect(at_least(code, format, format.special_from) != 0, 0)) return false;
    code = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), code);
    __m512i magnitude = _mm512_and_si512(code, _mm512_set1_epi8(0x7f));
    __m512i mantissa = _mm512_and_si512(code, _mm512_set1_epi8((char)(implicit - 1)));
    __m512i index = _mm512_min_epu8(magnitude, _mm512_or_si512(mantissa, _mm512_set1_epi8((char)implicit)));
    __m512i low = _mm512_shuffle_epi8(table.low, index), high = _mm512_shuffle_epi8(table.high, index);
    __m512i first = assemble(_mm512_unpacklo_epi8(low, high), _mm512_unpacklo_epi8(zero, code), format.mantissa_bits);
    __m512i second = assemble(_mm512_unpackhi_epi8(low, high), _mm512_unpackhi_epi8(zero, code), format.mantissa_bits);
    _mm512_mask_storeu_epi16(dst, (__mmask32)present, first);
    _mm512_mask_storeu_epi16(dst + 64, (__mmask32)(present >> 32), second);
    return true;
}

static inline __attribute__((always_inline)) size_t dequant_format(lf_bf16 *dst, const uint8_t *codes, size_t n,
                                                                   float scale, lf_dtype dtype, lf__fp8_format format)
{
    if (!lf__fp8_scale_is_regular(format, scale)) {
        return lf__num_kernels__ref.dequant_fp8_bf16(dst, codes, n, scale, dtype);
    }
    mantissa_table table = mantissa_table_of(format, scale);
    size_t n_nan = 0;
    for (size_t i = 0; i < n; i += CODES_PER_STEP) {
        size_t count = n - i < CODES_PER_STEP ? n - i : CODES_PER_STEP;
        char *to = (char *)dst + 2 * i;
        if (dequant_step(to, codes + i, count, table, format)) continue;
        n_nan += lf__num_kernels__ref.dequant_fp8_bf16((lf_bf16 *)(void *)to, codes + i, count, scale, dtype);
    }
    return n_nan;
}

static size_t dequant_fp8_bf16__avx512(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype)
{
    switch (dtype) { // one loop per format, with its shifts as constants
    case LF_DTYPE_F8_E5M2: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E5M2);
    case LF_DTYPE_F8_E4M3FNUZ: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E4M3FNUZ);
    case LF_DTYPE_F8_E5M2FNUZ: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E5M2FNUZ);
    default: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E4M3);
    }
}

static void convert_f32_bf16__avx512(lf_bf16 *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 present = (__mmask16)(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
        __m512i bits = _mm512_maskz_loadu_epi32(present, (const char *)src + 4 * i);
        __m512 values = _mm512_castsi512_ps(bits);
        __m512i upper = _mm512_srli_epi32(bits, 16);
        __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
        __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        rounded = _mm512_srli_epi32(rounded, 16);
        __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
        rounded = _mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40));
        _mm256_mask_storeu_epi16((char *)dst + 2 * i, present, _mm512_cvtepi32_epi16(rounded));
    }
}

static void convert_bf16_f32__avx512(float *dst, const lf_bf16 *src, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 present = (__mmask16)(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
        __m256i bits = _mm256_maskz_loadu_epi16(present, (const char *)src + 2 * i);
        __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16);
        _mm512_mask_storeu_epi32((char *)dst + 4 * i, present, wide);
    }
}

static void convert_f16_f32__avx512(float *dst, const lf_f16 *src, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 present = (__mmask16)(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
        __m256i bits = _mm256_maskz_loadu_epi16(present, (const char *)src + 2 * i);
        _mm512_mask_storeu_ps((char *)dst + 4 * i, present, _mm512_cvtph_ps(bits));
    }
}

const lf__num_kernels lf__num_kernels__avx512 = {
    .dequant_fp8_bf16 = dequant_fp8_bf16__avx512,
    .dequant_fp8_groups_bf16 = lf__dequant_fp8_groups_bf16__avx2,
    .dequant_fp8_scales_bf16 = lf__dequant_fp8_scales_bf16__avx2,
    .dequant_fp4_bf16 = lf__dequant_fp4_bf16__avx2,
    .convert_f32_bf16 = convert_f32_bf16__avx512,
    .convert_bf16_f32 = convert_bf16_f32__avx512,
    .convert_f16_f32 = convert_f16_f32__avx512,
};
