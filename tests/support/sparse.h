// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints of any size whose data is a hole: for what reads headers only.
#ifndef LF_TESTS_SUPPORT_SPARSE_H
#define LF_TESTS_SUPPORT_SPARSE_H

#include <stddef.h>
#include <stdint.h>

#include "checkpoint/checkpoint.h"
#include "model/outline.h"
#include "quant/quant.h"

typedef struct sparse_tensor {
    const char *name, *dtype;
    int64_t shape[3]; // ends with 0 when shorter
} sparse_tensor;

typedef struct sparse_model {
    char dir[256];
    json_t *config;
    lf_checkpoint *checkpoint;
    lf_quant *quant;
    lf_outline outline;
    lf_findings findings;
} sparse_model;

// Writes model.safetensors and config.json (from `config`) to a new temporary directory and opens them; there must be
// no finding.
void sparse_open(sparse_model *model, const char *config, const sparse_tensor *tensors, size_t n);
void sparse_close(sparse_model *model);

const lf_finding *sparse_find(const sparse_model *model, const char *code,
                              const char *subject); // NULL: none; any subject

#endif
