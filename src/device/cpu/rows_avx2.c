// SPDX-License-Identifier: Apache-2.0
//
// The kernels along a row for AVX2: conversion, norm, rotation, gate, softmax, survey, exp. Reductions run in eight
// lanes (or several vectors of them) and differ from __ref by the order of addition only.
#include <immintrin.h>
#include <math.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

void lf_expand__avx2(float *restrict dst, const lf_bf16 *restrict src, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(dst + i, lf_v8_load_bf16(src + i));
    for (; i < n; i++) dst[i] = lf_bf16_to_f32(src[i]);
}

void lf_narrow__avx2(lf_bf16 *restrict dst, const float *restrict src, const float *restrict bias, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_loadu_ps(src + i);
        if (bias) value = _mm256_add_ps(value, _mm256_loadu_ps(bias + i));
        lf_v8_store_bf16(dst + i, value);
    }
    for (; i < n; i++) dst[i] = lf_bf16_from_f32(bias ? src[i] + bias[i] : src[i]);
}

// residual += x, rounded.
static void add_residual(lf_bf16 *residual, const lf_bf16 *x, size_t d)
{
    size_t i = 0;
    for (; i + 8 <= d; i += 8) {
        lf_v8_store_bf16(residual + i, _mm256_add_ps(lf_v8_load_bf16(residual + i), lf_v8_load_bf16(x + i)));
    }
    for (; i < d; i++) residual[i] = lf_bf16_from_f32(lf_bf16_to_f32(residual[i]) + lf_bf16_to_f32(x[i]));
}

float lf_square_sum__avx2(const lf_bf16 *x, size_t n)
{
    __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = lf_v8_load_bf16(x + i), b = lf_v8_load_bf16(x + i + 8);
        squares[0] = _mm256_fmadd_ps(a, a, squares[0]);
        squares[1] = _mm256_fmadd_ps(b, b, squares[1]);
    }
    for (; i < n; i += 8) {
        __m256 a = n - i >= 8 ? lf_v8_load_bf16(x + i) : lf_v8_load_bf16_part(x + i, n - i);
        squares[0] = _mm256_fmadd_ps(a, a, squares[0]);
    }
    return lf_v8_sum(_mm256_add_ps(squares[0], squares[1]));
}

void lf_scale__avx2(lf_bf16 *y, const lf_bf16 *x, float factor, const float *weight, size_t n)
{
    const __m256 factors = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 value = _mm256_mul_ps(lf_v8_load_bf16(x + i), factors);
        lf_v8_store_bf16(y + i, _mm256_mul_ps(value, _mm256_loadu_ps(weight + i)));
    }
    for (; i < n; i++) y[i] = lf_bf16_from_f32(lf_bf16_to_f32(x[i]) * factor * weight[i]);
}

void lf_norm__avx2(lf_bf16 *y, const lf_bf16 *x, lf_bf16 *residual, const float *weight, size_t d, float eps)
{
    if (residual) {
        add_residual(residual, x, d);
        x = residual;
    }
    lf_scale__avx2(y, x, 1 / sqrtf(lf_square_sum__avx2(x, d) / (float)d + eps), weight, d);
}

