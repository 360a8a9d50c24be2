// SPDX-License-Identifier: Apache-2.0
//
// Chat templates: a conversation becomes the text that the model was trained on. The variables that a template sees,
// the aliases of reasoning fields and the treatment of a final message to be continued follow apply_chat_template() of
// the transformers library; the detection of the content format follows what vLLM calls `auto`.
#ifndef LF_TEXT_CHAT_TEMPLATE_H
#define LF_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/status.h"
#include "text/jinja.h"

typedef struct lf_chat_template lf_chat_template;

// How the template wants a message's `content`.
typedef enum lf_chat_content {
    LF_CHAT_CONTENT_STRING, // one string: text parts must be joined before rendering
    LF_CHAT_CONTENT_PARTS,  // it iterates over a list of parts, as in the OpenAI API; a string is accepted as well
} lf_chat_content;

// Compiles a template. `special_tokens` is an object of template variables such as {"bos_token": "<s>"} or NULL; its
// members are kept, not the object. *out is released with lf_chat_template_free(). Constant once made: any number of
// threads may render it.
lf_status lf_chat_template_new(lf_chat_template **out, const char *source, size_t length, const json_t *special_tokens,
                               lf_error *err);
// The same from the object in tokenizer_config.json: template (a string, or a list of named ones of which `name` is
// taken; NULL: "default") and special tokens. `source` replaces the template in there when it is not NULL
// (chat_template.jinja). LF_ERR_NOT_FOUND when there is no template.
lf_status lf_chat_template_from_config(lf_chat_template **out, const json_t *tokenizer_config, const char *source,
                                       const char *name, lf_error *err);
void lf_chat_template_free(lf_chat_template *chat);

lf_chat_content lf_chat_template_content(const lf_chat_template *chat);

typedef struct lf_chat_render_args {
    const json_t *messages;          // array of objects
    const json_t *tools;             // array of objects; NULL: the variable is none
    const json_t *documents;         // array of objects; NULL: the variable is none
    bool add_generation_prompt;      // end with what opens an assistant message
    bool continue_final_message;     // leave the last message open, to be continued
    const json_t *extra;             // further variables (chat_template_kwargs), an object or NULL
    const lf_jinja_options *options; // limits and time; NULL: defaults
} lf_chat_render_args;

// Appends the rendered conversation to `out`. LF_ERR_INVALID for a conversation that the template refuses: the message
// is for the one who sent the conversation.
lf_status lf_chat_template_render(const lf_chat_template *chat, const lf_chat_render_args *args, lf_buf *out,
                                  lf_error *err);

#endif
