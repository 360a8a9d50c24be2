// SPDX-License-Identifier: Apache-2.0
//
// The start-up check of a kernel against __ref on small built-in vectors: a few thousand operations in all, nothing
// allocated. It exists for processors that nobody here could test on; the thorough comparison is in tests/device.
// Lengths are odd on purpose: vector body and tail both run. Where kernels promise the same bits (multiply, packing,
// conversions) any difference refuses.
#include "device/cpu/kernels.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { N = 77 }; // elements of a test row: several vectors of 16 and a tail

// Values in [-3, 3] with all bits of a bf16 in use.
static lf_bf16 sample(size_t i) { return lf_bf16_from_f32((float)((int)(i * 7919 % 601) - 300) / 100); }

static void fill_bf16(lf_bf16 *row, size_t n, size_t seed)
{
    for (size_t i = 0; i < n; i++) row[i] = sample(i + seed);
}

static void fill_f32(float *row, size_t n, size_t seed)
{
    for (size_t i = 0; i < n; i++) row[i] = lf_bf16_to_f32(sample(i + seed));
}

static bool close_f32(const float *a, const float *b, size_t n, float relative)
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= relative * fmaxf(1e-6f, fmaxf(fabsf(a[i]), fabsf(b[i]))))) return false;
    }
    return true;
}

// Within one unit of bf16: a float32 that differs in its last bits may round to the neighbour.
static bool close_bf16(const lf_bf16 *a, const lf_bf16 *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = lf_bf16_to_f32(a[i]), y = lf_bf16_to_f32(b[i]);
        if (!(fabsf(x - y) <= 0x1p-7f * fmaxf(1e-6f, fmaxf(fabsf(x), fabsf(y))))) return false;
    }
    return true;
}

static bool check_multiply(const lf_cpu_kernels *candidate)
{
    enum { PAIRS = 5, TOKENS = 7 };
    _Alignas(64) lf_bf16 panel[PAIRS * LF_PANEL_PAIR];
    float x[TOKENS * 2 * PAIRS], expected[TOKENS * LF_PANEL_ROWS], found[TOKENS * LF_PANEL_ROWS];
    fill_bf16(panel, PAIRS * LF_PANEL_PAIR, 1);
    fill_f32(x, TOKENS * 2 * PAIRS, 2);
    for (size_t n_tok = 1; n_tok <= TOKENS; n_tok += 2) {
        fill_f32(expected, TOKENS * LF_PANEL_ROWS, 3);
        fill_f32(found, TOKENS * LF_PANEL_ROWS, 3);
        lf_multiply_args args = {.sum = expected,
                                 .sum_stride = LF_PANEL_ROWS,
                                 .x = x,
                                 .x_stride = 2 * PAIRS,
                                 .n_tok = n_tok,
                                 .panel = panel,
                                 .n_pair = PAIRS,
                                 .n_strip = n_tok == 3 ? 1 : LF_PANEL_STRIPS};
        lf_multiply__ref(&args);
        args.sum = found;
        candidate->multiply(&args);
        if (memcmp(expected, found, sizeof found) != 0) return false;
    }
    return true;
}

static bool check_multiply_tiles(const lf_cpu_kernels *candidate)
{
    enum { COLUMNS = 7, GROUPS = 2, STRIPS = 5, TOKENS = GROUPS * LF_GROUP_TOKENS, STRIDE = STRIPS * LF_STRIP_ROWS };
    _Alignas(64) float strips[STRIPS * COLUMNS * LF_STRIP_ROWS], expected[TOKENS * STRIDE], found[TOKENS * STRIDE];
    float x[TOKENS * LF_KEY_CHUNK];
    fill_f32(strips, LF_ARRAY_LENGTH(strips), 17);
    fill_f32(x, LF_ARRAY_LENGTH(x), 18);
    for (int rows = 0; rows < 2; rows++) {
        fill_f32(expected, LF_ARRAY_LENGTH(expected), 19);
        fill_f32(found, LF_ARRAY_LENGTH(found), 19);
        lf_tiles_args args = {.sum = expected,
                              .sum_stride = STRIDE,
                              .x = x,
                              .x_is_rows = rows,
                              .n_group = GROUPS,
                              .strips = strips,
                              .n_col = COLUMNS,
                              .n_strip = STRIPS};
        lf_multiply_tiles__ref(&args);
        args.sum = found;
        candidate->multiply_tiles(&args);
        if (memcmp(expected, found, sizeof found) != 0) return false;
    }
    return true;
}

