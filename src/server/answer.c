// SPDX-License-Identifier: Apache-2.0
//
// Requests from the first byte of their body to the last of their answer. The connection's thread runs all of this; the
// engine's thread only wakes it. An answer is listed in its service while it lives, so that a shutdown can end it.
#include "server/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

void lf_answer_cancel(lf_answer *answer)
{
    for (size_t i = 0; i < answer->n_choice; i++) {
        if (answer->choices[i].generation) lf_generation_cancel(answer->choices[i].generation);
    }
}

static void list_answer(lf_answer *answer)
{
    lf_service *service = answer->service;
    pthread_mutex_lock(&service->lock);
    answer->next = service->answers;
    if (answer->next) answer->next->previous = answer;
    service->answers = answer;
    answer->is_listed = true;
    bool is_aborted = service->is_aborted;
    pthread_mutex_unlock(&service->lock);
    atomic_fetch_add(&service->n_generating, 1);
    if (is_aborted) lf_answer_cancel(answer);
}

static void unlist_answer(lf_answer *answer)
{
    lf_service *service = answer->service;
    pthread_mutex_lock(&service->lock);
    if (answer->is_listed) {
        if (answer->previous)
            answer->previous->next = answer->next;
        else
            service->answers = answer->next;
        if (answer->next) answer->next->previous = answer->previous;
        service->n_sequence -= answer->n_choice;
        atomic_fetch_sub(&service->n_generating, 1);
    }
    answer->is_listed = false;
    pthread_mutex_unlock(&service->lock);
}

// Books `n` sequences, so that a flood of requests ends in a 503 and not in a queue without bounds.
static lf_status book_sequences(lf_service *service, size_t n, lf_refusal *refusal)
{
    pthread_mutex_lock(&service->lock);
    bool is_free = service->n_sequence + n <= LF_SERVICE_MAX_SEQUENCES;
    if (is_free) service->n_sequence += n;
    pthread_mutex_unlock(&service->lock);
    if (is_free) return LF_OK;
    return lf_refuse(refusal, 503, LF_REFUSAL_UNAVAILABLE, NULL,
                     "too many sequences are queued (limit %d); try again later", LF_SERVICE_MAX_SEQUENCES);
}

static void note_health(lf_service *service, lf_finish finish)
{
    if (finish == LF_FINISH_ERROR)
        atomic_store(&service->is_failing, true);
    else if (finish != LF_FINISH_CANCELLED)
        atomic_store(&service->is_failing, false);
}

void lf_answer_free(lf_answer *answer)
{
    if (!answer) return;
    unlist_answer(answer);
    lf_answer_cancel(answer);
    for (size_t i = 0; i < answer->n_choice; i++) {
        lf_choice *choice = &answer->choices[i];
        if (choice->generation) {
            lf_generation_wait(choice->generation);
            lf_metrics_observe(answer->service->metrics, choice->generation, &answer->ask);
            note_health(answer->service, lf_generation_finish(choice->generation));
        }
        lf_generation_free(choice->generation);
        lf_chunk_fini(&choice->chunk);
    }
    free(answer->choices);
    lf_job_fini(&answer->job);
    lf_prompts_fini(&answer->prompts);
    lf_ask_fini(&answer->ask);
    free(answer);
}

static lf_status submit_choice(lf_answer *answer, lf_choice *choice, size_t i, lf_refusal *refusal)
{
    const lf_ask *ask = &answer->ask;
    choice->index = i;
    choice->prompt = &answer->prompts.items[i / (size_t)ask->n];
    int64_t room = answer->service->limits.max_model_len - (int64_t)choice->prompt->ids.count;
    lf_generation_args args = {.prompt = choice->prompt->ids.data,
                               .n_prompt = choice->prompt->ids.count,
                               .sampling = ask->sampling,
                               .stop = ask->stop,
                               .n_stop = ask->n_stop,
                               .include_stop_in_output = ask->include_stop_str_in_output,
                               .skip_special_tokens = ask->skip_special_tokens,
                               .wake = lf_job_wake,
                               .wake_ctx = &answer->job,
                               .wakes_when_done_only = !ask->stream};
    args.sampling.max_tokens = LF_MIN(args.sampling.max_tokens, room);
    args.sampling.min_tokens = LF_MIN(args.sampling.min_tokens, args.sampling.max_tokens);
    // samples of one prompt differ although the client fixed the seed
    args.sampling.seed += i % (size_t)ask->n;
    lf_error problem = {0};
    if (lf_generation_start(&choice->generation, answer->service->session, &args, &problem)) {
        return lf_refuse_error(refusal, &problem);
    }
    return LF_OK;
}

