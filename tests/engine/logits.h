// SPDX-License-Identifier: Apache-2.0
//
// Logits of whole sequences from an engine that is built and has no thread: rank 0 calls, other ranks follow.
#ifndef LF_TESTS_ENGINE_LOGITS_H
#define LF_TESTS_ENGINE_LOGITS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/engine_int.h"

// Runs the tokens in chunks of `chunk` and writes the logits of every position to dst [n, vocab_size]. Fails the test
// when a step fails.
void engine_logits(lf_engine *engine, const int32_t *tokens, size_t n, size_t chunk, float *dst);

#endif
