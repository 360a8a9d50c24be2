// SPDX-License-Identifier: Apache-2.0
//
// The steps of a bring-up, as one table, and the list of their results. The table says which steps are mandatory;
// sign-off and the proof table read nothing else, so that a step which never ran cannot be forgotten.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "verify/verify_int.h"

// ORDER steps: the order in which gate.c and verify.c run them, and the report lists them.
static const lf__step_row step_rows[] = {
    {"preflight.check", "preflight", "the checkpoint passes the strict check (headers, pairing, names, shapes)", true,
     false},
    {"preflight.layers", "preflight", "the whole model is run, no layer is left out", true, false},
    {"dummy.start", "dummy", "the server starts with dummy weights and answers its warm-up", true, false},
    {"dummy.models", "dummy", "GET /v1/models lists the model", true, false},
    {"dummy.text", "dummy", "one text request is answered", true, false},
    {"dummy.image", "dummy", "one text+image request is answered", true, true},
    {"dummy.finite", "dummy", "logits are finite", true, false},
    {"dummy.control", "dummy", "dummy weights fail the probes, so a right answer means something", false, true},
    {"dummy.stop", "dummy", "the server stops when told to", true, false},
    {"dummy.single_rank", "dummy", "the ranks give the logits of one rank", true, true},
    {"real.start", "real", "the server loads the real weights and answers its warm-up", true, false},
    {"real.ledger", "real", "every parameter filled once, every stored tensor used or ignored for a reason", true,
     false},
    {"real.models", "real", "GET /v1/models lists the model", true, false},
    {"real.text", "real", "one text request is answered", true, false},
    {"real.image", "real", "one text+image request is answered", true, true},
    {"real.finite", "real", "logits are finite", true, false},
    {"real.repeat", "real", "the same request gives the same answer twice", true, false},
    {"real.answer", "real", "the probes get their expected answers", true, true},
    {"real.stop", "real", "the server stops when told to", true, false},
    {"real.single_rank", "real", "the ranks give the logits of one rank", true, true},
};

const lf__step_row *lf__step_plan(size_t *n_row)
{
    *n_row = LF_ARRAY_LENGTH(step_rows);
    return step_rows;
}

// ORDER lf_step_status
static const char *const status_names[] = {"passed", "failed", "skipped", "not applicable"};

const char *lf_step_status_name(lf_step_status status)
{
    return (size_t)status < LF_ARRAY_LENGTH(status_names) ? status_names[status] : "?";
}

// A step that is not in the list, or has an unknown status, counts as skipped: it proves nothing.
lf_step_status lf__steps_status(const json_t *list, const char *id)
{
    size_t i;
    json_t *step;
    json_array_foreach(list, i, step)
    {
        const char *step_id = json_string_value(json_object_get(step, "id"));
        const char *status = json_string_value(json_object_get(step, "status"));
        if (!step_id || !status || strcmp(step_id, id) != 0) continue;
        for (size_t s = 0; s < LF_ARRAY_LENGTH(status_names); s++) {
            if (strcmp(status, status_names[s]) == 0) return (lf_step_status)s;
        }
    }
    return LF_STEP_SKIPPED;
}

void lf__steps_begin(lf__steps *steps) { steps->start_ns = lf_now_ns(); }

static const lf__step_row *find_row(const char *id)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(step_rows); i++) {
        if (strcmp(step_rows[i].id, id) == 0) return &step_rows[i];
    }
    return NULL;
}

// A detail may quote a server's log, or be cut inside a character: JSON holds UTF-8 only, so such text loses its other
// bytes.
static json_t *text_json(char *text)
{
    json_t *string = json_string(text);
    if (string) return string;
    for (char *c = text; *c; c++) {
        if ((unsigned char)*c >= 0x80) *c = '?';
    }
    return json_string(text);
}

void lf__steps_add(lf__steps *steps, const char *id, lf__step_result *result, const char *log_name)
{
    const lf__step_row *row = find_row(id);
    bool did_run = result->status == LF_STEP_PASSED || result->status == LF_STEP_FAILED;
    double seconds = did_run ? (double)(lf_now_ns() - steps->start_ns) / 1e9 : 0;
    json_t *evidence = result->evidence ? result->evidence : json_object();
    result->evidence = NULL;
    json_t *step =
        json_pack("{s:s, s:s, s:s, s:b, s:s, s:f, s:o, s:o, s:s?}", "id", id, "gate", row->gate, "title", row->title,
                  "mandatory", row->is_mandatory, "status", lf_step_status_name(result->status), "seconds", seconds,
                  "detail", text_json(result->detail), "evidence", evidence, "log", log_name);
    if (!step || json_array_append_new(steps->list, step) != 0) {
        steps->failed = true;
    } else if (steps->on_step) {
        steps->on_step(steps->on_step_ctx, step);
    }
    lf__steps_begin(steps);
}
