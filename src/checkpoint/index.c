// SPDX-License-Identifier: Apache-2.0
//
// The index file: {"metadata": {...}, "weight_map": {tensor: file}}. The index is the list of a checkpoint's files, so
// its file names must stay inside the directory. metadata.total_size is known to be wrong in published checkpoints and
// is only noted.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"

typedef struct reader {
    lf__index *index;
    lf__arena *arena;
    lf__pull pull;
    const char *subject;
    lf_findings *findings;
    const char *last_file; // names of one shard mostly follow each other
    size_t last_length;
    uint32_t last_id;
    uint32_t *by_name; // OWNED
    size_t by_name_capacity;
} reader;

#define REFUSE(r, code_, remedy_, ...)                                                                                 \
    lf_findings_add((r)->findings,                                                                                     \
                    &(lf_finding_args){                                                                                \
                        .code = (code_), .severity = LF_SEVERITY_ERROR, .subject = (r)->subject, .remedy = (remedy_)}, \
                    __VA_ARGS__)

static bool no_memory(reader *r)
{
    r->pull.no_memory = true;
    return lf__pull_fail(&r->pull, "out of memory");
}

// A plain name in the same directory that ends like a shard.
static bool is_plain_file_name(lf__text file)
{
    static const char suffix[] = ".safetensors";
    size_t suffix_length = sizeof suffix - 1;
    if (file.length <= suffix_length || file.length > 255) return false;
    if (memcmp(file.bytes + file.length - suffix_length, suffix, suffix_length) != 0) return false;
    for (size_t i = 0; i < file.length; i++) {
        char c = file.bytes[i];
        if (c == '/' || c == '\\' || (unsigned char)c < 0x20) return false;
    }
    return file.bytes[0] != '.';
}

static int compare_file(const char *file, lf__text text)
{
    int order = strncmp(file, text.bytes, text.length);
    return order ? order : file[text.length] != '\0';
}

