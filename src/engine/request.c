// SPDX-License-Identifier: Apache-2.0
//
// Making and freeing requests and the hub.
#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

lf_status lf__hub_new(lf_hub **out, lf_error *err)
{
    lf_hub *hub = calloc(1, sizeof *hub);
    if (!hub) return lf_error_no_memory(err, sizeof *hub);
    pthread_mutex_init(&hub->lock, NULL); // these three cannot fail on Linux with default attributes
    pthread_cond_init(&hub->work, NULL);
    pthread_cond_init(&hub->done, NULL);
    hub->n_reference = 1;
    hub->incoming_end = &hub->incoming;
    *out = hub;
    return LF_OK;
}

void lf__hub_unref(lf_hub *hub)
{
    if (!hub) return;
    pthread_mutex_lock(&hub->lock);
    bool is_last = --hub->n_reference == 0;
    pthread_mutex_unlock(&hub->lock);
    if (!is_last) return;
    pthread_cond_destroy(&hub->done);
    pthread_cond_destroy(&hub->work);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static lf_status check_prompt(const lf_request_args *args, lf_error *err)
{
    if (args->n_prompt == 0) return lf_error_set(err, LF_ERR_INVALID, "the prompt is empty");
    for (size_t i = 0; i < args->n_prompt; i++) {
        if (args->prompt[i] < 0 || args->prompt[i] >= args->config->vocab_size) {
            return lf_error_set(err, LF_ERR_INVALID,
                                "token %d at position %zu of the prompt is outside the vocabulary of %lld",
                                args->prompt[i], i, (long long)args->config->vocab_size);
        }
    }
    size_t need = args->n_prompt + (args->sampling->max_tokens > 0 ? 1 : 0);
    if (need > args->max_model_len) {
        lf_error_set(err, LF_ERR_INVALID, "the prompt of %zu tokens leaves no room in a context of %zu tokens",
                     args->n_prompt, args->max_model_len);
        return lf_error_hint(err, "shorten the prompt or raise --max-model-len");
    }
    return LF_OK;
}

static lf_status copy_parts(lf_request *request, const lf_request_args *args, lf_error *err)
{
    const lf_sampling *sampling = args->sampling;
    size_t n_output = LF_MIN((size_t)sampling->max_tokens, args->max_model_len - args->n_prompt);
    request->max_length = args->n_prompt + n_output;
    request->tokens = malloc(request->max_length * sizeof *request->tokens);
    request->stop_tokens = malloc((sampling->n_stop_token_id + 1) * sizeof *request->stop_tokens);
    if (!request->tokens || !request->stop_tokens) return lf_error_no_memory(err, 0);
    memcpy(request->tokens, args->prompt, args->n_prompt * sizeof *request->tokens);
    request->n_prompt = request->n_token = args->n_prompt;
    if (sampling->n_stop_token_id > 0) {
        memcpy(request->stop_tokens, sampling->stop_token_ids,
               sampling->n_stop_token_id * sizeof *request->stop_tokens);
    }
    request->n_stop_token = sampling->n_stop_token_id;

    lf_status status = lf__block_table_init(&request->table, request->max_length, args->block_size, err);
    if (status) return status;
    lf_edit_book_args book = {
        .sampling = sampling,
        .prompt = args->prompt,
        .n_prompt = args->n_prompt,
        .max_length = request->max_length,
        .eos_tokens = args->config->eos_token_ids,
        .n_eos_token = args->config->n_eos_token_id,
        .vocab_size = args->config->vocab_size,
    };
    return lf__edit_book_init(&request->edits, &book, err);
}

lf_status lf__request_new(lf_request **out, const lf_request_args *args, lf_error *err)
{
    lf_status status = lf__sampling_check(args->sampling, args->config->vocab_size, err);
    if (!status) status = check_prompt(args, err);
    if (status) return status;
    lf_request *request = calloc(1, sizeof *request);
    if (!request) return lf_error_no_memory(err, sizeof *request);
    status = copy_parts(request, args, err);
    if (status) {
        lf__request_free(request);
        return status;
    }
    request->hub = args->hub;
    request->on_event = args->on_event;
    request->ctx = args->ctx;
    request->sampling = *args->sampling;
    request->sampling.stop_token_ids = NULL;
    request->sampling.logit_bias = NULL;
    request->seed = args->sampling->seed;
    request->is_seeded = args->sampling->has_seed;
    request->times.submitted_ns = lf_now_ns();
    request->times.n_prompt = (int64_t)args->n_prompt;
    *out = request;
    return LF_OK;
}

void lf__request_free(lf_request *request)
{
    if (!request) return;
    lf__edit_book_fini(&request->edits);
    lf__block_table_fini(&request->table);
    free(request->stop_tokens);
    free(request->tokens);
    free(request);
}
