// SPDX-License-Identifier: Apache-2.0
//
// Methods of strings.
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_string.h"
#include "text/jinja_unicode.h"

static lf_status method_case(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_map_case(run, call->self.string, (jinja_case)call->native->variant, out);
}

static lf_status method_strip(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string *chars = NULL;
    if (call->params[0].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_string(run, call, 0, &chars));
    return lf__jinja_strip(run, call->self.string, chars, (jinja_side)call->native->variant, out);
}

static lf_status method_justify(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t width;
    int32_t fill = ' ';
    jinja_string *text = NULL;
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &width));
    JINJA_TRY(lf__jinja_param_string(run, call, 1, &text));
    if (text && lf__utf8_count(text->data, text->bytes) != 1)
        return lf__jinja_error(run, "The fill character must be exactly one character long");
    if (text) lf__utf8_decode(text->data, text->bytes, &fill);
    return lf__jinja_justify(run, call->self.string, width, fill, (jinja_side)call->native->variant, out);
}

static lf_status method_zfill(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    int64_t width, length = (int64_t)lf__utf8_count(string->data, string->bytes);
    jinja_builder builder;
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &width));
    size_t sign = string->bytes && (string->data[0] == '-' || string->data[0] == '+');
    lf__jinja_builder_init(&builder, run);
    lf__jinja_put(&builder, string->data, sign);
    lf__jinja_pad(&builder, '0', width > length ? (size_t)(width - length) : 0);
    lf__jinja_put(&builder, string->data + sign, string->bytes - sign);
    return lf__jinja_builder_finish(&builder, out);
}

static lf_status method_replace(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string *old, *fresh;
    int64_t count = -1;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &old));
    JINJA_TRY(lf__jinja_param_string(run, call, 1, &fresh));
    JINJA_TRY(lf__jinja_param_int(run, call, 2, &count));
    return lf__jinja_replace(run, call->self.string, old, fresh, count, out);
}

static lf_status method_split(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string *separator = NULL;
    int64_t limit = -1;
    if (call->params[0].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_string(run, call, 0, &separator));
    JINJA_TRY(lf__jinja_param_int(run, call, 1, &limit));
    return lf__jinja_split(run, call->self.string, separator, limit, call->native->variant, out);
}

static lf_status method_splitlines(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t keep = 0;
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &keep));
    return lf__jinja_split_lines(run, call->self.string, keep != 0, out);
}

static lf_status method_partition(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    jinja_string *separator;
    size_t at;
    bool right = call->native->variant;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &separator));
    if (separator->bytes == 0) return lf__jinja_error(run, "empty separator");
    JINJA_TRY(lf__jinja_find(run, string->data, string->bytes, separator, right, &at));
    JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, 3, out));
    size_t middle = at == SIZE_MAX ? 0 : separator->bytes;
    if (at == SIZE_MAX) at = right ? 0 : string->bytes;
    const size_t offsets[4] = {0, at, at + middle, string->bytes};
    for (int i = 0; i < 3; i++) {
        JINJA_TRY(
            lf__jinja_string_view(run, string->data + offsets[i], offsets[i + 1] - offsets[i], &out->list->items[i]));
        out->list->items[i].string->markup = string->markup;
    }
    return LF_OK;
}

// --- searching -----------------------------------------------------------------------------------

// Parameters `at` and `at + 1` as a slice of the string, in bytes; *beyond: the start is past the end.
static lf_status read_window(jinja_run *run, const jinja_call *call, int at, size_t *begin, size_t *end, bool *beyond)
{
    const jinja_string *string = call->self.string;
    int64_t n = (int64_t)lf__utf8_count(string->data, string->bytes), bounds[2] = {0, INT64_MAX};
    for (int i = 0; i < 2; i++) {
        if (call->params[at + i].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_int(run, call, at + i, &bounds[i]));
        if (bounds[i] < 0) bounds[i] = LF_MAX(bounds[i] < -n ? -1 : bounds[i] + n, 0);
    }
    *beyond = bounds[0] > n || bounds[0] > bounds[1];
    *begin = lf__utf8_offset(string->data, string->bytes, (size_t)LF_MIN(bounds[0], n));
    *end = lf__utf8_offset(string->data, string->bytes, (size_t)LF_MIN(bounds[1], n));
    return lf__jinja_charge_bytes(run, string->bytes);
}

