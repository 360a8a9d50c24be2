// SPDX-License-Identifier: Apache-2.0
//
// The MPI module: transport_int.h on MPI's point-to-point calls. Collective calls of MPI are not used, because their
// order of additions is the library's own and because they cannot be left when a peer has died.
#include <limits.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/transport_int.h"

_Static_assert(LF__TRANSPORT_MAX_BYTES <= INT_MAX, "MPI counts with int");

enum { TAG = 1 }; // one is enough: the calls of all ranks come in the same order

typedef struct mpi_state {
    MPI_Comm world; // a duplicate, so that no message of others can be taken for ours
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int n_posted, capacity;
    MPI_Request *requests; // OWNED [capacity]
    MPI_Status *statuses;  // OWNED [capacity]
    int *expected;         // OWNED [capacity]: bytes to receive; -1 for a send
} mpi_state;

static int fail(int code, const char *what, char *why)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    if (code != MPI_SUCCESS) MPI_Error_string(code, text, &length);
    snprintf(why, LF__TRANSPORT_WHY_BYTES, "%s%s%.180s", what, text[0] ? ": " : "", text);
    return -1;
}

static void name_library(mpi_state *state)
{
    int length = 0;
    MPI_Get_library_version(state->library, &length);
    state->library[strcspn(state->library, ",\r\n")] = '\0';
    for (char *c = state->library; *c; c++) {
        if (*c == '\t') *c = ' ';
    }
}

// MPICH's launcher tells ranks of the death of one by SIGUSR1, which would end them.
static void ignore_notices(void)
{
    struct sigaction action;
    if (sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL) signal(SIGUSR1, SIG_IGN);
}

// UCX, below MPICH and below Open MPI on fast networks, aborts the process when a peer on the same host dies while one
// copies from the memory of the other. Its other ways through memory do not.
static void avoid_aborts(void) { setenv("UCX_TLS", "^cma", 0); }

static int join(mpi_state *state, int *rank, int *n_rank, char *why)
{
    int is_initialized = 0, provided = MPI_THREAD_SINGLE;
    MPI_Initialized(&is_initialized);
    if (is_initialized) return fail(MPI_SUCCESS, "ranks can be joined once in the life of a process", why);
    avoid_aborts();
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Init_thread", why);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (provided < MPI_THREAD_SERIALIZED) {
        return fail(MPI_SUCCESS, "this MPI library does not allow calls from more than one thread", why);
    }
    code = MPI_Comm_dup(MPI_COMM_WORLD, &state->world);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Comm_dup", why);
    MPI_Comm_set_errhandler(state->world, MPI_ERRORS_RETURN);
    MPI_Comm_rank(state->world, rank);
    MPI_Comm_size(state->world, n_rank);
    name_library(state);
    ignore_notices();
    return 0;
}

static void release(mpi_state *state)
{
    free(state->requests);
    free(state->statuses);
    free(state->expected);
    free(state);
}

static int open_mpi(void **me, int *rank, int *n_rank, char *why)
{
    mpi_state *state = calloc(1, sizeof *state);
    if (!state) return fail(MPI_SUCCESS, "out of memory", why);
    if (join(state, rank, n_rank, why)) {
        release(state);
        return -1;
    }
    // A call posts at most one message to and one from every rank.
    state->capacity = 2 * *n_rank;
    size_t n = (size_t)state->capacity;
    state->requests = malloc(n * sizeof *state->requests);
    state->statuses = malloc(n * sizeof *state->statuses);
    state->expected = malloc(n * sizeof *state->expected);
    if (!state->requests || !state->statuses || !state->expected) {
        release(state);
        return fail(MPI_SUCCESS, "out of memory", why);
    }
    *me = state;
    return 0;
}

static int send_mpi(void *me, int peer, const void *data, size_t bytes, char *why)
{
    mpi_state *state = me;
    if (state->n_posted == state->capacity) return fail(MPI_SUCCESS, "too many messages at once", why);
    int code = MPI_Isend(data, (int)bytes, MPI_BYTE, peer, TAG, state->world, &state->requests[state->n_posted]);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Isend", why);
    state->expected[state->n_posted++] = -1;
    return 0;
}

static int receive_mpi(void *me, int peer, void *data, size_t bytes, char *why)
{
    mpi_state *state = me;
    if (state->n_posted == state->capacity) return fail(MPI_SUCCESS, "too many messages at once", why);
    int code = MPI_Irecv(data, (int)bytes, MPI_BYTE, peer, TAG, state->world, &state->requests[state->n_posted]);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Irecv", why);
    state->expected[state->n_posted++] = (int)bytes;
    return 0;
}

// A message of another size means that the ranks do not make the same calls.
static lf__progress check_sizes(mpi_state *state, char *why)
{
    for (int i = 0; i < state->n_posted; i++) {
        int bytes = 0;
        if (state->expected[i] < 0) continue;
        MPI_Get_count(&state->statuses[i], MPI_BYTE, &bytes);
        if (bytes == state->expected[i]) continue;
        snprintf(why, LF__TRANSPORT_WHY_BYTES, "rank %d sent %d bytes where %d were expected",
                 state->statuses[i].MPI_SOURCE, bytes, state->expected[i]);
        return LF__PROGRESS_FAILED;
    }
    state->n_posted = 0;
    return LF__PROGRESS_DONE;
}

static lf__progress test_mpi(void *me, char *why)
{
    mpi_state *state = me;
    int is_done = 0;
    // Open MPI looks first and moves messages along then, so what one call has moved is reported by the next.
    int code = MPI_Testall(state->n_posted, state->requests, &is_done, state->statuses);
    if (code == MPI_SUCCESS && !is_done) {
        code = MPI_Testall(state->n_posted, state->requests, &is_done, state->statuses);
    }
    if (code == MPI_ERR_IN_STATUS) {
        for (int i = 0; i < state->n_posted; i++) {
            int each = state->statuses[i].MPI_ERROR;
            if (each != MPI_SUCCESS && each != MPI_ERR_PENDING) code = each;
        }
    }
    if (code != MPI_SUCCESS) return (lf__progress)fail(code, "a message failed", why);
    return is_done ? check_sizes(state, why) : LF__PROGRESS_WAITING;
}

static void close_mpi(void *me)
{
    mpi_state *state = me;
    MPI_Comm_free(&state->world);
    MPI_Finalize();
    release(state);
}

static const char *library_mpi(void *me) { return ((mpi_state *)me)->library; }

const lf__transport *lf__mpi_transport(void);

__attribute__((visibility("default"))) const lf__transport *lf__mpi_transport(void)
{
    static const lf__transport transport = {
        .version = LF_VERSION,
        .library = library_mpi,
        .open = open_mpi,
        .send = send_mpi,
        .receive = receive_mpi,
        .test = test_mpi,
        .close = close_mpi,
    };
    return &transport;
}
