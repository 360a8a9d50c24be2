// SPDX-License-Identifier: Apache-2.0
//
// multiply_tiles for AVX-512 F: four strips, one vector each, by six tokens: 24 sums of the 32 registers. Strips that
// do not fill a group of four go one by one. The bits are those of __ref (THE ORDER).
#include <immintrin.h>

#include "device/cpu/kernels.h"

#define INLINE static inline __attribute__((always_inline))
// See multiply_avx2.c.
#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

enum { MOST_STRIPS = 4 };

INLINE void multiply_add(__m512 *sum, __m512 w, __m512 value)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(value) : "memory");
}

INLINE void column(__m512 acc[LF_GROUP_TOKENS][MOST_STRIPS], const float *weights, size_t strip_stride, const float *x,
                   size_t x_token, size_t strips)
{
    __m512 w[MOST_STRIPS];
    UNROLL
    for (size_t s = 0; s < strips; s++) w[s] = _mm512_load_ps(weights + s * strip_stride);
    UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        __m512 value = _mm512_set1_ps(x[t * x_token]);
        UNROLL
        for (size_t s = 0; s < strips; s++) multiply_add(&acc[t][s], w[s], value);
    }
}

INLINE void tile(const lf_tiles_args *args, size_t strip, size_t g, size_t x_token, size_t x_column, size_t strips)
{
    const size_t n_col = args->n_col, strip_stride = n_col * LF_STRIP_ROWS, stride = args->sum_stride;
    const float *weights = args->strips + strip * strip_stride;
    const float *x = args->x + g * LF_GROUP_TOKENS * (args->x_is_rows ? (size_t)LF_KEY_CHUNK : n_col);
    float *sum = args->sum + g * LF_GROUP_TOKENS * stride + strip * LF_STRIP_ROWS;
    __m512 acc[LF_GROUP_TOKENS][MOST_STRIPS]; // in registers
    UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        UNROLL
        for (size_t s = 0; s < strips; s++) acc[t][s] = _mm512_load_ps(sum + t * stride + s * LF_STRIP_ROWS);
    }
    size_t k = 0;
    for (; k + 2 <= n_col; k += 2, weights += 2 * (size_t)LF_STRIP_ROWS, x += 2 * x_column) {
        column(acc, weights, strip_stride, x, x_token, strips);
        column(acc, weights + LF_STRIP_ROWS, strip_stride, x + x_column, x_token, strips);
    }
    if (k < n_col) column(acc, weights, strip_stride, x, x_token, strips);
    UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        UNROLL
        for (size_t s = 0; s < strips; s++) _mm512_store_ps(sum + t * stride + s * LF_STRIP_ROWS, acc[t][s]);
    }
}

void lf_multiply_tiles__avx512(const lf_tiles_args *args)
{
    size_t strip = 0;
    for (; strip + MOST_STRIPS <= args->n_strip; strip += MOST_STRIPS) {
        for (size_t g = 0; g < args->n_group; g++) {
            if (args->x_is_rows) {
                tile(args, strip, g, LF_KEY_CHUNK, 1, MOST_STRIPS);
            } else {
                tile(args, strip, g, 1, LF_GROUP_TOKENS, MOST_STRIPS);
            }
        }
    }
    for (; strip < args->n_strip; strip++) {
        for (size_t g = 0; g < args->n_group; g++) {
            if (args->x_is_rows) {
                tile(args, strip, g, LF_KEY_CHUNK, 1, 1);
            } else {
                tile(args, strip, g, 1, LF_GROUP_TOKENS, 1);
            }
        }
    }
}
