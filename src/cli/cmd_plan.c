// SPDX-License-Identifier: Apache-2.0
//
// landfall plan: what each rank of a tensor-parallel group holds, which KV heads are replicated, and the memory per
// rank. Needs config.json only.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/verbs.h"
#include "plan/plan.h"

typedef struct plan_args {
    int64_t tensor_parallel_size;
    int64_t max_model_len;
    bool json;
} plan_args;

static const lf_opt plan_opts[] = {
    {.name = "tensor-parallel-size",
     .alias = "-tp",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "ranks that share the model (default 1)",
     .offset = offsetof(plan_args, tensor_parallel_size),
     .min = 1,
     .max = LF_MAX_RANKS},
    {.name = "tp",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "the same",
     .offset = offsetof(plan_args, tensor_parallel_size),
     .min = 1,
     .max = LF_MAX_RANKS},
    {.name = "max-model-len",
     .kind = LF_OPT_SIZE,
     .metavar = "N",
     .help = "tokens of the KV cache column (default: the model's longest context)",
     .offset = offsetof(plan_args, max_model_len),
     .min = 1,
     .max = INT64_C(1) << 30},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print JSON", .offset = offsetof(plan_args, json)},
};

typedef struct rank_row {
    lf_rank_plan plan;
    lf_budget budget;
} rank_row;

static lf_status build_rows(rank_row *rows, int64_t n_rank, const lf_config *config, lf_error *err)
{
    lf_parameters parameters;
    lf_status status = lf_parameters_build(&parameters, config, err);
    if (status) return status;
    for (int64_t rank = 0; !status && rank < n_rank; rank++) {
        lf_slices slices = {0};
        status = lf_rank_plan_build(&rows[rank].plan, config, n_rank, rank, err);
        if (!status) status = lf_slices_build(&slices, &parameters, config, &rows[rank].plan, err);
        if (!status) rows[rank].budget = lf_budget_of(&slices, config, &rows[rank].plan);
        lf_slices_fini(&slices);
    }
    lf_parameters_fini(&parameters);
    return status;
}

static bool holds_replicated(const lf_config *config, const lf_rank_plan *plan)
{
    for (int64_t head = plan->kv_heads.begin; head < plan->kv_heads.end; head++) {
        if (lf_plan_kv_copies(config, plan->n_rank, head) > 1) return true;
    }
    return false;
}

// "3-7", "3" or "none", as inclusive numbers; `mark` follows.
static const char *range_text(char *dst, size_t dst_bytes, lf_range range, const char *mark)
{
    if (lf_range_length(range) == 0) {
        snprintf(dst, dst_bytes, "none");
    } else if (lf_range_length(range) == 1) {
        snprintf(dst, dst_bytes, "%" PRId64 "%s", range.begin, mark);
    } else {
        snprintf(dst, dst_bytes, "%" PRId64 "-%" PRId64 "%s", range.begin, range.end - 1, mark);
    }
    return dst;
}

// Saturates: a hostile config may multiply to more than there is.
static uint64_t kv_bytes(const rank_row *row, int64_t n_token)
{
    size_t bytes;
    bool fits = lf_mul_size((size_t)row->budget.kv_bytes_per_token, (size_t)n_token, &bytes) && bytes <= INT64_MAX;
    return fits ? bytes : INT64_MAX;
}

// "1.234 GiB" in the largest unit that leaves a digit before the point.
static const char *size_text(char *dst, size_t dst_bytes, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double amount = (double)bytes / 1024;
    size_t unit = 0;
    for (; amount >= 1024 && unit + 1 < LF_ARRAY_LENGTH(units); unit++) amount /= 1024;
    snprintf(dst, dst_bytes, "%.*f %s", unit ? 2 : 1, amount, units[unit]);
    return dst;
}

