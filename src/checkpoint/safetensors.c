// SPDX-License-Identifier: Apache-2.0
//
// A shard's header. The layout of the file:
//
//   offset 0       8             8 + N                          end of file
//          | N u64 | JSON header | tensor data, no gaps, no rest |
//
// The reader is strict: what it accepts is laid out so that every byte of the file belongs to exactly one tensor, and
// every tensor has exactly the bytes that its shape and dtype need. It is stricter than the reference reader in a few
// places (duplicate names, tensors written as arrays), because there the reference loses data silently. Each rule has
// its own finding code; a shard with one error gives no tensors.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"

static const char damaged[] = "download or write the file again";
static const char malformed[] = "the tool that wrote the file is at fault: write it again with the safetensors library";

// The sentence of a finding is the rest of the arguments.
#define REFUSE(shard, code_, subject_, remedy_, ...)                                                                   \
    lf_findings_add(&(shard)->findings,                                                                                \
                    &(lf_finding_args){                                                                                \
                        .code = (code_), .severity = LF_SEVERITY_ERROR, .subject = (subject_), .remedy = (remedy_)},   \
                    __VA_ARGS__)
#define WARN(shard, code_, subject_, remedy_, ...)                                                                     \
    lf_findings_add(&(shard)->findings,                                                                                \
                    &(lf_finding_args){                                                                                \
                        .code = (code_), .severity = LF_SEVERITY_WARNING, .subject = (subject_), .remedy = (remedy_)}, \
                    __VA_ARGS__)

// An error with both sides of a comparison.
static void refuse_mismatch(lf__shard *shard, const char *code, const char *subject, const char *remedy,
                            const char *message, const char *expected, const char *found)
{
    lf_finding_args args = {.code = code,
                            .severity = LF_SEVERITY_ERROR,
                            .subject = subject,
                            .expected = expected,
                            .found = found,
                            .remedy = remedy};
    lf_findings_add(&shard->findings, &args, "%s: '%s' in %s", message, subject, shard->file_name);
}

