// SPDX-License-Identifier: Apache-2.0
//
// Reading traced rows back. Trap: between two blocks the stream is split, `hidden` holds a block's output and
// `residual` the sum without it; their sum is rounded to bf16 as the next norm will do it.
#include "engine/trace.h"

#include <stdlib.h>

#include "base/mem.h"

lf_status lf__trace_init(lf_trace *trace, const lf_forward *f, size_t max_tok, size_t max_row, lf_trace_fn on_rows,
                         void *ctx, lf_error *err)
{
    *trace = (lf_trace){.on_rows = on_rows, .ctx = ctx, .step = -1};
    size_t n_stream, n_row, n_logit, n_active = (size_t)f->config->num_experts_per_tok;
    bool fits = lf_mul_size(max_tok, LF_MAX(f->hidden.stride, f->residual.stride), &n_stream) &&
                lf_mul_size(max_tok, f->d_model, &n_row) && lf_mul_size(max_row, f->n_vocab, &n_logit);
    if (!fits) return lf_error_no_memory(err, 0);
    trace->block = lf_realloc_array(NULL, n_stream, sizeof *trace->block);
    trace->stream = lf_realloc_array(NULL, n_stream, sizeof *trace->stream);
    trace->rows = lf_realloc_array(NULL, LF_MAX(n_row, n_logit), sizeof *trace->rows);
    trace->ids = lf_realloc_array(NULL, max_row, sizeof *trace->ids);
    trace->positions = lf_realloc_array(NULL, max_row, sizeof *trace->positions);
    bool is_sparse = f->config->num_experts > 0;
    if (is_sparse) trace->experts = lf_realloc_array(NULL, max_tok * n_active, sizeof *trace->experts);
    bool has_all = trace->block && trace->stream && trace->rows && trace->ids && trace->positions;
    return has_all && (!is_sparse || trace->experts) ? LF_OK : lf_error_no_memory(err, 0);
}

void lf__trace_fini(lf_trace *trace)
{
    free(trace->block);
    free(trace->stream);
    free(trace->rows);
    free(trace->ids);
    free(trace->positions);
    free(trace->experts);
    *trace = (lf_trace){0};
}

static lf_status read_rows(const lf_forward *f, lf_rows rows, size_t n_row, lf_bf16 *dst, lf_error *err)
{
    return f->device->ops->read(f->device, dst, rows.data, n_row * rows.stride * sizeof *dst, err);
}

lf_status lf__trace_stream(const lf_forward *f, const lf_step *step, lf_trace_point point, int64_t layer, lf_error *err)
{
    lf_trace *trace = f->trace;
    bool has_stream = point != LF_TRACE_NORM, has_block = point != LF_TRACE_EMBEDDING;
    bool has_experts = point == LF_TRACE_LAYER && lf_config_layer_is_moe(f->config, layer);
    size_t n_tok = step->n_tok, n_active = (size_t)f->config->num_experts_per_tok;
    if (point == LF_TRACE_EMBEDDING) trace->step++;
    lf_status status = f->device->ops->synchronize(f->device, err);
    if (!status && has_stream) status = read_rows(f, f->residual, n_tok, trace->stream, err);
    if (!status && has_block) status = read_rows(f, f->hidden, n_tok, trace->block, err);
    if (!status && has_experts) {
        size_t bytes = n_tok * n_active * sizeof *trace->experts;
        status = f->device->ops->read(f->device, trace->experts, f->chosen_experts, bytes, err);
    }
    if (status) return status;
    for (size_t r = 0; r < n_tok; r++) {
        const lf_bf16 *stream = trace->stream + r * f->residual.stride, *block = trace->block + r * f->hidden.stride;
        float *row = trace->rows + r * f->d_model;
        for (size_t i = 0; i < f->d_model; i++) {
            float sum = (has_stream ? lf_bf16_to_f32(stream[i]) : 0) + (has_block ? lf_bf16_to_f32(block[i]) : 0);
            row[i] = lf_bf16_to_f32(lf_bf16_from_f32(sum));
        }
    }
    lf_trace_rows rows = {.point = point,
                          .step = trace->step,
                          .layer = layer,
                          .rows = trace->rows,
                          .n_row = n_tok,
                          .n_col = f->d_model,
                          .ids = step->ids,
                          .positions = step->positions,
                          .experts = has_experts ? trace->experts : NULL,
                          .n_active = has_experts ? n_active : 0};
    trace->on_rows(trace->ctx, &rows);
    return LF_OK;
}

lf_status lf__trace_logits(const lf_forward *f, const lf_step *step, const int32_t *rows, size_t n_row, lf_error *err)
{
    lf_trace *trace = f->trace;
    lf_status status = f->device->ops->synchronize(f->device, err);
    for (size_t r = 0; r < n_row && !status; r++) {
        lf_dptr from = lf_dptr_at(f->logits.data, r * f->logits.stride * sizeof(float));
        status = f->device->ops->read(f->device, trace->rows + r * f->n_vocab, from, f->n_vocab * sizeof(float), err);
        trace->ids[r] = step->ids[rows[r]];
        trace->positions[r] = step->positions[rows[r]];
    }
    if (status) return status;
    lf_trace_rows out = {.point = LF_TRACE_LOGITS,
                         .step = trace->step,
                         .layer = -1,
                         .rows = trace->rows,
                         .n_row = n_row,
                         .n_col = f->n_vocab,
                         .ids = trace->ids,
                         .positions = trace->positions};
    trace->on_rows(trace->ctx, &out);
    return LF_OK;
}
