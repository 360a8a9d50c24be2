// SPDX-License-Identifier: Apache-2.0
//
// printf-style formatting: "%-5s|%03d|%(name)r" % args. A tuple gives its elements, a dict its members by name,
// anything else is the one argument.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

enum { MAX_PRECISION = JINJA_MAX_PRECISION, NUMBER_BYTES = JINJA_NUMBER_BYTES };

typedef struct percent {
    jinja_run *run;
    jinja_builder builder;
    const char *at;
    const char *end;
    jinja_value args;
    size_t next; // of a tuple
    bool used_names;
    bool markup;
} percent;

typedef struct conversion {
    bool left, plus, blank, alternate, zero;
    int64_t width;
    int64_t precision; // -1: none
    char type;
    bool has_value; // from %(name)
    jinja_value value;
} conversion;

static lf_status take(percent *p, jinja_value *out)
{
    bool tuple = p->args.kind == JINJA_TUPLE;
    size_t n = tuple ? p->args.list->count : 1;
    if (p->next >= n || p->used_names) return lf__jinja_error(p->run, "not enough arguments for format string");
    *out = tuple ? p->args.list->items[p->next] : p->args;
    p->next++;
    return LF_OK;
}

static lf_status read_name(percent *p, conversion *c)
{
    int depth = 1;
    const char *name = ++p->at;
    for (; p->at < p->end && depth; p->at++) depth += *p->at == '(' ? 1 : *p->at == ')' ? -1 : 0;
    if (depth) return lf__jinja_error(p->run, "incomplete format key");
    if (p->args.kind != JINJA_DICT) return lf__jinja_error(p->run, "format requires a mapping");
    jinja_entry *entry;
    size_t bytes = (size_t)(p->at - 1 - name);
    JINJA_TRY(lf__jinja_dict_find_text(p->run, p->args.dict, name, bytes, &entry));
    if (!entry) return lf__jinja_error(p->run, "format key '%.*s' is missing", (int)LF_MIN(bytes, (size_t)100), name);
    p->used_names = c->has_value = true;
    c->value = entry->value;
    return LF_OK;
}

// A number or a star.
static lf_status read_size(percent *p, int64_t *out)
{
    *out = 0;
    if (p->at < p->end && *p->at == '*') {
        jinja_value value;
        p->at++;
        JINJA_TRY(take(p, &value));
        if (!lf__jinja_integer(value, out)) return lf__jinja_error(p->run, "* wants int");
        return LF_OK;
    }
    for (; p->at < p->end && isdigit((unsigned char)*p->at); p->at++)
        if (*out < INT32_MAX) *out = *out * 10 + (*p->at - '0');
    return LF_OK;
}

static lf_status read_conversion(percent *p, conversion *c)
{
    *c = (conversion){.precision = -1};
    if (p->at < p->end && *p->at == '(') JINJA_TRY(read_name(p, c));
    for (; p->at < p->end && memchr("-+ #0", *p->at, 5); p->at++) {
        c->left |= *p->at == '-';
        c->plus |= *p->at == '+';
        c->blank |= *p->at == ' ';
        c->alternate |= *p->at == '#';
        c->zero |= *p->at == '0';
    }
    JINJA_TRY(read_size(p, &c->width));
    if (c->width < 0) {
        c->left = true;
        c->width = c->width < -INT32_MAX ? INT32_MAX : -c->width;
    }
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        JINJA_TRY(read_size(p, &c->precision));
        c->precision = LF_MAX(c->precision, 0);
    }
    if (p->at < p->end && memchr("hlL", *p->at, 3)) p->at++;
    if (p->at >= p->end) return lf__jinja_error(p->run, "incomplete format");
    c->type = *p->at++;
    return LF_OK;
}

