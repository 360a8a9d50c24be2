// SPDX-License-Identifier: Apache-2.0
//
// dots for AVX2. A tile is up to four rows by up to three tokens; each of its sums is one vector over all columns, and
// its lanes are added at the end. So an output's bits are the same in every tile.
#include <immintrin.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE_ROWS = 4, TILE_TOKENS = 3, LANES = 8 };

INLINE void tile(const lf_dots_args *args, size_t tok, size_t row, int tokens, int rows)
{
    const lf_bf16 *x = args->x + tok * args->x_stride;
    const float *w = args->rows + row * args->n_col;
    __m256 sum[TILE_TOKENS][TILE_ROWS], value[TILE_TOKENS]; // in registers
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int r = 0; r < rows; r++) sum[t][r] = _mm256_setzero_ps();
    }
    size_t k = 0;
    for (; k + LANES <= args->n_col; k += LANES) {
        LF_UNROLL
        for (int t = 0; t < tokens; t++) value[t] = lf_v8_load_bf16(x + (size_t)t * args->x_stride + k);
        LF_UNROLL
        for (int r = 0; r < rows; r++) {
            __m256 weight = _mm256_loadu_ps(w + (size_t)r * args->n_col + k);
            LF_UNROLL
            for (int t = 0; t < tokens; t++) sum[t][r] = _mm256_fmadd_ps(value[t], weight, sum[t][r]);
        }
    }
    size_t rest = args->n_col - k;
    for (int t = 0; rest && t < tokens; t++) {
        __m256 last = lf_v8_load_bf16_part(x + (size_t)t * args->x_stride + k, rest);
        for (int r = 0; r < rows; r++) {
            __m256 weight = _mm256_maskload_ps(w + (size_t)r * args->n_col + k, lf_v8_mask(rest));
            sum[t][r] = _mm256_fmadd_ps(last, weight, sum[t][r]);
        }
    }
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int r = 0; r < rows; r++)
            args->out[(tok + (size_t)t) * args->out_stride + row + (size_t)r] = lf_v8_sum(sum[t][r]);
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

void lf_dots__avx2(const lf_dots_args *args)
{
    size_t row = 0;
    for (; args->n_row - row >= TILE_ROWS; row += TILE_ROWS) sweep(args, row, TILE_ROWS);
    for (; row < args->n_row; row++) sweep(args, row, 1);
}
