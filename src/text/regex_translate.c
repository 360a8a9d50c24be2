// SPDX-License-Identifier: Apache-2.0
//
// Oniguruma pattern -> PCRE2 pattern, for the subset that tokenizers use. Where the two differ (checked against the
// reference library over all code points, see tests/text/test_regex.c):
//   \s        PCRE2 adds U+180E; here always the White_Space property, spelled out.
//   \w        PCRE2 means [\p{L}\p{N}_]; Oniguruma Alphabetic, marks, decimal digits, connectors and Latin-1's numbers.
//   \p{Han}   PCRE2 means Script_Extensions; here \p{sc:Han}.
//   \p{L} ... PCRE2's Unicode may be older than the reference's: newer characters are added (unicode_newer.c).
//   {n,m}+    possessive in PCRE2, "again and again" in Oniguruma: written (?:X{n,m})+.
//   \uHHHH \v \h  other meanings or none; '[' and '&&' inside a class nest and intersect in Oniguruma: refused.
//   (?i:ss)   Oniguruma folds one character to several (ss, ff, fi, fl, st): refused.
// Groups never capture: nothing here refers back, and it keeps the match data small.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/regex.h"
#include "text/unicode.h"
#include "text/utf8.h"

#define WHITE_SPACE                                                                                                    \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

enum { MAX_DEPTH = 64, MAX_REPEAT = 1000 };
static const size_t NO_ATOM = SIZE_MAX;

typedef struct level {
    size_t start;      // of the group in the output
    bool is_caseless;  // what holds inside the group
    bool is_assertion; // a lookaround: may not be repeated
} level;

typedef struct translator {
    const char *pattern; // BORROWED, well-formed UTF-8
    size_t length;
    size_t at;
    lf_buf *out;
    size_t atom; // where the last repeatable item starts in the output, NO_ATOM when there is none
    level levels[MAX_DEPTH];
    size_t depth;
    char previous; // the literal before, in a caseless group; 0 when something else came before
    lf_error *err;
} translator;

static lf_status refuse(translator *t, const char *what)
{
    lf_error_set(t->err, LF_ERR_UNSUPPORTED, "regular expression uses %s at offset %zu", what, t->at);
    return lf_error_found(t->err, "%.*s", (int)LF_MIN(t->length, (size_t)200), t->pattern);
}

static bool starts(const translator *t, const char *text)
{
    size_t length = strlen(text);
    return t->length - t->at >= length && memcmp(t->pattern + t->at, text, length) == 0;
}

