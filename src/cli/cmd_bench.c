// SPDX-License-Identifier: Apache-2.0
//
// landfall bench latency: one batch of requests, several times, as `vllm bench latency` does it, and the figures beside
// what this machine can do: memory bandwidth and matrix peak, measured in the same run. The machine is measured on
// threads of its own that end before and start after the timed iterations, so that their parallel loops do not share
// cores with the engine's.
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/ranks.h"
#include "cli/verbs.h"
#include "device/cpu/measure.h"
#include "engine/engine.h"

typedef struct bench_args {
    const char *load_format;
    const char *output_json;
    const char *hf_overrides;
    int64_t input_len, output_len, batch_size;
    int64_t num_iters, num_iters_warmup;
    int64_t max_num_batched_tokens;
    int64_t n_thread;
    int64_t seed;
    int64_t tensor_parallel_size;
    bool enable_expert_parallel;
    bool enforce_eager;
    bool json;
} bench_args;

#define INT_OPT(field, flag, least, most, text)                                                                        \
    {                                                                                                                  \
        .name = flag, .kind = LF_OPT_INT, .metavar = "N", .help = text, .offset = offsetof(bench_args, field),         \
        .min = least, .max = most                                                                                      \
    }

static const lf_opt bench_opts[] = {
    INT_OPT(input_len, "input-len", 1, 1 << 20, "tokens of each prompt"),
    INT_OPT(output_len, "output-len", 1, 1 << 20, "tokens generated for each prompt"),
    INT_OPT(batch_size, "batch-size", 1, 1024, "prompts at once"),
    INT_OPT(num_iters, "num-iters", 1, 100000, "timed iterations"),
    INT_OPT(num_iters_warmup, "num-iters-warmup", 0, 100000, "iterations before them"),
    INT_OPT(max_num_batched_tokens, "max-num-batched-tokens", 0, 1 << 16, "tokens of one step (0: 512 or more)"),
    INT_OPT(n_thread, "threads", 0, 1024, "threads (0: all processors)"),
    INT_OPT(seed, "seed", 0, INT64_MAX, "of dummy weights and prompts"),
    {.name = "tensor-parallel-size",
     .kind = LF_OPT_INT,
     .alias = "-tp",
     .metavar = "N",
     .help = "ranks that share the model: started here, or those of mpirun or srun (default 1, or theirs)",
     .offset = offsetof(bench_args, tensor_parallel_size),
     .min = 1,
     .max = LF_RANKS_MAX},
    {.name = "enable-expert-parallel",
     .kind = LF_OPT_FLAG,
     .help = "ranks hold whole experts instead of a part of each",
     .offset = offsetof(bench_args, enable_expert_parallel)},
    {.name = "load-format",
     .kind = LF_OPT_STRING,
     .metavar = "FORMAT",
     .choices = "auto|dummy",
     .help = "auto: the checkpoint; dummy: only config.json is read",
     .offset = offsetof(bench_args, load_format)},
    {.name = "hf-overrides",
     .kind = LF_OPT_STRING,
     .metavar = "JSON",
     .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'",
     .offset = offsetof(bench_args, hf_overrides)},
    {.name = "output-json",
     .kind = LF_OPT_STRING,
     .metavar = "FILE",
     .help = "write the figures there too",
     .offset = offsetof(bench_args, output_json)},
    {.name = "enforce-eager",
     .kind = LF_OPT_FLAG,
     .help = "no graph capture",
     .offset = offsetof(bench_args, enforce_eager)},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print the figures as JSON", .offset = offsetof(bench_args, json)},
};

// ---- the machine ----

// What the figures are divided by. A shared machine's limits move while it runs, so they are sampled between the
// iterations, and the median is taken of both.
typedef struct machine {
    int n_thread;
    lf_cpu_read_test *read_test; // OWNED; NULL before the first sample
    double first_touch;          // bytes per second
    double *read_bandwidths;     // OWNED [capacity]: bytes per second
    double *matmul_peaks;        // OWNED [capacity]: operations per second
    const char *matmul;          // what was measured; STATIC
    size_t count;
    lf_status status;
    lf_error err;
} machine;

