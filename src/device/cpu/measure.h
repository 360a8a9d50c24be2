// SPDX-License-Identifier: Apache-2.0
//
// What this machine can do, for `landfall bench` to divide by: reading memory, touching fresh memory, and the
// arithmetic of a matrix product. All use the threads of base/par.h. A shared machine's limits move within seconds, so
// a sample is short, and a caller takes many, between the runs that it divides by them.
#ifndef LF_DEVICE_CPU_MEASURE_H
#define LF_DEVICE_CPU_MEASURE_H

#include "base/status.h"

// A buffer much larger than any cache (512 MiB, or a quarter of what is free).
typedef struct lf_cpu_read_test lf_cpu_read_test;

// Maps the buffer and touches it for the first time. *out_first_touch_bytes_per_second: how fast this system hands out
// memory, which is zeroed; no loader that writes a model into memory can be faster.
lf_status lf_cpu_read_test_open(lf_cpu_read_test **out, double *out_first_touch_bytes_per_second, lf_error *err);
// Bytes per second that all threads together read from it: the median of three passes.
double lf_cpu_read_test_run(lf_cpu_read_test *test);
void lf_cpu_read_test_close(lf_cpu_read_test *test); // NULL is accepted

// Operations per second (a multiply-add is two) of oneDNN's matrix product with weights packed to its liking, 512 x
// 1024 x 1024, in the best type this processor has instructions for. *out_what: "oneDNN f32 matmul" or "oneDNN bf16
// matmul"; STATIC.
lf_status lf_cpu_measure_matmul_peak(double *out_operations_per_second, const char **out_what, lf_error *err);

#endif
