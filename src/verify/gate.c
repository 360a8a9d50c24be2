// SPDX-License-Identifier: Apache-2.0
//
// One gate of the bring-up: start a server, ask it as a client would, stop it. Gate A (dummy weights) and gate B (real
// weights) are the same walk; gate B has more to show at its end. A gate never stops at the first failure: what does
// not depend on the failed step still runs, so that one bring-up shows everything.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "verify/verify_int.h"

typedef struct gate {
    lf__steps *steps;
    const lf__gate_args *args;
    const char *name; // "dummy", "real"
    char log_name[32];
    lf__child child;
    lf__client *client;
    char *model_id; // OWNED, from /v1/models
} gate;

static void finish(gate *g, const char *step, lf__step_result *result)
{
    char id[64];
    snprintf(id, sizeof id, "%s.%s", g->name, step);
    lf__steps_add(g->steps, id, result, g->log_name);
}

static void fail(lf__step_result *result, const lf_error *err)
{
    result->status = LF_STEP_FAILED;
    lf_error_format(err, result->detail, sizeof result->detail);
}

#define DETAIL(result, ...) snprintf((result)->detail, sizeof(result)->detail, __VA_ARGS__)

static bool step_start(gate *g)
{
    lf_error err;
    lf__step_result result = {.status = LF_STEP_FAILED};
    const lf_verify_options *options = g->args->options;
    const lf__child_args child_args = {
        .program = options->program,
        .model_dir = options->model_dir,
        .load_format = g->args->is_real ? "auto" : "dummy",
        .hf_overrides = options->hf_overrides,
        .tensor_parallel_size = options->tensor_parallel_size,
        .ranks = options->ranks,
        .enable_expert_parallel = options->enable_expert_parallel,
        .output_dir = options->output_dir,
        .log_name = g->log_name,
        .max_model_len = options->max_model_len,
        .ready_timeout_s = options->ready_timeout_s,
    };
    char base_url[64];
    lf_status status = lf__child_start(&g->child, &child_args, &err);
    if (!status) {
        json_int_t port = json_integer_value(json_object_get(g->child.ready, "port"));
        snprintf(base_url, sizeof base_url, "http://127.0.0.1:%lld", (long long)port);
        status = lf__client_open(&g->client, base_url, options->request_timeout_s, &err);
    }
    if (status) {
        fail(&result, &err);
    } else {
        const json_t *engine = json_object_get(g->child.ready, "engine");
        const char *format = json_string_value(json_object_get(g->child.ready, "load_format"));
        if (!format || strcmp(format, child_args.load_format) != 0) {
            DETAIL(&result, "the server reports load format %s, not %s", format ? format : "none",
                   child_args.load_format);
        } else {
            result.status = LF_STEP_PASSED;
            DETAIL(&result, "ready on port %s with %s weights", strrchr(base_url, ':') + 1, child_args.load_format);
        }
        result.evidence = json_pack("{s:O?}", "engine", engine);
    }
    finish(g, "start", &result);
    return status == LF_OK;
}

static void step_ledger(gate *g)
{
    lf__step_result result = {.status = LF_STEP_FAILED};
    const json_t *ledger = json_object_get(g->child.ready, "ledger");
    const json_t *violations = json_object_get(ledger, "violations");
    if (!json_is_array(violations)) {
        DETAIL(&result, "the server wrote no ledger");
    } else if (json_array_size(violations) > 0) {
        const char *first = json_string_value(json_array_get(violations, 0));
        DETAIL(&result, "%zu violations; the first: %s", json_array_size(violations), first ? first : "?");
    } else {
        result.status = LF_STEP_PASSED;
        DETAIL(&result, "no violations");
    }
    result.evidence = json_pack("{s:O?}", "ledger", ledger);
    finish(g, "ledger", &result);
}

