// SPDX-License-Identifier: Apache-2.0
//
// Statements of the template language, and what the parser is made of: tokens, nodes, lists of nodes. Recursion is
// bounded twice: nested constructs are counted while parsing, and every node knows the height of its tree, because a
// chain such as a+b+c+... is parsed by a loop but evaluated by recursion.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

// --- tools ---------------------------------------------------------------------------------------

void *lf__jinja_compiler_alloc(jinja_compiler *compiler, size_t n, size_t element_bytes, lf_status *status)
{
    size_t bytes;
    void *memory = lf_mul_size(n, element_bytes, &bytes) ? lf__jinja_arena_alloc(&compiler->arena, bytes) : NULL;
    if (!memory) *status = lf_error_no_memory(compiler->err, 0);
    return memory;
}

static lf_status compile_error(jinja_compiler *compiler, lf_status status, int line, const char *format, va_list args)
{
    char message[LF_ERROR_MESSAGE_BYTES];
    vsnprintf(message, sizeof message, format, args);
    message[lf__utf8_prefix(message, strlen(message))] = '\0';
    lf_error_set(compiler->err, status, "template line %d: %s", line, message);
    lf_error_subject(compiler->err, "template line %d", line);
    return status;
}

lf_status lf__jinja_compile_error(jinja_compiler *compiler, lf_status status, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    compile_error(compiler, status, line, format, args);
    va_end(args);
    return status;
}

lf_status lf__jinja_syntax_error(jinja_compiler *compiler, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    compile_error(compiler, LF_ERR_FORMAT, line, format, args);
    va_end(args);
    return LF_ERR_FORMAT;
}

lf_status lf__jinja_nest(jinja_parser *parser)
{
    if (parser->nesting++ < JINJA_MAX_NESTING) return LF_OK;
    return lf__jinja_compile_error(parser->compiler, LF_ERR_LIMIT, parser->token->line, "nested deeper than %d levels",
                                   JINJA_MAX_NESTING);
}

lf_status lf__jinja_node_new(jinja_parser *parser, jinja_node_kind kind, int line, jinja_node **out)
{
    lf_status status = LF_OK;
    jinja_node *node = lf__jinja_compiler_alloc(parser->compiler, 1, sizeof *node, &status);
    if (!node) return status;
    node->kind = kind;
    node->line = line;
    node->height = 1;
    *out = node;
    return LF_OK;
}

lf_status lf__jinja_node_raise(jinja_parser *parser, jinja_node *node, const jinja_node *child)
{
    node->height = LF_MAX(node->height, child->height + 1);
    if (node->height <= JINJA_MAX_HEIGHT) return LF_OK;
    return lf__jinja_compile_error(parser->compiler, LF_ERR_LIMIT, node->line,
                                   "expression has more than %d operations in a row", JINJA_MAX_HEIGHT);
}

// The capacity is not stored: it is the next power of two.
lf_status lf__jinja_nodes_push(jinja_parser *parser, jinja_nodes *nodes, jinja_node *node)
{
    size_t n = nodes->count;
    if ((n & (n - 1)) == 0) {
        lf_status status = LF_OK;
        jinja_node **grown = lf__jinja_compiler_alloc(parser->compiler, n ? 2 * n : 1, sizeof *grown, &status);
        if (!grown) return status;
        if (n) memcpy(grown, nodes->items, n * sizeof *grown);
        nodes->items = grown;
    }
    nodes->items[nodes->count++] = node;
    return LF_OK;
}

const char *lf__jinja_token_text(const jinja_token *token, char *buffer, size_t bytes)
{
    switch (token->kind) {
    case JINJA_TOKEN_END: return "end of template";
    case JINJA_TOKEN_DATA: return "template data / text";
    case JINJA_TOKEN_VARIABLE_BEGIN: return "begin of print statement";
    case JINJA_TOKEN_VARIABLE_END: return "end of print statement";
    case JINJA_TOKEN_BLOCK_BEGIN: return "begin of statement block";
    case JINJA_TOKEN_BLOCK_END: return "end of statement block";
    case JINJA_TOKEN_STRING: return "string";
    default: break;
    }
    size_t shown = lf__utf8_prefix(token->data, LF_MIN(token->bytes, bytes - 1));
    memcpy(buffer, token->data, shown);
    buffer[shown] = '\0';
    return buffer;
}

