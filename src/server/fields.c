// SPDX-License-Identifier: Apache-2.0
//
// The table reader for request bodies. Trap: jansson stops at integers past 64 bits, which Python clients can send; the
// body is then parsed again with all integers as reals, so that the range check of the field can name the field.
#include "server/fields.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"

void lf_problem_add(lf_problems *problems, const char *location, const char *format, ...)
{
    if (problems->count++ == 0) snprintf(problems->param, sizeof problems->param, "%s", location);
    size_t used = strlen(problems->text), left = sizeof problems->text - used;
    if (problems->count > 8 || left < 4) return;
    char line[256];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    snprintf(problems->text + used, left, "\n  %s: %s", location, line);
}

lf_status lf_problems_refuse(const lf_problems *problems, lf_refusal *refusal)
{
    if (problems->count == 0) return LF_OK;
    return lf_refuse(refusal, 400, LF_REFUSAL_FORM, problems->param, "%zu problem%s in the request body:%s",
                     problems->count, problems->count == 1 ? "" : "s", problems->text);
}

void lf_field_show(const json_t *value, char *dst, size_t dst_bytes)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: snprintf(dst, dst_bytes, "<object of %zu keys>", json_object_size(value)); break;
    case JSON_ARRAY: snprintf(dst, dst_bytes, "<list of %zu items>", json_array_size(value)); break;
    case JSON_STRING: snprintf(dst, dst_bytes, "'%.60s'", json_string_value(value)); break;
    case JSON_INTEGER: snprintf(dst, dst_bytes, "%lld", (long long)json_integer_value(value)); break;
    case JSON_REAL: snprintf(dst, dst_bytes, "%.17g", json_real_value(value)); break;
    case JSON_TRUE: snprintf(dst, dst_bytes, "true"); break;
    case JSON_FALSE: snprintf(dst, dst_bytes, "false"); break;
    case JSON_NULL: snprintf(dst, dst_bytes, "null"); break;
    }
}

static bool wrong(lf_problems *problems, const char *location, const char *expected, const json_t *value)
{
    char shown[96];
    lf_field_show(value, shown, sizeof shown);
    lf_problem_add(problems, location, "expected %s, found %s", expected, shown);
    return false;
}

static bool is_word(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcasecmp(text, *words) == 0) return true;
    }
    return false;
}

static bool read_bool(const json_t *value, const char *location, bool *out, lf_problems *problems)
{
    static const char *const yes[] = {"true", "1", "yes", "y", "on", "t", NULL};
    static const char *const no[] = {"false", "0", "no", "n", "off", "f", NULL};
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    double number = json_number_value(value);
    if (json_is_number(value) && (number == 0 || number == 1)) {
        *out = number == 1;
        return true;
    }
    if (json_is_string(value) && is_word(json_string_value(value), yes)) {
        *out = true;
        return true;
    }
    if (json_is_string(value) && is_word(json_string_value(value), no)) {
        *out = false;
        return true;
    }
    return wrong(problems, location, "true or false", value);
}

static bool real_to_int(double real, int64_t *out)
{
    if (real != floor(real) || fabs(real) >= 9223372036854775808.0) return false;
    *out = (int64_t)real;
    return true;
}

bool lf_field_int(const json_t *value, const char *location, int64_t *out, lf_problems *problems)
{
    if (json_is_boolean(value)) {
        *out = json_is_true(value);
        return true;
    }
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        if (real_to_int(json_real_value(value), out)) return true;
        if (fabs(json_real_value(value)) >= 9223372036854775808.0) {
            return wrong(problems, location, "an integer from -2^63 to 2^63 - 1", value);
        }
        return wrong(problems, location, "an integer", value);
    }
    if (json_is_string(value) && json_string_length(value) > 0) {
        const char *text = json_string_value(value);
        char *end;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno == 0 && *end == '\0' && end == text + json_string_length(value)) {
            *out = number;
            return true;
        }
    }
    return wrong(problems, location, "an integer", value);
}

