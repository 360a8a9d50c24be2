// SPDX-License-Identifier: Apache-2.0
//
// The experts of a mixture: what the router chose, sorted by expert, in runs of consecutive experts whose tokens fit
// the scratch together. A run gathers its tokens' rows, multiplies them by each expert's gate and up, gates, multiplies
// by down and adds to the tokens. Experts with few tokens share ONE parallel loop over all their panels, so that a
// decode step streams the weights of its experts like those of one large matrix; an expert with many tokens is a linear
// layer. Every token gets its experts in increasing order, whatever the runs.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

enum {
    RUN_ROWS = 1024,    // most rows of a run
    THREAD_CHUNKS = 32, // runs of memory that a thread streams one after the other, when costs are uneven
    COLUMN_BLOCK = 64,  // columns of the output that one thread adds up, at least
};

// Tokens of one expert: rows [row, row + n_row) of the run.
typedef struct piece {
    size_t expert; // of those held
    size_t row, n_row;
} piece;

// What experts_args.scratch holds. A slot is a (token, expert) pair that this rank computes; slots are sorted by
// expert, then by token.
typedef struct workspace {
    int32_t *ends;   // [n_held]: where the expert's slots end, which is where the next one's begin
    int32_t *tokens; // [n_slot]
    float *scores;   // [n_slot]
    piece *pieces;   // [n_row]
    lf_bf16 *x;      // [n_row, d]: of experts with many tokens
    float *wide;     // [n_row, wide_stride]: x, later gated, of experts with few tokens, as lf_few_tokens has them
    lf_bf16 *hidden; // [n_row, 2 d_ff]
    lf_bf16 *gated;  // [n_row, d_ff]
    float *out;      // [n_row, d]
    size_t n_row;    // of the longest run
    size_t wide_stride;
} workspace;

typedef struct experts_job {
    lf_cpu_device *cpu;
    const lf_experts_args *args;
    workspace space;
    size_t first_slot, n_row; // the run: slots [first_slot, first_slot + n_row) are its rows
    size_t n_piece, n_few;    // its pieces: first those with few tokens, then those with many, each by expert
    bool is_down;             // which of the two products
    size_t item_strips;       // strips of one piece of work
} experts_job;

// Tiles lie where the piece's wide rows would: tokens that fill up a group take less than float32 for bf16.
static lf_bf16 *tiles_of(const workspace *space, const piece *p)
{
    return (lf_bf16 *)(void *)(space->wide + p->row * space->wide_stride);
}

static size_t padded_columns(size_t n_col)
{
    return (size_t)lf_ceil_div((int64_t)n_col, LF_WEIGHT_COLUMN_GROUP) * LF_WEIGHT_COLUMN_GROUP;
}

// The next n * element_bytes of the scratch, as an offset; cache lines are not shared.
static bool take(size_t *total, size_t n, size_t element_bytes, size_t *offset)
{
    size_t bytes;
    *offset = *total;
    if (!lf_mul_size(n, element_bytes, &bytes) || !lf_add_size(bytes, LF_CACHE_LINE_BYTES - 1, &bytes)) return false;
    return lf_add_size(*total, bytes / LF_CACHE_LINE_BYTES * LF_CACHE_LINE_BYTES, total);
}

