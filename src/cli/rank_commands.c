// SPDX-License-Identifier: Apache-2.0
//
// The host takes one record for each command from a socket, tells it to the other ranks, runs it, and answers with its
// exit status. A command that has failed leaves the ranks failed: those that follow fail for the same reason, because
// nobody can tell in what state each rank was left.
#include "cli/rank_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/ranks.h"
#include "cli/verbs.h"

enum {
    MAX_COMMAND_BYTES =
        64 << 10, // a record of the socket: the name of the log, the verb and its arguments, each with its 0
    MAX_ARGUMENT = 64,
    END_S = 10,   // for the host, after the last command
    LINGER_S = 5, // of ranks after a failed command: a launcher that sees one end would end rank 0 before its report
    JOINED = -1,  // what the host says when all ranks have met; other values are exit statuses
};

typedef struct command {
    uint32_t n_byte; // 0: no command follows
    char text[MAX_COMMAND_BYTES];
} command;

// ---- on every rank ----

static const lf_verb *find_verb(const char *name)
{
    static const lf_verb *const verbs[] = {&lf_verb_serve, &lf_verb_run};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(verbs); i++) {
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
    }
    return NULL;
}

// `text` is the verb and its arguments. Returns its exit status.
static int run_command(char *text, size_t n_byte)
{
    char *argv[MAX_ARGUMENT + 1];
    int argc = 0;
    for (char *at = text; at < text + n_byte && argc < MAX_ARGUMENT; at += strlen(at) + 1) argv[argc++] = at;
    argv[argc] = NULL;
    const lf_verb *verb = argc ? find_verb(argv[0]) : NULL;
    return verb ? verb->run(verb, argc - 1, argv + 1) : 2;
}

// Ranks above 0: until rank 0 has no more commands, or has gone.
static lf_status follow(lf_comm *comm, lf_error *err)
{
    command *c = calloc(1, sizeof *c);
    lf_status status = lf_comm_agree(comm, c ? LF_OK : lf_error_no_memory(err, sizeof *c), err);
    int exit_status = 0;
    while (!status && exit_status == 0) {
        status = lf_comm_broadcast(comm, &c->n_byte, sizeof c->n_byte, err);
        if (status || c->n_byte == 0) break;
        status = lf_comm_broadcast(comm, c->text, c->n_byte, err);
        if (!status) exit_status = run_command(c->text, c->n_byte);
    }
    if (status || exit_status) sleep(LINGER_S);
    free(c);
    return status;
}

// ---- rank 0's host ----

static lf_status tell(lf_comm *comm, command *c, lf_error *err)
{
    lf_status status = lf_comm_broadcast(comm, &c->n_byte, sizeof c->n_byte, err);
    if (!status && c->n_byte) status = lf_comm_broadcast(comm, c->text, c->n_byte, err);
    return status;
}

static bool say(int fd, int32_t value) { return send(fd, &value, sizeof value, MSG_NOSIGNAL) == sizeof value; }

// Makes the file stdout and stderr; the old ones go to `saved`.
static void enter_log(const char *path, int saved[2])
{
    fflush(stdout);
    saved[0] = dup(STDOUT_FILENO);
    saved[1] = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return;
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void leave_log(const int saved[2])
{
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        if (saved[i] < 0) continue;
        dup2(saved[i], STDOUT_FILENO + i);
        close(saved[i]);
    }
}

// A command on ranks that have failed runs on rank 0 alone and ends with the reason, in its log.
static int host_command(lf_comm *comm, char *record, size_t n_byte, command *c)
{
    int saved[2];
    lf_error ignored;
    size_t skipped = strlen(record) + 1;
    c->n_byte = (uint32_t)(n_byte - skipped);
    memcpy(c->text, record + skipped, c->n_byte);
    enter_log(record, saved);
    lf_log_set_level(LF_LOG_INFO);
    tell(comm, c, &ignored);
    int exit_status = run_command(c->text, c->n_byte);
    leave_log(saved);
    return exit_status;
}

