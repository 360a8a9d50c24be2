// SPDX-License-Identifier: Apache-2.0
//
// Parallel loops on OpenMP. A loop inside a parallel region runs serially (OpenMP's default of one active level).
// Without OpenMP (fuzzing builds) every loop is serial.
#include "base/par.h"

#include <stdbool.h>

#include "base/cpu.h"

#ifdef _OPENMP
#include <omp.h>

void lf_par_set_threads(int n) { omp_set_num_threads(n > 0 ? n : lf_cpu_count()); }
int lf_par_threads(void) { return omp_get_max_threads(); }
static size_t team_size(void) { return (size_t)omp_get_num_threads(); }
static size_t team_member(void) { return (size_t)omp_get_thread_num(); }
#else
void lf_par_set_threads(int n) { (void)n; }
int lf_par_threads(void) { return 1; }
static size_t team_size(void) { return 1; }
static size_t team_member(void) { return 0; }
#endif

void lf_par_for(size_t n, size_t grain, lf_par_range_fn fn, void *ctx)
{
    if (n == 0) return;
    if (n < 2 * grain || lf_par_threads() == 1) {
        fn(ctx, 0, n, 0);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel
#endif
    {
        size_t n_thread = team_size(), thread = team_member();
        size_t rest = n % n_thread;
        size_t begin = n / n_thread * thread + (thread < rest ? thread : rest);
        size_t end = begin + n / n_thread + (thread < rest ? 1 : 0);
        if (begin < end) fn(ctx, begin, end, (int)thread);
    }
}

void lf_par_for_dynamic(size_t n, size_t chunk, lf_par_range_fn fn, void *ctx)
{
    if (n == 0) return;
    if (chunk == 0) chunk = 1;
    size_t n_chunk = n / chunk + (n % chunk != 0);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1)
#endif
    for (size_t i = 0; i < n_chunk; i++) {
        size_t begin = i * chunk;
        size_t end = n - begin < chunk ? n : begin + chunk;
        fn(ctx, begin, end, (int)team_member());
    }
}
