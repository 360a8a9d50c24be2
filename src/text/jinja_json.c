// SPDX-License-Identifier: Apache-2.0
//
// tojson as the transformers library defines it: json.dumps with its separators and its indentation, characters beyond
// ASCII as they are unless ensure_ascii asks otherwise, and no HTML escaping.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_native.h"
#include "text/jinja_unicode.h"

typedef struct json_writer {
    jinja_builder builder;
    bool ensure_ascii;
    bool sort_keys;
    bool indented;
    jinja_string indent; // one level
    jinja_string item_separator;
    jinja_string key_separator;
    size_t level;
} json_writer;

static void put_string(jinja_builder *builder, const jinja_string *string)
{
    lf__jinja_put(builder, string->data, string->bytes);
}

static void put_unicode_escape(jinja_builder *builder, uint32_t code_point)
{
    char text[16];
    if (code_point >= 0x10000) {
        code_point -= 0x10000;
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xD800 + (code_point >> 10), 0xDC00 + (code_point & 0x3FF));
    } else {
        snprintf(text, sizeof text, "\\u%04x", (unsigned)code_point);
    }
    lf__jinja_puts(builder, text);
}

static void put_escaped_char(json_writer *writer, int32_t c)
{
    static const char pairs[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = pairs; *pair; pair += 2)
        if (c == *pair) {
            char text[2] = {'\\', pair[1]};
            lf__jinja_put(&writer->builder, text, 2);
            return;
        }
    put_unicode_escape(&writer->builder, (uint32_t)c);
}

static lf_status write_string(json_writer *writer, const jinja_string *string)
{
    jinja_builder *builder = &writer->builder;
    const char *data = string->data;
    size_t plain = 0;
    JINJA_TRY(lf__jinja_charge_bytes(builder->run, string->bytes));
    lf__jinja_put(builder, "\"", 1);
    for (size_t i = 0; i < string->bytes;) {
        unsigned char byte = (unsigned char)data[i];
        bool escape = byte < 0x20 || byte == '"' || byte == '\\' || (writer->ensure_ascii && byte >= 0x7F);
        if (!escape) {
            i++;
            continue;
        }
        int32_t c;
        lf__jinja_put(builder, data + plain, i - plain);
        i += lf__utf8_decode(data + i, string->bytes - i, &c);
        plain = i;
        put_escaped_char(writer, c);
    }
    lf__jinja_put(builder, data + plain, string->bytes - plain);
    lf__jinja_put(builder, "\"", 1);
    return LF_OK;
}

static void real_text(double value, char text[JINJA_REAL_BYTES])
{
    if (isnan(value))
        snprintf(text, JINJA_REAL_BYTES, "NaN");
    else if (isinf(value))
        snprintf(text, JINJA_REAL_BYTES, "%sInfinity", value < 0 ? "-" : "");
    else
        lf__jinja_real_repr(value, text);
}

static void new_line(json_writer *writer)
{
    if (!writer->indented) return;
    lf__jinja_put(&writer->builder, "\n", 1);
    for (size_t i = 0; i < writer->level; i++) put_string(&writer->builder, &writer->indent);
}

static lf_status write_value(json_writer *writer, jinja_value value);

static lf_status write_list(json_writer *writer, const jinja_list *list)
{
    lf__jinja_put(&writer->builder, "[", 1);
    writer->level++;
    for (size_t i = 0; i < list->count; i++) {
        if (i) put_string(&writer->builder, &writer->item_separator);
        new_line(writer);
        JINJA_TRY(write_value(writer, list->items[i]));
    }
    writer->level--;
    if (list->count) new_line(writer);
    lf__jinja_put(&writer->builder, "]", 1);
    return LF_OK;
}

// Numbers, booleans and none are keys as well; they become strings.
static lf_status write_key(json_writer *writer, jinja_value key)
{
    if (lf__jinja_is_text(key)) return write_string(writer, key.string);
    if (key.kind != JINJA_NONE && key.kind != JINJA_BOOL && key.kind != JINJA_INT && key.kind != JINJA_FLOAT)
        return lf__jinja_error(writer->builder.run, "keys must be str, int, float, bool or None, not %s",
                               lf__jinja_type_name(key));
    lf__jinja_put(&writer->builder, "\"", 1);
    JINJA_TRY(write_value(writer, key));
    lf__jinja_put(&writer->builder, "\"", 1);
    return LF_OK;
}

static lf_status sorted_entries(jinja_run *run, const jinja_dict *dict, jinja_value *keys, jinja_value *values)
{
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, keys));
    JINJA_TRY(lf__jinja_list_new(run, JINJA_LIST, dict->count, values));
    for (size_t i = 0; i < dict->count; i++) {
        keys->list->items[i] = dict->entries[i].key;
        values->list->items[i] = dict->entries[i].value;
    }
    return lf__jinja_sort(run, values->list->items, keys->list->items, dict->count, false);
}

