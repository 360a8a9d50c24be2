// SPDX-License-Identifier: Apache-2.0
//
// landfall plan: what each rank of a topology holds, which KV heads are replicated, the memory per rank, and which
// sizes engines accept that split evenly. Needs config.json only; for an architecture without a parameter table the
// weights come from the headers, when there are any.
//
// --json prints one object: architecture, has_table, tensor_parallel_size, expert_parallel_size, max_model_len,
// max_num_seqs, ranks [{rank, query_heads, kv_heads, kv_heads_replicated, kv_heads_owned, intermediate, experts (or
// null), vocab, weight_bytes (or null), kv_bytes_per_token, kv_bytes, total_bytes (or null)}], admissible {bf16,
// fp8_block, fp8_block_experts_whole: arrays of sizes}, refused {the same keys: the reason for this size, or null},
// expert_parallel_refused (why it is not applicable although asked for, or null).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/outline.h"
#include "plan/admissible.h"
#include "plan/census.h"
#include "plan/plan.h"

typedef struct plan_args {
    int64_t tensor_parallel_size, expert_parallel_size; // the latter 0: not given
    int64_t max_model_len, max_num_seqs;
    bool expert_parallel;
    bool json;
    const char *hf_overrides;
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
    {.name = "expert-parallel-size",
     .alias = "-ep",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "experts are dealt out whole to N ranks",
     .offset = offsetof(plan_args, expert_parallel_size),
     .min = 1,
     .max = LF_MAX_RANKS},
    {.name = "enable-expert-parallel",
     .kind = LF_OPT_FLAG,
     .help = "the same for as many ranks as --tensor-parallel-size",
     .offset = offsetof(plan_args, expert_parallel)},
    {.name = "max-model-len",
     .kind = LF_OPT_SIZE,
     .metavar = "N",
     .help = "tokens of a sequence in the KV cache (default: the model's longest context)",
     .offset = offsetof(plan_args, max_model_len),
     .min = 1,
     .max = INT64_C(1) << 30},
    {.name = "max-num-seqs",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "sequences of that length at once (default 1)",
     .offset = offsetof(plan_args, max_num_seqs),
     .min = 1,
     .max = INT64_C(1) << 20},
    {.name = "hf-overrides",
     .kind = LF_OPT_STRING,
     .metavar = "JSON",
     .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'",
     .offset = offsetof(plan_args, hf_overrides)},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print JSON", .offset = offsetof(plan_args, json)},
};

static const uint64_t unknown = UINT64_MAX;

typedef struct rank_row {
    lf_rank_plan plan;
    lf_range experts;      // with expert parallelism
    uint64_t weight_bytes; // bf16; `unknown` without headers
    uint64_t kv_bytes_per_token;
} rank_row;

// A model as far as a plan needs it.
typedef struct model_plan {
    lf_outline outline;
    lf_config dims; // of the table's config, or of the outline
    bool has_table;
    lf_topology topology;
    int64_t n_rank, n_token; // tokens in the cache: all sequences together
    bool has_no_experts;     // although expert parallelism was asked for
    rank_row *rows;          // OWNED
} model_plan;

// With a table the weights follow from config.json, exactly.
static lf_status weigh_by_table(model_plan *m, lf_error *err)
{
    lf_parameters parameters;
    lf_status status = lf_parameters_build(&parameters, &m->dims, err);
    if (status) return status;
    for (int64_t rank = 0; !status && rank < m->n_rank; rank++) {
        lf_slices slices = {0};
        rank_row *row = &m->rows[rank];
        status = lf_slices_build(&slices, &parameters, &m->dims, &row->plan, err);
        if (!status) {
            lf_budget budget = lf_budget_of(&slices, &m->dims, &row->plan);
            row->weight_bytes = budget.weight_bytes;
            row->kv_bytes_per_token = budget.kv_bytes_per_token;
        }
        lf_slices_fini(&slices);
    }
    lf_parameters_fini(&parameters);
    return status;
}

