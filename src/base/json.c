// SPDX-License-Identifier: Apache-2.0
//
// jansson behind Landfall's errors and limits.
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

json_t *lf_json_loadb(const char *text, size_t length, size_t flags, json_error_t *problem, bool *is_no_memory)
{
    json_t *root = json_loadb(text, length, flags, problem);
    if (!root) root = json_loadb(text, length, flags, problem);
    *is_no_memory = !root && (problem->text[0] == '\0' || json_error_code(problem) == json_error_out_of_memory);
    return root;
}

lf_status lf_json_parse(json_t **out, const char *text, size_t length, const char *subject, lf_error *err)
{
    json_error_t problem;
    bool is_no_memory;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *root = lf_json_loadb(text, length, flags, &problem, &is_no_memory);
    if (!root) {
        if (is_no_memory) return lf_error_no_memory(err, 0);
        lf_error_set(err, LF_ERR_FORMAT, "%s is not valid JSON: line %d column %d: %s", subject, problem.line,
                     problem.column, problem.text);
        return lf_error_subject(err, "%s", subject);
    }
    *out = root;
    return LF_OK;
}

lf_status lf_json_load(json_t **out, const char *path, size_t limit_bytes, lf_error *err)
{
    char *text;
    size_t length;
    lf_status status = lf_file_read(&text, &length, path, limit_bytes, err);
    if (status) return status;
    status = lf_json_parse(out, text, length, path, err);
    free(text);
    return status;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    case JSON_NULL: return "null";
    }
    return "an unknown type";
}

static lf_status wrong_type(const char *key, const char *expected, const json_t *value, lf_error *err)
{
    lf_error_set(err, LF_ERR_FORMAT, "wrong type of \"%s\"", key);
    lf_error_subject(err, "%s", key);
    lf_error_expected(err, "%s", expected);
    return lf_error_found(err, "%s", type_name(value));
}

// object[key], or NULL when it is missing or null.
static const json_t *present(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

lf_status lf_json_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *value, lf_error *err)
{
    const json_t *found = present(object, key);
    if (!found) return LF_OK;
    double real = json_number_value(found);
    int64_t integer = 0;
    if (json_is_integer(found)) {
        integer = json_integer_value(found);
    } else if (json_is_real(found) && real == floor(real) && fabs(real) < 9007199254740992.0) {
        integer = (int64_t)real;
    } else {
        return wrong_type(key, "an integer", found, err);
    }
    if (integer < min || integer > max) {
        lf_error_set(err, LF_ERR_FORMAT, "\"%s\" is out of range", key);
        lf_error_subject(err, "%s", key);
        lf_error_expected(err, "%lld to %lld", (long long)min, (long long)max);
        return lf_error_found(err, "%lld", (long long)integer);
    }
    *value = integer;
    return LF_OK;
}

lf_status lf_json_real(const json_t *object, const char *key, double min, double max, double *value, lf_error *err)
{
    const json_t *found = present(object, key);
    if (!found) return LF_OK;
    if (!json_is_number(found)) return wrong_type(key, "a number", found, err);
    double real = json_number_value(found);
    if (!(real >= min && real <= max)) {
        lf_error_set(err, LF_ERR_FORMAT, "\"%s\" is out of range", key);
        lf_error_subject(err, "%s", key);
        lf_error_expected(err, "%g to %g", min, max);
        return lf_error_found(err, "%g", real);
    }
    *value = real;
    return LF_OK;
}

lf_status lf_json_bool(const json_t *object, const char *key, bool *value, lf_error *err)
{
    const json_t *found = present(object, key);
    if (!found) return LF_OK;
    if (!json_is_boolean(found)) return wrong_type(key, "a boolean", found, err);
    *value = json_is_true(found);
    return LF_OK;
}

lf_status lf_json_string(const json_t *object, const char *key, const char **value, lf_error *err)
{
    const json_t *found = present(object, key);
    if (!found) return LF_OK;
    if (!json_is_string(found)) return wrong_type(key, "a string", found, err);
    *value = json_string_value(found);
    return LF_OK;
}

json_t *lf_json_lossy_string(const char *text)
{
    json_t *value = json_string(text);
    if (value) return value;
    char *ascii = strdup(text);
    for (char *at = ascii; ascii && *at; at++) {
        if ((unsigned char)*at >= 0x80) *at = '?';
    }
    value = json_string(ascii);
    free(ascii);
    return value;
}

void lf_json_append(json_t **list, json_t *item)
{
    if (json_array_append_new(*list, item) == 0) return;
    json_decref(*list);
    *list = NULL;
}

void lf_json_put(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) == 0) return;
    json_decref(*object);
    *object = NULL;
}

// A copy is complete when it has as many members; null, numbers and texts have none.
json_t *lf_json_copy(const json_t *value)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)value);
    if (json_object_size(copy) == json_object_size(value) && json_array_size(copy) == json_array_size(value))
        return copy;
    json_decref(copy);
    return NULL;
}

json_t *lf_json_deep_copy(const json_t *value)
{
    json_t *copy = json_deep_copy(value);
    if (copy && json_equal(copy, value)) return copy;
    json_decref(copy);
    return NULL;
}
