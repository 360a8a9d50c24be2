// SPDX-License-Identifier: Apache-2.0
//
// The table of request fields and the rules for their values. Order: form of all fields (reported together), what
// Landfall does not do (refused by name, never silently ignored: an answer that breaks the client's constraint is worse
// than none), then ranges.
#include "server/request.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { TEXT = LF_ENDPOINT_COMPLETIONS, CHAT = LF_ENDPOINT_CHAT, BOTH = TEXT | CHAT };

// Values as they are written in the body, before any rule is applied.
typedef struct raw_fields {
    const char *model, *reasoning_effort, *chat_template, *suffix;
    const json_t *prompt, *messages, *tools, *tool_choice, *documents, *chat_template_kwargs, *response_format, *stop,
        *stop_token_ids, *logit_bias, *stream_options, *prompt_embeds, *structured_outputs, *guided_json, *guided_regex,
        *guided_choice, *guided_grammar, *bad_words, *allowed_token_ids;
    bool stream, echo, ignore_eos, skip_special_tokens, include_stop_str_in_output, add_special_tokens,
        add_generation_prompt, continue_final_message, return_token_ids, return_tokens_as_token_ids, chat_logprobs,
        use_beam_search;
    lf_maybe_int n, best_of, max_tokens, max_completion_tokens, min_tokens, top_k, seed, logprobs, top_logprobs,
        prompt_logprobs, truncate_prompt_tokens;
    lf_maybe_real temperature, top_p, min_p, presence_penalty, frequency_penalty, repetition_penalty;
} raw_fields;

#define ROW(field, kind, endpoints)                                                                                    \
    {                                                                                                                  \
#field, LF_FIELD_##kind, endpoints, offsetof(raw_fields, field)                                                \
    }
static const lf_field request_fields[] = {
    ROW(model, STRING, BOTH),
    ROW(prompt, ANY, TEXT),
    ROW(messages, LIST, CHAT),
    ROW(stream, BOOL, BOTH),
    ROW(stream_options, OBJECT, BOTH),
    ROW(n, INT, BOTH),
    ROW(best_of, INT, BOTH),
    ROW(max_tokens, INT, BOTH),
    ROW(max_completion_tokens, INT, CHAT),
    ROW(min_tokens, INT, BOTH),
    ROW(temperature, REAL, BOTH),
    ROW(top_p, REAL, BOTH),
    ROW(top_k, INT, BOTH),
    ROW(min_p, REAL, BOTH),
    ROW(presence_penalty, REAL, BOTH),
    ROW(frequency_penalty, REAL, BOTH),
    ROW(repetition_penalty, REAL, BOTH),
    ROW(seed, INT, BOTH),
    ROW(stop, ANY, BOTH),
    ROW(stop_token_ids, LIST, BOTH),
    ROW(ignore_eos, BOOL, BOTH),
    ROW(logit_bias, OBJECT, BOTH),
    ROW(logprobs, INT, TEXT),
    {"logprobs", LF_FIELD_BOOL, CHAT, offsetof(raw_fields, chat_logprobs)},
    ROW(top_logprobs, INT, CHAT),
    ROW(prompt_logprobs, INT, BOTH),
    ROW(echo, BOOL, BOTH),
    ROW(skip_special_tokens, BOOL, BOTH),
    ROW(include_stop_str_in_output, BOOL, BOTH),
    ROW(add_special_tokens, BOOL, BOTH),
    ROW(add_generation_prompt, BOOL, CHAT),
    ROW(continue_final_message, BOOL, CHAT),
    ROW(chat_template_kwargs, OBJECT, CHAT),
    ROW(chat_template, STRING, CHAT),
    ROW(documents, LIST, CHAT),
    ROW(reasoning_effort, STRING, CHAT),
    ROW(tools, LIST, CHAT),
    ROW(tool_choice, ANY, CHAT),
    ROW(response_format, OBJECT, BOTH),
    ROW(structured_outputs, OBJECT, BOTH),
    ROW(guided_json, ANY, BOTH),
    ROW(guided_regex, ANY, BOTH),
    ROW(guided_choice, ANY, BOTH),
    ROW(guided_grammar, ANY, BOTH),
    ROW(bad_words, LIST, BOTH),
    ROW(allowed_token_ids, LIST, BOTH),
    ROW(use_beam_search, BOOL, BOTH),
    ROW(suffix, STRING, TEXT),
    ROW(prompt_embeds, ANY, TEXT),
    ROW(truncate_prompt_tokens, INT, BOTH),
    ROW(return_token_ids, BOOL, BOTH),
    ROW(return_tokens_as_token_ids, BOOL, BOTH),
};
#undef ROW

