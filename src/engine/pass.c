// SPDX-License-Identifier: Apache-2.0
//
// The steps of the forward pass as operators of the device. Where ranks hold parts, a product goes to `partial` in
// float32 and one all_reduce makes the bf16 rows of it; one rank writes them directly.
#include "engine/pass.h"

#include "base/clock.h"
#include "base/mem.h"

lf_pass lf__pass_begin(const lf_forward *f, const lf_step *step, lf_error *err)
{
    return (lf_pass){.f = f, .step = step, .ops = f->device->ops, .device = f->device, .err = err};
}

int64_t lf__timer_start(const lf_pass *p) { return p->f->profile ? lf_now_ns() : 0; }

// Operators may run behind the host's back, so a timed one is waited for.
void lf__timer_stop(lf_pass *p, uint64_t *total_ns, int64_t start)
{
    if (!p->f->profile) return;
    if (!p->status) p->status = p->ops->synchronize(p->device, p->err);
    *total_ns += (uint64_t)(lf_now_ns() - start);
}

lf_rows lf__columns_from(lf_rows rows, size_t column)
{
    return (lf_rows){lf_dptr_at(rows.data, column * sizeof(lf_bf16)), rows.stride};
}

// ---- where ranks meet ----

// y = the ranks' partial, summed, + bias.
static void all_reduce(lf_pass *p, lf_slot bias, bool is_absent, lf_rows y)
{
    lf_all_reduce_args args = {.x = p->f->partial,
                               .is_absent = is_absent,
                               .bias = lf_weights_vector(p->f->weights, bias, p->layer),
                               .y = y.data,
                               .y_stride = y.stride,
                               .n_tok = p->step->n_tok,
                               .d = p->f->d_model};
    LF__TIMED(p, comm_ns, p->ops->all_reduce(p->device, &args, p->err));
}

void lf__sum_partial(lf_pass *p) { all_reduce(p, LF_SLOT_COUNT, false, p->f->hidden); }

void lf__embed(lf_pass *p, lf_rows y)
{
    const lf_forward *f = p->f;
    bool is_alone = f->n_rank == 1;
    lf_embed_args args = {.weight = lf_weights_matrix(f->weights, LF_SLOT_EMBED, 0),
                          .first_id = lf_weights_plan(f->weights)->vocab.begin,
                          .ids = p->step->device_ids,
                          .y = is_alone ? y.data : f->partial,
                          .y_stride = is_alone ? y.stride : f->d_model,
                          .n_tok = p->step->n_tok,
                          .d = f->d_model,
                          .y_is_f32 = !is_alone};
    LF__TIMED(p, other_ns, p->ops->embed(p->device, &args, p->err));
    if (!is_alone) all_reduce(p, LF_SLOT_COUNT, false, y);
}

// partial = x * weight^T, this rank's columns.
static void multiply_into_partial(lf_pass *p, const lf_weight *weight, lf_rows x)
{
    lf_linear_args args = {.weight = weight,
                           .x = x.data,
                           .x_stride = x.stride,
                           .y = p->f->partial,
                           .y_stride = p->f->d_model,
                           .n_tok = p->step->n_tok,
                           .y_is_f32 = true};
    LF__TIMED(p, linear_ns, p->ops->linear(p->device, &args, p->err));
}

void lf__project(lf_pass *p, lf_slot slot, lf_slot bias, lf_rows x)
{
    const lf_forward *f = p->f;
    if (f->n_rank == 1) {
        lf__linear(p, slot, bias, x, f->hidden);
        return;
    }
    const lf_weight *weight = lf_weights_matrix(f->weights, slot, p->layer);
    if (weight) multiply_into_partial(p, weight, x);
    all_reduce(p, bias, !weight, f->hidden);
}

// ---- norms ----

void lf__norm(lf_pass *p, lf_slot slot, bool add_hidden)
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
    LF__TIMED(p, other_ns, p->ops->rms_norm(p->device, &args, p->err));
}

