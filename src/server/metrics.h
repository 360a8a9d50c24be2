// SPDX-License-Identifier: Apache-2.0
//
// Counters and histograms for GET /metrics, with vLLM's names, types, labels and buckets, so that its dashboards work.
// Only what this server can honestly measure is shown: no prefix-cache hits, no flops, no python_*.
#ifndef LF_SERVER_METRICS_H
#define LF_SERVER_METRICS_H

#include "base/buf.h"
#include "base/status.h"
#include "server/generation.h"

typedef struct lf_metrics lf_metrics;
struct lf_ask;

lf_status lf_metrics_new(lf_metrics **out, const char *model_name, int64_t max_model_len, lf_error *err);
void lf_metrics_free(lf_metrics *metrics); // NULL is accepted

// Records a generation that is done. Any thread.
void lf_metrics_observe(lf_metrics *metrics, lf_generation *generation, const struct lf_ask *ask);

// Records an HTTP request that was answered. `handler` is a route ("/v1/models"), not a client's text.
typedef struct lf_http_observation {
    const char *method, *handler;
    int status;
    double seconds;
    uint64_t request_bytes, response_bytes;
} lf_http_observation;
void lf_metrics_observe_http(lf_metrics *metrics, const lf_http_observation *observation);

// Appends the exposition text (Prometheus format 0.0.4).
void lf_metrics_write(lf_metrics *metrics, const lf_session *session, lf_buf *out);

#endif
