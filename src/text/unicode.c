// SPDX-License-Identifier: Apache-2.0
//
// Character classes from utf8proc's general categories.
#include "text/unicode.h"

#include <string.h>
#include <utf8proc.h>

bool lf_is_white_space(uint32_t c)
{
    if (c < 0x80) return c == 0x20 || (c >= 0x09 && c <= 0x0d);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
           c == 0x202f || c == 0x205f || c == 0x3000;
}

// Alphabetic characters that are neither letters, letter numbers nor marks: circled and squared Latin letters.
static bool is_other_alphabetic(uint32_t c)
{
    return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

// Whether the general category, two letters, is in a list of them ("Nd Nl No").
static bool has_category(uint32_t c, const char *list)
{
    const char *category = utf8proc_category_string((utf8proc_int32_t)c);
    if (strcmp(category, "Cn") == 0) category = lf_newer_category(c);
    return category && strstr(list, category);
}

bool lf_is_word(uint32_t c)
{
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    return has_category(c, "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl Pc") || c == 0x200c || c == 0x200d || is_other_alphabetic(c);
}

bool lf_is_number(uint32_t c)
{
    if (c < 0x80) return c >= '0' && c <= '9';
    return has_category(c, "Nd Nl No");
}

bool lf_is_punctuation(uint32_t c)
{
    if (c >= 0x80) return has_category(c, "Pc Pd Ps Pe Pi Pf Po");
    return (c >= 0x21 && c <= 0x2f) || (c >= 0x3a && c <= 0x40) || (c >= 0x5b && c <= 0x60) || (c >= 0x7b && c <= 0x7e);
}
