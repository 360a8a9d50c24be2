// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of every instruction set this processor has, against __ref: all lengths through two vectors and a tail,
// unaligned rows, extreme values; the choice at start-up, and that it refuses a wrong kernel.
#include "tests.h"

#include <math.h>

#include "base/mem.h"
#include "device/cpu/kernels.h"

enum { LONGEST = 2 * 64 + 1, SLACK = 24, MOST_SETS = 4 };

// What would be chosen on a processor of each level that can run here, __ref first: a level that has no kernel of its
// own for something takes the one below.
static size_t runnable(const lf_cpu_kernels *sets[MOST_SETS])
{
    static lf_cpu_kernels tables[MOST_SETS];
    size_t n = 0;
    for (int isa = LF_CPU_ISA_REF; isa <= (int)lf_cpu_isa_best(); isa++) {
        const lf_cpu_kernels *own = lf_cpu_kernels_of((lf_cpu_isa)isa);
        if (!own) continue;
        lf_cpu_kernels_choose(&tables[n], (lf_cpu_isa)isa);
#define LF_KERNEL(name, result, arguments, avx2, avx512, amx)                                                          \
    if (own->name) assert_ptr_equal(own->name, tables[n].name); /* not refused */
#include "device/cpu/kernels.inc"
#undef LF_KERNEL
        sets[n] = &tables[n];
        n++;
    }
    return n;
}

static void fill(test_random *random, float *row, size_t n)
{
    for (size_t i = 0; i < n; i++) row[i] = lf_bf16_to_f32(lf_bf16_from_f32(test_random_normal(random)));
}

static void fill_bits(test_random *random, lf_bf16 *row, size_t n)
{
    for (size_t i = 0; i < n; i++) row[i] = lf_bf16_from_f32(test_random_normal(random));
}

static void multiply_gives_the_same_bits(void **state)
{
    test_random random = {1};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    enum { TOKENS = 14, PAIRS = 40 };
    lf_bf16 *panel = aligned_alloc(64, PAIRS * LF_PANEL_PAIR * sizeof *panel);
    float *x = malloc(TOKENS * (2 * PAIRS + 3) * sizeof *x), *sums[2];
    for (int i = 0; i < 2; i++) sums[i] = malloc(TOKENS * 70 * sizeof(float));
    fill_bits(&random, panel, PAIRS * LF_PANEL_PAIR);
    fill(&random, x, TOKENS * (2 * PAIRS + 3));
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n_tok = 0; n_tok <= TOKENS; n_tok++) {
            for (size_t window = 0; window < 10; window++) {
                static const size_t strips[10][2] = {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {0, 2},
                                                     {1, 2}, {2, 2}, {0, 3}, {1, 3}, {0, 4}};
                fill(&random, sums[0], TOKENS * 70);
                memcpy(sums[1], sums[0], TOKENS * 70 * sizeof(float));
                for (int i = 0; i < 2; i++) {
                    lf_multiply_args args = {.sum = sums[i],
                                             .sum_stride = 70,
                                             .x = x + 1,
                                             .x_stride = 2 * PAIRS + 2,
                                             .n_tok = n_tok,
                                             .panel = panel,
                                             .n_pair = 1 + window * 4,
                                             .strip = strips[window][0],
                                             .n_strip = strips[window][1]};
                    sets[i ? set : 0]->multiply(&args);
                }
                assert_memory_equal(sums[0], sums[1], TOKENS * 70 * sizeof(float));
            }
        }
    }
    free(panel);
    free(x);
    for (int i = 0; i < 2; i++) free(sums[i]);
}

