// SPDX-License-Identifier: Apache-2.0
//
// Statements. break and continue travel as a signal in the run: whoever executes a body stops when there is one, and
// the loop takes it. Text that was captured before a signal is dropped with it, as in the Python that jinja2 generates.
#include "text/jinja_exec.h"

#include <string.h>

// --- output --------------------------------------------------------------------------------------

lf_status lf__jinja_write(jinja_run *run, jinja_value text)
{
    size_t bytes = text.string->bytes;
    JINJA_TRY(lf__jinja_charge_bytes(run, bytes));
    if (run->capture) {
        lf__jinja_put(run->capture, text.string->data, bytes);
        return run->capture->status;
    }
    if (bytes > run->limits.max_output_bytes - (run->out->length - run->out_start))
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "template writes more than %zu bytes",
                                      run->limits.max_output_bytes);
    lf_buf_append(run->out, text.string->data, bytes);
    return lf_buf_failed(run->out) ? lf_error_no_memory(run->err, 0) : LF_OK;
}

jinja_builder *lf__jinja_capture_begin(jinja_run *run, jinja_builder *builder)
{
    jinja_builder *previous = run->capture;
    lf__jinja_builder_init(builder, run);
    run->capture = builder;
    return previous;
}

lf_status lf__jinja_capture_end(jinja_run *run, jinja_builder *builder, jinja_builder *previous, jinja_value *out)
{
    run->capture = previous;
    JINJA_TRY(lf__jinja_builder_finish(builder, out));
    return lf__jinja_written(run, *out, out);
}

// What blocks produce is not converted: it must be text.
static lf_status write_text(jinja_run *run, jinja_value text)
{
    if (lf__jinja_is_text(text)) return lf__jinja_write(run, text);
    return lf__jinja_error(run, "expected str instance, %s found", lf__jinja_type_name(text));
}

static lf_status exec_output(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    for (size_t i = 0; i < node->sequence.count; i++) {
        jinja_value value;
        const jinja_node *item = node->sequence.items[i];
        bool escape = run->autoescape && item->kind != JINJA_TEXT;
        JINJA_TRY(lf__jinja_eval(run, env, item, &value));
        JINJA_TRY(escape ? lf__jinja_escape(run, value, &value) : lf__jinja_str(run, value, &value));
        JINJA_TRY(lf__jinja_write(run, value));
    }
    return LF_OK;
}

// --- assignments ---------------------------------------------------------------------------------

static jinja_value *slot_of(jinja_env *env, const jinja_node *name)
{
    for (uint32_t hops = name->name.hops; hops > 0; hops--) env = env->outer;
    return &env->slots[name->name.slot];
}

static lf_status assign_tuple(jinja_run *run, jinja_env *env, const jinja_node *target, jinja_value value)
{
    size_t n = target->sequence.count;
    jinja_value items;
    if (!lf__jinja_is_iterable(value))
        return lf__jinja_error(run, "cannot unpack non-iterable %s object", lf__jinja_type_name(value));
    JINJA_TRY(lf__jinja_to_list(run, value, JINJA_LIST, &items));
    if (items.list->count < n)
        return lf__jinja_error(run, "not enough values to unpack (expected %zu, got %zu)", n, items.list->count);
    if (items.list->count > n) return lf__jinja_error(run, "too many values to unpack (expected %zu)", n);
    for (size_t i = 0; i < n; i++)
        JINJA_TRY(lf__jinja_assign(run, env, target->sequence.items[i], items.list->items[i]));
    return LF_OK;
}