static bool is_caseless(const translator *t) { return t->depth > 0 && t->levels[t->depth - 1].is_caseless; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Reads min to max hexadecimal digits.
static bool read_hex(translator *t, size_t min, size_t max, uint32_t *value)
{
    size_t n = 0;
    *value = 0;
    while (n < max && t->at < t->length && hex_value(t->pattern[t->at]) >= 0) {
        *value = *value << 4 | (uint32_t)hex_value(t->pattern[t->at++]);
        n++;
    }
    return n >= min;
}

// The code point that \xHH, \x{H...} or \uHHHH stands for; `at` is behind the letter.
static lf_status read_codepoint_escape(translator *t, char kind, uint32_t *value)
{
    bool is_good;
    if (kind == 'u') {
        is_good = read_hex(t, 4, 4, value);
    } else if (starts(t, "{")) {
        t->at++;
        is_good = read_hex(t, 1, 6, value) && starts(t, "}");
        t->at++;
    } else {
        is_good = read_hex(t, 2, 2, value) && *value < 0x80; // Oniguruma: a raw byte
    }
    if (!is_good || *value > 0x10ffff || (*value >= 0xd800 && *value < 0xe000)) return refuse(t, "a code point escape");
    return LF_OK;
}

// General categories are written alike in both engines; any other name must be a script (PCRE2 judges it).
static bool is_category(const char *name, size_t length)
{
    static const char known[] = " C Cc Cf Cn Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps "
                                "S Sc Sk Sm So Z Zl Zp Zs ";
    char padded[5] = {' ', 0, 0, 0, 0};
    if (length == 0 || length > 2) return false;
    memcpy(padded + 1, name, length);
    padded[length + 1] = ' ';
    return strstr(known, padded) != NULL;
}

// \p{Name} and \P{Name}, also negated as \p{^Name}; `at` is behind the letter. A negated property inside a class keeps
// the newer characters: a class has no way to take some out again.
static lf_status put_property(translator *t, bool is_negated, bool is_in_class)
{
    if (!starts(t, "{")) return refuse(t, "\\p without braces");
    t->at++;
    if (starts(t, "^")) {
        is_negated = !is_negated;
        t->at++;
    }
    const char *name = t->pattern + t->at;
    size_t length = 0;
    while (t->at + length < t->length && (is_letter(name[length]) || name[length] == '_')) length++;
    if (length == 0 || length > 40 || t->at + length == t->length || name[length] != '}') {
        return refuse(t, "a property name");
    }
    if (is_caseless(t)) return refuse(t, "a property without case");
    bool is_script = !is_category(name, length);
    if (is_in_class) {
        lf_buf_printf(t->out, "\\%c{%s%.*s}", is_negated ? 'P' : 'p', is_script ? "sc:" : "", (int)length, name);
        if (!is_negated) lf_newer_append(t->out, name, length);
    } else {
        lf_buf_printf(t->out, "[%s\\p{%s%.*s}", is_negated ? "^" : "", is_script ? "sc:" : "", (int)length, name);
        lf_newer_append(t->out, name, length);
        lf_buf_putc(t->out, ']');
    }
    t->at += length + 1;
    return LF_OK;
}

static bool is_set_letter(char c) { return c == 's' || c == 'S' || c == 'd' || c == 'D' || c == 'w' || c == 'W'; }

// The inside of a bracket class that equals \s, \d or \w.
static void put_set(translator *t, char lower)
{
    if (lower == 's') {
        lf_buf_puts(t->out, WHITE_SPACE);
    } else if (lower == 'd') {
        lf_buf_puts(t->out, "\\p{Nd}");
        lf_newer_append(t->out, "Nd", 2);
    } else {
        lf_buf_puts(t->out, "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}");
        lf_newer_append(t->out, "L", 1);
        lf_newer_append(t->out, "M", 1);
        lf_newer_append(t->out, "Nd", 2);
    }
}

// \b and \B: two characters of which just one, or both or none, is a \w.
static void put_boundary(translator *t, bool is_boundary)
{
    static const char *const parts[2][4] = {
        {"(?:(?<=[", "])(?=[", "])|(?<![", "])(?!["},
        {"(?:(?<=[", "])(?![", "])|(?<![", "])(?=["},
    };
    for (int i = 0; i < 4; i++) {
        lf_buf_puts(t->out, parts[is_boundary][i]);
        put_set(t, 'w');
    }
    lf_buf_puts(t->out, "]))");
}

// The control character a letter escape stands for, -1 when it is none. \v is one character here, not a class.
static int control_of(char letter)
{
    switch (letter) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'v': return '\v';
    case 'f': return '\f';
    case 'r': return '\r';
    case 'a': return '\a';
    case 'e': return 0x1b;
    }
    return -1;
}

static lf_status put_escape(translator *t)
{
    if (t->at + 1 >= t->length) return refuse(t, "a trailing backslash");
    char c = t->pattern[t->at + 1];
    char lower = (char)(c | 0x20);
    size_t start = t->out->length;
    t->at += 2;
    t->atom = start;
    t->previous = 0;
    if (c == 'p' || c == 'P') return put_property(t, c == 'P', false);
    if (is_set_letter(c)) {
        lf_buf_puts(t->out, c == lower ? "[" : "[^");
        put_set(t, lower);
        lf_buf_putc(t->out, ']');
        return LF_OK;
    }
    if (c == 'b' || c == 'B') {
        t->atom = NO_ATOM;
        put_boundary(t, c == 'b');
        return LF_OK;
    }
    if (c == 'A' || c == 'z' || c == 'Z') {
        t->atom = NO_ATOM;
        lf_buf_printf(t->out, "\\%c", c);
        return LF_OK;
    }
    uint32_t value;
    if (c == 'x' || c == 'u') {
        lf_status status = read_codepoint_escape(t, c, &value);
        if (status) return status;
    } else if (control_of(c) >= 0) {
        value = (uint32_t)control_of(c);
    } else if (c > ' ' - 1 && c < 0x7f && !is_letter(c) && !is_digit(c)) {
        value = (uint32_t)c;
    } else {
        t->at -= 2;
        return refuse(t, "an escape");
    }
    if (is_caseless(t) && (value >= 0x80 || is_letter((char)value))) return refuse(t, "an escaped letter without case");
    lf_buf_printf(t->out, "\\x{%x}", value);
    return LF_OK;
}

