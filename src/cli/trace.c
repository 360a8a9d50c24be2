// SPDX-License-Identifier: Apache-2.0
//
// Writes a trace: for each step and point one line with size, digest and statistics of all rows, and a few rows in
// full, the first and the last among them. Numbers have nine digits, which is float32 exactly.
#include "cli/trace.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "landfall.h"

enum { ROWS_IN_FULL = 4 };

typedef struct statistics {
    double rms, max; // the largest magnitude
    size_t n_not_finite;
} statistics;

static statistics statistics_of(const float *x, size_t n)
{
    statistics s = {0};
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            s.n_not_finite++;
            continue;
        }
        sum += (double)x[i] * (double)x[i];
        s.max = LF_MAX(s.max, fabs((double)x[i]));
    }
    s.rms = n ? sqrt(sum / (double)n) : 0;
    return s;
}

static void put_values(FILE *out, const float *x, size_t n)
{
    fputs("\"values\":[", out);
    for (size_t i = 0; i < n; i++) {
        if (i) putc(',', out);
        if (isfinite(x[i]))
            fprintf(out, "%.9g", (double)x[i]);
        else
            fputs("null", out);
    }
    putc(']', out);
}

static void put_row(FILE *out, const lf_trace_rows *rows, size_t r)
{
    const float *x = rows->rows + r * rows->n_col;
    statistics s = statistics_of(x, rows->n_col);
    fprintf(out, "{\"row\":%zu,\"position\":%d,\"token\":%d,\"rms\":%.9g,\"max\":%.9g,", r, rows->positions[r],
            rows->ids[r], s.rms, s.max);
    if (rows->experts) {
        fputs("\"experts\":[", out);
        for (size_t k = 0; k < rows->n_active; k++) {
            fprintf(out, k ? ",%d" : "%d", rows->experts[r * rows->n_active + k]);
        }
        fputs("],", out);
    }
    put_values(out, x, rows->n_col);
    putc('}', out);
}

static const char *const point_names[] = {
    [LF_TRACE_EMBEDDING] = "embedding", [LF_TRACE_ATTENTION] = "attention", [LF_TRACE_LAYER] = "layer",
    [LF_TRACE_NORM] = "norm",           [LF_TRACE_LOGITS] = "logits",
};

// On the engine thread; what cannot be written shows when the file is closed.
static void write_rows(void *ctx, const lf_trace_rows *rows)
{
    FILE *out = ((lf_trace_file *)ctx)->file.stream;
    size_t n = rows->n_row * rows->n_col;
    statistics s = statistics_of(rows->rows, n);
    char hex[LF_SHA256_HEX_BYTES];
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_sha256_update(&hash, rows->rows, n * sizeof *rows->rows);
    lf_sha256_final_hex(&hash, hex);
    fprintf(out, "{\"step\":%lld,\"point\":\"%s\",\"layer\":", (long long)rows->step, point_names[rows->point]);
    if (rows->layer >= 0)
        fprintf(out, "%lld", (long long)rows->layer);
    else
        fputs("null", out);
    fprintf(out,
            ",\"n_row\":%zu,\"n_col\":%zu,\"rms\":%.9g,\"max\":%.9g,\"n_not_finite\":%zu,\"sha256\":\"%s\",\"rows\":[",
            rows->n_row, rows->n_col, s.rms, s.max, s.n_not_finite, hex);
    size_t n_full = LF_MIN(rows->n_row, (size_t)ROWS_IN_FULL);
    for (size_t i = 0; i < n_full; i++) {
        if (i) putc(',', out);
        put_row(out, rows, n_full > 1 ? i * (rows->n_row - 1) / (n_full - 1) : 0);
    }
    fputs("]}\n", out);
}

lf_status lf_trace_file_open(lf_trace_file *file, const char *path, lf_engine_options *options, lf_error *err)
{
    *file = (lf_trace_file){0};
    if (!path) return LF_OK;
    options->on_trace = write_rows;
    options->trace_ctx = file;
    return lf_atomic_file_open(&file->file, path, err);
}

void lf_trace_file_head(lf_trace_file *file, const char *model_dir, const lf_engine *engine)
{
    if (!file->file.stream) return;
    lf_engine_info info;
    const lf_config *config = lf_engine_config(engine);
    lf_engine_describe(engine, &info);
    json_t *head = json_pack("{s:s, s:s, s:o, s:s, s:s, s:I, s:b, s:I, s:I, s:I, s:I, s:I}",     //
                             "format", "landfall-trace-1", "landfall_version", lf_version(),     //
                             "model", lf_json_lossy_string(model_dir),                           //
                             "architecture", config->architecture, "device", info.device,        //
                             "tensor_parallel_size", (json_int_t)info.tensor_parallel_size,      //
                             "expert_parallel", info.is_expert_parallel,                         //
                             "num_hidden_layers", (json_int_t)config->num_hidden_layers,         //
                             "num_checkpoint_layers", (json_int_t)config->num_checkpoint_layers, //
                             "hidden_size", (json_int_t)config->hidden_size,                     //
                             "vocab_size", (json_int_t)config->vocab_size,                       //
                             "num_experts_per_tok", (json_int_t)config->num_experts_per_tok);
    if (head) json_dumpf(head, file->file.stream, JSON_COMPACT);
    putc('\n', file->file.stream);
    json_decref(head);
}

lf_status lf_trace_file_close(lf_trace_file *file, lf_status status, lf_error *err)
{
    if (!file->file.stream) return status;
    if (!status) return lf_atomic_file_commit(&file->file, err);
    lf_atomic_file_abort(&file->file);
    return status;
}
