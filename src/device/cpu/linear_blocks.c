// SPDX-License-Identifier: Apache-2.0
//
// The linear layer on a matrix unit (THE BLOCKS of kernels.h), for any number of tokens. Tokens are laid out in tiles
// first, by each thread for itself when they are few. Up to one group of tokens stream the weights once; many tokens
// pass over a few panels at a time, a run of columns after the other, so that the run's tokens and the panels stay in
// the second level cache while the next panel is on its way from memory. The order of kernels.h makes the cut invisible
// in the result.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

enum { TILE_ELEMENTS = LF_BLOCK_TOKENS * LF_BLOCK_COLUMNS };

typedef struct blocks_job {
    lf_cpu_device *cpu;
    const lf_linear_args *args;
    size_t first_tok, n_tok;
    size_t n_block;     // of the matrix' columns
    bool private_tiles; // few tokens: each thread lays out its own copy
    size_t item_strips; // few tokens: strips of one piece of work, 4 (a panel) or 1
    size_t n_group;     // many tokens: of all
    size_t item_groups; // of one piece of work
    size_t item_panels;
} blocks_job;

static lf_bf16 *tiles_of(const blocks_job *job) { return job->cpu->x_pages.address; }

void lf__tile_token(lf_bf16 *tiles, size_t n_tok, size_t tok, size_t n_block, const lf_bf16 *src, size_t n)
{
    size_t rows = LF_MIN((size_t)LF_BLOCK_TOKENS, n_tok), step = rows * LF_BLOCK_COLUMNS;
    lf_bf16 *row = tiles + tok / rows * n_block * step + tok % rows * LF_BLOCK_COLUMNS;
    for (size_t column = 0; column < n_block * LF_BLOCK_COLUMNS; column += LF_BLOCK_COLUMNS, row += step) {
        if (column + LF_BLOCK_COLUMNS <= n) {
            memcpy(row, src + column, LF_BLOCK_COLUMNS * sizeof *row);
            continue;
        }
        memset(row, 0, LF_BLOCK_COLUMNS * sizeof *row);
        if (column < n) memcpy(row, src + column, (n - column) * sizeof *row);
    }
}

void lf__multiply_tiles(const lf_cpu_device *cpu, const lf_few_tokens *tokens, float *sum, size_t panel, size_t strip,
                        size_t n_strip)
{
    const lf_weight *weight = tokens->args->weight;
    lf_blocks_args args = {.sum = sum,
                           .sum_stride = LF_PANEL_ROWS,
                           .tiles = tokens->tiles,
                           .n_tok = lf__tile_tokens(tokens->n_tok),
                           .panel = lf__weight_panel(weight, panel),
                           .n_block = weight->n_pair / (LF_BLOCK_COLUMNS / 2),
                           .strip = strip,
                           .n_strip = n_strip};
    if (args.n_tok <= LF_BLOCK_TOKENS || n_strip == LF_PANEL_STRIPS) {
        cpu->kernels.multiply_blocks(&args);
        return;
    }
    size_t n_group = args.n_tok / LF_BLOCK_TOKENS;
    args.n_tok = LF_BLOCK_TOKENS;
    for (size_t group = 0; group < n_group; group++) {
        cpu->kernels.multiply_blocks(&args);
        args.sum += LF_BLOCK_TOKENS * LF_PANEL_ROWS;
        args.tiles += args.n_block * TILE_ELEMENTS;
    }
}

