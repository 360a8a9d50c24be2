// SPDX-License-Identifier: Apache-2.0
//
// The index against the headers, in both directions. The index is an allowlist per file: of several tensors of one name
// the one in the file that the index gives counts, and what the index does not name is not used. Both lists are sorted,
// so this is one merge.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "checkpoint/checkpoint_int.h"

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static const char *file_of(const lf_checkpoint *ck, const lf_stored_tensor *tensor)
{
    return ck->shards[tensor->shard].file_name;
}

// Where the copies of one name stand, for a finding.
static void format_places(const lf_checkpoint *ck, const lf_stored_tensor *first, size_t n, char *dst, size_t dst_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < n && i < 4 && used < dst_bytes; i++) {
        int length = snprintf(dst + used, dst_bytes - used, "%s%s at byte %llu", i ? ", " : "", file_of(ck, &first[i]),
                              (unsigned long long)first[i].file_off);
        if (length < 0) break;
        used += (size_t)length;
    }
}

// Without an index, a name that several shards hold is an error; the first one stays.
static size_t keep_unindexed(const lf_checkpoint *ck, const lf_stored_tensor *group, size_t n, lf_findings *findings)
{
    if (n > 1) {
        char places[256];
        format_places(ck, group, n, places, sizeof places);
        lf_finding_args args = {.code = "duplicate-tensor",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = group->name,
                                .expected = "one tensor of this name",
                                .found = places,
                                .remedy = "add the index file that says which one is meant, or remove the other file"};
        lf_findings_add(findings, &args, "tensor '%s' stands in %zu shards", group->name, n);
    }
    return 0;
}

// Whether losing the tensor changes the model's numbers silently: an FP8 weight, or its scale.
static bool belongs_to_fp8(const lf_stored_tensor *tensor)
{
    return lf_dtype_is_fp8(tensor->dtype) || tensor->dtype == LF_DTYPE_F8_E8M0 || has_suffix(tensor->name, "scale") ||
           has_suffix(tensor->name, "scale_inv");
}

enum { KEEP_NONE = -1 };

// The index is an allowlist per file: of the copies of one name, the one in the mapped file counts. Returns its place
// in the group.
static int keep_indexed(const lf_checkpoint *ck, const lf__index *index, const lf__index_entry *entry,
                        const lf_stored_tensor *group, size_t n, lf_findings *findings)
{
    char places[256];
    if (n == 1 && entry && group->shard == entry->file) return 0; // nearly all of them
    format_places(ck, group, n, places, sizeof places);
    if (!entry) {
        lf_finding_args args = {.code = "tensor-not-in-index",
                                .severity = belongs_to_fp8(group) ? LF_SEVERITY_ERROR : LF_SEVERITY_WARNING,
                                .subject = group->name,
                                .expected = "an entry of the index",
                                .found = places,
                                .remedy = "make the index again from the shards"};
        lf_findings_add(findings, &args, "tensor '%s' is in a shard but not in the index: not used", group->name);
        return KEEP_NONE;
    }
    int kept = KEEP_NONE;
    for (size_t i = 0; i < n; i++) {
        if (group[i].shard == entry->file) kept = (int)i;
    }
    if (kept == KEEP_NONE && ck->shards[entry->file].is_refused) return KEEP_NONE; // the shard's finding covers it
    lf_finding_args args = {.code = kept == KEEP_NONE ? "tensor-misplaced" : "tensor-elsewhere",
                            .severity = kept == KEEP_NONE ? LF_SEVERITY_ERROR : LF_SEVERITY_WARNING,
                            .subject = group->name,
                            .expected = index->files[entry->file],
                            .found = places,
                            .remedy = "make the index again from the shards, or download them again"};
    if (kept == KEEP_NONE) {
        lf_findings_add(findings, &args, "the index maps '%s' to a shard that does not hold it", group->name);
    } else if (n > 1) {
        lf_findings_add(findings, &args, "tensor '%s' stands in %zu shards: the one of the index is used", group->name,
                        n);
    }
    return kept;
}

static void report_missing(const lf_checkpoint *ck, const lf__index *index, const lf__index_entry *entry,
                           lf_findings *findings)
{
    if (ck->shards[entry->file].is_refused) return;
    lf_finding_args args = {.code = "tensor-missing",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = entry->name,
                            .expected = index->files[entry->file],
                            .found = "no shard with this tensor",
                            .remedy = "download the shard again, or make the index again from the shards"};
    lf_findings_add(findings, &args, "the index names '%s', which no shard holds", entry->name);
}

