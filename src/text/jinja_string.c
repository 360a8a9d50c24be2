// SPDX-License-Identifier: Apache-2.0
//
// Operations of Python's str. Results keep being markup where the input was, as with markupsafe.
#include "text/jinja_string.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/jinja_unicode.h"

static lf_status view(jinja_run *run, const jinja_string *string, size_t begin, size_t bytes, jinja_value *out)
{
    JINJA_TRY(lf__jinja_string_view(run, string->data + begin, bytes, out));
    out->string->markup = string->markup;
    return LF_OK;
}

static lf_status finish(jinja_builder *builder, const jinja_string *string, jinja_value *out)
{
    JINJA_TRY(lf__jinja_builder_finish(builder, out));
    out->string->markup = string->markup;
    return LF_OK;
}

// --- case ----------------------------------------------------------------------------------------

static int fold(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED])
{
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char(code_point, out, LF_UNICODE_MAX_MAPPED, UTF8PROC_CASEFOLD, &boundary);
    if (n > 0 && n <= LF_UNICODE_MAX_MAPPED) return (int)n;
    out[0] = code_point;
    return 1;
}

void lf__jinja_put_case(jinja_builder *builder, const char *data, size_t bytes, jinja_case to)
{
    bool after_cased = false; // for title case: inside of a word
    for (size_t i = 0; i < bytes;) {
        int32_t c, mapped[LF_UNICODE_MAX_MAPPED];
        size_t length = lf__utf8_decode(data + i, bytes - i, &c);
        bool upper = lf__unicode_is_upper(c), lower = lf__unicode_is_lower(c), title = lf__unicode_is_title(c);
        int n;
        if (to == JINJA_CASE_UPPER || (to == JINJA_CASE_SWAP && lower))
            n = lf__unicode_upper(c, mapped);
        else if (to == JINJA_CASE_FOLD)
            n = fold(c, mapped);
        else if ((to == JINJA_CASE_TITLE && !after_cased) || (to == JINJA_CASE_CAPITALIZE && i == 0))
            n = lf__unicode_title(c, mapped);
        else if (to == JINJA_CASE_SWAP && !upper) {
            mapped[0] = c;
            n = 1;
        } else
            n = lf__unicode_lower_at(data, bytes, i, mapped);
        for (int k = 0; k < n; k++) lf__jinja_put_char(builder, mapped[k]);
        after_cased = upper || lower || title;
        i += length;
    }
}

lf_status lf__jinja_map_case(jinja_run *run, const jinja_string *string, jinja_case to, jinja_value *out)
{
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge(run, 1 + string->bytes));
    lf__jinja_put_case(&builder, string->data, string->bytes, to);
    return finish(&builder, string, out);
}

// --- edges ---------------------------------------------------------------------------------------

static bool strips(const char *data, size_t bytes, const jinja_string *chars)
{
    int32_t c;
    if (chars) return bytes <= chars->bytes && memmem(chars->data, chars->bytes, data, bytes);
    lf__utf8_decode(data, bytes, &c);
    return lf__unicode_is_space(c);
}

lf_status lf__jinja_strip(jinja_run *run, const jinja_string *string, const jinja_string *chars, jinja_side side,
                          jinja_value *out)
{
    size_t begin = 0, end = string->bytes;
    size_t cost = 1 + (chars ? chars->bytes / 16 : 0); // of one character
    while ((side & JINJA_LEFT) && begin < end) {
        size_t n = lf__utf8_offset(string->data + begin, end - begin, 1);
        JINJA_TRY(lf__jinja_charge(run, cost));
        if (!strips(string->data + begin, n, chars)) break;
        begin += n;
    }
    while ((side & JINJA_RIGHT) && begin < end) {
        size_t last = lf__utf8_before(string->data, end);
        JINJA_TRY(lf__jinja_charge(run, cost));
        if (!strips(string->data + last, end - last, chars)) break;
        end = last;
    }
    return view(run, string, begin, end - begin, out);
}

