// SPDX-License-Identifier: Apache-2.0
//
// The growing text buffer: one realloc'd block, one byte kept free for the terminator.
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void lf_buf_fini(lf_buf *buf)
{
    free(buf->data);
    *buf = LF_BUF_INIT;
}

void lf_buf_clear(lf_buf *buf)
{
    buf->length = 0;
    buf->failed = false;
    if (buf->data) buf->data[0] = '\0';
}

bool lf_buf_reserve(lf_buf *buf, size_t extra)
{
    size_t need;
    if (buf->failed) return false;
    if (!lf_add_size(buf->length, extra, &need) || !lf_add_size(need, 1, &need) ||
        !lf_array_grow((void **)&buf->data, &buf->capacity, need, 1)) {
        buf->failed = true;
        return false;
    }
    return true;
}

void lf_buf_append(lf_buf *buf, const void *bytes, size_t length)
{
    if (!lf_buf_reserve(buf, length)) return;
    if (length) memcpy(buf->data + buf->length, bytes, length);
    buf->length += length;
    buf->data[buf->length] = '\0';
}

void lf_buf_puts(lf_buf *buf, const char *text) { lf_buf_append(buf, text, strlen(text)); }

void lf_buf_putc(lf_buf *buf, char c) { lf_buf_append(buf, &c, 1); }

void lf_buf_vprintf(lf_buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) {
        buf->failed = true;
    } else if (lf_buf_reserve(buf, (size_t)length)) {
        vsnprintf(buf->data + buf->length, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
}

void lf_buf_printf(lf_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    lf_buf_vprintf(buf, format, args);
    va_end(args);
}

char *lf_buf_take(lf_buf *buf)
{
    if (!buf->failed) lf_buf_reserve(buf, 0);
    if (buf->failed) {
        lf_buf_fini(buf);
        return NULL;
    }
    char *data = buf->data;
    data[buf->length] = '\0';
    *buf = LF_BUF_INIT;
    return data;
}