// Whether index and headers say the same, which makes all else here superfluous.
static bool is_agreed(const lf_checkpoint *ck, const lf__index *index)
{
    if (!index || index->count != ck->count) return false;
    for (size_t i = 0; i < ck->count; i++) {
        const lf_stored_tensor *tensor = &ck->tensors[i];
        if (tensor->shard != index->entries[i].file || strcmp(tensor->name, index->entries[i].name) != 0) return false;
    }
    return true;
}

static const lf__index_entry *find_entry(const lf__index *index, const char *name)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(index->entries[middle].name, name);
        if (order == 0) return &index->entries[middle];
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

// Shards that hold nothing of what the index promises in them belong to another checkpoint. That is told once, and they
// are refused: none of their tensors is left, and those that they lack are not reported one by one.
static bool refuse_foreign(lf_checkpoint *ck, const lf__index *index, lf_findings *findings)
{
    size_t *n_held = calloc(2 * ck->n_shard + 1, sizeof *n_held), *n_promised = n_held + ck->n_shard, kept = 0;
    if (!n_held) return false;
    for (size_t i = 0; i < ck->count; i++) {
        const lf__index_entry *entry = find_entry(index, ck->tensors[i].name);
        n_held[ck->tensors[i].shard] += entry && entry->file == ck->tensors[i].shard;
    }
    for (size_t i = 0; i < index->count; i++) n_promised[index->entries[i].file]++;
    for (size_t i = 0; i < ck->n_shard; i++) {
        if (ck->shards[i].is_refused || ck->shard_views[i].n_tensor == 0 || n_held[i]) continue;
        char expected[64], found[64];
        snprintf(expected, sizeof expected, "the %zu tensors that the index promises", n_promised[i]);
        snprintf(found, sizeof found, "%zu others", ck->shard_views[i].n_tensor);
        lf_finding_args args = {.code = "shard-foreign",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = ck->shards[i].file_name,
                                .expected = expected,
                                .found = found,
                                .remedy = "the file is of another checkpoint: download it again"};
        lf_findings_add(findings, &args, "%s holds no tensor that the index promises in it", ck->shards[i].file_name);
        ck->shards[i].is_refused = ck->shard_views[i].is_refused = true;
    }
    for (size_t i = 0; i < ck->count; i++) {
        if (!ck->shards[ck->tensors[i].shard].is_refused) ck->tensors[kept++] = ck->tensors[i];
    }
    ck->count = kept;
    free(n_held);
    return true;
}

static void sum_bytes(lf_checkpoint *ck)
{
    ck->bytes = 0;
    for (size_t i = 0; i < ck->count; i++) ck->bytes += ck->tensors[i].bytes;
}

void lf__join_index(lf_checkpoint *ck, const lf__index *index, lf_findings *findings)
{
    size_t kept = 0, at_entry = 0;
    if (is_agreed(ck, index)) {
        sum_bytes(ck);
        return;
    }
    if (index && !refuse_foreign(ck, index, findings)) {
        findings->failed = true;
        return;
    }
    for (size_t begin = 0; begin < ck->count;) {
        const char *name = ck->tensors[begin].name;
        size_t end = begin + 1;
        while (end < ck->count && strcmp(ck->tensors[end].name, name) == 0) end++;
        const lf_stored_tensor *group = &ck->tensors[begin];
        int choice;
        if (index) {
            int order = 1;
            for (; at_entry < index->count; at_entry++) {
                order = strcmp(index->entries[at_entry].name, name);
                if (order >= 0) break;
                report_missing(ck, index, &index->entries[at_entry], findings);
            }
            bool is_mapped = at_entry < index->count && order == 0;
            choice =
                keep_indexed(ck, index, is_mapped ? &index->entries[at_entry] : NULL, group, end - begin, findings);
            at_entry += is_mapped;
        } else {
            choice = (int)keep_unindexed(ck, group, end - begin, findings);
        }
        if (choice != KEEP_NONE) ck->tensors[kept++] = group[choice];
        begin = end;
    }
    for (; index && at_entry < index->count; at_entry++) report_missing(ck, index, &index->entries[at_entry], findings);
    ck->count = kept;
    sum_bytes(ck);
}
