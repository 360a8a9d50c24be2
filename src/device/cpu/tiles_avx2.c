// SPDX-License-Identifier: Apache-2.0
//
// The tiles of many tokens for AVX2: making strips and groups, and multiplying them. A register tile is one strip (two
// vectors) by six tokens, twelve sums; per column it loads eight times and multiplies twelve times. Four columns an
// iteration: on a processor whose other hardware thread is busy, what limits the loop is the number of instructions.
#include <immintrin.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void multiply_add(__m256 *sum, __m256 w, __m256 value)
{
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(*sum) : "x"(w), "x"(value) : "memory");
}

INLINE void column(__m256 acc[LF_GROUP_TOKENS][2], const float *weights, const float *x, size_t x_token)
{
    __m256 w[2] = {_mm256_load_ps(weights), _mm256_load_ps(weights + 8)};
    LF_UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        __m256 value = _mm256_broadcast_ss(x + t * x_token);
        multiply_add(&acc[t][0], w[0], value);
        multiply_add(&acc[t][1], w[1], value);
    }
}

// x_token, x_column: elements between two tokens and two columns of x, known to the compiler.
INLINE void tile(float *sum, size_t sum_stride, const float *x, const float *weights, size_t n_col, size_t x_token,
                 size_t x_column)
{
    __m256 acc[LF_GROUP_TOKENS][2]; // in registers
    LF_UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        acc[t][0] = _mm256_load_ps(sum + t * sum_stride);
        acc[t][1] = _mm256_load_ps(sum + t * sum_stride + 8);
    }
    size_t k = 0;
    for (; k + 4 <= n_col; k += 4, weights += 4 * (size_t)LF_STRIP_ROWS, x += 4 * x_column) {
        LF_UNROLL
        for (size_t i = 0; i < 4; i++) column(acc, weights + i * LF_STRIP_ROWS, x + i * x_column, x_token);
    }
    for (; k < n_col; k++, weights += LF_STRIP_ROWS, x += x_column) column(acc, weights, x, x_token);
    LF_UNROLL
    for (size_t t = 0; t < LF_GROUP_TOKENS; t++) {
        _mm256_store_ps(sum + t * sum_stride, acc[t][0]);
        _mm256_store_ps(sum + t * sum_stride + 8, acc[t][1]);
    }
}

void lf_multiply_tiles__avx2(const lf_tiles_args *args)
{
    const size_t n_col = args->n_col, stride = args->sum_stride;
    for (size_t strip = 0; strip < args->n_strip; strip++) {
        const float *weights = args->strips + strip * n_col * LF_STRIP_ROWS;
        float *sum = args->sum + strip * LF_STRIP_ROWS;
        for (size_t g = 0; g < args->n_group; g++, sum += LF_GROUP_TOKENS * stride) {
            if (args->x_is_rows) {
                tile(sum, stride, args->x + g * LF_GROUP_TOKENS * LF_KEY_CHUNK, weights, n_col, LF_KEY_CHUNK, 1);
            } else {
                tile(sum, stride, args->x + g * LF_GROUP_TOKENS * n_col, weights, n_col, 1, LF_GROUP_TOKENS);
            }
        }
    }
}

void lf_widen_panel__avx2(float *restrict strips, const lf_bf16 *restrict panel, size_t n_pair)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    for (size_t p = 0; p < n_pair; p++, panel += LF_PANEL_PAIR) {
        // A panel is in memory or in the second level: ask for the columns to come.
        for (size_t line = 0; line < 4; line++)
            _mm_prefetch((const char *)(panel + LF_PREFETCH_PAIRS * LF_PANEL_PAIR) + line * 64, _MM_HINT_T0);
        for (size_t v = 0; v < LF_PANEL_ROWS / 8; v++) {
            __m256i pair = _mm256_load_si256((const __m256i *)(const void *)(panel + 16 * v));
            float *even = strips + (v / 2 * 2 * n_pair + 2 * p) * LF_STRIP_ROWS + v % 2 * 8;
            _mm256_store_ps(even, _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)));
            _mm256_store_ps(even + LF_STRIP_ROWS, _mm256_castsi256_ps(_mm256_and_si256(pair, high)));
        }
    }
}

void lf_widen_rows__avx2(float *restrict strips, const lf_bf16 *const *rows, size_t n_col, size_t n_row)
{
    for (size_t k = 0; k < n_col; k++) {
        float *dst = strips + k * LF_STRIP_ROWS;
        size_t r = 0;
        for (; r + LF_STRIP_ROWS <= n_row; r += LF_STRIP_ROWS, dst += n_col * LF_STRIP_ROWS) {
            _mm256_store_ps(dst, lf_v8_load_bf16(rows[k] + r));
            _mm256_store_ps(dst + 8, lf_v8_load_bf16(rows[k] + r + 8));
        }
        if (r == n_row) continue;
        for (size_t i = 0; i < LF_STRIP_ROWS; i++) dst[i] = r + i < n_row ? lf_bf16_to_f32(rows[k][r + i]) : 0;
    }
}

// dst[i] gets element i of the eight vectors.
static inline void transpose(__m256 dst[8], const __m256 src[8])
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(src[i], src[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(src[i], src[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        dst[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        dst[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

void lf_widen_columns__avx2(float *restrict strips, const lf_bf16 *const *rows, size_t n_col, size_t d)
{
    for (size_t k = 0; k < LF_KEY_CHUNK; k += 8) {
        float *dst = strips + k / LF_STRIP_ROWS * n_col * LF_STRIP_ROWS + k % LF_STRIP_ROWS;
        size_t c = 0;
        for (; c + 8 <= d; c += 8) {
            __m256 keys[8], columns[8];
            for (size_t i = 0; i < 8; i++) keys[i] = lf_v8_load_bf16(rows[k + i] + c);
            transpose(columns, keys);
            for (size_t i = 0; i < 8; i++) _mm256_store_ps(dst + (c + i) * LF_STRIP_ROWS, columns[i]);
        }
        for (; c < n_col; c++) {
            for (size_t i = 0; i < 8; i++) dst[c * LF_STRIP_ROWS + i] = c < d ? lf_bf16_to_f32(rows[k + i][c]) : 0;
        }
    }
}

void lf_group_tokens__avx2(float *restrict group, const lf_bf16 *const *rows, size_t n_tok, size_t n_col)
{
    size_t k = 0;
    // Each column is stored as eight floats, two too many: the next column overwrites them, so the last is left over.
    for (; k + 9 <= n_col; k += 8) {
        __m256 tokens[8], columns[8];
        for (size_t t = 0; t < 8; t++) tokens[t] = t < n_tok ? lf_v8_load_bf16(rows[t] + k) : _mm256_setzero_ps();
        transpose(columns, tokens);
        for (size_t i = 0; i < 8; i++) _mm256_storeu_ps(group + (k + i) * LF_GROUP_TOKENS, columns[i]);
    }
    for (; k < n_col; k++) {
        for (size_t t = 0; t < LF_GROUP_TOKENS; t++)
            group[k * LF_GROUP_TOKENS + t] = t < n_tok ? lf_bf16_to_f32(rows[t][k]) : 0;
    }
}
