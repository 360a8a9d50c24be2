// SPDX-License-Identifier: Apache-2.0
//
// The thread that watches the lifelines, and what is written on them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comm/lifeline_int.h"

enum { WAKE = 'W', CAUSE = 'C', GOODBYE = 'G' };

// ---- writing ----

// A peer that does not read for as long as the socket's time-out (set when it was connected) is not waited for.
static void send_all(lf__line *line, const void *data, size_t bytes, int flags)
{
    const unsigned char *at = data;
    while (bytes > 0 && line->fd >= 0) {
        ssize_t n = send(line->fd, at, bytes, MSG_NOSIGNAL | flags);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; // its end is the reader's to notice
        at += n;
        bytes -= (size_t)n;
    }
}

void lf__lifelines_ring(lf__lifelines *lifelines)
{
    static const unsigned char wake = WAKE;
    if (lifelines->comm->rank != 0) return;
    pthread_mutex_lock(&lifelines->send_lock);
    for (size_t i = 0; i < lifelines->n_line; i++) send_all(&lifelines->lines[i], &wake, 1, MSG_DONTWAIT);
    pthread_mutex_unlock(&lifelines->send_lock);
}

static void wake_thread(lf__lifelines *lifelines)
{
    uint64_t one = 1;
    ssize_t n = write(lifelines->event_fd, &one, sizeof one);
    (void)n; // a counter that is full wakes the thread as well
}

void lf__lifelines_spread(lf__lifelines *lifelines, bool report)
{
    unsigned char frame[1 + sizeof(lf_error)] = {CAUSE};
    lf_error cause;
    lf__comm_failed(lifelines->comm, &cause);
    memcpy(frame + 1, &cause, sizeof cause);
    pthread_mutex_lock(&lifelines->send_lock);
    for (size_t i = 0; i < lifelines->n_line; i++) send_all(&lifelines->lines[i], frame, sizeof frame, 0);
    pthread_mutex_unlock(&lifelines->send_lock);
    if (!report) return;
    atomic_store(&lifelines->must_report, true);
    wake_thread(lifelines);
}

// ---- reading ----

static void take_failure(lf__lifelines *lifelines, const lf_error *cause)
{
    if (atomic_load(&lifelines->is_closing)) return;
    if (!lf__comm_set_failure(lifelines->comm, cause)) return;
    if (lifelines->comm->rank == 0) lf__lifelines_spread(lifelines, false);
    lf__comm_report_failure(lifelines->comm);
}

static void take_cause(lf__lifelines *lifelines, lf__line *line)
{
    lf_error cause;
    memcpy(&cause, line->cause, sizeof cause);
    cause.status = LF_ERR_COMM;
    cause.subject[sizeof cause.subject - 1] = cause.expected[sizeof cause.expected - 1] = '\0';
    cause.found[sizeof cause.found - 1] = cause.hint[sizeof cause.hint - 1] = '\0';
    cause.message[sizeof cause.message - 1] = '\0';
    line->is_cause = false;
    take_failure(lifelines, &cause);
}

static void take_bytes(lf__lifelines *lifelines, lf__line *line, const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (line->is_cause) {
            line->cause[line->n_cause_byte++] = bytes[i];
            if (line->n_cause_byte == sizeof line->cause) take_cause(lifelines, line);
        } else if (bytes[i] == WAKE) {
            lf__comm_ring(lifelines->comm);
        } else if (bytes[i] == GOODBYE) {
            line->is_over = true;
        } else {
            line->is_cause = bytes[i] == CAUSE;
            line->n_cause_byte = 0;
        }
    }
}

static void end_line(lf__lifelines *lifelines, lf__line *line)
{
    pthread_mutex_lock(&lifelines->send_lock);
    close(line->fd);
    line->fd = -1;
    pthread_mutex_unlock(&lifelines->send_lock);
    if (line->is_over) return;
    lf_error cause;
    lf_error_set(&cause, LF_ERR_COMM, "rank %d (pid %d on host %s) ended unexpectedly", (int)line->peer.rank,
                 (int)line->peer.pid, line->peer.host);
    take_failure(lifelines, &cause);
}

