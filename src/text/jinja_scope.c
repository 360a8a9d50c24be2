// SPDX-License-Identifier: Apache-2.0
//
// Scopes: which variable a name means is decided before rendering, by the rules of jinja2/idtracking.py. They are not
// those of a chain of dictionaries: a frame that sets a name anywhere owns it everywhere, starting from the outer value
// (an alias), from the context (when an `if` guards the first assignment), or from nothing. `if` has no frame of its
// own; for, macro, call, with, set blocks and filter blocks have.
//
// Frames are analyzed on the way in and forgotten on the way out, so each symbol keeps a stack of its bindings, the
// innermost on top, and a look-up does not search.
#include <string.h>

#include "base/mem.h"
#include "text/jinja_ast.h"

enum { ROOT_DEPTH = 1 };

typedef struct binding {
    struct binding *shadowed;
    uint32_t depth; // of the frame
    uint32_t slot;
} binding;

typedef struct symbol {
    const char *name;
    size_t bytes;
    binding *innermost;
} symbol;

typedef struct scope {
    jinja_compiler *compiler;
    symbol **table; // open addressing, by name
    size_t table_size;
    size_t n_symbols;
    jinja_frame *frame; // the innermost
    uint32_t depth;     // of that frame
    int branches;       // `if` statements around the node, within the frame
    int soft;           // inside of something that may not run, where unknown filters are no error yet
    int loops;          // for statements around the node, over all frames
    uint32_t hidden;    // bindings of frames from the second to this depth are not seen: a block is apart from them
} scope;

// --- symbols -------------------------------------------------------------------------------------

static size_t hash_name(const char *name, size_t bytes)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ (unsigned char)name[i]) * 1099511628211u;
    return (size_t)(hash ^ hash >> 29);
}

static symbol **table_slot(symbol **table, size_t size, const char *name, size_t bytes)
{
    size_t i = hash_name(name, bytes) & (size - 1);
    while (table[i] && !(table[i]->bytes == bytes && memcmp(table[i]->name, name, bytes) == 0))
        i = (i + 1) & (size - 1);
    return &table[i];
}

static lf_status grow_table(scope *s)
{
    lf_status status = LF_OK;
    size_t size = s->table_size ? s->table_size * 2 : 64;
    symbol **table = lf__jinja_compiler_alloc(s->compiler, size, sizeof *table, &status);
    if (!table) return status;
    for (size_t i = 0; i < s->table_size; i++)
        if (s->table[i]) *table_slot(table, size, s->table[i]->name, s->table[i]->bytes) = s->table[i];
    s->table = table;
    s->table_size = size;
    return LF_OK;
}

static lf_status symbol_of(scope *s, const jinja_string *name, symbol **out)
{
    if (2 * s->n_symbols >= s->table_size) JINJA_TRY(grow_table(s));
    symbol **slot = table_slot(s->table, s->table_size, name->data, name->bytes);
    if (!*slot) {
        lf_status status = LF_OK;
        *slot = lf__jinja_compiler_alloc(s->compiler, 1, sizeof **slot, &status);
        if (!*slot) return status;
        **slot = (symbol){.name = name->data, .bytes = name->bytes};
        s->n_symbols++;
    }
    *out = *slot;
    return LF_OK;
}

static bool is_name(const jinja_string *string, const char *name)
{
    return string->bytes == strlen(name) && memcmp(string->data, name, string->bytes) == 0;
}

// --- frames --------------------------------------------------------------------------------------

typedef struct saved_scope {
    jinja_frame *frame;
    int branches;
    int soft;
} saved_scope;

static saved_scope enter_frame(scope *s, jinja_frame *frame)
{
    saved_scope saved = {s->frame, s->branches, s->soft};
    frame->outer = s->frame;
    s->frame = frame;
    s->depth++;
    s->branches = 0;
    s->soft = 0;
    return saved;
}

