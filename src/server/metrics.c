// SPDX-License-Identifier: Apache-2.0
//
// The metrics' storage and their text form. One lock protects all of it; it is taken once per finished sequence and per
// HTTP request, never per token (the arrival times of a sequence's tokens are added when it is done).
#include "server/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "server/request.h"

enum { MAX_BUCKETS = 40, MAX_HTTP_ROWS = 64 };

typedef struct histogram {
    const double *bounds; // ascending; +Inf is implied
    size_t n_bound;
    uint64_t counts[MAX_BUCKETS + 1]; // not cumulative; the last is +Inf
    double sum;
    uint64_t n;
} histogram;

static const double first_token_bounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                            1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
static const double token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                      0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80};
static const double request_bounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                        30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};
static const double count_bounds[] = {1,    2,     5,     10,    20,     50,     100,    200,     500,     1000,   2000,
                                      5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000};
static const double n_bounds[] = {1, 2, 5, 10, 20};
static const double http_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1,  1.5, 2,
                                     2.5,  3,     3.5,  4,     4.5, 5,    7.5, 10,   30, 60};
static const double http_short_bounds[] = {0.1, 0.5, 1};

// X(field, name, bounds, help): histograms of sequences, labels model_name and engine.
#define HISTOGRAM_MAP(X)                                                                                               \
    X(prompt_tokens, "vllm:request_prompt_tokens", count_bounds, "Tokens of the prompt.")                              \
    X(generation_tokens, "vllm:request_generation_tokens", count_bounds, "Generated tokens of a sequence.")            \
    X(params_n, "vllm:request_params_n", n_bounds, "Parameter n of requests.")                                         \
    X(params_max_tokens, "vllm:request_params_max_tokens", count_bounds, "Parameter max_tokens of requests.")          \
    X(max_generation, "vllm:request_max_num_generation_tokens", count_bounds,                                          \
      "Most tokens that a request may generate.")                                                                      \
    X(kv_computed, "vllm:request_prefill_kv_computed_tokens", count_bounds, "KV entries computed during prefill.")     \
    X(first_token, "vllm:time_to_first_token_seconds", first_token_bounds, "Time to the first token.")                 \
    X(inter_token, "vllm:inter_token_latency_seconds", token_bounds, "Time between two tokens of a sequence.")         \
    X(per_token, "vllm:request_time_per_output_token_seconds", token_bounds, "Mean time per token after the first.")   \
    X(e2e, "vllm:e2e_request_latency_seconds", request_bounds, "Time from arrival to the last token.")                 \
    X(queue, "vllm:request_queue_time_seconds", request_bounds, "Time spent waiting.")                                 \
    X(inference, "vllm:request_inference_time_seconds", request_bounds, "Time spent running.")                         \
    X(prefill, "vllm:request_prefill_time_seconds", request_bounds, "Time from the first step to the first token.")    \
    X(decode, "vllm:request_decode_time_seconds", request_bounds, "Time from the first token to the last.")

typedef struct http_row {
    char method[8];
    const char *handler; // STATIC
    int status_class;    // 2: "2xx"
    uint64_t n;
    histogram seconds;
    uint64_t request_bytes, response_bytes;
} http_row;

struct lf_metrics {
    char model_name[256]; // escaped for a label
    int64_t start_unix;
    pthread_mutex_t lock; // protects everything below
    uint64_t finished[5]; // by lf_finish
#define X(field, name, bounds, help) histogram field;
    HISTOGRAM_MAP(X)
#undef X
    histogram http;
    http_row rows[MAX_HTTP_ROWS];
    size_t n_row;
};

static void init(histogram *target, const double *bounds, size_t n_bound, int64_t max_model_len)
{
    // no bucket past what a sequence can hold
    while (bounds == count_bounds && n_bound > 1 && bounds[n_bound - 1] > (double)max_model_len) n_bound--;
    target->bounds = bounds;
    target->n_bound = n_bound;
}

static void observe(histogram *target, double value)
{
    size_t i = 0;
    while (i < target->n_bound && value > target->bounds[i]) i++;
    target->counts[i]++;
    target->sum += value;
    target->n++;
}

