// SPDX-License-Identifier: Apache-2.0
//
// The for statement and the `loop` variable. The variables of the body start afresh with every element; reading one
// element ahead (loop.last, loop.nextitem) is remembered, because an iterator gives each element once.
#include <assert.h>
#include <string.h>

#include "text/jinja_exec.h"

// --- filtered iteration: for x in y if test ------------------------------------------------------

typedef struct filtered {
    jinja_iter *iter;
    const jinja_for *statement;
    jinja_env *env; // frame of the test
} filtered;

// The value of a target after it was assigned: what the body's target is assigned from.
static lf_status target_value(jinja_run *run, jinja_env *env, const jinja_node *target, jinja_value *out)
{
    if (target->kind != JINJA_TUPLE_DISPLAY) {
        for (uint32_t hops = target->name.hops; hops > 0; hops--) env = env->outer;
        *out = env->slots[target->name.slot];
        return LF_OK;
    }
    JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, target->sequence.count, out));
    for (size_t i = 0; i < target->sequence.count; i++)
        JINJA_TRY(target_value(run, env, target->sequence.items[i], &out->list->items[i]));
    return LF_OK;
}

static lf_status next_filtered(jinja_run *run, void *state, jinja_value *out, bool *has)
{
    filtered *f = state;
    for (;;) {
        jinja_value item, test;
        bool truth;
        JINJA_TRY(lf__jinja_iter_next(run, f->iter, &item, has));
        if (!*has) return LF_OK;
        JINJA_TRY(lf__jinja_assign(run, f->env, f->statement->test_target, item));
        JINJA_TRY(lf__jinja_eval(run, f->env, f->statement->test, &test));
        JINJA_TRY(lf__jinja_truth(run, test, &truth));
        if (truth) return target_value(run, f->env, f->statement->test_target, out);
    }
}

static lf_status filter_iterable(jinja_run *run, jinja_env *env, const jinja_for *statement, jinja_value *iterable)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(filtered), &memory));
    filtered *f = memory;
    f->statement = statement;
    JINJA_TRY(lf__jinja_iter_new(run, *iterable, &f->iter));
    JINJA_TRY(lf__jinja_env_new(run, env, &statement->test_frame, &f->env));
    JINJA_TRY(lf__jinja_env_enter(run, f->env));
    return lf__jinja_iter_of(run, next_filtered, f, iterable);
}

// --- the loop variable ---------------------------------------------------------------------------

static lf_status loop_new(jinja_run *run, jinja_env *env, const jinja_for *statement, jinja_value iterable,
                          int64_t depth0, jinja_loop **out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_loop), &memory));
    jinja_loop *loop = *out = memory;
    loop->iterable = iterable;
    loop->index0 = -1;
    loop->length = SIZE_MAX;
    loop->depth0 = depth0;
    loop->recursive = statement->recursive ? statement : NULL;
    loop->env = env;
    return lf__jinja_iter_new(run, iterable, &loop->iter);
}

static lf_status peek(jinja_run *run, jinja_loop *loop, bool *has)
{
    *has = true;
    if (lf__jinja_given(loop->after)) return LF_OK;
    JINJA_TRY(lf__jinja_iter_next(run, loop->iter, &loop->after, has));
    if (!*has) loop->after.kind = JINJA_MISSING;
    return LF_OK;
}

static lf_status loop_next(jinja_run *run, jinja_loop *loop, bool *has)
{
    jinja_value item;
    JINJA_TRY(peek(run, loop, has));
    if (!*has) return LF_OK;
    item = loop->after;
    loop->after.kind = JINJA_MISSING;
    loop->index0++;
    loop->before = loop->current;
    loop->current = item;
    return LF_OK;
}

