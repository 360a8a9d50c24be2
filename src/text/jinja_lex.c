// SPDX-License-Identifier: Apache-2.0
//
// Tokens of a template. Outside of tags everything is data; what a tag does to the white space around it is decided
// here:
//
//     {%-  {{-  {#-   all white space before the tag goes          -%}  -}}  -#}   and after it
//     {%   {#         blanks between the line's start and the tag go    (lstrip_blocks; not for {{)
//     %}   #}         one line break after the tag goes                 (trim_blocks; not for }})
//     {%+  +%}        neither
//
// The rules, with their order and their corner cases, are those of jinja2/lexer.py: an end of tag counts only where
// brackets are balanced; `{% raw %}` does not trim the line break after it, `{% endraw %}` does.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

enum { MAX_BRACKETS = 2 * JINJA_MAX_NESTING };

typedef struct lexer {
    jinja_compiler *compiler;
    const char *source;
    size_t length;
    size_t at;
    int line;
    bool line_starting; // the last thing read ended with a line break
    char brackets[MAX_BRACKETS];
    size_t n_brackets;
} lexer;

static lf_status push(lexer *lex, jinja_token_kind kind, const char *data, size_t bytes, jinja_token **out)
{
    jinja_tokens *tokens = &lex->compiler->tokens;
    if (!lf_array_grow((void **)&tokens->items, &tokens->capacity, tokens->count + 1, sizeof *tokens->items))
        return lf_error_no_memory(lex->compiler->err, 0);
    jinja_token *token = &tokens->items[tokens->count++];
    *token = (jinja_token){.kind = kind, .line = lex->line, .data = data, .bytes = bytes};
    if (out) *out = token;
    return LF_OK;
}

// Moves on, counting lines.
static void advance(lexer *lex, size_t to)
{
    for (size_t i = lex->at; i < to; i++) lex->line += lex->source[i] == '\n';
    if (to > lex->at) lex->line_starting = lex->source[to - 1] == '\n';
    lex->at = to;
}

static bool starts(const lexer *lex, size_t at, const char *text)
{
    size_t n = strlen(text);
    return lex->length - at >= n && memcmp(lex->source + at, text, n) == 0;
}

static size_t skip_space(const lexer *lex, size_t at)
{
    while (at < lex->length) {
        int32_t code_point;
        size_t n = lf__utf8_decode(lex->source + at, lex->length - at, &code_point);
        if (!lf__unicode_is_space(code_point)) break;
        at += n;
    }
    return at;
}

static size_t strip_end(const char *data, size_t bytes)
{
    while (bytes > 0) {
        size_t before = lf__utf8_before(data, bytes);
        int32_t code_point;
        lf__utf8_decode(data + before, bytes - before, &code_point);
        if (!lf__unicode_is_space(code_point)) break;
        bytes = before;
    }
    return bytes;
}

// What is left of the text before a tag with the given sign ('-', '+' or 0).
static size_t text_before_tag(const lexer *lex, size_t begin, size_t end, char sign, bool is_variable)
{
    const char *text = lex->source + begin;
    size_t bytes = end - begin;
    if (sign == '-') return strip_end(text, bytes);
    if (sign == '+' || is_variable || bytes == 0) return bytes;
    const char *newline = memrchr(text, '\n', bytes);
    size_t line = newline ? (size_t)(newline - text) + 1 : 0;
    if (line == 0 && !lex->line_starting) return bytes;
    return strip_end(text + line, bytes - line) == 0 ? line : bytes;
}

static lf_status push_data(lexer *lex, size_t begin, size_t bytes)
{
    return bytes ? push(lex, JINJA_TOKEN_DATA, lex->source + begin, bytes, NULL) : LF_OK;
}

// --- ends of tags --------------------------------------------------------------------------------

// The end of a block or comment at `at`, with the white space it takes along; 0 when there is none.
static size_t block_end(const lexer *lex, size_t at, const char *end)
{
    size_t n = strlen(end);
    if (lex->source[at] == '+' && starts(lex, at + 1, end)) return at + 1 + n;
    if (lex->source[at] == '-' && starts(lex, at + 1, end)) return skip_space(lex, at + 1 + n);
    if (!starts(lex, at, end)) return 0;
    at += n;
    return at < lex->length && lex->source[at] == '\n' ? at + 1 : at;
}

