// SPDX-License-Identifier: Apache-2.0
//
// Monotonic time in nanoseconds, for durations.
#ifndef LF_BASE_CLOCK_H
#define LF_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t lf_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
