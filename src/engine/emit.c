// SPDX-License-Identifier: Apache-2.0
//
// From logits to events. Order within a request: prompt logprobs in pieces, then one event per token, then nothing.
// Logprobs are of the model's own logits (vLLM's raw_logprobs), so a step in which any request edits its logits works
// on a copy. Trap: a callback may let its owner free the request as soon as the last event is out; lf__engine_finish()
// is the last use.
#include "engine/emit.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/engine_int.h"

lf_status lf__emit_init(lf_emit *emit, const lf_forward *forward, size_t max_row, size_t max_seq, lf_error *err)
{
    *emit = (lf_emit){.device = forward->device, .max_row = max_row};
    emit->rows = calloc(max_row, sizeof *emit->rows);
    emit->samples = calloc(max_row, sizeof *emit->samples);
    emit->requests = calloc(max_row, sizeof(lf_request *));
    emit->selected = calloc(max_row, sizeof(int32_t));
    emit->targets = calloc(max_row, sizeof(int32_t));
    emit->n_top = calloc(max_row, sizeof(int32_t));
    emit->tokens = calloc(max_row, sizeof(int32_t));
    if (!emit->rows || !emit->samples || !emit->requests || !emit->selected || !emit->targets || !emit->n_top ||
        !emit->tokens) {
        return lf_error_no_memory(err, max_row * sizeof *emit->rows);
    }
    emit->edited.stride = forward->logits.stride;
    return emit->device->ops->alloc(emit->device, max_seq * emit->edited.stride * sizeof(float), &emit->edited.data,
                                    err);
}

void lf__emit_fini(lf_emit *emit)
{
    if (emit->device) emit->device->ops->free(emit->device, emit->edited.data);
    free(emit->rows);
    free(emit->samples);
    free(emit->requests);
    free(emit->selected);
    free(emit->targets);
    free(emit->n_top);
    free(emit->tokens);
    *emit = (lf_emit){0};
}

static lf_status compute_logprobs(lf_engine *engine, size_t n_row, lf_error *err)
{
    lf_emit *emit = &engine->emit;
    lf_rows logits = engine->forward.logits;
    lf_status status = emit->device->ops->logprobs(emit->device, logits.data, logits.stride, engine->forward.n_vocab,
                                                   n_row, emit->targets, emit->n_top, emit->rows, err);
    for (size_t i = 0; i < n_row && !status; i++) engine->stats.n_not_finite_row += emit->rows[i].n_not_finite > 0;
    return status;
}

static void finish_not_finite(lf_engine *engine, lf_request *request, size_t position, const lf_logprob_row *row)
{
    lf_error error = {0};
    lf_error_set(&error, LF_ERR_DEVICE, "the model gave %d logits that are not finite after position %zu",
                 row->n_not_finite, position);
    lf_error_hint(&error, "the weights or their scales are broken; `landfall check --deep` reads them all");
    lf__engine_finish(engine, request, LF_FINISH_ERROR,
                      (lf_token_event){.token = -1, .stop_token = -1, .error = &error});
}

static void deliver(lf_request *request, const lf_token_event *event)
{
    if (request->on_event(request->ctx, event) == LF_STOP) request->is_stopped = true;
}

// ---- prompt logprobs ----

// One piece: the logits of positions [first, first + n) of the prompt, which predict the tokens behind them.
// false when the request has finished.
static bool emit_prompt_piece(lf_engine *engine, lf_request *request, size_t first, size_t n)
{
    const lf_emit *emit = &engine->emit;
    for (size_t i = 0; i < n; i++) {
        if (emit->rows[i].n_not_finite == 0) continue;
        finish_not_finite(engine, request, first + i, &emit->rows[i]);
        return false;
    }
    request->n_prompt_row = first + n;
    deliver(
        request,
        &(lf_token_event){
            .token = -1, .stop_token = -1, .prompt_rows = emit->rows, .n_prompt_row = n, .prompt_position = first + 1});
    return true;
}