static void tiles_give_the_same_bits(void **state)
{
    enum { GROUPS = 3, TOKENS = GROUPS * LF_GROUP_TOKENS, STRIPS = 6, COLUMNS = 34, STRIDE = STRIPS * LF_STRIP_ROWS };
    test_random random = {12};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    _Alignas(64) static float strips[STRIPS * COLUMNS * LF_STRIP_ROWS], sums[2][TOKENS * STRIDE];
    static float x[TOKENS * LF_KEY_CHUNK + 1];
    fill(&random, strips, LF_ARRAY_LENGTH(strips));
    fill(&random, x, LF_ARRAY_LENGTH(x));
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n_col = 0; n_col <= COLUMNS; n_col++) {
            for (size_t shape = 0; shape < 2 * GROUPS * STRIPS; shape++) {
                fill(&random, sums[0], TOKENS * STRIDE);
                memcpy(sums[1], sums[0], sizeof sums[0]);
                for (int i = 0; i < 2; i++) {
                    sets[i ? set : 0]->multiply_tiles(&(lf_tiles_args){.sum = sums[i],
                                                                       .sum_stride = STRIDE,
                                                                       .x = x + 1,
                                                                       .x_is_rows = shape % 2,
                                                                       .n_group = 1 + shape / 2 % GROUPS,
                                                                       .strips = strips,
                                                                       .n_col = n_col,
                                                                       .n_strip = 1 + shape / 2 / GROUPS});
                }
                assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
            }
        }
    }
}

// Tokens alone, some, a whole group, pairs of groups with and without a single one behind; single strips; what is
// outside of the product stays. Numbers of every size: sums that vanish below the smallest normal number too.
static void blocks_give_the_same_bits(void **state)
{
    enum { TOKENS = 80, BLOCKS = 3, STRIDE = 70 };
    static const size_t shapes[][3] = {{1, 0, 4},  {1, 2, 1},  {7, 0, 4},  {7, 1, 2},  {16, 0, 4},
                                       {16, 3, 1}, {32, 0, 4}, {48, 0, 4}, {64, 0, 4}, {80, 0, 4}};
    test_random random = {15};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    _Alignas(64) static lf_bf16 panel[BLOCKS * LF_BLOCK_PANEL], tiles[BLOCKS * TOKENS * LF_BLOCK_COLUMNS];
    _Alignas(64) static float sums[2][TOKENS * STRIDE];
    for (size_t i = 0; i < 2 * LF_ARRAY_LENGTH(shapes); i++) {
        const size_t *shape = shapes[i / 2];
        fill_bits(&random, panel, LF_ARRAY_LENGTH(panel));
        fill_bits(&random, tiles, LF_ARRAY_LENGTH(tiles));
        for (size_t j = 0; i % 2 && j < LF_ARRAY_LENGTH(panel); j++)
            panel[j] = lf_bf16_from_f32(lf_bf16_to_f32(panel[j]) * ldexpf(1, -(int)(test_random_bits(&random) % 140)));
        for (size_t set = 1; set < n_set; set++) {
            fill(&random, sums[0], TOKENS * STRIDE);
            for (size_t j = 0; i % 2 && j < TOKENS * STRIDE; j++) sums[0][j] = 0;
            memcpy(sums[1], sums[0], sizeof sums[0]);
            for (int k = 0; k < 2; k++) {
                sets[k ? set : 0]->multiply_blocks(&(lf_blocks_args){.sum = sums[k],
                                                                     .sum_stride = STRIDE,
                                                                     .tiles = tiles,
                                                                     .n_tok = shape[0],
                                                                     .panel = panel,
                                                                     .next = i % 3 ? panel : NULL,
                                                                     .n_block = 1 + i % BLOCKS,
                                                                     .strip = shape[1],
                                                                     .n_strip = shape[2]});
            }
            assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
        }
    }
}