typedef struct stream_options {
    bool include_usage, continuous_usage_stats;
} stream_options;

static const lf_field stream_fields[] = {
    {"include_usage", LF_FIELD_BOOL, BOTH, offsetof(stream_options, include_usage)},
    {"continuous_usage_stats", LF_FIELD_BOOL, BOTH, offsetof(stream_options, continuous_usage_stats)},
};

lf_status lf_model_name_check(const char *model, const lf_request_limits *limits, lf_refusal *refusal)
{
    if (!model) return LF_OK;
    char names[512] = "";
    for (size_t i = 0; limits->model_names[i]; i++) {
        if (strcmp(limits->model_names[i], model) == 0) return LF_OK;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", limits->model_names[i]);
    }
    return lf_refuse(refusal, 404, LF_REFUSAL_NOT_FOUND, "model",
                     "the model `%.200s` does not exist; this server serves: %s", model, names);
}

static void check_response_format(const json_t *format, lf_problems *problems)
{
    if (!format) return;
    const json_t *type = json_object_get(format, "type");
    const char *name = json_string_value(type);
    if (!type) {
        lf_problem_add(problems, "body.response_format.type", "the field is missing");
    } else if (!name || (strcmp(name, "text") && strcmp(name, "json_object") && strcmp(name, "json_schema") &&
                         strcmp(name, "structural_tag"))) {
        char shown[96];
        lf_field_show(type, shown, sizeof shown);
        lf_problem_add(problems, "body.response_format.type",
                       "expected 'text', 'json_object' or 'json_schema', found %s", shown);
    }
}

static bool is_empty(const json_t *value)
{
    return !value || (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static lf_status refuse_feature(lf_refusal *refusal, const char *param, const char *what)
{
    return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, param, "%s not supported by this server yet", what);
}

static lf_status check_tools(const raw_fields *raw, lf_refusal *refusal)
{
    const char *choice = json_string_value(raw->tool_choice);
    bool is_none = choice && strcmp(choice, "none") == 0;
    if (!is_empty(raw->tools) && !is_none) {
        return lf_refuse(
            refusal, 400, LF_REFUSAL_VALUE, NULL,
            "tools are not supported by this server yet: leave `tools` out or set `tool_choice` to \"none\"");
    }
    if (raw->tool_choice && !is_none && !(choice && strcmp(choice, "auto") == 0)) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "`tool_choice` needs `tools`, which this server does not support yet");
    }
    return LF_OK;
}

static lf_status check_response_type(const json_t *format, lf_refusal *refusal)
{
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!type || strcmp(type, "text") == 0) return LF_OK;
    if (strcmp(type, "json_schema") == 0 && !json_is_object(json_object_get(format, "json_schema"))) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "response_format",
                         "response_format of type 'json_schema' needs the field 'json_schema'");
    }
    return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "response_format",
                     "response_format '%s' (structured outputs) is not supported by this server yet", type);
}

// What Landfall does not do. Refused by name.
static lf_status check_features(const raw_fields *raw, lf_refusal *refusal)
{
    lf_status status = check_tools(raw, refusal);
    if (!status) status = check_response_type(raw->response_format, refusal);
    if (status) return status;
    const struct {
        const char *name;
        const json_t *value;
    } constraints[] = {{"structured_outputs", raw->structured_outputs},
                       {"guided_json", raw->guided_json},
                       {"guided_regex", raw->guided_regex},
                       {"guided_choice", raw->guided_choice},
                       {"guided_grammar", raw->guided_grammar},
                       {"bad_words", raw->bad_words},
                       {"allowed_token_ids", raw->allowed_token_ids}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(constraints); i++) {
        if (is_empty(constraints[i].value)) continue;
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, constraints[i].name, "%s is not supported by this server yet",
                         constraints[i].name);
    }
    if (raw->suffix && raw->suffix[0])
        return refuse_feature(refusal, "suffix", "completion with a suffix (fill in the middle) is");
    if (!is_empty(raw->prompt_embeds)) return refuse_feature(refusal, "prompt_embeds", "prompts as embeddings are");
    if (raw->use_beam_search) return refuse_feature(refusal, "use_beam_search", "beam search is");
    if (raw->best_of.is_set && raw->best_of.value != (raw->n.is_set ? raw->n.value : 1)) {
        return refuse_feature(refusal, "best_of", "best_of other than n is");
    }
    if (raw->chat_template) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "a chat template in the request is not accepted; start the server with --chat-template");
    }
    return LF_OK;
}

