// SPDX-License-Identifier: Apache-2.0
//
// The log: single lines on stderr, `LEVEL month-day hour:minute:second message`. Library code logs what an operator
// wants to read later (which path was taken and why); it never prints results. Not for hot paths.
#ifndef LF_BASE_LOG_H
#define LF_BASE_LOG_H

#include <stdarg.h>

typedef enum lf_log_level { LF_LOG_ERROR, LF_LOG_WARNING, LF_LOG_INFO, LF_LOG_DEBUG } lf_log_level;

// Receives finished lines without newline; called under the log's lock, so it must not log.
typedef void (*lf_log_sink)(void *ctx, lf_log_level level, const char *line);

void lf_log(lf_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Lines above `level` are dropped; the default is LF_LOG_INFO.
void lf_log_set_level(lf_log_level level);
// Puts "[name] " in front of every message, for processes that share a stderr; "" for nothing. At most 31 characters.
void lf_log_set_name(const char *name);
// NULL restores the default sink (stderr).
void lf_log_set_sink(lf_log_sink sink, void *ctx);

#endif