// A product on tiles is the product on the panel that the tiles were made from, bit for bit: linear layers and
// attention go from one to the other as tokens come and go.
static void tiles_continue_panels(void **state)
{
    enum { TOKENS = 11, PADDED = 12, PAIRS = 21 };
    test_random random = {13};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    _Alignas(64) static lf_bf16 panel[PAIRS * LF_PANEL_PAIR];
    _Alignas(64) static float strips[PAIRS * LF_PANEL_PAIR], sums[2][PADDED * LF_PANEL_ROWS];
    lf_bf16 tokens[TOKENS][2 * PAIRS];
    float x[TOKENS * 2 * PAIRS], groups[PADDED * 2 * PAIRS];
    fill_bits(&random, panel, LF_ARRAY_LENGTH(panel));
    for (size_t t = 0; t < TOKENS; t++) fill_bits(&random, tokens[t], 2 * PAIRS);
    for (size_t set = 0; set < n_set; set++) {
        for (size_t t = 0; t < TOKENS; t++) sets[set]->expand(x + t * 2 * PAIRS, tokens[t], 2 * PAIRS);
        for (size_t t = 0; t < TOKENS; t += LF_GROUP_TOKENS) {
            const lf_bf16 *rows[LF_GROUP_TOKENS] = {0};
            size_t n = LF_MIN((size_t)LF_GROUP_TOKENS, TOKENS - t);
            for (size_t i = 0; i < n; i++) rows[i] = tokens[t + i];
            sets[set]->group_tokens(groups + t * 2 * PAIRS, rows, n, 2 * PAIRS);
        }
        sets[set]->widen_panel(strips, panel, PAIRS);
        memset(sums, 0, sizeof sums);
        sets[set]->multiply(&(lf_multiply_args){.sum = sums[0],
                                                .sum_stride = LF_PANEL_ROWS,
                                                .x = x,
                                                .x_stride = 2 * PAIRS,
                                                .n_tok = TOKENS,
                                                .panel = panel,
                                                .n_pair = PAIRS,
                                                .n_strip = LF_PANEL_STRIPS});
        sets[set]->multiply_tiles(&(lf_tiles_args){.sum = sums[1],
                                                   .sum_stride = LF_PANEL_ROWS,
                                                   .x = groups,
                                                   .n_group = 2,
                                                   .strips = strips,
                                                   .n_col = 2 * PAIRS,
                                                   .n_strip = LF_PANEL_STRIPS});
        assert_memory_equal(sums[0], sums[1], TOKENS * LF_PANEL_ROWS * sizeof(float));
        for (size_t i = TOKENS * LF_PANEL_ROWS; i < PADDED * LF_PANEL_ROWS; i++) assert_true(sums[1][i] == 0);
    }
}

static void widening_gives_the_same_bits(void **state)
{
    test_random random = {14};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 src[64 * 80];
    _Alignas(64) static float found[2][16 * 80 * 7];
    fill_bits(&random, src, 64 * 80);
    const lf_bf16 *rows[7];
    for (size_t i = 0; i < 7; i++) rows[i] = src + 1 + (i * 5 % 7) * 333;
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n = 0; n <= 80; n++) {
            for (size_t other = 1; other <= 7; other++) {
                for (int i = 0; i < 2; i++) {
                    memset(found[i], 0xee, sizeof found[i]);
                    sets[i ? set : 0]->widen_rows(found[i], rows, other, n);
                }
                assert_memory_equal(found[0], found[1], sizeof found[0]);
                for (int i = 0; i < 2 && other <= LF_GROUP_TOKENS; i++) {
                    memset(found[i], 0xee, sizeof found[i]);
                    sets[i ? set : 0]->group_tokens(found[i], rows, other, n);
                }
                assert_memory_equal(found[0], found[1], sizeof found[0]);
            }
        }
    }
}

static void packing_gives_the_same_bits(void **state)
{
    test_random random = {2};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 src[64 * 80];
    static lf_bf16 expected[36 * LF_PANEL_PAIR], found[36 * LF_PANEL_PAIR];
    fill_bits(&random, src, 64 * 80);
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n_col = 1; n_col <= 70; n_col++) {
            for (size_t n_row = 1; n_row <= 20; n_row++) {
                memset(expected, 0xee, sizeof expected);
                memset(found, 0xee, sizeof found);
                sets[0]->pack_rows(expected, n_col % 44, src + 1, 77, n_row, n_col);
                sets[set]->pack_rows(found, n_col % 44, src + 1, 77, n_row, n_col);
                assert_memory_equal(expected, found, sizeof found);
            }
        }
    }
}

