// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do at best, for `landfall bench` to divide by: memory read bandwidth and the arithmetic of a
// matrix product. Both use the threads of base/par.h, take about a second and answer with the best of several runs,
// since other programs only ever make a run slower.
#ifndef LF_DEVICE_CPU_MEASURE_H
#define LF_DEVICE_CPU_MEASURE_H

#include "base/status.h"

// Bytes per second that all threads together read from a buffer much larger than any cache (512 MiB, or a quarter of
// what is free).
lf_status lf_cpu_measure_read_bandwidth(double *out_bytes_per_second, lf_error *err);

// Operations per second (a multiply-add is two) of oneDNN's matrix product with weights packed to its liking, 512 x
// 1024 x 1024, in the best type this processor has instructions for. *out_what: "oneDNN f32 matmul" or "oneDNN bf16
// matmul"; STATIC.
lf_status lf_cpu_measure_matmul_peak(double *out_operations_per_second, const char **out_what, lf_error *err);

#endif
