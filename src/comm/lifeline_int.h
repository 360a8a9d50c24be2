// SPDX-License-Identifier: Apache-2.0
//
// The lifelines: one stream socket between rank 0 and every other rank. The kernel closes a process's sockets however
// it ends, so the end of a line without a goodbye is a death, seen at once and from any host. What is said on a line:
//   'W'                 wake up, a message is there
//   'C' and an lf_error the failure of the comm
//   'G'                 goodbye: the end that follows is no death
// One thread per process listens. Lines carry few bytes and never data of calls.
#ifndef LF_COMM_LIFELINE_INT_H
#define LF_COMM_LIFELINE_INT_H

#include <poll.h>

#include "comm/comm_int.h"

typedef struct lf__peer_name {
    int32_t rank, pid;
    char host[64];
} lf__peer_name;

typedef struct lf__line {
    int fd; // OWNED; -1: none, or ended
    lf__peer_name peer;
    bool is_over;                          // goodbye was said
    bool is_cause;                         // inside an lf_error
    size_t n_cause_byte;                   // of it so far
    unsigned char cause[sizeof(lf_error)]; // as it arrives
} lf__line;

struct lf__lifelines {
    lf_comm *comm;
    size_t n_line;
    lf__line *lines;    // OWNED [n_line]: rank 0 has one per other rank, in order; the others have one, to rank 0
    struct pollfd *fds; // OWNED [n_line + 1], the thread's
    int event_fd;       // OWNED: something was asked of the thread
    pthread_t thread;
    bool has_thread;
    atomic_bool is_closing;    // ends of lines no longer count
    atomic_bool must_report;   // on_failure is to be called
    pthread_mutex_t send_lock; // one writer at a time; taken without any other lock held
};

// ---- meeting.c ----
// Fills `lines`: connects this rank with rank 0, or accepts all others. Collective; all succeed or all fail.
lf_status lf__meet(lf__lifelines *lifelines, lf_error *err);

#endif
