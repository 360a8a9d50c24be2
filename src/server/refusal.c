// SPDX-License-Identifier: Apache-2.0
//
// Refusals and their JSON.
#include "server/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/utf8.h"

// Cuts an incomplete UTF-8 sequence off the end of a text that snprintf may have truncated.
static void trim_incomplete(char *text)
{
    size_t length = strlen(text), back = 0;
    while (back < 4 && back < length && ((unsigned char)text[length - 1 - back] & 0xc0) == 0x80) back++;
    if (back == length) return;
    unsigned char lead = (unsigned char)text[length - 1 - back];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (back + 1 < need) text[length - 1 - back] = '\0';
}

lf_status lf_refuse(lf_refusal *refusal, int http_status, const char *type, const char *param, const char *format, ...)
{
    *refusal = (lf_refusal){.http_status = http_status, .type = type};
    if (param) snprintf(refusal->param, sizeof refusal->param, "%s", param);
    va_list args;
    va_start(args, format);
    vsnprintf(refusal->message, sizeof refusal->message, format, args);
    va_end(args);
    trim_incomplete(refusal->param);
    trim_incomplete(refusal->message);
    return LF_ERR_INVALID;
}

lf_status lf_refuse_error(lf_refusal *refusal, const lf_error *err)
{
    char line[LF_REFUSAL_MESSAGE_BYTES];
    lf_error_format(err, line, sizeof line);
    switch (err->status) {
    case LF_ERR_INVALID:
    case LF_ERR_LIMIT:
    case LF_ERR_FORMAT:
    case LF_ERR_UNSUPPORTED: return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL, "%s", line);
    default: return lf_refuse(refusal, 500, LF_REFUSAL_INTERNAL, NULL, "%s", line);
    }
}

lf_status lf_refuse_no_memory(lf_refusal *refusal)
{
    return lf_refuse(refusal, 500, LF_REFUSAL_INTERNAL, NULL, "out of memory");
}

json_t *lf_json_text(const char *text, size_t length)
{
    if (lf_utf8_valid_prefix(text, length) == length) return json_stringn(text, length);
    char *copy = malloc(length + 1);
    if (!copy) return NULL;
    for (size_t i = 0; i < length; i++) copy[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    json_t *string = json_stringn(copy, length);
    free(copy);
    return string;
}

json_t *lf_refusal_json(const lf_refusal *refusal)
{
    json_t *param = refusal->param[0] ? lf_json_text(refusal->param, strlen(refusal->param)) : json_null();
    json_t *message = lf_json_text(refusal->message, strlen(refusal->message));
    json_t *root = json_pack("{s:{s:o, s:s, s:o, s:i}}", "error", "message", message, "type", refusal->type, "param",
                             param, "code", refusal->http_status);
    bool is_route = strcmp(refusal->type, LF_REFUSAL_METHOD) == 0 ||
                    (refusal->http_status == 404 && strcmp(refusal->param, "model") != 0);
    if (is_route)
        lf_json_put(&root, "detail", json_string(refusal->http_status == 404 ? "Not Found" : "Method Not Allowed"));
    return root;
}
