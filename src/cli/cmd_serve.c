// SPDX-License-Identifier: Apache-2.0
//
// landfall serve: an OpenAI-compatible server on one model. Order at the start: the port is taken before the model is
// loaded (a taken port costs no load), the model has generated a token before anybody is told that the server is ready.
// The first SIGTERM or SIGINT lets running requests finish, the second ends the process; while the model loads, the
// first one does. With several ranks, rank 0 is the server and the others compute what it says. When one of them goes,
// running requests are answered with the reason and the server ends.
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/ranks.h"
#include "cli/verbs.h"
#include "landfall.h"
#include "server/server.h"

enum {
    MAX_API_KEYS = 64,
    LOOK_MS = 100,    // how often a waiting server looks whether all ranks are there
    LAST_WORDS_S = 5, // for running requests, when a rank has gone: they end with the next step
};

typedef struct serve_args {
    const char *host, *load_format, *dtype, *chat_template, *generation_config, *dequant_rounding, *ready_file,
        *hf_overrides;
    lf_opt_list served_model_name, api_key;
    int64_t port, max_model_len, max_num_seqs, max_num_batched_tokens, block_size, kv_cache_memory_bytes, seed, threads,
        tensor_parallel_size, max_body_bytes;
    double shutdown_timeout;
    bool enforce_eager, enable_expert_parallel, disable_log_requests, trust_remote_code;
    json_t *overrides; // OWNED: hf_overrides, parsed
} serve_args;

#define OPTION(flag, field, kind_, ...)                                                                                \
    {                                                                                                                  \
        .name = flag, .kind = LF_OPT_##kind_, .offset = offsetof(serve_args, field), __VA_ARGS__                       \
    }