static void escape_label(char *dst, size_t dst_bytes, const char *src)
{
    size_t n = 0;
    for (; *src && n + 3 < dst_bytes; src++) {
        if (*src == '\\' || *src == '"') dst[n++] = '\\';
        dst[n++] = (unsigned char)*src < 0x20 ? '?' : *src;
    }
    dst[n] = '\0';
}

lf_status lf_metrics_new(lf_metrics **out, const char *model_name, int64_t max_model_len, lf_error *err)
{
    lf_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics) return lf_error_no_memory(err, sizeof *metrics);
    pthread_mutex_init(&metrics->lock, NULL);
    escape_label(metrics->model_name, sizeof metrics->model_name, model_name);
    metrics->start_unix = (int64_t)time(NULL);
#define X(field, name, bounds, help) init(&metrics->field, bounds, LF_ARRAY_LENGTH(bounds), max_model_len);
    HISTOGRAM_MAP(X)
#undef X
    init(&metrics->http, http_bounds, LF_ARRAY_LENGTH(http_bounds), max_model_len);
    *out = metrics;
    return LF_OK;
}

void lf_metrics_free(lf_metrics *metrics)
{
    if (!metrics) return;
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static double seconds_between(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

void lf_metrics_observe(lf_metrics *metrics, lf_generation *generation, const lf_ask *ask)
{
    lf_request_times times;
    const int64_t *arrival_ns;
    size_t n;
    lf_generation_times(generation, &times, &arrival_ns, &n);
    lf_finish finish = lf_generation_finish(generation);
    pthread_mutex_lock(&metrics->lock);
    metrics->finished[finish]++;
    if (n > 0 && finish != LF_FINISH_CANCELLED && finish != LF_FINISH_ERROR) {
        observe(&metrics->prompt_tokens, (double)times.n_prompt);
        observe(&metrics->kv_computed, (double)times.n_prompt);
        observe(&metrics->generation_tokens, (double)n);
        observe(&metrics->params_n, (double)ask->n);
        if (ask->has_max_tokens) observe(&metrics->params_max_tokens, (double)ask->sampling.max_tokens);
        observe(&metrics->max_generation, (double)ask->sampling.max_tokens);
        observe(&metrics->first_token, seconds_between(times.submitted_ns, times.first_token_ns));
        observe(&metrics->e2e, seconds_between(times.submitted_ns, times.last_token_ns));
        observe(&metrics->queue, seconds_between(times.submitted_ns, times.scheduled_ns));
        observe(&metrics->inference, seconds_between(times.scheduled_ns, times.last_token_ns));
        observe(&metrics->prefill, seconds_between(times.scheduled_ns, times.first_token_ns));
        double decode = seconds_between(times.first_token_ns, times.last_token_ns);
        observe(&metrics->decode, decode);
        if (n > 1) observe(&metrics->per_token, decode / (double)(n - 1));
        for (size_t i = 1; i < n; i++)
            observe(&metrics->inter_token, seconds_between(arrival_ns[i - 1], arrival_ns[i]));
    }
    pthread_mutex_unlock(&metrics->lock);
}

static http_row *find_row(lf_metrics *metrics, const lf_http_observation *observation)
{
    int status_class = observation->status / 100;
    for (size_t i = 0; i < metrics->n_row; i++) {
        http_row *row = &metrics->rows[i];
        if (row->status_class == status_class && strcmp(row->handler, observation->handler) == 0 &&
            strcmp(row->method, observation->method) == 0) {
            return row;
        }
    }
    if (metrics->n_row == MAX_HTTP_ROWS) return NULL;
    http_row *row = &metrics->rows[metrics->n_row++];
    snprintf(row->method, sizeof row->method, "%s", observation->method);
    row->handler = observation->handler;
    row->status_class = status_class;
    init(&row->seconds, http_short_bounds, LF_ARRAY_LENGTH(http_short_bounds), 0);
    return row;
}

void lf_metrics_observe_http(lf_metrics *metrics, const lf_http_observation *observation)
{
    pthread_mutex_lock(&metrics->lock);
    http_row *row = find_row(metrics, observation);
    if (row) {
        row->n++;
        row->request_bytes += observation->request_bytes;
        row->response_bytes += observation->response_bytes;
        observe(&row->seconds, observation->seconds);
    }
    observe(&metrics->http, observation->seconds);
    pthread_mutex_unlock(&metrics->lock);
}

static void write_head(lf_buf *out, const char *name, const char *type, const char *help)
{
    lf_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

// `labels` is "" or ends with a comma.
static void write_histogram(lf_buf *out, const char *name, const char *labels, const histogram *source)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < source->n_bound; i++) {
        sum += source->counts[i];
        lf_buf_printf(out, "%s_bucket{%sle=\"%.10g\"} %llu\n", name, labels, source->bounds[i],
                      (unsigned long long)sum);
    }
    lf_buf_printf(out, "%s_bucket{%sle=\"+Inf\"} %llu\n", name, labels, (unsigned long long)source->n);
    int n = (int)strlen(labels) - (labels[0] != '\0');
    lf_buf_printf(out, "%s_count{%.*s} %llu\n", name, n, labels, (unsigned long long)source->n);
    lf_buf_printf(out, "%s_sum{%.*s} %.9g\n", name, n, labels, source->sum);
}

typedef struct plain_metric {
    const char *name, *type, *help;
    double value;
} plain_metric;

static void write_engine(const lf_metrics *metrics, const lf_session *session, lf_buf *out)
{
    lf_engine_stats stats;
    lf_engine_stats_read(session->engine, &stats);
    const plain_metric rows[] = {
        {"vllm:num_requests_running", "gauge", "Sequences in execution.", (double)stats.n_running},
        {"vllm:num_requests_waiting", "gauge", "Sequences waiting to be scheduled.", (double)stats.n_waiting},
        {"vllm:kv_cache_usage_perc", "gauge", "Share of the KV cache in use, 0 to 1.", stats.kv_cache_usage},
        {"vllm:prompt_tokens_total", "counter", "Prompt tokens processed.", (double)stats.n_prompt_token},
        {"vllm:generation_tokens_total", "counter", "Tokens generated.", (double)stats.n_generation_token},
        {"vllm:num_preemptions_total", "counter", "Preemptions by the scheduler.", (double)stats.n_preemption},
        {"landfall:engine_steps_total", "counter", "Steps of the engine.", (double)stats.n_step},
        {"landfall:not_finite_logit_rows_total", "counter",
         "Rows of logits with NaN or infinity: not 0 means broken weights.", (double)stats.n_not_finite_row},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        write_head(out, rows[i].name, rows[i].type, rows[i].help);
        lf_buf_printf(out, "%s{engine=\"0\",model_name=\"%s\"} %.17g\n", rows[i].name, metrics->model_name,
                      rows[i].value);
    }
    write_head(out, "vllm:num_requests_waiting_by_reason", "gauge", "Waiting sequences by reason.");
    lf_buf_printf(out, "vllm:num_requests_waiting_by_reason{engine=\"0\",model_name=\"%s\",reason=\"capacity\"} %lld\n",
                  metrics->model_name, (long long)stats.n_waiting);
    write_head(out, "vllm:cache_config_info", "gauge", "The KV cache's configuration.");
    lf_buf_printf(
        out,
        "vllm:cache_config_info{block_size=\"%lld\",cache_dtype=\"auto\",engine=\"0\",num_gpu_blocks=\"%lld\"} 1\n",
        (long long)session->info.block_size, (long long)session->info.n_kv_block);
}

static void write_finished(const lf_metrics *metrics, lf_buf *out)
{
    static const struct {
        lf_finish finish;
        const char *reason;
    } reasons[] = {{LF_FINISH_STOP, "stop"},
                   {LF_FINISH_LENGTH, "length"},
                   {LF_FINISH_CANCELLED, "abort"},
                   {LF_FINISH_ERROR, "error"}};
    write_head(out, "vllm:request_success_total", "counter", "Sequences finished, by reason.");
    for (size_t i = 0; i < LF_ARRAY_LENGTH(reasons); i++) {
        lf_buf_printf(out, "vllm:request_success_total{engine=\"0\",finished_reason=\"%s\",model_name=\"%s\"} %llu\n",
                      reasons[i].reason, metrics->model_name, (unsigned long long)metrics->finished[reasons[i].finish]);
    }
}

static void write_http(const lf_metrics *metrics, lf_buf *out)
{
    char labels[160];
    write_head(out, "http_requests_total", "counter", "Requests by method, status and handler.");
    for (size_t i = 0; i < metrics->n_row; i++) {
        const http_row *row = &metrics->rows[i];
        lf_buf_printf(out, "http_requests_total{handler=\"%s\",method=\"%s\",status=\"%dxx\"} %llu\n", row->handler,
                      row->method, row->status_class, (unsigned long long)row->n);
    }
    static const char *const summaries[] = {"http_request_size_bytes", "http_response_size_bytes"};
    for (size_t kind = 0; kind < 2; kind++) {
        write_head(out, summaries[kind], "summary", "Bytes of bodies, by handler.");
        for (size_t i = 0; i < metrics->n_row; i++) {
            const http_row *row = &metrics->rows[i];
            snprintf(labels, sizeof labels, "handler=\"%s\",method=\"%s\",status=\"%dxx\"", row->handler, row->method,
                     row->status_class);
            lf_buf_printf(out, "%s_count{%s} %llu\n%s_sum{%s} %llu\n", summaries[kind], labels,
                          (unsigned long long)row->n, summaries[kind], labels,
                          (unsigned long long)(kind == 0 ? row->request_bytes : row->response_bytes));
        }
    }
    write_head(out, "http_request_duration_highr_seconds", "histogram", "Duration of requests, many buckets.");
    write_histogram(out, "http_request_duration_highr_seconds", "", &metrics->http);
    write_head(out, "http_request_duration_seconds", "histogram", "Duration of requests by handler.");
    for (size_t i = 0; i < metrics->n_row; i++) {
        const http_row *row = &metrics->rows[i];
        snprintf(labels, sizeof labels, "handler=\"%s\",method=\"%s\",status=\"%dxx\",", row->handler, row->method,
                 row->status_class);
        write_histogram(out, "http_request_duration_seconds", labels, &row->seconds);
    }
}

static void write_process(const lf_metrics *metrics, lf_buf *out)
{
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    write_head(out, "process_start_time_seconds", "gauge", "Start of the process, Unix seconds.");
    lf_buf_printf(out, "process_start_time_seconds %lld\n", (long long)metrics->start_unix);
    write_head(out, "process_cpu_seconds_total", "counter", "Processor time of the process.");
    lf_buf_printf(out, "process_cpu_seconds_total %.6f\n", seconds);
    unsigned long long total = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    if (!statm) return;
    if (fscanf(statm, "%llu %llu", &total, &resident) == 2) {
        unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
        write_head(out, "process_virtual_memory_bytes", "gauge", "Virtual memory of the process.");
        lf_buf_printf(out, "process_virtual_memory_bytes %llu\n", total * page);
        write_head(out, "process_resident_memory_bytes", "gauge", "Resident memory of the process.");
        lf_buf_printf(out, "process_resident_memory_bytes %llu\n", resident * page);
    }
    fclose(statm);
}

void lf_metrics_write(lf_metrics *metrics, const lf_session *session, lf_buf *out)
{
    write_engine(metrics, session, out);
    char labels[320];
    snprintf(labels, sizeof labels, "engine=\"0\",model_name=\"%s\",", metrics->model_name);
    pthread_mutex_lock(&metrics->lock);
    write_finished(metrics, out);
#define X(field, name, bounds, help)                                                                                   \
    write_head(out, name, "histogram", help);                                                                          \
    write_histogram(out, name, labels, &metrics->field);
    HISTOGRAM_MAP(X)
#undef X
    write_http(metrics, out);
    pthread_mutex_unlock(&metrics->lock);
    write_process(metrics, out);
}
