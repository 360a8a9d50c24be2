// SPDX-License-Identifier: Apache-2.0
//
// The forward pass in reading order: run_layer() is the model. It follows modeling_llama.py, modeling_qwen2.py and
// modeling_qwen3.py of transformers, which differ in biases and per-head norms only. No line here reads device memory;
// each operator helper does nothing once one has failed, so the sequence needs no checks between the lines. Trap: the
// residual is added inside the next norm, so between two blocks `hidden` holds a block's output and `residual` the sum
// without it.
#include "engine/forward.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/rope.h"

// One run over the layers.
typedef struct pass {
    const lf_forward *f;
    const lf_step *step;
    const struct lf_device_ops *ops;
    lf_device *device;
    int64_t layer;
    lf_status status; // of the first operator that failed
    lf_error *err;
} pass;

static pass pass_begin(const lf_forward *f, const lf_step *step, lf_error *err)
{
    return (pass){.f = f, .step = step, .ops = f->device->ops, .device = f->device, .err = err};
}

static int64_t timer_start(const pass *p) { return p->f->profile ? lf_now_ns() : 0; }

// Operators may run behind the host's back, so a timed one is waited for.
static void timer_stop(pass *p, uint64_t *total_ns, int64_t start)
{
    if (!p->f->profile) return;
    if (!p->status) p->status = p->ops->synchronize(p->device, p->err);
    *total_ns += (uint64_t)(lf_now_ns() - start);
}
#define TIMED(p, field, call)                                                                                          \
    do {                                                                                                               \
        if ((p)->status) return;                                                                                       \
        int64_t start = timer_start(p);                                                                                \
        (p)->status = (call);                                                                                          \
        timer_stop(p, (p)->f->profile ? &(p)->f->profile->field : NULL, start);                                        \
    } while (0)

static lf_rows columns_from(lf_rows rows, size_t column)
{
    return (lf_rows){lf_dptr_at(rows.data, column * sizeof(lf_bf16)), rows.stride};
}

// ---- operators ----

static void embed(pass *p, lf_rows y)
{
    lf_embed_args args = {.weight = lf_weights_matrix(p->f->weights, LF_SLOT_EMBED, 0),
                          .ids = p->step->device_ids,
                          .y = y.data,
                          .y_stride = y.stride,
                          .n_tok = p->step->n_tok,
                          .d = p->f->d_model};
    TIMED(p, other_ns, p->ops->embed(p->device, &args, p->err));
}

// `bias` may name a slot that this model does not have.
static void linear(pass *p, lf_slot slot, lf_slot bias, lf_rows x, lf_rows y)
{
    lf_linear_args args = {.weight = lf_weights_matrix(p->f->weights, slot, p->layer),
                           .bias = lf_weights_vector(p->f->weights, bias, p->layer),
                           .x = x.data,
                           .x_stride = x.stride,
                           .y = y.data,
                           .y_stride = y.stride,
                           .n_tok = p->step->n_tok};
    TIMED(p, linear_ns, p->ops->linear(p->device, &args, p->err));
}

// hidden = norm(residual += hidden), or norm(residual) where there is no block output yet.
static void norm(pass *p, lf_slot slot, bool add_hidden)
{
    const lf_forward *f = p->f;
    lf_rows x = add_hidden ? f->hidden : f->residual;
    lf_norm_args args = {.x = x.data,
                         .x_stride = x.stride,
                         .residual = add_hidden ? f->residual.data : (lf_dptr){0},
                         .residual_stride = f->residual.stride,
                         .weight = lf_weights_vector(f->weights, slot, p->layer),
                         .y = f->hidden.data,
                         .y_stride = f->hidden.stride,
                         .n_tok = p->step->n_tok,
                         .n_group = 1,
                         .d = f->d_model,
                         .eps = (float)f->config->rms_norm_eps};
    TIMED(p, other_ns, p->ops->rms_norm(p->device, &args, p->err));
}

// Norms each of n_head heads in place.
static void head_norm(pass *p, lf_slot slot, lf_rows heads, size_t n_head)
{
    lf_norm_args args = {.x = heads.data,
                         .x_stride = heads.stride,
                         .weight = lf_weights_vector(p->f->weights, slot, p->layer),
                         .y = heads.data,
                         .y_stride = heads.stride,
                         .n_tok = p->step->n_tok,
                         .n_group = n_head,
                         .d = p->f->d_head,
                         .eps = (float)p->f->config->rms_norm_eps};
    TIMED(p, other_ns, p->ops->rms_norm(p->device, &args, p->err));
}

