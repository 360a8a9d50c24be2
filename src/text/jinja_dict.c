// SPDX-License-Identifier: Apache-2.0
//
// Dictionaries in order of insertion. Equal numbers are one key, whatever their type: {1: a}[true] is a. A key that a
// hostile context crafts to collide costs steps, so the limit on steps ends it.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_value.h"

enum { SMALL_DICT = 8 };

lf_status lf__jinja_dict_new(jinja_run *run, jinja_dict **out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_dict), &memory));
    *out = memory;
    return LF_OK;
}

bool lf__jinja_is_hashable(jinja_value value)
{
    if (value.kind == JINJA_TUPLE) {
        for (size_t i = 0; i < value.list->count; i++)
            if (!lf__jinja_is_hashable(value.list->items[i])) return false;
        return true;
    }
    return value.kind != JINJA_LIST && value.kind != JINJA_DICT && value.kind != JINJA_VIEW;
}

static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 32;
}

static uint64_t hash_bytes(const char *data, size_t bytes)
{
    uint64_t hash = bytes * 0x9E3779B97F4A7C15u;
    while (bytes >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        hash = mix(hash ^ word);
        data += 8;
        bytes -= 8;
    }
    uint64_t rest = 0;
    if (bytes) memcpy(&rest, data, bytes);
    return mix(hash ^ rest);
}

static lf_status hash_value(jinja_run *run, jinja_value value, uint64_t *out)
{
    double real;
    switch (value.kind) {
    case JINJA_STRING:
        JINJA_TRY(lf__jinja_charge_bytes(run, value.string->bytes));
        *out = hash_bytes(value.string->data, value.string->bytes);
        return LF_OK;
    case JINJA_BOOL: *out = mix((uint64_t)value.boolean); return LF_OK;
    case JINJA_INT: *out = mix((uint64_t)value.integer); return LF_OK;
    case JINJA_FLOAT:
        real = value.real;
        if (real == floor(real) && fabs(real) < 0x1p63)
            *out = mix((uint64_t)(int64_t)real);
        else
            *out = hash_bytes((const char *)&real, sizeof real);
        return LF_OK;
    case JINJA_TUPLE:
        JINJA_TRY(lf__jinja_enter(run));
        *out = mix(value.list->count);
        for (size_t i = 0; i < value.list->count; i++) {
            uint64_t hash;
            JINJA_TRY(hash_value(run, value.list->items[i], &hash));
            *out = mix(*out + hash);
        }
        lf__jinja_leave(run);
        return LF_OK;
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_VIEW: return lf__jinja_error(run, "unhashable type: '%s'", lf__jinja_type_name(value));
    default: *out = mix((uint64_t)value.kind); return LF_OK; // compared by identity; few are ever keys
    }
}

static lf_status is_key(jinja_run *run, const jinja_entry *entry, uint64_t hash, jinja_value key, bool *out)
{
    *out = false;
    if (entry->hash != hash) return LF_OK;
    if (entry->key.kind == JINJA_STRING && key.kind == JINJA_STRING) {
        *out = entry->key.string->bytes == key.string->bytes &&
               memcmp(entry->key.string->data, key.string->data, key.string->bytes) == 0;
        return LF_OK;
    }
    return lf__jinja_equal(run, entry->key, key, out);
}

static lf_status find_hashed(jinja_run *run, const jinja_dict *dict, jinja_value key, uint64_t hash, jinja_entry **out)
{
    bool found = false;
    *out = NULL;
    if (!dict->index_size) {
        for (size_t i = 0; i < dict->count && !found; i++) {
            JINJA_TRY(is_key(run, &dict->entries[i], hash, key, &found));
            if (found) *out = &dict->entries[i];
        }
        return LF_OK;
    }
    size_t mask = dict->index_size - 1;
    for (size_t i = hash & mask; dict->index[i] && !found; i = (i + 1) & mask) {
        JINJA_TRY(lf__jinja_charge(run, 1));
        jinja_entry *entry = &dict->entries[dict->index[i] - 1];
        JINJA_TRY(is_key(run, entry, hash, key, &found));
        if (found) *out = entry;
    }
    return LF_OK;
}

lf_status lf__jinja_dict_find(jinja_run *run, const jinja_dict *dict, jinja_value key, jinja_entry **out)
{
    uint64_t hash;
    JINJA_TRY(hash_value(run, key, &hash));
    return find_hashed(run, dict, key, hash, out);
}

lf_status lf__jinja_dict_find_text(jinja_run *run, const jinja_dict *dict, const char *key, size_t bytes,
                                   jinja_entry **out)
{
    jinja_string string = {.data = key, .bytes = bytes};
    return lf__jinja_dict_find(run, dict, (jinja_value){.kind = JINJA_STRING, .string = &string}, out);
}

static void index_entry(jinja_dict *dict, size_t entry)
{
    size_t mask = dict->index_size - 1;
    size_t i = dict->entries[entry].hash & mask;
    while (dict->index[i]) i = (i + 1) & mask;
    dict->index[i] = (uint32_t)entry + 1;
}

static lf_status grow(jinja_run *run, jinja_dict *dict)
{
    void *entries, *index;
    size_t capacity = LF_MAX(dict->capacity * 2, (size_t)SMALL_DICT);
    JINJA_TRY(lf__jinja_alloc(run, capacity, sizeof(jinja_entry), &entries));
    if (dict->count) memcpy(entries, dict->entries, dict->count * sizeof(jinja_entry));
    dict->entries = entries;
    dict->capacity = capacity;
    if (capacity <= SMALL_DICT) return LF_OK;
    JINJA_TRY(lf__jinja_charge(run, dict->count));
    JINJA_TRY(lf__jinja_alloc(run, capacity * 2, sizeof(uint32_t), &index));
    dict->index = index;
    dict->index_size = capacity * 2;
    for (size_t i = 0; i < dict->count; i++) index_entry(dict, i);
    return LF_OK;
}

lf_status lf__jinja_dict_set(jinja_run *run, jinja_dict *dict, jinja_value key, jinja_value value)
{
    uint64_t hash;
    jinja_entry *entry;
    JINJA_TRY(hash_value(run, key, &hash));
    JINJA_TRY(find_hashed(run, dict, key, hash, &entry));
    if (entry) {
        entry->value = value;
        return LF_OK;
    }
    if (dict->count == dict->capacity) JINJA_TRY(grow(run, dict));
    dict->entries[dict->count] = (jinja_entry){.key = key, .value = value, .hash = hash};
    if (dict->index_size) index_entry(dict, dict->count);
    dict->count++;
    return LF_OK;
}
