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

// Typed reads of object[key]. A missing key or null leaves *value alone and is LF_OK; a wrong type or a value outside
// [min, max] is LF_ERR_FORMAT with the key in it. Integral reals (1e6) are accepted as integers.
lf_status lf_json_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *value, lf_error *err);
lf_status lf_json_real(const json_t *object, const char *key, double min, double max, double *value, lf_error *err);
lf_status lf_json_bool(const json_t *object, const char *key, bool *value, lf_error *err);
// *value is BORROWED from the object.
lf_status lf_json_string(const json_t *object, const char *key, const char **value, lf_error *err);

#endif
