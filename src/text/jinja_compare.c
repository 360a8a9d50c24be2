// SPDX-License-Identifier: Apache-2.0
//
// Python's truth, equality, order, membership and sorting. Equality never fails across types; order does.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_value.h"

const char *lf__jinja_type_name(jinja_value value)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "missing",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict_keys",
        [JINJA_RANGE] = "range",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_MACRO] = "Macro",
        [JINJA_NATIVE] = "function",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
    };
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (value.kind == JINJA_VIEW) return views[value.view->kind];
    if (value.kind == JINJA_STRING && value.string->markup) return "Markup";
    return names[value.kind];
}

bool lf__jinja_integer(jinja_value value, int64_t *out)
{
    if (value.kind == JINJA_BOOL) *out = value.boolean;
    if (value.kind == JINJA_INT) *out = value.integer;
    return value.kind == JINJA_BOOL || value.kind == JINJA_INT;
}

bool lf__jinja_number(jinja_value value, double *out)
{
    int64_t integer;
    if (value.kind == JINJA_FLOAT) {
        *out = value.real;
        return true;
    }
    if (!lf__jinja_integer(value, &integer)) return false;
    *out = (double)integer;
    return true;
}

lf_status lf__jinja_truth(jinja_run *run, jinja_value value, bool *out)
{
    switch (value.kind) {
    case JINJA_BOOL: *out = value.boolean; return LF_OK;
    case JINJA_INT: *out = value.integer != 0; return LF_OK;
    case JINJA_FLOAT: *out = value.real != 0; return LF_OK;
    case JINJA_STRING: *out = value.string->bytes != 0; return LF_OK;
    case JINJA_LIST:
    case JINJA_TUPLE: *out = value.list->count != 0; return LF_OK;
    case JINJA_DICT: *out = value.dict->count != 0; return LF_OK;
    case JINJA_VIEW: *out = value.view->dict->count != 0; return LF_OK;
    case JINJA_RANGE: *out = value.range->count != 0; return LF_OK;
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: *out = false; return LF_OK;
    default: *out = true; return LF_OK;
    }
}

bool lf__jinja_same(jinja_value a, jinja_value b)
{
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case JINJA_NONE: return true;
    case JINJA_BOOL: return a.boolean == b.boolean;
    case JINJA_INT: return a.integer == b.integer; // small ones are singletons in Python; larger ones compare like them
    case JINJA_FLOAT: return a.real == b.real;
    case JINJA_NATIVE: return a.bound == b.bound;
    case JINJA_STRING:
        return a.string == b.string || (a.string->data == b.string->data && a.string->bytes == b.string->bytes);
    default: return a.list == b.list; // any pointer of the union
    }
}

// -1, 0, 1, or 2 when a NaN is involved. Exact: an int is not rounded to compare it with a float.
static int compare_numbers(jinja_value a, jinja_value b)
{
    int64_t ai = 0, bi = 0;
    bool a_int = lf__jinja_integer(a, &ai), b_int = lf__jinja_integer(b, &bi);
    if (a_int && b_int) return (ai > bi) - (ai < bi);
    if (!a_int && !b_int) return isnan(a.real) || isnan(b.real) ? 2 : (a.real > b.real) - (a.real < b.real);
    if (!a_int) {
        int reversed = compare_numbers(b, a);
        return reversed == 2 ? 2 : -reversed;
    }
    if (isnan(b.real)) return 2;
    if (b.real >= 0x1p63) return -1;
    if (b.real < -0x1p63) return 1;
    double whole = trunc(b.real);
    if (ai != (int64_t)whole) return ai < (int64_t)whole ? -1 : 1;
    return (whole > b.real) - (whole < b.real);
}

static bool is_number(jinja_value value)
{
    return value.kind == JINJA_BOOL || value.kind == JINJA_INT || value.kind == JINJA_FLOAT;
}

static int compare_strings(const jinja_string *a, const jinja_string *b)
{
    size_t shared = LF_MIN(a->bytes, b->bytes);
    int order = shared ? memcmp(a->data, b->data, shared) : 0; // UTF-8 orders like its code points
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static lf_status equal_lists(jinja_run *run, const jinja_list *a, const jinja_list *b, bool *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) JINJA_TRY(lf__jinja_equal(run, a->items[i], b->items[i], out));
    return LF_OK;
}

static lf_status equal_dicts(jinja_run *run, const jinja_dict *a, const jinja_dict *b, bool *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) {
        jinja_entry *other;
        JINJA_TRY(lf__jinja_dict_find(run, b, a->entries[i].key, &other));
        *out = other != NULL;
        if (other) JINJA_TRY(lf__jinja_equal(run, a->entries[i].value, other->value, out));
    }
    return LF_OK;
}

static bool equal_ranges(const jinja_range *a, const jinja_range *b)
{
    if (a->count != b->count || a->count == 0) return a->count == b->count;
    return a->start == b->start && (a->count == 1 || a->step == b->step);
}

lf_status lf__jinja_equal(jinja_run *run, jinja_value a, jinja_value b, bool *out)
{
    lf_status status = LF_OK;
    if (is_number(a) && is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return LF_OK;
    }
    if (a.kind != b.kind) {
        *out = false;
        return LF_OK;
    }
    JINJA_TRY(lf__jinja_enter(run));
    switch (a.kind) {
    case JINJA_STRING:
        *out = a.string->bytes == b.string->bytes && compare_strings(a.string, b.string) == 0;
        status = lf__jinja_charge_bytes(run, *out ? a.string->bytes : 0);
        break;
    case JINJA_LIST:
    case JINJA_TUPLE: status = equal_lists(run, a.list, b.list, out); break;
    case JINJA_DICT: status = equal_dicts(run, a.dict, b.dict, out); break;
    case JINJA_RANGE: *out = equal_ranges(a.range, b.range); break;
    case JINJA_NONE:
    case JINJA_UNDEFINED: *out = true; break;
    default: *out = lf__jinja_same(a, b); break;
    }
    lf__jinja_leave(run);
    return status;
}

