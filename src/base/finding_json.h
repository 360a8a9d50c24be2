// SPDX-License-Identifier: Apache-2.0
//
// Findings for programs: the array that every `--json` prints, and SARIF 2.1.0 for continuous integration. Both list
// errors first, findings of one code together; docs/check-json.md describes them.
#ifndef LF_BASE_FINDING_JSON_H
#define LF_BASE_FINDING_JSON_H

#include <jansson.h>

#include "base/finding.h"

// Findings in the order in which they are shown: by severity, then code, then as they were found. BORROWED from
// `findings`; free() the array. NULL without memory.
const lf_finding **lf_findings_ranked(const lf_findings *findings);

// An array of {code, severity, subject, message, expected, found, remedy}; absent fields are "". NULL without memory.
json_t *lf_findings_json(const lf_findings *findings);

// The file that a finding is about, relative to the model directory (BORROWED), or NULL when `subject` is itself one.
typedef const char *(*lf_finding_file_fn)(void *ctx, const char *subject);

// One SARIF log with one run. `dir` is the model directory, the base of all locations; `file_of` may be NULL. NULL
// without memory.
json_t *lf_findings_sarif(const lf_findings *findings, const char *dir, lf_finding_file_fn file_of, void *ctx);

#endif