lf_status lf__jinja_assign(jinja_run *run, jinja_env *env, const jinja_node *target, jinja_value value)
{
    if (target->kind == JINJA_TUPLE_DISPLAY) {
        JINJA_TRY(lf__jinja_enter(run));
        JINJA_TRY(assign_tuple(run, env, target, value));
        lf__jinja_leave(run);
        return LF_OK;
    }
    jinja_value *slot = slot_of(env, target);
    if (target->kind == JINJA_NAME) {
        *slot = value;
        return LF_OK;
    }
    jinja_string *member = target->name.member;
    if (slot->kind != JINJA_NAMESPACE) return lf__jinja_error(run, "cannot assign attribute on non-namespace object");
    if (member->data[0] == '_')
        return lf__jinja_error(run, "chat templates cannot store underscore-prefixed attributes on a namespace");
    return lf__jinja_dict_set(run, slot->dict, (jinja_value){.kind = JINJA_STRING, .string = member}, value);
}

// Namespace targets are checked before anything is assigned.
static lf_status check_namespaces(jinja_run *run, jinja_env *env, const jinja_node *target)
{
    if (target->kind == JINJA_NAMESPACE_REF && slot_of(env, target)->kind != JINJA_NAMESPACE)
        return lf__jinja_error(run, "cannot assign attribute on non-namespace object");
    if (target->kind != JINJA_TUPLE_DISPLAY) return LF_OK;
    for (size_t i = 0; i < target->sequence.count; i++)
        JINJA_TRY(check_namespaces(run, env, target->sequence.items[i]));
    return LF_OK;
}

static lf_status exec_set(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_value value;
    JINJA_TRY(check_namespaces(run, env, node->set.target));
    JINJA_TRY(lf__jinja_eval(run, env, node->set.value, &value));
    return lf__jinja_assign(run, env, node->set.target, value);
}

// Set blocks and filter blocks: the body's text, filtered.
static lf_status exec_capture(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_env *inner;
    jinja_builder builder;
    jinja_value text;
    JINJA_TRY(lf__jinja_env_new(run, env, &node->set.frame, &inner));
    JINJA_TRY(lf__jinja_env_enter(run, inner));
    jinja_builder *previous = lf__jinja_capture_begin(run, &builder);
    lf_status status = lf__jinja_exec(run, inner, node->set.body);
    run->capture = previous;
    if (status || run->signal) return status;
    JINJA_TRY(lf__jinja_capture_end(run, &builder, previous, &text));
    if (node->set.value) JINJA_TRY(lf__jinja_eval_filter(run, inner, node->set.value, text, &text));
    lf__jinja_env_leave(inner);
    if (node->kind == JINJA_SET_BLOCK) {
        if (run->autoescape) JINJA_TRY(lf__jinja_str(run, text, &text));
        if (run->autoescape) JINJA_TRY(lf__jinja_written(run, text, &text));
        return lf__jinja_assign(run, env, node->set.target, text);
    }
    return write_text(run, text);
}

// --- branches and scopes -------------------------------------------------------------------------

static lf_status is_true(jinja_run *run, jinja_env *env, const jinja_node *test, bool *out)
{
    jinja_value value;
    JINJA_TRY(lf__jinja_eval(run, env, test, &value));
    return lf__jinja_truth(run, value, out);
}

static lf_status exec_if(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    bool truth;
    JINJA_TRY(is_true(run, env, node->branch.test, &truth));
    if (truth) return lf__jinja_exec(run, env, node->branch.body);
    for (size_t i = 0; i < node->branch.elifs.count; i++) {
        const jinja_node *arm = node->branch.elifs.items[i];
        JINJA_TRY(is_true(run, env, arm->branch.test, &truth));
        if (truth) return lf__jinja_exec(run, env, arm->branch.body);
    }
    return lf__jinja_exec(run, env, node->branch.otherwise);
}

static lf_status exec_with(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_env *inner;
    JINJA_TRY(lf__jinja_env_new(run, env, &node->with.frame, &inner));
    JINJA_TRY(lf__jinja_env_enter(run, inner));
    for (size_t i = 0; i < node->with.targets.count; i++) {
        jinja_value value;
        JINJA_TRY(lf__jinja_eval(run, env, node->with.values.items[i], &value));
        JINJA_TRY(lf__jinja_assign(run, inner, node->with.targets.items[i], value));
    }
    JINJA_TRY(lf__jinja_exec(run, inner, node->with.body));
    lf__jinja_env_leave(inner);
    return LF_OK;
}

