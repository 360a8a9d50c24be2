// SPDX-License-Identifier: Apache-2.0
//
// Sampling parameters as vLLM means them (SamplingParams._verify_args, v1/sample): bans and biases first, then the
// repetition penalty over prompt and output, then frequency and presence penalties over the output. Trap: edits of one
// token apply in order, and the repetition penalty looks at the sign of the logit after the bias.
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const lf_sampling LF_SAMPLING_DEFAULT = {
    .temperature = 1,
    .top_p = 1,
    .repetition_penalty = 1,
    .max_tokens = 16,
    .logprobs = -1,
    .prompt_logprobs = -1,
};

static lf_status refuse(lf_error *err, const char *field, double value, const char *range)
{
    return lf_error_set(err, LF_ERR_INVALID, "%s must be %s, got %g", field, range, value);
}

static bool is_within(double value, double min, double max) { return value >= min && value <= max; } // false for NaN

static lf_status check_counts(const lf_sampling *s, lf_error *err)
{
    if (s->top_k < -1) return refuse(err, "top_k", s->top_k, "0 (off) or at least 1");
    if (s->max_tokens < 0) return refuse(err, "max_tokens", (double)s->max_tokens, "at least 0");
    if (s->min_tokens < 0) return refuse(err, "min_tokens", (double)s->min_tokens, "at least 0");
    if (s->min_tokens > s->max_tokens) {
        return lf_error_set(err, LF_ERR_INVALID, "min_tokens must be less than or equal to max_tokens=%lld, got %lld",
                            (long long)s->max_tokens, (long long)s->min_tokens);
    }
    if (!is_within(s->logprobs, -1, LF_MAX_TOP_LOGPROBS)) return refuse(err, "logprobs", s->logprobs, "in [0, 20]");
    if (!is_within(s->prompt_logprobs, -1, LF_MAX_TOP_LOGPROBS)) {
        return refuse(err, "prompt_logprobs", s->prompt_logprobs, "in [0, 20]");
    }
    return LF_OK;
}

lf_status lf__sampling_check(const lf_sampling *s, int64_t vocab_size, lf_error *err)
{
    if (!is_within((double)s->temperature, 0, 1e6))
        return refuse(err, "temperature", (double)s->temperature, "non-negative");
    if (!is_within((double)s->top_p, 0, 1) || s->top_p <= 0) return refuse(err, "top_p", (double)s->top_p, "in (0, 1]");
    if (!is_within((double)s->min_p, 0, 1)) return refuse(err, "min_p", (double)s->min_p, "in [0, 1]");
    if (!is_within((double)s->presence_penalty, -2, 2)) {
        return refuse(err, "presence_penalty", (double)s->presence_penalty, "in [-2, 2]");
    }
    if (!is_within((double)s->frequency_penalty, -2, 2)) {
        return refuse(err, "frequency_penalty", (double)s->frequency_penalty, "in [-2, 2]");
    }
    if (!is_within((double)s->repetition_penalty, 0, 1e6) || s->repetition_penalty <= 0) {
        return refuse(err, "repetition_penalty", (double)s->repetition_penalty, "greater than zero");
    }
    lf_status status = check_counts(s, err);
    for (size_t i = 0; i < s->n_logit_bias && !status; i++) {
        const lf_logit_bias *bias = &s->logit_bias[i];
        if (bias->token < 0 || bias->token >= vocab_size) {
            status = lf_error_set(err, LF_ERR_INVALID, "logit_bias names token %d, and the vocabulary has %lld",
                                  bias->token, (long long)vocab_size);
        } else if (!is_within((double)bias->bias, -1e6, 1e6)) {
            status = refuse(err, "logit_bias", (double)bias->bias, "a number within 1e6 of zero");
        }
    }
    return status;
}

lf_sample_row lf__sampling_row(const lf_sampling *s, float uniform)
{
    lf_sample_row row = {.temperature = s->temperature, .top_p = s->top_p, .min_p = s->min_p, .uniform = uniform};
    row.top_k = s->top_k > 0 ? s->top_k : 0;
    if (row.temperature < 1e-5f) { // vLLM's limit of greedy sampling
        row.temperature = 0;
    } else if (row.temperature < 1e-2f) { // below, float32 logits over the temperature overflow
        row.temperature = 1e-2f;
    }
    return row;
}

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output bits are well mixed.
static uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

float lf__uniform(uint64_t seed, uint64_t counter)
{
    // The seed is mixed first: seeds that are near each other must not give shifted copies of one stream.
    uint64_t bits = mix64(mix64(seed + 0x9e3779b97f4a7c15u) + (counter + 1) * 0x9e3779b97f4a7c15u);
    return (float)(bits >> 40) * 0x1p-24f;
}