static lf_status unexpected(jinja_parser *parser, const char *what)
{
    char text[64];
    if (parser->token->kind == JINJA_TOKEN_END)
        return lf__jinja_syntax_error(parser->compiler, parser->token->line,
                                      "unexpected end of template, expected '%s'", what);
    return lf__jinja_syntax_error(parser->compiler, parser->token->line, "expected token '%s', got '%s'", what,
                                  lf__jinja_token_text(parser->token, text, sizeof text));
}

lf_status lf__jinja_expect(jinja_parser *parser, jinja_token_kind kind, const char *what)
{
    return lf__jinja_skip(parser, kind) ? LF_OK : unexpected(parser, what);
}

bool lf__jinja_at_name(const jinja_parser *parser, const char *name)
{
    const jinja_token *token = parser->token;
    return token->kind == JINJA_TOKEN_NAME && token->bytes == strlen(name) &&
           memcmp(token->data, name, token->bytes) == 0;
}

bool lf__jinja_skip_name(jinja_parser *parser, const char *name)
{
    if (!lf__jinja_at_name(parser, name)) return false;
    parser->token++;
    return true;
}

bool lf__jinja_skip(jinja_parser *parser, jinja_token_kind kind)
{
    if (parser->token->kind != kind) return false;
    parser->token++;
    return true;
}

lf_status lf__jinja_token_string(jinja_parser *parser, const jinja_token *token, jinja_string **out)
{
    lf_status status = LF_OK;
    jinja_string *string = lf__jinja_compiler_alloc(parser->compiler, 1, sizeof *string, &status);
    if (!string) return status;
    *string =
        (jinja_string){.data = token->data, .bytes = token->bytes, .chars = lf__utf8_count(token->data, token->bytes)};
    *out = string;
    return LF_OK;
}

lf_status lf__jinja_expect_name(jinja_parser *parser, jinja_string **out)
{
    const jinja_token *token = parser->token;
    JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_NAME, "name"));
    return lf__jinja_token_string(parser, token, out);
}

// --- targets of assignments ----------------------------------------------------------------------

static bool is_reserved(const jinja_string *name)
{
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(reserved); i++)
        if (strlen(reserved[i]) == name->bytes && memcmp(reserved[i], name->data, name->bytes) == 0) return true;
    return false;
}

static lf_status mark_target(jinja_parser *parser, jinja_node *node, bool parameter)
{
    switch (node->kind) {
    case JINJA_NAME:
        node->name.store = true;
        node->name.parameter = parameter;
        if (!is_reserved(node->name.name)) return LF_OK;
        break;
    case JINJA_NAMESPACE_REF: return LF_OK;
    case JINJA_TUPLE_DISPLAY:
        for (size_t i = 0; i < node->sequence.count; i++)
            JINJA_TRY(mark_target(parser, node->sequence.items[i], parameter));
        return LF_OK;
    default: break;
    }
    return lf__jinja_syntax_error(parser->compiler, node->line, "can't assign to this expression");
}

static lf_status parse_target_name(jinja_parser *parser, bool parameter, jinja_node **out)
{
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_NAME, parser->token->line, out));
    JINJA_TRY(lf__jinja_expect_name(parser, &(*out)->name.name));
    return mark_target(parser, *out, parameter);
}

// --- statements ----------------------------------------------------------------------------------

static lf_status parse_body(jinja_parser *parser, const char *const *ends, jinja_nodes *out);

// The rest of a tag and the statements up to one of the tags in `ends`, which stays the current token.
static lf_status parse_block(jinja_parser *parser, const char *const *ends, jinja_nodes *out)
{
    lf__jinja_skip(parser, JINJA_TOKEN_COLON);
    JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_BLOCK_END, "end of statement block"));
    return parse_body(parser, ends, out);
}

// The same where only one tag can end it; that tag is taken.
static lf_status parse_block_until(jinja_parser *parser, const char *end, jinja_nodes *out)
{
    const char *const ends[] = {end, NULL};
    JINJA_TRY(parse_block(parser, ends, out));
    parser->token++;
    return LF_OK;
}