// Without one they are counted in the headers, and cut as the names say. A directory without weights has none.
static lf_status weigh_by_headers(model_plan *m, const char *dir, const json_t *config, lf_error *err)
{
    lf_findings findings = LF_FINDINGS_INIT;
    lf_checkpoint *checkpoint = NULL;
    lf_quant *quant = NULL;
    lf_census census = {0};
    lf_error problem = {0};
    lf_status status = lf_checkpoint_open(&checkpoint, dir, &findings, &problem);
    bool has_weights = status == LF_OK && findings.n_error == 0;
    if (status == LF_ERR_NO_MEMORY) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    status = LF_OK;
    if (has_weights) status = lf_quant_open(&quant, checkpoint, config, &findings, err);
    if (!status && has_weights) status = lf_census_build(&census, &m->outline, quant, err);
    for (int64_t rank = 0; !status && rank < m->n_rank; rank++) {
        rank_row *row = &m->rows[rank];
        row->kv_bytes_per_token = lf_outline_kv_bytes(&m->outline, lf_range_length(row->plan.kv_heads));
        row->weight_bytes =
            has_weights ? lf_census_rank_bytes(&census, &m->outline, m->topology, rank, LF_RESIDENCY_BF16) : unknown;
    }
out:
    lf_census_fini(&census);
    lf_quant_close(quant);
    lf_checkpoint_close(checkpoint);
    lf_findings_fini(&findings);
    return status;
}

// config.json, strictly when the architecture has a table, otherwise as an outline.
static lf_status read_model(model_plan *m, json_t **config, const char *dir, const json_t *overrides, lf_error *err)
{
    lf_status status = lf_config_load(&m->dims, config, dir, overrides, err);
    m->has_table = status == LF_OK;
    if (status && (overrides || status != LF_ERR_UNSUPPORTED)) return status;
    if (!m->has_table) {
        lf_error problem;
        char *path = lf_path_join(dir, "config.json");
        if (!path) return lf_error_no_memory(err, 0);
        status = lf_json_load(config, path, (size_t)16 << 20, &problem);
        free(path);
        if (status) return status == LF_ERR_NO_MEMORY ? lf_error_no_memory(err, 0) : err->status;
    }
    lf_outline_read(&m->outline, *config, m->has_table ? &m->dims : NULL);
    if (m->has_table) return LF_OK;
    if (!lf_outline_has_heads(&m->outline))
        return lf_error_at(err, "config.json says nothing about attention heads"); // still unsupported
    m->dims = lf_outline_dims(&m->outline);
    snprintf(m->dims.architecture, sizeof m->dims.architecture, "%s", m->outline.architecture);
    return LF_OK;
}

static lf_status build_plan(model_plan *m, const plan_args *args, const char *dir, const json_t *config, lf_error *err)
{
    int64_t tp = args->tensor_parallel_size, ep = args->expert_parallel_size;
    if (!ep) ep = args->expert_parallel ? tp : 1;
    m->has_no_experts = m->outline.num_experts == 0 && (ep > 1 || args->expert_parallel);
    if (m->outline.num_experts == 0) ep = 1;
    m->topology = (lf_topology){tp, ep};
    m->n_rank = LF_MAX(tp, ep);
    int64_t length = args->max_model_len;
    if (!length)
        length = m->has_table ? lf_config_max_model_len(&m->dims) : LF_MAX(m->outline.max_position_embeddings, 1);
    m->n_token = length * args->max_num_seqs; // both are bounded by the options and by config.c
    m->rows = calloc((size_t)m->n_rank, sizeof *m->rows);
    if (!m->rows) return lf_error_no_memory(err, 0);
    lf_status status = LF_OK;
    for (int64_t rank = 0; !status && rank < m->n_rank; rank++) {
        rank_row *row = &m->rows[rank];
        status = lf_rank_plan_build(&row->plan, &m->dims, tp, rank % tp, err);
        row->experts = lf_range_balanced(m->outline.num_experts, ep, rank % ep);
        if (m->has_table && ep > 1) lf_rank_plan_deal_experts(&row->plan, &m->dims, ep, rank % ep);
    }
    if (status) return status;
    return m->has_table ? weigh_by_table(m, err) : weigh_by_headers(m, dir, config, err);
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
    bool fits = lf_mul_size((size_t)row->kv_bytes_per_token, (size_t)n_token, &bytes) && bytes <= INT64_MAX;
    return fits ? bytes : INT64_MAX;
}