// One chunk of keys against 1 to 11 query rows, all head sizes through two vectors of 16 and a tail: score and weigh
// are the bits of the reference and of the tiles made from the same rows.
static void chunks_give_the_same_bits(void **state)
{
    enum { TOKENS = 11, PADDED = 12, LONGEST_D = 70, STRIDE = 80 };
    test_random random = {15};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 keys[9][LONGEST_D + 1], x[TOKENS][STRIDE];
    const lf_bf16 *rows[LF_KEY_CHUNK];
    for (size_t i = 0; i < 9; i++) fill_bits(&random, keys[i], LONGEST_D + 1);
    for (size_t k = 0; k < LF_KEY_CHUNK; k++) rows[k] = keys[k * 7 % 9] + 1;
    for (size_t t = 0; t < TOKENS; t++) fill_bits(&random, x[t], STRIDE);
    _Alignas(64) static float query[TOKENS * STRIDE], groups[PADDED * STRIDE], strips[LF_KEY_CHUNK * STRIDE];
    _Alignas(64) static float score[3][PADDED * LF_KEY_CHUNK], out[3][PADDED * STRIDE];
    for (size_t set = 1; set < n_set; set++) {
        const lf_cpu_kernels *kernels = sets[set];
        for (size_t d = 1; d <= LONGEST_D; d++) {
            size_t n_tok = 1 + d % TOKENS, even = d + d % 2, n_group = (n_tok + 5) / LF_GROUP_TOKENS;
            memset(query, 0, sizeof query);
            memset(score, 0, sizeof score);
            for (size_t t = 0; t < n_tok; t++) kernels->expand(query + t * STRIDE, x[t], d);
            lf_chunk_args args = {score[0], LF_KEY_CHUNK, query, STRIDE, n_tok, rows, d};
            sets[0]->score(&args);
            args.out = score[1];
            kernels->score(&args);
            for (size_t t = 0; t < n_tok; t += LF_GROUP_TOKENS) {
                const lf_bf16 *tokens[LF_GROUP_TOKENS] = {0};
                size_t n = LF_MIN((size_t)LF_GROUP_TOKENS, n_tok - t);
                for (size_t i = 0; i < n; i++) tokens[i] = x[t + i];
                kernels->group_tokens(groups + t * even, tokens, n, d);
                memset(groups + t * even + d * LF_GROUP_TOKENS, 0, (even - d) * LF_GROUP_TOKENS * sizeof *groups);
            }
            kernels->widen_columns(strips, rows, even, d);
            kernels->multiply_tiles(
                &(lf_tiles_args){score[2], LF_KEY_CHUNK, groups, false, n_group, strips, even, LF_PANEL_STRIPS});
            for (int i = 1; i < 3; i++) assert_memory_equal(score[0], score[i], n_tok * LF_KEY_CHUNK * sizeof(float));

            // Softmax weights are no bf16 numbers: fused and separate multiply-adds differ, so the reference is close.
            for (size_t i = 0; i < PADDED * LF_KEY_CHUNK; i++) score[1][i] = test_random_normal(&random);
            fill(&random, out[0], PADDED * STRIDE);
            for (int i = 1; i < 3; i++) memcpy(out[i], out[0], sizeof out[0]);
            args = (lf_chunk_args){out[0], STRIDE, score[1], LF_KEY_CHUNK, n_tok, rows, d};
            sets[0]->weigh(&args);
            args.out = out[1];
            kernels->weigh(&args);
            kernels->widen_rows(strips, rows, LF_KEY_CHUNK, d);
            kernels->multiply_tiles(&(lf_tiles_args){out[2], STRIDE, score[1], true, n_group, strips, LF_KEY_CHUNK,
                                                     (d + 15) / LF_STRIP_ROWS});
            for (size_t t = 0; t < n_tok; t++) {
                assert_memory_equal(out[1] + t * STRIDE, out[2] + t * STRIDE, d * sizeof(float));
                for (size_t c = 0; c < d; c++)
                    assert_true(fabsf(out[0][t * STRIDE + c] - out[1][t * STRIDE + c]) < 1e-4f);
                for (size_t c = d; c < STRIDE; c++) assert_true(out[0][t * STRIDE + c] == out[1][t * STRIDE + c]);
            }
        }
    }
}

