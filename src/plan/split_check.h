// SPDX-License-Identifier: Apache-2.0
//
// The partition questions of a checkpoint for one topology (DESIGN section 4): which KV heads are replicated, which
// parts stay without work, and where an engine that splits evenly, or that runs FP8 blocks as they are, gets wrong
// shapes or refuses. Landfall itself handles all of it, so nearly everything here is a note about others.
#ifndef LF_PLAN_SPLIT_CHECK_H
#define LF_PLAN_SPLIT_CHECK_H

#include <stdint.h>

#include "base/finding.h"
#include "base/status.h"
#include "model/outline.h"
#include "plan/census.h"
#include "quant/quant.h"

// Adds findings of these codes, all about one topology:
//   ranks-idle (warning)   ranks without a part of something
//   heads-uneven, kv-heads-uneven, ffn-uneven, vocab-uneven, experts-uneven     sizes that the ranks do not divide
//   kv-replicated          which KV heads stand on which ranks
//   kv-latent              a cache that is whole on every rank
//   split-kv, norm-per-head, norm-full-width     shapes that an even split would get wrong
//   blocks-cut             slices that cut through FP8 blocks
// The tensors of one name in different layers are told once. Does nothing for one rank. Fails only without memory.
lf_status lf_split_check(const lf_outline *outline, const lf_quant *quant, lf_topology topology, lf_findings *findings,
                         lf_error *err);
// For a caller that was asked for expert parallelism: the note experts-none when the model has none.
void lf_split_check_experts(const lf_outline *outline, lf_findings *findings);

#endif
