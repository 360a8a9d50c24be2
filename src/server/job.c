// SPDX-License-Identifier: Apache-2.0
//
// Waking and waiting through an eventfd. Order matters: the waiter takes the flag down BEFORE it looks for news, so a
// token that arrives while it looks raises the flag again.
#include "server/job.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

lf_status lf_job_init(lf_job *job, lf_error *err)
{
    atomic_init(&job->is_raised, false);
    job->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (job->event_fd < 0) return lf_error_errno(err, errno, "cannot make an eventfd");
    return LF_OK;
}

void lf_job_fini(lf_job *job)
{
    if (job->event_fd >= 0) close(job->event_fd);
    job->event_fd = -1;
}

void lf_job_wake(void *ctx)
{
    lf_job *job = ctx;
    if (atomic_exchange(&job->is_raised, true)) return;
    uint64_t one = 1;
    while (write(job->event_fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static bool take_flag(lf_job *job)
{
    uint64_t count;
    ssize_t n = read(job->event_fd, &count, sizeof count);
    atomic_store(&job->is_raised, false);
    return n == (ssize_t)sizeof count;
}

lf_job_news lf_job_wait(lf_job *job, int peer_fd)
{
    struct pollfd fds[2] = {{.fd = job->event_fd, .events = POLLIN}, {.fd = peer_fd, .events = POLLRDHUP}};
    for (;;) {
        int n = poll(fds, 2, -1);
        if (n < 0 && errno != EINTR) return LF_JOB_GONE;
        if (n <= 0) continue;
        if (fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) return LF_JOB_GONE;
        if (fds[0].revents & POLLIN && take_flag(job)) return LF_JOB_NEWS;
    }
}
