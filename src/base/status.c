// SPDX-License-Identifier: Apache-2.0
//
// Status texts and the fixed-size error value. Nothing here allocates: an out-of-memory error must be reportable.
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *text;
    int exit_status;
} statuses[] = {
#define X(symbol, text, exit_status) [symbol] = {text, exit_status},
    LF_STATUS_MAP(X)
#undef X
};

const char *lf_status_text(lf_status status)
{
    size_t i = (size_t)status;
    return i < sizeof statuses / sizeof *statuses ? statuses[i].text : "unknown status";
}

int lf_status_exit(lf_status status)
{
    size_t i = (size_t)status;
    return i < sizeof statuses / sizeof *statuses ? statuses[i].exit_status : 3;
}

static void format_field(char *dst, size_t dst_bytes, const char *format, va_list args)
{
    if (vsnprintf(dst, dst_bytes, format, args) < 0) dst[0] = '\0';
}

static void error_reset(lf_error *err, lf_status status)
{
    memset(err, 0, sizeof *err);
    err->status = status;
}

lf_status lf_error_set(lf_error *err, lf_status status, const char *format, ...)
{
    error_reset(err, status);
    va_list args;
    va_start(args, format);
    format_field(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

static lf_status status_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOMEM: return LF_ERR_NO_MEMORY;
    case ENOSPC:
    case EDQUOT: return LF_ERR_NO_SPACE;
    case ENOENT:
    case ENOTDIR: return LF_ERR_NOT_FOUND;
    default: return LF_ERR_IO;
    }
}

lf_status lf_error_errno(lf_error *err, int errno_value, const char *format, ...)
{
    lf_status status = status_of_errno(errno_value);
    error_reset(err, status);
    va_list args;
    va_start(args, format);
    format_field(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", strerror(errno_value));
    return status;
}

lf_status lf_error_no_memory(lf_error *err, size_t bytes)
{
    if (bytes == 0) return lf_error_set(err, LF_ERR_NO_MEMORY, "out of memory");
    return lf_error_set(err, LF_ERR_NO_MEMORY, "out of memory: cannot get %zu bytes", bytes);
}

// The four field setters differ only in the field.
#define DEFINE_FIELD_SETTER(field)                                                                                     \
    lf_status lf_error_##field(lf_error *err, const char *format, ...)                                                 \
    {                                                                                                                  \
        va_list args;                                                                                                  \
        va_start(args, format);                                                                                        \
        format_field(err->field, sizeof err->field, format, args);                                                     \
        va_end(args);                                                                                                  \
        return err->status;                                                                                            \
    }
DEFINE_FIELD_SETTER(subject)
DEFINE_FIELD_SETTER(expected)
DEFINE_FIELD_SETTER(found)
DEFINE_FIELD_SETTER(hint)

lf_status lf_error_at(lf_error *err, const char *format, ...)
{
    char context[LF_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    format_field(context, sizeof context, format, args);
    va_end(args);

    char old[LF_ERROR_MESSAGE_BYTES];
    memcpy(old, err->message, sizeof old);
    size_t context_length = strnlen(context, sizeof context / 2);
    snprintf(err->message, sizeof err->message, "%.*s: ", (int)context_length, context);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, "%s", old);
    return err->status;
}

void lf_error_format(const lf_error *err, char *dst, size_t dst_bytes)
{
    if (dst_bytes == 0) return;
    snprintf(dst, dst_bytes, "%s", err->message[0] ? err->message : lf_status_text(err->status));
    const struct {
        const char *before;
        const char *value;
    } parts[] = {{": expected ", err->expected}, {", found ", err->found}, {"; ", err->hint}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t used = strlen(dst);
        if (parts[i].value[0]) snprintf(dst + used, dst_bytes - used, "%s%s", parts[i].before, parts[i].value);
    }
}
