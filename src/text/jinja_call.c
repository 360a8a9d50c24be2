// SPDX-License-Identifier: Apache-2.0
//
// Calling: native functions with named parameters, macros with defaults, varargs, kwargs and caller, loops, joiners.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_exec.h"

// --- natives -------------------------------------------------------------------------------------

lf_status lf__jinja_bound_new(jinja_run *run, const jinja_native *native, const jinja_value *self, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_bound), &memory));
    jinja_bound *bound = memory;
    bound->native = native;
    if (self) {
        JINJA_TRY(lf__jinja_alloc(run, 1, sizeof *self, &memory));
        *(jinja_value *)memory = *self;
        bound->self = memory;
    }
    *out = (jinja_value){.kind = JINJA_NATIVE, .bound = bound};
    return LF_OK;
}

// Position of a name in a list such as "old,new,count"; -1 when it is not there. *n gets the number of names.
static int param_index(const char *params, const jinja_string *name, int *n)
{
    int found = -1;
    *n = 0;
    for (const char *p = params; *p; (*n)++) {
        size_t length = strcspn(p, ",");
        if (name && name->bytes == length && memcmp(p, name->data, length) == 0) found = *n;
        p += length + (p[length] == ',');
    }
    return found;
}

static lf_status bind(jinja_run *run, const jinja_native *native, const jinja_args *args, jinja_call *call)
{
    const char *params = native->params;
    bool positional = *params == '/';
    int n;
    if (positional) params++;
    param_index(params, NULL, &n);
    if (args->n_items > (size_t)n)
        return lf__jinja_error(run, "%s() takes at most %d argument%s (%zu given)", native->name, n, n == 1 ? "" : "s",
                               args->n_items);
    for (size_t i = 0; i < args->n_items; i++) call->params[i] = args->items[i];
    for (size_t i = 0; i < args->n_named; i++) {
        const jinja_string *name = args->named[i].name;
        int at = positional ? -1 : param_index(params, name, &n);
        if (at < 0)
            return lf__jinja_error(run, "%s() got an unexpected keyword argument '%.*s'", native->name,
                                   (int)LF_MIN(name->bytes, (size_t)100), name->data);
        if (lf__jinja_given(call->params[at]))
            return lf__jinja_error(run, "%s() got multiple values for argument '%.*s'", native->name, (int)name->bytes,
                                   name->data);
        call->params[at] = args->named[i].value;
    }
    for (int i = 0; i < native->n_required; i++)
        if (!lf__jinja_given(call->params[i]))
            return lf__jinja_error(run, "%s() is missing a required argument", native->name);
    return LF_OK;
}

lf_status lf__jinja_call_native(jinja_run *run, const jinja_native *native, jinja_value self, const jinja_args *args,
                                jinja_value *out)
{
    jinja_call call = {.self = self, .args = args, .native = native};
    if (native->params) JINJA_TRY(bind(run, native, args, &call));
    JINJA_TRY(lf__jinja_enter(run)); // map and select call filters and tests
    JINJA_TRY(native->call(run, &call, out));
    lf__jinja_leave(run);
    return LF_OK;
}

lf_status lf__jinja_param_int(jinja_run *run, const jinja_call *call, int i, int64_t *out)
{
    jinja_value value = call->params[i];
    if (!lf__jinja_given(value) || lf__jinja_integer(value, out)) return LF_OK;
    if (value.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, value);
    return lf__jinja_error(run, "%s(): '%s' object cannot be interpreted as an integer", call->native->name,
                           lf__jinja_type_name(value));
}

lf_status lf__jinja_param_bool(jinja_run *run, const jinja_call *call, int i, bool *out)
{
    return lf__jinja_given(call->params[i]) ? lf__jinja_truth(run, call->params[i], out) : LF_OK;
}

lf_status lf__jinja_param_string(jinja_run *run, const jinja_call *call, int i, jinja_string **out)
{
    jinja_value value = call->params[i];
    if (!lf__jinja_given(value)) return LF_OK;
    if (!lf__jinja_is_text(value))
        return lf__jinja_error(run, "%s() argument %d must be str, not %s", call->native->name, i + 1,
                               lf__jinja_type_name(value));
    *out = value.string;
    return LF_OK;
}

