// SPDX-License-Identifier: Apache-2.0
//
// The operators that treat every token alone: norm, rotary embedding, KV store, gated activation, gather. Small ones (a
// decode step) run on the calling thread, since waking the others costs more than the work.
#include "device/cpu/cpu_int.h"

#include <string.h>

#include "base/par.h"

typedef struct norm_job {
    const lf_cpu_kernels *kernels;
    const lf_norm_args *args;
} norm_job;

static void norm_range(void *ctx, size_t begin, size_t end, int thread)
{
    const norm_job *job = ctx;
    const lf_norm_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        const lf_bf16 *x = (const lf_bf16 *)args->x.address + t * args->x_stride;
        lf_bf16 *y = (lf_bf16 *)args->y.address + t * args->y_stride;
        lf_bf16 *residual = NULL;
        if (!lf_dptr_is_null(args->residual)) residual = (lf_bf16 *)args->residual.address + t * args->residual_stride;
        for (size_t g = 0; g < args->n_group; g++) {
            job->kernels->norm(y + g * args->d, x + g * args->d, residual, args->weight.address, args->d, args->eps);
        }
    }
}

lf_status lf__cpu_rms_norm(lf_device *device, const lf_norm_args *args, lf_error *err)
{
    assert(lf_dptr_is_null(args->residual) || args->n_group == 1);
    norm_job job = {.kernels = &lf__cpu(device)->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(args->n_group * args->d), norm_range, &job);
    return LF_OK;
}

typedef struct rope_job {
    const lf_cpu_kernels *kernels;
    const lf_rope_args *args;
} rope_job;

static void rope_range(void *ctx, size_t begin, size_t end, int thread)
{
    const rope_job *job = ctx;
    const lf_rope_args *args = job->args;
    const int32_t *positions = args->positions.address;
    void (*rotate)(lf_bf16 *, const float *, size_t) =
        args->is_interleaved ? job->kernels->rotate_pairs : job->kernels->rotate;
    for (size_t t = begin; t < end; t++) {
        assert(positions[t] >= 0);
        const float *cos_sin = (const float *)args->cos_sin.address + (size_t)positions[t] * args->rotary_dim;
        lf_bf16 *head = (lf_bf16 *)args->x.address + t * args->x_stride;
        for (size_t h = 0; h < args->n_head; h++, head += args->d_head) {
            rotate(head, cos_sin, args->rotary_dim / 2);
        }
    }
}

lf_status lf__cpu_rope(lf_device *device, const lf_rope_args *args, lf_error *err)
{
    assert(args->rotary_dim % 2 == 0 && args->rotary_dim <= args->d_head);
    rope_job job = {.kernels = &lf__cpu(device)->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(args->n_head * args->d_head), rope_range, &job);
    return LF_OK;
}

static void kv_store_range(void *ctx, size_t begin, size_t end, int thread)
{
    const lf_kv_store_args *args = ctx;
    const lf_kv_layer *kv = &args->kv;
    const int32_t *slots = args->slots.address;
    size_t d = kv->d_head, head_elements = kv->block_size * d;
    for (size_t t = begin; t < end; t++) {
        if (slots[t] < 0) continue;
        size_t block = (size_t)slots[t] / kv->block_size, offset = (size_t)slots[t] % kv->block_size;
        const lf_bf16 *k = (const lf_bf16 *)args->k.address + t * args->stride;
        const lf_bf16 *v = (const lf_bf16 *)args->v.address; // null where values are part of keys
        if (v) v += t * args->stride;
        size_t at = block * kv->n_kv_head * head_elements + offset * d;
        for (size_t h = 0; h < kv->n_kv_head; h++) {
            memcpy((lf_bf16 *)kv->keys.address + at + h * head_elements, k + h * d, d * sizeof *k);
            if (v) memcpy((lf_bf16 *)kv->values.address + at + h * head_elements, v + h * d, d * sizeof *v);
        }
    }
}

lf_status lf__cpu_kv_store(lf_device *device, const lf_kv_store_args *args, lf_error *err)
{
    lf_kv_store_args copy = *args;
    lf_par_for(args->n_tok, lf__grain_of(2 * args->kv.n_kv_head * args->kv.d_head), kv_store_range, &copy);
    return LF_OK;
}

typedef struct gate_job {
    const lf_cpu_kernels *kernels;
    const lf_silu_mul_args *args;
} gate_job;

static void gate_range(void *ctx, size_t begin, size_t end, int thread)
{
    const gate_job *job = ctx;
    const lf_silu_mul_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        const lf_bf16 *x = (const lf_bf16 *)args->x.address + t * args->x_stride;
        job->kernels->gate((lf_bf16 *)args->y.address + t * args->y_stride, x, x + args->d, args->d);
    }
}

lf_status lf__cpu_silu_mul(lf_device *device, const lf_silu_mul_args *args, lf_error *err)
{
    gate_job job = {.kernels = &lf__cpu(device)->kernels, .args = args};
    lf_par_for(args->n_tok, lf__grain_of(2 * args->d), gate_range, &job);
    return LF_OK;
}

static void gather_range(void *ctx, size_t begin, size_t end, int thread)
{
    const lf_gather_args *args = ctx;
    const int32_t *rows = args->rows.address;
    for (size_t i = begin; i < end; i++) {
        assert(rows[i] >= 0);
        memcpy((lf_bf16 *)args->y.address + i * args->y_stride,
               (const lf_bf16 *)args->x.address + (size_t)rows[i] * args->x_stride, args->d * sizeof(lf_bf16));
    }
}

lf_status lf__cpu_gather(lf_device *device, const lf_gather_args *args, lf_error *err)
{
    lf_gather_args copy = *args;
    lf_par_for(args->n_row, lf__grain_of(args->d), gather_range, &copy);
    return LF_OK;
}
