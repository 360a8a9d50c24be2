// SPDX-License-Identifier: Apache-2.0
//
// The JSON files that change. config.json is edited as text, not parsed and printed: what stays keeps its order, its
// spelling of numbers and its layout byte for byte. The editor walks the members of the top object and of every object
// whose key ends in "_config" (text_config, thinker_config ...), and copies all else. It runs on text that has been
// parsed before, but checks its bounds all the same.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "convert/convert_int.h"

enum { MAX_CONFIG_DEPTH = 32, MAX_KEY_BYTES = 64 };

typedef struct editor {
    const char *text;
    size_t at, length;
    lf_buf *out;
    bool is_params;
    bool has_dtype;
} editor;

static char peek(const editor *e) { return e->at < e->length ? e->text[e->at] : '\0'; }

static void skip_space(editor *e)
{
    while (e->at < e->length && strchr(" \t\r\n", e->text[e->at]) && e->text[e->at]) e->at++;
}

static void skip_string(editor *e)
{
    for (e->at++; e->at < e->length && e->text[e->at] != '"'; e->at++) e->at += e->text[e->at] == '\\';
    e->at = LF_MIN(e->at + 1, e->length);
}

static void skip_value(editor *e)
{
    size_t depth = 0;
    do {
        skip_space(e);
        char c = peek(e);
        if (c == '"') {
            skip_string(e);
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if ((c == '}' || c == ']') && depth > 0) depth--;
        e->at += e->at < e->length;
        if (depth == 0 && !strchr("{}[]", c)) { // a number or a word
            while (e->at < e->length && !strchr(" \t\r\n,]}", e->text[e->at])) e->at++;
        }
    } while (depth > 0 && e->at < e->length);
}

static void copy(editor *e, size_t begin, size_t end) { lf_buf_append(e->out, e->text + begin, end - begin); }

// The character of an escape \uXXXX, when it is ASCII; otherwise one that no key of ours holds.
static char ascii_of_escape(const char *digits)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        const char *place = strchr("0123456789abcdef", digits[i] | 0x20);
        if (!digits[i] || !place) return '?';
        value = value * 16 + (unsigned)(place - "0123456789abcdef");
    }
    return value > 0 && value < 0x80 ? (char)value : '?';
}

// The string at [begin, end), quotes included, as text; "" when it is too long to be one that matters. By hand, for a
// parser can run out of memory, and a key that was not understood would keep a member that has to go.
static void read_key(const editor *e, size_t begin, size_t end, char key[MAX_KEY_BYTES])
{
    size_t n = 0;
    for (size_t at = begin + 1; at + 1 < end; at++) {
        char c = e->text[at];
        if (c == '\\' && at + 2 < end) {
            c = e->text[++at];
            if (c == 'u' && at + 5 < end) {
                c = ascii_of_escape(e->text + at + 1);
                at += 4;
            } else if (strchr("bfnrtu", c)) {
                c = '?';
            }
        }
        if (n + 1 == MAX_KEY_BYTES) {
            key[0] = '\0';
            return;
        }
        key[n++] = c;
    }
    key[n] = '\0';
}

static bool is_any_of(const char *key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(key, names[i]) == 0) return true;
    }
    return false;
}

static bool is_removed(const editor *e, const char *key)
{
    static const char *const of_config[] = {"quantization_config", "compression_config"};
    static const char *const of_params[] = {"quantization", "quantization_config"};
    if (e->is_params) return is_any_of(key, of_params, LF_ARRAY_LENGTH(of_params));
    return is_any_of(key, of_config, LF_ARRAY_LENGTH(of_config));
}

// The parts of a multi-modal config that say what the language model is; a vision tower keeps its own dtype.
static bool is_text_part(const char *key)
{
    static const char *const parts[] = {"text_config", "llm_config", "language_config", "thinker_config"};
    return is_any_of(key, parts, LF_ARRAY_LENGTH(parts));
}

static bool is_dtype_key(const char *key) { return strcmp(key, "torch_dtype") == 0 || strcmp(key, "dtype") == 0; }

static void edit_object(editor *e, int depth, bool is_text);

static void edit_value(editor *e, const char *key, int depth, bool is_text)
{
    size_t begin = e->at, length = strlen(key);
    bool is_part = length > 7 && strcmp(key + length - 7, "_config") == 0 && depth < MAX_CONFIG_DEPTH;
    if (peek(e) == '{' && is_part && !e->is_params) {
        edit_object(e, depth + 1, is_text_part(key));
        return;
    }
    char first = peek(e);
    skip_value(e);
    bool is_replaceable = first == '"' || first == 'n';
    bool is_float8 = e->at - begin > 7 && memcmp(e->text + begin, "\"float8", 7) == 0;
    if (is_dtype_key(key) && is_replaceable && !e->is_params && (is_text || is_float8)) {
        e->has_dtype = true;
        lf_buf_puts(e->out, "\"bfloat16\"");
    } else {
        copy(e, begin, e->at);
    }
}