static void print_table(const rank_row *rows, int64_t n_rank, const lf_config *config, int64_t n_token)
{
    bool any_replicated = false;
    printf("%s: %" PRId64 " layers, %" PRId64 " query heads and %" PRId64 " KV heads of %" PRId64
           ", tensor-parallel size %" PRId64 "\n\n",
           config->architecture, config->num_hidden_layers, config->num_attention_heads, config->num_key_value_heads,
           config->head_dim, n_rank);
    printf("%5s  %-12s %-10s %-14s %-16s %12s %14s %14s\n", "rank", "query heads", "KV heads", "intermediate",
           "vocabulary", "weights", "KV per token", "KV of context");
    for (int64_t rank = 0; rank < n_rank; rank++) {
        const rank_row *row = &rows[rank];
        bool is_replicated = holds_replicated(config, &row->plan);
        char heads[48], kv[48], ffn[48], vocab[48], weights[48], token[48], context[48];
        printf("%5" PRId64 "  %-12s %-10s %-14s %-16s %12s %14s %14s\n", rank,
               range_text(heads, sizeof heads, row->plan.query_heads, ""),
               range_text(kv, sizeof kv, row->plan.kv_heads, is_replicated ? "*" : ""),
               range_text(ffn, sizeof ffn, row->plan.ffn, ""), range_text(vocab, sizeof vocab, row->plan.vocab, ""),
               size_text(weights, sizeof weights, row->budget.weight_bytes),
               size_text(token, sizeof token, row->budget.kv_bytes_per_token),
               size_text(context, sizeof context, kv_bytes(row, n_token)));
        any_replicated = any_replicated || is_replicated;
    }
    printf("\ncontext: %" PRId64 " tokens of one sequence; weights in bf16\n", n_token);
    if (any_replicated)
        printf("* holds KV heads that other ranks hold too, because their query heads straddle ranks\n");
}

static json_t *range_json(lf_range range)
{
    return json_pack("[I, I]", (json_int_t)range.begin, (json_int_t)range.end);
}

static json_t *rank_json(const rank_row *row, const lf_config *config, int64_t n_token)
{
    const lf_rank_plan *plan = &row->plan;
    json_t *replicated = json_array(), *owned = json_array();
    for (int64_t head = plan->kv_heads.begin; head < plan->kv_heads.end; head++) {
        if (lf_plan_kv_copies(config, plan->n_rank, head) > 1) json_array_append_new(replicated, json_integer(head));
        if (lf_plan_kv_owner(config, plan->n_rank, head) == plan->rank)
            json_array_append_new(owned, json_integer(head));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I}",                                 //
                     "rank", (json_int_t)plan->rank,                                                       //
                     "query_heads", range_json(plan->query_heads), "kv_heads", range_json(plan->kv_heads), //
                     "kv_heads_replicated", replicated, "kv_heads_owned", owned,                           //
                     "intermediate", range_json(plan->ffn), "vocab", range_json(plan->vocab),              //
                     "weight_bytes", (json_int_t)row->budget.weight_bytes,                                 //
                     "kv_bytes_per_token", (json_int_t)row->budget.kv_bytes_per_token,                     //
                     "kv_bytes", (json_int_t)kv_bytes(row, n_token));
}

static lf_status print_json(const rank_row *rows, int64_t n_rank, const lf_config *config, int64_t n_token,
                            lf_error *err)
{
    json_t *ranks = json_array();
    for (int64_t rank = 0; rank < n_rank; rank++) {
        json_array_append_new(ranks, rank_json(&rows[rank], config, n_token));
    }
    json_t *root = json_pack("{s:s, s:I, s:I, s:o}", "architecture", config->architecture, "tensor_parallel_size",
                             (json_int_t)n_rank, "max_model_len", (json_int_t)n_token, "ranks", ranks);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return lf_error_no_memory(err, 0);
    puts(text);
    free(text);
    return LF_OK;
}

static int run_plan(const lf_verb *verb, int argc, char **argv)
{
    plan_args args = {.tensor_parallel_size = 1};
    const char *model = NULL;
    bool is_done = false;
    lf_error err = {0};
    lf_config config;
    json_t *config_json = NULL;
    rank_row *rows = NULL;
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &model, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!model) {
        lf_error_set(&err, LF_ERR_USAGE, "MODEL is missing; `landfall plan --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    status = lf_config_load(&config, &config_json, model, &err);
    if (status) goto out;
    rows = calloc((size_t)args.tensor_parallel_size, sizeof *rows);
    status = rows ? build_rows(rows, args.tensor_parallel_size, &config, &err) : lf_error_no_memory(&err, 0);
    if (status) goto out;
    int64_t n_token = args.max_model_len ? args.max_model_len : lf_config_max_model_len(&config);
    if (args.json) {
        status = print_json(rows, args.tensor_parallel_size, &config, n_token, &err);
    } else {
        print_table(rows, args.tensor_parallel_size, &config, n_token);
    }
out:
    free(rows);
    json_decref(config_json);
    return status ? lf_cli_fail(verb, &err) : 0;
}

const lf_verb lf_verb_plan = {
    .name = "plan",
    .operands = "MODEL",
    .summary = "what each rank holds, replicated KV heads, memory per rank",
    .opts = plan_opts,
    .n_opt = LF_ARRAY_LENGTH(plan_opts),
    .run = run_plan,
};
