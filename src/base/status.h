// SPDX-License-Identifier: Apache-2.0
//
// Status codes and error values. Every fallible function of Landfall returns an lf_status and describes a failure in a
// caller-owned lf_error: fixed size, no allocation, usable when memory is gone. The FIRST cause wins: a function that
// passes a failure on only adds where it happened (lf_error_at). Findings of a check are not errors, see finding.h.
// lf_status and lf_error themselves, with their table and what reads them, stand in landfall.h: users of the library
// get them as they are.
#ifndef LF_BASE_STATUS_H
#define LF_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "landfall.h"

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

#endif
