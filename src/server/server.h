// SPDX-License-Identifier: Apache-2.0
//
// The HTTP server around a service. One thread per connection (libmicrohttpd): a request is parsed, tokenized, waited
// for and streamed on its own thread, so that slow clients hold nobody up but themselves; what costs memory or time is
// limited.
#ifndef LF_SERVER_SERVER_H
#define LF_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "server/service.h"

typedef struct lf_server lf_server;

typedef struct lf_server_options {
    const char *const *api_keys; // BORROWED; NULL-terminated; NULL: no authentication
    size_t max_body_bytes;       // 0: 4 MiB; more is a 413
    unsigned max_connections;    // 0: 1024; further clients wait in the kernel's queue
    unsigned idle_seconds; // 0: 60; for a quiet connection, for all headers of a request, and for a stalled writer
    unsigned body_seconds; // 0: 120; for the whole body of a request
    bool quiet;            // no line in the log for each request
} lf_server_options;

// A bound socket that does not listen yet, so that a taken port is found before a model is loaded. `host` is a name or
// an address; *port 0 picks a free port and says which. LF_ERR_NETWORK.
lf_status lf_listener_open(int *out_fd, const char *host, int *port, lf_error *err);

// Serves on `listen_fd`, which it takes over (also on failure). `service` must outlive the server.
lf_status lf_server_start(lf_server **out, lf_service *service, int listen_fd, const lf_server_options *options,
                          lf_error *err);
// Accepts no more connections and refuses new work with 503; what runs goes on.
void lf_server_quiesce(lf_server *server);
// Waits until no request is in flight, at most timeout_ms; true when none is.
bool lf_server_wait_idle(lf_server *server, int timeout_ms);
// Ends what runs (its clients get what there is), closes every connection and frees. NULL is accepted.
void lf_server_close(lf_server *server);

#endif