// One range of a real or integer field. vLLM names the field in `param` for some and not for others; so do we.
static lf_status out_of_range(lf_refusal *refusal, const char *name, bool is_named, const char *range, double value)
{
    return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, is_named ? name : NULL, "%s must be %s, got %.15g", name, range,
                     value);
}

static lf_status check_reals(const raw_fields *raw, lf_refusal *refusal)
{
    const struct {
        const char *name;
        lf_maybe_real field;
        double min, max;
        bool is_min_open, is_named;
        const char *range;
    } rows[] = {
        {"temperature", raw->temperature, 0, 2, false, true, "from 0 to 2"},
        {"top_p", raw->top_p, 0, 1, true, true, "above 0 and at most 1"},
        {"min_p", raw->min_p, 0, 1, false, false, "from 0 to 1"},
        {"presence_penalty", raw->presence_penalty, -2, 2, false, false, "from -2 to 2"},
        {"frequency_penalty", raw->frequency_penalty, -2, 2, false, false, "from -2 to 2"},
        {"repetition_penalty", raw->repetition_penalty, 0, 1e30, true, false, "greater than 0"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        double value = rows[i].field.value;
        if (!rows[i].field.is_set) continue;
        bool is_low = rows[i].is_min_open ? !(value > rows[i].min) : value < rows[i].min;
        if (is_low || value > rows[i].max)
            return out_of_range(refusal, rows[i].name, rows[i].is_named, rows[i].range, value);
    }
    return LF_OK;
}

static lf_status check_integers(const raw_fields *raw, lf_refusal *refusal)
{
    const struct {
        const char *name;
        lf_maybe_int field;
        int64_t min, max;
        bool is_named;
        const char *range;
    } rows[] = {
        {"n", raw->n, 1, LF_REQUEST_MAX_N, false, "from 1 to 128"},
        {"top_k", raw->top_k, -1, INT32_MAX, false, "at least 1, or 0 to switch it off"},
        {"min_tokens", raw->min_tokens, 0, INT64_MAX, false, "at least 0"},
        {"truncate_prompt_tokens", raw->truncate_prompt_tokens, -1, INT64_MAX, true, "at least -1"},
        {"logprobs", raw->logprobs, 0, INT64_MAX, true, "at least 0"},
        {"top_logprobs", raw->top_logprobs, 0, INT64_MAX, true, "at least 0"},
        {"prompt_logprobs", raw->prompt_logprobs, 0, INT64_MAX, true, "at least 0"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        int64_t value = rows[i].field.value;
        if (!rows[i].field.is_set || (value >= rows[i].min && value <= rows[i].max)) continue;
        return out_of_range(refusal, rows[i].name, rows[i].is_named, rows[i].range, (double)value);
    }
    return LF_OK;
}

static lf_status too_many_logprobs(lf_refusal *refusal, const char *kind, const char *param, int64_t n)
{
    return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, param, "%s logprobs of %lld were asked for; at most %d are given",
                     kind, (long long)n, LF_MAX_TOP_LOGPROBS);
}

static lf_status read_logprobs(lf_ask *ask, const raw_fields *raw, lf_refusal *refusal)
{
    int64_t n = -1;
    if (ask->endpoint == LF_ENDPOINT_COMPLETIONS) {
        if (raw->logprobs.is_set) n = raw->logprobs.value;
    } else {
        if (raw->top_logprobs.is_set && raw->top_logprobs.value > 0 && !raw->chat_logprobs) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "top_logprobs",
                             "`top_logprobs` needs `logprobs` to be true");
        }
        if (raw->chat_logprobs) n = raw->top_logprobs.is_set ? raw->top_logprobs.value : 0;
    }
    if (n > LF_MAX_TOP_LOGPROBS) return too_many_logprobs(refusal, "sample", "logprobs", n);
    ask->has_logprobs = n >= 0;
    ask->sampling.logprobs = (int32_t)n;
    ask->sampling.prompt_logprobs = -1;
    if (raw->prompt_logprobs.is_set) {
        if (raw->prompt_logprobs.value > LF_MAX_TOP_LOGPROBS) {
            return too_many_logprobs(refusal, "prompt", "prompt_logprobs", raw->prompt_logprobs.value);
        }
        if (raw->stream) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "prompt_logprobs", "`prompt_logprobs` cannot be streamed");
        }
        ask->has_prompt_logprobs = true;
        ask->sampling.prompt_logprobs = (int32_t)raw->prompt_logprobs.value;
    }
    // echo + logprobs shows the prompt's too
    if (ask->echo && ask->has_logprobs && ask->endpoint == LF_ENDPOINT_COMPLETIONS) {
        ask->sampling.prompt_logprobs = LF_MAX(ask->sampling.prompt_logprobs, (int32_t)n);
    }
    return LF_OK;
}