// The prompt rows of one request, which begins at row `step_row` of the step. *is_alive: it has not finished.
static lf_status emit_prompt_rows(lf_engine *engine, lf_request *request, size_t step_row, bool *is_alive,
                                  lf_error *err)
{
    lf_emit *emit = &engine->emit;
    // The last token of the prompt predicts a new token: its logits belong to sampling. Rows delivered before a
    // preemption are not delivered again.
    size_t first = LF_MAX(request->n_computed, request->n_prompt_row);
    size_t end = LF_MIN(request->n_computed + request->n_step_tok, request->n_prompt - 1);
    while (first < end && *is_alive && !request->is_stopped) {
        size_t n = LF_MIN(end - first, emit->max_row);
        for (size_t i = 0; i < n; i++) {
            emit->selected[i] = (int32_t)(step_row + first + i - request->n_computed);
            emit->targets[i] = request->tokens[first + i + 1];
            emit->n_top[i] = request->sampling.prompt_logprobs;
        }
        lf_status status = lf__engine_logits(engine, emit->selected, n, err);
        if (!status) status = compute_logprobs(engine, n, err);
        if (status) return status;
        *is_alive = emit_prompt_piece(engine, request, first, n);
        first += n;
    }
    return LF_OK;
}

// ---- sampling ----

// A request whose tokens are all computed now gets the row behind them; one that wants no token is done. Returns the
// number of rows.
static size_t collect_rows(lf_engine *engine)
{
    lf_emit *emit = &engine->emit;
    size_t n_row = 0;
    for (size_t i = 0; i < engine->sched.n_planned; i++) {
        lf_request *request = engine->sched.planned[i];
        if (!request) continue;
        request->n_computed += request->n_step_tok;
        if (lf__request_n_pending(request) > 0) continue;
        const lf_sampling *sampling = &request->sampling;
        emit->requests[n_row] = request;
        emit->selected[n_row] = engine->step.query_start[i + 1] - 1;
        emit->n_top[n_row] = LF_MAX(sampling->logprobs, 0);
        emit->samples[n_row] = lf__sampling_row(sampling, lf__uniform(request->seed, lf__request_n_generated(request)));
        emit->samples[n_row].row = (int32_t)n_row;
        n_row++;
    }
    return n_row;
}

// edited[i] = logits[i]. A row of float32 is moved as twice as many elements of bf16.
static lf_status copy_logits(lf_engine *engine, size_t n_row, lf_error *err)
{
    lf_emit *emit = &engine->emit;
    const lf_forward *forward = &engine->forward;
    for (size_t i = 0; i < n_row; i++) emit->selected[i] = (int32_t)i;
    lf_status status = lf__step_select(&engine->step, emit->selected, n_row, err);
    if (status) return status;
    lf_gather_args args = {.x = forward->logits.data,
                           .x_stride = 2 * forward->logits.stride,
                           .rows = engine->step.device_rows,
                           .y = emit->edited.data,
                           .y_stride = 2 * emit->edited.stride,
                           .n_row = n_row,
                           .d = 2 * forward->n_vocab};
    return emit->device->ops->gather(emit->device, &args, err);
}

// The logits that sampling sees: the model's own, or an edited copy when any request has edits.
static lf_status edit_logits(lf_engine *engine, size_t n_row, lf_dptr *out, lf_error *err)
{
    lf_emit *emit = &engine->emit;
    const lf_forward *forward = &engine->forward;
    lf_status status = LF_OK;
    *out = forward->logits.data;
    for (size_t i = 0; i < n_row && !status; i++) {
        lf_request *request = emit->requests[i];
        size_t n_edit;
        lf_logit_edit *edits =
            lf__edit_book_row(&request->edits, lf__request_n_generated(request), (int32_t)i, &n_edit);
        if (n_edit == 0) continue;
        if (out->address != emit->edited.data.address) {
            status = copy_logits(engine, n_row, err);
            *out = emit->edited.data;
        }
        if (!status) {
            status = emit->device->ops->edit_logits(emit->device, *out, emit->edited.stride, n_edit, edits, err);
        }
    }
    return status;
}

static lf_status sample(lf_engine *engine, size_t n_row, lf_error *err)
{
    lf_emit *emit = &engine->emit;
    const lf_forward *forward = &engine->forward;
    int64_t start = lf_now_ns();
    lf_dptr logits;
    lf_status status = edit_logits(engine, n_row, &logits, err);
    if (!status) {
        status = emit->device->ops->sample(emit->device, logits, forward->logits.stride, forward->n_vocab, n_row,
                                           emit->samples, emit->tokens, err);
    }
    for (size_t i = 0; i < n_row; i++) {
        bool is_token = emit->tokens[i] >= 0 && (size_t)emit->tokens[i] < forward->n_vocab; // not so for rows of NaN
        emit->targets[i] = is_token ? emit->tokens[i] : -1;
    }
    if (!status) status = compute_logprobs(engine, n_row, err);
    if (forward->profile) forward->profile->sample_ns += (uint64_t)(lf_now_ns() - start);
    return status;
}

