// SPDX-License-Identifier: Apache-2.0
//
// tokenizer_config.json, and where a checkpoint keeps its chat template. Both are optional: a folder without them gives
// an empty object, not an error.
#ifndef LF_TEXT_TOKENIZER_CONFIG_H
#define LF_TEXT_TOKENIZER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

enum { LF_TOKENIZER_CONFIG_MAX_BYTES = 64 << 20, LF_CHAT_TEMPLATE_MAX_BYTES = 4 << 20 };

typedef struct lf_config_token {
    int32_t id;
    char *content; // OWNED
    bool is_special;
} lf_config_token;

typedef struct lf_tokenizer_config {
    // Contents, OWNED, NUL-terminated, NULL when not given: {{ bos_token }} and so on of the chat template.
    char *bos_token;
    char *eos_token;
    char *pad_token;
    char *unk_token;
    // The file's wish. Ids follow tokenizer.json's post-processor, as in transformers 5; older versions obeyed this for
    // Llama classes.
    bool add_bos_token;
    bool add_eos_token;
    lf_config_token *added; // OWNED: added_tokens_decoder
    size_t n_added;
    char *chat_template; // OWNED, NUL-terminated, NULL when there is none
    size_t chat_template_length;
    const char *chat_template_source; // STATIC: name of the file it came from, NULL when there is none
} lf_tokenizer_config;

// Reads from a model's folder. The chat template is the first of: chat_template.jinja; "chat_template" of
// tokenizer_config.json (a string, or the one named "default" of a list); "chat_template" of chat_template.json.
lf_status lf_tokenizer_config_load(lf_tokenizer_config *out, const char *dir, lf_error *err);
void lf_tokenizer_config_fini(lf_tokenizer_config *config);

// LF_ERR_FORMAT when a token of added_tokens_decoder is not the tokenizer's under the same id: the reference would add
// it then, and ids would differ.
lf_status lf_tokenizer_config_agrees(const lf_tokenizer_config *config, const lf_tokenizer *tokenizer, lf_error *err);

#endif
