// SPDX-License-Identifier: Apache-2.0
//
// oneDNN matmul, versions 2.6 and 3. A primitive is made at the first use of its shape and kept; scratch is ours (user
// mode) and grows with the primitives. What oneDNN cannot do is remembered as a primitive that is NULL, so it is asked
// once.
#include "device/cpu/gemm_onednn.h"

#include <math.h>
#include <stdlib.h>
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
static dnnl_status_t make_strided(memory_desc *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                  const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(out, 2, dims, type, strides);
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
static dnnl_status_t make_strided(memory_desc *out, const dnnl_dims_t dims, dnnl_data_type_t type,
                                  const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides);
}
static dnnl_status_t make_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, desc_view src, desc_view weights,
                                 desc_view bias, desc_view dst, const_dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t desc;
    dnnl_status_t status = dnnl_matmul_desc_init(&desc, src, weights, bias, dst);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &desc, attr, engine, NULL) : status;
}
#endif

// One shape of product. Memory objects carry shapes only; addresses are set for each run.
typedef struct product {
    size_t n_tok, n_row, n_col, x_stride, y_stride;
    bool y_is_f32, with_bias;
    dnnl_primitive_t primitive; // NULL: oneDNN has nothing for it
    dnnl_memory_t src, weights, bias, dst, scratch;
} product;

enum { MAX_PRODUCT = 128 };

struct lf_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr;
    product products[MAX_PRODUCT];
    size_t n_product;
    lf_pages scratch;
};

static void free_product(product *p)
{
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    dnnl_memory_t *memories[] = {&p->src, &p->weights, &p->bias, &p->dst, &p->scratch};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(memories); i++) {
        if (*memories[i]) dnnl_memory_destroy(*memories[i]);
        *memories[i] = NULL;
    }
    p->primitive = NULL;
}

void lf__onednn_close(lf_onednn *onednn)
{
    if (!onednn) return;
    for (size_t i = 0; i < onednn->n_product; i++) free_product(&onednn->products[i]);
    if (onednn->attr) dnnl_primitive_attr_destroy(onednn->attr);
    if (onednn->stream) dnnl_stream_destroy(onednn->stream);
    if (onednn->engine) dnnl_engine_destroy(onednn->engine);
    lf__pages_unmap(&onednn->scratch);
    free(onednn);
}

static dnnl_status_t make_memory(dnnl_memory_t *out, desc_view desc, dnnl_engine_t engine)
{
    return dnnl_memory_create(out, desc, engine, DNNL_MEMORY_NONE);
}

// Room for the primitive's scratch, shared by all primitives because they run one after the other.
static bool reserve_scratch(lf_onednn *onednn, desc_view scratch)
{
    size_t bytes = dnnl_memory_desc_get_size(scratch);
    if (bytes <= onednn->scratch.bytes) return true;
    lf_pages grown = {0};
    size_t padded = LF_MAX(bytes, (size_t)2 << 20); // mapped pages know their size
    if (lf__pages_map(&grown, padded, NULL)) return false;
    lf__pages_unmap(&onednn->scratch);
    onednn->scratch = grown;
    return true;
}

static bool build_primitive(lf_onednn *onednn, product *p, const memory_desc descs[4])
{
    dnnl_primitive_desc_t pd = NULL;
    desc_view bias = p->with_bias ? view_of(&descs[2]) : NULL;
    dnnl_status_t status = make_matmul(&pd, onednn->engine, view_of(&descs[0]), view_of(&descs[1]), bias,
                                       view_of(&descs[3]), onednn->attr);
    if (status != dnnl_success) return false;
    const char *name = NULL;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    desc_view scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    // The reference implementation is a correct answer and a useless one.
    bool good = name && !strstr(name, "ref") && reserve_scratch(onednn, scratch) &&
                dnnl_primitive_create(&p->primitive, pd) == dnnl_success &&
                make_memory(&p->src, view_of(&descs[0]), onednn->engine) == dnnl_success &&
                make_memory(&p->weights, view_of(&descs[1]), onednn->engine) == dnnl_success &&
                make_memory(&p->dst, view_of(&descs[3]), onednn->engine) == dnnl_success &&
                make_memory(&p->scratch, scratch, onednn->engine) == dnnl_success &&
                (!bias || make_memory(&p->bias, bias, onednn->engine) == dnnl_success);
    dnnl_primitive_desc_destroy(pd);
    return good;
}

