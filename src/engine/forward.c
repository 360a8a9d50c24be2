// SPDX-License-Identifier: Apache-2.0
//
// The forward pass in reading order: run_layer() is the model. It follows transformers' modeling files of the classes
// in model/arch_*.c, which differ in biases, norms and the feed-forward part only. Trap: the residual is added inside
// the next norm, so between two blocks `hidden` holds a block's output and `residual` the sum without it.
#include "engine/forward.h"

#include "engine/pass.h"
#include "engine/trace.h"

static void run_attention(lf_pass *p)
{
    const lf_forward *f = p->f;
    lf_rows q = f->qkv;
    lf_rows k = lf__columns_from(f->qkv, f->n_head * f->d_head);
    lf_rows v = lf__columns_from(f->qkv, (f->n_head + f->n_kv_head) * f->d_head);

    lf__linear(p, LF_SLOT_QKV, LF_SLOT_QKV_BIAS, f->hidden, f->qkv);
    if (f->config->has_wide_qk_norm) lf__wide_norms(p, q, k); // ranks meet here: those without heads as well
    if (f->n_head > 0) {
        if (f->config->has_qk_norm) {
            lf__head_norm(p, LF_SLOT_Q_NORM, q, f->n_head);
            lf__head_norm(p, LF_SLOT_K_NORM, k, f->n_kv_head);
        }
        lf__rope(p, q, f->n_head + f->n_kv_head, f->d_head); // k heads follow the q heads
        lf__kv_store(p, k, v);
        lf__attention(p, q, f->attention);
    }
    lf__project(p, LF_SLOT_O, LF_SLOT_O_BIAS, f->attention);
}

static void run_feed_forward(lf_pass *p)
{
    const lf_forward *f = p->f;
    if (lf_config_layer_is_moe(f->config, p->layer)) {
        lf__experts(p);
        lf__sum_partial(p);
        return;
    }
    lf__linear(p, LF_SLOT_GATE_UP, LF_SLOT_GATE_UP_BIAS, f->hidden, f->gate_up);
    lf__silu_mul(p, f->gate_up, f->activation, f->d_ff);
    lf__project(p, LF_SLOT_DOWN, LF_SLOT_DOWN_BIAS, f->activation);
}

static void trace(lf_pass *p, lf_trace_point point, int64_t layer)
{
    if (p->f->trace && !p->status) p->status = lf__trace_stream(p->f, p->step, point, layer, p->err);
}

static void run_layer(lf_pass *p)
{
    lf__norm(p, LF_SLOT_INPUT_NORM, p->layer > 0);
    if (p->f->config->kv_lora_rank) {
        lf__latent_attention(p);
    } else {
        run_attention(p);
    }
    trace(p, LF_TRACE_ATTENTION, p->layer);
    lf__norm(p, LF_SLOT_POST_ATTN_NORM, true);
    run_feed_forward(p);
    trace(p, LF_TRACE_LAYER, p->layer);
}

lf_status lf__forward_layers(const lf_forward *forward, const lf_step *step, lf_error *err)
{
    lf_pass p = lf__pass_begin(forward, step, err);
    lf__embed(&p, forward->residual);
    trace(&p, LF_TRACE_EMBEDDING, -1);
    for (p.layer = 0; p.layer < forward->config->num_hidden_layers; p.layer++) run_layer(&p);
    lf__norm(&p, LF_SLOT_FINAL_NORM, true);
    trace(&p, LF_TRACE_NORM, -1);
    return p.status;
}

lf_status lf__forward_logits(const lf_forward *forward, const lf_step *step, size_t n_row, lf_error *err)
{
    lf_pass p = lf__pass_begin(forward, step, err);
    lf__select_rows(&p, n_row);
    lf__lm_head(&p, n_row);
    return p.status;
}
