// SPDX-License-Identifier: Apache-2.0
//
// Filters on sequences. map, select, reject, unique, batch, slice and items are generators, as in jinja2: they compute
// when they are read, and can be read once.
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_string.h"

// --- attribute paths: "a.b.0" --------------------------------------------------------------------

typedef struct path {
    jinja_value *parts;
    size_t n_parts;
    bool ignore_case;     // strings in lower case, for comparing
    jinja_value fallback; // instead of undefined, unless missing
} path;

static bool is_number_text(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] < '0' || data[i] > '9') return false;
    return bytes > 0 && bytes < 18;
}

static lf_status path_of_text(jinja_run *run, const char *data, size_t bytes, path *out)
{
    jinja_items parts = {0};
    for (size_t at = 0;;) {
        const char *dot = bytes > at ? memchr(data + at, '.', bytes - at) : NULL;
        size_t length = dot ? (size_t)(dot - data) - at : bytes - at;
        jinja_value part;
        if (is_number_text(data + at, length)) {
            int64_t number = 0;
            for (size_t i = 0; i < length; i++) number = number * 10 + (data[at + i] - '0');
            part = lf__jinja_int(number);
        } else {
            JINJA_TRY(lf__jinja_string_view(run, data + at, length, &part));
        }
        JINJA_TRY(lf__jinja_items_push(run, &parts, part));
        if (!dot) break;
        at += length + 1;
    }
    out->parts = parts.items;
    out->n_parts = parts.count;
    return LF_OK;
}

static lf_status path_of(jinja_run *run, jinja_value attribute, path *out)
{
    void *memory;
    if (!lf__jinja_given(attribute) || attribute.kind == JINJA_NONE) return LF_OK;
    if (lf__jinja_is_text(attribute)) return path_of_text(run, attribute.string->data, attribute.string->bytes, out);
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof attribute, &memory));
    out->parts = memory;
    out->parts[0] = attribute;
    out->n_parts = 1;
    return LF_OK;
}

static lf_status follow(jinja_run *run, const path *p, jinja_value item, jinja_value *out)
{
    for (size_t i = 0; i < p->n_parts; i++) {
        JINJA_TRY(lf__jinja_item(run, item, p->parts[i], &item));
        if (item.kind == JINJA_UNDEFINED && lf__jinja_given(p->fallback) && p->fallback.kind != JINJA_NONE)
            item = p->fallback;
    }
    *out = item;
    if (p->ignore_case && lf__jinja_is_text(item)) return lf__jinja_map_case(run, item.string, JINJA_CASE_LOWER, out);
    return LF_OK;
}

// --- sorting -------------------------------------------------------------------------------------

// sort(): the keys are lists, one element for each of the attributes "a,b.c".
static lf_status sort_paths(jinja_run *run, jinja_value attribute, bool ignore_case, path **out, size_t *n)
{
    jinja_value names;
    void *memory;
    if (lf__jinja_is_text(attribute)) {
        const jinja_string comma = {.data = ",", .bytes = 1};
        JINJA_TRY(lf__jinja_split(run, attribute.string, &comma, -1, false, &names));
    } else {
        JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, 1, &names));
        names.list->items[0] = attribute;
    }
    *n = names.list->count;
    JINJA_TRY(lf__jinja_alloc(run, *n, sizeof(path), &memory));
    *out = memory;
    for (size_t i = 0; i < *n; i++) {
        (*out)[i].ignore_case = ignore_case;
        JINJA_TRY(path_of(run, names.list->items[i], &(*out)[i]));
    }
    return LF_OK;
}

static lf_status filter_sort(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool reverse = false, case_sensitive = false;
    path *paths;
    size_t n_paths;
    jinja_value items, keys;
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &reverse));
    JINJA_TRY(lf__jinja_param_bool(run, call, 1, &case_sensitive));
    JINJA_TRY(sort_paths(run, call->params[2], !case_sensitive, &paths, &n_paths));
    JINJA_TRY(lf__jinja_to_list(run, call->self, JINJA_LIST, &items));
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, items.list->count, &keys));
    for (size_t i = 0; i < items.list->count; i++) {
        jinja_value *key = &keys.list->items[i];
        JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, n_paths, key));
        for (size_t k = 0; k < n_paths; k++)
            JINJA_TRY(follow(run, &paths[k], items.list->items[i], &key->list->items[k]));
    }
    *out = items;
    return lf__jinja_sort(run, items.list->items, keys.list->items, items.list->count, reverse);
}

