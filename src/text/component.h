// SPDX-License-Identifier: Apache-2.0
//
// What the parts of tokenizer.json have in common: tagged objects and sequences of them, strict keys, and the two kinds
// of pattern, {"String": "..."} and {"Regex": "..."}.
#ifndef LF_TEXT_COMPONENT_H
#define LF_TEXT_COMPONENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "text/regex.h"

// Calls `visit` for every component in order: `json` is null or NULL (none), a component, or {"type": "Sequence",
// <list_key>:
// [...]}, nested at most 8 deep. `what` names the kind in errors.
typedef lf_status (*lf_component_fn)(void *ctx, const json_t *json, const char *type, lf_error *err);
lf_status lf_component_walk(const json_t *json, const char *what, const char *list_key, lf_component_fn visit,
                            void *ctx, lf_error *err);
// LF_ERR_UNSUPPORTED when the object has a key that is not in the NULL-terminated list.
lf_status lf_component_only(const json_t *json, const char *what, const char *const *keys, lf_error *err);
// Required values; LF_ERR_FORMAT when missing or of another type. The string is a copy: free() it.
lf_status lf_component_string(const json_t *json, const char *key, char **out, size_t *length, lf_error *err);
lf_status lf_component_bool(const json_t *json, const char *key, bool *out, lf_error *err);
lf_status lf_component_int(const json_t *json, const char *key, int64_t min, int64_t max, int64_t *out, lf_error *err);

typedef struct lf_pattern {
    lf_regex *regex; // OWNED; NULL for a plain string
    char *literal;   // OWNED, not empty
    size_t literal_length;
} lf_pattern;

lf_status lf_pattern_init(lf_pattern *pattern, const json_t *json, lf_error *err);
void lf_pattern_fini(lf_pattern *pattern);

// The matches of a pattern, as lf_regex_next() gives them.
typedef struct lf_pattern_walk {
    const lf_pattern *pattern;
    lf_regex_walk regex;
} lf_pattern_walk;
void lf_pattern_start(lf_pattern_walk *walk, const lf_pattern *pattern, lf_regex_scratch *scratch, const char *text,
                      size_t length);
lf_status lf_pattern_next(lf_pattern_walk *walk, bool *found, size_t *begin, size_t *end, lf_error *err);

#endif
