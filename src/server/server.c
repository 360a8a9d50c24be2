// SPDX-License-Identifier: Apache-2.0
//
// The server's life: a bound socket, the daemon, a monitor thread, and the way down. Order on the way down: no new
// connections, then running requests, then connections, then threads; nothing of a request outlives it.
#include "server/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/http.h"

enum { LISTEN_BACKLOG = 511, HEARTBEAT_SECONDS = 10 };

static int bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length)) return -1;
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

lf_status lf_listener_open(int *out_fd, const char *host, int *port, lf_error *err)
{
    char service[16];
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(service, sizeof service, "%d", *port);
    int code = getaddrinfo(host, service, &hints, &list);
    if (code) {
        lf_error_set(err, LF_ERR_NETWORK, "cannot resolve host '%s': %s", host, gai_strerror(code));
        return lf_error_hint(err, "--host takes a name or an address of this machine");
    }
    int fd = -1, saved = 0;
    for (struct addrinfo *at = list; at && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int one = 1;
        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
            bind(fd, at->ai_addr, at->ai_addrlen) == 0) {
            break;
        }
        saved = errno;
        if (fd >= 0) close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd < 0) {
        lf_error_set(err, LF_ERR_NETWORK, "cannot listen on %s port %d: %s", host, *port, strerror(saved));
        if (saved == EADDRINUSE)
            return lf_error_hint(err, "another program uses this port; choose one with --port, or 0 for any free port");
        return LF_ERR_NETWORK;
    }
    *port = bound_port(fd);
    *out_fd = fd;
    return LF_OK;
}

static void heartbeat(lf_server *server, lf_engine_stats *before, double seconds)
{
    lf_engine_stats now;
    lf_engine_stats_read(server->service->session->engine, &now);
    bool is_busy = now.n_running + now.n_waiting > 0 ||
                   now.n_prompt_token + now.n_generation_token != before->n_prompt_token + before->n_generation_token;
    if (is_busy) {
        lf_log(LF_LOG_INFO,
               "Engine 000: Avg prompt throughput: %.1f tokens/s, Avg generation throughput: %.1f tokens/s, Running: "
               "%lld reqs, "
               "Waiting: %lld reqs, KV cache usage: %.1f%%",
               (double)(now.n_prompt_token - before->n_prompt_token) / seconds,
               (double)(now.n_generation_token - before->n_generation_token) / seconds, (long long)now.n_running,
               (long long)now.n_waiting, now.kv_cache_usage * 100);
    }
    *before = now;
}

static void *monitor_main(void *ctx)
{
    lf_server *server = ctx;
    lf_engine_stats before;
    lf_engine_stats_read(server->service->session->engine, &before);
    int64_t last_beat = lf_now_ns();
    pthread_mutex_lock(&server->lock);
    while (!server->is_closing) {
        struct timespec deadline;
        clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += 1;
        pthread_cond_timedwait(&server->wake, &server->lock, &deadline);
        if (server->is_closing) break;
        pthread_mutex_unlock(&server->lock);
        lf_connections_reap(&server->connections, server->options.idle_seconds, server->options.body_seconds);
        double seconds = (double)(lf_now_ns() - last_beat) * 1e-9;
        if (seconds >= HEARTBEAT_SECONDS) {
            heartbeat(server, &before, seconds);
            last_beat = lf_now_ns();
        }
        pthread_mutex_lock(&server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

static void log_daemon(void *cls, const char *format, va_list args)
{
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    line[strcspn(line, "\n")] = '\0';
    lf_log(LF_LOG_DEBUG, "http: %s", line);
}

static lf_status start_daemon(lf_server *server, lf_error *err)
{
    const lf_server_options *options = &server->options;
    struct MHD_OptionItem items[] = {
        {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_daemon, NULL}, // first: it hears of the others
        {MHD_OPTION_LISTEN_SOCKET, server->listen_fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, options->max_connections, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, options->idle_seconds, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, LF_HTTP_MAX_HEADER_BYTES, NULL},
        {MHD_OPTION_THREAD_STACK_SIZE, LF_HTTP_THREAD_STACK_BYTES, NULL},
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)lf_http_completed, server},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)lf_http_connection, server},
        {MHD_OPTION_END, 0, NULL},
    };
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
                     MHD_USE_ERROR_LOG;
    errno = 0;
    server->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, lf_http_request, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
    if (!server->daemon) return lf_error_errno(err, errno ? errno : EAGAIN, "cannot start the HTTP server");
    return LF_OK;
}

lf_status lf_server_start(lf_server **out, lf_service *service, int listen_fd, const lf_server_options *options,
                          lf_error *err)
{
    lf_server *server = calloc(1, sizeof *server);
    if (!server) {
        close(listen_fd);
        return lf_error_no_memory(err, sizeof *server);
    }
    server->service = service;
    server->options = *options;
    server->listen_fd = listen_fd;
    if (!server->options.max_body_bytes) server->options.max_body_bytes = 4 << 20;
    if (!server->options.max_connections) server->options.max_connections = 1024;
    if (!server->options.idle_seconds) server->options.idle_seconds = 60;
    if (!server->options.body_seconds) server->options.body_seconds = 120;
    lf_connections_init(&server->connections);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->wake, NULL);
    lf_status status = LF_OK;
    if (listen(listen_fd, LISTEN_BACKLOG)) {
        status = lf_error_errno(err, errno, "cannot listen");
        if (err) err->status = status = LF_ERR_NETWORK;
        if (bound_port(listen_fd) > 0 && errno == EADDRINUSE)
            lf_error_hint(err, "another program listens on this port");
    }
    if (!status) status = start_daemon(server, err);
    int failure = status ? 0 : pthread_create(&server->monitor, NULL, monitor_main, server);
    if (failure) status = lf_error_errno(err, failure, "cannot start the monitor thread");
    server->has_monitor = !status;
    if (status)
        lf_server_close(server);
    else
        *out = server;
    return status;
}

void lf_server_quiesce(lf_server *server)
{
    atomic_store(&server->service->is_stopping, true);
    MHD_quiesce_daemon(server->daemon);
    // further clients are refused by the kernel at once; the descriptor itself is closed when no thread can use it
    shutdown(server->listen_fd, SHUT_RD);
}

bool lf_server_wait_idle(lf_server *server, int timeout_ms)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    int64_t ns = deadline.tv_nsec + (int64_t)timeout_ms * 1000000;
    deadline.tv_sec += ns / 1000000000;
    deadline.tv_nsec = ns % 1000000000;
    lf_connections *connections = &server->connections;
    pthread_mutex_lock(&connections->lock);
    int code = 0;
    while (connections->n_request > 0 && code != ETIMEDOUT) {
        code = pthread_cond_timedwait(&connections->idle, &connections->lock, &deadline);
    }
    bool is_idle = connections->n_request == 0;
    pthread_mutex_unlock(&connections->lock);
    return is_idle;
}

void lf_server_close(lf_server *server)
{
    if (!server) return;
    if (server->daemon) {
        lf_service_abort(server->service);
        lf_server_wait_idle(server, 1000); // what was ended is still told to its clients
    }
    if (server->has_monitor) {
        pthread_mutex_lock(&server->lock);
        server->is_closing = true;
        pthread_cond_signal(&server->wake);
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->monitor, NULL);
    }
    bool was_quiesced =
        server->daemon && MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd == -1;
    if (server->daemon) MHD_stop_daemon(server->daemon);
    if (!server->daemon || was_quiesced) close(server->listen_fd);
    lf_connections_fini(&server->connections);
    pthread_cond_destroy(&server->wake);
    pthread_mutex_destroy(&server->lock);
    free(server);
}
