// SPDX-License-Identifier: Apache-2.0
//
// The directory: which files are the checkpoint, reading all their headers, and one list of tensors out of them. The
// invariant: the list holds each name once, and only tensors of shards that passed every check. Files that are replaced
// or shortened while they are mapped are outside of what this can defend against.
#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "checkpoint/checkpoint_int.h"

struct lf_checkpoint {
    char *dir;             // OWNED
    lf__arena names;       // file names, names of the index
    lf__shard *shards;     // OWNED
    lf_shard *shard_views; // OWNED, what lf_checkpoint_shard() shows
    size_t n_shard;
    lf_stored_tensor *tensors; // OWNED, in ascending order of name
    size_t count;
    uint64_t bytes;
};

// The two file sets that a directory may hold, the better one first.
typedef struct file_set {
    const char *single, *index, *prefix;
} file_set;

static const file_set file_sets[] = {
    {"model.safetensors", "model.safetensors.index.json", "model-"},
    {"consolidated.safetensors", "consolidated.safetensors.index.json", "consolidated-"},
};

// What stands in the directory, as far as it matters here.
typedef struct listing {
    const char **shards; // OWNED array of names in the checkpoint's arena, *.safetensors, in ascending order
    size_t n_shard, capacity;
    bool has_index[LF_ARRAY_LENGTH(file_sets)];
    char other[64]; // a file of weights in another format
} listing;

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static bool is_listed(const listing *files, const char *name)
{
    for (size_t i = 0; i < files->n_shard; i++) {
        if (strcmp(files->shards[i], name) == 0) return true;
    }
    return false;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool note_file(lf_checkpoint *ck, listing *out, const char *name)
{
    static const char *const foreign[] = {".gguf", ".bin", ".pt", ".pth", ".npz", ".onnx"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(file_sets); i++) out->has_index[i] |= strcmp(name, file_sets[i].index) == 0;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(foreign); i++) {
        if (has_suffix(name, foreign[i])) snprintf(out->other, sizeof out->other, "%.*s", (int)sizeof out->other - 1, name);
    }
    if (!has_suffix(name, ".safetensors") || out->n_shard == LF__MAX_SHARDS) return true;
    const char *copy = lf__arena_copy(&ck->names, (lf__text){name, strlen(name)});
    if (!copy || !lf_array_grow((void **)&out->shards, &out->capacity, out->n_shard + 1, sizeof *out->shards))
        return false;
    out->shards[out->n_shard++] = copy;
    return true;
}

static lf_status list_directory(lf_checkpoint *ck, listing *out, lf_error *err)
{
    DIR *dir = opendir(ck->dir);
    if (!dir) {
        lf_error_errno(err, errno, "cannot open the model directory %s", ck->dir);
        return lf_error_subject(err, "%s", ck->dir);
    }
    lf_status status = LF_OK;
    struct dirent *entry;
    while (!status && (entry = readdir(dir))) {
        if (!note_file(ck, out, entry->d_name)) status = lf_error_no_memory(err, 0);
    }
    closedir(dir);
    if (out->n_shard) qsort(out->shards, out->n_shard, sizeof *out->shards, compare_strings);
    return status;
}

static void open_shard_file(lf__shard *shard, const char *dir)
{
    lf_error err;
    char *path = lf_path_join(dir, shard->file_name);
    if (!path) {
        shard->findings.failed = true;
        shard->is_refused = true;
        return;
    }
    lf_status status = lf_mapping_open(&shard->mapping, path, &err);
    free(path);
    if (status == LF_ERR_NO_MEMORY) shard->findings.failed = true;
    if (status) {
        bool is_missing = status == LF_ERR_NOT_FOUND;
        shard->is_refused = true;
        lf_findings_add(
            &shard->findings,
            &(lf_finding_args){.code = is_missing ? "shard-missing" : "shard-unreadable",
                               .severity = LF_SEVERITY_ERROR,
                               .subject = shard->file_name,
                               .remedy = is_missing ? "download the file" : "check the file and its permissions"},
            is_missing ? "the index names %s, which is not in the directory" : "%s cannot be read", shard->file_name);
        return;
    }
    close(shard->mapping.fd); // the mapping stays; hundreds of shards must not use up the file descriptors
    shard->mapping.fd = -1;
    lf__safetensors_read(shard, shard->mapping.data, shard->mapping.bytes);
}

