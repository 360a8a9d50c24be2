// SPDX-License-Identifier: Apache-2.0
//
// Filters on single values: numbers, defaults, attributes; and the look-up over all filters.
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

static lf_status filter_default(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool boolean = false, truth = true;
    JINJA_TRY(lf__jinja_param_bool(run, call, 1, &boolean));
    if (boolean) JINJA_TRY(lf__jinja_truth(run, call->self, &truth));
    *out = call->self;
    if (call->self.kind != JINJA_UNDEFINED && truth) return LF_OK;
    if (!lf__jinja_given(call->params[0])) return lf__jinja_string_view(run, "", 0, out);
    *out = call->params[0];
    return LF_OK;
}

static lf_status filter_attr(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string *name;
    bool has;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &name));
    JINJA_TRY(lf__jinja_own_attribute(run, call->self, name, out, &has));
    return has ? LF_OK : lf__jinja_undefined_member(run, call->self, call->params[0], out);
}

static lf_status filter_length(jinja_run *run, jinja_call *call, jinja_value *out)
{
    size_t n;
    bool has;
    JINJA_TRY(lf__jinja_length(run, call->self, &n, &has));
    if (!has) return lf__jinja_error(run, "object of type '%s' has no len()", lf__jinja_type_name(call->self));
    *out = lf__jinja_int((int64_t)n);
    return LF_OK;
}

static lf_status filter_string(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_str(run, call->self, out);
}

static lf_status filter_safe(jinja_run *run, jinja_call *call, jinja_value *out)
{
    JINJA_TRY(lf__jinja_str(run, call->self, out));
    JINJA_TRY(lf__jinja_string_view(run, out->string->data, out->string->bytes, out));
    out->string->markup = true;
    return LF_OK;
}

static lf_status filter_pprint(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_pprint(&builder, call->self));
    return lf__jinja_builder_finish(&builder, out);
}

static lf_status filter_unsupported(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_error_status(run, LF_ERR_UNSUPPORTED, "the filter '%s' is not supported in chat templates",
                                  call->native->name);
}

// --- reading numbers -----------------------------------------------------------------------------

// The text without surrounding space and without single underscores between digits, which Python allows. False when it
// is too long for a number or has an underscore elsewhere.
static bool number_text(const jinja_string *string, char text[512])
{
    const char *data = string->data;
    size_t begin = 0, end = string->bytes, n = 0;
    int32_t c;
    while (begin < end) {
        size_t length = lf__utf8_decode(data + begin, end - begin, &c);
        if (!lf__unicode_is_space(c)) break;
        begin += length;
    }
    while (end > begin) {
        size_t before = lf__utf8_before(data, end);
        lf__utf8_decode(data + before, end - before, &c);
        if (!lf__unicode_is_space(c)) break;
        end = before;
    }
    if (end - begin >= 512 || end == begin) return false;
    for (size_t i = begin; i < end; i++) {
        if (data[i] == '\0') return false;
        if (data[i] != '_') {
            text[n++] = data[i];
            continue;
        }
        bool between =
            i > begin && i + 1 < end && isxdigit((unsigned char)data[i - 1]) && isxdigit((unsigned char)data[i + 1]);
        if (!between) return false;
    }
    text[n] = '\0';
    return true;
}

// int(text, base). `*valid` is false where Python raises a ValueError.
static lf_status parse_int(jinja_run *run, const jinja_string *string, int64_t base, int64_t *out, bool *valid)
{
    char text[512], *end;
    *valid = false;
    if (base != 0 && (base < 2 || base > 36)) return LF_OK;
    if (!number_text(string, text)) return LF_OK;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    char letter = digits[0] == '0' ? (char)tolower((unsigned char)digits[1]) : 0;
    int prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    bool prefixed = prefix && (base == 0 || base == prefix);
    if (base == 0 && !prefixed && digits[0] == '0' && strspn(digits, "0") != strlen(digits)) return LF_OK;
    if (prefixed) {
        base = prefix;
        digits += 2;
    }
    if (base == 0) base = 10;
    if (!isalnum((unsigned char)digits[0])) return LF_OK; // strtoll would take a sign or space here
    // strtoll() would read a second prefix of hexadecimal digits: 0x0x10.
    if (base == 16 && digits[0] == '0' && (digits[1] | 0x20) == 'x') return LF_OK;
    errno = 0;
    unsigned long long magnitude = strtoull(digits, &end, (int)base);
    if (*end) return LF_OK;
    *valid = true;
    bool negative = text[0] == '-';
    if (errno || magnitude > (uint64_t)INT64_MAX + negative)
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "integer %s does not fit into 64 bits", text);
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return LF_OK;
}

