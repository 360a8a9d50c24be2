// SPDX-License-Identifier: Apache-2.0
//
// Checking a report again. A report is believed only as far as it can be recomputed: its digest, the digests of the
// logs beside it, sign-off from its steps, and the checkpoint's fingerprint.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "model/preflight.h"
#include "verify/verify_int.h"

enum { MAX_REPORT_BYTES = 64 << 20 };

static lf_status check_logs(const json_t *report, const char *report_path, lf_error *err)
{
    const char *name;
    json_t *expected;
    const char *slash = strrchr(report_path, '/');
    char *folder = slash ? strndup(report_path, (size_t)(slash - report_path)) : strdup(".");
    if (!folder) return lf_error_no_memory(err, 0);
    lf_status status = LF_OK;
    json_object_foreach(json_object_get(report, "logs"), name, expected)
    {
        char hex[65];
        if (strchr(name, '/')) continue; // logs stand beside the report, nowhere else
        char *path = lf_path_join(folder, name);
        if (!path) {
            status = lf_error_no_memory(err, 0);
            break;
        }
        status = lf__file_digest(path, hex, err);
        const char *value = json_string_value(expected);
        if (!status && (!value || strcmp(hex, value) != 0)) {
            status =
                lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "the log %s was changed after the report was written", path);
        }
        free(path);
        if (status) break;
    }
    free(folder);
    return status;
}

static lf_status check_fingerprint(const json_t *report, const char *model_dir, lf_error *err)
{
    lf_preflight preflight;
    json_t *now = NULL;
    const json_t *then = json_object_get(report, "fingerprint");
    bool with_data = json_is_string(json_object_get(then, "data"));
    lf_status status = lf_preflight_run(&preflight, model_dir, NULL, err);
    if (status) return status;
    if (!preflight.checkpoint) {
        status = lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "%s holds no checkpoint", model_dir);
    } else {
        status = lf__fingerprint(&now, model_dir, preflight.checkpoint, with_data, err);
    }
    if (!status && !json_equal(now, then)) {
        const char *a = json_string_value(json_object_get(then, "checkpoint"));
        const char *b = json_string_value(json_object_get(now, "checkpoint"));
        status =
            lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "the checkpoint in %s is not the one of the report", model_dir);
        lf_error_expected(err, "%s", a ? a : "none");
        lf_error_found(err, "%s%s", b ? b : "none", a && b && strcmp(a, b) == 0 ? " with other data" : "");
    }
    json_decref(now);
    lf_preflight_fini(&preflight);
    return status;
}

static lf_status check_report(const json_t *report, const char *report_path, lf_error *err)
{
    char hex[65];
    const char *format = json_string_value(json_object_get(report, "format"));
    const char *digest = json_string_value(json_object_get(json_object_get(report, "digest"), "value"));
    if (!format || strcmp(format, "landfall-report-1") != 0) {
        return lf_error_set(err, LF_ERR_FORMAT, "%s is not a report of landfall", report_path);
    }
    if (!lf__report_digest(report, hex)) return lf_error_no_memory(err, 0);
    if (!digest || strcmp(digest, hex) != 0) {
        lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "%s was changed after it was written: its digest does not match",
                     report_path);
        lf_error_expected(err, "%s", digest ? digest : "a digest");
        lf_error_found(err, "%s", hex);
        return LF_ERR_NOT_SIGNED_OFF;
    }
    json_t *reasons;
    bool signed_off = lf__signoff(json_object_get(report, "steps"), &reasons);
    lf_status status = LF_OK;
    if (signed_off != json_is_true(json_object_get(report, "signed_off"))) {
        status =
            lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "%s says %s, but its steps say %s", report_path,
                         signed_off ? "not signed off" : "signed off", signed_off ? "signed off" : "not signed off");
    } else if (!signed_off) {
        const char *reason = json_string_value(json_array_get(reasons, 0));
        status = lf_error_set(err, LF_ERR_NOT_SIGNED_OFF, "not signed off: %s", reason ? reason : "?");
    }
    json_decref(reasons);
    return status;
}

lf_status lf_verify_recheck(const char *report_path, const char *model_dir, lf_error *err)
{
    json_t *report = NULL;
    lf_status status = lf_json_load(&report, report_path, MAX_REPORT_BYTES, err);
    if (status) return status;
    status = check_report(report, report_path, err);
    if (!status) status = check_logs(report, report_path, err);
    if (!status && model_dir) status = check_fingerprint(report, model_dir, err);
    json_decref(report);
    return status;
}
