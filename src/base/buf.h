// SPDX-License-Identifier: Apache-2.0
//
// A growing byte buffer for text. Always NUL-terminated once anything was appended; may hold NUL bytes (use `length`).
// Running out of memory is sticky: appends after it do nothing, and lf_buf_failed() tells at the end, so that a writer
// of many small pieces checks once.
#ifndef LF_BASE_BUF_H
#define LF_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct lf_buf {
    char *data; // OWNED; NULL while empty
    size_t length;
    size_t capacity;
    bool failed;
} lf_buf;

#define LF_BUF_INIT ((lf_buf){0})

void lf_buf_fini(lf_buf *buf);
// Empties the buffer and keeps its memory; also forgets a failure.
void lf_buf_clear(lf_buf *buf);
bool lf_buf_reserve(lf_buf *buf, size_t extra);
void lf_buf_append(lf_buf *buf, const void *bytes, size_t length);
void lf_buf_puts(lf_buf *buf, const char *text);
void lf_buf_putc(lf_buf *buf, char c);
void lf_buf_printf(lf_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lf_buf_vprintf(lf_buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
static inline bool lf_buf_failed(const lf_buf *buf) { return buf->failed; }
// The text as a C string: never NULL, "" while empty. BORROWED until the next append.
static inline const char *lf_buf_text(const lf_buf *buf) { return buf->data ? buf->data : ""; }
// Hands the memory to the caller (free() it) and empties the buffer; NULL after a failure.
char *lf_buf_take(lf_buf *buf);

#endif
