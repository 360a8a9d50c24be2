// SPDX-License-Identifier: Apache-2.0
//
// How long a sum over ranks takes, beside MPI_Allreduce of the same library on the same data: medians and the fastest
// and slowest tenth, in microseconds. Run under mpirun: `bench_comm [ITERATIONS]`. The two take turns, so that both see
// the same machine.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/mem.h"
#include "comm/comm.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_line(const char *name, size_t bytes, double *us, int n)
{
    qsort(us, (size_t)n, sizeof *us, by_value);
    printf("%-14s %8zu bytes  median %8.2f  10%% %8.2f  90%% %8.2f us\n", name, bytes, us[n / 2], us[n / 10],
           us[n - 1 - n / 10]);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {16, 4096, 16384, 32768, 65536, 262144, 2097152};
    lf_comm *comm = NULL;
    lf_error err;
    lf_comm_world world = lf_comm_world_of_environment();
    lf_cpu_take_share(world.local_rank, world.n_local_rank);
    if (lf_comm_open(&comm, &err) || !comm) return 3;
    int rank = lf_comm_rank(comm), n_most = argc > 1 ? atoi(argv[1]) : 2000;
    double *ours = calloc((size_t)n_most, sizeof *ours), *mpi = calloc((size_t)n_most, sizeof *mpi);
    float *x = lf_aligned_calloc(2 << 20);
    for (size_t s = 0; s < LF_ARRAY_LENGTH(sizes); s++) {
        size_t n = sizes[s] / sizeof *x;
        int n_iteration = sizes[s] > 100000 ? n_most / 4 : n_most, n_warm = n_iteration / 10;
        for (int i = -n_warm; i < n_iteration; i++) {
            int64_t zero = 0;
            if (lf_comm_min_i64(comm, &zero, 1, &err)) return 3; // together
            int64_t start = lf_now_ns();
            if (lf_comm_sum_f32(comm, x, n, &err)) return 3;
            if (i >= 0) ours[i] = (double)(lf_now_ns() - start) * 1e-3;
            if (lf_comm_min_i64(comm, &zero, 1, &err)) return 3;
            start = lf_now_ns();
            MPI_Allreduce(MPI_IN_PLACE, x, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
            if (i >= 0) mpi[i] = (double)(lf_now_ns() - start) * 1e-3;
        }
        if (rank != 0) continue;
        print_line("lf_comm_sum", sizes[s], ours, n_iteration);
        print_line("MPI_Allreduce", sizes[s], mpi, n_iteration);
    }
    free(ours);
    free(mpi);
    free(x);
    lf_comm_close(comm);
    return 0;
}
