// SPDX-License-Identifier: Apache-2.0
//
// Functions that every template can call: range, dict, namespace, cycler, joiner, and the two that transformers adds,
// raise_exception and strftime_now.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

enum { MAX_RANGE = 100000 }; // of jinja2's sandbox

static lf_status global_range(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t start = 0, stop, step = 1;
    if (call->args->n_named) return lf__jinja_error(run, "range() takes no keyword arguments");
    if (call->args->n_items < 1 || call->args->n_items > 3)
        return lf__jinja_error(run, "range expected 1 to 3 arguments, got %zu", call->args->n_items);
    for (size_t i = 0; i < call->args->n_items; i++) call->params[i] = call->args->items[i];
    JINJA_TRY(lf__jinja_param_int(run, call, 0, call->args->n_items == 1 ? &stop : &start));
    JINJA_TRY(lf__jinja_param_int(run, call, 1, &stop));
    JINJA_TRY(lf__jinja_param_int(run, call, 2, &step));
    if (step == 0) return lf__jinja_error(run, "range() arg 3 must not be zero");
    bool empty = step > 0 ? start >= stop : start <= stop;
    uint64_t distance = empty ? 0 : step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t count = empty ? 0 : (distance - 1) / stride + 1;
    if (count > MAX_RANGE)
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "range has more than %d elements", MAX_RANGE);
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_range), &memory));
    *(jinja_range *)memory = (jinja_range){start, stop, step, (size_t)count};
    *out = (jinja_value){.kind = JINJA_RANGE, .range = memory};
    return LF_OK;
}

// Adds what dict(x) takes: a mapping, or pairs.
static lf_status update(jinja_run *run, jinja_dict *dict, jinja_value from)
{
    if (from.kind == JINJA_DICT) {
        for (size_t i = 0; i < from.dict->count; i++)
            JINJA_TRY(lf__jinja_dict_set(run, dict, from.dict->entries[i].key, from.dict->entries[i].value));
        return LF_OK;
    }
    jinja_value pairs, pair;
    JINJA_TRY(lf__jinja_to_list(run, from, JINJA_LIST, &pairs));
    for (size_t i = 0; i < pairs.list->count; i++) {
        JINJA_TRY(lf__jinja_to_list(run, pairs.list->items[i], JINJA_LIST, &pair));
        if (pair.list->count != 2)
            return lf__jinja_error(run, "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                                   pair.list->count);
        JINJA_TRY(lf__jinja_dict_set(run, dict, pair.list->items[0], pair.list->items[1]));
    }
    return LF_OK;
}

static lf_status fill_dict(jinja_run *run, const jinja_call *call, jinja_dict **out)
{
    JINJA_TRY(lf__jinja_dict_new(run, out));
    if (call->args->n_items > 1)
        return lf__jinja_error(run, "dict expected at most 1 argument, got %zu", call->args->n_items);
    if (call->args->n_items == 1) JINJA_TRY(update(run, *out, call->args->items[0]));
    for (size_t i = 0; i < call->args->n_named; i++) {
        jinja_value key = {.kind = JINJA_STRING, .string = call->args->named[i].name};
        JINJA_TRY(lf__jinja_dict_set(run, *out, key, call->args->named[i].value));
    }
    return LF_OK;
}

static lf_status global_dict(jinja_run *run, jinja_call *call, jinja_value *out)
{
    out->kind = JINJA_DICT;
    return fill_dict(run, call, &out->dict);
}

static lf_status global_fromkeys(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value keys, value = lf__jinja_given(call->params[1]) ? call->params[1] : lf__jinja_none();
    JINJA_TRY(lf__jinja_to_list(run, call->params[0], JINJA_LIST, &keys));
    out->kind = JINJA_DICT;
    JINJA_TRY(lf__jinja_dict_new(run, &out->dict));
    for (size_t i = 0; i < keys.list->count; i++)
        JINJA_TRY(lf__jinja_dict_set(run, out->dict, keys.list->items[i], value));
    return LF_OK;
}

static lf_status global_namespace(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_dict *members;
    JINJA_TRY(fill_dict(run, call, &members));
    for (size_t i = 0; i < members->count; i++) {
        jinja_value key = members->entries[i].key;
        if (lf__jinja_is_text(key) && key.string->bytes && key.string->data[0] == '_')
            return lf__jinja_error(run, "chat templates cannot store underscore-prefixed attributes on a namespace");
    }
    *out = (jinja_value){.kind = JINJA_NAMESPACE, .dict = members};
    return LF_OK;
}

static lf_status global_cycler(jinja_run *run, jinja_call *call, jinja_value *out)
{
    void *memory;
    if (call->args->n_named) return lf__jinja_error(run, "cycler() got an unexpected keyword argument");
    if (call->args->n_items == 0) return lf__jinja_error(run, "at least one item has to be provided");
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_cycler), &memory));
    *(jinja_cycler *)memory = (jinja_cycler){.items = call->args->items, .count = call->args->n_items};
    *out = (jinja_value){.kind = JINJA_CYCLER, .cycler = memory};
    return LF_OK;
}

