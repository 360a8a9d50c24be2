// SPDX-License-Identifier: Apache-2.0
//
// Loading: every row of the parameter table is filled exactly once, from the checkpoint (dequantized on the way, one
// pass, no second copy of the model) or with dummy values, through the same calls. A ledger records both sides: each
// parameter filled once, each stored tensor used, or ignored for a stated reason.
#ifndef LF_LOAD_LOAD_H
#define LF_LOAD_LOAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "device/device.h"
#include "model/model.h"
#include "plan/plan.h"
#include "quant/quant.h"

typedef enum lf_load_format { LF_LOAD_AUTO, LF_LOAD_DUMMY } lf_load_format;

typedef struct lf_load_args {
    lf_device *device;
    const lf_config *config;
    lf_load_format format;
    const lf_quant *quant; // NULL for LF_LOAD_DUMMY: no weight file is opened
    lf_dequant_rounding rounding;
    uint64_t seed; // of dummy weights
    bool show_progress;
    lf_comm *comm;      // the ranks that load together; NULL: one rank
    bool deals_experts; // expert parallelism
} lf_load_args;

typedef struct lf_weights lf_weights;

// Loads this rank's part of the model (all of it without a comm). Fails on the first NaN code, bad scale or overflow,
// naming tensor and position. Collective: a fault that one rank finds is every rank's error. `config` and `device` must
// outlive the result; `quant` and its checkpoint may be closed afterwards.
lf_status lf_weights_load(lf_weights **out, const lf_load_args *args, lf_error *err);
void lf_weights_free(lf_weights *weights); // NULL is accepted

// The object of a slot; layer is ignored for slots that are not per layer. NULL / null when the model has none
// (no bias, no QK norm) or this rank holds nothing of it (no head, no row). LF_SLOT_LM_HEAD gives the embedding's
// matrix when tied; a stored head that differs from the embedding of a tied model is used as it is, as transformers
// does.
const lf_weight *lf_weights_matrix(const lf_weights *weights, lf_slot slot, int64_t layer);
lf_dptr lf_weights_vector(const lf_weights *weights, lf_slot slot, int64_t layer); // f32
lf_dptr lf_weights_rows(const lf_weights *weights, lf_slot slot, int64_t layer);   // bf16, of a row-major slot

// The matrices of the layer's experts that this rank holds, lf_weights_plan()->experts in order; entries are NULL when
// the rank's share of an expert's width is nothing. NULL for a layer without experts, or a rank that holds none.
const lf_weight *const *lf_weights_experts(const lf_weights *weights, lf_slot slot, int64_t layer);
// What this rank holds. VALID while the weights are.
const lf_rank_plan *lf_weights_plan(const lf_weights *weights);

// Device bytes of all matrices and vectors.
uint64_t lf_weights_bytes(const lf_weights *weights);
// Bytes of the checkpoint that this rank has read; 0 for dummy weights.
uint64_t lf_weights_bytes_read(const lf_weights *weights);
// Device bytes of this rank's experts.
uint64_t lf_weights_expert_bytes(const lf_weights *weights);
// The ledger as JSON (a new reference): counts, load format, seconds, bytes read, tensors skipped (of layers that
// overrides leave out), ignored tensors with reasons, and the violations (empty on success). The evidence that verify
// puts into the report.
json_t *lf_weights_ledger(const lf_weights *weights);

#endif
