// SPDX-License-Identifier: Apache-2.0
//
// Arithmetic on Python's terms: / is true division, // and % round down, ints and bools mix with floats, strings and
// lists add and repeat. Ints are 64 bits wide; a result that does not fit is an error and never wraps.
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"

static lf_status no_int(jinja_run *run)
{
    return lf__jinja_error_status(run, LF_ERR_LIMIT, "integer result does not fit into 64 bits");
}

// --- numbers -------------------------------------------------------------------------------------

static void floor_divide(int64_t a, int64_t b, int64_t *quotient, int64_t *remainder)
{
    *quotient = a / b;
    *remainder = a % b;
    if (*remainder != 0 && (*remainder < 0) != (b < 0)) {
        --*quotient;
        *remainder += b;
    }
}

static lf_status int_power(jinja_run *run, int64_t base, int64_t exponent, jinja_value *out)
{
    int64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return no_int(run);
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return no_int(run);
    }
    *out = lf__jinja_int(result);
    return LF_OK;
}

static lf_status real_power(jinja_run *run, double a, double b, jinja_value *out)
{
    if (a == 0 && b < 0) return lf__jinja_error(run, "0.0 cannot be raised to a negative power");
    if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
        return lf__jinja_error_status(run, LF_ERR_UNSUPPORTED, "complex numbers are not supported");
    double result = pow(a, b);
    if (isinf(result) && isfinite(a) && isfinite(b)) return lf__jinja_error(run, "numerical result out of range");
    *out = lf__jinja_real(result);
    return LF_OK;
}

static lf_status int_binary(jinja_run *run, jinja_operator op, int64_t a, int64_t b, jinja_value *out)
{
    int64_t result = 0, remainder;
    bool overflow = false;
    switch (op) {
    case JINJA_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case JINJA_SUB: overflow = __builtin_sub_overflow(a, b, &result); break;
    case JINJA_MUL: overflow = __builtin_mul_overflow(a, b, &result); break;
    case JINJA_DIV:
        if (b == 0) return lf__jinja_error(run, "division by zero");
        *out = lf__jinja_real((double)a / (double)b);
        return LF_OK;
    case JINJA_FLOORDIV:
    case JINJA_MOD:
        if (b == 0) return lf__jinja_error(run, "integer division or modulo by zero");
        if (b == -1) { // the one division that can overflow
            overflow = op == JINJA_FLOORDIV && __builtin_sub_overflow(0, a, &result);
            break;
        }
        floor_divide(a, b, &result, &remainder);
        if (op == JINJA_MOD) result = remainder;
        break;
    case JINJA_POW: return b < 0 ? real_power(run, (double)a, (double)b, out) : int_power(run, a, b, out);
    }
    if (overflow) return no_int(run);
    *out = lf__jinja_int(result);
    return LF_OK;
}

// Python's float_divmod: the quotient is derived from the exact remainder.
static void real_divmod(double a, double b, double *quotient, double *remainder)
{
    double mod = fmod(a, b), div = (a - mod) / b;
    if (mod != 0) {
        if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
    } else {
        mod = copysign(0, b);
    }
    double whole = floor(div);
    if (div - whole > 0.5) whole += 1;
    *quotient = div != 0 ? whole : copysign(0, a / b);
    *remainder = mod;
}

static lf_status real_binary(jinja_run *run, jinja_operator op, double a, double b, jinja_value *out)
{
    double result = 0, other;
    switch (op) {
    case JINJA_ADD: result = a + b; break;
    case JINJA_SUB: result = a - b; break;
    case JINJA_MUL: result = a * b; break;
    case JINJA_DIV:
        if (b == 0) return lf__jinja_error(run, "float division by zero");
        result = a / b;
        break;
    case JINJA_FLOORDIV:
        if (b == 0) return lf__jinja_error(run, "float floor division by zero");
        real_divmod(a, b, &result, &other);
        break;
    case JINJA_MOD:
        if (b == 0) return lf__jinja_error(run, "float modulo");
        real_divmod(a, b, &other, &result);
        break;
    case JINJA_POW: return real_power(run, a, b, out);
    }
    *out = lf__jinja_real(result);
    return LF_OK;
}

// --- sequences -----------------------------------------------------------------------------------

// s + t. Appends in place when s is all of the text it stands on: see jinja_text.
static lf_status concatenate(jinja_run *run, const jinja_string *a, const jinja_string *b, jinja_value *out)
{
    size_t bytes;
    jinja_text *text = a->text;
    void *memory;
    if (!lf_add_size(a->bytes, b->bytes, &bytes)) return no_int(run);
    JINJA_TRY(lf__jinja_charge_bytes(run, b->bytes));
    if (!text || text->used != a->bytes || text->capacity - text->used < b->bytes) {
        size_t capacity = LF_MAX(bytes + bytes / 2, (size_t)48);
        JINJA_TRY(lf__jinja_charge_bytes(run, a->bytes));
        JINJA_TRY(lf__jinja_alloc(run, 1, sizeof *text, &memory));
        text = memory;
        JINJA_TRY(lf__jinja_alloc(run, capacity, 1, &memory));
        *text = (jinja_text){.data = memory, .used = a->bytes, .capacity = capacity};
        if (a->bytes) memcpy(text->data, a->data, a->bytes);
    }
    if (b->bytes) memcpy(text->data + text->used, b->data, b->bytes);
    text->used += b->bytes;
    JINJA_TRY(lf__jinja_string_view(run, text->data, bytes, out));
    out->string->text = text;
    if (a->chars != SIZE_MAX && b->chars != SIZE_MAX) out->string->chars = a->chars + b->chars;
    return LF_OK;
}