enum { FIND = 0, FIND_RIGHT = 1, FIND_OR_FAIL = 2 };

static lf_status method_find(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    jinja_string *part;
    size_t begin, end, at = SIZE_MAX;
    bool beyond;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &part));
    JINJA_TRY(read_window(run, call, 1, &begin, &end, &beyond));
    if (!beyond)
        JINJA_TRY(
            lf__jinja_find(run, string->data + begin, end - begin, part, call->native->variant & FIND_RIGHT, &at));
    if (at == SIZE_MAX && call->native->variant & FIND_OR_FAIL) return lf__jinja_error(run, "substring not found");
    *out = lf__jinja_int(at == SIZE_MAX ? -1 : (int64_t)lf__utf8_count(string->data, begin + at));
    return LF_OK;
}

static lf_status method_count(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    jinja_string *part;
    size_t begin, end;
    bool beyond;
    int64_t n = 0;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &part));
    JINJA_TRY(read_window(run, call, 1, &begin, &end, &beyond));
    const char *at = string->data + begin;
    size_t left = end - begin;
    if (part->bytes == 0 && !beyond) n = (int64_t)lf__utf8_count(at, left) + 1;
    while (part->bytes && !beyond) {
        JINJA_TRY(lf__jinja_charge_search(run, 0, part->bytes));
        const char *found = memmem(at, left, part->data, part->bytes);
        if (!found) break;
        n++;
        left -= (size_t)(found - at) + part->bytes;
        at = found + part->bytes;
    }
    *out = lf__jinja_int(n);
    return LF_OK;
}

static lf_status has_affix(jinja_run *run, const jinja_call *call, jinja_value affix, const char *data, size_t bytes,
                           bool *out)
{
    bool at_end = call->native->variant;
    if (!lf__jinja_is_text(affix))
        return lf__jinja_error(run, "%s first arg must be str or a tuple of str, not %s", call->native->name,
                               lf__jinja_type_name(affix));
    size_t n = affix.string->bytes;
    *out = n <= bytes && memcmp(at_end ? data + bytes - n : data, affix.string->data, n) == 0;
    return lf__jinja_charge_bytes(run, n);
}

static lf_status method_affix(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value affix = call->params[0];
    size_t begin = 0, end = call->self.string->bytes;
    bool beyond = false, found = false;
    if (lf__jinja_given(call->params[1])) JINJA_TRY(read_window(run, call, 1, &begin, &end, &beyond));
    const char *data = call->self.string->data + begin;
    size_t bytes = beyond ? 0 : end - begin;
    if (affix.kind != JINJA_TUPLE) {
        JINJA_TRY(has_affix(run, call, affix, data, bytes, &found));
    } else {
        for (size_t i = 0; !found && i < affix.list->count; i++)
            JINJA_TRY(has_affix(run, call, affix.list->items[i], data, bytes, &found));
    }
    *out = lf__jinja_bool(found && !beyond);
    return LF_OK;
}

static lf_status method_remove(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    jinja_string *affix;
    bool at_end = call->native->variant, has;
    JINJA_TRY(lf__jinja_param_string(run, call, 0, &affix));
    JINJA_TRY(has_affix(run, call, call->params[0], string->data, string->bytes, &has));
    size_t cut = has ? affix->bytes : 0;
    JINJA_TRY(lf__jinja_string_view(run, string->data + (at_end ? 0 : cut), string->bytes - cut, out));
    out->string->markup = string->markup;
    return LF_OK;
}

