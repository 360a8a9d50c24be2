// SPDX-License-Identifier: Apache-2.0
//
// From a row of logits to a token. Filters run as in vLLM (V1): min_p, then top_k (every logit equal to the k-th
// stays), then top_p over what is left, renormalized; a token stays under top_p while the probability of the larger
// ones is below p. Equal logits at that border stay in order of id. All three are exact. The draw inverts the
// cumulative distribution in order of id, so one uniform number names one token whatever the number of threads.
//
// Nothing sorts a vocabulary: candidates are gathered above a bound that is known to be low enough (from the maxima of
// blocks), and the exact border among them is found by three counting passes over the bits of the logits (border_of).
#include "device/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

#include "base/par.h"

enum { MAX_BLOCK = 256, RADIX_BITS = 11, RADIX = 1 << RADIX_BITS };

// What one thread works in; the arrays follow the struct in rows_pages.
typedef struct sample_scratch {
    double mass[RADIX];
    uint32_t count[RADIX];
    float *e;          // [max_vocab] exp((logit - max) / temperature) of the candidates, or of all
    int32_t *ids;      // [max_vocab] candidates, increasing
    float *block_max;  // [max_vocab / MAX_BLOCK + 1]
    double *block_sum; // [max_vocab / LF_EXP_BLOCK + 1]
} sample_scratch;

typedef struct sample_job {
    lf_cpu_device *cpu;
    const float *logits;
    size_t stride, n_vocab;
    const lf_sample_row *rows;
    int32_t *tokens;
} sample_job;

typedef struct draw {
    const lf_cpu_kernels *kernels;
    const lf_sample_row *row;
    const float *x;
    size_t n_vocab;
    float max, factor;
    sample_scratch *s;
    size_t n; // candidates
} draw;

// The elements that stay: x > value, and the first `n_equal` of those with x == value.
typedef struct border {
    float value;
    uint32_t n_equal;
} border;

static size_t scratch_bytes(size_t max_vocab)
{
    size_t floats = 2 * max_vocab + max_vocab / MAX_BLOCK + 1;
    size_t bytes = sizeof(sample_scratch) + (max_vocab / LF_EXP_BLOCK + 1) * sizeof(double) + floats * sizeof(float);
    return (bytes + LF_CACHE_LINE_BYTES - 1) / LF_CACHE_LINE_BYTES * LF_CACHE_LINE_BYTES;
}

lf_status lf__cpu_sample_reserve(lf_cpu_device *cpu, lf_error *err)
{
    size_t bytes;
    if (cpu->options.max_vocab > INT32_MAX ||
        !lf_mul_size(scratch_bytes(cpu->options.max_vocab), (size_t)cpu->n_thread, &bytes)) {
        return lf_error_set(err, LF_ERR_INVALID, "a vocabulary of %zu is too large", cpu->options.max_vocab);
    }
    return lf__pages_map(&cpu->rows_pages, bytes, err);
}

static sample_scratch *scratch_of(const sample_job *job, int thread)
{
    assert(thread >= 0 && thread < job->cpu->n_thread);
    size_t max_vocab = job->cpu->options.max_vocab;
    char *at = (char *)job->cpu->rows_pages.address + (size_t)thread * scratch_bytes(max_vocab);
    sample_scratch *s = (sample_scratch *)(void *)at;
    s->block_sum = (double *)(void *)(at + sizeof *s);
    s->e = (float *)(void *)(s->block_sum + max_vocab / LF_EXP_BLOCK + 1);
    s->ids = (int32_t *)(void *)(s->e + max_vocab);
    s->block_max = (float *)(void *)(s->ids + max_vocab);
    return s;
}

