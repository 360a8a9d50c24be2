// SPDX-License-Identifier: Apache-2.0
//
// Ranks: the processes that hold one model together, and what they say to each other. MPI carries the messages, from a
// module that is opened when there is more than one rank, so that a single rank needs no MPI. The order of sums and the
// manner of waiting are ours: a sum is taken in the order of ranks and is the same bits on every rank, and a call waits
// no longer than its peers live.
//
// A NULL comm is one rank: every function accepts it, and does what there is to do for one (mostly nothing).
//
// Failure. A rank that ends without closing its comm is noticed by all others within seconds, whether they are inside a
// call or not: calls return LF_ERR_COMM with one cause, the same text on every rank, and stay failed. One thread at a
// time makes calls; lf_comm_failure() may be called from any thread.
#ifndef LF_COMM_COMM_H
#define LF_COMM_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lf_comm lf_comm;

// What a launcher (mpirun, srun) says in the environment; found without MPI.
typedef struct lf_comm_world {
    bool is_launched; // this process is one of a launcher's ranks; otherwise rank 0 of 1
    bool lacks_pmi;   // srun has started it without a word on how the ranks find each other (--mpi=none)
    int rank, n_rank;
    int local_rank, n_local_rank; // among the ranks of this host
} lf_comm_world;
lf_comm_world lf_comm_world_of_environment(void);
// Takes what launchers say out of the environment: this process, and those that it starts, are no ranks of theirs.
void lf_comm_world_leave(void);

// Joins the ranks that the launcher started. Collective. Fails with LF_ERR_COMM when the MPI module or MPI's
// library is not there (the hint names the package), and when ranks cannot meet. *out is NULL when
// there is one rank, and after a failure. Once in the life of a process: MPI cannot be started again after its end.
lf_status lf_comm_open(lf_comm **out, lf_error *err);
// Leaves. Collective unless the comm has failed; then it returns at once. NULL is accepted.
void lf_comm_close(lf_comm *comm);

int lf_comm_rank(const lf_comm *comm); // 0 for NULL
int lf_comm_size(const lf_comm *comm); // 1 for NULL

// ---- collective calls: every rank makes the same ones in the same order ----

// x[i] = x[i] of rank 0 + x[i] of rank 1 + ..., float32 additions in this order. The same bits on every rank.
lf_status lf_comm_sum_f32(lf_comm *comm, float *x, size_t n, lf_error *err);
// x[i] = the least of all ranks' x[i].
lf_status lf_comm_min_i64(lf_comm *comm, int64_t *x, size_t n, lf_error *err);
// `data` of rank 0 becomes everybody's. All ranks pass the same number of bytes. Ranks above 0 may wait here for hours
// without burning their core.
lf_status lf_comm_broadcast(lf_comm *comm, void *data, size_t bytes, lf_error *err);
// Rank r's part[r] bytes at `data` arrive on rank 0, one after the other, in `all` (rank 0 only; sum of part bytes).
lf_status lf_comm_gather(lf_comm *comm, const void *data, const size_t *part, void *all, lf_error *err);
// Everybody says how it fared. When any rank failed, all return the status of the lowest one that did, and *err is its
// error on every rank; so a fault that one rank finds is everybody's, told once. `status` LF_OK ignores err's content.
lf_status lf_comm_agree(lf_comm *comm, lf_status status, lf_error *err);

// ---- failure ----

// Whether a peer has gone or a call has failed; *err (may be NULL) gets the cause.
bool lf_comm_failure(lf_comm *comm, lf_error *err);
// `on_failure` is called once, on a thread of the comm, when a peer goes, a peer gives up or a call fails; it must be
// quick and must not close the comm. Not called for this rank's own lf_comm_give_up().
void lf_comm_on_failure(lf_comm *comm, void (*on_failure)(void *ctx), void *ctx);
// Tells all peers that this rank gives up because of `cause`; their calls fail with LF_ERR_COMM and its text, and so do
// this rank's. Then close. Any thread.
void lf_comm_give_up(lf_comm *comm, const lf_error *cause);

// ---- measuring ----

typedef struct lf_comm_stats {
    uint64_t n_call;
    uint64_t bytes_sent;
    uint64_t ns; // inside calls, waiting for slower peers included
} lf_comm_stats;
void lf_comm_stats_read(const lf_comm *comm, lf_comm_stats *out); // zeros for NULL

#endif
