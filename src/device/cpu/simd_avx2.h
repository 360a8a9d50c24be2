// SPDX-License-Identifier: Apache-2.0
//
// Vector helpers of the AVX2 kernels; for files that are compiled with AVX2, FMA and F16C only. Everything is static
// inline: an external copy could be linked into code that runs on other processors.
#ifndef LF_DEVICE_CPU_SIMD_AVX2_H
#define LF_DEVICE_CPU_SIMD_AVX2_H

#include <immintrin.h>
#include <stddef.h>

#include "base/num.h"

// Only fully unrolled loops keep arrays of vectors in registers. clang unrolls these early enough, and too late when
// told to; gcc must be told.
#if defined(__clang__)
#define LF_UNROLL
#else
#define LF_UNROLL _Pragma("GCC unroll 8")
#endif

static inline __m256 lf_v8_load_bf16(const lf_bf16 *src)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)src)), 16));
}

// Nearest even; NaN becomes a quiet NaN of its sign (lf_bf16_from_f32).
static inline __m256i lf_v8_round_bf16(__m256 value)
{
    __m256i bits = _mm256_castps_si256(value);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

static inline void lf_v8_store_bf16(lf_bf16 *dst, __m256 value)
{
    __m256i wide = lf_v8_round_bf16(value);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(wide, wide), 0x08);
    _mm_storeu_si128((__m128i *)(void *)dst, _mm256_castsi256_si128(packed));
}

// The first n < 8 elements; the rest are zero. Goes through memory, so that nothing beyond the array is touched.
static inline __m256 lf_v8_load_bf16_part(const lf_bf16 *src, size_t n)
{
    lf_bf16 part[8] = {0};
    __builtin_memcpy(part, src, n * sizeof *part);
    return lf_v8_load_bf16(part);
}

static inline void lf_v8_store_bf16_part(lf_bf16 *dst, __m256 value, size_t n)
{
    lf_bf16 part[8];
    lf_v8_store_bf16(part, value);
    __builtin_memcpy(dst, part, n * sizeof *part);
}

// dst[i] gets pair i of eight rows of 16 bf16. Row r and row r + 4 share a vector from the start, so that the
// transposition never crosses the halves.
static inline __attribute__((always_inline)) void lf_v8_load_pairs(__m256i dst[8], const lf_bf16 *const rows[8])
{
    LF_UNROLL
    for (int half = 0; half < 2; half++) {
        __m256i a[4], b[4];
        LF_UNROLL
        for (int r = 0; r < 4; r++) {
            const __m128i *low = (const __m128i *)(const void *)(rows[r] + 8 * half);
            const __m128i *high = (const __m128i *)(const void *)(rows[r + 4] + 8 * half);
            a[r] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
        }
        LF_UNROLL
        for (int i = 0; i < 4; i += 2) {
            b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
            b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
        }
        dst[4 * half] = _mm256_unpacklo_epi64(b[0], b[2]);
        dst[4 * half + 1] = _mm256_unpackhi_epi64(b[0], b[2]);
        dst[4 * half + 2] = _mm256_unpacklo_epi64(b[1], b[3]);
        dst[4 * half + 3] = _mm256_unpackhi_epi64(b[1], b[3]);
    }
}

// All ones in the first n lanes.
static inline __m256i lf_v8_mask(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline float lf_v8_sum(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline float lf_v8_max(__m256 v)
{
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// exp(x) for x <= 88: 0 below -87.33 (the smallest normal result), 0 for NaN. x = n ln 2 + r with |r| <= ln 2 / 2, ln 2
// in two parts (Cody and Waite); exp(r) = 1 + r + r^2 q(r) with q of degree 4, fitted for the least relative error
// (3.1e-9); n goes into the exponent. At most 1.02 units in the last place off over all x in the range (tests/device).
static inline __m256 lf_v8_exp(__m256 x)
{
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    __m256 p = _mm256_set1_ps(0x1.6a23cep-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123a2p-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f2p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.555492p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
    p = _mm256_add_ps(p, _mm256_set1_ps(1));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    __m256 value = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
    return _mm256_and_ps(value, _mm256_cmp_ps(x, _mm256_set1_ps(-0x1.5d589ep+6f), _CMP_GT_OQ));
}

#endif
