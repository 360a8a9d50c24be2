// SPDX-License-Identifier: Apache-2.0
//
// What tokenizer tests share: small tokenizers made from their parts, and encoding that fails the test on an error.
#ifndef LF_TESTS_TEXT_HELPERS_H
#define LF_TESTS_TEXT_HELPERS_H

#include "base/buf.h"
#include "text/tokenizer.h"

// Processor time of this process: other work on the machine does not count.
double cpu_seconds(void);

// Parts of a tokenizer.json as JSON text; NULL takes the default in brackets.
typedef struct parts {
    const char *added_tokens;   // [none]
    const char *normalizer;     // [null]
    const char *pre_tokenizer;  // [ByteLevel, no prefix space, no regular expression]
    const char *post_processor; // [null]
    const char *decoder;        // [ByteLevel]
    const char *vocab;          // further entries of the vocabulary; the 256 byte characters have ids 0 to 255
    const char *merges;         // [none]
    const char *settings;       // further members of "model", with a leading comma
} parts;

// The document in *out (LF_BUF_INIT before).
void make_json(lf_buf *out, const parts *from);
// Opens the tokenizer; the test fails with the message when that is refused.
lf_tokenizer *make_tokenizer(const parts *from);
// LF_OK, or what opening the document says.
lf_status open_status(const parts *from, lf_error *err);

// Asserts that the text (a C string) encodes to exactly these ids; the list ends with -1.
void assert_ids(const lf_tokenizer *tokenizer, unsigned flags, const char *text, const int32_t *expected);
#define IDS(...) ((const int32_t[]){__VA_ARGS__, -1})
#define NO_IDS ((const int32_t[]){-1})

#endif
