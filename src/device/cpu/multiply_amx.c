// SPDX-License-Identifier: Apache-2.0
//
// multiply_blocks for AMX: sums of 16 tokens by 16 rows live in tile registers, tiles of tokens and tiles of the panel
// (16 pairs of columns, 256 bytes apart) pass. Up to 16 tokens stream the panel once, all four strips at a time, and so
// does each of some groups. Many go in pairs of groups by pairs of strips, so that every tile that is loaded is used
// twice; they read the weights from a copy without gaps, because two strips of a panel fall into half of the first
// level cache's sets. The bits are those of __ref: every row of a tile is a chain of its own.
#include <immintrin.h>

#include "device/cpu/kernels.h"

enum {
    TILE_BYTES = 64,                              // of a row: 32 bf16 or 16 f32
    PAIR_BYTES = LF_PANEL_PAIR * sizeof(lf_bf16), // row stride of a tile of the panel
    TILE_ELEMENTS = LF_BLOCK_TOKENS * LF_BLOCK_COLUMNS,
    STRIP_ELEMENTS = 2 * LF_STRIP_ROWS,
    LINE_ELEMENTS = 32,
    PREFETCH_BLOCKS = 2, // how far ahead few tokens ask for their panel
    RUN_BLOCKS = 8,      // of the panel are 32 KiB
    COPY_BLOCKS = 8,     // two strips of so many blocks are 16 KiB, a third of the first level cache
    COPY_GROUPS = 8,     // groups of tokens that are many: they earn a copy
};

// The operand of LDTILECFG.
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

// Tiles 0 to 3 are sums, 4 and 5 tokens (token_rows of them), 6 and 7 weights.
static void configure(size_t token_rows)
{
    tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = TILE_BYTES;
        config.rows[i] = i < 6 ? (uint8_t)token_rows : LF_BLOCK_COLUMNS / 2;
    }
    __asm__ volatile("" : : "r"(&config) : "memory"); // gcc's intrinsic says that it reads 8 bytes of the 64
    _tile_loadconfig(&config);
}

static void prefetch_block(const lf_bf16 *block)
{
    for (int line = 0; line < LF_BLOCK_PANEL / LINE_ELEMENTS; line++)
        _mm_prefetch((const char *)(block + line * LINE_ELEMENTS), _MM_HINT_T0);
}

// All strips of a panel for up to 16 tokens; `ahead`: which are the first to touch it.
static void whole_panel(const lf_blocks_args *args, bool ahead)
{
    const size_t sum_bytes = args->sum_stride * sizeof(float), step = args->n_tok * LF_BLOCK_COLUMNS;
    const lf_bf16 *panel = args->panel, *tile = args->tiles;
    float *sum = args->sum;
    _tile_loadd(0, sum, sum_bytes);
    _tile_loadd(1, sum + LF_STRIP_ROWS, sum_bytes);
    _tile_loadd(2, sum + 2 * LF_STRIP_ROWS, sum_bytes);
    _tile_loadd(3, sum + 3 * LF_STRIP_ROWS, sum_bytes);
    for (size_t block = 0; block < args->n_block; block++, panel += LF_BLOCK_PANEL, tile += step) {
        if (ahead) prefetch_block(panel + PREFETCH_BLOCKS * LF_BLOCK_PANEL);
        _tile_loadd(4, tile, TILE_BYTES);
        _tile_loadd(6, panel, PAIR_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, panel + STRIP_ELEMENTS, PAIR_BYTES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, panel + 2 * STRIP_ELEMENTS, PAIR_BYTES);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, panel + 3 * STRIP_ELEMENTS, PAIR_BYTES);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, sum, sum_bytes);
    _tile_stored(1, sum + LF_STRIP_ROWS, sum_bytes);
    _tile_stored(2, sum + 2 * LF_STRIP_ROWS, sum_bytes);
    _tile_stored(3, sum + 3 * LF_STRIP_ROWS, sum_bytes);
}

// One strip of a panel for up to 16 tokens.
static void one_strip(const lf_blocks_args *args, size_t strip)
{
    const size_t sum_bytes = args->sum_stride * sizeof(float), step = args->n_tok * LF_BLOCK_COLUMNS;
    const lf_bf16 *panel = args->panel + strip * STRIP_ELEMENTS, *tile = args->tiles;
    float *sum = args->sum + strip * LF_STRIP_ROWS;
    _tile_loadd(0, sum, sum_bytes);
    for (size_t block = 0; block < args->n_block; block++, panel += LF_BLOCK_PANEL, tile += step) {
        _tile_loadd(4, tile, TILE_BYTES);
        _tile_loadd(6, panel, PAIR_BYTES);
        _tile_dpbf16ps(0, 4, 6);
    }
    _tile_stored(0, sum, sum_bytes);
}

// Tiles of the panel: where the first one of each strip lies, the way to the next row and to the next block.
typedef struct weight_tiles {
    const lf_bf16 *strips[2];
    size_t row_bytes, step;
} weight_tiles;

static weight_tiles copy_strips(lf_bf16 *copy, const lf_bf16 *panel, size_t n_block)
{
    lf_bf16 *other = copy + n_block * TILE_ELEMENTS;
    for (size_t pair = 0; pair < n_block * LF_BLOCK_COLUMNS / 2; pair++, panel += LF_PANEL_PAIR) {
        _mm512_store_si512(copy + pair * STRIP_ELEMENTS, _mm512_load_si512(panel));
        _mm512_store_si512(other + pair * STRIP_ELEMENTS, _mm512_load_si512(panel + STRIP_ELEMENTS));
    }
    return (weight_tiles){{copy, other}, TILE_BYTES, TILE_ELEMENTS};
}