// The body of a macro or call block is a function: break and continue do not leave it.
static lf_status parse_function_block(jinja_parser *parser, const char *end, jinja_nodes *out)
{
    int loops = parser->loops;
    parser->loops = 0;
    JINJA_TRY(parse_block_until(parser, end, out));
    parser->loops = loops;
    return LF_OK;
}

static lf_status parse_set(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_TARGETS | JINJA_TUPLE_NAMESPACE, &node->set.target));
    JINJA_TRY(mark_target(parser, node->set.target, false));
    if (lf__jinja_skip(parser, JINJA_TOKEN_ASSIGN)) return lf__jinja_parse_tuple(parser, 0, &node->set.value);
    node->kind = JINJA_SET_BLOCK;
    JINJA_TRY(lf__jinja_parse_filter(parser, NULL, false, &node->set.value));
    return parse_block_until(parser, "endset", &node->set.body);
}

static lf_status parse_for(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    lf_status status = LF_OK;
    jinja_for *loop = node->loop = lf__jinja_compiler_alloc(parser->compiler, 1, sizeof *loop, &status);
    if (!loop) return status;
    const jinja_token *target = parser->token;
    JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_TARGETS | JINJA_TUPLE_UNTIL_IN, &loop->target));
    JINJA_TRY(mark_target(parser, loop->target, true));
    if (!lf__jinja_skip_name(parser, "in")) return unexpected(parser, "in");
    JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_NO_CONDITIONAL | JINJA_TUPLE_UNTIL_RECURSIVE, &loop->iterable));
    if (lf__jinja_skip_name(parser, "if")) {
        JINJA_TRY(lf__jinja_parse_expression(parser, &loop->test));
        // The test has variables of its own: the target is parsed once more for it.
        jinja_parser again = *parser;
        again.token = target;
        JINJA_TRY(lf__jinja_parse_tuple(&again, JINJA_TUPLE_TARGETS | JINJA_TUPLE_UNTIL_IN, &loop->test_target));
        JINJA_TRY(mark_target(&again, loop->test_target, true));
    }
    loop->recursive = lf__jinja_skip_name(parser, "recursive");
    parser->loops++;
    JINJA_TRY(parse_block(parser, ends, &loop->body));
    parser->loops--;
    if (!lf__jinja_skip_name(parser, "else")) {
        parser->token++;
        return LF_OK;
    }
    if (loop->recursive) return parse_function_block(parser, "endfor", &loop->otherwise);
    return parse_block_until(parser, "endfor", &loop->otherwise);
}

static lf_status parse_if(jinja_parser *parser, jinja_node *node)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    for (jinja_node *arm = node;;) {
        JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_NO_CONDITIONAL, &arm->branch.test));
        JINJA_TRY(parse_block(parser, ends, &arm->branch.body));
        int line = parser->token->line;
        if (lf__jinja_skip_name(parser, "else")) return parse_block_until(parser, "endif", &node->branch.otherwise);
        if (lf__jinja_skip_name(parser, "endif")) return LF_OK;
        parser->token++;
        JINJA_TRY(lf__jinja_node_new(parser, JINJA_IF, line, &arm));
        JINJA_TRY(lf__jinja_nodes_push(parser, &node->branch.elifs, arm));
    }
}

// (a, b=1) of macro and call tags.
static lf_status parse_signature(jinja_parser *parser, jinja_macro_body *macro)
{
    jinja_node *param, *value;
    JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_LPAREN, "("));
    while (parser->token->kind != JINJA_TOKEN_RPAREN) {
        if (macro->params.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        int line = parser->token->line;
        JINJA_TRY(parse_target_name(parser, true, &param));
        if (lf__jinja_skip(parser, JINJA_TOKEN_ASSIGN)) {
            JINJA_TRY(lf__jinja_parse_expression(parser, &value));
            JINJA_TRY(lf__jinja_nodes_push(parser, &macro->defaults, value));
        } else if (macro->defaults.count) {
            return lf__jinja_syntax_error(parser->compiler, line, "non-default argument follows default argument");
        }
        JINJA_TRY(lf__jinja_nodes_push(parser, &macro->params, param));
    }
    parser->token++;
    return LF_OK;
}

static lf_status macro_body_new(jinja_parser *parser, jinja_node *node)
{
    lf_status status = LF_OK;
    node->macro.body = lf__jinja_compiler_alloc(parser->compiler, 1, sizeof *node->macro.body, &status);
    return status;
}

