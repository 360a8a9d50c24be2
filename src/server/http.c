// SPDX-License-Identifier: Apache-2.0
//
// One HTTP request: its head is judged, its body gathered, its route called, its reply sent. A refused body is read to
// its end all the same (within limits), because a client that is still sending does not see an answer. Trap:
// libmicrohttpd's timeout also counts the time in which we make the client wait, so it is switched off while we do.
#include "server/http.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

typedef struct exchange {
    lf_server *server;
    struct MHD_Connection *connection;
    lf_connection *tracked;
    const lf_route *route; // NULL: unknown path
    char *path;            // OWNED: the operand points into it
    const char *operand;
    const char *method; // STATIC: "?" for what we do not know
    int fd;
    bool is_refused; // `refusal` is the answer, whatever the body says
    bool is_options;
    bool is_counted;
    lf_refusal refusal;
    lf_buf body;
    uint64_t n_received;
    uint64_t n_sent;
    char request_id[72];
    int64_t start_ns;
    lf_reply reply;
} exchange;

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const char *known_method(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        if (strcmp(names[i], method) == 0) return names[i];
    }
    return "?";
}

// The client's X-Request-Id when it is harmless, else 16 random hexadecimal digits.
static void choose_request_id(exchange *x)
{
    const char *offered = header(x->connection, "X-Request-Id");
    size_t length = offered ? strlen(offered) : 0;
    bool is_harmless = length > 0 && length < sizeof x->request_id;
    for (size_t i = 0; i < length && is_harmless; i++) {
        is_harmless = isalnum((unsigned char)offered[i]) || strchr("-_.:", offered[i]);
    }
    if (is_harmless) {
        memcpy(x->request_id, offered, length + 1);
        return;
    }
    uint64_t random = (uint64_t)lf_now_ns();
    ssize_t n = getrandom(&random, sizeof random, GRND_NONBLOCK);
    (void)n; // without entropy the time does: an id need not be secret
    snprintf(x->request_id, sizeof x->request_id, "%016llx", (unsigned long long)random);
}

static bool is_json(const char *content_type)
{
    if (!content_type) return false;
    size_t length = strcspn(content_type, ";");
    while (length > 0 && content_type[length - 1] == ' ') length--;
    return length == 16 && strncasecmp(content_type, "application/json", 16) == 0;
}

static uint64_t content_length(const exchange *x)
{
    const char *text = header(x->connection, "Content-Length");
    return text ? strtoull(text, NULL, 10) : 0;
}

static void refuse_too_large(exchange *x)
{
    x->is_refused = true;
    lf_refuse(&x->refusal, 413, LF_REFUSAL_TOO_LARGE, NULL, "the request body is larger than the limit of %zu bytes",
              x->server->options.max_body_bytes);
}

static bool is_method_allowed(const exchange *x)
{
    bool is_get = strcmp(x->method, "GET") == 0 || strcmp(x->method, "HEAD") == 0;
    bool is_post = strcmp(x->method, "POST") == 0;
    return (is_get && (x->route->methods & LF_METHOD_GET)) || (is_post && (x->route->methods & LF_METHOD_POST));
}

// All that can be said from the head of a request.
static void judge_head(exchange *x, const char *url)
{
    const char *const *keys = x->server->options.api_keys;
    bool is_post = strcmp(x->method, "POST") == 0;
    x->is_refused = true;
    if (!x->route) {
        // an unknown path tells nothing either way, so no key is asked for
        lf_refuse(&x->refusal, 404, LF_REFUSAL_NOT_FOUND, NULL, "there is no route %.200s", url);
    } else if (x->is_options) {
        x->is_refused = false;
    } else if (!is_method_allowed(x)) {
        lf_refuse(&x->refusal, 405, LF_REFUSAL_METHOD, NULL, "%s does not accept %s; it accepts %s", x->route->path,
                  x->method, lf_route_allow(x->route));
    } else if (!x->route->is_open && !lf_auth_is_valid(keys, header(x->connection, "Authorization"))) {
        lf_refuse(&x->refusal, 401, LF_REFUSAL_AUTH, NULL, "a valid API key is needed: Authorization: Bearer KEY");
    } else if (content_length(x) > x->server->options.max_body_bytes) {
        refuse_too_large(x);
    } else if (is_post && !x->route->is_open && !is_json(header(x->connection, "Content-Type"))) {
        lf_refuse(&x->refusal, 400, LF_REFUSAL_FORM, NULL, "the Content-Type must be application/json");
    } else {
        x->is_refused = false;
    }
}

