// SPDX-License-Identifier: Apache-2.0
//
// Functions that templates call and the interpreter implements: globals, filters, tests and methods. They are rows of
// tables: a name, the names of the parameters, a C function. Formatting, which several of them share, is declared here
// too.
#ifndef LF_TEXT_JINJA_NATIVE_H
#define LF_TEXT_JINJA_NATIVE_H

#include "text/jinja_value.h"

// --- calling (jinja_call.c) ----------------------------------------------------------------------

typedef struct jinja_named {
    jinja_string *name;
    jinja_value value;
} jinja_named;

typedef struct jinja_args {
    const jinja_value *items;
    size_t n_items;
    const jinja_named *named;
    size_t n_named;
} jinja_args;

enum { JINJA_MAX_PARAMS = 6 };

// What a native function gets: the value before the dot or the bar, its parameters (JINJA_MISSING where not given), and
// all arguments as they came for functions that take any number.
typedef struct jinja_call {
    jinja_value self;
    jinja_value params[JINJA_MAX_PARAMS];
    const jinja_args *args;
    const jinja_native *native;
} jinja_call;

typedef lf_status (*jinja_native_fn)(jinja_run *run, jinja_call *call, jinja_value *out);

struct jinja_native {
    const char *name;
    const char *params; // names with commas; a leading '/' : positional only; NULL: anything, in call->args
    int n_required;
    jinja_native_fn call;
    int variant; // for functions that serve several names
};

lf_status lf__jinja_call_native(jinja_run *run, const jinja_native *native, jinja_value self, const jinja_args *args,
                                jinja_value *out);
lf_status lf__jinja_call_value(jinja_run *run, jinja_value callee, const jinja_args *args, jinja_value *out);
lf_status lf__jinja_bound_new(jinja_run *run, const jinja_native *native, const jinja_value *self, jinja_value *out);
// Typed parameters with Python's complaint about a wrong type; a missing one leaves *out alone.
lf_status lf__jinja_param_int(jinja_run *run, const jinja_call *call, int i, int64_t *out);
lf_status lf__jinja_param_bool(jinja_run *run, const jinja_call *call, int i, bool *out);
lf_status lf__jinja_param_string(jinja_run *run, const jinja_call *call, int i, jinja_string **out);

// printf-style and str.format() formatting
enum { JINJA_MAX_PRECISION = 500, JINJA_NUMBER_BYTES = JINJA_MAX_PRECISION + 400 }; // the largest double has 309 digits
void lf__jinja_real_text(double value, char type, int precision, bool alternate, char *text, size_t bytes);
lf_status lf__jinja_format_percent(jinja_run *run, const jinja_string *format, jinja_value args, jinja_value *out);
lf_status lf__jinja_format_braces(jinja_run *run, const jinja_string *format, const jinja_args *args, jinja_value *out);
lf_status lf__jinja_format_value(jinja_builder *builder, jinja_value value, const char *spec, size_t spec_bytes);

// --- tables --------------------------------------------------------------------------------------

const jinja_native *lf__jinja_filter(const char *name, size_t bytes);
const jinja_native *lf__jinja_test(const char *name, size_t bytes);
const jinja_native *lf__jinja_global(const char *name, size_t bytes);
// The method `name` of a value of this kind; NULL when there is none.
const jinja_native *lf__jinja_method(jinja_kind kind, const char *name, size_t bytes);
// The sandbox knows the method but does not let a template call it.
bool lf__jinja_is_unsafe(jinja_value object, const jinja_string *name);
const jinja_native *lf__jinja_table_find(const jinja_native *table, size_t n, const char *name, size_t bytes);

// Parts of the filter and method tables, by subject.
extern const jinja_native lf__jinja_text_filters[];
extern const size_t lf__jinja_n_text_filters;
extern const jinja_native lf__jinja_list_filters[];
extern const size_t lf__jinja_n_list_filters;
extern const jinja_native lf__jinja_string_methods[];
extern const size_t lf__jinja_n_string_methods;
lf_status lf__jinja_filter_tojson(jinja_run *run, jinja_call *call, jinja_value *out);
lf_status lf__jinja_filter_wordwrap(jinja_run *run, jinja_call *call, jinja_value *out);

#endif