// Fills in the primitive of a product whose shape is set.
static void build_product(lf_onednn *onednn, product *p)
{
    dnnl_dim_t m = (dnnl_dim_t)p->n_tok, n = (dnnl_dim_t)p->n_row, k = (dnnl_dim_t)p->n_col;
    memory_desc descs[4];
    memset(descs, 0, sizeof descs);
    dnnl_data_type_t y_type = p->y_is_f32 ? dnnl_f32 : dnnl_bf16;
    bool good = make_strided(&descs[0], (dnnl_dims_t){m, k}, dnnl_bf16, (dnnl_dims_t){(dnnl_dim_t)p->x_stride, 1}) ==
                    dnnl_success &&
                make_tagged(&descs[1], (dnnl_dims_t){k, n}, dnnl_bf16, dnnl_BA16a64b2a) == dnnl_success &&
                make_tagged(&descs[2], (dnnl_dims_t){1, n}, dnnl_f32, dnnl_ab) == dnnl_success &&
                make_strided(&descs[3], (dnnl_dims_t){m, n}, y_type, (dnnl_dims_t){(dnnl_dim_t)p->y_stride, 1}) ==
                    dnnl_success &&
                build_primitive(onednn, p, descs);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(descs); i++) free_desc(&descs[i]);
    if (!good) free_product(p);
}

static product *find_product(lf_onednn *onednn, const lf_linear_args *args, size_t n_tok)
{
    product wanted = {.n_tok = n_tok,
                      .n_row = args->weight->n_row,
                      .n_col = args->weight->n_col,
                      .x_stride = args->x_stride,
                      .y_stride = args->y_stride,
                      .y_is_f32 = args->y_is_f32,
                      .with_bias = !lf_dptr_is_null(args->bias)};
    for (size_t i = 0; i < onednn->n_product; i++) {
        product *p = &onednn->products[i];
        if (p->n_tok == n_tok && p->n_row == wanted.n_row && p->n_col == wanted.n_col &&
            p->x_stride == wanted.x_stride && p->y_stride == wanted.y_stride && p->y_is_f32 == wanted.y_is_f32 &&
            p->with_bias == wanted.with_bias) {
            return p;
        }
    }
    if (onednn->n_product == MAX_PRODUCT) return NULL;
    product *p = &onednn->products[onednn->n_product++];
    *p = wanted;
    build_product(onednn, p);
    return p;
}

size_t lf__onednn_tokens(size_t n_tok)
{
    for (size_t size = LF_LINEAR_TOKENS; size >= 32; size /= 2) {
        if (n_tok >= size) return size;
    }
    return 0;
}

bool lf__onednn_linear(lf_onednn *onednn, const lf_linear_args *args, size_t first, size_t n_tok)
{
    product *p = find_product(onednn, args, n_tok);
    if (!p || !p->primitive) return false;
    char *y = (char *)args->y.address + first * args->y_stride * (args->y_is_f32 ? sizeof(float) : sizeof(lf_bf16));
    lf_bf16 *x = (lf_bf16 *)args->x.address + first * args->x_stride;
    dnnl_exec_arg_t exec[5] = {
        {DNNL_ARG_SRC, p->src},   {DNNL_ARG_WEIGHTS, p->weights},
        {DNNL_ARG_DST, p->dst},   {DNNL_ARG_SCRATCHPAD, p->scratch},
        {DNNL_ARG_BIAS, p->bias},
    };
    bool good = dnnl_memory_set_data_handle(p->src, x) == dnnl_success &&
                dnnl_memory_set_data_handle(p->weights, args->weight->pages.address) == dnnl_success &&
                dnnl_memory_set_data_handle(p->dst, y) == dnnl_success &&
                dnnl_memory_set_data_handle(p->scratch, onednn->scratch.address) == dnnl_success &&
                (!p->with_bias || dnnl_memory_set_data_handle(p->bias, args->bias.address) == dnnl_success);
    return good && dnnl_primitive_execute(p->primitive, onednn->stream, p->with_bias ? 5 : 4, exec) == dnnl_success &&
           dnnl_stream_wait(onednn->stream) == dnnl_success;
}