static uint64_t total_bytes(const rank_row *row, int64_t n_token)
{
    if (row->weight_bytes == unknown) return unknown;
    uint64_t kv = kv_bytes(row, n_token);
    return row->weight_bytes > (uint64_t)INT64_MAX - kv ? (uint64_t)INT64_MAX : row->weight_bytes + kv;
}

// "1.234 GiB" in the largest unit that leaves a digit before the point.
static const char *size_text(char *dst, size_t dst_bytes, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes == unknown) {
        snprintf(dst, dst_bytes, "?");
        return dst;
    }
    double amount = (double)bytes / 1024;
    size_t unit = 0;
    for (; amount >= 1024 && unit + 1 < LF_ARRAY_LENGTH(units); unit++) amount /= 1024;
    snprintf(dst, dst_bytes, "%.*f %s", unit ? 2 : 1, amount, units[unit]);
    return dst;
}

static void print_row(const model_plan *m, int64_t rank)
{
    const rank_row *row = &m->rows[rank];
    char heads[48], kv[48], ffn[48], experts[48], vocab[48], weights[48], token[48], cache[48], total[48];
    bool has_experts = m->topology.expert_parallel_size > 1;
    lf_range width = lf_topology_width(&m->outline, m->topology, rank);
    printf("%5" PRId64 "  %-12s %-10s %-14s ", rank, range_text(heads, sizeof heads, row->plan.query_heads, ""),
           range_text(kv, sizeof kv, row->plan.kv_heads, holds_replicated(&m->dims, &row->plan) ? "*" : ""),
           range_text(ffn, sizeof ffn, width, ""));
    if (has_experts) printf("%-12s ", range_text(experts, sizeof experts, row->experts, ""));
    printf("%-16s %12s %14s %14s %12s\n", range_text(vocab, sizeof vocab, row->plan.vocab, ""),
           size_text(weights, sizeof weights, row->weight_bytes),
           size_text(token, sizeof token, row->kv_bytes_per_token),
           size_text(cache, sizeof cache, kv_bytes(row, m->n_token)),
           size_text(total, sizeof total, total_bytes(row, m->n_token)));
}

static const struct {
    lf_engine_rule rule;
    const char *label, *key;
} rules[] = {
    {LF_ENGINE_BF16, "bf16", "bf16"},
    {LF_ENGINE_FP8_BLOCK, "FP8 blocks", "fp8_block"},
    {LF_ENGINE_FP8_BLOCK_EXPERTS, "FP8 blocks, experts whole", "fp8_block_experts_whole"},
};

enum { MAX_LISTED_SIZE = 64 };

static bool is_asked(const lf_outline *outline, lf_engine_rule rule)
{
    if (rule == LF_ENGINE_BF16) return true;
    return outline->block_rows && (rule == LF_ENGINE_FP8_BLOCK || outline->num_experts);
}

static void print_admissible(const model_plan *m)
{
    int64_t tp = m->topology.tensor_parallel_size;
    printf("\ntensor-parallel sizes up to %d that engines accept which split evenly (Landfall plans any)\n",
           MAX_LISTED_SIZE);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rules); i++) {
        char why[160];
        if (!is_asked(&m->outline, rules[i].rule)) continue;
        printf("  %-26s", rules[i].label);
        for (int64_t n = 1; n <= MAX_LISTED_SIZE; n++) {
            if (lf_tp_is_admissible(&m->outline, n, rules[i].rule, NULL, 0)) printf(" %" PRId64, n);
        }
        bool is_fine = lf_tp_is_admissible(&m->outline, tp, rules[i].rule, why, sizeof why);
        printf("%s%s\n", is_fine ? "" : "; not this one: ", is_fine ? "" : why);
    }
}

