// SPDX-License-Identifier: Apache-2.0
//
// The router against a plain one in double precision that sorts all experts. Inputs are small multiples of powers of
// two, so that logits are exact in any order of additions and ties are ties for both.
#include "tests.h"

#include <math.h>

typedef struct shape {
    size_t n_tok, d, n_expert, n_active, n_group, n_active_group;
    lf_route_kind kind;
    bool with_bias, normalizes;
    float scaling;
} shape;

typedef struct problem {
    lf_route_args args;
    float *weight, *bias, *scores;
    int32_t *experts;
} problem;

static problem make_problem(test_random *random, const shape *s)
{
    size_t stride = s->d + 5;
    problem p = {.weight = malloc(s->n_expert * s->d * sizeof(float)),
                 .bias = malloc(s->n_expert * sizeof(float)),
                 .scores = malloc(s->n_tok * s->n_active * sizeof(float)),
                 .experts = malloc(s->n_tok * s->n_active * sizeof(int32_t))};
    lf_dptr x = reserve(s->n_tok * stride * sizeof(lf_bf16));
    for (size_t i = 0; i < s->n_tok * stride; i++)
        ((lf_bf16 *)x.address)[i] = lf_bf16_from_f32((float)(test_random_bits(random) % 9) / 4 - 1);
    // Logits of a standard deviation near 2 for every d.
    int few = (int)(64 / sqrt((double)s->d)) + 1;
    for (size_t i = 0; i < s->n_expert * s->d; i++)
        p.weight[i] = (float)((int)(test_random_bits(random) % (uint64_t)(2 * few + 1)) - few) / 16;
    for (size_t i = 0; i < s->n_expert; i++) p.bias[i] = (float)(test_random_bits(random) % 17) / 32 - 0.25f;
    p.args = (lf_route_args){.x = x,
                             .x_stride = stride,
                             .weight = {p.weight},
                             .bias = {s->with_bias ? p.bias : NULL},
                             .n_tok = s->n_tok,
                             .d = s->d,
                             .n_expert = s->n_expert,
                             .n_active = s->n_active,
                             .n_group = s->n_group,
                             .n_active_group = s->n_active_group,
                             .kind = s->kind,
                             .normalizes = s->normalizes,
                             .scaling = s->scaling,
                             .experts = {p.experts},
                             .scores = {p.scores}};
    return p;
}

static void free_problem(problem *p)
{
    release(p->args.x);
    free(p->weight);
    free(p->bias);
    free(p->scores);
    free(p->experts);
}

static void run_route(const lf_route_args *args)
{
    lf_error err = {0};
    if (test_device()->ops->route(test_device(), args, &err)) fail_msg("%s", err.message);
}

typedef struct candidate {
    double rank;
    size_t id;
} candidate;

static int best_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

static void plain_scores(const lf_route_args *args, size_t tok, double *scores)
{
    double max = -INFINITY, sum = 0;
    for (size_t e = 0; e < args->n_expert; e++) {
        scores[e] = 0;
        for (size_t k = 0; k < args->d; k++) {
            scores[e] += (double)lf_bf16_to_f32(((lf_bf16 *)args->x.address)[tok * args->x_stride + k]) *
                         (double)((float *)args->weight.address)[e * args->d + k];
        }
        max = fmax(max, scores[e]);
    }
    for (size_t e = 0; e < args->n_expert; e++) {
        scores[e] = args->kind == LF_ROUTE_SOFTMAX ? exp(scores[e] - max) : 1 / (1 + exp(-scores[e]));
        sum += scores[e];
    }
    for (size_t e = 0; args->kind == LF_ROUTE_SOFTMAX && e < args->n_expert; e++) scores[e] /= sum;
}

// The candidates of the best groups, in a list of which the caller takes the best n_active.
static size_t plain_candidates(const lf_route_args *args, const double *scores, candidate *out)
{
    size_t n_member = args->n_expert / args->n_group, n = 0;
    candidate *groups = calloc(args->n_group, sizeof *groups), *members = calloc(n_member, sizeof *members);
    for (size_t g = 0; g < args->n_group; g++) {
        for (size_t i = 0; i < n_member; i++) {
            size_t e = g * n_member + i;
            const float *bias = args->bias.address;
            members[i] = (candidate){scores[e] + (bias ? (double)bias[e] : 0), e};
        }
        qsort(members, n_member, sizeof *members, best_first);
        groups[g] = (candidate){members[0].rank + (n_member > 1 ? members[1].rank : 0), g};
    }
    qsort(groups, args->n_group, sizeof *groups, best_first);
    for (size_t g = 0; g < args->n_active_group; g++) {
        for (size_t e = groups[g].id * n_member; e < (groups[g].id + 1) * n_member; e++) {
            const float *bias = args->bias.address;
            out[n++] = (candidate){scores[e] + (bias ? (double)bias[e] : 0), e};
        }
    }
    free(groups);
    free(members);
    return n;
}

static void check_token(const lf_route_args *args, size_t tok)
{
    double *scores = calloc(args->n_expert, sizeof *scores), sum = 0;
    candidate *candidates = calloc(args->n_expert, sizeof *candidates);
    plain_scores(args, tok, scores);
    size_t n = plain_candidates(args, scores, candidates);
    qsort(candidates, n, sizeof *candidates, best_first);
    for (size_t i = 0; i < args->n_active; i++) sum += scores[candidates[i].id];
    for (size_t i = 0; i < args->n_active; i++) {
        size_t at = tok * args->n_active + i;
        double expected = scores[candidates[i].id] / (args->normalizes ? sum : 1) * (double)args->scaling;
        float found = ((float *)args->scores.address)[at];
        int32_t expert = ((int32_t *)args->experts.address)[at];
        if (expert != (int32_t)candidates[i].id || fabs((double)found - expected) > 2e-6 * expected) {
            fail_msg("token %zu of %zu, choice %zu of %zu: expert %d with %.9g, expected %zu with %.9g", tok,
                     args->n_tok, i, args->n_expert, expert, (double)found, candidates[i].id, expected);
        }
    }
    free(scores);
    free(candidates);
}

