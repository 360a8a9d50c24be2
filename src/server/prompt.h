// SPDX-License-Identifier: Apache-2.0
//
// Prompts: what the client wrote becomes token ids. A completion has text, several texts, ids or several lists of ids;
// a chat goes through the chat template. Lengths are checked here, where they are known.
#ifndef LF_SERVER_PROMPT_H
#define LF_SERVER_PROMPT_H

#include "server/request.h"
#include "server/session.h"

typedef struct lf_prompt {
    lf_ids ids;  // OWNED
    lf_buf text; // as the client wrote it, or decoded from its ids; only when the answer echoes it
} lf_prompt;

typedef struct lf_prompts {
    lf_prompt *items; // OWNED
    size_t count;
} lf_prompts;

lf_status lf_prompts_build(lf_prompts *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal);
void lf_prompts_fini(lf_prompts *prompts);

// The conversation of `ask` as text, by the chat template.
lf_status lf_chat_render(lf_buf *out, const lf_session *session, const lf_ask *ask, lf_refusal *refusal);
// Encodes a text; its length is not limited here.
lf_status lf_text_encode(lf_ids *out, const lf_session *session, const char *text, size_t length,
                         bool add_special_tokens, lf_refusal *refusal);

// messages.c: checks the client's messages and brings them into the form that templates expect: content as one string
// or as parts, arguments of earlier tool calls as objects. *out is a new reference.
lf_status lf_messages_prepare(json_t **out, const json_t *messages, lf_chat_content content, const char *model_name,
                              lf_refusal *refusal);

#endif
