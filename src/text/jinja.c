// SPDX-License-Identifier: Apache-2.0
//
// Compiling and rendering: the stages of compilation in order, and the life of a run.
#include "text/jinja.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_ast.h"
#include "text/jinja_exec.h"
#include "text/jinja_unicode.h"

// One kind of line ending, and none at the very end: jinja2 drops a single trailing line break.
static size_t normalize_newlines(char *to, const char *source, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        bool pair = source[i] == '\r' && i + 1 < length && source[i + 1] == '\n';
        if (pair) i++;
        to[n++] = source[i] == '\r' ? '\n' : source[i];
    }
    return n > 0 && to[n - 1] == '\n' ? n - 1 : n;
}

static lf_status compile(jinja_compiler *compiler, const char *source, size_t length, lf_jinja_template **out)
{
    lf_status status = LF_OK;
    char *text = lf__jinja_compiler_alloc(compiler, length + 1, 1, &status);
    lf_jinja_template *compiled = lf__jinja_compiler_alloc(compiler, 1, sizeof *compiled, &status);
    if (!text || !compiled) return status;
    size_t bytes = normalize_newlines(text, source, length);
    JINJA_TRY(lf__jinja_lex(compiler, text, bytes));
    JINJA_TRY(lf__jinja_parse(compiler, &compiled->body));
    JINJA_TRY(lf__jinja_resolve(compiler, compiled->body, &compiled->frame));
    *out = compiled;
    return LF_OK;
}

lf_status lf_jinja_compile(lf_jinja_template **out, const char *source, size_t length, lf_error *err)
{
    jinja_compiler compiler = {.err = err};
    lf_jinja_template *compiled = NULL;
    if (length > LF_JINJA_MAX_TEMPLATE_BYTES)
        return lf_error_set(err, LF_ERR_LIMIT, "template is %zu bytes long; the limit is %d", length,
                            LF_JINJA_MAX_TEMPLATE_BYTES);
    if (!lf__utf8_is_valid(source, length)) return lf_error_set(err, LF_ERR_FORMAT, "template is not UTF-8");
    lf__jinja_arena_init(&compiler.arena, SIZE_MAX);
    lf_status status = compile(&compiler, source, length, &compiled);
    free(compiler.tokens.items);
    if (status) {
        lf__jinja_arena_fini(&compiler.arena);
        return status;
    }
    compiled->arena = compiler.arena; // the template lives in its own arena
    *out = compiled;
    return LF_OK;
}

void lf_jinja_free(lf_jinja_template *compiled)
{
    if (!compiled) return;
    jinja_arena arena = compiled->arena;
    lf__jinja_arena_fini(&arena);
}

static lf_jinja_limits filled_in(lf_jinja_limits limits)
{
    if (!limits.max_steps) limits.max_steps = 50 * 1000 * 1000;
    if (!limits.max_memory_bytes) limits.max_memory_bytes = (size_t)256 << 20;
    if (!limits.max_output_bytes) limits.max_output_bytes = (size_t)64 << 20;
    if (limits.max_depth <= 0) limits.max_depth = 1000;
    return limits;
}

static lf_status render(jinja_run *run, const lf_jinja_template *compiled, const json_t *context)
{
    jinja_value variables;
    jinja_env *env;
    JINJA_TRY(lf__jinja_from_json(run, context, &variables));
    run->context = variables.dict;
    JINJA_TRY(lf__jinja_env_new(run, NULL, &compiled->frame, &env));
    JINJA_TRY(lf__jinja_env_enter(run, env));
    return lf__jinja_exec(run, env, compiled->body);
}

lf_status lf_jinja_render(const lf_jinja_template *compiled, const json_t *context, const lf_jinja_options *options,
                          lf_buf *out, lf_error *err)
{
    if (!json_is_object(context)) return lf_error_set(err, LF_ERR_INVALID, "template context is not an object");
    jinja_run run = {
        .limits = filled_in(options ? options->limits : (lf_jinja_limits){0}),
        .now = options ? options->now : 0,
        .out = out,
        .out_start = out->length,
        .line = 1,
        .err = err,
    };
    lf__jinja_arena_init(&run.arena, run.limits.max_memory_bytes);
    lf_status status = render(&run, compiled, context);
    lf__jinja_arena_fini(&run.arena);
    return status;
}
