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

typedef struct check {
    const lf_outline *outline;
    lf_topology args;
    lf_config dims; // valid when has_heads
    bool has_heads;
    lf_findings *findings;
} check;

static void note(check *c, lf_severity severity, const char *code, const char *subject, const char *expected,
                 const char *found, const char *remedy, const char *message)
{
    lf_finding_args args = {
        .code = code, .severity = severity, .subject = subject, .expected = expected, .found = found, .remedy = remedy};
    lf_findings_add(c->findings, &args, "%s", message);
}

// --- sizes of the model

// "a size that divides 48: 1 2 3 4": the divisors of n up to 64.
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
    if (o->has_dense_layers) check_size(c, "intermediate_size", o->intermediate_size, tp, "ffn-uneven", balanced);
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
static void check_even_split(check *c, const lf_group *g)
{
    int64_t n_rank = c->args.tensor_parallel_size, least = INT64_MAX, most = 0;
    bool is_kv = g->role.partition == LF_PARTITION_KV_HEADS;
    if (!is_kv && !g->role.is_head_norm) return;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        int64_t length = lf_range_length(lf_group_range(g, c->outline, c->args, rank));
        if (length == 0) continue; // an idle rank
        least = LF_MIN(least, length);
        most = LF_MAX(most, length);
    }
    if (most == 0 || (g->n_row % n_rank == 0 && least == most && most == g->n_row / n_rank)) return;
    char extent[64], even[96], message[512];
    format_extent(extent, sizeof extent, least, most);
    format_even(even, sizeof even, g->n_row, n_rank);
    const char *last = strrchr(g->family, '.'), *module = g->family;
    for (const char *at = g->family; at < last; at++) {
        if (*at == '.') module = at + 1;
    }
    bool is_norm = g->role.part == LF_PART_NORM || g->role.is_head_norm;
    snprintf(message, sizeof message, "%.*s: %s expected, %s (%llu tensors)", last ? (int)(last - module) : 64, module,
             extent, even, (unsigned long long)g->count);
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
static void check_blocks(check *c, const lf_group *g)
{
    bool has_blocks = g->first->layout == LF_SCALE_BLOCK || g->first->layout == LF_SCALE_GROUP;
    if (!has_blocks || g->role.partition == LF_PARTITION_NONE) return;
    bool by_cols = lf_group_cuts_cols(g);
    int64_t block = by_cols ? g->first->block_cols : g->first->block_rows, n = by_cols ? g->n_col : g->n_row;
    int64_t n_rank = c->args.tensor_parallel_size, n_cut = 0, length = 0, chunk = by_cols ? n : g->first->chunk_rows;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_range range = lf_group_range(g, c->outline, c->args, rank);
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
    snprintf(message, sizeof message, "%" PRId64 " of %" PRId64 " ranks cut through FP8 blocks of %llu tensors", n_cut,
             n_rank, (unsigned long long)g->count);
    note(c, LF_SEVERITY_NOTE, "blocks-cut", g->first->name, expected, found,
         "nothing here: scales are looked up by the position in the whole weight; engines that run FP8 blocks refuse",
         message);
}

void lf_split_check_experts(const lf_outline *outline, lf_findings *findings)
{
    char why[256];
    if (outline->num_experts > 0) return;
    lf_finding_args args = {.code = "experts-none",
                            .severity = LF_SEVERITY_NOTE,
                            .subject = "num_experts",
                            .remedy = "leave --enable-expert-parallel out; tensor parallelism alone cuts the model"};
    lf_findings_add(findings, &args, "expert parallelism is %s",
                    lf_config_dense_reason(outline->architecture, why, sizeof why));
}

lf_status lf_split_check(const lf_outline *outline, const lf_quant *quant, lf_topology topology, lf_findings *findings,
                         lf_error *err)
{
    if (topology.tensor_parallel_size <= 1 && topology.expert_parallel_size <= 1) return LF_OK;
    lf_census census;
    lf_status status = lf_census_build(&census, outline, quant, err);
    if (status) return status;
    check c = {.outline = outline, .args = topology, .findings = findings, .has_heads = lf_outline_has_heads(outline)};
    if (c.has_heads) c.dims = lf_outline_dims(outline);
    check_sizes(&c);
    if (topology.tensor_parallel_size > 1) check_kv_heads(&c);
    for (size_t i = 0; topology.tensor_parallel_size > 1 && i < census.count; i++) {
        const lf_group *group = &census.groups[i];
        bool is_cut = group->role.partition != LF_PARTITION_NONE || group->role.is_head_norm;
        if (!is_cut || group->first->layout == LF_SCALE_BROKEN) continue;
        check_even_split(&c, group);
        check_blocks(&c, group);
    }
    lf_census_fini(&census);
    return findings->failed ? lf_error_no_memory(err, 0) : LF_OK;
}
