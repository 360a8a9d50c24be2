// SPDX-License-Identifier: Apache-2.0
//
// The inside of loading. Three parts meet here: a SOURCE gives the values of any rectangle of a parameter (the
// checkpoint, or dummy values), FILLING walks all rows of all objects in parallel and hands tiles from the source to
// the device, and the LEDGER counts what was filled.
#ifndef LF_LOAD_LOAD_INT_H
#define LF_LOAD_LOAD_INT_H

#include <stdatomic.h>

#include "load/load.h"
#include "plan/plan.h"

// One object on the device: the matrix or float32 table of a slot, layer and expert, and the slices that fill it.
typedef struct lf_object {
    lf_slot slot;
    int64_t layer, expert; // -1: none
    int64_t n_row, n_col;
    const lf_slice *slices; // BORROWED: a run of lf_weights.slices
    size_t n_slice;
    lf_weight *matrix; // OWNED; NULL for a table
    lf_dptr table;     // OWNED; [n_row, n_col], float32 or bf16 rows, as the slot says; null for a matrix
    int32_t *filled;   // OWNED: columns filled so far, per row
    size_t first_task; // of this object in the numbering of all tasks
    int64_t task_rows; // rows of one of its tasks
} lf_object;

typedef struct lf_ignored_tensor {
    char *name;         // OWNED
    const char *reason; // STATIC
} lf_ignored_tensor;

// What loading did, for the report.
typedef struct lf_ledger {
    lf_load_format format;
    size_t n_parameter, n_tensor_used, n_quantized;
    uint64_t n_row;                    // filled, of all parameters
    atomic_uint_fast64_t source_bytes; // read from stored tensors: counted where they are read, a scale once
    double seconds;
    lf_ignored_tensor *ignored; // OWNED
    size_t n_ignored;
    size_t n_skipped; // tensors of layers that overrides leave out
} lf_ledger;

struct lf_weights {
    lf_device *device;
    lf_config config; // as loaded: an untied copy when the checkpoint's head differs from its embedding
    lf_rank_plan plan;
    lf_parameters parameters;
    lf_slices slices;
    lf_object *objects; // OWNED, in table order, layer by layer; those of which the rank holds something
    size_t n_object;
    size_t *object_of;         // OWNED [LF_SLOT_COUNT * num_hidden_layers]: index + 1, 0 for none; not for experts
    const lf_weight **experts; // OWNED [2][num_hidden_layers][experts held]; NULL: none
    bool *has_experts;         // OWNED [num_hidden_layers]
    lf_ledger ledger;
};

// Values as a matrix of bf16: rows `stride` elements apart.
typedef struct lf_tile {
    const lf_bf16 *data;
    size_t stride;
} lf_tile;

enum {
    LF__TILE_COLUMNS = 2048, // a tile of LF_WEIGHT_ROW_GROUP rows is 256 KiB: it stays in the second-level cache
};

// Where values come from. The functions are called from several threads at once, with different rectangles.
typedef struct lf_source {
    // The values of `rect` of the slice's parameter, either in place or in `scratch` (which holds a whole tile).
    lf_status (*matrix)(const struct lf_source *source, size_t slice, lf_rect rect, lf_bf16 *scratch, lf_tile *out,
                        lf_error *err);
    // Rows [row, row + n_row) of a parameter that is kept in float32.
    lf_status (*vector)(const struct lf_source *source, size_t slice, int64_t row, int64_t n_row, float *dst,
                        lf_error *err);
    // Hints: a slice will be needed soon; rows [row, row + n_row) of it are needed now, are no longer needed. NULL:
    // none.
    void (*prefetch)(const struct lf_source *source, size_t slice);
    void (*expect)(const struct lf_source *source, size_t slice, int64_t row, int64_t n_row);
    void (*release)(const struct lf_source *source, size_t slice, int64_t row, int64_t n_row);
    const struct lf_weights *weights; // BORROWED
} lf_source;

// Fills every object of `weights` from `source`, and fails unless every row was filled exactly once.
lf_status lf__fill(lf_weights *weights, const lf_source *source, bool show_progress, lf_error *err);

typedef struct lf_dummy_source {
    lf_source base;
    uint64_t seed;
} lf_dummy_source;

void lf__dummy_source_init(lf_dummy_source *source, const lf_weights *weights, uint64_t seed);

typedef struct lf_real_source {
    lf_source base;
    const lf_logical_tensor **tensors; // OWNED array: the tensor of each slice
    lf_dequant_rounding rounding;
    atomic_uint_fast64_t *source_bytes; // BORROWED: the ledger's
} lf_real_source;

// Finds the tensor of every parameter and completes the ledger's list of tensors without a use. Everything that
// lf_model_check finds wrong is an error.
lf_status lf__real_source_init(lf_real_source *source, lf_weights *weights, const lf_quant *quant,
                               lf_dequant_rounding rounding, lf_error *err);
void lf__real_source_fini(lf_real_source *source);

// Whether the checkpoint stores a head of its own, different from the embedding, although the config ties them. Like
// transformers, the head is then used (logged), and equal or absent heads are tied.
// Looks at `rows` of the vocabulary only.
lf_status lf__head_differs(bool *out, const lf_config *config, lf_range rows, const lf_quant *quant,
                           lf_dequant_rounding rounding, lf_error *err);

lf_status lf__ledger_ignore(lf_ledger *ledger, const char *name, const char *reason, lf_error *err);
void lf__ledger_fini(lf_ledger *ledger);
// LF_ERR_BUG naming the first row that was filled more or less than once.
lf_status lf__ledger_verify(const lf_weights *weights, lf_error *err);

#endif
