// SPDX-License-Identifier: Apache-2.0
//
// Opening a model directory for serving, cheapest parts first.
#include "server/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/generation.h"
#include "text/tokenizer_config.h"

enum { MAX_GENERATION_CONFIG_BYTES = 1 << 20 };

static lf_status load_defaults(lf_generation_defaults *defaults, const char *dir, bool is_ignored, lf_error *err)
{
    *defaults = (lf_generation_defaults){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    if (is_ignored) return LF_OK;
    char *path = lf_path_join(dir, "generation_config.json");
    if (!path) return lf_error_no_memory(err, 0);
    json_t *config = NULL;
    lf_error problem = {0};
    lf_status status = lf_json_load(&config, path, MAX_GENERATION_CONFIG_BYTES, &problem);
    free(path);
    if (status == LF_ERR_NOT_FOUND) return LF_OK;
    if (status) {
        if (err) *err = problem;
        return status;
    }
    double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
    int64_t top_k = 0;
    if ((status = lf_json_real(config, "temperature", 0, 2, &temperature, err)) ||
        (status = lf_json_real(config, "top_p", 0, 1, &top_p, err)) ||
        (status = lf_json_real(config, "min_p", 0, 1, &min_p, err)) ||
        (status = lf_json_real(config, "repetition_penalty", 1e-3, 1e3, &repetition_penalty, err)) ||
        (status = lf_json_int(config, "top_k", -1, INT32_MAX, &top_k, err)) ||
        (status = lf_json_int(config, "max_new_tokens", 1, INT64_MAX, &defaults->max_tokens, err))) {
        lf_error_at(err, "generation_config.json");
        goto out;
    }
    if (top_p <= 0) top_p = 1;
    defaults->temperature = (float)temperature;
    defaults->top_p = (float)top_p;
    defaults->min_p = (float)min_p;
    defaults->repetition_penalty = (float)repetition_penalty;
    defaults->top_k = (int32_t)LF_MAX(top_k, 0);
out:
    json_decref(config);
    return status;
}

// The special tokens that templates may name, from tokenizer_config.json; an empty object without that file.
static lf_status load_tokenizer_json(json_t **out, const char *dir, lf_error *err)
{
    char *path = lf_path_join(dir, "tokenizer_config.json");
    if (!path) return lf_error_no_memory(err, 0);
    lf_error problem = {0};
    lf_status status = lf_json_load(out, path, LF_TOKENIZER_CONFIG_MAX_BYTES, &problem);
    free(path);
    if (status == LF_ERR_NOT_FOUND) {
        *out = json_object();
        status = *out ? LF_OK : lf_error_no_memory(&problem, 0);
    }
    if (status && err) *err = problem;
    return status;
}

static lf_status compile_template(lf_session *session, const json_t *config, const char *source, lf_error *err)
{
    if (!source) {
        snprintf(session->chat_missing, sizeof session->chat_missing,
                 "this model has no chat template; start the server with --chat-template, or use /v1/completions");
        lf_log(LF_LOG_WARNING, "the checkpoint has no chat template: chat requests will be refused");
        return LF_OK;
    }
    lf_status status = lf_chat_template_from_config(&session->chat, config, source, NULL, err);
    if (status) lf_error_at(err, "chat template");
    return status;
}

static lf_status load_chat_template(lf_session *session, const lf_session_options *options, lf_error *err)
{
    const char *dir = options->engine.model_dir;
    lf_tokenizer_config files = {0};
    json_t *config = NULL;
    char *own = NULL;
    size_t length = 0;
    lf_status status = lf_tokenizer_config_load(&files, dir, err);
    if (!status) status = lf_tokenizer_config_agrees(&files, session->tokenizer, err);
    if (!status) status = load_tokenizer_json(&config, dir, err);
    if (!status && options->chat_template_path) {
        status = lf_file_read(&own, &length, options->chat_template_path, LF_JINJA_MAX_TEMPLATE_BYTES, err);
        if (!status && strlen(own) != length) {
            status = lf_error_set(err, LF_ERR_FORMAT, "%s holds a NUL byte", options->chat_template_path);
        }
    }
    if (!status) status = compile_template(session, config, own ? own : files.chat_template, err);
    free(own);
    json_decref(config);
    lf_tokenizer_config_fini(&files);
    return status;
}

lf_status lf_session_open(lf_session **out, const lf_session_options *options, lf_error *err)
{
    lf_session *session = calloc(1, sizeof *session);
    if (!session) return lf_error_no_memory(err, sizeof *session);
    const char *dir = options->engine.model_dir;
    lf_status status = LF_ERR_NO_MEMORY;
    char *tokenizer_path = lf_path_join(dir, "tokenizer.json");
    session->model_dir = strdup(dir);
    if (!tokenizer_path || !session->model_dir) {
        lf_error_no_memory(err, 0);
        goto out;
    }
    status = lf_tokenizer_open(&session->tokenizer, tokenizer_path, err);
    if (status) {
        if (status == LF_ERR_NOT_FOUND && access(dir, R_OK | X_OK))
            lf_error_errno(err, errno, "cannot open %s", dir);
        else if (status == LF_ERR_NOT_FOUND)
            lf_error_hint(err, "serving needs the checkpoint's tokenizer.json");
        if (err) status = err->status;
        goto out;
    }
    if ((status = load_chat_template(session, options, err)) ||
        (status = load_defaults(&session->defaults, dir, options->ignore_generation_config, err)) ||
        (status = lf_engine_open(&session->engine, &options->engine, err))) {
        goto out;
    }
    session->vocab_size = lf_engine_config(session->engine)->vocab_size;
    lf_engine_describe(session->engine, &session->info);
    *out = session;
out:
    free(tokenizer_path);
    if (status) lf_session_close(session);
    return status;
}

void lf_session_close(lf_session *session)
{
    if (!session) return;
    lf_engine_close(session->engine);
    lf_chat_template_free(session->chat);
    lf_tokenizer_close(session->tokenizer);
    free(session->model_dir);
    free(session);
}

lf_status lf_session_warm_up(lf_session *session, lf_error *err)
{
    const lf_config *config = lf_engine_config(session->engine);
    int32_t prompt =
        config->bos_token_id >= 0 && config->bos_token_id < config->vocab_size ? (int32_t)config->bos_token_id : 0;
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    sampling.temperature = 0;
    sampling.max_tokens = 1;
    sampling.ignore_eos = true;
    sampling.logprobs = 0;
    lf_generation_args args = {.prompt = &prompt, .n_prompt = 1, .sampling = sampling};
    lf_generation *generation = NULL;
    lf_chunk chunk = {0};
    lf_status status = lf_generation_start(&generation, session, &args, err);
    if (status) goto out;
    lf_generation_wait(generation);
    status = lf_generation_take(generation, &chunk, err);
    if (!status && chunk.n_token == 1 && chunk.rows && chunk.rows[0].n_not_finite > 0) {
        status = lf_error_set(err, LF_ERR_FORMAT,
                              "the model's first logits are not finite (%d of %lld): its weights are broken",
                              (int)chunk.rows[0].n_not_finite, (long long)session->vocab_size);
        lf_error_hint(err, "`landfall check --deep %s` looks for NaN codes and bad scales", session->model_dir);
    } else if (!status && (chunk.n_token != 1 || chunk.finish != LF_FINISH_LENGTH)) {
        status = lf_error_set(err, LF_ERR_DEVICE, "the warm-up generation gave %zu tokens instead of 1", chunk.n_token);
    }
out:
    lf_chunk_fini(&chunk);
    lf_generation_free(generation);
    if (status) lf_error_at(err, "warm-up");
    return status;
}
