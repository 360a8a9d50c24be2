// SPDX-License-Identifier: Apache-2.0
//
// Inside the HTTP layer: the server object, its connections, and the exchange of one request and one reply.
#ifndef LF_SERVER_HTTP_H
#define LF_SERVER_HTTP_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdint.h>

#include "server/server.h"

enum {
    LF_HTTP_MAX_HEADER_BYTES = 64 << 10,  // of one request's head, and of MHD's buffers for a connection
    LF_HTTP_MAX_DISCARD_BYTES = 64 << 20, // of a refused body that is still read, so that the client sees the refusal
    LF_HTTP_THREAD_STACK_BYTES = 4 << 20, // JSON (2048 levels) and templates (1000 levels) recurse
    LF_HTTP_BLOCK_BYTES = 16 << 10,
};

// What a connection is doing, for those that take too long over it.
typedef enum lf_connection_state {
    LF_CONNECTION_QUIET, // between requests, or sending the head of one
    LF_CONNECTION_BODY,  // sending a body
    LF_CONNECTION_WORK,  // waiting for us
} lf_connection_state;

typedef struct lf_connection {
    int fd;
    lf_connection_state state;
    int64_t since_ns; // of the state
    struct lf_connection *next, *previous;
} lf_connection;

typedef struct lf_connections {
    pthread_mutex_t lock; // protects the list, the states and n_request
    pthread_cond_t idle;  // signalled when n_request becomes 0
    lf_connection *first;
    size_t n_request; // requests in flight, from their head to the last byte of their reply
} lf_connections;

void lf_connections_init(lf_connections *connections);
void lf_connections_fini(lf_connections *connections);
lf_connection *lf_connection_add(lf_connections *connections, int fd); // NULL without memory
void lf_connection_remove(lf_connections *connections, lf_connection *connection);
void lf_connection_set_state(lf_connections *connections, lf_connection *connection, lf_connection_state state);
// Counts requests in flight up or down.
void lf_connections_count(lf_connections *connections, int change);
// Shuts the sockets of those that have been in a state for too long; their threads then end.
void lf_connections_reap(lf_connections *connections, unsigned idle_seconds, unsigned body_seconds);

struct lf_server {
    lf_service *service; // BORROWED
    lf_server_options options;
    struct MHD_Daemon *daemon;
    int listen_fd; // closed last
    lf_connections connections;
    pthread_t monitor; // reaps connections, writes the heartbeat
    bool has_monitor;
    pthread_mutex_t lock; // protects is_closing
    pthread_cond_t wake;
    bool is_closing;
};

// MHD's callbacks (http.c). `cls` is the lf_server.
enum MHD_Result lf_http_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size, void **con_cls);
void lf_http_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode why);
void lf_http_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode what);

// The routes (route.c).
enum { LF_METHOD_GET = 1, LF_METHOD_POST = 2 };
typedef struct lf_route {
    const char *path; // exact, or a prefix when it ends with '/'
    unsigned methods; // HEAD comes with GET
    bool is_open;     // needs no API key
    lf_handler handler;
} lf_route;
// NULL when there is none. *operand is what follows a prefix.
const lf_route *lf_route_find(const char *path, const char **operand);
const char *lf_route_allow(const lf_route *route); // "GET, HEAD, OPTIONS"
// Whether an Authorization header carries one of the keys; takes the same time wherever they differ.
bool lf_auth_is_valid(const char *const *api_keys, const char *authorization);

#endif
