// SPDX-License-Identifier: Apache-2.0
//
// Refusals: why a request is not answered, in the shape that clients of the OpenAI API read. Status, `type`, `param`
// and `code` are those of vLLM for the same cause (clients act on them); the sentences are ours, except for the
// over-long prompt, which clients match by regular expression.
#ifndef LF_SERVER_REFUSAL_H
#define LF_SERVER_REFUSAL_H

#include <jansson.h>

#include "base/status.h"

enum { LF_REFUSAL_PARAM_BYTES = 96, LF_REFUSAL_MESSAGE_BYTES = 1024 };

// Values of lf_refusal.type. A body of the wrong form and a value out of range have different types, as in vLLM.
#define LF_REFUSAL_FORM "Bad Request"
#define LF_REFUSAL_VALUE "BadRequestError"
#define LF_REFUSAL_NOT_FOUND "NotFoundError"
#define LF_REFUSAL_METHOD "MethodNotAllowedError"
#define LF_REFUSAL_AUTH "AuthenticationError"
#define LF_REFUSAL_TOO_LARGE "RequestEntityTooLargeError"
#define LF_REFUSAL_UNAVAILABLE "ServiceUnavailableError"
#define LF_REFUSAL_INTERNAL "InternalServerError"

typedef struct lf_refusal {
    int http_status;                        // 4xx or 5xx
    const char *type;                       // STATIC, one of the above
    char param[LF_REFUSAL_PARAM_BYTES];     // the field that is wrong; "" becomes null
    char message[LF_REFUSAL_MESSAGE_BYTES]; // one sentence
} lf_refusal;

// Fills `refusal` and returns LF_ERR_INVALID, so that it chains into a return. `param` may be NULL.
lf_status lf_refuse(lf_refusal *refusal, int http_status, const char *type, const char *param, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
// A failure from below: what the request caused (invalid, limit, format, unsupported) is a 400, the rest a 500.
lf_status lf_refuse_error(lf_refusal *refusal, const lf_error *err);
lf_status lf_refuse_no_memory(lf_refusal *refusal);

// {"error":{"message","type","param","code"}} as a new reference; unknown routes and methods carry FastAPI's "detail"
// beside it. NULL when memory is gone.
json_t *lf_refusal_json(const lf_refusal *refusal);

// A JSON string of any bytes: what is not UTF-8 becomes '?'. A new reference, NULL when memory is gone.
json_t *lf_json_text(const char *text, size_t length);

#endif
