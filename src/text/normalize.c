// SPDX-License-Identifier: Apache-2.0
//
// The normalizer's steps, read from JSON and run one after another.
#include "text/normalize.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/component.h"

enum { MAX_STEPS = 64 };

typedef enum step_kind { STEP_FORM, STEP_PREPEND, STEP_REPLACE } step_kind;

typedef struct lf_normal_step {
    step_kind kind;
    lf_normal_form form;
    lf_pattern pattern; // STEP_REPLACE
    char *content;      // OWNED: what is put in front, or in place of a match
    size_t content_length;
} lf_normal_step;

static lf_status add_step(lf_normalizer *normalizer, lf_normal_step **step, lf_error *err)
{
    if (normalizer->n_step == MAX_STEPS) return lf_error_set(err, LF_ERR_LIMIT, "more than %d normalizers", MAX_STEPS);
    if (!lf_array_grow((void **)&normalizer->steps, &normalizer->capacity, normalizer->n_step + 1,
                       sizeof *normalizer->steps)) {
        return lf_error_no_memory(err, sizeof *normalizer->steps);
    }
    *step = &normalizer->steps[normalizer->n_step++];
    **step = (lf_normal_step){0};
    return LF_OK;
}

static lf_status read_one(void *ctx, const json_t *json, const char *type, lf_error *err)
{
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"}; // ORDER lf_normal_form
    lf_normalizer *normalizer = ctx;
    lf_normal_step *step = NULL;
    lf_status status = add_step(normalizer, &step, err);
    if (status) return status;
    for (size_t form = 0; form < LF_ARRAY_LENGTH(forms); form++) {
        if (strcmp(type, forms[form]) != 0) continue;
        step->form = (lf_normal_form)form;
        return lf_component_only(json, "normalizer", (const char *const[]){"type", NULL}, err);
    }
    if (strcmp(type, "Prepend") == 0) {
        step->kind = STEP_PREPEND;
        status = lf_component_only(json, "normalizer", (const char *const[]){"type", "prepend", NULL}, err);
        if (!status) status = lf_component_string(json, "prepend", &step->content, &step->content_length, err);
        return status;
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = STEP_REPLACE;
        status = lf_component_only(json, "normalizer", (const char *const[]){"type", "pattern", "content", NULL}, err);
        if (!status) status = lf_pattern_init(&step->pattern, json_object_get(json, "pattern"), err);
        if (!status) status = lf_component_string(json, "content", &step->content, &step->content_length, err);
        return status;
    }
    return lf_error_set(err, LF_ERR_UNSUPPORTED, "normalizer '%s' is not supported", type);
}

lf_status lf_normalizer_init(lf_normalizer *normalizer, const json_t *json, lf_error *err)
{
    *normalizer = (lf_normalizer){0};
    return lf_component_walk(json, "normalizer", "normalizers", read_one, normalizer, err);
}

void lf_normalizer_fini(lf_normalizer *normalizer)
{
    for (size_t i = 0; i < normalizer->n_step; i++) {
        lf_pattern_fini(&normalizer->steps[i].pattern);
        free(normalizer->steps[i].content);
    }
    free(normalizer->steps);
    *normalizer = (lf_normalizer){0};
}

static lf_status replace(const lf_normal_step *step, lf_regex_scratch *scratch, lf_buf *out, const char *text,
                         size_t length, lf_error *err)
{
    lf_pattern_walk walk;
    lf_pattern_start(&walk, &step->pattern, scratch, text, length);
    size_t done = 0;
    for (;;) {
        bool found;
        size_t begin;
        size_t end;
        lf_status status = lf_pattern_next(&walk, &found, &begin, &end, err);
        if (status) return status;
        if (!found) break;
        lf_buf_append(out, text + done, begin - done);
        lf_buf_append(out, step->content, step->content_length);
        done = end;
    }
    lf_buf_append(out, text + done, length - done);
    return LF_OK;
}

static lf_status run_step(const lf_normal_step *step, lf_regex_scratch *scratch, lf_buf *out, const char *text,
                          size_t length, lf_error *err)
{
    switch (step->kind) {
    case STEP_FORM: return lf_normalize_form(out, step->form, text, length, err);
    case STEP_PREPEND:
        if (length) lf_buf_append(out, step->content, step->content_length);
        lf_buf_append(out, text, length);
        return LF_OK;
    case STEP_REPLACE: return replace(step, scratch, out, text, length, err);
    }
    return LF_OK;
}

lf_status lf_normalizer_run(const lf_normalizer *normalizer, lf_regex_scratch *scratch, lf_buf *out, const char *text,
                            size_t length, lf_error *err)
{
    lf_buf between[2] = {LF_BUF_INIT, LF_BUF_INIT};
    lf_status status = LF_OK;
    if (normalizer->n_step == 0) lf_buf_append(out, text, length);
    for (size_t i = 0; i < normalizer->n_step && !status; i++) {
        lf_buf *target = i + 1 == normalizer->n_step ? out : &between[i % 2];
        if (target != out) lf_buf_clear(target);
        status = run_step(&normalizer->steps[i], scratch, target, text, length, err);
        if (!status && lf_buf_failed(target)) status = lf_error_no_memory(err, 0);
        if (!status && target->length > UINT32_MAX / 2) {
            status = lf_error_set(err, LF_ERR_LIMIT, "the normalized text is too large");
        }
        text = lf_buf_text(target);
        length = target->length;
    }
    lf_buf_fini(&between[0]);
    lf_buf_fini(&between[1]);
    return status;
}