lf_status lf__jinja_loop_length(jinja_run *run, jinja_loop *loop, size_t *out)
{
    bool has = true;
    if (loop->length == SIZE_MAX) {
        JINJA_TRY(lf__jinja_length(run, loop->iterable, &loop->length, &has));
        if (!has) { // a generator: what is left is collected
            jinja_value rest = {.kind = JINJA_ITERATOR, .iter = loop->iter};
            JINJA_TRY(lf__jinja_to_list(run, rest, JINJA_LIST, &rest));
            loop->length = rest.list->count + (size_t)loop->index0 + 1 + lf__jinja_given(loop->after);
            JINJA_TRY(lf__jinja_iter_new(run, rest, &loop->iter));
        }
    }
    *out = loop->length;
    return LF_OK;
}

static lf_status loop_cycle(jinja_run *run, jinja_call *call, jinja_value *out)
{
    if (call->args->n_named) return lf__jinja_error(run, "LoopContext.cycle() got an unexpected keyword argument");
    if (call->args->n_items == 0) return lf__jinja_error(run, "no items for cycling given");
    *out = call->args->items[(size_t)call->self.loop->index0 % call->args->n_items];
    return LF_OK;
}

static lf_status loop_changed(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_loop *loop = call->self.loop;
    jinja_value now;
    bool same = false;
    if (call->args->n_named) return lf__jinja_error(run, "LoopContext.changed() got an unexpected keyword argument");
    JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, 0, &now));
    now.list->items = (jinja_value *)(uintptr_t)call->args->items; // lists are constant
    now.list->count = call->args->n_items;
    if (lf__jinja_given(loop->changed)) JINJA_TRY(lf__jinja_equal(run, loop->changed, now, &same));
    loop->changed = now;
    *out = lf__jinja_bool(!same);
    return LF_OK;
}

static lf_status neighbour(jinja_run *run, jinja_loop *loop, bool next, jinja_value *out)
{
    bool has = loop->index0 != 0;
    if (next) JINJA_TRY(peek(run, loop, &has));
    if (!has) return lf__jinja_undefined_hint(run, next ? "there is no next item" : "there is no previous item", out);
    *out = next ? loop->after : loop->before;
    return LF_OK;
}

typedef enum loop_member {
    LOOP_INDEX,
    LOOP_INDEX0,
    LOOP_REVINDEX,
    LOOP_REVINDEX0,
    LOOP_FIRST,
    LOOP_LAST,
    LOOP_LENGTH,
    LOOP_DEPTH,
    LOOP_DEPTH0,
    LOOP_PREVITEM,
    LOOP_NEXTITEM,
    LOOP_CYCLE,
    LOOP_CHANGED,
    LOOP_NO_MEMBER,
} loop_member;

static loop_member member_named(const jinja_string *name)
{
    static const char *const names[] = {"index", "index0", "revindex", "revindex0", "first", "last",   "length",
                                        "depth", "depth0", "previtem", "nextitem",  "cycle", "changed"};
    static_assert(sizeof names / sizeof *names == LOOP_NO_MEMBER, "one name for each member");
    int i = 0;
    while (i < LOOP_NO_MEMBER && !(strlen(names[i]) == name->bytes && memcmp(names[i], name->data, name->bytes) == 0))
        i++;
    return (loop_member)i;
}

static lf_status loop_count(jinja_run *run, jinja_loop *loop, loop_member member, jinja_value *out)
{
    size_t length;
    JINJA_TRY(lf__jinja_loop_length(run, loop, &length));
    int64_t n = (int64_t)length;
    *out = lf__jinja_int(member == LOOP_LENGTH ? n : member == LOOP_REVINDEX ? n - loop->index0 : n - loop->index0 - 1);
    return LF_OK;
}

