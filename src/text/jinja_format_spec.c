// SPDX-License-Identifier: Apache-2.0
//
// str.format(): "{0:>8}|{name!r}|{x.y[0]:,.2f}". Fields are numbered by themselves or by hand, never both; a format
// specification may hold fields of its own, one level deep.
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

// [[fill]align][sign][z][#][0][width][grouping][.precision][type]
typedef struct format_spec {
    int32_t fill;
    char align; // < > = ^ or 0
    char sign;  // + - blank or 0
    bool alternate;
    bool zero;
    int64_t width;
    char grouping;     // , _ or 0
    int64_t precision; // -1: none
    char type;
} format_spec;

static bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

static size_t read_digits(const char *spec, size_t at, size_t bytes, int64_t *out)
{
    for (; at < bytes && isdigit((unsigned char)spec[at]); at++)
        if (*out < INT32_MAX) *out = *out * 10 + (spec[at] - '0');
    return at;
}

static lf_status read_spec(jinja_run *run, const char *spec, size_t bytes, format_spec *out)
{
    size_t at = 0;
    *out = (format_spec){.fill = ' ', .precision = -1};
    size_t first = bytes ? lf__utf8_offset(spec, bytes, 1) : 0;
    if (first < bytes && is_align(spec[first])) {
        lf__utf8_decode(spec, bytes, &out->fill);
        out->align = spec[first];
        at = first + 1;
    } else if (bytes && is_align(spec[0])) {
        out->align = spec[0];
        at = 1;
    }
    if (at < bytes && memchr("+- ", spec[at], 3)) out->sign = spec[at++];
    if (at < bytes && spec[at] == 'z') at++;
    if (at < bytes && spec[at] == '#') {
        out->alternate = true;
        at++;
    }
    if (at < bytes && spec[at] == '0') {
        out->zero = true;
        at++;
    }
    at = read_digits(spec, at, bytes, &out->width);
    if (at < bytes && (spec[at] == ',' || spec[at] == '_')) out->grouping = spec[at++];
    if (at < bytes && spec[at] == '.') {
        size_t digits = at + 1;
        out->precision = 0;
        at = read_digits(spec, digits, bytes, &out->precision);
        if (at == digits) return lf__jinja_error(run, "Format specifier missing precision");
        if (out->precision > JINJA_MAX_PRECISION)
            return lf__jinja_error_status(run, LF_ERR_LIMIT, "format precision is larger than %d", JINJA_MAX_PRECISION);
    }
    if (at < bytes) out->type = spec[at++];
    return at == bytes ? LF_OK : lf__jinja_error(run, "Invalid format specifier");
}

static void put_aligned(jinja_builder *builder, const format_spec *spec, char align, const char *text, size_t bytes)
{
    size_t length = lf__utf8_count(text, bytes);
    size_t pad = spec->width > (int64_t)length ? (size_t)spec->width - length : 0;
    size_t left = align == '<' ? 0 : align == '^' ? pad / 2 : pad;
    lf__jinja_pad(builder, spec->fill, left);
    lf__jinja_put(builder, text, bytes);
    lf__jinja_pad(builder, spec->fill, pad - left);
}

// --- numbers -------------------------------------------------------------------------------------

// Digits with separators: `n` digits need this many bytes.
static size_t grouped_length(size_t n, size_t group) { return group && n ? n + (n - 1) / group : n; }

// sign, prefix, integer digits (grouped, filled up with zeros), the rest of the number.
static void put_number(jinja_builder *builder, const format_spec *spec, const char *prefix, const char *digits,
                       size_t n, size_t group, const char *rest)
{
    bool zero_fill = spec->zero && !spec->align;
    char align = spec->align ? spec->align : zero_fill ? '=' : '>';
    int32_t fill = zero_fill ? '0' : spec->fill;
    size_t around = strlen(prefix) + strlen(rest), zeros = 0;
    if (align == '=' && fill == '0')
        while (grouped_length(n + zeros, group) + around < (size_t)spec->width) zeros++;
    size_t length = grouped_length(n + zeros, group) + around;
    size_t pad = (size_t)spec->width > length ? (size_t)spec->width - length : 0;
    size_t left = align == '<' || align == '=' ? 0 : align == '^' ? pad / 2 : pad;
    lf__jinja_pad(builder, fill, left);
    lf__jinja_puts(builder, prefix);
    if (align == '=') lf__jinja_pad(builder, fill, pad);
    for (size_t i = 0; i < n + zeros && !builder->status; i++) {
        if (group && i && (n + zeros - i) % group == 0) lf__jinja_put(builder, &spec->grouping, 1);
        lf__jinja_put(builder, i < zeros ? "0" : digits + i - zeros, 1);
    }
    lf__jinja_puts(builder, rest);
    if (align != '=') lf__jinja_pad(builder, fill, pad - left);
}