// Sends a request and parses its answer; LF_OK only for HTTP 200 with a JSON object. *seconds is the request's wall
// time.
static lf_status ask(gate *g, const char *path, const json_t *body, json_t **answer, double *seconds, lf_error *err)
{
    lf__reply reply;
    lf_status status = lf__client_send(g->client, path, body, &reply, err);
    if (status) return status;
    *seconds = reply.seconds;
    const char *text = lf_buf_text(&reply.body);
    if (reply.http_status != 200) {
        status = lf_error_set(err, LF_ERR_NETWORK, "HTTP %ld from %s: %.300s", reply.http_status, path, text);
    } else {
        *answer = json_loads(text, 0, NULL);
        if (!json_is_object(*answer)) {
            status = lf_error_set(err, LF_ERR_FORMAT, "%s answered no JSON object: %.300s", path, text);
            json_decref(*answer);
            *answer = NULL;
        }
    }
    lf__reply_fini(&reply);
    return status;
}

static void step_models(gate *g)
{
    lf_error err;
    double seconds;
    json_t *answer = NULL;
    lf__step_result result = {.status = LF_STEP_FAILED};
    lf_status status = ask(g, "/v1/models", NULL, &answer, &seconds, &err);
    const json_t *model = json_array_get(json_object_get(answer, "data"), 0);
    const char *id = json_string_value(json_object_get(model, "id"));
    json_int_t max_model_len = json_integer_value(json_object_get(model, "max_model_len"));
    if (status) {
        fail(&result, &err);
    } else if (!id || max_model_len <= 0) {
        DETAIL(&result, "the list names no model, or no max_model_len");
    } else {
        g->model_id = strdup(id);
        result.status = g->model_id ? LF_STEP_PASSED : LF_STEP_FAILED;
        DETAIL(&result, "%s, max_model_len %lld", id, (long long)max_model_len);
    }
    result.evidence = json_pack("{s:o?}", "answer", answer);
    finish(g, "models", &result);
}

// Greedy, with the log-probabilities that the finite step looks at.
static json_t *chat_request(const gate *g, json_t *messages, int64_t max_tokens)
{
    return json_pack("{s:s?, s:o, s:I, s:i, s:b, s:i}", "model", g->model_id, "messages", messages, "max_tokens",
                     (json_int_t)max_tokens, "temperature", 0, "logprobs", 1, "top_logprobs", 5);
}

static const char *chat_text(const json_t *answer)
{
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    return json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
}

static json_t *text_question(void)
{
    return json_pack("[{s:s, s:s}]", "role", "user", "content", "What is the capital of France?");
}

static void step_text(gate *g)
{
    lf_error err;
    double seconds = 0;
    json_t *answer = NULL;
    lf__step_result result = {.status = LF_STEP_FAILED};
    json_t *request = chat_request(g, text_question(), 16);
    lf_status status =
        request ? ask(g, "/v1/chat/completions", request, &answer, &seconds, &err) : lf_error_no_memory(&err, 0);
    const char *text = chat_text(answer);
    json_int_t n_token = json_integer_value(json_object_get(json_object_get(answer, "usage"), "completion_tokens"));
    if (status) {
        fail(&result, &err);
    } else if (!text || n_token < 1) {
        DETAIL(&result, "the answer holds no text or no token");
    } else {
        result.status = LF_STEP_PASSED;
        DETAIL(&result, "%lld tokens in %.2f s", (long long)n_token, seconds);
    }
    result.evidence = json_pack("{s:o?, s:s?, s:I}", "request", request, "text", text, "completion_tokens", n_token);
    json_decref(answer);
    finish(g, "text", &result);
}

// The number at the end of the first sample line of a metric; -1 when there is none.
static double metric_value(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, name, length) != 0 || (line[length] != '{' && line[length] != ' ')) continue;
        const char *end = strchr(line, '\n');
        const char *value = end ? end : line + strlen(line);
        while (value > line && value[-1] != ' ') value--;
        return strtod(value, NULL);
    }
    return -1;
}

// Counts the log-probabilities of an answer that are missing or not finite.
static size_t count_bad_logprobs(const json_t *content)
{
    size_t i, n_bad = 0;
    json_t *entry;
    json_array_foreach(content, i, entry)
    {
        const json_t *logprob = json_object_get(entry, "logprob");
        if (!json_is_number(logprob) || !isfinite(json_number_value(logprob)) || json_number_value(logprob) > 0)
            n_bad++;
    }
    return n_bad;
}

