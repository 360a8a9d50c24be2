// SPDX-License-Identifier: Apache-2.0
//
// The kernels of the CPU backend: what each computes, the table of the chosen ones, the choice. Kernels are serial and
// work on plain pointers; splitting over threads, paging and shapes are the callers' (linear.c, attention.c, ...).
//
// THE PANEL. One layout serves every instruction set and oneDNN (tag BA16a64b2a): 64 rows of a matrix, pairs of
// columns:
//     panel[pair][row 0..63][2]   bf16, 256 bytes for one pair of columns
// A vector load takes one pair of columns of 8 or 16 rows; `<< 16` and `& 0xffff0000` turn it into two float32 vectors.
// Rows and columns that a matrix does not have are zero.
//
// THE ORDER. Every output of `multiply` and `multiply_tiles` is ONE chain of float32 multiply-adds in increasing column
// order, whatever the number of tokens, the instruction set or the way columns are cut into calls. A token's result is
// therefore the same bits alone, in a batch, in prefill and in decode. (bf16 * bf16 is exact in float32, so fused and
// separate multiply-adds agree too.) Where the processor has a matrix unit, `multiply_blocks` takes the place of both
// for every number of tokens, in the unit's own order; the same holds.
#ifndef LF_DEVICE_CPU_KERNELS_H
#define LF_DEVICE_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/num.h"

enum {
    LF_PANEL_ROWS = 64,
    LF_PANEL_PAIR = 2 * LF_PANEL_ROWS, // elements of one pair of columns
    LF_STRIP_ROWS = 16,                // a panel is four strips; the unit that work can be cut into
    LF_PANEL_STRIPS = LF_PANEL_ROWS / LF_STRIP_ROWS,
};

// How far ahead of its own columns the first tile to touch a panel asks for weights: far enough for memory, near enough
// for the first level cache.
enum { LF_PREFETCH_PAIRS = 16 };

// multiply: sum[t][r] += over columns k of x[t][k] * panel row r, column k; for t in [0, n_tok) and the rows r of
// strips [strip, strip + n_strip). Increasing k. `sum` points at row 0 of the panel, 64 floats of which may be written.
typedef struct lf_multiply_args {
    float *sum;
    size_t sum_stride;
    const float *x; // f32 [n_tok, 2 * n_pair]
    size_t x_stride;
    size_t n_tok;
    const lf_bf16 *panel;
    size_t n_pair;
    size_t strip, n_strip;
} lf_multiply_args;

// THE TILES. From some tens of tokens on it pays to turn weights and tokens into float32 first and to lay them out as
// the inner loop reads them; what is left of it are multiply-adds, aligned loads and broadcasts:
//     strips[strip][column][row 0..15]   f32, a run of columns of a panel
//     groups[group][column][token 0..5]  f32
// multiply_tiles: sum[t][16 s + r] += over columns k of token t, column k * strip s, column k, row r; for t in
// [0, 6 n_group). THE ORDER holds. `x` is groups, or, with x_is_rows, rows of LF_KEY_CHUNK floats.
enum { LF_GROUP_TOKENS = 6 };
typedef struct lf_tiles_args {
    float *sum;        // 64-byte aligned, as the strips
    size_t sum_stride; // multiple of 16
    const float *x;
    bool x_is_rows;
    size_t n_group;
    const float *strips;
    size_t n_col, n_strip;
} lf_tiles_args;

// THE BLOCKS. The matrix unit (AMX) takes bf16 on both sides, 16 tokens by 16 rows by 32 columns an instruction:
//     tiles[group][block][token 0..15][column 0..31]   bf16; a single group has n_tok tokens, others are 16, zeros
//                                                      standing in for tokens that there are not
// multiply_blocks: for each block of 32 columns, in increasing order: sum[t][r] += even + odd, where even and odd are
// chains of float32 multiply-adds from zero over the block's even and odd columns. Subnormal factors and results count
// as zero. That is TDPBF16PS to the bit (Intel SDM volume 2). For t in [0, n_tok), n_tok <= 16 or a multiple of 16, and
// the rows r of strips [strip, strip + n_strip), which are all four for more than 16 tokens. `sum` points at row 0 of
// the panel. `next`: a panel's columns that will be needed soon, n_block blocks of them; NULL: none.
enum { LF_BLOCK_TOKENS = 16, LF_BLOCK_COLUMNS = 32, LF_BLOCK_PANEL = LF_BLOCK_COLUMNS / 2 * LF_PANEL_PAIR };
typedef struct lf_blocks_args {
    float *sum;
    size_t sum_stride;
    const lf_bf16 *tiles;
    size_t n_tok;
    const lf_bf16 *panel, *next;
    size_t n_block;
    size_t strip, n_strip;
} lf_blocks_args;

// widen_panel: n_pair pairs of columns of a panel to its four strips of 2 * n_pair columns.
// widen_rows: n_col columns of n_row rows, column k from the n_row elements at rows[k], to ceil(n_row / 16) strips;
// rows of the last strip beyond n_row become zero. group_tokens: n_col columns of one group from the first n_tok <= 6
// tokens' rows; the other tokens become zero.