static bool is_word(const jinja_string *string, const char *word)
{
    return string->bytes == strlen(word) && memcmp(string->data, word, string->bytes) == 0;
}

static lf_status filter_dictsort(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool case_sensitive = false, reverse = false;
    jinja_string *by = NULL;
    jinja_value keys;
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &case_sensitive));
    JINJA_TRY(lf__jinja_param_string(run, call, 1, &by));
    JINJA_TRY(lf__jinja_param_bool(run, call, 2, &reverse));
    bool by_value = by && is_word(by, "value");
    if (by && !by_value && !is_word(by, "key"))
        return lf__jinja_error(run, "You can only sort by either \"key\" or \"value\"");
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    if (call->self.kind != JINJA_DICT)
        return lf__jinja_error(run, "'%s' object has no attribute 'items'", lf__jinja_type_name(call->self));
    const jinja_dict *dict = call->self.dict;
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, out));
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, &keys));
    const path key = {.ignore_case = !case_sensitive};
    for (size_t i = 0; i < dict->count; i++) {
        const jinja_entry *entry = &dict->entries[i];
        JINJA_TRY(lf__jinja_pair(run, entry->key, entry->value, &out->list->items[i]));
        JINJA_TRY(follow(run, &key, by_value ? entry->value : entry->key, &keys.list->items[i]));
    }
    return lf__jinja_sort(run, out->list->items, keys.list->items, dict->count, reverse);
}

static lf_status filter_groupby(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool case_sensitive = false, equal;
    jinja_value items, keys;
    jinja_items groups = {0};
    path key = {.fallback = call->params[1]};
    JINJA_TRY(lf__jinja_param_bool(run, call, 2, &case_sensitive));
    JINJA_TRY(path_of(run, call->params[0], &key));
    path shown = key;
    key.ignore_case = !case_sensitive;
    JINJA_TRY(lf__jinja_to_list(run, call->self, JINJA_LIST, &items));
    size_t n = items.list->count;
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, n, &keys));
    for (size_t i = 0; i < n; i++) JINJA_TRY(follow(run, &key, items.list->items[i], &keys.list->items[i]));
    JINJA_TRY(lf__jinja_sort(run, items.list->items, keys.list->items, n, false));
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1, equal = true; end < n; end++) {
            JINJA_TRY(lf__jinja_equal(run, keys.list->items[begin], keys.list->items[end], &equal));
            if (!equal) break;
        }
        jinja_value group, members, grouper = keys.list->items[begin];
        JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, end - begin, &members));
        memcpy(members.list->items, items.list->items + begin, (end - begin) * sizeof group);
        if (!case_sensitive) JINJA_TRY(follow(run, &shown, members.list->items[0], &grouper));
        JINJA_TRY(lf__jinja_pair(run, grouper, members, &group));
        group.list->group = true;
        JINJA_TRY(lf__jinja_items_push(run, &groups, group));
    }
    return lf__jinja_items_list(run, &groups, JINJA_LIST, out);
}

static lf_status filter_extreme(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool case_sensitive = false, has, better;
    jinja_iter *iter;
    jinja_value item, key, best_key = {.kind = JINJA_MISSING};
    path p = {0};
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &case_sensitive));
    JINJA_TRY(path_of(run, call->params[1], &p));
    p.ignore_case = !case_sensitive;
    JINJA_TRY(lf__jinja_iter_new(run, call->self, &iter));
    for (;;) {
        JINJA_TRY(lf__jinja_iter_next(run, iter, &item, &has));
        if (!has) break;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(follow(run, &p, item, &key));
        better = !lf__jinja_given(best_key);
        if (!better) JINJA_TRY(lf__jinja_compare(run, (jinja_order)call->native->variant, key, best_key, &better));
        if (!better) continue;
        best_key = key;
        *out = item;
    }
    if (lf__jinja_given(best_key)) return LF_OK;
    return lf__jinja_undefined_hint(run, "No aggregated item, sequence was empty.", out);
}