static const lf_opt serve_opts[] = {
    OPTION("host", host, STRING, .metavar = "HOST", .help = "address to listen on (default 127.0.0.1; 0.0.0.0: all)"),
    OPTION("port", port, INT, .metavar = "N", .help = "port (default 8000; 0: any free one)", .min = 0, .max = 65535),
    OPTION("served-model-name", served_model_name, LIST, .metavar = "NAME",
           .help = "name in the API (default MODEL; repeatable, the first is shown)"),
    OPTION("api-key", api_key, LIST, .metavar = "KEY",
           .help = "key that clients must send, guards all but /health and /ping (repeatable, or with commas; also "
                   "LANDFALL_API_KEY)"),
    OPTION("load-format", load_format, STRING, .metavar = "FORMAT", .choices = "auto|safetensors|dummy",
           .help = "weights: the checkpoint's, or dummy values"),
    OPTION("hf-overrides", hf_overrides, STRING, .metavar = "JSON",
           .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'"),
    OPTION("max-model-len", max_model_len, SIZE, .metavar = "N",
           .help = "longest context in tokens (default: config.json; -1: the same)", .min = -1,
           .max = INT64_C(1) << 30),
    OPTION("max-num-seqs", max_num_seqs, INT, .metavar = "N", .help = "most sequences in one step (default 32)",
           .min = 1, .max = 4096),
    OPTION("max-num-batched-tokens", max_num_batched_tokens, SIZE, .metavar = "N",
           .help = "most tokens in one step (default 512)", .min = 1, .max = 1 << 20),
    OPTION("block-size", block_size, INT, .metavar = "N", .help = "tokens of a KV block (default 16)", .min = 1,
           .max = 1024),
    OPTION("kv-cache-memory-bytes", kv_cache_memory_bytes, SIZE, .metavar = "N", .help = "memory of the KV cache",
           .min = 1, .max = INT64_MAX),
    OPTION("seed", seed, INT, .metavar = "N", .help = "seed of dummy weights and of requests without one (default 0)",
           .min = 0, .max = INT64_MAX),
    OPTION("dtype", dtype, STRING, .metavar = "TYPE", .choices = "auto|bfloat16",
           .help = "number format of weights and activations"),
    OPTION("dequant-rounding", dequant_rounding, STRING, .metavar = "HOW", .choices = "exact|bf16-scale",
           .help = "exact, or scales rounded to bf16 first"),
    OPTION("tensor-parallel-size", tensor_parallel_size, INT, .alias = "-tp", .metavar = "N",
           .help = "ranks that share the model; started here, or by mpirun or srun", .min = 1, .max = LF_RANKS_MAX),
    OPTION("enable-expert-parallel", enable_expert_parallel, FLAG,
           .help = "deal experts out whole to the ranks instead of cutting each"),
    OPTION("enforce-eager", enforce_eager, FLAG, .help = "no graph capture"),
    OPTION("threads", threads, INT, .metavar = "N", .help = "threads that compute (default: all processors)", .min = 1,
           .max = 4096),
    OPTION("chat-template", chat_template, STRING, .metavar = "FILE",
           .help = "Jinja file, instead of the checkpoint's template"),
    OPTION("generation-config", generation_config, STRING, .metavar = "WHICH", .choices = "auto|vllm",
           .help = "auto: sampling defaults of generation_config.json; vllm: neutral ones"),
    OPTION("shutdown-timeout", shutdown_timeout, REAL, .metavar = "SECONDS",
           .help = "for running requests after SIGTERM (default 30)", .min = 0, .max = 86400),
    OPTION("max-body-bytes", max_body_bytes, SIZE, .metavar = "N", .help = "largest request body (default 4M)",
           .min = 1024, .max = INT64_C(1) << 30),
    OPTION("disable-log-requests", disable_log_requests, FLAG, .help = "no log line for each request"),
    OPTION("trust-remote-code", trust_remote_code, FLAG,
           .help = "accepted for compatibility; a checkpoint's code is never run"),
    OPTION("ready-file", ready_file, STRING, .metavar = "FILE",
           .help = "JSON written once the server has generated a token and listens"),
};

// ---- signals ----

enum {
    NOT_READY, // a signal ends the process
    SERVING,   // the first one asks for an end of running requests, a second ends the process
    SERVED,    // the next one ends the thread that waits for it
};

typedef struct signal_watch {
    sigset_t set;
    int event_fd;     // readable after the first signal
    atomic_int phase; // NOT_READY, SERVING or SERVED
    pthread_t thread;
} signal_watch;

static void *watch_signals(void *ctx)
{
    signal_watch *watch = ctx;
    for (int n = 0;; n++) {
        int number = 0;
        while (sigwait(&watch->set, &number) != 0) continue;
        int phase = atomic_load(&watch->phase);
        if (phase == SERVED) break;
        if (n > 0 || phase == NOT_READY) _exit(128 + number);
        uint64_t one = 1;
        ssize_t written = write(watch->event_fd, &one, sizeof one);
        (void)written;
    }
    return NULL;
}

// Blocks the signals in this thread and in all that it starts from now on.
static void watch_block(signal_watch *watch)
{
    sigemptyset(&watch->set);
    sigaddset(&watch->set, SIGTERM);
    sigaddset(&watch->set, SIGINT);
    atomic_init(&watch->phase, NOT_READY);
    signal(SIGPIPE, SIG_IGN);
    pthread_sigmask(SIG_BLOCK, &watch->set, NULL);
}

// Hands them to one thread.
static lf_status watch_start(signal_watch *watch, lf_error *err)
{
    watch->event_fd = eventfd(0, EFD_CLOEXEC);
    if (watch->event_fd < 0) return lf_error_errno(err, errno, "cannot make an eventfd");
    int code = pthread_create(&watch->thread, NULL, watch_signals, watch);
    return code ? lf_error_errno(err, code, "cannot watch for signals") : LF_OK;
}

static void watch_stop(signal_watch *watch)
{
    atomic_store(&watch->phase, SERVED);
    pthread_kill(watch->thread, SIGTERM); // it waits for one
    pthread_join(watch->thread, NULL);
    close(watch->event_fd);
}

// Until a signal comes, or a rank goes: LF_ERR_COMM with the cause.
static lf_status watch_wait(signal_watch *watch, lf_comm *comm, lf_error *err)
{
    struct pollfd signalled = {.fd = watch->event_fd, .events = POLLIN};
    while (poll(&signalled, 1, comm ? LOOK_MS : -1) <= 0) {
        if (lf_comm_failure(comm, err)) return err->status;
    }
    return LF_OK;
}

// ---- ready ----

static json_t *ranks_json(const lf_session *session)
{
    const lf_rank_info *ranks = lf_engine_ranks(session->engine);
    json_t *list = json_array();
    for (int64_t r = 0; r < session->info.tensor_parallel_size; r++) {
        json_array_append_new(list, json_pack("{s:o, s:I, s:I, s:I, s:f}", "host", lf_json_lossy_string(ranks[r].host),
                                              "weight_bytes", (json_int_t)ranks[r].weight_bytes, "kv_cache_bytes",
                                              (json_int_t)ranks[r].kv_cache_bytes, "bytes_read",
                                              (json_int_t)ranks[r].bytes_read, "load_seconds", ranks[r].load_seconds));
    }
    return list;
}

static json_t *engine_json(const lf_session *session)
{
    const lf_engine_info *info = &session->info;
    return json_pack("{s:I, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:s}", "tensor_parallel_size",
                     (json_int_t)info->tensor_parallel_size, "expert_parallel", info->is_expert_parallel, "ranks",
                     ranks_json(session), "max_model_len", (json_int_t)info->max_model_len, "max_num_seqs",
                     (json_int_t)info->max_num_seqs, "max_num_batched_tokens", (json_int_t)info->max_num_batched_tokens,
                     "block_size", (json_int_t)info->block_size, "n_kv_block", (json_int_t)info->n_kv_block,
                     "weight_bytes", (json_int_t)info->weight_bytes, "kv_cache_bytes", (json_int_t)info->kv_cache_bytes,
                     "load_seconds", info->load_seconds, "device", info->device);
}

static lf_status write_ready_file(const serve_args *args, const char *model, int port, const lf_session *session,
                                  lf_error *err)
{
    json_t *root =
        json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:o, s:o}", "host", args->host, "port", port, "pid", (int)getpid(),
                  "model", model, "load_format", strcmp(args->load_format, "dummy") == 0 ? "dummy" : "auto", "version",
                  lf_version(), "ledger", lf_engine_ledger(session->engine), "engine", engine_json(session));
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return lf_error_set(err, LF_ERR_NO_MEMORY, "cannot describe the server for %s", args->ready_file);
    lf_status status = lf_file_write(args->ready_file, text, strlen(text), err);
    free(text);
    return status;
}