static lf_status leave_frame(scope *s, saved_scope saved)
{
    for (size_t i = 0; i < s->frame->count; i++) {
        symbol *sym;
        JINJA_TRY(symbol_of(s, s->frame->variables[i].name, &sym));
        sym->innermost = sym->innermost->shadowed;
    }
    s->frame = saved.frame;
    s->depth--;
    s->branches = saved.branches;
    s->soft = saved.soft;
    return LF_OK;
}

// The binding that a name has here.
static const binding *visible(const scope *s, const symbol *sym)
{
    const binding *b = sym->innermost;
    while (b && b->depth > ROOT_DEPTH && b->depth <= s->hidden) b = b->shadowed;
    return b;
}

// A new variable of the innermost frame.
static lf_status define(scope *s, const jinja_string *name, symbol *sym, jinja_load load, jinja_variable **out)
{
    jinja_frame *frame = s->frame;
    lf_status status = LF_OK;
    if (frame->count == frame->capacity) {
        size_t capacity = LF_MAX(frame->capacity * 2, (size_t)8);
        jinja_variable *grown = lf__jinja_compiler_alloc(s->compiler, capacity, sizeof *grown, &status);
        if (!grown) return status;
        if (frame->count) memcpy(grown, frame->variables, frame->count * sizeof *grown);
        frame->variables = grown;
        frame->capacity = capacity;
    }
    binding *b = lf__jinja_compiler_alloc(s->compiler, 1, sizeof *b, &status);
    if (!b) return status;
    *b = (binding){.shadowed = sym->innermost, .depth = s->depth, .slot = (uint32_t)frame->count};
    *out = &frame->variables[frame->count++];
    **out = (jinja_variable){.name = name, .load = load};
    const binding *outer = visible(s, sym);
    if (outer) {
        (*out)->alias_hops = s->depth - 1 - outer->depth;
        (*out)->alias_slot = outer->slot;
    }
    sym->innermost = b;
    return LF_OK;
}

static lf_status declare(scope *s, const jinja_string *name, int32_t *slot)
{
    symbol *sym;
    jinja_variable *variable;
    JINJA_TRY(symbol_of(s, name, &sym));
    if (sym->innermost && sym->innermost->depth == s->depth)
        variable = &s->frame->variables[sym->innermost->slot];
    else
        JINJA_TRY(define(s, name, sym, JINJA_LOAD_PARAMETER, &variable));
    variable->load = JINJA_LOAD_PARAMETER;
    variable->stored = true;
    if (slot) *slot = (int32_t)sym->innermost->slot;
    return LF_OK;
}

static lf_status store(scope *s, const jinja_string *name)
{
    symbol *sym;
    jinja_variable *variable;
    JINJA_TRY(symbol_of(s, name, &sym));
    if (sym->innermost && sym->innermost->depth == s->depth) {
        s->frame->variables[sym->innermost->slot].stored = true;
        return LF_OK;
    }
    jinja_load load = visible(s, sym) ? JINJA_LOAD_ALIAS : s->branches ? JINJA_LOAD_RESOLVE : JINJA_LOAD_NOTHING;
    JINJA_TRY(define(s, name, sym, load, &variable));
    variable->stored = true;
    return LF_OK;
}

static lf_status load(scope *s, const jinja_string *name)
{
    symbol *sym;
    jinja_variable *variable;
    JINJA_TRY(symbol_of(s, name, &sym));
    return visible(s, sym) ? LF_OK : define(s, name, sym, JINJA_LOAD_RESOLVE, &variable);
}

// --- first pass: the variables of a frame --------------------------------------------------------

static lf_status analyze(jinja_node *node, void *state);

static lf_status analyze_all(scope *s, jinja_nodes nodes)
{
    for (size_t i = 0; i < nodes.count; i++) JINJA_TRY(analyze(nodes.items[i], s));
    return LF_OK;
}

static lf_status analyze_one(scope *s, jinja_node *node) { return node ? analyze(node, s) : LF_OK; }

