// SPDX-License-Identifier: Apache-2.0
//
// Values of the Jinja interpreter and the run that owns them. Everything is allocated from an arena that ends with the
// run (or, for constants, with the compiled template); nothing is freed earlier, so values are plain structs that are
// copied. Values do not change once made, with three exceptions that Python has as well: namespaces, iterators, cyclers
// and joiners.
#ifndef LF_TEXT_JINJA_VALUE_H
#define LF_TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "text/jinja.h"

#define JINJA_TRY(expression)                                                                                          \
    do {                                                                                                               \
        lf_status try_status_ = (expression);                                                                          \
        if (try_status_) return try_status_;                                                                           \
    } while (0)

typedef enum jinja_kind {
    JINJA_MISSING, // no value at all: an argument that was not given, a variable not yet set; templates never see it
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, // dict.keys(), .values(), .items()
    JINJA_RANGE,
    JINJA_ITERATOR, // a generator: its elements come once
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_NATIVE, // a global function, or a method together with the value it belongs to
    JINJA_CYCLER,
    JINJA_JOINER,
} jinja_kind;

typedef struct jinja_value jinja_value;
typedef struct jinja_run jinja_run;
typedef struct jinja_dict jinja_dict;
typedef struct jinja_iter jinja_iter;
typedef struct jinja_loop jinja_loop;
typedef struct jinja_macro jinja_macro;
typedef struct jinja_native jinja_native;

// Bytes that grow at their end. Strings that were made by appending share them: "ab" and "abc" may be the first two and
// the first three bytes of one text, which makes s = s + t in a loop linear.
typedef struct jinja_text {
    char *data;
    size_t used;
    size_t capacity;
} jinja_text;

typedef struct jinja_string {
    const char *data; // UTF-8, not terminated
    size_t bytes;
    size_t chars;     // code points; SIZE_MAX: not counted yet (never in a compiled template, which threads share)
    jinja_text *text; // the text these are the first bytes of, or NULL
    bool markup;      // marked safe, escapes what is added to it
} jinja_string;

typedef struct jinja_undefined {
    const char *hint;  // the whole message, or NULL
    const char *owner; // type of the value that lacks `name`, or NULL when a variable is missing
    const jinja_value *name;
} jinja_undefined;

typedef struct jinja_list {
    jinja_value *items;
    size_t count;
    bool group; // a tuple of groupby: its members are also .grouper and .list
} jinja_list;

typedef struct jinja_range {
    int64_t start, stop, step;
    size_t count;
} jinja_range;

typedef enum jinja_view_kind { JINJA_VIEW_KEYS, JINJA_VIEW_VALUES, JINJA_VIEW_ITEMS } jinja_view_kind;

typedef struct jinja_view {
    const jinja_dict *dict;
    jinja_view_kind kind;
} jinja_view;

typedef struct jinja_bound {
    const jinja_native *native;
    const jinja_value *self; // NULL for a global function
} jinja_bound;

typedef struct jinja_cycler {
    const jinja_value *items;
    size_t count;
    size_t position;
} jinja_cycler;

typedef struct jinja_joiner {
    jinja_string *separator;
    bool used;
} jinja_joiner;

struct jinja_value {
    jinja_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        jinja_string *string;
        jinja_list *list; // LIST and TUPLE
        jinja_dict *dict; // DICT and NAMESPACE
        jinja_view *view;
        jinja_range *range;
        jinja_iter *iter;
        jinja_loop *loop;
        jinja_macro *macro;
        jinja_bound *bound;
        jinja_cycler *cycler;
        jinja_joiner *joiner;
        jinja_undefined *undefined; // NULL: nothing is known about it
    };
};

typedef struct jinja_entry {
    jinja_value key;
    jinja_value value;
    uint64_t hash;
} jinja_entry;

// Keeps insertion order. `index` holds entry numbers + 1 (0: free), linear probing; small dicts have none and are
// searched.
struct jinja_dict {
    jinja_entry *entries;
    size_t count;
    size_t capacity;
    uint32_t *index;
    size_t index_size; // power of two, or 0
};

// --- memory --------------------------------------------------------------------------------------

typedef struct jinja_chunk jinja_chunk;

typedef struct jinja_arena {
    jinja_chunk *chunks; // newest first
    size_t total_bytes;
    size_t limit_bytes;
    bool over_limit; // the last failure was the limit, not malloc
} jinja_arena;

void lf__jinja_arena_init(jinja_arena *arena, size_t limit_bytes);
void lf__jinja_arena_fini(jinja_arena *arena);
// Aligned, zeroed memory; NULL when there is none or the limit is passed.
void *lf__jinja_arena_alloc(jinja_arena *arena, size_t bytes);
// Gives `old` more room, in place where it was the last allocation, else as a copy.
void *lf__jinja_arena_grow(jinja_arena *arena, void *old, size_t old_bytes, size_t bytes);

// --- run -----------------------------------------------------------------------------------------

