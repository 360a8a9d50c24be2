// SPDX-License-Identifier: Apache-2.0
//
// Every head shape, number format and architecture on any number of ranks, against one rank and against exact
// arithmetic.
//
// The bound. Call a run's error e: its logits minus those of exact arithmetic on the same weights. To first order e is
// a sum of J_i r_i, one term for each rounding of an activation to bf16: r_i is the rounding's error, J_i how the logit
// depends on that activation. (Errors of float32 sums are 2^-15 of these; they count only where they turn a rounding
// the other way.) Two topologies round the same activations of the same model, so they have the same J_i. Their r_i are
// equal until a rounding turns; from there on both are roundings of nearby numbers, at worst independent of each other.
// So for the difference d = sum J_i (r_i - r'_i) of two runs
//
//     variance(d) <= 2 variance(e), that is rms(d) <= sqrt(2) rms(e),
//
// with equality where no rounding is shared; and single logits being sums of many such terms, extreme values scale
// alike: worst(d) <= sqrt(2) worst(e). exact.c computes in float64, so e of the run on one rank is measured, for each
// model, and nothing in the bound is a matter of taste. It is sharp: a wrong scale, slice or norm moves the logits by
// their own size, some fifty times as far.
//
// That e itself is of roundings only is checked too. Numbers in bf16 are 2^-7 of their power of two apart, so a
// rounding has a relative error of 2^-7 / sqrt(12) * 0.7355 = 0.00166 root mean square, the last factor over all
// mantissas. In these units, squared: an attention block rounds seven times in a row (norm, projection, norm of heads,
// rotation, weighted values, projection, residual), latent attention eleven times (norm, latent, its norm, queries,
// rotation, absorbed queries, cached latent, weighted latents, values, projection, residual), a feed-forward block six
// times (norm, gate and up, their product, projection, residual), and at most doubles what comes in: scores depend on
// both q and k, the product on both of its factors. Where a block's output is all of the residual stream, which is the
// worst case, v = 2 v + 7 (or 11) and v = 2 v + 6 in turn; the last norm adds one.
#include "ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "exact.h"

enum { MAX_TOKEN = 24, MAX_LOGIT = MAX_TOKEN * SHAPED_VOCABULARY };
static const double TWO_RUNS = 1.4142135623730951, ROUNDING = 0.00166;

typedef struct model_case {
    char name[96];
    char folder[64];
    model_options options; // of one rank
    size_t n_token;
    int32_t tokens[MAX_TOKEN];
    float exact[MAX_LOGIT], single[MAX_LOGIT], logits[MAX_LOGIT]; // rank 0 only
    distance error;                                               // of the run on one rank
} model_case;

static size_t n_logit(const model_case *m) { return m->n_token * SHAPED_VOCABULARY; }

// ---- judging ----

static double rms_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

// The lead of the largest logit over the second.
static double gap_of(const float *row, size_t n)
{
    size_t best = argmax_of(row, n);
    double second = (double)-INFINITY;
    for (size_t i = 0; i < n; i++) second = i == best ? second : LF_MAX(second, (double)row[i]);
    return (double)row[best] - second;
}

// Where one rank's choice is clear, no topology may choose otherwise. Most choices are clear.
static void judge_choices(ranks *r, const model_case *m, const char *name)
{
    double clear = 2 * TWO_RUNS * m->error.worst;
    size_t n_clear = 0, n_same = 0;
    for (size_t t = 0; t < m->n_token; t++) {
        const float *one = m->single + t * SHAPED_VOCABULARY, *many = m->logits + t * SHAPED_VOCABULARY;
        if (gap_of(one, SHAPED_VOCABULARY) <= clear) continue;
        n_clear++;
        n_same += argmax_of(one, SHAPED_VOCABULARY) == argmax_of(many, SHAPED_VOCABULARY);
    }
    judge(r, n_same == n_clear, name, "same choices", (double)n_same, (double)n_clear);
    r->n_choice += m->n_token;
    r->n_clear_choice += n_clear;
}

static void judge_single(ranks *r, model_case *m, int64_t n_layer, bool is_latent)
{
    m->error = distance_of(m->single, m->exact, n_logit(m));
    double variance = 0;
    for (int64_t layer = 0; layer < n_layer; layer++) variance = 2 * (2 * variance + (is_latent ? 11 : 7)) + 6;
    double limit = ROUNDING * sqrt(variance + 1) * rms_of(m->exact, n_logit(m));
    judge(r, m->error.rms <= limit, m->name, "one rank's rms error", m->error.rms, limit);
}

