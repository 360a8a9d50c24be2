// SPDX-License-Identifier: Apache-2.0
//
// Expressions of the template language, by recursive descent. Precedence, from the loosest to the tightest:
//
//     x if c else y | or | and | not | == != < <= > >= in not in (chained) | + - | ~ | * / // % | ** | unary + -
//     | postfix . [] () | filters and tests
//
// Two surprises that templates rely on: filters bind tighter than any operator but looser than postfix, and `-x|f` is
// (-x)|f, whereas `x ** -y|f` filters y.
#include <string.h>

#include "base/mem.h"
#include "text/jinja_ast.h"
#include "text/jinja_native.h"

static lf_status parse_or(jinja_parser *parser, jinja_node **out);
static lf_status parse_unary(jinja_parser *parser, bool with_filter, jinja_node **out);

static lf_status binary_new(jinja_parser *parser, jinja_node_kind kind, int line, jinja_node *left, jinja_node *right,
                            jinja_node **out)
{
    jinja_node *node;
    JINJA_TRY(lf__jinja_node_new(parser, kind, line, &node));
    node->binary.left = left;
    node->binary.right = right;
    JINJA_TRY(lf__jinja_node_raise(parser, node, left));
    if (right) JINJA_TRY(lf__jinja_node_raise(parser, node, right));
    *out = node;
    return LF_OK;
}

static lf_status sequence_push(jinja_parser *parser, jinja_node *node, jinja_node *child)
{
    JINJA_TRY(lf__jinja_nodes_push(parser, &node->sequence, child));
    return lf__jinja_node_raise(parser, node, child);
}

// --- primaries -----------------------------------------------------------------------------------

static lf_status parse_name(jinja_parser *parser, bool with_namespace, jinja_node **out)
{
    static const struct {
        const char *name;
        jinja_value value;
    } constants[] = {{"true", {.kind = JINJA_BOOL, .boolean = true}},
                     {"True", {.kind = JINJA_BOOL, .boolean = true}},
                     {"false", {.kind = JINJA_BOOL, .boolean = false}},
                     {"False", {.kind = JINJA_BOOL, .boolean = false}},
                     {"none", {.kind = JINJA_NONE}},
                     {"None", {.kind = JINJA_NONE}}};
    int line = parser->token->line;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(constants); i++) {
        if (!lf__jinja_skip_name(parser, constants[i].name)) continue;
        JINJA_TRY(lf__jinja_node_new(parser, JINJA_CONST, line, out));
        (*out)->constant = constants[i].value;
        return LF_OK;
    }
    jinja_string *name;
    JINJA_TRY(lf__jinja_expect_name(parser, &name));
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_NAME, line, out));
    (*out)->name.name = name;
    if (!with_namespace || !lf__jinja_skip(parser, JINJA_TOKEN_DOT)) return LF_OK;
    (*out)->kind = JINJA_NAMESPACE_REF;
    return lf__jinja_expect_name(parser, &(*out)->name.member);
}

// Adjacent strings are one.
static lf_status parse_strings(jinja_parser *parser, jinja_node **out)
{
    const jinja_token *first = parser->token;
    size_t bytes = 0;
    for (; parser->token->kind == JINJA_TOKEN_STRING; parser->token++) bytes += parser->token->bytes;
    lf_status status = LF_OK;
    char *data = lf__jinja_compiler_alloc(parser->compiler, bytes + 1, 1, &status);
    if (!data) return status;
    size_t used = 0;
    for (const jinja_token *token = first; token < parser->token; token++) {
        memcpy(data + used, token->data, token->bytes);
        used += token->bytes;
    }
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_CONST, first->line, out));
    jinja_token whole = {.data = data, .bytes = bytes};
    (*out)->constant.kind = JINJA_STRING;
    return lf__jinja_token_string(parser, &whole, &(*out)->constant.string);
}

static lf_status parse_list(jinja_parser *parser, jinja_node **out)
{
    jinja_node *node, *item;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_LIST_DISPLAY, parser->token->line, &node));
    parser->token++;
    while (parser->token->kind != JINJA_TOKEN_RBRACKET) {
        if (node->sequence.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        if (parser->token->kind == JINJA_TOKEN_RBRACKET) break;
        JINJA_TRY(lf__jinja_parse_expression(parser, &item));
        JINJA_TRY(sequence_push(parser, node, item));
    }
    *out = node;
    return lf__jinja_expect(parser, JINJA_TOKEN_RBRACKET, "]");
}

