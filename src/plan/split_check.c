// SPDX-License-Identifier: Apache-2.0
//
// Partition questions, answered from headers and config.json. Tensors that differ only in the numbers in their names
// (layers, experts) and agree in shape are one question.
#include "plan/split_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "plan/plan.h"

enum { MAX_GROUPS = 512, MAX_PATTERN_BYTES = 512 };

// Tensors of one pattern and shape.
typedef struct group {
    char *pattern; // OWNED: the name with '#' for numbers
    const lf_logical_tensor *first;
    size_t count;
    int64_t n_row, n_col;
    lf_role role;
} group;

typedef struct check {
    const lf_outline *outline;
    lf_split_args args;
    lf_config dims; // valid when has_heads
    bool has_heads;
    lf_findings *findings;
    group groups[MAX_GROUPS];
    size_t n_group;
} check;

static void note(check *c, lf_severity severity, const char *code, const char *subject, const char *expected,
                 const char *found, const char *remedy, const char *message)
{
    lf_finding_args args = {
        .code = code, .severity = severity, .subject = subject, .expected = expected, .found = found, .remedy = remedy};
    lf_findings_add(c->findings, &args, "%s", message);
}

// --- sizes of the model

// "1, 2, 4": the divisors of n up to 64, or a power of two list when n is large.
static void format_divisors(char *dst, size_t dst_bytes, int64_t n)
{
    size_t used = (size_t)snprintf(dst, dst_bytes, "a size that divides %" PRId64 ":", n);
    for (int64_t i = 1; i <= 64 && i <= n && used < dst_bytes; i++) {
        if (n % i == 0) used += (size_t)snprintf(dst + used, dst_bytes - used, " %" PRId64, i);
    }
}

// A size that n_rank does not divide, or that leaves ranks without work.
static void check_size(check *c, const char *field, int64_t n, int64_t n_rank, const char *code, const char *remedy)
{
    char expected[256], found[96], message[160];
    if (n <= 0 || n_rank == 1 || n % n_rank == 0) return;
    if (n < n_rank) {
        snprintf(expected, sizeof expected, "at most %" PRId64 " ranks", n);
        snprintf(found, sizeof found, "%" PRId64 " ranks", n_rank);
        snprintf(message, sizeof message, "%" PRId64 " of %" PRId64 " ranks have no part of %s", n_rank - n, n_rank,
                 field);
        note(c, LF_SEVERITY_WARNING, "ranks-idle", field, expected, found, "use fewer ranks", message);
        return;
    }
    format_divisors(expected, sizeof expected, n);
    snprintf(found, sizeof found, "%" PRId64 " / %" PRId64 ": parts of %" PRId64 " and %" PRId64, n, n_rank,
             n / n_rank + 1, n / n_rank);
    snprintf(message, sizeof message, "%" PRId64 " ranks do not divide %s", n_rank, field);
    note(c, LF_SEVERITY_NOTE, code, field, expected, found, remedy, message);
}

static const char balanced[] = "nothing here: parts are balanced; other engines refuse this size";

static void check_sizes(check *c)
{
    const lf_outline *o = c->outline;
    int64_t tp = c->args.tensor_parallel_size, ep = c->args.expert_parallel_size;
    check_size(c, "num_attention_heads", o->num_attention_heads, tp, "heads-uneven", balanced);
    bool is_all_experts = o->num_experts && o->moe_intermediate_size == o->intermediate_size;
    if (!is_all_experts) check_size(c, "intermediate_size", o->intermediate_size, tp, "ffn-uneven", balanced);
    if (o->num_experts && ep == 1) {
        check_size(c, "moe_intermediate_size", o->moe_intermediate_size, tp, "ffn-uneven",
                   "nothing here; elsewhere expert parallelism keeps experts whole (--enable-expert-parallel)");
    }
    check_size(c, "num_experts", o->num_experts, ep, "experts-uneven",
               "nothing here: ranges of experts are balanced; other engines refuse this size");
    check_size(c, "vocab_size", o->vocab_size, tp, "vocab-uneven",
               "nothing here: ranges are balanced; other engines pad the vocabulary");
}

// --- KV heads

// "head 0 on ranks 0-1, head 1 on ranks 2-3", as far as there is room.
static void format_copies(const check *c, lf_buf *text)
{
    int64_t n_rank = c->args.tensor_parallel_size;
    size_t n_listed = 0, n_replicated = 0;
    for (int64_t head = 0; head < c->dims.num_key_value_heads; head++) {
        int64_t copies = lf_plan_kv_copies(&c->dims, n_rank, head);
        if (copies < 2) continue;
        n_replicated++;
        if (n_listed == 8) continue;
        int64_t owner = lf_plan_kv_owner(&c->dims, n_rank, head);
        lf_buf_printf(text, "%shead %" PRId64 " on ranks %" PRId64 "-%" PRId64, n_listed++ ? ", " : "", head, owner,
                      owner + copies - 1);
    }
    if (n_replicated > n_listed) lf_buf_printf(text, " and %zu more", n_replicated - n_listed);
}

