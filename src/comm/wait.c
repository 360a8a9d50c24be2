// SPDX-License-Identifier: Apache-2.0
//
// How a call waits for its messages: it spins for as long as a message of a few KiB takes, then gives its processor to
// whoever wants it, then sleeps for moments, and in the end until the bell is rung, so that a rank that has nothing to
// do for hours costs nothing. Nobody waits for a rank that has gone: every look at the messages is a look at the
// failure as well.
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "comm/comm_int.h"

enum {
    SPIN_NS = 50 * 1000,           // two ranks that run on processors of their own are rarely further apart
    YIELD_NS = 2 * 1000 * 1000,    // a step's uneven work
    CROWDED_YIELD_NS = 200 * 1000, // the processor is better left to those who compute
    NAP_NS = 50 * 1000,
    NAPPING_NS = 20 * 1000 * 1000,
    // A message that comes after a pause is announced by the bell; those of a peer that is merely slow are not.
    SLEEP_NS = 5 * 1000 * 1000,
};

lf_status lf__comm_failed(lf_comm *comm, lf_error *err)
{
    pthread_mutex_lock(&comm->lock);
    *err = comm->failure;
    pthread_mutex_unlock(&comm->lock);
    return err->status;
}

lf_status lf__comm_break(lf_comm *comm, const char *why, lf_error *err)
{
    lf_error cause;
    lf_error_set(&cause, LF_ERR_COMM, "rank %d cannot go on with the others: %s", comm->rank, why);
    if (lf__comm_set_failure(comm, &cause) && comm->lifelines) lf__lifelines_spread(comm->lifelines, true);
    return lf__comm_failed(comm, err);
}

// True when the bell was rung since *n_ring_seen.
static bool sleep_until_rung(lf_comm *comm, uint64_t *n_ring_seen)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SLEEP_NS;
    if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&comm->lock);
    while (comm->n_ring == *n_ring_seen && pthread_cond_timedwait(&comm->bell, &comm->lock, &until) == 0) continue;
    bool is_rung = comm->n_ring != *n_ring_seen;
    *n_ring_seen = comm->n_ring;
    pthread_mutex_unlock(&comm->lock);
    return is_rung;
}

// True when the wait begins anew: the bell comes just before a message.
static bool pause_after(lf_comm *comm, int64_t waited_ns, uint64_t *n_ring_seen)
{
    if (waited_ns < SPIN_NS && !comm->is_crowded) return false;
    if (waited_ns < (comm->is_crowded ? CROWDED_YIELD_NS : YIELD_NS)) {
        sched_yield();
    } else if (waited_ns < NAPPING_NS) {
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    } else {
        return sleep_until_rung(comm, n_ring_seen);
    }
    return false;
}

lf_status lf__comm_complete(lf_comm *comm, lf_error *err)
{
    char why[LF__TRANSPORT_WHY_BYTES];
    uint64_t n_ring_seen = 0;
    int64_t start = 0;
    for (;;) {
        if (atomic_load_explicit(&comm->has_failed, memory_order_acquire)) return lf__comm_failed(comm, err);
        lf__progress progress = comm->transport->test(comm->link, why);
        if (progress == LF__PROGRESS_DONE) return LF_OK;
        if (progress == LF__PROGRESS_FAILED) return lf__comm_break(comm, why, err);
        int64_t now = lf_now_ns();
        if (start == 0) start = now;
        if (pause_after(comm, now - start, &n_ring_seen)) start = 0;
    }
}