static lf_status parse_dict(jinja_parser *parser, jinja_node **out)
{
    jinja_node *node, *item;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_DICT_DISPLAY, parser->token->line, &node));
    parser->token++;
    while (parser->token->kind != JINJA_TOKEN_RBRACE) {
        if (node->sequence.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        if (parser->token->kind == JINJA_TOKEN_RBRACE) break;
        JINJA_TRY(lf__jinja_parse_expression(parser, &item));
        JINJA_TRY(sequence_push(parser, node, item));
        JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COLON, ":"));
        JINJA_TRY(lf__jinja_parse_expression(parser, &item));
        JINJA_TRY(sequence_push(parser, node, item));
    }
    *out = node;
    return lf__jinja_expect(parser, JINJA_TOKEN_RBRACE, "}");
}

static lf_status parse_primary(jinja_parser *parser, bool with_namespace, jinja_node **out)
{
    const jinja_token *token = parser->token;
    char text[64];
    switch (token->kind) {
    case JINJA_TOKEN_NAME: return parse_name(parser, with_namespace, out);
    case JINJA_TOKEN_STRING: return parse_strings(parser, out);
    case JINJA_TOKEN_INTEGER:
    case JINJA_TOKEN_FLOAT:
        parser->token++;
        JINJA_TRY(lf__jinja_node_new(parser, JINJA_CONST, token->line, out));
        (*out)->constant =
            token->kind == JINJA_TOKEN_INTEGER ? lf__jinja_int(token->integer) : lf__jinja_real(token->real);
        return LF_OK;
    case JINJA_TOKEN_LPAREN:
        parser->token++;
        JINJA_TRY(lf__jinja_parse_tuple(parser, JINJA_TUPLE_PARENTHESES, out));
        return lf__jinja_expect(parser, JINJA_TOKEN_RPAREN, ")");
    case JINJA_TOKEN_LBRACKET: return parse_list(parser, out);
    case JINJA_TOKEN_LBRACE: return parse_dict(parser, out);
    default:
        return lf__jinja_syntax_error(parser->compiler, token->line, "unexpected '%s'",
                                      lf__jinja_token_text(token, text, sizeof text));
    }
}

static bool at_tuple_end(const jinja_parser *parser, int flags)
{
    jinja_token_kind kind = parser->token->kind;
    if (kind == JINJA_TOKEN_VARIABLE_END || kind == JINJA_TOKEN_BLOCK_END || kind == JINJA_TOKEN_RPAREN) return true;
    if (flags & JINJA_TUPLE_UNTIL_IN) return lf__jinja_at_name(parser, "in");
    return (flags & JINJA_TUPLE_UNTIL_RECURSIVE) && lf__jinja_at_name(parser, "recursive");
}

static lf_status parse_tuple_item(jinja_parser *parser, int flags, jinja_node **out)
{
    if (flags & JINJA_TUPLE_TARGETS) return parse_primary(parser, flags & JINJA_TUPLE_NAMESPACE, out);
    return flags & JINJA_TUPLE_NO_CONDITIONAL ? parse_or(parser, out) : lf__jinja_parse_expression(parser, out);
}

lf_status lf__jinja_parse_tuple(jinja_parser *parser, int flags, jinja_node **out)
{
    jinja_node *tuple, *item;
    bool is_tuple = false;
    JINJA_TRY(lf__jinja_nest(parser));
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_TUPLE_DISPLAY, parser->token->line, &tuple));
    for (;;) {
        if (tuple->sequence.count) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        if (at_tuple_end(parser, flags)) break;
        JINJA_TRY(parse_tuple_item(parser, flags, &item));
        JINJA_TRY(sequence_push(parser, tuple, item));
        if (parser->token->kind != JINJA_TOKEN_COMMA) break;
        is_tuple = true;
    }
    parser->nesting--;
    char text[64];
    if (!is_tuple && tuple->sequence.count == 0 && !(flags & JINJA_TUPLE_PARENTHESES))
        return lf__jinja_syntax_error(parser->compiler, parser->token->line, "expected an expression, got '%s'",
                                      lf__jinja_token_text(parser->token, text, sizeof text));
    *out = is_tuple || tuple->sequence.count == 0 ? tuple : tuple->sequence.items[0];
    return LF_OK;
}

