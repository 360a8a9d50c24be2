// SPDX-License-Identifier: Apache-2.0
//
// What rendering needs beyond values: environments (frames at run time), loops, macros, and the three entry points into
// the tree: evaluate an expression, execute statements, call a macro.
#ifndef LF_TEXT_JINJA_EXEC_H
#define LF_TEXT_JINJA_EXEC_H

#include "text/jinja_ast.h"
#include "text/jinja_native.h"

typedef struct jinja_env {
    struct jinja_env *outer;
    const jinja_frame *frame;
    jinja_value slots[];
} jinja_env;

struct jinja_macro {
    const jinja_macro_body *body;
    jinja_env *env; // where it was defined
};

struct jinja_loop {
    jinja_value iterable;
    jinja_iter *iter;
    int64_t index0;
    jinja_value current, before;
    jinja_value after; // read ahead; JINJA_MISSING when nothing is
    jinja_value changed;
    size_t length; // SIZE_MAX: not known yet
    int64_t depth0;
    const jinja_for *recursive; // the statement to run again, or NULL
    jinja_env *env;             // around that statement
};

lf_status lf__jinja_env_new(jinja_run *run, jinja_env *outer, const jinja_frame *frame, jinja_env **out);
// (Re)initializes the variables as the frame says.
lf_status lf__jinja_env_enter(jinja_run *run, jinja_env *env);
void lf__jinja_env_leave(jinja_env *env);

lf_status lf__jinja_eval(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out);
lf_status lf__jinja_eval_args(jinja_run *run, jinja_env *env, const jinja_node_args *args, const jinja_value *caller,
                              jinja_args *out);
// A filter on a value that is at hand: filter blocks and set blocks.
lf_status lf__jinja_eval_filter(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value text,
                                jinja_value *out);
lf_status lf__jinja_exec(jinja_run *run, jinja_env *env, jinja_nodes body);
lf_status lf__jinja_assign(jinja_run *run, jinja_env *env, const jinja_node *target, jinja_value value);
lf_status lf__jinja_write(jinja_run *run, jinja_value text);

lf_status lf__jinja_macro_new(jinja_run *run, jinja_env *env, const jinja_macro_body *body, jinja_value *out);
lf_status lf__jinja_macro_call(jinja_run *run, jinja_macro *macro, const jinja_args *args, jinja_value *out);
lf_status lf__jinja_macro_attribute(jinja_run *run, const jinja_macro *macro, const jinja_string *name,
                                    jinja_value *out, bool *has);

// Runs a for statement over a value; writes its text to where text goes.
lf_status lf__jinja_for_run(jinja_run *run, jinja_env *env, const jinja_for *statement, jinja_value iterable,
                            int64_t depth0);
lf_status lf__jinja_loop_length(jinja_run *run, jinja_loop *loop, size_t *out);
lf_status lf__jinja_loop_attribute(jinja_run *run, jinja_loop *loop, const jinja_string *name, jinja_value *out,
                                   bool *has);
lf_status lf__jinja_loop_call(jinja_run *run, jinja_loop *loop, const jinja_args *args, jinja_value *out);

// Captures: text goes to `builder` until the previous capture (returned) is put back.
jinja_builder *lf__jinja_capture_begin(jinja_run *run, jinja_builder *builder);
lf_status lf__jinja_capture_end(jinja_run *run, jinja_builder *builder, jinja_builder *previous, jinja_value *out);

#endif