static void open_shard_range(void *ctx, size_t begin, size_t end, int thread)
{
    lf_checkpoint *ck = ctx;
    for (size_t i = begin; i < end; i++) open_shard_file(&ck->shards[i], ck->dir);
}

// Takes over the findings of `from`, in order.
static void move_findings(lf_findings *to, lf_findings *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const lf_finding *f = &from->items[i];
        lf_finding_args args = {f->code, f->severity, f->subject, f->expected, f->found, f->remedy};
        lf_findings_add(to, &args, "%s", f->message);
    }
    to->failed |= from->failed;
    lf_findings_fini(from);
}

// Opens all shards side by side and gathers their tensors, unsorted, into ck->tensors.
static lf_status open_shards(lf_checkpoint *ck, const char *const *files, size_t n, lf_findings *findings,
                             lf_error *err)
{
    ck->shards = calloc(n ? n : 1, sizeof *ck->shards);
    ck->shard_views = calloc(n ? n : 1, sizeof *ck->shard_views);
    if (!ck->shards || !ck->shard_views) return lf_error_no_memory(err, n * sizeof *ck->shards);
    ck->n_shard = n;
    for (size_t i = 0; i < n; i++) {
        ck->shards[i].file_name = files[i];
        ck->shards[i].mapping.fd = -1;
    }
    lf_par_for_dynamic(n, 1, open_shard_range, ck);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        lf__shard *shard = &ck->shards[i];
        move_findings(findings, &shard->findings);
        total += shard->count;
        ck->shard_views[i] = (lf_shard){.file_name = shard->file_name,
                                        .header = shard->header,
                                        .header_bytes = shard->header_bytes,
                                        .file_bytes = shard->mapping.bytes,
                                        .n_tensor = shard->count,
                                        .is_refused = shard->is_refused};
    }
    if (findings->failed) return lf_error_no_memory(err, 0);
    ck->tensors = lf_realloc_array(NULL, total, sizeof *ck->tensors);
    if (!ck->tensors) return lf_error_no_memory(err, 0);
    for (size_t i = 0; i < n; i++) {
        lf__shard *shard = &ck->shards[i];
        for (size_t k = 0; k < shard->count; k++) {
            shard->tensors[k].shard = (uint32_t)i;
            ck->tensors[ck->count++] = shard->tensors[k];
        }
        free(shard->tensors);
        shard->tensors = NULL;
        shard->count = shard->capacity = 0;
    }
    return LF_OK;
}

static lf_status sort_tensors(lf_checkpoint *ck, lf_error *err)
{
    size_t n = ck->count;
    const char **names = lf_realloc_array(NULL, n, sizeof *names);
    uint32_t *order = lf_realloc_array(NULL, n, sizeof *order);
    lf_stored_tensor *sorted = lf_realloc_array(NULL, n, sizeof *sorted);
    bool is_done = names && order && sorted;
    for (size_t i = 0; is_done && i < n; i++) names[i] = ck->tensors[i].name;
    is_done = is_done && lf__sort_names(names, n, order);
    for (size_t i = 0; is_done && i < n; i++) sorted[i] = ck->tensors[order[i]];
    if (is_done) {
        free(ck->tensors);
        ck->tensors = sorted;
        sorted = NULL;
    }
    free(names);
    free(order);
    free(sorted);
    return is_done ? LF_OK : lf_error_no_memory(err, 0);
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

// Joins the sorted tensors with the sorted index (NULL: there is none); afterwards each name stands once.
static void join_index(lf_checkpoint *ck, const lf__index *index, lf_findings *findings)
{
    size_t kept = 0, at_entry = 0;
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
    ck->bytes = 0;
    for (size_t i = 0; i < kept; i++) ck->bytes += ck->tensors[i].bytes;
}

static void note_leftovers(const lf_checkpoint *ck, const listing *files, const lf__index *index,
                           const char *index_name, lf_findings *findings)
{
    for (size_t i = 0; i < files->n_shard; i++) {
        const char *name = files->shards[i];
        bool is_used = false;
        for (size_t k = 0; k < ck->n_shard && !is_used; k++) is_used = strcmp(ck->shards[k].file_name, name) == 0;
        if (is_used) continue;
        lf_findings_add(
            findings, &(lf_finding_args){.code = "file-unused", .severity = LF_SEVERITY_NOTE, .subject = name},
            index_name ? "%s is not named by %s: not used" : "%s is not used: model.safetensors is the checkpoint",
            name, index_name);
    }
    if (index && index->has_total_size && index->total_size != ck->bytes && findings->n_error == 0) {
        char expected[32], found[32];
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)ck->bytes);
        snprintf(found, sizeof found, "%llu", (unsigned long long)index->total_size);
        lf_finding_args args = {.code = "index-total-size",
                                .severity = LF_SEVERITY_NOTE,
                                .subject = index_name,
                                .expected = expected,
                                .found = found};
        lf_findings_add(findings, &args, "total_size of %s is not the sum of the tensors' bytes", index_name);
    }
}