static void put_padded(percent *p, const conversion *c, const char *prefix, const char *text, size_t bytes, bool zero)
{
    size_t prefix_bytes = strlen(prefix), length = prefix_bytes + lf__utf8_count(text, bytes);
    size_t pad = c->width > (int64_t)length ? (size_t)c->width - length : 0;
    if (!c->left && !zero) lf__jinja_pad(&p->builder, ' ', pad);
    lf__jinja_put(&p->builder, prefix, prefix_bytes);
    if (!c->left && zero) lf__jinja_pad(&p->builder, '0', pad);
    lf__jinja_put(&p->builder, text, bytes);
    if (c->left) lf__jinja_pad(&p->builder, ' ', pad);
}

static const char *sign_of(const conversion *c, bool negative)
{
    return negative ? "-" : c->plus ? "+" : c->blank ? " " : "";
}

static lf_status put_integer(percent *p, const conversion *c, jinja_value value)
{
    int64_t integer;
    bool decimal = strchr("diu", c->type);
    char digits[32], text[NUMBER_BYTES], prefix[8];
    if (!lf__jinja_integer(value, &integer)) {
        if (value.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(p->run, value);
        if (value.kind != JINJA_FLOAT || !decimal)
            return lf__jinja_error(p->run, "%%%c format: %s is required, not %s", c->type,
                                   decimal ? "a real number" : "an integer", lf__jinja_type_name(value));
        if (!(fabs(value.real) < 0x1p63))
            return lf__jinja_error_status(p->run, LF_ERR_LIMIT, "float does not fit into a 64-bit integer");
        integer = (int64_t)value.real;
    }
    unsigned long long magnitude = integer < 0 ? 0 - (unsigned long long)integer : (unsigned long long)integer;
    if (c->type == 'o')
        snprintf(digits, sizeof digits, "%llo", magnitude);
    else if (c->type == 'x')
        snprintf(digits, sizeof digits, "%llx", magnitude);
    else if (c->type == 'X')
        snprintf(digits, sizeof digits, "%llX", magnitude);
    else
        snprintf(digits, sizeof digits, "%llu", magnitude);
    if (c->precision > MAX_PRECISION)
        return lf__jinja_error_status(p->run, LF_ERR_LIMIT, "format precision is larger than %d", MAX_PRECISION);
    size_t n = strlen(digits), zeros = c->precision > (int64_t)n ? (size_t)c->precision - n : 0;
    memset(text, '0', zeros);
    memcpy(text + zeros, digits, n);
    snprintf(prefix, sizeof prefix, "%s%s", sign_of(c, integer < 0),
             !c->alternate || decimal ? ""
             : c->type == 'o'         ? "0o"
             : c->type == 'x'         ? "0x"
                                      : "0X");
    put_padded(p, c, prefix, text, zeros + n, c->zero);
    return LF_OK;
}

void lf__jinja_real_text(double value, char type, int precision, bool alternate, char *text, size_t bytes)
{
    switch (type) {
    case 'e': snprintf(text, bytes, alternate ? "%#.*e" : "%.*e", precision, value); break;
    case 'E': snprintf(text, bytes, alternate ? "%#.*E" : "%.*E", precision, value); break;
    case 'f': snprintf(text, bytes, alternate ? "%#.*f" : "%.*f", precision, value); break;
    case 'F': snprintf(text, bytes, alternate ? "%#.*F" : "%.*F", precision, value); break;
    case 'g': snprintf(text, bytes, alternate ? "%#.*g" : "%.*g", precision, value); break;
    default: snprintf(text, bytes, alternate ? "%#.*G" : "%.*G", precision, value); break;
    }
}

static lf_status put_real(percent *p, const conversion *c, jinja_value value)
{
    double real;
    char text[NUMBER_BYTES];
    int64_t precision = c->precision < 0 ? 6 : c->precision;
    if (value.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(p->run, value);
    if (!lf__jinja_number(value, &real))
        return lf__jinja_error(p->run, "must be real number, not %s", lf__jinja_type_name(value));
    if (precision > MAX_PRECISION)
        return lf__jinja_error_status(p->run, LF_ERR_LIMIT, "format precision is larger than %d", MAX_PRECISION);
    bool negative = signbit(real) && !isnan(real);
    lf__jinja_real_text(fabs(real), c->type, (int)precision, c->alternate, text, sizeof text);
    put_padded(p, c, sign_of(c, negative), text, strlen(text), c->zero);
    return LF_OK;
}

static lf_status put_char(percent *p, const conversion *c, jinja_value value)
{
    int64_t code_point;
    char text[4];
    if (lf__jinja_integer(value, &code_point)) {
        if (code_point < 0 || code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000))
            return lf__jinja_error(p->run, "%%c arg not in range(0x110000)");
        put_padded(p, c, "", text, lf__utf8_encode((int32_t)code_point, text), false);
        return LF_OK;
    }
    if (!lf__jinja_is_text(value) || lf__utf8_count(value.string->data, value.string->bytes) != 1)
        return lf__jinja_error(p->run, "%%c requires int or char");
    put_padded(p, c, "", value.string->data, value.string->bytes, false);
    return LF_OK;
}

static lf_status put_text(percent *p, const conversion *c, jinja_value value)
{
    jinja_value text;
    if (c->type == 's') {
        JINJA_TRY(p->markup ? lf__jinja_escape(p->run, value, &text) : lf__jinja_str(p->run, value, &text));
    } else {
        jinja_builder repr;
        lf__jinja_builder_init(&repr, p->run);
        JINJA_TRY(lf__jinja_repr(&repr, value));
        JINJA_TRY(lf__jinja_builder_finish(&repr, &text));
    }
    size_t bytes = text.string->bytes;
    if (c->precision >= 0) bytes = lf__utf8_offset(text.string->data, bytes, (size_t)c->precision);
    put_padded(p, c, "", text.string->data, bytes, false);
    return LF_OK;
}

static lf_status convert(percent *p)
{
    conversion c;
    JINJA_TRY(read_conversion(p, &c));
    if (c.type == '%') {
        lf__jinja_puts(&p->builder, "%");
        return LF_OK;
    }
    if (!c.type || !strchr("diuoxXeEfFgGcrsa", c.type))
        return lf__jinja_error(p->run, "unsupported format character '%c' (0x%x)",
                               isprint((unsigned char)c.type) ? c.type : '?', (unsigned)(unsigned char)c.type);
    if (!c.has_value) JINJA_TRY(take(p, &c.value));
    switch (c.type) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X': return put_integer(p, &c, c.value);
    case 'c': return put_char(p, &c, c.value);
    case 'r':
    case 's':
    case 'a': return put_text(p, &c, c.value);
    default: return put_real(p, &c, c.value);
    }
}