static void conversions_give_the_same_bits(void **state)
{
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    static lf_bf16 all[65536], back[65536];
    static float wide[2][65536];
    for (size_t i = 0; i < 65536; i++) all[i] = (lf_bf16)i;
    for (size_t set = 1; set < n_set; set++) {
        sets[0]->expand(wide[0], all, 65536);
        sets[set]->expand(wide[1], all, 65536);
        assert_memory_equal(wide[0], wide[1], sizeof wide[0]);
        sets[set]->narrow(back, wide[1], NULL, 65536);
        for (size_t i = 0; i < 65536; i++) assert_int_equal(back[i], lf_bf16_from_f32(wide[0][i]));
        // Every pattern of the dropped half on a few kept ones: ties, carries into the exponent, overflow to infinity,
        // NaN payloads.
        static const uint16_t kept[] = {0x3f80, 0x3f81, 0x3fff, 0x7f7f, 0xff7f, 0x7f80,
                                        0xff80, 0x7fff, 0x0000, 0x8000, 0x007f};
        for (size_t k = 0; k < sizeof kept / sizeof *kept; k++) {
            for (uint32_t low = 0; low < 65536; low++) wide[0][low] = lf_f32_from_bits((uint32_t)kept[k] << 16 | low);
            sets[set]->narrow(back, wide[0], NULL, 65536);
            for (uint32_t low = 0; low < 65536; low++) assert_int_equal(back[low], lf_bf16_from_f32(wide[0][low]));
        }
        test_random random = {3};
        float bias[LONGEST];
        for (size_t n = 0; n <= LONGEST; n++) {
            fill(&random, bias, LONGEST);
            fill(&random, wide[0], LONGEST);
            memset(back, 0, sizeof back);
            sets[set]->narrow(back + 1, wide[0], bias, n);
            for (size_t i = 0; i < n; i++) assert_int_equal(back[i + 1], lf_bf16_from_f32(wide[0][i] + bias[i]));
            assert_int_equal(back[n + 1], 0);
        }
    }
}

static void assert_rows_close(const lf_bf16 *a, const lf_bf16 *b, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++) test_assert_close(lf_bf16_to_f32(a[i]), lf_bf16_to_f32(b[i]), 1, 1e-35f, what, i);
}

static void rows_agree_for_every_length(void **state)
{
    test_random random = {4};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 x[LONGEST + SLACK], up[LONGEST + SLACK], start[LONGEST + SLACK], y[2][LONGEST + SLACK],
        residual[2][LONGEST + SLACK];
    float weight[LONGEST + SLACK];
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n = 1; n <= LONGEST; n++) {
            fill_bits(&random, x, LONGEST + SLACK);
            fill_bits(&random, up, LONGEST + SLACK);
            fill_bits(&random, start, LONGEST + SLACK);
            fill(&random, weight, LONGEST + SLACK);
            const lf_cpu_kernels *kernels[2] = {sets[0], sets[set]};
            for (int i = 0; i < 2; i++) {
                memset(y[i], 0, sizeof y[i]);
                memcpy(residual[i], start, sizeof start);
                kernels[i]->norm(y[i] + 3, x + 1, n % 2 ? residual[i] + 5 : NULL, weight + 1, n, 1e-6f);
            }
            assert_memory_equal(residual[0], residual[1], sizeof residual[0]);
            assert_rows_close(y[0], y[1], LONGEST + SLACK, "norm");
            for (int i = 0; i < 2; i++) kernels[i]->gate(y[i] + 3, x + 1, up + 5, n);
            assert_rows_close(y[0], y[1], LONGEST + SLACK, "gate");
            for (int pairs = 0; pairs < 2; pairs++) {
                for (int i = 0; i < 2; i++) {
                    memcpy(y[i], start, sizeof start);
                    (pairs ? kernels[i]->rotate_pairs : kernels[i]->rotate)(y[i] + 1, weight, n / 2);
                }
                for (size_t j = 0; j < LONGEST + SLACK; j++) {
                    // Products may cancel: the unit is that of the larger product.
                    test_assert_close(lf_bf16_to_f32(y[0][j]), lf_bf16_to_f32(y[1][j]), 1, 1e-6f, "rotate", j);
                }
            }
        }
    }
}