// Files that are often found under a shard's name. Their first bytes are no possible header length.
static bool is_something_else(lf__shard *shard, const uint8_t *data, size_t bytes)
{
    static const struct {
        const char *start, *code, *what, *remedy;
    } kinds[] = {
        {"version https://git-lfs", "lfs-pointer", "a Git LFS pointer, not the data",
         "fetch the data itself: git lfs pull, or download with huggingface-cli"},
        {"<", "html-page", "an HTML or XML page, not a shard", "the download returned an error page: download again"},
        {"PK\003\004", "not-safetensors", "a zip archive (a PyTorch .bin file?)",
         "use the safetensors files of the model"},
        {"GGUF", "not-safetensors", "a GGUF file", "use the safetensors files of the model"},
        {"\x93NUMPY", "not-safetensors", "a NumPy file", "use the safetensors files of the model"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(kinds); i++) {
        size_t length = strlen(kinds[i].start);
        if (bytes < length || memcmp(data, kinds[i].start, length) != 0) continue;
        REFUSE(shard, kinds[i].code, shard->file_name, kinds[i].remedy, "%s is %s", shard->file_name, kinds[i].what);
        return true;
    }
    return false;
}

static bool find_header(lf__shard *shard, const uint8_t *data, size_t bytes)
{
    char expected[64], found[64];
    uint64_t length = 0;
    for (int i = 7; bytes >= 8 && i >= 0; i--) length = length << 8 | data[i];
    if ((bytes < 8 || length > LF__MAX_HEADER_BYTES) && is_something_else(shard, data, bytes)) return false;
    if (bytes < 8) {
        snprintf(found, sizeof found, "%zu bytes", bytes);
        refuse_mismatch(shard, "header-too-small", shard->file_name, damaged, "no room for the header's length",
                        "at least 8 bytes", found);
        return false;
    }
    if (length > LF__MAX_HEADER_BYTES) {
        snprintf(expected, sizeof expected, "at most %d bytes", LF__MAX_HEADER_BYTES);
        snprintf(found, sizeof found, "%llu bytes", (unsigned long long)length);
        refuse_mismatch(shard, "header-too-large", shard->file_name,
                        "the file is damaged or no safetensors file: check its source", "header length out of range",
                        expected, found);
        return false;
    }
    if (length > bytes - 8) {
        snprintf(expected, sizeof expected, "%llu bytes for the header", (unsigned long long)length);
        snprintf(found, sizeof found, "%zu bytes after the length", bytes - 8);
        refuse_mismatch(shard, "header-truncated", shard->file_name, damaged, "the file ends inside its header",
                        expected, found);
        return false;
    }
    shard->header = data + 8;
    shard->header_bytes = (size_t)length;
    return true;
}

// One tensor's entry while it is read. A problem with a value does not stop the reading of the header.
typedef struct entry {
    lf_stored_tensor tensor;
    uint64_t begin, end; // data_offsets
    size_t n_dim;        // may exceed LF_MAX_RANK
    bool has_dtype, has_shape, has_offsets;
    bool is_bad; // reported already
} entry;

static void refuse_entry(lf__shard *shard, entry *e, const char *what)
{
    if (!e->is_bad) {
        REFUSE(shard, "entry-invalid", e->tensor.name, malformed, "the entry of tensor '%s' in %s is malformed: %s",
               e->tensor.name, shard->file_name, what);
    }
    e->is_bad = true;
}

// Goes back to `start` and over the whole value there, because it was not what the field needs.
static bool skip_misfit(lf__shard *shard, lf__pull *pull, entry *e, const char *start, const char *what)
{
    if (pull->problem) return false;
    pull->at = start;
    if (!lf__pull_skip(pull)) return false;
    refuse_entry(shard, e, what);
    return true;
}

static bool read_dtype(lf__shard *shard, lf__pull *pull, entry *e)
{
    lf__text name;
    if (lf__pull_peek(pull) != '"') return skip_misfit(shard, pull, e, pull->at, "dtype is not a string");
    if (!lf__pull_string(pull, &name)) return false;
    if (lf_dtype_from_name(name.bytes, name.length, &e->tensor.dtype)) return true;
    REFUSE(shard, "unknown-dtype", e->tensor.name, "use a newer Landfall, or convert the tensor to a known dtype",
           "unknown dtype '%.*s' of tensor '%s' in %s", (int)LF_MIN(name.length, 40u), name.bytes, e->tensor.name,
           shard->file_name);
    e->is_bad = true;
    return true;
}

static bool read_shape(lf__shard *shard, lf__pull *pull, entry *e)
{
    static const char misfit[] = "shape is not an array of non-negative integers below 2^64";
    bool is_first = true;
    char next = lf__pull_peek(pull);
    const char *start = pull->at;
    if (next != '[') return skip_misfit(shard, pull, e, start, misfit);
    lf__pull_open(pull, '[');
    while (lf__pull_element(pull, &is_first)) {
        uint64_t dim;
        if (!lf__pull_u64(pull, &dim)) return skip_misfit(shard, pull, e, start, misfit);
        if (dim > INT64_MAX) {
            REFUSE(shard, "shape-overflow", e->tensor.name, malformed, "a dimension of tensor '%s' in %s is above 2^63",
                   e->tensor.name, shard->file_name);
            e->is_bad = true; // told: the value is only skipped
            return skip_misfit(shard, pull, e, start, misfit);
        }
        if (e->n_dim < LF_MAX_RANK) e->tensor.shape[e->n_dim] = (int64_t)dim;
        e->n_dim++;
    }
    return !pull->problem;
}

static bool read_offsets(lf__shard *shard, lf__pull *pull, entry *e)
{
    static const char misfit[] = "data_offsets is not an array of two non-negative integers";
    bool is_first = true;
    uint64_t values[2] = {0};
    size_t n = 0;
    char next = lf__pull_peek(pull);
    const char *start = pull->at;
    if (next != '[') return skip_misfit(shard, pull, e, start, misfit);
    lf__pull_open(pull, '[');
    while (lf__pull_element(pull, &is_first)) {
        if (n == 2 || !lf__pull_u64(pull, &values[n])) return skip_misfit(shard, pull, e, start, misfit);
        n++;
    }
    if (pull->problem) return false;
    if (n != 2) refuse_entry(shard, e, misfit);
    e->begin = values[0];
    e->end = values[1];
    return true;
}

static bool read_field(lf__shard *shard, lf__pull *pull, entry *e, lf__text key)
{
    bool is_dtype = lf__text_is(key, "dtype"), is_shape = lf__text_is(key, "shape");
    bool *seen = is_dtype                           ? &e->has_dtype
                 : is_shape                         ? &e->has_shape
                 : lf__text_is(key, "data_offsets") ? &e->has_offsets
                                                    : NULL;
    if (!seen) {
        WARN(shard, "unknown-field", e->tensor.name, NULL, "tensor '%s' in %s has an unknown field '%.*s', ignored",
             e->tensor.name, shard->file_name, (int)LF_MIN(key.length, 40u), key.bytes);
        return lf__pull_skip(pull);
    }
    if (*seen) {
        refuse_entry(shard, e, "a field stands there twice");
        return lf__pull_skip(pull);
    }
    *seen = true;
    return is_dtype ? read_dtype(shard, pull, e) : is_shape ? read_shape(shard, pull, e) : read_offsets(shard, pull, e);
}

// The entry's own rules: rank, size, order of its offsets.
static void check_entry(lf__shard *shard, entry *e)
{
    lf_stored_tensor *tensor = &e->tensor;
    char expected[224], found[96];
    if (!e->has_dtype || !e->has_shape || !e->has_offsets) {
        refuse_entry(shard, e, !e->has_dtype ? "no dtype" : !e->has_shape ? "no shape" : "no data_offsets");
    }
    if (e->is_bad) return;
    e->is_bad = true; // unless everything below passes
    if (e->n_dim > LF_MAX_RANK) {
        snprintf(expected, sizeof expected, "at most %d dimensions", LF_MAX_RANK);
        snprintf(found, sizeof found, "%zu dimensions", e->n_dim);
        refuse_mismatch(shard, "rank-too-large", tensor->name, malformed, "too many dimensions", expected, found);
        return;
    }
    tensor->rank = (uint8_t)e->n_dim;
    uint64_t n = 1, bits;
    bool is_overflow = false;
    for (size_t i = 0; i < e->n_dim; i++) is_overflow |= __builtin_mul_overflow(n, (uint64_t)tensor->shape[i], &n);
    is_overflow |= __builtin_mul_overflow(n, (uint64_t)lf_dtype_bits(tensor->dtype), &bits);
    if (is_overflow) {
        REFUSE(shard, "shape-overflow", tensor->name, malformed,
               "the size of tensor '%s' in %s does not fit in 64 bits", tensor->name, shard->file_name);
        return;
    }
    if (bits % 8) {
        REFUSE(shard, "sub-byte-alignment", tensor->name, malformed,
               "tensor '%s' in %s does not fill whole bytes: %llu bits", tensor->name, shard->file_name,
               (unsigned long long)bits);
        return;
    }
    if (e->begin > e->end) {
        snprintf(found, sizeof found, "[%llu, %llu]", (unsigned long long)e->begin, (unsigned long long)e->end);
        refuse_mismatch(shard, "offsets-reversed", tensor->name, malformed, "data ends before it begins",
                        "begin <= end", found);
        return;
    }
    if (e->end - e->begin != bits / 8) {
        char shape[128];
        lf_stored_tensor_format(tensor, shape, sizeof shape);
        snprintf(expected, sizeof expected, "%llu bytes for %s", (unsigned long long)(bits / 8), shape);
        snprintf(found, sizeof found, "%llu bytes", (unsigned long long)(e->end - e->begin));
        refuse_mismatch(shard, "size-mismatch", tensor->name, malformed, "data size does not match shape and dtype",
                        expected, found);
        return;
    }
    tensor->file_off = e->begin; // from the start of the data until place_data()
    tensor->bytes = e->end - e->begin;
    e->is_bad = false;
}

// The key of a tensor becomes its name. false when the header cannot be read on.
static bool take_name(lf__shard *shard, lf__pull *pull, lf__text key, entry *e)
{
    if (key.length > LF__MAX_NAME_BYTES) {
        REFUSE(shard, "name-too-long", shard->file_name, malformed, "a tensor name in %s has %zu bytes, more than %d",
               shard->file_name, key.length, LF__MAX_NAME_BYTES);
        e->is_bad = true;
        key.length = 60;
    } else if (memchr(key.bytes, '\0', key.length)) {
        REFUSE(shard, "name-nul", shard->file_name, malformed, "a tensor name in %s holds a NUL character: '%.*s...'",
               shard->file_name, (int)LF_MIN(strlen(key.bytes), 60u), key.bytes);
        e->is_bad = true;
        key.length = strlen(key.bytes);
    } else if (key.length == 0) {
        WARN(shard, "name-empty", shard->file_name, NULL, "%s holds a tensor without a name", shard->file_name);
    }
    e->tensor.name = lf__arena_copy(&shard->names, key);
    if (e->tensor.name) return true;
    pull->no_memory = true;
    return lf__pull_fail(pull, "out of memory");
}

static bool read_entry(lf__shard *shard, lf__pull *pull, lf__text key)
{
    entry e = {0};
    bool is_first = true;
    if (!take_name(shard, pull, key, &e)) return false;
    if (lf__pull_peek(pull) != '{') return skip_misfit(shard, pull, &e, pull->at, "it is not an object");
    lf__pull_open(pull, '{');
    while (lf__pull_member(pull, &is_first, &key)) {
        if (!read_field(shard, pull, &e, key)) return false;
    }
    if (pull->problem) return false;
    check_entry(shard, &e);
    if (e.is_bad) return true;
    if (!lf_array_grow((void **)&shard->tensors, &shard->capacity, shard->count + 1, sizeof *shard->tensors)) {
        pull->no_memory = true;
        return lf__pull_fail(pull, "out of memory");
    }
    shard->tensors[shard->count++] = e.tensor;
    return true;
}

// The keys of __metadata__, to see whether one stands there twice.
typedef struct key_list {
    const char **items; // OWNED
    size_t count, capacity;
    lf__arena text;
} key_list;

static bool add_key(key_list *keys, lf__pull *pull, lf__text key)
{
    const char *copy = lf__arena_copy(&keys->text, key);
    if (copy && lf_array_grow((void **)&keys->items, &keys->capacity, keys->count + 1, sizeof *keys->items)) {
        keys->items[keys->count++] = copy;
        return true;
    }
    pull->no_memory = true;
    return lf__pull_fail(pull, "out of memory");
}

static void check_keys(lf__shard *shard, const key_list *keys)
{
    uint32_t *order = lf_realloc_array(NULL, keys->count, sizeof *order);
    if (!order || !lf_sort_names(keys->items, keys->count, order)) shard->findings.failed = true;
    for (size_t i = 1; !shard->findings.failed && i < keys->count; i++) {
        const char *key = keys->items[order[i]];
        if (strcmp(key, keys->items[order[i - 1]]) != 0) continue;
        WARN(shard, "metadata-duplicate-key", shard->file_name, NULL, "__metadata__ of %s holds the key '%.60s' twice",
             shard->file_name, key);
    }
    free(order);
}

static bool read_metadata_members(lf__pull *pull, key_list *keys, bool *is_bad)
{
    lf__text key, value;
    bool is_first = true;
    lf__pull_open(pull, '{');
    while (lf__pull_member(pull, &is_first, &key)) {
        key.length = LF_MIN(key.length, (size_t)LF__MAX_NAME_BYTES);
        if (!add_key(keys, pull, key)) return false;
        bool is_string = lf__pull_peek(pull) == '"';
        *is_bad |= !is_string;
        if (!(is_string ? lf__pull_string(pull, &value) : lf__pull_skip(pull))) return false;
    }
    return !pull->problem;
}

static bool read_metadata(lf__shard *shard, lf__pull *pull)
{
    char next = lf__pull_peek(pull);
    bool is_bad = next != '{';
    if (next == 'n') {
        WARN(shard, "metadata-null", shard->file_name, NULL, "__metadata__ of %s is null instead of an object",
             shard->file_name);
        return lf__pull_skip(pull);
    }
    key_list keys = {0};
    bool is_read = is_bad ? lf__pull_skip(pull) : read_metadata_members(pull, &keys, &is_bad);
    if (is_read) check_keys(shard, &keys);
    free(keys.items);
    lf__arena_fini(&keys.text);
    if (is_read && is_bad) {
        REFUSE(shard, "metadata-invalid", shard->file_name, malformed, "__metadata__ of %s is not an object of strings",
               shard->file_name);
    }
    return is_read;
}

static bool read_members(lf__shard *shard, lf__pull *pull)
{
    lf__text key;
    bool is_first = true, has_metadata = false;
    if (!lf__pull_open(pull, '{')) return false;
    while (lf__pull_member(pull, &is_first, &key)) {
        if (!lf__text_is(key, "__metadata__")) {
            if (!read_entry(shard, pull, key)) return false;
            continue;
        }
        if (has_metadata) {
            REFUSE(shard, "metadata-duplicate", shard->file_name, malformed, "__metadata__ stands in %s twice",
                   shard->file_name);
        }
        has_metadata = true;
        if (!read_metadata(shard, pull)) return false;
    }
    return !pull->problem;
}

// Where the white space around the object is not what the specification says.
static void check_padding(lf__shard *shard, const char *text, size_t length, const char *object_end)
{
    bool is_odd = length > 0 && text[0] != '{';
    for (const char *at = object_end; at < text + length; at++) is_odd |= *at != ' ';
    if (is_odd) {
        WARN(shard, "header-padding", shard->file_name, NULL,
             "the header of %s is padded with something else than trailing spaces", shard->file_name);
    }
}

static bool read_json(lf__shard *shard)
{
    const char *text = (const char *)shard->header;
    size_t length = shard->header_bytes, bad = lf__utf8_bad_offset(text, length);
    if (bad < length) {
        REFUSE(shard, "header-utf8", shard->file_name, damaged, "the header of %s is not UTF-8 at byte %zu",
               shard->file_name, bad + 8);
        return false;
    }
    lf__pull pull;
    lf__pull_init(&pull, text, length);
    // An entry takes about 120 bytes; the list grows where that is too few.
    if (lf_array_grow((void **)&shard->tensors, &shard->capacity, length / 120 + 1, sizeof *shard->tensors)) {
        shard->count = 0;
    } else {
        pull.no_memory = true;
    }
    bool is_read = !pull.no_memory && read_members(shard, &pull);
    const char *object_end = pull.at;
    is_read = is_read && lf__pull_finish(&pull);
    if (is_read) check_padding(shard, text, length, object_end);
    if (pull.no_memory) {
        shard->findings.failed = true;
    } else if (!is_read) {
        REFUSE(shard, "header-json", shard->file_name, malformed, "the header of %s is not valid JSON at byte %zu: %s",
               shard->file_name, pull.problem_off + 8, pull.problem);
    }
    lf__pull_fini(&pull);
    return is_read;
}

// Finds the order of the tensors' names and reports names that stand there twice.
static bool sort_tensors(lf__shard *shard)
{
    size_t n = shard->count;
    if (n == 0) return true;
    const char **names = lf_realloc_array(NULL, n, sizeof *names);
    shard->order = lf_realloc_array(NULL, n, sizeof *shard->order);
    bool is_done = names && shard->order;
    for (size_t i = 0; is_done && i < n; i++) names[i] = shard->tensors[i].name;
    is_done = is_done && lf_sort_names(names, n, shard->order);
    for (size_t i = 1; is_done && i < n; i++) {
        const char *name = names[shard->order[i]];
        if (strcmp(name, names[shard->order[i - 1]]) != 0) continue;
        REFUSE(shard, "duplicate-tensor", name, malformed, "tensor '%s' stands in the header of %s twice", name,
               shard->file_name);
    }
    free(names);
    return is_done;
}

static int compare_places(const void *a, const void *b)
{
    const lf_stored_tensor *x = *(const lf_stored_tensor *const *)a, *y = *(const lf_stored_tensor *const *)b;
    if (x->file_off != y->file_off) return x->file_off < y->file_off ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// Reports a place where the data of the next tensor does not begin where the data before it ends.
static void refuse_gap(lf__shard *shard, const lf_stored_tensor *before, const lf_stored_tensor *tensor, uint64_t end)
{
    char expected[64], found[64];
    snprintf(expected, sizeof expected, "data at offset %llu", (unsigned long long)end);
    snprintf(found, sizeof found, "offset %llu", (unsigned long long)tensor->file_off);
    lf_finding_args args = {.code = tensor->file_off > end ? "data-hole" : "data-overlap",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = tensor->name,
                            .expected = expected,
                            .found = found,
                            .remedy = malformed};
    if (tensor->file_off > end) {
        lf_findings_add(&shard->findings, &args, "no tensor covers the data before '%s' in %s", tensor->name,
                        shard->file_name);
    } else {
        lf_findings_add(&shard->findings, &args, "the data of '%s' overlaps that of '%s' in %s", tensor->name,
                        before->name, shard->file_name);
    }
}

// Whether the tensors stand in the header as in the data and cover it exactly: what every writer does.
static bool is_contiguous(const lf__shard *shard, uint64_t data_bytes)
{
    uint64_t end = 0;
    for (size_t i = 0; i < shard->count; i++) {
        if (shard->tensors[i].file_off != end) return false;
        end += shard->tensors[i].bytes; // cannot overflow: this is the end of a data_offsets
    }
    return end == data_bytes;
}

// Rule 4 of the format: sorted by offset, the tensors cover the data exactly.
static bool check_coverage(lf__shard *shard, uint64_t data_bytes)
{
    if (is_contiguous(shard, data_bytes)) return true;
    size_t n = shard->count;
    lf_stored_tensor **places = lf_realloc_array(NULL, n, sizeof *places);
    if (!places) return false;
    for (size_t i = 0; i < n; i++) places[i] = &shard->tensors[i];
    if (n) qsort(places, n, sizeof(*places), compare_places);
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (places[i]->file_off != end) refuse_gap(shard, i ? places[i - 1] : places[i], places[i], end);
        end = LF_MAX(end, places[i]->file_off + places[i]->bytes);
    }
    free(places);
    if (end != data_bytes) {
        char expected[64], found[64];
        uint64_t before = 8 + shard->header_bytes, promised;
        if (__builtin_add_overflow(before, end, &promised)) promised = UINT64_MAX;
        snprintf(expected, sizeof expected, "%llu bytes", (unsigned long long)promised);
        snprintf(found, sizeof found, "%llu bytes", (unsigned long long)(before + data_bytes));
        bool is_short = end > data_bytes;
        refuse_mismatch(shard, is_short ? "data-truncated" : "data-trailing", shard->file_name,
                        is_short ? "the download was interrupted: download the file again" : damaged,
                        is_short ? "the file is shorter than its header says"
                                 : "the file holds data that no tensor covers at its end",
                        expected, found);
    }
    return true;
}

void lf__safetensors_read(lf__shard *shard, const uint8_t *data, size_t bytes)
{
    bool has_memory = true;
    if (find_header(shard, data, bytes) && read_json(shard)) {
        size_t data_off = 8 + shard->header_bytes;
        has_memory = sort_tensors(shard);
        if (has_memory && shard->findings.n_error == 0) has_memory = check_coverage(shard, bytes - data_off);
        for (size_t i = 0; shard->findings.n_error == 0 && i < shard->count; i++) {
            lf_stored_tensor *tensor = &shard->tensors[i];
            tensor->file_off += data_off;
            tensor->data = tensor->bytes ? data + tensor->file_off : NULL;
        }
    }
    if (!has_memory) shard->findings.failed = true;
    if (shard->findings.n_error || shard->findings.failed) {
        shard->is_refused = true;
        shard->count = 0;
    }
}

void lf__shard_fini(lf__shard *shard)
{
    if (shard->mapping.data) lf_mapping_close(&shard->mapping);
    free(shard->tensors);
    free(shard->order);
    lf__arena_fini(&shard->names);
    lf_findings_fini(&shard->findings);
    *shard = (lf__shard){0};
}