// A small product against `multiply`: proves layout, tails and threading before any weight depends on them.
static bool agrees(lf_onednn *onednn)
{
    enum { TOK = 32, ROWS = 80, COLUMNS = 72, PAIRS = 48, PANELS = 2 };
    static const size_t panel_elements = (size_t)PAIRS * LF_PANEL_PAIR;
    lf_bf16 *panels = lf_aligned_calloc(PANELS * panel_elements * sizeof *panels);
    lf_bf16 *x = lf_aligned_calloc(TOK * COLUMNS * sizeof *x);
    float *wide = lf_aligned_calloc(TOK * 2 * PAIRS * sizeof *wide), *y = lf_aligned_calloc(TOK * ROWS * sizeof *y);
    float *expected = lf_aligned_calloc(TOK * LF_PANEL_ROWS * sizeof *expected);
    bool good = panels && x && wide && y && expected;
    for (size_t i = 0; good && i < TOK * COLUMNS; i++) {
        x[i] = lf_bf16_from_f32((float)(i * 37 % 101) / 50 - 1);
        wide[i / COLUMNS * 2 * PAIRS + i % COLUMNS] = lf_bf16_to_f32(x[i]);
    }
    for (size_t i = 0; good && i < (size_t)ROWS * COLUMNS; i++) {
        size_t row = i / COLUMNS, column = i % COLUMNS;
        panels[row / LF_PANEL_ROWS * panel_elements + column / 2 * LF_PANEL_PAIR + row % LF_PANEL_ROWS * 2 +
               column % 2] = lf_bf16_from_f32((float)(i * 53 % 97) / 48 - 1);
    }
    struct lf_weight weight = {
        .pages = {.address = panels}, .n_row = ROWS, .n_col = COLUMNS, .n_panel = PANELS, .n_pair = PAIRS};
    lf_linear_args args = {
        .weight = &weight, .x = {x}, .x_stride = COLUMNS, .y = {y}, .y_stride = ROWS, .n_tok = TOK, .y_is_f32 = true};
    good = good && lf__onednn_linear(onednn, &args, 0, TOK);
    for (size_t panel = 0; good && panel < PANELS; panel++) {
        memset(expected, 0, TOK * LF_PANEL_ROWS * sizeof *expected);
        lf_multiply__ref(&(lf_multiply_args){.sum = expected,
                                             .sum_stride = LF_PANEL_ROWS,
                                             .x = wide,
                                             .x_stride = 2 * PAIRS,
                                             .n_tok = TOK,
                                             .panel = panels + panel * panel_elements,
                                             .n_pair = PAIRS,
                                             .n_strip = LF_PANEL_STRIPS});
        for (size_t i = 0; i < TOK * LF_PANEL_ROWS; i++) {
            size_t row = panel * LF_PANEL_ROWS + i % LF_PANEL_ROWS;
            if (row < ROWS && !(fabsf(y[i / LF_PANEL_ROWS * ROWS + row] - expected[i]) <= 1e-4f)) good = false;
        }
    }
    free(panels);
    free(x);
    free(wide);
    free(y);
    free(expected);
    return good;
}

static lf_status create(lf_onednn **out, lf_error *err)
{
    lf_onednn *onednn = calloc(1, sizeof *onednn);
    if (!onednn) return lf_error_no_memory(err, sizeof *onednn);
    *out = onednn;
    dnnl_status_t status = dnnl_engine_create(&onednn->engine, dnnl_cpu, 0);
    if (status == dnnl_success) status = dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_default_flags);
    if (status == dnnl_success) status = dnnl_primitive_attr_create(&onednn->attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(onednn->attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) return LF_OK;
    return lf_error_set(err, LF_ERR_DEVICE, "oneDNN does not start: status %d", (int)status);
}

lf_status lf__onednn_open(lf_onednn **out, lf_error *err)
{
    lf_onednn *onednn = NULL;
    lf_status rc = create(&onednn, err);
    if (!rc && !agrees(onednn)) {
        bool built = onednn->n_product > 0 && onednn->products[0].primitive;
        rc = lf_error_set(err, LF_ERR_UNSUPPORTED, "oneDNN %d.%d %s", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
                          built ? "disagrees with our own product"
                                : "has no fast bf16 product over packed weights here");
    }
    if (rc) {
        lf__onednn_close(onednn);
        return rc;
    }
    *out = onednn;
    return LF_OK;
}

// The best of a few runs of pd, whose weights have the layout that oneDNN chose.
static lf_status time_primitive(lf_onednn *onednn, dnnl_primitive_desc_t pd, double *out_seconds, lf_error *err)
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
    lf_onednn *onednn = NULL;
    lf_status rc = create(&onednn, err);
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
                make_matmul(&pd, onednn->engine, view_of(&src), view_of(&weights), NULL, view_of(&dst), onednn->attr);
        }
        if (status != dnnl_success) rc = lf_error_set(err, LF_ERR_UNSUPPORTED, "oneDNN matmul: status %d", (int)status);
    }
    if (!rc) rc = time_primitive(onednn, pd, out_seconds, err);
    if (pd) dnnl_primitive_desc_destroy(pd);
    free_desc(&src);
    free_desc(&weights);
    free_desc(&dst);
    lf__onednn_close(onednn);
    return rc;
}
