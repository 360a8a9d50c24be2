// SPDX-License-Identifier: Apache-2.0
//
// The engine object and what its files share. Everything but the hub belongs to the engine thread once it runs; the
// fields above `thread` are constant from then on, so other threads may read them.
#ifndef LF_ENGINE_ENGINE_INT_H
#define LF_ENGINE_ENGINE_INT_H

#include <pthread.h>

#include "engine/emit.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/kv.h"
#include "engine/request.h"
#include "engine/sched.h"
#include "engine/step.h"
#include "engine/team.h"
#include "engine/trace.h"
#include "load/load.h"
#include "model/model.h"

struct lf_engine {
    lf_engine_options options; // with the defaults filled in; what is borrowed is NULL once the engine is open
    lf_engine_info info;
    lf_config config;
    lf_rank_info *ranks; // OWNED [ranks]; rank 0 only
    lf_device *device;   // OWNED, as all below
    lf_weights *weights;
    size_t *part_bytes; // [ranks]: what the device's collective needs; NULL for one rank
    lf_hub *hub;

    pthread_t thread;
    bool has_thread;
    lf_status open_status; // hub->lock, until lf_engine_open has returned
    lf_error *open_error;  // BORROWED from the caller of lf_engine_open, until then
    bool is_open_done;     // hub->lock

    lf_kv_cache kv;
    lf_step step;
    lf_forward forward;
    lf_trace trace; // rank 0, when the caller wants one
    lf_team team;
    lf_sched sched; // rank 0 only, as emit and the hub
    lf_emit emit;
    lf_engine_stats stats;     // published through the hub
    lf_engine_profile profile; // likewise
    bool is_profiling;         // hub->is_profiling, as of the last step
    int64_t step_mark_ns;      // until when the running step's time is in the profile
};

// open.c: reads, checks, loads and allocates everything; runs on the engine thread, so that the threads of the parallel
// loops belong to it alone. Ranks meet. On failure the caller tears down.
lf_status lf__engine_build(lf_engine *engine, lf_error *err);
void lf__engine_tear_down(lf_engine *engine);

// lead.c: the two halves of a step, which rank 0 begins; the other ranks are told, and do the same.
lf_status lf__engine_layers(lf_engine *engine, lf_error *err);
lf_status lf__engine_logits(lf_engine *engine, const int32_t *rows, size_t n_row, lf_error *err);
// What the other ranks do with a built engine, until rank 0 sends LF_TASK_STOP.
lf_status lf__engine_follow(lf_engine *engine, lf_error *err);

// engine.c: makes `stats` and `profile` visible to other threads.
void lf__engine_publish(lf_engine *engine);
// Takes the request out of the scheduler, delivers its last event and lets go of it: `request` must not be used
// afterwards.
void lf__engine_finish(lf_engine *engine, lf_request *request, lf_finish finish, lf_token_event event);

#endif