lf_status lf__jinja_format_percent(jinja_run *run, const jinja_string *format, jinja_value args, jinja_value *out)
{
    percent p = {
        .run = run, .at = format->data, .end = format->data + format->bytes, .args = args, .markup = format->markup};
    lf__jinja_builder_init(&p.builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, format->bytes));
    while (p.at < p.end) {
        const char *mark = memchr(p.at, '%', (size_t)(p.end - p.at));
        size_t plain = (size_t)((mark ? mark : p.end) - p.at);
        lf__jinja_put(&p.builder, p.at, plain);
        if (!mark) break;
        p.at = mark + 1;
        JINJA_TRY(lf__jinja_charge(run, 1));
        JINJA_TRY(convert(&p));
        if (p.builder.status) return p.builder.status;
    }
    // Mappings, and what Python takes for one, may hold more than the text asks for.
    bool tuple = args.kind == JINJA_TUPLE;
    bool mapping =
        args.kind == JINJA_DICT || args.kind == JINJA_LIST || args.kind == JINJA_RANGE || args.kind == JINJA_UNDEFINED;
    if (!mapping && p.next < (tuple ? args.list->count : 1))
        return lf__jinja_error(run, "not all arguments converted during string formatting");
    JINJA_TRY(lf__jinja_builder_finish(&p.builder, out));
    out->string->markup = format->markup;
    return LF_OK;
}
