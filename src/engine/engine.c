// SPDX-License-Identifier: Apache-2.0
//
// The engine thread and the functions that other threads call. The thread opens the engine (so that it owns the threads
// of all parallel loops), then repeats: take what has arrived, drop what was cancelled, plan, compute, deliver.
// Invariant: a request is known to the hub, to the scheduler, or finished; lf__engine_finish() is the only way out.
#include "engine/engine.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/par.h"
#include "engine/engine_int.h"

// ---- the engine thread ----

void lf__engine_publish(lf_engine *engine)
{
    const lf_sched *sched = &engine->sched;
    lf_engine_stats *stats = &engine->stats;
    stats->n_running = (int64_t)sched->n_running;
    stats->n_waiting = (int64_t)sched->n_waiting;
    stats->n_preemption = sched->n_preemption;
    stats->kv_cache_usage = 1 - (double)sched->pool->n_free / (double)sched->pool->n_block;
    if (engine->forward.profile) { // the time of a running step so far: its events may be what the reader waits for
        int64_t now = lf_now_ns();
        engine->forward.profile->step_ns += (uint64_t)(now - engine->step_mark_ns);
        engine->step_mark_ns = now;
    }
    pthread_mutex_lock(&engine->hub->lock);
    engine->hub->stats = *stats;
    engine->hub->profile = engine->profile;
    pthread_mutex_unlock(&engine->hub->lock);
}

void lf__engine_finish(lf_engine *engine, lf_request *request, lf_finish finish, lf_token_event event)
{
    lf__sched_remove(&engine->sched, request);
    engine->stats.n_finished[finish]++;
    lf__engine_publish(engine); // whoever has seen the last event finds it counted
    event.finish = finish;
    request->on_event(request->ctx, &event);
    pthread_mutex_lock(&engine->hub->lock);
    request->is_done = true;
    pthread_cond_broadcast(&engine->hub->done);
    pthread_mutex_unlock(&engine->hub->lock);
}

static void finish_cancelled(lf_engine *engine, lf_request *request)
{
    lf__engine_finish(engine, request, LF_FINISH_CANCELLED, (lf_token_event){.token = -1, .stop_token = -1});
}

// `all`: the engine closes.
static void drop_cancelled(lf_engine *engine, bool all)
{
    lf_sched *sched = &engine->sched;
    for (size_t i = 0; i < sched->n_running;) {
        lf_request *request = sched->running[i];
        if (all || atomic_load(&request->is_cancelled)) {
            finish_cancelled(engine, request); // the next one moves to i
        } else {
            i++;
        }
    }
    for (lf_request *request = sched->waiting, *next; request; request = next) {
        next = request->next;
        if (all || atomic_load(&request->is_cancelled)) finish_cancelled(engine, request);
    }
}

// Waits until there is something to do and takes it over. false: the engine closes.
static bool take_work(lf_engine *engine)
{
    lf_hub *hub = engine->hub;
    lf_sched *sched = &engine->sched;
    pthread_mutex_lock(&hub->lock);
    while (!hub->is_closing && !hub->incoming && !hub->has_cancel && sched->n_running + sched->n_waiting == 0) {
        pthread_cond_wait(&hub->work, &hub->lock);
    }
    lf_request *incoming = hub->incoming;
    hub->incoming = NULL;
    hub->incoming_end = &hub->incoming;
    hub->stats.n_waiting += (int64_t)hub->n_incoming;
    hub->n_incoming = 0;
    bool is_closing = hub->is_closing, has_cancel = hub->has_cancel;
    hub->has_cancel = false;
    if (hub->is_profiling && !engine->is_profiling) engine->profile = (lf_engine_profile){0};
    engine->is_profiling = hub->is_profiling;
    pthread_mutex_unlock(&hub->lock);

    for (lf_request *next; incoming; incoming = next) {
        next = incoming->next;
        lf__sched_enqueue(sched, incoming);
    }
    if (has_cancel || is_closing) drop_cancelled(engine, is_closing);
    return !is_closing;
}

