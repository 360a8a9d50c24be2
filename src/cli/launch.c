// SPDX-License-Identifier: Apache-2.0
//
// The launcher: starts mpirun, hands the ranks what is theirs, passes signals on to rank 0, and sees to it that all of
// them end, in time and for one reason. What mpirun prints is kept and shown only when it is the reason.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/launch.h"

// How long ranks may live on after what should end them. A rank 0 that has met the others answers its clients first.
enum {
    START_MS = 120000, // until all ranks have met
    COME_MS = 8000,    // until all have come, when one has: mpirun does not tell that one has died before
    ANSWER_MS = 8000,  // after a death, when rank 0 lives and knows
    FOLLOW_MS = 5000,  // after the end of rank 0
    NOTICE_MS = 2000,  // after the death of rank 0; the others notice by themselves
    BRIEF_MS = 500,    // when nobody can notice, because the ranks have not met
};

typedef struct child {
    int fd;    // OWNED: its end is the process's; -1 before its hello and after its end
    pid_t pid; // valid while fd >= 0
    bool has_come, has_met, has_said_end;
    int exit_status;                 // as it said
    char text[LF_LAUNCH_TEXT_BYTES]; // as it said
} child;

typedef struct launcher {
    int n_rank;
    child *ranks;                        // OWNED [n_rank]
    struct pollfd *fds;                  // OWNED [3 + n_rank]
    int listen_fd, signal_fd, output_fd; // OWNED
    int null_fd;                         // OWNED: what ranks above 0 read and write
    pid_t mpirun;                        // 0: not started, or its end was seen
    int mpirun_status;                   // of waitpid
    int signal_number;                   // the last that was passed on; 0: none
    int64_t start_by_ns;                 // when the start has failed; INT64_MAX: it has not
    int64_t deadline_ns;                 // when ranks are killed; INT64_MAX: never
    int n_kill;                          // times that happened
    int lost_rank, lost_pid;             // the first that ended before the ranks had met; pid 0: none
    char cause[LF_LAUNCH_TEXT_BYTES];    // the first reason to fail; "": none
    char output[8192];                   // what mpirun printed first
    size_t n_output;
} launcher;

static void end_by(launcher *l, int ms)
{
    l->deadline_ns = LF_MIN(l->deadline_ns, lf_now_ns() + ms * INT64_C(1000000));
}

static void __attribute__((format(printf, 2, 3))) set_cause(launcher *l, const char *format, ...)
{
    if (l->cause[0]) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(l->cause, sizeof l->cause, format, arguments);
    va_end(arguments);
}

// ---- starting ----

static lf_status open_sockets(launcher *l, char *name, size_t name_bytes, lf_error *err)
{
    uint64_t token[2];
    if (getrandom(token, sizeof token, 0) != (ssize_t)sizeof token)
        return lf_error_errno(err, errno, "no random number");
    snprintf(name, name_bytes, "landfall-launch-%016llx%016llx", (unsigned long long)token[0],
             (unsigned long long)token[1]);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path + 1, name, length);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    l->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (l->listen_fd < 0 || bind(l->listen_fd, (struct sockaddr *)&address, bytes) != 0 ||
        listen(l->listen_fd, l->n_rank) != 0) {
        return lf_error_errno(err, errno, "cannot listen for ranks");
    }
    // A launcher whose own descriptors are closed has nothing to hand on.
    do {
        l->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (l->null_fd >= 0 && l->null_fd <= STDERR_FILENO);
    return l->null_fd < 0 ? lf_error_errno(err, errno, "cannot open /dev/null") : LF_OK;
}

static lf_status watch_signals(launcher *l, lf_error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signal_fd < 0 ? lf_error_errno(err, errno, "cannot watch for signals") : LF_OK;
}

// In a process group of its own: what a terminal sends is for the launcher, which knows whom to tell.
static void become_mpirun(char **command, const char *name, int null_fd, int output_fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    dup2(null_fd, STDIN_FILENO);
    dup2(output_fd, STDOUT_FILENO);
    dup2(output_fd, STDERR_FILENO);
    if (getppid() == parent && setenv(LF_LAUNCH_VARIABLE, name, 1) == 0) execvp(command[0], command);
    _exit(127);
}

