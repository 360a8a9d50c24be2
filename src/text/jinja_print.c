// SPDX-License-Identifier: Apache-2.0
//
// Values as text: str(), repr(), HTML escaping, and pprint().
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/jinja_exec.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"

// The fewest digits that read back as the same double, in the layout of Python's repr.
void lf__jinja_real_repr(double value, char text[JINJA_REAL_BYTES])
{
    if (!isfinite(value)) {
        snprintf(text, JINJA_REAL_BYTES, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    char scientific[JINJA_REAL_BYTES]; // d.ddde+xx
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(scientific, sizeof scientific, "%.*e", precision, value);
        if (strtod(scientific, NULL) == value) break;
    }
    char *mark = strchr(scientific, 'e');
    int exponent = atoi(mark + 1);
    if (exponent < -4 || exponent >= 16) {
        memcpy(text, scientific, sizeof scientific); // C and Python write the exponent alike
        return;
    }
    int digits = (int)(mark - scientific) - (scientific[0] == '-'); // with the point, if there is one
    int decimals = (digits > 1 ? digits - 2 : 0) - exponent;
    snprintf(text, JINJA_REAL_BYTES, "%.*f", LF_MAX(decimals, 1), value);
}

static void put_escape(jinja_builder *builder, int32_t code_point)
{
    char text[16];
    const char *format = code_point < 0x100 ? "\\x%02x" : code_point < 0x10000 ? "\\u%04x" : "\\U%08x";
    snprintf(text, sizeof text, format, (unsigned)code_point);
    lf__jinja_puts(builder, text);
}

static lf_status string_repr(jinja_builder *builder, const jinja_string *string)
{
    const char *data = string->data;
    bool single = memchr(data, '\'', string->bytes), twice = memchr(data, '"', string->bytes);
    char quote = single && !twice ? '"' : '\'';
    JINJA_TRY(lf__jinja_charge(builder->run, 1 + string->bytes / 2));
    lf__jinja_put(builder, &quote, 1);
    for (size_t i = 0; i < string->bytes;) {
        int32_t c;
        size_t n = lf__utf8_decode(data + i, string->bytes - i, &c);
        if (c == quote || c == '\\') {
            lf__jinja_put(builder, "\\", 1);
            lf__jinja_put(builder, data + i, n);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            lf__jinja_puts(builder, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (c >= ' ' && c < 0x7F) {
            lf__jinja_put(builder, data + i, 1);
        } else if (lf__unicode_is_printable(c)) {
            lf__jinja_put(builder, data + i, n);
        } else {
            put_escape(builder, c);
        }
        i += n;
    }
    lf__jinja_put(builder, &quote, 1);
    return LF_OK;
}

static lf_status items_repr(jinja_builder *builder, const jinja_value *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i) lf__jinja_puts(builder, ", ");
        JINJA_TRY(lf__jinja_repr(builder, items[i]));
    }
    return LF_OK;
}

static lf_status dict_repr(jinja_builder *builder, const jinja_dict *dict)
{
    lf__jinja_puts(builder, "{");
    for (size_t i = 0; i < dict->count; i++) {
        if (i) lf__jinja_puts(builder, ", ");
        JINJA_TRY(lf__jinja_repr(builder, dict->entries[i].key));
        lf__jinja_puts(builder, ": ");
        JINJA_TRY(lf__jinja_repr(builder, dict->entries[i].value));
    }
    lf__jinja_puts(builder, "}");
    return LF_OK;
}

static lf_status view_repr(jinja_builder *builder, jinja_value value)
{
    lf__jinja_puts(builder, lf__jinja_type_name(value));
    lf__jinja_puts(builder, "([");
    for (size_t i = 0; i < value.view->dict->count; i++) {
        jinja_value item;
        if (i) lf__jinja_puts(builder, ", ");
        JINJA_TRY(lf__jinja_view_item(builder->run, value.view, i, &item));
        JINJA_TRY(lf__jinja_repr(builder, item));
    }
    lf__jinja_puts(builder, "])");
    return LF_OK;
}

static void range_repr(jinja_builder *builder, const jinja_range *range)
{
    char text[80];
    if (range->step == 1)
        snprintf(text, sizeof text, "range(%lld, %lld)", (long long)range->start, (long long)range->stop);
    else
        snprintf(text, sizeof text, "range(%lld, %lld, %lld)", (long long)range->start, (long long)range->stop,
                 (long long)range->step);
    lf__jinja_puts(builder, text);
}

static lf_status loop_repr(jinja_builder *builder, jinja_loop *loop)
{
    char text[64];
    size_t length;
    JINJA_TRY(lf__jinja_loop_length(builder->run, loop, &length));
    snprintf(text, sizeof text, "<LoopContext %lld/%zu>", (long long)loop->index0 + 1, length);
    lf__jinja_puts(builder, text);
    return LF_OK;
}

static lf_status macro_repr(jinja_builder *builder, const jinja_macro *macro)
{
    lf__jinja_puts(builder, "<Macro ");
    if (macro->body->name)
        JINJA_TRY(string_repr(builder, macro->body->name));
    else
        lf__jinja_puts(builder, "anonymous");
    lf__jinja_puts(builder, ">");
    return LF_OK;
}

static lf_status put_repr(jinja_builder *builder, jinja_value value)
{
    char text[JINJA_REAL_BYTES];
    switch (value.kind) {
    case JINJA_UNDEFINED: lf__jinja_puts(builder, "Undefined"); return LF_OK;
    case JINJA_NONE: lf__jinja_puts(builder, "None"); return LF_OK;
    case JINJA_BOOL: lf__jinja_puts(builder, value.boolean ? "True" : "False"); return LF_OK;
    case JINJA_INT:
        snprintf(text, sizeof text, "%lld", (long long)value.integer);
        lf__jinja_puts(builder, text);
        return LF_OK;
    case JINJA_FLOAT:
        lf__jinja_real_repr(value.real, text);
        lf__jinja_puts(builder, text);
        return LF_OK;
    case JINJA_STRING:
        if (value.string->markup) lf__jinja_puts(builder, "Markup(");
        JINJA_TRY(string_repr(builder, value.string));
        if (value.string->markup) lf__jinja_puts(builder, ")");
        return LF_OK;
    case JINJA_LIST:
        lf__jinja_puts(builder, "[");
        JINJA_TRY(items_repr(builder, value.list->items, value.list->count));
        lf__jinja_puts(builder, "]");
        return LF_OK;
    case JINJA_TUPLE:
        lf__jinja_puts(builder, "(");
        JINJA_TRY(items_repr(builder, value.list->items, value.list->count));
        lf__jinja_puts(builder, value.list->count == 1 ? ",)" : ")");
        return LF_OK;
    case JINJA_DICT: return dict_repr(builder, value.dict);
    case JINJA_NAMESPACE:
        lf__jinja_puts(builder, "<Namespace ");
        JINJA_TRY(dict_repr(builder, value.dict));
        lf__jinja_puts(builder, ">");
        return LF_OK;
    case JINJA_VIEW: return view_repr(builder, value);
    case JINJA_RANGE: range_repr(builder, value.range); return LF_OK;
    case JINJA_LOOP: return loop_repr(builder, value.loop);
    case JINJA_MACRO: return macro_repr(builder, value.macro);
    default: // Python shows an address
        lf__jinja_puts(builder, "<");
        lf__jinja_puts(builder, lf__jinja_type_name(value));
        lf__jinja_puts(builder, " object>");
        return LF_OK;
    }
}

lf_status lf__jinja_repr(jinja_builder *builder, jinja_value value)
{
    JINJA_TRY(lf__jinja_enter(builder->run));
    lf_status status = put_repr(builder, value);
    lf__jinja_leave(builder->run);
    return status ? status : builder->status;
}

lf_status lf__jinja_str(jinja_run *run, jinja_value value, jinja_value *out)
{
    if (lf__jinja_is_text(value)) {
        *out = value;
        return LF_OK;
    }
    if (value.kind == JINJA_UNDEFINED) return lf__jinja_string_view(run, "", 0, out);
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_repr(&builder, value));
    return lf__jinja_builder_finish(&builder, out);
}

