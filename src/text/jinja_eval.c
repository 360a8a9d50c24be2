// SPDX-License-Identifier: Apache-2.0
//
// Expressions: a recursive walk over the tree. Every node counts as a step and as a level of depth.
#include "text/jinja_exec.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

// --- names ---------------------------------------------------------------------------------------

lf_status lf__jinja_env_new(jinja_run *run, jinja_env *outer, const jinja_frame *frame, jinja_env **out)
{
    void *memory;
    size_t bytes;
    if (!lf_mul_size(frame->count, sizeof(jinja_value), &bytes) || !lf_add_size(bytes, sizeof(jinja_env), &bytes))
        return lf_error_no_memory(run->err, 0);
    JINJA_TRY(lf__jinja_alloc(run, 1, bytes, &memory));
    *out = memory;
    (*out)->outer = outer;
    (*out)->frame = frame;
    return LF_OK;
}

static jinja_env *env_outwards(jinja_env *env, uint32_t hops)
{
    while (hops--) env = env->outer;
    return env;
}

// A variable of the context, or a global function.
static lf_status resolve(jinja_run *run, const jinja_string *name, jinja_value *out)
{
    jinja_entry *entry;
    JINJA_TRY(lf__jinja_dict_find_text(run, run->context, name->data, name->bytes, &entry));
    if (entry) {
        *out = entry->value;
        return LF_OK;
    }
    const jinja_native *native = lf__jinja_global(name->data, name->bytes);
    if (native) return lf__jinja_bound_new(run, native, NULL, out);
    out->kind = JINJA_MISSING;
    return LF_OK;
}

lf_status lf__jinja_env_enter(jinja_run *run, jinja_env *env)
{
    const jinja_frame *frame = env->frame;
    JINJA_TRY(lf__jinja_charge(run, frame->count));
    for (size_t i = 0; i < frame->count; i++) {
        const jinja_variable *variable = &frame->variables[i];
        env->slots[i].kind = JINJA_MISSING;
        if (variable->load == JINJA_LOAD_RESOLVE) JINJA_TRY(resolve(run, variable->name, &env->slots[i]));
        if (variable->load == JINJA_LOAD_ALIAS)
            env->slots[i] = env_outwards(env->outer, variable->alias_hops)->slots[variable->alias_slot];
    }
    return LF_OK;
}

void lf__jinja_env_leave(jinja_env *env)
{
    for (size_t i = 0; i < env->frame->count; i++) env->slots[i].kind = JINJA_MISSING;
}

static lf_status eval_name(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    *out = env_outwards(env, node->name.hops)->slots[node->name.slot];
    return lf__jinja_given(*out) ? LF_OK : lf__jinja_undefined_name(run, node->name.name, out);
}

// --- displays and operators ----------------------------------------------------------------------

static lf_status eval_sequence(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_kind kind,
                               jinja_value *out)
{
    JINJA_TRY(lf__jinja_list_new(run, kind, node->sequence.count, out));
    for (size_t i = 0; i < node->sequence.count; i++)
        JINJA_TRY(lf__jinja_eval(run, env, node->sequence.items[i], &out->list->items[i]));
    return LF_OK;
}

static lf_status eval_dict(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    out->kind = JINJA_DICT;
    JINJA_TRY(lf__jinja_dict_new(run, &out->dict));
    for (size_t i = 0; i + 1 < node->sequence.count; i += 2) {
        jinja_value key, value;
        JINJA_TRY(lf__jinja_eval(run, env, node->sequence.items[i], &key));
        JINJA_TRY(lf__jinja_eval(run, env, node->sequence.items[i + 1], &value));
        JINJA_TRY(lf__jinja_dict_set(run, out->dict, key, value));
    }
    return LF_OK;
}

static lf_status eval_binary(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value left, right;
    JINJA_TRY(lf__jinja_eval(run, env, node->binary.left, &left));
    JINJA_TRY(lf__jinja_eval(run, env, node->binary.right, &right));
    run->line = node->line;
    return lf__jinja_binary(run, node->binary.op, left, right, out);
}

static lf_status eval_unary(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value operand;
    bool truth;
    JINJA_TRY(lf__jinja_eval(run, env, node->binary.left, &operand));
    if (node->kind == JINJA_NEGATE) return lf__jinja_negate(run, operand, out);
    if (node->kind == JINJA_POSITIVE) return lf__jinja_positive(run, operand, out);
    JINJA_TRY(lf__jinja_truth(run, operand, &truth));
    *out = lf__jinja_bool(!truth);
    return LF_OK;
}

static lf_status eval_logic(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    bool truth;
    JINJA_TRY(lf__jinja_eval(run, env, node->binary.left, out));
    JINJA_TRY(lf__jinja_truth(run, *out, &truth));
    if (truth == (node->kind == JINJA_OR)) return LF_OK;
    return lf__jinja_eval(run, env, node->binary.right, out);
}