static lf_status check_width(jinja_run *run, const format_spec *spec)
{
    if (spec->width <= 1 << 20) return LF_OK;
    return lf__jinja_error_status(run, LF_ERR_LIMIT, "format width is larger than %d", 1 << 20);
}

static const char *sign_text(const format_spec *spec, bool negative)
{
    return negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";
}

static lf_status format_int(jinja_builder *builder, int64_t integer, const format_spec *spec)
{
    jinja_run *run = builder->run;
    char digits[72], prefix[8];
    int base = spec->type == 'b' ? 2 : spec->type == 'o' ? 8 : spec->type == 'x' || spec->type == 'X' ? 16 : 10;
    if (spec->precision >= 0) return lf__jinja_error(run, "Precision not allowed in integer format specifier");
    if (spec->type == 'c') {
        if (integer < 0 || integer > 0x10FFFF) return lf__jinja_error(run, "%%c arg not in range(0x110000)");
        put_aligned(builder, spec, spec->align ? spec->align : '<', digits, lf__utf8_encode((int32_t)integer, digits));
        return LF_OK;
    }
    if (spec->grouping == ',' && base != 10) return lf__jinja_error(run, "Cannot specify ',' with '%c'.", spec->type);
    uint64_t magnitude = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    size_t n = 0;
    do {
        digits[n++] = (spec->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % (unsigned)base];
        magnitude /= (unsigned)base;
    } while (magnitude);
    for (size_t i = 0; i < n / 2; i++) {
        char swap = digits[i];
        digits[i] = digits[n - 1 - i];
        digits[n - 1 - i] = swap;
    }
    bool marked = spec->alternate && base != 10;
    snprintf(prefix, sizeof prefix, "%s%s%.1s", sign_text(spec, integer < 0), marked ? "0" : "",
             marked ? &spec->type : "");
    put_number(builder, spec, prefix, digits, n, spec->grouping ? base == 10 ? 3 : 4 : 0, "");
    return LF_OK;
}

// The presentation without a type but with a precision: like g, but with a digit after the point.
static void general_text(double value, int precision, char *text, size_t bytes)
{
    precision = LF_MAX(precision, 1);
    snprintf(text, bytes, "%.*e", precision - 1, value);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= precision - 1) {
        snprintf(text, bytes, "%.*g", precision, value);
        if (strchr(text, 'e') || strchr(text, '.')) return;
        snprintf(text, bytes, "%.*e", precision - 1, value);
        char *mark = strchr(text, 'e'), *tail = mark;
        while (strchr(text, '.') && (tail[-1] == '0' || tail[-1] == '.')) {
            tail--;
            if (*tail == '.') break;
        }
        memmove(tail, mark, strlen(mark) + 1);
        return;
    }
    snprintf(text, bytes, "%.*g", precision, value);
    if (!strchr(text, '.')) strncat(text, ".0", bytes - strlen(text) - 1);
}

static lf_status format_real(jinja_builder *builder, double value, const format_spec *spec)
{
    char text[JINJA_NUMBER_BYTES];
    double magnitude = fabs(value);
    char type = spec->type == 'n' ? 'g' : spec->type;
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    if (type == '%') magnitude *= 100;
    if (!isfinite(magnitude))
        snprintf(text, sizeof text, "%s%s", isnan(magnitude) ? "nan" : "inf", type == '%' ? "%" : "");
    else if (!type && spec->precision < 0)
        lf__jinja_real_repr(magnitude, text);
    else if (!type)
        general_text(magnitude, precision, text, sizeof text);
    else
        lf__jinja_real_text(magnitude, type == '%' ? 'f' : type, precision, spec->alternate, text, sizeof text - 1);
    if (type == '%' && isfinite(magnitude)) strcat(text, "%");
    if (!isfinite(magnitude) && type && strchr("EFG", type))
        for (char *c = text; *c; c++) *c = (char)toupper((unsigned char)*c);
    size_t n = strspn(text, "0123456789");
    bool negative = signbit(value) && !isnan(value);
    put_number(builder, spec, sign_text(spec, negative), n ? text : "", n, spec->grouping ? 3 : 0, text + n);
    return LF_OK;
}