// ---- the verb ----

// Keys of --api-key (each may hold several, with commas) and of the environment. `storage` (free() it) holds the text.
static lf_status gather_api_keys(const serve_args *args, const char **keys, char **storage, lf_error *err)
{
    lf_buf text = LF_BUF_INIT;
    for (size_t i = 0; i < args->api_key.count; i++) lf_buf_printf(&text, "%s,", args->api_key.items[i]);
    const char *environment = getenv("LANDFALL_API_KEY");
    if (environment) lf_buf_puts(&text, environment);
    *storage = lf_buf_take(&text);
    if (!*storage) return lf_error_no_memory(err, 0);
    size_t n = 0;
    char *rest = *storage;
    for (char *key; (key = strsep(&rest, ","));) {
        if (!*key) continue;
        if (n == MAX_API_KEYS) return lf_error_set(err, LF_ERR_USAGE, "more than %d API keys", MAX_API_KEYS);
        keys[n++] = key;
    }
    keys[n] = NULL;
    if (n == 0 && args->api_key.count > 0) return lf_error_set(err, LF_ERR_USAGE, "--api-key is empty");
    return LF_OK;
}

static lf_status check_args(const serve_args *args, lf_error *err)
{
    if (args->max_num_batched_tokens && args->max_num_seqs > args->max_num_batched_tokens) {
        return lf_error_set(err, LF_ERR_USAGE,
                            "max_num_batched_tokens (%lld) must be greater than or equal to max_num_seqs (%lld).",
                            (long long)args->max_num_batched_tokens, (long long)args->max_num_seqs);
    }
    return LF_OK;
}

