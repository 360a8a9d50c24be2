// SPDX-License-Identifier: Apache-2.0
//
// The kernels along a row that a prefill spends time in, for AVX-512: conversion, norm, gate, softmax. Tails are masked
// vectors. Reductions run in sixteen lanes and differ from __ref by the order of addition only.
#include <immintrin.h>
#include <math.h>

#include "base/mem.h"
#include "device/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))

// The first n <= 16 lanes.
INLINE __mmask16 lanes(size_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

// Lanes that the mask leaves out are not read and become zero.
INLINE __m512 load_bf16(const lf_bf16 *src, __mmask16 mask)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, src)), 16));
}

// Nearest even; NaN becomes a quiet NaN of its sign (lf_bf16_from_f32).
INLINE void store_bf16(lf_bf16 *dst, __mmask16 mask, __m512 value)
{
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_mask_storeu_epi16(dst, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

// lf_v8_exp of simd_avx2.h in sixteen lanes.
INLINE __m512 exponential(__m512 x)
{
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps(0x1.6a23cep-10f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.123a2p-7f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5558f2p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555492p-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffffcp-2f));
    p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
    p = _mm512_add_ps(p, _mm512_set1_ps(1));
    __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    __m512 value = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(-0x1.5d589ep+6f), _CMP_GT_OQ), value);
}

void lf_narrow__avx512(lf_bf16 *restrict dst, const float *restrict src, const float *restrict bias, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(n - i);
        __m512 value = _mm512_maskz_loadu_ps(mask, src + i);
        if (bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, bias + i));
        store_bf16(dst + i, mask, value);
    }
}

float lf_square_sum__avx512(const lf_bf16 *x, size_t n)
{
    __m512 squares[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (size_t i = 0; i < n; i += 32) {
        __m512 a = load_bf16(x + i, lanes(n - i));
        squares[0] = _mm512_fmadd_ps(a, a, squares[0]);
        if (n - i <= 16) break;
        __m512 b = load_bf16(x + i + 16, lanes(n - i - 16));
        squares[1] = _mm512_fmadd_ps(b, b, squares[1]);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1]));
}

void lf_scale__avx512(lf_bf16 *y, const lf_bf16 *x, float factor, const float *weight, size_t n)
{
    const __m512 factors = _mm512_set1_ps(factor);
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 mask = lanes(n - i);
        __m512 value = _mm512_mul_ps(load_bf16(x + i, mask), factors);
        store_bf16(y + i, mask, _mm512_mul_ps(value, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

void lf_norm__avx512(lf_bf16 *y, const lf_bf16 *x, lf_bf16 *residual, const float *weight, size_t d, float eps)
{
    for (size_t i = 0; residual && i < d; i += 16) {
        __mmask16 mask = lanes(d - i);
        store_bf16(residual + i, mask, _mm512_add_ps(load_bf16(residual + i, mask), load_bf16(x + i, mask)));
    }
    if (residual) x = residual;
    lf_scale__avx512(y, x, 1 / sqrtf(lf_square_sum__avx512(x, d) / (float)d + eps), weight, d);
}

// g / (1 + exp(-g)); below -88, where the quotient is smaller than 1e-36 and exp(-g) leaves float, it is 0.
INLINE __m512 silu(__m512 g)
{
    __m512 e = exponential(_mm512_min_ps(_mm512_set1_ps(88), _mm512_sub_ps(_mm512_setzero_ps(), g)));
    __m512 value = _mm512_div_ps(g, _mm512_add_ps(_mm512_set1_ps(1), e));
    value = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(g, _mm512_set1_ps(-88), _CMP_NLT_UQ), value);
    return _mm512_mask_mov_ps(value, _mm512_cmp_ps_mask(g, g, _CMP_UNORD_Q), g);
}

void lf_gate__avx512(lf_bf16 *y, const lf_bf16 *gate, const lf_bf16 *up, size_t d)
{
    for (size_t i = 0; i < d; i += 16) {
        __mmask16 mask = lanes(d - i);
        store_bf16(y + i, mask, _mm512_mul_ps(silu(load_bf16(gate + i, mask)), load_bf16(up + i, mask)));
    }
}

void lf_soften__avx512(lf_soften_args *args)
{
    enum { VECTORS = LF_KEY_CHUNK / 16 };
    float *s = args->s;
    if (args->begin >= args->end) {
        for (size_t j = 0; j < LF_KEY_CHUNK; j += 16) _mm512_storeu_ps(s + j, _mm512_setzero_ps());
        return;
    }
    const __m512 scale = _mm512_set1_ps(args->scale), lowest = _mm512_set1_ps(-INFINITY);
    __m512 score[VECTORS], largest = _mm512_set1_ps(*args->m);
    for (size_t v = 0; v < VECTORS; v++) {
        size_t from = LF_MIN(LF_MAX(args->begin, 16 * v), 16 * v + 16) - 16 * v;
        size_t to = LF_MIN(LF_MAX(args->end, 16 * v), 16 * v + 16) - 16 * v;
        __mmask16 seen = (__mmask16)(lanes(to) & ~lanes(from));
        score[v] = _mm512_mask_mul_ps(lowest, seen, _mm512_loadu_ps(s + 16 * v), scale);
        largest = _mm512_max_ps(score[v], largest); // a NaN score loses here and shows in the sum
    }
    float m = _mm512_reduce_max_ps(largest);
    const __m512 offset = _mm512_set1_ps(m);
    __m512 sum = _mm512_setzero_ps();
    for (size_t v = 0; v < VECTORS; v++) {
        __m512 shifted = _mm512_sub_ps(score[v], offset);
        __mmask16 is_nan = _mm512_cmp_ps_mask(shifted, shifted, _CMP_UNORD_Q);
        __m512 e = _mm512_mask_mov_ps(exponential(shifted), is_nan, shifted);
        sum = _mm512_add_ps(sum, e);
        _mm512_storeu_ps(s + 16 * v, e);
    }
    float shrink = _mm512_cvtss_f32(exponential(_mm512_set1_ps(*args->m - m)));
    *args->l = *args->l * shrink + _mm512_reduce_add_ps(sum);
    if (m == *args->m) return;
    *args->m = m;
    const __m512 factor = _mm512_set1_ps(shrink);
    for (size_t i = 0; i < args->n_out; i += 16) {
        __mmask16 mask = lanes(args->n_out - i);
        _mm512_mask_storeu_ps(args->out + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, args->out + i), factor));
    }
}
