// SPDX-License-Identifier: Apache-2.0
//
// What becomes of a step's rows: prompt logprobs, sampled tokens, their logprobs, finishes, and the events that tell
// callers.
#ifndef LF_ENGINE_EMIT_H
#define LF_ENGINE_EMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "engine/forward.h"
#include "engine/request.h"

typedef struct lf_emit {
    lf_device *device; // BORROWED
    size_t max_row;
    lf_rows edited; // f32 [max_row, n_vocab]: logits with edits; logprobs are of the unedited ones. OWNED, as all below
    lf_logprob_row *rows; // [max_row], as all below
    lf_sample_row *samples;
    lf_request **requests; // whose row it is
    int32_t *selected, *targets, *n_top, *tokens;
} lf_emit;

// max_row >= max_seq: rows of logits at a time, and the most of them that are sampled in one step.
lf_status lf__emit_init(lf_emit *emit, const lf_forward *forward, size_t max_row, size_t max_seq, lf_error *err);
void lf__emit_fini(lf_emit *emit); // a zeroed or half-built one is accepted

// After the layers of the planned step: computes what the requests need of it and delivers the events. On a device
// failure the requests that are still planned are left to the caller; finished ones are NULL in the plan.
lf_status lf__emit_step(lf_engine *engine, lf_error *err);

#endif