static lf_status call_joiner(jinja_run *run, jinja_joiner *joiner, jinja_value *out)
{
    if (!joiner->used) {
        joiner->used = true;
        return lf__jinja_string_view(run, "", 0, out);
    }
    *out = (jinja_value){.kind = JINJA_STRING, .string = joiner->separator};
    return LF_OK;
}

lf_status lf__jinja_call_value(jinja_run *run, jinja_value callee, const jinja_args *args, jinja_value *out)
{
    jinja_value nothing = {.kind = JINJA_MISSING};
    switch (callee.kind) {
    case JINJA_NATIVE:
        return lf__jinja_call_native(run, callee.bound->native, callee.bound->self ? *callee.bound->self : nothing,
                                     args, out);
    case JINJA_MACRO: return lf__jinja_macro_call(run, callee.macro, args, out);
    case JINJA_LOOP: return lf__jinja_loop_call(run, callee.loop, args, out);
    case JINJA_JOINER: return call_joiner(run, callee.joiner, out);
    case JINJA_UNDEFINED: return lf__jinja_undefined_error(run, callee);
    default: return lf__jinja_error(run, "'%s' object is not callable", lf__jinja_type_name(callee));
    }
}

// --- macros --------------------------------------------------------------------------------------

lf_status lf__jinja_macro_new(jinja_run *run, jinja_env *env, const jinja_macro_body *body, jinja_value *out)
{
    void *memory;
    JINJA_TRY(lf__jinja_alloc(run, 1, sizeof(jinja_macro), &memory));
    *(jinja_macro *)memory = (jinja_macro){.body = body, .env = env};
    *out = (jinja_value){.kind = JINJA_MACRO, .macro = memory};
    return LF_OK;
}

static bool same_name(const jinja_string *a, const jinja_string *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

static bool is_caller(const jinja_string *name) { return name->bytes == 6 && memcmp(name->data, "caller", 6) == 0; }

static const char *macro_name(const jinja_macro_body *body, char buffer[64])
{
    snprintf(buffer, 64, "'%.*s'", body->name ? (int)LF_MIN(body->name->bytes, (size_t)50) : 9,
             body->name ? body->name->data : "anonymous");
    return buffer;
}

// Named arguments: into their parameters, the caller slot, or kwargs.
static lf_status bind_named(jinja_run *run, const jinja_macro_body *body, const jinja_args *args, jinja_env *env,
                            jinja_dict *kwargs)
{
    char name[64];
    for (size_t i = 0; i < args->n_named; i++) {
        const jinja_named *named = &args->named[i];
        size_t at = LF_MIN(args->n_items, body->params.count);
        while (at < body->params.count && !same_name(body->params.items[at]->name.name, named->name)) at++;
        JINJA_TRY(lf__jinja_charge(run, 1 + at));
        jinja_value key = {.kind = JINJA_STRING, .string = named->name};
        if (at < body->params.count)
            env->slots[at] = named->value;
        else if (is_caller(named->name) && body->caller_slot >= 0)
            env->slots[body->caller_slot] = named->value;
        else if (kwargs)
            JINJA_TRY(lf__jinja_dict_set(run, kwargs, key, named->value));
        else
            return lf__jinja_error(run, "macro %s takes no keyword argument '%.*s'", macro_name(body, name),
                                   (int)LF_MIN(named->name->bytes, (size_t)100), named->name->data);
    }
    return LF_OK;
}

static lf_status bind_special(jinja_run *run, const jinja_macro_body *body, const jinja_args *args, jinja_env *env)
{
    char name[64];
    size_t n_params = body->params.count;
    jinja_dict *kwargs = NULL;
    if (body->kwargs_slot >= 0) {
        JINJA_TRY(lf__jinja_dict_new(run, &kwargs));
        env->slots[body->kwargs_slot] = (jinja_value){.kind = JINJA_DICT, .dict = kwargs};
    }
    JINJA_TRY(bind_named(run, body, args, env, kwargs));
    if (body->caller_slot >= 0 && !lf__jinja_given(env->slots[body->caller_slot]))
        JINJA_TRY(lf__jinja_undefined_hint(run, "No caller defined", &env->slots[body->caller_slot]));
    size_t extra = args->n_items > n_params ? args->n_items - n_params : 0;
    if (body->varargs_slot >= 0) {
        jinja_value rest;
        JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, extra, &rest));
        for (size_t i = 0; i < extra; i++) rest.list->items[i] = args->items[n_params + i];
        env->slots[body->varargs_slot] = rest;
    } else if (extra) {
        return lf__jinja_error(run, "macro %s takes not more than %zu argument(s)", macro_name(body, name), n_params);
    }
    return LF_OK;
}