// Reads the index of a file set; false when there is none or it is unusable.
static bool load_index(lf_checkpoint *ck, lf__index *index, const char *name, lf_findings *findings)
{
    lf_error err;
    lf_mapping mapping;
    char *path = lf_path_join(ck->dir, name);
    if (!path) {
        findings->failed = true;
        return false;
    }
    lf_status status = lf_mapping_open(&mapping, path, &err);
    free(path);
    lf_finding_args args = {.code = "index-unreadable", .severity = LF_SEVERITY_ERROR, .subject = name};
    if (status) {
        lf_findings_add(findings, &args, "%s", err.message);
        return false;
    }
    bool is_read = false;
    if (mapping.bytes > LF__MAX_INDEX_BYTES) {
        lf_findings_add(findings, &args, "%s is larger than %d bytes", name, LF__MAX_INDEX_BYTES);
    } else {
        is_read = lf__index_read(index, &ck->names, (const char *)mapping.data, mapping.bytes, name, findings);
    }
    lf_mapping_close(&mapping);
    return is_read;
}

// The shards to open when no index names them.
static size_t unindexed_files(const listing *files, const file_set *set, const char **out, lf_findings *findings,
                              bool has_broken_index)
{
    size_t n = 0;
    if (is_listed(files, set->single) && !has_broken_index) {
        out[n++] = set->single;
        return n;
    }
    for (size_t i = 0; i < files->n_shard; i++) {
        if (strncmp(files->shards[i], set->prefix, strlen(set->prefix)) == 0) out[n++] = files->shards[i];
    }
    if (n && !has_broken_index) {
        lf_finding_args args = {.code = "index-missing",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = set->index,
                                .expected = "an index that names the shards",
                                .found = "none",
                                .remedy = "download the index file"};
        lf_findings_add(findings, &args, "%s is missing beside %zu shards", set->index, n);
    }
    return n;
}

static lf_status nothing_here(const lf_checkpoint *ck, const listing *files, lf_error *err)
{
    lf_error_set(err, LF_ERR_NOT_FOUND, "no safetensors checkpoint in %s", ck->dir);
    lf_error_subject(err, "%s", ck->dir);
    lf_error_expected(err, "model.safetensors.index.json or model.safetensors");
    if (files->other[0]) return lf_error_found(err, "%s, another format", files->other);
    if (files->n_shard) return lf_error_found(err, "%s, an unknown file name", files->shards[0]);
    return lf_error_hint(err, "name the directory that holds the model's files");
}

