// SPDX-License-Identifier: Apache-2.0
//
// Writing the shards. Equals
//
//     for each shard that is not done: for each tensor, for each chunk: write(make(chunk)); commit
//
// with one worker per thread. Writers of one file wait for each other in the kernel, so every worker has a shard of its
// own as long as there are any; then it helps where the most is left. The worker that writes a shard's last chunk
// commits it and stores the journal. A chunk is made and written by the same worker, while it is still in its cache.
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "convert/convert_int.h"

enum {
    MAX_WORKERS = 16,     // past this, storage is the limit; each has an unfinished shard that a kill would cost
    CHUNKS_PER_TAKE = 16, // 4 MiB
};

typedef enum shard_state { WAITING, OPEN, DONE } shard_state;

typedef struct shard_work {
    shard_state state;
    int fd;
    size_t tensor;         // the next chunk to hand out: of this tensor (index into plan->tensors)
    uint64_t chunk;        // ... this one
    uint64_t n_left;       // chunks not handed out yet
    uint64_t n_unfinished; // chunks not written yet
} shard_work;

typedef struct writer {
    lf__shards_job *job;
    shard_work *shards; // one per shard of the plan
    size_t next_waiting;
    bool stop;
    pthread_mutex_t lock; // protects all of the above, the error, the journal and the result
    lf_status status;
    lf_error *err;
    uint8_t *scratch; // LF__CHUNK_BYTES per worker
} writer;

// Chunks [begin, end) of one tensor.
typedef struct piece {
    size_t shard, tensor;
    uint64_t begin, end;
} piece;

static uint64_t count_chunks(const lf__plan *plan, const lf__out_shard *shard)
{
    uint64_t n = 0;
    for (size_t i = shard->first; i < shard->first + shard->count; i++) n += lf__chunk_count(&plan->tensors[i]);
    return n;
}

static void fail(writer *w, const lf_error *err)
{
    pthread_mutex_lock(&w->lock);
    if (w->status == LF_OK) {
        w->status = err->status;
        *w->err = *err;
    }
    w->stop = true;
    pthread_mutex_unlock(&w->lock);
}

// Opens the shard's file and writes its header. The lock is held: this happens a few times only.
static lf_status open_shard(writer *w, size_t index, lf_error *err)
{
    const lf__out_shard *shard = &w->job->plan->shards[index];
    lf_buf header = LF_BUF_INIT;
    lf_status status = lf__output_create(w->job->output, shard->name, &w->shards[index].fd, err);
    if (status) return status;
    w->shards[index].state = OPEN;
    if (!lf__plan_header(w->job->plan, shard, &header))
        status = lf_error_no_memory(err, 0);
    else
        status =
            lf__output_write_all(w->job->output, shard->name, w->shards[index].fd, 0, header.data, header.length, err);
    lf_buf_fini(&header);
    return status;
}

// Makes the finished shard appear and notes it in the journal.
static lf_status finish_shard(writer *w, size_t index, lf_error *err)
{
    lf__shards_job *job = w->job;
    const lf__out_shard *shard = &job->plan->shards[index];
    struct stat info;
    int fd = w->shards[index].fd;
    bool has_info = fstat(fd, &info) == 0;
    lf_status status = lf__output_commit(job->output, shard->name, fd, err);
    pthread_mutex_lock(&w->lock);
    w->shards[index].state = DONE;
    if (!status) {
        lf__done *done = &job->journal->shards[index];
        done->is_done = true;
        done->bytes = shard->file_bytes;
        done->sha256[0] = '\0';
        done->modified_ns = has_info ? (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec : 0;
        job->result->n_written++;
        job->result->bytes_written += shard->file_bytes;
        status = lf__journal_store(job->journal, job->output, job->quant, NULL, 0, err);
    }
    pthread_mutex_unlock(&w->lock);
    return status;
}

// The shard a worker takes its next piece from: its own, else a new one, else the one with the most left; SIZE_MAX when
// everything is handed out. A shard without chunks is finished at once.
static size_t choose_shard(const writer *w, size_t own)
{
    if (own != SIZE_MAX && w->shards[own].n_left > 0) return own;
    if (w->next_waiting < w->job->plan->n_shard) return w->next_waiting;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < w->job->plan->n_shard; i++) {
        if (w->shards[i].n_left == 0 || w->shards[i].state != OPEN) continue;
        if (best == SIZE_MAX || w->shards[i].n_left > w->shards[best].n_left) best = i;
    }
    return best;
}

static void skip_to_waiting(writer *w)
{
    while (w->next_waiting < w->job->plan->n_shard && w->shards[w->next_waiting].state != WAITING) w->next_waiting++;
}

