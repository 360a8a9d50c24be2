// SPDX-License-Identifier: Apache-2.0
//
// Reaching into values: x.name prefers attributes (a dict's methods hide its keys), x[name] prefers items, slices
// follow Python's rules for bounds and steps. What the sandbox withholds reads as undefined and fails when it is used.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_exec.h"
#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

static bool is_text(const jinja_string *string, const char *text)
{
    return string->bytes == strlen(text) && memcmp(string->data, text, string->bytes) == 0;
}

// --- attributes ----------------------------------------------------------------------------------

static bool is_object_attribute(const jinja_string *name)
{
    static const char *const names[] = {
        "__class__",        "__doc__",     "__init__",    "__new__",          "__eq__",           "__ne__",
        "__lt__",           "__le__",      "__gt__",      "__ge__",           "__hash__",         "__repr__",
        "__str__",          "__dir__",     "__format__",  "__sizeof__",       "__reduce__",       "__reduce_ex__",
        "__getattribute__", "__setattr__", "__delattr__", "__subclasshook__", "__init_subclass__"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++)
        if (is_text(name, names[i])) return true;
    return false;
}

static lf_status unsafe(jinja_run *run, jinja_value object, const jinja_string *name, jinja_value *out)
{
    void *hint;
    char text[256];
    int n = snprintf(text, sizeof text, "access to attribute '%.*s' of '%s' object is unsafe.",
                     (int)LF_MIN(name->bytes, (size_t)100), name->data, lf__jinja_type_name(object));
    JINJA_TRY(lf__jinja_alloc(run, (size_t)n + 1, 1, &hint));
    memcpy(hint, text, (size_t)n + 1);
    return lf__jinja_undefined_hint(run, hint, out);
}

static bool number_attribute(jinja_value object, const jinja_string *name, jinja_value *out)
{
    int64_t integer;
    bool is_int = lf__jinja_integer(object, &integer);
    if (!is_int && object.kind != JINJA_FLOAT) return false;
    if (is_text(name, "real") || (is_int && is_text(name, "numerator"))) {
        *out = is_int ? lf__jinja_int(integer) : object;
        return true;
    }
    if (is_text(name, "imag")) {
        *out = is_int ? lf__jinja_int(0) : lf__jinja_real(0);
        return true;
    }
    *out = lf__jinja_int(1);
    return is_int && is_text(name, "denominator");
}

static bool range_attribute(const jinja_range *range, const jinja_string *name, jinja_value *out)
{
    bool start = is_text(name, "start"), stop = is_text(name, "stop");
    *out = lf__jinja_int(start ? range->start : stop ? range->stop : range->step);
    return start || stop || is_text(name, "step");
}

// Attributes that are neither methods nor members of a namespace.
static lf_status special_attribute(jinja_run *run, jinja_value object, const jinja_string *name, jinja_value *out,
                                   bool *has)
{
    switch (object.kind) {
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT: *has = number_attribute(object, name, out); return LF_OK;
    case JINJA_RANGE: *has = range_attribute(object.range, name, out); return LF_OK;
    case JINJA_LOOP: return lf__jinja_loop_attribute(run, object.loop, name, out, has);
    case JINJA_MACRO: return lf__jinja_macro_attribute(run, object.macro, name, out, has);
    case JINJA_TUPLE:
        *has = object.list->group && (is_text(name, "grouper") || is_text(name, "list"));
        if (*has) *out = object.list->items[is_text(name, "list")];
        return LF_OK;
    case JINJA_CYCLER:
        *has = is_text(name, "current");
        if (*has) *out = object.cycler->items[object.cycler->position];
        return LF_OK;
    default: *has = false; return LF_OK;
    }
}

lf_status lf__jinja_own_attribute(jinja_run *run, jinja_value object, const jinja_string *name, jinja_value *out,
                                  bool *has)
{
    if (object.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, object);
    *has = true;
    if (object.kind == JINJA_NAMESPACE) {
        jinja_entry *entry;
        JINJA_TRY(lf__jinja_dict_find_text(run, object.dict, name->data, name->bytes, &entry));
        *has = entry != NULL;
        if (entry) *out = entry->value;
        return LF_OK;
    }
    if (is_object_attribute(name) || lf__jinja_is_unsafe(object, name)) return unsafe(run, object, name, out);
    const jinja_native *method = lf__jinja_method(object.kind, name->data, name->bytes);
    if (object.kind == JINJA_NATIVE && !object.bound->self && is_text(name, "fromkeys") &&
        strcmp(object.bound->native->name, "dict") == 0)
        method = lf__jinja_global("dict.fromkeys", strlen("dict.fromkeys"));
    if (method) return lf__jinja_bound_new(run, method, &object, out);
    return special_attribute(run, object, name, out, has);
}

