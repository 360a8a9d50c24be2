// SPDX-License-Identifier: Apache-2.0
//
// The hand-over between the engine's thread and the thread of a connection: the engine wakes, and never waits; the
// connection waits for news and watches its client's socket at the same time, so that an abandoned request is noticed
// at once.
#ifndef LF_SERVER_JOB_H
#define LF_SERVER_JOB_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct lf_job {
    int event_fd;          // eventfd, non-blocking
    atomic_bool is_raised; // a wake that nobody has seen yet: one write per wait, however many tokens come
} lf_job;

typedef enum lf_job_news {
    LF_JOB_NEWS, // woken (perhaps for nothing: look)
    LF_JOB_GONE, // the client closed its connection, or its sending side of it
} lf_job_news;

lf_status lf_job_init(lf_job *job, lf_error *err);
void lf_job_fini(lf_job *job);
// lf_generation_args.wake: `job` is a lf_job. Any thread.
void lf_job_wake(void *job);
// Waits without limit. peer_fd < 0: nobody to watch.
lf_job_news lf_job_wait(lf_job *job, int peer_fd);

#endif
