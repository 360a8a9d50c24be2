// SPDX-License-Identifier: Apache-2.0
//
// The character classes of the reference library that are not left to the regular expressions.
#ifndef LF_TEXT_UNICODE_H
#define LF_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// The White_Space property (25 characters, stable since Unicode 6.3).
bool lf_is_white_space(uint32_t codepoint);
// \w of Unicode regular expressions: Alphabetic, marks, decimal digits, connector punctuation, joiners (UTS 18, annex
// C).
bool lf_is_word(uint32_t codepoint);
// General category N (decimal, letter-like and other numbers).
bool lf_is_number(uint32_t codepoint);
// ASCII punctuation and general category P.
bool lf_is_punctuation(uint32_t codepoint);

// The general category ("Lu", "So") of a character that is newer than Unicode 14, NULL for all others.
const char *lf_newer_category(uint32_t codepoint);
// Appends members of a PCRE2 class for the newer characters of a general category ("L", "Lu") or of the script "Han".
void lf_newer_append(lf_buf *out, const char *property, size_t length);

// True for characters that normalization must pass by: unknown to the reference library's normalizer.
bool lf_is_inert(uint32_t codepoint);

#endif