static lf_status format_text(jinja_builder *builder, const jinja_string *string, const format_spec *spec)
{
    jinja_run *run = builder->run;
    if (spec->type && spec->type != 's')
        return lf__jinja_error(run, "Unknown format code '%c' for object of type 'str'", spec->type);
    if (spec->sign) return lf__jinja_error(run, "Sign not allowed in string format specifier");
    if (spec->alternate) return lf__jinja_error(run, "Alternate form (#) not allowed in string format specifier");
    if (spec->align == '=') return lf__jinja_error(run, "'=' alignment not allowed in string format specifier");
    if (spec->grouping) return lf__jinja_error(run, "Cannot specify '%c' with 's'.", spec->grouping);
    size_t bytes = string->bytes;
    if (spec->precision >= 0) bytes = lf__utf8_offset(string->data, bytes, (size_t)spec->precision);
    format_spec filled = *spec;
    if (spec->zero && !spec->align) filled.fill = '0';
    put_aligned(builder, &filled, spec->align ? spec->align : '<', string->data, bytes);
    return LF_OK;
}

lf_status lf__jinja_format_value(jinja_builder *builder, jinja_value value, const char *text, size_t bytes)
{
    jinja_run *run = builder->run;
    format_spec spec;
    int64_t integer;
    double real;
    if (bytes == 0) {
        JINJA_TRY(lf__jinja_str(run, value, &value));
        lf__jinja_put(builder, value.string->data, value.string->bytes);
        return LF_OK;
    }
    bool is_int = lf__jinja_integer(value, &integer);
    if (!lf__jinja_number(value, &real) && !lf__jinja_is_text(value))
        return lf__jinja_error(run, "unsupported format string passed to %s.__format__", lf__jinja_type_name(value));
    JINJA_TRY(read_spec(run, text, bytes, &spec));
    JINJA_TRY(check_width(run, &spec));
    if (lf__jinja_is_text(value)) return format_text(builder, value.string, &spec);
    if (is_int && (!spec.type || strchr("bcdnoxX", spec.type))) return format_int(builder, integer, &spec);
    if (spec.type && !strchr("eEfFgGn%", spec.type))
        return lf__jinja_error(run, "Unknown format code '%c' for object of type '%s'", spec.type,
                               lf__jinja_type_name(value));
    return format_real(builder, real, &spec);
}

// --- fields --------------------------------------------------------------------------------------

typedef struct braces {
    jinja_run *run;
    const jinja_args *args;
    int64_t next;  // number of the next field without one; -1: fields are numbered by hand
    bool numbered; // by hand
} braces;

static bool all_digits(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!isdigit((unsigned char)data[i])) return false;
    return bytes > 0 && bytes < 10;
}

static int64_t number_of(const char *data, size_t bytes)
{
    int64_t number = 0;
    for (size_t i = 0; i < bytes; i++) number = number * 10 + (data[i] - '0');
    return number;
}

static lf_status first_value(braces *b, const char *name, size_t bytes, jinja_value *out)
{
    int64_t index;
    if (bytes == 0) {
        if (b->numbered)
            return lf__jinja_error(b->run,
                                   "cannot switch from manual field specification to automatic field numbering");
        index = b->next++;
    } else if (all_digits(name, bytes)) {
        if (b->next > 0)
            return lf__jinja_error(b->run,
                                   "cannot switch from automatic field numbering to manual field specification");
        b->numbered = true;
        index = number_of(name, bytes);
    } else {
        for (size_t i = 0; i < b->args->n_named; i++) {
            const jinja_named *named = &b->args->named[i];
            if (named->name->bytes != bytes || memcmp(named->name->data, name, bytes) != 0) continue;
            *out = named->value;
            return LF_OK;
        }
        return lf__jinja_error(b->run, "format() has no argument '%.*s'", (int)LF_MIN(bytes, (size_t)100), name);
    }
    if ((uint64_t)index >= b->args->n_items)
        return lf__jinja_error(b->run, "Replacement index %lld out of range for positional args tuple",
                               (long long)index);
    *out = b->args->items[index];
    return LF_OK;
}

