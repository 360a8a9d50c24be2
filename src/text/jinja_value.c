// SPDX-License-Identifier: Apache-2.0
//
// Making values: strings, lists, undefined values, and the context from JSON. Text of the JSON document is borrowed,
// not copied: the document outlives the run.
#include "text/jinja_value.h"

#include <string.h>

#include "base/mem.h"

static lf_status string_new(jinja_run *run, jinja_string string, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof string, &memory));
    *(jinja_string *)memory = string;
    *out = (jinja_value){.kind = JINJA_STRING, .string = memory};
    return LF_OK;
}

lf_status lf__jinja_string_view(jinja_run *run, const char *data, size_t bytes, jinja_value *out)
{
    return string_new(run, (jinja_string){.data = data, .bytes = bytes, .chars = SIZE_MAX}, out);
}

lf_status lf__jinja_written(jinja_run *run, jinja_value text, jinja_value *out)
{
    *out = text;
    if (!run->autoescape || text.string->markup) return LF_OK;
    JINJA_TRY(lf__jinja_string_view(run, text.string->data, text.string->bytes, out));
    out->string->markup = true;
    return LF_OK;
}

lf_status lf__jinja_string_copy(jinja_run *run, const char *data, size_t bytes, jinja_value *out)
{
    void *copy;
    JINJA_TRY(lf__jinja_charge_bytes(run, bytes));
    JINJA_TRY(lf__jinja_alloc(run, bytes + 1, 1, &copy));
    if (bytes) memcpy(copy, data, bytes);
    return lf__jinja_string_view(run, copy, bytes, out);
}

lf_status lf__jinja_list_new(jinja_run *run, jinja_kind kind, size_t count, jinja_value *out)
{
    void *list, *items = NULL;
    JINJA_TRY(lf__jinja_charge(run, 1 + count / 4));
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_list), &list));
    if (count) JINJA_TRY(lf__jinja_alloc(run, count, sizeof(jinja_value), &items));
    *(jinja_list *)list = (jinja_list){.items = items, .count = count};
    *out = (jinja_value){.kind = kind, .list = list};
    return LF_OK;
}

lf_status lf__jinja_pair(jinja_run *run, jinja_value a, jinja_value b, jinja_value *out)
{
    JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, 2, out));
    out->list->items[0] = a;
    out->list->items[1] = b;
    return LF_OK;
}

lf_status lf__jinja_items_push(jinja_run *run, jinja_items *items, jinja_value value)
{
    JINJA_TRY(lf__jinja_charge(run, 1));
    if (items->count == items->capacity) {
        void *grown;
        size_t capacity = LF_MAX(items->capacity * 2, (size_t)8);
        JINJA_TRY(lf__jinja_alloc(run, capacity, sizeof value, &grown));
        if (items->count) memcpy(grown, items->items, items->count * sizeof value);
        items->items = grown;
        items->capacity = capacity;
    }
    items->items[items->count++] = value;
    return LF_OK;
}

lf_status lf__jinja_items_list(jinja_run *run, const jinja_items *items, jinja_kind kind, jinja_value *out)
{
    JINJA_TRY(lf__jinja_list_new(run, kind, 0, out));
    out->list->items = items->items;
    out->list->count = items->count;
    return LF_OK;
}

// --- undefined -----------------------------------------------------------------------------------

static lf_status undefined_new(jinja_run *run, jinja_undefined undefined, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof undefined, &memory));
    *(jinja_undefined *)memory = undefined;
    *out = (jinja_value){.kind = JINJA_UNDEFINED, .undefined = memory};
    return LF_OK;
}

lf_status lf__jinja_undefined_hint(jinja_run *run, const char *hint, jinja_value *out)
{
    return undefined_new(run, (jinja_undefined){.hint = hint}, out);
}

lf_status lf__jinja_undefined_member(jinja_run *run, jinja_value owner, jinja_value name, jinja_value *out)
{
    void *copy;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof name, &copy));
    *(jinja_value *)copy = name;
    const char *type = owner.kind == JINJA_NONE ? "None" : lf__jinja_type_name(owner);
    return undefined_new(run, (jinja_undefined){.owner = type, .name = copy}, out);
}

lf_status lf__jinja_undefined_name(jinja_run *run, const jinja_string *name, jinja_value *out)
{
    void *copy;
    jinja_value text;
    JINJA_TRY(lf__jinja_string_view(run, name->data, name->bytes, &text));
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof text, &copy));
    *(jinja_value *)copy = text;
    return undefined_new(run, (jinja_undefined){.name = copy}, out);
}

lf_status lf__jinja_undefined_error(jinja_run *run, jinja_value value)
{
    const jinja_undefined *undefined = value.undefined;
    if (!undefined) return lf__jinja_error(run, "the value is undefined");
    if (undefined->hint) return lf__jinja_error(run, "%s", undefined->hint);
    jinja_builder name;
    jinja_value text;
    lf__jinja_builder_init(&name, run);
    JINJA_TRY(lf__jinja_repr(&name, *undefined->name));
    JINJA_TRY(lf__jinja_builder_finish(&name, &text));
    int length = (int)LF_MIN(text.string->bytes, (size_t)200);
    if (!undefined->owner) return lf__jinja_error(run, "%.*s is undefined", length, text.string->data);
    const char *object = strcmp(undefined->owner, "None") == 0 ? "" : " object";
    if (lf__jinja_is_text(*undefined->name))
        return lf__jinja_error(run, "'%s%s' has no attribute %.*s", undefined->owner, object, length,
                               text.string->data);
    return lf__jinja_error(run, "%s%s has no element %.*s", undefined->owner, object, length, text.string->data);
}

// --- JSON ----------------------------------------------------------------------------------------

static lf_status from_array(jinja_run *run, const json_t *json, jinja_value *out)
{
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, json_array_size(json), out));
    for (size_t i = 0; i < out->list->count; i++)
        JINJA_TRY(lf__jinja_from_json(run, json_array_get(json, i), &out->list->items[i]));
    return LF_OK;
}

static lf_status from_object(jinja_run *run, const json_t *json, jinja_value *out)
{
    out->kind = JINJA_DICT;
    JINJA_TRY(lf__jinja_dict_new(run, &out->dict));
    // jansson's iteration takes a mutable object but does not change it.
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        jinja_value key, value;
        const char *name = json_object_iter_key(at);
        JINJA_TRY(lf__jinja_string_view(run, name, strlen(name), &key));
        JINJA_TRY(lf__jinja_from_json(run, json_object_iter_value(at), &value));
        JINJA_TRY(lf__jinja_dict_set(run, out->dict, key, value));
    }
    return LF_OK;
}

lf_status lf__jinja_from_json(jinja_run *run, const json_t *json, jinja_value *out)
{
    lf_status status = LF_OK;
    JINJA_TRY(lf__jinja_enter(run));
    switch (json_typeof(json)) {
    case JSON_NULL: *out = lf__jinja_none(); break;
    case JSON_TRUE:
    case JSON_FALSE: *out = lf__jinja_bool(json_is_true(json)); break;
    case JSON_INTEGER: *out = lf__jinja_int(json_integer_value(json)); break;
    case JSON_REAL: *out = lf__jinja_real(json_real_value(json)); break;
    case JSON_STRING:
        status = lf__jinja_string_view(run, json_string_value(json), json_string_length(json), out);
        break;
    case JSON_ARRAY: status = from_array(run, json, out); break;
    case JSON_OBJECT: status = from_object(run, json, out); break;
    }
    lf__jinja_leave(run);
    return status;
}
