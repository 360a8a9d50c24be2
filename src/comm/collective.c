// SPDX-License-Identifier: Apache-2.0
//
// The collective calls, made of messages between pairs.
//
// A sum is taken in the order of ranks whatever its size, so its bits depend neither on who was first nor on the way it
// took. A small one costs one message time: everybody sends all to everybody and adds. A large one is cut into a piece
// per rank: a rank receives its piece of all others, adds, and sends the sum to everybody; twice the message time, but
// each rank sends 2 (n-1)/n of the data instead of n-1 times the data.
//
// What is larger than SLICE_BYTES goes in slices, which bounds messages and staging memory.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "comm/comm_int.h"

enum {
    SLICE_BYTES = 64 << 20,
    // Up to here a sum goes to everybody whole: its time is the messages' latency.
    WHOLE_BYTES = 8 << 10,
    RING_AFTER_NS = 10 * 1000 * 1000, // a shorter pause finds the others awake, see wait.c
};

_Static_assert((int)SLICE_BYTES <= (int)LF__TRANSPORT_MAX_BYTES, "a slice is one message");

// ---- the books ----

typedef struct call {
    lf_comm *comm;
    int64_t start_ns;
} call;

static call begin_call(lf_comm *comm)
{
    int64_t now = lf_now_ns();
    if (now - comm->left_ns > RING_AFTER_NS) lf__lifelines_ring(comm->lifelines);
    return (call){comm, now};
}

static lf_status end_call(call c, lf_status status)
{
    c.comm->left_ns = lf_now_ns();
    c.comm->stats.n_call++;
    c.comm->stats.ns += (uint64_t)(c.comm->left_ns - c.start_ns);
    return status;
}

// ---- messages ----

// Nothing is posted after a failure: it could neither be finished nor taken back.
static lf_status post_send(lf_comm *comm, int peer, const void *data, size_t bytes, lf_error *err)
{
    char why[LF__TRANSPORT_WHY_BYTES];
    if (atomic_load_explicit(&comm->has_failed, memory_order_acquire)) return lf__comm_failed(comm, err);
    if (bytes == 0) return LF_OK;
    if (comm->transport->send(comm->link, peer, data, bytes, why)) return lf__comm_break(comm, why, err);
    comm->stats.bytes_sent += bytes;
    return LF_OK;
}

static lf_status post_receive(lf_comm *comm, int peer, void *data, size_t bytes, lf_error *err)
{
    char why[LF__TRANSPORT_WHY_BYTES];
    if (atomic_load_explicit(&comm->has_failed, memory_order_acquire)) return lf__comm_failed(comm, err);
    if (bytes == 0) return LF_OK;
    if (comm->transport->receive(comm->link, peer, data, bytes, why)) return lf__comm_break(comm, why, err);
    return LF_OK;
}

static lf_status reserve(lf_comm *comm, size_t bytes, lf_error *err)
{
    if (bytes <= comm->staging_bytes) return LF_OK;
    unsigned char *staging = lf_aligned_alloc(bytes);
    if (!staging) return lf_error_no_memory(err, bytes);
    free(comm->staging);
    comm->staging = staging;
    comm->staging_bytes = bytes;
    return LF_OK;
}

// Memory that a rank does not get is a failure for all: the others are in the call already.
static lf_status reserve_or_give_up(lf_comm *comm, size_t bytes, lf_error *err)
{
    lf_status status = reserve(comm, bytes, err);
    if (status) lf_comm_give_up(comm, err);
    return status;
}

// Where rank r's part stands in the staging memory, whose parts are of `bytes` each: others in the order of ranks.
static unsigned char *part_of(const lf_comm *comm, int r, size_t bytes)
{
    return comm->staging + bytes * (size_t)(r < comm->rank ? r : r - 1);
}

// The others in an order that differs from rank to rank, so that not all of them send to the same one at first.
static int peer_at(const lf_comm *comm, int step) { return (comm->rank + step) % comm->n_rank; }

// Everybody's `bytes` of data to everybody's staging memory.
static lf_status exchange(lf_comm *comm, const void *data, size_t bytes, lf_error *err)
{
    lf_status status = reserve_or_give_up(comm, bytes * (size_t)(comm->n_rank - 1), err);
    for (int step = 1; step < comm->n_rank && !status; step++) {
        int peer = peer_at(comm, comm->n_rank - step);
        status = post_receive(comm, peer, part_of(comm, peer, bytes), bytes, err);
    }
    for (int step = 1; step < comm->n_rank && !status; step++) {
        status = post_send(comm, peer_at(comm, step), data, bytes, err);
    }
    return status ? status : lf__comm_complete(comm, err);
}