// One member of a bracket class: a code point, or (*is_set) a class that was already written out.
static lf_status put_class_item(translator *t, bool *is_set, uint32_t *value)
{
    *is_set = false;
    char c = t->pattern[t->at];
    if (c == '[') return refuse(t, "a class inside a class");
    if (starts(t, "&&")) return refuse(t, "an intersection of classes");
    if (c != '\\') {
        const char *cursor = t->pattern + t->at;
        *value = lf_utf8_next(&cursor);
        t->at = (size_t)(cursor - t->pattern);
        return LF_OK;
    }
    if (t->at + 1 >= t->length) return refuse(t, "a trailing backslash");
    c = t->pattern[t->at + 1];
    char lower = (char)(c | 0x20);
    t->at += 2;
    if (is_letter(c) && (lower == 'p' || is_set_letter(c))) {
        *is_set = true;
        if (lower == 'p') return put_property(t, c == 'P', true);
        if (c == 'W') return refuse(t, "\\W inside a class");
        if (c == 'S') lf_buf_puts(t->out, "\\P{White_Space}");
        if (c == 'D') lf_buf_puts(t->out, "\\P{Nd}");
        if (c == lower) put_set(t, lower);
        return LF_OK;
    }
    if (c == 'x' || c == 'u') return read_codepoint_escape(t, c, value);
    if (control_of(c) >= 0) {
        *value = (uint32_t)control_of(c);
    } else if (c > ' ' - 1 && c < 0x7f && !is_letter(c) && !is_digit(c)) {
        *value = (uint32_t)c;
    } else {
        t->at -= 2;
        return refuse(t, "an escape inside a class");
    }
    return LF_OK;
}

static lf_status put_class(translator *t)
{
    t->atom = t->out->length;
    t->previous = 0;
    t->at++;
    lf_buf_putc(t->out, '[');
    if (starts(t, "^")) {
        lf_buf_putc(t->out, '^');
        t->at++;
    }
    if (starts(t, "]")) return refuse(t, "']' as the first member of a class");
    bool is_first = true;
    while (t->at < t->length && t->pattern[t->at] != ']') {
        bool is_set;
        uint32_t first = 0;
        uint32_t last;
        if (!is_first && t->pattern[t->at] == '-' && !starts(t, "-]"))
            return refuse(t, "'-' between members of a class");
        is_first = false;
        lf_status status = put_class_item(t, &is_set, &first);
        if (status) return status;
        if (is_set) continue;
        last = first;
        if (starts(t, "-") && !starts(t, "-]")) {
            t->at++;
            if (t->at == t->length) break;
            status = put_class_item(t, &is_set, &last);
            if (status) return status;
            if (is_set || last < first) return refuse(t, "a range in a class");
        }
        if (is_caseless(t) && last >= 0x80) return refuse(t, "a class without case beyond ASCII");
        lf_buf_printf(t->out, first == last ? "\\x{%x}" : "\\x{%x}-\\x{%x}", first, last);
    }
    if (t->at == t->length) return refuse(t, "a class without end");
    t->at++;
    lf_buf_putc(t->out, ']');
    return LF_OK;
}

static lf_status open_group(translator *t)
{
    static const struct {
        const char *text;
        const char *out;
        bool is_assertion;
    } kinds[] = {{"(?:", "(?:", false}, {"(?i:", "(?i:", false}, {"(?>", "(?>", false},  {"(?=", "(?=", true},
                 {"(?!", "(?!", true},  {"(?<=", "(?<=", true},  {"(?<!", "(?<!", true}, {"(", "(?:", false}};
    size_t k = 0;
    while (!starts(t, kinds[k].text)) k++; // the last always matches
    if (k == LF_ARRAY_LENGTH(kinds) - 1 && starts(t, "(?")) return refuse(t, "a group option");
    if (t->depth == MAX_DEPTH) return refuse(t, "groups nested too deeply");
    bool caseless = is_caseless(t) || strcmp(kinds[k].text, "(?i:") == 0;
    t->levels[t->depth++] = (level){t->out->length, caseless, kinds[k].is_assertion};
    lf_buf_puts(t->out, kinds[k].out);
    t->at += strlen(kinds[k].text);
    t->atom = NO_ATOM;
    t->previous = 0;
    return LF_OK;
}

static lf_status close_group(translator *t)
{
    if (t->depth == 0) return refuse(t, "an unmatched ')'");
    level closed = t->levels[--t->depth];
    lf_buf_putc(t->out, ')');
    t->atom = closed.is_assertion ? NO_ATOM : closed.start;
    t->at++;
    t->previous = 0;
    return LF_OK;
}

// Puts "(?:" in front of the last atom.
static void wrap_atom(translator *t)
{
    lf_buf_puts(t->out, "(?:");
    if (lf_buf_failed(t->out)) return;
    char *atom = t->out->data + t->atom;
    memmove(atom + 3, atom, t->out->length - 3 - t->atom);
    memcpy(atom, "(?:", 3);
}

static bool read_count(translator *t, unsigned *value)
{
    size_t start = t->at;
    *value = 0;
    while (t->at < t->length && is_digit(t->pattern[t->at]) && *value <= MAX_REPEAT) {
        *value = *value * 10 + (unsigned)(t->pattern[t->at++] - '0');
    }
    return t->at > start;
}

