// SPDX-License-Identifier: Apache-2.0
//
// Fields of a JSON request body as data: one row per field says its name, its type and where its value goes. All rows
// are read and all that is wrong is reported together. Types are as lenient as vLLM's (numbers in strings, whole reals
// as integers), null counts as absent, and a field without a row is ignored.
#ifndef LF_SERVER_FIELDS_H
#define LF_SERVER_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "server/refusal.h"

typedef struct lf_maybe_int {
    int64_t value;
    bool is_set;
} lf_maybe_int;

typedef struct lf_maybe_real {
    double value; // always finite: JSON has no other numbers
    bool is_set;
} lf_maybe_real;

typedef enum lf_field_kind {
    LF_FIELD_BOOL,   // bool
    LF_FIELD_INT,    // lf_maybe_int
    LF_FIELD_REAL,   // lf_maybe_real
    LF_FIELD_STRING, // const char *, BORROWED from the body; contains no NUL byte
    LF_FIELD_LIST,   // const json_t *, BORROWED: an array
    LF_FIELD_OBJECT, // const json_t *, BORROWED: an object
    LF_FIELD_ANY,    // const json_t *, BORROWED: anything but null
} lf_field_kind;

typedef struct lf_field {
    const char *name;
    lf_field_kind kind;
    unsigned endpoints; // rows whose bit is not asked for are skipped
    size_t offset;      // of the value in the caller's struct
} lf_field;

// What is wrong with the form of a body: the place of the first problem, and the text of the first few.
typedef struct lf_problems {
    size_t count;
    char param[LF_REFUSAL_PARAM_BYTES]; // "body.temperature"
    char text[LF_REFUSAL_MESSAGE_BYTES - 64];
} lf_problems;

void lf_problem_add(lf_problems *problems, const char *location, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// LF_OK when there are none; otherwise fills `refusal`.
lf_status lf_problems_refuse(const lf_problems *problems, lf_refusal *refusal);

// Reads the fields of `object` into `values`, which holds the defaults. `location` is the object's own place ("body").
void lf_fields_read(const lf_field *fields, size_t n_field, unsigned endpoints, const json_t *object,
                    const char *location, void *values, lf_problems *problems);
// Reads an integer, leniently as above; false (and a problem) when it is none.
bool lf_field_int(const json_t *value, const char *location, int64_t *out, lf_problems *problems);
// A short form of a value for messages: 'hot', 3, <list of 2 items>.
void lf_field_show(const json_t *value, char *dst, size_t dst_bytes);

// Parses a request body: strict JSON in UTF-8, an object. Duplicate keys: the last one counts. *out is a new reference.
lf_status lf_body_parse(json_t **out, const char *bytes, size_t length, lf_refusal *refusal);

#endif