static void float_rows_agree_for_every_length(void **state)
{
    test_random random = {17};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 x[LONGEST + SLACK], y[2][LONGEST + SLACK];
    float wide[LONGEST + SLACK], start[LONGEST + SLACK], sums[2][LONGEST + SLACK];
    for (size_t set = 1; set < n_set; set++) {
        const lf_cpu_kernels *kernels[2] = {sets[0], sets[set]};
        for (size_t n = 0; n <= LONGEST; n++) {
            fill_bits(&random, x, LONGEST + SLACK);
            for (size_t i = 0; i < LONGEST + SLACK; i++) wide[i] = test_random_normal(&random);
            for (size_t i = 0; i < LONGEST + SLACK; i++) start[i] = test_random_normal(&random);
            float expected = sets[0]->square_sum(x + 1, n), found = sets[set]->square_sum(x + 1, n);
            assert_true(fabsf(expected - found) <= 1e-6f * expected);
            for (int i = 0; i < 2; i++) {
                memset(y[i], 0, sizeof y[i]);
                kernels[i]->scale(y[i] + 3, x + 1, 0.3f, wide + 1, n);
                memcpy(sums[i], start, sizeof start);
                kernels[i]->add_scaled(sums[i] + 1, wide + 3, 0.7f, n);
            }
            assert_memory_equal(y[0], y[1], sizeof y[0]);
            // Fused and separate multiply-adds differ by the rounding of the product.
            for (size_t i = 0; i < LONGEST + SLACK; i++) assert_true(fabsf(sums[0][i] - sums[1][i]) <= 5e-7f);
            assert_true(sums[1][n + 1] == start[n + 1]);
            memcpy(y[0], x, sizeof x);
            sets[set]->scale(y[0] + 1, y[0] + 1, 0.3f, wide + 1, n); // in place
            assert_memory_equal(y[0] + 1, y[1] + 3, n * sizeof(lf_bf16));
        }
    }
}

// Every number of columns around the vectors, of rows and tokens around the tiles; and an output is the same bits in
// every tile.
static void dots_agree_and_do_not_know_their_tile(void **state)
{
    enum { TOKENS = 8, ROWS = 19, COLUMNS = 70, STRIDE = ROWS + 2 };
    test_random random = {18};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_bf16 x[TOKENS * (COLUMNS + 3)];
    float rows[ROWS * COLUMNS], out[2][TOKENS * STRIDE];
    fill_bits(&random, x, LF_ARRAY_LENGTH(x));
    for (size_t i = 0; i < ROWS * COLUMNS; i++) rows[i] = test_random_normal(&random);
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n_col = 0; n_col <= COLUMNS; n_col++) {
            lf_dots_args args = {out[0], STRIDE, x + 1, COLUMNS + 2, TOKENS, rows, ROWS, n_col};
            memset(out, 0, sizeof out);
            sets[0]->dots(&args);
            args.out = out[1];
            sets[set]->dots(&args);
            for (size_t i = 0; i < TOKENS * STRIDE; i++) assert_true(fabsf(out[0][i] - out[1][i]) <= 3e-5f);
            for (size_t n_tok = 0; n_tok <= TOKENS; n_tok++) {
                size_t n_row = (n_tok * 5 + n_col) % (ROWS + 1), tok = TOKENS - n_tok, row = ROWS - n_row;
                float part[TOKENS * STRIDE] = {0};
                sets[set]->dots(&(lf_dots_args){part, STRIDE, args.x + tok * args.x_stride, args.x_stride, n_tok,
                                                rows + row * n_col, n_row, n_col});
                for (size_t t = 0; t < TOKENS; t++) {
                    if (t < n_tok) {
                        assert_memory_equal(part + t * STRIDE, out[1] + (tok + t) * STRIDE + row, n_row * sizeof *part);
                    }
                    for (size_t r = t < n_tok ? n_row : 0; r < STRIDE; r++) assert_true(part[t * STRIDE + r] == 0);
                }
            }
        }
    }
}