static void rope(pass *p, lf_rows heads, size_t n_head)
{
    lf_rope_args args = {.x = heads.data,
                         .x_stride = heads.stride,
                         .n_tok = p->step->n_tok,
                         .n_head = n_head,
                         .d_head = p->f->d_head,
                         .rotary_dim = (size_t)p->f->config->rope.rotary_dim,
                         .positions = p->step->device_positions,
                         .cos_sin = p->f->cos_sin};
    TIMED(p, other_ns, p->ops->rope(p->device, &args, p->err));
}

static void kv_store(pass *p, lf_rows k, lf_rows v)
{
    lf_kv_store_args args = {.k = k.data,
                             .v = v.data,
                             .stride = k.stride,
                             .n_tok = p->step->n_tok,
                             .slots = p->step->device_slots,
                             .kv = p->f->kv->layers[p->layer]};
    TIMED(p, attention_ns, p->ops->kv_store(p->device, &args, p->err));
}

static void attention(pass *p, lf_rows q, lf_rows out)
{
    const lf_step *step = p->step;
    lf_attention_args args = {.q = q.data,
                              .q_stride = q.stride,
                              .out = out.data,
                              .out_stride = out.stride,
                              .n_tok = step->n_tok,
                              .n_seq = step->n_seq,
                              .n_head = p->f->n_head,
                              .kv = p->f->kv->layers[p->layer],
                              .query_start = step->device_query_start,
                              .lengths = step->device_lengths,
                              .block_tables = step->device_tables,
                              .block_table_stride = step->table_stride,
                              .max_length = step->max_length,
                              .scale = 1.0f / sqrtf((float)p->f->d_head),
                              .sliding_window = p->f->config->sliding_window};
    TIMED(p, attention_ns, p->ops->attention(p->device, &args, p->err));
}

static void silu_mul(pass *p, lf_rows x, lf_rows y)
{
    lf_silu_mul_args args = {
        .x = x.data, .x_stride = x.stride, .y = y.data, .y_stride = y.stride, .n_tok = p->step->n_tok, .d = p->f->d_ff};
    TIMED(p, other_ns, p->ops->silu_mul(p->device, &args, p->err));
}

static void select_rows(pass *p, size_t n_row)
{
    const lf_forward *f = p->f;
    lf_gather_args args = {.x = f->hidden.data,
                           .x_stride = f->hidden.stride,
                           .rows = p->step->device_rows,
                           .y = f->selected.data,
                           .y_stride = f->selected.stride,
                           .n_row = n_row,
                           .d = f->d_model};
    TIMED(p, other_ns, p->ops->gather(p->device, &args, p->err));
}

static void lm_head(pass *p, size_t n_row)
{
    const lf_forward *f = p->f;
    lf_linear_args args = {.weight = lf_weights_matrix(f->weights, LF_SLOT_LM_HEAD, 0),
                           .x = f->selected.data,
                           .x_stride = f->selected.stride,
                           .y = f->logits.data,
                           .y_stride = f->logits.stride,
                           .n_tok = n_row,
                           .y_is_f32 = true};
    TIMED(p, lm_head_ns, p->ops->linear(p->device, &args, p->err));
}

// ---- the model ----

static void run_layer(pass *p)
{
    const lf_forward *f = p->f;
    lf_rows q = f->qkv;
    lf_rows k = columns_from(f->qkv, f->n_head * f->d_head);
    lf_rows v = columns_from(f->qkv, (f->n_head + f->n_kv_head) * f->d_head);

    norm(p, LF_SLOT_INPUT_NORM, p->layer > 0);
    linear(p, LF_SLOT_QKV, LF_SLOT_QKV_BIAS, f->hidden, f->qkv);
    if (f->config->has_qk_norm) {
        head_norm(p, LF_SLOT_Q_NORM, q, f->n_head);
        head_norm(p, LF_SLOT_K_NORM, k, f->n_kv_head);
    }
    rope(p, q, f->n_head + f->n_kv_head); // k heads follow the q heads
    kv_store(p, k, v);
    attention(p, q, f->attention);
    linear(p, LF_SLOT_O, LF_SLOT_O_BIAS, f->attention, f->hidden);

    norm(p, LF_SLOT_POST_ATTN_NORM, true);
    linear(p, LF_SLOT_GATE_UP, LF_SLOT_GATE_UP_BIAS, f->hidden, f->gate_up);
    silu_mul(p, f->gate_up, f->activation);
    linear(p, LF_SLOT_DOWN, LF_SLOT_DOWN_BIAS, f->activation, f->hidden);
}

lf_status lf__forward_layers(const lf_forward *forward, const lf_step *step, lf_error *err)
{
    pass p = pass_begin(forward, step, err);
    embed(&p, forward->residual);
    for (p.layer = 0; p.layer < forward->config->num_hidden_layers; p.layer++) run_layer(&p);
    norm(&p, LF_SLOT_FINAL_NORM, true);
    return p.status;
}