void lf_rotate__avx2(lf_bf16 *head, const float *cos_sin, size_t half)
{
    size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256 a = lf_v8_load_bf16(head + i), b = lf_v8_load_bf16(head + half + i);
        __m256 c = _mm256_loadu_ps(cos_sin + i), s = _mm256_loadu_ps(cos_sin + half + i);
        lf_v8_store_bf16(head + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        lf_v8_store_bf16(head + half + i, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
    }
    for (; i < half; i++) {
        float a = lf_bf16_to_f32(head[i]), b = lf_bf16_to_f32(head[half + i]);
        float c = cos_sin[i], s = cos_sin[half + i];
        head[i] = lf_bf16_from_f32(fmaf(a, c, -(b * s)));
        head[half + i] = lf_bf16_from_f32(fmaf(b, c, a * s));
    }
}

// A vector of eight pairs is two vectors of float32 after a shift and a mask, and the results go back the same way.
void lf_rotate_pairs__avx2(lf_bf16 *head, const float *cos_sin, size_t half)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    size_t i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256i pairs = _mm256_loadu_si256((const __m256i *)(const void *)(head + 2 * i));
        __m256 a = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
        __m256 b = _mm256_castsi256_ps(_mm256_and_si256(pairs, high));
        __m256 c = _mm256_loadu_ps(cos_sin + i), s = _mm256_loadu_ps(cos_sin + half + i);
        __m256i first = lf_v8_round_bf16(_mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        __m256i second = lf_v8_round_bf16(_mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
        _mm256_storeu_si256((__m256i *)(void *)(head + 2 * i), _mm256_or_si256(first, _mm256_slli_epi32(second, 16)));
    }
    for (; i < half; i++) {
        float a = lf_bf16_to_f32(head[2 * i]), b = lf_bf16_to_f32(head[2 * i + 1]);
        float c = cos_sin[i], s = cos_sin[half + i];
        head[2 * i] = lf_bf16_from_f32(fmaf(a, c, -(b * s)));
        head[2 * i + 1] = lf_bf16_from_f32(fmaf(b, c, a * s));
    }
}

// g / (1 + exp(-g)); below -88, where the quotient is smaller than 1e-36 and exp(-g) leaves float, it is 0.
static inline __m256 silu(__m256 g)
{
    __m256 e = lf_v8_exp(_mm256_min_ps(_mm256_set1_ps(88), _mm256_sub_ps(_mm256_setzero_ps(), g)));
    __m256 value = _mm256_div_ps(g, _mm256_add_ps(_mm256_set1_ps(1), e));
    __m256 vanished = _mm256_cmp_ps(g, _mm256_set1_ps(-88), _CMP_LT_OQ);
    __m256 is_nan = _mm256_cmp_ps(g, g, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_andnot_ps(vanished, value), g, is_nan);
}

void lf_gate__avx2(lf_bf16 *y, const lf_bf16 *gate, const lf_bf16 *up, size_t d)
{
    size_t i = 0;
    for (; i + 8 <= d; i += 8) {
        lf_v8_store_bf16(y + i, _mm256_mul_ps(silu(lf_v8_load_bf16(gate + i)), lf_v8_load_bf16(up + i)));
    }
    if (i == d) return;
    __m256 value = _mm256_mul_ps(silu(lf_v8_load_bf16_part(gate + i, d - i)), lf_v8_load_bf16_part(up + i, d - i));
    lf_v8_store_bf16_part(y + i, value, d - i);
}

void lf_add_scaled__avx2(float *restrict y, const float *restrict x, float factor, size_t n)
{
    const __m256 factors = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_fmadd_ps(factors, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; i++) y[i] = fmaf(factor, x[i], y[i]);
}

// Lanes [begin, end) of the chunk, as a mask for the vector at j.
static inline __m256 seen_lanes(size_t j, size_t begin, size_t end)
{
    __m256i lane = _mm256_add_epi32(_mm256_set1_epi32((int)j), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i seen = _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)begin), lane),
                                       _mm256_cmpgt_epi32(_mm256_set1_epi32((int)end), lane));
    return _mm256_castsi256_ps(seen);
}

void lf_soften__avx2(lf_soften_args *args)
{
    float *s = args->s;
    if (args->begin >= args->end) {
        for (size_t j = 0; j < LF_KEY_CHUNK; j += 8) _mm256_storeu_ps(s + j, _mm256_setzero_ps());
        return;
    }
    const __m256 scale = _mm256_set1_ps(args->scale), lowest = _mm256_set1_ps(-INFINITY);
    __m256 largest = _mm256_set1_ps(*args->m);
    __m256 score[LF_KEY_CHUNK / 8];
    for (size_t v = 0; v < LF_KEY_CHUNK / 8; v++) {
        __m256 seen = seen_lanes(8 * v, args->begin, args->end);
        score[v] = _mm256_blendv_ps(lowest, _mm256_mul_ps(_mm256_loadu_ps(s + 8 * v), scale), seen);
        largest = _mm256_max_ps(score[v], largest); // a NaN score loses here and shows in the sum
    }
    float m = lf_v8_max(largest);
    const __m256 offset = _mm256_set1_ps(m);
    __m256 sum = _mm256_setzero_ps();
    for (size_t v = 0; v < LF_KEY_CHUNK / 8; v++) {
        __m256 shifted = _mm256_sub_ps(score[v], offset);
        __m256 is_nan = _mm256_cmp_ps(shifted, shifted, _CMP_UNORD_Q);
        __m256 e = _mm256_or_ps(lf_v8_exp(shifted), is_nan); // all ones is a NaN
        sum = _mm256_add_ps(sum, e);
        _mm256_storeu_ps(s + 8 * v, e);
    }
    float shrink = _mm256_cvtss_f32(lf_v8_exp(_mm256_set1_ps(*args->m - m)));
    *args->l = *args->l * shrink + lf_v8_sum(sum);
    if (m == *args->m) return;
    *args->m = m;
    const __m256 factor = _mm256_set1_ps(shrink);
    size_t i = 0;
    for (; i + 8 <= args->n_out; i += 8)
        _mm256_storeu_ps(args->out + i, _mm256_mul_ps(_mm256_loadu_ps(args->out + i), factor));
    for (; i < args->n_out; i++) args->out[i] *= shrink;
}

