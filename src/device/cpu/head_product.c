// SPDX-License-Identifier: Apache-2.0
//
// Products with a matrix per head, on the kernels of attention: W x is a score against the rows of W, W^T x weighs
// them, 64 rows of W at a time. A piece of work is one head and some tokens; few tokens multiply straight from memory,
// many from float32 tiles that are made of the rows once. The kernels give the same bits both ways, and every output is
// one chain of multiply-adds, so that a token's result does not depend on the others.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

enum {
    FEWEST_TOKENS = 12,      // that earn the way to tiles
    GRAIN_PRODUCTS = 1 << 16 // multiply-adds below which a range is not worth a second thread
};

typedef struct product_job {
    lf_cpu_device *cpu;
    const lf_head_product_args *args;
    size_t n_block; // pieces that the tokens are cut into
} product_job;

// One head for tokens [first_tok, first_tok + n_tok).
typedef struct product_work {
    const lf_cpu_kernels *kernels;
    const lf_head_product_args *args;
    lf_thread_scratch *scratch;
    size_t head, first_tok, n_tok;
    size_t stride; // of n_col floats in scratch
    bool is_tiled;
} product_work;

// Rows [first, first + 64) of the head's matrix, as far as it has them.
typedef struct chunk {
    const lf_bf16 *rows[LF_KEY_CHUNK];
    size_t first, count;
} chunk;

static const lf_bf16 *x_of(const product_work *work, size_t tok)
{
    const lf_head_product_args *args = work->args;
    return (const lf_bf16 *)args->x.address + (work->first_tok + tok) * args->x_stride +
           work->head * args->x_head_stride;
}

static lf_bf16 *y_of(const product_work *work, size_t tok)
{
    const lf_head_product_args *args = work->args;
    return (lf_bf16 *)args->y.address + (work->first_tok + tok) * args->y_stride + work->head * args->y_head_stride;
}

static size_t even(size_t n) { return n + n % 2; }

static size_t n_group(const product_work *work) { return (work->n_tok + LF_GROUP_TOKENS - 1) / LF_GROUP_TOKENS; }

// Tokens that the tiles' products read and write.
static size_t padded_tokens(const product_work *work)
{
    return work->is_tiled ? n_group(work) * LF_GROUP_TOKENS : work->n_tok;
}

static void find_chunk(const product_work *work, size_t first, chunk *out)
{
    static const lf_bf16 zeros[LF_MAX_D_HEAD] = {0};
    const lf_head_product_args *args = work->args;
    const lf_bf16 *matrix = (const lf_bf16 *)args->weight.address + work->head * args->head_stride;
    out->first = first;
    out->count = LF_MIN(args->n_row - first, (size_t)LF_KEY_CHUNK);
    for (size_t r = 0; r < LF_KEY_CHUNK; r++) {
        out->rows[r] = r < out->count ? matrix + (first + r) * args->n_col : zeros;
    }
}

// ---- W x ----

static void load_tokens(const product_work *work)
{
    size_t n_col = work->args->n_col;
    for (size_t t = 0; t < work->n_tok && !work->is_tiled; t++) {
        work->kernels->expand(work->scratch->query + t * work->stride, x_of(work, t), n_col);
    }
    for (size_t first = 0; first < work->n_tok && work->is_tiled; first += LF_GROUP_TOKENS) {
        const lf_bf16 *rows[LF_GROUP_TOKENS];
        size_t n = LF_MIN((size_t)LF_GROUP_TOKENS, work->n_tok - first);
        for (size_t t = 0; t < n; t++) rows[t] = x_of(work, first + t);
        float *group = work->scratch->query + first * even(n_col);
        work->kernels->group_tokens(group, rows, n, n_col);
        if (n_col % 2) memset(group + n_col * LF_GROUP_TOKENS, 0, LF_GROUP_TOKENS * sizeof *group);
    }
}

// score[t][r] = row r of the chunk times token t.
static void multiply_rows(const product_work *work, const chunk *c)
{
    lf_thread_scratch *scratch = work->scratch;
    size_t n_col = work->args->n_col;
    if (!work->is_tiled) {
        work->kernels->score(&(lf_chunk_args){.out = scratch->score,
                                              .out_stride = LF_KEY_CHUNK,
                                              .x = scratch->query,
                                              .x_stride = work->stride,
                                              .n_tok = work->n_tok,
                                              .rows = c->rows,
                                              .d = n_col});
        return;
    }
    memset(scratch->score, 0, padded_tokens(work) * LF_KEY_CHUNK * sizeof(float));
    work->kernels->widen_columns(scratch->key_strips, c->rows, even(n_col), n_col);
    work->kernels->multiply_tiles(&(lf_tiles_args){.sum = scratch->score,
                                                   .sum_stride = LF_KEY_CHUNK,
                                                   .x = scratch->query,
                                                   .n_group = n_group(work),
                                                   .strips = scratch->key_strips,
                                                   .n_col = even(n_col),
                                                   .n_strip = LF_PANEL_STRIPS});
}