static lf_status exec_block(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_env *inner;
    JINJA_TRY(lf__jinja_env_new(run, env, &node->set.frame, &inner));
    JINJA_TRY(lf__jinja_env_enter(run, inner));
    bool autoescape = run->autoescape;
    if (node->kind == JINJA_AUTOESCAPE) JINJA_TRY(is_true(run, inner, node->set.value, &run->autoescape));
    JINJA_TRY(lf__jinja_exec(run, inner, node->set.body));
    run->autoescape = autoescape;
    lf__jinja_env_leave(inner);
    return LF_OK;
}

// --- macros --------------------------------------------------------------------------------------

static lf_status exec_macro(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_value macro;
    JINJA_TRY(lf__jinja_macro_new(run, env, node->macro.body, &macro));
    return lf__jinja_assign(run, env, node->macro.target, macro);
}

static lf_status exec_call_block(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    const jinja_node *call = node->macro.call;
    jinja_value caller, callee, text;
    jinja_args args;
    JINJA_TRY(lf__jinja_macro_new(run, env, node->macro.body, &caller));
    JINJA_TRY(lf__jinja_eval(run, env, call->call.subject, &callee));
    JINJA_TRY(lf__jinja_eval_args(run, env, &call->call.args, &caller, &args));
    run->line = node->line;
    JINJA_TRY(lf__jinja_call_value(run, callee, &args, &text));
    return write_text(run, text);
}

static lf_status exec_generation(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_value macro, text;
    jinja_args none = {0};
    JINJA_TRY(lf__jinja_macro_new(run, env, node->macro.body, &macro));
    JINJA_TRY(lf__jinja_macro_call(run, macro.macro, &none, &text));
    return lf__jinja_write(run, text);
}

static lf_status exec_for(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    jinja_value iterable;
    JINJA_TRY(lf__jinja_eval(run, env, node->loop->iterable, &iterable));
    run->line = node->line;
    return lf__jinja_for_run(run, env, node->loop, iterable, 0);
}

static lf_status exec_node(jinja_run *run, jinja_env *env, const jinja_node *node)
{
    switch (node->kind) {
    case JINJA_OUTPUT: return exec_output(run, env, node);
    case JINJA_SET: return exec_set(run, env, node);
    case JINJA_SET_BLOCK:
    case JINJA_FILTER_BLOCK: return exec_capture(run, env, node);
    case JINJA_BLOCK:
    case JINJA_AUTOESCAPE: return exec_block(run, env, node);
    case JINJA_IF: return exec_if(run, env, node);
    case JINJA_FOR: return exec_for(run, env, node);
    case JINJA_MACRO_DEF: return exec_macro(run, env, node);
    case JINJA_CALL_BLOCK: return exec_call_block(run, env, node);
    case JINJA_GENERATION: return exec_generation(run, env, node);
    case JINJA_WITH: return exec_with(run, env, node);
    case JINJA_BREAK_LOOP: run->signal = JINJA_BREAK; return LF_OK;
    case JINJA_CONTINUE_LOOP: run->signal = JINJA_CONTINUE; return LF_OK;
    default: return lf_error_set(run->err, LF_ERR_BUG, "expression where a statement should be");
    }
}

lf_status lf__jinja_exec(jinja_run *run, jinja_env *env, jinja_nodes body)
{
    for (size_t i = 0; i < body.count && !run->signal; i++) {
        JINJA_TRY(lf__jinja_enter(run));
        run->line = body.items[i]->line;
        JINJA_TRY(exec_node(run, env, body.items[i]));
        lf__jinja_leave(run);
    }
    return LF_OK;
}