// --- ends, sums, joins ---------------------------------------------------------------------------

static lf_status first_of(jinja_run *run, jinja_value sequence, const char *hint, jinja_value *out)
{
    jinja_iter *iter;
    bool has;
    JINJA_TRY(lf__jinja_iter_new(run, sequence, &iter));
    JINJA_TRY(lf__jinja_iter_next(run, iter, out, &has));
    return has ? LF_OK : lf__jinja_undefined_hint(run, hint, out);
}

static lf_status filter_first(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return first_of(run, call->self, "No first item, sequence was empty.", out);
}

static lf_status filter_last(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value reversed;
    bool has;
    JINJA_TRY(lf__jinja_reversed(run, call->self, &reversed, &has));
    if (!has) return lf__jinja_error(run, "'%s' object is not reversible", lf__jinja_type_name(call->self));
    return first_of(run, reversed, "No last item, sequence was empty.", out);
}

static lf_status filter_reverse(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool has;
    if (lf__jinja_is_text(call->self)) {
        const jinja_value bounds[3] = {lf__jinja_none(), lf__jinja_none(), lf__jinja_int(-1)};
        return lf__jinja_slice(run, call->self, bounds, out);
    }
    JINJA_TRY(lf__jinja_reversed(run, call->self, out, &has));
    if (has) return LF_OK;
    if (!lf__jinja_is_iterable(call->self)) return lf__jinja_error(run, "argument must be iterable");
    JINJA_TRY(lf__jinja_to_list(run, call->self, JINJA_LIST, out));
    for (size_t i = 0, j = out->list->count; i + 1 < j; i++) {
        jinja_value swap = out->list->items[i];
        out->list->items[i] = out->list->items[--j];
        out->list->items[j] = swap;
    }
    return LF_OK;
}

static lf_status filter_list(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_to_list(run, call->self, JINJA_LIST, out);
}

// The elements, or what `attribute` finds in them.
static lf_status attribute_list(jinja_run *run, jinja_value value, jinja_value attribute, jinja_value *out)
{
    path p = {0};
    JINJA_TRY(path_of(run, attribute, &p));
    JINJA_TRY(lf__jinja_to_list(run, value, JINJA_LIST, out));
    for (size_t i = 0; p.n_parts && i < out->list->count; i++)
        JINJA_TRY(follow(run, &p, out->list->items[i], &out->list->items[i]));
    return LF_OK;
}

static lf_status filter_join(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value items, text;
    JINJA_TRY(attribute_list(run, call->self, call->params[1], &items));
    JINJA_TRY(lf__jinja_string_view(run, "", 0, &text));
    if (lf__jinja_given(call->params[0])) JINJA_TRY(lf__jinja_str(run, call->params[0], &text));
    jinja_string separator = *text.string;
    separator.markup = false; // str(d).join() of plain strings
    return lf__jinja_join(run, &separator, items, true, out);
}

static lf_status filter_sum(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value items;
    JINJA_TRY(attribute_list(run, call->self, call->params[0], &items));
    *out = lf__jinja_given(call->params[1]) ? call->params[1] : lf__jinja_int(0);
    if (lf__jinja_is_text(*out)) return lf__jinja_error(run, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < items.list->count; i++)
        JINJA_TRY(lf__jinja_binary(run, JINJA_ADD, *out, items.list->items[i], out));
    return LF_OK;
}

// splitmix64, seeded by the clock or by the time that the caller gave.
static uint64_t next_random(jinja_run *run)
{
    if (!run->random) run->random = run->now ? (uint64_t)run->now : (uint64_t)lf_now_ns();
    uint64_t z = run->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static lf_status filter_random(jinja_run *run, jinja_call *call, jinja_value *out)
{
    size_t n;
    bool sized;
    JINJA_TRY(lf__jinja_length(run, call->self, &n, &sized));
    if (!sized) return lf__jinja_error(run, "object of type '%s' has no len()", lf__jinja_type_name(call->self));
    if (n == 0) return lf__jinja_undefined_hint(run, "No random item, sequence was empty.", out);
    return lf__jinja_item(run, call->self, lf__jinja_int((int64_t)(next_random(run) % n)), out);
}

// --- map, select, reject -------------------------------------------------------------------------

typedef struct stream {
    jinja_value source;
    jinja_iter *iter; // NULL before the first element is asked for
    path attribute;
    const jinja_native *native; // filter or test to apply; NULL: none
    jinja_args args;
    bool keep;        // select: elements for which the test holds
    jinja_dict *seen; // unique
} stream;

static lf_status stream_new(jinja_run *run, const jinja_call *call, stream **out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(stream), &memory));
    *out = memory;
    (*out)->source = call->self;
    return LF_OK;
}