static void *sample_main(void *argument)
{
    machine *m = argument;
    lf_par_set_threads(m->n_thread);
    if (!m->read_test) m->status = lf_cpu_read_test_open(&m->read_test, &m->first_touch, &m->err);
    if (!m->status) m->read_bandwidths[m->count] = lf_cpu_read_test_run(m->read_test);
    if (!m->status) m->status = lf_cpu_measure_matmul_peak(&m->matmul_peaks[m->count], &m->matmul, &m->err);
    m->count++;
    return NULL;
}

// On a thread of its own: the loop threads of OpenMP belong to the thread that calls.
static lf_status sample_machine(machine *m, lf_error *err)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, sample_main, m);
    if (rc != 0) return lf_error_errno(err, rc, "cannot start a thread");
    pthread_join(thread, NULL);
    if (m->status) *err = m->err;
    return m->status;
}

static void close_machine(machine *m)
{
    lf_cpu_read_test_close(m->read_test);
    free(m->read_bandwidths);
    free(m->matmul_peaks);
}

// ---- one iteration ----

typedef struct iteration {
    double latency, prefill, decode; // seconds; prefill: until the last request has its first token
    int64_t n_decoded;               // tokens after the first of each request
} iteration;

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t n_open;
    lf_error failure; // of the first request that ended otherwise than by length
} waiter;

static lf_verdict on_event(void *ctx, const lf_token_event *event)
{
    waiter *w = ctx;
    if (event->finish == LF_FINISH_NONE) return LF_GO_ON;
    pthread_mutex_lock(&w->lock);
    if (event->finish != LF_FINISH_LENGTH && !w->failure.status) {
        if (event->error) {
            w->failure = *event->error;
        } else {
            lf_error_set(&w->failure, LF_ERR_BUG, "a request ended too early");
        }
    }
    w->n_open--;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return LF_GO_ON;
}

static void fill_prompt(int32_t *prompt, int64_t n, int64_t vocab_size, uint64_t *random)
{
    for (int64_t i = 0; i < n; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        prompt[i] = (int32_t)((*random >> 33) % (uint64_t)vocab_size);
    }
}

static void sum_up(iteration *it, lf_request *const *requests, int64_t n)
{
    int64_t submitted = INT64_MAX, first = 0, last = 0;
    for (int64_t i = 0; i < n; i++) {
        lf_request_times times;
        lf_request_times_read(requests[i], &times);
        submitted = LF_MIN(submitted, times.submitted_ns);
        first = LF_MAX(first, times.first_token_ns);
        last = LF_MAX(last, times.last_token_ns);
        it->n_decoded += times.n_generated - 1;
    }
    it->latency = (double)(last - submitted) * 1e-9;
    it->prefill = (double)(first - submitted) * 1e-9;
    it->decode = (double)(last - first) * 1e-9;
}

static lf_status run_iteration(lf_engine *engine, const bench_args *args, uint64_t *random, iteration *out,
                               lf_error *err)
{
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    sampling.temperature = 0;
    sampling.ignore_eos = true;
    sampling.max_tokens = args->output_len;
    lf_status status = LF_OK;
    int32_t *prompt = malloc((size_t)args->input_len * sizeof *prompt);
    lf_request **requests = calloc((size_t)args->batch_size, sizeof(lf_request *));
    if (!prompt || !requests) status = lf_error_no_memory(err, 0);
    for (int64_t i = 0; i < args->batch_size && !status; i++) {
        fill_prompt(prompt, args->input_len, lf_engine_config(engine)->vocab_size, random);
        pthread_mutex_lock(&w.lock);
        w.n_open++;
        pthread_mutex_unlock(&w.lock);
        status = lf_engine_submit(engine, prompt, (size_t)args->input_len, &sampling, on_event, &w, &requests[i], err);
        if (!status) continue;
        pthread_mutex_lock(&w.lock);
        w.n_open--;
        pthread_mutex_unlock(&w.lock);
    }
    pthread_mutex_lock(&w.lock);
    while (!status && w.n_open > 0) pthread_cond_wait(&w.changed, &w.lock);
    pthread_mutex_unlock(&w.lock);
    *out = (iteration){0};
    if (!status) sum_up(out, requests, args->batch_size);
    for (int64_t i = 0; requests && i < args->batch_size; i++) lf_request_release(requests[i]);
    free(requests);
    free(prompt);
    if (!status && w.failure.status) {
        *err = w.failure;
        status = w.failure.status;
    }
    return status;
}