// --- calls, filters, tests -----------------------------------------------------------------------

static bool next_is_assign(const jinja_parser *parser)
{
    return parser->token->kind == JINJA_TOKEN_NAME && parser->token[1].kind == JINJA_TOKEN_ASSIGN;
}

static lf_status parse_named_arg(jinja_parser *parser, jinja_node *call, size_t *capacity)
{
    jinja_node_args *args = &call->call.args;
    if (args->n_named == *capacity) {
        lf_status status = LF_OK;
        *capacity = LF_MAX(*capacity * 2, (size_t)4);
        jinja_string **names = lf__jinja_compiler_alloc(parser->compiler, *capacity, sizeof *names, &status);
        jinja_node **values = lf__jinja_compiler_alloc(parser->compiler, *capacity, sizeof *values, &status);
        if (!names || !values) return status;
        for (size_t i = 0; i < args->n_named; i++) {
            names[i] = args->names[i];
            values[i] = args->values[i];
        }
        args->names = names;
        args->values = values;
    }
    jinja_string *name;
    jinja_node *value;
    int line = parser->token->line;
    JINJA_TRY(lf__jinja_expect_name(parser, &name));
    parser->token++;
    JINJA_TRY(lf__jinja_parse_expression(parser, &value));
    for (size_t i = 0; i < args->n_named; i++)
        if (args->names[i]->bytes == name->bytes && memcmp(args->names[i]->data, name->data, name->bytes) == 0)
            return lf__jinja_syntax_error(parser->compiler, line, "keyword argument repeated: %.*s", (int)name->bytes,
                                          name->data);
    args->names[args->n_named] = name;
    args->values[args->n_named++] = value;
    return lf__jinja_node_raise(parser, call, value);
}

static lf_status parse_arg(jinja_parser *parser, jinja_node *call, size_t *named_capacity)
{
    jinja_node_args *args = &call->call.args;
    jinja_node *value;
    int line = parser->token->line;
    bool ok;
    if (lf__jinja_skip(parser, JINJA_TOKEN_MUL)) {
        ok = !args->rest && !args->named_rest;
        JINJA_TRY(lf__jinja_parse_expression(parser, &args->rest));
        JINJA_TRY(lf__jinja_node_raise(parser, call, args->rest));
    } else if (lf__jinja_skip(parser, JINJA_TOKEN_POW)) {
        ok = !args->named_rest;
        JINJA_TRY(lf__jinja_parse_expression(parser, &args->named_rest));
        JINJA_TRY(lf__jinja_node_raise(parser, call, args->named_rest));
    } else if (next_is_assign(parser)) {
        ok = !args->named_rest;
        JINJA_TRY(parse_named_arg(parser, call, named_capacity));
    } else {
        ok = !args->rest && !args->named_rest && args->n_named == 0;
        JINJA_TRY(lf__jinja_parse_expression(parser, &value));
        JINJA_TRY(lf__jinja_nodes_push(parser, &args->items, value));
        JINJA_TRY(lf__jinja_node_raise(parser, call, value));
    }
    if (ok) return LF_OK;
    return lf__jinja_syntax_error(parser->compiler, line, "invalid syntax for function call expression");
}

// Arguments in parentheses, into call->call.args.
static lf_status parse_args(jinja_parser *parser, jinja_node *call)
{
    size_t named_capacity = 0;
    bool first = true;
    JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_LPAREN, "("));
    while (parser->token->kind != JINJA_TOKEN_RPAREN) {
        if (!first) {
            JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
            if (parser->token->kind == JINJA_TOKEN_RPAREN) break;
        }
        JINJA_TRY(parse_arg(parser, call, &named_capacity));
        first = false;
    }
    return lf__jinja_expect(parser, JINJA_TOKEN_RPAREN, ")");
}

static lf_status call_new(jinja_parser *parser, jinja_node_kind kind, int line, jinja_node *subject, jinja_node **out)
{
    JINJA_TRY(lf__jinja_node_new(parser, kind, line, out));
    (*out)->call.subject = subject;
    return subject ? lf__jinja_node_raise(parser, *out, subject) : LF_OK;
}