static lf_status eval_concat(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_builder builder;
    jinja_value items;
    bool markup = false;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(eval_sequence(run, env, node, JINJA_LIST, &items));
    for (size_t i = 0; run->autoescape && i < items.list->count; i++)
        markup |= lf__jinja_is_text(items.list->items[i]) && items.list->items[i].string->markup;
    for (size_t i = 0; i < items.list->count; i++) {
        jinja_value item = items.list->items[i];
        JINJA_TRY(markup ? lf__jinja_escape(run, item, &item) : lf__jinja_str(run, item, &item));
        lf__jinja_put(&builder, item.string->data, item.string->bytes);
    }
    JINJA_TRY(lf__jinja_builder_finish(&builder, out));
    out->string->markup = markup;
    return LF_OK;
}

static lf_status compare(jinja_run *run, jinja_comparison comparison, jinja_value a, jinja_value b, bool *out)
{
    switch (comparison) {
    case JINJA_IS_EQ: return lf__jinja_equal(run, a, b, out);
    case JINJA_IS_NE:
        JINJA_TRY(lf__jinja_equal(run, a, b, out));
        *out = !*out;
        return LF_OK;
    case JINJA_IS_LT: return lf__jinja_compare(run, JINJA_LT, a, b, out);
    case JINJA_IS_LE: return lf__jinja_compare(run, JINJA_LE, a, b, out);
    case JINJA_IS_GT: return lf__jinja_compare(run, JINJA_GT, a, b, out);
    case JINJA_IS_GE: return lf__jinja_compare(run, JINJA_GE, a, b, out);
    case JINJA_IS_IN: return lf__jinja_contains(run, b, a, out);
    case JINJA_IS_NOT_IN:
        JINJA_TRY(lf__jinja_contains(run, b, a, out));
        *out = !*out;
        return LF_OK;
    }
    return LF_ERR_BUG;
}

static lf_status eval_compare(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value left, right;
    bool holds = true;
    JINJA_TRY(lf__jinja_eval(run, env, node->compare.operands.items[0], &left));
    for (size_t i = 1; holds && i < node->compare.operands.count; i++) {
        JINJA_TRY(lf__jinja_eval(run, env, node->compare.operands.items[i], &right));
        run->line = node->line;
        JINJA_TRY(compare(run, node->compare.comparisons[i - 1], left, right, &holds));
        left = right;
    }
    *out = lf__jinja_bool(holds);
    return LF_OK;
}

static lf_status eval_conditional(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value test;
    bool truth;
    JINJA_TRY(lf__jinja_eval(run, env, node->conditional.test, &test));
    JINJA_TRY(lf__jinja_truth(run, test, &truth));
    const jinja_node *chosen = truth ? node->conditional.yes : node->conditional.no;
    if (chosen) return lf__jinja_eval(run, env, chosen, out);
    return lf__jinja_undefined_hint(run, "the inline if-expression evaluated to false and no else section was defined.",
                                    out);
}

static lf_status eval_member(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value object, index;
    JINJA_TRY(lf__jinja_eval(run, env, node->member.object, &object));
    if (node->kind == JINJA_ATTRIBUTE) {
        run->line = node->line;
        return lf__jinja_attribute(run, object, node->member.name, out);
    }
    if (node->kind == JINJA_ITEM) {
        JINJA_TRY(lf__jinja_eval(run, env, node->member.index, &index));
        run->line = node->line;
        return lf__jinja_item(run, object, index, out);
    }
    jinja_value bounds[3];
    for (int i = 0; i < 3; i++) {
        bounds[i] = lf__jinja_none();
        if (node->member.bounds[i]) JINJA_TRY(lf__jinja_eval(run, env, node->member.bounds[i], &bounds[i]));
    }
    return lf__jinja_slice(run, object, bounds, out);
}

// --- calls ---------------------------------------------------------------------------------------

static lf_status push_named(jinja_run *run, jinja_args *args, jinja_named *named, jinja_string *name, jinja_value value)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (named[i].name->bytes == name->bytes && memcmp(named[i].name->data, name->data, name->bytes) == 0)
            return lf__jinja_error(run, "got multiple values for keyword argument '%.*s'", (int)name->bytes,
                                   name->data);
    JINJA_TRY(lf__jinja_charge(run, 1 + args->n_named));
    named[args->n_named++] = (jinja_named){name, value};
    return LF_OK;
}

static const jinja_string caller_name = {.data = "caller", .bytes = 6, .chars = 6};

static lf_status eval_named_args(jinja_run *run, jinja_env *env, const jinja_node_args *nodes, jinja_value rest,
                                 const jinja_value *caller, jinja_args *out)
{
    void *memory;
    size_t n_rest = rest.kind == JINJA_DICT ? rest.dict->count : 0;
    if (nodes->n_named + n_rest == 0 && !caller) return LF_OK;
    JINJA_TRY(lf__jinja_alloc(run, nodes->n_named + n_rest + 1, sizeof(jinja_named), &memory));
    jinja_named *named = memory;
    out->named = named;
    for (size_t i = 0; i < nodes->n_named; i++) {
        jinja_value value;
        JINJA_TRY(lf__jinja_eval(run, env, nodes->values[i], &value));
        JINJA_TRY(push_named(run, out, named, nodes->names[i], value));
    }
    for (size_t i = 0; i < n_rest; i++) {
        if (!lf__jinja_is_text(rest.dict->entries[i].key)) return lf__jinja_error(run, "keywords must be strings");
        JINJA_TRY(push_named(run, out, named, rest.dict->entries[i].key.string, rest.dict->entries[i].value));
    }
    jinja_string *name = (jinja_string *)(uintptr_t)&caller_name; // never written: its characters are counted
    return caller ? push_named(run, out, named, name, *caller) : LF_OK;
}

