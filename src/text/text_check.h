// SPDX-License-Identifier: Apache-2.0
//
// What a model directory holds for text, as findings: whether the tokenizer opens, agrees with its configuration, and
// whether the chat template compiles. The check of `landfall check`; serving opens the same files the same way.
#ifndef LF_TEXT_TEXT_CHECK_H
#define LF_TEXT_TEXT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/finding.h"
#include "base/status.h"

typedef struct lf_text_summary {
    bool has_tokenizer;     // it opened
    int32_t n_token;        // the highest id plus one; 0 without a tokenizer
    bool has_chat_template; // it compiled
} lf_text_summary;

// Adds findings: tokenizer-invalid (error), tokenizer-unsupported, tokenizer-config-invalid, template-invalid
// (warnings), template-missing (note), lfs-pointer (error). A directory without tokenizer.json is not reported here.
// Fails only without memory.
lf_status lf_text_check(const char *dir, lf_text_summary *summary, lf_findings *findings, lf_error *err);

#endif
