// SPDX-License-Identifier: Apache-2.0
//
// The quant object: opening, look-up, and the one line that says what the checkpoint is.
#include "quant/quant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

const char *lf_scale_layout_name(lf_scale_layout layout)
{
    static const char *const names[] = {"none", "tensor", "channel", "block", "group", "broken"};
    return (size_t)layout < LF_ARRAY_LENGTH(names) ? names[layout] : "?";
}

// A kind of quantized weight, for the scheme line.
typedef struct kind {
    lf_dtype weight, scale;
    lf_scale_layout layout;
    bool has_chunks;
    int64_t rows, cols;  // of a block or group; 0 otherwise
    size_t count, place; // place: order of first appearance
} kind;

enum { MAX_KINDS = 8 };

static void count_kind(kind *kinds, size_t *n, const lf_logical_tensor *tensor)
{
    int64_t n_row, n_col;
    lf_logical_matrix_shape(tensor, &n_row, &n_col);
    bool has_blocks = tensor->layout == LF_SCALE_BLOCK || tensor->layout == LF_SCALE_GROUP;
    bool may_be_chunked = tensor->layout == LF_SCALE_BLOCK || tensor->layout == LF_SCALE_TENSOR;
    kind found = {.weight = tensor->weight->dtype,
                  .scale = tensor->scale->dtype,
                  .layout = tensor->layout,
                  .has_chunks = may_be_chunked && tensor->chunk_rows < n_row,
                  .rows = has_blocks ? tensor->block_rows : 0,
                  .cols = has_blocks ? tensor->block_cols : 0,
                  .count = 1};
    for (size_t i = 0; i < *n; i++) {
        kind *k = &kinds[i];
        if (k->weight != found.weight || k->scale != found.scale || k->layout != found.layout) continue;
        if (k->rows != found.rows || k->cols != found.cols || k->has_chunks != found.has_chunks) continue;
        k->count++;
        return;
    }
    found.place = *n;
    if (*n < MAX_KINDS) kinds[(*n)++] = found;
}

static int by_count(const void *a, const void *b)
{
    const kind *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static const char *format_name(lf_dtype dtype)
{
    switch (dtype) {
    case LF_DTYPE_F8_E5M2: return "fp8 e5m2";
    case LF_DTYPE_F8_E4M3FNUZ: return "fp8 e4m3fnuz";
    case LF_DTYPE_F8_E5M2FNUZ: return "fp8 e5m2fnuz";
    case LF_DTYPE_I8: return "fp4 e2m1";
    default: return "fp8 e4m3";
    }
}

static void describe_layout(char *dst, size_t dst_bytes, const kind *k)
{
    const char *chunks = k->has_chunks ? " in chunks of rows" : "";
    switch (k->layout) {
    case LF_SCALE_BLOCK:
        snprintf(dst, dst_bytes, "block %lldx%lld%s", (long long)k->rows, (long long)k->cols, chunks);
        break;
    case LF_SCALE_GROUP: snprintf(dst, dst_bytes, "groups of %lld", (long long)k->cols); break;
    case LF_SCALE_TENSOR: snprintf(dst, dst_bytes, "per %s", k->has_chunks ? "expert" : "tensor"); break;
    default: snprintf(dst, dst_bytes, "per %s", lf_scale_layout_name(k->layout));
    }
}

static void describe(lf_quant *quant)
{
    kind kinds[MAX_KINDS] = {0};
    size_t n = 0, n_broken = 0, used = 0;
    for (size_t i = 0; i < quant->count; i++) {
        if (quant->tensors[i].layout == LF_SCALE_BROKEN)
            n_broken++;
        else if (quant->tensors[i].layout != LF_SCALE_NONE)
            count_kind(kinds, &n, &quant->tensors[i]);
    }
    qsort(kinds, n, sizeof *kinds, by_count);
    snprintf(quant->scheme, sizeof quant->scheme, n_broken ? "not usable" : "not quantized");
    for (size_t i = 0; i < n && used < sizeof quant->scheme; i++) {
        const kind *k = &kinds[i];
        char layout[80];
        describe_layout(layout, sizeof layout, k);
        int length = snprintf(quant->scheme + used, sizeof quant->scheme - used, "%s%s, %s, %s scales", i ? "; " : "",
                              format_name(k->weight), layout, lf_dtype_name(k->scale));
        used += length > 0 ? (size_t)length : 0;
    }
}

lf_status lf_quant_open(lf_quant **out, const lf_checkpoint *checkpoint, const json_t *config, lf_findings *findings,
                        lf_error *err)
{
    *out = NULL;
    lf_quant *quant = calloc(1, sizeof *quant);
    if (!quant) return lf_error_no_memory(err, sizeof *quant);
    quant->checkpoint = checkpoint;
    lf__quant_config quant_config;
    lf__quant_config_read(&quant_config, config, lf_checkpoint_dir(checkpoint), findings);
    lf_status status = lf__pair(quant, &quant_config, findings, err);
    if (status) goto out;
    describe(quant);
    lf__modules_check(&quant_config, quant, findings);
    if (findings->failed) status = lf_error_no_memory(err, 0);
out:
    lf__quant_config_fini(&quant_config);
    if (status)
        lf_quant_close(quant);
    else
        *out = quant;
    return status;
}

void lf_quant_close(lf_quant *quant)
{
    if (!quant) return;
    for (size_t i = 0; i < quant->n_name; i++) free(quant->names[i]);
    free(quant->names);
    free(quant->tensors);
    free(quant->sides);
    free(quant);
}

size_t lf_quant_count(const lf_quant *quant) { return quant->count; }
const lf_logical_tensor *lf_quant_tensor(const lf_quant *quant, size_t i) { return &quant->tensors[i]; }
size_t lf_quant_n_side(const lf_quant *quant) { return quant->n_side; }
const lf_side_tensor *lf_quant_side(const lf_quant *quant, size_t i) { return &quant->sides[i]; }
size_t lf_quant_n_quantized(const lf_quant *quant) { return quant->n_quantized; }
const char *lf_quant_scheme(const lf_quant *quant) { return quant->scheme; }

const lf_logical_tensor *lf_quant_find(const lf_quant *quant, const char *name)
{
    size_t low = 0, high = quant->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(quant->tensors[middle].name, name);
        if (order == 0) return &quant->tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
