// SPDX-License-Identifier: Apache-2.0
//
// Golden checkpoints for the tests of the engine: where they are and what the reference library answers
// (tests/golden/README.md).
#ifndef LF_TESTS_ENGINE_GOLDEN_H
#define LF_TESTS_ENGINE_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

enum { GOLDEN_GREEDY = 32 };

typedef struct golden {
    char dir[512];   // of the checkpoint
    int32_t *prompt; // OWNED
    size_t n_prompt;
    int32_t greedy[GOLDEN_GREEDY];
    float *logits; // OWNED, [n_row, n_vocab]: at every position of prompt and greedy[:-1]
    size_t n_row, n_vocab;
    float bf16_deviation, bf16_rms_deviation, margin;
} golden;

// Fails the test when anything is missing.
void golden_read(golden *out, const char *name);
void golden_free(golden *g);
// Names of all goldens, NULL behind the last; STATIC.
const char *const *golden_names(void);
// Writes the path of a checkpoint into dst.
void golden_dir(char dst[512], const char *name);

#endif
