// SPDX-License-Identifier: Apache-2.0
//
// Findings: what a check has to say about a checkpoint. Unlike an error, a finding does not stop the work; all of them
// are collected and shown at once, because a bring-up that stops at the first mismatch costs one run per mistake.
// lf_finding and lf_findings_status() stand in landfall.h.
#ifndef LF_BASE_FINDING_H
#define LF_BASE_FINDING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct lf_findings {
    lf_finding *items; // OWNED
    size_t count;
    size_t capacity;
    size_t n_error;
    size_t n_warning;
    size_t n_dropped; // findings past LF_FINDINGS_MAX: counted (also in n_error and n_warning), not kept
    bool failed;      // memory ran out while collecting
} lf_findings;

enum { LF_FINDINGS_MAX = 10000 };
#define LF_FINDINGS_INIT ((lf_findings){0})

void lf_findings_fini(lf_findings *findings);

// Adds a finding. The strings are copied; `expected`, `found` and `remedy` may be NULL. `code` must be a literal.
// Never fails visibly: running out of memory sets `failed`, which the caller checks once at the end.
typedef struct lf_finding_args {
    const char *code;
    lf_severity severity;
    const char *subject;
    const char *expected;
    const char *found;
    const char *remedy;
} lf_finding_args;
void lf_findings_add(lf_findings *findings, const lf_finding_args *args, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Takes over the findings of `from`, in order, and empties it.
void lf_findings_append(lf_findings *to, lf_findings *from);

#endif