static void read_line(lf__lifelines *lifelines, lf__line *line)
{
    unsigned char bytes[2048];
    ssize_t n = recv(line->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0) {
        take_bytes(lifelines, line, bytes, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_line(lifelines, line);
    }
}

static void *watch(void *argument)
{
    lf__lifelines *lifelines = argument;
    size_t n = lifelines->n_line;
    struct pollfd *fds = lifelines->fds;
    while (!atomic_load(&lifelines->is_closing)) {
        for (size_t i = 0; i < n; i++) fds[i] = (struct pollfd){.fd = lifelines->lines[i].fd, .events = POLLIN};
        fds[n] = (struct pollfd){.fd = lifelines->event_fd, .events = POLLIN};
        if (poll(fds, n + 1, -1) < 0) continue;
        for (size_t i = 0; i < n; i++) {
            if (fds[i].fd >= 0 && fds[i].revents) read_line(lifelines, &lifelines->lines[i]);
        }
        if (fds[n].revents) {
            uint64_t count;
            ssize_t got = read(lifelines->event_fd, &count, sizeof count);
            (void)got;
            if (atomic_exchange(&lifelines->must_report, false)) lf__comm_report_failure(lifelines->comm);
        }
    }
    return NULL;
}

// ---- opening and closing ----

static void release(lf__lifelines *lifelines)
{
    for (size_t i = 0; lifelines->lines && i < lifelines->n_line; i++) {
        if (lifelines->lines[i].fd >= 0) close(lifelines->lines[i].fd);
    }
    if (lifelines->event_fd >= 0) close(lifelines->event_fd);
    pthread_mutex_destroy(&lifelines->send_lock);
    free(lifelines->lines);
    free(lifelines->fds);
    free(lifelines);
}

static lf_status start_thread(lf__lifelines *lifelines, lf_error *err)
{
    lf_status status = LF_OK;
    int rc = pthread_create(&lifelines->thread, NULL, watch, lifelines);
    if (rc) status = lf_error_errno(err, rc, "cannot start the thread that watches the ranks");
    lifelines->has_thread = !rc;
    status = lf__agree(lifelines->comm, status, err);
    if (status && lifelines->has_thread) {
        atomic_store(&lifelines->is_closing, true);
        wake_thread(lifelines);
        pthread_join(lifelines->thread, NULL);
    }
    return status;
}

lf_status lf__lifelines_open(lf_comm *comm, lf_error *err)
{
    lf__lifelines *lifelines = calloc(1, sizeof *lifelines);
    if (!lifelines) return lf_error_no_memory(err, sizeof *lifelines);
    lifelines->comm = comm;
    lifelines->n_line = comm->rank == 0 ? (size_t)comm->n_rank - 1 : 1;
    pthread_mutex_init(&lifelines->send_lock, NULL);
    lf_status status = LF_OK;
    lifelines->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lifelines->event_fd < 0) status = lf_error_errno(err, errno, "cannot make an eventfd");
    lifelines->lines = calloc(lifelines->n_line, sizeof *lifelines->lines);
    lifelines->fds = calloc(lifelines->n_line + 1, sizeof *lifelines->fds);
    if (!status && (!lifelines->lines || !lifelines->fds)) status = lf_error_no_memory(err, 0);
    for (size_t i = 0; lifelines->lines && i < lifelines->n_line; i++) lifelines->lines[i].fd = -1;
    status = lf__agree(comm, status, err); // whoever has no memory must not leave the others waiting
    if (!status) status = lf__meet(lifelines, err);
    if (!status) status = start_thread(lifelines, err);
    if (status) {
        release(lifelines);
        return status;
    }
    comm->lifelines = lifelines;
    return LF_OK;
}

void lf__lifelines_close(lf__lifelines *lifelines)
{
    static const unsigned char goodbye = GOODBYE;
    bool is_healthy = !atomic_load(&lifelines->comm->has_failed);
    atomic_store(&lifelines->is_closing, true);
    pthread_mutex_lock(&lifelines->send_lock);
    for (size_t i = 0; i < lifelines->n_line && is_healthy; i++) send_all(&lifelines->lines[i], &goodbye, 1, 0);
    pthread_mutex_unlock(&lifelines->send_lock);
    wake_thread(lifelines);
    if (lifelines->has_thread) pthread_join(lifelines->thread, NULL);
    lifelines->comm->lifelines = NULL;
    release(lifelines);
}
