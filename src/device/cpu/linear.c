// SPDX-License-Identifier: Apache-2.0
//
// The linear layer over packed weights, for few tokens: it streams the weights once, and every run of strips is one
// independent piece of work whose sums stay in the thread's scratch. Tokens are expanded to float32 first, by each
// thread for itself when they are so few that a second parallel loop would cost more. Many tokens are linear_tiles.c's;
// on a processor with a matrix unit all are linear_blocks.c's. THE ORDER of kernels.h makes the cut invisible in the
// result.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

// Pairs of columns that all tokens pass over before the next: a few tokens leave them in the first level cache, so that
// each weight comes from memory once; more tokens amortize loading and storing their sums over more columns, in the
// second level.
enum { FEW_TOKENS = 16, FEW_CHUNK_PAIRS = 32, CHUNK_PAIRS = 256 };

typedef struct linear_job {
    lf_cpu_device *cpu;
    const lf_linear_args *args;
    size_t first_tok, n_tok; // < LF_MANY_TOKENS
    bool private_x;          // each thread expands its own copy
    size_t item_strips;      // strips of one piece of work: 4 (a panel) or 1
} linear_job;

lf_status lf__cpu_linear_reserve(lf_cpu_device *cpu, size_t n_pair, lf_error *err)
{
    // Tiles of bf16 for a matrix unit need less. 16 floats more than needed keep rows of a power-of-two length out of
    // the same cache sets.
    static_assert(LF_PRIVATE_TOKENS * sizeof(float) >= LF_BLOCK_TOKENS * sizeof(lf_bf16), "room for a group of tokens");
    size_t stride = 2 * n_pair + 16;
    if (stride <= cpu->x_stride) return LF_OK;
    size_t rows = LF_MAX((size_t)LF_PRIVATE_TOKENS * (size_t)cpu->n_thread,
                         LF_MIN(cpu->options.max_n_tok, (size_t)LF_LINEAR_TOKENS) + LF_GROUP_TOKENS - 1);
    size_t bytes;
    if (!lf_mul_size(rows * sizeof(float), stride, &bytes)) return lf_error_no_memory(err, 0);
    lf_pages grown = {0};
    lf_status rc = lf__pages_map(&grown, bytes, err);
    if (rc) return rc;
    lf__pages_unmap(&cpu->x_pages);
    cpu->x_pages = grown;
    cpu->x_stride = stride;
    return LF_OK;
}

static float *x_row(const linear_job *job, size_t row)
{
    return (float *)job->cpu->x_pages.address + row * job->cpu->x_stride;
}

// Tokens [begin, end) of the job into rows `row` + token.
static void expand_tokens(const linear_job *job, size_t row, size_t begin, size_t end)
{
    size_t n_col = job->args->weight->n_col, padded = 2 * job->args->weight->n_pair;
    for (size_t t = begin; t < end; t++) {
        float *x = x_row(job, row + t);
        const lf_bf16 *src = (const lf_bf16 *)job->args->x.address + (job->first_tok + t) * job->args->x_stride;
        job->cpu->kernels.expand(x, src, n_col);
        memset(x + n_col, 0, (padded - n_col) * sizeof *x);
    }
}

static void expand_range(void *ctx, size_t begin, size_t end, int thread) { expand_tokens(ctx, 0, begin, end); }

// Sums [n_tok, stride 64] of rows [row, row + n_row) and tokens from `tok` on become elements of y; rows beyond the
// matrix are padding.
void lf__linear_store(const lf_cpu_kernels *kernels, const lf_linear_args *args, const float *sum, size_t tok,
                      size_t n_tok, size_t row, size_t n_row)
{
    if (row >= args->weight->n_row) return;
    size_t n = LF_MIN(n_row, args->weight->n_row - row);
    const float *bias = lf_dptr_is_null(args->bias) ? NULL : (const float *)args->bias.address + row;
    for (size_t t = 0; t < n_tok; t++, sum += LF_PANEL_ROWS) {
        size_t at = (tok + t) * args->y_stride + row;
        if (!args->y_is_f32) {
            kernels->narrow((lf_bf16 *)args->y.address + at, sum, bias, n);
            continue;
        }
        float *y = (float *)args->y.address + at;
        if (!bias) {
            memcpy(y, sum, n * sizeof *y);
            continue;
        }
        for (size_t i = 0; i < n; i++) y[i] = sum[i] + bias[i];
    }
}