lf_status lf__jinja_eval_args(jinja_run *run, jinja_env *env, const jinja_node_args *nodes, const jinja_value *caller,
                              jinja_args *out)
{
    jinja_items items = {0};
    jinja_value value, rest = {.kind = JINJA_MISSING};
    *out = (jinja_args){0};
    for (size_t i = 0; i < nodes->items.count; i++) {
        JINJA_TRY(lf__jinja_eval(run, env, nodes->items.items[i], &value));
        JINJA_TRY(lf__jinja_items_push(run, &items, value));
    }
    if (nodes->rest) {
        JINJA_TRY(lf__jinja_eval(run, env, nodes->rest, &value));
        JINJA_TRY(lf__jinja_to_list(run, value, JINJA_LIST, &value));
        for (size_t i = 0; i < value.list->count; i++)
            JINJA_TRY(lf__jinja_items_push(run, &items, value.list->items[i]));
    }
    if (nodes->named_rest) {
        JINJA_TRY(lf__jinja_eval(run, env, nodes->named_rest, &rest));
        if (rest.kind != JINJA_DICT)
            return lf__jinja_error(run, "argument after ** must be a mapping, not %s", lf__jinja_type_name(rest));
    }
    out->items = items.items;
    out->n_items = items.count;
    return eval_named_args(run, env, nodes, rest, caller, out);
}

static lf_status eval_call(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value callee;
    jinja_args args;
    JINJA_TRY(lf__jinja_eval(run, env, node->call.subject, &callee));
    JINJA_TRY(lf__jinja_eval_args(run, env, &node->call.args, NULL, &args));
    run->line = node->line;
    return lf__jinja_call_value(run, callee, &args, out);
}

static lf_status apply(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value subject, jinja_value *out)
{
    const jinja_string *name = node->call.name;
    jinja_args args;
    if (!node->call.native)
        return lf__jinja_error(run, "No %s named '%.*s' found.", node->kind == JINJA_FILTER ? "filter" : "test",
                               (int)name->bytes, name->data);
    JINJA_TRY(lf__jinja_eval_args(run, env, &node->call.args, NULL, &args));
    run->line = node->line;
    return lf__jinja_call_native(run, node->call.native, subject, &args, out);
}

static lf_status eval_applied(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    jinja_value subject;
    JINJA_TRY(lf__jinja_eval(run, env, node->call.subject, &subject));
    return apply(run, env, node, subject, out);
}

// A chain of filters whose innermost one stands on `text`.
lf_status lf__jinja_eval_filter(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value text,
                                jinja_value *out)
{
    JINJA_TRY(lf__jinja_enter(run));
    if (node->call.subject) JINJA_TRY(lf__jinja_eval_filter(run, env, node->call.subject, text, &text));
    JINJA_TRY(apply(run, env, node, text, out));
    lf__jinja_leave(run);
    return LF_OK;
}

static lf_status eval_node(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    switch (node->kind) {
    case JINJA_CONST:
    case JINJA_TEXT: *out = node->constant; return LF_OK;
    case JINJA_NAME: return eval_name(run, env, node, out);
    case JINJA_LIST_DISPLAY: return eval_sequence(run, env, node, JINJA_LIST, out);
    case JINJA_TUPLE_DISPLAY: return eval_sequence(run, env, node, JINJA_TUPLE, out);
    case JINJA_DICT_DISPLAY: return eval_dict(run, env, node, out);
    case JINJA_BINARY: return eval_binary(run, env, node, out);
    case JINJA_NEGATE:
    case JINJA_POSITIVE:
    case JINJA_NOT: return eval_unary(run, env, node, out);
    case JINJA_AND:
    case JINJA_OR: return eval_logic(run, env, node, out);
    case JINJA_CONCAT: return eval_concat(run, env, node, out);
    case JINJA_COMPARE: return eval_compare(run, env, node, out);
    case JINJA_CONDITIONAL: return eval_conditional(run, env, node, out);
    case JINJA_ATTRIBUTE:
    case JINJA_ITEM:
    case JINJA_SLICE: return eval_member(run, env, node, out);
    case JINJA_CALL: return eval_call(run, env, node, out);
    case JINJA_FILTER:
    case JINJA_TEST: return eval_applied(run, env, node, out);
    default: return lf_error_set(run->err, LF_ERR_BUG, "statement where an expression should be");
    }
}

lf_status lf__jinja_eval(jinja_run *run, jinja_env *env, const jinja_node *node, jinja_value *out)
{
    JINJA_TRY(lf__jinja_enter(run));
    run->line = node->line;
    lf_status status = eval_node(run, env, node, out);
    lf__jinja_leave(run);
    return status;
}