static lf_status submit(lf_answer *answer, lf_refusal *refusal)
{
    size_t n = answer->prompts.count * (size_t)answer->ask.n;
    lf_choice *choices = calloc(n, sizeof *choices);
    if (!choices) return lf_refuse_no_memory(refusal);
    lf_status status = book_sequences(answer->service, n, refusal);
    if (status) {
        free(choices);
        return status;
    }
    answer->choices = choices;
    answer->n_choice = n;
    for (size_t i = 0; i < n && !status; i++) status = submit_choice(answer, &choices[i], i, refusal);
    // listed when everything stands, also after a failure, so that lf_answer_free gives the booking back
    list_answer(answer);
    return status;
}

lf_status lf_answer_start(lf_answer **out, lf_service *service, lf_endpoint endpoint, const lf_call *call,
                          lf_refusal *refusal)
{
    if (atomic_load(&service->is_stopping)) {
        return lf_refuse(refusal, 503, LF_REFUSAL_UNAVAILABLE, NULL, "the server is shutting down");
    }
    json_t *body = NULL;
    lf_status status = lf_body_parse(&body, call->body, call->body_length, refusal);
    if (status) return status;
    lf_answer *answer = calloc(1, sizeof *answer);
    if (!answer) {
        json_decref(body);
        return lf_refuse_no_memory(refusal);
    }
    lf_error problem = {0};
    answer->service = service;
    answer->created = (int64_t)time(NULL);
    snprintf(answer->id, sizeof answer->id, "%s-%s", endpoint == LF_ENDPOINT_CHAT ? "chatcmpl" : "cmpl",
             call->request_id);
    if (lf_job_init(&answer->job, &problem)) status = lf_refuse_error(refusal, &problem);
    lf_status read = lf_ask_read(&answer->ask, endpoint, body, &service->limits, status ? &(lf_refusal){0} : refusal);
    if (!status) status = read;
    if (!status) status = lf_prompts_build(&answer->prompts, service->session, &answer->ask, refusal);
    if (!status) status = submit(answer, refusal);
    if (status)
        lf_answer_free(answer);
    else
        *out = answer;
    return status;
}

static bool shows_logprobs(const lf_ask *ask) { return ask->has_logprobs || ask->has_prompt_logprobs; }

lf_status lf_choice_take(lf_choice *choice, lf_refusal *refusal)
{
    lf_error problem = {0};
    if (lf_generation_take(choice->generation, &choice->chunk, &problem)) return lf_refuse_error(refusal, &problem);
    choice->n_generated += choice->chunk.n_token;
    return LF_OK;
}

// JSON has no NaN, and an answer from broken logits is worth nothing: said aloud, where others would answer with token
// 0.
static lf_status check_finite(const lf_answer *answer, const lf_choice *choice, lf_refusal *refusal)
{
    if (!shows_logprobs(&answer->ask) || lf_generation_n_not_finite(choice->generation) == 0) return LF_OK;
    return lf_refuse(refusal, 500, LF_REFUSAL_INTERNAL, NULL,
                     "the model's logits are not finite (NaN or infinity): its weights are broken; `landfall check "
                     "--deep` looks for the cause");
}

static bool wait_for_all(lf_answer *answer, int peer_fd)
{
    for (size_t i = 0; i < answer->n_choice;) {
        if (lf_generation_is_done(answer->choices[i].generation)) {
            i++;
        } else if (lf_job_wait(&answer->job, peer_fd) == LF_JOB_GONE) {
            return false;
        }
    }
    return true;
}

void lf_answer_handle(lf_service *service, lf_endpoint endpoint, const lf_call *call, lf_reply *reply)
{
    const lf_writer *writer = endpoint == LF_ENDPOINT_CHAT ? &lf_chat_writer : &lf_completion_writer;
    lf_answer *answer = NULL;
    lf_refusal refusal;
    if (lf_answer_start(&answer, service, endpoint, call, &refusal)) {
        lf_reply_refusal(reply, &refusal);
        return;
    }
    for (size_t i = 0; i < answer->prompts.count; i++) reply->n_prompt += (int64_t)answer->prompts.items[i].ids.count;
    if (answer->ask.stream) {
        reply->stream = lf_stream_new(answer, writer, call->peer_fd);
        reply->http_status = 200;
        reply->content_type = "text/event-stream; charset=utf-8";
        if (!reply->stream) lf_reply_json(reply, 500, NULL);
        return;
    }
    lf_status status = LF_OK;
    if (!wait_for_all(answer, call->peer_fd)) {
        reply->is_abandoned = true;
        goto out;
    }
    for (size_t i = 0; i < answer->n_choice && !status; i++) {
        status = lf_choice_take(&answer->choices[i], &refusal);
        if (!status) status = check_finite(answer, &answer->choices[i], &refusal);
        reply->n_generated += (int64_t)answer->choices[i].n_generated;
    }
    if (status)
        lf_reply_refusal(reply, &refusal);
    else
        lf_reply_json(reply, 200, writer->whole(answer));
out:
    lf_answer_free(answer);
}
