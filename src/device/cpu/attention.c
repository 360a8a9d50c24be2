// SPDX-License-Identifier: Apache-2.0
//
// Attention over the paged cache, 64 keys at a time: scores = Q K^T, the online softmax in float32, output += P V. Few
// query rows (decode) multiply straight from the cache and live on its bandwidth; many (prefill) from float32 tiles
// made of it once for all rows. The kernels give the same bits both ways.
//
// Keys pass in chunks of LF_KEY_CHUNK and segments of LF_KEY_SEGMENT that lie at fixed POSITIONS, and a segment's
// softmax is folded into the total in order, on whichever thread it was computed. A query's result therefore depends on
// its own context only: not on the batch, the prefill chunk, the block size, or the number of threads. Keys that a
// query may not see are never read from blocks the table does not vouch for: a row of zeros stands in.
#include "device/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

#include "base/par.h"

typedef struct attention_job {
    lf_cpu_device *cpu;
    const lf_attention_args *args;
    const lf_attention_tile *tiles;
    size_t n_tile;
    size_t n_alias;   // so many KV heads in a row are one in the cache; see cut_group
    size_t n_kv_head; // aliases counted
    size_t group;     // query heads of one of these
    size_t heads;     // KV heads of one piece of work; their rows of the cache lie side by side
    size_t n_range;   // pieces that all KV heads are cut into
    size_t n_segment; // > 0: segments are pieces of work of their own, partial results go to parts_pages
    size_t part_rows; // query rows that one such piece has room for
} attention_job;

// One tile against one or some KV heads, in the scratch of one thread. Each KV head has n_row / n_kv_head rows, one
// head after the other; row r of a head is token first_tok + (first_row + r) / group, query head (first_row + r) %
// group of the group.
typedef struct tile_work {
    const attention_job *job;
    const lf_attention_tile *tile;
    lf_thread_scratch *scratch;
    size_t kv_head, n_kv_head; // more than one when the tile has few rows, all of which fit
    size_t first_row,
        n_row;         // of one head: rows [first_row, first_row + n_row / n_kv_head) of the tile's tokens * group
    size_t d, d_value; // of a key, of a value
    size_t stride;     // of rows of query, part and total
    bool is_tiled;     // the query is in groups, rows are padded to whole groups
} tile_work;

static size_t tile_tokens(size_t group) { return group >= LF_QUERY_ROWS ? 1 : LF_QUERY_ROWS / group; }

static size_t head_rows(const tile_work *work) { return work->n_row / work->n_kv_head; }

// The position of row r, and the first position it sees.
static int64_t row_position(const tile_work *work, size_t r)
{
    return work->tile->position + (int64_t)((work->first_row + r % head_rows(work)) / work->job->group);
}

static int64_t window_start(const lf_attention_args *args, int64_t position)
{
    int64_t window = args->sliding_window;
    return window > 0 && position + 1 > window ? position + 1 - window : 0;
}

// Element offset of row r in q or out, whose rows are `stride` elements apart and whose heads have d elements.
static size_t row_offset(const tile_work *work, size_t r, size_t stride, size_t d)
{
    size_t row = work->first_row + r % head_rows(work), group = work->job->group;
    size_t head = (work->kv_head + r / head_rows(work)) * group + row % group;
    return ((size_t)work->tile->first_tok + row / group) * stride + head * d;
}

static const lf_bf16 *query_row(const tile_work *work, size_t r)
{
    const lf_attention_args *args = work->job->args;
    return (const lf_bf16 *)args->q.address + row_offset(work, r, args->q_stride, work->d);
}

static size_t even(size_t d) { return d + d % 2; }

static size_t n_group(const tile_work *work) { return (work->n_row + LF_GROUP_TOKENS - 1) / LF_GROUP_TOKENS; }

// Rows of score and part that the products write.
static size_t padded_rows(const tile_work *work)
{
    return work->is_tiled ? n_group(work) * LF_GROUP_TOKENS : work->n_row;
}

