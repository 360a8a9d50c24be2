// SPDX-License-Identifier: Apache-2.0
//
// Opening the files for text one after the other, each failure as a finding.
#include "text/text_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_config.h"

static const char tokenizer_file[] = "tokenizer.json", config_file[] = "tokenizer_config.json";

static void add(lf_findings *findings, const char *code, lf_severity severity, const char *subject, const lf_error *err)
{
    lf_finding_args args = {.code = code,
                            .severity = severity,
                            .subject = subject,
                            .expected = err->expected,
                            .found = err->found,
                            .remedy = err->hint};
    lf_findings_add(findings, &args, "%s", err->message);
}

// Opens the tokenizer from its text, of which only the first bytes tell a pointer file.
static lf_status check_tokenizer(const char *dir, lf_tokenizer **out, lf_findings *findings, lf_error *err)
{
    char *text = NULL, *path = lf_path_join(dir, tokenizer_file);
    size_t length = 0;
    lf_error problem = {0};
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_file_read(&text, &length, path, LF_TOKENIZER_MAX_FILE_BYTES, &problem);
    free(path);
    if (status == LF_ERR_NOT_FOUND) return LF_OK;
    if (!status && lf_is_lfs_pointer(text, length)) {
        lf_finding_args args = {.code = "lfs-pointer",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = tokenizer_file,
                                .remedy = "fetch the data itself: git lfs pull, or download with huggingface-cli"};
        lf_findings_add(findings, &args, "%s is a Git LFS pointer, not the data", tokenizer_file);
        free(text);
        return LF_OK;
    }
    if (!status) status = lf_tokenizer_open_memory(out, text, length, &problem);
    free(text);
    if (status == LF_ERR_NO_MEMORY) return lf_error_no_memory(err, 0);
    if (status == LF_ERR_UNSUPPORTED) {
        add(findings, "tokenizer-unsupported", LF_SEVERITY_WARNING, tokenizer_file, &problem);
    } else if (status) {
        add(findings, "tokenizer-invalid", LF_SEVERITY_ERROR, tokenizer_file, &problem);
    }
    return LF_OK;
}

static void check_template(const lf_tokenizer_config *config, lf_text_summary *summary, lf_findings *findings)
{
    lf_error problem = {0};
    lf_chat_template *chat = NULL;
    if (!config->chat_template) {
        lf_finding_args args = {.code = "template-missing",
                                .severity = LF_SEVERITY_NOTE,
                                .subject = config_file,
                                .remedy = "a base model has none; chat requests need --chat-template"};
        lf_findings_add(findings, &args, "no chat template");
        return;
    }
    lf_status status = lf_chat_template_new(&chat, config->chat_template, config->chat_template_length, NULL, &problem);
    if (status == LF_ERR_NO_MEMORY) findings->failed = true;
    if (status) add(findings, "template-invalid", LF_SEVERITY_WARNING, config->chat_template_source, &problem);
    summary->has_chat_template = status == LF_OK;
    lf_chat_template_free(chat);
}

lf_status lf_text_check(const char *dir, lf_text_summary *summary, lf_findings *findings, lf_error *err)
{
    *summary = (lf_text_summary){0};
    lf_tokenizer *tokenizer = NULL;
    lf_tokenizer_config config = {0};
    lf_error problem = {0};
    lf_status status = check_tokenizer(dir, &tokenizer, findings, err);
    if (status) return status;
    status = lf_tokenizer_config_load(&config, dir, &problem);
    if (status == LF_OK) check_template(&config, summary, findings);
    if (tokenizer) {
        summary->has_tokenizer = true;
        summary->n_token = lf_tokenizer_vocab_size(tokenizer);
        if (!status) status = lf_tokenizer_config_agrees(&config, tokenizer, &problem);
    }
    if (status && status != LF_ERR_NO_MEMORY) {
        add(findings, "tokenizer-config-invalid", LF_SEVERITY_WARNING, config_file, &problem);
        status = LF_OK;
    }
    lf_tokenizer_config_fini(&config);
    lf_tokenizer_close(tokenizer);
    return status || findings->failed ? lf_error_no_memory(err, 0) : LF_OK;
}