// The next element of the source. A source that is false in itself (none, 0) is no error but empty.
static lf_status stream_next(jinja_run *run, stream *s, jinja_value *out, bool *has)
{
    *has = false;
    if (!s->iter) {
        bool truth;
        JINJA_TRY(lf__jinja_truth(run, s->source, &truth));
        if (!truth) return LF_OK;
        JINJA_TRY(lf__jinja_iter_new(run, s->source, &s->iter));
    }
    JINJA_TRY(lf__jinja_charge(run, 1));
    return lf__jinja_iter_next(run, s->iter, out, has);
}

static lf_status next_mapped(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    stream *s = state;
    jinja_value item;
    JINJA_TRY(stream_next(run, s, &item, has));
    if (!*has) return LF_OK;
    if (s->native) return lf__jinja_call_native(run, s->native, item, &s->args, out);
    return follow(run, &s->attribute, item, out);
}

static lf_status next_selected(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    stream *s = state;
    for (;;) {
        jinja_value tested;
        bool truth;
        JINJA_TRY(stream_next(run, s, out, has));
        if (!*has) return LF_OK;
        JINJA_TRY(follow(run, &s->attribute, *out, &tested));
        if (s->native) JINJA_TRY(lf__jinja_call_native(run, s->native, tested, &s->args, &tested));
        JINJA_TRY(lf__jinja_truth(run, tested, &truth));
        if (truth == s->keep) return LF_OK;
    }
}

// args[at] names a filter or test that gets the arguments behind it.
static lf_status read_callee(jinja_run *run, const jinja_call *call, size_t at, bool is_filter, stream *s)
{
    const jinja_args *args = call->args;
    jinja_value name = args->items[at];
    const char *type = is_filter ? "filter" : "test";
    if (!lf__jinja_is_text(name)) return lf__jinja_error(run, "%s name must be a string", type);
    s->native = is_filter ? lf__jinja_filter(name.string->data, name.string->bytes)
                          : lf__jinja_test(name.string->data, name.string->bytes);
    s->args = (jinja_args){args->items + at + 1, args->n_items - at - 1, args->named, args->n_named};
    if (s->native) return LF_OK;
    return lf__jinja_error(run, "No %s named '%.*s'.", type, (int)LF_MIN(name.string->bytes, (size_t)100),
                           name.string->data);
}

static lf_status map_attribute(jinja_run *run, const jinja_call *call, stream *s)
{
    for (size_t i = 0; i < call->args->n_named; i++) {
        const jinja_named *named = &call->args->named[i];
        if (is_word(named->name, "attribute"))
            JINJA_TRY(path_of(run, named->value, &s->attribute));
        else if (is_word(named->name, "default"))
            s->attribute.fallback = named->value;
        else
            return lf__jinja_error(run, "Unexpected keyword argument '%.*s'",
                                   (int)LF_MIN(named->name->bytes, (size_t)100), named->name->data);
    }
    return LF_OK;
}

static bool has_named(const jinja_args *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (is_word(args->named[i].name, name)) return true;
    return false;
}

// What is wrong with the arguments of a generator shows only when it is read; until then the call just succeeds.
typedef struct lazy_call {
    stream *stream;
    jinja_call call;
    jinja_args args;
    jinja_next_fn next;
    lf_status (*prepare)(jinja_run *run, const jinja_call *call, stream *s);
    bool prepared;
    bool skips_false; // a value that is false in itself has no elements, whatever it is
} lazy_call;

