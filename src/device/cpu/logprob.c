// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities of rows of logits: log-sum-exp, the exact largest n, the target's place. Order is by logit, ties by
// the smaller id, everywhere; a row with NaN or Inf is reported by its count and has no other result.
#include "device/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

#include "base/par.h"

typedef struct logprob_job {
    lf_cpu_device *cpu;
    const float *logits;
    size_t stride, n_vocab;
    const int32_t *targets, *n_top;
    lf_logprob_row *out;
} logprob_job;

// Keeps the `n` best seen so far, best first; ids arrive in increasing order, so an equal logit never displaces.
static void find_top(lf_logprob_row *out, const float *x, size_t n_vocab, int32_t n)
{
    int32_t count = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        if (count == n && !(x[i] > out->top_logprobs[n - 1])) continue;
        int32_t at = count < n ? count++ : n - 1;
        for (; at > 0 && x[i] > out->top_logprobs[at - 1]; at--) {
            out->top_logprobs[at] = out->top_logprobs[at - 1];
            out->top_tokens[at] = out->top_tokens[at - 1];
        }
        out->top_logprobs[at] = x[i];
        out->top_tokens[at] = (int32_t)i;
    }
    out->n_top = count;
}

static int32_t rank_of(const float *x, size_t n_vocab, size_t target)
{
    size_t before = 0;
    for (size_t i = 0; i < target; i++) before += x[i] >= x[target];
    for (size_t i = target + 1; i < n_vocab; i++) before += x[i] > x[target];
    return (int32_t)before + 1;
}

static void logprob_row(const logprob_job *job, size_t row)
{
    const lf_cpu_kernels *kernels = &job->cpu->kernels;
    const float *x = job->logits + row * job->stride;
    lf_logprob_row *out = &job->out[row];
    *out = (lf_logprob_row){0};
    lf_row_survey survey = kernels->survey(x, job->n_vocab);
    out->n_not_finite = survey.n_broken + survey.n_minus_infinity;
    if (out->n_not_finite) return;
    double sum = 0;
    float block[LF_EXP_BLOCK];
    for (size_t i = 0; i < job->n_vocab; i += LF_EXP_BLOCK) {
        size_t n = LF_MIN(job->n_vocab - i, (size_t)LF_EXP_BLOCK);
        sum += (double)kernels->exponentiate(block, x + i, n, survey.max, 1);
    }
    double log_sum_exp = (double)survey.max + log(sum);
    out->log_sum_exp = (float)log_sum_exp;
    int32_t n_top = job->n_top ? job->n_top[row] : 0;
    assert(n_top >= 0 && n_top <= LF_MAX_TOP_LOGPROBS);
    if (n_top > 0) find_top(out, x, job->n_vocab, n_top);
    for (int32_t i = 0; i < out->n_top; i++) out->top_logprobs[i] = (float)((double)out->top_logprobs[i] - log_sum_exp);
    int32_t target = job->targets ? job->targets[row] : -1;
    if (target < 0) return;
    assert((size_t)target < job->n_vocab);
    out->target_logprob = (float)((double)x[target] - log_sum_exp);
    out->target_rank = rank_of(x, job->n_vocab, (size_t)target);
}

static void logprob_range(void *ctx, size_t begin, size_t end, int thread)
{
    for (size_t row = begin; row < end; row++) logprob_row(ctx, row);
}

lf_status lf__cpu_logprobs(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                           const int32_t *targets, const int32_t *n_top, lf_logprob_row *out, lf_error *err)
{
    logprob_job job = {lf__cpu(device), logits.address, stride, n_vocab, targets, n_top, out};
    lf_par_for(n_row, 1, logprob_range, &job);
    return LF_OK;
}
