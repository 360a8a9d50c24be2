// SPDX-License-Identifier: Apache-2.0
//
// The goldens on several ranks, with experts cut by width and dealt out whole: the reference library's 32 greedy
// tokens, logits within the tolerance that one rank keeps, and logits near those of one rank.
//
// How near? Call a run's error e: its logits minus those of exact arithmetic. To first order e is a sum of J_i r_i, one
// term for each rounding of an activation to bf16, where r_i is the rounding's error and J_i how the logit depends on
// that activation. Errors of float32 sums are 2^-15 of these and count only where they turn a rounding the other way.
// Two topologies round the same activations, so they have the same J_i. Their r_i are equal except where a rounding
// turned, or an input differed already; wherever they differ, both are roundings of nearby numbers, at worst
// independent of each other. So for the difference of two runs, d = sum J_i (r_i - r'_i),
//
//     variance(d) <= 2 variance(e), rms(d) <= sqrt(2) rms(e),
//
// with equality when no rounding is shared. The library's own bf16 run rounds at least what we do (and some sums
// besides), so rms(e) <= bf16_rms_deviation, which the comparison with the reference demands anyway. A single logit is
// normally distributed, so extreme values scale as the rms does: worst(d) <= sqrt(2) * 1.25 bf16_deviation, 1.25 being
// what the tests of one rank allow for the scatter of an extreme.
#include "ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../engine/golden.h"

static const double RMS_FACTOR = 1.0, WORST_FACTOR = 1.25; // against the reference, as on one rank
static const double TWO_RUNS = 1.4142135623730951;

static int32_t *whole_sequence(const golden *g)
{
    int32_t *tokens = malloc(g->n_row * sizeof *tokens);
    assert_non_null(tokens);
    memcpy(tokens, g->prompt, g->n_prompt * sizeof *tokens);
    memcpy(tokens + g->n_prompt, g->greedy, (GOLDEN_GREEDY - 1) * sizeof *tokens);
    return tokens;
}

static void compare(ranks *r, const golden *g, const char *name, const float *logits, const float *single)
{
    double worst = (double)g->bf16_deviation, rms = (double)g->bf16_rms_deviation;
    distance reference = distance_of(logits, g->logits, g->n_row * g->n_vocab);
    distance one_rank = distance_of(logits, single, g->n_row * g->n_vocab);
    if (getenv("LF_TEST_VERBOSE")) {
        printf("%2d %-50s of the tolerance's unit: worst %.2f rms %.2f, from one rank %.3f %.3f\n", r->n_rank, name,
               reference.worst / worst, reference.rms / rms, one_rank.worst / worst, one_rank.rms / rms);
    }
    judge(r, reference.worst <= WORST_FACTOR * worst, name, "worst logit", reference.worst, WORST_FACTOR * worst);
    judge(r, reference.rms <= RMS_FACTOR * rms, name, "rms of logits", reference.rms, RMS_FACTOR * rms);
    worst *= TWO_RUNS * WORST_FACTOR, rms *= TWO_RUNS * RMS_FACTOR;
    judge(r, one_rank.worst <= worst, name, "worst logit against one rank", one_rank.worst, worst);
    judge(r, one_rank.rms <= rms, name, "rms of logits against one rank", one_rank.rms, rms);
    size_t n_same = 0;
    for (size_t i = 0; i < GOLDEN_GREEDY; i++) {
        n_same += argmax_of(logits + (g->n_prompt - 1 + i) * g->n_vocab, g->n_vocab) == (size_t)g->greedy[i];
    }
    judge(r, n_same == GOLDEN_GREEDY, name, "greedy tokens", (double)n_same, GOLDEN_GREEDY);
}

// A step's rows do not depend on the other rows in it: whole or token by token, the same bits.
static void run_golden(ranks *r, const char *name, bool deals_experts, bool also_token_by_token)
{
    golden g;
    char label[96];
    golden_read(&g, name);
    snprintf(label, sizeof label, "%s%s", name, deals_experts ? ", experts whole" : "");
    model_options options = {.dir = g.dir, .deals_experts = deals_experts};
    size_t n = g.n_row * g.n_vocab;
    int32_t *tokens = whole_sequence(&g);
    float *logits = malloc(n * sizeof *logits), *single = malloc(n * sizeof *single);
    assert_true(logits && single);
    ranks_logits(r, &options, tokens, g.n_row, g.n_row, logits);
    if (r->rank == 0) {
        single_logits(&options, tokens, g.n_row, single);
        compare(r, &g, label, logits, single);
    }
    if (also_token_by_token) {
        ranks_logits(r, &options, tokens, g.n_row, 1, single);
        if (r->rank == 0) judge(r, memcmp(logits, single, n * sizeof *logits) == 0, label, "token by token", 0, 0);
    }
    free(logits);
    free(single);
    free(tokens);
    golden_free(&g);
}

void run_goldens(ranks *r)
{
    static const char *const token_by_token[] = {"qwen3_bf16", "moe/minimax_m2_fp8_block"};
    for (const char *const *name = golden_names(); *name; name++) {
        bool is_chosen = strcmp(*name, token_by_token[0]) == 0 || strcmp(*name, token_by_token[1]) == 0;
        run_golden(r, *name, false, is_chosen);
        if (strncmp(*name, "moe/", 4) == 0) run_golden(r, *name, true, is_chosen);
    }
}