static bool check_multiply_blocks(const lf_cpu_kernels *candidate)
{
    enum { BLOCKS = 2, TOKENS = 2 * LF_BLOCK_TOKENS };
    _Alignas(64) lf_bf16 panel[BLOCKS * LF_BLOCK_PANEL], tiles[BLOCKS * TOKENS * LF_BLOCK_COLUMNS];
    _Alignas(64) float expected[TOKENS * LF_PANEL_ROWS], found[TOKENS * LF_PANEL_ROWS];
    fill_bf16(panel, LF_ARRAY_LENGTH(panel), 23);
    fill_bf16(tiles, LF_ARRAY_LENGTH(tiles), 24);
    for (size_t n_tok = 2; n_tok <= TOKENS; n_tok *= LF_BLOCK_TOKENS) {
        fill_f32(expected, LF_ARRAY_LENGTH(expected), 25);
        fill_f32(found, LF_ARRAY_LENGTH(found), 25);
        lf_blocks_args args = {.sum = expected,
                               .sum_stride = LF_PANEL_ROWS,
                               .tiles = tiles,
                               .n_tok = n_tok,
                               .panel = panel,
                               .n_block = BLOCKS,
                               .n_strip = LF_PANEL_STRIPS};
        lf_multiply_blocks__ref(&args);
        args.sum = found;
        candidate->multiply_blocks(&args);
        if (memcmp(expected, found, sizeof found) != 0) return false;
    }
    return true;
}

static bool check_widen_panel(const lf_cpu_kernels *candidate)
{
    enum { PAIRS = 3 };
    _Alignas(64) lf_bf16 panel[PAIRS * LF_PANEL_PAIR];
    _Alignas(64) float expected[PAIRS * LF_PANEL_PAIR], found[PAIRS * LF_PANEL_PAIR];
    fill_bf16(panel, PAIRS * LF_PANEL_PAIR, 20);
    lf_widen_panel__ref(expected, panel, PAIRS);
    candidate->widen_panel(found, panel, PAIRS);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_widen_rows(const lf_cpu_kernels *candidate)
{
    enum { STRIPS = (N + LF_STRIP_ROWS - 1) / LF_STRIP_ROWS };
    lf_bf16 columns[3][N];
    _Alignas(64) float expected[STRIPS * 3 * LF_STRIP_ROWS], found[STRIPS * 3 * LF_STRIP_ROWS];
    const lf_bf16 *rows[3] = {columns[1], columns[0], columns[2]};
    for (size_t i = 0; i < 3; i++) fill_bf16(columns[i], N, 21 + 100 * i);
    lf_widen_rows__ref(expected, rows, 3, N);
    candidate->widen_rows(found, rows, 3, N);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_group_tokens(const lf_cpu_kernels *candidate)
{
    lf_bf16 tokens[LF_GROUP_TOKENS][N];
    const lf_bf16 *rows[LF_GROUP_TOKENS];
    float expected[LF_GROUP_TOKENS * N], found[LF_GROUP_TOKENS * N];
    for (size_t i = 0; i < LF_GROUP_TOKENS; i++) {
        fill_bf16(tokens[i], N, 22 + 100 * i);
        rows[i] = tokens[i];
    }
    for (size_t n_tok = 1; n_tok <= LF_GROUP_TOKENS; n_tok++) {
        lf_group_tokens__ref(expected, rows, n_tok, N);
        candidate->group_tokens(found, rows, n_tok, N);
        if (memcmp(expected, found, sizeof found) != 0) return false;
    }
    return true;
}

static bool check_pack_rows(const lf_cpu_kernels *candidate)
{
    enum { ROWS = 9, COLUMNS = 19 };
    lf_bf16 src[ROWS * COLUMNS], expected[10 * LF_PANEL_PAIR] = {0}, found[10 * LF_PANEL_PAIR] = {0};
    fill_bf16(src, ROWS * COLUMNS, 4);
    lf_pack_rows__ref(expected, 3, src, COLUMNS, ROWS, COLUMNS);
    candidate->pack_rows(found, 3, src, COLUMNS, ROWS, COLUMNS);
    return memcmp(expected, found, sizeof found) == 0;
}

typedef struct chunk_sample {
    lf_bf16 elements[7][N];
    const lf_bf16 *rows[LF_KEY_CHUNK];
    float x[5 * LF_KEY_CHUNK];
} chunk_sample;

static void fill_chunk(chunk_sample *chunk)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(chunk->elements); i++) fill_bf16(chunk->elements[i], N, 5 + 100 * i);
    for (size_t k = 0; k < LF_KEY_CHUNK; k++) chunk->rows[k] = chunk->elements[k * 5 % 7];
    fill_f32(chunk->x, LF_ARRAY_LENGTH(chunk->x), 6);
}