static lf_status next_lazy(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    lazy_call *lazy = state;
    bool truth = true;
    if (!lazy->prepared) {
        *has = false;
        if (lazy->skips_false) JINJA_TRY(lf__jinja_truth(run, lazy->call.self, &truth));
        if (!truth) return LF_OK;
        JINJA_TRY(lazy->prepare(run, &lazy->call, lazy->stream));
        lazy->prepared = true;
    }
    return lazy->next(run, lazy->stream, out, has);
}

static lf_status lazy_new(jinja_run *run, const jinja_call *call, jinja_next_fn next,
                          lf_status (*prepare)(jinja_run *run, const jinja_call *call, stream *s), bool skips_false,
                          jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(lazy_call), &memory));
    lazy_call *lazy = memory;
    *lazy =
        (lazy_call){.call = *call, .args = *call->args, .next = next, .prepare = prepare, .skips_false = skips_false};
    lazy->call.args = &lazy->args;
    JINJA_TRY(stream_new(run, call, &lazy->stream));
    return lf__jinja_iter_of(run, next_lazy, lazy, out);
}

static lf_status prepare_map(jinja_run *run, const jinja_call *call, stream *s)
{
    if (call->args->n_items == 0 && has_named(call->args, "attribute")) return map_attribute(run, call, s);
    if (call->args->n_items == 0) return lf__jinja_error(run, "map requires a filter argument");
    return read_callee(run, call, 0, true, s);
}

enum { KEEP = 1, BY_ATTRIBUTE = 2 };

static lf_status prepare_select(jinja_run *run, const jinja_call *call, stream *s)
{
    size_t at = call->native->variant & BY_ATTRIBUTE ? 1 : 0;
    s->keep = call->native->variant & KEEP;
    if (call->args->n_items < at) return lf__jinja_error(run, "Missing parameter for attribute name");
    if (at) JINJA_TRY(path_of(run, call->args->items[0], &s->attribute));
    return call->args->n_items > at ? read_callee(run, call, at, false, s) : LF_OK;
}

static lf_status filter_map(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_mapped, prepare_map, true, out);
}

static lf_status filter_select(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_selected, prepare_select, true, out);
}

// --- other generators ----------------------------------------------------------------------------

static lf_status next_unique(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    stream *s = state;
    for (;;) {
        jinja_value key;
        jinja_entry *seen;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(lf__jinja_iter_next(run, s->iter, out, has));
        if (!*has) return LF_OK;
        JINJA_TRY(follow(run, &s->attribute, *out, &key));
        JINJA_TRY(lf__jinja_dict_find(run, s->seen, key, &seen));
        if (!seen) return lf__jinja_dict_set(run, s->seen, key, lf__jinja_none());
    }
}

static lf_status prepare_unique(jinja_run *run, const jinja_call *call, stream *s)
{
    bool case_sensitive = false;
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &case_sensitive));
    JINJA_TRY(path_of(run, call->params[1], &s->attribute));
    s->attribute.ignore_case = !case_sensitive;
    JINJA_TRY(lf__jinja_dict_new(run, &s->seen));
    return lf__jinja_iter_new(run, call->self, &s->iter);
}

static lf_status filter_unique(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_unique, prepare_unique, false, out);
}

static lf_status next_part(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    return lf__jinja_iter_next(run, ((stream *)state)->iter, out, has);
}

static lf_status iterate_parts(jinja_run *run, const jinja_items *parts, stream *s)
{
    jinja_value list;
    JINJA_TRY(lf__jinja_items_list(run, parts, JINJA_LIST, &list));
    return lf__jinja_iter_new(run, list, &s->iter);
}

static lf_status part_of(jinja_run *run, const jinja_list *list, size_t begin, size_t end, size_t n_fill,
                         jinja_value fill, jinja_items *parts)
{
    jinja_value part;
    size_t n = end - begin;
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, n + n_fill, &part));
    if (n) memcpy(part.list->items, list->items + begin, n * sizeof part);
    for (size_t i = 0; i < n_fill; i++) part.list->items[n + i] = fill;
    return lf__jinja_items_push(run, parts, part);
}

