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
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "checkpoint/checkpoint_int.h"

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
        if (has_suffix(name, foreign[i]))
            snprintf(out->other, sizeof out->other, "%.*s", (int)sizeof out->other - 1, name);
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

// A hub cache keeps links to blobs; one whose blob was not downloaded is there and yet is not.
static bool is_link(const char *dir, const char *name)
{
    struct stat info;
    char *path = lf_path_join(dir, name);
    bool answer = path && lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
    free(path);
    return answer;
}

static void report_unopened(lf__shard *shard, const char *dir, bool is_missing)
{
    lf_finding_args args = {.code = is_missing ? "shard-missing" : "shard-unreadable",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = shard->file_name,
                            .remedy = is_missing ? "download the file" : "check the file and its permissions"};
    const char *format = !is_missing                      ? "%s cannot be read"
                         : is_link(dir, shard->file_name) ? "%s is a link to a file that does not exist"
                                                          : "the index names %s, which is not in the directory";
    lf_findings_add(&shard->findings, &args, format, shard->file_name);
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
        shard->is_refused = true;
        report_unopened(shard, dir, status == LF_ERR_NOT_FOUND);
        return;
    }
    close(shard->mapping.fd); // the mapping stays; hundreds of shards must not use up the file descriptors
    shard->mapping.fd = -1;
    lf__safetensors_read(shard, shard->mapping.data, shard->mapping.bytes);
}

typedef struct gathering {
    const char **names;            // OWNED, as the two below; of the tensors of all shards, shard by shard in order
    const lf_stored_tensor **from; // BORROWED from the shards
    uint32_t *order;
    lf_stored_tensor *to;
} gathering;

static void copy_tensors(void *ctx, size_t begin, size_t end, int thread)
{
    const gathering *g = ctx;
    for (size_t i = begin; i < end; i++) g->to[i] = *g->from[g->order[i]];
}