static void group_queries(const tile_work *work)
{
    size_t d = work->d;
    for (size_t first = 0; first < work->n_row; first += LF_GROUP_TOKENS) {
        const lf_bf16 *rows[LF_GROUP_TOKENS];
        size_t n = LF_MIN((size_t)LF_GROUP_TOKENS, work->n_row - first);
        for (size_t r = 0; r < n; r++) rows[r] = query_row(work, first + r);
        float *group = work->scratch->query + first * even(d);
        work->job->cpu->kernels.group_tokens(group, rows, n, d);
        if (d % 2) memset(group + d * LF_GROUP_TOKENS, 0, LF_GROUP_TOKENS * sizeof *group);
    }
}

enum { FEWEST_ROWS = 12 }; // of a head, that earn the way to tiles

static void load_queries(tile_work *work)
{
    work->is_tiled = head_rows(work) >= FEWEST_ROWS;
    if (work->is_tiled) {
        group_queries(work);
        return;
    }
    for (size_t r = 0; r < work->n_row; r++) {
        float *query = work->scratch->query + r * work->stride;
        work->job->cpu->kernels.expand(query, query_row(work, r), work->d);
        if (work->d % 2) query[work->d] = 0;
    }
}

// Element offset, in keys or values, of a position's row of one head; rows of the same block follow each other.
static size_t cache_offset(const tile_work *work, size_t head, int64_t position)
{
    const lf_attention_args *args = work->job->args;
    const lf_kv_layer *kv = &args->kv;
    size_t at = (size_t)position;
    const int32_t *table =
        (const int32_t *)args->block_tables.address + (size_t)work->tile->sequence * args->block_table_stride;
    int32_t block = table[at / kv->block_size];
    assert(block >= 0);
    size_t kv_head = args->first_kv_head + (work->kv_head + head) / work->job->n_alias;
    return (((size_t)block * kv->n_kv_head + kv_head) * kv->block_size + at % kv->block_size) * kv->d_head;
}

// Positions of one block that follow `at` and are below `end`.
static int64_t run_length(const tile_work *work, int64_t at, int64_t end)
{
    int64_t block_size = (int64_t)work->job->args->kv.block_size, run = block_size - at % block_size;
    return LF_MIN(run, end - at);
}

// Where the rows of a chunk of one head lie.
typedef struct chunk_rows {
    size_t head; // of the work's heads
    int64_t base;
    const lf_bf16 *keys[LF_KEY_CHUNK], *values[LF_KEY_CHUNK];
} chunk_rows;

// The chunk at `base`, as far as it lies in [begin, end); what is outside becomes zeros.
static void find_rows(const tile_work *work, size_t head, int64_t base, int64_t begin, int64_t end, chunk_rows *out)
{
    static const lf_bf16 zeros[LF_MAX_D_HEAD] = {0};
    const lf_kv_layer *kv = &work->job->args->kv;
    const lf_bf16 *keys = kv->keys.address, *values = lf_dptr_is_null(kv->values) ? keys : kv->values.address;
    out->head = head;
    out->base = base;
    begin = LF_MAX(begin, base);
    end = LF_MIN(end, base + LF_KEY_CHUNK);
    if (end - begin < LF_KEY_CHUNK) {
        for (size_t i = 0; i < LF_KEY_CHUNK; i++) out->keys[i] = out->values[i] = zeros;
    }
    for (int64_t at = begin, run; at < end; at += run) {
        run = run_length(work, at, end);
        size_t offset = cache_offset(work, head, at), place = (size_t)(at - base);
        for (size_t i = 0; i < (size_t)run; i++) {
            out->keys[place + i] = keys + offset + i * work->d;
            out->values[place + i] = values + offset + i * work->d;
        }
    }
}