// Lays the workspace out from `base` on; *bytes: its size.
static bool lay_out(size_t n_tok, size_t n_active, size_t n_held, size_t d, size_t d_ff, char *base, workspace *space,
                    size_t *bytes)
{
    enum { ENDS, TOKENS, SCORES, PIECES, X, WIDE, HIDDEN, GATED, OUT, PARTS };
    size_t offsets[PARTS], n_slot;
    *bytes = 0;
    if (n_held == 0 || d_ff == 0) return true;
    if (!lf_mul_size(n_tok, n_active, &n_slot) || n_slot > INT32_MAX || d > INT32_MAX || d_ff > INT32_MAX) return false;
    size_t n_row = LF_MIN(n_slot, (size_t)RUN_ROWS);
    // 16 floats more than needed keep rows of a power-of-two length out of the same cache sets.
    size_t wide_stride = padded_columns(LF_MAX(d, d_ff)) + 16;
    bool fits = take(bytes, n_held, sizeof(int32_t), &offsets[ENDS]) &&
                take(bytes, n_slot, sizeof(int32_t), &offsets[TOKENS]) &&
                take(bytes, n_slot, sizeof(float), &offsets[SCORES]) &&
                take(bytes, n_row, sizeof(piece), &offsets[PIECES]) &&
                take(bytes, n_row * d, sizeof(lf_bf16), &offsets[X]) &&
                take(bytes, n_row * wide_stride, sizeof(float), &offsets[WIDE]) &&
                take(bytes, n_row * d_ff, 2 * sizeof(lf_bf16), &offsets[HIDDEN]) &&
                take(bytes, n_row * d_ff, sizeof(lf_bf16), &offsets[GATED]) &&
                take(bytes, n_row * d, sizeof(float), &offsets[OUT]);
    if (!fits || !base) return fits;
    *space = (workspace){
        .ends = (int32_t *)(void *)(base + offsets[ENDS]),
        .tokens = (int32_t *)(void *)(base + offsets[TOKENS]),
        .scores = (float *)(void *)(base + offsets[SCORES]),
        .pieces = (piece *)(void *)(base + offsets[PIECES]),
        .x = (lf_bf16 *)(void *)(base + offsets[X]),
        .wide = (float *)(void *)(base + offsets[WIDE]),
        .hidden = (lf_bf16 *)(void *)(base + offsets[HIDDEN]),
        .gated = (lf_bf16 *)(void *)(base + offsets[GATED]),
        .out = (float *)(void *)(base + offsets[OUT]),
        .n_row = n_row,
        .wide_stride = wide_stride,
    };
    return true;
}

bool lf__cpu_experts_scratch(size_t n_tok, size_t n_active, size_t n_held, size_t d, size_t d_ff, size_t *out)
{
    size_t bytes;
    if (!lay_out(n_tok, n_active, n_held, d, d_ff, NULL, NULL, &bytes)) return false;
    *out = bytes;
    return true;
}

// Counting sort of the slots; experts that this rank does not hold fall out. Returns how many there are.
static size_t sort_slots(const lf_experts_args *args, workspace *space)
{
    const int32_t *experts = args->experts.address;
    const float *scores = args->scores.address;
    size_t n_choice = args->n_tok * args->n_active;
    int32_t *next = space->ends; // where an expert's next slot goes: in the end, where its slots end
    memset(next, 0, args->n_held * sizeof *next);
    for (size_t i = 0; i < n_choice; i++) {
        int64_t expert = experts[i] - (int64_t)args->first_expert;
        if (expert >= 0 && expert < (int64_t)args->n_held) next[expert]++;
    }
    int32_t n_slot = 0;
    for (size_t e = 0; e < args->n_held; e++) {
        int32_t count = next[e];
        next[e] = n_slot;
        n_slot += count;
    }
    for (size_t i = 0; i < n_choice; i++) {
        int64_t expert = experts[i] - (int64_t)args->first_expert;
        if (expert < 0 || expert >= (int64_t)args->n_held) continue;
        int32_t slot = next[expert]++;
        space->tokens[slot] = (int32_t)(i / args->n_active);
        space->scores[slot] = scores[i];
    }
    return (size_t)n_slot;
}

static inline bool has_its_shape(const lf_experts_args *args, size_t expert)
{
    const lf_weight *gate_up = args->gate_up[expert], *down = args->down[expert];
    return gate_up->n_row == 2 * args->d_ff && gate_up->n_col == args->d && down->n_row == args->d &&
           down->n_col == args->d_ff;
}

// The run that begins at a slot of *expert: as many experts as fit whole, or a part of one that does not fit by itself.
// *expert becomes the one that comes next.
static void form_run(experts_job *job, size_t slot, size_t *expert)
{
    workspace *space = &job->space;
    size_t most = LF_MIN(space->n_row, job->args->n_tok), n_many = 0;
    job->first_slot = slot;
    job->n_row = job->n_few = 0;
    for (; *expert < job->args->n_held; ++*expert) {
        size_t left = (size_t)space->ends[*expert] - (slot + job->n_row);
        size_t n = LF_MIN(left, most);
        if (n == 0) continue;
        if (n > space->n_row - job->n_row) break;
        assert(has_its_shape(job->args, *expert));
        piece found = {.expert = *expert, .row = job->n_row, .n_row = n};
        job->n_row += n;
        if (n <= (job->cpu->has_matrix_unit ? LF_FEW_TOKENS : LF_MANY_TOKENS - 1)) {
            space->pieces[job->n_few++] = found;
        } else {
            space->pieces[space->n_row - ++n_many] = found; // from the back, where they do not meet
        }
        if (n < left) break;
    }
    job->n_piece = job->n_few + n_many;
    memmove(space->pieces + job->n_few, space->pieces + space->n_row - n_many, n_many * sizeof *space->pieces);
}