static lf_status parse_call(jinja_parser *parser, jinja_node **node)
{
    JINJA_TRY(call_new(parser, JINJA_CALL, parser->token->line, *node, node));
    return parse_args(parser, *node);
}

// A dotted name, as filters and tests may have.
static lf_status parse_dotted(jinja_parser *parser, jinja_string **out)
{
    const jinja_token *first = parser->token;
    JINJA_TRY(lf__jinja_expect_name(parser, out));
    if (parser->token->kind != JINJA_TOKEN_DOT) return LF_OK;
    return lf__jinja_syntax_error(parser->compiler, first->line, "no filter or test has a dot in its name: '%.*s.'",
                                  (int)first->bytes, first->data);
}

lf_status lf__jinja_parse_filter(jinja_parser *parser, jinja_node *node, bool inside, jinja_node **out)
{
    while (inside || parser->token->kind == JINJA_TOKEN_PIPE) {
        if (!inside) parser->token++;
        inside = false;
        int line = parser->token->line;
        jinja_string *name;
        JINJA_TRY(parse_dotted(parser, &name));
        JINJA_TRY(call_new(parser, JINJA_FILTER, line, node, &node));
        node->call.name = name;
        node->call.native = lf__jinja_filter(name->data, name->bytes);
        if (parser->token->kind == JINJA_TOKEN_LPAREN) JINJA_TRY(parse_args(parser, node));
    }
    *out = node;
    return LF_OK;
}

static lf_status parse_postfix(jinja_parser *parser, jinja_node **node);

// `x is name arg`: an argument without parentheses.
static lf_status parse_test_arg(jinja_parser *parser, jinja_node *test)
{
    switch (parser->token->kind) {
    case JINJA_TOKEN_NAME:
        if (lf__jinja_at_name(parser, "else") || lf__jinja_at_name(parser, "or") || lf__jinja_at_name(parser, "and"))
            return LF_OK;
        if (lf__jinja_at_name(parser, "is"))
            return lf__jinja_syntax_error(parser->compiler, parser->token->line,
                                          "you cannot chain multiple tests with is");
        break;
    case JINJA_TOKEN_STRING:
    case JINJA_TOKEN_INTEGER:
    case JINJA_TOKEN_FLOAT:
    case JINJA_TOKEN_LBRACKET:
    case JINJA_TOKEN_LBRACE: break;
    default: return LF_OK;
    }
    jinja_node *arg;
    JINJA_TRY(parse_primary(parser, false, &arg));
    JINJA_TRY(parse_postfix(parser, &arg));
    JINJA_TRY(lf__jinja_nodes_push(parser, &test->call.args.items, arg));
    return lf__jinja_node_raise(parser, test, arg);
}

static lf_status parse_test(jinja_parser *parser, jinja_node **node)
{
    int line = parser->token->line;
    parser->token++;
    bool negated = lf__jinja_skip_name(parser, "not");
    jinja_string *name;
    jinja_node *test;
    JINJA_TRY(parse_dotted(parser, &name));
    JINJA_TRY(call_new(parser, JINJA_TEST, line, *node, &test));
    test->call.name = name;
    test->call.native = lf__jinja_test(name->data, name->bytes);
    if (parser->token->kind == JINJA_TOKEN_LPAREN)
        JINJA_TRY(parse_args(parser, test));
    else
        JINJA_TRY(parse_test_arg(parser, test));
    *node = test;
    return negated ? binary_new(parser, JINJA_NOT, line, test, NULL, node) : LF_OK;
}

static lf_status parse_filters_and_tests(jinja_parser *parser, jinja_node **node)
{
    for (;;) {
        if (parser->token->kind == JINJA_TOKEN_PIPE)
            JINJA_TRY(lf__jinja_parse_filter(parser, *node, false, node));
        else if (lf__jinja_at_name(parser, "is"))
            JINJA_TRY(parse_test(parser, node));
        else if (parser->token->kind == JINJA_TOKEN_LPAREN)
            JINJA_TRY(parse_call(parser, node));
        else
            return LF_OK;
    }
}

// --- postfix -------------------------------------------------------------------------------------