// score = Q K^T.
static void multiply_keys(const tile_work *work, const chunk_rows *rows)
{
    const lf_cpu_kernels *kernels = &work->job->cpu->kernels;
    lf_thread_scratch *scratch = work->scratch;
    if (!work->is_tiled) {
        size_t first = rows->head * head_rows(work);
        kernels->score(&(lf_chunk_args){.out = scratch->score + first * LF_KEY_CHUNK,
                                        .out_stride = LF_KEY_CHUNK,
                                        .x = scratch->query + first * work->stride,
                                        .x_stride = work->stride,
                                        .n_tok = head_rows(work),
                                        .rows = rows->keys,
                                        .d = work->d});
        return;
    }
    memset(scratch->score, 0, padded_rows(work) * LF_KEY_CHUNK * sizeof(float));
    kernels->widen_columns(scratch->key_strips, rows->keys, even(work->d), work->d);
    kernels->multiply_tiles(&(lf_tiles_args){.sum = scratch->score,
                                             .sum_stride = LF_KEY_CHUNK,
                                             .x = scratch->query,
                                             .n_group = n_group(work),
                                             .strips = scratch->key_strips,
                                             .n_col = even(work->d),
                                             .n_strip = LF_PANEL_STRIPS});
}

static void soften_rows(const tile_work *work, const chunk_rows *rows)
{
    const lf_attention_args *args = work->job->args;
    lf_thread_scratch *scratch = work->scratch;
    size_t first = rows->head * head_rows(work);
    for (size_t r = first; r < first + head_rows(work); r++) {
        int64_t position = row_position(work, r);
        int64_t begin = window_start(args, position) - rows->base, end = position + 1 - rows->base;
        begin = LF_MIN(LF_MAX(begin, 0), LF_KEY_CHUNK);
        end = LF_MIN(LF_MAX(end, 0), LF_KEY_CHUNK);
        work->job->cpu->kernels.soften(&(lf_soften_args){.s = scratch->score + r * LF_KEY_CHUNK,
                                                         .begin = (size_t)begin,
                                                         .end = (size_t)end,
                                                         .scale = args->scale,
                                                         .m = &scratch->part_m[r],
                                                         .l = &scratch->part_l[r],
                                                         .out = scratch->part + r * work->stride,
                                                         .n_out = work->d_value});
    }
}

// part += P V.
static void multiply_values(const tile_work *work, const chunk_rows *rows)
{
    const lf_cpu_kernels *kernels = &work->job->cpu->kernels;
    lf_thread_scratch *scratch = work->scratch;
    if (!work->is_tiled) {
        size_t first = rows->head * head_rows(work);
        kernels->weigh(&(lf_chunk_args){.out = scratch->part + first * work->stride,
                                        .out_stride = work->stride,
                                        .x = scratch->score + first * LF_KEY_CHUNK,
                                        .x_stride = LF_KEY_CHUNK,
                                        .n_tok = head_rows(work),
                                        .rows = rows->values,
                                        .d = work->d_value});
        return;
    }
    kernels->widen_rows(scratch->value_strips, rows->values, LF_KEY_CHUNK, work->d_value);
    kernels->multiply_tiles(&(lf_tiles_args){.sum = scratch->part,
                                             .sum_stride = work->stride,
                                             .x = scratch->score,
                                             .x_is_rows = true,
                                             .n_group = n_group(work),
                                             .strips = scratch->value_strips,
                                             .n_col = LF_KEY_CHUNK,
                                             .n_strip = (work->d_value + LF_STRIP_ROWS - 1) / LF_STRIP_ROWS});
}