static size_t variable_end(const lexer *lex, size_t at)
{
    if (starts(lex, at, "-}}")) return skip_space(lex, at + 3);
    return starts(lex, at, "}}") ? at + 2 : 0;
}

static lf_status read_comment(lexer *lex)
{
    for (size_t i = lex->at; i < lex->length; i++) {
        size_t end = block_end(lex, i, "#}");
        if (!end) continue;
        advance(lex, end);
        return LF_OK;
    }
    return lf__jinja_syntax_error(lex->compiler, lex->line, "missing end of comment tag");
}

// After `{%` and its sign at `at`: the end of "raw %}"; 0 when this is another tag.
static size_t raw_begin(const lexer *lex, size_t at)
{
    at = skip_space(lex, at);
    if (!starts(lex, at, "raw")) return 0;
    at = skip_space(lex, at + 3);
    if (starts(lex, at, "-%}")) return skip_space(lex, at + 3);
    return starts(lex, at, "%}") ? at + 2 : 0;
}

static lf_status read_raw(lexer *lex)
{
    for (size_t i = lex->at; i < lex->length; i++) {
        if (!starts(lex, i, "{%")) continue;
        size_t at = i + 2;
        char sign = 0;
        if (at < lex->length && (lex->source[at] == '-' || lex->source[at] == '+')) sign = lex->source[at++];
        at = skip_space(lex, at);
        if (!starts(lex, at, "endraw")) continue;
        at = skip_space(lex, at + strlen("endraw"));
        size_t end = at < lex->length ? block_end(lex, at, "%}") : 0;
        if (!end) continue;
        JINJA_TRY(push_data(lex, lex->at, text_before_tag(lex, lex->at, i, sign, false)));
        advance(lex, end);
        return LF_OK;
    }
    return lf__jinja_syntax_error(lex->compiler, lex->line, "missing end of raw directive");
}

// --- inside of tags ------------------------------------------------------------------------------

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

typedef struct unescape {
    const char *from; // after the backslash
    const char *end;
    char *to;
} unescape;

static lf_status put_code_point(lexer *lex, unescape *u, uint32_t code_point)
{
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000))
        return lf__jinja_syntax_error(lex->compiler, lex->line, "escape of U+%04X in a string is not a character",
                                      (unsigned)code_point);
    u->to += lf__utf8_encode((int32_t)code_point, u->to);
    return LF_OK;
}

static lf_status unescape_hex(lexer *lex, unescape *u, int digits)
{
    uint32_t code_point = 0;
    for (int i = 0; i < digits; i++) {
        int digit = u->from < u->end ? hex_digit(*u->from) : -1;
        if (digit < 0) return lf__jinja_syntax_error(lex->compiler, lex->line, "truncated escape in a string");
        code_point = code_point << 4 | (uint32_t)digit;
        u->from++;
    }
    return put_code_point(lex, u, code_point);
}

static lf_status unescape_octal(lexer *lex, unescape *u)
{
    uint32_t code_point = 0;
    for (int i = 0; i < 3 && u->from < u->end && *u->from >= '0' && *u->from <= '7'; i++)
        code_point = code_point << 3 | (uint32_t)(*u->from++ - '0');
    return put_code_point(lex, u, code_point);
}

// A backslash before a character beyond ASCII leaves the backslash and the escape of that character without its own
// backslash: jinja2 escapes first and unescapes then.
static void unescape_wide(unescape *u)
{
    int32_t code_point;
    u->from += lf__utf8_decode(u->from, (size_t)(u->end - u->from), &code_point);
    const char *format = code_point < 0x100 ? "\\x%02x" : code_point < 0x10000 ? "\\u%04x" : "\\U%08x";
    char text[16];
    int n = snprintf(text, sizeof text, format, (unsigned)code_point);
    memcpy(u->to, text, (size_t)n);
    u->to += n;
}

