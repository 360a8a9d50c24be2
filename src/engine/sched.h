// SPDX-License-Identifier: Apache-2.0
//
// The scheduler: which tokens of which requests the next step computes. First come, first served; a step mixes one
// token of every decoding request with chunks of prompts, up to max_batched_tok tokens. It touches no device and no
// lock.
#ifndef LF_ENGINE_SCHED_H
#define LF_ENGINE_SCHED_H

#include <stddef.h>
#include <stdint.h>

#include "engine/kv.h"
#include "engine/request.h"

typedef struct lf_sched {
    lf_block_pool *pool; // BORROWED
    size_t max_seq, max_batched_tok;
    lf_request **running; // OWNED [max_seq], in order of arrival
    size_t n_running;
    lf_request *waiting, **waiting_end; // in order of arrival; preempted requests stand in front
    size_t n_waiting;
    lf_request **planned; // OWNED [max_seq]: the requests of the step, each with n_step_tok > 0
    size_t n_planned, n_planned_tok;
    uint64_t n_preemption;
} lf_sched;

// max_batched_tok >= max_seq > 0. The pool must hold the longest request that will ever be queued: that is what makes
// every plan with work in it non-empty.
lf_status lf__sched_init(lf_sched *sched, lf_block_pool *pool, size_t max_seq, size_t max_batched_tok, lf_error *err);
void lf__sched_fini(lf_sched *sched);

void lf__sched_enqueue(lf_sched *sched, lf_request *request);
// Takes a request out, wherever it stands, and gives its blocks back.
void lf__sched_remove(lf_sched *sched, lf_request *request);
// Fills `planned`; blocks for the planned tokens are taken. When the pool runs out, the youngest running request gives
// its blocks back and is computed again later (preemption by recomputation).
void lf__sched_plan(lf_sched *sched);

#endif
