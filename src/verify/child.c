// SPDX-License-Identifier: Apache-2.0
//
// Our own program as a child process: a server, or one run. Readiness is the file that the server writes after a real
// warm-up generation, not an open port: servers that listen and crash at the first request are one of the things that a
// bring-up must catch.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "verify/verify_int.h"

extern char **environ;

enum { MAX_READY_BYTES = 64 << 20, MAX_LOG_BYTES = 256 << 20 };
static const double stop_timeout_s = 30;

static void sleep_ms(long ms)
{
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

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

// Starts the program with its output in the log.
static lf_status spawn(pid_t *out, const char *const *argv, const char *log_path, lf_error *err)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return lf_error_no_memory(err, 0);
    int failure = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!failure) {
        failure =
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    }
    if (!failure) failure = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (!failure) failure = posix_spawn(out, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return failure ? lf_error_errno(err, failure, "cannot start %s %s", argv[0], argv[1]) : LF_OK;
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

static lf_status spawn_server(lf__child *child, const lf__child_args *args, lf_error *err)
{
    command c = {.items = {args->program, "serve", args->model_dir, "--host", "127.0.0.1", "--port", "0"}, .count = 7};
    add_text(&c, "--ready-file", child->ready_path);
    add_model(&c, args);
    return spawn(&child->pid, c.items, child->log_path, err);
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
        if (waitpid(child->pid, &wait_status, WNOHANG) == child->pid) {
            char line[400], ending[64];
            child->pid = 0;
            last_line(child->log_path, line, sizeof line);
            describe_exit(wait_status, ending, sizeof ending);
            return lf_error_set(err, LF_ERR_DEVICE, "the server ended before it was ready (%s): %s", ending,
                                line[0] ? line : "its log is empty");
        }
        if (lf_now_ns() > deadline_ns) {
            return lf_error_set(err, LF_ERR_DEVICE, "the server was not ready within %.0f s", timeout_s);
        }
        sleep_ms(5);
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
    if (status && child->pid) {
        bool clean;
        lf__child_stop(child, &clean);
    }
    return status;
}

void lf__child_stop(lf__child *child, bool *clean)
{
    *clean = false;
    if (!child->pid) return;
    int64_t deadline_ns = lf_now_ns() + (int64_t)(stop_timeout_s * 1e9);
    int wait_status = 0;
    kill(child->pid, SIGTERM);
    for (;;) {
        pid_t ended = waitpid(child->pid, &wait_status, WNOHANG);
        if (ended == child->pid) {
            *clean = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
            break;
        }
        if (ended < 0 && errno != EINTR) break;
        if (lf_now_ns() > deadline_ns) {
            kill(child->pid, SIGKILL);
            waitpid(child->pid, &wait_status, 0);
            break;
        }
        sleep_ms(5);
    }
    child->pid = 0;
}

lf_status lf__child_run(const lf__child_args *args, const lf__run_args *run, lf_error *err)
{
    char line[400], ending[64];
    pid_t pid = 0;
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
    lf_status status = spawn(&pid, c.items, log_path, err);
    int64_t deadline_ns = lf_now_ns() + (int64_t)(args->ready_timeout_s * 1e9);
    while (!status && waitpid(pid, &wait_status, WNOHANG) == 0) {
        if (lf_now_ns() > deadline_ns) {
            kill(pid, SIGKILL);
            waitpid(pid, &wait_status, 0);
            status = lf_error_set(err, LF_ERR_DEVICE, "the run took more than %.0f s", args->ready_timeout_s);
        } else {
            sleep_ms(5);
        }
    }
    if (!status && (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)) {
        last_line(log_path, line, sizeof line);
        describe_exit(wait_status, ending, sizeof ending);
        status =
            lf_error_set(err, LF_ERR_DEVICE, "the run failed (%s): %s", ending, line[0] ? line : "it said nothing");
    }
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