static lf_session_options session_options(const serve_args *args, const char *model, const lf_ranks *ranks)
{
    return (lf_session_options){
        .engine = {.model_dir = model,
                   .hf_overrides = args->overrides,
                   .load_format = strcmp(args->load_format, "dummy") == 0 ? LF_LOAD_DUMMY : LF_LOAD_AUTO,
                   .rounding = strcmp(args->dequant_rounding, "exact") == 0 ? LF_DEQUANT_EXACT : LF_DEQUANT_BF16_SCALE,
                   .max_model_len = LF_MAX(args->max_model_len, (int64_t)0),
                   .max_num_seqs = args->max_num_seqs,
                   .max_num_batched_tokens = args->max_num_batched_tokens,
                   .block_size = args->block_size,
                   .kv_cache_memory_bytes = args->kv_cache_memory_bytes,
                   .seed = (uint64_t)args->seed,
                   .n_thread = args->threads ? (int)args->threads : ranks->n_thread,
                   .enforce_eager = args->enforce_eager,
                   .show_progress = true,
                   .comm = ranks->comm,
                   .enable_expert_parallel = args->enable_expert_parallel},
        .chat_template_path = args->chat_template,
        .ignore_generation_config = strcmp(args->generation_config, "vllm") == 0,
    };
}

static void finish_running(lf_server *server, double timeout_seconds)
{
    lf_log(LF_LOG_INFO, "shutting down: no new requests; running ones may take %.0f s (a second signal ends now)",
           timeout_seconds);
    lf_server_quiesce(server);
    if (!lf_server_wait_idle(server, (int)(timeout_seconds * 1000))) {
        lf_log(LF_LOG_WARNING, "requests are still running after %.0f s and are ended", timeout_seconds);
    }
}

// A rank has gone: new requests are refused, /health says so, and running ones end with the cause.
static void end_running(lf_server *server, lf_service *service)
{
    atomic_store(&service->is_failing, true);
    lf_server_quiesce(server);
    lf_server_wait_idle(server, LAST_WORDS_S * 1000);
}

// Serves until a signal; everything is released on the way out.
static lf_status serve(const serve_args *args, const char *model, const char *const *api_keys, lf_comm *comm,
                       const lf_session_options *options, signal_watch *watch, lf_error *err)
{
    lf_session *session = NULL;
    lf_service service = {0};
    lf_server *server = NULL;
    bool has_service = false;
    int listen_fd = -1, port = (int)args->port;
    const char *default_name[] = {model, NULL};
    const char *const *names = args->served_model_name.count ? args->served_model_name.items : default_name;
    lf_server_options http = {.api_keys = api_keys[0] ? api_keys : NULL,
                              .max_body_bytes = (size_t)args->max_body_bytes,
                              .quiet = args->disable_log_requests};
    int64_t start_ns = lf_now_ns();
    if (args->ready_file) unlink(args->ready_file); // an old one would tell a lie while the model loads
    lf_status status = lf_listener_open(&listen_fd, args->host, &port, err);
    if (!status) status = lf_session_open(&session, options, err);
    if (!status) status = lf_session_warm_up(session, err);
    if (!status) status = lf_service_init(&service, session, names, err);
    has_service = !status;
    if (!status) {
        status = lf_server_start(&server, &service, listen_fd, &http, err);
        listen_fd = -1;
    }
    if (!status && args->ready_file) status = write_ready_file(args, model, port, session, err);
    if (status) goto out;
    atomic_store(&watch->phase, SERVING);
    bool is_ipv6 = strchr(args->host, ':') != NULL;
    lf_log(LF_LOG_INFO,
           "Landfall server ready on http://%s%s%s:%d (%s, %s weights, max_model_len %lld; %.3f s after the start)",
           is_ipv6 ? "[" : "", args->host, is_ipv6 ? "]" : "", port, names[0], args->load_format,
           (long long)session->info.max_model_len, (double)(lf_now_ns() - start_ns) * 1e-9);
    lf_log(LF_LOG_INFO, "Application startup complete.");
    status = watch_wait(watch, comm, err);
    if (status) {
        end_running(server, &service);
    } else {
        finish_running(server, args->shutdown_timeout);
    }
out:
    if (listen_fd >= 0) close(listen_fd);
    lf_server_close(server);
    if (has_service) lf_service_fini(&service);
    lf_session_close(session);
    return status;
}