static void print_table(const model_plan *m, const plan_args *args)
{
    const lf_config *config = &m->dims;
    bool has_experts = m->topology.expert_parallel_size > 1, any_replicated = false;
    printf("%s: %" PRId64 " layers, %" PRId64 " query heads and %" PRId64 " %s of %" PRId64
           ", tensor-parallel size %" PRId64 "\n",
           config->architecture, config->num_hidden_layers, config->num_attention_heads, config->num_key_value_heads,
           config->kv_lora_rank ? "latent" : "KV heads",
           config->kv_lora_rank ? lf_config_cache_width(config) : config->head_dim, m->topology.tensor_parallel_size);
    if (!m->has_table)
        printf("no parameter table for this architecture: shares by the names of its tensors, weights from %s\n",
               m->rows[0].weight_bytes == unknown ? "nowhere, for there are none" : "the headers");
    printf("\n%5s  %-12s %-10s %-14s ", "rank", "query heads", "KV heads",
           m->outline.has_dense_layers ? "intermediate" : "of each expert");
    if (has_experts) printf("%-12s ", "experts");
    printf("%-16s %12s %14s %14s %12s\n", "vocabulary", "weights", "KV per token", "KV cache", "together");
    for (int64_t rank = 0; rank < m->n_rank; rank++) {
        print_row(m, rank);
        any_replicated |= holds_replicated(config, &m->rows[rank].plan);
    }
    printf("\ncontext: %" PRId64 " tokens in %" PRId64 " sequence%s; weights and cache in bf16\n", m->n_token,
           args->max_num_seqs, args->max_num_seqs == 1 ? "" : "s");
    char why[256];
    if (m->has_no_experts)
        printf("expert parallelism is %s\n", lf_config_dense_reason(config->architecture, why, sizeof why));
    if (m->outline.kv_lora_rank) printf("the cache is a latent that every rank holds whole\n");
    if (m->outline.has_linear_attention) printf("some layers have linear attention: the cache is smaller than this\n");
    if (any_replicated && !m->outline.kv_lora_rank)
        printf("* holds KV heads that other ranks hold too, because their query heads straddle ranks\n");
    print_admissible(m);
}

static json_t *range_json(lf_range range)
{
    return json_pack("[I, I]", (json_int_t)range.begin, (json_int_t)range.end);
}

static json_t *bytes_json(uint64_t bytes) { return bytes == unknown ? json_null() : json_integer((json_int_t)bytes); }

static json_t *rank_json(const model_plan *m, int64_t rank)
{
    const rank_row *row = &m->rows[rank];
    const lf_rank_plan *plan = &row->plan;
    json_t *replicated = json_array(), *owned = json_array();
    for (int64_t head = plan->kv_heads.begin; head < plan->kv_heads.end; head++) {
        if (lf_plan_kv_copies(&m->dims, plan->n_rank, head) > 1) json_array_append_new(replicated, json_integer(head));
        if (lf_plan_kv_owner(&m->dims, plan->n_rank, head) == plan->rank)
            json_array_append_new(owned, json_integer(head));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}",                       //
                     "rank", (json_int_t)rank,                                                             //
                     "query_heads", range_json(plan->query_heads), "kv_heads", range_json(plan->kv_heads), //
                     "kv_heads_replicated", replicated, "kv_heads_owned", owned,                           //
                     "intermediate", range_json(lf_topology_width(&m->outline, m->topology, rank)),        //
                     "experts", m->outline.num_experts ? range_json(row->experts) : json_null(),           //
                     "vocab", range_json(plan->vocab), "weight_bytes", bytes_json(row->weight_bytes),      //
                     "kv_bytes_per_token", (json_int_t)row->kv_bytes_per_token,                            //
                     "kv_bytes", (json_int_t)kv_bytes(row, m->n_token),                                    //
                     "total_bytes", bytes_json(total_bytes(row, m->n_token)));
}