// pack_rows: rows [row, row + n_row) of a panel from n_col columns of row-major src; an odd last column gets a zero
// beside it.

// Attention works on chunks of keys. `rows` are the chunk's keys or values where the cache holds them, d elements each;
// what must not be seen points to zeros.
//   score: out[t][k] = sum over columns c of x[t][c] * rows[k][c].
//   weigh: out[t][c] += sum over keys k of x[t][k] * rows[k][c], in increasing k.
//   widen_columns: rows to four strips of n_col >= d columns, of which those from d on become zero.
// score and weigh give the bits that multiply_tiles gives on strips of the same rows.
enum { LF_KEY_CHUNK = 64 };
typedef struct lf_chunk_args {
    float *out;
    size_t out_stride;
    const float *x;
    size_t x_stride;
    size_t n_tok;
    const lf_bf16 *const *rows; // [LF_KEY_CHUNK]
    size_t d;
} lf_chunk_args;

// dots: out[t][r] = sum over columns k of x[t][k] * rows[r][k], for matrices that stay row-major float32 (the router).
// Each output has one order of additions, whatever n_tok and n_row are; which one differs between instruction sets.
typedef struct lf_dots_args {
    float *out; // [n_tok, n_row]
    size_t out_stride;
    const lf_bf16 *x; // [n_tok, n_col]
    size_t x_stride, n_tok;
    const float *rows; // [n_row, n_col], rows n_col apart
    size_t n_row, n_col;
} lf_dots_args;

// expand: bf16 to f32, exact. narrow: f32 (+ bias unless NULL) to bf16, nearest even.
// square_sum: the sum of x^2. scale: y = x * factor * weight; y may be x.
// norm: one group of d elements, by the two above; see lf_norm_args. residual may be NULL. y may be x.
// rotate: one head: x[i], x[i + half] turned by cos_sin[i], cos_sin[half + i]. rotate_pairs: x[2 i], x[2 i + 1]
// likewise. gate: y = silu(gate) * up. add_scaled: y += factor * x.

// soften: one step of the online softmax over LF_KEY_CHUNK scores. Keys [begin, end) of the chunk are seen.
//   s[j] = scale * s[j]; m' = max(m, s[begin..end)); s[j] = exp(s[j] - m') for seen keys, 0 for the others;
//   out *= exp(m - m'); l = l * exp(m - m') + sum(s); m = m'.  Before the first chunk m is -INFINITY, l and out are 0.
typedef struct lf_soften_args {
    float *s; // [LF_KEY_CHUNK]
    size_t begin, end;
    float scale;
    float *m, *l;
    float *out; // [n_out]
    size_t n_out;
} lf_soften_args;

// survey: the largest finite element (-INFINITY when there is none) and how many are no numbers one can sample from.
typedef struct lf_row_survey {
    float max;
    int32_t n_minus_infinity;
    int32_t n_broken; // NaN or +infinity
} lf_row_survey;
// exponentiate: dst[i] = exp((x[i] - offset) * factor) for n <= 1024, returns the sum. dst may be x. Arguments of exp
// must be
// <= 0 or NaN (then unspecified); -INFINITY gives 0.
enum { LF_EXP_BLOCK = 1024 };
// scan: the exclusive or of n_line cache lines of 8 words; reads as fast as it can, for measuring memory.

#define LF_WHEN_0(...)
#define LF_WHEN_1(...) __VA_ARGS__

#define LF_KERNEL(name, result, arguments, avx2, avx512, amx)                                                          \
    result lf_##name##__ref arguments;                                                                                 \
    LF_WHEN_##avx2(result lf_##name##__avx2 arguments;) LF_WHEN_##avx512(result lf_##name##__avx512 arguments;)        \
        LF_WHEN_##amx(result lf_##name##__amx arguments;)
#include "device/cpu/kernels.inc"
#undef LF_KERNEL

typedef struct lf_cpu_kernels {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) result(*name) arguments;
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
} lf_cpu_kernels;

enum {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) LF_KERNEL_##name,
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
    LF_KERNEL_COUNT
};
extern const char *const lf_kernel_names[LF_KERNEL_COUNT];

// The kernels written for exactly this level (REF, AVX2, AVX512, AMX); members that have none are NULL. NULL for a
// level without kernels of its own, and when the program was built for another processor family.
const lf_cpu_kernels *lf_cpu_kernels_of(lf_cpu_isa isa);
// Fills *out with the best kernels up to `best` that agree with __ref on the built-in vectors; a refusal is logged.
void lf_cpu_kernels_choose(lf_cpu_kernels *out, lf_cpu_isa best);
// Compares one kernel of `candidate` with __ref on a small built-in vector, in microseconds.
bool lf_cpu_kernel_agrees(int kernel, const lf_cpu_kernels *candidate);

#endif