// part, part_m, part_l of the keys of one segment. false when no row of the tile sees any of them.
static bool attend_segment(const tile_work *work, int64_t segment)
{
    lf_thread_scratch *scratch = work->scratch;
    int64_t last = row_position(work, work->n_row - 1), first = window_start(work->job->args, row_position(work, 0));
    int64_t begin = LF_MAX(segment * LF_KEY_SEGMENT, first);
    int64_t end = LF_MIN((segment + 1) * LF_KEY_SEGMENT, last + 1);
    if (begin >= end) return false;
    memset(scratch->part, 0, padded_rows(work) * work->stride * sizeof(float));
    for (size_t r = 0; r < work->n_row; r++) {
        scratch->part_m[r] = -INFINITY;
        scratch->part_l[r] = 0;
    }
    for (int64_t base = begin - begin % LF_KEY_CHUNK; base < end; base += LF_KEY_CHUNK) {
        for (size_t head = 0; head < work->n_kv_head; head++) { // all of a chunk: they are neighbours in memory
            chunk_rows rows;
            find_rows(work, head, base, begin, end, &rows);
            multiply_keys(work, &rows);
            soften_rows(work, &rows);
            multiply_values(work, &rows);
        }
    }
    return true;
}

// Elements that a loop over a row takes at a time, so that compilers use vectors: rows are padded to a multiple.
enum { VECTOR = 16 };

// total (*) part of one row: both are rescaled to their common maximum.
static void fold(float *restrict total, float *m, float *l, const float *restrict part, float part_m, float part_l,
                 size_t d)
{
    if (part_m == -INFINITY) return;
    float common = *m > part_m ? *m : part_m;
    float keep = expf(*m - common), add = expf(part_m - common);
    for (size_t i = 0; i < d; i += VECTOR) {
        for (size_t k = 0; k < VECTOR; k++) total[i + k] = total[i + k] * keep + part[i + k] * add;
    }
    *l = *l * keep + part_l * add;
    *m = common;
}

static void clear_total(const tile_work *work)
{
    memset(work->scratch->total, 0, work->n_row * work->stride * sizeof(float));
    for (size_t r = 0; r < work->n_row; r++) {
        work->scratch->total_m[r] = -INFINITY;
        work->scratch->total_l[r] = 0;
    }
}

static void store_total(const tile_work *work)
{
    const lf_attention_args *args = work->job->args;
    for (size_t r = 0; r < work->n_row; r++) {
        float *total = work->scratch->total + r * work->stride;
        float inverse = 1 / work->scratch->total_l[r];
        for (size_t i = 0; i < work->d_value; i += VECTOR) {
            for (size_t k = 0; k < VECTOR; k++) total[i + k] *= inverse;
        }
        lf_bf16 *out = (lf_bf16 *)args->out.address + row_offset(work, r, args->out_stride, work->d_value);
        work->job->cpu->kernels.narrow(out, total, NULL, work->d_value);
    }
}

static tile_work work_of(const attention_job *job, size_t item, int thread)
{
    size_t d = job->args->kv.d_head, kv_head = item % job->n_range * job->heads;
    return (tile_work){
        .job = job,
        // The last tile has the longest context: largest pieces first.
        .tile = &job->tiles[job->n_tile - 1 - item / job->n_range],
        .scratch = lf__thread_scratch(job->cpu, thread),
        .kv_head = kv_head,
        .n_kv_head = LF_MIN(job->heads, job->n_kv_head - kv_head),
        .d = d,
        .d_value = job->args->kv.d_value,
        .stride = (d + LF_PANEL_ROWS - 1) / LF_PANEL_ROWS * LF_PANEL_ROWS,
    };
}

static void whole_tiles(void *ctx, size_t begin, size_t end, int thread)
{
    const attention_job *job = ctx;
    for (size_t item = begin; item < end; item++) {
        tile_work work = work_of(job, item, thread);
        size_t rows = (size_t)work.tile->n_tok * job->group * work.n_kv_head;
        for (; work.first_row < rows; work.first_row += work.n_row) {
            work.n_row = LF_MIN(rows - work.first_row, (size_t)LF_QUERY_ROWS);
            load_queries(&work);
            clear_total(&work);
            int64_t last = row_position(&work, work.n_row - 1);
            int64_t segment = window_start(job->args, row_position(&work, 0)) / LF_KEY_SEGMENT;
            for (; segment * LF_KEY_SEGMENT <= last; segment++) {
                if (!attend_segment(&work, segment)) continue;
                lf_thread_scratch *s = work.scratch;
                for (size_t r = 0; r < work.n_row; r++) {
                    fold(s->total + r * work.stride, &s->total_m[r], &s->total_l[r], s->part + r * work.stride,
                         s->part_m[r], s->part_l[r], work.d_value);
                }
            }
            store_total(&work);
        }
    }
}

