// SPDX-License-Identifier: Apache-2.0
//
// Code points as Python's str sees them: UTF-8 positions, white space, classes and full case mappings (one letter may
// become three). Classes and simple mappings come from utf8proc; the rest is a table from Unicode's SpecialCasing.txt.
#ifndef LF_TEXT_JINJA_UNICODE_H
#define LF_TEXT_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A character is one byte and the continuation bytes after it, in any input; one that is malformed reads as U+FFFD.
size_t lf__utf8_decode(const char *data, size_t bytes, int32_t *code_point); // length >= 1; bytes must not be 0
size_t lf__utf8_encode(int32_t code_point, char out[4]);
size_t lf__utf8_count(const char *data, size_t bytes);
// Offset of character `index`, at most `bytes`.
size_t lf__utf8_offset(const char *data, size_t bytes, size_t index);
// Start of the character that ends before `offset` (> 0).
size_t lf__utf8_before(const char *data, size_t offset);
bool lf__utf8_is_valid(const char *data, size_t bytes);
// The length without a character that is cut off at the end.
size_t lf__utf8_prefix(const char *data, size_t bytes);

enum { LF_UNICODE_MAX_MAPPED = 3 };
int lf__unicode_upper(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED]);
int lf__unicode_title(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED]);
int lf__unicode_lower(int32_t code_point, int32_t out[LF_UNICODE_MAX_MAPPED]);
// Lower case of the character at `offset`: a sigma at the end of a word has a form of its own.
int lf__unicode_lower_at(const char *data, size_t bytes, size_t offset, int32_t out[LF_UNICODE_MAX_MAPPED]);

bool lf__unicode_is_space(int32_t code_point);    // str.isspace()
bool lf__unicode_is_line_end(int32_t code_point); // str.splitlines(); \r\n is the caller's
bool lf__unicode_is_alpha(int32_t code_point);
bool lf__unicode_is_decimal(int32_t code_point);
bool lf__unicode_is_digit(int32_t code_point);
bool lf__unicode_is_numeric(int32_t code_point);
bool lf__unicode_is_alnum(int32_t code_point);
bool lf__unicode_is_word(int32_t code_point); // \w of Python's re
bool lf__unicode_is_upper(int32_t code_point);
bool lf__unicode_is_lower(int32_t code_point);
bool lf__unicode_is_title(int32_t code_point);
bool lf__unicode_is_printable(int32_t code_point);
bool lf__unicode_is_name_start(int32_t code_point); // identifiers
bool lf__unicode_is_name_part(int32_t code_point);

#endif
