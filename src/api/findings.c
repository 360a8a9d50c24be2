// SPDX-License-Identifier: Apache-2.0
//
// The list of findings as users of the library see it: on the heap, read through functions.
#include <stdlib.h>

#include "base/finding.h"
#include "base/finding_json.h"
#include "landfall.h"

lf_findings *lf_findings_new(void) { return calloc(1, sizeof(lf_findings)); }

void lf_findings_free(lf_findings *findings)
{
    if (!findings) return;
    lf_findings_fini(findings);
    free(findings);
}

size_t lf_findings_count(const lf_findings *findings) { return findings->count; }

const lf_finding *lf_findings_at(const lf_findings *findings, size_t i)
{
    return i < findings->count ? &findings->items[i] : NULL;
}

size_t lf_findings_n_error(const lf_findings *findings) { return findings->n_error; }

size_t lf_findings_n_warning(const lf_findings *findings) { return findings->n_warning; }

lf_status lf_findings_to_json(const lf_findings *findings, char **out, lf_error *err)
{
    json_t *list = findings->failed ? NULL : lf_findings_json(findings);
    *out = list ? json_dumps(list, JSON_INDENT(2)) : NULL;
    json_decref(list);
    return *out ? LF_OK : lf_error_no_memory(err, 0);
}
