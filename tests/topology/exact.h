// SPDX-License-Identifier: Apache-2.0
//
// The forward pass in float64, from the formulas, with nothing of the engine: what the numbers of a model mean when no
// rounding comes in between. For small models; every loop is the naive one.
#ifndef LF_TESTS_TOPOLOGY_EXACT_H
#define LF_TESTS_TOPOLOGY_EXACT_H

#include <stddef.h>
#include <stdint.h>

#include "model/model.h"

typedef struct exact exact;

// The checkpoint's numbers as they are loaded: dequantized to bf16. Fails the test when it cannot be opened.
exact *exact_open(const char *dir);
// Dummy numbers.
exact *exact_open_dummy(const char *dir, uint64_t seed);
void exact_close(exact *model);

const lf_config *exact_config(const exact *model);
// Logits of all positions, [n, vocab_size].
void exact_logits(const exact *model, const int32_t *tokens, size_t n, float *dst);
// Of the last exact_logits(): by how much the logit of the last chosen expert led that of the first one left out, in
// units of the spread of their token's logits, at the least (a lower bound, where scores are sigmoids). Infinite
// without experts.
double exact_lead(const exact *model);

#endif
