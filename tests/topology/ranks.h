// SPDX-License-Identifier: Apache-2.0
//
// What the scenarios of this folder share: the ranks that this process is one of, models that all of them hold
// together, and the distance of two sets of logits. Every rank runs the same scenario and makes the same calls in the
// same order; rank 0 alone sees logits and judges them.
#ifndef LF_TESTS_TOPOLOGY_RANKS_H
#define LF_TESTS_TOPOLOGY_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../engine/logits.h"
#include "../support/shaped.h"

typedef struct ranks {
    lf_comm *comm; // NULL: one rank
    int rank, n_rank;
    size_t n_passed, n_failed;
    size_t n_choice, n_clear_choice; // positions compared by their largest logit
} ranks;

typedef struct model_options {
    const char *dir;
    lf_load_format load_format;
    uint64_t seed; // of dummy weights
    bool deals_experts;
} model_options;

// Builds the model on all ranks, or on this one alone (comm NULL). Fails the test when it cannot be built.
void model_build(lf_engine *engine, lf_comm *comm, const model_options *options);
// Ends what model_build began: rank 0 comes here when it is done and sends the others, who come here at once and
// follow.
void model_end(lf_engine *engine);

// The logits of all positions on rank 0, which alone needs `dst`: the whole life of a model on these ranks.
void ranks_logits(ranks *r, const model_options *options, const int32_t *tokens, size_t n, size_t chunk, float *dst);
// The same on this rank alone.
void single_logits(const model_options *options, const int32_t *tokens, size_t n, float *dst);

typedef struct distance {
    double worst, rms;
} distance;
// Not finite numbers are at an infinite distance.
distance distance_of(const float *a, const float *b, size_t n);
size_t argmax_of(const float *row, size_t n);

// Counts; a failure is written to stderr with the name of the case.
void judge(ranks *r, bool is_so, const char *name, const char *what, double found, double limit);

// Runs every head shape of every architecture, in bf16 and with_fp8.
void for_each_shape(ranks *r, bool with_fp8, void (*run)(ranks *r, const shape *wanted, bool has_experts));

void run_goldens(ranks *r);
void run_matrix(ranks *r);
void run_dummies(ranks *r);
void run_ledgers(ranks *r);

#endif