static exchange *exchange_new(lf_server *server, struct MHD_Connection *connection, const char *url, const char *method)
{
    exchange *x = calloc(1, sizeof *x);
    char *path = strdup(url);
    if (!x || !path) {
        free(x);
        free(path);
        return NULL;
    }
    x->server = server;
    x->connection = connection;
    // each answer lies where the next one will: libmicrohttpd 1.0 has one place per connection
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    x->tracked = info ? info->socket_context : NULL;
    info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    x->fd = info ? info->connect_fd : -1;
    x->path = path;
    x->route = lf_route_find(path, &x->operand);
    x->method = known_method(method);
    x->is_options = strcmp(x->method, "OPTIONS") == 0;
    x->start_ns = lf_now_ns();
    choose_request_id(x);
    judge_head(x, url);
    return x;
}

static void add_headers(const exchange *x, struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Request-Id", x->request_id);
    if (x->reply.content_type) MHD_add_response_header(response, "Content-Type", x->reply.content_type);
    if (x->reply.stream) MHD_add_response_header(response, "Cache-Control", "no-cache");
    if (x->reply.http_status == 401) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    if (x->reply.http_status == 503) MHD_add_response_header(response, "Retry-After", "1");
    if (x->route && (x->reply.http_status == 405 || x->is_options)) {
        MHD_add_response_header(response, "Allow", lf_route_allow(x->route));
    }
    if (atomic_load(&x->server->service->is_stopping)) MHD_add_response_header(response, "Connection", "close");
}

// From here on a silent client is cut off again, or no more.
static void set_patience(const exchange *x, unsigned seconds)
{
    MHD_set_connection_option(x->connection, MHD_CONNECTION_OPTION_TIMEOUT, seconds);
}

static ssize_t read_stream(void *cls, uint64_t position, char *dst, size_t max)
{
    exchange *x = cls;
    set_patience(x, 0);
    long n = lf_stream_read(x->reply.stream, dst, max);
    set_patience(x, x->server->options.idle_seconds);
    if (n == 0) return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0) return MHD_CONTENT_READER_END_WITH_ERROR;
    x->n_sent += (uint64_t)n;
    return n;
}

static enum MHD_Result send_reply(exchange *x)
{
    struct MHD_Response *response;
    if (x->reply.stream) {
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, LF_HTTP_BLOCK_BYTES, read_stream, x, NULL);
    } else {
        size_t length = x->reply.body.length;
        char *bytes = lf_buf_take(&x->reply.body);
        x->n_sent = length;
        response = bytes ? MHD_create_response_from_buffer_with_free_callback(length, bytes, free) : NULL;
        if (!response) free(bytes);
    }
    if (!response) return MHD_NO;
    add_headers(x, response);
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)x->reply.http_status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer(exchange *x)
{
    lf_connection_set_state(&x->server->connections, x->tracked, LF_CONNECTION_WORK);
    set_patience(x, 0);
    if (x->is_refused) {
        lf_reply_refusal(&x->reply, &x->refusal);
    } else if (x->is_options) {
        x->reply.http_status = 204;
    } else {
        lf_call call = {.body = lf_buf_text(&x->body),
                        .body_length = x->body.length,
                        .operand = x->operand,
                        .request_id = x->request_id,
                        .peer_fd = x->fd};
        x->route->handler(x->server->service, &call, &x->reply);
        lf_buf_fini(&x->body);
    }
    set_patience(x, x->server->options.idle_seconds);
    if (x->reply.is_abandoned) return MHD_NO;
    return send_reply(x);
}