static lf_status analyze_if(scope *s, jinja_node *node)
{
    JINJA_TRY(analyze(node->branch.test, s));
    s->branches++;
    JINJA_TRY(analyze_all(s, node->branch.body));
    JINJA_TRY(analyze_all(s, node->branch.elifs));
    JINJA_TRY(analyze_all(s, node->branch.otherwise));
    s->branches--;
    return LF_OK;
}

// Stops at statements with frames of their own; what belongs to them in this frame is visited.
static lf_status analyze(jinja_node *node, void *state)
{
    scope *s = state;
    switch (node->kind) {
    case JINJA_NAME:
        if (node->name.parameter) return declare(s, node->name.name, NULL);
        return node->name.store ? store(s, node->name.name) : load(s, node->name.name);
    case JINJA_NAMESPACE_REF: return load(s, node->name.name);
    case JINJA_IF: return analyze_if(s, node);
    case JINJA_FOR: return analyze(node->loop->iterable, s);
    case JINJA_MACRO_DEF: return analyze(node->macro.target, s);
    case JINJA_CALL_BLOCK: return analyze(node->macro.call, s);
    case JINJA_GENERATION:
    case JINJA_BLOCK:
    case JINJA_AUTOESCAPE: return LF_OK;
    case JINJA_WITH: return analyze_all(s, node->with.values);
    case JINJA_FILTER_BLOCK: return analyze_one(s, node->set.value);
    case JINJA_SET_BLOCK: return analyze(node->set.target, s);
    case JINJA_SET:
        JINJA_TRY(analyze(node->set.value, s)); // x = x + 1 reads first
        return analyze(node->set.target, s);
    default: return lf__jinja_children(node, analyze, s);
    }
}

// --- special variables ---------------------------------------------------------------------------

typedef struct special_search {
    const char *name;
    bool open; // not yet set by the code itself
    bool found;
} special_search;

static bool search_special(jinja_node *node, void *state)
{
    special_search *search = state;
    if (node->kind != JINJA_NAME || !is_name(node->name.name, search->name)) return true;
    if (node->name.store || node->name.parameter)
        search->open = false;
    else
        search->found |= search->open;
    return search->open && !search->found;
}

// Whether the code reads the name before it sets it.
static bool uses_special(jinja_nodes body, const char *name)
{
    special_search search = {.name = name, .open = true};
    lf__jinja_walk(body, search_special, &search);
    return search.found;
}

static const jinja_string loop_name = {.data = "loop", .bytes = 4, .chars = 4};
static const jinja_string caller_name = {.data = "caller", .bytes = 6, .chars = 6};
static const jinja_string kwargs_name = {.data = "kwargs", .bytes = 6, .chars = 6};
static const jinja_string varargs_name = {.data = "varargs", .bytes = 7, .chars = 7};

static lf_status refuse_loop_target(scope *s, int line)
{
    return lf__jinja_syntax_error(s->compiler, line, "can't assign to special loop variable in for-loop");
}

// --- second pass: frame and slot of every name ---------------------------------------------------

static lf_status resolve(jinja_node *node, void *state);

static lf_status resolve_all(scope *s, jinja_nodes nodes)
{
    for (size_t i = 0; i < nodes.count; i++) JINJA_TRY(resolve(nodes.items[i], s));
    return LF_OK;
}

static lf_status resolve_one(scope *s, jinja_node *node) { return node ? resolve(node, s) : LF_OK; }

static lf_status resolve_name(scope *s, jinja_node *node)
{
    symbol *sym;
    if (s->loops && node->kind == JINJA_NAME && node->name.store && !node->name.parameter &&
        is_name(node->name.name, "loop"))
        return refuse_loop_target(s, node->line);
    JINJA_TRY(symbol_of(s, node->name.name, &sym));
    const binding *b = visible(s, sym);
    if (!b) return lf_error_set(s->compiler->err, LF_ERR_BUG, "name without a variable");
    node->name.hops = s->depth - b->depth;
    node->name.slot = b->slot;
    return LF_OK;
}

static bool is_no_loop_name(jinja_node *node, void *state)
{
    return node->kind != JINJA_NAME || !is_name(node->name.name, "loop");
}

