// SPDX-License-Identifier: Apache-2.0
//
// The reference kernels: plain C, the definition that every other instruction set is compared with, and the only
// kernels on processors that have no others. `multiply` keeps THE ORDER of kernels.h and vectorizes over rows, never
// over columns.
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "device/cpu/kernels.h"

void lf_multiply__ref(const lf_multiply_args *args)
{
    size_t first = args->strip * LF_STRIP_ROWS, n_row = args->n_strip * LF_STRIP_ROWS;
    for (size_t t = 0; t < args->n_tok; t++) {
        float *restrict sum = args->sum + t * args->sum_stride + first;
        const float *restrict x = args->x + t * args->x_stride;
        const lf_bf16 *restrict pair = args->panel + first * 2;
        for (size_t k = 0; k < 2 * args->n_pair; k += 2, pair += LF_PANEL_PAIR) {
            for (size_t r = 0; r < n_row; r++) {
                float partial = sum[r] + lf_bf16_to_f32(pair[2 * r]) * x[k];
                sum[r] = partial + lf_bf16_to_f32(pair[2 * r + 1]) * x[k + 1];
            }
        }
    }
}

void lf_multiply_tiles__ref(const lf_tiles_args *args)
{
    for (size_t t = 0; t < args->n_group * LF_GROUP_TOKENS; t++) {
        size_t first = t / LF_GROUP_TOKENS * LF_GROUP_TOKENS * args->n_col + t % LF_GROUP_TOKENS;
        const float *x = args->x + (args->x_is_rows ? t * LF_KEY_CHUNK : first);
        size_t x_step = args->x_is_rows ? 1 : LF_GROUP_TOKENS;
        for (size_t strip = 0; strip < args->n_strip; strip++) {
            float *restrict sum = args->sum + t * args->sum_stride + strip * LF_STRIP_ROWS;
            const float *restrict weights = args->strips + strip * args->n_col * LF_STRIP_ROWS;
            for (size_t k = 0; k < args->n_col; k++, weights += LF_STRIP_ROWS) {
                for (size_t r = 0; r < LF_STRIP_ROWS; r++) sum[r] += weights[r] * x[k * x_step];
            }
        }
    }
}

static float flush(float value) { return fabsf(value) < FLT_MIN ? copysignf(0, value) : value; }

// Group and token of a row of tiles; see THE BLOCKS in kernels.h.
static const lf_bf16 *block_of(const lf_blocks_args *args, size_t t, size_t block)
{
    size_t rows = LF_MIN(args->n_tok, (size_t)LF_BLOCK_TOKENS);
    return args->tiles + ((t / rows * args->n_block + block) * rows + t % rows) * LF_BLOCK_COLUMNS;
}

void lf_multiply_blocks__ref(const lf_blocks_args *args)
{
    size_t first = args->strip * LF_STRIP_ROWS, n_row = args->n_strip * LF_STRIP_ROWS;
    for (size_t i = 0; i < args->n_tok * args->n_block; i++) {
        size_t t = i / args->n_block, block = i % args->n_block;
        const lf_bf16 *x = block_of(args, t, block);
        for (size_t r = first; r < first + n_row; r++) {
            const lf_bf16 *w = args->panel + block * LF_BLOCK_PANEL + 2 * r;
            float chain[2] = {0, 0};
            for (size_t k = 0; k < LF_BLOCK_COLUMNS; k++) {
                float value = flush(lf_bf16_to_f32(x[k]));
                float weight = flush(lf_bf16_to_f32(w[k / 2 * LF_PANEL_PAIR + k % 2]));
                chain[k % 2] = flush(fmaf(value, weight, chain[k % 2]));
            }
            float *sum = &args->sum[t * args->sum_stride + r];
            *sum = flush(*sum + flush(chain[0] + chain[1]));
        }
    }
}

