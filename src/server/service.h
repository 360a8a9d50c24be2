// SPDX-License-Identifier: Apache-2.0
//
// The service: what the HTTP layer calls and what it gets back, free of sockets. A call (method, path, body) becomes a
// reply, which is a whole body or a stream of server-sent events that is read piece by piece.
#ifndef LF_SERVER_SERVICE_H
#define LF_SERVER_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/metrics.h"
#include "server/request.h"
#include "server/session.h"

enum { LF_SERVICE_MAX_SEQUENCES = 8192 }; // queued and running, of all requests together; more is a 503

typedef struct lf_answer lf_answer;
typedef struct lf_stream lf_stream;

typedef struct lf_service {
    lf_session *session;      // BORROWED
    lf_request_limits limits; // model_names BORROWED
    lf_metrics *metrics;      // OWNED
    int64_t created;          // Unix seconds
    atomic_bool is_stopping;  // new work is refused with 503
    atomic_bool is_failing;   // the newest generation failed in the engine: /health says 503 until one succeeds
    atomic_int n_generating;  // requests that generate at present (/load)
    pthread_mutex_t lock;     // protects the three below
    bool is_aborted;          // what starts from now on is cancelled at once
    lf_answer *answers;       // those alive, doubly linked
    size_t n_sequence;
} lf_service;

// `model_names` is NULL-terminated, at least one name; it and `session` must outlive the service.
lf_status lf_service_init(lf_service *service, lf_session *session, const char *const *model_names, lf_error *err);
// All answers must be gone.
void lf_service_fini(lf_service *service);
// Ends every running generation; its requests are answered with what there is.
void lf_service_abort(lf_service *service);

typedef struct lf_call {
    const char *body;
    size_t body_length;
    const char *operand;    // what follows the route's path, decoded ("/v1/models/OPERAND"); "" otherwise
    const char *request_id; // never empty, printable
    int peer_fd;            // the client's socket, watched while waiting; -1: none
} lf_call;

typedef struct lf_reply {
    int http_status;
    const char *content_type;      // STATIC; NULL: no body
    lf_buf body;                   // OWNED
    lf_stream *stream;             // OWNED; NULL: `body` is the answer
    bool is_abandoned;             // the client has gone: nothing to send
    int64_t n_prompt, n_generated; // for the log
} lf_reply;

typedef void (*lf_handler)(lf_service *service, const lf_call *call, lf_reply *reply);

void lf_handle_chat(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_completions(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_models(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_model(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_tokenize(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_detokenize(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_health(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_version(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_load(lf_service *service, const lf_call *call, lf_reply *reply);
void lf_handle_metrics(lf_service *service, const lf_call *call, lf_reply *reply);

// Fills a reply with JSON (taking the reference; NULL means that memory is gone) or with a refusal.
void lf_reply_json(lf_reply *reply, int http_status, json_t *root);
void lf_reply_refusal(lf_reply *reply, const lf_refusal *refusal);
// Appends compact JSON without a terminator; false when memory is gone. Takes the reference.
bool lf_buf_append_json(lf_buf *buf, json_t *root);

// Copies the next bytes of a stream to dst, waiting for them: their number, 0 at the end, -1 when the client has gone.
long lf_stream_read(lf_stream *stream, char *dst, size_t dst_bytes);
int64_t lf_stream_n_generated(const lf_stream *stream);
void lf_stream_free(lf_stream *stream); // cancels what still runs; NULL is accepted

#endif