// Groups of d elements, in place.
static void group_norm(lf_pass *p, lf_slot slot, lf_rows x, size_t n_group, size_t d, double eps)
{
    lf_norm_args args = {.x = x.data,
                         .x_stride = x.stride,
                         .weight = lf_weights_vector(p->f->weights, slot, p->layer),
                         .y = x.data,
                         .y_stride = x.stride,
                         .n_tok = p->step->n_tok,
                         .n_group = n_group,
                         .d = d,
                         .eps = (float)eps};
    LF__TIMED(p, other_ns, p->ops->rms_norm(p->device, &args, p->err));
}

void lf__row_norm(lf_pass *p, lf_slot slot, lf_rows rows, size_t d, double eps)
{
    group_norm(p, slot, rows, 1, d, eps);
}

void lf__head_norm(lf_pass *p, lf_slot slot, lf_rows heads, size_t n_head)
{
    group_norm(p, slot, heads, n_head, p->f->d_head, p->f->config->rms_norm_eps);
}

// square_sums, one row of two sums per token: q's and k's.
static void square_sums(lf_pass *p, lf_rows x, size_t d, size_t which)
{
    lf_square_sums_args args = {.x = x.data,
                                .x_stride = x.stride,
                                .sums = lf_dptr_at(p->f->square_sums, which * sizeof(float)),
                                .sums_stride = 2,
                                .n_tok = p->step->n_tok,
                                .d = d};
    LF__TIMED(p, other_ns, p->ops->square_sums(p->device, &args, p->err));
}

static void scale_norm(lf_pass *p, lf_slot slot, lf_rows x, size_t n_head, int64_t n_head_in_all, size_t which)
{
    const lf_forward *f = p->f;
    lf_scale_norm_args args = {.x = x.data,
                               .x_stride = x.stride,
                               .sums = lf_dptr_at(f->square_sums, which * sizeof(float)),
                               .sums_stride = 2,
                               .weight = lf_weights_vector(f->weights, slot, p->layer),
                               .n_tok = p->step->n_tok,
                               .d = n_head * f->d_head,
                               .count = n_head_in_all * f->config->head_dim,
                               .eps = (float)f->config->rms_norm_eps};
    if (n_head > 0) LF__TIMED(p, other_ns, p->ops->scale_norm(p->device, &args, p->err));
}

static void sum_square_sums(lf_pass *p)
{
    lf_all_reduce_args args = {.x = p->f->square_sums, .n_tok = p->step->n_tok, .d = 2};
    LF__TIMED(p, comm_ns, p->ops->all_reduce(p->device, &args, p->err));
}

void lf__wide_norms(lf_pass *p, lf_rows q, lf_rows k)
{
    const lf_forward *f = p->f;
    if (f->n_rank == 1) {
        lf__row_norm(p, LF_SLOT_Q_NORM, q, f->n_head * f->d_head, f->config->rms_norm_eps);
        lf__row_norm(p, LF_SLOT_K_NORM, k, f->n_kv_head * f->d_head, f->config->rms_norm_eps);
        return;
    }
    square_sums(p, q, f->n_head * f->d_head, 0);
    square_sums(p, lf__columns_from(k, f->first_owned_kv * f->d_head), f->n_owned_kv * f->d_head, 1);
    sum_square_sums(p);
    scale_norm(p, LF_SLOT_Q_NORM, q, f->n_head, f->config->num_attention_heads, 0);
    scale_norm(p, LF_SLOT_K_NORM, k, f->n_kv_head, f->config->num_key_value_heads, 1);
}

// ---- within a rank ----

void lf__linear(lf_pass *p, lf_slot slot, lf_slot bias, lf_rows x, lf_rows y)
{
    lf_linear_args args = {.weight = lf_weights_matrix(p->f->weights, slot, p->layer),
                           .bias = lf_weights_vector(p->f->weights, bias, p->layer),
                           .x = x.data,
                           .x_stride = x.stride,
                           .y = y.data,
                           .y_stride = y.stride,
                           .n_tok = p->step->n_tok};
    if (args.weight) LF__TIMED(p, linear_ns, p->ops->linear(p->device, &args, p->err));
}

