// SPDX-License-Identifier: Apache-2.0
//
// Unicode normal forms with utf8proc's tables. The text is cut at characters that never change and never join what
// precedes them, and only the stretches around others are worked on: ordinary text is copied. utf8proc's own
// whole-string functions are avoided because they order marks by swapping neighbours, quadratic in a run of marks that
// may be as long as the text; here a run is ordered by counting.
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/normalize.h"
#include "text/unicode.h"
#include "text/utf8.h"

typedef struct stretch {
    int32_t *codepoints; // OWNED
    size_t count;
    size_t capacity;
    int32_t *sorted; // OWNED
    size_t sorted_capacity;
} stretch;

typedef enum stability {
    UNSTABLE, // may change, or join what precedes it
    STABLE,   // stays as it is, and what follows may join it: Quick_Check=Yes and combining class 0
    INERT,    // stays as it is, and nothing joins it
} stability;

// Errs on the side of UNSTABLE.
static stability stability_of(lf_normal_form form, uint32_t c)
{
    if (c < 0x80 || (c >= 0x4e00 && c <= 0x9fff)) return STABLE;
    if (lf_is_inert(c)) return INERT;
    if (form == LF_NFKC || form == LF_NFKD) return UNSTABLE;
    if (c < 0xc0 || (c >= 0x3400 && c <= 0x9fff)) return STABLE;
    if (form == LF_NFD) return UNSTABLE;
    bool is_stable = c < 0x300 ||                    // Latin
                     (c >= 0x400 && c <= 0x482) ||   // Cyrillic
                     (c >= 0x48a && c <= 0x590) ||   // Cyrillic, Armenian
                     (c >= 0x2010 && c <= 0x2027) || // dashes, quotes, dots
                     (c >= 0x3041 && c <= 0x3098) || // Hiragana
                     (c >= 0x30a0 && c <= 0x30ff) || // Katakana
                     (c >= 0xac00 && c <= 0xd7a3) || // Hangul syllables
                     (c >= 0x1f300 && c <= 0x1faff); // pictures
    return is_stable ? STABLE : UNSTABLE;
}

static bool reserve(int32_t **array, size_t *capacity, size_t need)
{
    return lf_array_grow((void **)array, capacity, need, sizeof **array);
}

static lf_status decompose(stretch *s, lf_normal_form form, const char *text, size_t length, lf_error *err)
{
    int options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (form == LF_NFKC || form == LF_NFKD ? UTF8PROC_COMPAT : 0);
    const char *cursor = text;
    s->count = 0;
    while (cursor < text + length) {
        int32_t c = (int32_t)lf_utf8_next(&cursor);
        for (;;) {
            int boundary = 0;
            utf8proc_ssize_t room = (utf8proc_ssize_t)(s->capacity - s->count);
            utf8proc_int32_t *free_place = s->codepoints ? s->codepoints + s->count : NULL;
            utf8proc_ssize_t n = utf8proc_decompose_char(c, free_place, room, (utf8proc_option_t)options, &boundary);
            if (n < 0) return lf_error_set(err, LF_ERR_BUG, "U+%04X does not decompose", (unsigned)c);
            if (n <= room) {
                s->count += (size_t)n;
                break;
            }
            if (!reserve(&s->codepoints, &s->capacity, s->count + (size_t)n)) return lf_error_no_memory(err, 0);
        }
    }
    return LF_OK;
}

static unsigned combining_class(int32_t c) { return (unsigned)utf8proc_get_property(c)->combining_class; }

// Orders codepoints[begin, end), all of combining class > 0, stably by class.
static lf_status order_marks(stretch *s, size_t begin, size_t end, lf_error *err)
{
    size_t starts[257] = {0};
    if (!reserve(&s->sorted, &s->sorted_capacity, end - begin)) return lf_error_no_memory(err, 0);
    for (size_t i = begin; i < end; i++) starts[(combining_class(s->codepoints[i]) & 0xff) + 1]++;
    for (size_t k = 1; k < 257; k++) starts[k] += starts[k - 1];
    for (size_t i = begin; i < end; i++)
        s->sorted[starts[combining_class(s->codepoints[i]) & 0xff]++] = s->codepoints[i];
    memcpy(s->codepoints + begin, s->sorted, (end - begin) * sizeof *s->sorted);
    return LF_OK;
}

static lf_status order_all(stretch *s, lf_error *err)
{
    size_t begin = 0;
    for (size_t i = 0; i <= s->count; i++) {
        if (i < s->count && combining_class(s->codepoints[i]) != 0) continue;
        if (i - begin > 1) {
            lf_status status = order_marks(s, begin, i, err);
            if (status) return status;
        }
        begin = i + 1;
    }
    return LF_OK;
}

static lf_status normalize_stretch(stretch *s, lf_buf *out, lf_normal_form form, const char *text, size_t length,
                                   lf_error *err)
{
    lf_status status = decompose(s, form, text, length, err);
    if (!status) status = order_all(s, err);
    if (status) return status;
    utf8proc_ssize_t n = (utf8proc_ssize_t)s->count;
    if (form == LF_NFC || form == LF_NFKC) {
        n = utf8proc_normalize_utf32(s->codepoints, n, (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    }
    if (n < 0 || !lf_buf_reserve(out, (size_t)n * 4)) return lf_error_no_memory(err, 0);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        char bytes[4];
        lf_buf_append(out, bytes, lf_utf8_put(bytes, (uint32_t)s->codepoints[i]));
    }
    return LF_OK;
}

lf_status lf_normalize_form(lf_buf *out, lf_normal_form form, const char *text, size_t length, lf_error *err)
{
    stretch s = {0};
    lf_status status = LF_OK;
    const char *end = text + length;
    const char *copied = text; // everything before is in `out`
    const char *cursor = text;
    const char *last = text; // where a stretch would start: at the last stable character, or behind an inert one
    while (cursor < end && !status) {
        const char *start = cursor;
        stability found = stability_of(form, lf_utf8_next(&cursor));
        if (found != UNSTABLE) {
            last = found == STABLE ? start : cursor;
            continue;
        }
        const char *stop = cursor;
        while (cursor < end) {
            stop = cursor;
            if (stability_of(form, lf_utf8_next(&cursor)) != UNSTABLE) break;
            stop = cursor;
        }
        lf_buf_append(out, copied, (size_t)(last - copied));
        status = normalize_stretch(&s, out, form, last, (size_t)(stop - last), err);
        cursor = copied = last = stop;
    }
    lf_buf_append(out, copied, (size_t)(end - copied));
    free(s.codepoints);
    free(s.sorted);
    if (!status && lf_buf_failed(out)) return lf_error_no_memory(err, 0);
    return status;
}