// --- classes -------------------------------------------------------------------------------------

typedef enum string_class {
    IS_SPACE,
    IS_ALPHA,
    IS_ALNUM,
    IS_DECIMAL,
    IS_DIGIT,
    IS_NUMERIC,
    IS_ASCII, // true of the empty string, as the next one
    IS_PRINTABLE,
    IS_IDENTIFIER,
    IS_UPPER,
    IS_LOWER,
    IS_TITLE,
} string_class;

static bool char_is(string_class class, int32_t c, size_t at)
{
    switch (class) {
    case IS_SPACE: return lf__unicode_is_space(c);
    case IS_ALPHA: return lf__unicode_is_alpha(c);
    case IS_ALNUM: return lf__unicode_is_alnum(c);
    case IS_DECIMAL: return lf__unicode_is_decimal(c);
    case IS_DIGIT: return lf__unicode_is_digit(c);
    case IS_NUMERIC: return lf__unicode_is_numeric(c);
    case IS_ASCII: return c < 0x80;
    case IS_PRINTABLE: return lf__unicode_is_printable(c);
    default: return at ? lf__unicode_is_name_part(c) : lf__unicode_is_name_start(c);
    }
}

// Whether all cased characters are of one case and there is at least one; for titles, upper case starts words only.
static bool has_case(string_class class, const jinja_string *string)
{
    bool any = false, after_cased = false;
    for (size_t i = 0; i < string->bytes;) {
        int32_t c;
        i += lf__utf8_decode(string->data + i, string->bytes - i, &c);
        bool upper = lf__unicode_is_upper(c), lower = lf__unicode_is_lower(c), title = lf__unicode_is_title(c);
        if (class == IS_UPPER && (lower || title)) return false;
        if (class == IS_LOWER && (upper || title)) return false;
        if (class == IS_TITLE && ((after_cased && (upper || title)) || (!after_cased && lower))) return false;
        after_cased = upper || lower || title;
        any |= class == IS_UPPER ? upper : class == IS_LOWER ? lower : after_cased;
    }
    return any;
}

static lf_status method_is(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    string_class class = (string_class)call->native->variant;
    bool holds = string->bytes > 0 || class == IS_ASCII || class == IS_PRINTABLE;
    JINJA_TRY(lf__jinja_charge(run, 1 + string->bytes));
    if (class >= IS_UPPER) holds = has_case(class, string);
    for (size_t i = 0; class < IS_UPPER && holds && i < string->bytes;) {
        int32_t c;
        size_t n = lf__utf8_decode(string->data + i, string->bytes - i, &c);
        holds = char_is(class, c, i);
        i += n;
    }
    *out = lf__jinja_bool(holds);
    return LF_OK;
}

// --- text ----------------------------------------------------------------------------------------

static lf_status method_join(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_join(run, call->self.string, call->params[0], false, out);
}

static lf_status method_format(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_format_braces(run, call->self.string, call->args, out);
}

static lf_status method_format_map(jinja_run *run, jinja_call *call, jinja_value *out)
{
    void *memory;
    if (call->params[0].kind != JINJA_DICT) return lf__jinja_error(run, "format_map() argument must be a mapping");
    const jinja_dict *dict = call->params[0].dict;
    JINJA_TRY(lf__jinja_alloc(run, dict->count + 1, sizeof(jinja_named), &memory));
    jinja_args args = {.named = memory};
    for (size_t i = 0; i < dict->count; i++)
        if (lf__jinja_is_text(dict->entries[i].key))
            ((jinja_named *)memory)[args.n_named++] =
                (jinja_named){dict->entries[i].key.string, dict->entries[i].value};
    return lf__jinja_format_braces(run, call->self.string, &args, out);
}

