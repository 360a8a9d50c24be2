// SPDX-License-Identifier: Apache-2.0
//
// The order of findings, and their JSON form.
#include "base/finding_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

// All findings stand in one array, so that the address tells which was found first.
static int compare_ranked(const void *a, const void *b)
{
    const lf_finding *x = *(const lf_finding *const *)a, *y = *(const lf_finding *const *)b;
    if (x->severity != y->severity) return x->severity < y->severity ? -1 : 1;
    int order = strcmp(x->code, y->code);
    if (order) return order;
    return x < y ? -1 : x > y;
}

const lf_finding **lf_findings_ranked(const lf_findings *findings)
{
    const lf_finding **items = lf_realloc_array(NULL, LF_MAX(findings->count, 1), sizeof(*items));
    for (size_t i = 0; items && i < findings->count; i++) items[i] = &findings->items[i];
    if (items && findings->count) qsort(items, findings->count, sizeof(*items), compare_ranked);
    return items;
}

static json_t *finding_json(const lf_finding *finding)
{
    const struct {
        const char *key, *text;
    } fields[] = {{"code", finding->code},         {"severity", lf_severity_name(finding->severity)},
                  {"subject", finding->subject},   {"message", finding->message},
                  {"expected", finding->expected}, {"found", finding->found},
                  {"remedy", finding->remedy}};
    json_t *object = json_object();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(fields); i++) {
        if (json_object_set_new(object, fields[i].key, lf_json_lossy_string(fields[i].text)) == 0) continue;
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *lf_findings_json(const lf_findings *findings)
{
    const lf_finding **items = lf_findings_ranked(findings);
    json_t *list = items ? json_array() : NULL;
    for (size_t i = 0; list && i < findings->count; i++) {
        if (json_array_append_new(list, finding_json(items[i])) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    free(items);
    return list;
}
