// SPDX-License-Identifier: Apache-2.0
//
// What the ranks need of MPI, as a table of functions: messages between pairs, posted and then asked about. The MPI
// module (mpi_module.c, a shared object of its own) is the one implementation; nothing else includes mpi.h. The module
// takes no symbol from the program and the program takes one from it, LF__TRANSPORT_SYMBOL.
//
// Messages between two ranks arrive in the order in which they were posted. A message is at most
// LF__TRANSPORT_MAX_BYTES. One thread at a time calls; not always the same one.
#ifndef LF_COMM_TRANSPORT_INT_H
#define LF_COMM_TRANSPORT_INT_H

#include <stddef.h>

#define LF__TRANSPORT_SYMBOL "lf__mpi_transport"
enum { LF__TRANSPORT_MAX_BYTES = 1 << 30, LF__TRANSPORT_WHY_BYTES = 256 };

typedef enum lf__progress { LF__PROGRESS_FAILED = -1, LF__PROGRESS_WAITING, LF__PROGRESS_DONE } lf__progress;

typedef struct lf__transport {
    const char *version;              // LF_VERSION of the build; another one's module is refused
    const char *(*library)(void *me); // one line that names the MPI library; STATIC
    // Collective. 0, or -1 with the reason in `why` [LF__TRANSPORT_WHY_BYTES], as everywhere below.
    int (*open)(void **me, int *rank, int *n_rank, char *why);
    // The buffers stay the transport's until test() says that everything posted is done.
    int (*send)(void *me, int peer, const void *data, size_t bytes, char *why);
    int (*receive)(void *me, int peer, void *data, size_t bytes, char *why);
    // Moves what was posted along; never waits.
    lf__progress (*test)(void *me, char *why);
    // Collective; not to be called after a failure: what is unfinished can then not be released.
    void (*close)(void *me);
} lf__transport;

// The function behind LF__TRANSPORT_SYMBOL.
typedef const lf__transport *(*lf__transport_fn)(void);

#endif
