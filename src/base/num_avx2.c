// SPDX-License-Identifier: Apache-2.0
//
// The array kernels in AVX2 + F16C, compiled with exactly these flags. FP8 is dequantized without a single
// floating-point operation per element: see lf__fp8_scale_is_regular for the identity, `mantissa_table` for its table.
// The trap: the identity holds only while no product is subnormal or overflows, and NaN and Inf codes are not of that
// form; both go to the portable kernel.
#include <immintrin.h>
#include <string.h>

#include "base/num_int.h"

enum { CODES_PER_STEP = 32 };

typedef struct mantissa_table {
    __m256i low, high; // bytes of the 16-bit entries, the same in both lanes
} mantissa_table;

// bf16(values * scale) for 8 values as 32-bit integers. No NaN here: the scale is regular.
static inline __m256i rounded_products(__m256 values, __m256 scale)
{
    __m256i bits = _mm256_castps_si256(_mm256_mul_ps(values, scale));
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
}

// Entry i: i < 2^M is the subnormal code i; 2^M + m is mantissa m with exponent field 1, less the exponent field that
// the element's own is going to be added to.
static inline mantissa_table mantissa_table_of(lf__fp8_format format, float scale)
{
    // code = i * step, and step * scale is exact (a power of two; the scale is regular), so this is code * scale
    // rounded once
    float step = lf_f32_from_bits((uint32_t)(128 - format.bias - format.mantissa_bits) << 23);
    __m256 factor = _mm256_set1_ps(step * scale);
    __m256 first = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7), second = _mm256_setr_ps(8, 9, 10, 11, 12, 13, 14, 15);
    __m256i entries = _mm256_packus_epi32(rounded_products(first, factor), rounded_products(second, factor));
    entries = _mm256_permute4x64_epi64(entries, 0xd8);
    const __m256i normal = format.mantissa_bits == 3
                               ? _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 128, 128, 128, 128, 128, 128, 128, 128)
                               : _mm256_setr_epi16(0, 0, 0, 0, 128, 128, 128, 128, 0, 0, 0, 0, 0, 0, 0, 0);
    entries = _mm256_sub_epi16(entries, normal);
    __m256i bytes =
        _mm256_packus_epi16(_mm256_and_si256(entries, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(entries, 8));
    // bytes: low 0-7, high 0-7 | low 8-15, high 8-15
    bytes = _mm256_permute4x64_epi64(bytes, 0xd8);
    return (mantissa_table){
        .low = _mm256_permute2x128_si256(bytes, bytes, 0x00),
        .high = _mm256_permute2x128_si256(bytes, bytes, 0x11),
    };
}

static inline __m256i at_least(__m256i codes, lf__fp8_format format, uint8_t from)
{
    __m256i key = _mm256_and_si256(_mm256_xor_si256(codes, _mm256_set1_epi8((char)format.flip)),
                                   _mm256_set1_epi8((char)format.mask));
    return _mm256_cmpeq_epi8(_mm256_max_epu8(key, _mm256_set1_epi8((char)from)), key);
}

// 16 of the 32 products: `entry` from the table, plus exponent field, with the sign of `code` (here in the upper byte
// of a word). With `has_shift`, `shift` is added to the exponent of all but zeros (only their entry is 0): a factor
// that is a power of two.
static inline __attribute__((always_inline)) __m256i assemble(__m256i entry, __m256i code, int mantissa_bits,
                                                              __m256i shift, bool has_shift)
{
    const __m256i exponent_mask = _mm256_set1_epi16((short)(0x7f00 & ~(((1 << mantissa_bits) - 1) << 8)));
    __m256i exponent = _mm256_srli_epi16(_mm256_and_si256(code, exponent_mask), 1 + mantissa_bits);
    __m256i sign = _mm256_and_si256(code, _mm256_set1_epi16((short)0x8000));
    if (has_shift) {
        __m256i is_zero = _mm256_cmpeq_epi16(entry, _mm256_setzero_si256());
        exponent = _mm256_add_epi16(exponent, _mm256_andnot_si256(is_zero, shift));
    }
    return _mm256_or_si256(_mm256_add_epi16(entry, exponent), sign);
}

