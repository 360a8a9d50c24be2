// SPDX-License-Identifier: Apache-2.0
//
// Connections and their patience. libmicrohttpd's own timeout starts anew with every byte; a client that sends a byte
// now and then would hold its thread for ever. Here each state has a limit in all. The socket is only shut down: its
// thread closes it.
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "server/http.h"

void lf_connections_init(lf_connections *connections)
{
    *connections = (lf_connections){0};
    pthread_mutex_init(&connections->lock, NULL);
    pthread_cond_init(&connections->idle, NULL);
}

void lf_connections_fini(lf_connections *connections)
{
    pthread_cond_destroy(&connections->idle);
    pthread_mutex_destroy(&connections->lock);
}

lf_connection *lf_connection_add(lf_connections *connections, int fd)
{
    lf_connection *connection = calloc(1, sizeof *connection);
    if (!connection) return NULL;
    connection->fd = fd;
    connection->since_ns = lf_now_ns();
    pthread_mutex_lock(&connections->lock);
    connection->next = connections->first;
    if (connection->next) connection->next->previous = connection;
    connections->first = connection;
    pthread_mutex_unlock(&connections->lock);
    return connection;
}

void lf_connection_remove(lf_connections *connections, lf_connection *connection)
{
    if (!connection) return;
    pthread_mutex_lock(&connections->lock);
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        connections->first = connection->next;
    if (connection->next) connection->next->previous = connection->previous;
    pthread_mutex_unlock(&connections->lock);
    free(connection);
}

void lf_connection_set_state(lf_connections *connections, lf_connection *connection, lf_connection_state state)
{
    if (!connection) return;
    pthread_mutex_lock(&connections->lock);
    if (connection->state != state) {
        connection->state = state;
        connection->since_ns = lf_now_ns();
    }
    pthread_mutex_unlock(&connections->lock);
}

void lf_connections_count(lf_connections *connections, int change)
{
    pthread_mutex_lock(&connections->lock);
    connections->n_request += (size_t)change;
    if (connections->n_request == 0) pthread_cond_broadcast(&connections->idle);
    pthread_mutex_unlock(&connections->lock);
}

void lf_connections_reap(lf_connections *connections, unsigned idle_seconds, unsigned body_seconds)
{
    int64_t now = lf_now_ns();
    pthread_mutex_lock(&connections->lock);
    for (lf_connection *connection = connections->first; connection; connection = connection->next) {
        int64_t age = now - connection->since_ns;
        bool is_late = (connection->state == LF_CONNECTION_QUIET && age > (int64_t)idle_seconds * 1000000000) ||
                       (connection->state == LF_CONNECTION_BODY && age > (int64_t)body_seconds * 1000000000);
        if (is_late) shutdown(connection->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&connections->lock);
}
