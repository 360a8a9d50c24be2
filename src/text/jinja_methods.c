// SPDX-License-Identifier: Apache-2.0
//
// Methods of everything but strings, and which of Python's methods the sandbox withholds: those that would change a
// list or a dict.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"

static lf_status dict_get(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_entry *entry;
    JINJA_TRY(lf__jinja_dict_find(run, call->self.dict, call->params[0], &entry));
    *out = lf__jinja_given(call->params[1]) ? call->params[1] : lf__jinja_none();
    if (entry) *out = entry->value;
    return LF_OK;
}

static lf_status dict_view(jinja_run *run, jinja_call *call, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_view), &memory));
    *(jinja_view *)memory = (jinja_view){call->self.dict, (jinja_view_kind)call->native->variant};
    *out = (jinja_value){.kind = JINJA_VIEW, .view = memory};
    return LF_OK;
}

// A copy of what cannot change is the thing itself.
static lf_status copy(jinja_run *run, jinja_call *call, jinja_value *out)
{
    *out = call->self;
    return LF_OK;
}

static lf_status element(jinja_run *run, jinja_value sequence, size_t i, jinja_value *out)
{
    if (sequence.kind == JINJA_RANGE) return lf__jinja_item(run, sequence, lf__jinja_int((int64_t)i), out);
    *out = sequence.list->items[i];
    return LF_OK;
}

static lf_status sequence_count(jinja_run *run, jinja_call *call, jinja_value *out)
{
    size_t length;
    bool sized, equal;
    int64_t n = 0;
    JINJA_TRY(lf__jinja_length(run, call->self, &length, &sized));
    for (size_t i = 0; i < length; i++) {
        jinja_value item;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(element(run, call->self, i, &item));
        JINJA_TRY(lf__jinja_equal(run, item, call->params[0], &equal));
        n += equal;
    }
    *out = lf__jinja_int(n);
    return LF_OK;
}

static lf_status sequence_index(jinja_run *run, jinja_call *call, jinja_value *out)
{
    size_t length;
    bool sized, equal;
    JINJA_TRY(lf__jinja_length(run, call->self, &length, &sized));
    int64_t n = (int64_t)length, bounds[2] = {0, n};
    for (int i = 0; i < 2; i++) {
        JINJA_TRY(lf__jinja_param_int(run, call, 1 + i, &bounds[i]));
        if (bounds[i] < 0) bounds[i] = bounds[i] < -n ? 0 : bounds[i] + n;
    }
    for (int64_t i = bounds[0]; i < LF_MIN(bounds[1], n); i++) {
        jinja_value item;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(element(run, call->self, (size_t)i, &item));
        JINJA_TRY(lf__jinja_equal(run, item, call->params[0], &equal));
        if (!equal) continue;
        *out = lf__jinja_int(i);
        return LF_OK;
    }
    return lf__jinja_error(run, "the value is not in the %s", lf__jinja_type_name(call->self));
}

static lf_status cycler_next(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_cycler *cycler = call->self.cycler;
    *out = cycler->items[cycler->position];
    cycler->position = (cycler->position + 1) % cycler->count;
    return LF_OK;
}

static lf_status cycler_reset(jinja_run *run, jinja_call *call, jinja_value *out)
{
    call->self.cycler->position = 0;
    *out = lf__jinja_none();
    return LF_OK;
}

static lf_status real_is_integer(jinja_run *run, jinja_call *call, jinja_value *out)
{
    double real = call->self.kind == JINJA_FLOAT ? call->self.real : 0;
    *out = lf__jinja_bool(isfinite(real) && real == floor(real));
    return LF_OK;
}

static lf_status int_bit_length(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t integer = 0, n = 0;
    lf__jinja_integer(call->self, &integer);
    for (uint64_t rest = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer; rest; rest >>= 1) n++;
    *out = lf__jinja_int(n);
    return LF_OK;
}

static const jinja_native dict_methods[] = {
    {"get", "/key,default", 1, dict_get, 0},
    {"items", "/", 0, dict_view, JINJA_VIEW_ITEMS},
    {"keys", "/", 0, dict_view, JINJA_VIEW_KEYS},
    {"values", "/", 0, dict_view, JINJA_VIEW_VALUES},
    {"copy", "/", 0, copy, 0},
};
static const jinja_native sequence_methods[] = {
    {"count", "/value", 1, sequence_count, 0},
    {"index", "/value,start,stop", 1, sequence_index, 0},
    {"copy", "/", 0, copy, 0}, // of lists only
};
static const jinja_native cycler_methods[] = {
    {"next", "/", 0, cycler_next, 0},
    {"reset", "/", 0, cycler_reset, 0},
};
static const jinja_native real_methods[] = {{"is_integer", "/", 0, real_is_integer, 0}};
static const jinja_native int_methods[] = {{"bit_length", "/", 0, int_bit_length, 0}};

const jinja_native *lf__jinja_method(jinja_kind kind, const char *name, size_t bytes)
{
    switch (kind) {
    case JINJA_STRING: return lf__jinja_table_find(lf__jinja_string_methods, lf__jinja_n_string_methods, name, bytes);
    case JINJA_DICT:
        if (bytes == 8 && memcmp(name, "fromkeys", 8) == 0) return lf__jinja_global("dict.fromkeys", 13);
        return lf__jinja_table_find(dict_methods, LF_ARRAY_LENGTH(dict_methods), name, bytes);
    case JINJA_LIST: return lf__jinja_table_find(sequence_methods, LF_ARRAY_LENGTH(sequence_methods), name, bytes);
    case JINJA_TUPLE:
    case JINJA_RANGE: return lf__jinja_table_find(sequence_methods, LF_ARRAY_LENGTH(sequence_methods) - 1, name, bytes);
    case JINJA_CYCLER: return lf__jinja_table_find(cycler_methods, LF_ARRAY_LENGTH(cycler_methods), name, bytes);
    case JINJA_FLOAT: return lf__jinja_table_find(real_methods, LF_ARRAY_LENGTH(real_methods), name, bytes);
    case JINJA_INT:
    case JINJA_BOOL: return lf__jinja_table_find(int_methods, LF_ARRAY_LENGTH(int_methods), name, bytes);
    default: return NULL;
    }
}

bool lf__jinja_is_unsafe(jinja_value object, const jinja_string *name)
{
    static const char *const of_lists[] = {"append", "clear",  "pop",    "reverse", "insert",
                                           "sort",   "extend", "remove", NULL};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    if (object.kind != JINJA_LIST && object.kind != JINJA_DICT) return false;
    for (const char *const *unsafe = object.kind == JINJA_LIST ? of_lists : of_dicts; *unsafe; unsafe++)
        if (strlen(*unsafe) == name->bytes && memcmp(*unsafe, name->data, name->bytes) == 0) return true;
    return false;
}