// --- HTML ----------------------------------------------------------------------------------------

void lf__jinja_put_escaped(jinja_builder *builder, const char *data, size_t bytes)
{
    size_t plain = 0;
    for (size_t i = 0; i < bytes; i++) {
        const char *entity = NULL;
        switch (data[i]) {
        case '&': entity = "&amp;"; break;
        case '<': entity = "&lt;"; break;
        case '>': entity = "&gt;"; break;
        case '"': entity = "&#34;"; break;
        case '\'': entity = "&#39;"; break;
        default: continue;
        }
        lf__jinja_put(builder, data + plain, i - plain);
        lf__jinja_puts(builder, entity);
        plain = i + 1;
    }
    lf__jinja_put(builder, data + plain, bytes - plain);
}

lf_status lf__jinja_escape(jinja_run *run, jinja_value value, jinja_value *out)
{
    JINJA_TRY(lf__jinja_str(run, value, &value));
    *out = value;
    if (value.string->markup) return LF_OK;
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, value.string->bytes));
    lf__jinja_put_escaped(&builder, value.string->data, value.string->bytes);
    JINJA_TRY(lf__jinja_builder_finish(&builder, out));
    out->string->markup = true;
    return LF_OK;
}

// --- pprint --------------------------------------------------------------------------------------

enum { PPRINT_WIDTH = 80 };