static void step_finite(gate *g)
{
    lf_error err;
    double seconds;
    json_t *answer = NULL;
    lf__reply metrics = {0};
    lf__step_result result = {.status = LF_STEP_FAILED};
    json_t *request = chat_request(g, text_question(), 32);
    lf_status status =
        request ? ask(g, "/v1/chat/completions", request, &answer, &seconds, &err) : lf_error_no_memory(&err, 0);
    if (!status) status = lf__client_send(g->client, "/metrics", NULL, &metrics, &err);
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "logprobs"), "content");
    size_t n_bad = count_bad_logprobs(content);
    double n_bad_row = status ? -1 : metric_value(lf_buf_text(&metrics.body), "landfall:not_finite_logit_rows_total");
    if (status) {
        fail(&result, &err);
    } else if (json_array_size(content) == 0) {
        DETAIL(&result, "the answer carries no log-probabilities");
    } else if (n_bad > 0 || n_bad_row != 0) {
        DETAIL(&result, "%zu of %zu log-probabilities are not finite, landfall:not_finite_logit_rows_total is %g",
               n_bad, json_array_size(content), n_bad_row);
    } else {
        result.status = LF_STEP_PASSED;
        DETAIL(&result, "%zu log-probabilities, all finite; no row of logits with NaN or infinity",
               json_array_size(content));
    }
    result.evidence = json_pack("{s:I, s:I, s:f}", "n_logprob", (json_int_t)json_array_size(content), "n_not_finite",
                                (json_int_t)n_bad, "not_finite_rows", n_bad_row);
    lf__reply_fini(&metrics);
    json_decref(answer);
    json_decref(request);
    finish(g, "finite", &result);
}

static void step_image(gate *g)
{
    lf__step_result result = {.status = LF_STEP_NOT_APPLICABLE, .detail = "a text-only architecture"};
    if (g->args->model->has_vision) {
        result.status = LF_STEP_SKIPPED;
        DETAIL(&result, "the checkpoint has a vision part; image requests are not supported yet");
    }
    finish(g, "image", &result);
}

static void step_repeat(gate *g)
{
    lf_error err;
    double seconds;
    json_t *first = NULL, *second = NULL;
    lf__step_result result = {.status = LF_STEP_FAILED};
    json_t *request = chat_request(g, text_question(), 32);
    lf_status status =
        request ? ask(g, "/v1/chat/completions", request, &first, &seconds, &err) : lf_error_no_memory(&err, 0);
    if (!status) status = ask(g, "/v1/chat/completions", request, &second, &seconds, &err);
    const char *a = chat_text(first), *b = chat_text(second);
    if (status) {
        fail(&result, &err);
    } else if (!a || !b || strcmp(a, b) != 0) {
        DETAIL(&result, "two greedy answers differ");
    } else {
        const json_t *one = json_object_get(json_array_get(json_object_get(first, "choices"), 0), "logprobs");
        const json_t *two = json_object_get(json_array_get(json_object_get(second, "choices"), 0), "logprobs");
        result.status = LF_STEP_PASSED;
        DETAIL(&result, "same text%s", json_equal(one, two) ? " and the same log-probabilities" : "");
    }
    result.evidence = json_pack("{s:s?, s:s?}", "first", a, "second", b);
    json_decref(first);
    json_decref(second);
    json_decref(request);
    finish(g, "repeat", &result);
}

// Asks every probe; `rows` receives one object per probe. LF_OK when all were answered, rightly or not.
static lf_status ask_probes(gate *g, const lf__probe *probes, size_t n_probe, json_t *rows, size_t *n_right,
                            lf_error *err)
{
    *n_right = 0;
    for (size_t i = 0; i < n_probe; i++) {
        double seconds;
        json_t *answer = NULL;
        json_t *request = chat_request(g, json_deep_copy(probes[i].messages), probes[i].max_tokens);
        lf_status status =
            request ? ask(g, "/v1/chat/completions", request, &answer, &seconds, err) : lf_error_no_memory(err, 0);
        const char *text = chat_text(answer);
        bool is_right = text && lf__probe_matches(&probes[i], text);
        if (!status) {
            *n_right += is_right;
            json_array_append_new(rows, json_pack("{s:O, s:s, s:s?, s:b}", "messages", probes[i].messages, "expected",
                                                  probes[i].expect, "answer", text, "right", is_right));
        }
        json_decref(answer);
        json_decref(request);
        if (status) return status;
    }
    return LF_OK;
}