static lf_status host(lf_comm *comm, int fd, lf_error *err)
{
    command *c = calloc(1, sizeof *c);
    char *record = malloc(MAX_COMMAND_BYTES);
    lf_status status = lf_comm_agree(comm, c && record ? LF_OK : lf_error_no_memory(err, sizeof *c), err);
    bool is_wanted = !status && say(fd, JOINED), has_failed = false;
    while (is_wanted) {
        ssize_t n = recv(fd, record, MAX_COMMAND_BYTES, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        int exit_status = host_command(comm, record, (size_t)n, c);
        has_failed = has_failed || exit_status != 0;
        is_wanted = say(fd, exit_status);
    }
    if (!status && !has_failed) {
        c->n_byte = 0;
        status = tell(comm, c, err);
    }
    free(record);
    free(c);
    return status;
}

// ---- who asks for commands ----

static void host_has_ended(lf_rank_commands *commands)
{
    while (commands->host && waitpid(commands->host, &commands->end_status, 0) < 0 && errno == EINTR) continue;
    commands->host = 0;
    if (commands->fd >= 0) close(commands->fd);
    commands->fd = -1;
}

static lf_status start(void *ctx, const char *const *argv, const char *log_path, lf_error *err)
{
    lf_rank_commands *commands = ctx;
    char *record = malloc(MAX_COMMAND_BYTES);
    if (!record) return lf_error_no_memory(err, MAX_COMMAND_BYTES);
    lf_status status = LF_OK;
    size_t n_byte = 0;
    for (size_t i = 0; (i == 0 || argv[i]) && !status; i++) {
        const char *text = i == 0 ? log_path : argv[i];
        size_t bytes = strlen(text) + 1;
        if (i > MAX_ARGUMENT || bytes > MAX_COMMAND_BYTES - n_byte) {
            status = lf_error_set(err, LF_ERR_USAGE, "the arguments are longer than %d bytes", MAX_COMMAND_BYTES);
        } else {
            memcpy(record + n_byte, text, bytes);
            n_byte += bytes;
        }
    }
    if (!status && (commands->fd < 0 || send(commands->fd, record, n_byte, MSG_NOSIGNAL) != (ssize_t)n_byte)) {
        host_has_ended(commands);
        bool is_killed = WIFSIGNALED(commands->end_status);
        status = lf_error_set(err, LF_ERR_COMM, "the ranks have ended: rank 0 %s %d",
                              is_killed ? "was killed by signal" : "had the exit status",
                              is_killed ? WTERMSIG(commands->end_status) : WEXITSTATUS(commands->end_status));
    }
    free(record);
    return status;
}

static bool has_ended(void *ctx, int *wait_status)
{
    lf_rank_commands *commands = ctx;
    int32_t exit_status;
    ssize_t n = commands->fd < 0 ? 0 : recv(commands->fd, &exit_status, sizeof exit_status, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n == sizeof exit_status) {
        *wait_status = exit_status << 8;
        return true;
    }
    host_has_ended(commands);
    *wait_status = commands->end_status;
    return true;
}

static void send_signal(void *ctx, int number)
{
    const lf_rank_commands *commands = ctx;
    if (commands->host) kill(commands->host, number);
}

// ---- becoming ranks ----

// Whoever starts a command ends it by a signal. The thread that the command has for them must be the only one to get
// any.
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

// This process as a rank, from the start to the end. fd: of the host; -1 above rank 0.
static void be_rank(lf_rank_commands *commands, const lf_verb *verb, int argc, char **argv,
                    int64_t tensor_parallel_size, int fd)
{
    lf_error err;
    lf_ranks ranks;
    lf_status status = lf_ranks_open(&ranks, verb, argc, argv, tensor_parallel_size, &err);
    if (!status) {
        lf_ranks_lend(&ranks);
        status = fd < 0 ? follow(ranks.comm, &err) : host(ranks.comm, fd, &err);
        lf_ranks_lend(NULL);
    }
    commands->is_over = true;
    commands->exit_status = lf_ranks_close(&ranks, verb, status, &err);
    if (fd >= 0) close(fd);
}

// The host has met the others, or has said why not.
static void wait_until_joined(lf_rank_commands *commands)
{
    int32_t value;
    ssize_t n;
    do {
        n = recv(commands->fd, &value, sizeof value, 0);
    } while (n < 0 && errno == EINTR);
    if (n == sizeof value) return;
    host_has_ended(commands);
    commands->is_over = true;
    commands->exit_status = WIFEXITED(commands->end_status) ? WEXITSTATUS(commands->end_status) : 3;
}

lf_status lf_rank_commands_open(lf_rank_commands *commands, const lf_verb *verb, int argc, char **argv,
                                int64_t tensor_parallel_size, lf_error *err)
{
    int ends[2];
    lf_comm_world world = lf_comm_world_of_environment();
    *commands = (lf_rank_commands){.n_rank = world.n_rank, .fd = -1};
    if (world.n_rank == 1) return LF_OK;
    commands->ranks =
        (lf_verify_ranks){.start = start, .has_ended = has_ended, .send_signal = send_signal, .ctx = commands};
    if (world.rank > 0) {
        be_rank(commands, verb, argc, argv, tensor_parallel_size, -1);
        return LF_OK;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return lf_error_errno(err, errno, "cannot make a pair of sockets");
    }
    pid_t parent = getpid();
    fflush(stdout);
    commands->host = fork();
    if (commands->host == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(3);
        block_signals();
        be_rank(commands, verb, argc, argv, tensor_parallel_size, ends[1]);
        return LF_OK;
    }
    close(ends[1]);
    commands->fd = ends[0];
    if (commands->host < 0) {
        commands->host = 0;
        close(ends[0]);
        return lf_error_errno(err, errno, "cannot start a process");
    }
    wait_until_joined(commands);
    lf_comm_world_leave();
    return LF_OK;
}

void lf_rank_commands_close(lf_rank_commands *commands)
{
    if (!commands->host) return;
    close(commands->fd);
    commands->fd = -1;
    int64_t deadline_ns = lf_now_ns() + END_S * INT64_C(1000000000);
    while (waitpid(commands->host, &commands->end_status, WNOHANG) == 0) {
        if (lf_now_ns() > deadline_ns) kill(commands->host, SIGKILL);
        poll(NULL, 0, 5);
    }
    commands->host = 0;
}
