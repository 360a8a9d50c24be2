// SPDX-License-Identifier: Apache-2.0
//
// score and weigh for AVX2: attention of a few query rows over a chunk of keys, straight from the cache. Keys are
// turned eight by eight in registers, so that a vector holds one pair of columns of eight keys; values lie as they are
// needed. Reading is what a decode step waits for, and memory gives its bandwidth only to a plain sweep: the rows are
// read once in order before the arithmetic visits them in its own (prefetch instructions instead were no faster than
// nothing).
#include <immintrin.h>

#include "device/cpu/kernels.h"
#include "device/cpu/simd_avx2.h"

#define INLINE static inline __attribute__((always_inline))

// Brings the rows into the first levels of cache.
static void sweep(const lf_chunk_args *args)
{
    for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
        const char *row = (const char *)args->rows[k];
        for (size_t byte = 0; byte < args->d * sizeof(lf_bf16); byte += 64) {
            char value = row[byte];
            __asm__ volatile("" : : "r"(value));
        }
    }
}

// Eight pairs of columns of eight keys, times x.
INLINE void score_pairs(__m256 acc[4], const __m256i pairs[8], const float *x, size_t x_stride, int tokens)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000u);
    LF_UNROLL
    for (int p = 0; p < 8; p++) {
        __m256 even = _mm256_castsi256_ps(_mm256_slli_epi32(pairs[p], 16));
        __m256 odd = _mm256_castsi256_ps(_mm256_and_si256(pairs[p], high));
        LF_UNROLL
        for (int t = 0; t < tokens; t++) {
            const float *value = x + (size_t)t * x_stride + 2 * p;
            acc[t] = _mm256_fmadd_ps(even, _mm256_broadcast_ss(value), acc[t]);
            acc[t] = _mm256_fmadd_ps(odd, _mm256_broadcast_ss(value + 1), acc[t]);
        }
    }
}

// `tokens` query rows by 8 * groups keys from `key` on: tokens * groups independent chains. Whole steps of 16 columns.
INLINE void score_tile(const lf_chunk_args *args, size_t tok, size_t key, int groups, int tokens)
{
    const float *x = args->x + tok * args->x_stride;
    __m256 acc[8][4]; // [groups][tokens]
    LF_UNROLL
    for (int g = 0; g < groups; g++) {
        LF_UNROLL
        for (int t = 0; t < tokens; t++) acc[g][t] = _mm256_setzero_ps();
    }
    for (size_t c = 0; c + 16 <= args->d; c += 16) {
        LF_UNROLL
        for (int g = 0; g < groups; g++) {
            const lf_bf16 *rows[8];
            __m256i pairs[8];
            LF_UNROLL
            for (size_t i = 0; i < 8; i++) rows[i] = args->rows[key + 8 * (size_t)g + i] + c;
            lf_v8_load_pairs(pairs, rows);
            score_pairs(acc[g], pairs, x + c, args->x_stride, tokens);
        }
    }
    LF_UNROLL
    for (int g = 0; g < groups; g++) {
        LF_UNROLL
        for (int t = 0; t < tokens; t++)
            _mm256_storeu_ps(args->out + (tok + (size_t)t) * args->out_stride + key + 8 * (size_t)g, acc[g][t]);
    }
}

// The columns behind the whole steps.
static void score_rest(const lf_chunk_args *args)
{
    for (size_t t = 0; t < args->n_tok && args->d % 16; t++) {
        const float *x = args->x + t * args->x_stride;
        float *out = args->out + t * args->out_stride;
        for (size_t c = args->d / 16 * 16; c < args->d; c++) {
            for (size_t k = 0; k < LF_KEY_CHUNK; k++)
                out[k] = __builtin_fmaf(lf_bf16_to_f32(args->rows[k][c]), x[c], out[k]);
        }
    }
}

INLINE void score_rows(const lf_chunk_args *args, size_t tok, int groups, int tokens)
{
    const size_t step = 8 * (size_t)groups;
    for (size_t key = 0; key < LF_KEY_CHUNK; key += step) score_tile(args, tok, key, groups, tokens);
}

void lf_score__avx2(const lf_chunk_args *args)
{
    size_t tok = 0;
    sweep(args);
    for (; args->n_tok - tok >= 4; tok += 4) score_rows(args, tok, 2, 4);
    switch (args->n_tok - tok) {
    case 1: score_rows(args, tok, 4, 1); break;
    case 2: score_rows(args, tok, 4, 2); break;
    case 3: score_rows(args, tok, 2, 3); break;
    default: break;
    }
    score_rest(args);
}

// out[tok ..][c, c + 8 * vectors) += x * rows.
INLINE void weigh_tile(const lf_chunk_args *args, size_t tok, size_t c, int vectors, int tokens)
{
    float *out = args->out + tok * args->out_stride + c;
    const float *x = args->x + tok * args->x_stride;
    __m256 acc[4][4]; // [tokens][vectors]
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int v = 0; v < vectors; v++) acc[t][v] = _mm256_loadu_ps(out + (size_t)t * args->out_stride + 8 * v);
    }
    for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
        __m256 row[4];
        LF_UNROLL
        for (int v = 0; v < vectors; v++) row[v] = lf_v8_load_bf16(args->rows[k] + c + 8 * v);
        LF_UNROLL
        for (int t = 0; t < tokens; t++) {
            __m256 value = _mm256_broadcast_ss(x + (size_t)t * args->x_stride + k);
            LF_UNROLL
            for (int v = 0; v < vectors; v++) acc[t][v] = _mm256_fmadd_ps(row[v], value, acc[t][v]);
        }
    }
    LF_UNROLL
    for (int t = 0; t < tokens; t++) {
        LF_UNROLL
        for (int v = 0; v < vectors; v++) _mm256_storeu_ps(out + (size_t)t * args->out_stride + 8 * v, acc[t][v]);
    }
}

INLINE void weigh_rows(const lf_chunk_args *args, size_t tok, int tokens)
{
    size_t c = 0;
    for (; c + 32 <= args->d; c += 32) weigh_tile(args, tok, c, 4, tokens);
    for (; c + 8 <= args->d; c += 8) weigh_tile(args, tok, c, 1, tokens);
    for (; c < args->d; c++) {
        for (size_t t = tok; t < tok + (size_t)tokens; t++) {
            float *out = args->out + t * args->out_stride + c, sum = *out;
            for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
                sum = __builtin_fmaf(lf_bf16_to_f32(args->rows[k][c]), args->x[t * args->x_stride + k], sum);
            }
            *out = sum;
        }
    }
}

void lf_weigh__avx2(const lf_chunk_args *args)
{
    size_t tok = 0;
    sweep(args);
    for (; args->n_tok - tok >= 3; tok += 3) weigh_rows(args, tok, 3);
    switch (args->n_tok - tok) {
    case 1: weigh_rows(args, tok, 1); break;
    case 2: weigh_rows(args, tok, 2); break;
    default: break;
    }
}
