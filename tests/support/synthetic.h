// SPDX-License-Identifier: Apache-2.0
//
// Checkpoint folders made by a test: a config.json and one model.safetensors, tensor by tensor.
#ifndef LF_TESTS_SUPPORT_SYNTHETIC_H
#define LF_TESTS_SUPPORT_SYNTHETIC_H

#include "base/buf.h"
#include "base/num.h"
#include "checkpoint/checkpoint.h"
#include "model/model.h"
#include "quant/quant.h"

typedef struct synthetic {
    char folder[64];
    lf_config config; // of the text given to synthetic_begin
    lf_buf header, data;
} synthetic;

void synthetic_begin(synthetic *s, const char *config_text);
// rank 1: [n_row]; rank 2: [n_row, n_col].
void synthetic_add(synthetic *s, const char *name, lf_dtype dtype, int rank, int64_t n_row, int64_t n_col,
                   const void *bytes);
// Every parameter of the config's table as bf16 numbers in [-1, 1), except those whose name contains `but` (NULL:
// none).
void synthetic_add_all(synthetic *s, const char *but);
// The address of element (row, col) of a bf16 tensor added before.
lf_bf16 *synthetic_element(synthetic *s, const char *name, int64_t row, int64_t col);
// Writes the files. The data starts at an address that is `misalignment` modulo 8.
void synthetic_end(synthetic *s, size_t misalignment);
void synthetic_remove(synthetic *s);

// An opened checkpoint with its logical tensors.
typedef struct opened {
    lf_checkpoint *checkpoint;
    json_t *config_json;
    lf_config config;
    lf_quant *quant;
    lf_findings findings;
} opened;

// Fails the test when the directory cannot be opened; findings are left to the caller.
void opened_init(opened *o, const char *folder);
void opened_fini(opened *o);

#endif
