// SPDX-License-Identifier: Apache-2.0
//
// multiply for AVX2. A register tile is `groups` vectors of 8 rows by `tokens` tokens; its sums live in registers while
// the columns pass, even columns before odd ones (THE ORDER). At least eight independent chains hide the latency of the
// multiply-add; few tokens take more rows, so that the weights stream in whole cache lines.
#include <immintrin.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

#define INLINE static inline __attribute__((always_inline))

// sum += w * value, in place and in this order. As an intrinsic, compilers move the loads of later tokens up or pick a
// form that writes another register; with all sums in registers there is no room for that, and spilled sums cost a
// third of the speed.
INLINE void multiply_add(__m256 *sum, __m256 w, __m256 value)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(w), "x"(value) : "memory");
}

// sums += weights * x of one column, whose weights are vector g -> `weight`. Many tokens: a token's x is loaded once
// for all rows. Few tokens: all x stay in registers and weights pass.
typedef __m256 (*weight_of)(const __m256i *weights, int g);

INLINE __m256 even_column(const __m256i *weights, int g)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_load_si256(weights + g), 16));
}

#define HIGH 0xffff0000u

INLINE __m256 odd_column(const __m256i *weights, int g)
{
    // The mask stays in memory: the sums need the registers.
    static const uint32_t high[8] __attribute__((aligned(32))) = {HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH, HIGH};
    __m256i w = _mm256_load_si256(weights + g);
    __asm__("vpand %1, %0, %0" : "+x"(w) : "m"(high));
    return _mm256_castsi256_ps(w);
}

INLINE void column(__m256 acc[8][8], weight_of weight, const __m256i *weights, const float *x, size_t x_stride,
                   int groups, int tokens)
{
    if (groups == 2) {
        __m256 w[2] = {weight(weights, 0), weight(weights, 1)};
        LF_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256 value = _mm256_broadcast_ss(x + (size_t)t * x_stride);
            LF_UNROLL
            for (int g = 0; g < 2; g++) {
                multiply_add(&acc[t][g], w[g], value);
            }
        }
        return;
    }
    __m256 value[2];
    LF_UNROLL
    for (int t = 0; t < tokens; t++) value[t] = _mm256_broadcast_ss(x + (size_t)t * x_stride);
    LF_UNROLL
    for (int g = 0; g < groups; g++) {
        __m256 w = weight(weights, g);
        LF_UNROLL
        for (int t = 0; t < tokens; t++) {
            multiply_add(&acc[t][g], w, value[t]);
        }
    }
}

// `ahead`: this is the first tile to touch the panel, so it asks for memory that will be needed: all rows of the
// columns to come.
INLINE void tile(const lf_multiply_args *args, size_t row, size_t tok, int groups, int tokens, bool ahead)
{
    float *sum = args->sum + tok * args->sum_stride + row;
    const float *x = args->x + tok * args->x_stride;
    const size_t x_stride = args->x_stride, n_pair = args->n_pair;
    const lf_bf16 *pair = args->panel + 2 * row;
    __m256 acc[8][8]; // [tokens][groups], in registers
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int g = 0; g < groups; g++) acc[t][g] = _mm256_loadu_ps(sum + (size_t)t * args->sum_stride + 8 * g);
    }
    for (size_t p = 0; p < n_pair; p++, pair += LF_PANEL_PAIR, x += 2) {
        const __m256i *weights = (const __m256i *)(const void *)pair;
        if (ahead) {
            const char *line = (const char *)(pair + LF_PREFETCH_PAIRS * LF_PANEL_PAIR);
            for (int i = 0; i < 4; i++) _mm_prefetch(line + i * 64, _MM_HINT_T0);
        }
        column(acc, even_column, weights, x, x_stride, groups, tokens);
        column(acc, odd_column, weights, x + 1, x_stride, groups, tokens);
    }
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int g = 0; g < groups; g++) _mm256_storeu_ps(sum + (size_t)t * args->sum_stride + 8 * g, acc[t][g]);
    }
}

// Rows of all strips for `tokens` tokens, `groups` vectors of rows at a time.
INLINE void sweep(const lf_multiply_args *args, size_t tok, int groups, int tokens)
{
    size_t row = args->strip * LF_STRIP_ROWS, end = row + args->n_strip * LF_STRIP_ROWS, step = 8 * (size_t)groups;
    if (tok == 0 && row + step <= end) {
        tile(args, row, tok, groups, tokens, true);
        row += step;
    }
    for (; row + step <= end; row += step) tile(args, row, tok, groups, tokens, false);
    for (; row < end; row += LF_STRIP_ROWS) tile(args, row, tok, 2, tokens, false);
}

void lf_multiply__avx2(const lf_multiply_args *args)
{
    size_t tok = 0;
    for (; args->n_tok - tok >= 6; tok += 6) sweep(args, tok, 2, 6);
    switch (args->n_tok - tok) {
    case 1: sweep(args, tok, 8, 1); break;
    case 2: sweep(args, tok, 4, 2); break;
    case 3: sweep(args, tok, 2, 3); break;
    case 4: sweep(args, tok, 2, 4); break;
    case 5: sweep(args, tok, 2, 5); break;
    default: break;
    }
}