static void add_admissible(const model_plan *m, json_t *root)
{
    json_t *sizes = json_object(), *refused = json_object();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rules); i++) {
        char why[160];
        if (!is_asked(&m->outline, rules[i].rule)) continue;
        json_t *list = json_array();
        for (int64_t n = 1; n <= MAX_LISTED_SIZE; n++) {
            if (lf_tp_is_admissible(&m->outline, n, rules[i].rule, NULL, 0))
                json_array_append_new(list, json_integer(n));
        }
        json_object_set_new(sizes, rules[i].key, list);
        bool is_fine =
            lf_tp_is_admissible(&m->outline, m->topology.tensor_parallel_size, rules[i].rule, why, sizeof why);
        json_object_set_new(refused, rules[i].key, is_fine ? json_null() : json_string(why));
    }
    json_object_set_new(root, "admissible", sizes);
    json_object_set_new(root, "refused", refused);
}

static lf_status print_json(const model_plan *m, const plan_args *args, lf_error *err)
{
    json_t *ranks = json_array();
    for (int64_t rank = 0; rank < m->n_rank; rank++) json_array_append_new(ranks, rank_json(m, rank));
    json_t *root = json_pack(
        "{s:o, s:b, s:I, s:I, s:I, s:I, s:o}", "architecture", lf_json_lossy_string(m->dims.architecture), "has_table",
        m->has_table, "tensor_parallel_size", (json_int_t)m->topology.tensor_parallel_size, "expert_parallel_size",
        (json_int_t)m->topology.expert_parallel_size, "max_model_len", (json_int_t)(m->n_token / args->max_num_seqs),
        "max_num_seqs", (json_int_t)args->max_num_seqs, "ranks", ranks);
    char why[256];
    if (root) {
        add_admissible(m, root);
        lf_config_dense_reason(m->dims.architecture, why, sizeof why);
        json_object_set_new(root, "expert_parallel_refused", m->has_no_experts ? json_string(why) : json_null());
    }
    return lf_show_json(root, err);
}

static int run_plan(const lf_verb *verb, int argc, char **argv)
{
    plan_args args = {.tensor_parallel_size = 1, .max_num_seqs = 1};
    const char *dir = NULL;
    bool is_done = false;
    lf_error err = {0};
    json_t *config = NULL;
    model_plan m = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &dir, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!dir) {
        lf_error_set(&err, LF_ERR_USAGE, "MODEL is missing; `landfall plan --help` shows the usage");
        return lf_cli_fail(verb, &err);
    }
    json_t *overrides = NULL;
    status = lf_overrides_parse(&overrides, args.hf_overrides, &err);
    if (!status) status = read_model(&m, &config, dir, overrides, &err);
    json_decref(overrides);
    if (!status) status = build_plan(&m, &args, dir, config, &err);
    if (!status && args.json)
        status = print_json(&m, &args, &err);
    else if (!status)
        print_table(&m, &args);
    free(m.rows);
    json_decref(config);
    return status ? lf_cli_fail(verb, &err) : 0;
}

const lf_verb lf_verb_plan = {
    .name = "plan",
    .operands = "MODEL",
    .summary = "what each rank holds, replicated KV heads, memory per rank, sizes that work",
    .description =
        "What each rank of a tensor-parallel group would hold: query heads, KV heads (replicated ones are marked), the "
        "part of the feed-forward layers and of the vocabulary, and the memory for weights and for keys and values. "
        "config.json is enough; without a parameter table the weights come from the headers.",
    .example = "landfall plan models/Qwen3-8B-FP8 --tensor-parallel-size 3 --max-model-len 32K",
    .opts = plan_opts,
    .n_opt = LF_ARRAY_LENGTH(plan_opts),
    .run = run_plan,
};
