// SPDX-License-Identifier: Apache-2.0
//
// Data-parallel loops on the OpenMP runtime (the one oneDNN uses too, so that the threads are shared and never
// oversubscribed). A parallel loop equals the serial loop it is named after: the order of items is the only difference.
#ifndef LF_BASE_PAR_H
#define LF_BASE_PAR_H

#include <stddef.h>

typedef void (*lf_par_range_fn)(void *ctx, size_t begin, size_t end, int thread);

// Runs fn over [0, n) cut into one contiguous, balanced range per thread: `for (i = 0; i < n; i++)`. `thread` is in
// [0, lf_par_threads()). Runs on the calling thread alone when n < 2 * grain or there is one thread. Does not allocate.
void lf_par_for(size_t n, size_t grain, lf_par_range_fn fn, void *ctx);
// The same, but ranges of `chunk` items are handed out as threads become free: for items of uneven cost.
void lf_par_for_dynamic(size_t n, size_t chunk, lf_par_range_fn fn, void *ctx);
// Threads a loop may use; set once at start (0 = lf_cpu_count()).
int lf_par_threads(void);
void lf_par_set_threads(int n);

#endif
