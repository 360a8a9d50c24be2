// SPDX-License-Identifier: Apache-2.0
//
// oneDNN's matrix product, versions 2.6 and 3, timed. Our own products do not go through oneDNN: it adds in an order
// that changes with the shape, so a token's bits would depend on its batch.
#include "device/cpu/peak_onednn.h"

#include <math.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/clock.h"
#include "device/cpu/cpu_int.h"

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t memory_desc;     // owned, destroyed with free_desc
typedef const_dnnl_memory_desc_t desc_view; // what functions take and queries return
static desc_view view_of(const memory_desc *desc) { return *desc; }
static void free_desc(memory_desc *desc)
{
    if (*desc) dnnl_memory_desc_destroy(*desc);
    *desc = NULL;
}
static dnnl_status_t make_tagged(memory_desc *out, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(out, 2, dims, type, tag);
}
static dnnl_status_t make_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, desc_view src, desc_view weights,
                                 desc_view bias, desc_view dst, const_dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(out, engine, src, weights, bias, dst, attr);
}
#else
typedef dnnl_memory_desc_t memory_desc;
typedef const dnnl_memory_desc_t *desc_view;
static desc_view view_of(const memory_desc *desc) { return desc; }
static void free_desc(memory_desc *desc) { (void)desc; }
static dnnl_status_t make_tagged(memory_desc *out, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(out, 2, dims, type, tag);
}
static dnnl_status_t make_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, desc_view src, desc_view weights,
                                 desc_view bias, desc_view dst, const_dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, src, weights, bias, dst);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &desc, attr, engine, NULL) : status;
}
#endif

typedef struct onednn_handles {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;
} onednn_handles;

static lf_status open_onednn(onednn_handles *out, lf_error *err)
{
    dnnl_status_t status = dnnl_engine_create(&out->engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = dnnl_stream_create(&out->stream, out->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = dnnl_primitive_attr_create(&out->attr);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_scratchpad_mode(out->attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) return LF_OK;
    return lf_error_set(err, LF_ERR_DEVICE, "oneDNN does not start: status %d", (int)status);
}

static void close_onednn(onednn_handles *onednn)
{
    if (onednn->attr) dnnl_primitive_attr_destroy(onednn->attr);
    if (onednn->stream) dnnl_stream_destroy(onednn->stream);
    if (onednn->engine) dnnl_engine_destroy(onednn->engine);
}

// oneDNN writes code into memory that it does not check: without memory, building a primitive ends in a fault. So ask
// first whether there is plenty of it.
static lf_status require_memory(lf_error *err)
{
    enum { PLENTY = 64 << 20 };
    lf_pages pages = {0};
    lf_status rc = lf__pages_map(&pages, PLENTY, err);
    lf__pages_unmap(&pages);
    return rc;
}

// Values as weights and activations have them; a float32 takes two. Of zeros processors multiply more in a second,
// because they need less power for it.
static void fill_numbers(const lf_pages *pages, size_t bytes)
{
    lf_bf16 *numbers = pages->address;
    for (size_t i = 0; i < bytes / sizeof *numbers; i++)
        numbers[i] = lf_bf16_from_f32((float)((int)(i * 7919 % 601) - 300) / 100);
}

// The best of a few runs of pd, whose weights have the layout that oneDNN chose.
static lf_status time_primitive(const onednn_handles *onednn, dnnl_primitive_desc_t pd, double *out_seconds,
                                lf_error *err)
{
    enum { RUNS = 60 };
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    static const dnnl_query_t queries[] = {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md,
                                           dnnl_query_scratchpad_md};
    dnnl_exec_arg_t exec[4] = {{0}};
    lf_pages pages[4] = {{0}};
    dnnl_primitive_t primitive = NULL;
    lf_status rc = LF_OK;
    dnnl_status_t status = dnnl_primitive_create(&primitive, pd);
    for (int i = 0; i < 4 && !rc && status == dnnl_success; i++) {
        desc_view desc = dnnl_primitive_desc_query_md(pd, queries[i], 0);
        rc = lf__pages_map(&pages[i], dnnl_memory_desc_get_size(desc), err);
        if (!rc) fill_numbers(&pages[i], dnnl_memory_desc_get_size(desc));
        if (!rc) status = dnnl_memory_create(&exec[i].memory, desc, onednn->engine, pages[i].address);
        exec[i].arg = args[i];
    }
    *out_seconds = HUGE_VAL;
    for (int i = 0; i < RUNS && !rc && status == dnnl_success; i++) {
        int64_t start = lf_now_ns();
        status = dnnl_primitive_execute(primitive, onednn->stream, 4, exec);
        if (status == dnnl_success) status = dnnl_stream_wait(onednn->stream);
        *out_seconds = fmin(*out_seconds, (double)(lf_now_ns() - start) * 1e-9);
    }
    for (int i = 0; i < 4; i++) {
        if (exec[i].memory) dnnl_memory_destroy(exec[i].memory);
        lf__pages_unmap(&pages[i]);
    }
    if (primitive) dnnl_primitive_destroy(primitive);
    if (!rc && status != dnnl_success) rc = lf_error_set(err, LF_ERR_DEVICE, "oneDNN matmul: status %d", (int)status);
    return rc;
}

lf_status lf__onednn_time_matmul(bool bf16, size_t m, size_t n, size_t k, double *out_seconds, lf_error *err)
{
    onednn_handles onednn = {0};
    lf_status rc = require_memory(err);
    if (!rc) rc = open_onednn(&onednn, err);
    memory_desc src, weights, dst;
    memset(&src, 0, sizeof src);
    memset(&weights, 0, sizeof weights);
    memset(&dst, 0, sizeof dst);
    dnnl_dim_t rows = (dnnl_dim_t)m, columns = (dnnl_dim_t)n, depth = (dnnl_dim_t)k;
    dnnl_data_type_t type = bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_primitive_desc_t pd = NULL;
    if (!rc) {
        dnnl_status_t status = make_tagged(&src, (dnnl_dims_t){rows, depth}, type, dnnl_ab);
        if (status == dnnl_success)
            status = make_tagged(&weights, (dnnl_dims_t){depth, columns}, type, dnnl_format_tag_any);
        if (status == dnnl_success) status = make_tagged(&dst, (dnnl_dims_t){rows, columns}, type, dnnl_ab);
        if (status == dnnl_success) {
            status =
                make_matmul(&pd, onednn.engine, view_of(&src), view_of(&weights), NULL, view_of(&dst), onednn.attr);
        }
        if (status != dnnl_success) rc = lf_error_set(err, LF_ERR_UNSUPPORTED, "oneDNN matmul: status %d", (int)status);
    }
    if (!rc) rc = time_primitive(&onednn, pd, out_seconds, err);
    if (pd) dnnl_primitive_desc_destroy(pd);
    free_desc(&src);
    free_desc(&weights);
    free_desc(&dst);
    close_onednn(&onednn);
    return rc;
}
