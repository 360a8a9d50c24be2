// SPDX-License-Identifier: Apache-2.0
//
// Reading what stands beside tokenizer.json. Unknown settings are ignored here: the file is a bag of arguments of
// Python classes.
#include "text/tokenizer_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum { MAX_ADDED = 1 << 16 };

static lf_status copy_string(const json_t *value, char **out, lf_error *err)
{
    size_t length = json_string_length(value);
    char *copy = malloc(length + 1);
    if (!copy) return lf_error_no_memory(err, length + 1);
    memcpy(copy, json_string_value(value), length + 1);
    *out = copy;
    return LF_OK;
}

// A token is given as its content, or as an object with "content".
static lf_status read_token(const json_t *root, const char *key, char **out, lf_error *err)
{
    const json_t *value = json_object_get(root, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    if (!value || json_is_null(value)) return LF_OK;
    if (!json_is_string(value)) return lf_error_set(err, LF_ERR_FORMAT, "\"%s\" is no token", key);
    return copy_string(value, out, err);
}

static lf_status read_added_token(lf_tokenizer_config *config, const char *key, const json_t *json, lf_error *err)
{
    lf_config_token *token = &config->added[config->n_added];
    char *end;
    errno = 0;
    long id = strtol(key, &end, 10);
    if (*key < '0' || *key > '9' || *end || errno || id > INT32_MAX) {
        return lf_error_set(err, LF_ERR_FORMAT, "\"added_tokens_decoder\" has the key '%s', which is no token id", key);
    }
    const json_t *content = json_object_get(json, "content");
    if (!json_is_string(content)) return lf_error_set(err, LF_ERR_FORMAT, "added token %ld has no \"content\"", id);
    token->id = (int32_t)id;
    lf_status status = lf_json_bool(json, "special", &token->is_special, err);
    if (!status) status = copy_string(content, &token->content, err);
    if (!status) config->n_added++;
    return status;
}

static lf_status read_added_tokens(lf_tokenizer_config *config, const json_t *root, lf_error *err)
{
    const json_t *tokens = json_object_get(root, "added_tokens_decoder");
    const char *key;
    json_t *value;
    if (!tokens || json_is_null(tokens)) return LF_OK;
    if (!json_is_object(tokens)) return lf_error_set(err, LF_ERR_FORMAT, "\"added_tokens_decoder\" is no object");
    size_t n = json_object_size(tokens);
    if (n > MAX_ADDED) return lf_error_set(err, LF_ERR_LIMIT, "%zu added tokens, more than %d", n, MAX_ADDED);
    config->added = calloc(n + 1, sizeof *config->added);
    if (!config->added) return lf_error_no_memory(err, (n + 1) * sizeof *config->added);
    json_object_foreach((json_t *)tokens, key, value)
    {
        lf_status status = read_added_token(config, key, value, err);
        if (status) return status;
    }
    return LF_OK;
}

// The template in a JSON value: a string, or a list of {"name": ..., "template": ...}.
static lf_status read_template(lf_tokenizer_config *config, const json_t *value, const char *source, lf_error *err)
{
    if (!value || json_is_null(value)) return LF_OK;
    if (json_is_array(value)) {
        const json_t *list = value;
        value = NULL;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *item = json_array_get(list, i);
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name && strcmp(name, "default") == 0) value = json_object_get(item, "template");
        }
        if (!value) return LF_OK; // only templates for special uses
    }
    if (!json_is_string(value)) return lf_error_set(err, LF_ERR_FORMAT, "\"chat_template\" is no text");
    if (json_string_length(value) > LF_CHAT_TEMPLATE_MAX_BYTES) {
        return lf_error_set(err, LF_ERR_LIMIT, "chat template has %zu bytes, more than %d", json_string_length(value),
                            LF_CHAT_TEMPLATE_MAX_BYTES);
    }
    lf_status status = copy_string(value, &config->chat_template, err);
    if (status) return status;
    config->chat_template_length = json_string_length(value);
    config->chat_template_source = source;
    return LF_OK;
}