lf_status lf__jinja_justify(jinja_run *run, const jinja_string *string, int64_t width, int32_t fill, jinja_side side,
                            jinja_value *out)
{
    size_t length = lf__utf8_count(string->data, string->bytes);
    if (width <= (int64_t)length) return view(run, string, 0, string->bytes, out);
    size_t pad = (size_t)width - length;
    size_t left = side == JINJA_LEFT ? 0 : side == JINJA_RIGHT ? pad : pad / 2 + (pad & (size_t)width & 1);
    jinja_builder builder;
    lf__jinja_builder_init(&builder, run);
    lf__jinja_pad(&builder, fill, left);
    lf__jinja_put(&builder, string->data, string->bytes);
    lf__jinja_pad(&builder, fill, pad - left);
    return finish(&builder, string, out);
}

// --- searching -----------------------------------------------------------------------------------

lf_status lf__jinja_find(jinja_run *run, const char *data, size_t bytes, const jinja_string *part, bool from_right,
                         size_t *out)
{
    *out = SIZE_MAX;
    if (part->bytes > bytes) return LF_OK;
    JINJA_TRY(lf__jinja_charge_search(run, bytes, part->bytes));
    if (part->bytes == 0) {
        *out = from_right ? bytes : 0;
        return LF_OK;
    }
    if (!from_right) {
        const char *found = memmem(data, bytes, part->data, part->bytes);
        if (found) *out = (size_t)(found - data);
        return LF_OK;
    }
    for (size_t end = bytes - part->bytes + 1; end > 0;) {
        const char *first = memrchr(data, part->data[0], end);
        if (!first) return LF_OK;
        end = (size_t)(first - data);
        JINJA_TRY(lf__jinja_charge_bytes(run, part->bytes));
        if (memcmp(first, part->data, part->bytes) == 0) {
            *out = end;
            return LF_OK;
        }
    }
    return LF_OK;
}

lf_status lf__jinja_replace(jinja_run *run, const jinja_string *string, const jinja_string *old,
                            const jinja_string *fresh, int64_t count, jinja_value *out)
{
    jinja_builder builder;
    size_t at = 0;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    for (; count != 0; count--) {
        JINJA_TRY(lf__jinja_charge_search(run, 0, old->bytes));
        const char *rest = string->data + at;
        size_t left = string->bytes - at, skip;
        const char *found = NULL;
        if (old->bytes == 0) { // before every character, and at the end
            lf__jinja_put(&builder, fresh->data, fresh->bytes);
            if (left == 0) break;
            skip = lf__utf8_offset(rest, left, 1);
            lf__jinja_put(&builder, rest, skip);
        } else {
            if (old->bytes <= left) found = memmem(rest, left, old->data, old->bytes);
            if (!found) break;
            lf__jinja_put(&builder, rest, (size_t)(found - rest));
            lf__jinja_put(&builder, fresh->data, fresh->bytes);
            skip = (size_t)(found - rest) + old->bytes;
        }
        at += skip;
        if (builder.status) return builder.status;
    }
    lf__jinja_put(&builder, string->data + at, string->bytes - at);
    return finish(&builder, string, out);
}

// --- splitting -----------------------------------------------------------------------------------

static lf_status push_part(jinja_run *run, jinja_items *items, const jinja_string *string, size_t begin, size_t end)
{
    jinja_value part;
    JINJA_TRY(view(run, string, begin, end - begin, &part));
    return lf__jinja_items_push(run, items, part);
}

static size_t skip_class(const jinja_string *string, size_t at, bool spaces)
{
    while (at < string->bytes) {
        int32_t c;
        size_t n = lf__utf8_decode(string->data + at, string->bytes - at, &c);
        if (lf__unicode_is_space(c) != spaces) break;
        at += n;
    }
    return at;
}

static size_t skip_class_back(const jinja_string *string, size_t at, bool spaces)
{
    while (at > 0) {
        int32_t c;
        size_t before = lf__utf8_before(string->data, at);
        lf__utf8_decode(string->data + before, at - before, &c);
        if (lf__unicode_is_space(c) != spaces) break;
        at = before;
    }
    return at;
}

static lf_status split_space(jinja_run *run, const jinja_string *string, int64_t limit, jinja_items *items)
{
    for (size_t at = skip_class(string, 0, true); at < string->bytes;) {
        size_t end = limit-- == 0 ? string->bytes : skip_class(string, at, false); // the rest keeps its trailing space
        JINJA_TRY(push_part(run, items, string, at, end));
        at = skip_class(string, end, true);
    }
    return LF_OK;
}

