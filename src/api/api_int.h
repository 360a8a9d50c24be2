// SPDX-License-Identifier: Apache-2.0
//
// What is behind the opaque handles of landfall.h. This module only maps: what it says is decided below it.
#ifndef LF_API_API_INT_H
#define LF_API_API_INT_H

#include "landfall.h"
#include "model/outline.h"
#include "model/preflight.h"
#include "plan/census.h"

struct lf_model {
    char *dir; // OWNED
    lf_preflight preflight;
    lf_outline outline;
    lf_census census; // of preflight.quant
    lf_model_facts facts;
};

// Both sizes of a caller's options with 0 as 1. LF_ERR_USAGE when one is out of range.
lf_status lf__api_topology(lf_topology *out, int64_t tensor_parallel_size, int64_t expert_parallel_size, lf_error *err);

#endif