lf_status lf__jinja_attribute(jinja_run *run, jinja_value object, jinja_string *name, jinja_value *out)
{
    bool has;
    JINJA_TRY(lf__jinja_own_attribute(run, object, name, out, &has));
    if (has) return LF_OK;
    jinja_value key = {.kind = JINJA_STRING, .string = name};
    if (object.kind == JINJA_DICT) {
        jinja_entry *entry;
        JINJA_TRY(lf__jinja_dict_find(run, object.dict, key, &entry));
        if (entry) {
            *out = entry->value;
            return LF_OK;
        }
    }
    return lf__jinja_undefined_member(run, object, key, out);
}

// --- items ---------------------------------------------------------------------------------------

// The bytes of character i.
static void char_at(const jinja_string *string, size_t i, size_t *offset, size_t *bytes)
{
    bool ascii = string->chars == string->bytes;
    *offset = ascii ? i : lf__utf8_offset(string->data, string->bytes, i);
    *bytes = ascii ? 1 : lf__utf8_offset(string->data + *offset, string->bytes - *offset, 1);
}

static lf_status element(jinja_run *run, jinja_value object, size_t i, jinja_value *out)
{
    size_t offset, bytes;
    switch (object.kind) {
    case JINJA_STRING:
        char_at(object.string, i, &offset, &bytes);
        JINJA_TRY(lf__jinja_charge_bytes(run, object.string->chars == object.string->bytes ? 1 : offset));
        JINJA_TRY(lf__jinja_string_view(run, object.string->data + offset, bytes, out));
        out->string->markup = object.string->markup;
        return LF_OK;
    case JINJA_RANGE: *out = lf__jinja_int(object.range->start + (int64_t)i * object.range->step); return LF_OK;
    default: *out = object.list->items[i]; return LF_OK;
    }
}

static lf_status find_item(jinja_run *run, jinja_value object, jinja_value index, jinja_value *out, bool *has)
{
    *has = false;
    if (object.kind == JINJA_DICT) {
        if (!lf__jinja_is_hashable(index)) return LF_OK;
        jinja_entry *entry;
        JINJA_TRY(lf__jinja_dict_find(run, object.dict, index, &entry));
        *has = entry != NULL;
        if (entry) *out = entry->value;
        return LF_OK;
    }
    int64_t i;
    size_t n;
    if (!lf__jinja_is_text(object) && !lf__jinja_is_sequence(object) && object.kind != JINJA_RANGE) return LF_OK;
    if (!lf__jinja_integer(index, &i)) return LF_OK;
    bool sized;
    JINJA_TRY(lf__jinja_length(run, object, &n, &sized));
    if (i < 0 && i >= -(int64_t)n) i += (int64_t)n;
    *has = i >= 0 && (uint64_t)i < n;
    return *has ? element(run, object, (size_t)i, out) : LF_OK;
}

lf_status lf__jinja_item(jinja_run *run, jinja_value object, jinja_value index, jinja_value *out)
{
    bool has;
    if (object.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, object);
    JINJA_TRY(find_item(run, object, index, out, &has));
    if (!has && lf__jinja_is_text(index)) JINJA_TRY(lf__jinja_own_attribute(run, object, index.string, out, &has));
    return has ? LF_OK : lf__jinja_undefined_member(run, object, index, out);
}

// --- slices --------------------------------------------------------------------------------------

typedef struct slice_bounds {
    int64_t start, stop, step; // in bounds
    size_t count;
} slice_bounds;

static lf_status slice_int(jinja_run *run, jinja_value value, int64_t *out)
{
    if (value.kind == JINJA_NONE || lf__jinja_integer(value, out)) return LF_OK;
    return lf__jinja_error(run, "slice indices must be integers or None or have an __index__ method");
}

static int64_t clamp_bound(int64_t bound, int64_t n, bool forward)
{
    int64_t low = forward ? 0 : -1, high = forward ? n : n - 1;
    if (bound < 0) bound = bound < -n ? low : bound + n;
    return LF_MIN(LF_MAX(bound, low), high);
}