// Partial results of (item, segment): n_row rows of m, l, part[stride]; m = -INFINITY where nothing was seen.
static float *part_of(const attention_job *job, size_t item, size_t segment, size_t stride)
{
    return (float *)job->cpu->parts_pages.address + (item * job->n_segment + segment) * job->part_rows * (stride + 2);
}

static void split_segments(void *ctx, size_t begin, size_t end, int thread)
{
    const attention_job *job = ctx;
    for (size_t piece = begin; piece < end; piece++) {
        size_t item = piece / job->n_segment, segment = piece % job->n_segment;
        tile_work work = work_of(job, item, thread);
        work.n_row = (size_t)work.tile->n_tok * job->group * work.n_kv_head;
        load_queries(&work);
        bool seen = attend_segment(&work, (int64_t)segment);
        float *part = part_of(job, item, segment, work.stride);
        for (size_t r = 0; r < work.n_row; r++, part += work.stride + 2) {
            part[0] = seen ? work.scratch->part_m[r] : -INFINITY;
            part[1] = work.scratch->part_l[r];
            if (seen) memcpy(part + 2, work.scratch->part + r * work.stride, work.d_value * sizeof *part);
        }
    }
}

static void join_segments(void *ctx, size_t begin, size_t end, int thread)
{
    const attention_job *job = ctx;
    for (size_t item = begin; item < end; item++) {
        tile_work work = work_of(job, item, thread);
        work.n_row = (size_t)work.tile->n_tok * job->group * work.n_kv_head;
        clear_total(&work);
        lf_thread_scratch *s = work.scratch;
        for (size_t segment = 0; segment < job->n_segment; segment++) {
            const float *part = part_of(job, item, segment, work.stride);
            for (size_t r = 0; r < work.n_row; r++, part += work.stride + 2) {
                fold(s->total + r * work.stride, &s->total_m[r], &s->total_l[r], part + 2, part[0], part[1],
                     work.d_value);
            }
        }
        store_total(&work);
    }
}

// Cuts the step's query tokens into tiles; returns how many. Work is in multiply-adds of one query head and KV head
// pair.
static size_t cut_tiles(lf_cpu_device *cpu, const lf_attention_args *args, size_t group, size_t *max_context,
                        uint64_t *work)
{
    lf_attention_tile *tiles = cpu->tiles_pages.address;
    const int32_t *start = args->query_start.address, *lengths = args->lengths.address;
    size_t n_tile = 0, step = tile_tokens(group);
    for (size_t s = 0; s < args->n_seq; s++) {
        int32_t n_tok = start[s + 1] - start[s];
        assert(n_tok >= 0 && (n_tok == 0 || lengths[s] >= n_tok));
        for (int32_t t = 0; t < n_tok; t += (int32_t)step) {
            assert(n_tile < cpu->options.max_n_tok);
            int32_t count = LF_MIN(n_tok - t, (int32_t)step);
            tiles[n_tile++] = (lf_attention_tile){
                .sequence = (int32_t)s, .first_tok = start[s] + t, .n_tok = count, .position = lengths[s] - n_tok + t};
            *work += (uint64_t)count * (uint64_t)lengths[s];
        }
        if (n_tok && (size_t)lengths[s] > *max_context) *max_context = (size_t)lengths[s];
    }
    return n_tile;
}

static size_t most_rows(const attention_job *job)
{
    size_t rows = 0;
    for (size_t t = 0; t < job->n_tile; t++) rows = LF_MAX(rows, (size_t)job->tiles[t].n_tok * job->group);
    return rows;
}