static lf_status method_expandtabs(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string *string = call->self.string;
    int64_t size = 8;
    size_t column = 0;
    jinja_builder builder;
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &size));
    lf__jinja_builder_init(&builder, run);
    for (size_t i = 0; i < string->bytes;) {
        size_t n = lf__utf8_offset(string->data + i, string->bytes - i, 1);
        char c = string->data[i];
        if (c == '\t') {
            size_t pad = size > 0 ? (size_t)size - column % (size_t)size : 0;
            lf__jinja_pad(&builder, ' ', pad);
            column += pad;
        } else {
            lf__jinja_put(&builder, string->data + i, n);
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        }
        if (builder.status) return builder.status;
        i += n;
    }
    return lf__jinja_builder_finish(&builder, out);
}

const jinja_native lf__jinja_string_methods[] = {
    {"upper", "/", 0, method_case, JINJA_CASE_UPPER},
    {"lower", "/", 0, method_case, JINJA_CASE_LOWER},
    {"title", "/", 0, method_case, JINJA_CASE_TITLE},
    {"capitalize", "/", 0, method_case, JINJA_CASE_CAPITALIZE},
    {"swapcase", "/", 0, method_case, JINJA_CASE_SWAP},
    {"casefold", "/", 0, method_case, JINJA_CASE_FOLD},
    {"strip", "/chars", 0, method_strip, JINJA_BOTH},
    {"lstrip", "/chars", 0, method_strip, JINJA_LEFT},
    {"rstrip", "/chars", 0, method_strip, JINJA_RIGHT},
    {"center", "/width,fillchar", 1, method_justify, JINJA_BOTH},
    {"ljust", "/width,fillchar", 1, method_justify, JINJA_LEFT},
    {"rjust", "/width,fillchar", 1, method_justify, JINJA_RIGHT},
    {"zfill", "/width", 1, method_zfill, 0},
    {"replace", "/old,new,count", 2, method_replace, 0},
    {"split", "sep,maxsplit", 0, method_split, false},
    {"rsplit", "sep,maxsplit", 0, method_split, true},
    {"splitlines", "keepends", 0, method_splitlines, 0},
    {"partition", "/sep", 1, method_partition, false},
    {"rpartition", "/sep", 1, method_partition, true},
    {"find", "/sub,start,end", 1, method_find, FIND},
    {"rfind", "/sub,start,end", 1, method_find, FIND_RIGHT},
    {"index", "/sub,start,end", 1, method_find, FIND_OR_FAIL},
    {"rindex", "/sub,start,end", 1, method_find, FIND_RIGHT | FIND_OR_FAIL},
    {"count", "/sub,start,end", 1, method_count, 0},
    {"startswith", "/prefix,start,end", 1, method_affix, false},
    {"endswith", "/suffix,start,end", 1, method_affix, true},
    {"removeprefix", "/prefix", 1, method_remove, false},
    {"removesuffix", "/suffix", 1, method_remove, true},
    {"isspace", "/", 0, method_is, IS_SPACE},
    {"isalpha", "/", 0, method_is, IS_ALPHA},
    {"isalnum", "/", 0, method_is, IS_ALNUM},
    {"isdecimal", "/", 0, method_is, IS_DECIMAL},
    {"isdigit", "/", 0, method_is, IS_DIGIT},
    {"isnumeric", "/", 0, method_is, IS_NUMERIC},
    {"isascii", "/", 0, method_is, IS_ASCII},
    {"isprintable", "/", 0, method_is, IS_PRINTABLE},
    {"isidentifier", "/", 0, method_is, IS_IDENTIFIER},
    {"isupper", "/", 0, method_is, IS_UPPER},
    {"islower", "/", 0, method_is, IS_LOWER},
    {"istitle", "/", 0, method_is, IS_TITLE},
    {"join", "/iterable", 1, method_join, 0},
    {"format", NULL, 0, method_format, 0},
    {"format_map", "/mapping", 1, method_format_map, 0},
    {"expandtabs", "tabsize", 0, method_expandtabs, 0},
};
const size_t lf__jinja_n_string_methods = LF_ARRAY_LENGTH(lf__jinja_string_methods);
