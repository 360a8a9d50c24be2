// SPDX-License-Identifier: Apache-2.0
//
// The list of findings.
#include "base/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *lf_severity_name(lf_severity severity)
{
    static const char *const names[] = {"error", "warning", "note"};
    return (size_t)severity < LF_ARRAY_LENGTH(names) ? names[severity] : "?";
}

static void finding_fini(lf_finding *finding)
{
    free(finding->subject);
    free(finding->message);
    free(finding->expected);
    free(finding->found);
    free(finding->remedy);
}

void lf_findings_fini(lf_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) finding_fini(&findings->items[i]);
    free(findings->items);
    *findings = LF_FINDINGS_INIT;
}

static char *copy_text(const char *text) { return strdup(text ? text : ""); }

void lf_findings_add(lf_findings *findings, const lf_finding_args *args, const char *format, ...)
{
    if (args->severity == LF_SEVERITY_ERROR) findings->n_error++;
    if (args->severity == LF_SEVERITY_WARNING) findings->n_warning++;
    if (findings->count >= LF_FINDINGS_MAX) {
        findings->n_dropped++;
        return;
    }
    char message[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    lf_finding finding = {
        .code = args->code,
        .severity = args->severity,
        .subject = copy_text(args->subject),
        .message = copy_text(message),
        .expected = copy_text(args->expected),
        .found = copy_text(args->found),
        .remedy = copy_text(args->remedy),
    };
    if (!finding.subject || !finding.message || !finding.expected || !finding.found || !finding.remedy ||
        !lf_array_grow((void **)&findings->items, &findings->capacity, findings->count + 1, sizeof *findings->items)) {
        finding_fini(&finding);
        findings->failed = true;
        return;
    }
    findings->items[findings->count++] = finding;
}

void lf_findings_append(lf_findings *to, lf_findings *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const lf_finding *f = &from->items[i];
        lf_finding_args args = {f->code, f->severity, f->subject, f->expected, f->found, f->remedy};
        lf_findings_add(to, &args, "%s", f->message);
    }
    to->failed |= from->failed;
    lf_findings_fini(from);
}

lf_status lf_findings_status(const lf_findings *findings, lf_error *err)
{
    if (findings->failed) return lf_error_no_memory(err, 0);
    if (findings->n_error == 0) return LF_OK;
    for (size_t i = 0; i < findings->count; i++) {
        const lf_finding *finding = &findings->items[i];
        if (finding->severity != LF_SEVERITY_ERROR) continue;
        lf_error_set(err, LF_ERR_FINDINGS, "%zu error%s; the first: %s", findings->n_error,
                     findings->n_error == 1 ? "" : "s", finding->message);
        lf_error_subject(err, "%s", finding->subject);
        lf_error_expected(err, "%s", finding->expected);
        lf_error_found(err, "%s", finding->found);
        return lf_error_hint(err, "%s", finding->remedy);
    }
    return lf_error_set(err, LF_ERR_FINDINGS, "%zu errors", findings->n_error);
}