static void softmax_steps_agree(void **state)
{
    test_random random = {5};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    for (size_t set = 1; set < n_set; set++) {
        for (size_t trial = 0; trial < 2000; trial++) {
            size_t begin = test_random_bits(&random) % 65, end = test_random_bits(&random) % 65, n_out = trial % 70;
            float s[2][LF_KEY_CHUNK], out[2][80], m[2], l[2];
            fill(&random, s[0], LF_KEY_CHUNK);
            for (size_t j = 0; j < LF_KEY_CHUNK; j++) s[0][j] *= 30;
            fill(&random, out[0], 80);
            memcpy(s[1], s[0], sizeof s[0]);
            memcpy(out[1], out[0], sizeof out[0]);
            m[0] = m[1] = trial % 3 ? 10 * test_random_normal(&random) : -INFINITY;
            l[0] = l[1] = trial % 3 ? 1 + test_random_uniform(&random) : 0;
            for (int i = 0; i < 2; i++) {
                lf_soften_args args = {.s = s[i],
                                       .begin = begin,
                                       .end = end,
                                       .scale = 0.3f,
                                       .m = &m[i],
                                       .l = &l[i],
                                       .out = out[i],
                                       .n_out = n_out};
                sets[i ? set : 0]->soften(&args);
            }
            assert_true(m[0] == m[1]);
            assert_true(fabsf(l[0] - l[1]) <= 2e-6f * l[0]);
            for (size_t j = 0; j < LF_KEY_CHUNK; j++) assert_true(fabsf(s[0][j] - s[1][j]) <= 3e-7f * s[0][j] + 1e-37f);
            for (size_t j = 0; j < 80; j++)
                assert_true(fabsf(out[0][j] - out[1][j]) <= 3e-7f * fabsf(out[0][j]) + 1e-37f);
        }
        float s[LF_KEY_CHUNK] = {1, NAN}, out[1] = {1}, m = 0, l = 1;
        sets[set]->soften(
            &(lf_soften_args){.s = s, .begin = 0, .end = 2, .scale = 1, .m = &m, .l = &l, .out = out, .n_out = 1});
        assert_true(isnan(l)); // a broken score does not vanish
    }
}

static void surveys_agree(void **state)
{
    test_random random = {6};
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0};
    for (size_t set = 1; set < n_set; set++) {
        for (size_t n = 0; n <= 300; n++) {
            float x[301];
            fill(&random, x, 301);
            x[n] = 1e38f; // beyond the row
            for (size_t i = 0; n && i < n % 7; i++)
                x[test_random_bits(&random) % n] = odd[test_random_bits(&random) % 6];
            if (n % 11 == 0) {
                for (size_t i = 0; i < n; i++) x[i] = odd[i % 3];
            }
            lf_row_survey a = sets[0]->survey(x, n), b = sets[set]->survey(x, n);
            assert_true(a.max == b.max);
            assert_int_equal(a.n_broken, b.n_broken);
            assert_int_equal(a.n_minus_infinity, b.n_minus_infinity);
        }
    }
}