static void judge_ranks(ranks *r, const model_case *m, const char *name)
{
    distance d = distance_of(m->logits, m->single, n_logit(m));
    if (getenv("LF_TEST_VERBOSE")) {
        printf("%2d %-44s logits rms %.2f, error rms %.4f worst %.4f, of it from one rank %.3f %.3f\n", r->n_rank, name,
               rms_of(m->exact, n_logit(m)), m->error.rms, m->error.worst, d.rms / m->error.rms,
               d.worst / m->error.worst);
    }
    judge(r, d.rms <= TWO_RUNS * m->error.rms, name, "rms from one rank", d.rms, TWO_RUNS * m->error.rms);
    judge(r, d.worst <= TWO_RUNS * m->error.worst, name, "worst from one rank", d.worst, TWO_RUNS * m->error.worst);
    judge_choices(r, m, name);
}

// ---- running ----

// Rank 0 computes `exact`, has *model computed with and judges the run on one rank.
static void compute_alone(ranks *r, model_case *m, exact *model)
{
    exact_logits(model, m->tokens, m->n_token, m->exact);
    single_logits(&m->options, m->tokens, m->n_token, m->single);
    judge_single(r, m, exact_config(model)->num_hidden_layers, exact_config(model)->kv_lora_rank > 0);
    exact_close(model);
}

static void run_model(ranks *r, model_case *m, bool deals_experts)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", m->name, deals_experts ? ", experts whole" : "");
    model_options options = m->options;
    options.deals_experts = deals_experts;
    ranks_logits(r, &options, m->tokens, m->n_token, m->n_token, m->logits);
    if (r->rank == 0) judge_ranks(r, m, name);
}

// What a rank must know of rank 0's case, and the runs.
static void run_topologies(ranks *r, model_case *m, bool has_experts)
{
    lf_error err = {0};
    assert_int_equal(lf_comm_broadcast(r->comm, m->folder, sizeof m->folder, &err), LF_OK);
    assert_int_equal(lf_comm_broadcast(r->comm, &m->options.seed, sizeof m->options.seed, &err), LF_OK);
    run_model(r, m, false);
    if (has_experts) run_model(r, m, true);
}

static model_case *case_of(const shape *wanted, const char *kind, size_t n_token)
{
    model_case *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->options.dir = m->folder;
    m->n_token = n_token;
    snprintf(m->name, sizeof m->name, "%s %d %d %s", wanted->model_type, (int)wanted->n_head, (int)wanted->n_kv_head,
             kind);
    for (size_t t = 0; t < n_token; t++) m->tokens[t] = (int32_t)(t * t * 7 + t * 3 + 11) % SHAPED_VOCABULARY;
    return m;
}

static void run_shape(ranks *r, const shape *wanted, bool has_experts)
{
    model_case *m = case_of(wanted, wanted->is_fp8 ? "fp8" : "bf16", MAX_TOKEN);
    synthetic files;
    if (r->rank == 0) {
        shaped_write(&files, wanted);
        memcpy(m->folder, files.folder, sizeof files.folder);
        compute_alone(r, m, exact_open(m->folder));
    }
    run_topologies(r, m, has_experts);
    if (r->rank == 0) synthetic_remove(&files);
    free(m);
}

// The first seed whose dummy model has no close choice of experts on these tokens: the noise of the last
// router's logits is ROUNDING sqrt(2 * 20 + 7 + 1), 0.0115 of their spread, and a choice compares two of them in two
// runs, which is 0.023.
static exact *dummy_with_clear_routing(model_case *m)
{
    for (m->options.seed = 1;; m->options.seed++) {
        assert_true(m->options.seed < 1000);
        exact *model = exact_open_dummy(m->folder, m->options.seed);
        exact_logits(model, m->tokens, m->n_token, m->exact);
        if (exact_lead(model) > 0.06) return model;
        exact_close(model);
    }
}

// Dummy numbers are a function of global coordinates: all topologies fill the same model.
static void run_dummy(ranks *r, const shape *wanted, bool has_experts)
{
    model_case *m = case_of(wanted, "dummy", 8);
    m->options.load_format = LF_LOAD_DUMMY;
    synthetic files;
    if (r->rank == 0) {
        shaped_write(&files, wanted);
        memcpy(m->folder, files.folder, sizeof files.folder);
        compute_alone(r, m, dummy_with_clear_routing(m));
    }
    run_topologies(r, m, has_experts);
    if (r->rank == 0) synthetic_remove(&files);
    free(m);
}

static void judge_clear_choices(ranks *r)
{
    if (r->rank != 0) return;
    judge(r, 2 * r->n_clear_choice > r->n_choice, "all models", "clear choices", (double)r->n_clear_choice,
          (double)r->n_choice / 2);
}

void run_matrix(ranks *r)
{
    for_each_shape(r, true, run_shape);
    judge_clear_choices(r);
}

void run_dummies(ranks *r)
{
    for_each_shape(r, false, run_dummy);
    judge_clear_choices(r);
}
