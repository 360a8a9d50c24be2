// SPDX-License-Identifier: Apache-2.0
//
// Filters on text. Like jinja2 they take any value and work on its str() unless noted.
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_string.h"
#include "text/jinja_unicode.h"

static lf_status filter_case(jinja_run *run, jinja_call *call, jinja_value *out)
{
    JINJA_TRY(lf__jinja_str(run, call->self, out));
    return lf__jinja_map_case(run, out->string, (jinja_case)call->native->variant, out);
}

static bool splits_titles(int32_t c)
{
    return lf__unicode_is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

// Words end at white space and at - ( { [ <, and nowhere else: it's stays It's.
static lf_status filter_title(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value text;
    jinja_builder builder;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    const char *data = text.string->data;
    size_t bytes = text.string->bytes;
    JINJA_TRY(lf__jinja_charge(run, 1 + bytes));
    lf__jinja_builder_init(&builder, run);
    for (size_t at = 0, end; at < bytes; at = end) {
        int32_t c;
        size_t first = at + lf__utf8_decode(data + at, bytes - at, &c);
        bool gap = splits_titles(c);
        for (end = first; end < bytes;) {
            size_t n = lf__utf8_decode(data + end, bytes - end, &c);
            if (splits_titles(c) != gap) break;
            end += n;
        }
        lf__jinja_put_case(&builder, data + at, first - at, JINJA_CASE_UPPER);
        lf__jinja_put_case(&builder, data + first, end - first, JINJA_CASE_LOWER);
    }
    JINJA_TRY(lf__jinja_builder_finish(&builder, out));
    out->string->markup = text.string->markup;
    return LF_OK;
}

static lf_status filter_trim(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string *chars = NULL;
    jinja_value text;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    if (call->params[0].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_string(run, call, 0, &chars));
    return lf__jinja_strip(run, text.string, chars, JINJA_BOTH, out);
}

static lf_status filter_center(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t width = 80;
    jinja_value text;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &width));
    return lf__jinja_justify(run, text.string, width, ' ', JINJA_BOTH, out);
}

static lf_status filter_replace(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t count = -1;
    jinja_value text, old, fresh;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    JINJA_TRY(lf__jinja_str(run, call->params[0], &old));
    JINJA_TRY(lf__jinja_str(run, call->params[1], &fresh));
    if (call->params[2].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_int(run, call, 2, &count));
    jinja_string plain = *text.string;
    plain.markup = false;
    return lf__jinja_replace(run, &plain, old.string, fresh.string, count, out);
}

static lf_status filter_format(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_args *args = call->args;
    jinja_value text, values;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    if (args->n_items && args->n_named)
        return lf__jinja_error(run, "can't handle positional and keyword arguments at the same time");
    if (args->n_named) {
        values.kind = JINJA_DICT;
        JINJA_TRY(lf__jinja_dict_new(run, &values.dict));
        for (size_t i = 0; i < args->n_named; i++) {
            jinja_value key = {.kind = JINJA_STRING, .string = args->named[i].name};
            JINJA_TRY(lf__jinja_dict_set(run, values.dict, key, args->named[i].value));
        }
    } else {
        JINJA_TRY(lf__jinja_list_new(run, JINJA_TUPLE, args->n_items, &values));
        if (args->n_items) memcpy(values.list->items, args->items, args->n_items * sizeof values);
    }
    return lf__jinja_format_percent(run, text.string, values, out);
}