// ---- figures ----

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// The value below which `share` of them lie, interpolated as numpy.percentile does. Sorts `values`.
static double percentile(double *values, int64_t n, double share)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    double at = share * (double)(n - 1);
    int64_t below = (int64_t)at;
    int64_t above = LF_MIN(below + 1, n - 1);
    return values[below] + (at - (double)below) * (values[above] - values[below]);
}

typedef struct bench {
    const bench_args *args;
    const lf_ranks *ranks;
    const char *model_dir;
    json_t *overrides; // OWNED; NULL: none
    lf_engine *engine;
    lf_engine_info info;
    machine machine;
    iteration *iterations; // OWNED [num_iters]
    double *values;        // OWNED [num_iters], scratch
    iteration profiled;
    lf_engine_profile profile; // of one more iteration
} bench;

typedef double (*figure_fn)(const bench *b, const iteration *it);

static double latency_of(const bench *b, const iteration *it)
{
    (void)b;
    return it->latency;
}

static double prefill_rate(const bench *b, const iteration *it)
{
    return (double)(b->args->input_len * b->args->batch_size) / it->prefill;
}

static double decode_rate(const bench *b, const iteration *it)
{
    (void)b;
    return it->decode > 0 ? (double)it->n_decoded / it->decode : 0;
}

static double figure(const bench *b, figure_fn fn, double share)
{
    for (int64_t i = 0; i < b->args->num_iters; i++) b->values[i] = fn(b, &b->iterations[i]);
    return percentile(b->values, b->args->num_iters, share);
}

static void put_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real(value));
}