// Blocks [block, block + n_block) of tokens [tok, tok + n_tok) of the job; each block gets `rows` >= n_tok rows.
static void lay_out(const blocks_job *job, lf_bf16 *dst, size_t tok, size_t n_tok, size_t rows, size_t block,
                    size_t n_block)
{
    const lf_linear_args *args = job->args;
    size_t n_col = args->weight->n_col;
    for (size_t t = 0; t < rows; t++) {
        const lf_bf16 *src = (const lf_bf16 *)args->x.address + (job->first_tok + tok + t) * args->x_stride;
        for (size_t b = 0; b < n_block; b++) {
            lf_bf16 *row = dst + (b * rows + t) * LF_BLOCK_COLUMNS;
            size_t column = (block + b) * LF_BLOCK_COLUMNS;
            if (t < n_tok && column + LF_BLOCK_COLUMNS <= n_col) {
                memcpy(row, src + column, LF_BLOCK_COLUMNS * sizeof *row);
                continue;
            }
            memset(row, 0, LF_BLOCK_COLUMNS * sizeof *row);
            if (t < n_tok && column < n_col) memcpy(row, src + column, (n_col - column) * sizeof *row);
        }
    }
}

static void few_range(void *ctx, size_t begin, size_t end, int thread)
{
    const blocks_job *job = ctx;
    size_t n_tok = job->n_tok;
    lf_bf16 *tiles = tiles_of(job);
    if (job->private_tiles) {
        tiles += (size_t)thread * LF_PRIVATE_TOKENS * job->n_block * LF_BLOCK_COLUMNS;
        lay_out(job, tiles, 0, n_tok, n_tok, 0, job->n_block);
    }
    float *sum = lf__thread_scratch(job->cpu, thread)->sum;
    lf_few_tokens tokens = {.args = job->args, .first_tok = job->first_tok, .n_tok = n_tok, .tiles = tiles};
    for (size_t item = begin; item < end; item++) {
        size_t strip = item * job->item_strips;
        lf__linear_strips(job->cpu, &tokens, sum, strip / LF_PANEL_STRIPS, strip % LF_PANEL_STRIPS, job->item_strips);
    }
}

static void few_tokens(blocks_job *job)
{
    size_t n_panel = job->args->weight->n_panel;
    job->private_tiles = job->n_tok <= LF_PRIVATE_TOKENS;
    job->item_strips = lf__linear_item_strips(job->cpu, n_panel);
    if (!job->private_tiles) lay_out(job, tiles_of(job), 0, job->n_tok, job->n_tok, 0, job->n_block);
    lf_par_for(n_panel * (LF_PANEL_STRIPS / job->item_strips), 1, few_range, job);
}

static size_t run_blocks(const blocks_job *job, size_t block)
{
    return LF_MIN((size_t)LF_RUN_BLOCKS, job->n_block - block);
}

// Tiles from `group` on, of the run that begins at `block`: runs one after the other, each all groups.
static lf_bf16 *run_tiles(const blocks_job *job, size_t block, size_t group)
{
    return tiles_of(job) + (block * job->n_group + group * run_blocks(job, block)) * TILE_ELEMENTS;
}

static void lay_out_range(void *ctx, size_t begin, size_t end, int thread)
{
    const blocks_job *job = ctx;
    for (size_t group = begin; group < end; group++) {
        size_t tok = group * LF_BLOCK_TOKENS, n_tok = LF_MIN((size_t)LF_BLOCK_TOKENS, job->n_tok - tok);
        for (size_t block = 0; block < job->n_block; block += LF_RUN_BLOCKS) {
            lay_out(job, run_tiles(job, block, group), tok, n_tok, LF_BLOCK_TOKENS, block, run_blocks(job, block));
        }
    }
}

// The weights that follow a run of a panel: the same run of the next of the item's panels, then the next run.
static const lf_bf16 *next_weights(const blocks_job *job, size_t first, size_t n_panel, size_t panel, size_t block)
{
    const lf_weight *weight = job->args->weight;
    if (panel + 1 < first + n_panel) return lf__weight_panel(weight, panel + 1) + block * LF_BLOCK_PANEL;
    block += LF_RUN_BLOCKS;
    if (block < job->n_block) return lf__weight_panel(weight, first) + block * LF_BLOCK_PANEL;
    return first + n_panel < weight->n_panel ? lf__weight_panel(weight, first + n_panel) : NULL;
}

