// SPDX-License-Identifier: Apache-2.0
//
// The syntax tree of a template, and the steps that make it: source -> tokens -> tree -> tree with resolved names. All
// of it lives in the arena of the compiled template and is constant afterwards.
#ifndef LF_TEXT_JINJA_AST_H
#define LF_TEXT_JINJA_AST_H

#include "text/jinja_value.h"

// --- tokens --------------------------------------------------------------------------------------

typedef enum jinja_token_kind {
    JINJA_TOKEN_END,
    JINJA_TOKEN_DATA, // text outside of tags
    JINJA_TOKEN_VARIABLE_BEGIN,
    JINJA_TOKEN_VARIABLE_END,
    JINJA_TOKEN_BLOCK_BEGIN,
    JINJA_TOKEN_BLOCK_END,
    JINJA_TOKEN_NAME,
    JINJA_TOKEN_STRING,
    JINJA_TOKEN_INTEGER,
    JINJA_TOKEN_FLOAT,
    JINJA_TOKEN_ADD,
    JINJA_TOKEN_SUB,
    JINJA_TOKEN_MUL,
    JINJA_TOKEN_DIV,
    JINJA_TOKEN_FLOORDIV,
    JINJA_TOKEN_MOD,
    JINJA_TOKEN_POW,
    JINJA_TOKEN_TILDE,
    JINJA_TOKEN_LBRACKET,
    JINJA_TOKEN_RBRACKET,
    JINJA_TOKEN_LPAREN,
    JINJA_TOKEN_RPAREN,
    JINJA_TOKEN_LBRACE,
    JINJA_TOKEN_RBRACE,
    JINJA_TOKEN_EQ,
    JINJA_TOKEN_NE,
    JINJA_TOKEN_LT,
    JINJA_TOKEN_LTEQ,
    JINJA_TOKEN_GT,
    JINJA_TOKEN_GTEQ,
    JINJA_TOKEN_ASSIGN,
    JINJA_TOKEN_DOT,
    JINJA_TOKEN_COLON,
    JINJA_TOKEN_PIPE,
    JINJA_TOKEN_COMMA,
    JINJA_TOKEN_SEMICOLON,
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    const char *data; // name, string (unescaped), data
    size_t bytes;
    int64_t integer;
    double real;
} jinja_token;

typedef struct jinja_tokens {
    jinja_token *items;
    size_t count;
    size_t capacity;
} jinja_tokens;

// What the stages of compilation share.
typedef struct jinja_compiler {
    jinja_arena arena;
    jinja_tokens tokens; // the last one is JINJA_TOKEN_END
    lf_error *err;
} jinja_compiler;