// Large pages for memory that is filled at once: a tenth of the page faults. A hint.
static void advise_large_pages(void *memory, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)memory + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)memory + bytes) / page * page;
    if (memory && begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

// The tensors of all shards become one list in order of name. Each shard's part is sorted already, which the sort
// notices.
static lf_status gather_tensors(lf_checkpoint *ck, lf_error *err)
{
    size_t total = 0, n = 0;
    for (size_t i = 0; i < ck->n_shard; i++) total += ck->shards[i].count;
    gathering g = {.names = lf_realloc_array(NULL, total, sizeof *g.names),
                   .from = lf_realloc_array(NULL, total, sizeof(*g.from)),
                   .order = lf_realloc_array(NULL, total, sizeof *g.order)};
    ck->tensors = g.to = lf_realloc_array(NULL, total, sizeof *g.to);
    bool is_done = g.names && g.from && g.order && g.to;
    advise_large_pages(g.to, total * sizeof *g.to);
    for (size_t i = 0; is_done && i < ck->n_shard; i++) {
        lf__shard *shard = &ck->shards[i];
        for (size_t k = 0; k < shard->count; k++, n++) {
            lf_stored_tensor *tensor = &shard->tensors[shard->order[k]];
            tensor->shard = (uint32_t)i;
            g.names[n] = tensor->name;
            g.from[n] = tensor;
        }
    }
    is_done = is_done && lf_sort_names(g.names, total, g.order);
    if (is_done) {
        lf_par_for(total, 1024, copy_tensors, &g);
        ck->count = total;
    }
    free(g.names);
    free(g.from);
    free(g.order);
    for (size_t i = 0; i < ck->n_shard; i++) {
        lf__shard *shard = &ck->shards[i];
        free(shard->tensors);
        free(shard->order);
        shard->tensors = NULL;
        shard->order = NULL;
        shard->count = shard->capacity = 0;
    }
    return is_done ? LF_OK : lf_error_no_memory(err, 0);
}

// The shards are read: their findings and what lf_checkpoint_shard() shows.
static lf_status view_shards(lf_checkpoint *ck, lf_findings *findings, lf_error *err)
{
    ck->shard_views = calloc(ck->n_shard ? ck->n_shard : 1, sizeof *ck->shard_views);
    if (!ck->shard_views) return lf_error_no_memory(err, ck->n_shard * sizeof *ck->shard_views);
    for (size_t i = 0; i < ck->n_shard; i++) {
        lf__shard *shard = &ck->shards[i];
        lf_findings_append(findings, &shard->findings);
        ck->shard_views[i] = (lf_shard){.file_name = shard->file_name,
                                        .header = shard->header,
                                        .header_bytes = shard->header_bytes,
                                        .file_bytes = shard->mapping.bytes,
                                        .n_tensor = shard->count,
                                        .is_refused = shard->is_refused};
    }
    return findings->failed ? lf_error_no_memory(err, 0) : LF_OK;
}

static int compare_shards(const void *name, const void *shard)
{
    return strcmp(name, ((const lf__shard *)shard)->file_name);
}

static void note_leftovers(const lf_checkpoint *ck, const listing *files, const lf__index *index,
                           const char *index_name, lf_findings *findings)
{
    for (size_t i = 0; i < files->n_shard; i++) {
        const char *name = files->shards[i];
        if (ck->n_shard && bsearch(name, ck->shards, ck->n_shard, sizeof *ck->shards, compare_shards)) continue;
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

// The shards that an index of file set `set` may name: all that are not of the other set. Which of them count is known
// when it is read.
static size_t indexed_files(const listing *files, size_t set, const char **out)
{
    size_t n = 0;
    for (size_t i = 0; i < files->n_shard; i++) {
        bool is_other = false;
        for (size_t k = 0; k < LF_ARRAY_LENGTH(file_sets); k++) {
            const file_set *other = &file_sets[k];
            is_other |= k != set && (strncmp(files->shards[i], other->prefix, strlen(other->prefix)) == 0 ||
                                     strcmp(files->shards[i], other->single) == 0);
        }
        if (!is_other) out[n++] = files->shards[i];
    }
    return n;
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
    if (lf_is_lfs_pointer((const char *)mapping.data, mapping.bytes)) {
        args.code = "lfs-pointer";
        args.remedy = "fetch the data itself: git lfs pull, or download with huggingface-cli";
        lf_findings_add(findings, &args, "%s is a Git LFS pointer, not the data", name);
    } else if (mapping.bytes > LF__MAX_INDEX_BYTES) {
        lf_findings_add(findings, &args, "%s is larger than %d bytes", name, LF__MAX_INDEX_BYTES);
    } else {
        is_read = lf__index_read(index, &ck->names, (const char *)mapping.data, mapping.bytes, name, findings);
    }
    lf_mapping_close(&mapping);
    return is_read;
}

// Files that are read side by side: the index, and every shard that it may name.
typedef struct reading {
    lf_checkpoint *ck;
    const char *index_name; // NULL: there is none
    lf__index index;
    bool has_index; // it was read
    lf_findings *findings;
    lf__shard *shards; // OWNED, one per file that was read
    size_t n_shard;
} reading;

static void read_files(void *ctx, size_t begin, size_t end, int thread)
{
    reading *r = ctx;
    for (size_t i = begin; i < end; i++) {
        if (i > 0) {
            open_shard_file(&r->shards[i - 1], r->ck->dir);
        } else if (r->index_name) { // the longest piece of work: first
            r->has_index = load_index(r->ck, &r->index, r->index_name, r->findings);
        }
    }
}

static lf_status read_all(reading *r, const char *const *files, size_t n, lf_error *err)
{
    r->shards = calloc(n ? n : 1, sizeof *r->shards);
    if (!r->shards) return lf_error_no_memory(err, n * sizeof *r->shards);
    r->n_shard = n;
    for (size_t i = 0; i < n; i++) {
        r->shards[i].file_name = files[i];
        r->shards[i].mapping.fd = -1;
    }
    lf_par_for_dynamic(n + 1, 1, read_files, r);
    return LF_OK;
}

static void drop_shards(reading *r)
{
    for (size_t i = 0; i < r->n_shard; i++) lf__shard_fini(&r->shards[i]);
    free(r->shards);
    r->shards = NULL;
    r->n_shard = 0;
}

// The shards that were read become the checkpoint's: those in `files`, in this order. A file that was not read is not
// in the directory, or has no name that one expects of a shard.
static lf_status take_shards(reading *r, const char *const *files, size_t n, lf_error *err)
{
    lf_checkpoint *ck = r->ck;
    ck->shards = calloc(n ? n : 1, sizeof *ck->shards);
    if (!ck->shards) return lf_error_no_memory(err, n * sizeof *ck->shards);
    ck->n_shard = n;
    for (size_t i = 0; i < n; i++) {
        lf__shard *known = r->n_shard ? bsearch(files[i], r->shards, r->n_shard, sizeof *known, compare_shards) : NULL;
        if (known) {
            ck->shards[i] = *known;
            *known =
                (lf__shard){.file_name = known->file_name, .mapping.fd = -1}; // emptied; files stand once in `files`
        } else {
            ck->shards[i] = (lf__shard){.file_name = files[i], .mapping.fd = -1};
            open_shard_file(&ck->shards[i], ck->dir);
        }
    }
    drop_shards(r);
    return LF_OK;
}

// Chooses the file set, reads its files and joins the shards with the index.
static lf_status open_files(lf_checkpoint *ck, const listing *files, lf_findings *findings, lf_error *err)
{
    reading r = {.ck = ck, .findings = findings};
    lf_status status = LF_OK;
    size_t n = 0, at = 0;
    const char **chosen = lf_realloc_array(NULL, files->n_shard, sizeof *chosen);
    if (!chosen) return lf_error_no_memory(err, 0);
    for (; at < LF_ARRAY_LENGTH(file_sets) && n == 0 && !r.index_name; at++) {
        r.index_name = files->has_index[at] ? file_sets[at].index : NULL;
        n = r.index_name ? indexed_files(files, at, chosen)
                         : unindexed_files(files, &file_sets[at], chosen, findings, false);
    }
    if (n == 0 && !r.index_name) {
        status = nothing_here(ck, files, err);
        goto out;
    }
    status = read_all(&r, chosen, n, err);
    if (status) goto out;
    if (r.index_name && !r.has_index) { // a broken index: what it would have named is still looked at
        n = unindexed_files(files, &file_sets[at - 1], chosen, findings, true);
    }
    status = r.has_index ? take_shards(&r, r.index.files, r.index.n_file, err) : take_shards(&r, chosen, n, err);
    if (!status) status = view_shards(ck, findings, err);
    if (!status) status = gather_tensors(ck, err);
    if (status) goto out;
    lf__join_index(ck, r.has_index ? &r.index : NULL, findings);
    note_leftovers(ck, files, r.has_index ? &r.index : NULL, r.index_name, findings);
    if (findings->failed) status = lf_error_no_memory(err, 0);

out:
    drop_shards(&r);
    free(chosen);
    lf__index_fini(&r.index);
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
