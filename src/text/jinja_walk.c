// SPDX-License-Identifier: Apache-2.0
//
// Walking over a syntax tree: the children of every kind of node, in the order in which jinja2 visits them (its scoping
// rules depend on that order).
#include "text/jinja_ast.h"

typedef struct visitor {
    jinja_child_fn visit;
    void *state;
} visitor;

static lf_status visit_one(visitor v, jinja_node *node) { return node ? v.visit(node, v.state) : LF_OK; }

static lf_status visit_all(visitor v, jinja_nodes nodes)
{
    for (size_t i = 0; i < nodes.count; i++) JINJA_TRY(v.visit(nodes.items[i], v.state));
    return LF_OK;
}

static lf_status visit_args(visitor v, const jinja_node_args *args)
{
    JINJA_TRY(visit_all(v, args->items));
    for (size_t i = 0; i < args->n_named; i++) JINJA_TRY(v.visit(args->values[i], v.state));
    JINJA_TRY(visit_one(v, args->rest));
    return visit_one(v, args->named_rest);
}

static lf_status visit_macro(visitor v, const jinja_node *node)
{
    JINJA_TRY(visit_one(v, node->macro.call));
    JINJA_TRY(visit_all(v, node->macro.body->params));
    JINJA_TRY(visit_all(v, node->macro.body->defaults));
    return visit_all(v, node->macro.body->body);
}

static lf_status visit_for(visitor v, const jinja_for *loop)
{
    JINJA_TRY(v.visit(loop->target, v.state));
    JINJA_TRY(v.visit(loop->iterable, v.state));
    JINJA_TRY(visit_all(v, loop->body));
    JINJA_TRY(visit_all(v, loop->otherwise));
    return visit_one(v, loop->test);
}

lf_status lf__jinja_children(jinja_node *node, jinja_child_fn visit, void *state)
{
    visitor v = {visit, state};
    switch (node->kind) {
    case JINJA_LIST_DISPLAY:
    case JINJA_TUPLE_DISPLAY:
    case JINJA_DICT_DISPLAY:
    case JINJA_CONCAT:
    case JINJA_OUTPUT: return visit_all(v, node->sequence);
    case JINJA_BINARY:
    case JINJA_NEGATE:
    case JINJA_POSITIVE:
    case JINJA_NOT:
    case JINJA_AND:
    case JINJA_OR: JINJA_TRY(visit_one(v, node->binary.left)); return visit_one(v, node->binary.right);
    case JINJA_COMPARE: return visit_all(v, node->compare.operands);
    case JINJA_CONDITIONAL:
        JINJA_TRY(visit_one(v, node->conditional.test));
        JINJA_TRY(visit_one(v, node->conditional.yes));
        return visit_one(v, node->conditional.no);
    case JINJA_ATTRIBUTE:
    case JINJA_ITEM:
    case JINJA_SLICE:
        JINJA_TRY(visit_one(v, node->member.object));
        JINJA_TRY(visit_one(v, node->member.index));
        for (int i = 0; i < 3; i++) JINJA_TRY(visit_one(v, node->member.bounds[i]));
        return LF_OK;
    case JINJA_CALL:
    case JINJA_FILTER:
    case JINJA_TEST: JINJA_TRY(visit_one(v, node->call.subject)); return visit_args(v, &node->call.args);
    case JINJA_SET: JINJA_TRY(visit_one(v, node->set.target)); return visit_one(v, node->set.value);
    case JINJA_AUTOESCAPE:
    case JINJA_SET_BLOCK:
        JINJA_TRY(visit_one(v, node->set.target));
        JINJA_TRY(visit_one(v, node->set.value));
        return visit_all(v, node->set.body);
    case JINJA_BLOCK:
    case JINJA_FILTER_BLOCK: JINJA_TRY(visit_all(v, node->set.body)); return visit_one(v, node->set.value);
    case JINJA_IF:
        JINJA_TRY(visit_one(v, node->branch.test));
        JINJA_TRY(visit_all(v, node->branch.body));
        JINJA_TRY(visit_all(v, node->branch.elifs));
        return visit_all(v, node->branch.otherwise);
    case JINJA_FOR: return visit_for(v, node->loop);
    case JINJA_MACRO_DEF:
    case JINJA_CALL_BLOCK:
    case JINJA_GENERATION: return visit_macro(v, node);
    case JINJA_WITH:
        JINJA_TRY(visit_all(v, node->with.targets));
        JINJA_TRY(visit_all(v, node->with.values));
        return visit_all(v, node->with.body);
    case JINJA_CONST:
    case JINJA_TEXT:
    case JINJA_NAME:
    case JINJA_NAMESPACE_REF:
    case JINJA_BREAK_LOOP:
    case JINJA_CONTINUE_LOOP: return LF_OK;
    }
    return LF_OK;
}

typedef struct walk {
    jinja_visit_fn visit;
    void *state;
} walk;

// A status other than LF_OK means "stop".
static lf_status walk_child(jinja_node *node, void *state)
{
    const walk *w = state;
    if (!w->visit(node, w->state)) return LF_ERR_CANCELLED;
    return lf__jinja_children(node, walk_child, state);
}

bool lf__jinja_walk_node(jinja_node *node, jinja_visit_fn visit, void *state)
{
    walk w = {visit, state};
    return walk_child(node, &w) == LF_OK;
}

bool lf__jinja_walk(jinja_nodes nodes, jinja_visit_fn visit, void *state)
{
    for (size_t i = 0; i < nodes.count; i++)
        if (!lf__jinja_walk_node(nodes.items[i], visit, state)) return false;
    return true;
}
