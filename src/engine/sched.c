// SPDX-License-Identifier: Apache-2.0
//
// Continuous batching with chunked prefill. Invariants: `running` and then `waiting` are in order of arrival; only
// running requests hold blocks. Why it cannot deadlock: the oldest running request may take the blocks of all others,
// and it fits alone.
#include "engine/sched.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

lf_status lf__sched_init(lf_sched *sched, lf_block_pool *pool, size_t max_seq, size_t max_batched_tok, lf_error *err)
{
    *sched = (lf_sched){.pool = pool, .max_seq = max_seq, .max_batched_tok = max_batched_tok};
    sched->waiting_end = &sched->waiting;
    sched->running = calloc(max_seq, sizeof(lf_request *));
    sched->planned = calloc(max_seq, sizeof(lf_request *));
    return sched->running && sched->planned ? LF_OK : lf_error_no_memory(err, max_seq * sizeof(lf_request *));
}

void lf__sched_fini(lf_sched *sched)
{
    free(sched->running);
    free(sched->planned);
    *sched = (lf_sched){0};
}

void lf__sched_enqueue(lf_sched *sched, lf_request *request)
{
    request->next = NULL;
    *sched->waiting_end = request;
    sched->waiting_end = &request->next;
    sched->n_waiting++;
}

static void push_front(lf_sched *sched, lf_request *request)
{
    request->next = sched->waiting;
    if (!sched->waiting) sched->waiting_end = &request->next;
    sched->waiting = request;
    sched->n_waiting++;
}

static lf_request *pop_front(lf_sched *sched)
{
    lf_request *request = sched->waiting;
    sched->waiting = request->next;
    if (!sched->waiting) sched->waiting_end = &sched->waiting;
    sched->n_waiting--;
    request->next = NULL;
    return request;
}

static bool remove_running(lf_sched *sched, const lf_request *request)
{
    for (size_t i = 0; i < sched->n_running; i++) {
        if (sched->running[i] != request) continue;
        sched->n_running--;
        memmove(&sched->running[i], &sched->running[i + 1], (sched->n_running - i) * sizeof(lf_request *));
        return true;
    }
    return false;
}

void lf__sched_remove(lf_sched *sched, lf_request *request)
{
    lf__blocks_release(sched->pool, &request->table);
    if (remove_running(sched, request)) return;
    for (lf_request **link = &sched->waiting; *link; link = &(*link)->next) {
        if (*link != request) continue;
        *link = request->next;
        if (!*link) sched->waiting_end = link;
        sched->n_waiting--;
        request->next = NULL;
        return;
    }
}

// Sends the youngest running request back to the queue; its tokens stay, its keys and values are computed again.
static lf_request *preempt_youngest(lf_sched *sched)
{
    lf_request *victim = sched->running[--sched->n_running];
    lf__blocks_release(sched->pool, &victim->table);
    victim->n_computed = 0;
    push_front(sched, victim);
    sched->n_preemption++;
    return victim;
}

static void plan(lf_sched *sched, lf_request *request, size_t n_tok)
{
    request->n_step_tok = n_tok;
    sched->planned[sched->n_planned++] = request;
    sched->n_planned_tok += n_tok;
}

// Blocks for n_tok more tokens of a running request, preempting younger ones; false when the request itself was
// preempted.
static bool make_room(lf_sched *sched, lf_request *request, size_t n_tok)
{
    while (!lf__blocks_grow(sched->pool, &request->table, request->n_computed + n_tok)) {
        if (preempt_youngest(sched) == request) return false;
    }
    return true;
}

static size_t count_decoding(const lf_sched *sched)
{
    size_t n = 0;
    for (size_t i = 0; i < sched->n_running; i++) n += lf__request_n_pending(sched->running[i]) == 1;
    return n;
}

// One token for each decoding request, what is left of the budget for prompts. Requests at the end of `running` may be
// preempted while the loop runs; they are younger, so they have not been planned yet.
static void plan_running(lf_sched *sched)
{
    size_t n_reserved = count_decoding(sched); // tokens of the budget that no prompt may take
    for (size_t i = 0; i < sched->n_running; i++) {
        lf_request *request = sched->running[i];
        size_t n_tok = lf__request_n_pending(request);
        size_t budget = sched->max_batched_tok - sched->n_planned_tok;
        if (n_tok == 1) {
            n_reserved--;
        } else {
            n_tok = LF_MIN(n_tok, budget - n_reserved);
        }
        if (n_tok > 0 && make_room(sched, request, n_tok)) plan(sched, request, n_tok);
    }
}

// Starts waiting requests while there are blocks for all the tokens they have, and one to spare for each request that
// runs already: a request that is preempted before it made a token has only wasted work.
static void plan_waiting(lf_sched *sched)
{
    while (sched->waiting && sched->n_running < sched->max_seq && sched->n_planned_tok < sched->max_batched_tok) {
        lf_request *request = sched->waiting;
        assert(lf__blocks_for(sched->pool, request->max_length) <= sched->pool->n_block);
        if (lf__blocks_for(sched->pool, request->n_token) + sched->n_running > sched->pool->n_free) return;
        lf__blocks_grow(sched->pool, &request->table, request->n_token);
        pop_front(sched);
        sched->running[sched->n_running++] = request;
        if (request->times.scheduled_ns == 0) request->times.scheduled_ns = lf_now_ns();
        plan(sched, request, LF_MIN(lf__request_n_pending(request), sched->max_batched_tok - sched->n_planned_tok));
    }
}

void lf__sched_plan(lf_sched *sched)
{
    uint64_t n_preemption = sched->n_preemption;
    sched->n_planned = sched->n_planned_tok = 0;
    plan_running(sched);
    if (sched->n_preemption == n_preemption) plan_waiting(sched);
}