static const shape shapes[] = {
    {50, 2048, 128, 8, 1, 1, LF_ROUTE_SOFTMAX, false, true, 1},   // Qwen3-30B-A3B
    {100, 3072, 256, 8, 1, 1, LF_ROUTE_SIGMOID, true, true, 1},   // MiniMax-M2
    {55, 7168, 256, 8, 8, 4, LF_ROUTE_SIGMOID, true, true, 2.5f}, // DeepSeek-V3
    {49, 97, 12, 3, 4, 2, LF_ROUTE_SIGMOID, true, false, 1.5f},
    {7, 200, 60, 4, 1, 1, LF_ROUTE_SOFTMAX, false, false, 1},
    {9, 33, 8, 4, 8, 4, LF_ROUTE_SIGMOID, true, true, 1}, // groups of one
    {3, 16, 5, 5, 1, 1, LF_ROUTE_SOFTMAX, true, true, 1},
    {2, 1, 1, 1, 1, 1, LF_ROUTE_SIGMOID, false, true, 1},
    {512, 64, 33, 2, 3, 1, LF_ROUTE_SOFTMAX, false, true, 1},
};

static void agrees_with_a_plain_router(void **state)
{
    test_random random = {1};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make_problem(&random, &shapes[i]);
        run_route(&p.args);
        for (size_t t = 0; t < shapes[i].n_tok; t++) check_token(&p.args, t);
        free_problem(&p);
    }
}

static void a_token_alone_gives_the_same_bits(void **state)
{
    test_random random = {2};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        problem p = make_problem(&random, &shapes[i]);
        for (size_t j = 0; j < shapes[i].n_expert * shapes[i].d; j++) p.weight[j] = test_random_normal(&random);
        run_route(&p.args);
        size_t n_active = shapes[i].n_active;
        for (size_t t = 0; t < shapes[i].n_tok; t++) {
            int32_t experts[8];
            float scores[8];
            lf_route_args alone = p.args;
            alone.x = lf_dptr_at(p.args.x, t * p.args.x_stride * sizeof(lf_bf16));
            alone.n_tok = 1;
            alone.experts.address = experts;
            alone.scores.address = scores;
            run_route(&alone);
            assert_memory_equal(experts, p.experts + t * n_active, n_active * sizeof *experts);
            assert_memory_equal(scores, p.scores + t * n_active, n_active * sizeof *scores);
        }
        free_problem(&p);
    }
}

static void ties_go_to_the_smaller_id(void **state)
{
    test_random random = {3};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shape s = shapes[i];
        problem p = make_problem(&random, &s);
        memset(p.weight, 0, s.n_expert * s.d * sizeof *p.weight);
        p.args.bias.address = NULL;
        run_route(&p.args);
        for (size_t j = 0; j < s.n_tok * s.n_active; j++) assert_int_equal(p.experts[j], j % s.n_active);
        free_problem(&p);
    }
}

static void assert_valid_choice(const problem *p, size_t tok, bool broken)
{
    bool seen[256] = {0}, any = false;
    for (size_t i = tok * p->args.n_active; i < (tok + 1) * p->args.n_active; i++) {
        assert_in_range(p->experts[i], 0, p->args.n_expert - 1);
        assert_false(seen[p->experts[i]]);
        seen[p->experts[i]] = true;
        any = any || !isfinite(p->scores[i]);
    }
    assert_int_equal(any, broken);
}

// A broken token keeps to itself; a broken expert is chosen by everybody, so that somebody notices.
static void broken_numbers_show_and_do_no_harm(void **state)
{
    static const uint16_t broken[] = {0x7fc0, 0xffff, 0x7f80, 0xff80}; // NaN, NaN, infinities
    test_random random = {4};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shape s = shapes[i];
        for (size_t b = 0; b < 2; b++) {
            problem p = make_problem(&random, &s);
            ((lf_bf16 *)p.args.x.address)[p.args.x_stride * (s.n_tok / 2)] = broken[b];
            run_route(&p.args);
            for (size_t t = 0; t < s.n_tok; t++) assert_valid_choice(&p, t, t == s.n_tok / 2);
            p.weight[s.d * (s.n_expert - 1)] = NAN;
            run_route(&p.args);
            for (size_t t = 0; t < s.n_tok; t++) assert_valid_choice(&p, t, true);
            free_problem(&p);
        }
        for (size_t b = 2; b < 4; b++) { // an infinity becomes both infinities and NaN among the logits
            problem p = make_problem(&random, &s);
            ((lf_bf16 *)p.args.x.address)[0] = broken[b];
            run_route(&p.args);
            for (size_t j = 0; j < s.n_active; j++) assert_in_range(p.experts[j], 0, s.n_expert - 1);
            for (size_t t = 1; t < s.n_tok; t++) assert_valid_choice(&p, t, false);
            free_problem(&p);
        }
    }
}

int test_route(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_plain_router),
        cmocka_unit_test(a_token_alone_gives_the_same_bits),
        cmocka_unit_test(ties_go_to_the_smaller_id),
        cmocka_unit_test(broken_numbers_show_and_do_no_harm),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