// Of text only.
static lf_status filter_indent(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool first = false, blank = false;
    int64_t width = 4;
    jinja_value lines, indent = call->params[0], newline, text;
    jinja_builder builder;
    JINJA_TRY(lf__jinja_param_bool(run, call, 1, &first));
    JINJA_TRY(lf__jinja_param_bool(run, call, 2, &blank));
    if (!lf__jinja_is_text(indent)) {
        JINJA_TRY(lf__jinja_param_int(run, call, 0, &width));
        lf__jinja_builder_init(&builder, run);
        lf__jinja_pad(&builder, ' ', width > 0 ? (size_t)width : 0);
        JINJA_TRY(lf__jinja_builder_finish(&builder, &indent));
    }
    JINJA_TRY(lf__jinja_string_view(run, "\n", 1, &newline));
    JINJA_TRY(lf__jinja_binary(run, JINJA_ADD, call->self, newline, &text));
    JINJA_TRY(lf__jinja_split_lines(run, text.string, false, &lines));
    lf__jinja_builder_init(&builder, run);
    for (size_t i = 0; i < lines.list->count; i++) {
        const jinja_string *line = lines.list->items[i].string;
        if (i) lf__jinja_puts(&builder, "\n");
        if (i == 0 ? first : blank || line->bytes) lf__jinja_put(&builder, indent.string->data, indent.string->bytes);
        lf__jinja_put(&builder, line->data, line->bytes);
    }
    JINJA_TRY(lf__jinja_builder_finish(&builder, out));
    out->string->markup = text.string->markup;
    return LF_OK;
}

// Of text only.
static lf_status filter_truncate(jinja_run *run, jinja_call *call, jinja_value *out)
{
    int64_t length = 255, leeway = 5;
    bool kill_words = false, sized;
    jinja_string dots = {.data = "...", .bytes = 3}, *end = &dots;
    size_t chars;
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &length));
    JINJA_TRY(lf__jinja_param_bool(run, call, 1, &kill_words));
    JINJA_TRY(lf__jinja_param_string(run, call, 2, &end));
    if (call->params[3].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_int(run, call, 3, &leeway));
    int64_t end_chars = (int64_t)lf__utf8_count(end->data, end->bytes);
    if (length < end_chars)
        return lf__jinja_error(run, "expected length >= %lld, got %lld", (long long)end_chars, (long long)length);
    if (leeway < 0) return lf__jinja_error(run, "expected leeway >= 0, got %lld", (long long)leeway);
    JINJA_TRY(lf__jinja_length(run, call->self, &chars, &sized));
    if (!sized) return lf__jinja_error(run, "object of type '%s' has no len()", lf__jinja_type_name(call->self));
    *out = call->self;
    if ((int64_t)chars <= length || (int64_t)chars - length <= leeway) return LF_OK;
    if (!lf__jinja_is_text(call->self))
        return lf__jinja_error(run, "truncate() needs a string, not %s", lf__jinja_type_name(call->self));
    const jinja_string *string = call->self.string;
    size_t bytes = lf__utf8_offset(string->data, string->bytes, (size_t)(length - end_chars));
    const char *space = kill_words || !bytes ? NULL : memrchr(string->data, ' ', bytes);
    if (space) bytes = (size_t)(space - string->data);
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    lf__jinja_put(&builder, string->data, bytes);
    lf__jinja_put(&builder, end->data, end->bytes);
    return lf__jinja_builder_finish(&builder, out);
}

static lf_status filter_wordcount(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value text;
    int64_t n = 0;
    bool inside = false;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    JINJA_TRY(lf__jinja_charge(run, 1 + text.string->bytes));
    for (size_t i = 0; i < text.string->bytes;) {
        int32_t c;
        i += lf__utf8_decode(text.string->data + i, text.string->bytes - i, &c);
        bool word = lf__unicode_is_word(c);
        n += word && !inside;
        inside = word;
    }
    *out = lf__jinja_int(n);
    return LF_OK;
}

// --- HTML and URLs -------------------------------------------------------------------------------

static lf_status filter_escape(jinja_run *run, jinja_call *call, jinja_value *out)
{
    return lf__jinja_escape(run, call->self, out);
}

static lf_status filter_forceescape(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value text;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    JINJA_TRY(lf__jinja_string_view(run, text.string->data, text.string->bytes, &text));
    return lf__jinja_escape(run, text, out);
}

