// SPDX-License-Identifier: Apache-2.0
//
// Packing for AVX2: a pair of bf16 columns is one 32-bit element, so packing rows is a transposition of 8 by 8 of
// those.
#include <immintrin.h>
#include <string.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

static void pack_eight_rows(lf_bf16 *dst, const lf_bf16 *src, size_t src_stride, size_t n_col)
{
    const lf_bf16 *rows[8];
    __m256i pairs[8];
    size_t c = 0;
    for (; c + 16 <= n_col; c += 16) {
        for (size_t r = 0; r < 8; r++) rows[r] = src + r * src_stride + c;
        lf_v8_load_pairs(pairs, rows);
        lf_bf16 *out = dst + c / 2 * LF_PANEL_PAIR;
        for (size_t p = 0; p < 8; p++) _mm256_storeu_si256((__m256i *)(void *)(out + p * LF_PANEL_PAIR), pairs[p]);
    }
    if (c == n_col) return;
    lf_bf16 rest[8][16] = {{0}};
    for (size_t r = 0; r < 8; r++) {
        memcpy(rest[r], src + r * src_stride + c, (n_col - c) * sizeof *src);
        rows[r] = rest[r];
    }
    lf_v8_load_pairs(pairs, rows);
    lf_bf16 *out = dst + c / 2 * LF_PANEL_PAIR;
    for (size_t p = 0; 2 * p < n_col - c; p++)
        _mm256_storeu_si256((__m256i *)(void *)(out + p * LF_PANEL_PAIR), pairs[p]);
}

void lf_pack_rows__avx2(lf_bf16 *panel, size_t row, const lf_bf16 *src, size_t src_stride, size_t n_row, size_t n_col)
{
    size_t r = 0;
    for (; r + 8 <= n_row; r += 8) pack_eight_rows(panel + 2 * (row + r), src + r * src_stride, src_stride, n_col);
    for (; r < n_row; r++) {
        const lf_bf16 *from = src + r * src_stride;
        lf_bf16 *to = panel + 2 * (row + r);
        for (size_t c = 0; c + 1 < n_col; c += 2) memcpy(to + c / 2 * LF_PANEL_PAIR, from + c, 2 * sizeof *to);
        if (n_col % 2 == 0) continue;
        to[n_col / 2 * LF_PANEL_PAIR] = from[n_col - 1];
        to[n_col / 2 * LF_PANEL_PAIR + 1] = 0;
    }
}