static lf_status split_space_right(jinja_run *run, const jinja_string *string, int64_t limit, jinja_items *items)
{
    for (size_t end = skip_class_back(string, string->bytes, true); end > 0;) {
        size_t at = limit == 0 ? 0 : skip_class_back(string, end, false);
        JINJA_TRY(push_part(run, items, string, at, end));
        end = limit-- == 0 ? 0 : skip_class_back(string, at, true);
    }
    return LF_OK;
}

static lf_status split_separator(jinja_run *run, const jinja_string *string, const jinja_string *separator,
                                 int64_t limit, bool from_right, jinja_items *items)
{
    size_t begin = 0, end = string->bytes, found;
    for (; limit != 0; limit--) {
        JINJA_TRY(lf__jinja_charge_search(run, 0, separator->bytes));
        if (from_right) {
            JINJA_TRY(lf__jinja_find(run, string->data, end, separator, true, &found));
        } else { // one pass over the text in all: charged once
            const char *match = memmem(string->data + begin, end - begin, separator->data, separator->bytes);
            found = match ? (size_t)(match - string->data) : SIZE_MAX;
        }
        if (found == SIZE_MAX) break;
        JINJA_TRY(
            push_part(run, items, string, from_right ? found + separator->bytes : begin, from_right ? end : found));
        if (from_right)
            end = found;
        else
            begin = found + separator->bytes;
    }
    return push_part(run, items, string, begin, end);
}

lf_status lf__jinja_split(jinja_run *run, const jinja_string *string, const jinja_string *separator, int64_t limit,
                          bool from_right, jinja_value *out)
{
    jinja_items items = {0};
    if (limit < 0) limit = -1;
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    if (separator && separator->bytes == 0) return lf__jinja_error(run, "empty separator");
    if (separator)
        JINJA_TRY(split_separator(run, string, separator, limit, from_right, &items));
    else if (from_right)
        JINJA_TRY(split_space_right(run, string, limit < 0 ? INT64_MAX : limit, &items));
    else
        JINJA_TRY(split_space(run, string, limit < 0 ? INT64_MAX : limit, &items));
    for (size_t i = 0; from_right && i < items.count / 2; i++) {
        jinja_value swap = items.items[i];
        items.items[i] = items.items[items.count - 1 - i];
        items.items[items.count - 1 - i] = swap;
    }
    return lf__jinja_items_list(run, &items, JINJA_LIST, out);
}

lf_status lf__jinja_split_lines(jinja_run *run, const jinja_string *string, bool keep_ends, jinja_value *out)
{
    jinja_items items = {0};
    size_t begin = 0, at = 0;
    JINJA_TRY(lf__jinja_charge_bytes(run, string->bytes));
    while (at < string->bytes) {
        int32_t c;
        size_t end = at;
        at += lf__utf8_decode(string->data + at, string->bytes - at, &c);
        if (!lf__unicode_is_line_end(c)) continue;
        if (c == '\r' && at < string->bytes && string->data[at] == '\n') at++;
        JINJA_TRY(push_part(run, &items, string, begin, keep_ends ? at : end));
        begin = at;
    }
    if (begin < string->bytes) JINJA_TRY(push_part(run, &items, string, begin, string->bytes));
    return lf__jinja_items_list(run, &items, JINJA_LIST, out);
}

// `convert`: items that are no strings are taken as str() shows them, else they are an error.
lf_status lf__jinja_join(jinja_run *run, const jinja_string *separator, jinja_value iterable, bool convert,
                         jinja_value *out)
{
    jinja_builder builder;
    jinja_iter *iter;
    lf__jinja_builder_init(&builder, run);
    JINJA_TRY(lf__jinja_iter_new(run, iterable, &iter));
    for (size_t i = 0;; i++) {
        jinja_value item;
        bool has;
        JINJA_TRY(lf__jinja_iter_next(run, iter, &item, &has));
        if (!has) break;
        JINJA_TRY(lf__jinja_charge(run, 1));
        if (!convert && !lf__jinja_is_text(item))
            return lf__jinja_error(run, "sequence item %zu: expected str instance, %s found", i,
                                   lf__jinja_type_name(item));
        JINJA_TRY(lf__jinja_str(run, item, &item));
        if (i) lf__jinja_put(&builder, separator->data, separator->bytes);
        if (separator->markup && !item.string->markup)
            lf__jinja_put_escaped(&builder, item.string->data, item.string->bytes);
        else
            lf__jinja_put(&builder, item.string->data, item.string->bytes);
    }
    return finish(&builder, separator, out);
}