static bool at_slice_end(const jinja_parser *parser)
{
    return parser->token->kind == JINJA_TOKEN_RBRACKET || parser->token->kind == JINJA_TOKEN_COMMA;
}

// What stands between [ and ]: an index, or start:stop:step with any part left out (then *slice is made).
static lf_status parse_subscribed(jinja_parser *parser, jinja_node **index, jinja_node **slice)
{
    int line = parser->token->line;
    jinja_node *bounds[3] = {NULL, NULL, NULL};
    *slice = NULL;
    if (parser->token->kind != JINJA_TOKEN_COLON) {
        JINJA_TRY(lf__jinja_parse_expression(parser, &bounds[0]));
        *index = bounds[0];
        if (parser->token->kind != JINJA_TOKEN_COLON) return LF_OK;
    }
    parser->token++;
    if (parser->token->kind != JINJA_TOKEN_COLON && !at_slice_end(parser))
        JINJA_TRY(lf__jinja_parse_expression(parser, &bounds[1]));
    if (lf__jinja_skip(parser, JINJA_TOKEN_COLON) && !at_slice_end(parser))
        JINJA_TRY(lf__jinja_parse_expression(parser, &bounds[2]));
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_SLICE, line, slice));
    for (int i = 0; i < 3; i++) {
        (*slice)->member.bounds[i] = bounds[i];
        if (bounds[i]) JINJA_TRY(lf__jinja_node_raise(parser, *slice, bounds[i]));
    }
    return LF_OK;
}

static lf_status parse_brackets(jinja_parser *parser, int line, jinja_node **node)
{
    jinja_node *tuple, *item = NULL, *slice = NULL;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_TUPLE_DISPLAY, line, &tuple));
    while (parser->token->kind != JINJA_TOKEN_RBRACKET) {
        if (tuple->sequence.count || slice) JINJA_TRY(lf__jinja_expect(parser, JINJA_TOKEN_COMMA, ","));
        if (slice) break;
        JINJA_TRY(parse_subscribed(parser, &item, &slice));
        if (!slice) JINJA_TRY(sequence_push(parser, tuple, item));
    }
    if (slice && (tuple->sequence.count || parser->token->kind != JINJA_TOKEN_RBRACKET))
        return lf__jinja_syntax_error(parser->compiler, line, "a slice must stand alone between brackets");
    parser->token++;
    if (slice) {
        slice->member.object = *node;
        JINJA_TRY(lf__jinja_node_raise(parser, slice, *node));
        *node = slice;
        return LF_OK;
    }
    jinja_node *access;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_ITEM, line, &access));
    access->member.object = *node;
    access->member.index = tuple->sequence.count == 1 ? item : tuple;
    JINJA_TRY(lf__jinja_node_raise(parser, access, *node));
    JINJA_TRY(lf__jinja_node_raise(parser, access, access->member.index));
    *node = access;
    return LF_OK;
}

static lf_status parse_dot(jinja_parser *parser, int line, jinja_node **node)
{
    const jinja_token *token = parser->token;
    jinja_node *access, *index;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_ATTRIBUTE, line, &access));
    access->member.object = *node;
    JINJA_TRY(lf__jinja_node_raise(parser, access, *node));
    if (token->kind == JINJA_TOKEN_NAME) {
        JINJA_TRY(lf__jinja_expect_name(parser, &access->member.name));
    } else if (token->kind == JINJA_TOKEN_INTEGER) {
        JINJA_TRY(parse_primary(parser, false, &index));
        access->kind = JINJA_ITEM;
        access->member.index = index;
        JINJA_TRY(lf__jinja_node_raise(parser, access, index));
    } else {
        return lf__jinja_syntax_error(parser->compiler, token->line, "expected name or number");
    }
    *node = access;
    return LF_OK;
}

static lf_status parse_postfix(jinja_parser *parser, jinja_node **node)
{
    for (;;) {
        int line = parser->token->line;
        if (lf__jinja_skip(parser, JINJA_TOKEN_DOT))
            JINJA_TRY(parse_dot(parser, line, node));
        else if (lf__jinja_skip(parser, JINJA_TOKEN_LBRACKET))
            JINJA_TRY(parse_brackets(parser, line, node));
        else if (parser->token->kind == JINJA_TOKEN_LPAREN)
            JINJA_TRY(parse_call(parser, node));
        else
            return LF_OK;
    }
}

