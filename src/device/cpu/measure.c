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
#include "device/cpu/peak_onednn.h"

enum { LINE_WORDS = LF_CACHE_LINE_BYTES / sizeof(uint64_t), N_PASS = 3 };

struct lf_cpu_read_test {
    lf_cpu_kernels kernels;
    lf_pages buffer;
    size_t n_line;
    lf_pages sums; // one cache line for each thread
};

static void touch_range(void *ctx, size_t begin, size_t end, int thread)
{
    uint64_t *words = ((lf_cpu_read_test *)ctx)->buffer.address;
    for (size_t i = begin * LINE_WORDS; i < end * LINE_WORDS; i++) words[i] = i;
}

static void scan_range(void *ctx, size_t begin, size_t end, int thread)
{
    const lf_cpu_read_test *test = ctx;
    const uint64_t *words = test->buffer.address;
    uint64_t *sums = test->sums.address;
    sums[(size_t)thread * LINE_WORDS] += test->kernels.scan(words + begin * LINE_WORDS, end - begin);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double bytes_per_second(lf_cpu_read_test *test, lf_par_range_fn pass)
{
    int64_t start = lf_now_ns();
    lf_par_for(test->n_line, 1, pass, test);
    return (double)(test->n_line * LF_CACHE_LINE_BYTES) / ((double)(lf_now_ns() - start) * 1e-9);
}

lf_status lf_cpu_read_test_open(lf_cpu_read_test **out, double *out_first_touch_bytes_per_second, lf_error *err)
{
    *out = NULL;
    lf_cpu_read_test *test = calloc(1, sizeof *test);
    if (!test) return lf_error_no_memory(err, sizeof *test);
    uint64_t free_bytes = (uint64_t)LF_MAX(sysconf(_SC_AVPHYS_PAGES), 0L) * (uint64_t)sysconf(_SC_PAGESIZE);
    test->n_line = LF_MAX((size_t)LF_MIN(free_bytes / 4, (uint64_t)512 << 20) / LF_CACHE_LINE_BYTES, (size_t)1);
    lf_status rc = lf__pages_map(&test->buffer, test->n_line * LF_CACHE_LINE_BYTES, err);
    if (!rc) rc = lf__pages_map(&test->sums, (size_t)lf_par_threads() * LF_CACHE_LINE_BYTES, err);
    if (rc) {
        lf_cpu_read_test_close(test);
        return rc;
    }
    lf_cpu_kernels_choose(&test->kernels, lf_cpu_isa_best());
    *out_first_touch_bytes_per_second = bytes_per_second(test, touch_range);
    *out = test;
    return LF_OK;
}

double lf_cpu_read_test_run(lf_cpu_read_test *test)
{
    double rates[N_PASS];
    for (size_t i = 0; i < N_PASS; i++) rates[i] = bytes_per_second(test, scan_range);
    qsort(rates, N_PASS, sizeof *rates, by_size);
    return rates[N_PASS / 2];
}

void lf_cpu_read_test_close(lf_cpu_read_test *test)
{
    if (!test) return;
    lf__pages_unmap(&test->buffer);
    lf__pages_unmap(&test->sums);
    free(test);
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