static int run_serve(const lf_verb *verb, int argc, char **argv)
{
    serve_args args = {.host = "127.0.0.1",
                       .port = 8000,
                       .load_format = "auto",
                       .dtype = "auto",
                       .generation_config = "auto",
                       .dequant_rounding = "exact",
                       .shutdown_timeout = 30};
    const char *model = NULL, *api_keys[MAX_API_KEYS + 1];
    char *key_text = NULL;
    bool is_done = false, is_watching = false;
    signal_watch watch;
    lf_error err = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &model, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!model) {
        lf_error_set(&err, LF_ERR_USAGE, "MODEL is missing; `landfall serve --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    lf_ranks ranks = {0};
    status = check_args(&args, &err);
    if (!status) status = lf_overrides_parse(&args.overrides, args.hf_overrides, &err);
    if (!status) status = gather_api_keys(&args, api_keys, &key_text, &err);
    if (status) goto out;
    watch_block(&watch); // before MPI starts threads of its own
    status = lf_ranks_open(&ranks, verb, argc, argv, args.tensor_parallel_size, &err);
    if (status || ranks.is_over) goto out;
    const lf_session_options options = session_options(&args, model, &ranks);
    if (lf_comm_rank(ranks.comm) > 0) {
        status = lf_engine_follow(&options.engine, NULL, &err);
        goto out;
    }
    status = watch_start(&watch, &err);
    is_watching = !status;
    if (!status) status = serve(&args, model, api_keys, ranks.comm, &options, &watch, &err);
    if (!status && lf_comm_failure(ranks.comm, &err)) status = err.status; // while it was told to stop
    if (!status) lf_log(LF_LOG_INFO, "stopped");
out:
    if (is_watching) watch_stop(&watch);
    free(key_text);
    json_decref(args.overrides);
    return ranks.is_over ? ranks.exit_status : lf_ranks_close(&ranks, verb, status, &err);
}

const lf_verb lf_verb_serve = {
    .name = "serve",
    .operands = "MODEL",
    .summary = "OpenAI-compatible server",
    .description =
        "An HTTP server with the OpenAI API: /v1/models, /v1/chat/completions, /v1/completions, and /tokenize, "
        "/detokenize, /health, /version, /metrics beside them. Flags are spelled as vLLM spells them. It says that "
        "it is ready only after it has generated a token.\n\n"
        "With --tensor-parallel-size N the program starts N processes of itself on this machine through mpirun, "
        "unless mpirun or srun has started it already; the first one serves. When one of them ends, running "
        "requests are answered with an error, the others end too, and the exit status is 3.\n\n"
        "SIGTERM finishes running requests, then exits with 0. Open MPI's mpirun waits one second only before it "
        "kills what it was told to end: send SIGTERM to landfall itself, or give mpirun --mca "
        "odls_base_sigkill_timeout 60. Under mpirun or srun the exit status of the whole is theirs. MPICH's mpirun "
        "kills all ranks at once when one has died, so clients are told only where the program starts its ranks "
        "itself.",
    .example = "landfall serve models/landfall-tiny-qwen3-fp8 --port 8000",
    .opts = serve_opts,
    .n_opt = LF_ARRAY_LENGTH(serve_opts),
    .computes = true,
    .run = run_serve,
};
