// SPDX-License-Identifier: Apache-2.0
//
// The fake device.
#include "fake_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct lf_weight {
    int64_t n_row, n_col;
    lf_bf16 *values;
    uint8_t *n_fill;
};

static void describe(const lf_device *device, lf_device_caps *out)
{
    *out = (lf_device_caps){.name = "fake", .executes_fp8 = ((const fake_device *)device)->executes_fp8};
}

static bool may_allocate(lf_device *device)
{
    fake_device *fake = (fake_device *)device;
    if (fake->n_allocation_left == 0) return false;
    if (fake->n_allocation_left > 0) fake->n_allocation_left--;
    fake->n_live++;
    return true;
}

static lf_status allocate(lf_device *device, size_t bytes, lf_dptr *out, lf_error *err)
{
    if (!may_allocate(device)) return lf_error_no_memory(err, bytes);
    out->address = lf_aligned_calloc(bytes);
    return out->address ? LF_OK : lf_error_no_memory(err, bytes);
}

static void release(lf_device *device, lf_dptr p)
{
    ((fake_device *)device)->n_live--;
    free(p.address);
}

static lf_status write_bytes(lf_device *device, lf_dptr dst, const void *src, size_t bytes, lf_error *err)
{
    memcpy(dst.address, src, bytes);
    return LF_OK;
}

static lf_status synchronize(lf_device *device, lf_error *err) { return LF_OK; }

static lf_status weight_create(lf_device *device, int64_t n_row, int64_t n_col, lf_weight **out, lf_error *err)
{
    if (!may_allocate(device)) return lf_error_no_memory(err, 0);
    lf_weight *weight = malloc(sizeof *weight);
    size_t n = (size_t)(n_row * n_col);
    *weight = (lf_weight){n_row, n_col, malloc(n * sizeof(lf_bf16)), calloc(n, 1)};
    *out = weight;
    return LF_OK;
}

static void weight_free(lf_device *device, lf_weight *weight)
{
    ((fake_device *)device)->n_live--;
    free(weight->values);
    free(weight->n_fill);
    free(weight);
}

static void weight_fill(lf_weight *weight, int64_t row, int64_t n_row, int64_t col, int64_t n_col, const lf_bf16 *src,
                        size_t src_stride)
{
    for (int64_t r = 0; r < n_row; r++) {
        int64_t at = (row + r) * weight->n_col + col;
        memcpy(weight->values + at, src + (size_t)r * src_stride, (size_t)n_col * sizeof *src);
        for (int64_t c = 0; c < n_col; c++) weight->n_fill[at + c]++;
    }
}

static uint64_t weight_bytes(const lf_weight *weight) { return (uint64_t)(weight->n_row * weight->n_col) * 2; }

static const struct lf_device_ops fake_ops = {
    .describe = describe,
    .alloc = allocate,
    .free = release,
    .write = write_bytes,
    .synchronize = synchronize,
    .weight_create = weight_create,
    .weight_free = weight_free,
    .weight_fill = weight_fill,
    .weight_bytes = weight_bytes,
};

void fake_device_init(fake_device *fake) { *fake = (fake_device){.base = {&fake_ops}, .n_allocation_left = -1}; }

const lf_bf16 *fake_weight_values(const lf_weight *weight) { return weight->values; }
int64_t fake_weight_n_row(const lf_weight *weight) { return weight->n_row; }
int64_t fake_weight_n_col(const lf_weight *weight) { return weight->n_col; }

bool fake_weight_is_filled_once(const lf_weight *weight)
{
    for (int64_t i = 0; i < weight->n_row * weight->n_col; i++) {
        if (weight->n_fill[i] != 1) return false;
    }
    return true;
}
