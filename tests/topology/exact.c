// SPDX-License-Identifier: Apache-2.0
//
// Formulas of transformers' modeling files of the classes in model/arch_*.c, without their roundings. A model is a list
// of objects, the whole matrices and vectors of its slots; blocks take rows of tokens, [n][width].
#include "exact.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/mem.h"
#include "load/load_int.h"

typedef struct object {
    lf_slot slot;
    int64_t layer, expert, n_row, n_col;
    double *values;
} object;

struct exact {
    lf_config config;
    object *objects;
    size_t n_object;
    double *lead; // OWNED [1], written while computing
};

// ---- reading ----

static const object *find(const exact *model, lf_slot slot, int64_t layer, int64_t expert)
{
    for (size_t i = 0; i < model->n_object; i++) {
        const object *o = &model->objects[i];
        if (o->slot == slot && o->layer == layer && o->expert == expert) return o;
    }
    return NULL;
}

// Appends a parameter's rows to its object.
static void keep(exact *model, const lf_parameter *p, const lf_source *source, size_t slice)
{
    size_t n = (size_t)(p->shape[0] * p->shape[1]);
    object *o = (object *)find(model, p->slot, p->layer, p->expert);
    if (!o) {
        o = &model->objects[model->n_object++];
        *o = (object){.slot = p->slot, .layer = p->layer, .expert = p->expert, .n_col = p->shape[1]};
    }
    assert_int_equal(o->n_row, p->slot_row);
    size_t before = (size_t)(o->n_row * o->n_col);
    o->values = lf_realloc_array(o->values, before + n, sizeof *o->values);
    float *numbers = malloc(n * sizeof *numbers);
    lf_bf16 *scratch = malloc(n * sizeof *scratch);
    assert_true(o->values && numbers && scratch);
    if (lf_slot_is_f32(p->slot)) {
        assert_int_equal(source->vector(source, slice, 0, p->shape[0], numbers, NULL), LF_OK);
    } else {
        lf_tile tile;
        assert_int_equal(source->matrix(source, slice, (lf_rect){0, 0, p->shape[0], p->shape[1]}, scratch, &tile, NULL),
                         LF_OK);
        for (size_t i = 0; i < n; i++) {
            numbers[i] = lf_bf16_to_f32(tile.data[i / (size_t)p->shape[1] * tile.stride + i % (size_t)p->shape[1]]);
        }
    }
    for (size_t i = 0; i < n; i++) o->values[before + i] = (double)numbers[i];
    o->n_row += p->shape[0];
    free(numbers);
    free(scratch);
}

// Takes all parameters from a source: what the loader would do on one rank.
static exact *read_all(const lf_config *config, const lf_quant *quant, uint64_t seed)
{
    lf_error err = {0};
    lf_weights weights = {.config = *config};
    lf_real_source real = {0};
    lf_dummy_source dummy;
    exact *model = calloc(1, sizeof *model);
    assert_int_equal(lf_parameters_build(&weights.parameters, config, &err), LF_OK);
    assert_int_equal(lf_rank_plan_build(&weights.plan, config, 1, 0, &err), LF_OK);
    assert_int_equal(lf_slices_build(&weights.slices, &weights.parameters, config, &weights.plan, &err), LF_OK);
    if (quant && lf__real_source_init(&real, &weights, quant, LF_DEQUANT_EXACT, &err)) fail_msg("%s", err.message);
    lf__dummy_source_init(&dummy, &weights, seed);
    model->config = *config;
    model->lead = malloc(sizeof *model->lead);
    model->objects = calloc(weights.parameters.count, sizeof *model->objects);
    assert_true(model->lead && model->objects);
    for (size_t i = 0; i < weights.parameters.count; i++) {
        keep(model, &weights.parameters.items[i], quant ? &real.base : &dummy.base, i);
    }
    lf__real_source_fini(&real);
    lf__ledger_fini(&weights.ledger);
    lf_slices_fini(&weights.slices);
    lf_parameters_fini(&weights.parameters);
    return model;
}

