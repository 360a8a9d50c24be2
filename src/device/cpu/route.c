// SPDX-License-Identifier: Apache-2.0
//
// The router: logits of all experts for a round of tokens, in pieces of some tokens by some experts so that one token
// spreads over threads too; then each token chooses alone. A NaN competes as the largest value: an expert whose score
// is broken is chosen, and the score shows in the output instead of vanishing.
#include "device/cpu/cpu_int.h"

#include <math.h>

#include "base/par.h"

// A piece of the logits. Its experts' weights and its tokens stay in the second level cache; whole tiles of every
// instruction set.
enum { PIECE_TOKENS = 48, PIECE_EXPERTS = 8 };
// Products below which a range is not worth a second thread.
enum { GRAIN_PRODUCTS = 65536 };

typedef struct route_job {
    const lf_cpu_kernels *kernels;
    const lf_route_args *args;
    size_t first_tok, n_tok;
    size_t n_piece; // of the experts
    float *logits;  // [n_tok, row_stride]: a token's logits, then room for a score of each group
    size_t row_stride;
} route_job;

static void logits_range(void *ctx, size_t begin, size_t end, int thread)
{
    const route_job *job = ctx;
    const lf_route_args *args = job->args;
    for (size_t item = begin; item < end; item++) {
        size_t tok = item / job->n_piece * PIECE_TOKENS, expert = item % job->n_piece * PIECE_EXPERTS;
        job->kernels->dots(&(lf_dots_args){
            .out = job->logits + tok * job->row_stride + expert,
            .out_stride = job->row_stride,
            .x = (const lf_bf16 *)args->x.address + (job->first_tok + tok) * args->x_stride,
            .x_stride = args->x_stride,
            .n_tok = LF_MIN((size_t)PIECE_TOKENS, job->n_tok - tok),
            .rows = (const float *)args->weight.address + expert * args->d,
            .n_row = LF_MIN((size_t)PIECE_EXPERTS, args->n_expert - expert),
            .n_col = args->d,
        });
    }
}

static void softmax(float *x, size_t n)
{
    float max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = fmaxf(max, x[i]);
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    for (size_t i = 0; i < n; i++) x[i] /= sum;
}

static void sigmoid(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = 1 / (1 + expf(-x[i]));
}

// By what something competes: a NaN above all.
static float rank_of(float score) { return isnan(score) ? INFINITY : score; }

static float competing(const lf_route_args *args, const float *scores, size_t expert)
{
    const float *bias = args->bias.address;
    return rank_of(bias ? scores[expert] + bias[expert] : scores[expert]);
}

// The sum of a group's two best competitors.
static float group_score(const lf_route_args *args, const float *scores, size_t first, size_t n)
{
    float best = competing(args, scores, first), second = n > 1 ? -INFINITY : 0;
    for (size_t i = first + 1; i < first + n; i++) {
        float score = competing(args, scores, i);
        second = fmaxf(second, fminf(best, score));
        best = fmaxf(best, score);
    }
    return rank_of(best + second);
}

// Whether fewer than n_active_group groups are better; of equals, the first is.
static bool group_takes_part(const lf_route_args *args, const float *group_scores, size_t group)
{
    size_t n_better = 0;
    for (size_t i = 0; i < args->n_group; i++) {
        if (group_scores[i] > group_scores[group] || (group_scores[i] == group_scores[group] && i < group)) n_better++;
    }
    return n_better < args->n_active_group;
}

// A list of the best so far, best first, of which an earlier candidate stays before an equal later one.
typedef struct best_list {
    int32_t *experts;
    float *ranks;
    size_t n, most;
} best_list;

static void offer(best_list *list, size_t expert, float rank)
{
    if (list->n == list->most && !(rank > list->ranks[list->most - 1])) return;
    size_t at = list->n < list->most ? list->n++ : list->most - 1;
    for (; at > 0 && rank > list->ranks[at - 1]; at--) {
        list->experts[at] = list->experts[at - 1];
        list->ranks[at] = list->ranks[at - 1];
    }
    list->experts[at] = (int32_t)expert;
    list->ranks[at] = rank;
}

// Fills in `experts` and `chosen` of one token; row: its logits, which become scores.
static void choose(const lf_route_args *args, float *row, int32_t *experts, float *chosen)
{
    if (args->kind == LF_ROUTE_SOFTMAX) softmax(row, args->n_expert);
    if (args->kind == LF_ROUTE_SIGMOID) sigmoid(row, args->n_expert);
    size_t n_member = args->n_expert / args->n_group;
    float *group_scores = row + args->n_expert;
    bool all_take_part = args->n_active_group == args->n_group;
    for (size_t g = 0; !all_take_part && g < args->n_group; g++)
        group_scores[g] = group_score(args, row, g * n_member, n_member);
    best_list list = {.experts = experts, .ranks = chosen, .most = args->n_active};
    for (size_t g = 0; g < args->n_group; g++) {
        if (!all_take_part && !group_takes_part(args, group_scores, g)) continue;
        for (size_t e = g * n_member; e < (g + 1) * n_member; e++) offer(&list, e, competing(args, row, e));
    }
    float sum = 0;
    for (size_t i = 0; i < args->n_active; i++) {
        chosen[i] = row[experts[i]];
        sum += chosen[i];
    }
    for (size_t i = 0; i < args->n_active; i++) {
        if (args->normalizes) chosen[i] /= sum + 1e-20f;
        chosen[i] *= args->scaling;
    }
}

static void choose_range(void *ctx, size_t begin, size_t end, int thread)
{
    const route_job *job = ctx;
    const lf_route_args *args = job->args;
    for (size_t t = begin; t < end; t++) {
        size_t at = (job->first_tok + t) * args->n_active;
        choose(args, job->logits + t * job->row_stride, (int32_t *)args->experts.address + at,
               (float *)args->scores.address + at);
    }
}

lf_status lf__cpu_route(lf_device *device, const lf_route_args *args, lf_error *err)
{
    lf_cpu_device *cpu = lf__cpu(device);
    route_job job = {.kernels = &cpu->kernels, .args = args, .logits = cpu->parts_pages.address};
    assert(args->n_group > 0 && args->n_expert % args->n_group == 0 && args->n_active_group <= args->n_group);
    assert(args->n_active <= args->n_active_group * (args->n_expert / args->n_group));
    job.row_stride = args->n_expert + args->n_group;
    job.n_piece = (size_t)lf_ceil_div((int64_t)args->n_expert, PIECE_EXPERTS);
    size_t most = cpu->parts_pages.bytes / sizeof(float) / job.row_stride;
    if (most == 0) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "no room for the logits of %zu experts", args->n_expert);
    }
    for (size_t tok = 0; tok < args->n_tok; tok += job.n_tok) {
        job.first_tok = tok;
        job.n_tok = LF_MIN(most, args->n_tok - tok);
        size_t n_item = (size_t)lf_ceil_div((int64_t)job.n_tok, PIECE_TOKENS) * job.n_piece;
        size_t item_work = LF_MIN((size_t)PIECE_TOKENS, job.n_tok) * PIECE_EXPERTS * args->d;
        lf_par_for(n_item, GRAIN_PRODUCTS / (item_work + 1) + 1, logits_range, &job);
        lf_par_for(job.n_tok, 8, choose_range, &job);
    }
    return LF_OK;
}