// float(text): decimal digits, inf, nan; the hexadecimal floats of strtod() are none of Python's.
static bool parse_real(const jinja_string *string, double *out)
{
    char text[512], *end;
    if (!number_text(string, text)) return false;
    if (strpbrk(text, "xXpP(")) return false;
    if (isspace((unsigned char)text[0])) return false;
    *out = strtod(text, &end);
    return *end == '\0';
}

static lf_status real_to_int(jinja_run *run, double real, jinja_value *out)
{
    if (real >= 0x1p63 || real < -0x1p63)
        return lf__jinja_error_status(run, LF_ERR_LIMIT, "float %g does not fit into a 64-bit integer", real);
    *out = lf__jinja_int((int64_t)real);
    return LF_OK;
}

static lf_status filter_int(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t integer, base = 10;
    double real = (double)NAN;
    bool valid = false, is_text = lf__jinja_is_text(call->self);
    jinja_value fallback = lf__jinja_given(call->params[0]) ? call->params[0] : lf__jinja_int(0);
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    JINJA_TRY(lf__jinja_param_int(run, call, 1, &base));
    if (is_text)
        JINJA_TRY(parse_int(run, call->self.string, base, &integer, &valid));
    else
        valid = lf__jinja_integer(call->self, &integer);
    if (valid) {
        *out = lf__jinja_int(integer);
        return LF_OK;
    }
    *out = fallback;
    if (is_text && !parse_real(call->self.string, &real)) return LF_OK;
    if (call->self.kind == JINJA_FLOAT) real = call->self.real;
    if (isnan(real)) return LF_OK;
    if (!isinf(real)) return real_to_int(run, real, out);
    return is_text ? LF_OK : lf__jinja_error(run, "cannot convert float infinity to integer");
}

static lf_status filter_float(jinja_run *run, jinja_call *call, jinja_value *out)
{
    double real;
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    if (lf__jinja_number(call->self, &real) || (lf__jinja_is_text(call->self) && parse_real(call->self.string, &real)))
        *out = lf__jinja_real(real);
    else
        *out = lf__jinja_given(call->params[0]) ? call->params[0] : lf__jinja_real(0);
    return LF_OK;
}

// --- arithmetic ----------------------------------------------------------------------------------

static lf_status filter_abs(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t integer;
    if (lf__jinja_integer(call->self, &integer)) {
        *out = lf__jinja_int(integer);
        return integer < 0 ? lf__jinja_negate(run, *out, out) : LF_OK;
    }
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    if (call->self.kind != JINJA_FLOAT)
        return lf__jinja_error(run, "bad operand type for abs(): '%s'", lf__jinja_type_name(call->self));
    *out = lf__jinja_real(fabs(call->self.real));
    return LF_OK;
}

// Half to even, on the exact decimal value: 2.675 is below its printed form, so it goes down.
static double round_real(double value, int64_t precision)
{
    char text[400];
    if (!isfinite(value) || precision > 17 + 308) return value;
    if (precision >= 0) {
        if (fabs(value) >= 0x1p53) return value;
        snprintf(text, sizeof text, "%.*f", (int)precision, value);
        return strtod(text, NULL);
    }
    if (precision < -308) return copysign(0, value);
    double scale = pow(10, (double)-precision);
    return nearbyint(value / scale) * scale;
}

static int64_t round_int(int64_t value, int64_t precision)
{
    if (precision >= 0) return value;
    if (precision < -18) return 0;
    int64_t scale = 1;
    for (; precision < 0; precision++) scale *= 10;
    int64_t rest = value % scale, down = value - rest;
    if (rest < 0) {
        rest += scale;
        if (__builtin_sub_overflow(down, scale, &down)) return value;
    }
    int64_t half = scale / 2, result = down;
    bool odd = down / scale % 2 != 0;
    if ((rest > half || (rest == half && odd)) && __builtin_add_overflow(down, scale, &result)) return value;
    return result;
}