static lf_status start_mpirun(launcher *l, char **command, const char *name, lf_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return lf_error_errno(err, errno, "cannot make a pipe");
    l->output_fd = ends[0];
    pid_t parent = getpid();
    l->mpirun = fork();
    if (l->mpirun == 0) become_mpirun(command, name, l->null_fd, ends[1], parent);
    close(ends[1]);
    if (l->mpirun > 0) return LF_OK;
    l->mpirun = 0;
    return lf_error_errno(err, errno, "cannot start %s", command[0]);
}

// ---- ranks ----

// The lowest rank that has never come; -1: all have.
static int missing_rank(const launcher *l)
{
    for (int r = 0; r < l->n_rank; r++) {
        if (!l->ranks[r].has_come) return r;
    }
    return -1;
}

static bool hand_descriptors(int fd, int in, int out, int errors)
{
    int fds[3] = {in, out, errors};
    char byte = 0, control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(header), fds, sizeof fds);
    return sendmsg(fd, &message, MSG_NOSIGNAL) == 1;
}

static void receive_rank(launcher *l)
{
    lf_launch_message hello;
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    struct timeval timeout = {.tv_sec = 1};
    int fd = accept4(l->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    bool is_known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 && peer.uid == geteuid() &&
                    recv(fd, &hello, sizeof hello, 0) == (ssize_t)sizeof hello && hello.kind == LF_LAUNCH_HELLO &&
                    hello.value >= 0 && hello.value < l->n_rank && !l->ranks[hello.value].has_come;
    if (is_known) {
        child *rank = &l->ranks[hello.value];
        bool is_first = hello.value == 0;
        *rank = (child){.fd = fd, .pid = peer.pid, .has_come = true};
        l->start_by_ns = lf_now_ns() + (missing_rank(l) < 0 ? START_MS : COME_MS) * INT64_C(1000000);
        hand_descriptors(fd, is_first ? STDIN_FILENO : l->null_fd, is_first ? STDOUT_FILENO : l->null_fd,
                         STDERR_FILENO);
    } else {
        close(fd);
    }
}

static void take_end(launcher *l, int r, const lf_launch_message *message)
{
    child *rank = &l->ranks[r];
    rank->has_said_end = true;
    rank->exit_status = message->value;
    snprintf(rank->text, sizeof rank->text, "%.*s", (int)sizeof message->text - 1, message->text);
    if (r == 0) {
        end_by(l, FOLLOW_MS);
    } else if (rank->exit_status != 0) {
        if (rank->text[0]) set_cause(l, "%s", rank->text);
        end_by(l, l->ranks[0].has_met ? ANSWER_MS : NOTICE_MS); // a rank 0 in the same trouble says so itself
    }
}

static void lose_rank(launcher *l, int r)
{
    child *rank = &l->ranks[r];
    close(rank->fd);
    rank->fd = -1;
    if (rank->has_said_end || l->n_kill > 0) return;
    if (l->ranks[0].has_met) {
        set_cause(l, "rank %d (pid %d) ended unexpectedly", r, (int)rank->pid);
    } else if (l->lost_pid == 0) {
        l->lost_rank = r; // perhaps because another one never came: see name_lost_rank
        l->lost_pid = rank->pid;
    }
    end_by(l, r == 0 ? NOTICE_MS : l->ranks[0].has_met ? ANSWER_MS : BRIEF_MS);
}

static void hear_rank(launcher *l, int r)
{
    lf_launch_message message;
    ssize_t n = recv(l->ranks[r].fd, &message, sizeof message, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n != (ssize_t)sizeof message) {
        lose_rank(l, r);
    } else if (message.kind == LF_LAUNCH_OPEN) {
        l->ranks[r].has_met = true;
        l->start_by_ns = INT64_MAX;
    } else if (message.kind == LF_LAUNCH_END) {
        take_end(l, r, &message);
    }
}

static bool is_anybody_there(const launcher *l)
{
    for (int r = 0; r < l->n_rank; r++) {
        if (l->ranks[r].fd >= 0) return true;
    }
    return false;
}

// ---- mpirun and signals ----

static void hear_mpirun(launcher *l)
{
    char text[1024];
    ssize_t n = read(l->output_fd, text, sizeof text);
    if (n < 0 && errno == EINTR) return;
    if (n <= 0) {
        close(l->output_fd);
        l->output_fd = -1;
        return;
    }
    size_t kept = LF_MIN((size_t)n, sizeof l->output - 1 - l->n_output);
    memcpy(l->output + l->n_output, text, kept);
    l->n_output += kept;
    l->output[l->n_output] = '\0';
}

// The first line that says something: mpirun frames its messages with dashes.
static void say_why_not_started(launcher *l)
{
    if (l->output_fd >= 0) {
        fcntl(l->output_fd, F_SETFL, O_NONBLOCK);
        for (int i = 0; i < 16 && l->output_fd >= 0; i++) hear_mpirun(l);
    }
    char *line = l->output;
    while (*line && (line[strcspn(line, "\n")] || *line)) {
        size_t length = strcspn(line, "\n");
        if (length > strspn(line, "-= \t\r")) {
            set_cause(l, "mpirun could not start the ranks: %.*s", (int)LF_MIN(length, (size_t)400), line);
            return;
        }
        line += length + (line[length] == '\n');
    }
    set_cause(l, "mpirun could not start the ranks (exit status %d)",
              WIFEXITED(l->mpirun_status) ? WEXITSTATUS(l->mpirun_status) : 128 + WTERMSIG(l->mpirun_status));
}

static void notice_mpirun_end(launcher *l)
{
    if (!l->mpirun || waitpid(l->mpirun, &l->mpirun_status, WNOHANG) != l->mpirun) return;
    l->mpirun = 0;
    if (l->n_kill > 0 || l->signal_number || l->lost_pid) {
        end_by(l, 0);
    } else if (missing_rank(l) >= 0) {
        say_why_not_started(l);
        end_by(l, 0);
    } else if (is_anybody_there(l)) {
        if (WIFSIGNALED(l->mpirun_status)) {
            set_cause(l, "mpirun ended unexpectedly (signal %d)", WTERMSIG(l->mpirun_status));
        }
        end_by(l, NOTICE_MS);
    }
}

static void pass_signals_on(launcher *l)
{
    struct signalfd_siginfo info;
    while (read(l->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue; // looked after in every round
        l->signal_number = (int)info.ssi_signo;
        child *first = &l->ranks[0];
        if (first->fd >= 0 && first->has_met) {
            kill(first->pid, l->signal_number);
        } else {
            end_by(l, 0);
        }
    }
}

// Ends what should have ended. mpirun goes by itself when its ranks have gone, and is helped when it does not.
static void kill_all(launcher *l)
{
    for (int r = 0; r < l->n_rank; r++) {
        if (l->ranks[r].fd >= 0) kill(l->ranks[r].pid, SIGKILL);
    }
    if (l->mpirun && l->n_kill > 0) kill(l->mpirun, l->n_kill == 1 ? SIGTERM : SIGKILL);
    l->n_kill++;
    l->deadline_ns = lf_now_ns() + INT64_C(1000000000);
}

// ---- the launcher's life ----

// MPI ends ranks whose peers do not appear, so a rank that never came is the cause before one that ended.
static void name_lost_rank(launcher *l)
{
    if (l->lost_pid == 0) return;
    int missing = missing_rank(l);
    if (missing >= 0) {
        set_cause(l, "rank %d has not started", missing);
    } else {
        set_cause(l, "rank %d (pid %d) ended unexpectedly", l->lost_rank, l->lost_pid);
    }
}

static int ms_until(int64_t ns)
{
    if (ns == INT64_MAX) return -1;
    int64_t left = (ns - lf_now_ns()) / 1000000 + 1;
    return (int)LF_MAX(left, (int64_t)0);
}

static void give_start_up(launcher *l)
{
    int missing = missing_rank(l);
    l->start_by_ns = INT64_MAX;
    if (missing >= 0) {
        set_cause(l, "rank %d has not started", missing);
    } else {
        set_cause(l, "the ranks have not met within %d s", START_MS / 1000);
    }
    end_by(l, 0);
}

static void follow(launcher *l)
{
    size_t n = (size_t)l->n_rank;
    while (l->mpirun || is_anybody_there(l)) {
        struct pollfd *fds = l->fds;
        for (size_t i = 0; i < n; i++) fds[i] = (struct pollfd){.fd = l->ranks[i].fd, .events = POLLIN};
        fds[n] = (struct pollfd){.fd = l->listen_fd, .events = POLLIN};
        fds[n + 1] = (struct pollfd){.fd = l->signal_fd, .events = POLLIN};
        fds[n + 2] = (struct pollfd){.fd = l->output_fd, .events = POLLIN};
        if (poll(fds, (nfds_t)n + 3, ms_until(LF_MIN(l->deadline_ns, l->start_by_ns))) < 0) continue;
        for (int r = 0; r < l->n_rank; r++) {
            if (fds[r].fd >= 0 && fds[r].revents) hear_rank(l, r);
        }
        if (fds[n].revents) receive_rank(l);
        if (fds[n + 1].revents) pass_signals_on(l);
        if (fds[n + 2].fd >= 0 && fds[n + 2].revents) hear_mpirun(l);
        notice_mpirun_end(l);
        if (lf_now_ns() >= l->start_by_ns) give_start_up(l);
        if (lf_now_ns() >= l->deadline_ns) {
            name_lost_rank(l);
            kill_all(l);
        }
    }
    name_lost_rank(l);
}

// Rank 0 speaks for all. When it could not, the first cause does.
static int conclude(const launcher *l, const char *verb_name)
{
    const child *first = &l->ranks[0];
    const char *text = first->has_said_end && first->exit_status != 0 ? first->text : l->cause;
    if (!first->has_said_end && l->signal_number) return 128 + l->signal_number;
    if (text[0]) fprintf(stderr, "landfall %s: %s\n", verb_name, text);
    if (!first->has_said_end) return 3;
    return first->exit_status == 0 && l->cause[0] ? 3 : first->exit_status;
}

static void release(launcher *l)
{
    int fds[] = {l->listen_fd, l->signal_fd, l->output_fd, l->null_fd};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(fds); i++) {
        if (fds[i] >= 0) close(fds[i]);
    }
    free(l->ranks);
    free(l->fds);
    free(l);
}

lf_status lf_launch_run(int n_rank, const char *verb_name, char *const *arguments, int *exit_status, lf_error *err)
{
    char name[64], **command = NULL, program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0) return lf_error_errno(err, errno, "cannot find this program's own path in /proc/self/exe");
    program[length] = '\0';
    launcher *l = calloc(1, sizeof *l);
    if (!l) return lf_error_no_memory(err, sizeof *l);
    l->n_rank = n_rank;
    l->listen_fd = l->signal_fd = l->output_fd = l->null_fd = -1;
    l->deadline_ns = INT64_MAX;
    l->start_by_ns = lf_now_ns() + START_MS * INT64_C(1000000);
    l->ranks = calloc((size_t)n_rank, sizeof *l->ranks);
    l->fds = calloc((size_t)n_rank + 3, sizeof *l->fds);
    lf_status status = l->ranks && l->fds ? LF_OK : lf_error_no_memory(err, 0);
    for (int r = 0; l->ranks && r < n_rank; r++) l->ranks[r].fd = -1;
    if (!status) status = lf_mpirun_command(&command, n_rank, program, arguments, err);
    if (!status) status = open_sockets(l, name, sizeof name, err);
    if (!status) status = watch_signals(l, err);
    if (!status) status = start_mpirun(l, command, name, err);
    if (!status) {
        follow(l);
        *exit_status = conclude(l, verb_name);
    }
    lf_mpirun_free(command);
    release(l);
    return status;
}
