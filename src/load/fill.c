// SPDX-License-Identifier: Apache-2.0
//
// The one loop that fills weights. A task is a run of groups of LF_WEIGHT_ROW_GROUP destination rows (the granule that
// one thread owns on the device) or one whole float32 table; it equals
//
//     for each object, for each slice, for each group of rows that meets it, for each tile of columns:
//         device.weight_fill(source(slice, tile))
//
// Most of the time goes into memory that is touched for the first time, so a task is several MiB: two threads that meet
// in one huge page of the destination both zero it, and pages of the file are mapped and given back in few calls.
//
// Tasks are handed out in that order, so data is read front to back, and the first error in that order is the one
// reported, whatever the number of threads.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/progress.h"
#include "load/load_int.h"

static const uint64_t prefetch_bytes = (uint64_t)256 << 20;

typedef struct fill_job {
    lf_weights *weights;
    const lf_source *source;
    lf_bf16 *scratch; // one tile per thread
    size_t n_task;
    lf_progress *progress; // NULL: none
    atomic_bool stop;
    atomic_size_t prefetched; // objects [0, prefetched) were asked for
    pthread_mutex_t lock;     // protects the error and its task
    lf_error *err;
    lf_status status;
    size_t failed_task;
} fill_job;

enum {
    TILE_ELEMENTS = LF_WEIGHT_ROW_GROUP * LF__TILE_COLUMNS,
    TASK_BYTES = 8 << 20,
    TASKS_PER_THREAD = 16, // at least, so that threads end together
};

// Rows of one task: whole groups.
static int64_t rows_of_task(const lf_object *object, uint64_t total_bytes)
{
    if (lf_slot_is_f32(object->slot)) return object->n_row;
    uint64_t group_bytes = (uint64_t)object->n_col * LF_WEIGHT_ROW_GROUP * sizeof(lf_bf16);
    uint64_t bytes = LF_MIN(total_bytes / ((uint64_t)lf_par_threads() * TASKS_PER_THREAD), (uint64_t)TASK_BYTES);
    return LF_WEIGHT_ROW_GROUP * (int64_t)LF_MAX(bytes / group_bytes, (uint64_t)1);
}

static size_t object_of_task(const lf_weights *weights, size_t task)
{
    size_t low = 0, high = weights->n_object;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (weights->objects[middle].first_task <= task) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void fail(fill_job *job, size_t task, const lf_error *err)
{
    pthread_mutex_lock(&job->lock);
    if (job->status == LF_OK || task < job->failed_task) {
        job->status = err->status;
        job->failed_task = task;
        if (job->err) *job->err = *err;
    }
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->stop, true);
}

static uint64_t object_bytes(const lf_object *object) { return (uint64_t)object->n_row * (uint64_t)object->n_col * 2; }

// Keeps about prefetch_bytes of the objects behind `current` on their way from the disk.
static void prefetch_ahead(fill_job *job, size_t current)
{
    if (!job->source->prefetch) return;
    uint64_t ahead = 0;
    for (size_t i = current; i < job->weights->n_object && ahead < prefetch_bytes; i++) {
        const lf_object *object = &job->weights->objects[i];
        if (i > current) ahead += object_bytes(object);
        size_t expected = i;
        if (!atomic_compare_exchange_strong(&job->prefetched, &expected, i + 1)) continue;
        for (size_t s = 0; s < object->n_slice; s++) {
            job->source->prefetch(job->source, (size_t)(object->slices - job->weights->slices.items) + s);
        }
    }
}

// Hands a tile to the device: rows [row, row + n_row) of columns [col, col + n_col) of the object.
static lf_status put_tile(lf_device *device, const lf_object *object, int64_t row, int64_t n_row, int64_t col,
                          int64_t n_col, const lf_tile *tile, lf_error *err)
{
    if (object->matrix) {
        device->ops->weight_fill(object->matrix, row, n_row, col, n_col, tile->data, tile->stride);
        return LF_OK;
    }
    lf_status status = LF_OK;
    for (int64_t r = 0; r < n_row && !status; r++) {
        lf_dptr dst = lf_dptr_at(object->table, (size_t)((row + r) * object->n_col + col) * sizeof(lf_bf16));
        const lf_bf16 *src = tile->data + (size_t)r * tile->stride;
        status = device->ops->write(device, dst, src, (size_t)n_col * sizeof *src, err);
    }
    return status;
}

// One slice's part of a group of rows: rows [begin, end) of the object, one tile of columns after the other.
static lf_status fill_rows(fill_job *job, lf_object *object, const lf_slice *slice, int64_t begin, int64_t end,
                           lf_bf16 *scratch, lf_error *err)
{
    size_t index = (size_t)(slice - job->weights->slices.items);
    for (int64_t col = 0; col < object->n_col; col += LF__TILE_COLUMNS) {
        int64_t n_col = LF_MIN(object->n_col - col, LF__TILE_COLUMNS);
        lf_rect rect = {slice->rect.row + begin - slice->slot_row, slice->rect.col + col, end - begin, n_col};
        lf_tile tile;
        lf_status status = job->source->matrix(job->source, index, rect, scratch, &tile, err);
        if (!status) status = put_tile(job->weights->device, object, begin, end - begin, col, n_col, &tile, err);
        if (status) return status;
        for (int64_t row = begin; row < end; row++) object->filled[row] += (int32_t)n_col;
    }
    return LF_OK;
}