// With real weights the probes must be answered rightly; with dummy weights they must not all be, or they show nothing.
static void step_probes(gate *g)
{
    lf_error err;
    json_t *file = NULL, *rows = json_array();
    lf__probe *probes = NULL;
    size_t n_probe = 0, n_right = 0;
    lf__step_result result = {.status = LF_STEP_FAILED};
    if (!g->args->probes_path) {
        result.status = LF_STEP_NOT_APPLICABLE;
        DETAIL(
            &result,
            "the checkpoint ships no landfall-probes.json and no --probes was given: nobody knows the right answers");
        goto out;
    }
    lf_status status = lf__probes_load(&file, &probes, &n_probe, g->args->probes_path, &err);
    if (!status) status = ask_probes(g, probes, n_probe, rows, &n_right, &err);
    if (status) {
        fail(&result, &err);
        goto out;
    }
    bool is_fine = g->args->is_real ? n_right == n_probe : n_right < n_probe;
    result.status = is_fine ? LF_STEP_PASSED : LF_STEP_FAILED;
    DETAIL(&result, "%zu of %zu probes answered rightly", n_right, n_probe);
    result.evidence =
        json_pack("{s:I, s:I, s:O}", "n_probe", (json_int_t)n_probe, "n_right", (json_int_t)n_right, "answers", rows);

out:
    free(probes);
    json_decref(file);
    json_decref(rows);
    finish(g, g->args->is_real ? "answer" : "control", &result);
}

static void step_stop(gate *g)
{
    bool clean;
    lf__step_result result = {.status = LF_STEP_FAILED};
    lf__child_stop(&g->child, &clean);
    result.status = clean ? LF_STEP_PASSED : LF_STEP_FAILED;
    DETAIL(&result, clean ? "exit status 0 after SIGTERM" : "did not exit with status 0 after SIGTERM");
    finish(g, "stop", &result);
}

// After the server has ended: its memory is needed.
static void step_single_rank(gate *g)
{
    lf__step_result result = {.status = LF_STEP_FAILED};
    lf__single_rank(&result, g->args->options, g->args->model, g->args->is_real);
    finish(g, "single_rank", &result);
}

void lf__gate_skip(lf__steps *steps, const char *gate_name, const char *reason)
{
    size_t n_row;
    const lf__step_row *rows = lf__step_plan(&n_row);
    for (size_t i = 0; i < n_row; i++) {
        if (strcmp(rows[i].gate, gate_name) != 0 || lf__steps_status(steps->list, rows[i].id) != LF_STEP_SKIPPED)
            continue;
        lf__step_result result = {.status = LF_STEP_SKIPPED};
        snprintf(result.detail, sizeof result.detail, "%s", reason);
        lf__steps_add(steps, rows[i].id, &result, NULL);
    }
}

void lf__gate_run(lf__steps *steps, const lf__gate_args *args)
{
    gate g = {.steps = steps, .args = args, .name = args->is_real ? "real" : "dummy"};
    snprintf(g.log_name, sizeof g.log_name, "%s.log", g.name);
    lf__steps_begin(steps);
    if (step_start(&g)) {
        if (args->is_real) step_ledger(&g);
        step_models(&g);
        step_text(&g);
        step_image(&g);
        step_finite(&g);
        if (args->is_real) step_repeat(&g);
        step_probes(&g);
        step_stop(&g);
        step_single_rank(&g);
    } else {
        char reason[64];
        snprintf(reason, sizeof reason, "%s.start failed", g.name);
        lf__gate_skip(steps, g.name, reason);
    }
    lf__client_close(g.client);
    lf__child_fini(&g.child);
    free(g.model_id);
}