// --- operators -----------------------------------------------------------------------------------

static lf_status parse_unary(jinja_parser *parser, bool with_filter, jinja_node **out)
{
    int line = parser->token->line;
    JINJA_TRY(lf__jinja_nest(parser));
    bool negative = parser->token->kind == JINJA_TOKEN_SUB;
    if (negative || parser->token->kind == JINJA_TOKEN_ADD) {
        parser->token++;
        JINJA_TRY(parse_unary(parser, false, out));
        JINJA_TRY(binary_new(parser, negative ? JINJA_NEGATE : JINJA_POSITIVE, line, *out, NULL, out));
    } else {
        JINJA_TRY(parse_primary(parser, false, out));
    }
    JINJA_TRY(parse_postfix(parser, out));
    if (with_filter) JINJA_TRY(parse_filters_and_tests(parser, out));
    parser->nesting--;
    return LF_OK;
}

// The binary operators of one level of precedence, all left-associative, `**` included.
typedef struct operator_level {
    struct {
        jinja_token_kind token;
        jinja_operator op;
    } operators[4];
    int n;
    lf_status (*operand)(jinja_parser *parser, jinja_node **out);
} operator_level;

static lf_status parse_level(jinja_parser *parser, const operator_level *level, jinja_node **out)
{
    int line = parser->token->line;
    JINJA_TRY(level->operand(parser, out));
    for (;;) {
        int i = 0;
        while (i < level->n && level->operators[i].token != parser->token->kind) i++;
        if (i == level->n) return LF_OK;
        parser->token++;
        jinja_node *right;
        JINJA_TRY(level->operand(parser, &right));
        JINJA_TRY(binary_new(parser, JINJA_BINARY, line, *out, right, out));
        (*out)->binary.op = level->operators[i].op;
        line = parser->token->line;
    }
}

static lf_status parse_operand(jinja_parser *parser, jinja_node **out) { return parse_unary(parser, true, out); }

static lf_status parse_power(jinja_parser *parser, jinja_node **out)
{
    static const operator_level level = {{{JINJA_TOKEN_POW, JINJA_POW}}, 1, parse_operand};
    return parse_level(parser, &level, out);
}

static lf_status parse_product(jinja_parser *parser, jinja_node **out)
{
    static const operator_level level = {{{JINJA_TOKEN_MUL, JINJA_MUL},
                                          {JINJA_TOKEN_DIV, JINJA_DIV},
                                          {JINJA_TOKEN_FLOORDIV, JINJA_FLOORDIV},
                                          {JINJA_TOKEN_MOD, JINJA_MOD}},
                                         4,
                                         parse_power};
    return parse_level(parser, &level, out);
}

static lf_status parse_concat(jinja_parser *parser, jinja_node **out)
{
    jinja_node *item, *node;
    JINJA_TRY(parse_product(parser, out));
    if (parser->token->kind != JINJA_TOKEN_TILDE) return LF_OK;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_CONCAT, parser->token->line, &node));
    JINJA_TRY(sequence_push(parser, node, *out));
    while (lf__jinja_skip(parser, JINJA_TOKEN_TILDE)) {
        JINJA_TRY(parse_product(parser, &item));
        JINJA_TRY(sequence_push(parser, node, item));
    }
    *out = node;
    return LF_OK;
}

static lf_status parse_sum(jinja_parser *parser, jinja_node **out)
{
    static const operator_level level = {{{JINJA_TOKEN_ADD, JINJA_ADD}, {JINJA_TOKEN_SUB, JINJA_SUB}}, 2, parse_concat};
    return parse_level(parser, &level, out);
}

// Takes a comparison operator if there is one.
static bool take_comparison(jinja_parser *parser, jinja_comparison *out)
{
    switch (parser->token->kind) {
    case JINJA_TOKEN_EQ: *out = JINJA_IS_EQ; break;
    case JINJA_TOKEN_NE: *out = JINJA_IS_NE; break;
    case JINJA_TOKEN_LT: *out = JINJA_IS_LT; break;
    case JINJA_TOKEN_LTEQ: *out = JINJA_IS_LE; break;
    case JINJA_TOKEN_GT: *out = JINJA_IS_GT; break;
    case JINJA_TOKEN_GTEQ: *out = JINJA_IS_GE; break;
    default:
        if (lf__jinja_skip_name(parser, "in")) {
            *out = JINJA_IS_IN;
            return true;
        }
        if (!lf__jinja_at_name(parser, "not")) return false;
        parser->token++;
        *out = JINJA_IS_NOT_IN;
        if (lf__jinja_skip_name(parser, "in")) return true;
        parser->token--;
        return false;
    }
    parser->token++;
    return true;
}

