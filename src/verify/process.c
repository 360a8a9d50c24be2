// SPDX-License-Identifier: Apache-2.0
//
// A command that runs, from its start to its end: as a process of its own, or on the ranks that somebody else has
// started.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "verify/verify_int.h"

extern char **environ;

static const struct timespec look = {.tv_nsec = 5000000}; // between two looks at a process that runs

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

lf_status lf__process_start(lf__process *process, const lf_verify_ranks *ranks, const char *const *argv,
                            const char *log_path, lf_error *err)
{
    *process = (lf__process){.ranks = ranks};
    lf_status status =
        ranks ? ranks->start(ranks->ctx, argv, log_path, err) : spawn(&process->pid, argv, log_path, err);
    process->is_running = !status;
    return status;
}

static bool has_ended(const lf__process *process, int *wait_status)
{
    if (process->ranks) return process->ranks->has_ended(process->ranks->ctx, wait_status);
    pid_t ended = waitpid(process->pid, wait_status, WNOHANG);
    return ended == process->pid || (ended < 0 && errno != EINTR);
}

bool lf__process_wait(lf__process *process, int64_t deadline_ns, int *wait_status)
{
    *wait_status = SIGKILL; // of a process that somebody else has waited for
    while (process->is_running) {
        if (has_ended(process, wait_status)) {
            process->is_running = false;
        } else if (lf_now_ns() > deadline_ns) {
            return false;
        } else {
            nanosleep(&look, NULL);
        }
    }
    return true;
}

void lf__process_signal(const lf__process *process, int number)
{
    if (!process->is_running) return;
    if (process->ranks) {
        process->ranks->send_signal(process->ranks->ctx, number);
    } else {
        kill(process->pid, number);
    }
}

void lf__process_kill(lf__process *process)
{
    int wait_status;
    lf__process_signal(process, SIGKILL);
    lf__process_wait(process, INT64_MAX, &wait_status);
}
