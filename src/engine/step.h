// SPDX-License-Identifier: Apache-2.0
//
// The descriptor of one step: everything that changes between two steps of the same shape. Host arrays are filled
// sequence by sequence and copied into device buffers whose addresses never change, so that a captured graph can be
// replayed on them.
#ifndef LF_ENGINE_STEP_H
#define LF_ENGINE_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "engine/kv.h"

typedef struct lf_step {
    lf_device *device; // BORROWED
    size_t max_tok, max_seq, max_row;
    size_t table_stride; // blocks of the longest sequence
    size_t block_size;
    size_t n_tok, n_seq;
    size_t max_length;                // of the contexts in this step
    int32_t *host;                    // OWNED: the five arrays below, one after the other
    int32_t *ids, *positions, *slots; // [max_tok]
    int32_t *query_start, *lengths;   // [max_seq + 1], [max_seq]
    int32_t *tables;                  // OWNED [max_seq, table_stride], as on the device
    lf_dptr device_block;             // the same five arrays, OWNED
    lf_dptr device_ids, device_positions, device_slots, device_query_start, device_lengths;
    lf_dptr device_tables; // int32 [max_seq, table_stride], OWNED
    lf_dptr device_rows;   // int32 [max_row], OWNED: the rows that need logits
} lf_step;

typedef struct lf_step_limits {
    size_t n_tok, n_seq, n_row; // of one step
    size_t n_position;          // longest context
    size_t block_size;
} lf_step_limits;

lf_status lf__step_init(lf_step *step, lf_device *device, const lf_step_limits *limits, lf_error *err);
void lf__step_fini(lf_step *step); // a zeroed or half-built step is accepted

void lf__step_begin(lf_step *step);
// Adds tokens [first, first + n) of a sequence whose blocks cover them. `tokens` is the whole sequence.
lf_status lf__step_add(lf_step *step, const int32_t *tokens, size_t first, size_t n, const lf_block_table *table,
                       lf_error *err);
// Blocks of sequence s that its length covers.
size_t lf__step_n_block(const lf_step *step, size_t sequence);
// Copies the descriptor to the device.
lf_status lf__step_commit(lf_step *step, lf_error *err);
// Chooses the rows (tokens of the step) whose logits are computed next; n_row <= max_row.
lf_status lf__step_select(lf_step *step, const int32_t *rows, size_t n_row, lf_error *err);

#endif