// Row `row` of a piece with few tokens gets the n elements at src, and zeros for the columns that the matrix does not
// have.
static void place_row(const experts_job *job, const piece *p, size_t row, const lf_bf16 *src, size_t n)
{
    const workspace *space = &job->space;
    size_t n_column = padded_columns(n);
    if (job->cpu->has_matrix_unit) {
        lf__tile_token(tiles_of(space, p), p->n_row, row - p->row, n_column / LF_BLOCK_COLUMNS, src, n);
        return;
    }
    float *wide = space->wide + row * space->wide_stride;
    job->cpu->kernels.expand(wide, src, n);
    memset(wide + n, 0, (n_column - n) * sizeof *wide);
}

// The tokens that fill up a piece's last group are zeros.
static void fill_up(const experts_job *job, const piece *p, size_t n)
{
    if (!job->cpu->has_matrix_unit) return;
    size_t n_block = padded_columns(n) / LF_BLOCK_COLUMNS;
    for (size_t tok = p->n_row; tok < lf__tile_tokens(p->n_row); tok++)
        lf__tile_token(tiles_of(&job->space, p), p->n_row, tok, n_block, NULL, 0);
}

static void gather_range(void *ctx, size_t begin, size_t end, int thread)
{
    const experts_job *job = ctx;
    const lf_experts_args *args = job->args;
    const workspace *space = &job->space;
    for (size_t i = begin; i < end; i++) {
        const piece *p = &space->pieces[i];
        for (size_t row = p->row; row < p->row + p->n_row; row++) {
            size_t tok = (size_t)space->tokens[job->first_slot + row];
            const lf_bf16 *src = (const lf_bf16 *)args->x.address + tok * args->x_stride;
            if (i < job->n_few) {
                place_row(job, p, row, src, args->d);
            } else {
                memcpy(space->x + row * args->d, src, args->d * sizeof *src);
            }
        }
        if (i < job->n_few) fill_up(job, p, args->d);
    }
}

static void gate_range(void *ctx, size_t begin, size_t end, int thread)
{
    const experts_job *job = ctx;
    const workspace *space = &job->space;
    size_t d_ff = job->args->d_ff;
    for (size_t i = begin; i < end; i++) {
        const piece *p = &space->pieces[i];
        for (size_t row = p->row; row < p->row + p->n_row; row++) {
            const lf_bf16 *hidden = space->hidden + row * 2 * d_ff;
            lf_bf16 *gated = space->gated + row * d_ff;
            job->cpu->kernels.gate(gated, hidden, hidden + d_ff, d_ff);
            if (i < job->n_few) place_row(job, p, row, gated, d_ff);
        }
        if (i < job->n_few) fill_up(job, p, d_ff);
    }
}

// The product of one piece as a linear layer.
static lf_linear_args linear_of(const experts_job *job, const piece *p)
{
    const lf_experts_args *args = job->args;
    const workspace *space = &job->space;
    if (job->is_down) {
        return (lf_linear_args){.weight = args->down[p->expert],
                                .x = {space->gated + p->row * args->d_ff},
                                .x_stride = args->d_ff,
                                .y = {space->out + p->row * args->d},
                                .y_stride = args->d,
                                .n_tok = p->n_row,
                                .y_is_f32 = true};
    }
    return (lf_linear_args){.weight = args->gate_up[p->expert],
                            .x = {space->x + p->row * args->d},
                            .x_stride = args->d,
                            .y = {space->hidden + p->row * 2 * args->d_ff},
                            .y_stride = 2 * args->d_ff,
                            .n_tok = p->n_row};
}

static size_t panels_of(const experts_job *job)
{
    size_t n_row = job->is_down ? job->args->d : 2 * job->args->d_ff;
    return (size_t)lf_ceil_div((int64_t)n_row, LF_PANEL_ROWS);
}

