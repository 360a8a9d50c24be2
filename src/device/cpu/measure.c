// SPDX-License-Identifier: Apache-2.0
//
// Peaks of the machine. The read test is the kernel `scan` on a private part per thread; it is written like the decode
// kernels (streaming loads, prefetch) so that the comparison is fair to the machine, not to us.
#include "device/cpu/measure.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/par.h"
#include "device/cpu/cpu_int.h"
#include "device/cpu/gemm_onednn.h"

enum { LINE_WORDS = LF_CACHE_LINE_BYTES / sizeof(uint64_t), N_SCAN = 9 };

typedef struct scan_job {
    const lf_cpu_kernels *kernels;
    uint64_t *words;
    uint64_t *sums; // one cache line for each thread
} scan_job;

static void touch_range(void *ctx, size_t begin, size_t end, int thread)
{
    const scan_job *job = ctx;
    for (size_t i = begin * LINE_WORDS; i < end * LINE_WORDS; i++) job->words[i] = i;
}

static void scan_range(void *ctx, size_t begin, size_t end, int thread)
{
    const scan_job *job = ctx;
    job->sums[(size_t)thread * LINE_WORDS] += job->kernels->scan(job->words + begin * LINE_WORDS, end - begin);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

lf_status lf_cpu_measure_read_bandwidth(double *out_bytes_per_second, lf_error *err)
{
    uint64_t free_bytes = (uint64_t)LF_MAX(sysconf(_SC_AVPHYS_PAGES), 0L) * (uint64_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (size_t)LF_MIN(free_bytes / 4, (uint64_t)512 << 20) / LF_CACHE_LINE_BYTES * LF_CACHE_LINE_BYTES;
    lf_pages buffer = {0}, sums = {0};
    lf_status rc = lf__pages_map(&buffer, LF_MAX(bytes, (size_t)LF_CACHE_LINE_BYTES), err);
    if (!rc) rc = lf__pages_map(&sums, (size_t)lf_par_threads() * LF_CACHE_LINE_BYTES, err);
    if (!rc) {
        lf_cpu_kernels kernels;
        lf_cpu_kernels_choose(&kernels, lf_cpu_isa_best());
        scan_job job = {.kernels = &kernels, .words = buffer.address, .sums = sums.address};
        size_t n_line = bytes / LF_CACHE_LINE_BYTES;
        double seconds[N_SCAN];
        lf_par_for(n_line, 1, touch_range, &job);
        for (size_t i = 0; i < N_SCAN; i++) {
            int64_t start = lf_now_ns();
            lf_par_for(n_line, 1, scan_range, &job);
            seconds[i] = (double)(lf_now_ns() - start) * 1e-9;
        }
        qsort(seconds, N_SCAN, sizeof *seconds, by_size);
        *out_bytes_per_second = (double)(n_line * LF_CACHE_LINE_BYTES) / seconds[N_SCAN / 2];
    }
    lf__pages_unmap(&buffer);
    lf__pages_unmap(&sums);
    return rc;
}

lf_status lf_cpu_measure_matmul_peak(double *out_operations_per_second, const char **out_what, lf_error *err)
{
    enum { M = 512, N = 1024, K = 1024 };
    bool bf16 = lf_cpu_isa_best() >= LF_CPU_ISA_AVX512_BF16;
    double seconds;
    lf_status rc = lf__onednn_time_matmul(bf16, M, N, K, &seconds, err);
    if (rc) return lf_error_at(err, "measuring the matrix product");
    *out_operations_per_second = 2.0 * M * N * K / seconds;
    *out_what = bf16 ? "oneDNN bf16 matmul" : "oneDNN f32 matmul";
    return LF_OK;
}