static lf_status write_dict(json_writer *writer, const jinja_dict *dict)
{
    jinja_value keys, values;
    if (writer->sort_keys) JINJA_TRY(sorted_entries(writer->builder.run, dict, &keys, &values));
    lf__jinja_put(&writer->builder, "{", 1);
    writer->level++;
    for (size_t i = 0; i < dict->count; i++) {
        if (i) put_string(&writer->builder, &writer->item_separator);
        new_line(writer);
        JINJA_TRY(write_key(writer, writer->sort_keys ? keys.list->items[i] : dict->entries[i].key));
        put_string(&writer->builder, &writer->key_separator);
        JINJA_TRY(write_value(writer, writer->sort_keys ? values.list->items[i] : dict->entries[i].value));
    }
    writer->level--;
    if (dict->count) new_line(writer);
    lf__jinja_put(&writer->builder, "}", 1);
    return LF_OK;
}

static lf_status write_plain(json_writer *writer, jinja_value value)
{
    char text[JINJA_REAL_BYTES];
    switch (value.kind) {
    case JINJA_NONE: snprintf(text, sizeof text, "null"); break;
    case JINJA_BOOL: snprintf(text, sizeof text, "%s", value.boolean ? "true" : "false"); break;
    case JINJA_INT: snprintf(text, sizeof text, "%lld", (long long)value.integer); break;
    case JINJA_FLOAT: real_text(value.real, text); break;
    case JINJA_STRING: return write_string(writer, value.string);
    case JINJA_LIST:
    case JINJA_TUPLE: return write_list(writer, value.list);
    case JINJA_DICT: return write_dict(writer, value.dict);
    default:
        return lf__jinja_error(writer->builder.run, "Object of type %s is not JSON serializable",
                               lf__jinja_type_name(value));
    }
    lf__jinja_puts(&writer->builder, text);
    return LF_OK;
}

static lf_status write_value(json_writer *writer, jinja_value value)
{
    JINJA_TRY(lf__jinja_enter(writer->builder.run));
    JINJA_TRY(write_plain(writer, value));
    lf__jinja_leave(writer->builder.run);
    return writer->builder.status;
}

static jinja_string literal(const char *text) { return (jinja_string){.data = text, .bytes = strlen(text)}; }

static lf_status read_indent(jinja_run *run, json_writer *writer, jinja_value indent)
{
    int64_t n;
    writer->indented = true;
    writer->item_separator = literal(",");
    if (lf__jinja_is_text(indent)) {
        writer->indent = *indent.string;
        return LF_OK;
    }
    if (!lf__jinja_integer(indent, &n))
        return lf__jinja_error(run, "can't multiply sequence by non-int of type '%s'", lf__jinja_type_name(indent));
    jinja_builder spaces;
    jinja_value text;
    lf__jinja_builder_init(&spaces, run);
    lf__jinja_pad(&spaces, ' ', n > 0 ? (size_t)n : 0);
    JINJA_TRY(lf__jinja_builder_finish(&spaces, &text));
    writer->indent = *text.string;
    return LF_OK;
}

static lf_status read_separators(jinja_run *run, json_writer *writer, jinja_value separators)
{
    if (!lf__jinja_is_sequence(separators) || separators.list->count != 2 ||
        !lf__jinja_is_text(separators.list->items[0]) || !lf__jinja_is_text(separators.list->items[1]))
        return lf__jinja_error(run, "separators must be two strings");
    writer->item_separator = *separators.list->items[0].string;
    writer->key_separator = *separators.list->items[1].string;
    return LF_OK;
}

lf_status lf__jinja_filter_tojson(jinja_run *run, jinja_call *call, jinja_value *out)
{
    json_writer writer = {.item_separator = literal(", "), .key_separator = literal(": ")};
    jinja_value indent = call->params[1], separators = call->params[2];
    lf__jinja_builder_init(&writer.builder, run);
    if (lf__jinja_given(call->params[0])) JINJA_TRY(lf__jinja_truth(run, call->params[0], &writer.ensure_ascii));
    if (lf__jinja_given(indent) && indent.kind != JINJA_NONE) JINJA_TRY(read_indent(run, &writer, indent));
    if (lf__jinja_given(separators) && separators.kind != JINJA_NONE)
        JINJA_TRY(read_separators(run, &writer, separators));
    if (lf__jinja_given(call->params[3])) JINJA_TRY(lf__jinja_truth(run, call->params[3], &writer.sort_keys));
    JINJA_TRY(write_value(&writer, call->self));
    return lf__jinja_builder_finish(&writer.builder, out);
}