// dir/name as JSON, or *out = NULL when there is no such file.
static lf_status load_json(json_t **out, const char *dir, const char *name, lf_error *err)
{
    *out = NULL;
    char *path = lf_path_join(dir, name);
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_json_load(out, path, LF_TOKENIZER_CONFIG_MAX_BYTES, err);
    free(path);
    if (status == LF_ERR_NOT_FOUND) return LF_OK;
    if (status) return status;
    if (json_is_object(*out)) return LF_OK;
    json_decref(*out);
    *out = NULL;
    lf_error_set(err, LF_ERR_FORMAT, "%s is no JSON object", name);
    return lf_error_subject(err, "%s", name);
}

static lf_status load_template_file(lf_tokenizer_config *config, const char *dir, lf_error *err)
{
    static const char name[] = "chat_template.jinja";
    char *path = lf_path_join(dir, name);
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status =
        lf_file_read(&config->chat_template, &config->chat_template_length, path, LF_CHAT_TEMPLATE_MAX_BYTES, err);
    free(path);
    if (status == LF_ERR_NOT_FOUND) return LF_OK;
    if (!status) config->chat_template_source = name;
    return status;
}

static lf_status load_config(lf_tokenizer_config *config, const char *dir, lf_error *err)
{
    static const char name[] = "tokenizer_config.json";
    json_t *root;
    lf_status status = load_json(&root, dir, name, err);
    if (status || !root) return status;
    status = read_token(root, "bos_token", &config->bos_token, err);
    if (!status) status = read_token(root, "eos_token", &config->eos_token, err);
    if (!status) status = read_token(root, "pad_token", &config->pad_token, err);
    if (!status) status = read_token(root, "unk_token", &config->unk_token, err);
    if (!status) status = lf_json_bool(root, "add_bos_token", &config->add_bos_token, err);
    if (!status) status = lf_json_bool(root, "add_eos_token", &config->add_eos_token, err);
    if (!status) status = read_added_tokens(config, root, err);
    if (!status && !config->chat_template) {
        status = read_template(config, json_object_get(root, "chat_template"), name, err);
    }
    json_decref(root);
    return status ? lf_error_at(err, "%s", name) : LF_OK;
}

static lf_status load_template_json(lf_tokenizer_config *config, const char *dir, lf_error *err)
{
    static const char name[] = "chat_template.json";
    json_t *root;
    if (config->chat_template) return LF_OK;
    lf_status status = load_json(&root, dir, name, err);
    if (status || !root) return status;
    status = read_template(config, json_object_get(root, "chat_template"), name, err);
    json_decref(root);
    return status ? lf_error_at(err, "%s", name) : LF_OK;
}

lf_status lf_tokenizer_config_load(lf_tokenizer_config *out, const char *dir, lf_error *err)
{
    *out = (lf_tokenizer_config){0};
    lf_status status = load_template_file(out, dir, err);
    if (!status) status = load_config(out, dir, err);
    if (!status) status = load_template_json(out, dir, err);
    if (status) lf_tokenizer_config_fini(out);
    return status;
}

void lf_tokenizer_config_fini(lf_tokenizer_config *config)
{
    free(config->bos_token);
    free(config->eos_token);
    free(config->pad_token);
    free(config->unk_token);
    free(config->chat_template);
    for (size_t i = 0; i < config->n_added; i++) free(config->added[i].content);
    free(config->added);
    *config = (lf_tokenizer_config){0};
}

lf_status lf_tokenizer_config_agrees(const lf_tokenizer_config *config, const lf_tokenizer *tokenizer, lf_error *err)
{
    for (size_t i = 0; i < config->n_added; i++) {
        const lf_config_token *token = &config->added[i];
        int32_t id = lf_tokenizer_id(tokenizer, token->content, strlen(token->content));
        if (id == token->id) continue;
        lf_error_set(err, LF_ERR_FORMAT, "added token '%s' of tokenizer_config.json is another one in tokenizer.json",
                     token->content);
        lf_error_expected(err, "id %d", (int)token->id);
        return id < 0 ? lf_error_found(err, "no such token") : lf_error_found(err, "id %d", (int)id);
    }
    return LF_OK;
}