static lf_status compute_step(lf_engine *engine, lf_error *err)
{
    lf_step *step = &engine->step;
    lf__step_begin(step);
    lf_status status = LF_OK;
    for (size_t i = 0; i < engine->sched.n_planned && !status; i++) {
        const lf_request *request = engine->sched.planned[i];
        status = lf__step_add(step, request->tokens, request->n_computed, request->n_step_tok, &request->table, err);
    }
    if (!status) status = lf__step_commit(step, err);
    if (!status) status = lf__engine_layers(engine, err);
    return status ? status : lf__emit_step(engine, err);
}

// A device that fails has lost the step: its requests end with the reason, the others go on.
static void fail_planned(lf_engine *engine, const lf_error *error)
{
    for (size_t i = 0; i < engine->sched.n_planned; i++) {
        lf_request *request = engine->sched.planned[i];
        if (!request) continue;
        lf__engine_finish(engine, request, LF_FINISH_ERROR,
                          (lf_token_event){.token = -1, .stop_token = -1, .error = error});
    }
}

static void begin_profile(lf_engine *engine, int64_t start)
{
    const lf_sched *sched = &engine->sched;
    bool is_decode = sched->n_planned_tok == sched->n_planned;
    lf_step_profile *profile = is_decode ? &engine->profile.decode : &engine->profile.prefill;
    profile->n_step++;
    profile->n_token += sched->n_planned_tok;
    engine->forward.profile = profile;
    engine->step_mark_ns = start;
}

static void run_step(lf_engine *engine)
{
    int64_t start = lf_now_ns();
    lf__sched_plan(&engine->sched);
    if (engine->sched.n_planned == 0) return;
    engine->stats.n_step++;
    if (engine->is_profiling) begin_profile(engine, start);
    lf_error error = {0};
    if (compute_step(engine, &error)) fail_planned(engine, &error);
    lf__engine_publish(engine);
    engine->forward.profile = NULL;
}

static bool open_on_thread(lf_engine *engine)
{
    lf_status status = lf__engine_build(engine, engine->open_error);
    if (!status) lf__engine_publish(engine);
    pthread_mutex_lock(&engine->hub->lock);
    engine->open_status = status;
    engine->is_open_done = true;
    engine->hub->is_open = !status;
    pthread_cond_broadcast(&engine->hub->done);
    pthread_mutex_unlock(&engine->hub->lock);
    return !status;
}

static void *engine_main(void *argument)
{
    lf_engine *engine = argument;
    lf_par_set_threads(engine->options.n_thread);
    if (open_on_thread(engine)) {
        while (take_work(engine)) run_step(engine);
        lf_error unused; // ranks that cannot be told have ended, or will notice that this one does
        lf__team_send(&engine->team, LF_TASK_STOP, &engine->step, NULL, 0, &unused);
    }
    lf__engine_tear_down(engine);
    return NULL;
}

// ---- opening and closing ----

static lf_status wait_until_open(lf_engine *engine)
{
    pthread_mutex_lock(&engine->hub->lock);
    while (!engine->is_open_done) pthread_cond_wait(&engine->hub->done, &engine->hub->lock);
    engine->options.model_dir = NULL; // all three were the caller's
    engine->options.hf_overrides = NULL;
    engine->open_error = NULL;
    lf_status status = engine->open_status;
    pthread_mutex_unlock(&engine->hub->lock);
    return status;
}

lf_status lf_engine_open(lf_engine **out, const lf_engine_options *options, lf_error *err)
{
    lf_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return lf_error_no_memory(err, sizeof *engine);
    lf_error unused;
    engine->options = *options;
    engine->open_error = err ? err : &unused;
    lf_status status = lf__hub_new(&engine->hub, err);
    if (status) goto out;
    int rc = pthread_create(&engine->thread, NULL, engine_main, engine);
    if (rc != 0) {
        status = lf_error_errno(err, rc, "cannot start the engine thread");
        goto out;
    }
    engine->has_thread = true;
    status = wait_until_open(engine);
out:
    if (status) {
        lf_engine_close(engine);
    } else {
        *out = engine;
    }
    return status;
}

