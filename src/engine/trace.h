// SPDX-License-Identifier: Apache-2.0
//
// Tracing: the residual stream behind every block and the logits, read back from the device and handed to the caller of
// the engine, so that two topologies (or two devices) can be compared layer by layer. On rank 0; every rank's rows are
// the same. A pass that is not traced pays a test of one pointer for each block.
#ifndef LF_ENGINE_TRACE_H
#define LF_ENGINE_TRACE_H

#include "base/num.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/step.h"

typedef struct lf_trace {
    lf_trace_fn on_rows;
    void *ctx;
    int64_t step;             // of the next rows: -1 before the first step
    lf_bf16 *block, *stream;  // OWNED [max_tok, stride]: what stands in the forward's hidden and residual
    float *rows;              // OWNED [max(max_tok d_model, max_row n_vocab)]
    int32_t *ids, *positions; // OWNED [max_row]: of rows of logits
    int32_t *experts;         // OWNED [max_tok, num_experts_per_tok]; NULL: a dense model
} lf_trace;

lf_status lf__trace_init(lf_trace *trace, const lf_forward *forward, size_t max_tok, size_t max_row,
                         lf_trace_fn on_rows, void *ctx, lf_error *err);
void lf__trace_fini(lf_trace *trace); // a zeroed or half-built one is accepted

// Any point but the logits; `layer` is -1 where the point belongs to none.
lf_status lf__trace_stream(const lf_forward *forward, const lf_step *step, lf_trace_point point, int64_t layer,
                           lf_error *err);
// The logits of these rows of the step.
lf_status lf__trace_logits(const lf_forward *forward, const lf_step *step, const int32_t *rows, size_t n_row,
                           lf_error *err);

#endif