static bool read_real(const json_t *value, const char *location, double *out, lf_problems *problems)
{
    if (json_is_number(value) || json_is_boolean(value)) {
        *out = json_is_number(value) ? json_number_value(value) : json_is_true(value);
        return true;
    }
    if (json_is_string(value) && json_string_length(value) > 0) {
        const char *text = json_string_value(value);
        char *end;
        double number = strtod(text, &end);
        if (end == text + json_string_length(value) && isfinite(number)) {
            *out = number;
            return true;
        }
    }
    return wrong(problems, location, "a number", value);
}

static void read_string(const json_t *value, const char *location, const char **out, lf_problems *problems)
{
    if (!json_is_string(value)) {
        wrong(problems, location, "a string", value);
    } else if (strlen(json_string_value(value)) != json_string_length(value)) {
        lf_problem_add(problems, location, "a NUL character is not allowed here");
    } else {
        *out = json_string_value(value);
    }
}

static void read_field(const lf_field *field, const json_t *value, const char *location, void *slot,
                       lf_problems *problems)
{
    switch (field->kind) {
    case LF_FIELD_BOOL: read_bool(value, location, slot, problems); break;
    case LF_FIELD_INT: {
        lf_maybe_int *out = slot;
        out->is_set = lf_field_int(value, location, &out->value, problems);
        break;
    }
    case LF_FIELD_REAL: {
        lf_maybe_real *out = slot;
        out->is_set = read_real(value, location, &out->value, problems);
        break;
    }
    case LF_FIELD_STRING: read_string(value, location, slot, problems); break;
    case LF_FIELD_LIST:
        if (!json_is_array(value))
            wrong(problems, location, "a list", value);
        else
            *(const json_t **)slot = value;
        break;
    case LF_FIELD_OBJECT:
        if (!json_is_object(value))
            wrong(problems, location, "an object", value);
        else
            *(const json_t **)slot = value;
        break;
    case LF_FIELD_ANY: *(const json_t **)slot = value; break;
    }
}

void lf_fields_read(const lf_field *fields, size_t n_field, unsigned endpoints, const json_t *object,
                    const char *location, void *values, lf_problems *problems)
{
    for (size_t i = 0; i < n_field; i++) {
        const lf_field *field = &fields[i];
        if (!(field->endpoints & endpoints)) continue;
        const json_t *value = json_object_get(object, field->name);
        if (!value || json_is_null(value)) continue;
        char place[LF_REFUSAL_PARAM_BYTES];
        snprintf(place, sizeof place, "%s.%s", location, field->name);
        read_field(field, value, place, (char *)values + field->offset, problems);
    }
}

lf_status lf_body_parse(json_t **out, const char *bytes, size_t length, lf_refusal *refusal)
{
    if (length == 0)
        return lf_refuse(refusal, 400, LF_REFUSAL_FORM, "body", "the request has no body; a JSON object is needed");
    json_error_t problem;
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    bool is_no_memory;
    json_t *root = lf_json_loadb(bytes, length, flags, &problem, &is_no_memory);
    if (!root && json_error_code(&problem) == json_error_numeric_overflow) {
        root = lf_json_loadb(bytes, length, flags | JSON_DECODE_INT_AS_REAL, &problem, &is_no_memory);
    }
    if (!root) {
        if (is_no_memory) return lf_refuse_no_memory(refusal);
        char place[LF_REFUSAL_PARAM_BYTES];
        snprintf(place, sizeof place, "body.%d", problem.position);
        return lf_refuse(refusal, 400, LF_REFUSAL_FORM, place, "the request body is not valid JSON: %s (byte %d)",
                         problem.text, problem.position);
    }
    if (!json_is_object(root)) {
        char shown[96];
        lf_field_show(root, shown, sizeof shown);
        json_decref(root);
        return lf_refuse(refusal, 400, LF_REFUSAL_FORM, "body", "the request body must be a JSON object, found %s",
                         shown);
    }
    *out = root;
    return LF_OK;
}