static lf_status resolve_loop_body(scope *s, jinja_for *loop)
{
    saved_scope saved = enter_frame(s, &loop->frame);
    loop->loop_slot = -1;
    if (loop->recursive || uses_special(loop->body, "loop")) JINJA_TRY(declare(s, &loop_name, &loop->loop_slot));
    JINJA_TRY(analyze(loop->target, s));
    JINJA_TRY(analyze_all(s, loop->body));
    JINJA_TRY(resolve(loop->target, s));
    JINJA_TRY(resolve_all(s, loop->body));
    return leave_frame(s, saved);
}

static lf_status resolve_for(scope *s, jinja_node *node)
{
    jinja_for *loop = node->loop;
    s->loops++;
    JINJA_TRY(resolve(loop->iterable, s));
    if (!lf__jinja_walk_node(loop->target, is_no_loop_name, NULL)) return refuse_loop_target(s, node->line);
    JINJA_TRY(resolve_loop_body(s, loop));
    if (loop->test) {
        saved_scope saved = enter_frame(s, &loop->test_frame);
        JINJA_TRY(analyze(loop->test_target, s));
        JINJA_TRY(analyze(loop->test, s));
        JINJA_TRY(resolve(loop->test_target, s));
        JINJA_TRY(resolve(loop->test, s));
        JINJA_TRY(leave_frame(s, saved));
    }
    saved_scope saved = enter_frame(s, &loop->otherwise_frame);
    JINJA_TRY(analyze_all(s, loop->otherwise));
    JINJA_TRY(resolve_all(s, loop->otherwise));
    JINJA_TRY(leave_frame(s, saved));
    s->loops--;
    return LF_OK;
}

static lf_status declare_special(scope *s, jinja_macro_body *macro, const jinja_string *name, int32_t *slot)
{
    *slot = -1;
    bool explicit_param = false;
    for (size_t i = 0; i < macro->params.count; i++)
        explicit_param |= is_name(macro->params.items[i]->name.name, name->data);
    if (explicit_param || !uses_special(macro->body, name->data)) return LF_OK;
    return declare(s, name, slot);
}

static lf_status check_params(scope *s, jinja_macro_body *macro)
{
    size_t required = macro->params.count - macro->defaults.count;
    for (size_t i = 0; i < macro->params.count; i++) {
        const jinja_node *param = macro->params.items[i];
        if (is_name(param->name.name, "caller")) {
            macro->explicit_caller = true;
            if (i < required && uses_special(macro->body, "caller"))
                return lf__jinja_syntax_error(s->compiler, param->line,
                                              "the special \"caller\" argument must be omitted or be given a default");
        }
        int32_t slot;
        JINJA_TRY(declare(s, param->name.name, &slot));
        if ((size_t)slot != i)
            return lf__jinja_syntax_error(s->compiler, param->line, "duplicate argument '%.*s' in macro definition",
                                          (int)param->name.name->bytes, param->name.name->data);
    }
    return LF_OK;
}

static lf_status resolve_macro(scope *s, jinja_macro_body *macro)
{
    saved_scope saved = enter_frame(s, &macro->frame);
    JINJA_TRY(check_params(s, macro));
    JINJA_TRY(declare_special(s, macro, &caller_name, &macro->caller_slot));
    JINJA_TRY(declare_special(s, macro, &kwargs_name, &macro->kwargs_slot));
    JINJA_TRY(declare_special(s, macro, &varargs_name, &macro->varargs_slot));
    JINJA_TRY(analyze_all(s, macro->defaults));
    JINJA_TRY(analyze_all(s, macro->body));
    JINJA_TRY(resolve_all(s, macro->defaults));
    JINJA_TRY(resolve_all(s, macro->body));
    return leave_frame(s, saved);
}

static lf_status resolve_with(scope *s, jinja_node *node)
{
    JINJA_TRY(resolve_all(s, node->with.values));
    saved_scope saved = enter_frame(s, &node->with.frame);
    JINJA_TRY(analyze_all(s, node->with.targets));
    JINJA_TRY(analyze_all(s, node->with.body));
    JINJA_TRY(resolve_all(s, node->with.targets));
    JINJA_TRY(resolve_all(s, node->with.body));
    return leave_frame(s, saved);
}

