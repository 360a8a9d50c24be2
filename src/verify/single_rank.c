// SPDX-License-Identifier: Apache-2.0
//
// Several ranks against one: the same prompt through `landfall run` on both, traced, and the traces compared. The
// prompt is fixed text of several kinds, so that many heads and experts have something to do; a few generated tokens
// behind it show the cache.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "plan/plan.h"
#include "verify/verify_int.h"

static const char prompt[] =
    "The quick brown fox jumps over 13 lazy dogs. Quelle est la capitale de la France ? 7 + 5 = 12; 6 x 8 = 48. "
    "def square(x): return x * x";
enum { N_TOKEN = 8, MAX_LENGTH = 1024 };

#define DETAIL(result, ...) snprintf((result)->detail, sizeof(result)->detail, __VA_ARGS__)

// Whether one rank's weights and a short cache fit into the memory that is there.
static lf_status check_memory(const lf_config *config, lf__step_result *result, bool *fits, lf_error *err)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    lf_parameters parameters = {0};
    lf_slices slices = {0};
    lf_rank_plan plan;
    *fits = false;
    lf_status status = lf_rank_plan_build(&plan, config, 1, 0, err);
    if (!status) status = lf_parameters_build(&parameters, config, err);
    if (!status) status = lf_slices_build(&slices, &parameters, config, &plan, err);
    if (!status) {
        lf_budget budget = lf_budget_of(&slices, config, &plan);
        double need = (double)budget.weight_bytes + MAX_LENGTH * (double)budget.kv_bytes_per_token;
        double available = (double)lf_mem_available();
        *fits = need < available;
        DETAIL(result, "one rank needs %.1f GiB for weights and cache, and %.1f GiB are available", need / gib,
               available / gib);
    }
    lf_slices_fini(&slices);
    lf_parameters_fini(&parameters);
    return status;
}

static lf_status run_traced(const lf_verify_options *options, const lf__model *model, bool is_real, int64_t n_rank,
                            const char *trace_path, lf_error *err)
{
    char log_name[64];
    snprintf(log_name, sizeof log_name, "%s.%s.log", is_real ? "real" : "dummy", n_rank > 1 ? "ranks" : "one_rank");
    const lf__child_args args = {
        .program = options->program,
        .model_dir = options->model_dir,
        .load_format = is_real ? "auto" : "dummy",
        .hf_overrides = options->hf_overrides,
        .output_dir = options->output_dir,
        .log_name = log_name,
        .max_model_len = LF_MIN(lf_config_max_model_len(&model->config), (int64_t)MAX_LENGTH),
        .tensor_parallel_size = n_rank,
        .ranks = options->ranks,
        .enable_expert_parallel = n_rank > 1 && options->enable_expert_parallel,
        .ready_timeout_s = options->ready_timeout_s,
    };
    const lf__run_args run = {.prompt = prompt, .max_tokens = N_TOKEN, .trace_path = trace_path};
    lf_status status = lf__child_run(&args, &run, err);
    return status ? lf_error_at(err, n_rank > 1 ? "%lld ranks" : "%lld rank", (long long)n_rank) : LF_OK;
}

static void judge(lf__step_result *result, const lf__comparison *found, int64_t n_rank)
{
    char rerouted[96] = "";
    if (found->n_rerouted) {
        snprintf(rerouted, sizeof rerouted, "; rows that a near tie sent to another expert, and were left out: %zu",
                 found->n_rerouted);
    }
    if (!found->agrees) {
        result->status = LF_STEP_FAILED;
        DETAIL(result, "%s", found->first);
    } else if (found->n_logits == 0) {
        result->status = LF_STEP_SKIPPED;
        DETAIL(result, "no logits could be compared, layers agree as far as they could%s", rerouted);
    } else if (found->is_identical) {
        result->status = LF_STEP_PASSED;
        DETAIL(result, "%lld ranks and one: every layer and all logits of %zu steps are the same bits",
               (long long)n_rank, found->n_step);
    } else {
        result->status = LF_STEP_PASSED;
        DETAIL(result,
               "%lld ranks and one: logits of %zu steps differ by %.3g %% at most (tolerance %.3g %%), every layer "
               "within its tolerance%s",
               (long long)n_rank, found->n_step, 100 * found->logits_difference, 100 * found->logits_tolerance,
               rerouted);
    }
}

static lf_status compare(lf__step_result *result, const lf_verify_options *options, const lf__model *model,
                         bool is_real, const char *path, const char *path_of_one, lf_error *err)
{
    bool fits = false;
    lf__comparison found = {0};
    int64_t n_rank = options->tensor_parallel_size;
    lf_status status = check_memory(&model->config, result, &fits, err);
    if (status) return status;
    if (!fits) {
        result->status = LF_STEP_SKIPPED;
        return LF_OK;
    }
    status = run_traced(options, model, is_real, n_rank, path, err);
    if (!status) status = run_traced(options, model, is_real, 1, path_of_one, err);
    if (!status) status = lf__compare_traces(&found, path, path_of_one, err);
    if (status) return status;
    judge(result, &found, n_rank);
    result->evidence = found.evidence;
    json_object_set_new(result->evidence, "prompt", json_string(prompt));
    return LF_OK;
}

void lf__single_rank(lf__step_result *result, const lf_verify_options *options, const lf__model *model, bool is_real)
{
    lf_error err = {0};
    *result = (lf__step_result){.status = LF_STEP_NOT_APPLICABLE};
    if (options->tensor_parallel_size <= 1) {
        DETAIL(result, "there is one rank only");
        return;
    }
    if (!options->compare_single_rank) {
        DETAIL(result, "not asked for: --compare-single-rank");
        return;
    }
    if (!model->has_table) {
        result->status = LF_STEP_SKIPPED;
        DETAIL(result, "no parameter table for this architecture");
        return;
    }
    char *path = lf_path_join(options->output_dir, is_real ? "real.ranks.trace" : "dummy.ranks.trace");
    char *path_of_one = lf_path_join(options->output_dir, is_real ? "real.one_rank.trace" : "dummy.one_rank.trace");
    lf_status status = path && path_of_one ? compare(result, options, model, is_real, path, path_of_one, &err)
                                           : lf_error_no_memory(&err, 0);
    if (status) {
        result->status = LF_STEP_FAILED;
        lf_error_format(&err, result->detail, sizeof result->detail);
    }
    free(path);
    free(path_of_one);
}