// ---- sums ----

typedef struct span {
    size_t begin, count;
} span;

// Rank r's piece of n elements; whole cache lines, so that no two ranks' pieces share one.
static span piece_of(size_t n, int r, int n_rank)
{
    const size_t line = LF_CACHE_LINE_BYTES / sizeof(float);
    size_t n_line = n / line + (n % line != 0), rest = n_line % (size_t)n_rank, base = n_line / (size_t)n_rank;
    size_t begin = base * (size_t)r + LF_MIN((size_t)r, rest);
    size_t end = begin + base + ((size_t)r < rest);
    return (span){LF_MIN(begin * line, n), LF_MIN(end * line, n) - LF_MIN(begin * line, n)};
}

// Element by element, so `sum` may be one of the others.
static void add(float *sum, const float *x, const float *y, size_t n)
{
#ifdef _OPENMP
#pragma omp simd
#endif
    for (size_t i = 0; i < n; i++) sum[i] = x[i] + y[i];
}

// x = part of rank 0 + part of rank 1 + ..., where x is this rank's part and the others' are in the staging memory.
// In blocks that stay in the first-level cache; the last addition of a block goes to x, which may still be one of the
// parts until then.
static void add_in_order(const lf_comm *comm, float *x, size_t n, size_t part_bytes)
{
    enum { BLOCK = 1024 };
    float sum[BLOCK];
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        size_t count = LF_MIN((size_t)BLOCK, n - begin);
        const float *so_far = NULL;
        for (int r = 0; r < comm->n_rank; r++) {
            const float *part = r == comm->rank ? x : (const float *)(const void *)part_of(comm, r, part_bytes);
            float *to = r == comm->n_rank - 1 ? x + begin : sum;
            if (so_far) add(to, so_far, part + begin, count);
            so_far = so_far ? to : part + begin;
        }
    }
}

static lf_status sum_whole(lf_comm *comm, float *x, size_t n, lf_error *err)
{
    lf_status status = exchange(comm, x, n * sizeof *x, err);
    if (!status) add_in_order(comm, x, n, n * sizeof *x);
    return status;
}

static lf_status sum_in_pieces(lf_comm *comm, float *x, size_t n, lf_error *err)
{
    const int n_rank = comm->n_rank;
    span mine = piece_of(n, comm->rank, n_rank);
    size_t part_bytes = mine.count * sizeof *x;
    lf_status status = reserve_or_give_up(comm, part_bytes * (size_t)(n_rank - 1), err);
    for (int step = 1; step < n_rank && !status; step++) {
        int peer = peer_at(comm, n_rank - step);
        status = post_receive(comm, peer, part_of(comm, peer, part_bytes), part_bytes, err);
    }
    for (int step = 1; step < n_rank && !status; step++) {
        int peer = peer_at(comm, step);
        span theirs = piece_of(n, peer, n_rank);
        status = post_send(comm, peer, x + theirs.begin, theirs.count * sizeof *x, err);
    }
    if (!status) status = lf__comm_complete(comm, err);
    if (status) return status;
    add_in_order(comm, x + mine.begin, mine.count, part_bytes);
    for (int step = 1; step < n_rank && !status; step++) {
        int peer = peer_at(comm, n_rank - step);
        span theirs = piece_of(n, peer, n_rank);
        status = post_receive(comm, peer, x + theirs.begin, theirs.count * sizeof *x, err);
    }
    for (int step = 1; step < n_rank && !status; step++) {
        status = post_send(comm, peer_at(comm, step), x + mine.begin, part_bytes, err);
    }
    return status ? status : lf__comm_complete(comm, err);
}

lf_status lf_comm_sum_f32(lf_comm *comm, float *x, size_t n, lf_error *err)
{
    if (!comm || n == 0) return LF_OK;
    const size_t slice = SLICE_BYTES / sizeof *x;
    call c = begin_call(comm);
    lf_status status = LF_OK;
    for (size_t at = 0; at < n && !status; at += slice) {
        size_t count = LF_MIN(slice, n - at);
        bool is_small = count * sizeof *x <= WHOLE_BYTES;
        status = is_small ? sum_whole(comm, x + at, count, err) : sum_in_pieces(comm, x + at, count, err);
    }
    return end_call(c, status);
}

