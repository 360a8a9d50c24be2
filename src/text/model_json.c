// SPDX-License-Identifier: Apache-2.0
//
// Cutting and strict reading. Why cutting is safe: the scan that finds a value only tracks strings and brackets, so on
// a malformed document it may cut anywhere; but then either the rest or the range is no JSON, and both are read
// strictly. If both are JSON, so is the document, and the null that stands at root.model.vocab stands where the range
// stood.
#include "text/model_json.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/utf8.h"

typedef struct cursor {
    const char *start; // BORROWED
    const char *at;
    const char *end;
    const char *what; // for errors
    lf_buf text[2];   // strings with escapes are unfolded here
    lf_error *err;
} cursor;

static lf_status malformed(cursor *c, const char *expected)
{
    lf_error_set(c->err, LF_ERR_FORMAT, "%s is malformed at byte %zu", c->what, (size_t)(c->at - c->start));
    return lf_error_expected(c->err, "%s", expected);
}

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

// Takes `byte` after white space, if it comes next.
static bool take(cursor *c, char byte)
{
    skip_space(c);
    if (c->at == c->end || *c->at != byte) return false;
    c->at++;
    return true;
}

// --- strings

static bool read_unit(cursor *c, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, c->at++) {
        if (c->at == c->end) return false;
        char d = *c->at;
        uint32_t value;
        if (d >= '0' && d <= '9') {
            value = (uint32_t)(d - '0');
        } else if ((d | 0x20) >= 'a' && (d | 0x20) <= 'f') {
            value = (uint32_t)((d | 0x20) - 'a' + 10);
        } else {
            return false;
        }
        *unit = *unit << 4 | value;
    }
    return true;
}

