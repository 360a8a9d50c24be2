// SPDX-License-Identifier: Apache-2.0
//
// A rank's side of the launcher's socket. Its state is the process's: there is one launcher.
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/launch.h"

static int launcher_fd = -1;

bool lf_launch_is_attached(void) { return launcher_fd >= 0; }

void lf_launch_say(lf_launch_kind kind, int value, const char *text)
{
    if (launcher_fd < 0) return;
    lf_launch_message message = {.kind = (int32_t)kind, .value = value};
    snprintf(message.text, sizeof message.text, "%s", text);
    while (send(launcher_fd, &message, sizeof message, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

// Ranks without a launcher would go on for nobody. This is the one way to notice it that needs no help of mpirun.
static void *end_with_launcher(void *unused)
{
    char byte;
    for (;;) {
        ssize_t n = recv(launcher_fd, &byte, sizeof byte, 0);
        if (n == 0 || (n < 0 && errno != EINTR)) _exit(3);
    }
    return unused;
}

static int connect_to(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length + 1 > sizeof address.sun_path) return -1;
    memcpy(address.sun_path + 1, name, length);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, bytes) == 0) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

// The launcher answers 'hello' with one byte and three descriptors, in the order of their numbers.
static bool take_descriptors(void)
{
    char byte, control[CMSG_SPACE(3 * sizeof(int))];
    struct iovec data = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;
    do {
        n = recvmsg(launcher_fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    struct cmsghdr *header = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(3 * sizeof(int))) return false;
    int fds[3];
    memcpy(fds, CMSG_DATA(header), sizeof fds);
    for (int i = 0; i < 3; i++) {
        if (fds[i] == i) continue;
        dup2(fds[i], i);
        close(fds[i]);
    }
    return true;
}

lf_status lf_launch_attach(int rank, lf_error *err)
{
    const char *name = getenv(LF_LAUNCH_VARIABLE);
    if (!name) return LF_OK;
    launcher_fd = connect_to(name);
    unsetenv(LF_LAUNCH_VARIABLE); // what this process starts is no rank
    if (launcher_fd < 0) return lf_error_errno(err, errno, "rank %d cannot reach the process that started it", rank);
    lf_launch_say(LF_LAUNCH_HELLO, rank, "");
    if (!take_descriptors()) return lf_error_set(err, LF_ERR_COMM, "rank %d is not known to its launcher", rank);
    pthread_t thread;
    int code = pthread_create(&thread, NULL, end_with_launcher, NULL);
    if (code) return lf_error_errno(err, code, "cannot watch the launcher");
    pthread_detach(thread);
    return LF_OK;
}