static void check_kv_heads(check *c)
{
    const lf_outline *o = c->outline;
    char expected[96], found[160], message[160];
    if (o->kv_lora_rank) {
        snprintf(found, sizeof found, "%" PRId64 " + %" PRId64 " values per token and layer", o->kv_lora_rank,
                 o->qk_rope_head_dim);
        note(c, LF_SEVERITY_NOTE, "kv-latent", "kv_lora_rank", NULL, found, "more ranks do not shorten the cache",
             "the KV cache is a latent that every rank holds whole");
        return;
    }
    if (!c->has_heads) return;
    int64_t n_rank = c->args.tensor_parallel_size, n = o->num_key_value_heads;
    if (n % n_rank && n_rank % n) {
        snprintf(expected, sizeof expected, "a size that divides %" PRId64 ", or a multiple of it", n);
        snprintf(found, sizeof found, "%" PRId64 " ranks", n_rank);
        snprintf(message, sizeof message, "%" PRId64 " KV heads cannot be dealt out evenly to %" PRId64 " ranks", n,
                 n_rank);
        note(c, LF_SEVERITY_NOTE, "kv-heads-uneven", "num_key_value_heads", expected, found,
             "nothing here: a rank holds the KV heads that its query heads read; other engines stop at an assertion",
             message);
    }
    lf_buf text = LF_BUF_INIT;
    format_copies(c, &text);
    if (lf_buf_failed(&text)) c->findings->failed = true;
    if (text.length) {
        note(c, LF_SEVERITY_NOTE, "kv-replicated", "num_key_value_heads", NULL, lf_buf_text(&text),
             "nothing: K, V and their norms follow the heads",
             "KV heads are replicated, because their query heads are on several ranks");
    }
    lf_buf_fini(&text);
}

// --- tensors

// All experts of a layer have the shapes of the first, or the table says otherwise.
static bool is_later_expert(const char *name)
{
    static const char mark[] = ".experts.";
    const char *at = strstr(name, mark);
    return at && strncmp(at + sizeof mark - 1, "0.", 2) != 0 && at[sizeof mark - 1] >= '0' &&
           at[sizeof mark - 1] <= '9';
}

static bool add_tensor(check *c, const lf_logical_tensor *tensor)
{
    char pattern[MAX_PATTERN_BYTES];
    if (tensor->layout == LF_SCALE_BROKEN || tensor->weight->rank > 2 || is_later_expert(tensor->name)) return true;
    if (!lf_tensor_family(pattern, sizeof pattern, tensor->name)) return true; // longer than any published name
    int64_t shape[LF_MAX_RANK];
    int rank = lf_logical_shape(tensor, shape);
    int64_t n_row = rank ? shape[0] : 1, n_col = rank < 2 ? 1 : shape[1];
    for (size_t i = c->n_group; i-- > 0;) {
        group *g = &c->groups[i];
        if (g->n_row != n_row || g->n_col != n_col || strcmp(g->pattern, pattern) != 0) continue;
        g->count++;
        return true;
    }
    lf_role role = lf_role_of(c->outline, tensor->name, n_row, n_col);
    if ((role.partition == LF_PARTITION_NONE && !role.is_head_norm) || c->n_group == MAX_GROUPS) return true;
    char *copy = strdup(pattern);
    if (!copy) return false;
    c->groups[c->n_group++] = (group){copy, tensor, 1, n_row, n_col, role};
    return true;
}

// The part of a group's tensor that rank `rank` holds, along the dimension that is cut.
static lf_range range_of(const check *c, const group *g, int64_t rank)
{
    lf_range none = {0, 0},
             whole = {0, g->role.partition == LF_PARTITION_O_HEADS || g->role.partition == LF_PARTITION_FFN_COLS
                             ? g->n_col
                             : g->n_row};
    lf_rank_plan plan;
    lf_error ignored;
    int64_t n_rank = c->args.tensor_parallel_size;
    switch (g->role.partition) {
    case LF_PARTITION_Q_HEADS:
    case LF_PARTITION_KV_HEADS:
    case LF_PARTITION_O_HEADS:
        if (!c->has_heads || lf_rank_plan_build(&plan, &c->dims, n_rank, rank, &ignored)) return whole;
        lf_range heads = g->role.partition == LF_PARTITION_KV_HEADS ? plan.kv_heads : plan.query_heads;
        return (lf_range){heads.begin * g->role.unit, heads.end * g->role.unit};
    case LF_PARTITION_FFN_ROWS:
    case LF_PARTITION_FFN_COLS:
        if (g->role.is_expert && c->args.expert_parallel_size > 1) return whole;
        return lf_range_balanced(whole.end, n_rank, rank);
    case LF_PARTITION_VOCAB: return lf_range_balanced(whole.end, n_rank, rank);
    default: return c->args.tensor_parallel_size ? whole : none;
    }
}

static void format_extent(char *dst, size_t dst_bytes, int64_t least, int64_t most)
{
    if (least == most)
        snprintf(dst, dst_bytes, "%" PRId64, most);
    else
        snprintf(dst, dst_bytes, "%" PRId64 " to %" PRId64, least, most);
}