// One object, member by member. A member takes the white space before it along.
static void edit_object(editor *e, int depth, bool is_text)
{
    size_t indent_begin = 0, indent_end = 0;
    bool is_first = true, is_first_kept = true;
    lf_buf_putc(e->out, '{');
    e->at++;
    while (e->at < e->length && !lf_buf_failed(e->out)) {
        char key[MAX_KEY_BYTES];
        size_t begin = e->at;
        skip_space(e);
        if (peek(e) != '"') {
            e->at = begin;
            break;
        }
        size_t key_begin = e->at;
        if (is_first) {
            indent_begin = begin;
            indent_end = key_begin;
            is_first = false;
        }
        skip_string(e);
        read_key(e, key_begin, e->at, key);
        skip_space(e);
        e->at += peek(e) == ':';
        skip_space(e);
        if (is_removed(e, key)) {
            skip_value(e);
        } else {
            if (!is_first_kept) lf_buf_putc(e->out, ',');
            is_first_kept = false;
            copy(e, begin, e->at);
            edit_value(e, key, depth, is_text);
        }
        size_t end = e->at;
        skip_space(e);
        if (peek(e) != ',') {
            e->at = end;
            break;
        }
        e->at++;
    }
    if (depth == 0 && !e->has_dtype && !e->is_params) {
        if (!is_first_kept) lf_buf_putc(e->out, ',');
        copy(e, indent_begin, indent_end);
        lf_buf_puts(e->out, "\"torch_dtype\": \"bfloat16\"");
    }
    size_t tail = e->at;
    skip_space(e);
    e->at += peek(e) == '}';
    copy(e, tail, e->at);
}

lf_status lf__config_rewrite(lf_buf *out, const char *text, size_t length, bool is_params, lf_error *err)
{
    editor e = {.text = text, .length = length, .out = out, .is_params = is_params};
    skip_space(&e);
    if (peek(&e) != '{') return lf_error_set(err, LF_ERR_BUG, "a config that is no object");
    copy(&e, 0, e.at);
    edit_object(&e, 0, true);
    copy(&e, e.at, length);
    return lf_buf_failed(out) ? lf_error_no_memory(err, 0) : LF_OK;
}

typedef struct entry {
    const char *name;
    const char *file;
} entry;

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

static json_t *make_metadata(const lf__plan *plan, const json_t *old)
{
    const json_t *before = json_object_get(old, "metadata");
    json_t *metadata = json_is_object(before) ? json_copy((json_t *)(uintptr_t)before) : json_object();
    if (json_object_set_new(metadata, "total_size", json_integer((json_int_t)plan->totals.output_bytes)) != 0) {
        json_decref(metadata);
        return NULL;
    }
    return metadata;
}

static void put_weight_map(lf_buf *out, const entry *entries, size_t n)
{
    lf_buf_puts(out, "  \"weight_map\": {");
    for (size_t i = 0; i < n; i++) {
        lf_buf_puts(out, i ? ",\n    " : "\n    ");
        lf__put_json_string(out, entries[i].name);
        lf_buf_puts(out, ": ");
        lf__put_json_string(out, entries[i].file);
    }
    lf_buf_puts(out, "\n  }");
}

static int append_text(const char *text, size_t length, void *out)
{
    lf_buf_append(out, text, length);
    return 0;
}

void lf__put_json(lf_buf *out, const json_t *value, size_t flags)
{
    if (json_dump_callback(value, append_text, out, flags | JSON_ENCODE_ANY) != 0) out->failed = true;
}

// "key": value, indented as a member of the top object.
static void put_member(lf_buf *out, const char *key, const json_t *value)
{
    lf_buf text = LF_BUF_INIT;
    lf__put_json(&text, value, JSON_INDENT(2));
    lf_buf_puts(out, "  ");
    lf__put_json_string(out, key);
    lf_buf_puts(out, ": ");
    for (size_t i = 0; i < text.length; i++) {
        lf_buf_putc(out, text.data[i]);
        if (text.data[i] == '\n') lf_buf_puts(out, "  ");
    }
    lf_buf_puts(out, ",\n");
    out->failed |= lf_buf_failed(&text);
    lf_buf_fini(&text);
}

lf_status lf__index_make(lf_buf *out, const lf__plan *plan, const json_t *old, lf_error *err)
{
    entry *entries = lf_realloc_array(NULL, LF_MAX(plan->n_tensor, 1), sizeof *entries);
    json_t *metadata = make_metadata(plan, old);
    bool is_done = entries && metadata;
    for (size_t s = 0; is_done && s < plan->n_shard; s++) {
        const lf__out_shard *shard = &plan->shards[s];
        for (size_t i = shard->first; i < shard->first + shard->count; i++) {
            entries[i] = (entry){plan->tensors[i].tensor->name, shard->name};
        }
    }
    if (is_done) {
        const char *key;
        json_t *value;
        qsort(entries, plan->n_tensor, sizeof *entries, by_name);
        lf_buf_puts(out, "{\n");
        put_member(out, "metadata", metadata);
        json_object_foreach((json_t *)(uintptr_t)old, key, value)
        {
            if (strcmp(key, "metadata") == 0 || strcmp(key, "weight_map") == 0) continue;
            put_member(out, key, value);
        }
        put_weight_map(out, entries, plan->n_tensor);
        lf_buf_puts(out, "\n}\n");
    }
    free(entries);
    json_decref(metadata);
    return is_done && !lf_buf_failed(out) ? LF_OK : lf_error_no_memory(err, 0);
}
