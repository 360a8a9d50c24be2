// SPDX-License-Identifier: Apache-2.0
//
// Preflight: everything that can be known about a model directory from headers and JSON, before a byte of weight data
// is read. check, load and serve run the same function, so that what `check` accepts is exactly what `serve` starts
// with.
#ifndef LF_MODEL_PREFLIGHT_H
#define LF_MODEL_PREFLIGHT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/finding.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "quant/quant.h"

typedef struct lf_preflight {
    lf_checkpoint *checkpoint; // OWNED, as everything below
    json_t *config_json;       // NULL when config.json is missing or no JSON (a finding says which)
    lf_config config;          // valid when has_table
    bool has_table;            // the architecture has a parameter table: config and parameters are filled
    lf_parameters parameters;  // the table, evaluated
    lf_quant *quant;
    lf_findings findings; // of all stages, in the order of the data flow
} lf_preflight;

// Opens the checkpoint, reads the config with `overrides` laid over it (NULL: none; see lf_config_load), pairs weights
// with scales and compares the result with the parameter table when the architecture has one. Whatever is wrong with
// the model becomes a finding and the call succeeds: ask lf_findings_status() whether the model may be used. Without a
// table (has_table is false) a finding of severity note says that only the table-free checks ran; a caller that needs
// to run the model must refuse that itself. Fails when the directory holds nothing to check, the overrides are wrong
// (LF_ERR_USAGE) or memory is gone; *out is then empty.
lf_status lf_preflight_run(lf_preflight *out, const char *model_dir, const json_t *overrides, lf_error *err);
// Adds the finding tokenizer-too-large when a tokenizer whose highest id is n_token - 1 has tokens without a row of the
// embedding. Preflight knows nothing of text, so the caller says it (text/text_check.h).
void lf_preflight_vocabulary(const lf_preflight *preflight, int32_t n_token, lf_findings *findings);
// Releases everything; accepts a zeroed object.
void lf_preflight_fini(lf_preflight *preflight);

#endif