static bool has_penalty(const lf_sampling *s)
{
    return s->presence_penalty != 0 || s->frequency_penalty != 0 || s->repetition_penalty != 1;
}

// The hash slot that holds `token`'s penalty entry, or the empty one where it belongs. At most half of the slots are
// used.
static size_t slot_of(const lf_edit_book *book, int32_t token)
{
    const lf_logit_edit *penalties = book->edits + book->n_ban + book->n_bias;
    size_t slot = mix64((uint64_t)token) & (book->n_slot - 1);
    while (book->slots[slot] >= 0 && penalties[book->slots[slot]].token != token)
        slot = (slot + 1) & (book->n_slot - 1);
    return slot;
}

static size_t penalty_entry(lf_edit_book *book, int32_t token)
{
    size_t slot = slot_of(book, token);
    if (book->slots[slot] < 0) {
        book->slots[slot] = (int32_t)book->n_penalty;
        book->counts[book->n_penalty] = 0;
        book->edits[book->n_ban + book->n_bias + book->n_penalty] =
            (lf_logit_edit){.token = token, .repetition = book->repetition};
        book->n_penalty++;
    }
    return (size_t)book->slots[slot];
}

void lf__edit_book_add(lf_edit_book *book, int32_t token)
{
    if (book->max_penalty == 0) return;
    size_t entry = penalty_entry(book, token);
    book->counts[entry]++;
    book->edits[book->n_ban + book->n_bias + entry].add =
        -book->presence - book->frequency * (float)book->counts[entry];
}

static void add_ban(lf_edit_book *book, int64_t token, int64_t vocab_size)
{
    if (token < 0 || token >= vocab_size) return; // cannot be sampled anyway
    book->edits[book->n_ban++] = (lf_logit_edit){.token = (int32_t)token, .repetition = 1, .add = -INFINITY};
}

static bool allocate(lf_edit_book *book, size_t n_edit)
{
    if (n_edit > 0 && !(book->edits = malloc(n_edit * sizeof *book->edits))) return false;
    if (book->max_penalty == 0) return true;
    book->n_slot = 16;
    while (book->n_slot < 2 * book->max_penalty) book->n_slot *= 2;
    book->counts = malloc(book->max_penalty * sizeof *book->counts);
    book->slots = malloc(book->n_slot * sizeof *book->slots);
    if (!book->counts || !book->slots) return false;
    memset(book->slots, 0xff, book->n_slot * sizeof *book->slots);
    return true;
}

lf_status lf__edit_book_init(lf_edit_book *book, const lf_edit_book_args *args, lf_error *err)
{
    const lf_sampling *s = args->sampling;
    *book = (lf_edit_book){.presence = s->presence_penalty,
                           .frequency = s->frequency_penalty,
                           .repetition = s->repetition_penalty,
                           .min_tokens = (size_t)s->min_tokens};
    if (has_penalty(s)) book->max_penalty = LF_MIN(args->max_length, (size_t)args->vocab_size);
    size_t n_ban = s->min_tokens > 0 ? args->n_eos_token + s->n_stop_token_id : 0;
    if (!allocate(book, n_ban + s->n_logit_bias + book->max_penalty)) {
        lf__edit_book_fini(book);
        return lf_error_no_memory(err, 0);
    }
    for (size_t i = 0; n_ban > 0 && i < args->n_eos_token; i++) add_ban(book, args->eos_tokens[i], args->vocab_size);
    for (size_t i = 0; n_ban > 0 && i < s->n_stop_token_id; i++) add_ban(book, s->stop_token_ids[i], args->vocab_size);
    for (size_t i = 0; i < s->n_logit_bias; i++) {
        book->edits[book->n_ban + book->n_bias++] =
            (lf_logit_edit){.token = s->logit_bias[i].token, .repetition = 1, .add = s->logit_bias[i].bias};
    }
    if (s->repetition_penalty != 1) {
        for (size_t i = 0; i < args->n_prompt; i++) penalty_entry(book, args->prompt[i]);
    }
    return LF_OK;
}

void lf__edit_book_fini(lf_edit_book *book)
{
    free(book->edits);
    free(book->counts);
    free(book->slots);
    *book = (lf_edit_book){0};
}

lf_logit_edit *lf__edit_book_row(lf_edit_book *book, size_t n_generated, int32_t row, size_t *n_edit)
{
    size_t n_skip = n_generated < book->min_tokens ? 0 : book->n_ban;
    *n_edit = book->n_ban + book->n_bias + book->n_penalty - n_skip;
    if (*n_edit == 0) return NULL;
    lf_logit_edit *edits = book->edits + n_skip;
    for (size_t i = 0; i < *n_edit; i++) edits[i].row = row;
    return edits;
}