static lf_status pprint_at(jinja_builder *builder, jinja_value value, size_t indent, size_t allowance);

// The repr with the keys of dicts sorted (by type, then value, where they do not compare).
static lf_status sorted_dict(jinja_run *run, const jinja_dict *dict, jinja_value *items, jinja_value *keys)
{
    bool texts = true;
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, items));
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, keys));
    for (size_t i = 0; i < dict->count; i++) {
        JINJA_TRY(lf__jinja_pair(run, dict->entries[i].key, dict->entries[i].value, &items->list->items[i]));
        keys->list->items[i] = dict->entries[i].key;
        texts &= lf__jinja_is_text(dict->entries[i].key) == lf__jinja_is_text(dict->entries[0].key);
    }
    for (size_t i = 0; i < dict->count && !texts; i++)
        JINJA_TRY(lf__jinja_str(run, keys->list->items[i], &keys->list->items[i]));
    return lf__jinja_sort(run, items->list->items, keys->list->items, dict->count, false);
}

static lf_status sorted_value(jinja_run *run, jinja_value value, jinja_value *out)
{
    *out = value;
    if (value.kind == JINJA_DICT) {
        jinja_value items, keys;
        JINJA_TRY(sorted_dict(run, value.dict, &items, &keys));
        JINJA_TRY(lf__jinja_dict_new(run, &out->dict));
        for (size_t i = 0; i < value.dict->count; i++) {
            jinja_value *pair = items.list->items[i].list->items, inner;
            JINJA_TRY(lf__jinja_enter(run));
            JINJA_TRY(sorted_value(run, pair[1], &inner));
            lf__jinja_leave(run);
            JINJA_TRY(lf__jinja_dict_set(run, out->dict, pair[0], inner));
        }
        return LF_OK;
    }
    if (!lf__jinja_is_sequence(value)) return LF_OK;
    JINJA_TRY(lf__jinja_list_new(run, value.kind, value.list->count, out));
    for (size_t i = 0; i < value.list->count; i++) {
        JINJA_TRY(lf__jinja_enter(run));
        JINJA_TRY(sorted_value(run, value.list->items[i], &out->list->items[i]));
        lf__jinja_leave(run);
    }
    return LF_OK;
}

static lf_status pprint_items(jinja_builder *builder, jinja_value value, size_t indent, size_t allowance)
{
    bool is_dict = value.kind == JINJA_DICT, is_tuple = value.kind == JINJA_TUPLE;
    size_t n = is_dict ? value.dict->count : value.list->count;
    bool lone = is_tuple && n == 1;
    lf__jinja_puts(builder, is_dict ? "{" : is_tuple ? "(" : "[");
    for (size_t i = 0; i < n; i++) {
        size_t column = indent + 1, rest = i + 1 == n ? allowance + 1 + lone : 1;
        if (i) {
            lf__jinja_puts(builder, ",\n");
            lf__jinja_pad(builder, ' ', column);
        }
        jinja_value item = is_dict ? value.dict->entries[i].value : value.list->items[i];
        if (is_dict) {
            size_t before = builder->bytes;
            JINJA_TRY(lf__jinja_repr(builder, value.dict->entries[i].key));
            lf__jinja_puts(builder, ": ");
            column += lf__utf8_count(builder->data + before, builder->bytes - before);
        }
        JINJA_TRY(pprint_at(builder, item, column, rest));
    }
    lf__jinja_puts(builder, lone ? "," : "");
    lf__jinja_puts(builder, is_dict ? "}" : is_tuple ? ")" : "]");
    return LF_OK;
}

static lf_status pprint_at(jinja_builder *builder, jinja_value value, size_t indent, size_t allowance)
{
    jinja_run *run = builder->run;
    jinja_builder line;
    jinja_value text;
    size_t width = 0;
    bool sized;
    JINJA_TRY(lf__jinja_enter(run));
    lf__jinja_builder_init(&line, run);
    JINJA_TRY(lf__jinja_repr(&line, value));
    JINJA_TRY(lf__jinja_builder_finish(&line, &text));
    JINJA_TRY(lf__jinja_length(run, text, &width, &sized));
    bool nested = value.kind == JINJA_DICT || lf__jinja_is_sequence(value);
    if (nested && indent + width + allowance > PPRINT_WIDTH)
        JINJA_TRY(pprint_items(builder, value, indent, allowance));
    else
        lf__jinja_put(builder, text.string->data, text.string->bytes);
    lf__jinja_leave(run);
    return builder->status;
}

// Long strings are not broken into pieces, the one difference to Python's pprint.
lf_status lf__jinja_pprint(jinja_builder *builder, jinja_value value)
{
    JINJA_TRY(sorted_value(builder->run, value, &value));
    return pprint_at(builder, value, 0, 0);
}