// false, with nothing written, when one of the 32 codes is NaN or Inf.
static inline __attribute__((always_inline)) bool shifted_step(lf_bf16 *dst, const uint8_t *codes, mantissa_table table,
                                                               lf__fp8_format format, __m256i shift, bool has_shift)
{
    const __m256i zero = _mm256_setzero_si256();
    const int implicit = 1 << format.mantissa_bits;
    __m256i code = _mm256_loadu_si256((const __m256i *)(const void *)codes);
    __m256i special = at_least(code, format, format.special_from);
    if (__builtin_expect(!_mm256_testz_si256(special, special), 0)) return false;
    code = _mm256_permute4x64_epi64(code, 0xd8); // so that unpacking yields consecutive elements
    __m256i magnitude = _mm256_and_si256(code, _mm256_set1_epi8(0x7f));
    __m256i mantissa = _mm256_and_si256(code, _mm256_set1_epi8((char)(implicit - 1)));
    // min(): a subnormal magnitude is smaller than its mantissa with the implicit bit
    __m256i index = _mm256_min_epu8(magnitude, _mm256_or_si256(mantissa, _mm256_set1_epi8((char)implicit)));
    __m256i low = _mm256_shuffle_epi8(table.low, index), high = _mm256_shuffle_epi8(table.high, index);
    __m256i first = assemble(_mm256_unpacklo_epi8(low, high), _mm256_unpacklo_epi8(zero, code), format.mantissa_bits,
                             shift, has_shift);
    __m256i second = assemble(_mm256_unpackhi_epi8(low, high), _mm256_unpackhi_epi8(zero, code), format.mantissa_bits,
                              shift, has_shift);
    _mm256_storeu_si256((__m256i *)(void *)dst, first);
    _mm256_storeu_si256((__m256i *)(void *)((char *)dst + 32), second);
    return true;
}

static inline bool dequant_step(lf_bf16 *dst, const uint8_t *codes, mantissa_table table, lf__fp8_format format)
{
    return shifted_step(dst, codes, table, format, _mm256_setzero_si256(), false);
}

static inline __attribute__((always_inline)) size_t dequant_format(lf_bf16 *dst, const uint8_t *codes, size_t n,
                                                                   float scale, lf_dtype dtype, lf__fp8_format format)
{
    if (!lf__fp8_scale_is_regular(format, scale)) {
        return lf__num_kernels__ref.dequant_fp8_bf16(dst, codes, n, scale, dtype);
    }
    mantissa_table table = mantissa_table_of(format, scale);
    size_t i = 0, n_nan = 0;
    for (; i + CODES_PER_STEP <= n; i += CODES_PER_STEP) {
        lf_bf16 *to = (lf_bf16 *)(void *)((char *)dst + 2 * i);
        if (dequant_step(to, codes + i, table, format)) continue;
        n_nan += lf__num_kernels__ref.dequant_fp8_bf16(to, codes + i, CODES_PER_STEP, scale, dtype);
    }
    if (i == n) return n_nan;
    uint8_t rest[CODES_PER_STEP] = {0};
    lf_bf16 products[CODES_PER_STEP];
    memcpy(rest, codes + i, n - i);
    if (!dequant_step(products, rest, table, format)) {
        n_nan += lf__num_kernels__ref.dequant_fp8_bf16(products, rest, n - i, scale, dtype);
    }
    memcpy((char *)dst + 2 * i, products, 2 * (n - i));
    return n_nan;
}