// Text under construction. Failures are sticky in the run's `builder_status` and come out of
// lf__jinja_builder_finish().
typedef struct jinja_builder {
    jinja_run *run;
    char *data;
    size_t bytes;
    size_t capacity;
    lf_status status;
} jinja_builder;

typedef enum jinja_signal { JINJA_GO_ON, JINJA_BREAK, JINJA_CONTINUE } jinja_signal;

struct jinja_run {
    jinja_arena arena;
    lf_jinja_limits limits; // all defaults filled in
    int64_t now;
    jinja_dict *context;
    lf_buf *out;
    size_t out_start;
    jinja_builder *capture; // where text goes inside of macros, set blocks and filter blocks; NULL: to `out`
    uint64_t steps;
    int depth;
    int line;            // of the node in work, for messages
    bool autoescape;     // inside of an autoescape tag
    uint64_t random;     // state of the filter random; 0 before its first use
    jinja_signal signal; // a break or continue on its way to its loop
    lf_error *err;
};

// Memory from the run's arena in *out; LF_ERR_LIMIT or LF_ERR_NO_MEMORY.
lf_status lf__jinja_alloc(jinja_run *run, size_t n, size_t element_bytes, void **out);
// Counts work; LF_ERR_LIMIT when it is too much. `bytes` of text count for less than as many steps.
lf_status lf__jinja_charge(jinja_run *run, uint64_t steps);
lf_status lf__jinja_charge_bytes(jinja_run *run, size_t bytes);
// A search for `part_bytes` in `bytes` of text; preparing a long part is what takes time.
lf_status lf__jinja_charge_search(jinja_run *run, size_t bytes, size_t part_bytes);
// Every recursive function of the interpreter is between these two.
lf_status lf__jinja_enter(jinja_run *run);
static inline void lf__jinja_leave(jinja_run *run) { run->depth--; }
// LF_ERR_INVALID with the line in front of the message.
lf_status lf__jinja_error(jinja_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
lf_status lf__jinja_error_status(jinja_run *run, lf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void lf__jinja_builder_init(jinja_builder *builder, jinja_run *run);
void lf__jinja_put(jinja_builder *builder, const char *bytes, size_t length);
void lf__jinja_puts(jinja_builder *builder, const char *text);
void lf__jinja_put_char(jinja_builder *builder, int32_t code_point);
void lf__jinja_pad(jinja_builder *builder, int32_t code_point, size_t n);
lf_status lf__jinja_builder_finish(jinja_builder *builder, jinja_value *out);

// --- making values -------------------------------------------------------------------------------

static inline jinja_value lf__jinja_none(void) { return (jinja_value){.kind = JINJA_NONE}; }
static inline jinja_value lf__jinja_bool(bool b) { return (jinja_value){.kind = JINJA_BOOL, .boolean = b}; }
static inline jinja_value lf__jinja_int(int64_t i) { return (jinja_value){.kind = JINJA_INT, .integer = i}; }
static inline jinja_value lf__jinja_real(double f) { return (jinja_value){.kind = JINJA_FLOAT, .real = f}; }
static inline bool lf__jinja_given(jinja_value v) { return v.kind != JINJA_MISSING; }
static inline bool lf__jinja_is_text(jinja_value v) { return v.kind == JINJA_STRING; }
static inline bool lf__jinja_is_sequence(jinja_value v) { return v.kind == JINJA_LIST || v.kind == JINJA_TUPLE; }

// Text that the template wrote: markup inside of an autoescape tag.
lf_status lf__jinja_written(jinja_run *run, jinja_value text, jinja_value *out);
// A string that borrows `data` for the life of the run.
lf_status lf__jinja_string_view(jinja_run *run, const char *data, size_t bytes, jinja_value *out);
lf_status lf__jinja_string_copy(jinja_run *run, const char *data, size_t bytes, jinja_value *out);
lf_status lf__jinja_list_new(jinja_run *run, jinja_kind kind, size_t count, jinja_value *out);
lf_status lf__jinja_pair(jinja_run *run, jinja_value a, jinja_value b, jinja_value *out);
lf_status lf__jinja_undefined_hint(jinja_run *run, const char *hint, jinja_value *out);
lf_status lf__jinja_undefined_name(jinja_run *run, const jinja_string *name, jinja_value *out);
lf_status lf__jinja_undefined_member(jinja_run *run, jinja_value owner, jinja_value name, jinja_value *out);
lf_status lf__jinja_from_json(jinja_run *run, const json_t *json, jinja_value *out);

// A list that grows while it is filled.
typedef struct jinja_items {
    jinja_value *items;
    size_t count;
    size_t capacity;
} jinja_items;
lf_status lf__jinja_items_push(jinja_run *run, jinja_items *items, jinja_value value);
lf_status lf__jinja_items_list(jinja_run *run, const jinja_items *items, jinja_kind kind, jinja_value *out);

// --- dicts (jinja_dict.c) ------------------------------------------------------------------------

lf_status lf__jinja_dict_new(jinja_run *run, jinja_dict **out);
lf_status lf__jinja_dict_set(jinja_run *run, jinja_dict *dict, jinja_value key, jinja_value value);
// *out is NULL when the key is absent. An unhashable key is an error, as in Python.
lf_status lf__jinja_dict_find(jinja_run *run, const jinja_dict *dict, jinja_value key, jinja_entry **out);
lf_status lf__jinja_dict_find_text(jinja_run *run, const jinja_dict *dict, const char *key, size_t bytes,
                                   jinja_entry **out);
bool lf__jinja_is_hashable(jinja_value value);

// --- comparing (jinja_compare.c) -----------------------------------------------------------------

const char *lf__jinja_type_name(jinja_value value);
lf_status lf__jinja_truth(jinja_run *run, jinja_value value, bool *out);
lf_status lf__jinja_equal(jinja_run *run, jinja_value a, jinja_value b, bool *out);
typedef enum jinja_order { JINJA_LT, JINJA_LE, JINJA_GT, JINJA_GE } jinja_order;
lf_status lf__jinja_compare(jinja_run *run, jinja_order order, jinja_value a, jinja_value b, bool *out);
lf_status lf__jinja_contains(jinja_run *run, jinja_value container, jinja_value value, bool *out);
bool lf__jinja_same(jinja_value a, jinja_value b); // Python's `is`
// Sorts `values` by `keys` (both permuted), stable; `reverse` as Python's sorted(reverse=True).
lf_status lf__jinja_sort(jinja_run *run, jinja_value *values, jinja_value *keys, size_t n, bool reverse);
// LF_ERR_INVALID with the message of the undefined value.
lf_status lf__jinja_undefined_error(jinja_run *run, jinja_value undefined);
// The number in a bool, int or float; false for others.
bool lf__jinja_number(jinja_value value, double *out);
bool lf__jinja_integer(jinja_value value, int64_t *out); // bool or int

// --- iterating (jinja_iter.c) --------------------------------------------------------------------

lf_status lf__jinja_iter_new(jinja_run *run, jinja_value value, jinja_iter **out);
lf_status lf__jinja_iter_next(jinja_run *run, jinja_iter *iter, jinja_value *out, bool *has);
bool lf__jinja_is_iterable(jinja_value value);
// An iterator whose elements `next` makes from `state`.
typedef lf_status (*jinja_next_fn)(jinja_run *run, void *state, jinja_value *out, bool *has);
lf_status lf__jinja_iter_of(jinja_run *run, jinja_next_fn next, void *state, jinja_value *out);
lf_status lf__jinja_to_list(jinja_run *run, jinja_value value, jinja_kind kind, jinja_value *out);
// len(); *has is false for what has none.
lf_status lf__jinja_length(jinja_run *run, jinja_value value, size_t *out, bool *has);
// reversed(): *has is false where Python raises a TypeError.
lf_status lf__jinja_reversed(jinja_run *run, jinja_value value, jinja_value *out, bool *has);
lf_status lf__jinja_view_item(jinja_run *run, const jinja_view *view, size_t i, jinja_value *out);

// --- operating (jinja_ops.c) ---------------------------------------------------------------------

typedef enum jinja_operator {
    JINJA_ADD,
    JINJA_SUB,
    JINJA_MUL,
    JINJA_DIV,
    JINJA_FLOORDIV,
    JINJA_MOD,
    JINJA_POW,
} jinja_operator;
lf_status lf__jinja_binary(jinja_run *run, jinja_operator op, jinja_value a, jinja_value b, jinja_value *out);
lf_status lf__jinja_negate(jinja_run *run, jinja_value value, jinja_value *out);
lf_status lf__jinja_positive(jinja_run *run, jinja_value value, jinja_value *out);
lf_status lf__jinja_attribute(jinja_run *run, jinja_value object, jinja_string *name, jinja_value *out);
lf_status lf__jinja_item(jinja_run *run, jinja_value object, jinja_value index, jinja_value *out);
// What getattr() finds, without the fallback to items; *has is false when there is nothing.
lf_status lf__jinja_own_attribute(jinja_run *run, jinja_value object, const jinja_string *name, jinja_value *out,
                                  bool *has);
lf_status lf__jinja_slice(jinja_run *run, jinja_value object, const jinja_value bounds[3], jinja_value *out);

// --- text of values (jinja_print.c, jinja_json.c, jinja_format.c) --------------------------------

enum { JINJA_REAL_BYTES = 40 };
void lf__jinja_real_repr(double value, char text[JINJA_REAL_BYTES]);
// str(): a string comes back as it is.
lf_status lf__jinja_str(jinja_run *run, jinja_value value, jinja_value *out);
lf_status lf__jinja_repr(jinja_builder *builder, jinja_value value);
lf_status lf__jinja_pprint(jinja_builder *builder, jinja_value value);
lf_status lf__jinja_escape(jinja_run *run, jinja_value value, jinja_value *out); // the markup of a value
void lf__jinja_put_escaped(jinja_builder *builder, const char *data, size_t bytes);

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
