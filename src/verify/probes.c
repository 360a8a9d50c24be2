// SPDX-License-Identifier: Apache-2.0
//
// Probes: questions whose right answer is known, shipped with a checkpoint as landfall-probes.json:
//   {"format": "landfall-probes-1", "probes": [{"messages": [...], "expect": "Paris", "match": "contains" | "exact",
//     "max_tokens": 32}, ...]}
// They are what real weights can prove and dummy weights cannot.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "verify/verify_int.h"

enum { MAX_PROBES_BYTES = 4 << 20, MAX_PROBES = 1000 };

static lf_status read_probe(lf__probe *probe, const json_t *entry, lf_error *err)
{
    const char *match = "contains";
    probe->messages = json_object_get(entry, "messages");
    probe->max_tokens = 32;
    lf_status status = lf_json_string(entry, "expect", &probe->expect, err);
    if (!status) status = lf_json_string(entry, "match", &match, err);
    if (!status) status = lf_json_int(entry, "max_tokens", 1, 4096, &probe->max_tokens, err);
    if (status) return status;
    if (!json_is_array(probe->messages) || json_array_size(probe->messages) == 0) {
        return lf_error_set(err, LF_ERR_FORMAT, "a probe needs \"messages\", a list that is not empty");
    }
    if (!probe->expect || !probe->expect[0]) {
        return lf_error_set(err, LF_ERR_FORMAT, "a probe needs \"expect\", a text that is not empty");
    }
    if (strcmp(match, "contains") != 0 && strcmp(match, "exact") != 0) {
        lf_error_set(err, LF_ERR_FORMAT, "bad \"match\" of a probe");
        lf_error_expected(err, "\"contains\" or \"exact\"");
        return lf_error_found(err, "\"%s\"", match);
    }
    probe->is_exact = strcmp(match, "exact") == 0;
    return LF_OK;
}

lf_status lf__probes_load(json_t **json, lf__probe **probes, size_t *n_probe, const char *path, lf_error *err)
{
    json_t *root = NULL;
    lf__probe *list = NULL;
    lf_status status = lf_json_load(&root, path, MAX_PROBES_BYTES, err);
    if (status) return status;

    const json_t *format = json_object_get(root, "format");
    const json_t *entries = json_object_get(root, "probes");
    size_t n = json_array_size(entries);
    if (!json_is_string(format) || strcmp(json_string_value(format), "landfall-probes-1") != 0) {
        status = lf_error_set(err, LF_ERR_FORMAT, "%s is not a probes file", path);
        lf_error_expected(err, "\"format\": \"landfall-probes-1\"");
        goto out;
    }
    if (n == 0 || n > MAX_PROBES) {
        status = lf_error_set(err, LF_ERR_FORMAT, "%s must list 1 to %d probes", path, MAX_PROBES);
        goto out;
    }
    list = calloc(n, sizeof *list);
    if (!list) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        status = read_probe(&list[i], json_array_get(entries, i), err);
        if (status) {
            lf_error_at(err, "%s: probe %zu", path, i);
            goto out;
        }
    }
    *json = root;
    *probes = list;
    *n_probe = n;
    root = NULL;
    list = NULL;

out:
    json_decref(root);
    free(list);
    return status;
}

bool lf__probe_matches(const lf__probe *probe, const char *answer)
{
    if (!probe->is_exact) return strstr(answer, probe->expect) != NULL;
    while (isspace((unsigned char)*answer)) answer++;
    size_t length = strlen(answer);
    while (length && isspace((unsigned char)answer[length - 1])) length--;
    return length == strlen(probe->expect) && strncmp(answer, probe->expect, length) == 0;
}