static lf_status round_up_or_down(jinja_run *run, jinja_value value, int64_t precision, bool up, jinja_value *out)
{
    jinja_value scale;
    double scaled;
    JINJA_TRY(lf__jinja_binary(run, JINJA_POW, lf__jinja_int(10), lf__jinja_int(precision), &scale));
    JINJA_TRY(lf__jinja_binary(run, JINJA_MUL, value, scale, &value));
    if (!lf__jinja_number(value, &scaled))
        return lf__jinja_error(run, "must be real number, not %s", lf__jinja_type_name(value));
    if (!isfinite(scaled)) return lf__jinja_error(run, "cannot convert float %g to integer", scaled);
    return lf__jinja_binary(run, JINJA_DIV, lf__jinja_real(up ? ceil(scaled) : floor(scaled)), scale, out);
}

static lf_status filter_round(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t precision = 0, integer;
    jinja_string *method = NULL;
    bool to_int = call->params[0].kind == JINJA_NONE; // round(x, none) is an int
    if (!to_int) JINJA_TRY(lf__jinja_param_int(run, call, 0, &precision));
    JINJA_TRY(lf__jinja_param_string(run, call, 1, &method));
    bool up = method && method->bytes == 4 && memcmp(method->data, "ceil", 4) == 0;
    bool down = method && method->bytes == 5 && memcmp(method->data, "floor", 5) == 0;
    if (up || down) return round_up_or_down(run, call->self, precision, up, out);
    if (method && !(method->bytes == 6 && memcmp(method->data, "common", 6) == 0))
        return lf__jinja_error(run, "method must be common, ceil or floor");
    if (lf__jinja_integer(call->self, &integer)) {
        *out = lf__jinja_int(round_int(integer, precision));
        return LF_OK;
    }
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    if (call->self.kind != JINJA_FLOAT)
        return lf__jinja_error(run, "type %s doesn't define __round__ method", lf__jinja_type_name(call->self));
    *out = lf__jinja_real(round_real(call->self.real, precision));
    return to_int ? real_to_int(run, out->real, out) : LF_OK;
}

static lf_status filter_filesizeformat(jinja_run *run, jinja_call *call, jinja_value *out)
{
    static const char *const units[] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
    bool binary = false;
    double bytes;
    char text[400];
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &binary));
    if (!lf__jinja_number(call->self, &bytes) &&
        !(lf__jinja_is_text(call->self) && parse_real(call->self.string, &bytes)))
        return lf__jinja_error(run, "could not convert %s to float", lf__jinja_type_name(call->self));
    double base = binary ? 1024 : 1000, unit = base;
    if (isnan(bytes) || isinf(bytes)) return lf__jinja_error(run, "cannot format a size that is not finite");
    if (bytes == 1) return lf__jinja_string_view(run, "1 Byte", 6, out);
    if (bytes < base) {
        snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes));
        return lf__jinja_string_copy(run, text, strlen(text), out);
    }
    size_t i = 0;
    for (unit *= base; i + 1 < LF_ARRAY_LENGTH(units) && bytes >= unit; i++) unit *= base;
    const char *letter = binary && i == 0 ? "K" : units[i];
    snprintf(text, sizeof text, "%.1f %s%sB", base * bytes / unit, letter, binary ? "i" : "");
    return lf__jinja_string_copy(run, text, strlen(text), out);
}

// --- look-up -------------------------------------------------------------------------------------

static const jinja_native value_filters[] = {
    {"abs", "", 0, filter_abs, 0},
    {"attr", "name", 1, filter_attr, 0},
    {"count", "", 0, filter_length, 0},
    {"d", "default_value,boolean", 0, filter_default, 0},
    {"default", "default_value,boolean", 0, filter_default, 0},
    {"filesizeformat", "binary", 0, filter_filesizeformat, 0},
    {"float", "default", 0, filter_float, 0},
    {"int", "default,base", 0, filter_int, 0},
    {"length", "", 0, filter_length, 0},
    {"pprint", "", 0, filter_pprint, 0},
    {"round", "precision,method", 0, filter_round, 0},
    {"safe", "", 0, filter_safe, 0},
    {"string", "", 0, filter_string, 0},
    {"tojson", "ensure_ascii,indent,separators,sort_keys", 0, lf__jinja_filter_tojson, 0},
    {"urlize", NULL, 0, filter_unsupported, 0},
};

const jinja_native *lf__jinja_filter(const char *name, size_t bytes)
{
    const jinja_native *found = lf__jinja_table_find(value_filters, LF_ARRAY_LENGTH(value_filters), name, bytes);
    if (!found) found = lf__jinja_table_find(lf__jinja_text_filters, lf__jinja_n_text_filters, name, bytes);
    if (!found) found = lf__jinja_table_find(lf__jinja_list_filters, lf__jinja_n_list_filters, name, bytes);
    return found;
}