// ---- tokens ----

static bool is_stop_token(const lf_request *request, int32_t token)
{
    for (size_t i = 0; i < request->n_stop_token; i++) {
        if (request->stop_tokens[i] == token) return true;
    }
    return false;
}

static bool is_end_token(const lf_config *config, int32_t token)
{
    for (size_t i = 0; i < config->n_eos_token_id; i++) {
        if (config->eos_token_ids[i] == token) return true;
    }
    return false;
}

// Whether the token that was just appended ends the request, and how.
static lf_finish judge(const lf_engine *engine, const lf_request *request, lf_token_event *event)
{
    bool is_end = is_end_token(&engine->config, event->token);
    if ((is_end && !request->sampling.ignore_eos) || is_stop_token(request, event->token)) {
        event->stop_token = event->token;
        event->is_eos = is_end;
        return LF_FINISH_STOP;
    }
    return request->n_token == request->max_length ? LF_FINISH_LENGTH : LF_FINISH_NONE;
}

static void emit_token(lf_engine *engine, lf_request *request, int32_t token, const lf_logprob_row *row)
{
    if (row->n_not_finite > 0 || token < 0) {
        finish_not_finite(engine, request, request->n_token - 1, row);
        return;
    }
    request->tokens[request->n_token++] = token;
    lf__edit_book_add(&request->edits, token);
    request->times.last_token_ns = lf_now_ns();
    if (request->times.first_token_ns == 0) request->times.first_token_ns = request->times.last_token_ns;
    request->times.n_generated++;

    lf_token_event event = {.token = token, .stop_token = -1};
    if (request->sampling.logprobs >= 0) event.logprob = row;
    lf_finish finish = judge(engine, request, &event);
    if (finish != LF_FINISH_NONE) {
        lf__engine_finish(engine, request, finish, event);
        return;
    }
    deliver(request, &event);
    if (request->is_stopped) {
        lf__engine_finish(engine, request, LF_FINISH_STOP, (lf_token_event){.token = -1, .stop_token = -1});
    }
}

static void count_tokens(lf_engine *engine, size_t n_row)
{
    for (size_t i = 0; i < n_row; i++) {
        const lf_request *request = engine->emit.requests[i];
        if (lf__request_n_generated(request) == 0) engine->stats.n_prompt_token += request->n_prompt;
        if (request->sampling.max_tokens > 0) engine->stats.n_generation_token++;
    }
}

// Every planned request that has not failed or stopped meanwhile is still in the scheduler.
static lf_status emit_prompts(lf_engine *engine, lf_error *err)
{
    for (size_t i = 0; i < engine->sched.n_planned; i++) {
        lf_request *request = engine->sched.planned[i];
        if (request->sampling.prompt_logprobs < 0) continue;
        bool is_alive = true;
        lf_status status = emit_prompt_rows(engine, request, (size_t)engine->step.query_start[i], &is_alive, err);
        if (status) return status;
        if (is_alive && request->is_stopped) {
            is_alive = false;
            lf__engine_finish(engine, request, LF_FINISH_STOP, (lf_token_event){.token = -1, .stop_token = -1});
        }
        if (!is_alive) engine->sched.planned[i] = NULL;
    }
    return LF_OK;
}

lf_status lf__emit_step(lf_engine *engine, lf_error *err)
{
    lf_emit *emit = &engine->emit;
    lf_status status = emit_prompts(engine, err);
    if (status) return status;
    size_t n_row = collect_rows(engine);
    if (n_row == 0) return LF_OK;
    status = lf__engine_logits(engine, emit->selected, n_row, err);
    if (!status) status = sample(engine, n_row, err);
    if (status) return status;
    count_tokens(engine, n_row);
    lf__engine_publish(engine);
    for (size_t i = 0; i < n_row; i++) {
        lf_request *request = emit->requests[i];
        if (request->sampling.max_tokens > 0) {
            emit_token(engine, request, emit->targets[i], &emit->rows[i]);
        } else if (emit->rows[i].n_not_finite > 0) {
            finish_not_finite(engine, request, request->n_token - 1, &emit->rows[i]);
        } else {
            lf__engine_finish(engine, request, LF_FINISH_LENGTH, (lf_token_event){.token = -1, .stop_token = -1});
        }
    }
    return LF_OK;
}