static lf_status resolve_slice(jinja_run *run, const jinja_value bounds[3], size_t length, slice_bounds *out)
{
    int64_t n = (int64_t)length, step = 1;
    JINJA_TRY(slice_int(run, bounds[2], &step));
    if (step == 0) return lf__jinja_error(run, "slice step cannot be zero");
    bool forward = step > 0;
    int64_t start = forward ? 0 : INT64_MAX, stop = forward ? INT64_MAX : -1;
    JINJA_TRY(slice_int(run, bounds[0], &start));
    JINJA_TRY(slice_int(run, bounds[1], &stop));
    start = clamp_bound(start, n, forward);
    stop = bounds[1].kind == JINJA_NONE && !forward ? -1 : clamp_bound(stop, n, forward);
    step = LF_MAX(step, -INT64_MAX); // so that it can be negated
    int64_t distance = forward ? stop - start : start - stop, stride = forward ? step : -step;
    *out = (slice_bounds){start, stop, step, distance > 0 ? (size_t)((distance - 1) / stride + 1) : 0};
    return LF_OK;
}

// Every step-th character. Offsets of all characters are laid out first unless each is one byte.
static lf_status slice_string(jinja_run *run, const jinja_string *string, slice_bounds slice, jinja_value *out)
{
    bool ascii = string->chars == string->bytes;
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    if (slice.step == 1 || slice.count == 0) {
        size_t begin = 0, bytes = 0;
        if (slice.count) {
            begin = ascii ? (size_t)slice.start : lf__utf8_offset(string->data, string->bytes, (size_t)slice.start);
            bytes = ascii ? slice.count : lf__utf8_offset(string->data + begin, string->bytes - begin, slice.count);
        }
        JINJA_TRY(lf__jinja_string_view(run, string->data + begin, bytes, out));
        if (begin == 0 && bytes == string->bytes) out->string->text = string->text;
        out->string->chars = slice.count;
        return LF_OK;
    }
    size_t *offsets = NULL;
    void *memory;
    if (!ascii) {
        JINJA_TRY(lf__jinja_alloc(run, string->chars + 1, sizeof *offsets, &memory));
        offsets = memory;
        for (size_t i = 0, at = 0; i < string->chars; i++) {
            at += lf__utf8_offset(string->data + at, string->bytes - at, 1);
            offsets[i + 1] = at;
        }
    }
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    for (size_t i = 0; i < slice.count; i++) {
        size_t at = (size_t)(slice.start + (int64_t)i * slice.step);
        size_t begin = ascii ? at : offsets[at], end = ascii ? at + 1 : offsets[at + 1];
        lf__jinja_put(&builder, string->data + begin, end - begin);
    }
    return lf__jinja_builder_finish(&builder, out);
}

static lf_status slice_range(jinja_run *run, const jinja_range *range, slice_bounds slice, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof *range, &memory));
    jinja_range *part = memory;
    int64_t distance;
    part->count = slice.count;
    if (__builtin_mul_overflow(slice.start, range->step, &distance) ||
        __builtin_add_overflow(range->start, distance, &part->start) ||
        __builtin_mul_overflow(range->step, slice.step, &part->step) ||
        __builtin_mul_overflow(slice.stop, range->step, &distance) ||
        __builtin_add_overflow(range->start, distance, &part->stop))
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "integer result does not fit into 64 bits");
    *out = (jinja_value){.kind = JINJA_RANGE, .range = part};
    return LF_OK;
}

lf_status lf__jinja_slice(jinja_run *run, jinja_value object, const jinja_value bounds[3], jinja_value *out)
{
    size_t n;
    slice_bounds slice = {0};
    if (object.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, object);
    if (object.kind == JINJA_DICT) return lf__jinja_error(run, "unhashable type: 'slice'");
    if (!lf__jinja_is_text(object) && !lf__jinja_is_sequence(object) && object.kind != JINJA_RANGE)
        return lf__jinja_error(run, "'%s' object is not subscriptable", lf__jinja_type_name(object));
    bool sized;
    JINJA_TRY(lf__jinja_length(run, object, &n, &sized));
    JINJA_TRY(resolve_slice(run, bounds, n, &slice));
    if (lf__jinja_is_text(object)) {
        JINJA_TRY(slice_string(run, object.string, slice, out));
        out->string->markup = object.string->markup;
        return LF_OK;
    }
    if (object.kind == JINJA_RANGE) return slice_range(run, object.range, slice, out);
    JINJA_TRY(lf__jinja_list_new(run, object.kind, slice.count, out));
    for (size_t i = 0; i < slice.count; i++)
        out->list->items[i] = object.list->items[slice.start + (int64_t)i * slice.step];
    return LF_OK;
}