// The next piece for a worker; false when there is none, or on a failure. *out may be empty (begin == end) when the
// shard has nothing to write but its header.
static bool take(writer *w, size_t *own, piece *out, lf_error *err)
{
    const lf__plan *plan = w->job->plan;
    bool is_taken = false;
    lf_status status = LF_OK;
    pthread_mutex_lock(&w->lock);
    size_t index = w->stop ? SIZE_MAX : choose_shard(w, *own);
    if (index != SIZE_MAX) {
        shard_work *work = &w->shards[index];
        if (work->state == WAITING) {
            status = open_shard(w, index, err);
            skip_to_waiting(w);
        }
        *own = index;
        *out = (piece){.shard = index, .tensor = work->tensor};
        if (!status && work->n_left > 0) {
            uint64_t n;
            while (work->chunk >= (n = lf__chunk_count(&plan->tensors[work->tensor]))) {
                work->tensor++;
                work->chunk = 0;
            }
            out->tensor = work->tensor;
            out->begin = work->chunk;
            out->end = LF_MIN(n, work->chunk + CHUNKS_PER_TAKE);
            work->chunk = out->end;
            work->n_left -= out->end - out->begin;
        }
        is_taken = status == LF_OK;
    }
    pthread_mutex_unlock(&w->lock);
    if (status) fail(w, err);
    return is_taken;
}

static lf_status write_piece(writer *w, const piece *p, uint8_t *scratch, lf_error *err)
{
    const lf__shards_job *job = w->job;
    const lf__out_shard *shard = &job->plan->shards[p->shard];
    const lf__out_tensor *tensor = &job->plan->tensors[p->tensor];
    uint64_t base = shard->header_bytes + tensor->off, first = 0, written = 0;
    int fd = w->shards[p->shard].fd;
    lf__chunk_prefetch(tensor, p->end, LF_MIN(p->end + CHUNKS_PER_TAKE, lf__chunk_count(tensor)));
    for (uint64_t i = p->begin; i < p->end; i++) {
        lf__chunk chunk;
        lf_status status = lf__chunk_make(tensor, i, job->options->rounding, scratch, &chunk, err);
        if (!status) {
            status = lf__output_write_all(job->output, shard->name, fd, base + chunk.off, chunk.data, chunk.bytes, err);
        }
        if (status) return status;
        if (i == p->begin) first = chunk.off;
        written += chunk.bytes;
    }
    lf__chunk_release(job->checkpoint, tensor, p->begin, p->end);
    // Sets the disk to work now, so that the sync at the end of the shard has little left to wait for.
    if (job->output->sync) (void)sync_file_range(fd, (off_t)(base + first), (off_t)written, SYNC_FILE_RANGE_WRITE);
    if (job->progress) lf_progress_add(job->progress, written);
    return LF_OK;
}

static void run_worker(void *ctx, size_t begin, size_t end, int thread)
{
    writer *w = ctx;
    for (size_t worker = begin; worker < end; worker++) {
        uint8_t *scratch = w->scratch + worker * LF__CHUNK_BYTES;
        size_t own = SIZE_MAX;
        piece p;
        lf_error err = {0};
        while (take(w, &own, &p, &err)) {
            lf_status status = p.begin < p.end ? write_piece(w, &p, scratch, &err) : LF_OK;
            pthread_mutex_lock(&w->lock);
            w->shards[p.shard].n_unfinished -= p.end - p.begin;
            bool is_last = !status && w->shards[p.shard].n_unfinished == 0;
            pthread_mutex_unlock(&w->lock);
            if (is_last) status = finish_shard(w, p.shard, &err);
            if (status) {
                fail(w, &err);
                break;
            }
        }
    }
}

lf_status lf__shards_write(lf__shards_job *job, lf_error *err)
{
    const lf__plan *plan = job->plan;
    size_t n_worker = (size_t)LF_MIN(lf_par_threads(), (int)MAX_WORKERS);
    writer w = {.job = job, .err = err};
    w.shards = calloc(LF_MAX(plan->n_shard, 1), sizeof *w.shards);
    w.scratch = lf_aligned_alloc(n_worker * LF__CHUNK_BYTES);
    if (!w.shards || !w.scratch) {
        w.status = lf_error_no_memory(err, n_worker * LF__CHUNK_BYTES);
        goto out;
    }
    for (size_t i = 0; i < plan->n_shard; i++) {
        const lf__out_shard *shard = &plan->shards[i];
        w.shards[i] = (shard_work){.fd = -1, .tensor = shard->first};
        if (job->journal->shards[i].is_done)
            w.shards[i].state = DONE;
        else
            w.shards[i].n_left = w.shards[i].n_unfinished = count_chunks(plan, shard);
    }
    skip_to_waiting(&w);
    pthread_mutex_init(&w.lock, NULL);
    lf_par_for_dynamic(n_worker, 1, run_worker, &w);
    pthread_mutex_destroy(&w.lock);
    for (size_t i = 0; i < plan->n_shard; i++) {
        if (w.shards[i].state == OPEN) lf__output_discard(job->output, plan->shards[i].name, w.shards[i].fd);
    }

out:
    free(w.shards);
    free(w.scratch);
    return w.status;
}