// Two strips by two groups of tokens. Meanwhile lines [line, line + n_line) of `next` come nearer, some in each block.
static void two_by_two(const lf_blocks_args *args, const weight_tiles *weights, size_t group, size_t strip,
                       const lf_bf16 *next, size_t n_line)
{
    const size_t sum_bytes = args->sum_stride * sizeof(float), below = LF_BLOCK_TOKENS * args->sum_stride;
    const size_t row_bytes = weights->row_bytes, step = weights->step;
    const lf_bf16 *left = weights->strips[0], *right = weights->strips[1];
    const lf_bf16 *tile = args->tiles + group * args->n_block * TILE_ELEMENTS;
    const lf_bf16 *other = tile + args->n_block * TILE_ELEMENTS;
    float *sum = args->sum + group * below + strip * LF_STRIP_ROWS;
    _tile_loadd(0, sum, sum_bytes);
    _tile_loadd(1, sum + LF_STRIP_ROWS, sum_bytes);
    _tile_loadd(2, sum + below, sum_bytes);
    _tile_loadd(3, sum + below + LF_STRIP_ROWS, sum_bytes);
    for (size_t block = 0; block < args->n_block; block++) {
        _tile_loadd(6, left, row_bytes);
        _tile_loadd(4, tile, TILE_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, right, row_bytes);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, other, TILE_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        left += step;
        right += step;
        tile += TILE_ELEMENTS;
        other += TILE_ELEMENTS;
        for (size_t i = 0; i < n_line; i++, next += LINE_ELEMENTS) _mm_prefetch((const char *)next, _MM_HINT_T1);
    }
    _tile_stored(0, sum, sum_bytes);
    _tile_stored(1, sum + LF_STRIP_ROWS, sum_bytes);
    _tile_stored(2, sum + below, sum_bytes);
    _tile_stored(3, sum + below + LF_STRIP_ROWS, sum_bytes);
}

// Some groups pass over a run of the panel one after the other: the first brings it into the first level cache.
static void some_groups(const lf_blocks_args *args)
{
    lf_blocks_args part = *args;
    part.n_tok = LF_BLOCK_TOKENS;
    for (size_t block = 0; block < args->n_block; block += RUN_BLOCKS) {
        part.panel = args->panel + block * LF_BLOCK_PANEL;
        part.n_block = args->n_block - block < RUN_BLOCKS ? args->n_block - block : RUN_BLOCKS;
        for (size_t group = 0; group < args->n_tok / LF_BLOCK_TOKENS; group++) {
            part.sum = args->sum + group * LF_BLOCK_TOKENS * args->sum_stride;
            part.tiles = args->tiles + (group * args->n_block + block) * TILE_ELEMENTS;
            whole_panel(&part, group == 0);
        }
    }
}

static void many_tokens(const lf_blocks_args *args)
{
    size_t n_group = args->n_tok / LF_BLOCK_TOKENS, n_pair = n_group / 2;
    // Every call of two_by_two asks for its share of `next`; rounding up may ask for a little more than all of it.
    size_t calls = n_pair * (LF_PANEL_STRIPS / 2), lines = LF_BLOCK_PANEL / LINE_ELEMENTS;
    size_t n_line = args->next ? (lines + calls - 1) / calls : 0, asked = 0;
    _Alignas(64) lf_bf16 copy[2 * COPY_BLOCKS * TILE_ELEMENTS];
    for (size_t strip = 0; strip < LF_PANEL_STRIPS; strip += 2) {
        const lf_bf16 *first = args->panel + strip * STRIP_ELEMENTS;
        weight_tiles weights = {{first, first + STRIP_ELEMENTS}, PAIR_BYTES, LF_BLOCK_PANEL};
        if (args->n_block <= COPY_BLOCKS) weights = copy_strips(copy, first, args->n_block);
        for (size_t group = 0; group + 2 <= n_group; group += 2) {
            bool all = !args->next || asked >= lines;
            const lf_bf16 *next = all ? NULL : args->next + asked * args->n_block * LINE_ELEMENTS;
            two_by_two(args, &weights, group, strip, next, all ? 0 : n_line);
            asked += n_line;
        }
    }
    if (n_group % 2 == 0) return;
    lf_blocks_args last = *args;
    last.sum += (n_group - 1) * LF_BLOCK_TOKENS * args->sum_stride;
    last.tiles += (n_group - 1) * args->n_block * TILE_ELEMENTS;
    last.n_tok = LF_BLOCK_TOKENS;
    whole_panel(&last, false);
}

void lf_multiply_blocks__amx(const lf_blocks_args *args)
{
    if (args->n_tok == 0) return;
    configure(args->n_tok < LF_BLOCK_TOKENS ? args->n_tok : LF_BLOCK_TOKENS);
    if (args->n_tok >= COPY_GROUPS * LF_BLOCK_TOKENS) {
        many_tokens(args);
    } else if (args->n_tok > LF_BLOCK_TOKENS) {
        some_groups(args);
    } else if (args->n_strip == LF_PANEL_STRIPS) {
        whole_panel(args, true);
    } else {
        for (size_t strip = args->strip; strip < args->strip + args->n_strip; strip++) one_strip(args, strip);
    }
    _tile_release(); // or every switch of threads saves 8 KiB of tiles
}
