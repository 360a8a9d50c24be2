// SPDX-License-Identifier: Apache-2.0
//
// What Python's str can do, for the filters and the methods of the Jinja interpreter. Positions are code points.
#ifndef LF_TEXT_JINJA_STRING_H
#define LF_TEXT_JINJA_STRING_H

#include "text/jinja_value.h"

typedef enum jinja_case {
    JINJA_CASE_UPPER,
    JINJA_CASE_LOWER,
    JINJA_CASE_TITLE,
    JINJA_CASE_CAPITALIZE,
    JINJA_CASE_SWAP,
    JINJA_CASE_FOLD,
} jinja_case;
lf_status lf__jinja_map_case(jinja_run *run, const jinja_string *string, jinja_case to, jinja_value *out);
// The same for a part of a longer text.
void lf__jinja_put_case(jinja_builder *builder, const char *data, size_t bytes, jinja_case to);

typedef enum jinja_side { JINJA_LEFT = 1, JINJA_RIGHT = 2, JINJA_BOTH = 3 } jinja_side;
// Strips the characters of `chars`, or white space when it is NULL.
lf_status lf__jinja_strip(jinja_run *run, const jinja_string *string, const jinja_string *chars, jinja_side side,
                          jinja_value *out);
// JINJA_LEFT: ljust() and so on; JINJA_BOTH centers.
lf_status lf__jinja_justify(jinja_run *run, const jinja_string *string, int64_t width, int32_t fill, jinja_side side,
                            jinja_value *out);
// `count` < 0: all.
lf_status lf__jinja_replace(jinja_run *run, const jinja_string *string, const jinja_string *old,
                            const jinja_string *fresh, int64_t count, jinja_value *out);
// `separator` NULL: runs of white space. `limit` < 0: no limit.
lf_status lf__jinja_split(jinja_run *run, const jinja_string *string, const jinja_string *separator, int64_t limit,
                          bool from_right, jinja_value *out);
lf_status lf__jinja_split_lines(jinja_run *run, const jinja_string *string, bool keep_ends, jinja_value *out);
// Byte offset of the first (last) occurrence in the first `bytes` bytes from `begin` on; SIZE_MAX when there is none.
lf_status lf__jinja_find(jinja_run *run, const char *data, size_t bytes, const jinja_string *part, bool from_right,
                         size_t *out);
lf_status lf__jinja_join(jinja_run *run, const jinja_string *separator, jinja_value iterable, bool convert,
                         jinja_value *out);

#endif
