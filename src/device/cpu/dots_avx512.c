// SPDX-License-Identifier: Apache-2.0
//
// dots for AVX-512: as dots_avx2.c, with vectors of 16 lanes and tiles of eight rows by three tokens.
#include <immintrin.h>

#include "device/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))
// Only fully unrolled loops keep the sums in registers; see multiply_avx512.c.
#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { TILE_ROWS = 8, TILE_TOKENS = 3, LANES = 16 };

// The lanes of `mask` of 16 bf16; the others are zero and are not touched.
INLINE __m512 load_bf16(const lf_bf16 *src, __mmask16 mask)
{
    __m256i bits = _mm256_maskz_loadu_epi16(mask, src);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

INLINE void columns(const lf_dots_args *args, __m512 sum[TILE_TOKENS][TILE_ROWS], const lf_bf16 *x, const float *w,
                    __mmask16 mask, int tokens, int rows)
{
    __m512 value[TILE_TOKENS];
    UNROLL
    for (int t = 0; t < tokens; t++) value[t] = load_bf16(x + (size_t)t * args->x_stride, mask);
    UNROLL
    for (int r = 0; r < rows; r++) {
        __m512 weight = _mm512_maskz_loadu_ps(mask, w + (size_t)r * args->n_col);
        UNROLL
        for (int t = 0; t < tokens; t++) sum[t][r] = _mm512_fmadd_ps(value[t], weight, sum[t][r]);
    }
}

INLINE void tile(const lf_dots_args *args, size_t tok, size_t row, int tokens, int rows)
{
    const lf_bf16 *x = args->x + tok * args->x_stride;
    const float *w = args->rows + row * args->n_col;
    __m512 sum[TILE_TOKENS][TILE_ROWS]; // in registers
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int r = 0; r < rows; r++) sum[t][r] = _mm512_setzero_ps();
    }
    size_t k = 0;
    for (; k + LANES <= args->n_col; k += LANES) columns(args, sum, x + k, w + k, 0xffff, tokens, rows);
    if (k < args->n_col) columns(args, sum, x + k, w + k, (__mmask16)((1u << (args->n_col - k)) - 1), tokens, rows);
    UNROLL
    for (int t = 0; t < tokens; t++) {
        UNROLL
        for (int r = 0; r < rows; r++)
            args->out[(tok + (size_t)t) * args->out_stride + row + (size_t)r] = _mm512_reduce_add_ps(sum[t][r]);
    }
}

// All tokens against `rows` rows.
INLINE void sweep(const lf_dots_args *args, size_t row, int rows)
{
    size_t tok = 0;
    for (; args->n_tok - tok >= TILE_TOKENS; tok += TILE_TOKENS) tile(args, tok, row, TILE_TOKENS, rows);
    switch (args->n_tok - tok) {
    case 1: tile(args, tok, row, 1, rows); break;
    case 2: tile(args, tok, row, 2, rows); break;
    default: break;
    }
}

void lf_dots__avx512(const lf_dots_args *args)
{
    size_t row = 0;
    for (; args->n_row - row >= TILE_ROWS; row += TILE_ROWS) sweep(args, row, TILE_ROWS);
    for (; row < args->n_row; row++) sweep(args, row, 1);
}
