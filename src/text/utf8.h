// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 as the text module needs it: strict validation of what comes from outside, unchecked decoding of what was
// validated, and the replacement rule for what a model may emit (which need not be valid at all).
#ifndef LF_TEXT_UTF8_H
#define LF_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Offset of the first byte that does not belong to well-formed UTF-8 (overlong forms, surrogates and values past
// U+10FFFF are ill-formed), or `length` when all of it is well-formed.
size_t lf_utf8_valid_prefix(const char *text, size_t length);

// Bytes of the character that starts with `lead`, a lead byte of well-formed UTF-8.
static inline size_t lf_utf8_length(uint8_t lead) { return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4; }

// The character at *cursor, which must lie in well-formed UTF-8; *cursor moves past it.
static inline uint32_t lf_utf8_next(const char **cursor)
{
    const uint8_t *byte = (const uint8_t *)*cursor;
    size_t length = lf_utf8_length(byte[0]);
    *cursor += length;
    if (length == 1) return byte[0];
    if (length == 2) return (byte[0] & 0x1fu) << 6 | (byte[1] & 0x3fu);
    if (length == 3) return (byte[0] & 0x0fu) << 12 | (byte[1] & 0x3fu) << 6 | (byte[2] & 0x3fu);
    return (byte[0] & 0x07u) << 18 | (byte[1] & 0x3fu) << 12 | (byte[2] & 0x3fu) << 6 | (byte[3] & 0x3fu);
}

// Writes the 1 to 4 bytes of a Unicode scalar value and returns how many.
size_t lf_utf8_put(char dst[4], uint32_t codepoint);

// Reads one item of arbitrary bytes: a well-formed character, or a maximal ill-formed part, which U+FFFD stands for
// (one per part: Unicode chapter 3, "U+FFFD Substitution of Maximal Subparts").
typedef enum lf_utf8_kind {
    LF_UTF8_CHARACTER,  // well-formed
    LF_UTF8_ILL_FORMED, // no continuation can make it well-formed
    LF_UTF8_INCOMPLETE, // a proper prefix of a character, cut off by the end of the bytes
} lf_utf8_kind;
lf_utf8_kind lf_utf8_scan(const uint8_t *bytes, size_t length, size_t *used);

// Appends bytes[0, length) with every ill-formed part replaced by U+FFFD. When `hold_incomplete`, an incomplete
// character at the end is left out. Returns how many bytes were used up: `length`, less those left out (at most 3).
size_t lf_utf8_append_lossy(lf_buf *out, const uint8_t *bytes, size_t length, bool hold_incomplete);

#endif