static void multiply(const product_work *work)
{
    load_tokens(work);
    for (size_t first = 0; first < work->args->n_row; first += LF_KEY_CHUNK) {
        chunk c;
        find_chunk(work, first, &c);
        multiply_rows(work, &c);
        for (size_t t = 0; t < work->n_tok; t++) {
            work->kernels->narrow(y_of(work, t) + first, work->scratch->score + t * LF_KEY_CHUNK, NULL, c.count);
        }
    }
}

// ---- W^T x ----

// The elements of x that meet the chunk's rows, zeros behind them.
static void load_factors(const product_work *work, const chunk *c)
{
    memset(work->scratch->score, 0, padded_tokens(work) * LF_KEY_CHUNK * sizeof(float));
    for (size_t t = 0; t < work->n_tok; t++) {
        work->kernels->expand(work->scratch->score + t * LF_KEY_CHUNK, x_of(work, t) + c->first, c->count);
    }
}

// part[t] += the chunk's rows, each times its element of token t.
static void weigh_rows(const product_work *work, const chunk *c)
{
    lf_thread_scratch *scratch = work->scratch;
    size_t n_col = work->args->n_col;
    if (!work->is_tiled) {
        work->kernels->weigh(&(lf_chunk_args){.out = scratch->part,
                                              .out_stride = work->stride,
                                              .x = scratch->score,
                                              .x_stride = LF_KEY_CHUNK,
                                              .n_tok = work->n_tok,
                                              .rows = c->rows,
                                              .d = n_col});
        return;
    }
    work->kernels->widen_rows(scratch->value_strips, c->rows, LF_KEY_CHUNK, n_col);
    work->kernels->multiply_tiles(&(lf_tiles_args){.sum = scratch->part,
                                                   .sum_stride = work->stride,
                                                   .x = scratch->score,
                                                   .x_is_rows = true,
                                                   .n_group = n_group(work),
                                                   .strips = scratch->value_strips,
                                                   .n_col = LF_KEY_CHUNK,
                                                   .n_strip = (n_col + LF_STRIP_ROWS - 1) / LF_STRIP_ROWS});
}

static void multiply_transposed(const product_work *work)
{
    memset(work->scratch->part, 0, padded_tokens(work) * work->stride * sizeof(float));
    for (size_t first = 0; first < work->args->n_row; first += LF_KEY_CHUNK) {
        chunk c;
        find_chunk(work, first, &c);
        load_factors(work, &c);
        weigh_rows(work, &c);
    }
    for (size_t t = 0; t < work->n_tok; t++) {
        work->kernels->narrow(y_of(work, t), work->scratch->part + t * work->stride, NULL, work->args->n_col);
    }
}

static void product_range(void *ctx, size_t begin, size_t end, int thread)
{
    const product_job *job = ctx;
    const lf_head_product_args *args = job->args;
    size_t n_in = args->is_transposed ? args->n_row : args->n_col, n_out = args->n_row + args->n_col - n_in;
    for (size_t item = begin; item < end; item++) {
        size_t first_tok = item % job->n_block * LF_QUERY_ROWS;
        product_work work = {
            .kernels = &job->cpu->kernels,
            .args = args,
            .scratch = lf__thread_scratch(job->cpu, thread),
            .head = item / job->n_block,
            .first_tok = first_tok,
            .n_tok = LF_MIN(args->n_tok - first_tok, (size_t)LF_QUERY_ROWS),
            .stride = (args->n_col + LF_PANEL_ROWS - 1) / LF_PANEL_ROWS * LF_PANEL_ROWS,
        };
        work.is_tiled = work.n_tok >= FEWEST_TOKENS;
        args->is_transposed ? multiply_transposed(&work) : multiply(&work);
        for (size_t t = 0; t < work.n_tok && args->n_tail; t++) {
            memcpy(y_of(&work, t) + n_out, x_of(&work, t) + n_in, args->n_tail * sizeof(lf_bf16));
        }
    }
}

lf_status lf__cpu_head_product(lf_device *device, const lf_head_product_args *args, lf_error *err)
{
    lf_cpu_device *cpu = lf__cpu(device);
    if (args->n_col > LF_MAX_D_HEAD) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "latents of %zu elements: the cpu device has room for %d",
                            args->n_col, LF_MAX_D_HEAD);
    }
    product_job job = {.cpu = cpu, .args = args, .n_block = (args->n_tok + LF_QUERY_ROWS - 1) / LF_QUERY_ROWS};
    size_t products = LF_MIN(args->n_tok, (size_t)LF_QUERY_ROWS) * args->n_row * args->n_col;
    lf_par_for(args->n_head * job.n_block, GRAIN_PRODUCTS / (products + 1) + 1, product_range, &job);
    return LF_OK;
}
