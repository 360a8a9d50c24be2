// SPDX-License-Identifier: Apache-2.0
//
// Reading the tagged objects of tokenizer.json.
#include "text/component.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { MAX_NESTING = 8 };

static lf_status walk(const json_t *json, const char *what, const char *list_key, lf_component_fn visit, void *ctx,
                      int depth, lf_error *err)
{
    if (depth > MAX_NESTING) return lf_error_set(err, LF_ERR_LIMIT, "%s sequences are nested too deeply", what);
    if (!json_is_object(json)) return lf_error_set(err, LF_ERR_FORMAT, "a %s is not an object", what);
    const char *type = NULL;
    lf_status status = lf_json_string(json, "type", &type, err);
    if (status) return lf_error_at(err, "%s", what);
    if (!type) return lf_error_set(err, LF_ERR_FORMAT, "a %s has no \"type\"", what);
    if (strcmp(type, "Sequence") != 0) return visit(ctx, json, type, err);
    status = lf_component_only(json, what, (const char *const[]){"type", list_key, NULL}, err);
    if (status) return status;
    const json_t *list = json_object_get(json, list_key);
    if (!json_is_array(list))
        return lf_error_set(err, LF_ERR_FORMAT, "a %s sequence has no list \"%s\"", what, list_key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        status = walk(json_array_get(list, i), what, list_key, visit, ctx, depth + 1, err);
        if (status) return status;
    }
    return LF_OK;
}

lf_status lf_component_walk(const json_t *json, const char *what, const char *list_key, lf_component_fn visit,
                            void *ctx, lf_error *err)
{
    if (!json || json_is_null(json)) return LF_OK;
    return walk(json, what, list_key, visit, ctx, 1, err);
}

lf_status lf_component_only(const json_t *json, const char *what, const char *const *keys, lf_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) // jansson's iterator wants a mutable object
    {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], key) != 0) i++;
        if (!keys[i]) return lf_error_set(err, LF_ERR_UNSUPPORTED, "%s has an unknown setting \"%s\"", what, key);
    }
    return LF_OK;
}

static lf_status missing(const char *key, lf_error *err)
{
    return lf_error_set(err, LF_ERR_FORMAT, "\"%s\" is missing", key);
}

lf_status lf_component_string(const json_t *json, const char *key, char **out, size_t *length, lf_error *err)
{
    const json_t *value = json_object_get(json, key);
    const char *ignored;
    if (!value || json_is_null(value)) return missing(key, err);
    lf_status status = lf_json_string(json, key, &ignored, err);
    if (status) return status;
    *length = json_string_length(value);
    *out = malloc(*length + 1);
    if (!*out) return lf_error_no_memory(err, *length + 1);
    memcpy(*out, json_string_value(value), *length + 1);
    return LF_OK;
}

lf_status lf_component_bool(const json_t *json, const char *key, bool *out, lf_error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value)) return missing(key, err);
    return lf_json_bool(json, key, out, err);
}

lf_status lf_component_int(const json_t *json, const char *key, int64_t min, int64_t max, int64_t *out, lf_error *err)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value)) return missing(key, err);
    return lf_json_int(json, key, min, max, out, err);
}

lf_status lf_pattern_init(lf_pattern *pattern, const json_t *json, lf_error *err)
{
    const json_t *regex = json_object_get(json, "Regex");
    const json_t *literal = json_object_get(json, "String");
    *pattern = (lf_pattern){0};
    if (json_object_size(json) != 1 || !(json_is_string(regex) || json_is_string(literal))) {
        return lf_error_set(err, LF_ERR_UNSUPPORTED, "a pattern is neither {\"Regex\": ...} nor {\"String\": ...}");
    }
    if (regex) return lf_regex_compile(&pattern->regex, json_string_value(regex), json_string_length(regex), err);
    if (json_string_length(literal) == 0) return lf_error_set(err, LF_ERR_UNSUPPORTED, "a pattern is the empty string");
    return lf_component_string(json, "String", &pattern->literal, &pattern->literal_length, err);
}

void lf_pattern_fini(lf_pattern *pattern)
{
    lf_regex_free(pattern->regex);
    free(pattern->literal);
    *pattern = (lf_pattern){0};
}

void lf_pattern_start(lf_pattern_walk *walk, const lf_pattern *pattern, lf_regex_scratch *scratch, const char *text,
                      size_t length)
{
    walk->pattern = pattern;
    walk->regex = (lf_regex_walk){
        .regex = pattern->regex, .scratch = scratch, .text = text, .length = length, .last_end = SIZE_MAX};
}

lf_status lf_pattern_next(lf_pattern_walk *walk, bool *found, size_t *begin, size_t *end, lf_error *err)
{
    const lf_pattern *pattern = walk->pattern;
    lf_regex_walk *at = &walk->regex;
    if (pattern->regex) return lf_regex_next(at, found, begin, end, err);
    const char *rest = at->text + at->from;
    const char *hit = memmem(rest, at->length - at->from, pattern->literal, pattern->literal_length);
    *found = hit != NULL;
    if (!hit) return LF_OK;
    *begin = (size_t)(hit - at->text);
    *end = at->from = *begin + pattern->literal_length;
    return LF_OK;
}