void lf__rope(lf_pass *p, lf_rows heads, size_t n_head, size_t d_head)
{
    lf_rope_args args = {.x = heads.data,
                         .x_stride = heads.stride,
                         .n_tok = p->step->n_tok,
                         .n_head = n_head,
                         .d_head = d_head,
                         .rotary_dim = (size_t)p->f->config->rope.rotary_dim,
                         .positions = p->step->device_positions,
                         .cos_sin = p->f->cos_sin,
                         .is_interleaved = p->f->config->rope.is_interleaved};
    LF__TIMED(p, other_ns, p->ops->rope(p->device, &args, p->err));
}

void lf__kv_store(lf_pass *p, lf_rows k, lf_rows v)
{
    lf_kv_store_args args = {.k = k.data,
                             .v = v.data,
                             .stride = k.stride,
                             .n_tok = p->step->n_tok,
                             .slots = p->step->device_slots,
                             .kv = p->f->kv->layers[p->layer]};
    LF__TIMED(p, attention_ns, p->ops->kv_store(p->device, &args, p->err));
}

// n_head query heads from head `first` on, which read n_kv_head KV heads from `first_kv` on, equally many each.
static void attend(lf_pass *p, lf_rows q, lf_rows out, size_t first, size_t n_head, size_t first_kv, size_t n_kv_head)
{
    const lf_step *step = p->step;
    const lf_kv_layer *kv = &p->f->kv->layers[p->layer];
    if (n_head == 0) return;
    q = lf__columns_from(q, first * kv->d_head);
    out = lf__columns_from(out, first * kv->d_value);
    lf_attention_args args = {.q = q.data,
                              .q_stride = q.stride,
                              .out = out.data,
                              .out_stride = out.stride,
                              .n_tok = step->n_tok,
                              .n_seq = step->n_seq,
                              .n_head = n_head,
                              .first_kv_head = first_kv,
                              .n_kv_head = n_kv_head,
                              .kv = *kv,
                              .query_start = step->device_query_start,
                              .lengths = step->device_lengths,
                              .block_tables = step->device_tables,
                              .block_table_stride = step->table_stride,
                              .max_length = step->max_length,
                              .scale = p->f->softmax_scale,
                              .sliding_window = p->f->config->sliding_window};
    LF__TIMED(p, attention_ns, p->ops->attention(p->device, &args, p->err));
}

// A rank may begin and end inside the group of query heads that read one KV head: a broken group at either end is
// attended to by itself.
void lf__attention(lf_pass *p, lf_rows q, lf_rows out)
{
    const lf_forward *f = p->f;
    size_t group = f->n_head_per_kv, n_head = f->n_head, kv = 0;
    size_t head = f->first_head ? LF_MIN(group - f->first_head, n_head) : 0;
    attend(p, q, out, 0, head, 0, 1);
    if (head > 0) kv = 1;
    size_t n_whole = (n_head - head) / group;
    attend(p, q, out, head, n_whole * group, kv, n_whole);
    head += n_whole * group;
    kv += n_whole;
    attend(p, q, out, head, n_head - head, kv, 1);
}

void lf__silu_mul(lf_pass *p, lf_rows x, lf_rows y, size_t d)
{
    lf_silu_mul_args args = {
        .x = x.data, .x_stride = x.stride, .y = y.data, .y_stride = y.stride, .n_tok = p->step->n_tok, .d = d};
    if (d > 0) LF__TIMED(p, other_ns, p->ops->silu_mul(p->device, &args, p->err));
}

// ---- experts ----

