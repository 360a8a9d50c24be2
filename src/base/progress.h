// SPDX-License-Identifier: Apache-2.0
//
// Progress of anything that may take longer than two seconds: a bar with rate and time left on a terminal, a plain line
// now and then elsewhere, nothing at all for short work. Writes to stderr. Updates are cheap and safe from any thread.
#ifndef LF_BASE_PROGRESS_H
#define LF_BASE_PROGRESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct lf_progress {
    const char *label; // BORROWED: "loading weights"
    const char *unit;  // BORROWED: "bytes" are shown as MiB and GiB, anything else as plain counts
    uint64_t total;    // 0 when not known
    _Atomic uint64_t done;
    _Atomic int64_t next_draw_ns; // claimed by the thread that draws
    int64_t start_ns;
    bool is_terminal;
    bool is_drawn;
    pthread_mutex_t lock; // protects the drawing
} lf_progress;

void lf_progress_begin(lf_progress *progress, const char *label, const char *unit, uint64_t total);
void lf_progress_add(lf_progress *progress, uint64_t amount);
// Draws the final state when anything was drawn before, and ends the line.
void lf_progress_end(lf_progress *progress);

#endif
