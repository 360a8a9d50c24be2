// SPDX-License-Identifier: Apache-2.0
//
// Well-formed UTF-8 by table 3-7 of the Unicode standard: the second byte's range depends on the first, later bytes are
// always 80..BF.
#include "text/utf8.h"

#include <string.h>

typedef struct lead_rule {
    uint8_t length;     // of the whole character; 0: never a first byte
    uint8_t second_min; // range of the second byte
    uint8_t second_max;
} lead_rule;

static lead_rule rule_of(uint8_t lead)
{
    if (lead < 0x80) return (lead_rule){1, 0, 0};
    if (lead < 0xc2) return (lead_rule){0, 0, 0};
    if (lead < 0xe0) return (lead_rule){2, 0x80, 0xbf};
    if (lead == 0xe0) return (lead_rule){3, 0xa0, 0xbf};
    if (lead == 0xed) return (lead_rule){3, 0x80, 0x9f};
    if (lead < 0xf0) return (lead_rule){3, 0x80, 0xbf};
    if (lead == 0xf0) return (lead_rule){4, 0x90, 0xbf};
    if (lead < 0xf4) return (lead_rule){4, 0x80, 0xbf};
    if (lead == 0xf4) return (lead_rule){4, 0x80, 0x8f};
    return (lead_rule){0, 0, 0};
}

lf_utf8_kind lf_utf8_scan(const uint8_t *bytes, size_t length, size_t *used)
{
    lead_rule rule = rule_of(bytes[0]);
    *used = 1;
    if (rule.length == 0) return LF_UTF8_ILL_FORMED;
    for (size_t i = 1; i < rule.length; i++) {
        if (i == length) return LF_UTF8_INCOMPLETE;
        uint8_t min = i == 1 ? rule.second_min : 0x80;
        uint8_t max = i == 1 ? rule.second_max : 0xbf;
        if (bytes[i] < min || bytes[i] > max) return LF_UTF8_ILL_FORMED;
        *used = i + 1;
    }
    return LF_UTF8_CHARACTER;
}

// Length of the leading run of ASCII, eight bytes at a time.
static size_t ascii_prefix(const uint8_t *bytes, size_t length)
{
    size_t i = 0;
    for (; length - i >= 8; i += 8) {
        uint64_t block;
        memcpy(&block, bytes + i, 8);
        if (block & 0x8080808080808080u) break;
    }
    while (i < length && bytes[i] < 0x80) i++;
    return i;
}

size_t lf_utf8_valid_prefix(const char *text, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t at = 0;
    while (at < length) {
        at += ascii_prefix(bytes + at, length - at);
        size_t used;
        if (at == length) break;
        if (lf_utf8_scan(bytes + at, length - at, &used) != LF_UTF8_CHARACTER) return at;
        at += used;
    }
    return length;
}

size_t lf_utf8_put(char dst[4], uint32_t codepoint)
{
    if (codepoint < 0x80) {
        dst[0] = (char)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        dst[0] = (char)(0xc0 | codepoint >> 6);
        dst[1] = (char)(0x80 | (codepoint & 0x3f));
        return 2;
    }
    if (codepoint < 0x10000) {
        dst[0] = (char)(0xe0 | codepoint >> 12);
        dst[1] = (char)(0x80 | (codepoint >> 6 & 0x3f));
        dst[2] = (char)(0x80 | (codepoint & 0x3f));
        return 3;
    }
    dst[0] = (char)(0xf0 | codepoint >> 18);
    dst[1] = (char)(0x80 | (codepoint >> 12 & 0x3f));
    dst[2] = (char)(0x80 | (codepoint >> 6 & 0x3f));
    dst[3] = (char)(0x80 | (codepoint & 0x3f));
    return 4;
}

size_t lf_utf8_append_lossy(lf_buf *out, const uint8_t *bytes, size_t length, bool hold_incomplete)
{
    size_t at = 0;
    while (at < length) {
        size_t well_formed = lf_utf8_valid_prefix((const char *)bytes + at, length - at);
        lf_buf_append(out, bytes + at, well_formed);
        at += well_formed;
        if (at == length) break;
        size_t used;
        if (lf_utf8_scan(bytes + at, length - at, &used) == LF_UTF8_INCOMPLETE && hold_incomplete) break;
        lf_buf_append(out, "\xef\xbf\xbd", 3);
        at += used;
    }
    return at;
}