// Chooses the file set, opens its shards and joins them with the index.
static lf_status open_files(lf_checkpoint *ck, const listing *files, lf_findings *findings, lf_error *err)
{
    lf__index index = {0};
    lf_status status = LF_OK;
    const char **chosen = lf_realloc_array(NULL, files->n_shard, sizeof *chosen);
    if (!chosen) return lf_error_no_memory(err, 0);
    size_t n = 0;
    const char *index_name = NULL;
    bool has_index = false;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(file_sets) && n == 0 && !index_name; i++) {
        const file_set *set = &file_sets[i];
        if (files->has_index[i]) {
            index_name = set->index;
            has_index = load_index(ck, &index, set->index, findings);
        }
        if (!has_index) n = unindexed_files(files, set, chosen, findings, index_name != NULL);
    }
    if (n == 0 && !index_name) {
        status = nothing_here(ck, files, err);
        goto out;
    }
    status = has_index ? open_shards(ck, index.files, index.n_file, findings, err)
                       : open_shards(ck, chosen, n, findings, err);
    if (!status) status = sort_tensors(ck, err);
    if (status) goto out;
    join_index(ck, has_index ? &index : NULL, findings);
    note_leftovers(ck, files, has_index ? &index : NULL, index_name, findings);
    if (findings->failed) status = lf_error_no_memory(err, 0);

out:
    free(chosen);
    lf__index_fini(&index);
    return status;
}

lf_status lf_checkpoint_open(lf_checkpoint **out, const char *dir, lf_findings *findings, lf_error *err)
{
    *out = NULL;
    lf_checkpoint *ck = calloc(1, sizeof *ck);
    if (!ck) return lf_error_no_memory(err, sizeof *ck);
    listing files = {0};
    lf_status status = LF_OK;
    ck->dir = strdup(dir);
    if (!ck->dir) status = lf_error_no_memory(err, 0);
    if (!status) status = list_directory(ck, &files, err);
    if (!status) status = open_files(ck, &files, findings, err);
    free(files.shards);
    if (status) {
        lf_checkpoint_close(ck);
        return status;
    }
    *out = ck;
    return LF_OK;
}

void lf_checkpoint_close(lf_checkpoint *ck)
{
    if (!ck) return;
    for (size_t i = 0; i < ck->n_shard; i++) lf__shard_fini(&ck->shards[i]);
    free(ck->shards);
    free(ck->shard_views);
    free(ck->tensors);
    lf__arena_fini(&ck->names);
    free(ck->dir);
    free(ck);
}

const char *lf_checkpoint_dir(const lf_checkpoint *ck) { return ck->dir; }
size_t lf_checkpoint_count(const lf_checkpoint *ck) { return ck->count; }
const lf_stored_tensor *lf_checkpoint_tensor(const lf_checkpoint *ck, size_t i) { return &ck->tensors[i]; }
size_t lf_checkpoint_n_shard(const lf_checkpoint *ck) { return ck->n_shard; }
const lf_shard *lf_checkpoint_shard(const lf_checkpoint *ck, size_t i) { return &ck->shard_views[i]; }
uint64_t lf_checkpoint_bytes(const lf_checkpoint *ck) { return ck->bytes; }

const lf_stored_tensor *lf_checkpoint_find(const lf_checkpoint *ck, const char *name)
{
    size_t low = 0, high = ck->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(ck->tensors[middle].name, name);
        if (order == 0) return &ck->tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void lf_checkpoint_prefetch(const lf_checkpoint *ck, const lf_stored_tensor *tensor)
{
    const lf_mapping *mapping = &ck->shards[tensor->shard].mapping;
    long page = sysconf(_SC_PAGESIZE);
    if (tensor->bytes == 0 || page <= 0) return;
    uint64_t begin = tensor->file_off - tensor->file_off % (uint64_t)page;
    (void)madvise((void *)(uintptr_t)(mapping->data + begin), tensor->file_off + tensor->bytes - begin, MADV_WILLNEED);
}

void lf_stored_tensor_format(const lf_stored_tensor *tensor, char *dst, size_t dst_bytes)
{
    if (dst_bytes == 0) return;
    size_t used = (size_t)snprintf(dst, dst_bytes, "[");
    for (int i = 0; i < tensor->rank && used < dst_bytes; i++) {
        used += (size_t)snprintf(dst + used, dst_bytes - used, "%s%lld", i ? ", " : "", (long long)tensor->shape[i]);
    }
    if (used < dst_bytes) snprintf(dst + used, dst_bytes - used, "] %s", lf_dtype_name(tensor->dtype));
}