void lf_engine_close(lf_engine *engine)
{
    if (!engine) return;
    if (engine->has_thread) {
        pthread_mutex_lock(&engine->hub->lock);
        engine->hub->is_open = false;
        engine->hub->is_closing = true;
        pthread_cond_signal(&engine->hub->work);
        pthread_mutex_unlock(&engine->hub->lock);
        pthread_join(engine->thread, NULL);
    }
    lf__hub_unref(engine->hub);
    free(engine);
}

const lf_config *lf_engine_config(const lf_engine *engine) { return &engine->config; }
void lf_engine_describe(const lf_engine *engine, lf_engine_info *out) { *out = engine->info; }
const lf_rank_info *lf_engine_ranks(const lf_engine *engine) { return engine->ranks; }
json_t *lf_engine_ledger(const lf_engine *engine) { return lf_weights_ledger(engine->weights); }

// ---- requests ----

lf_status lf_engine_submit(lf_engine *engine, const int32_t *prompt, size_t n_prompt, const lf_sampling *sampling,
                           lf_token_fn on_event, void *ctx, lf_request **out, lf_error *err)
{
    lf_hub *hub = engine->hub;
    lf_request *request;
    lf_request_args args = {.hub = hub,
                            .config = &engine->config,
                            .prompt = prompt,
                            .n_prompt = n_prompt,
                            .sampling = sampling,
                            .on_event = on_event,
                            .ctx = ctx,
                            .max_model_len = (size_t)engine->info.max_model_len,
                            .block_size = (size_t)engine->info.block_size};
    lf_status status = lf__request_new(&request, &args, err);
    if (status) return status;
    pthread_mutex_lock(&hub->lock);
    if (!hub->is_open) {
        pthread_mutex_unlock(&hub->lock);
        lf__request_free(request);
        return lf_error_set(err, LF_ERR_CANCELLED, "the engine is closing");
    }
    // Requests without a seed get streams of their own, the same ones for the same order of submission.
    if (!request->is_seeded) request->seed = engine->options.seed + ++hub->n_submitted * 0xd1342543de82ef95u;
    hub->n_reference++;
    hub->n_incoming++;
    *hub->incoming_end = request;
    hub->incoming_end = &request->next;
    *out = request; // before the engine thread can know it: a callback may look at it
    pthread_cond_signal(&hub->work);
    pthread_mutex_unlock(&hub->lock);
    return LF_OK;
}

void lf_request_cancel(lf_request *request)
{
    lf_hub *hub = request->hub;
    pthread_mutex_lock(&hub->lock);
    atomic_store(&request->is_cancelled, true);
    hub->has_cancel = true;
    pthread_cond_signal(&hub->work);
    pthread_mutex_unlock(&hub->lock);
}

void lf_request_release(lf_request *request)
{
    if (!request) return;
    lf_hub *hub = request->hub;
    pthread_mutex_lock(&hub->lock);
    if (!request->is_done) {
        atomic_store(&request->is_cancelled, true);
        hub->has_cancel = true;
        pthread_cond_signal(&hub->work);
    }
    while (!request->is_done) pthread_cond_wait(&hub->done, &hub->lock);
    pthread_mutex_unlock(&hub->lock);
    lf__request_free(request);
    lf__hub_unref(hub);
}

// ---- live numbers ----

void lf_engine_stats_read(const lf_engine *engine, lf_engine_stats *out)
{
    lf_hub *hub = engine->hub;
    pthread_mutex_lock(&hub->lock);
    *out = hub->stats;
    out->n_waiting += (int64_t)hub->n_incoming;
    pthread_mutex_unlock(&hub->lock);
}

void lf_engine_profile_set(lf_engine *engine, bool is_on)
{
    pthread_mutex_lock(&engine->hub->lock);
    engine->hub->is_profiling = is_on;
    pthread_mutex_unlock(&engine->hub->lock);
}

void lf_engine_profile_read(const lf_engine *engine, lf_engine_profile *out)
{
    pthread_mutex_lock(&engine->hub->lock);
    *out = engine->hub->profile;
    pthread_mutex_unlock(&engine->hub->lock);
}

void lf_request_times_read(const lf_request *request, lf_request_times *out) { *out = request->times; }
