// SPDX-License-Identifier: Apache-2.0
//
// The linear layer for many tokens, on the tiles of kernels.h. Tokens become groups once, for all panels; then every
// (block of tokens, panel) is one independent piece of work: a run of the panel's columns becomes strips, which all
// groups of the block pass over while they are in the second level cache. Sums stay in the thread's scratch until all
// columns have passed. THE ORDER of kernels.h makes the cut invisible in the result.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

typedef struct tiles_job {
    lf_cpu_device *cpu;
    const lf_linear_args *args;
    size_t first_tok, n_tok;
    size_t n_group;      // of all tokens
    size_t block_groups; // of one piece of work
} tiles_job;

static size_t run_columns(const tiles_job *job, size_t column)
{
    return LF_MIN((size_t)LF_TILE_COLUMNS, 2 * job->args->weight->n_pair - column);
}

// Groups from `group` on, of the run of columns that begins at `column`: runs one after the other, each all groups.
static float *groups_at(const tiles_job *job, size_t column, size_t group)
{
    float *run = (float *)job->cpu->x_pages.address + column * job->n_group * LF_GROUP_TOKENS;
    return run + group * run_columns(job, column) * LF_GROUP_TOKENS;
}

static void group_range(void *ctx, size_t begin, size_t end, int thread)
{
    const tiles_job *job = ctx;
    const lf_linear_args *args = job->args;
    size_t n_col = args->weight->n_col;
    for (size_t group = begin; group < end; group++) {
        size_t tok = group * LF_GROUP_TOKENS, n_tok = LF_MIN((size_t)LF_GROUP_TOKENS, job->n_tok - tok);
        const lf_bf16 *src = (const lf_bf16 *)args->x.address + (job->first_tok + tok) * args->x_stride;
        for (size_t column = 0; column < 2 * args->weight->n_pair; column += LF_TILE_COLUMNS) {
            size_t padded = run_columns(job, column), n = column < n_col ? LF_MIN(padded, n_col - column) : 0;
            const lf_bf16 *rows[LF_GROUP_TOKENS] = {0};
            for (size_t t = 0; t < n_tok; t++) rows[t] = src + t * args->x_stride + column;
            float *dst = groups_at(job, column, group);
            job->cpu->kernels.group_tokens(dst, rows, n_tok, n);
            memset(dst + n * LF_GROUP_TOKENS, 0, (padded - n) * LF_GROUP_TOKENS * sizeof *dst);
        }
    }
}

static void multiply_range(void *ctx, size_t begin, size_t end, int thread)
{
    const tiles_job *job = ctx;
    const lf_weight *weight = job->args->weight;
    const lf_cpu_kernels *kernels = &job->cpu->kernels;
    lf_thread_scratch *scratch = lf__thread_scratch(job->cpu, thread);
    for (size_t item = begin; item < end; item++) {
        size_t group = item / weight->n_panel * job->block_groups, panel = item % weight->n_panel;
        size_t n_group = LF_MIN(job->block_groups, job->n_group - group), tok = group * LF_GROUP_TOKENS;
        memset(scratch->sum, 0, n_group * LF_GROUP_TOKENS * LF_PANEL_ROWS * sizeof *scratch->sum);
        for (size_t column = 0; column < 2 * weight->n_pair; column += LF_TILE_COLUMNS) {
            size_t n = run_columns(job, column);
            kernels->widen_panel(scratch->strips, lf__weight_panel(weight, panel) + column / 2 * LF_PANEL_PAIR, n / 2);
            kernels->multiply_tiles(&(lf_tiles_args){.sum = scratch->sum,
                                                     .sum_stride = LF_PANEL_ROWS,
                                                     .x = groups_at(job, column, group),
                                                     .n_group = n_group,
                                                     .strips = scratch->strips,
                                                     .n_col = n,
                                                     .n_strip = LF_PANEL_STRIPS});
        }
        lf__linear_store(kernels, job->args, scratch->sum, job->first_tok + tok,
                         LF_MIN(n_group * LF_GROUP_TOKENS, job->n_tok - tok), panel * LF_PANEL_ROWS, LF_PANEL_ROWS);
    }
}

// Tokens [first, first + n_tok), at most LF_LINEAR_TOKENS.
void lf__linear_tiles(lf_cpu_device *cpu, const lf_linear_args *args, size_t first, size_t n_tok)
{
    static_assert(LF_TOKEN_BLOCK % LF_GROUP_TOKENS == 0 && LF_TILE_COLUMNS % 2 == 0, "whole groups, whole pairs");
    tiles_job job = {.cpu = cpu, .args = args, .first_tok = first, .n_tok = n_tok};
    size_t n_panel = args->weight->n_panel, most = LF_TOKEN_BLOCK / LF_GROUP_TOKENS, fewest = LF_MIN(most, 8);
    job.n_group = (size_t)lf_ceil_div((int64_t)n_tok, LF_GROUP_TOKENS);
    // Blocks of equal size, as large as the scratch allows unless that leaves threads without work.
    size_t n_block = (size_t)lf_ceil_div((int64_t)job.n_group, (int64_t)most);
    while (n_panel * n_block < 4 * (size_t)cpu->n_thread && job.n_group / (n_block + 1) >= fewest) n_block++;
    job.block_groups = (size_t)lf_ceil_div((int64_t)job.n_group, (int64_t)n_block);
    n_block = (size_t)lf_ceil_div((int64_t)job.n_group, (int64_t)job.block_groups);
    lf_par_for(job.n_group, 1, group_range, &job);
    lf_par_for_dynamic(n_block * n_panel, 1, multiply_range, &job);
}