static lf_status filter_xmlattr(jinja_run *run, jinja_call *call, jinja_value *out)
{
    bool space = true;
    jinja_builder builder;
    JINJA_TRY(lf__jinja_param_bool(run, call, 0, &space));
    if (call->self.kind == JINJA_UNDEFINED) return lf__jinja_undefined_error(run, call->self);
    if (call->self.kind != JINJA_DICT)
        return lf__jinja_error(run, "'%s' object has no attribute 'items'", lf__jinja_type_name(call->self));
    lf__jinja_builder_init(&builder, run);
    for (size_t i = 0; i < call->self.dict->count; i++) {
        jinja_value key = call->self.dict->entries[i].key, value = call->self.dict->entries[i].value;
        if (value.kind == JINJA_NONE || value.kind == JINJA_UNDEFINED) continue;
        if (!lf__jinja_is_text(key)) return lf__jinja_error(run, "expected string or bytes-like object");
        for (size_t k = 0; k < key.string->bytes; k++)
            if (memchr(" \t\n\r\f\v/>=", key.string->data[k], 9))
                return lf__jinja_error(run, "Invalid character in attribute name");
        JINJA_TRY(lf__jinja_escape(run, key, &key));
        JINJA_TRY(lf__jinja_escape(run, value, &value));
        if (builder.bytes || space) lf__jinja_puts(&builder, " ");
        lf__jinja_put(&builder, key.string->data, key.string->bytes);
        lf__jinja_puts(&builder, "=\"");
        lf__jinja_put(&builder, value.string->data, value.string->bytes);
        lf__jinja_puts(&builder, "\"");
    }
    return lf__jinja_builder_finish(&builder, out);
}

static void put_quoted(jinja_builder *builder, const jinja_string *string, bool query)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
    for (size_t i = 0; i < string->bytes; i++) {
        unsigned char byte = (unsigned char)string->data[i];
        char hex[3] = {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
        if ((byte && strchr(plain, byte)) || (!query && byte == '/'))
            lf__jinja_put(builder, string->data + i, 1);
        else if (query && byte == ' ')
            lf__jinja_puts(builder, "+");
        else
            lf__jinja_put(builder, hex, 3);
    }
}

static lf_status put_query_pair(jinja_run *run, jinja_builder *builder, jinja_value pair)
{
    JINJA_TRY(lf__jinja_to_list(run, pair, JINJA_LIST, &pair));
    if (pair.list->count != 2)
        return lf__jinja_error(run, "cannot unpack %zu values into a key and a value", pair.list->count);
    for (size_t i = 0; i < 2; i++) {
        jinja_value text;
        JINJA_TRY(lf__jinja_str(run, pair.list->items[i], &text));
        JINJA_TRY(lf__jinja_charge_bytes(run, text.string->bytes));
        if (i) lf__jinja_puts(builder, "=");
        put_quoted(builder, text.string, true);
    }
    return LF_OK;
}

static lf_status filter_urlencode(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_value value = call->self;
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    if (lf__jinja_is_text(value) || !lf__jinja_is_iterable(value)) {
        JINJA_TRY(lf__jinja_str(run, value, &value));
        JINJA_TRY(lf__jinja_charge_bytes(run, value.string->bytes));
        put_quoted(&builder, value.string, false);
        return lf__jinja_builder_finish(&builder, out);
    }
    jinja_view items = {value.kind == JINJA_DICT ? value.dict : NULL, JINJA_VIEW_ITEMS};
    if (value.kind == JINJA_DICT) value = (jinja_value){.kind = JINJA_VIEW, .view = &items};
    JINJA_TRY(lf__jinja_to_list(run, value, JINJA_LIST, &value));
    for (size_t i = 0; i < value.list->count; i++) {
        if (i) lf__jinja_puts(&builder, "&");
        JINJA_TRY(put_query_pair(run, &builder, value.list->items[i]));
    }
    return lf__jinja_builder_finish(&builder, out);
}

// Cuts out everything between `open` and `close`, both included.
static lf_status cut_out(jinja_run *run, const jinja_string *string, const char *open, const char *close,
                         jinja_value *out)
{
    jinja_builder builder;
    const char *at = string->data, *end = at + string->bytes;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    while (at < end) {
        const char *from = memmem(at, (size_t)(end - at), open, strlen(open));
        const char *to = from ? memmem(from, (size_t)(end - from), close, strlen(close)) : NULL;
        lf__jinja_put(&builder, at, (size_t)((to ? from : end) - at));
        at = to ? to + strlen(close) : end;
    }
    return lf__jinja_builder_finish(&builder, out);
}