static void route(lf_pass *p)
{
    const lf_forward *f = p->f;
    const lf_config *c = f->config;
    lf_route_args args = {.x = f->hidden.data,
                          .x_stride = f->hidden.stride,
                          .weight = lf_weights_vector(f->weights, LF_SLOT_ROUTER, p->layer),
                          .bias = lf_weights_vector(f->weights, LF_SLOT_ROUTER_BIAS, p->layer),
                          .n_tok = p->step->n_tok,
                          .d = f->d_model,
                          .n_expert = (size_t)c->num_experts,
                          .n_active = (size_t)c->num_experts_per_tok,
                          .n_group = (size_t)c->n_group,
                          .n_active_group = (size_t)c->topk_group,
                          .kind = c->routes_by_sigmoid ? LF_ROUTE_SIGMOID : LF_ROUTE_SOFTMAX,
                          .normalizes = c->norm_topk_prob,
                          .scaling = (float)c->routed_scaling_factor,
                          .experts = f->chosen_experts,
                          .scores = f->chosen_scores};
    LF__TIMED(p, other_ns, p->ops->route(p->device, &args, p->err));
}

static void shared_experts(lf_pass *p, const lf_weight *down)
{
    const lf_forward *f = p->f;
    lf__linear(p, LF_SLOT_SHARED_GATE_UP, LF_SLOT_COUNT, f->hidden, f->gate_up);
    lf__silu_mul(p, f->gate_up, f->activation, f->d_shared);
    multiply_into_partial(p, down, f->activation);
}

void lf__experts(lf_pass *p)
{
    const lf_forward *f = p->f;
    const lf_rank_plan *plan = lf_weights_plan(f->weights);
    const lf_weight *shared_down = lf_weights_matrix(f->weights, LF_SLOT_SHARED_DOWN, p->layer);
    route(p);
    if (shared_down) shared_experts(p, shared_down);
    lf_experts_args args = {.gate_up = lf_weights_experts(f->weights, LF_SLOT_EXPERT_GATE_UP, p->layer),
                            .down = lf_weights_experts(f->weights, LF_SLOT_EXPERT_DOWN, p->layer),
                            .first_expert = (size_t)plan->experts.begin,
                            .n_held = (size_t)lf_range_length(plan->experts),
                            .experts = f->chosen_experts,
                            .scores = f->chosen_scores,
                            .x = f->hidden.data,
                            .x_stride = f->hidden.stride,
                            .y = f->partial,
                            .is_first = !shared_down,
                            .n_tok = p->step->n_tok,
                            .n_active = (size_t)f->config->num_experts_per_tok,
                            .d = f->d_model,
                            .d_ff = f->d_expert,
                            .scratch = f->experts_scratch};
    LF__TIMED(p, linear_ns, p->ops->experts(p->device, &args, p->err));
}

// ---- logits ----

void lf__select_rows(lf_pass *p, size_t n_row)
{
    const lf_forward *f = p->f;
    lf_gather_args args = {.x = f->hidden.data,
                           .x_stride = f->hidden.stride,
                           .rows = p->step->device_rows,
                           .y = f->selected.data,
                           .y_stride = f->selected.stride,
                           .n_row = n_row,
                           .d = f->d_model};
    LF__TIMED(p, other_ns, p->ops->gather(p->device, &args, p->err));
}

static void join_logits(lf_pass *p, size_t n_row)
{
    const lf_forward *f = p->f;
    lf_join_args args = {.x = f->rank_logits,
                         .y = f->logits.data,
                         .y_stride = f->logits.stride,
                         .scratch = f->joined_logits,
                         .n_col = f->vocab_of_rank,
                         .n_row = n_row};
    LF__TIMED(p, comm_ns, p->ops->join(p->device, &args, p->err));
}

void lf__lm_head(lf_pass *p, size_t n_row)
{
    const lf_forward *f = p->f;
    bool is_alone = f->n_rank == 1;
    lf_linear_args args = {.weight = lf_weights_matrix(f->weights, LF_SLOT_LM_HEAD, 0),
                           .x = f->selected.data,
                           .x_stride = f->selected.stride,
                           .y = is_alone ? f->logits.data : f->rank_logits,
                           .y_stride = is_alone ? f->logits.stride : f->vocab_of_rank[f->rank],
                           .n_tok = n_row,
                           .y_is_f32 = true};
    if (args.weight) LF__TIMED(p, lm_head_ns, p->ops->linear(p->device, &args, p->err));
    if (!is_alone) join_logits(p, n_row);
}