// \uHHHH, or two of them that make one character; `at` is behind the u.
static bool read_unicode_escape(cursor *c, lf_buf *out)
{
    uint32_t unit;
    if (!read_unit(c, &unit)) return false;
    if (unit >= 0xdc00 && unit < 0xe000) return false;
    if (unit >= 0xd800 && unit < 0xdc00) {
        uint32_t low;
        if (c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u') return false;
        c->at += 2;
        if (!read_unit(c, &low) || low < 0xdc00 || low >= 0xe000) return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    char bytes[4];
    lf_buf_append(out, bytes, lf_utf8_put(bytes, unit));
    return true;
}

static bool read_escape(cursor *c, lf_buf *out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (c->at == c->end) return false;
    char letter = *c->at++;
    if (letter == 'u') return read_unicode_escape(c, out);
    const char *found = letter ? strchr(letters, letter) : NULL;
    if (!found) return false;
    lf_buf_putc(out, values[found - letters]);
    return true;
}

// Up to the next quote, backslash or control character; *is_ascii is cleared when there are other bytes than ASCII.
static const char *plain_end(const cursor *c, bool *is_ascii)
{
    const char *at = c->at;
    unsigned seen = 0;
    while (at < c->end && *at != '"' && *at != '\\' && (uint8_t)*at >= 0x20) seen |= (uint8_t)*at++;
    if (seen & 0x80) *is_ascii = false;
    return at;
}

// Reads a string. The result lies in the document, or in c->text[slot] when it has escapes.
static lf_status read_string(cursor *c, int slot, const char **text, size_t *length)
{
    if (!take(c, '"')) return malformed(c, "a string");
    bool is_ascii = true;
    const char *start = c->at;
    c->at = plain_end(c, &is_ascii);
    *text = start;
    *length = (size_t)(c->at - start);
    if (c->at < c->end && *c->at == '\\') {
        lf_buf *out = &c->text[slot];
        lf_buf_clear(out);
        lf_buf_append(out, *text, *length);
        while (c->at < c->end && *c->at == '\\') {
            c->at++;
            if (!read_escape(c, out)) return malformed(c, "an escape sequence");
            start = c->at;
            c->at = plain_end(c, &is_ascii);
            lf_buf_append(out, start, (size_t)(c->at - start));
        }
        if (lf_buf_failed(out)) return lf_error_no_memory(c->err, *length);
        *text = out->data;
        *length = out->length;
    }
    if (c->at == c->end || *c->at != '"') return malformed(c, "the end of a string");
    if (!is_ascii && lf_utf8_valid_prefix(*text, *length) != *length) return malformed(c, "valid UTF-8");
    c->at++;
    return LF_OK;
}

// --- cutting

// What skip_value() stops at. Most bytes of a vocabulary are none of these.
enum { PLAIN, QUOTE, BACKSLASH, OPENING, CLOSING, COMMA };
static const uint8_t classes[256] = {['"'] = QUOTE,   ['\\'] = BACKSLASH, ['{'] = OPENING, ['['] = OPENING,
                                     ['}'] = CLOSING, [']'] = CLOSING,    [','] = COMMA};

// From behind the opening quote to behind the closing one.
static const char *skip_string(const char *at, const char *end)
{
    for (;;) {
        while (at < end && classes[(uint8_t)*at] != QUOTE && classes[(uint8_t)*at] != BACKSLASH) at++;
        if (at == end) return end;
        if (*at == '"') return at + 1;
        if (end - at < 2) return end;
        at += 2;
    }
}

// Moves past one value: to the ',' '}' or ']' that ends it. Brackets are counted, not matched.
static void skip_value(cursor *c)
{
    size_t depth = 0;
    const char *at = c->at;
    while (at < c->end) {
        uint8_t class = classes[(uint8_t)*at];
        if (class == QUOTE) {
            at = skip_string(at + 1, c->end);
            continue;
        }
        if (depth == 0 && (class == CLOSING || class == COMMA)) break;
        depth += class == OPENING;
        depth -= class == CLOSING;
        at++;
    }
    c->at = at;
}

typedef struct cut {
    const char *key;
    lf_json_range *range;
} cut;

// Walks the members of the object at the cursor and notes the ranges of the wanted ones; stops quietly at anything
// malformed.
static void find_members(cursor *c, const cut *cuts, size_t n_cut)
{
    if (!take(c, '{')) return;
    for (;;) {
        const char *key;
        size_t length;
        lf_error ignored;
        c->err = &ignored;
        if (read_string(c, 0, &key, &length) || !take(c, ':')) return;
        skip_space(c);
        const char *value = c->at;
        skip_value(c);
        const char *stop = c->at;
        while (stop > value && (stop[-1] == ' ' || stop[-1] == '\n' || stop[-1] == '\t' || stop[-1] == '\r')) stop--;
        for (size_t i = 0; i < n_cut; i++) {
            if (strlen(cuts[i].key) != length || memcmp(cuts[i].key, key, length) != 0) continue;
            if (!cuts[i].range->text) *cuts[i].range = (lf_json_range){value, (size_t)(stop - value)};
        }
        if (!take(c, ',')) return;
    }
}

lf_status lf_model_json_open(lf_model_json *out, const char *json, size_t length, lf_error *err)
{
    lf_json_range model = {0};
    lf_buf rest = LF_BUF_INIT;
    *out = (lf_model_json){0};
    cursor c = {.start = json, .at = json, .end = json + length, .what = "tokenizer.json"};
    find_members(&c, &(cut){"model", &model}, 1);
    if (model.text) {
        const cut cuts[] = {{"vocab", &out->vocab}, {"merges", &out->merges}};
        c.at = model.text;
        c.end = model.text + model.length;
        find_members(&c, cuts, LF_ARRAY_LENGTH(cuts));
    }
    lf_buf_fini(&c.text[0]);
    lf_buf_fini(&c.text[1]);
    const lf_json_range *first = &out->vocab;
    const lf_json_range *second = &out->merges;
    if (second->text && (!first->text || second->text < first->text)) {
        first = &out->merges;
        second = &out->vocab;
    }
    const char *done = json;
    for (int i = 0; i < 2; i++) {
        const lf_json_range *range = i == 0 ? first : second;
        if (!range->text) continue;
        lf_buf_append(&rest, done, (size_t)(range->text - done));
        lf_buf_puts(&rest, "null");
        done = range->text + range->length;
    }
    lf_buf_append(&rest, done, (size_t)(json + length - done));
    lf_status status = lf_buf_failed(&rest) ? lf_error_no_memory(err, length) : LF_OK;
    if (!status) status = lf_json_parse(&out->root, lf_buf_text(&rest), rest.length, "tokenizer.json", err);
    lf_buf_fini(&rest);
    if (status) *out = (lf_model_json){0};
    return status;
}

void lf_model_json_close(lf_model_json *model)
{
    json_decref(model->root);
    *model = (lf_model_json){0};
}

// --- strict reading

static lf_status read_id(cursor *c, uint32_t *id)
{
    uint64_t value = 0;
    skip_space(c);
    const char *start = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && value <= UINT32_MAX) {
        value = value * 10 + (uint64_t)(*c->at++ - '0');
    }
    bool has_leading_zero = c->at - start > 1 && *start == '0';
    if (c->at == start || has_leading_zero || value > UINT32_MAX) return malformed(c, "a token id");
    *id = (uint32_t)value;
    return LF_OK;
}

static lf_status expect_end(cursor *c)
{
    skip_space(c);
    return c->at == c->end ? LF_OK : malformed(c, "the end of the value");
}

static lf_status read_vocab(cursor *c, lf_vocab_entry_fn entry, void *ctx)
{
    if (!take(c, '{')) return malformed(c, "an object");
    if (take(c, '}')) return expect_end(c);
    do {
        const char *token;
        size_t length;
        uint32_t id = 0;
        lf_status status = read_string(c, 0, &token, &length);
        if (!status && !take(c, ':')) status = malformed(c, "':'");
        if (!status) status = read_id(c, &id);
        if (!status) status = entry(ctx, token, length, id, c->err);
        if (status) return status;
    } while (take(c, ','));
    if (!take(c, '}')) return malformed(c, "',' or '}'");
    return expect_end(c);
}

// One merge, in either form; *is_skipped when it is only a version line.
static lf_status read_merge(cursor *c, const char *parts[2], size_t lengths[2], bool *is_skipped)
{
    *is_skipped = false;
    if (take(c, '[')) {
        lf_status status = read_string(c, 0, &parts[0], &lengths[0]);
        if (!status && !take(c, ',')) status = malformed(c, "','");
        if (!status) status = read_string(c, 1, &parts[1], &lengths[1]);
        if (!status && !take(c, ']')) status = malformed(c, "']'");
        return status;
    }
    const char *text;
    size_t length;
    lf_status status = read_string(c, 0, &text, &length);
    if (status) return status;
    *is_skipped = length >= 8 && memcmp(text, "#version", 8) == 0;
    if (*is_skipped) return LF_OK;
    const char *space = memchr(text, ' ', length);
    if (!space || memchr(space + 1, ' ', (size_t)(text + length - space - 1))) {
        return malformed(c, "two tokens with one space between them");
    }
    parts[0] = text;
    lengths[0] = (size_t)(space - text);
    parts[1] = space + 1;
    lengths[1] = length - lengths[0] - 1;
    return LF_OK;
}

static lf_status read_merges(cursor *c, lf_merge_entry_fn entry, void *ctx)
{
    uint32_t rank = 0;
    if (!take(c, '[')) return malformed(c, "a list");
    if (take(c, ']')) return expect_end(c);
    do {
        const char *parts[2] = {NULL, NULL};
        size_t lengths[2] = {0, 0};
        bool is_skipped;
        lf_status status = read_merge(c, parts, lengths, &is_skipped);
        if (!status && !is_skipped) status = entry(ctx, parts[0], lengths[0], parts[1], lengths[1], rank++, c->err);
        if (status) return status;
    } while (take(c, ','));
    if (!take(c, ']')) return malformed(c, "',' or ']'");
    return expect_end(c);
}

static cursor cursor_of(lf_json_range range, const char *what, lf_error *err)
{
    return (cursor){.start = range.text, .at = range.text, .end = range.text + range.length, .what = what, .err = err};
}

static lf_status cursor_done(cursor *c, lf_status status)
{
    lf_buf_fini(&c->text[0]);
    lf_buf_fini(&c->text[1]);
    return status;
}

lf_status lf_model_json_vocab(lf_json_range range, lf_vocab_entry_fn entry, void *ctx, lf_error *err)
{
    cursor c = cursor_of(range, "model.vocab", err);
    return cursor_done(&c, read_vocab(&c, entry, ctx));
}

lf_status lf_model_json_merges(lf_json_range range, lf_merge_entry_fn entry, void *ctx, lf_error *err)
{
    cursor c = cursor_of(range, "model.merges", err);
    return cursor_done(&c, read_merges(&c, entry, ctx));
}
