// SPDX-License-Identifier: Apache-2.0
//
// Inside comm: the object itself, and what its files offer each other.
//   world.c     who the launcher says we are        module.c    finds and opens the MPI module
//   comm.c      open, close, failure, agree         collective.c  sums, minima, broadcast, gather
//   wait.c      how a call waits                    lifeline.c  sockets that tell who is alive
#ifndef LF_COMM_COMM_INT_H
#define LF_COMM_COMM_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "comm/comm.h"
#include "comm/transport_int.h"

typedef struct lf__lifelines lf__lifelines;

struct lf_comm {
    int rank, n_rank;
    bool is_crowded; // this host has fewer processors for us than ranks: waiting threads must not spin
    void *module;    // OWNED handle of dlopen; never closed, MPI does not survive it
    const lf__transport *transport;
    void *link;               // OWNED: the transport's state
    lf__lifelines *lifelines; // OWNED; NULL until the ranks have met
    // Where others' parts of a sum arrive. Grown when a call needs more, so that a steady state allocates nothing.
    unsigned char *staging; // OWNED
    size_t staging_bytes;
    lf_comm_stats stats;
    int64_t left_ns; // when the last call ended: after a long pause sleepers must be woken

    // The first failure. `has_failed` is set last and never cleared; the lock guards the others.
    pthread_mutex_t lock;
    atomic_bool has_failed;
    lf_error failure;
    void (*on_failure)(void *ctx);
    void *on_failure_ctx;

    // Rung by the thread of the lifelines: a message is there for whoever sleeps. Guarded by `lock`.
    pthread_cond_t bell;
    uint64_t n_ring;
};

// ---- module.c ----
lf_status lf__transport_load(lf_comm *comm, lf_error *err);

// ---- comm.c ----
// Makes `cause` the failure unless there is one already; true when it was the first. From any thread.
bool lf__comm_set_failure(lf_comm *comm, const lf_error *cause);
// Calls on_failure, once. On the thread of the lifelines.
void lf__comm_report_failure(lf_comm *comm);
void lf__comm_ring(lf_comm *comm);

// ---- wait.c ----
// Waits until all that is posted has been sent and received. A failure of the transport becomes everybody's.
lf_status lf__comm_complete(lf_comm *comm, lf_error *err);
// For the caller of a failed comm: copies the cause and returns its status.
lf_status lf__comm_failed(lf_comm *comm, lf_error *err);
// A call could not go on: `why` becomes everybody's failure.
lf_status lf__comm_break(lf_comm *comm, const char *why, lf_error *err);

// ---- collective.c ----
// Without the books of lf_comm_stats.
lf_status lf__broadcast_from(lf_comm *comm, int root, void *data, size_t bytes, lf_error *err);
lf_status lf__min_i64(lf_comm *comm, int64_t *x, size_t n, lf_error *err);
lf_status lf__agree(lf_comm *comm, lf_status status, lf_error *err);

// ---- lifeline.c ----
// Connects every rank with rank 0 and starts the thread that watches. Collective; all succeed or all fail.
lf_status lf__lifelines_open(lf_comm *comm, lf_error *err);
// Wakes ranks that sleep in a call. Only rank 0 reaches all of them; above it this does nothing.
void lf__lifelines_ring(lf__lifelines *lifelines);
// Sends the comm's failure on: rank 0 to all, others to rank 0, and lets the thread call on_failure when `report`.
void lf__lifelines_spread(lf__lifelines *lifelines, bool report);
// Says goodbye, unless the comm has failed, and stops the thread.
void lf__lifelines_close(lf__lifelines *lifelines);

#endif
