// SPDX-License-Identifier: Apache-2.0
//
// Iterating. What Python makes lazy is lazy here too: the elements of select, map and their like are computed when they
// are asked for, once; a generator that was read to its end is empty from then on.
#include <string.h>

#include "text/jinja_exec.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"

struct jinja_iter {
    jinja_value source;
    size_t position; // next element; for a string its byte offset
    jinja_next_fn next;
    void *state;
};

static lf_status iter_alloc(jinja_run *run, jinja_iter iter, jinja_iter **out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof iter, &memory));
    *out = memory;
    **out = iter;
    return LF_OK;
}

bool lf__jinja_is_iterable(jinja_value value)
{
    switch (value.kind) {
    case JINJA_UNDEFINED:
    case JINJA_STRING:
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_RANGE:
    case JINJA_ITERATOR: return true;
    default: return false;
    }
}

lf_status lf__jinja_iter_new(jinja_run *run, jinja_value value, jinja_iter **out)
{
    if (value.kind == JINJA_ITERATOR) {
        *out = value.iter;
        return LF_OK;
    }
    if (!lf__jinja_is_iterable(value))
        return lf__jinja_error(run, "'%s' object is not iterable", lf__jinja_type_name(value));
    return iter_alloc(run, (jinja_iter){.source = value}, out);
}

lf_status lf__jinja_iter_of(jinja_run *run, jinja_next_fn next, void *state, jinja_value *out)
{
    out->kind = JINJA_ITERATOR;
    return iter_alloc(run, (jinja_iter){.next = next, .state = state}, &out->iter);
}

lf_status lf__jinja_view_item(jinja_run *run, const jinja_view *view, size_t i, jinja_value *out)
{
    const jinja_entry *entry = &view->dict->entries[i];
    if (view->kind == JINJA_VIEW_ITEMS) return lf__jinja_pair(run, entry->key, entry->value, out);
    *out = view->kind == JINJA_VIEW_KEYS ? entry->key : entry->value;
    return LF_OK;
}

static jinja_value range_item(const jinja_range *range, size_t i)
{
    return lf__jinja_int(range->start + (int64_t)i * range->step);
}

static lf_status next_char(jinja_run *run, jinja_iter *iter, jinja_value *out, bool *has)
{
    const jinja_string *string = iter->source.string;
    *has = iter->position < string->bytes;
    if (!*has) return LF_OK;
    const char *data = string->data + iter->position;
    size_t bytes = lf__utf8_offset(data, string->bytes - iter->position, 1);
    iter->position += bytes;
    JINJA_TRY(lf__jinja_string_view(run, data, bytes, out));
    out->string->chars = 1;
    return LF_OK;
}

lf_status lf__jinja_iter_next(jinja_run *run, jinja_iter *iter, jinja_value *out, bool *has)
{
    size_t i = iter->position, n = 0;
    lf_status status;
    JINJA_TRY(lf__jinja_enter(run)); // a generator may stand on another generator, and so on
    if (iter->next) {
        status = iter->next(run, iter->state, out, has);
        lf__jinja_leave(run);
        return status;
    }
    lf__jinja_leave(run);
    if (iter->source.kind == JINJA_STRING) return next_char(run, iter, out, has);
    bool sized;
    JINJA_TRY(lf__jinja_length(run, iter->source, &n, &sized));
    *has = i < n;
    if (!*has) return LF_OK;
    iter->position++;
    switch (iter->source.kind) {
    case JINJA_DICT: *out = iter->source.dict->entries[i].key; return LF_OK;
    case JINJA_VIEW: return lf__jinja_view_item(run, iter->source.view, i, out);
    case JINJA_RANGE: *out = range_item(iter->source.range, i); return LF_OK;
    default: *out = iter->source.list->items[i]; return LF_OK;
    }
}

lf_status lf__jinja_to_list(jinja_run *run, jinja_value value, jinja_kind kind, jinja_value *out)
{
    jinja_iter *iter;
    jinja_items items = {0};
    JINJA_TRY(lf__jinja_iter_new(run, value, &iter));
    for (;;) {
        jinja_value item;
        bool has;
        JINJA_TRY(lf__jinja_iter_next(run, iter, &item, &has));
        if (!has) return lf__jinja_items_list(run, &items, kind, out);
        JINJA_TRY(lf__jinja_items_push(run, &items, item));
    }
}

lf_status lf__jinja_length(jinja_run *run, jinja_value value, size_t *out, bool *has)
{
    *has = true;
    switch (value.kind) {
    case JINJA_UNDEFINED: *out = 0; return LF_OK;
    case JINJA_STRING:
        if (value.string->chars == SIZE_MAX) {
            JINJA_TRY(lf__jinja_charge_bytes(run, value.string->bytes));
            value.string->chars = lf__utf8_count(value.string->data, value.string->bytes);
        }
        *out = value.string->chars;
        return LF_OK;
    case JINJA_LIST:
    case JINJA_TUPLE: *out = value.list->count; return LF_OK;
    case JINJA_DICT: *out = value.dict->count; return LF_OK;
    case JINJA_VIEW: *out = value.view->dict->count; return LF_OK;
    case JINJA_RANGE: *out = value.range->count; return LF_OK;
    case JINJA_LOOP: return lf__jinja_loop_length(run, value.loop, out);
    default: *has = false; return LF_OK;
    }
}

// --- backwards -----------------------------------------------------------------------------------

typedef struct reversed_state {
    jinja_value source;
    size_t left; // elements, or bytes of a string
} reversed_state;

static lf_status next_reversed(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    reversed_state *reversed = state;
    jinja_value source = reversed->source;
    *has = reversed->left > 0;
    if (!*has) return LF_OK;
    if (source.kind == JINJA_STRING) {
        size_t end = reversed->left;
        reversed->left = lf__utf8_before(source.string->data, end);
        return lf__jinja_string_view(run, source.string->data + reversed->left, end - reversed->left, out);
    }
    size_t i = --reversed->left;
    switch (source.kind) {
    case JINJA_DICT: *out = source.dict->entries[i].key; return LF_OK;
    case JINJA_VIEW: return lf__jinja_view_item(run, source.view, i, out);
    case JINJA_RANGE: *out = range_item(source.range, i); return LF_OK;
    default: *out = source.list->items[i]; return LF_OK;
    }
}

lf_status lf__jinja_reversed(jinja_run *run, jinja_value value, jinja_value *out, bool *has)
{
    void *memory;
    size_t n;
    *has = value.kind != JINJA_ITERATOR && lf__jinja_is_iterable(value);
    if (!*has) return LF_OK;
    bool sized;
    JINJA_TRY(lf__jinja_length(run, value, &n, &sized));
    if (value.kind == JINJA_STRING) n = value.string->bytes;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(reversed_state), &memory));
    *(reversed_state *)memory = (reversed_state){.source = value, .left = n};
    return lf__jinja_iter_of(run, next_reversed, memory, out);
}
