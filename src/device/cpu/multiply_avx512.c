// SPDX-License-Identifier: Apache-2.0
//
// multiply for AVX-512 F: vectors of 16 rows, which is a strip. A whole panel is four vectors by up to six tokens, 24
// sums of the 32 registers; single strips are one vector. Even columns before odd ones (THE ORDER), so the bits are
// those of __ref.
#include <immintrin.h>

#include "device/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))
// Only fully unrolled loops keep the sums in registers. clang unrolls these early enough, and too late when told to;
// gcc must be told.
#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 6")
#endif

enum { MOST_TOKENS = 6 };

// sum += w * value in place; see multiply_avx2.c.
INLINE void multiply_add(__m512 *sum, __m512 w, __m512 value)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(value) : "memory");
}

INLINE void column(__m512 acc[MOST_TOKENS][LF_PANEL_STRIPS], const __m512 w[LF_PANEL_STRIPS], const float *x,
                   size_t x_stride, int groups, int tokens)
{
    UNROLL
    for (int t = 0; t < tokens; t++) {
        __m512 value = _mm512_set1_ps(x[(size_t)t * x_stride]);
        UNROLL
        for (int g = 0; g < groups; g++) multiply_add(&acc[t][g], w[g], value);
    }
}

INLINE void tile(const lf_multiply_args *args, size_t row, size_t tok, int groups, int tokens, bool ahead)
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000u);
    const size_t x_stride = args->x_stride, n_pair = args->n_pair;
    const lf_bf16 *pair = args->panel + 2 * row;
    const float *x = args->x + tok * x_stride;
    float *sum = args->sum + tok * args->sum_stride + row;
    __m512 acc[MOST_TOKENS][LF_PANEL_STRIPS], w[LF_PANEL_STRIPS]; // in registers
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int g = 0; g < groups; g++) acc[t][g] = _mm512_loadu_ps(sum + (size_t)t * args->sum_stride + 16 * g);
    }
    for (size_t p = 0; p < n_pair; p++, pair += LF_PANEL_PAIR, x += 2) {
        const __m512i *weights = (const __m512i *)(const void *)pair;
        if (ahead) {
            const char *line = (const char *)(pair + LF_PREFETCH_PAIRS * LF_PANEL_PAIR);
            for (int i = 0; i < 4; i++) _mm_prefetch(line + i * 64, _MM_HINT_T0);
        }
        UNROLL
        for (int g = 0; g < groups; g++)
            w[g] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_load_si512(weights + g), 16));
        column(acc, w, x, x_stride, groups, tokens);
        UNROLL
        for (int g = 0; g < groups; g++)
            w[g] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_load_si512(weights + g), high));
        column(acc, w, x + 1, x_stride, groups, tokens);
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int g = 0; g < groups; g++) _mm512_storeu_ps(sum + (size_t)t * args->sum_stride + 16 * g, acc[t][g]);
    }
}

INLINE void sweep(const lf_multiply_args *args, size_t tok, int tokens)
{
    if (args->n_strip == LF_PANEL_STRIPS) {
        tile(args, 0, tok, LF_PANEL_STRIPS, tokens, tok == 0);
        return;
    }
    for (size_t strip = args->strip; strip < args->strip + args->n_strip; strip++) {
        tile(args, strip * LF_STRIP_ROWS, tok, 1, tokens, false);
    }
}

void lf_multiply__avx512(const lf_multiply_args *args)
{
    size_t tok = 0;
    for (; args->n_tok - tok >= MOST_TOKENS; tok += MOST_TOKENS) sweep(args, tok, MOST_TOKENS);
    switch (args->n_tok - tok) {
    case 1: sweep(args, tok, 1); break;
    case 2: sweep(args, tok, 2); break;
    case 3: sweep(args, tok, 3); break;
    case 4: sweep(args, tok, 4); break;
    case 5: sweep(args, tok, 5); break;
    default: break;
    }
}