// {n}, {n,}, {n,m}, {,m}
static lf_status put_interval(translator *t)
{
    unsigned min = 0;
    unsigned max = 0;
    t->at++;
    bool has_min = read_count(t, &min);
    bool has_comma = starts(t, ",");
    t->at += has_comma;
    bool has_max = has_comma ? read_count(t, &max) : false;
    if (!starts(t, "}") || !(has_min || has_max)) return refuse(t, "a '{' that starts no repetition");
    t->at++;
    if (min > MAX_REPEAT || max > MAX_REPEAT || (has_max && max < min)) return refuse(t, "a repetition count");
    if (t->atom == NO_ATOM) return refuse(t, "a repetition of nothing");
    if (starts(t, "?")) return refuse(t, "a lazy counted repetition");
    bool is_repeated = starts(t, "+");
    if (is_repeated) wrap_atom(t);
    if (!has_comma) lf_buf_printf(t->out, "{%u}", min);
    if (has_comma && !has_max) lf_buf_printf(t->out, "{%u,}", min);
    if (has_comma && has_max) lf_buf_printf(t->out, "{%u,%u}", min, max);
    if (is_repeated) {
        lf_buf_puts(t->out, ")+");
        t->at++;
    }
    t->atom = NO_ATOM;
    t->previous = 0;
    return LF_OK;
}

static lf_status put_quantifier(translator *t)
{
    if (t->atom == NO_ATOM) return refuse(t, "a repetition of nothing");
    lf_buf_putc(t->out, t->pattern[t->at++]);
    if (starts(t, "?") || starts(t, "+")) lf_buf_putc(t->out, t->pattern[t->at++]); // lazy, possessive
    t->atom = NO_ATOM;
    t->previous = 0;
    return LF_OK;
}

// Literals that Oniguruma would also match with one folded character (U+00DF, U+FB00 to U+FB06).
static bool folds_together(char previous, char c)
{
    static const char pairs[] = "ss ff fi fl st ";
    char pair[4] = {(char)(previous | 0x20), (char)(c | 0x20), ' ', 0};
    return strstr(pairs, pair) != NULL;
}

static lf_status put_literal(translator *t)
{
    const char *cursor = t->pattern + t->at;
    uint32_t value = lf_utf8_next(&cursor);
    if (is_caseless(t)) {
        if (value >= 0x80) return refuse(t, "a letter without case beyond ASCII");
        if (is_letter((char)value) && is_letter(t->previous) && folds_together(t->previous, (char)value)) {
            return refuse(t, "letters without case that one character can stand for");
        }
        t->previous = (char)value;
    }
    t->atom = t->out->length;
    if (value < 0x80 && !is_letter((char)value) && !is_digit((char)value)) {
        lf_buf_printf(t->out, "\\x{%x}", value);
    } else {
        lf_buf_append(t->out, t->pattern + t->at, (size_t)(cursor - t->pattern) - t->at);
    }
    t->at = (size_t)(cursor - t->pattern);
    return LF_OK;
}

static lf_status put_next(translator *t)
{
    char c = t->pattern[t->at];
    switch (c) {
    case '(': return open_group(t);
    case ')': return close_group(t);
    case '[': return put_class(t);
    case '\\': return put_escape(t);
    case '{': return put_interval(t);
    case '*':
    case '+':
    case '?': return put_quantifier(t);
    case '.': t->atom = t->out->length; break;
    case '|':
    case '^':
    case '$': t->atom = NO_ATOM; break;
    default: return put_literal(t);
    }
    lf_buf_putc(t->out, c);
    t->at++;
    t->previous = 0;
    return LF_OK;
}

lf_status lf_regex_translate(lf_buf *out, const char *pattern, size_t length, lf_error *err)
{
    translator t = {.pattern = pattern, .length = length, .out = out, .atom = NO_ATOM, .err = err};
    if (lf_utf8_valid_prefix(pattern, length) != length) {
        return lf_error_set(err, LF_ERR_FORMAT, "regular expression is not valid UTF-8");
    }
    if (length == 0) return lf_error_set(err, LF_ERR_UNSUPPORTED, "regular expression is empty");
    if (length > LF_REGEX_MAX_PATTERN_BYTES) {
        return lf_error_set(err, LF_ERR_LIMIT, "regular expression has %zu bytes, more than %d", length,
                            LF_REGEX_MAX_PATTERN_BYTES);
    }
    while (t.at < length) {
        lf_status status = put_next(&t);
        if (status) return status;
    }
    if (t.depth > 0) return refuse(&t, "a group without end");
    if (lf_buf_failed(out)) return lf_error_no_memory(err, 0);
    return LF_OK;
}
