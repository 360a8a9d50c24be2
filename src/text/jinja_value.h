// SPDX-License-Identifier: Apache-2.0
//
// Values of the Jinja interpreter: plain structs that are copied, over memory of a run (jinja_run.h). They do not
// change once made, with exceptions that Python has as well: namespaces, iterators, loops, cyclers and joiners.
#ifndef LF_TEXT_JINJA_VALUE_H
#define LF_TEXT_JINJA_VALUE_H

#include "text/jinja_run.h"

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

#endif