// Every 64th float of [-87.3, 0] and the places where the polynomial's argument changes sign.
static void exp_is_within_its_stated_error(void **state)
{
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    for (size_t set = 0; set < n_set; set++) {
        double worst = 0;
        float x[1024], e[1024];
        uint32_t last = lf_f32_bits(87.3f);
        for (uint32_t bits = 0; bits < last;) {
            for (size_t i = 0; i < 1024; i++, bits += bits < 0x3a000000u ? 65536 : 64)
                x[i] = -lf_f32_from_bits(bits < last ? bits : last);
            sets[set]->exponentiate(e, x, 1024, 0, 1);
            for (size_t i = 0; i < 1024; i++) {
                double exact = exp((double)x[i]), unit = ldexp(1, ilogb(exact) - 23);
                worst = fmax(worst, fabs((double)e[i] - exact) / unit);
            }
        }
        if (worst > 1.02) fail_msg("exp is off by %g units in the last place", worst);
        for (size_t n = 0; n <= 40; n++) {
            float sum = 0;
            for (size_t i = 0; i < 41; i++) x[i] = e[i] = -(float)i;
            float got = sets[set]->exponentiate(e, x, n, 0.5f, 2);
            for (size_t i = 0; i < n; i++) sum += expf((x[i] - 0.5f) * 2);
            assert_true(fabsf(sum - got) <= 1e-6f * sum);
            assert_true(e[n] == -(float)n);
        }
        float edge[3] = {-INFINITY, -200, -1e30f};
        assert_true(sets[set]->exponentiate(edge, edge, 3, 0, 1) < 1e-37f);
    }
}

static float wrong_exponentiate(float *dst, const float *x, size_t n, float offset, float factor)
{
    float sum = lf_exponentiate__ref(dst, x, n, offset, factor);
    dst[n - 1] *= 1.001f;
    return sum;
}

static void wrong_multiply(const lf_multiply_args *args)
{
    lf_multiply__ref(args);
    if (args->n_tok == 3) args->sum[1] = nextafterf(args->sum[1], 1e9f);
}

static void start_up_check_accepts_and_refuses(void **state)
{
    const lf_cpu_kernels *sets[MOST_SETS];
    size_t n_set = runnable(sets);
    lf_cpu_kernels chosen;
    lf_cpu_kernels_choose(&chosen, lf_cpu_isa_best());
    for (int kernel = 0; kernel < LF_KERNEL_COUNT; kernel++) {
        assert_true(lf_cpu_kernel_agrees(kernel, sets[0]));
        assert_true(lf_cpu_kernel_agrees(kernel, &chosen));
    }
    if (n_set > 1) assert_ptr_equal(chosen.multiply, sets[n_set - 1]->multiply);
    chosen.exponentiate = wrong_exponentiate;
    chosen.multiply = wrong_multiply;
    assert_false(lf_cpu_kernel_agrees(LF_KERNEL_exponentiate, &chosen));
    assert_false(lf_cpu_kernel_agrees(LF_KERNEL_multiply, &chosen));
}

int test_kernels(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiply_gives_the_same_bits),
        cmocka_unit_test(tiles_give_the_same_bits),
        cmocka_unit_test(blocks_give_the_same_bits),
        cmocka_unit_test(tiles_continue_panels),
        cmocka_unit_test(widening_gives_the_same_bits),
        cmocka_unit_test(packing_gives_the_same_bits),
        cmocka_unit_test(chunks_give_the_same_bits),
        cmocka_unit_test(conversions_give_the_same_bits),
        cmocka_unit_test(rows_agree_for_every_length),
        cmocka_unit_test(float_rows_agree_for_every_length),
        cmocka_unit_test(dots_agree_and_do_not_know_their_tile),
        cmocka_unit_test(softmax_steps_agree),
        cmocka_unit_test(surveys_agree),
        cmocka_unit_test(exp_is_within_its_stated_error),
        cmocka_unit_test(start_up_check_accepts_and_refuses),
    };
    return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