static lf_status unescape_one(lexer *lex, unescape *u)
{
    static const char simple[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = *u->from;
    if (c == '\n') {
        u->from++;
        return LF_OK;
    }
    for (const char *s = simple; *s; s += 2)
        if (*s == c) {
            *u->to++ = s[1];
            u->from++;
            return LF_OK;
        }
    if (c >= '0' && c <= '7') return unescape_octal(lex, u);
    if (c == 'x' || c == 'u' || c == 'U') {
        u->from++;
        return unescape_hex(lex, u, c == 'x' ? 2 : c == 'u' ? 4 : 8);
    }
    if (c == 'N')
        return lf__jinja_compile_error(lex->compiler, LF_ERR_UNSUPPORTED, lex->line,
                                       "characters by name (\\N{...}) in strings are not supported");
    if ((unsigned char)c & 0x80) {
        unescape_wide(u);
        return LF_OK;
    }
    *u->to++ = '\\';
    *u->to++ = *u->from++;
    return LF_OK;
}

static lf_status read_string(lexer *lex)
{
    size_t begin = lex->at + 1, end = begin;
    bool escapes = false;
    while (end < lex->length && lex->source[end] != lex->source[lex->at]) {
        if (lex->source[end] == '\\') {
            escapes = true;
            end++;
        }
        end++;
    }
    if (end >= lex->length)
        return lf__jinja_syntax_error(lex->compiler, lex->line, "unexpected char '%c'", lex->source[lex->at]);

    const char *data = lex->source + begin;
    size_t bytes = end - begin;
    if (escapes) {
        // The wide escapes are the only ones that grow: two bytes and more become at most ten.
        lf_status status = LF_OK;
        char *text = lf__jinja_compiler_alloc(lex->compiler, bytes * 4 + 16, 1, &status);
        if (!text) return status;
        unescape u = {.from = data, .end = data + bytes, .to = text};
        while (u.from < u.end) {
            if (*u.from != '\\') {
                *u.to++ = *u.from++;
                continue;
            }
            u.from++;
            JINJA_TRY(unescape_one(lex, &u));
        }
        data = text;
        bytes = (size_t)(u.to - text);
    }
    JINJA_TRY(push(lex, JINJA_TOKEN_STRING, data, bytes, NULL));
    advance(lex, end + 1);
    return LF_OK;
}

// Digits of a base with single underscores between them; `lead` allows one before the first. Returns `at` when there is
// none.
static size_t digits_end(const lexer *lex, size_t at, int base, bool lead)
{
    for (size_t end = at;;) {
        size_t digit = end;
        if (digit < lex->length && lex->source[digit] == '_' && (lead || end > at)) digit++;
        int value = digit < lex->length ? hex_digit(lex->source[digit]) : -1;
        if (value < 0 || value >= base) return end;
        end = digit + 1;
    }
}

static size_t decimal_end(const lexer *lex, size_t at) { return digits_end(lex, at, 10, false); }

// End of a float literal at the current position, or 0.
static size_t float_end(const lexer *lex)
{
    if (lex->at > 0 && lex->source[lex->at - 1] == '.') return 0;
    size_t end = decimal_end(lex, lex->at);
    if (end == lex->at) return 0;
    bool is_float = false;
    if (end < lex->length && lex->source[end] == '.') {
        size_t fraction = decimal_end(lex, end + 1);
        if (fraction > end + 1) {
            end = fraction;
            is_float = true;
        }
    }
    if (end < lex->length && (lex->source[end] | 0x20) == 'e') {
        size_t exponent = end + 1;
        if (exponent < lex->length && (lex->source[exponent] == '+' || lex->source[exponent] == '-')) exponent++;
        size_t exponent_end = decimal_end(lex, exponent);
        if (exponent_end > exponent) return exponent_end;
    }
    return is_float ? end : 0;
}

static size_t integer_end(const lexer *lex, int *base)
{
    size_t at = lex->at;
    *base = 10;
    if (lex->source[at] != '0') return decimal_end(lex, at);
    char letter = at + 1 < lex->length ? (char)(lex->source[at + 1] | 0x20) : 0;
    int prefixed = letter == 'b' ? 2 : letter == 'o' ? 8 : letter == 'x' ? 16 : 0;
    if (prefixed) {
        size_t end = digits_end(lex, at + 2, prefixed, true);
        if (end > at + 2) {
            *base = prefixed;
            return end;
        }
    }
    return digits_end(lex, at, 1, false); // zeros only
}

static lf_status read_number(lexer *lex)
{
    int base = 10;
    size_t end = float_end(lex);
    bool is_float = end != 0;
    if (!is_float) end = integer_end(lex, &base);
    char text[512];
    size_t n = 0;
    for (size_t i = lex->at + (base != 10 ? 2 : 0); i < end && n < sizeof text - 1; i++)
        if (lex->source[i] != '_') text[n++] = lex->source[i];
    text[n] = '\0';
    if (n == sizeof text - 1)
        return lf__jinja_compile_error(lex->compiler, LF_ERR_LIMIT, lex->line, "number is too long");
    jinja_token *token;
    JINJA_TRY(
        push(lex, is_float ? JINJA_TOKEN_FLOAT : JINJA_TOKEN_INTEGER, lex->source + lex->at, end - lex->at, &token));
    if (is_float) {
        token->real = strtod(text, NULL);
    } else {
        errno = 0;
        token->integer = strtoll(text, NULL, base);
        if (errno)
            return lf__jinja_compile_error(lex->compiler, LF_ERR_LIMIT, lex->line,
                                           "integer %s does not fit into 64 bits", text);
    }
    advance(lex, end);
    return LF_OK;
}

static lf_status read_bracket(lexer *lex, char c)
{
    if (c == '(' || c == '[' || c == '{') {
        if (lex->n_brackets == MAX_BRACKETS)
            return lf__jinja_compile_error(lex->compiler, LF_ERR_LIMIT, lex->line, "brackets nest deeper than %d",
                                           MAX_BRACKETS);
        lex->brackets[lex->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        return LF_OK;
    }
    if (c != ')' && c != ']' && c != '}') return LF_OK;
    if (lex->n_brackets == 0) return lf__jinja_syntax_error(lex->compiler, lex->line, "unexpected '%c'", c);
    char expected = lex->brackets[--lex->n_brackets];
    if (c == expected) return LF_OK;
    return lf__jinja_syntax_error(lex->compiler, lex->line, "unexpected '%c', expected '%c'", c, expected);
}

static lf_status read_operator(lexer *lex)
{
    static const struct {
        char text[3];
        jinja_token_kind kind;
    } operators[] = {
        {"//", JINJA_TOKEN_FLOORDIV}, {"**", JINJA_TOKEN_POW},     {"==", JINJA_TOKEN_EQ},    {"!=", JINJA_TOKEN_NE},
        {">=", JINJA_TOKEN_GTEQ},     {"<=", JINJA_TOKEN_LTEQ},    {"+", JINJA_TOKEN_ADD},    {"-", JINJA_TOKEN_SUB},
        {"/", JINJA_TOKEN_DIV},       {"*", JINJA_TOKEN_MUL},      {"%", JINJA_TOKEN_MOD},    {"~", JINJA_TOKEN_TILDE},
        {"[", JINJA_TOKEN_LBRACKET},  {"]", JINJA_TOKEN_RBRACKET}, {"(", JINJA_TOKEN_LPAREN}, {")", JINJA_TOKEN_RPAREN},
        {"{", JINJA_TOKEN_LBRACE},    {"}", JINJA_TOKEN_RBRACE},   {">", JINJA_TOKEN_GT},     {"<", JINJA_TOKEN_LT},
        {"=", JINJA_TOKEN_ASSIGN},    {".", JINJA_TOKEN_DOT},      {":", JINJA_TOKEN_COLON},  {"|", JINJA_TOKEN_PIPE},
        {",", JINJA_TOKEN_COMMA},     {";", JINJA_TOKEN_SEMICOLON}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(operators); i++) {
        if (!starts(lex, lex->at, operators[i].text)) continue;
        JINJA_TRY(read_bracket(lex, operators[i].text[0]));
        size_t n = strlen(operators[i].text);
        JINJA_TRY(push(lex, operators[i].kind, lex->source + lex->at, n, NULL));
        advance(lex, lex->at + n);
        return LF_OK;
    }
    int32_t code_point;
    size_t n = lf__utf8_decode(lex->source + lex->at, lex->length - lex->at, &code_point);
    return lf__jinja_syntax_error(lex->compiler, lex->line, "unexpected char '%.*s'", (int)n, lex->source + lex->at);
}

static size_t name_end(const lexer *lex, size_t at)
{
    while (at < lex->length) {
        int32_t code_point;
        size_t n = lf__utf8_decode(lex->source + at, lex->length - at, &code_point);
        if (!lf__unicode_is_name_part(code_point)) break;
        at += n;
    }
    return at;
}

static lf_status read_name(lexer *lex)
{
    size_t end = name_end(lex, lex->at);
    int32_t first;
    lf__utf8_decode(lex->source + lex->at, lex->length - lex->at, &first);
    if (!lf__unicode_is_name_start(first))
        return lf__jinja_syntax_error(lex->compiler, lex->line, "invalid character in identifier");
    JINJA_TRY(push(lex, JINJA_TOKEN_NAME, lex->source + lex->at, end - lex->at, NULL));
    advance(lex, end);
    return LF_OK;
}

// Reads up to and including the end of the tag.
static lf_status read_tag(lexer *lex, bool is_variable)
{
    while (lex->at < lex->length) {
        size_t end = 0;
        if (lex->n_brackets == 0) end = is_variable ? variable_end(lex, lex->at) : block_end(lex, lex->at, "%}");
        if (end) {
            JINJA_TRY(push(lex, is_variable ? JINJA_TOKEN_VARIABLE_END : JINJA_TOKEN_BLOCK_END, NULL, 0, NULL));
            advance(lex, end);
            return LF_OK;
        }
        size_t space = skip_space(lex, lex->at);
        if (space > lex->at) {
            advance(lex, space);
            continue;
        }
        char c = lex->source[lex->at];
        if (c >= '0' && c <= '9')
            JINJA_TRY(read_number(lex));
        else if (name_end(lex, lex->at) > lex->at)
            JINJA_TRY(read_name(lex));
        else if (c == '\'' || c == '"')
            JINJA_TRY(read_string(lex));
        else
            JINJA_TRY(read_operator(lex));
    }
    return LF_OK; // the parser complains about the missing end
}

lf_status lf__jinja_lex(jinja_compiler *compiler, const char *source, size_t length)
{
    lexer lex = {.compiler = compiler, .source = source, .length = length, .line = 1, .line_starting = true};
    while (lex.at < length) {
        size_t open = lex.at;
        while (open < length && !(source[open] == '{' && open + 1 < length && strchr("{%#", source[open + 1]) &&
                                  source[open + 1] != '\0'))
            open++;
        if (open == length) {
            JINJA_TRY(push_data(&lex, lex.at, length - lex.at));
            break;
        }
        char type = source[open + 1], sign = 0;
        size_t after = open + 2;
        if (after < length && (source[after] == '-' || source[after] == '+')) sign = source[after++];
        JINJA_TRY(push_data(&lex, lex.at, text_before_tag(&lex, lex.at, open, sign, type == '{')));
        advance(&lex, after);
        size_t raw = type == '%' ? raw_begin(&lex, after) : 0;
        if (raw) {
            advance(&lex, raw);
            JINJA_TRY(read_raw(&lex));
        } else if (type == '#') {
            JINJA_TRY(read_comment(&lex));
        } else {
            JINJA_TRY(push(&lex, type == '{' ? JINJA_TOKEN_VARIABLE_BEGIN : JINJA_TOKEN_BLOCK_BEGIN, NULL, 0, NULL));
            lex.n_brackets = 0;
            JINJA_TRY(read_tag(&lex, type == '{'));
        }
    }
    return push(&lex, JINJA_TOKEN_END, NULL, 0, NULL);
}
