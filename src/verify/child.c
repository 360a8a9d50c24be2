// SPDX-License-Identifier: Apache-2.0
//
// Our own program as a child: a server, or one run. Readiness is the file that the server writes after a real
// warm-up generation, not an open port: servers that listen and crash at the first request are one of the things that a
// bring-up must catch.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "verify/verify_int.h"

enum {
    MAX_READY_BYTES = 64 << 20,
    MAX_LOG_BYTES = 256 << 20,
    LOOK_NS = 5000000, // how often somebody looks for the file
};
static const double stop_timeout_s = 30;

// Copies the last line of the log that is not empty: what the server said before it gave up.
static void last_line(const char *log_path, char *dst, size_t dst_bytes)
{
    char *text;
    size_t length;
    lf_error err;
    dst[0] = '\0';
    if (lf_file_read(&text, &length, log_path, MAX_LOG_BYTES, &err)) return;
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r')) text[--length] = '\0';
    const char *line = strrchr(text, '\n');
    snprintf(dst, dst_bytes, "%s", line ? line + 1 : text);
    free(text);
}

// A command line: flags whose value is not there (0, NULL) are left out.
enum { MAX_ARGUMENT = 40 };
typedef struct command {
    const char *items[MAX_ARGUMENT + 1]; // BORROWED, NULL-terminated
    size_t count;
    char numbers[4][24];
    size_t n_number;
} command;

static void add(command *c, const char *item) { c->items[c->count++] = item; }

static void add_text(command *c, const char *flag, const char *value)
{
    if (!value) return;
    add(c, flag);
    add(c, value);
}

static void add_number(command *c, const char *flag, int64_t value)
{
    if (value <= 0) return;
    char *digits = c->numbers[c->n_number++];
    snprintf(digits, sizeof c->numbers[0], "%lld", (long long)value);
    add_text(c, flag, digits);
}

// What a server and a run have in common.
static void add_model(command *c, const lf__child_args *args)
{
    add_text(c, "--load-format", args->load_format);
    add_text(c, "--hf-overrides", args->hf_overrides);
    add_number(c, "--max-model-len", args->max_model_len);
    if (args->tensor_parallel_size > 1) add_number(c, "--tensor-parallel-size", args->tensor_parallel_size);
    if (args->enable_expert_parallel) add(c, "--enable-expert-parallel");
}

// What needs one rank only is a process of its own beside those that are there.
static const lf_verify_ranks *ranks_of(const lf__child_args *args)
{
    return args->tensor_parallel_size > 1 ? args->ranks : NULL;
}

static lf_status spawn_server(lf__child *child, const lf__child_args *args, lf_error *err)
{
    command c = {.items = {args->program, "serve", args->model_dir, "--host", "127.0.0.1", "--port", "0"}, .count = 7};
    add_text(&c, "--ready-file", child->ready_path);
    add_model(&c, args);
    return lf__process_start(&child->process, ranks_of(args), c.items, child->log_path, err);
}

// How a finished process ended, in words.
static void describe_exit(int wait_status, char *dst, size_t dst_bytes)
{
    if (WIFSIGNALED(wait_status)) {
        snprintf(dst, dst_bytes, "killed by signal %d", WTERMSIG(wait_status));
    } else {
        snprintf(dst, dst_bytes, "exit status %d", WEXITSTATUS(wait_status));
    }
}

static lf_status wait_until_ready(lf__child *child, double timeout_s, lf_error *err)
{
    int64_t deadline_ns = lf_now_ns() + (int64_t)(timeout_s * 1e9);
    for (;;) {
        lf_status status = lf_json_load(&child->ready, child->ready_path, MAX_READY_BYTES, err);
        if (status != LF_ERR_NOT_FOUND) return status;
        int wait_status;
        if (lf__process_wait(&child->process, lf_now_ns() + LOOK_NS, &wait_status)) {
            char line[400], ending[64];
            last_line(child->log_path, line, sizeof line);
            describe_exit(wait_status, ending, sizeof ending);
            return lf_error_set(err, LF_ERR_DEVICE, "the server ended before it was ready (%s): %s", ending,
                                line[0] ? line : "its log is empty");
        }
        if (lf_now_ns() > deadline_ns) {
            return lf_error_set(err, LF_ERR_DEVICE, "the server was not ready within %.0f s", timeout_s);
        }
    }
}

lf_status lf__child_start(lf__child *child, const lf__child_args *args, lf_error *err)
{
    *child = (lf__child){0};
    lf_buf ready_name = LF_BUF_INIT;
    lf_buf_printf(&ready_name, "%s.ready.json", args->log_name);
    child->log_path = lf_path_join(args->output_dir, args->log_name);
    child->ready_path = lf_path_join(args->output_dir, lf_buf_text(&ready_name));
    bool has_names = child->log_path && child->ready_path && !lf_buf_failed(&ready_name);
    lf_buf_fini(&ready_name);
    if (!has_names) return lf_error_no_memory(err, 0);

    unlink(child->ready_path);
    lf_status status = spawn_server(child, args, err);
    if (!status) status = wait_until_ready(child, args->ready_timeout_s, err);
    if (status) {
        bool clean;
        lf__child_stop(child, &clean);
    }
    return status;
}

void lf__child_stop(lf__child *child, bool *clean)
{
    *clean = false;
    if (!child->process.is_running) return;
    int wait_status = 0;
    lf__process_signal(&child->process, SIGTERM);
    if (lf__process_wait(&child->process, lf_now_ns() + (int64_t)(stop_timeout_s * 1e9), &wait_status)) {
        *clean = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
    } else {
        lf__process_kill(&child->process);
    }
}

lf_status lf__child_run(const lf__child_args *args, const lf__run_args *run, lf_error *err)
{
    char line[400], ending[64];
    lf__process process;
    int wait_status = 0;
    char *log_path = lf_path_join(args->output_dir, args->log_name);
    if (!log_path) return lf_error_no_memory(err, 0);
    command c = {.items = {args->program, "run", args->model_dir, "--raw", "--ignore-eos"}, .count = 5};
    add_text(&c, "--prompt", run->prompt);
    add_text(&c, "--temperature", "0");
    add_text(&c, "--generation-config", "vllm");
    add_number(&c, "--max-tokens", run->max_tokens);
    add_text(&c, "--trace-layers", run->trace_path);
    add_model(&c, args);
    lf_status status = lf__process_start(&process, ranks_of(args), c.items, log_path, err);
    if (status) goto out;
    if (!lf__process_wait(&process, lf_now_ns() + (int64_t)(args->ready_timeout_s * 1e9), &wait_status)) {
        lf__process_kill(&process);
        status = lf_error_set(err, LF_ERR_DEVICE, "the run took more than %.0f s", args->ready_timeout_s);
    } else if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0) {
        last_line(log_path, line, sizeof line);
        describe_exit(wait_status, ending, sizeof ending);
        status =
            lf_error_set(err, LF_ERR_DEVICE, "the run failed (%s): %s", ending, line[0] ? line : "it said nothing");
    }
out:
    free(log_path);
    return status;
}

void lf__child_fini(lf__child *child)
{
    bool clean;
    lf__child_stop(child, &clean);
    if (child->ready_path) unlink(child->ready_path);
    free(child->log_path);
    free(child->ready_path);
    json_decref(child->ready);
    *child = (lf__child){0};
}