void lf__linear_strips(const lf_cpu_device *cpu, const lf_few_tokens *tokens, float *sum, size_t panel, size_t strip,
                       size_t n_strip)
{
    const lf_weight *weight = tokens->args->weight;
    size_t n_tok = tokens->n_tok;
    memset(sum, 0, lf__tile_tokens(n_tok) * LF_PANEL_ROWS * sizeof *sum);
    if (cpu->has_matrix_unit) {
        lf__multiply_tiles(cpu, tokens, sum, panel, strip, n_strip);
    } else {
        size_t chunk = n_tok == 1 ? weight->n_pair : n_tok <= FEW_TOKENS ? FEW_CHUNK_PAIRS : CHUNK_PAIRS;
        for (size_t pair = 0; pair < weight->n_pair; pair += chunk) {
            cpu->kernels.multiply(&(lf_multiply_args){
                .sum = sum,
                .sum_stride = LF_PANEL_ROWS,
                .x = tokens->wide + 2 * pair,
                .x_stride = tokens->wide_stride,
                .n_tok = n_tok,
                .panel = lf__weight_panel(weight, panel) + pair * LF_PANEL_PAIR,
                .n_pair = LF_MIN(chunk, weight->n_pair - pair),
                .strip = strip,
                .n_strip = n_strip,
            });
        }
    }
    lf__linear_store(&cpu->kernels, tokens->args, sum + strip * LF_STRIP_ROWS, tokens->first_tok, n_tok,
                     panel * LF_PANEL_ROWS + strip * LF_STRIP_ROWS, n_strip * LF_STRIP_ROWS);
}

// Whole panels stream best; single strips keep many threads busy on a small matrix.
size_t lf__linear_item_strips(const lf_cpu_device *cpu, size_t n_panel)
{
    size_t n_thread = (size_t)cpu->n_thread;
    return n_panel % n_thread == 0 || n_panel >= 8 * n_thread ? LF_PANEL_STRIPS : 1;
}

static void multiply_range(void *ctx, size_t begin, size_t end, int thread)
{
    const linear_job *job = ctx;
    float *sum = lf__thread_scratch(job->cpu, thread)->sum;
    size_t x_base = 0;
    if (job->private_x) {
        x_base = (size_t)thread * LF_PRIVATE_TOKENS;
        expand_tokens(job, x_base, 0, job->n_tok);
    }
    lf_few_tokens tokens = {.args = job->args,
                            .first_tok = job->first_tok,
                            .n_tok = job->n_tok,
                            .wide = x_row(job, x_base),
                            .wide_stride = job->cpu->x_stride};
    for (size_t item = begin; item < end; item++) {
        size_t strip = item * job->item_strips;
        lf__linear_strips(job->cpu, &tokens, sum, strip / LF_PANEL_STRIPS, strip % LF_PANEL_STRIPS, job->item_strips);
    }
}

static void multiply_few(lf_cpu_device *cpu, const lf_linear_args *args, size_t first, size_t n_tok)
{
    linear_job job = {.cpu = cpu, .args = args, .first_tok = first, .n_tok = n_tok};
    job.private_x = n_tok <= LF_PRIVATE_TOKENS;
    job.item_strips = lf__linear_item_strips(cpu, args->weight->n_panel);
    size_t n_item = args->weight->n_panel * (LF_PANEL_STRIPS / job.item_strips);
    if (job.private_x) {
        lf_par_for(n_item, 1, multiply_range, &job);
        return;
    }
    lf_par_for(n_tok, 4, expand_range, &job);
    lf_par_for_dynamic(n_item, 1, multiply_range, &job);
}

lf_status lf__cpu_linear(lf_device *device, const lf_linear_args *args, lf_error *err)
{
    lf_cpu_device *cpu = lf__cpu(device);
    assert(args->n_tok <= cpu->options.max_n_tok && args->x_stride >= args->weight->n_col);
    assert(args->y_stride >= args->weight->n_row || args->n_tok <= 1);
    for (size_t tok = 0, n; tok < args->n_tok; tok += n) {
        n = LF_MIN((size_t)LF_LINEAR_TOKENS, args->n_tok - tok);
        if (cpu->has_matrix_unit) {
            lf__linear_blocks(cpu, args, tok, n);
        } else if (n < LF_MANY_TOKENS) {
            multiply_few(cpu, args, tok, n);
        } else {
            lf__linear_tiles(cpu, args, tok, n);
        }
    }
    return LF_OK;
}
