// SPDX-License-Identifier: Apache-2.0
//
// One rank of the topology tests; topology.sh starts several under mpirun: `topology_ranks SCENARIO...`. When
// an assertion ends one rank, the others see it go and end too.
#include "ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"

static void require(lf_status status, const lf_error *err, const char *dir)
{
    char line[2048];
    if (!status) return;
    lf_error_format(err, line, sizeof line);
    fail_msg("%s: %s", dir, line);
}

void model_build(lf_engine *engine, lf_comm *comm, const model_options *options)
{
    lf_error err = {0};
    *engine = (lf_engine){.options = {.model_dir = options->dir,
                                      .load_format = options->load_format,
                                      .seed = options->seed,
                                      .max_num_batched_tokens = 512,
                                      .max_num_seqs = 2,
                                      .kv_cache_memory_bytes = 16 << 20,
                                      .n_thread = 1,
                                      .comm = comm,
                                      .enable_expert_parallel = options->deals_experts}};
    require(lf__engine_build(engine, &err), &err, options->dir);
}

void model_end(lf_engine *engine)
{
    lf_error err = {0};
    lf_status status = lf_comm_rank(engine->options.comm) == 0
                           ? lf__team_send(&engine->team, LF_TASK_STOP, &engine->step, NULL, 0, &err)
                           : lf__engine_follow(engine, &err);
    require(status, &err, engine->options.model_dir);
    lf__engine_tear_down(engine);
}

void ranks_logits(ranks *r, const model_options *options, const int32_t *tokens, size_t n, size_t chunk, float *dst)
{
    lf_engine engine;
    model_build(&engine, r->comm, options);
    if (r->rank == 0) engine_logits(&engine, tokens, n, chunk, dst);
    model_end(&engine);
}

void single_logits(const model_options *options, const int32_t *tokens, size_t n, float *dst)
{
    ranks alone = {.n_rank = 1};
    ranks_logits(&alone, options, tokens, n, n, dst);
}

distance distance_of(const float *a, const float *b, size_t n)
{
    double sum = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)a[i] - (double)b[i]);
        if (!isfinite(difference)) return (distance){(double)INFINITY, (double)INFINITY};
        sum += difference * difference;
        worst = LF_MAX(worst, difference);
    }
    return (distance){worst, sqrt(sum / (double)n)};
}

size_t argmax_of(const float *row, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) best = row[i] > row[best] ? i : best;
    return best;
}

void for_each_shape(ranks *r, bool with_fp8, void (*run)(ranks *r, const shape *wanted, bool has_experts))
{
    static const int64_t heads[][2] = {{4, 4}, {8, 2}, {8, 1}, {6, 3}, {9, 3}, {10, 5}, {7, 7}, {48, 8}};
    static const char *const model_types[] = {"qwen3", "qwen3_moe", "minimax_m2", "deepseek_v3"};
    for (size_t h = 0; h < LF_ARRAY_LENGTH(heads); h++) {
        for (size_t type = 0; type < LF_ARRAY_LENGTH(model_types); type++) {
            for (int fp8 = 0; fp8 <= with_fp8; fp8++) {
                shape wanted = {model_types[type], heads[h][0], heads[h][1], fp8};
                run(r, &wanted, type > 0);
            }
        }
    }
}

void judge(ranks *r, bool is_so, const char *name, const char *what, double found, double limit)
{
    if (is_so) {
        r->n_passed++;
        return;
    }
    r->n_failed++;
    fprintf(stderr, "%d ranks, %s: %s: %g, limit %g\n", r->n_rank, name, what, found, limit);
}

static void run(ranks *r, const char *scenario)
{
    static const struct {
        const char *name;
        void (*run)(ranks *r);
    } scenarios[] = {
        {"goldens", run_goldens}, {"matrix", run_matrix}, {"dummies", run_dummies}, {"ledgers", run_ledgers}};
    size_t n_passed = r->n_passed, n_failed = r->n_failed, i = 0;
    while (i < LF_ARRAY_LENGTH(scenarios) && strcmp(scenario, scenarios[i].name) != 0) i++;
    if (i == LF_ARRAY_LENGTH(scenarios)) fail_msg("no scenario '%s'", scenario);
    scenarios[i].run(r);
    if (r->rank != 0) return;
    n_passed = r->n_passed - n_passed;
    n_failed = r->n_failed - n_failed;
    printf("%s on %d ranks: %zu passed, %zu failed\n", scenario, r->n_rank, n_passed, n_failed);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    lf_error err = {0};
    ranks r = {0};
    lf_par_set_threads(1);
    lf_log_set_level(LF_LOG_ERROR);
    if (lf_comm_open(&r.comm, &err)) {
        fprintf(stderr, "cannot open: %s\n", err.message);
        return 3;
    }
    r.rank = lf_comm_rank(r.comm);
    r.n_rank = lf_comm_size(r.comm);
    for (int i = 1; i < argc; i++) run(&r, argv[i]);
    lf_comm_close(r.comm);
    return r.n_failed > 0 || (r.rank == 0 && r.n_passed == 0);
}