exact *exact_open(const char *dir)
{
    opened o;
    opened_init(&o, dir);
    exact *model = read_all(&o.config, o.quant, 0);
    opened_fini(&o);
    return model;
}

exact *exact_open_dummy(const char *dir, uint64_t seed)
{
    lf_config config;
    json_t *json = NULL;
    lf_error err = {0};
    if (lf_config_load(&config, &json, dir, NULL, &err)) fail_msg("%s", err.message);
    json_decref(json);
    return read_all(&config, NULL, seed);
}

void exact_close(exact *model)
{
    for (size_t i = 0; i < model->n_object; i++) free(model->objects[i].values);
    free(model->objects);
    free(model->lead);
    free(model);
}

const lf_config *exact_config(const exact *model) { return &model->config; }
double exact_lead(const exact *model) { return *model->lead; }

// ---- formulas ----

static double *rows_of(size_t n, int64_t width)
{
    double *rows = calloc(n * (size_t)width, sizeof *rows);
    assert_non_null(rows);
    return rows;
}

static double silu(double x) { return x / (1 + exp(-x)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

// x = x / sqrt(mean(x^2) + eps) * weight
static void norm(double *x, const double *weight, int64_t n, double eps)
{
    double scale = 1 / sqrt(dot(x, x, n) / (double)n + eps);
    for (int64_t i = 0; i < n; i++) x[i] *= scale * weight[i];
}

static double *normed(const exact *model, lf_slot slot, int64_t layer, const double *x, size_t n)
{
    int64_t width = model->config.hidden_size;
    double *y = rows_of(n, width);
    memcpy(y, x, n * (size_t)width * sizeof *y);
    for (size_t t = 0; t < n; t++) {
        norm(y + (int64_t)t * width, find(model, slot, layer, -1)->values, width, model->config.rms_norm_eps);
    }
    return y;
}

// y[n][rows] = x weight^T (+ bias)
static double *linear(const object *weight, const object *bias, const double *x, size_t n)
{
    double *y = rows_of(n, weight->n_row);
    for (size_t t = 0; t < n; t++) {
        for (int64_t row = 0; row < weight->n_row; row++) {
            y[(int64_t)t * weight->n_row + row] =
                dot(weight->values + row * weight->n_col, x + (int64_t)t * weight->n_col, weight->n_col) +
                (bias ? bias->values[row] : 0);
        }
    }
    return y;
}

// Halves of the first rotary_dim dimensions turn against each other, or neighbours.
static void rotate(const lf_config *config, double *head, size_t position)
{
    int64_t half = config->rope.rotary_dim / 2;
    assert_int_equal(config->rope.kind, LF_ROPE_DEFAULT);
    for (int64_t i = 0; i < half; i++) {
        double angle = (double)position * pow(config->rope.theta, -(double)i / (double)half);
        double *first = head + (config->rope.is_interleaved ? 2 * i : i);
        double *second = config->rope.is_interleaved ? first + 1 : first + half;
        double a = *first, b = *second;
        *first = a * cos(angle) - b * sin(angle);
        *second = b * cos(angle) + a * sin(angle);
    }
}

// ---- attention ----

// Norms of the n_head heads at x: one by one, or as one row.
static void norm_heads(const exact *model, lf_slot slot, int64_t layer, double *x, int64_t n_head)
{
    const lf_config *c = &model->config;
    const object *weight = find(model, slot, layer, -1);
    if (c->has_wide_qk_norm) norm(x, weight->values, n_head * c->head_dim, c->rms_norm_eps);
    for (int64_t h = 0; h < n_head && c->has_qk_norm; h++) {
        norm(x + h * c->head_dim, weight->values, c->head_dim, c->rms_norm_eps);
    }
}

// One query head at position t over keys of width d and values of width d_value of positions [0, t], `stride` apart.
static void attend(const double *q, const double *k, const double *v, int64_t stride, size_t t, int64_t d,
                   int64_t d_value, double *out)
{
    double *p = rows_of(t + 1, 1), most = (double)-INFINITY, sum = 0;
    for (size_t s = 0; s <= t; s++) {
        p[s] = dot(q, k + (int64_t)s * stride, d) / sqrt((double)d);
        most = LF_MAX(most, p[s]);
    }
    for (size_t s = 0; s <= t; s++) sum += p[s] = exp(p[s] - most);
    for (size_t s = 0; s <= t; s++) {
        for (int64_t i = 0; i < d_value; i++) out[i] += p[s] / sum * v[(int64_t)s * stride + i];
    }
    free(p);
}

static double *attention(const exact *model, int64_t layer, const double *x, size_t n)
{
    const lf_config *c = &model->config;
    int64_t n_head = c->num_attention_heads, n_kv = c->num_key_value_heads, d = c->head_dim;
    int64_t stride = (n_head + 2 * n_kv) * d;
    double *qkv = linear(find(model, LF_SLOT_QKV, layer, -1), find(model, LF_SLOT_QKV_BIAS, layer, -1), x, n);
    double *heads = rows_of(n, n_head * d);
    for (size_t t = 0; t < n; t++) {
        double *q = qkv + (int64_t)t * stride, *k = q + n_head * d;
        norm_heads(model, LF_SLOT_Q_NORM, layer, q, n_head);
        norm_heads(model, LF_SLOT_K_NORM, layer, k, n_kv);
        for (int64_t h = 0; h < n_head + n_kv; h++) rotate(c, q + h * d, t);
    }
    for (size_t t = 0; t < n; t++) {
        for (int64_t h = 0; h < n_head; h++) {
            const double *k = qkv + (n_head + h * n_kv / n_head) * d;
            attend(qkv + (int64_t)t * stride + h * d, k, k + n_kv * d, stride, t, d, d,
                   heads + ((int64_t)t * n_head + h) * d);
        }
    }
    double *y = linear(find(model, LF_SLOT_O, layer, -1), find(model, LF_SLOT_O_BIAS, layer, -1), heads, n);
    free(qkv);
    free(heads);
    return y;
}

// Columns [first, first + width) of n rows, normed where there is a norm.
static double *columns(const exact *model, lf_slot norm_slot, int64_t layer, const double *x, int64_t stride, size_t n,
                       int64_t first, int64_t width)
{
    const object *weight = find(model, norm_slot, layer, -1);
    double *y = rows_of(n, width);
    for (size_t t = 0; t < n; t++) {
        memcpy(y + (int64_t)t * width, x + (int64_t)t * stride + first, (size_t)width * sizeof *y);
        if (weight) norm(y + (int64_t)t * width, weight->values, width, 1e-6);
    }
    return y;
}

// Latent attention the long way: the keys and values of all heads are formed. A head's row: key, then value.
static double *latent_attention(const exact *model, int64_t layer, const double *x, size_t n)
{
    const lf_config *c = &model->config;
    int64_t n_head = c->num_attention_heads, nope = c->qk_nope_head_dim, d = c->head_dim, d_value = c->v_head_dim;
    int64_t width = c->q_lora_rank + c->kv_lora_rank + c->qk_rope_head_dim, stride = n_head * (d + d_value);
    assert_true(c->has_q_lora);
    double *all = linear(find(model, LF_SLOT_QKV, layer, -1), NULL, x, n);
    double *q_latent = columns(model, LF_SLOT_Q_A_NORM, layer, all, width, n, 0, c->q_lora_rank);
    double *latent = columns(model, LF_SLOT_KV_A_NORM, layer, all, width, n, c->q_lora_rank, c->kv_lora_rank);
    double *q = linear(find(model, LF_SLOT_Q_B, layer, -1), NULL, q_latent, n);
    double *up = linear(find(model, LF_SLOT_KV_B, layer, -1), NULL, latent, n);
    double *kv = rows_of(n, stride), *heads = rows_of(n, n_head * d_value);
    for (size_t t = 0; t < n; t++) {
        double *rotating = all + (int64_t)(t + 1) * width - c->qk_rope_head_dim;
        rotate(c, rotating, t);
        for (int64_t h = 0; h < n_head; h++) {
            const double *from = up + ((int64_t)t * n_head + h) * (nope + d_value);
            double *to = kv + (int64_t)t * stride + h * (d + d_value);
            rotate(c, q + ((int64_t)t * n_head + h) * d + nope, t);
            memcpy(to, from, (size_t)nope * sizeof *to);
            memcpy(to + nope, rotating, (size_t)c->qk_rope_head_dim * sizeof *to);
            memcpy(to + d, from + nope, (size_t)d_value * sizeof *to);
        }
    }
    for (size_t t = 0; t < n; t++) {
        for (int64_t h = 0; h < n_head; h++) {
            const double *k = kv + h * (d + d_value);
            attend(q + ((int64_t)t * n_head + h) * d, k, k + d, stride, t, d, d_value,
                   heads + ((int64_t)t * n_head + h) * d_value);
        }
    }
    double *y = linear(find(model, LF_SLOT_O, layer, -1), NULL, heads, n);
    free(all), free(q_latent), free(latent), free(q), free(up), free(kv), free(heads);
    return y;
}

static double *any_attention(const exact *model, int64_t layer, const double *x, size_t n)
{
    return (model->config.kv_lora_rank ? latent_attention : attention)(model, layer, x, n);
}

// ---- feed-forward ----

static double *gated(const object *gate_up, const object *down, const double *x, size_t n)
{
    int64_t width = gate_up->n_row / 2;
    double *both = linear(gate_up, NULL, x, n), *h = rows_of(n, width);
    for (size_t t = 0; t < n; t++) {
        for (int64_t i = 0; i < width; i++) {
            const double *row = both + (int64_t)t * 2 * width;
            h[(int64_t)t * width + i] = silu(row[i]) * row[width + i];
        }
    }
    double *y = linear(down, NULL, h, n);
    free(both);
    free(h);
    return y;
}

// Leaves the experts of the best group; a group is as good as its two best experts together. `unit`: what leads are
// measured in.
static void close_groups(const exact *model, double *choice, double unit)
{
    const lf_config *c = &model->config;
    int64_t size = c->num_experts / c->n_group, best = 0;
    double most = (double)-INFINITY, next = (double)-INFINITY;
    if (c->n_group == 1) return;
    assert_int_equal(c->topk_group, 1);
    for (int64_t g = 0; g < c->n_group; g++) {
        double first = (double)-INFINITY, second = (double)-INFINITY;
        for (int64_t e = g * size; e < (g + 1) * size; e++) {
            second = LF_MAX(second, LF_MIN(first, choice[e]));
            first = LF_MAX(first, choice[e]);
        }
        best = first + second > most ? g : best;
        next = LF_MAX(next, LF_MIN(most, first + second));
        most = LF_MAX(most, first + second);
    }
    for (int64_t e = 0; e < c->num_experts; e++) choice[e] = e / size == best ? choice[e] : (double)-INFINITY;
    *model->lead = LF_MIN(*model->lead, (most - next) / (2 * unit));
}

// weights[e] of one token; 0 for experts that are not chosen. logits are overwritten.
static void route(const exact *model, double *logits, const object *bias, double *weights)
{
    const lf_config *c = &model->config;
    int64_t n = c->num_experts;
    double most = (double)-INFINITY, all = 0, sum = 0, worst_chosen = 0, best_left = (double)-INFINITY, spread;
    double *choice = rows_of((size_t)n, 1);
    for (int64_t e = 0; e < n; e++) most = LF_MAX(most, logits[e]);
    spread = sqrt(dot(logits, logits, n) / (double)n);
    for (int64_t e = 0; e < n; e++) {
        // softmax keeps the order of logits, so they can stand for their scores in the choice
        choice[e] = c->routes_by_sigmoid ? sigmoid(logits[e]) + (bias ? bias->values[e] : 0) : logits[e];
        logits[e] = c->routes_by_sigmoid ? sigmoid(logits[e]) : exp(logits[e] - most);
        all += logits[e];
        weights[e] = 0;
    }
    double slope = c->routes_by_sigmoid ? 0.25 : 1; // the most that a score changes with its logit
    close_groups(model, choice, slope * spread);
    for (int64_t k = 0; k < c->num_experts_per_tok; k++) {
        int64_t best = 0;
        for (int64_t e = 1; e < n; e++) best = choice[e] > choice[best] ? e : best;
        weights[best] = c->routes_by_sigmoid ? logits[best] : logits[best] / all;
        sum += weights[best];
        worst_chosen = choice[best];
        choice[best] = (double)-INFINITY;
    }
    for (int64_t e = 0; e < n; e++) best_left = LF_MAX(best_left, choice[e]);
    *model->lead = LF_MIN(*model->lead, (worst_chosen - best_left) / (slope * spread));
    for (int64_t e = 0; e < n; e++) weights[e] *= c->routed_scaling_factor / (c->norm_topk_prob ? sum : 1);
    free(choice);
}

static double *experts(const exact *model, int64_t layer, const double *x, size_t n)
{
    int64_t width = model->config.hidden_size, n_expert = model->config.num_experts;
    double *weights = rows_of(1, n_expert);
    double *y = model->config.has_shared_experts ? gated(find(model, LF_SLOT_SHARED_GATE_UP, layer, -1),
                                                         find(model, LF_SLOT_SHARED_DOWN, layer, -1), x, n)
                                                 : rows_of(n, width);
    double *logits = linear(find(model, LF_SLOT_ROUTER, layer, -1), NULL, x, n);
    for (size_t t = 0; t < n; t++) {
        route(model, logits + (int64_t)t * n_expert, find(model, LF_SLOT_ROUTER_BIAS, layer, -1), weights);
        for (int64_t e = 0; e < n_expert; e++) {
            if (weights[e] == 0) continue;
            double *part = gated(find(model, LF_SLOT_EXPERT_GATE_UP, layer, e),
                                 find(model, LF_SLOT_EXPERT_DOWN, layer, e), x + (int64_t)t * width, 1);
            for (int64_t i = 0; i < width; i++) y[(int64_t)t * width + i] += weights[e] * part[i];
            free(part);
        }
    }
    free(weights);
    free(logits);
    return y;
}

static double *feed_forward(const exact *model, int64_t layer, const double *x, size_t n)
{
    if (lf_config_layer_is_moe(&model->config, layer)) return experts(model, layer, x, n);
    return gated(find(model, LF_SLOT_GATE_UP, layer, -1), find(model, LF_SLOT_DOWN, layer, -1), x, n);
}

// ---- the model ----

// x += block(norm(x))
static void add_block(const exact *model, lf_slot norm_slot, int64_t layer, double *x, size_t n,
                      double *(*block)(const exact *model, int64_t layer, const double *x, size_t n))
{
    double *h = normed(model, norm_slot, layer, x, n), *y = block(model, layer, h, n);
    for (size_t i = 0; i < n * (size_t)model->config.hidden_size; i++) x[i] += y[i];
    free(h);
    free(y);
}

void exact_logits(const exact *model, const int32_t *tokens, size_t n, float *dst)
{
    const lf_config *c = &model->config;
    const object *embedding = find(model, LF_SLOT_EMBED, -1, -1), *head = find(model, LF_SLOT_LM_HEAD, -1, -1);
    double *x = rows_of(n, c->hidden_size);
    *model->lead = (double)INFINITY;
    for (size_t t = 0; t < n; t++) {
        memcpy(x + (int64_t)t * c->hidden_size, embedding->values + tokens[t] * c->hidden_size,
               (size_t)c->hidden_size * sizeof *x);
    }
    for (int64_t layer = 0; layer < c->num_hidden_layers; layer++) {
        add_block(model, LF_SLOT_INPUT_NORM, layer, x, n, any_attention);
        add_block(model, LF_SLOT_POST_ATTN_NORM, layer, x, n, feed_forward);
    }
    double *h = normed(model, LF_SLOT_FINAL_NORM, -1, x, n), *logits = linear(head ? head : embedding, NULL, h, n);
    for (size_t i = 0; i < n * (size_t)c->vocab_size; i++) dst[i] = (float)logits[i];
    free(x);
    free(h);
    free(logits);
}