void *lf__jinja_compiler_alloc(jinja_compiler *compiler, size_t n, size_t element_bytes, lf_status *status);
lf_status lf__jinja_syntax_error(jinja_compiler *compiler, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
lf_status lf__jinja_compile_error(jinja_compiler *compiler, lf_status status, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

// Fills compiler->tokens. `source` is valid UTF-8 with every line ending as \n; tokens point into it or the arena.
lf_status lf__jinja_lex(jinja_compiler *compiler, const char *source, size_t length);

// --- tree ----------------------------------------------------------------------------------------

typedef enum jinja_node_kind {
    // expressions
    JINJA_CONST,
    JINJA_TEXT, // a constant outside of tags
    JINJA_NAME,
    JINJA_NAMESPACE_REF, // ns.name as a target of set
    JINJA_LIST_DISPLAY,
    JINJA_TUPLE_DISPLAY,
    JINJA_DICT_DISPLAY, // sequence of key, value, key, value ...
    JINJA_BINARY,
    JINJA_NEGATE,
    JINJA_POSITIVE,
    JINJA_NOT,
    JINJA_AND,
    JINJA_OR,
    JINJA_CONCAT,
    JINJA_COMPARE,
    JINJA_CONDITIONAL,
    JINJA_ATTRIBUTE,
    JINJA_ITEM,
    JINJA_SLICE,
    JINJA_CALL,
    JINJA_FILTER,
    JINJA_TEST,
    // statements
    JINJA_OUTPUT,
    JINJA_SET,
    JINJA_SET_BLOCK,
    JINJA_IF,
    JINJA_FOR,
    JINJA_MACRO_DEF,
    JINJA_CALL_BLOCK,
    JINJA_GENERATION,
    JINJA_WITH,
    JINJA_FILTER_BLOCK,
    JINJA_BLOCK,      // of template inheritance, which there is none of: rendered where it stands
    JINJA_AUTOESCAPE, // `value` is the switch
    JINJA_BREAK_LOOP,
    JINJA_CONTINUE_LOOP,
} jinja_node_kind;

typedef struct jinja_node jinja_node;

typedef struct jinja_nodes {
    jinja_node **items;
    size_t count;
} jinja_nodes;

// Where a variable of a frame comes from when the frame is entered.
typedef enum jinja_load {
    JINJA_LOAD_PARAMETER, // whoever enters the frame sets it
    JINJA_LOAD_RESOLVE,   // from the context or the globals
    JINJA_LOAD_ALIAS,     // the outer variable's value: an assignment stays in this frame
    JINJA_LOAD_NOTHING,   // not set
} jinja_load;

typedef struct jinja_variable {
    const jinja_string *name;
    jinja_load load;
    bool stored;
    uint32_t alias_hops; // frames outwards from this frame's outer one
    uint32_t alias_slot;
} jinja_variable;

// A scope: the variables that its code reads or sets. Which names belong to which frame is known before rendering.
typedef struct jinja_frame {
    jinja_variable *variables;
    size_t count;
    size_t capacity;
    const struct jinja_frame *outer;
} jinja_frame;

typedef struct jinja_node_args {
    jinja_nodes items;
    jinja_string **names; // of the last `n_named` of `values`
    jinja_node **values;
    size_t n_named;
    jinja_node *rest;       // *rest, or NULL
    jinja_node *named_rest; // **rest, or NULL
} jinja_node_args;

// The body of macro, call and generation tags.
typedef struct jinja_macro_body {
    jinja_string *name;   // NULL: anonymous
    jinja_nodes params;   // JINJA_NAME; they are the frame's first variables
    jinja_nodes defaults; // of the last parameters
    jinja_nodes body;
    jinja_frame frame;
    int32_t caller_slot; // slots of the special variables, -1 when not used
    int32_t kwargs_slot;
    int32_t varargs_slot;
    bool explicit_caller;
} jinja_macro_body;

typedef enum jinja_comparison {
    JINJA_IS_EQ,
    JINJA_IS_NE,
    JINJA_IS_LT,
    JINJA_IS_LE,
    JINJA_IS_GT,
    JINJA_IS_GE,
    JINJA_IS_IN,
    JINJA_IS_NOT_IN,
} jinja_comparison;

struct jinja_node {
    jinja_node_kind kind;
    int line;
    int height; // of the tree below; bounded, so that walks over it may recurse
    union {
        jinja_value constant;
        struct {
            jinja_string *name;
            bool store;     // a target
            bool parameter; // a target that belongs to a new frame
            uint32_t hops;  // frames outwards
            uint32_t slot;
            jinja_string *member; // NAMESPACE_REF
        } name;
        jinja_nodes sequence; // LIST, TUPLE, DICT displays, CONCAT, OUTPUT
        struct {
            jinja_operator op;
            jinja_node *left; // also AND, OR; the operand of NOT, NEGATE and POSITIVE
            jinja_node *right;
        } binary;
        struct {
            jinja_nodes operands; // a < b < c
            jinja_comparison *comparisons;
        } compare;
        struct {
            jinja_node *test, *yes, *no; // `no` may be NULL
        } conditional;
        struct {
            jinja_node *object;
            jinja_string *name;    // ATTRIBUTE
            jinja_node *index;     // ITEM
            jinja_node *bounds[3]; // SLICE: start, stop, step; each may be NULL
        } member;
        struct {
            jinja_node *subject; // callee of CALL; value of FILTER (NULL: the block's text) and TEST
            jinja_string *name;
            const jinja_native *native; // of FILTER and TEST; NULL: unknown, an error when it is reached
            jinja_node_args args;
        } call;
        struct {
            jinja_node *target;
            jinja_node *value;  // SET, AUTOESCAPE; filter of SET_BLOCK and FILTER_BLOCK, or NULL
            jinja_string *name; // BLOCK
            bool scoped;        // BLOCK sees the variables around it, not only those of the template
            jinja_nodes body;
            jinja_frame frame;
        } set;
        struct {
            jinja_node *test;
            jinja_nodes body;
            jinja_nodes elifs; // IF nodes without elifs and otherwise of their own
            jinja_nodes otherwise;
        } branch;
        struct jinja_for *loop;
        struct {
            jinja_macro_body *body;
            jinja_node *target; // MACRO_DEF: the variable
            jinja_node *call;   // CALL_BLOCK
        } macro;
        struct {
            jinja_nodes targets;
            jinja_nodes values;
            jinja_nodes body;
            jinja_frame frame;
        } with;
    };
};

typedef struct jinja_for {
    jinja_node *target;
    jinja_node *iterable;
    jinja_node *test; // or NULL
    jinja_nodes body;
    jinja_nodes otherwise;
    bool recursive;
    int32_t loop_slot;       // of `loop` in the body's frame, -1 when it is not used
    jinja_node *test_target; // the target once more, with the slots of the test's frame
    jinja_frame frame, test_frame, otherwise_frame;
} jinja_for;

enum { JINJA_MAX_NESTING = 200, JINJA_MAX_HEIGHT = 600 };

struct lf_jinja_template {
    jinja_arena arena;
    jinja_nodes body;
    jinja_frame frame;
};

// Tokens to tree.
lf_status lf__jinja_parse(jinja_compiler *compiler, jinja_nodes *out);
// Gives every name its frame and slot.
lf_status lf__jinja_resolve(jinja_compiler *compiler, jinja_nodes body, jinja_frame *root);

// Visits every node below, in the order in which jinja2 does; stops early when `visit` returns false, and then is
// false.
typedef bool (*jinja_visit_fn)(jinja_node *node, void *state);
bool lf__jinja_walk(jinja_nodes nodes, jinja_visit_fn visit, void *state);
bool lf__jinja_walk_node(jinja_node *node, jinja_visit_fn visit, void *state);
// The direct children of a node in that order.
typedef lf_status (*jinja_child_fn)(jinja_node *child, void *state);
lf_status lf__jinja_children(jinja_node *node, jinja_child_fn visit, void *state);

// --- parser, shared by jinja_parse.c and jinja_parse_expr.c --------------------------------------

typedef struct jinja_parser {
    jinja_compiler *compiler;
    const jinja_token *token; // the current one
    int nesting;
    int loops; // loops around the current statement, in the same body
} jinja_parser;

lf_status lf__jinja_parse_expression(jinja_parser *parser, jinja_node **out);
typedef enum jinja_tuple_flags {
    JINJA_TUPLE_NO_CONDITIONAL = 1, // `x if y` ends it
    JINJA_TUPLE_TARGETS = 2,        // names and literals only
    JINJA_TUPLE_NAMESPACE = 4,      // with JINJA_TUPLE_TARGETS: ns.name too
    JINJA_TUPLE_UNTIL_IN = 8,       // ends before `in`
    JINJA_TUPLE_UNTIL_RECURSIVE = 16,
    JINJA_TUPLE_PARENTHESES = 32, // inside of (), where an empty tuple is fine
} jinja_tuple_flags;
lf_status lf__jinja_parse_tuple(jinja_parser *parser, int flags, jinja_node **out);
// A chain of filters; `node` is NULL for a filter block. `inside`: the bar before the first one is not there.
lf_status lf__jinja_parse_filter(jinja_parser *parser, jinja_node *node, bool inside, jinja_node **out);

lf_status lf__jinja_node_new(jinja_parser *parser, jinja_node_kind kind, int line, jinja_node **out);
lf_status lf__jinja_node_raise(jinja_parser *parser, jinja_node *node, const jinja_node *child); // keeps `height`
lf_status lf__jinja_nodes_push(jinja_parser *parser, jinja_nodes *nodes, jinja_node *node);
lf_status lf__jinja_expect(jinja_parser *parser, jinja_token_kind kind, const char *what);
lf_status lf__jinja_expect_name(jinja_parser *parser, jinja_string **out);
lf_status lf__jinja_token_string(jinja_parser *parser, const jinja_token *token, jinja_string **out);
bool lf__jinja_at_name(const jinja_parser *parser, const char *name);
bool lf__jinja_skip_name(jinja_parser *parser, const char *name);
bool lf__jinja_skip(jinja_parser *parser, jinja_token_kind kind);
const char *lf__jinja_token_text(const jinja_token *token, char *buffer, size_t bytes);
lf_status lf__jinja_nest(jinja_parser *parser); // one more level of recursion; undone with parser->nesting--

#endif