static lf_status parse_macro(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(macro_body_new(parser, node));
    JINJA_TRY(parse_target_name(parser, false, &node->macro.target));
    node->macro.body->name = node->macro.target->name.name;
    JINJA_TRY(parse_signature(parser, node->macro.body));
    return parse_function_block(parser, "endmacro", &node->macro.body->body);
}

static lf_status parse_call_block(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(macro_body_new(parser, node));
    if (parser->token->kind == JINJA_TOKEN_LPAREN) JINJA_TRY(parse_signature(parser, node->macro.body));
    JINJA_TRY(lf__jinja_parse_expression(parser, &node->macro.call));
    if (node->macro.call->kind != JINJA_CALL)
        return lf__jinja_syntax_error(parser->compiler, node->line, "expected call");
    return parse_function_block(parser, "endcall", &node->macro.body->body);
}

static lf_status parse_generation(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(macro_body_new(parser, node));
    return parse_function_block(parser, "endgeneration", &node->macro.body->body);
}

static lf_status parse_with(jinja_parser *parser, jinja_node *node)
{
    jinja_node *target, *value;
    while (parser->token->kind != JINJA_TOKEN_BLOCK_END) {
        if (node->with.targets.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_TARGETS, &target));
        JINJA_TRY(mark_target(parser, target, true));
        JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_ASSIGN, "="));
        JINJA_TRY(lf__jinja_parse_expression(parser, &value));
        JINJA_TRY(lf__jinja_nodes_push(parser, &node->with.targets, target));
        JINJA_TRY(lf__jinja_nodes_push(parser, &node->with.values, value));
    }
    return parse_block_until(parser, "endwith", &node->with.body);
}

static lf_status parse_filter_block(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(lf__jinja_parse_filter(parser, NULL, true, &node->set.value));
    return parse_block_until(parser, "endfilter", &node->set.body);
}

static lf_status parse_autoescape(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(lf__jinja_parse_expression(parser, &node->set.value));
    return parse_block_until(parser, "endautoescape", &node->set.body);
}

static lf_status parse_inheritance_block(jinja_parser *parser, jinja_node *node)
{
    JINJA_TRY(lf__jinja_expect_name(parser, &node->set.name));
    node->set.scoped = lf__jinja_skip_name(parser, "scoped");
    if (lf__jinja_at_name(parser, "required"))
        return lf__jinja_compile_error(parser->compiler, LF_ERR_UNSUPPORTED, node->line,
                                       "template inheritance is not supported in chat templates");
    JINJA_TRY(parse_function_block(parser, "endblock", &node->set.body));
    // The name may stand once more in the closing tag.
    const jinja_token *token = parser->token;
    if (token->kind == JINJA_TOKEN_NAME && token->bytes == node->set.name->bytes &&
        memcmp(token->data, node->set.name->data, token->bytes) == 0)
        parser->token++;
    return LF_OK;
}

static lf_status parse_print(jinja_parser *parser, jinja_node *node)
{
    while (parser->token->kind != JINJA_TOKEN_BLOCK_END) {
        jinja_node *value;
        if (node->sequence.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        JINJA_TRY(lf__jinja_parse_expression(parser, &value));
        JINJA_TRY(lf__jinja_nodes_push(parser, &node->sequence, value));
    }
    return LF_OK;
}

static lf_status parse_loop_control(jinja_parser *parser, jinja_node *node)
{
    if (parser->loops) return LF_OK;
    return lf__jinja_syntax_error(parser->compiler, node->line, "'%s' outside loop",
                                  node->kind == JINJA_BREAK_LOOP ? "break" : "continue");
}

static lf_status unknown_tag(jinja_parser *parser, const char *const *ends)
{
    static const char *const unsupported[] = {"include", "import", "from", "extends"};
    const jinja_token *token = parser->token;
    char text[64];
    lf__jinja_token_text(token, text, sizeof text);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(unsupported); i++)
        if (lf__jinja_at_name(parser, unsupported[i]))
            return lf__jinja_compile_error(parser->compiler, LF_ERR_UNSUPPORTED, token->line,
                                           "the tag '%s' is not supported in chat templates", text);
    return lf__jinja_syntax_error(parser->compiler, token->line, "encountered unknown tag '%s'%s%s", text,
                                  ends ? ", looking for " : "", ends ? ends[0] : "");
}