static void put_int(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

static double prefill_flop(const bench *b)
{
    double n_token = (double)(b->args->input_len * b->args->batch_size);
    return n_token * b->info.linear_flop_per_token + (double)b->args->batch_size * b->info.lm_head_flop_per_row;
}

// What vLLM's --output-json holds.
static void put_latencies(json_t *object, const bench *b)
{
    static const int shares[] = {10, 25, 50, 75, 90, 99};
    json_t *latencies = json_array(), *percentiles = json_object(), *iterations = json_array();
    double sum = 0;
    for (int64_t i = 0; i < b->args->num_iters; i++) {
        const iteration *it = &b->iterations[i];
        sum += it->latency;
        json_array_append_new(latencies, json_real(it->latency));
        json_t *row = json_object();
        put_real(row, "latency_seconds", it->latency);
        put_real(row, "prefill_seconds", it->prefill);
        put_real(row, "decode_seconds", it->decode);
        put_real(row, "prefill_tokens_per_second", prefill_rate(b, it));
        put_real(row, "decode_tokens_per_second", decode_rate(b, it));
        json_array_append_new(iterations, row);
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(shares); i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", shares[i]);
        put_real(percentiles, key, figure(b, latency_of, shares[i] / 100.0));
    }
    put_real(object, "avg_latency", sum / (double)b->args->num_iters);
    json_object_set_new(object, "latencies", latencies);
    json_object_set_new(object, "percentiles", percentiles);
    json_object_set_new(object, "iterations", iterations);
}

static json_t *profile_json(const lf_step_profile *p)
{
    json_t *object = json_object();
    put_real(object, "linear_seconds", (double)p->linear_ns * 1e-9);
    put_real(object, "lm_head_seconds", (double)p->lm_head_ns * 1e-9);
    put_real(object, "attention_seconds", (double)p->attention_ns * 1e-9);
    put_real(object, "communication_seconds", (double)p->comm_ns * 1e-9);
    put_real(object, "other_seconds", (double)p->other_ns * 1e-9);
    put_real(object, "sample_seconds", (double)p->sample_ns * 1e-9);
    put_real(object, "step_seconds", (double)p->step_ns * 1e-9);
    put_int(object, "n_step", (int64_t)p->n_step);
    put_int(object, "n_token", (int64_t)p->n_token);
    return object;
}

static void put_profile(json_t *object, const bench *b, double matmul_peak)
{
    const lf_step_profile *p = &b->profile.prefill;
    json_object_set_new(object, "prefill_profile", profile_json(p));
    json_object_set_new(object, "decode_profile", profile_json(&b->profile.decode));
    double flop = (double)p->n_token * b->info.linear_flop_per_token;
    double rate = p->linear_ns > 0 ? flop / ((double)p->linear_ns * 1e-9) : 0;
    put_real(object, "linear_flop_per_second", rate);
    put_real(object, "linear_peak_share", rate / matmul_peak);
}

// Of the profiled steps; waiting for slower ranks included.
static void put_communication(json_t *object, const bench *b)
{
    const lf_step_profile *prefill = &b->profile.prefill, *decode = &b->profile.decode;
    put_real(object, "prefill_communication_share", (double)prefill->comm_ns / LF_MAX((double)prefill->step_ns, 1.0));
    put_real(object, "decode_communication_share", (double)decode->comm_ns / LF_MAX((double)decode->step_ns, 1.0));
    put_real(object, "decode_communication_seconds_per_step",
             (double)decode->comm_ns * 1e-9 / LF_MAX((double)decode->n_step, 1.0));
}

static json_t *figures(const bench *b)
{
    const bench_args *args = b->args;
    const machine *m = &b->machine;
    double read_bandwidth = percentile(m->read_bandwidths, (int64_t)m->count, 0.5);
    double matmul_peak = percentile(m->matmul_peaks, (int64_t)m->count, 0.5);
    json_t *object = json_object();
    json_object_set_new(object, "model", json_string(b->model_dir));
    json_object_set_new(object, "device", json_string(b->info.device));
    json_object_set_new(object, "load_format", json_string(args->load_format));
    const lf_config *config = lf_engine_config(b->engine);
    put_int(object, "num_hidden_layers", config->num_hidden_layers);
    put_int(object, "num_checkpoint_layers", config->num_checkpoint_layers);
    put_int(object, "tensor_parallel_size", b->info.tensor_parallel_size);
    json_object_set_new(object, "expert_parallel", json_boolean(b->info.is_expert_parallel));
    put_int(object, "input_len", args->input_len);
    put_int(object, "output_len", args->output_len);
    put_int(object, "batch_size", args->batch_size);
    put_int(object, "num_iters", args->num_iters);
    put_int(object, "num_iters_warmup", args->num_iters_warmup);
    put_latencies(object, b);

    double prefill = figure(b, prefill_rate, 0.5), decode = figure(b, decode_rate, 0.5);
    double n_prompt_token = (double)(args->input_len * args->batch_size);
    put_real(object, "prefill_tokens_per_second", prefill);
    put_real(object, "decode_tokens_per_second", decode);
    put_real(object, "read_bandwidth_bytes_per_second", read_bandwidth);
    put_real(object, "first_touch_bytes_per_second", m->first_touch);
    put_real(object, "matmul_peak_flop_per_second", matmul_peak);
    json_object_set_new(object, "matmul_peak_of", json_string(m->matmul));
    put_int(object, "weight_bytes", (int64_t)b->info.weight_bytes);
    put_int(object, "step_weight_bytes", (int64_t)b->info.step_weight_bytes);
    // A decode step reads the weights once for the whole batch.
    double steps_per_second = decode / (double)args->batch_size;
    put_real(object, "decode_bandwidth_share", steps_per_second * (double)b->info.step_weight_bytes / read_bandwidth);
    put_real(object, "prefill_peak_share", prefill_flop(b) / n_prompt_token * prefill / matmul_peak);
    put_profile(object, b, matmul_peak);
    if (b->info.tensor_parallel_size > 1) put_communication(object, b);
    double load_bandwidth = b->info.load_seconds > 0 ? (double)b->info.weight_bytes / b->info.load_seconds : 0;
    put_real(object, "load_seconds", b->info.load_seconds);
    put_real(object, "load_bandwidth_bytes_per_second", load_bandwidth);
    put_real(object, "load_bandwidth_share", load_bandwidth / read_bandwidth);
    put_real(object, "load_first_touch_share", load_bandwidth / m->first_touch);
    return object;
}

static void print_figures(const json_t *f)
{
#define GET(key) json_number_value(json_object_get(f, key))
    printf("%s\n", json_string_value(json_object_get(f, "device")));
    printf("machine   %8.1f GB/s read, %.1f GFLOP/s (%s)\n", GET("read_bandwidth_bytes_per_second") * 1e-9,
           GET("matmul_peak_flop_per_second") * 1e-9, json_string_value(json_object_get(f, "matmul_peak_of")));
    printf("load      %8.2f s, %.2f GB/s (%.0f %% of read bandwidth, %.0f %% of touching fresh memory)\n",
           GET("load_seconds"), GET("load_bandwidth_bytes_per_second") * 1e-9, 100 * GET("load_bandwidth_share"),
           100 * GET("load_first_touch_share"));
    printf("prefill   %8.1f tokens/s (%.0f %% of the peak; its linear layers %.0f %%)\n",
           GET("prefill_tokens_per_second"), 100 * GET("prefill_peak_share"), 100 * GET("linear_peak_share"));
    printf("decode    %8.2f tokens/s (%.0f %% of read bandwidth)\n", GET("decode_tokens_per_second"),
           100 * GET("decode_bandwidth_share"));
    if (GET("tensor_parallel_size") > 1) {
        printf(
            "ranks     %8.0f, communication %.0f %% of prefill, %.0f %% of decode (%.3f ms a step), rank 0's waiting "
            "included\n",
            GET("tensor_parallel_size"), 100 * GET("prefill_communication_share"),
            100 * GET("decode_communication_share"), 1e3 * GET("decode_communication_seconds_per_step"));
    }
    printf("latency   %8.3f s on average\n", GET("avg_latency"));
#undef GET
}

// ---- the run ----

static lf_engine_options engine_options(const bench *b)
{
    const bench_args *args = b->args;
    return (lf_engine_options){
        .model_dir = b->model_dir,
        .hf_overrides = b->overrides,
        .load_format = strcmp(args->load_format, "dummy") == 0 ? LF_LOAD_DUMMY : LF_LOAD_AUTO,
        .max_model_len = args->input_len + args->output_len,
        .max_num_seqs = args->batch_size,
        .max_num_batched_tokens = args->max_num_batched_tokens,
        .seed = (uint64_t)args->seed,
        .n_thread = args->n_thread ? (int)args->n_thread : b->ranks->n_thread,
        .enforce_eager = args->enforce_eager,
        .show_progress = lf_comm_rank(b->ranks->comm) == 0,
        .comm = b->ranks->comm,
        .enable_expert_parallel = args->enable_expert_parallel,
    };
}

static lf_status open_engine(bench *b, lf_error *err)
{
    lf_engine_options options = engine_options(b);
    lf_status status = lf_engine_open(&b->engine, &options, err);
    if (!status) lf_engine_describe(b->engine, &b->info);
    return status;
}

static lf_status run_iterations(bench *b, lf_error *err)
{
    uint64_t random = (uint64_t)b->args->seed + 1;
    lf_status status = LF_OK;
    iteration warm;
    for (int64_t i = 0; i < b->args->num_iters_warmup && !status; i++) {
        status = run_iteration(b->engine, b->args, &random, &warm, err);
    }
    for (int64_t i = 0; i < b->args->num_iters && !status; i++) {
        status = sample_machine(&b->machine, err);
        if (!status) status = run_iteration(b->engine, b->args, &random, &b->iterations[i], err);
    }
    if (status) return status;
    lf_engine_profile_set(b->engine, true);
    status = run_iteration(b->engine, b->args, &random, &b->profiled, err);
    lf_engine_profile_set(b->engine, false);
    lf_engine_profile_read(b->engine, &b->profile);
    return status;
}

static lf_status run(bench *b, json_t **out, lf_error *err)
{
    b->iterations = calloc((size_t)b->args->num_iters, sizeof *b->iterations);
    b->values = calloc((size_t)b->args->num_iters, sizeof *b->values);
    size_t n_sample = (size_t)b->args->num_iters + 2;
    b->machine = (machine){.n_thread = b->args->n_thread ? (int)b->args->n_thread : b->ranks->n_thread,
                           .read_bandwidths = calloc(n_sample, sizeof(double)),
                           .matmul_peaks = calloc(n_sample, sizeof(double))};
    if (!b->iterations || !b->values || !b->machine.read_bandwidths || !b->machine.matmul_peaks)
        return lf_error_no_memory(err, 0);
    lf_status status = sample_machine(&b->machine, err);
    if (!status) status = open_engine(b, err);
    if (!status) status = run_iterations(b, err);
    if (!status) status = sample_machine(&b->machine, err);
    if (!status) *out = figures(b);
    return status;
}

static void print_json(const json_t *result, FILE *stream)
{
    json_dumpf(result, stream, JSON_INDENT(2));
    putc('\n', stream);
}

// The output file is opened first: a path that cannot be written should not cost a run.
static lf_status run_and_print(bench *b, lf_error *err)
{
    lf_atomic_file file = {0};
    json_t *result = NULL;
    lf_status status = b->args->output_json ? lf_atomic_file_open(&file, b->args->output_json, err) : LF_OK;
    if (status) return status;
    status = run(b, &result, err);
    if (file.stream && !status) {
        print_json(result, file.stream);
        status = lf_atomic_file_commit(&file, err);
    } else if (file.stream) {
        lf_atomic_file_abort(&file);
    }
    if (!status && b->args->json) {
        print_json(result, stdout);
    } else if (!status) {
        print_figures(result);
    }
    json_decref(result);
    return status;
}

static int run_bench(const lf_verb *verb, int argc, char **argv)
{
    lf_error err;
    bool is_done = false;
    const char *operands[2];
    bench_args args = {.load_format = "auto",
                       .input_len = 32,
                       .output_len = 128,
                       .batch_size = 8,
                       .num_iters = 30,
                       .num_iters_warmup = 10};
    if (lf_opts_parse(verb, argc, argv, &args, operands, 2, &is_done, &err)) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!operands[1] || strcmp(operands[0], "latency") != 0) {
        lf_error_set(&err, LF_ERR_USAGE, "expected: landfall bench latency MODEL");
        return lf_cli_fail(verb, &err);
    }
    lf_ranks ranks;
    bench b = {.args = &args, .model_dir = operands[1], .ranks = &ranks};
    lf_status status = lf_overrides_parse(&b.overrides, args.hf_overrides, &err);
    if (status) return lf_cli_fail(verb, &err);
    status = lf_ranks_open(&ranks, verb, argc, argv, args.tensor_parallel_size, &err);
    if (!status && ranks.is_over) {
        json_decref(b.overrides);
        return ranks.exit_status;
    }
    if (!status && lf_comm_rank(ranks.comm) > 0) {
        lf_engine_options options = engine_options(&b);
        status = lf_engine_follow(&options, NULL, &err);
    } else if (!status) {
        status = run_and_print(&b, &err);
    }
    lf_engine_close(b.engine);
    json_decref(b.overrides);
    close_machine(&b.machine);
    free(b.iterations);
    free(b.values);
    return lf_ranks_close(&ranks, verb, status, &err);
}

const lf_verb lf_verb_bench = {
    .name = "bench",
    .operands = "latency MODEL",
    .summary = "prefill and decode figures beside this machine's own limits",
    .description =
        "Prefill and decode figures of a model, beside the read bandwidth and the multiplication peak of the machine, "
        "which are measured in the same run.",
    .example = "landfall bench latency models/Qwen3-0.6B --load-format dummy --input-len 512",
    .opts = bench_opts,
    .n_opt = LF_ARRAY_LENGTH(bench_opts),
    .computes = true,
    .run = run_bench,
};
