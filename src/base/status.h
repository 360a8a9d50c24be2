// SPDX-License-Identifier: Apache-2.0
//
// Status codes and error values. Every fallible function of Landfall returns an lf_status and describes a failure in a
// caller-owned lf_error: fixed size, no allocation, usable when memory is gone. The FIRST cause wins: a function that
// passes a failure on only adds where it happened (lf_error_at). Findings of a check are not errors, see finding.h.
#ifndef LF_BASE_STATUS_H
#define LF_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

// X(symbol, text, exit status): 1 the answer is no, 2 wrong usage, 3 the environment failed (DESIGN section 6).
#define LF_STATUS_MAP(X)                                                                                               \
    X(LF_OK, "ok", 0)                                                                                                  \
    X(LF_ERR_FINDINGS, "findings", 1)       /* a check found errors; they are listed as findings */                    \
    X(LF_ERR_FORMAT, "malformed input", 1)  /* checkpoint, config, tokenizer, template, report: not what it must be */ \
    X(LF_ERR_UNSUPPORTED, "unsupported", 1) /* well-formed, but Landfall does not do this */                           \
    X(LF_ERR_LIMIT, "limit exceeded", 1)    /* a documented limit on input, steps, depth or output */                  \
    X(LF_ERR_NOT_SIGNED_OFF, "not signed off", 1)                                                                      \
    X(LF_ERR_USAGE, "wrong usage", 2)                                                                                  \
    X(LF_ERR_INVALID, "invalid argument", 2)                                                                           \
    X(LF_ERR_IO, "input/output error", 3)                                                                              \
    X(LF_ERR_NOT_FOUND, "not found", 3)                                                                                \
    X(LF_ERR_NO_MEMORY, "out of memory", 3)                                                                            \
    X(LF_ERR_NO_SPACE, "no space left", 3)                                                                             \
    X(LF_ERR_DEVICE, "device error", 3)                                                                                \
    X(LF_ERR_NETWORK, "network error", 3)                                                                              \
    X(LF_ERR_CANCELLED, "cancelled", 3)                                                                                \
    X(LF_ERR_BUG, "internal error", 3)

typedef enum lf_status {
#define X(symbol, text, exit_status) symbol,
    LF_STATUS_MAP(X)
#undef X
} lf_status;

enum { LF_ERROR_FIELD_BYTES = 256, LF_ERROR_MESSAGE_BYTES = 512 };

typedef struct lf_error {
    lf_status status;
    char subject[LF_ERROR_FIELD_BYTES];   // file or tensor the failure is about; "" when there is none
    char expected[LF_ERROR_FIELD_BYTES];  // what was expected there; "" when not applicable
    char found[LF_ERROR_FIELD_BYTES];     // what was found instead
    char hint[LF_ERROR_FIELD_BYTES];      // what to do about it
    char message[LF_ERROR_MESSAGE_BYTES]; // one sentence, lower case, no full stop, failure first
} lf_error;

// The text of a status, never NULL.
const char *lf_status_text(lf_status status);
// The process exit status that stands for `status` (0 to 3).
int lf_status_exit(lf_status status);

// A function that takes an lf_error takes one that is not NULL.
//
// Sets `err` to `status` and the formatted message, and returns `status`. Clears the other fields.
lf_status lf_error_set(lf_error *err, lf_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
// The same for a failed system call: appends strerror(errno_value); ENOMEM, ENOSPC and EDQUOT get their own status.
lf_status lf_error_errno(lf_error *err, int errno_value, const char *format, ...) __attribute__((format(printf, 3, 4)));
// LF_ERR_NO_MEMORY for an allocation of `bytes` that failed (0 when the size is not known).
lf_status lf_error_no_memory(lf_error *err, size_t bytes);

// Fill one field of an error that is already set; each returns err->status so that calls chain into a return.
lf_status lf_error_subject(lf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
lf_status lf_error_expected(lf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
lf_status lf_error_found(lf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
lf_status lf_error_hint(lf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Puts "context: " in front of the message.
lf_status lf_error_at(lf_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Writes the whole error as one line ("message: expected E, found F; hint") into dst, always NUL-terminated.
void lf_error_format(const lf_error *err, char *dst, size_t dst_bytes);

#endif