static bool holds(jinja_order order, int comparison)
{
    switch (order) {
    case JINJA_LT: return comparison < 0;
    case JINJA_LE: return comparison <= 0;
    case JINJA_GT: return comparison > 0;
    default: return comparison >= 0;
    }
}

static lf_status compare_lists(jinja_run *run, jinja_order order, const jinja_list *a, const jinja_list *b, bool *out)
{
    size_t shared = LF_MIN(a->count, b->count);
    for (size_t i = 0; i < shared; i++) {
        bool equal;
        JINJA_TRY(lf__jinja_equal(run, a->items[i], b->items[i], &equal));
        if (!equal) return lf__jinja_compare(run, order, a->items[i], b->items[i], out);
    }
    *out = holds(order, (a->count > b->count) - (a->count < b->count));
    return LF_OK;
}

lf_status lf__jinja_compare(jinja_run *run, jinja_order order, jinja_value a, jinja_value b, bool *out)
{
    static const char *const symbols[] = {"<", "<=", ">", ">="};
    if (is_number(a) && is_number(b)) {
        int comparison = compare_numbers(a, b);
        *out = comparison != 2 && holds(order, comparison);
        return LF_OK;
    }
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) {
        *out = holds(order, compare_strings(a.string, b.string));
        return lf__jinja_charge_bytes(run, LF_MIN(a.string->bytes, b.string->bytes));
    }
    if (a.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, a);
    if (b.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, b);
    if (a.kind == b.kind && lf__jinja_is_sequence(a)) {
        JINJA_TRY(lf__jinja_enter(run));
        JINJA_TRY(compare_lists(run, order, a.list, b.list, out));
        lf__jinja_leave(run);
        return LF_OK;
    }
    return lf__jinja_error(run, "'%s' not supported between instances of '%s' and '%s'", symbols[order],
                           lf__jinja_type_name(a), lf__jinja_type_name(b));
}

static lf_status iterates_over(jinja_run *run, jinja_value container, jinja_value value, bool *out)
{
    jinja_iter *iter;
    jinja_value item;
    bool has = true;
    *out = false;
    JINJA_TRY(lf__jinja_iter_new(run, container, &iter));
    while (!*out) {
        JINJA_TRY(lf__jinja_iter_next(run, iter, &item, &has));
        if (!has) break;
        JINJA_TRY(lf__jinja_equal(run, item, value, out));
    }
    return LF_OK;
}

lf_status lf__jinja_contains(jinja_run *run, jinja_value container, jinja_value value, bool *out)
{
    jinja_entry *entry;
    switch (container.kind) {
    case JINJA_STRING:
        if (!lf__jinja_is_text(value))
            return lf__jinja_error(run, "'in <string>' requires string as left operand, not %s",
                                   lf__jinja_type_name(value));
        *out = value.string->bytes == 0 ||
               memmem(container.string->data, container.string->bytes, value.string->data, value.string->bytes) != NULL;
        return lf__jinja_charge_search(run, container.string->bytes, value.string->bytes);
    case JINJA_DICT:
        JINJA_TRY(lf__jinja_dict_find(run, container.dict, value, &entry));
        *out = entry != NULL;
        return LF_OK;
    case JINJA_VIEW:
        if (container.view->kind != JINJA_VIEW_KEYS) break;
        JINJA_TRY(lf__jinja_dict_find(run, container.view->dict, value, &entry));
        *out = entry != NULL;
        return LF_OK;
    default: break;
    }
    if (!lf__jinja_is_iterable(container))
        return lf__jinja_error(run, "argument of type '%s' is not iterable", lf__jinja_type_name(container));
    return iterates_over(run, container, value, out);
}

// --- sorting -------------------------------------------------------------------------------------

typedef struct sort_item {
    jinja_value value;
    jinja_value key;
} sort_item;

// Merges two sorted halves of `from` into `to`.
static lf_status merge(jinja_run *run, const sort_item *from, sort_item *to, size_t middle, size_t n, bool reverse)
{
    size_t left = 0, right = middle;
    for (size_t i = 0; i < n; i++) {
        bool take_right = left == middle;
        if (left < middle && right < n) {
            jinja_value a = from[left].key, b = from[right].key;
            JINJA_TRY(lf__jinja_charge(run, 1));
            JINJA_TRY(lf__jinja_compare(run, JINJA_LT, reverse ? a : b, reverse ? b : a, &take_right));
        }
        to[i] = take_right ? from[right++] : from[left++];
    }
    return LF_OK;
}

lf_status lf__jinja_sort(jinja_run *run, jinja_value *values, jinja_value *keys, size_t n, bool reverse)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, n * 2 + 1, sizeof(sort_item), &memory));
    sort_item *from = memory, *to = from + n;
    for (size_t i = 0; i < n; i++) from[i] = (sort_item){values[i], keys[i]};
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t rest = LF_MIN(n - i, 2 * width);
            JINJA_TRY(merge(run, from + i, to + i, LF_MIN(width, rest), rest, reverse));
        }
        sort_item *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = from[i].value;
        keys[i] = from[i].key;
    }
    return LF_OK;
}
