// SPDX-License-Identifier: Apache-2.0
//
// Sign-off and the proof table, both computed from the list of steps and from nothing else (lesson L10). The same
// function decides when a report is written and when it is checked again.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "verify/verify_int.h"

static void add_reason(json_t *reasons, const lf__step_row *row, lf_step_status status, const json_t *steps)
{
    char text[1024];
    const char *detail = "";
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        const char *id = json_string_value(json_object_get(step, "id"));
        const char *found = json_string_value(json_object_get(step, "detail"));
        if (id && found && strcmp(id, row->id) == 0) detail = found;
    }
    snprintf(text, sizeof text, "%s %s%s%s", row->id, lf_step_status_name(status), detail[0] ? ": " : "", detail);
    json_array_append_new(reasons, json_string(text));
}

bool lf__signoff(const json_t *steps, json_t **reasons)
{
    size_t n_row, n_blocking = 0, n_real_passed = 0;
    const lf__step_row *rows = lf__step_plan(&n_row);
    *reasons = json_array();
    for (size_t i = 0; i < n_row; i++) {
        lf_step_status status = lf__steps_status(steps, rows[i].id);
        if (status == LF_STEP_PASSED && strcmp(rows[i].gate, "real") == 0) n_real_passed++;
        bool is_fine = status == LF_STEP_PASSED || (status == LF_STEP_NOT_APPLICABLE && rows[i].may_not_apply);
        if (is_fine || !rows[i].is_mandatory) continue;
        n_blocking++;
        add_reason(*reasons, &rows[i], status, steps);
    }
    if (n_real_passed == 0) {
        json_array_insert_new(*reasons, 0,
                              json_string("dummy weights alone never sign off: gate B (real weights) proved nothing"));
    }
    return *reasons && n_blocking == 0 && n_real_passed > 0;
}

typedef struct claim {
    const char *text;
    const char *dummy_steps[4]; // all must have passed; none: dummy weights cannot prove the claim
    const char *real_steps[4];
} claim;

static const claim claims[] = {
    {"the architecture runs: config, shapes, operators, KV cache",
     {"dummy.start", "dummy.text"},
     {"real.start", "real.text"}},
    {"the server answers: models, text", {"dummy.models", "dummy.text"}, {"real.models", "real.text"}},
    {"images are accepted and answered", {"dummy.image"}, {"real.image"}},
    {"every name of the checkpoint maps to a parameter, none is missing or left over",
     {NULL},
     {"preflight.check", "real.ledger"}},
    {"every FP8 weight is paired with its scale", {NULL}, {"preflight.check", "real.ledger"}},
    {"dequantized weights and logits are finite", {NULL}, {"real.start", "real.finite"}},
    {"the real bytes load: no read, format or memory error", {NULL}, {"real.start", "real.ledger"}},
    {"greedy answers repeat", {NULL}, {"real.repeat"}},
    {"answers are right", {NULL}, {"real.answer"}},
    {"several ranks compute what one does", {"dummy.single_rank"}, {"real.single_rank"}},
    {"the server stops cleanly", {"dummy.stop"}, {"real.stop"}},
};

// What was proved with some layers only was proved for these: "proved, 4 of 36 layers".
static const char *narrow(const char *word, const json_t *steps, char *dst, size_t dst_bytes)
{
    size_t i;
    json_t *step;
    if (strcmp(word, "proved") != 0) return word;
    json_array_foreach(steps, i, step)
    {
        const char *id = json_string_value(json_object_get(step, "id"));
        const json_t *evidence = json_object_get(step, "evidence");
        json_int_t n = json_integer_value(json_object_get(evidence, "num_hidden_layers"));
        json_int_t n_checkpoint = json_integer_value(json_object_get(evidence, "num_checkpoint_layers"));
        if (!id || strcmp(id, "preflight.layers") != 0 || n >= n_checkpoint) continue;
        snprintf(dst, dst_bytes, "proved, %lld of %lld layers", (long long)n, (long long)n_checkpoint);
        return dst;
    }
    return word;
}

static const char *proof_word(const json_t *steps, const char *const ids[4])
{
    if (!ids[0]) return "cannot";
    const char *word = "proved";
    for (size_t i = 0; i < 4 && ids[i]; i++) {
        lf_step_status status = lf__steps_status(steps, ids[i]);
        if (status == LF_STEP_FAILED) return "failed";
        if (status == LF_STEP_NOT_APPLICABLE) word = "not applicable";
        if (status == LF_STEP_SKIPPED) word = "not shown";
    }
    return word;
}

json_t *lf__proof_table(const json_t *steps)
{
    json_t *table = json_array();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(claims); i++) {
        char dummy[64], real[64];
        json_array_append_new(
            table, json_pack("{s:s, s:s, s:s}", "claim", claims[i].text, "dummy",
                             narrow(proof_word(steps, claims[i].dummy_steps), steps, dummy, sizeof dummy), "real",
                             narrow(proof_word(steps, claims[i].real_steps), steps, real, sizeof real)));
    }
    return table;
}