lf_status lf__min_i64(lf_comm *comm, int64_t *x, size_t n, lf_error *err)
{
    const size_t slice = SLICE_BYTES / sizeof *x / (size_t)comm->n_rank;
    for (size_t at = 0; at < n; at += slice) {
        size_t count = LF_MIN(slice, n - at), bytes = count * sizeof *x;
        lf_status status = exchange(comm, x + at, bytes, err);
        if (status) return status;
        for (int r = 0; r < comm->n_rank; r++) {
            if (r == comm->rank) continue;
            const int64_t *part = (const int64_t *)(const void *)part_of(comm, r, bytes);
            for (size_t i = 0; i < count; i++) x[at + i] = LF_MIN(x[at + i], part[i]);
        }
    }
    return LF_OK;
}

lf_status lf_comm_min_i64(lf_comm *comm, int64_t *x, size_t n, lf_error *err)
{
    if (!comm || n == 0) return LF_OK;
    call c = begin_call(comm);
    return end_call(c, lf__min_i64(comm, x, n, err));
}

// ---- broadcast and gather ----

lf_status lf__broadcast_from(lf_comm *comm, int root, void *data, size_t bytes, lf_error *err)
{
    for (size_t at = 0; at < bytes; at += SLICE_BYTES) {
        size_t count = LF_MIN((size_t)SLICE_BYTES, bytes - at);
        unsigned char *slice = (unsigned char *)data + at;
        lf_status status = LF_OK;
        if (comm->rank != root) {
            status = post_receive(comm, root, slice, count, err);
        } else {
            for (int step = 1; step < comm->n_rank && !status; step++) {
                status = post_send(comm, peer_at(comm, step), slice, count, err);
            }
        }
        if (!status) status = lf__comm_complete(comm, err);
        if (status) return status;
    }
    return LF_OK;
}

lf_status lf_comm_broadcast(lf_comm *comm, void *data, size_t bytes, lf_error *err)
{
    if (!comm || bytes == 0) return LF_OK;
    call c = begin_call(comm);
    return end_call(c, lf__broadcast_from(comm, 0, data, bytes, err));
}

// One slice of every rank's part a round.
static lf_status gather(lf_comm *comm, const void *data, const size_t *part, unsigned char *all, lf_error *err)
{
    size_t most = 0;
    for (int r = 1; r < comm->n_rank; r++) most = LF_MAX(most, part[r]);
    if (comm->rank == 0 && part[0] > 0) memmove(all, data, part[0]);
    for (size_t at = 0; at < most; at += SLICE_BYTES) {
        size_t begin = 0;
        lf_status status = LF_OK;
        for (int r = 0; r < comm->n_rank && !status; begin += part[r++]) {
            size_t count = at < part[r] ? LF_MIN((size_t)SLICE_BYTES, part[r] - at) : 0;
            if (r == 0 || (comm->rank != 0 && comm->rank != r)) continue;
            status = comm->rank == 0 ? post_receive(comm, r, all + begin + at, count, err)
                                     : post_send(comm, 0, (const unsigned char *)data + at, count, err);
        }
        if (!status) status = lf__comm_complete(comm, err);
        if (status) return status;
    }
    return LF_OK;
}

lf_status lf_comm_gather(lf_comm *comm, const void *data, const size_t *part, void *all, lf_error *err)
{
    if (!comm) {
        if (part[0] > 0) memmove(all, data, part[0]);
        return LF_OK;
    }
    call c = begin_call(comm);
    return end_call(c, gather(comm, data, part, all, err));
}

// ---- agreement ----

lf_status lf__agree(lf_comm *comm, lf_status status, lf_error *err)
{
    lf_error theirs = {0};
    if (status) {
        theirs = *err;
        theirs.status = status;
    }
    int64_t first = status ? comm->rank : INT64_MAX;
    lf_status failed = lf__min_i64(comm, &first, 1, err);
    if (failed || first == INT64_MAX) return failed;
    failed = lf__broadcast_from(comm, (int)first, &theirs, sizeof theirs, err);
    if (failed) return failed;
    // Whoever gives up because of this error must not overtake it: all have it when the first one goes on.
    lf_error unused;
    int64_t nothing = 0;
    lf__min_i64(comm, &nothing, 1, &unused);
    *err = theirs;
    return theirs.status;
}

lf_status lf_comm_agree(lf_comm *comm, lf_status status, lf_error *err)
{
    if (!comm) return status;
    call c = begin_call(comm);
    return end_call(c, lf__agree(comm, status, err));
}
