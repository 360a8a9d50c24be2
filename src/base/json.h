// SPDX-License-Identifier: Apache-2.0
//
// JSON through jansson, with Landfall's errors: files are read under a size limit, duplicate keys are refused, and
// typed getters name the file and the key that is wrong. (safetensors headers and the index have a pull reader of their
// own in checkpoint.)
#ifndef LF_BASE_JSON_H
#define LF_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

// Reads and parses a JSON file; *out is a new reference (json_decref it). LF_ERR_NOT_FOUND when there is no such file.
lf_status lf_json_load(json_t **out, const char *path, size_t limit_bytes, lf_error *err);
// Parses text in memory; `subject` names it in errors.
lf_status lf_json_parse(json_t **out, const char *text, size_t length, const char *subject, lf_error *err);

// Text as a JSON string; bytes that are not UTF-8 (a path may hold some) become '?'. NULL without memory.
json_t *lf_json_lossy_string(const char *text);
// json_loadb that knows why it failed: *is_no_memory, or what stands in *problem. (jansson takes a string that it has
// no memory for to be wrong syntax; so a fault counts when it is found twice.)
json_t *lf_json_loadb(const char *text, size_t length, size_t flags, json_error_t *problem, bool *is_no_memory);

// Typed reads of object[key]. A missing key or null leaves *value alone and is LF_OK; a wrong type or a value outside
// [min, max] is LF_ERR_FORMAT with the key in it. Integral reals (1e6) are accepted as integers.
lf_status lf_json_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *value, lf_error *err);
lf_status lf_json_real(const json_t *object, const char *key, double min, double max, double *value, lf_error *err);
lf_status lf_json_bool(const json_t *object, const char *key, bool *value, lf_error *err);
// *value is BORROWED from the object.
lf_status lf_json_string(const json_t *object, const char *key, const char **value, lf_error *err);

// Building without a check at each step: both take over the reference to the new part, and when memory is gone (the
// part or the whole is NULL then, or cannot grow) the whole is released and becomes NULL, and stays NULL. So a document
// is complete or absent, never short of a piece.
void lf_json_append(json_t **list, json_t *item);
void lf_json_put(json_t **object, const char *key, json_t *value);

// Copies as new references, NULL when memory is gone. (json_copy() and json_deep_copy() leave members out then, and do
// not say so.)
json_t *lf_json_copy(const json_t *value);
json_t *lf_json_deep_copy(const json_t *value);

#endif