void lf_widen_panel__ref(float *restrict strips, const lf_bf16 *restrict panel, size_t n_pair)
{
    for (size_t i = 0; i < n_pair * LF_PANEL_PAIR; i++) {
        size_t column = i / LF_PANEL_PAIR * 2 + i % 2, row = i % LF_PANEL_PAIR / 2;
        size_t strip = row / LF_STRIP_ROWS;
        strips[(strip * 2 * n_pair + column) * LF_STRIP_ROWS + row % LF_STRIP_ROWS] = lf_bf16_to_f32(panel[i]);
    }
}

void lf_widen_rows__ref(float *restrict strips, const lf_bf16 *const *rows, size_t n_col, size_t n_row)
{
    for (size_t first = 0; first < n_row; first += LF_STRIP_ROWS) {
        for (size_t k = 0; k < n_col; k++, strips += LF_STRIP_ROWS) {
            for (size_t r = 0; r < LF_STRIP_ROWS; r++)
                strips[r] = first + r < n_row ? lf_bf16_to_f32(rows[k][first + r]) : 0;
        }
    }
}

void lf_group_tokens__ref(float *restrict group, const lf_bf16 *const *rows, size_t n_tok, size_t n_col)
{
    for (size_t k = 0; k < n_col; k++) {
        for (size_t t = 0; t < LF_GROUP_TOKENS; t++) *group++ = t < n_tok ? lf_bf16_to_f32(rows[t][k]) : 0;
    }
}

void lf_pack_rows__ref(lf_bf16 *panel, size_t row, const lf_bf16 *src, size_t src_stride, size_t n_row, size_t n_col)
{
    for (size_t r = 0; r < n_row; r++) {
        lf_bf16 *dst = panel + (row + r) * 2;
        for (size_t c = 0; c < n_col; c += 2) {
            dst[c / 2 * LF_PANEL_PAIR] = src[r * src_stride + c];
            dst[c / 2 * LF_PANEL_PAIR + 1] = c + 1 < n_col ? src[r * src_stride + c + 1] : 0;
        }
    }
}

void lf_widen_columns__ref(float *restrict strips, const lf_bf16 *const *rows, size_t n_col, size_t d)
{
    for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
        float *dst = strips + k / LF_STRIP_ROWS * n_col * LF_STRIP_ROWS + k % LF_STRIP_ROWS;
        for (size_t c = 0; c < n_col; c++) dst[c * LF_STRIP_ROWS] = c < d ? lf_bf16_to_f32(rows[k][c]) : 0;
    }
}

void lf_score__ref(const lf_chunk_args *args)
{
    for (size_t t = 0; t < args->n_tok; t++) {
        const float *x = args->x + t * args->x_stride;
        for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
            float sum = 0;
            for (size_t c = 0; c < args->d; c++) sum += x[c] * lf_bf16_to_f32(args->rows[k][c]);
            args->out[t * args->out_stride + k] = sum;
        }
    }
}

void lf_weigh__ref(const lf_chunk_args *args)
{
    for (size_t t = 0; t < args->n_tok; t++) {
        float *restrict out = args->out + t * args->out_stride;
        for (size_t k = 0; k < LF_KEY_CHUNK; k++) {
            float x = args->x[t * args->x_stride + k];
            for (size_t c = 0; c < args->d; c++) out[c] += x * lf_bf16_to_f32(args->rows[k][c]);
        }
    }
}

void lf_dots__ref(const lf_dots_args *args)
{
    for (size_t t = 0; t < args->n_tok; t++) {
        const lf_bf16 *x = args->x + t * args->x_stride;
        for (size_t r = 0; r < args->n_row; r++) {
            const float *row = args->rows + r * args->n_col;
            float sum = 0;
            for (size_t k = 0; k < args->n_col; k++) sum += lf_bf16_to_f32(x[k]) * row[k];
            args->out[t * args->out_stride + r] = sum;
        }
    }
}

void lf_expand__ref(float *restrict dst, const lf_bf16 *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = lf_bf16_to_f32(src[i]);
}

void lf_narrow__ref(lf_bf16 *restrict dst, const float *restrict src, const float *restrict bias, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = lf_bf16_from_f32(bias ? src[i] + bias[i] : src[i]);
}