static lf_status global_joiner(jinja_run *run, jinja_call *call, jinja_value *out)
{
    void *memory;
    jinja_value separator = call->params[0];
    if (!lf__jinja_given(separator)) JINJA_TRY(lf__jinja_string_view(run, ", ", 2, &separator));
    if (!lf__jinja_is_text(separator)) JINJA_TRY(lf__jinja_str(run, separator, &separator));
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_joiner), &memory));
    *(jinja_joiner *)memory = (jinja_joiner){.separator = separator.string};
    *out = (jinja_value){.kind = JINJA_JOINER, .joiner = memory};
    return LF_OK;
}

// The message is for whoever sent the conversation, so nothing is put around it.
static lf_status global_raise(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value text;
    char message[LF_ERROR_MESSAGE_BYTES];
    JINJA_TRY(lf__jinja_str(run, call->params[0], &text));
    size_t bytes = LF_MIN(text.string->bytes, sizeof message - 1);
    memcpy(message, text.string->data, bytes);
    message[lf__utf8_prefix(message, bytes)] = '\0';
    lf_error_set(run->err, LF_ERR_INVALID, "%s", message);
    lf_error_subject(run->err, "template line %d", run->line);
    return LF_ERR_INVALID;
}

// The format for the C library: what Python answers itself is put in. A blank comes first, because strftime() answers 0
// both for an empty text and for one that does not fit.
static void put_time_format(jinja_builder *builder, const jinja_string *format)
{
    lf__jinja_puts(builder, " ");
    for (size_t i = 0; i < format->bytes; i++) {
        bool pair = format->data[i] == '%' && i + 1 < format->bytes;
        char letter = pair ? format->data[i + 1] : 0;
        if (letter == 'f') lf__jinja_puts(builder, "000000");
        if (letter != 'f' && letter != 'z' && letter != 'Z') // the time has no zone
            lf__jinja_put(builder, format->data + i, pair ? 2 : 1);
        i += pair;
    }
    lf__jinja_put(builder, "", 1);
}

static lf_status global_strftime(jinja_run *run, jinja_call *call, jinja_value *out)
{
    enum { MAX_TIME_BYTES = 4096 };
    jinja_string *format = NULL;
    jinja_builder builder;
    jinja_value pattern;
    struct tm local;
    void *text;
    time_t now = run->now ? (time_t)run->now : time(NULL);
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &format));
    if (!localtime_r(&now, &local)) return lf__jinja_error(run, "strftime_now(): the time is out of range");
    lf__jinja_builder_init(&builder, run);
    put_time_format(&builder, format);
    JINJA_TRY(lf__jinja_builder_finish(&builder, &pattern));
    JINJA_TRY(lf__jinja_alloc(run, MAX_TIME_BYTES, 1, &text));
    size_t bytes = strftime(text, MAX_TIME_BYTES, pattern.string->data, &local);
    if (bytes == 0) return lf__jinja_error_status(run, LF_ERR_LIMIT, "strftime_now(): text is too long");
    return lf__jinja_string_view(run, (char *)text + 1, bytes - 1, out);
}

const jinja_native *lf__jinja_table_find(const jinja_native *table, size_t n, const char *name, size_t bytes)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].name[0] == name[0] && strlen(table[i].name) == bytes && memcmp(table[i].name, name, bytes) == 0)
            return &table[i];
    return NULL;
}

const jinja_native *lf__jinja_global(const char *name, size_t bytes)
{
    static const jinja_native globals[] = {
        {"range", NULL, 0, global_range, 0},
        {"dict", NULL, 0, global_dict, 0},
        {"dict.fromkeys", "/keys,value", 1, global_fromkeys, 0},
        {"namespace", NULL, 0, global_namespace, 0},
        {"cycler", NULL, 0, global_cycler, 0},
        {"joiner", "sep", 0, global_joiner, 0},
        {"raise_exception", "message", 1, global_raise, 0},
        {"strftime_now", "format", 1, global_strftime, 0},
    };
    return lf__jinja_table_find(globals, LF_ARRAY_LENGTH(globals), name, bytes);
}