// Items are (piece with few tokens, strips of a panel).
static void few_range(void *ctx, size_t begin, size_t end, int thread)
{
    const experts_job *job = ctx;
    size_t piece_strips = panels_of(job) * LF_PANEL_STRIPS;
    for (size_t item = begin; item < end; item++) {
        size_t strip = item * job->item_strips;
        const piece *p = &job->space.pieces[strip / piece_strips];
        lf_linear_args args = linear_of(job, p);
        lf_few_tokens tokens = {.args = &args,
                                .n_tok = p->n_row,
                                .tiles = tiles_of(&job->space, p),
                                .wide = job->space.wide + p->row * job->space.wide_stride,
                                .wide_stride = job->space.wide_stride};
        strip %= piece_strips;
        lf__linear_strips(job->cpu, &tokens, lf__thread_scratch(job->cpu, thread)->sum, strip / LF_PANEL_STRIPS,
                          strip % LF_PANEL_STRIPS, job->item_strips);
    }
}

static lf_status multiply(experts_job *job, bool is_down, lf_error *err)
{
    job->is_down = is_down;
    lf_status rc = LF_OK;
    for (size_t p = job->n_few; p < job->n_piece && !rc; p++) {
        lf_linear_args args = linear_of(job, &job->space.pieces[p]);
        rc = lf__cpu_linear(&job->cpu->base, &args, err);
    }
    size_t n_panel = job->n_few * panels_of(job);
    job->item_strips = lf__linear_item_strips(job->cpu, n_panel);
    size_t n_item = n_panel * (LF_PANEL_STRIPS / job->item_strips);
    if (job->args->n_tok == 1) {
        lf_par_for(n_item, 1, few_range, job); // items of equal cost
    } else {
        lf_par_for_dynamic(n_item, n_item / ((size_t)job->cpu->n_thread * THREAD_CHUNKS) + 1, few_range, job);
    }
    return rc;
}

// Every thread adds its columns of all rows, in the order of the rows, which is the order of experts.
static void add_range(void *ctx, size_t begin, size_t end, int thread)
{
    const experts_job *job = ctx;
    const workspace *space = &job->space;
    size_t d = job->args->d, column = begin * COLUMN_BLOCK, n = LF_MIN(d, end * COLUMN_BLOCK) - column;
    for (size_t row = 0; row < job->n_row; row++) {
        size_t slot = job->first_slot + row;
        float *y = (float *)job->args->y.address + (size_t)space->tokens[slot] * d + column;
        job->cpu->kernels.add_scaled(y, space->out + row * d + column, space->scores[slot], n);
    }
}

static lf_status compute_run(experts_job *job, lf_error *err)
{
    size_t d = job->args->d, piece_rows = job->n_row / job->n_piece + 1;
    lf_par_for(job->n_piece, lf__grain_of(piece_rows * d), gather_range, job);
    lf_status rc = multiply(job, false, err);
    if (rc) return rc;
    lf_par_for(job->n_piece, lf__grain_of(piece_rows * job->args->d_ff), gate_range, job);
    rc = multiply(job, true, err);
    if (rc) return rc;
    size_t n_block = (size_t)lf_ceil_div((int64_t)d, COLUMN_BLOCK);
    lf_par_for(n_block, lf__grain_of(job->n_row * COLUMN_BLOCK), add_range, job);
    return LF_OK;
}

lf_status lf__cpu_experts(lf_device *device, const lf_experts_args *args, lf_error *err)
{
    experts_job job = {.cpu = lf__cpu(device), .args = args};
    assert(args->n_tok <= job.cpu->options.max_n_tok && args->x_stride >= args->d);
    if (args->is_first) memset(args->y.address, 0, args->n_tok * args->d * sizeof(float));
    if (args->n_held == 0 || args->d_ff == 0) return LF_OK;
    size_t bytes, expert = 0;
    bool fits = lay_out(args->n_tok, args->n_active, args->n_held, args->d, args->d_ff, args->scratch.address,
                        &job.space, &bytes);
    if (!fits) return lf_error_set(err, LF_ERR_INVALID, "experts: no scratch holds %zu tokens", args->n_tok);
    size_t n_slot = sort_slots(args, &job.space);
    lf_status rc = LF_OK;
    for (size_t slot = 0; slot < n_slot && !rc; slot += job.n_row) {
        form_run(&job, slot, &expert);
        rc = compute_run(&job, err);
    }
    return rc;
}