float lf_square_sum__ref(const lf_bf16 *x, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += lf_bf16_to_f32(x[i]) * lf_bf16_to_f32(x[i]);
    return sum;
}

void lf_scale__ref(lf_bf16 *y, const lf_bf16 *x, float factor, const float *weight, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = lf_bf16_from_f32(lf_bf16_to_f32(x[i]) * factor * weight[i]);
}

void lf_norm__ref(lf_bf16 *y, const lf_bf16 *x, lf_bf16 *residual, const float *weight, size_t d, float eps)
{
    for (size_t i = 0; residual && i < d; i++)
        residual[i] = lf_bf16_from_f32(lf_bf16_to_f32(residual[i]) + lf_bf16_to_f32(x[i]));
    const lf_bf16 *normed = residual ? residual : x;
    lf_scale__ref(y, normed, 1 / sqrtf(lf_square_sum__ref(normed, d) / (float)d + eps), weight, d);
}

void lf_rotate__ref(lf_bf16 *head, const float *cos_sin, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = lf_bf16_to_f32(head[i]), b = lf_bf16_to_f32(head[half + i]);
        float c = cos_sin[i], s = cos_sin[half + i];
        head[i] = lf_bf16_from_f32(a * c - b * s);
        head[half + i] = lf_bf16_from_f32(b * c + a * s);
    }
}

void lf_rotate_pairs__ref(lf_bf16 *head, const float *cos_sin, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = lf_bf16_to_f32(head[2 * i]), b = lf_bf16_to_f32(head[2 * i + 1]);
        float c = cos_sin[i], s = cos_sin[half + i];
        head[2 * i] = lf_bf16_from_f32(a * c - b * s);
        head[2 * i + 1] = lf_bf16_from_f32(b * c + a * s);
    }
}

void lf_gate__ref(lf_bf16 *y, const lf_bf16 *gate, const lf_bf16 *up, size_t d)
{
    for (size_t i = 0; i < d; i++) {
        float g = lf_bf16_to_f32(gate[i]);
        y[i] = lf_bf16_from_f32(g / (1 + expf(-g)) * lf_bf16_to_f32(up[i]));
    }
}

void lf_add_scaled__ref(float *restrict y, const float *restrict x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += factor * x[i];
}

void lf_soften__ref(lf_soften_args *args)
{
    float *s = args->s;
    float m = *args->m, sum = 0;
    for (size_t j = args->begin; j < args->end; j++) {
        s[j] *= args->scale;
        if (s[j] > m) m = s[j];
    }
    for (size_t j = 0; j < LF_KEY_CHUNK; j++) {
        bool seen = j >= args->begin && j < args->end;
        s[j] = seen ? expf(s[j] - m) : 0;
        sum += s[j];
    }
    if (args->begin >= args->end) return;
    float shrink = expf(*args->m - m);
    *args->l = *args->l * shrink + sum;
    *args->m = m;
    if (shrink == 1) return;
    for (size_t i = 0; i < args->n_out; i++) args->out[i] *= shrink;
}

lf_row_survey lf_survey__ref(const float *x, size_t n)
{
    lf_row_survey survey = {.max = -INFINITY};
    for (size_t i = 0; i < n; i++) {
        if (isfinite(x[i])) {
            if (x[i] > survey.max) survey.max = x[i];
        } else if (x[i] < 0) {
            survey.n_minus_infinity++;
        } else {
            survey.n_broken++;
        }
    }
    return survey;
}

float lf_exponentiate__ref(float *dst, const float *x, size_t n, float offset, float factor)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        dst[i] = expf((x[i] - offset) * factor);
        sum += dst[i];
    }
    return sum;
}

uint64_t lf_scan__ref(const uint64_t *words, size_t n_line)
{
    uint64_t parts[4] = {0};
    for (size_t i = 0; i < 8 * n_line; i += 4) {
        for (size_t j = 0; j < 4; j++) parts[j] ^= words[i + j];
    }
    return parts[0] ^ parts[1] ^ parts[2] ^ parts[3];
}
