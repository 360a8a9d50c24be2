// SPDX-License-Identifier: Apache-2.0
//
// Does a chat template iterate over the parts of a message's content? Answered from the syntax tree alone, by names:
// which variables stand for the list of messages, for one message, for a message's content. A loop over content
// decides.
#include "text/chat_content.h"

#include <string.h>

#include "text/jinja_ast.h"

enum { MAX_NAMES = 64 };

typedef enum role { ROLE_NONE, ROLE_MESSAGES, ROLE_MESSAGE, ROLE_CONTENT } role;

typedef struct names {
    struct {
        const jinja_string *name;
        role role;
    } items[MAX_NAMES];
    size_t count;
    bool changed;
    bool iterates;
} names;

static bool is_text(const jinja_string *string, const char *text)
{
    return string->bytes == strlen(text) && memcmp(string->data, text, string->bytes) == 0;
}

static bool same(const jinja_string *a, const jinja_string *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static bool has_role(const names *n, const jinja_string *name, role wanted)
{
    if (wanted == ROLE_MESSAGES && is_text(name, "messages")) return true;
    for (size_t i = 0; i < n->count; i++)
        if (n->items[i].role == wanted && same(n->items[i].name, name)) return true;
    return false;
}

static void give_role(names *n, const jinja_string *name, role given)
{
    if (given == ROLE_NONE || n->count == MAX_NAMES || has_role(n, name, given)) return;
    n->items[n->count].name = name;
    n->items[n->count++].role = given;
    n->changed = true;
}

// `x`, through filters, tests and slices.
static const jinja_node *bare(const jinja_node *node)
{
    while (node && (node->kind == JINJA_FILTER || node->kind == JINJA_TEST || node->kind == JINJA_SLICE))
        node = node->kind == JINJA_SLICE ? node->member.object : node->call.subject;
    return node;
}

// x.content or x['content'], where x has the role of a message.
static bool is_content_of_message(const names *n, const jinja_node *node)
{
    bool attribute = node->kind == JINJA_ATTRIBUTE && is_text(node->member.name, "content");
    bool item = node->kind == JINJA_ITEM && node->member.index->kind == JINJA_CONST &&
                lf__jinja_is_text(node->member.index->constant) &&
                is_text(node->member.index->constant.string, "content");
    if (!attribute && !item) return false;
    const jinja_node *object = node->member.object;
    if (object->kind == JINJA_NAME) return has_role(n, object->name.name, ROLE_MESSAGE);
    // messages[0].content
    return object->kind == JINJA_ITEM && object->member.object->kind == JINJA_NAME &&
           has_role(n, object->member.object->name.name, ROLE_MESSAGES);
}

static role role_of(const names *n, const jinja_node *node)
{
    node = bare(node);
    if (!node) return ROLE_NONE;
    if (is_content_of_message(n, node)) return ROLE_CONTENT;
    if (node->kind == JINJA_NAME)
        for (role r = ROLE_MESSAGES; r <= ROLE_CONTENT; r++)
            if (has_role(n, node->name.name, r)) return r;
    if (node->kind == JINJA_ITEM && role_of(n, node->member.object) == ROLE_MESSAGES) return ROLE_MESSAGE;
    return ROLE_NONE;
}

typedef struct macro_search {
    names *names;
    const jinja_node *call;
} macro_search;

// Arguments of a call to a macro give their roles to its parameters.
static bool match_macro(jinja_node *node, void *state)
{
    const macro_search *search = state;
    const jinja_node *callee = search->call->call.subject;
    if (node->kind != JINJA_MACRO_DEF || callee->kind != JINJA_NAME) return true;
    const jinja_macro_body *macro = node->macro.body;
    if (!same(macro->name, callee->name.name)) return true;
    const jinja_node_args *args = &search->call->call.args;
    for (size_t i = 0; i < args->items.count && i < macro->params.count; i++)
        give_role(search->names, macro->params.items[i]->name.name, role_of(search->names, args->items.items[i]));
    return true;
}

typedef struct search {
    names names;
    jinja_nodes body;
} search;

static bool inspect(jinja_node *node, void *state)
{
    search *s = state;
    names *n = &s->names;
    if (node->kind == JINJA_SET && node->set.target->kind == JINJA_NAME)
        give_role(n, node->set.target->name.name, role_of(n, node->set.value));
    if (node->kind == JINJA_CALL) {
        macro_search macro = {n, node};
        lf__jinja_walk(s->body, match_macro, &macro);
    }
    if (node->kind == JINJA_FOR) {
        role iterated = role_of(n, node->loop->iterable);
        n->iterates |= iterated == ROLE_CONTENT;
        if (iterated == ROLE_MESSAGES && node->loop->target->kind == JINJA_NAME)
            give_role(n, node->loop->target->name.name, ROLE_MESSAGE);
    }
    return !n->iterates;
}

bool lf__chat_iterates_content(const lf_jinja_template *compiled)
{
    search s = {.body = compiled->body};
    do { // names flow on: content = message.content; parts = content
        s.names.changed = false;
        lf__jinja_walk(compiled->body, inspect, &s);
    } while (s.names.changed && !s.names.iterates);
    return s.names.iterates;
}