static bool check_score(const lf_cpu_kernels *candidate)
{
    enum { D = 45, TOKENS = 5 };
    chunk_sample chunk;
    float expected[TOKENS * LF_KEY_CHUNK], found[TOKENS * LF_KEY_CHUNK];
    fill_chunk(&chunk);
    for (size_t t = 0; t < TOKENS; t++) chunk.x[t * LF_KEY_CHUNK + D] = 0;
    lf_chunk_args args = {expected, LF_KEY_CHUNK, chunk.x, LF_KEY_CHUNK, TOKENS, chunk.rows, D};
    lf_score__ref(&args);
    args.out = found;
    candidate->score(&args);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_weigh(const lf_cpu_kernels *candidate)
{
    enum { TOKENS = 5 };
    chunk_sample chunk;
    float expected[TOKENS * N], found[TOKENS * N];
    fill_chunk(&chunk);
    fill_f32(expected, TOKENS * N, 7);
    fill_f32(found, TOKENS * N, 7);
    lf_chunk_args args = {expected, N, chunk.x, LF_KEY_CHUNK, TOKENS, chunk.rows, N};
    lf_weigh__ref(&args);
    args.out = found;
    candidate->weigh(&args);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_widen_columns(const lf_cpu_kernels *candidate)
{
    enum { D = 13, COLUMNS = 15 };
    chunk_sample chunk;
    _Alignas(64) float expected[COLUMNS * LF_KEY_CHUNK], found[COLUMNS * LF_KEY_CHUNK];
    fill_chunk(&chunk);
    lf_widen_columns__ref(expected, chunk.rows, COLUMNS, D);
    candidate->widen_columns(found, chunk.rows, COLUMNS, D);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_dots(const lf_cpu_kernels *candidate)
{
    enum { TOKENS = 4, ROWS = 9 };
    lf_bf16 x[TOKENS * N];
    float rows[ROWS * N], expected[TOKENS * ROWS], found[TOKENS * ROWS];
    fill_bf16(x, TOKENS * N, 23);
    fill_f32(rows, ROWS * N, 24);
    // Terms of one sign: nothing cancels, and the order of additions costs a few units in the last place.
    for (size_t i = 0; i < TOKENS * N; i++) x[i] &= 0x7fff;
    for (size_t i = 0; i < ROWS * N; i++) rows[i] = fabsf(rows[i]);
    lf_dots_args args = {expected, ROWS, x, N, TOKENS, rows, ROWS, N};
    lf_dots__ref(&args);
    args.out = found;
    candidate->dots(&args);
    return close_f32(expected, found, TOKENS * ROWS, 1e-5f);
}

static bool check_add_scaled(const lf_cpu_kernels *candidate)
{
    float x[N], y[2][N];
    fill_f32(x, N, 25);
    for (int i = 0; i < 2; i++) fill_f32(y[i], N, 26);
    lf_add_scaled__ref(y[0], x, 0.37f, N);
    candidate->add_scaled(y[1], x, 0.37f, N);
    for (size_t i = 0; i < N; i++) {
        if (!(fabsf(y[0][i] - y[1][i]) <= 1e-6f)) return false; // products below 1.2 may cancel
    }
    return true;
}

static bool check_expand(const lf_cpu_kernels *candidate)
{
    lf_bf16 src[N];
    float expected[N], found[N];
    fill_bf16(src, N, 7);
    lf_expand__ref(expected, src, N);
    candidate->expand(found, src, N);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_narrow(const lf_cpu_kernels *candidate)
{
    float src[N], bias[N];
    lf_bf16 expected[N], found[N];
    for (size_t i = 0; i < N; i++) src[i] = 1 + (float)i * 0x1.1p-9f;
    fill_f32(bias, N, 8);
    lf_narrow__ref(expected, src, bias, N);
    candidate->narrow(found, src, bias, N);
    return memcmp(expected, found, sizeof found) == 0;
}

static bool check_square_sum(const lf_cpu_kernels *candidate)
{
    lf_bf16 x[N];
    fill_bf16(x, N, 27);
    float expected = lf_square_sum__ref(x, N), found = candidate->square_sum(x, N);
    return close_f32(&expected, &found, 1, 1e-5f);
}

static bool check_scale(const lf_cpu_kernels *candidate)
{
    lf_bf16 x[N], y[2][N];
    float weight[N];
    fill_bf16(x, N, 28);
    fill_f32(weight, N, 29);
    lf_scale__ref(y[0], x, 0.37f, weight, N);
    candidate->scale(y[1], x, 0.37f, weight, N);
    return memcmp(y[0], y[1], sizeof y[0]) == 0;
}

static bool check_norm(const lf_cpu_kernels *candidate)
{
    lf_bf16 x[N], residual[2][N], y[2][N];
    float weight[N];
    fill_bf16(x, N, 9);
    fill_f32(weight, N, 10);
    for (int i = 0; i < 2; i++) fill_bf16(residual[i], N, 11);
    lf_norm__ref(y[0], x, residual[0], weight, N, 1e-6f);
    candidate->norm(y[1], x, residual[1], weight, N, 1e-6f);
    return memcmp(residual[0], residual[1], sizeof residual[0]) == 0 && close_bf16(y[0], y[1], N);
}

// `reference` and `kernel` turn the same heads.
static bool rotations_agree(void (*reference)(lf_bf16 *, const float *, size_t),
                            void (*kernel)(lf_bf16 *, const float *, size_t))
{
    enum { HALF = N / 2 };
    lf_bf16 head[2][2 * HALF];
    float cos_sin[2 * HALF];
    for (size_t i = 0; i < HALF; i++) {
        cos_sin[i] = cosf((float)i);
        cos_sin[HALF + i] = sinf((float)i);
    }
    for (int i = 0; i < 2; i++) {
        for (size_t j = 0; j < 2 * HALF; j++)
            head[i][j] = lf_bf16_from_f32(1 + (float)(j % 8)); // no cancellation to zero
    }
    reference(head[0], cos_sin, HALF);
    kernel(head[1], cos_sin, HALF);
    for (size_t j = 0; j < 2 * HALF; j++) {
        if (!(fabsf(lf_bf16_to_f32(head[0][j]) - lf_bf16_to_f32(head[1][j])) <= 0.07f)) return false;
    }
    return true;
}

static bool check_rotate(const lf_cpu_kernels *candidate) { return rotations_agree(lf_rotate__ref, candidate->rotate); }

static bool check_rotate_pairs(const lf_cpu_kernels *candidate)
{
    return rotations_agree(lf_rotate_pairs__ref, candidate->rotate_pairs);
}

static bool check_gate(const lf_cpu_kernels *candidate)
{
    lf_bf16 gate[N], up[N], y[2][N];
    fill_bf16(gate, N, 12);
    fill_bf16(up, N, 13);
    gate[0] = lf_bf16_from_f32(-1000);
    gate[1] = lf_bf16_from_f32(1000);
    lf_gate__ref(y[0], gate, up, N);
    candidate->gate(y[1], gate, up, N);
    return close_bf16(y[0], y[1], N);
}

static bool check_soften(const lf_cpu_kernels *candidate)
{
    float s[2][LF_KEY_CHUNK], out[2][N], m[2] = {0.5f, 0.5f}, l[2] = {2, 2};
    for (int i = 0; i < 2; i++) {
        fill_f32(s[i], LF_KEY_CHUNK, 14);
        fill_f32(out[i], N, 15);
        lf_soften_args args = {
            .s = s[i], .begin = 3, .end = 61, .scale = 0.7f, .m = &m[i], .l = &l[i], .out = out[i], .n_out = N};
        if (i == 0) lf_soften__ref(&args);
        if (i == 1) candidate->soften(&args);
    }
    return m[0] == m[1] && close_f32(l, l + 1, 1, 1e-5f) && close_f32(s[0], s[1], LF_KEY_CHUNK, 1e-5f) &&
           close_f32(out[0], out[1], N, 1e-5f);
}

static bool check_survey(const lf_cpu_kernels *candidate)
{
    float x[N];
    fill_f32(x, N, 16);
    x[5] = NAN;
    x[40] = INFINITY;
    x[70] = x[71] = x[N - 1] = -INFINITY;
    lf_row_survey expected = lf_survey__ref(x, N), found = candidate->survey(x, N);
    return expected.max == found.max && expected.n_broken == found.n_broken &&
           expected.n_minus_infinity == found.n_minus_infinity;
}

static bool check_exponentiate(const lf_cpu_kernels *candidate)
{
    float x[N], expected[N], found[N];
    for (size_t i = 0; i < N; i++) x[i] = 4 - (float)i / 16;
    x[3] = -INFINITY;
    float sum = lf_exponentiate__ref(expected, x, N, 4, 1.25f),
          found_sum = candidate->exponentiate(found, x, N, 4, 1.25f);
    return found[3] == 0 && close_f32(expected, found, N, 1e-5f) && close_f32(&sum, &found_sum, 1, 1e-5f);
}

static bool check_scan(const lf_cpu_kernels *candidate)
{
    uint64_t words[8 * 5];
    for (size_t i = 0; i < LF_ARRAY_LENGTH(words); i++) words[i] = (i + 1) * 0x9e3779b97f4a7c15u;
    return lf_scan__ref(words, 5) == candidate->scan(words, 5);
}

bool lf_cpu_kernel_agrees(int kernel, const lf_cpu_kernels *candidate)
{
    static bool (*const checks[LF_KERNEL_COUNT])(const lf_cpu_kernels *) = {
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx) [LF_KERNEL_##name] = check_##name,
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
    };
    return checks[kernel](candidate);
}
