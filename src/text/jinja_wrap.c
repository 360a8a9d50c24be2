// SPDX-License-Identifier: Apache-2.0
//
// The filter wordwrap: every line of the text becomes a paragraph of lines of at most `width` characters, by the rules
// of Python's textwrap. A paragraph is cut into chunks (white space, words, parts of hyphenated words, dashes), then
// chunks are put on lines; white space at the edges of lines goes.
#include <string.h>

#include "base/mem.h"
#include "text/jinja_native.h"
#include "text/jinja_string.h"
#include "text/jinja_unicode.h"

typedef struct wrapper {
    jinja_run *run;
    jinja_builder builder;
    int64_t width;
    bool break_long_words;
    bool break_on_hyphens;
    const jinja_string *separator;
    const jinja_string *text; // the paragraph
    int32_t *chars;           // its code points
    size_t *offsets;          // where they start, and the end
    size_t n;
} wrapper;

static bool is_blank(int32_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_letter(int32_t c) { return lf__unicode_is_word(c) && !lf__unicode_is_decimal(c); }

static bool before_dash(int32_t c)
{
    return lf__unicode_is_word(c) || (c < 0x80 && c > 0 && strchr("!\"'&.,?", (int)c));
}

// The end of two dashes or more at i that stand in front of a word; i when there are none.
static size_t dashes_end(const wrapper *w, size_t i)
{
    size_t end = i;
    while (end < w->n && w->chars[end] == '-') end++;
    return end - i >= 2 && end < w->n && lf__unicode_is_word(w->chars[end]) ? end : i;
}

// Whether a hyphen at i may end a chunk: two letters before it (or a letter, a hyphen, a letter), two after it.
static bool breaks_at_hyphen(const wrapper *w, size_t i)
{
    const int32_t *c = w->chars;
    if (c[i] != '-' || i < 2 || !is_letter(c[i - 1])) return false;
    if (!is_letter(c[i - 2]) && !(c[i - 2] == '-' && i >= 3 && is_letter(c[i - 3]))) return false;
    size_t next = i + 1;
    if (next >= w->n || !is_letter(c[next])) return false;
    next += next + 1 < w->n && c[next + 1] == '-' ? 2 : 1;
    return next < w->n && is_letter(c[next]);
}

static size_t chunk_end(const wrapper *w, size_t i)
{
    size_t end = i;
    if (is_blank(w->chars[i])) {
        while (end < w->n && is_blank(w->chars[end])) end++;
        return end;
    }
    if (w->break_on_hyphens && i > 0 && before_dash(w->chars[i - 1]) && dashes_end(w, i) > i) return dashes_end(w, i);
    for (end = i + 1; end < w->n && !is_blank(w->chars[end]); end++) {
        if (!w->break_on_hyphens) continue;
        if (breaks_at_hyphen(w, end)) return end + 1;
        if (before_dash(w->chars[end - 1]) && w->chars[end] == '-' && dashes_end(w, end) > end) return end;
    }
    return end;
}

static bool is_space_only(const wrapper *w, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (!lf__unicode_is_space(w->chars[i])) return false;
    return true;
}

// Where a word that fits on no line is cut: at its last hyphen on this line, else where the line ends.
static size_t cut_word(const wrapper *w, size_t begin, size_t end, size_t room)
{
    size_t cut = LF_MIN(begin + room, end);
    if (!w->break_on_hyphens || end - begin <= room) return cut;
    for (size_t hyphen = cut; hyphen-- > begin + 1;) {
        if (w->chars[hyphen] != '-') continue;
        for (size_t i = begin; i < hyphen; i++)
            if (w->chars[i] != '-') return hyphen + 1;
        break;
    }
    return cut;
}

static void put_line(wrapper *w, size_t begin, size_t end, bool first)
{
    if (!first) lf__jinja_put(&w->builder, w->separator->data, w->separator->bytes);
    lf__jinja_put(&w->builder, w->text->data + w->offsets[begin], w->offsets[end] - w->offsets[begin]);
}

// A line is the text from `begin` to `end`: chunks are only left out at its edges.
static lf_status wrap_paragraph(wrapper *w)
{
    size_t width = (size_t)w->width, at = 0;
    bool first = true;
    while (at < w->n) {
        size_t next = chunk_end(w, at);
        JINJA_TRY(lf__jinja_charge(w->run, 4 + (next - at)));
        if (!first && is_space_only(w, at, next)) at = next;
        size_t begin = at, end = at, last = at; // `last`: start of the last chunk on the line
        while (end < w->n) {
            next = chunk_end(w, end);
            if (next - begin > width) break;
            last = end;
            end = next;
        }
        at = end;
        if (end < w->n && next - end > width) {
            if (w->break_long_words) {
                last = end;
                at = end = cut_word(w, end, next, width - (end - begin));
            } else if (end == begin) {
                at = end = next;
            }
        }
        if (last < end && is_space_only(w, last, end)) end = last;
        if (end > begin) {
            put_line(w, begin, end, first);
            first = false;
        }
        if (w->builder.status) return w->builder.status;
    }
    return LF_OK;
}

static lf_status read_paragraph(wrapper *w, const jinja_string *text)
{
    void *chars, *offsets;
    w->text = text;
    w->n = lf__utf8_count(text->data, text->bytes);
    JINJA_TRY(lf__jinja_charge(w->run, text->bytes));
    JINJA_TRY(lf__jinja_alloc(w->run, w->n + 1, sizeof *w->chars, &chars));
    JINJA_TRY(lf__jinja_alloc(w->run, w->n + 1, sizeof *w->offsets, &offsets));
    w->chars = chars;
    w->offsets = offsets;
    size_t at = 0;
    for (size_t i = 0; i < w->n; i++)
        at += lf__utf8_decode(text->data + at, text->bytes - at, &w->chars[i]), w->offsets[i + 1] = at;
    return LF_OK;
}

lf_status lf__jinja_filter_wordwrap(jinja_run *run, jinja_call *call, jinja_value *out)
{
    jinja_string newline = {.data = "\n", .bytes = 1}, *separator = &newline;
    jinja_value lines;
    wrapper w = {.run = run, .width = 79, .break_long_words = true, .break_on_hyphens = true};
    if (!lf__jinja_is_text(call->self))
        return lf__jinja_error(run, "wordwrap() needs a string, not %s", lf__jinja_type_name(call->self));
    JINJA_TRY(lf__jinja_param_int(run, call, 0, &w.width));
    JINJA_TRY(lf__jinja_param_bool(run, call, 1, &w.break_long_words));
    if (call->params[2].kind != JINJA_NONE) JINJA_TRY(lf__jinja_param_string(run, call, 2, &separator));
    JINJA_TRY(lf__jinja_param_bool(run, call, 3, &w.break_on_hyphens));
    w.separator = separator;
    lf__jinja_builder_init(&w.builder, run);
    JINJA_TRY(lf__jinja_split_lines(run, call->self.string, false, &lines));
    if (w.width <= 0 && lines.list->count)
        return lf__jinja_error(run, "invalid width %lld (must be > 0)", (long long)w.width);
    for (size_t i = 0; i < lines.list->count; i++) {
        if (i) lf__jinja_put(&w.builder, separator->data, separator->bytes);
        JINJA_TRY(read_paragraph(&w, lines.list->items[i].string));
        JINJA_TRY(wrap_paragraph(&w));
    }
    return lf__jinja_builder_finish(&w.builder, out);
}