// Rows [begin, end) of the object, which begin with a group.
static lf_status fill_matrix(fill_job *job, lf_object *object, int64_t begin, int64_t end, lf_bf16 *scratch,
                             lf_error *err)
{
    const lf_source *source = job->source;
    for (size_t s = 0; s < object->n_slice; s++) {
        const lf_slice *slice = &object->slices[s];
        size_t index = (size_t)(slice - job->weights->slices.items);
        int64_t from = LF_MAX(begin, slice->slot_row), to = LF_MIN(end, slice->slot_row + slice->rect.n_row);
        if (from >= to) continue;
        int64_t row = slice->rect.row + from - slice->slot_row;
        if (source->expect) source->expect(source, index, row, to - from);
        for (int64_t first = from, next; first < to; first = next) {
            next = LF_MIN(first - first % LF_WEIGHT_ROW_GROUP + LF_WEIGHT_ROW_GROUP, to);
            lf_status status = fill_rows(job, object, slice, first, next, scratch, err);
            if (status) return status;
        }
        if (source->release) source->release(source, index, row, to - from);
    }
    return LF_OK;
}

static lf_status fill_vector(fill_job *job, lf_object *object, lf_error *err)
{
    lf_device *device = job->weights->device;
    size_t n_col = (size_t)object->n_col, bytes = (size_t)object->n_row * n_col * sizeof(float);
    float *values = malloc(bytes);
    if (!values) return lf_error_no_memory(err, bytes);
    lf_status status = LF_OK;
    for (size_t s = 0; !status && s < object->n_slice; s++) {
        const lf_slice *slice = &object->slices[s];
        size_t index = (size_t)(slice - job->weights->slices.items);
        status = job->source->vector(job->source, index, slice->rect.row, slice->rect.n_row,
                                     values + (size_t)slice->slot_row * n_col, err);
        for (int64_t row = 0; row < slice->rect.n_row; row++) {
            object->filled[slice->slot_row + row] += (int32_t)object->n_col;
        }
    }
    if (!status) status = device->ops->write(device, object->table, values, bytes, err);
    free(values);
    return status;
}

static void run_tasks(void *ctx, size_t begin, size_t end, int thread)
{
    fill_job *job = ctx;
    for (size_t task = begin; task < end; task++) {
        if (atomic_load_explicit(&job->stop, memory_order_relaxed)) return;
        size_t index = object_of_task(job->weights, task);
        lf_object *object = &job->weights->objects[index];
        lf_error err = {0};
        lf_status status;
        uint64_t bytes;
        if (task == object->first_task) prefetch_ahead(job, index);
        if (!lf_slot_is_f32(object->slot)) {
            int64_t row = (int64_t)(task - object->first_task) * object->task_rows;
            int64_t row_end = LF_MIN(row + object->task_rows, object->n_row);
            status = fill_matrix(job, object, row, row_end, job->scratch + (size_t)thread * TILE_ELEMENTS, &err);
            bytes = (uint64_t)(row_end - row) * (uint64_t)object->n_col * 2;
        } else {
            status = fill_vector(job, object, &err);
            bytes = object_bytes(object);
        }
        if (status) fail(job, task, &err);
        if (job->progress) lf_progress_add(job->progress, bytes);
    }
}

lf_status lf__fill(lf_weights *weights, const lf_source *source, bool show_progress, lf_error *err)
{
    fill_job job = {.weights = weights, .source = source, .err = err};
    lf_progress progress;
    uint64_t total = 0;
    for (size_t i = 0; i < weights->n_object; i++) total += object_bytes(&weights->objects[i]);
    for (size_t i = 0; i < weights->n_object; i++) {
        lf_object *object = &weights->objects[i];
        object->first_task = job.n_task;
        object->task_rows = rows_of_task(object, total);
        job.n_task += (size_t)lf_ceil_div(object->n_row, object->task_rows);
        weights->ledger.n_row += (uint64_t)object->n_row;
    }
    size_t bytes;
    if (!lf_mul_size((size_t)lf_par_threads(), TILE_ELEMENTS * sizeof *job.scratch, &bytes)) bytes = SIZE_MAX;
    job.scratch = lf_aligned_alloc(bytes);
    if (!job.scratch) return lf_error_no_memory(err, bytes);

    pthread_mutex_init(&job.lock, NULL);
    if (show_progress) {
        lf_progress_begin(&progress, "loading weights", "bytes", total);
        job.progress = &progress;
    }
    lf_par_for_dynamic(job.n_task, 1, run_tasks, &job);
    if (show_progress) lf_progress_end(&progress);
    pthread_mutex_destroy(&job.lock);
    free(job.scratch);
    if (job.status) return job.status;
    return lf__ledger_verify(weights, err);
}