// Few rows wait for memory, which is fastest in one sweep: as many KV heads together as there are rows for, and as
// leave the threads evenly loaded.
static void choose_heads(attention_job *job)
{
    size_t n_kv_head = job->n_kv_head, n_thread = (size_t)job->cpu->n_thread, rows = most_rows(job);
    size_t most = rows < FEWEST_ROWS ? LF_MIN(n_kv_head, LF_QUERY_ROWS / LF_MAX(rows, (size_t)1)) : 1;
    size_t n_range = (n_kv_head + most - 1) / most;
    while (n_range < n_kv_head && job->n_tile * n_range < 4 * n_thread && job->n_tile * n_range % n_thread) n_range++;
    job->heads = (n_kv_head + n_range - 1) / n_range;
    job->n_range = (n_kv_head + job->heads - 1) / job->heads;
}

// Splits along the keys when there are too few pieces for the threads and room for the partial results.
static void choose_split(attention_job *job, size_t max_context)
{
    size_t n_item = job->n_tile * job->n_range, n_thread = (size_t)job->cpu->n_thread;
    size_t stride = (job->args->kv.d_head + LF_PANEL_ROWS - 1) / LF_PANEL_ROWS * LF_PANEL_ROWS;
    size_t n_segment = (max_context + LF_KEY_SEGMENT - 1) / LF_KEY_SEGMENT, rows = most_rows(job) * job->heads;
    if (n_thread == 1 || n_item >= 4 * n_thread || n_segment < 2 || rows > LF_QUERY_ROWS) return;
    if (n_item * n_segment * rows * (stride + 2) * sizeof(float) > job->cpu->parts_pages.bytes) return;
    job->n_segment = n_segment;
    job->part_rows = rows;
}

// More query heads of one KV head than there is scratch for (a latent has all of them) are cut in equal groups, as if
// each had a KV head of its own: pieces that threads can share, and of which the keys can be split.
static void cut_group(attention_job *job)
{
    enum { MOST_ALIASES = 16 };
    size_t group = job->args->n_head / job->args->n_kv_head, n = 1;
    while (group > n * LF_QUERY_ROWS && n < MOST_ALIASES) n++;
    while (group % n != 0 && n < MOST_ALIASES) n++;
    job->n_alias = group % n == 0 ? n : 1; // else whole_tiles takes the rows one piece after the other
    job->n_kv_head = job->args->n_kv_head * job->n_alias;
    job->group = group / job->n_alias;
}

lf_status lf__cpu_attention(lf_device *device, const lf_attention_args *args, lf_error *err)
{
    enum { SERIAL_WORK = 1 << 18 }; // multiply-adds that are done before another thread has woken
    lf_cpu_device *cpu = lf__cpu(device);
    const lf_kv_layer *kv = &args->kv;
    if (kv->d_head > LF_MAX_D_HEAD) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "attention heads of %zu elements: the cpu device has room for %d",
                            kv->d_head, LF_MAX_D_HEAD);
    }
    assert(args->n_head % args->n_kv_head == 0 && args->first_kv_head + args->n_kv_head <= kv->n_kv_head);
    assert(lf_dptr_is_null(kv->values) ? kv->d_value <= kv->d_head : kv->d_value == kv->d_head);
    attention_job job = {.cpu = cpu, .args = args, .tiles = cpu->tiles_pages.address};
    cut_group(&job);
    size_t max_context = 0;
    uint64_t work = 0;
    job.n_tile = cut_tiles(cpu, args, job.group, &max_context, &work);
    choose_heads(&job);
    size_t n_item = job.n_tile * job.n_range;
    if (work * args->n_head * kv->d_head < SERIAL_WORK) {
        whole_tiles(&job, 0, n_item, 0);
        return LF_OK;
    }
    choose_split(&job, max_context);
    if (!job.n_segment) {
        lf_par_for_dynamic(n_item, 1, whole_tiles, &job);
        return LF_OK;
    }
    lf_par_for_dynamic(n_item * job.n_segment, 1, split_segments, &job);
    lf_par_for_dynamic(n_item, 1, join_segments, &job);
    return LF_OK;
}
