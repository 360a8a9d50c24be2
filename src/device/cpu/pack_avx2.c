// SPDX-License-Identifier: Apache-2.0
//
// Packing for AVX2: a pair of bf16 columns is one 32-bit element, so packing rows is a transposition of 8 by 8 of
// those, and packing columns interleaves two rows.
#include <immintrin.h>
#include <string.h>

#include "device/cpu/kernels.h"

static inline __m256i load_pairs(const lf_bf16 *src) { return _mm256_loadu_si256((const __m256i *)(const void *)src); }

// dst[i] gets pair i of the eight rows.
static inline void transpose(__m256i dst[8], const __m256i r[8])
{
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        dst[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        dst[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

static void pack_eight_rows(lf_bf16 *dst, const lf_bf16 *src, size_t src_stride, size_t n_col)
{
    __m256i rows[8], pairs[8];
    size_t c = 0;
    for (; c + 16 <= n_col; c += 16) {
        for (size_t r = 0; r < 8; r++) rows[r] = load_pairs(src + r * src_stride + c);
        transpose(pairs, rows);
        lf_bf16 *out = dst + c / 2 * LF_PANEL_PAIR;
        for (size_t p = 0; p < 8; p++) _mm256_storeu_si256((__m256i *)(void *)(out + p * LF_PANEL_PAIR), pairs[p]);
    }
    if (c == n_col) return;
    lf_bf16 rest[8][16] = {{0}};
    for (size_t r = 0; r < 8; r++) {
        memcpy(rest[r], src + r * src_stride + c, (n_col - c) * sizeof *src);
        rows[r] = load_pairs(rest[r]);
    }
    transpose(pairs, rows);
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

// Two columns of n_row rows, interleaved; `panels` is their place in the first panel.
static void pack_pair(lf_bf16 *panels, const lf_bf16 *even, const lf_bf16 *odd, size_t n_row)
{
    size_t r = 0;
    for (; r + 16 <= n_row; r += 16) {
        __m256i a = load_pairs(even + r), b = load_pairs(odd + r);
        __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
        __m256i *dst = (__m256i *)(void *)(panels + r / LF_PANEL_ROWS * LF_VALUE_PANEL + r % LF_PANEL_ROWS * 2);
        _mm256_storeu_si256(dst, _mm256_permute2x128_si256(low, high, 0x20));
        _mm256_storeu_si256(dst + 1, _mm256_permute2x128_si256(low, high, 0x31));
    }
    for (; r < n_row; r++) {
        lf_bf16 *dst = panels + r / LF_PANEL_ROWS * LF_VALUE_PANEL + r % LF_PANEL_ROWS * 2;
        dst[0] = even[r];
        dst[1] = odd[r];
    }
}

void lf_pack_columns__avx2(lf_bf16 *panels, const lf_bf16 *const *rows, size_t n_pair, size_t n_row)
{
    for (size_t p = 0; p < n_pair; p++) pack_pair(panels + p * LF_PANEL_PAIR, rows[2 * p], rows[2 * p + 1], n_row);
}