static void many_range(void *ctx, size_t begin, size_t end, int thread)
{
    const blocks_job *job = ctx;
    const lf_weight *weight = job->args->weight;
    const lf_cpu_kernels *kernels = &job->cpu->kernels;
    float *sums = lf__thread_scratch(job->cpu, thread)->sum;
    size_t n_range = (size_t)lf_ceil_div((int64_t)weight->n_panel, (int64_t)job->item_panels);
    for (size_t item = begin; item < end; item++) {
        size_t group = item / n_range * job->item_groups, first = item % n_range * job->item_panels;
        size_t n_group = LF_MIN(job->item_groups, job->n_group - group), padded = n_group * LF_BLOCK_TOKENS;
        size_t n_panel = LF_MIN(job->item_panels, weight->n_panel - first), tok = group * LF_BLOCK_TOKENS;
        memset(sums, 0, n_panel * padded * LF_PANEL_ROWS * sizeof *sums);
        for (size_t block = 0; block < job->n_block; block += LF_RUN_BLOCKS) {
            for (size_t panel = first; panel < first + n_panel; panel++) {
                kernels->multiply_blocks(
                    &(lf_blocks_args){.sum = sums + (panel - first) * padded * LF_PANEL_ROWS,
                                      .sum_stride = LF_PANEL_ROWS,
                                      .tiles = run_tiles(job, block, group),
                                      .n_tok = padded,
                                      .panel = lf__weight_panel(weight, panel) + block * LF_BLOCK_PANEL,
                                      .next = next_weights(job, first, n_panel, panel, block),
                                      .n_block = run_blocks(job, block),
                                      .n_strip = LF_PANEL_STRIPS});
            }
        }
        // All panels of a few tokens before the next: what a token gets lies side by side.
        for (size_t t = 0, n_tok = LF_MIN(padded, job->n_tok - tok); t < n_tok; t += LF_BLOCK_TOKENS) {
            for (size_t panel = 0; panel < n_panel; panel++) {
                const float *sum = sums + (panel * padded + t) * LF_PANEL_ROWS;
                lf__linear_store(kernels, job->args, sum, job->first_tok + tok + t,
                                 LF_MIN((size_t)LF_BLOCK_TOKENS, n_tok - t), (first + panel) * LF_PANEL_ROWS,
                                 LF_PANEL_ROWS);
            }
        }
    }
}

static void many_tokens(blocks_job *job)
{
    size_t n_panel = job->args->weight->n_panel, enough = 4 * (size_t)job->cpu->n_thread;
    job->n_group = (size_t)lf_ceil_div((int64_t)job->n_tok, LF_BLOCK_TOKENS);
    job->item_panels = LF_ITEM_PANELS;
    while (job->item_panels > 1 && n_panel < enough * job->item_panels) job->item_panels--;
    size_t n_range = (size_t)lf_ceil_div((int64_t)n_panel, (int64_t)job->item_panels), n_cut = 1;
    while (n_range * n_cut < enough && job->n_group / (n_cut + 1) >= 4) n_cut++;
    job->item_groups = (size_t)lf_ceil_div((int64_t)job->n_group, (int64_t)n_cut);
    n_cut = (size_t)lf_ceil_div((int64_t)job->n_group, (int64_t)job->item_groups);
    lf_par_for(job->n_group, 1, lay_out_range, job);
    lf_par_for_dynamic(n_cut * n_range, 1, many_range, job);
}

// Tokens [first, first + n_tok), at most LF_LINEAR_TOKENS.
void lf__linear_blocks(lf_cpu_device *cpu, const lf_linear_args *args, size_t first, size_t n_tok)
{
    blocks_job job = {.cpu = cpu,
                      .args = args,
                      .first_tok = first,
                      .n_tok = n_tok,
                      .n_block = args->weight->n_pair / (LF_BLOCK_COLUMNS / 2)};
    if (n_tok <= LF_BLOCK_TOKENS) {
        few_tokens(&job);
    } else {
        many_tokens(&job);
    }
}
