// SPDX-License-Identifier: Apache-2.0
//
// A run of the Jinja interpreter: its memory, its limits, its errors, and text under construction. Everything is
// allocated from an arena that ends with the run (or, for constants, with the compiled template); nothing is freed
// earlier.
#ifndef LF_TEXT_JINJA_RUN_H
#define LF_TEXT_JINJA_RUN_H

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

typedef struct jinja_value jinja_value;
typedef struct jinja_run jinja_run;
typedef struct jinja_dict jinja_dict;

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

// Text under construction. A failure is sticky and comes out of lf__jinja_builder_finish().
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

#endif