static size_t dequant_fp8_bf16__avx2(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype)
{
    switch (dtype) { // one loop per format, with its shifts as constants
    case LF_DTYPE_F8_E5M2: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E5M2);
    case LF_DTYPE_F8_E4M3FNUZ: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E4M3FNUZ);
    case LF_DTYPE_F8_E5M2FNUZ: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E5M2FNUZ);
    default: return dequant_format(dst, codes, n, scale, dtype, LF__FP8_E4M3);
    }
}

// bf16 of 8 floats as 32-bit integers, as lf_bf16_from_f32.
static inline __m256i bf16_words(__m256 values)
{
    __m256i bits = _mm256_castps_si256(values), upper = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(values, values, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), is_nan);
}

// Groups of 32 under E8M0 scales: one table for all, and the exponent of the scale is added to the products.
static inline __attribute__((always_inline)) size_t dequant_groups(lf_bf16 *dst, const uint8_t *codes,
                                                                   const uint8_t *scales, size_t n_group,
                                                                   lf_dtype dtype, lf__fp8_format format)
{
    const mantissa_table table = mantissa_table_of(format, 1.0f);
    size_t n_nan = 0;
    for (size_t g = 0; g < n_group; g++, codes += CODES_PER_STEP) {
        lf_bf16 *to = (lf_bf16 *)(void *)((char *)dst + 2 * CODES_PER_STEP * g);
        __m256i shift = _mm256_set1_epi16((short)((scales[g] - 127) * 128));
        bool is_regular = lf__fp8_scale_is_regular(format, lf_f32_from_bits((uint32_t)scales[g] << 23));
        if (is_regular && shifted_step(to, codes, table, format, shift, true)) continue;
        float scale = lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scales[g]);
        n_nan += lf__num_kernels__ref.dequant_fp8_bf16(to, codes, CODES_PER_STEP, scale, dtype);
    }
    return n_nan;
}

size_t lf__dequant_fp8_groups_bf16__avx2(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                         lf_dtype dtype)
{
    switch (dtype) {
    case LF_DTYPE_F8_E5M2: return dequant_groups(dst, codes, scales, n_group, dtype, LF__FP8_E5M2);
    case LF_DTYPE_F8_E4M3FNUZ: return dequant_groups(dst, codes, scales, n_group, dtype, LF__FP8_E4M3FNUZ);
    case LF_DTYPE_F8_E5M2FNUZ: return dequant_groups(dst, codes, scales, n_group, dtype, LF__FP8_E5M2FNUZ);
    default: return dequant_groups(dst, codes, scales, n_group, dtype, LF__FP8_E4M3);
    }
}

size_t lf__dequant_fp8_scales_bf16__avx2(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n,
                                         lf_dtype dtype)
{
    const float *table = lf_fp8_table(dtype);
    size_t i = 0, n_nan = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(codes + i)));
        __m256 values = _mm256_i32gather_ps(table, index, sizeof(float));
        __m256 products = _mm256_mul_ps(values, _mm256_loadu_ps(scales + i));
        __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(products, products, _CMP_UNORD_Q));
        __m256i words = _mm256_blendv_epi8(bf16_words(products), _mm256_set1_epi32(0x7fc0), is_nan);
        __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128((__m128i *)(void *)((char *)dst + 2 * i), packed);
        n_nan += (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(values, values, _CMP_UNORD_Q)));
    }
    return n_nan + lf__num_kernels__ref.dequant_fp8_scales_bf16((lf_bf16 *)(void *)((char *)dst + 2 * i), codes + i,
                                                                scales + i, n - i, dtype);
}