static lf_status read_max_tokens(lf_ask *ask, const raw_fields *raw, const lf_request_limits *limits,
                                 lf_refusal *refusal)
{
    lf_maybe_int max_tokens = raw->max_completion_tokens.is_set ? raw->max_completion_tokens : raw->max_tokens;
    int64_t fallback = ask->endpoint == LF_ENDPOINT_COMPLETIONS ? 16 : limits->defaults.max_tokens;
    if (!max_tokens.is_set && fallback > 0) {
        max_tokens = (lf_maybe_int){.value = LF_MIN(fallback, limits->max_model_len), .is_set = true};
    }
    int64_t least = ask->echo && ask->endpoint == LF_ENDPOINT_COMPLETIONS ? 0 : 1;
    if (max_tokens.is_set && max_tokens.value < least) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "max_tokens", "max_tokens must be at least %lld, got %lld",
                         (long long)least, (long long)max_tokens.value);
    }
    if (max_tokens.is_set && max_tokens.value > limits->max_model_len) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "max_tokens",
                         "max_tokens=%lld is more than max_model_len=%lld allows; ask for fewer output tokens",
                         (long long)max_tokens.value, (long long)limits->max_model_len);
    }
    ask->has_max_tokens = max_tokens.is_set;
    ask->sampling.max_tokens = max_tokens.is_set ? max_tokens.value : limits->max_model_len;
    ask->sampling.min_tokens = raw->min_tokens.is_set ? raw->min_tokens.value : 0;
    if (ask->sampling.min_tokens > ask->sampling.max_tokens) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL, "min_tokens must be at most max_tokens=%lld, got %lld",
                         (long long)ask->sampling.max_tokens, (long long)ask->sampling.min_tokens);
    }
    return LF_OK;
}

static lf_status read_sampling(lf_ask *ask, const raw_fields *raw, const lf_request_limits *limits, lf_refusal *refusal)
{
    const lf_generation_defaults *defaults = &limits->defaults;
    lf_sampling *sampling = &ask->sampling;
    sampling->temperature = raw->temperature.is_set ? (float)raw->temperature.value : defaults->temperature;
    sampling->top_p = raw->top_p.is_set ? (float)raw->top_p.value : defaults->top_p;
    sampling->min_p = raw->min_p.is_set ? (float)raw->min_p.value : defaults->min_p;
    sampling->top_k = raw->top_k.is_set ? (int32_t)LF_MAX(raw->top_k.value, (int64_t)0) : defaults->top_k;
    sampling->presence_penalty = (float)raw->presence_penalty.value;
    sampling->frequency_penalty = (float)raw->frequency_penalty.value;
    sampling->repetition_penalty =
        raw->repetition_penalty.is_set ? (float)raw->repetition_penalty.value : defaults->repetition_penalty;
    if (sampling->temperature < 1e-5f) sampling->temperature = 0; // vLLM's border between greedy and sampled
    if (sampling->top_p < FLT_MIN) sampling->top_p = FLT_MIN;     // the engine wants it above 0
    sampling->has_seed = raw->seed.is_set;
    sampling->seed = (uint64_t)raw->seed.value;
    sampling->ignore_eos = raw->ignore_eos;
    if (ask->n > 1 && sampling->temperature == 0) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "n must be 1 when temperature is 0 (all answers would be the same), got %lld",
                         (long long)ask->n);
    }
    return LF_OK;
}