static lf_status prepare_batch(jinja_run *run, const jinja_call *call, stream *s)
{
    int64_t linecount;
    jinja_value items, fill = call->params[1];
    jinja_items parts = {0};
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &linecount));
    JINJA_TRY(lf__jinja_to_list(run, call->self, JINJA_LIST, &items));
    size_t n = items.list->count, size = linecount > 0 ? (size_t)linecount : SIZE_MAX;
    bool fills = lf__jinja_given(fill) && fill.kind != JINJA_NONE;
    if (linecount == 0 && n) JINJA_TRY(part_of(run, items.list, 0, 0, 0, fill, &parts)); // as jinja2 does
    for (size_t i = 0; i < n;) {
        size_t end = n - i < size ? n : i + size;
        size_t n_fill = fills && size != SIZE_MAX && end - i < size ? size - (end - i) : 0;
        JINJA_TRY(part_of(run, items.list, i, end, n_fill, fill, &parts));
        i = end;
    }
    return iterate_parts(run, &parts, s);
}

static lf_status prepare_slice(jinja_run *run, const jinja_call *call, stream *s)
{
    int64_t slices;
    jinja_value items, fill = call->params[1];
    jinja_items parts = {0};
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &slices));
    if (slices == 0) return lf__jinja_error(run, "integer division or modulo by zero");
    JINJA_TRY(lf__jinja_to_list(run, call->self, JINJA_LIST, &items));
    bool fills = lf__jinja_given(fill) && fill.kind != JINJA_NONE;
    size_t n = slices > 0 ? (size_t)slices : 0, begin = 0;
    size_t each = n ? items.list->count / n : 0, longer = n ? items.list->count % n : 0;
    for (size_t i = 0; i < n; i++) {
        size_t end = begin + each + (i < longer);
        JINJA_TRY(part_of(run, items.list, begin, end, fills && i >= longer, fill, &parts));
        begin = end;
    }
    return iterate_parts(run, &parts, s);
}

static lf_status filter_batch(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_part, prepare_batch, false, out);
}

static lf_status filter_slice(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_part, prepare_slice, false, out);
}

static lf_status prepare_items(jinja_run *run, const jinja_call *call, stream *s)
{
    void *memory;
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_iter_new(run, call->self, &s->iter);
    if (call->self.kind != JINJA_DICT) return lf__jinja_error(run, "Can only get item pairs from a mapping.");
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_view), &memory));
    *(jinja_view *)memory = (jinja_view){call->self.dict, JINJA_VIEW_ITEMS};
    return lf__jinja_iter_new(run, (jinja_value){.kind = JINJA_VIEW, .view = memory}, &s->iter);
}

static lf_status filter_items(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lazy_new(run, call, next_part, prepare_items, false, out);
}

const jinja_native lf__jinja_list_filters[] = {
    {"batch", "linecount,fill_with", 1, filter_batch, 0},
    {"dictsort", "case_sensitive,by,reverse", 0, filter_dictsort, 0},
    {"first", "", 0, filter_first, 0},
    {"groupby", "attribute,default,case_sensitive", 1, filter_groupby, 0},
    {"items", "", 0, filter_items, 0},
    {"join", "d,attribute", 0, filter_join, 0},
    {"last", "", 0, filter_last, 0},
    {"list", "", 0, filter_list, 0},
    {"map", NULL, 0, filter_map, 0},
    {"max", "case_sensitive,attribute", 0, filter_extreme, JINJA_GT},
    {"min", "case_sensitive,attribute", 0, filter_extreme, JINJA_LT},
    {"random", "", 0, filter_random, 0},
    {"reject", NULL, 0, filter_select, 0},
    {"rejectattr", NULL, 0, filter_select, BY_ATTRIBUTE},
    {"reverse", "", 0, filter_reverse, 0},
    {"select", NULL, 0, filter_select, KEEP},
    {"selectattr", NULL, 0, filter_select, KEEP | BY_ATTRIBUTE},
    {"slice", "slices,fill_with", 1, filter_slice, 0},
    {"sort", "reverse,case_sensitive,attribute", 0, filter_sort, 0},
    {"sum", "attribute,start", 0, filter_sum, 0},
    {"unique", "case_sensitive,attribute", 0, filter_unique, 0},
};
const size_t lf__jinja_n_list_filters = LF_ARRAY_LENGTH(lf__jinja_list_filters);
