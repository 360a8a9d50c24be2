// SPDX-License-Identifier: Apache-2.0
//
// The comm's life: joining, leaving, and the one failure that ends it.
#include "comm/comm.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "comm/comm_int.h"

int lf_comm_rank(const lf_comm *comm) { return comm ? comm->rank : 0; }
int lf_comm_size(const lf_comm *comm) { return comm ? comm->n_rank : 1; }

void lf_comm_stats_read(const lf_comm *comm, lf_comm_stats *out) { *out = comm ? comm->stats : (lf_comm_stats){0}; }

// ---- joining and leaving ----

static void release(lf_comm *comm)
{
    pthread_cond_destroy(&comm->bell);
    pthread_mutex_destroy(&comm->lock);
    free(comm->staging);
    free(comm);
}

static lf_comm *new_comm(void)
{
    lf_comm *comm = calloc(1, sizeof *comm);
    if (!comm) return NULL;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&comm->lock, NULL);
    pthread_cond_init(&comm->bell, &attributes);
    pthread_condattr_destroy(&attributes);
    return comm;
}

// What the launcher told and what MPI found must be the same, or half of the ranks would wait for the other half.
static lf_status check_world(const lf_comm *comm, const lf_comm_world *world, lf_error *err)
{
    if (comm->rank == world->rank && comm->n_rank == world->n_rank) return LF_OK;
    lf_error_set(err, LF_ERR_COMM, "the launcher and the MPI library do not know each other");
    lf_error_expected(err, "rank %d of %d", world->rank, world->n_rank);
    lf_error_found(err, "rank %d of %d by %s", comm->rank, comm->n_rank, comm->transport->library(comm->link));
    return lf_error_hint(err, "start the ranks with the mpirun of the MPI library that landfall-mpi.so is linked with");
}

lf_status lf_comm_open(lf_comm **out, lf_error *err)
{
    char why[LF__TRANSPORT_WHY_BYTES];
    *out = NULL;
    lf_comm_world world = lf_comm_world_of_environment();
    if (world.n_rank == 1) return LF_OK;
    if (world.lacks_pmi) {
        lf_error_set(err, LF_ERR_COMM, "srun has started the ranks without telling them how to find each other");
        return lf_error_hint(err,
                             "give it --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH); srun --mpi=list shows what it has");
    }
    lf_comm *comm = new_comm();
    if (!comm) return lf_error_no_memory(err, sizeof *comm);
    lf_status status = lf__transport_load(comm, err);
    if (status) {
        release(comm);
        return status;
    }
    comm->is_crowded = world.n_local_rank > sysconf(_SC_NPROCESSORS_ONLN);
    comm->n_rank = 1;
    if (comm->transport->open(&comm->link, &comm->rank, &comm->n_rank, why)) {
        release(comm);
        return lf_error_set(err, LF_ERR_COMM, "cannot join the ranks: %s", why);
    }
    status = check_world(comm, &world, err);
    if (!status) status = lf__lifelines_open(comm, err);
    if (status) { // MPI is left as it is: ending it would wait for ranks that may be gone
        release(comm);
        return status;
    }
    comm->left_ns = lf_now_ns();
    if (comm->rank == 0) lf_log(LF_LOG_INFO, "%d ranks (%s)", comm->n_rank, comm->transport->library(comm->link));
    *out = comm;
    return LF_OK;
}

void lf_comm_close(lf_comm *comm)
{
    if (!comm) return;
    lf_error unused;
    int64_t nothing = 0;
    // Nobody says goodbye before everybody is here: until then an end of the line is a death.
    bool is_healthy = lf__min_i64(comm, &nothing, 1, &unused) == LF_OK;
    lf__lifelines_close(comm->lifelines);
    // After a failure messages may be under way to and from the buffers of this object, so they stay.
    if (!is_healthy) return;
    comm->transport->close(comm->link);
    release(comm);
}

// ---- failure ----

bool lf__comm_set_failure(lf_comm *comm, const lf_error *cause)
{
    pthread_mutex_lock(&comm->lock);
    bool is_first = !atomic_load(&comm->has_failed);
    if (is_first) {
        comm->failure = *cause;
        atomic_store_explicit(&comm->has_failed, true, memory_order_release);
        pthread_cond_broadcast(&comm->bell);
        comm->n_ring++;
    }
    pthread_mutex_unlock(&comm->lock);
    return is_first;
}

void lf__comm_report_failure(lf_comm *comm)
{
    pthread_mutex_lock(&comm->lock);
    void (*on_failure)(void *ctx) = comm->on_failure;
    void *ctx = comm->on_failure_ctx;
    comm->on_failure = NULL;
    pthread_mutex_unlock(&comm->lock);
    if (on_failure) on_failure(ctx);
}

void lf__comm_ring(lf_comm *comm)
{
    pthread_mutex_lock(&comm->lock);
    comm->n_ring++;
    pthread_cond_broadcast(&comm->bell);
    pthread_mutex_unlock(&comm->lock);
}

bool lf_comm_failure(lf_comm *comm, lf_error *err)
{
    if (!comm || !atomic_load_explicit(&comm->has_failed, memory_order_acquire)) return false;
    if (err) lf__comm_failed(comm, err);
    return true;
}

void lf_comm_on_failure(lf_comm *comm, void (*on_failure)(void *ctx), void *ctx)
{
    if (!comm) return;
    pthread_mutex_lock(&comm->lock);
    comm->on_failure = on_failure;
    comm->on_failure_ctx = ctx;
    pthread_mutex_unlock(&comm->lock);
    if (atomic_load(&comm->has_failed)) lf__lifelines_spread(comm->lifelines, true);
}

void lf_comm_give_up(lf_comm *comm, const lf_error *cause)
{
    if (!comm) return;
    lf_error error = *cause;
    error.status = LF_ERR_COMM;
    if (lf__comm_set_failure(comm, &error) && comm->lifelines) lf__lifelines_spread(comm->lifelines, false);
}
