// SPDX-License-Identifier: Apache-2.0
//
// Reading back. Every finished shard is compared byte for byte with its planned header and with tensors made anew from
// the source, and hashed on the way. A shard that differs is removed, so that the next run writes it again. Where files
// were synced, the page cache is asked to forget them first: what counts is what the disk holds.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "convert/convert_int.h"

typedef struct verifier {
    lf__shards_job *job;
    bool stop;
    pthread_mutex_t lock; // protects stop, the error, the journal and the result
    lf_status status;
    lf_error *err;
} verifier;

typedef struct reader {
    int fd;
    const char *name;
    uint64_t at;
    uint8_t *read, *made; // OWNED, LF__CHUNK_BYTES each
    lf_sha256 hash;
    bool is_different; // the file can be read, and is not what it must be
} reader;

static lf_status differs(reader *r, const char *where, lf_error *err)
{
    r->is_different = true;
    lf_error_set(err, LF_ERR_IO, "%s is not what was written: %s differs", r->name, where);
    lf_error_subject(err, "%s", r->name);
    return lf_error_hint(err, "run the same command again to write it anew; if that repeats, suspect disk or memory");
}

// The next `bytes` of the file must be `expected`. They are in file order, so that the hash is of the file.
static lf_status compare(reader *r, const void *expected, size_t bytes, const char *where, lf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        size_t want = LF_MIN(bytes - done, (size_t)LF__CHUNK_BYTES);
        ssize_t got = pread(r->fd, r->read, want, (off_t)r->at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            lf_error_errno(err, errno, "cannot read %s", r->name);
            return lf_error_subject(err, "%s", r->name);
        }
        if (got == 0 || memcmp(r->read, (const uint8_t *)expected + done, (size_t)got) != 0)
            return differs(r, where, err);
        lf_sha256_update(&r->hash, r->read, (size_t)got);
        r->at += (uint64_t)got;
        done += (size_t)got;
    }
    return LF_OK;
}

static lf_status compare_tensor(const lf__shards_job *job, reader *r, const lf__out_tensor *tensor, lf_error *err)
{
    enum { CHUNKS_PER_RELEASE = 8 };
    uint64_t n = lf__chunk_count(tensor), released = 0;
    for (uint64_t i = 0; i < n; i++) {
        lf__chunk chunk;
        lf_status status = lf__chunk_make(tensor, i, job->options->rounding, r->made, &chunk, err);
        if (!status) status = compare(r, chunk.data, chunk.bytes, tensor->tensor->name, err);
        if (status) return status;
        if (job->progress) lf_progress_add(job->progress, chunk.bytes);
        if (i + 1 < n && i + 1 - released < CHUNKS_PER_RELEASE) continue;
        lf__chunk_release(job->checkpoint, tensor, released, i + 1);
        released = i + 1;
    }
    return LF_OK;
}

static lf_status compare_shard(const lf__shards_job *job, reader *r, const lf__out_shard *shard, lf_error *err)
{
    struct stat info;
    lf_buf header = LF_BUF_INIT;
    if (fstat(r->fd, &info) != 0) return lf_error_errno(err, errno, "cannot read %s", r->name);
    if ((uint64_t)info.st_size != shard->file_bytes) return differs(r, "its size", err);
    lf_status status = lf__plan_header(job->plan, shard, &header) ? LF_OK : lf_error_no_memory(err, 0);
    if (!status) status = compare(r, header.data, header.length, "its header", err);
    lf_buf_fini(&header);
    for (size_t i = 0; !status && i < shard->count; i++) {
        status = compare_tensor(job, r, &job->plan->tensors[shard->first + i], err);
    }
    return status;
}

static lf_status verify_shard(const lf__shards_job *job, size_t index, char sha256[LF_SHA256_HEX_BYTES],
                              bool *is_different, lf_error *err)
{
    const lf__out_shard *shard = &job->plan->shards[index];
    reader r = {.name = shard->name};
    lf_status status;
    lf_sha256_init(&r.hash);
    r.read = lf_aligned_alloc(LF__CHUNK_BYTES);
    r.made = lf_aligned_alloc(LF__CHUNK_BYTES);
    r.fd = openat(job->output->fd, shard->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (!r.read || !r.made) {
        status = lf_error_no_memory(err, LF__CHUNK_BYTES);
    } else if (r.fd < 0) {
        status = lf_error_errno(err, errno, "cannot open %s", shard->name);
        lf_error_subject(err, "%s", shard->name);
    } else {
        if (job->output->sync) (void)posix_fadvise(r.fd, 0, 0, POSIX_FADV_DONTNEED);
        status = compare_shard(job, &r, shard, err);
    }
    if (r.fd >= 0) close(r.fd);
    free(r.read);
    free(r.made);
    *is_different = r.is_different;
    if (!status) lf_sha256_final_hex(&r.hash, sha256);
    return status;
}

// Takes a shard that differs out of the directory and of the journal.
static lf_status forget(const lf__shards_job *job, size_t index, lf_error *err)
{
    job->journal->shards[index].is_done = false;
    return lf__output_remove(job->output, job->plan->shards[index].name, err);
}

static void run_shards(void *ctx, size_t begin, size_t end, int thread)
{
    verifier *v = ctx;
    for (size_t i = begin; i < end; i++) {
        lf__done *done = &v->job->journal->shards[i];
        lf_error err = {0};
        char sha256[LF_SHA256_HEX_BYTES] = "";
        bool is_different = false;
        pthread_mutex_lock(&v->lock);
        bool is_skipped = v->stop || !done->is_done;
        pthread_mutex_unlock(&v->lock);
        if (is_skipped) continue;
        lf_status status = verify_shard(v->job, i, sha256, &is_different, &err);
        pthread_mutex_lock(&v->lock);
        if (is_different) {
            lf_error problem = {0};
            lf_status removed = forget(v->job, i, &problem);
            if (v->job->rewrite_different) status = removed;
            if (removed) err = problem;
        }
        if (!status && !is_different) {
            memcpy(done->sha256, sha256, sizeof done->sha256);
            v->job->result->n_verified++;
        } else if (status && v->status == LF_OK) {
            v->status = err.status;
            *v->err = err;
            v->stop = true;
        }
        pthread_mutex_unlock(&v->lock);
    }
}

lf_status lf__shards_verify(lf__shards_job *job, lf_error *err)
{
    verifier v = {.job = job, .err = err};
    pthread_mutex_init(&v.lock, NULL);
    lf_par_for_dynamic(job->plan->n_shard, 1, run_shards, &v);
    pthread_mutex_destroy(&v.lock);
    return v.status;
}