static lf_status parse_statement(jinja_parser *parser, const char *const *ends, jinja_node **out)
{
    static const struct {
        const char *name;
        jinja_node_kind kind;
        lf_status (*parse)(jinja_parser *parser, jinja_node *node);
    } statements[] = {
        {"if", JINJA_IF, parse_if},
        {"for", JINJA_FOR, parse_for},
        {"set", JINJA_SET, parse_set},
        {"macro", JINJA_MACRO_DEF, parse_macro},
        {"call", JINJA_CALL_BLOCK, parse_call_block},
        {"filter", JINJA_FILTER_BLOCK, parse_filter_block},
        {"with", JINJA_WITH, parse_with},
        {"print", JINJA_OUTPUT, parse_print},
        {"break", JINJA_BREAK_LOOP, parse_loop_control},
        {"continue", JINJA_CONTINUE_LOOP, parse_loop_control},
        {"generation", JINJA_GENERATION, parse_generation},
        {"block", JINJA_BLOCK, parse_inheritance_block},
        {"autoescape", JINJA_AUTOESCAPE, parse_autoescape},
    };
    int line = parser->token->line;
    if (parser->token->kind != JINJA_TOKEN_NAME)
        return lf__jinja_syntax_error(parser->compiler, line, "tag name expected");
    for (size_t i = 0; i < LF_ARRAY_LENGTH(statements); i++) {
        if (!lf__jinja_skip_name(parser, statements[i].name)) continue;
        JINJA_TRY(lf__jinja_node_new(parser, statements[i].kind, line, out));
        JINJA_TRY(statements[i].parse(parser, *out));
        return lf__jinja_expect(parser, JINJA_TOKEN_BLOCK_END, "end of statement block");
    }
    return unknown_tag(parser, ends);
}

static bool at_any(const jinja_parser *parser, const char *const *names)
{
    for (; names && *names; names++)
        if (lf__jinja_at_name(parser, *names)) return true;
    return false;
}

// Adds text or an expression to the output statement at the end of `body`, which a statement closes.
static lf_status push_output(jinja_parser *parser, jinja_nodes *body, jinja_node **output, jinja_node *node)
{
    if (!*output) {
        JINJA_TRY(lf__jinja_node_new(parser, JINJA_OUTPUT, node->line, output));
        JINJA_TRY(lf__jinja_nodes_push(parser, body, *output));
    }
    return lf__jinja_nodes_push(parser, &(*output)->sequence, node);
}

static lf_status parse_body(jinja_parser *parser, const char *const *ends, jinja_nodes *out)
{
    jinja_node *output = NULL, *node;
    JINJA_TRY(lf__jinja_nest(parser));
    for (;;) {
        const jinja_token *token = parser->token++;
        switch (token->kind) {
        case JINJA_TOKEN_DATA:
            JINJA_TRY(lf__jinja_node_new(parser, JINJA_TEXT, token->line, &node));
            node->constant.kind = JINJA_STRING;
            JINJA_TRY(lf__jinja_token_string(parser, token, &node->constant.string));
            JINJA_TRY(push_output(parser, out, &output, node));
            break;
        case JINJA_TOKEN_VARIABLE_BEGIN:
            JINJA_TRY(lf__jinja_parse_tuple(parser, 0, &node));
            JINJA_TRY(push_output(parser, out, &output, node));
            JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_VARIABLE_END, "end of print statement"));
            break;
        case JINJA_TOKEN_BLOCK_BEGIN:
            output = NULL;
            parser->nesting--;
            if (at_any(parser, ends)) return LF_OK;
            parser->nesting++;
            JINJA_TRY(parse_statement(parser, ends, &node));
            JINJA_TRY(lf__jinja_nodes_push(parser, out, node));
            break;
        default: // the end; nothing else is outside of tags
            parser->token--;
            parser->nesting--;
            if (!ends) return LF_OK;
            return lf__jinja_syntax_error(parser->compiler, token->line, "unexpected end of template, looking for '%s'",
                                          ends[0]);
        }
    }
}

lf_status lf__jinja_parse(jinja_compiler *compiler, jinja_nodes *out)
{
    jinja_parser parser = {.compiler = compiler, .token = compiler->tokens.items};
    return parse_body(&parser, NULL, out);
}
