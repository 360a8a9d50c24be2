// SPDX-License-Identifier: Apache-2.0
//
// Latent attention (DeepSeek-V2 and later; transformers' DeepseekV3Attention). Keys and values of all heads come from
// one latent c of a token, by a matrix per head: k = W_uk c, v = W_uv c. They are never formed. The cache holds c, and
// behind it the part of a key that rotates, which all heads share; a query is brought into the space of c instead,
//     q . W_uk c = (W_uk^T q) . c,        sum of p W_uv c = W_uv (sum of p c),
// so that a step reads the cache once for all heads, and each layer's W_uk and W_uv once.
#include "engine/pass.h"

// Of the two norms inside, whatever rms_norm_eps says: their class is built with its default.
static const double latent_norm_eps = 1e-6;

// LF_SLOT_KV_B holds W_uk and W_uv of a head one below the other.
static lf_head_product_args product_args(const lf_pass *p)
{
    const lf_config *c = p->f->config;
    return (lf_head_product_args){.weight = lf_weights_rows(p->f->weights, LF_SLOT_KV_B, p->layer),
                                  .head_stride = (size_t)((c->qk_nope_head_dim + c->v_head_dim) * c->kv_lora_rank),
                                  .n_col = (size_t)c->kv_lora_rank,
                                  .n_tok = p->step->n_tok,
                                  .n_head = p->f->n_head};
}

// absorbed = W_uk^T times the still part of q, then the rotated part as it is.
static void absorb_queries(lf_pass *p, lf_rows q, lf_rows absorbed)
{
    const lf_config *c = p->f->config;
    lf_head_product_args args = product_args(p);
    args.n_row = (size_t)c->qk_nope_head_dim;
    args.is_transposed = true;
    args.x = q.data;
    args.x_stride = q.stride;
    args.x_head_stride = p->f->d_head;
    args.y = absorbed.data;
    args.y_stride = absorbed.stride;
    args.y_head_stride = (size_t)lf_config_cache_width(c);
    args.n_tail = (size_t)c->qk_rope_head_dim;
    LF__TIMED(p, attention_ns, p->ops->head_product(p->device, &args, p->err));
}

// values = W_uv times the sums of latents.
static void expand_values(lf_pass *p, lf_rows latents, lf_rows values)
{
    const lf_config *c = p->f->config;
    lf_head_product_args args = product_args(p);
    args.weight = lf_dptr_at(args.weight, (size_t)(c->qk_nope_head_dim * c->kv_lora_rank) * sizeof(lf_bf16));
    args.n_row = (size_t)c->v_head_dim;
    args.x = latents.data;
    args.x_stride = latents.stride;
    args.x_head_stride = (size_t)c->kv_lora_rank;
    args.y = values.data;
    args.y_stride = values.stride;
    args.y_head_stride = (size_t)c->v_head_dim;
    LF__TIMED(p, attention_ns, p->ops->head_product(p->device, &args, p->err));
}

static void attend(lf_pass *p)
{
    const lf_forward *f = p->f;
    const lf_config *c = f->config;
    size_t d_latent = (size_t)c->kv_lora_rank, d_rope = (size_t)c->qk_rope_head_dim;
    size_t q_columns = c->has_q_lora ? (size_t)c->q_lora_rank : f->n_head * f->d_head;
    lf_rows q = c->has_q_lora ? f->queries : f->qkv;
    lf_rows latent = lf__columns_from(f->qkv, q_columns); // of this step; the shared part of the keys follows

    lf__linear(p, LF_SLOT_QKV, LF_SLOT_COUNT, f->hidden, f->qkv);
    if (c->has_q_lora) {
        lf__row_norm(p, LF_SLOT_Q_A_NORM, f->qkv, q_columns, latent_norm_eps);
        lf__linear(p, LF_SLOT_Q_B, LF_SLOT_COUNT, f->qkv, q);
    }
    lf__row_norm(p, LF_SLOT_KV_A_NORM, latent, d_latent, latent_norm_eps);
    lf__rope(p, lf__columns_from(q, f->d_head - d_rope), f->n_head, f->d_head);
    lf__rope(p, lf__columns_from(latent, d_latent), 1, d_rope);
    lf__kv_store(p, latent, (lf_rows){0});
    absorb_queries(p, q, f->absorbed);
    lf__attention(p, f->absorbed, f->latents);
    expand_values(p, f->latents, f->attention);
}

void lf__latent_attention(lf_pass *p)
{
    if (p->f->n_head > 0) attend(p);
    lf__project(p, LF_SLOT_O, LF_SLOT_COUNT, p->f->attention);
}
