// SPDX-License-Identifier: Apache-2.0
//
// A session: everything that one model directory gives to a request. Weights run in the engine; text passes through
// tokenizer and chat template; generation_config.json has the sampling defaults. Constant once open, so that any number
// of threads may read it.
#ifndef LF_SERVER_SESSION_H
#define LF_SERVER_SESSION_H

#include <stdbool.h>

#include "base/status.h"
#include "engine/engine.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

// What a request gets when it does not say (generation_config.json, unless ignored).
typedef struct lf_generation_defaults {
    float temperature, top_p, min_p, repetition_penalty;
    int32_t top_k;      // 0: off
    int64_t max_tokens; // max_new_tokens of the file; 0: none
} lf_generation_defaults;

typedef struct lf_session_options {
    lf_engine_options engine;
    const char *chat_template_path; // replaces the checkpoint's own template; NULL: none
    bool ignore_generation_config;  // --generation-config vllm
} lf_session_options;

typedef struct lf_session {
    lf_engine *engine;       // OWNED
    lf_tokenizer *tokenizer; // OWNED
    lf_chat_template *chat;  // OWNED; NULL: the checkpoint has none, chat requests are refused
    char chat_missing[256];  // why there is none
    lf_generation_defaults defaults;
    lf_engine_info info;
    int64_t vocab_size; // of the model: ids below it may be sent
    char *model_dir;    // OWNED
} lf_session;

// Opens text first (milliseconds, so that a broken tokenizer is found before weights are read), then the engine.
lf_status lf_session_open(lf_session **out, const lf_session_options *options, lf_error *err);
// Stops the engine; nothing that belongs to a request may be in use any more. NULL is accepted.
void lf_session_close(lf_session *session);
// Generates one token from one token: the proof that the model runs on this machine.
lf_status lf_session_warm_up(lf_session *session, lf_error *err);

#endif