static enum MHD_Result take_body(exchange *x, const char *bytes, size_t *n_bytes)
{
    x->n_received += *n_bytes;
    size_t n = *n_bytes;
    *n_bytes = 0;
    if (!x->is_refused && x->n_received > x->server->options.max_body_bytes) {
        refuse_too_large(x);
        lf_buf_fini(&x->body);
    }
    if (x->is_refused) return x->n_received > LF_HTTP_MAX_DISCARD_BYTES ? MHD_NO : MHD_YES;
    lf_buf_append(&x->body, bytes, n);
    if (lf_buf_failed(&x->body)) {
        x->is_refused = true;
        lf_refuse_no_memory(&x->refusal);
    }
    return MHD_YES;
}

enum MHD_Result lf_http_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size, void **con_cls)
{
    lf_server *server = cls;
    exchange *x = *con_cls;
    if (!x) {
        x = exchange_new(server, connection, url, method);
        if (!x) return MHD_NO;
        *con_cls = x;
        x->is_counted = true;
        lf_connections_count(&server->connections, 1);
        lf_connection_set_state(&server->connections, x->tracked, LF_CONNECTION_BODY);
        // a client that asks first is told at once; so is one whose body nobody wants to read to its end
        bool is_asking = header(connection, "Expect") != NULL;
        if (x->is_refused && (is_asking || content_length(x) > LF_HTTP_MAX_DISCARD_BYTES)) return answer(x);
        return MHD_YES;
    }
    if (*upload_data_size > 0) return take_body(x, upload_data, upload_data_size);
    return answer(x);
}

static void log_exchange(const exchange *x, double seconds, enum MHD_RequestTerminationCode why)
{
    char peer[80] = "?", port[16] = "", path[128];
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr) {
        socklen_t length =
            info->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        getnameinfo(info->client_addr, length, peer, sizeof peer, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    }
    snprintf(path, sizeof path, "%s", x->path);
    for (char *c = path; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '"') *c = '?';
    }
    const char *end = why == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : ", not completed";
    if (x->reply.n_prompt > 0) {
        lf_log(LF_LOG_INFO, "%s:%s - \"%s %s\" %d, %.3f s, %lld + %lld tokens, %s%s", peer, port, x->method, path,
               x->reply.http_status, seconds, (long long)x->reply.n_prompt, (long long)x->reply.n_generated,
               x->request_id, end);
    } else {
        lf_log(LF_LOG_INFO, "%s:%s - \"%s %s\" %d, %.3f s%s", peer, port, x->method, path, x->reply.http_status,
               seconds, end);
    }
}

void lf_http_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                       enum MHD_RequestTerminationCode why)
{
    lf_server *server = cls;
    exchange *x = *con_cls;
    if (!x) return;
    *con_cls = NULL;
    if (x->reply.stream) x->reply.n_generated = lf_stream_n_generated(x->reply.stream);
    lf_stream_free(x->reply.stream);
    double seconds = (double)(lf_now_ns() - x->start_ns) * 1e-9;
    lf_http_observation observation = {.method = x->method,
                                       .handler = x->route ? x->route->path : "none",
                                       .status = x->reply.http_status,
                                       .seconds = seconds,
                                       .request_bytes = x->n_received,
                                       .response_bytes = x->n_sent};
    if (x->reply.http_status) lf_metrics_observe_http(server->service->metrics, &observation);
    if (!server->options.quiet) log_exchange(x, seconds, why);
    lf_connection_set_state(&server->connections, x->tracked, LF_CONNECTION_QUIET);
    if (x->is_counted) lf_connections_count(&server->connections, -1);
    lf_buf_fini(&x->body);
    lf_buf_fini(&x->reply.body);
    free(x->path);
    free(x);
}

void lf_http_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
                        enum MHD_ConnectionNotificationCode what)
{
    lf_server *server = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        *socket_context = info ? lf_connection_add(&server->connections, info->connect_fd) : NULL;
    } else {
        lf_connection_remove(&server->connections, *socket_context);
        *socket_context = NULL;
    }
}