// Set blocks and filter blocks: the filter's arguments see what the body set.
static lf_status resolve_capture(scope *s, jinja_node *node)
{
    JINJA_TRY(resolve_one(s, node->kind == JINJA_SET_BLOCK ? node->set.target : NULL));
    saved_scope saved = enter_frame(s, &node->set.frame);
    JINJA_TRY(analyze_all(s, node->set.body));
    JINJA_TRY(analyze_one(s, node->set.value));
    JINJA_TRY(resolve_all(s, node->set.body));
    JINJA_TRY(resolve_one(s, node->set.value));
    return leave_frame(s, saved);
}

// A block stands for itself: unless it is scoped it sees the variables of the template, not those of loops around it.
static lf_status resolve_block(scope *s, jinja_node *node)
{
    uint32_t hidden = s->hidden;
    int loops = s->loops;
    if (!node->set.scoped) s->hidden = s->depth;
    s->loops = 0;
    JINJA_TRY(resolve_capture(s, node));
    s->hidden = hidden;
    s->loops = loops;
    return LF_OK;
}

static lf_status resolve_autoescape(scope *s, jinja_node *node)
{
    saved_scope saved = enter_frame(s, &node->set.frame);
    JINJA_TRY(analyze(node->set.value, s));
    JINJA_TRY(analyze_all(s, node->set.body));
    JINJA_TRY(resolve(node->set.value, s));
    JINJA_TRY(resolve_all(s, node->set.body));
    return leave_frame(s, saved);
}

static lf_status resolve_soft(scope *s, jinja_node *node)
{
    s->soft++;
    JINJA_TRY(lf__jinja_children(node, resolve, s));
    s->soft--;
    return LF_OK;
}

static lf_status resolve_filter(scope *s, jinja_node *node)
{
    const jinja_string *name = node->call.name;
    if (!node->call.native && !s->soft)
        return lf__jinja_syntax_error(s->compiler, node->line, "no %s named '%.*s'",
                                      node->kind == JINJA_FILTER ? "filter" : "test", (int)name->bytes, name->data);
    return lf__jinja_children(node, resolve, s);
}

static lf_status resolve(jinja_node *node, void *state)
{
    scope *s = state;
    switch (node->kind) {
    case JINJA_NAME:
    case JINJA_NAMESPACE_REF: return resolve_name(s, node);
    case JINJA_IF:
    case JINJA_CONDITIONAL: return resolve_soft(s, node);
    case JINJA_FILTER:
    case JINJA_TEST: return resolve_filter(s, node);
    case JINJA_FOR: return resolve_for(s, node);
    case JINJA_MACRO_DEF: {
        int loops = s->loops; // a macro may be called `loop`
        s->loops = 0;
        JINJA_TRY(resolve_name(s, node->macro.target));
        s->loops = loops;
        return resolve_macro(s, node->macro.body);
    }
    case JINJA_CALL_BLOCK: JINJA_TRY(resolve(node->macro.call, s)); return resolve_macro(s, node->macro.body);
    case JINJA_GENERATION: return resolve_macro(s, node->macro.body);
    case JINJA_WITH: return resolve_with(s, node);
    case JINJA_SET_BLOCK:
    case JINJA_FILTER_BLOCK: return resolve_capture(s, node);
    case JINJA_BLOCK: return resolve_block(s, node);
    case JINJA_AUTOESCAPE: return resolve_autoescape(s, node);
    default: return lf__jinja_children(node, resolve, s);
    }
}

lf_status lf__jinja_resolve(jinja_compiler *compiler, jinja_nodes body, jinja_frame *root)
{
    scope s = {.compiler = compiler};
    saved_scope saved = enter_frame(&s, root);
    JINJA_TRY(analyze_all(&s, body));
    JINJA_TRY(resolve_all(&s, body));
    return leave_frame(&s, saved);
}