static lf_status read_stop(lf_ask *ask, const json_t *stop, lf_refusal *refusal)
{
    size_t n = json_is_array(stop) ? json_array_size(stop) : stop != NULL;
    if (n > LF_STOP_MAX_STRINGS) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "stop", "at most %d stop strings are allowed, got %zu",
                         LF_STOP_MAX_STRINGS, n);
    }
    if (n == 0) return LF_OK;
    ask->stop = calloc(n, sizeof *ask->stop);
    if (!ask->stop) return lf_refuse_no_memory(refusal);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_is_array(stop) ? json_array_get(stop, i) : stop;
        size_t length = json_string_length(item);
        // an empty string as the only value means "none", as some clients send it
        if (length == 0 && json_is_string(stop)) return LF_OK;
        if (length == 0 || length > LF_STOP_MAX_BYTES) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "stop", "a stop string must have 1 to %d bytes, got %zu",
                             LF_STOP_MAX_BYTES, length);
        }
        ask->stop[ask->n_stop++] = (lf_stop_string){.text = json_string_value(item), .length = length};
    }
    return LF_OK;
}

static void check_stop_form(const json_t *stop, lf_problems *problems)
{
    if (!stop || json_is_string(stop)) return;
    if (!json_is_array(stop)) {
        lf_problem_add(problems, "body.stop", "expected a string or a list of strings");
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(stop, i, item)
    {
        char place[64];
        snprintf(place, sizeof place, "body.stop.%zu", i);
        if (!json_is_string(item)) lf_problem_add(problems, place, "expected a string");
    }
}

static lf_status read_stop_tokens(lf_ask *ask, const json_t *list, const lf_request_limits *limits, lf_refusal *refusal)
{
    size_t n = json_array_size(list);
    if (n == 0) return LF_OK;
    if (n > LF_REQUEST_MAX_STOP_TOKENS) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "stop_token_ids",
                         "at most %d stop_token_ids are allowed, got %zu", LF_REQUEST_MAX_STOP_TOKENS, n);
    }
    ask->stop_token_ids = calloc(n, sizeof *ask->stop_token_ids);
    if (!ask->stop_token_ids) return lf_refuse_no_memory(refusal);
    lf_problems problems = {0};
    for (size_t i = 0; i < n; i++) {
        char place[64];
        int64_t id;
        snprintf(place, sizeof place, "body.stop_token_ids.%zu", i);
        if (!lf_field_int(json_array_get(list, i), place, &id, &problems)) continue;
        if (id < 0 || id >= limits->vocab_size) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "stop_token_ids",
                             "stop_token_ids holds %lld; the vocabulary has %lld tokens", (long long)id,
                             (long long)limits->vocab_size);
        }
        ask->stop_token_ids[i] = (int32_t)id;
    }
    ask->sampling.stop_token_ids = ask->stop_token_ids;
    ask->sampling.n_stop_token_id = n;
    return lf_problems_refuse(&problems, refusal);
}

static bool parse_token_key(const char *key, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(key, &end, 10);
    *out = number;
    return end != key && *end == '\0' && errno == 0;
}

static lf_status read_logit_bias(lf_ask *ask, const json_t *object, const lf_request_limits *limits,
                                 lf_refusal *refusal)
{
    size_t n = json_object_size(object), i = 0;
    if (n == 0) return LF_OK;
    if (n > LF_REQUEST_MAX_BIASES) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "logit_bias",
                         "at most %d entries of logit_bias are allowed, got %zu", LF_REQUEST_MAX_BIASES, n);
    }
    ask->logit_bias = calloc(n, sizeof *ask->logit_bias);
    if (!ask->logit_bias) return lf_refuse_no_memory(refusal);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        int64_t id;
        if (!parse_token_key(key, &id)) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "logit_bias",
                             "logit_bias has the key '%.40s', which is no token id", key);
        }
        if (id < 0 || id >= limits->vocab_size) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "logit_bias",
                             "logit_bias names token %lld; the vocabulary has %lld tokens", (long long)id,
                             (long long)limits->vocab_size);
        }
        if (!json_is_number(value)) {
            return lf_refuse(refusal, 400, LF_REFUSAL_FORM, "body.logit_bias",
                             "logit_bias of token %lld must be a number", (long long)id);
        }
        double bias = json_number_value(value);
        ask->logit_bias[i++] = (lf_logit_bias){.token = (int32_t)id, .bias = (float)fmin(fmax(bias, -100), 100)};
    }
    ask->sampling.logit_bias = ask->logit_bias;
    ask->sampling.n_logit_bias = i;
    return LF_OK;
}

