// SPDX-License-Identifier: Apache-2.0
//
// The operators in which ranks meet: the sum of everybody's part of a block's output, and the norm over a width of
// which each rank holds some heads. Sums are float32 and become bf16 once, where one rank's product would.
#include "device/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

#include "base/par.h"

typedef struct reduce_job {
    const lf_cpu_kernels *kernels;
    const lf_all_reduce_args *args;
} reduce_job;

static void narrow_range(void *ctx, size_t begin, size_t end, int thread)
{
    const reduce_job *job = ctx;
    const lf_all_reduce_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        const float *x = (const float *)args->x.address + t * args->d;
        lf_bf16 *y = (lf_bf16 *)args->y.address + t * args->y_stride;
        job->kernels->narrow(y, x, args->bias.address, args->d);
    }
}

lf_status lf__cpu_all_reduce(lf_device *device, const lf_all_reduce_args *args, lf_error *err)
{
    const lf_cpu_device *cpu = lf__cpu(device);
    const lf_collective *collective = &cpu->options.collective;
    size_t n = args->n_tok * args->d;
    if (args->is_absent) memset(args->x.address, 0, n * sizeof(float));
    if (collective->sum_f32) {
        lf_status status = collective->sum_f32(collective->ctx, args->x.address, n, err);
        if (status) return status;
    }
    if (lf_dptr_is_null(args->y)) return LF_OK;
    reduce_job job = {.kernels = &cpu->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(args->d), narrow_range, &job);
    return LF_OK;
}

lf_status lf__cpu_join(lf_device *device, const lf_join_args *args, lf_error *err)
{
    const lf_collective *collective = &lf__cpu(device)->options.collective;
    assert(collective->gather && collective->part_bytes);
    for (int r = 0; r < collective->n_rank; r++) {
        collective->part_bytes[r] = args->n_row * args->n_col[r] * sizeof(float);
    }
    lf_status status =
        collective->gather(collective->ctx, args->x.address, collective->part_bytes, args->scratch.address, err);
    if (status || collective->rank > 0) return status;
    const float *from = args->scratch.address;
    size_t column = 0;
    for (int r = 0; r < collective->n_rank; r++) {
        for (size_t row = 0; row < args->n_row; row++, from += args->n_col[r]) {
            float *to = (float *)args->y.address + row * args->y_stride + column;
            memcpy(to, from, args->n_col[r] * sizeof *to);
        }
        column += args->n_col[r];
    }
    return LF_OK;
}

typedef struct square_job {
    const lf_cpu_kernels *kernels;
    const lf_square_sums_args *args;
} square_job;

static void square_range(void *ctx, size_t begin, size_t end, int thread)
{
    const square_job *job = ctx;
    const lf_square_sums_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        const lf_bf16 *x = (const lf_bf16 *)args->x.address + t * args->x_stride;
        ((float *)args->sums.address)[t * args->sums_stride] = job->kernels->square_sum(x, args->d);
    }
}

lf_status lf__cpu_square_sums(lf_device *device, const lf_square_sums_args *args, lf_error *err)
{
    square_job job = {.kernels = &lf__cpu(device)->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(args->d), square_range, &job);
    return LF_OK;
}

typedef struct scale_job {
    const lf_cpu_kernels *kernels;
    const lf_scale_norm_args *args;
} scale_job;

static void scale_range(void *ctx, size_t begin, size_t end, int thread)
{
    const scale_job *job = ctx;
    const lf_scale_norm_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        lf_bf16 *x = (lf_bf16 *)args->x.address + t * args->x_stride;
        float mean = ((const float *)args->sums.address)[t * args->sums_stride] / (float)args->count;
        job->kernels->scale(x, x, 1 / sqrtf(mean + args->eps), args->weight.address, args->d);
    }
}

lf_status lf__cpu_scale_norm(lf_device *device, const lf_scale_norm_args *args, lf_error *err)
{
    scale_job job = {.kernels = &lf__cpu(device)->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(args->d), scale_range, &job);
    return LF_OK;
}