static lf_status fill_defaults(jinja_run *run, const jinja_macro_body *body, jinja_env *env)
{
    size_t required = body->params.count - body->defaults.count;
    for (size_t i = 0; i < body->params.count; i++) {
        if (lf__jinja_given(env->slots[i])) continue;
        if (i >= required) {
            JINJA_TRY(lf__jinja_eval(run, env, body->defaults.items[i - required], &env->slots[i]));
            continue;
        }
        void *hint;
        const jinja_string *name = body->params.items[i]->name.name;
        size_t bytes = name->bytes + sizeof "parameter '' was not provided";
        JINJA_TRY(lf__jinja_alloc(run, bytes, 1, &hint));
        snprintf(hint, bytes, "parameter '%.*s' was not provided", (int)name->bytes, name->data);
        JINJA_TRY(lf__jinja_undefined_hint(run, hint, &env->slots[i]));
    }
    return LF_OK;
}

lf_status lf__jinja_macro_call(jinja_run *run, jinja_macro *macro, const jinja_args *args, jinja_value *out)
{
    const jinja_macro_body *body = macro->body;
    jinja_env *env;
    jinja_builder builder;
    JINJA_TRY(lf__jinja_enter(run));
    JINJA_TRY(lf__jinja_env_new(run, macro->env, &body->frame, &env));
    JINJA_TRY(lf__jinja_env_enter(run, env));
    for (size_t i = 0; i < LF_MIN(args->n_items, body->params.count); i++) env->slots[i] = args->items[i];
    JINJA_TRY(bind_special(run, body, args, env));
    JINJA_TRY(fill_defaults(run, body, env));
    jinja_builder *previous = lf__jinja_capture_begin(run, &builder);
    lf_status status = lf__jinja_exec(run, env, body->body);
    run->capture = previous;
    if (status) return status;
    JINJA_TRY(lf__jinja_capture_end(run, &builder, previous, out));
    lf__jinja_leave(run);
    return LF_OK;
}

static lf_status param_names(jinja_run *run, const jinja_macro_body *body, jinja_value *out)
{
    JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, body->params.count, out));
    for (size_t i = 0; i < body->params.count; i++)
        out->list->items[i] = (jinja_value){.kind = JINJA_STRING, .string = body->params.items[i]->name.name};
    return LF_OK;
}

lf_status lf__jinja_macro_attribute(jinja_run *run, const jinja_macro *macro, const jinja_string *name,
                                    jinja_value *out, bool *has)
{
    static const char *const names[] = {"name",          "arguments", "catch_kwargs",
                                        "catch_varargs", "caller",    "explicit_caller"};
    const jinja_macro_body *body = macro->body;
    size_t i = 0;
    while (i < LF_ARRAY_LENGTH(names) &&
           !(strlen(names[i]) == name->bytes && !memcmp(names[i], name->data, name->bytes)))
        i++;
    *has = i < LF_ARRAY_LENGTH(names);
    switch (i) {
    case 0:
        *out = lf__jinja_none();
        if (body->name) *out = (jinja_value){.kind = JINJA_STRING, .string = body->name};
        break;
    case 1: return param_names(run, body, out);
    case 2: *out = lf__jinja_bool(body->kwargs_slot >= 0); break;
    case 3: *out = lf__jinja_bool(body->varargs_slot >= 0); break;
    case 4: *out = lf__jinja_bool(body->caller_slot >= 0 || body->explicit_caller); break;
    case 5: *out = lf__jinja_bool(body->explicit_caller); break;
    default: break;
    }
    return LF_OK;
}