static lf_status read_stream(lf_ask *ask, const raw_fields *raw, lf_problems *problems, lf_refusal *refusal)
{
    stream_options options = {0};
    if (raw->stream_options) {
        if (!raw->stream) {
            return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, "stream_options",
                             "`stream_options` needs `stream` to be true");
        }
        lf_fields_read(stream_fields, LF_ARRAY_LENGTH(stream_fields), BOTH, raw->stream_options, "body.stream_options",
                       &options, problems);
    }
    ask->stream = raw->stream;
    ask->include_usage = options.include_usage;
    ask->continuous_usage_stats = options.include_usage && options.continuous_usage_stats;
    return LF_OK;
}

static void take_plain_fields(lf_ask *ask, const raw_fields *raw)
{
    ask->model = raw->model;
    ask->prompt = raw->prompt;
    ask->messages = raw->messages;
    ask->tools = is_empty(raw->tools) ? NULL : raw->tools;
    ask->documents = raw->documents;
    ask->chat_template_kwargs = raw->chat_template_kwargs;
    ask->reasoning_effort = raw->reasoning_effort;
    ask->add_generation_prompt = raw->add_generation_prompt;
    ask->continue_final_message = raw->continue_final_message;
    ask->add_special_tokens = raw->add_special_tokens;
    ask->truncate_prompt_tokens = raw->truncate_prompt_tokens;
    ask->n = raw->n.is_set ? raw->n.value : 1;
    ask->echo = raw->echo;
    ask->skip_special_tokens = raw->skip_special_tokens;
    ask->include_stop_str_in_output = raw->include_stop_str_in_output;
    ask->return_token_ids = raw->return_token_ids;
    ask->return_tokens_as_token_ids = raw->return_tokens_as_token_ids;
}

lf_status lf_ask_read(lf_ask *ask, lf_endpoint endpoint, json_t *body, const lf_request_limits *limits,
                      lf_refusal *refusal)
{
    *ask = (lf_ask){.endpoint = endpoint, .body = body, .sampling = LF_SAMPLING_DEFAULT};
    raw_fields raw = {.skip_special_tokens = true,
                      .add_special_tokens = endpoint == LF_ENDPOINT_COMPLETIONS,
                      .add_generation_prompt = true};
    lf_problems problems = {0};
    lf_fields_read(request_fields, LF_ARRAY_LENGTH(request_fields), endpoint, body, "body", &raw, &problems);
    if (endpoint == LF_ENDPOINT_CHAT && !raw.messages && !problems.count) {
        lf_problem_add(&problems, "body.messages", "the field is missing");
    }
    check_response_format(raw.response_format, &problems);
    check_stop_form(raw.stop, &problems);
    lf_status status = read_stream(ask, &raw, &problems, refusal);
    if (status || (status = lf_problems_refuse(&problems, refusal))) return status;
    take_plain_fields(ask, &raw);
    if ((status = lf_model_name_check(ask->model, limits, refusal)) || (status = check_features(&raw, refusal)) ||
        (status = check_reals(&raw, refusal)) || (status = check_integers(&raw, refusal)) ||
        (status = read_logprobs(ask, &raw, refusal)) || (status = read_max_tokens(ask, &raw, limits, refusal)) ||
        (status = read_sampling(ask, &raw, limits, refusal)) || (status = read_stop(ask, raw.stop, refusal)) ||
        (status = read_stop_tokens(ask, raw.stop_token_ids, limits, refusal)) ||
        (status = read_logit_bias(ask, raw.logit_bias, limits, refusal))) {
        return status;
    }
    if (ask->add_generation_prompt && ask->continue_final_message) {
        return lf_refuse(refusal, 400, LF_REFUSAL_VALUE, NULL,
                         "`continue_final_message` and `add_generation_prompt` cannot both be true");
    }
    return LF_OK;
}

void lf_ask_fini(lf_ask *ask)
{
    json_decref(ask->body);
    free(ask->stop);
    free(ask->stop_token_ids);
    free(ask->logit_bias);
    *ask = (lf_ask){0};
}