// A character reference at `text`; its length, or 0 when it is none. Named ones: those that escaping produces, and
// nbsp.
static size_t read_reference(const char *text, size_t bytes, int32_t *c)
{
    static const struct {
        const char *name;
        int32_t code_point;
    } names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&nbsp;", 0xA0}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        size_t n = strlen(names[i].name);
        *c = names[i].code_point;
        if (n <= bytes && memcmp(text, names[i].name, n) == 0) return n;
    }
    if (bytes < 4 || text[1] != '#') return 0;
    bool hex = (text[2] | 0x20) == 'x';
    size_t at = hex ? 3 : 2, begin = at;
    int64_t number = 0;
    for (; at < bytes && number <= 0x10FFFF; at++) {
        char d = text[at], low = (char)(d | 0x20);
        int digit = d >= '0' && d <= '9' ? d - '0' : hex && low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit < 0) break;
        number = number * (hex ? 16 : 10) + digit;
    }
    if (at == begin) return 0;
    if (at < bytes && text[at] == ';') at++;
    *c = number == 0 || number > 0x10FFFF || (number >= 0xD800 && number < 0xE000) ? 0xFFFD : (int32_t)number;
    return at;
}

static lf_status unescape(jinja_run *run, const jinja_string *string, jinja_value *out)
{
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    for (size_t i = 0; i < string->bytes;) {
        int32_t c;
        size_t n = string->data[i] == '&' ? read_reference(string->data + i, string->bytes - i, &c) : 0;
        if (n)
            lf__jinja_put_char(&builder, c);
        else
            lf__jinja_put(&builder, string->data + i, 1);
        i += n ? n : 1;
    }
    return lf__jinja_builder_finish(&builder, out);
}

static lf_status filter_striptags(jinja_run *run, jinja_call *call, jinja_value *out)
{
    const jinja_string blank = {.data = " ", .bytes = 1};
    jinja_value text;
    JINJA_TRY(lf__jinja_str(run, call->self, &text));
    JINJA_TRY(cut_out(run, text.string, "<!--", "-->", &text));
    JINJA_TRY(cut_out(run, text.string, "<", ">", &text));
    JINJA_TRY(lf__jinja_split(run, text.string, NULL, -1, false, &text));
    JINJA_TRY(lf__jinja_join(run, &blank, text, false, &text));
    return unescape(run, text.string, out);
}

const jinja_native lf__jinja_text_filters[] = {
    {"capitalize", "", 0, filter_case, JINJA_CASE_CAPITALIZE},
    {"center", "width", 0, filter_center, 0},
    {"e", "", 0, filter_escape, 0},
    {"escape", "", 0, filter_escape, 0},
    {"forceescape", "", 0, filter_forceescape, 0},
    {"format", NULL, 0, filter_format, 0},
    {"indent", "width,first,blank", 0, filter_indent, 0},
    {"lower", "", 0, filter_case, JINJA_CASE_LOWER},
    {"replace", "old,new,count", 2, filter_replace, 0},
    {"striptags", "", 0, filter_striptags, 0},
    {"title", "", 0, filter_title, 0},
    {"trim", "chars", 0, filter_trim, 0},
    {"truncate", "length,killwords,end,leeway", 0, filter_truncate, 0},
    {"upper", "", 0, filter_case, JINJA_CASE_UPPER},
    {"urlencode", "", 0, filter_urlencode, 0},
    {"wordcount", "", 0, filter_wordcount, 0},
    {"wordwrap", "width,break_long_words,wrapstring,break_on_hyphens", 0, lf__jinja_filter_wordwrap, 0},
    {"xmlattr", "autospace", 0, filter_xmlattr, 0},
};
const size_t lf__jinja_n_text_filters = LF_ARRAY_LENGTH(lf__jinja_text_filters);