// Bits that order as the floats do.
static uint32_t key_of(float value)
{
    uint32_t bits = lf_f32_bits(value + 0.0f); // -0 equals +0
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static float value_of(uint32_t key) { return lf_f32_from_bits(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

// Walks x[ids[i]] (ids NULL: x[i]) from the largest down until `n_keep` elements, or elements of `keep_mass` in all,
// are passed. e NULL: by count.
static border border_of(sample_scratch *s, const float *x, const int32_t *ids, const float *e, size_t n,
                        uint32_t n_keep, double keep_mass)
{
    static const int shifts[] = {21, 10, 0};
    uint32_t prefix = 0, passed_count = 0;
    double passed_mass = 0;
    for (size_t level = 0; level < LF_ARRAY_LENGTH(shifts); level++) {
        int shift = shifts[level], above = level ? shifts[level - 1] : 32;
        uint32_t digits = 1u << (above - shift);
        memset(s->count, 0, sizeof s->count);
        memset(s->mass, 0, sizeof s->mass);
        for (size_t i = 0; i < n; i++) {
            uint32_t key = key_of(x[ids ? (size_t)ids[i] : i]);
            if (level && key >> above != prefix) continue;
            uint32_t digit = key >> shift & (digits - 1);
            s->count[digit]++;
            if (e) s->mass[digit] += (double)e[i];
        }
        uint32_t digit = digits;
        while (digit-- > 0) {
            if (s->count[digit] == 0) continue;
            bool last = e ? passed_mass + s->mass[digit] >= keep_mass : passed_count + s->count[digit] >= n_keep;
            if (last) break;
            passed_count += s->count[digit];
            passed_mass += s->mass[digit];
        }
        if (digit == UINT32_MAX) return (border){-INFINITY, 0}; // rounding: everything together is less than keep_mass
        prefix = prefix << (above - shift) | digit;
    }
    uint32_t n_equal = s->count[prefix & ((1u << shifts[1]) - 1)];
    if (e) {
        double each = s->mass[prefix & ((1u << shifts[1]) - 1)] / n_equal, missing = (keep_mass - passed_mass) / each;
        if (missing < n_equal) n_equal = missing > 1 ? (uint32_t)ceil(missing) : 1;
    }
    return (border){value_of(prefix), n_equal};
}

static size_t n_block_of(const draw *d) { return (d->n_vocab + MAX_BLOCK - 1) / MAX_BLOCK; }

// Candidates become all ids with a finite x >= bound, with their e.
static void gather(draw *d, float bound)
{
    sample_scratch *s = d->s;
    d->n = 0;
    for (size_t block = 0; block < n_block_of(d); block++) {
        if (s->block_max[block] < bound) continue;
        size_t end = LF_MIN((block + 1) * MAX_BLOCK, d->n_vocab);
        for (size_t i = block * MAX_BLOCK; i < end; i++) {
            s->e[d->n] = d->x[i];
            s->ids[d->n] = (int32_t)i;
            d->n += d->x[i] >= bound && d->x[i] > -INFINITY;
        }
    }
    for (size_t i = 0; i < d->n; i += LF_EXP_BLOCK) {
        d->kernels->exponentiate(s->e + i, s->e + i, LF_MIN(d->n - i, (size_t)LF_EXP_BLOCK), d->max, d->factor);
    }
}

static double candidate_mass(const draw *d)
{
    double sum = 0;
    for (size_t i = 0; i < d->n; i++) sum += (double)d->s->e[i];
    return sum;
}

static void keep(draw *d, border cut)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        float x = d->x[d->s->ids[i]];
        if (x < cut.value) continue;
        if (x == cut.value) {
            if (cut.n_equal == 0) continue;
            cut.n_equal--;
        }
        d->s->ids[n] = d->s->ids[i];
        d->s->e[n++] = d->s->e[i];
    }
    d->n = n;
}

// exp of every logit; sums of blocks in block_sum.
static double exponentiate_all(draw *d)
{
    double total = 0;
    for (size_t i = 0, block = 0; i < d->n_vocab; i += LF_EXP_BLOCK, block++) {
        size_t n = LF_MIN(d->n_vocab - i, (size_t)LF_EXP_BLOCK);
        d->s->block_sum[block] = (double)d->kernels->exponentiate(d->s->e + i, d->x + i, n, d->max, d->factor);
        total += d->s->block_sum[block];
    }
    return total;
}

static int32_t draw_from_candidates(const draw *d)
{
    double target = (double)d->row->uniform * candidate_mass(d), sum = 0;
    int32_t last = -1;
    for (size_t i = 0; i < d->n; i++) {
        if (!(d->s->e[i] > 0)) continue;
        sum += (double)d->s->e[i];
        last = d->s->ids[i];
        if (sum > target) break;
    }
    return last;
}

static int32_t draw_from_all(draw *d)
{
    double target = (double)d->row->uniform * exponentiate_all(d), sum = 0;
    size_t n_block = (d->n_vocab + LF_EXP_BLOCK - 1) / LF_EXP_BLOCK, block = 0;
    while (block + 1 < n_block && sum + d->s->block_sum[block] <= target) sum += d->s->block_sum[block++];
    // A block's sum is rounded differently from its elements' one by one: should the walk fall short, the next block
    // goes on.
    int32_t last = -1;
    for (size_t i = block * LF_EXP_BLOCK; i < d->n_vocab; i++) {
        if (!(d->s->e[i] > 0)) continue;
        sum += (double)d->s->e[i];
        last = (int32_t)i;
        if (sum > target) break;
    }
    if (last >= 0) return last;
    for (size_t i = block * LF_EXP_BLOCK; i-- > 0;) {
        if (d->s->e[i] > 0) return (int32_t)i;
    }
    return -1;
}

static int32_t draw_filtered(draw *d)
{
    const lf_sample_row *row = d->row;
    float bound = -INFINITY;
    if (row->min_p > 0) bound = d->max + logf(row->min_p) / d->factor;
    bool by_k = row->top_k > 0 && (size_t)row->top_k < d->n_vocab, by_p = row->top_p < 1;
    if (by_k) {
        float at_least = bound;
        if ((size_t)row->top_k <= n_block_of(d)) {
            // top_k blocks have such a maximum, so top_k logits are at least as large.
            border of_blocks = border_of(d->s, d->s->block_max, NULL, NULL, n_block_of(d), (uint32_t)row->top_k, 0);
            if (of_blocks.value > at_least) at_least = of_blocks.value;
        }
        gather(d, at_least);
        if (d->n > (size_t)row->top_k) keep(d, border_of(d->s, d->x, d->s->ids, NULL, d->n, (uint32_t)row->top_k, 0));
    }
    if (!by_p) {
        if (!by_k) gather(d, bound);
        return draw_from_candidates(d);
    }
    double keep_mass;
    if (by_k || row->min_p > 0) {
        if (!by_k) gather(d, bound);
        keep_mass = candidate_mass(d) * (double)row->top_p;
    } else {
        // Most of the mass is near the maximum: only when it is not, all are candidates.
        enum { NEAR = 8 };
        keep_mass = exponentiate_all(d) * (double)row->top_p;
        gather(d, d->max - NEAR / d->factor);
        if (candidate_mass(d) < keep_mass) gather(d, -INFINITY);
    }
    keep(d, border_of(d->s, d->x, d->s->ids, d->s->e, d->n, 0, keep_mass));
    return draw_from_candidates(d);
}

static int32_t first_largest(const draw *d)
{
    size_t block = 0;
    while (d->s->block_max[block] < d->max) block++;
    size_t i = block * MAX_BLOCK;
    while (d->x[i] < d->max) i++;
    return (int32_t)i;
}

static int32_t sample_row(const sample_job *job, const lf_sample_row *row, sample_scratch *s)
{
    // Below this vLLM calls a request greedy.
    const float least_temperature = 1e-5f;
    assert(row->uniform >= 0 && row->uniform < 1);
    draw d = {.kernels = &job->cpu->kernels, .row = row, .n_vocab = job->n_vocab, .s = s};
    d.x = job->logits + (size_t)row->row * job->stride;
    d.max = -INFINITY;
    for (size_t block = 0; block < n_block_of(&d); block++) {
        size_t begin = block * MAX_BLOCK;
        lf_row_survey survey = job->cpu->kernels.survey(d.x + begin, LF_MIN(d.n_vocab - begin, (size_t)MAX_BLOCK));
        if (survey.n_broken) return -1;
        s->block_max[block] = survey.max;
        if (survey.max > d.max) d.max = survey.max;
    }
    if (d.max == -INFINITY) return -1;
    if (row->temperature < least_temperature) return first_largest(&d);
    d.factor = 1 / row->temperature;
    bool by_k = row->top_k > 0 && (size_t)row->top_k < d.n_vocab;
    if (!by_k && row->top_p >= 1 && row->min_p <= 0) return draw_from_all(&d);
    return draw_filtered(&d);
}

static void sample_range(void *ctx, size_t begin, size_t end, int thread)
{
    const sample_job *job = ctx;
    sample_scratch *s = scratch_of(job, thread);
    for (size_t i = begin; i < end; i++) job->tokens[i] = sample_row(job, &job->rows[i], s);
}

lf_status lf__cpu_sample(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                         const lf_sample_row *rows, int32_t *tokens, lf_error *err)
{
    sample_job job = {lf__cpu(device), logits.address, stride, n_vocab, rows, tokens};
    assert(n_vocab <= job.cpu->options.max_vocab);
    lf_par_for(n_row, 1, sample_range, &job);
    return LF_OK;
}

lf_status lf__cpu_edit_logits(lf_device *device, lf_dptr logits, size_t stride, size_t n_edit,
                              const lf_logit_edit *edits, lf_error *err)
{
    for (size_t i = 0; i < n_edit; i++) {
        float *logit = (float *)logits.address + (size_t)edits[i].row * stride + (size_t)edits[i].token;
        *logit = (*logit > 0 ? *logit / edits[i].repetition : *logit * edits[i].repetition) + edits[i].add;
    }
    return LF_OK;
}
