// SPDX-License-Identifier: Apache-2.0
//
// Tied embeddings whose checkpoint stores a head all the same. Transformers compares the two and ties only equal ones
// (its modeling_utils.py, tie_weights); this is the same comparison, in parallel, on the dequantized values.
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "load/load_int.h"

typedef struct compare_job {
    const lf_logical_tensor *a, *b;
    lf_dequant_rounding rounding;
    int64_t first_row, n_row, n_col;
    atomic_bool differs, failed;
} compare_job;

enum { TILE_ROWS = 16 };

// Rows [begin, end) of the job's in tiles. A failure to dequantize is left to loading, which names it: the head then
// counts as different.
static void compare_rows(void *ctx, size_t begin, size_t end, int thread)
{
    compare_job *job = ctx;
    const size_t tile = (size_t)TILE_ROWS * LF__TILE_COLUMNS;
    lf_bf16 *values = lf_aligned_alloc(2 * tile * sizeof *values);
    if (!values) atomic_store(&job->failed, true);
    int64_t first = job->first_row + (int64_t)begin, last = job->first_row + (int64_t)end;
    for (int64_t row = first; values && row < last && !atomic_load(&job->differs); row += TILE_ROWS) {
        for (int64_t col = 0; col < job->n_col; col += LF__TILE_COLUMNS) {
            lf_dequant_report report = {0};
            lf_error ignored;
            lf_rect rect = {row, col, LF_MIN(TILE_ROWS, last - row), LF_MIN(LF__TILE_COLUMNS, job->n_col - col)};
            size_t stride = (size_t)rect.n_col, bytes = (size_t)rect.n_row * stride * sizeof *values;
            if (lf_dequant_bf16(job->a, rect, job->rounding, values, stride, &report, &ignored) ||
                lf_dequant_bf16(job->b, rect, job->rounding, values + tile, stride, &report, &ignored) ||
                memcmp(values, values + tile, bytes) != 0) {
                atomic_store(&job->differs, true);
            }
        }
    }
    free(values);
}

// The tensor that fills a slot which is one parameter of its own; NULL when the checkpoint has none.
static const lf_logical_tensor *tensor_of_slot(const lf_parameters *parameters, lf_slot slot, const lf_quant *quant)
{
    for (size_t i = 0; i < parameters->count; i++) {
        if (parameters->items[i].slot == slot) return lf_quant_find(quant, parameters->items[i].name);
    }
    return NULL;
}

lf_status lf__head_differs(bool *out, const lf_config *config, lf_range rows, const lf_quant *quant,
                           lf_dequant_rounding rounding, lf_error *err)
{
    *out = false;
    if (!config->tie_word_embeddings) return LF_OK;
    lf_config untied = *config;
    untied.tie_word_embeddings = false;
    lf_parameters parameters;
    lf_status status = lf_parameters_build(&parameters, &untied, err);
    if (status) return status;

    compare_job job = {.rounding = rounding};
    job.a = tensor_of_slot(&parameters, LF_SLOT_EMBED, quant);
    job.b = tensor_of_slot(&parameters, LF_SLOT_LM_HEAD, quant);
    lf_parameters_fini(&parameters);
    if (!job.a || !job.b) return LF_OK;
    int64_t head_rows, head_cols;
    lf_logical_matrix_shape(job.a, &job.n_row, &job.n_col);
    lf_logical_matrix_shape(job.b, &head_rows, &head_cols);
    if (job.n_row != head_rows || job.n_col != head_cols) {
        atomic_store(&job.differs, true);
    } else {
        job.first_row = LF_MIN(rows.begin, job.n_row);
        job.n_row = LF_MIN(rows.end, job.n_row) - job.first_row;
        lf_par_for((size_t)job.n_row, 256, compare_rows, &job);
    }
    if (atomic_load(&job.failed)) return lf_error_no_memory(err, 0);
    *out = atomic_load(&job.differs);
    if (*out) {
        lf_log(LF_LOG_WARNING,
               "'%s' differs from '%s' although tie_word_embeddings is true: the head is used as stored", job.b->name,
               job.a->name);
    }
    return LF_OK;
}