// Packed FP4: the 16 products are a table of bytes, looked up for the low and the high halves of 16 bytes at a time.
void lf__dequant_fp4_bf16__avx2(lf_bf16 *dst, const uint8_t *packed, size_t n, float scale)
{
    const bool is_plain = lf_f32_bits(scale) < 0x7f800000u; // otherwise products may be NaN, or negative
    size_t i = 0;
    if (is_plain && n >= CODES_PER_STEP) {
        __m256i words = rounded_products(_mm256_setr_ps(0, 0.5f, 1, 1.5f, 2, 3, 4, 6), _mm256_set1_ps(scale));
        __m128i entries = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        __m128i negative = _mm_or_si128(entries, _mm_set1_epi16((short)0x8000)), byte = _mm_set1_epi16(0xff);
        __m128i low = _mm_packus_epi16(_mm_and_si128(entries, byte), _mm_and_si128(negative, byte));
        __m128i high = _mm_packus_epi16(_mm_srli_epi16(entries, 8), _mm_srli_epi16(negative, 8));
        const __m256i lows = _mm256_broadcastsi128_si256(low), highs = _mm256_broadcastsi128_si256(high);
        for (; i + CODES_PER_STEP <= n; i += CODES_PER_STEP) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(packed + i / 2));
            __m128i even = _mm_and_si128(bytes, _mm_set1_epi8(0xf));
            __m128i odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0xf));
            __m256i codes = _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
            __m256i first = _mm256_shuffle_epi8(lows, codes), second = _mm256_shuffle_epi8(highs, codes);
            __m256i a = _mm256_unpacklo_epi8(first, second), b = _mm256_unpackhi_epi8(first, second);
            char *to = (char *)dst + 2 * i;
            _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute2x128_si256(a, b, 0x20));
            _mm256_storeu_si256((__m256i *)(void *)(to + 32), _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
    lf__num_kernels__ref.dequant_fp4_bf16((lf_bf16 *)(void *)((char *)dst + 2 * i), packed + i / 2, n - i, scale);
}

static void convert_f32_bf16__avx2(lf_bf16 *dst, const float *src, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const char *from = (const char *)src + 4 * i;
        __m256i words = _mm256_packus_epi32(bf16_words(_mm256_loadu_ps((const float *)(const void *)from)),
                                            bf16_words(_mm256_loadu_ps((const float *)(const void *)(from + 32))));
        _mm256_storeu_si256((__m256i *)(void *)((char *)dst + 2 * i), _mm256_permute4x64_epi64(words, 0xd8));
    }
    lf__num_kernels__ref.convert_f32_bf16((lf_bf16 *)(void *)((char *)dst + 2 * i),
                                          (const float *)(const void *)((const char *)src + 4 * i), n - i);
}

static void convert_bf16_f32__avx2(float *dst, const lf_bf16 *src, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)((const char *)src + 2 * i));
        __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16);
        _mm256_storeu_si256((__m256i *)(void *)((char *)dst + 4 * i), wide);
    }
    lf__num_kernels__ref.convert_bf16_f32((float *)(void *)((char *)dst + 4 * i),
                                          (const lf_bf16 *)(const void *)((const char *)src + 2 * i), n - i);
}

static void convert_f16_f32__avx2(float *dst, const lf_f16 *src, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)((const char *)src + 2 * i));
        _mm256_storeu_ps((float *)(void *)((char *)dst + 4 * i), _mm256_cvtph_ps(bits));
    }
    lf__num_kernels__ref.convert_f16_f32((float *)(void *)((char *)dst + 4 * i),
                                         (const lf_f16 *)(const void *)((const char *)src + 2 * i), n - i);
}

const lf__num_kernels lf__num_kernels__avx2 = {
    .dequant_fp8_bf16 = dequant_fp8_bf16__avx2,
    .dequant_fp8_groups_bf16 = lf__dequant_fp8_groups_bf16__avx2,
    .dequant_fp8_scales_bf16 = lf__dequant_fp8_scales_bf16__avx2,
    .dequant_fp4_bf16 = lf__dequant_fp4_bf16__avx2,
    .convert_f32_bf16 = convert_f32_bf16__avx2,
    .convert_bf16_f32 = convert_bf16_f32__avx2,
    .convert_f16_f32 = convert_f16_f32__avx2,
};