// What an even split would give: "an even split gives 64", or that there is none.
static void format_even(char *dst, size_t dst_bytes, int64_t n, int64_t n_rank)
{
    if (n % n_rank == 0)
        snprintf(dst, dst_bytes, "an even split gives %" PRId64, n / n_rank);
    else
        snprintf(dst, dst_bytes, "an even split of %" PRId64 " is impossible", n);
}

// Parameters whose part on a rank is not 1 / n of the whole although their neighbours' is.
static void check_even_split(check *c, const group *g)
{
    int64_t n_rank = c->args.tensor_parallel_size, least = INT64_MAX, most = 0;
    bool is_kv = g->role.partition == LF_PARTITION_KV_HEADS;
    if (!is_kv && !g->role.is_head_norm) return;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        int64_t length = lf_range_length(range_of(c, g, rank));
        if (length == 0) continue; // an idle rank
        least = LF_MIN(least, length);
        most = LF_MAX(most, length);
    }
    if (most == 0 || (g->n_row % n_rank == 0 && least == most && most == g->n_row / n_rank)) return;
    char extent[64], even[96], message[512];
    format_extent(extent, sizeof extent, least, most);
    format_even(even, sizeof even, g->n_row, n_rank);
    const char *last = strrchr(g->pattern, '.'), *module = g->pattern;
    for (const char *at = g->pattern; at < last; at++) {
        if (*at == '.') module = at + 1;
    }
    bool is_norm = g->role.part == LF_PART_NORM || g->role.is_head_norm;
    snprintf(message, sizeof message, "%.*s: %s expected, %s (%zu tensors)", last ? (int)(last - module) : 64, module,
             extent, even, g->count);
    note(c, LF_SEVERITY_NOTE,
         g->role.is_head_norm ? "norm-per-head"
         : is_norm            ? "norm-full-width"
                              : "split-kv",
         g->first->name, extent, even,
         g->role.is_head_norm ? "a norm over one head is whole on every rank"
                              : "rows follow the KV heads of the rank's query heads; replicated heads are copied",
         message);
}

// FP8 blocks, or groups, that a rank's part begins or ends inside of. Blocks of rows begin anew with each chunk.
static void check_blocks(check *c, const group *g)
{
    bool has_blocks = g->first->layout == LF_SCALE_BLOCK || g->first->layout == LF_SCALE_GROUP;
    if (!has_blocks || g->role.partition == LF_PARTITION_NONE) return;
    bool by_cols = g->role.partition == LF_PARTITION_O_HEADS || g->role.partition == LF_PARTITION_FFN_COLS;
    int64_t block = by_cols ? g->first->block_cols : g->first->block_rows, n = by_cols ? g->n_col : g->n_row;
    int64_t n_rank = c->args.tensor_parallel_size, n_cut = 0, length = 0, chunk = by_cols ? n : g->first->chunk_rows;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_range range = range_of(c, g, rank);
        if (lf_range_length(range) == 0 ||
            (range.begin % chunk % block == 0 && (range.end % chunk % block == 0 || range.end == n)))
            continue;
        if (n_cut++ == 0) length = lf_range_length(range);
    }
    if (n_cut == 0) return;
    char expected[96], found[128], message[160];
    snprintf(expected, sizeof expected, "a multiple of %" PRId64 " %s on every rank", block,
             by_cols ? "columns" : "rows");
    snprintf(found, sizeof found, "%" PRId64 " of %" PRId64 " %s, %.4g blocks", length, n, by_cols ? "columns" : "rows",
             (double)length / (double)block);
    snprintf(message, sizeof message, "%" PRId64 " of %" PRId64 " ranks cut through FP8 blocks of %zu tensors", n_cut,
             n_rank, g->count);
    note(c, LF_SEVERITY_NOTE, "blocks-cut", g->first->name, expected, found,
         "nothing here: scales are looked up by the position in the whole weight; engines that run FP8 blocks refuse",
         message);
}

lf_status lf_split_check(const lf_outline *outline, const lf_quant *quant, const lf_split_args *args,
                         lf_findings *findings, lf_error *err)
{
    if (args->tensor_parallel_size <= 1 && args->expert_parallel_size <= 1) return LF_OK;
    check *c = calloc(1, sizeof *c);
    if (!c) return lf_error_no_memory(err, sizeof *c);
    c->outline = outline;
    c->args = *args;
    c->findings = findings;
    c->has_heads = lf_outline_has_heads(outline);
    if (c->has_heads) c->dims = lf_outline_dims(outline);
    check_sizes(c);
    if (args->tensor_parallel_size > 1) check_kv_heads(c);
    bool has_memory = true;
    for (size_t i = 0; has_memory && i < lf_quant_count(quant); i++)
        has_memory = add_tensor(c, lf_quant_tensor(quant, i));
    for (size_t i = 0; has_memory && args->tensor_parallel_size > 1 && i < c->n_group; i++) {
        check_even_split(c, &c->groups[i]);
        check_blocks(c, &c->groups[i]);
    }
    for (size_t i = 0; i < c->n_group; i++) free(c->groups[i].pattern);
    free(c);
    return has_memory && !findings->failed ? LF_OK : lf_error_no_memory(err, 0);
}
