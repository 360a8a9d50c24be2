// SPDX-License-Identifier: Apache-2.0
//
// What oneDNN makes of this machine, as a yardstick for our own products. This pair of files is the only place that
// knows oneDNN.
#ifndef LF_DEVICE_CPU_PEAK_ONEDNN_H
#define LF_DEVICE_CPU_PEAK_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

// Seconds of one product [m, k] * [k, n] with weights in the library's own favourite layout; the shortest of a few
// runs.
lf_status lf__onednn_time_matmul(bool bf16, size_t m, size_t n, size_t k, double *out_seconds, lf_error *err);

#endif