lf_row_survey lf_survey__avx2(const float *x, size_t n)
{
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    const __m256 lowest = _mm256_set1_ps(-INFINITY);
    __m256 largest = lowest;
    __m256i n_odd = _mm256_setzero_si256(), n_minus = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 8) {
        __m256i valid = n - i >= 8 ? _mm256_set1_epi32(-1) : lf_v8_mask(n - i);
        __m256 value = _mm256_maskload_ps(x + i, valid);
        __m256i is_odd = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(value), exponent), exponent);
        __m256i is_minus = _mm256_castps_si256(_mm256_cmp_ps(value, lowest, _CMP_EQ_OQ));
        n_odd = _mm256_sub_epi32(n_odd, is_odd); // a mask is -1; lanes that were not loaded are 0, which is finite
        n_minus = _mm256_sub_epi32(n_minus, is_minus);
        __m256 usable = _mm256_castsi256_ps(_mm256_andnot_si256(is_odd, valid));
        largest = _mm256_max_ps(largest, _mm256_blendv_ps(lowest, value, usable));
    }
    lf_row_survey survey = {.max = lf_v8_max(largest)};
    int32_t odd[8], minus[8];
    _mm256_storeu_si256((__m256i *)(void *)odd, n_odd);
    _mm256_storeu_si256((__m256i *)(void *)minus, n_minus);
    for (int i = 0; i < 8; i++) {
        survey.n_minus_infinity += minus[i];
        survey.n_broken += odd[i] - minus[i];
    }
    return survey;
}

float lf_exponentiate__avx2(float *dst, const float *x, size_t n, float offset, float factor)
{
    const __m256 offsets = _mm256_set1_ps(offset), factors = _mm256_set1_ps(factor);
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < n; i += 8) {
        __m256i valid = n - i >= 8 ? _mm256_set1_epi32(-1) : lf_v8_mask(n - i);
        __m256 e = lf_v8_exp(_mm256_mul_ps(_mm256_sub_ps(_mm256_maskload_ps(x + i, valid), offsets), factors));
        e = _mm256_and_ps(e, _mm256_castsi256_ps(valid));
        _mm256_maskstore_ps(dst + i, valid, e);
        sum = _mm256_add_ps(sum, e);
    }
    return lf_v8_sum(sum);
}

uint64_t lf_scan__avx2(const uint64_t *words, size_t n_line)
{
    enum { AHEAD_LINES = 64 };
    __m256i parts[4];
    for (int i = 0; i < 4; i++) parts[i] = _mm256_setzero_si256();
    for (size_t line = 0; line < n_line; line++, words += 8) {
        const __m256i *from = (const __m256i *)(const void *)words;
        _mm_prefetch((const char *)(words + (size_t)8 * AHEAD_LINES), _MM_HINT_T0);
        int pair = (int)(line % 2) * 2;
        parts[pair] = _mm256_xor_si256(parts[pair], _mm256_loadu_si256(from));
        parts[pair + 1] = _mm256_xor_si256(parts[pair + 1], _mm256_loadu_si256(from + 1));
    }
    __m256i all = _mm256_xor_si256(_mm256_xor_si256(parts[0], parts[1]), _mm256_xor_si256(parts[2], parts[3]));
    uint64_t lanes[4];
    _mm256_storeu_si256((__m256i *)(void *)lanes, all);
    return lanes[0] ^ lanes[1] ^ lanes[2] ^ lanes[3];
}