// Finds or adds the file; `by_name` holds the numbers of the files (order of first appearance) in order of name.
static bool intern_file(reader *r, lf__text text, uint32_t *id)
{
    lf__index *index = r->index;
    r->last_length = text.length;
    size_t low = 0, high = index->n_file;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_file(index->files[r->by_name[middle]], text);
        if (order == 0) {
            *id = r->last_id = r->by_name[middle];
            r->last_file = index->files[*id];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (index->n_file == LF__MAX_SHARDS) {
        REFUSE(r, "index-too-many-shards", NULL, "%s names more than %d files", r->subject, LF__MAX_SHARDS);
        return lf__pull_fail(&r->pull, "too many files");
    }
    const char *copy = lf__arena_copy(r->arena, text);
    if (!copy ||
        !lf_array_grow((void **)&index->files, &index->file_capacity, index->n_file + 1, sizeof *index->files) ||
        !lf_array_grow((void **)&r->by_name, &r->by_name_capacity, index->n_file + 1, sizeof *r->by_name)) {
        return no_memory(r);
    }
    memmove(r->by_name + low + 1, r->by_name + low, (index->n_file - low) * sizeof *r->by_name);
    r->by_name[low] = (uint32_t)index->n_file;
    index->files[index->n_file] = copy;
    r->last_file = copy;
    *id = r->last_id = (uint32_t)index->n_file++;
    return true;
}

// Numbers the files in order of name.
static bool sort_files(reader *r)
{
    lf__index *index = r->index;
    size_t n = index->n_file;
    if (n == 0) return true;
    const char **sorted = lf_realloc_array(NULL, n, sizeof *sorted);
    uint32_t *rank = lf_realloc_array(NULL, n, sizeof *rank);
    bool is_done = sorted && rank;
    for (size_t i = 0; is_done && i < n; i++) {
        sorted[i] = index->files[r->by_name[i]];
        rank[r->by_name[i]] = (uint32_t)i;
    }
    for (size_t i = 0; is_done && i < index->count; i++) index->entries[i].file = rank[index->entries[i].file];
    if (is_done) memcpy(index->files, sorted, n * sizeof *sorted);
    free(sorted);
    free(rank);
    return is_done;
}

// Whether the next string is, letter by letter, the file of the entry before; it is then consumed.
static bool repeats_last_file(reader *r)
{
    lf__pull *pull = &r->pull;
    size_t length = r->last_length;
    if (!r->last_file || (size_t)(pull->end - pull->at) < length + 2) return false;
    if (memcmp(pull->at + 1, r->last_file, length) != 0 || pull->at[length + 1] != '"') return false;
    pull->at += length + 2;
    return true;
}

static bool add_entry(reader *r, const char *name, uint32_t file)
{
    lf__index *index = r->index;
    if (!lf_array_grow((void **)&index->entries, &index->capacity, index->count + 1, sizeof *index->entries)) {
        return no_memory(r);
    }
    index->entries[index->count++] = (lf__index_entry){name, file};
    return true;
}

static bool read_mapping(reader *r, lf__text name)
{
    lf__text file;
    uint32_t id = 0;
    bool is_bad = false;
    if (name.length > LF__MAX_NAME_BYTES || memchr(name.bytes, '\0', name.length)) {
        REFUSE(r, "index-entry", NULL, "a tensor name in %s is longer than %d bytes or holds a NUL character",
               r->subject, LF__MAX_NAME_BYTES);
        is_bad = true;
        name.length = 0;
    }
    const char *copy = lf__arena_copy(r->arena, name);
    if (!copy) return no_memory(r);
    if (lf__pull_peek(&r->pull) != '"') {
        REFUSE(r, "index-entry", NULL, "%s maps '%s' to something else than a file name", r->subject, copy);
        return lf__pull_skip(&r->pull);
    }
    if (repeats_last_file(r)) return is_bad || add_entry(r, copy, r->last_id);
    if (!lf__pull_string(&r->pull, &file)) return false;
    if (!is_plain_file_name(file)) {
        REFUSE(r, "index-path", "an index may only name .safetensors files of its own directory: check its source",
               "%s maps '%s' to '%.*s', which is not a plain shard name", r->subject, copy,
               (int)LF_MIN(strnlen(file.bytes, file.length), 100u), file.bytes);
        is_bad = true;
    }
    if (is_bad) return true;
    if (!intern_file(r, file, &id)) return false;
    if (memchr(file.bytes, '"', file.length)) r->last_file = NULL; // its text is not its letters
    return add_entry(r, copy, id);
}

static bool read_metadata(reader *r)
{
    lf__text key;
    bool is_first = true;
    if (lf__pull_peek(&r->pull) != '{') return lf__pull_skip(&r->pull);
    lf__pull_open(&r->pull, '{');
    while (lf__pull_member(&r->pull, &is_first, &key)) {
        lf__index *index = r->index;
        if (lf__text_is(key, "total_size") && lf__pull_u64(&r->pull, &index->total_size)) {
            index->has_total_size = true;
        } else if (!lf__pull_skip(&r->pull)) {
            return false;
        }
    }
    return !r->pull.problem;
}

static bool read_members(reader *r)
{
    lf__text key;
    bool is_first = true, has_map = false;
    if (!lf__pull_open(&r->pull, '{')) return false;
    while (lf__pull_member(&r->pull, &is_first, &key)) {
        if (lf__text_is(key, "metadata")) {
            if (!read_metadata(r)) return false;
        } else if (lf__text_is(key, "weight_map")) {
            if (has_map) return lf__pull_fail(&r->pull, "a second weight_map");
            has_map = true;
            bool is_first_name = true;
            if (!lf__pull_open(&r->pull, '{')) return false;
            while (lf__pull_member(&r->pull, &is_first_name, &key)) {
                if (!read_mapping(r, key)) return false;
            }
        } else if (!lf__pull_skip(&r->pull)) {
            return false;
        }
    }
    if (!lf__pull_finish(&r->pull)) return false;
    return has_map || lf__pull_fail(&r->pull, "no weight_map");
}

// Entries in order of name, each once.
static bool sort_entries(reader *r)
{
    lf__index *index = r->index;
    size_t n = index->count, kept = 0;
    bool is_done = false;
    if (n == 0) return true;
    const char **names = lf_realloc_array(NULL, n, sizeof *names);
    uint32_t *order = lf_realloc_array(NULL, n, sizeof *order);
    lf__index_entry *sorted = lf_realloc_array(NULL, n, sizeof *sorted);
    if (!names || !order || !sorted) goto out;
    for (size_t i = 0; i < n; i++) names[i] = index->entries[i].name;
    if (!lf_sort_names(names, n, order)) goto out;
    for (size_t i = 0; i < n; i++) {
        lf__index_entry entry = index->entries[order[i]];
        if (kept && strcmp(sorted[kept - 1].name, entry.name) == 0) {
            REFUSE(r, "index-duplicate", "the tool that wrote the index is at fault: write it again",
                   "%s maps tensor '%s' twice", r->subject, entry.name);
            continue;
        }
        sorted[kept++] = entry;
    }
    free(index->entries);
    index->entries = sorted;
    index->count = kept;
    index->capacity = n;
    sorted = NULL;
    is_done = true;

out:
    free(names);
    free(order);
    free(sorted);
    return is_done;
}

bool lf__index_read(lf__index *index, lf__arena *arena, const char *text, size_t length, const char *subject,
                    lf_findings *findings)
{
    *index = (lf__index){0};
    reader r = {.index = index, .arena = arena, .subject = subject, .findings = findings};
    size_t bad = lf__utf8_bad_offset(text, length);
    if (bad < length) {
        REFUSE(&r, "index-json", "download the index again", "%s is not UTF-8 at byte %zu", subject, bad);
        return false;
    }
    lf__pull_init(&r.pull, text, length);
    // An entry takes about 90 bytes; the list grows where that is too few.
    bool is_read = lf_array_grow((void **)&index->entries, &index->capacity, length / 90 + 1, sizeof *index->entries);
    is_read = is_read ? read_members(&r) : no_memory(&r);
    if (is_read) is_read = (sort_files(&r) && sort_entries(&r)) || no_memory(&r);
    if (r.pull.no_memory) {
        findings->failed = true;
    } else if (!is_read) {
        REFUSE(&r, "index-json", "download the index again", "%s is not a valid index at byte %zu: %s", subject,
               r.pull.problem_off, r.pull.problem);
    }
    lf__pull_fini(&r.pull);
    free(r.by_name);
    return is_read;
}

void lf__index_fini(lf__index *index)
{
    free(index->entries);
    free((void *)index->files);
    *index = (lf__index){0};
}
