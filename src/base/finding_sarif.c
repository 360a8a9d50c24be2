// SPDX-License-Identifier: Apache-2.0
//
// Findings as a SARIF log (OASIS, Static Analysis Results Interchange Format 2.1.0). A code is a rule, a finding a
// result; its place is a file of the model directory, and the tensor in it a logical location. A severity is called a
// level there and has the same three names.
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/finding_json.h"
#include "base/json.h"
#include "landfall.h"

static const char schema[] =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

// RFC 3986: what may stand in a path goes through, all other bytes are escaped.
static void put_path(lf_buf *buf, const char *path)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/!$&'()*+,;=@";
    for (; *path; path++) {
        if (strchr(plain, *path)) {
            lf_buf_putc(buf, *path);
        } else {
            lf_buf_printf(buf, "%%%02X", (unsigned char)*path);
        }
    }
}

static json_t *location(const char *subject, const char *file)
{
    lf_buf uri = LF_BUF_INIT;
    put_path(&uri, file ? file : subject);
    json_t *root = json_pack("{s:{s:{s:s, s:s}}}", "physicalLocation", "artifactLocation", "uri", lf_buf_text(&uri),
                             "uriBaseId", "MODEL");
    if (root && file) {
        json_t *logical = json_pack("[{s:o}]", "fullyQualifiedName", lf_json_lossy_string(subject));
        if (json_object_set_new(root, "logicalLocations", logical)) {
            json_decref(root);
            root = NULL;
        }
    }
    if (lf_buf_failed(&uri)) {
        json_decref(root);
        root = NULL;
    }
    lf_buf_fini(&uri);
    return root;
}

// The sentence, and what the finding knows beyond it.
static json_t *message(const lf_finding *finding)
{
    lf_buf text = LF_BUF_INIT;
    lf_buf_puts(&text, finding->message);
    if (finding->expected[0]) lf_buf_printf(&text, "; expected %s", finding->expected);
    if (finding->found[0]) lf_buf_printf(&text, "; found %s", finding->found);
    if (finding->remedy[0]) lf_buf_printf(&text, "; %s", finding->remedy);
    json_t *value = lf_buf_failed(&text) ? NULL : lf_json_lossy_string(lf_buf_text(&text));
    lf_buf_fini(&text);
    return value;
}

static json_t *result(const lf_finding *finding, size_t rule, lf_finding_file_fn file_of, void *ctx)
{
    const char *file = file_of ? file_of(ctx, finding->subject) : NULL;
    return json_pack("{s:s, s:I, s:s, s:{s:o}, s:[o], s:{s:o, s:o, s:o, s:o}}", "ruleId", finding->code, "ruleIndex",
                     (json_int_t)rule, "level", lf_severity_name(finding->severity), "message", "text",
                     message(finding), "locations", location(finding->subject, file), "properties", "subject",
                     lf_json_lossy_string(finding->subject), "expected", lf_json_lossy_string(finding->expected),
                     "found", lf_json_lossy_string(finding->found), "remedy", lf_json_lossy_string(finding->remedy));
}

// Fills the two arrays; the findings are ranked, so a new code is a new rule (a code keeps its severity, or comes once
// for each).
static bool fill(const lf_finding **items, size_t n, json_t *rules, json_t *results, lf_finding_file_fn file_of,
                 void *ctx)
{
    for (size_t i = 0; i < n; i++) {
        size_t rule = 0, n_rule = json_array_size(rules);
        while (rule < n_rule &&
               strcmp(json_string_value(json_object_get(json_array_get(rules, rule), "id")), items[i]->code) != 0) {
            rule++;
        }
        if (rule == n_rule &&
            json_array_append_new(rules, json_pack("{s:s, s:{s:s}}", "id", items[i]->code, "defaultConfiguration",
                                                   "level", lf_severity_name(items[i]->severity)))) {
            return false;
        }
        if (json_array_append_new(results, result(items[i], rule, file_of, ctx))) return false;
    }
    return true;
}

// The model directory as a URI that ends with a slash, which makes it a base.
static json_t *base_uri(const char *dir)
{
    char *path = realpath(dir, NULL);
    lf_buf uri = LF_BUF_INIT;
    lf_buf_puts(&uri, "file://");
    put_path(&uri, path ? path : "/");
    if (path && path[strlen(path) - 1] != '/') lf_buf_putc(&uri, '/');
    free(path);
    json_t *value = lf_buf_failed(&uri) ? NULL : json_string(lf_buf_text(&uri));
    lf_buf_fini(&uri);
    return value;
}

json_t *lf_findings_sarif(const lf_findings *findings, const char *dir, lf_finding_file_fn file_of, void *ctx)
{
    const lf_finding **items = lf_findings_ranked(findings);
    json_t *rules = json_array(), *results = json_array(), *log = NULL;
    if (items && rules && results && fill(items, findings->count, rules, results, file_of, ctx)) {
        log = json_pack("{s:s, s:s, s:[{s:{s:{s:s, s:s, s:O}}, s:{s:{s:o}}, s:[{s:b}], s:O}]}", "$schema", schema,
                        "version", "2.1.0", "runs", "tool", "driver", "name", "landfall", "version", lf_version(),
                        "rules", rules, "originalUriBaseIds", "MODEL", "uri", base_uri(dir), "invocations",
                        "executionSuccessful", true, "results", results);
    }
    json_decref(rules);
    json_decref(results);
    free(items);
    return log;
}