static lf_status parse_comparison(jinja_parser *parser, jinja_node **out)
{
    jinja_comparison comparison;
    JINJA_TRY(parse_sum(parser, out));
    int line = parser->token->line;
    if (!take_comparison(parser, &comparison)) return LF_OK;
    jinja_node *node, *operand;
    JINJA_TRY(lf__jinja_node_new(parser, JINJA_COMPARE, line, &node));
    JINJA_TRY(lf__jinja_nodes_push(parser, &node->compare.operands, *out));
    JINJA_TRY(lf__jinja_node_raise(parser, node, *out));
    size_t n = 0, capacity = 0;
    do {
        if (n == capacity) {
            lf_status status = LF_OK;
            capacity = LF_MAX(capacity * 2, (size_t)2);
            jinja_comparison *grown = lf__jinja_compiler_alloc(parser->compiler, capacity, sizeof *grown, &status);
            if (!grown) return status;
            if (n) memcpy(grown, node->compare.comparisons, n * sizeof *grown);
            node->compare.comparisons = grown;
        }
        node->compare.comparisons[n++] = comparison;
        JINJA_TRY(parse_sum(parser, &operand));
        JINJA_TRY(lf__jinja_nodes_push(parser, &node->compare.operands, operand));
        JINJA_TRY(lf__jinja_node_raise(parser, node, operand));
    } while (take_comparison(parser, &comparison));
    *out = node;
    return LF_OK;
}

static lf_status parse_not(jinja_parser *parser, jinja_node **out)
{
    int line = parser->token->line;
    if (!lf__jinja_skip_name(parser, "not")) return parse_comparison(parser, out);
    JINJA_TRY(lf__jinja_nest(parser));
    JINJA_TRY(parse_not(parser, out));
    parser->nesting--;
    return binary_new(parser, JINJA_NOT, line, *out, NULL, out);
}

static lf_status parse_and(jinja_parser *parser, jinja_node **out)
{
    int line = parser->token->line;
    JINJA_TRY(parse_not(parser, out));
    while (lf__jinja_skip_name(parser, "and")) {
        jinja_node *right;
        JINJA_TRY(parse_not(parser, &right));
        JINJA_TRY(binary_new(parser, JINJA_AND, line, *out, right, out));
    }
    return LF_OK;
}

static lf_status parse_or(jinja_parser *parser, jinja_node **out)
{
    int line = parser->token->line;
    JINJA_TRY(parse_and(parser, out));
    while (lf__jinja_skip_name(parser, "or")) {
        jinja_node *right;
        JINJA_TRY(parse_and(parser, &right));
        JINJA_TRY(binary_new(parser, JINJA_OR, line, *out, right, out));
    }
    return LF_OK;
}

lf_status lf__jinja_parse_expression(jinja_parser *parser, jinja_node **out)
{
    JINJA_TRY(lf__jinja_nest(parser));
    int line = parser->token->line;
    JINJA_TRY(parse_or(parser, out));
    while (lf__jinja_skip_name(parser, "if")) {
        jinja_node *node;
        JINJA_TRY(lf__jinja_node_new(parser, JINJA_CONDITIONAL, line, &node));
        node->conditional.yes = *out;
        JINJA_TRY(parse_or(parser, &node->conditional.test));
        if (lf__jinja_skip_name(parser, "else")) {
            JINJA_TRY(lf__jinja_parse_expression(parser, &node->conditional.no));
            JINJA_TRY(lf__jinja_node_raise(parser, node, node->conditional.no));
        }
        JINJA_TRY(lf__jinja_node_raise(parser, node, node->conditional.yes));
        JINJA_TRY(lf__jinja_node_raise(parser, node, node->conditional.test));
        *out = node;
        line = parser->token->line;
    }
    parser->nesting--;
    return LF_OK;
}