// name.attribute[item] ...
static lf_status field_value(braces *b, const char *field, size_t bytes, jinja_value *out)
{
    size_t at = 0;
    while (at < bytes && field[at] != '.' && field[at] != '[') at++;
    JINJA_TRY(first_value(b, field, at, out));
    while (at < bytes) {
        bool attribute = field[at] == '.';
        if (!attribute && field[at] != '[')
            return lf__jinja_error(b->run, "Only '.' or '[' may follow ']' in format field specifier");
        size_t begin = ++at;
        while (at < bytes && (attribute ? field[at] != '.' && field[at] != '[' : field[at] != ']')) at++;
        if (!attribute && at == bytes) return lf__jinja_error(b->run, "Missing ']' in format string");
        if (at == begin) return lf__jinja_error(b->run, "Empty attribute in format string");
        jinja_value key;
        JINJA_TRY(lf__jinja_charge(b->run, 1));
        JINJA_TRY(lf__jinja_string_view(b->run, field + begin, at - begin, &key));
        if (attribute) {
            JINJA_TRY(lf__jinja_attribute(b->run, *out, key.string, out));
            continue;
        }
        if (all_digits(field + begin, at - begin)) key = lf__jinja_int(number_of(field + begin, at - begin));
        JINJA_TRY(lf__jinja_item(b->run, *out, key, out));
        at++;
    }
    return LF_OK;
}

static lf_status expand(braces *b, const char *text, size_t bytes, int depth, jinja_builder *builder);

static lf_status convert(braces *b, char conversion, jinja_value value, jinja_value *out)
{
    if (conversion == 's') return lf__jinja_str(b->run, value, out);
    if (conversion != 'r' && conversion != 'a')
        return lf__jinja_error(b->run, "Unknown conversion specifier %c",
                               isprint((unsigned char)conversion) ? conversion : '?');
    jinja_builder repr;
    lf__jinja_builder_init(&repr, b->run);
    JINJA_TRY(lf__jinja_repr(&repr, value));
    return lf__jinja_builder_finish(&repr, out);
}

// What stands between { and }.
static lf_status put_field(braces *b, const char *field, size_t bytes, int depth, jinja_builder *builder)
{
    size_t name = 0;
    for (bool inside = false; name < bytes && (inside || (field[name] != ':' && field[name] != '!')); name++)
        inside = field[name] == '[' || (inside && field[name] != ']');
    jinja_value value, spec;
    JINJA_TRY(field_value(b, field, name, &value));
    size_t at = name;
    if (at < bytes && field[at] == '!') {
        if (at + 1 >= bytes) return lf__jinja_error(b->run, "end of string while looking for conversion specifier");
        JINJA_TRY(convert(b, field[at + 1], value, &value));
        at += 2;
        if (at < bytes && field[at] != ':') return lf__jinja_error(b->run, "expected ':' after conversion specifier");
    }
    if (at >= bytes) return lf__jinja_format_value(builder, value, "", 0);
    jinja_builder inner;
    lf__jinja_builder_init(&inner, b->run);
    JINJA_TRY(expand(b, field + at + 1, bytes - at - 1, depth + 1, &inner));
    JINJA_TRY(lf__jinja_builder_finish(&inner, &spec));
    return lf__jinja_format_value(builder, value, spec.string->data, spec.string->bytes);
}

static lf_status expand(braces *b, const char *text, size_t bytes, int depth, jinja_builder *builder)
{
    if (depth > 2) return lf__jinja_error(b->run, "Max string recursion exceeded");
    for (size_t at = 0; at < bytes && !builder->status;) {
        char c = text[at];
        bool doubled = at + 1 < bytes && text[at + 1] == c;
        if ((c != '{' && c != '}') || (doubled && depth == 1)) {
            lf__jinja_put(builder, text + at, 1);
            at += c == '{' || c == '}' ? 2 : 1;
            continue;
        }
        if (c == '}') return lf__jinja_error(b->run, "Single '}' encountered in format string");
        size_t begin = ++at;
        for (int open = 1; at < bytes; at++) {
            open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
            if (open == 0) break;
        }
        if (at == bytes)
            return lf__jinja_error(b->run, begin == bytes ? "Single '{' encountered in format string"
                                                          : "expected '}' before end of string");
        JINJA_TRY(lf__jinja_charge(b->run, 1));
        JINJA_TRY(put_field(b, text + begin, at - begin, depth, builder));
        at++;
    }
    return builder->status;
}

lf_status lf__jinja_format_braces(jinja_run *run, const jinja_string *format, const jinja_args *args, jinja_value *out)
{
    braces b = {.run = run, .args = args};
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, format->bytes));
    JINJA_TRY(expand(&b, format->data, format->bytes, 1, &builder));
    JINJA_TRY(lf__jinja_builder_finish(&builder, out));
    out->string->markup = format->markup;
    return LF_OK;
}