lf_status lf__forward_logits(const lf_forward *forward, const lf_step *step, size_t n_row, lf_error *err)
{
    pass p = pass_begin(forward, step, err);
    select_rows(&p, n_row);
    lm_head(&p, n_row);
    return p.status;
}

// ---- buffers ----

typedef struct buffer {
    lf_rows *rows;
    size_t n_row, n_col, element_bytes;
} buffer;

enum { N_BUFFER = 8 };

// Rows are padded to whole cache lines.
static size_t row_stride(const buffer *b)
{
    size_t line = LF_CACHE_LINE_BYTES / b->element_bytes;
    return (b->n_col + line - 1) / line * line;
}

static void list_buffers(lf_forward *f, const lf_forward_args *args, buffer out[N_BUFFER])
{
    const lf_config *c = args->config;
    f->n_head = (size_t)c->num_attention_heads;
    f->n_kv_head = (size_t)c->num_key_value_heads;
    f->d_head = (size_t)c->head_dim;
    f->d_model = (size_t)c->hidden_size;
    f->d_ff = (size_t)c->intermediate_size;
    f->n_vocab = (size_t)c->vocab_size;
    const buffer buffers[N_BUFFER] = {
        {&f->hidden, args->max_tok, f->d_model, sizeof(lf_bf16)},
        {&f->residual, args->max_tok, f->d_model, sizeof(lf_bf16)},
        {&f->qkv, args->max_tok, (f->n_head + 2 * f->n_kv_head) * f->d_head, sizeof(lf_bf16)},
        {&f->attention, args->max_tok, f->n_head * f->d_head, sizeof(lf_bf16)},
        {&f->gate_up, args->max_tok, 2 * f->d_ff, sizeof(lf_bf16)},
        {&f->activation, args->max_tok, f->d_ff, sizeof(lf_bf16)},
        {&f->selected, args->max_row, f->d_model, sizeof(lf_bf16)},
        {&f->logits, args->max_row, f->n_vocab, sizeof(float)},
    };
    for (size_t i = 0; i < N_BUFFER; i++) out[i] = buffers[i];
}

static bool buffer_bytes(const buffer *b, size_t *out)
{
    return lf_mul_size(row_stride(b) * b->element_bytes, b->n_row, out);
}

static bool rope_bytes(const lf_forward_args *args, size_t *out)
{
    return lf_mul_size(args->n_position, (size_t)args->config->rope.rotary_dim * sizeof(float), out);
}

bool lf__forward_bytes(const lf_forward_args *args, size_t *out)
{
    lf_forward unused = {0};
    buffer buffers[N_BUFFER];
    list_buffers(&unused, args, buffers);
    size_t total, bytes;
    if (!rope_bytes(args, &total)) return false;
    for (size_t i = 0; i < N_BUFFER; i++) {
        if (!buffer_bytes(&buffers[i], &bytes) || !lf_add_size(total, bytes, &total)) return false;
    }
    *out = total;
    return true;
}

static lf_status upload_rope_table(lf_forward *f, const lf_forward_args *args, lf_error *err)
{
    size_t bytes;
    if (!rope_bytes(args, &bytes)) return lf_error_no_memory(err, 0);
    float *table = lf_aligned_alloc(bytes);
    if (!table) return lf_error_no_memory(err, bytes);
    lf_status status = lf_rope_table(&args->config->rope, args->n_position, table, err);
    if (!status) status = f->device->ops->alloc(f->device, bytes, &f->cos_sin, err);
    if (!status) status = f->device->ops->write(f->device, f->cos_sin, table, bytes, err);
    free(table);
    return status;
}

lf_status lf__forward_init(lf_forward *f, const lf_forward_args *args, lf_error *err)
{
    *f = (lf_forward){.device = args->device, .config = args->config, .weights = args->weights, .kv = args->kv};
    buffer buffers[N_BUFFER];
    list_buffers(f, args, buffers);
    lf_status status = LF_OK;
    for (size_t i = 0; i < N_BUFFER && !status; i++) {
        size_t bytes;
        if (!buffer_bytes(&buffers[i], &bytes)) return lf_error_no_memory(err, 0);
        buffers[i].rows->stride = row_stride(&buffers[i]);
        status = f->device->ops->alloc(f->device, bytes, &buffers[i].rows->data, err);
    }
    return status ? status : upload_rope_table(f, args, err);
}

void lf__forward_fini(lf_forward *f)
{
    if (!f->device) return;
    lf_dptr owned[] = {f->hidden.data,     f->residual.data, f->qkv.data,    f->attention.data, f->gate_up.data,
                       f->activation.data, f->selected.data, f->logits.data, f->cos_sin};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(owned); i++) f->device->ops->free(f->device, owned[i]);
    *f = (lf_forward){0};
}