lf_status lf__jinja_loop_attribute(jinja_run *run, jinja_loop *loop, const jinja_string *name, jinja_value *out,
                                   bool *has)
{
    static const jinja_native cycle = {"cycle", NULL, 0, loop_cycle, 0},
                              changed = {"changed", NULL, 0, loop_changed, 0};
    loop_member member = member_named(name);
    jinja_value self = {.kind = JINJA_LOOP, .loop = loop};
    bool more;
    *has = member != LOOP_NO_MEMBER;
    switch (member) {
    case LOOP_INDEX: *out = lf__jinja_int(loop->index0 + 1); return LF_OK;
    case LOOP_INDEX0: *out = lf__jinja_int(loop->index0); return LF_OK;
    case LOOP_REVINDEX:
    case LOOP_REVINDEX0:
    case LOOP_LENGTH: return loop_count(run, loop, member, out);
    case LOOP_FIRST: *out = lf__jinja_bool(loop->index0 == 0); return LF_OK;
    case LOOP_LAST:
        JINJA_TRY(peek(run, loop, &more));
        *out = lf__jinja_bool(!more);
        return LF_OK;
    case LOOP_DEPTH: *out = lf__jinja_int(loop->depth0 + 1); return LF_OK;
    case LOOP_DEPTH0: *out = lf__jinja_int(loop->depth0); return LF_OK;
    case LOOP_PREVITEM:
    case LOOP_NEXTITEM: return neighbour(run, loop, member == LOOP_NEXTITEM, out);
    case LOOP_CYCLE: return lf__jinja_bound_new(run, &cycle, &self, out);
    case LOOP_CHANGED: return lf__jinja_bound_new(run, &changed, &self, out);
    case LOOP_NO_MEMBER: return LF_OK;
    }
    return LF_OK;
}

// --- running -------------------------------------------------------------------------------------

static lf_status run_bodies(jinja_run *run, jinja_env *env, const jinja_for *statement, jinja_loop *loop, bool *any)
{
    jinja_env *inner;
    bool has = true;
    *any = false;
    JINJA_TRY(lf__jinja_env_new(run, env, &statement->frame, &inner));
    for (;;) {
        JINJA_TRY(loop_next(run, loop, &has));
        if (!has) break;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(lf__jinja_env_enter(run, inner));
        JINJA_TRY(lf__jinja_assign(run, inner, statement->target, loop->current));
        if (statement->loop_slot >= 0)
            inner->slots[statement->loop_slot] = (jinja_value){.kind = JINJA_LOOP, .loop = loop};
        JINJA_TRY(lf__jinja_exec(run, inner, statement->body));
        jinja_signal signal = run->signal;
        run->signal = JINJA_GO_ON;
        // The else branch belongs to loops whose body never came to its end.
        *any |= signal == JINJA_GO_ON;
        if (signal == JINJA_BREAK) break;
    }
    lf__jinja_env_leave(inner);
    return LF_OK;
}

lf_status lf__jinja_for_run(jinja_run *run, jinja_env *env, const jinja_for *statement, jinja_value iterable,
                            int64_t depth0)
{
    jinja_loop *loop;
    bool any;
    if (statement->test) JINJA_TRY(filter_iterable(run, env, statement, &iterable));
    JINJA_TRY(loop_new(run, env, statement, iterable, depth0, &loop));
    JINJA_TRY(run_bodies(run, env, statement, loop, &any));
    if (any || statement->otherwise.count == 0) return LF_OK;
    jinja_env *inner;
    JINJA_TRY(lf__jinja_env_new(run, env, &statement->otherwise_frame, &inner));
    JINJA_TRY(lf__jinja_env_enter(run, inner));
    JINJA_TRY(lf__jinja_exec(run, inner, statement->otherwise));
    lf__jinja_env_leave(inner);
    return LF_OK;
}

lf_status lf__jinja_loop_call(jinja_run *run, jinja_loop *loop, const jinja_args *args, jinja_value *out)
{
    jinja_builder builder;
    if (!loop->recursive)
        return lf__jinja_error(run, "The loop must have the 'recursive' marker to be called recursively.");
    if (args->n_items != 1 || args->n_named) return lf__jinja_error(run, "loop() takes exactly one argument");
    jinja_builder *previous = lf__jinja_capture_begin(run, &builder);
    lf_status status = lf__jinja_for_run(run, loop->env, loop->recursive, args->items[0], loop->depth0 + 1);
    run->capture = previous;
    if (status) return status;
    return lf__jinja_capture_end(run, &builder, previous, out);
}