static lf_status add_strings(jinja_run *run, jinja_value a, jinja_value b, jinja_value *out)
{
    bool markup = a.string->markup || b.string->markup;
    if (markup) {
        JINJA_TRY(lf__jinja_escape(run, a, &a));
        JINJA_TRY(lf__jinja_escape(run, b, &b));
    }
    JINJA_TRY(concatenate(run, a.string, b.string, out));
    out->string->markup = markup;
    return LF_OK;
}

static lf_status add_lists(jinja_run *run, jinja_value a, jinja_value b, jinja_value *out)
{
    size_t n = a.list->count, m = b.list->count;
    JINJA_TRY(lf__jinja_list_new(run, a.kind, n + m, out));
    if (n) memcpy(out->list->items, a.list->items, n * sizeof(jinja_value));
    if (m) memcpy(out->list->items + n, b.list->items, m * sizeof(jinja_value));
    return LF_OK;
}

static lf_status repeat(jinja_run *run, jinja_value value, int64_t times, jinja_value *out)
{
    size_t n = times > 0 ? (size_t)times : 0, unit, total;
    bool is_text = lf__jinja_is_text(value);
    unit = is_text ? value.string->bytes : value.list->count;
    if (!lf_mul_size(unit, n, &total)) total = SIZE_MAX / 32;
    JINJA_TRY(lf__jinja_charge(run, 1 + total / 8));
    if (!is_text) {
        JINJA_TRY(lf__jinja_list_new(run, value.kind, total, out));
        for (size_t i = 0; i < total; i++) out->list->items[i] = value.list->items[i % unit];
        return LF_OK;
    }
    void *data;
    JINJA_TRY(lf__jinja_alloc(run, total + 1, 1, &data));
    for (size_t i = 0; i < total; i += unit) memcpy((char *)data + i, value.string->data, unit);
    JINJA_TRY(lf__jinja_string_view(run, data, total, out));
    out->string->markup = value.string->markup;
    return LF_OK;
}

static lf_status type_error(jinja_run *run, jinja_operator op, jinja_value a, jinja_value b)
{
    static const char *const symbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
    if (a.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, a);
    if (b.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, b);
    const char *left = lf__jinja_type_name(a), *right = lf__jinja_type_name(b);
    if (op == JINJA_ADD && (lf__jinja_is_text(a) || lf__jinja_is_sequence(a)))
        return lf__jinja_error(run, "can only concatenate %s (not \"%s\") to %s", left, right, left);
    return lf__jinja_error(run, "unsupported operand type(s) for %s: '%s' and '%s'", symbols[op], left, right);
}

lf_status lf__jinja_binary(jinja_run *run, jinja_operator op, jinja_value a, jinja_value b, jinja_value *out)
{
    int64_t ai, bi;
    double ar, br;
    bool a_int = lf__jinja_integer(a, &ai), b_int = lf__jinja_integer(b, &bi);
    if (a_int && b_int) return int_binary(run, op, ai, bi, out);
    if (lf__jinja_number(a, &ar) && lf__jinja_number(b, &br)) return real_binary(run, op, ar, br, out);
    if (op == JINJA_MOD && lf__jinja_is_text(a)) return lf__jinja_format_percent(run, a.string, b, out);
    if (op == JINJA_ADD && lf__jinja_is_text(a) && lf__jinja_is_text(b)) return add_strings(run, a, b, out);
    if (op == JINJA_ADD && a.kind == b.kind && lf__jinja_is_sequence(a)) return add_lists(run, a, b, out);
    bool a_seq = lf__jinja_is_text(a) || lf__jinja_is_sequence(a),
         b_seq = lf__jinja_is_text(b) || lf__jinja_is_sequence(b);
    if (op == JINJA_MUL && a_seq && b_int) return repeat(run, a, bi, out);
    if (op == JINJA_MUL && b_seq && a_int) return repeat(run, b, ai, out);
    return type_error(run, op, a, b);
}

lf_status lf__jinja_negate(jinja_run *run, jinja_value value, jinja_value *out)
{
    int64_t integer;
    if (lf__jinja_integer(value, &integer)) {
        if (integer == INT64_MIN) return no_int(run);
        *out = lf__jinja_int(-integer);
        return LF_OK;
    }
    if (value.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, value);
    if (value.kind != JINJA_FLOAT)
        return lf__jinja_error(run, "bad operand type for unary -: '%s'", lf__jinja_type_name(value));
    *out = lf__jinja_real(-value.real);
    return LF_OK;
}

lf_status lf__jinja_positive(jinja_run *run, jinja_value value, jinja_value *out)
{
    int64_t integer;
    *out = value;
    if (lf__jinja_integer(value, &integer)) {
        *out = lf__jinja_int(integer);
        return LF_OK;
    }
    if (value.kind == JINJA_FLOAT) return LF_OK;
    if (value.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, value);
    return lf__jinja_error(run, "bad operand type for unary +: '%s'", lf__jinja_type_name(value));
}
