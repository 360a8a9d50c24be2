// SPDX-License-Identifier: Apache-2.0
//
// What is refused, with the status, `type` and `param` that a vLLM server answers to the same request (recorded from
// version 0.32), and the envelope around it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests.h"

#define TEXT "/v1/completions"
#define CHAT "/v1/chat/completions"
#define HI "\"model\":\"fake\",\"prompt\":\"hi\",\"max_tokens\":1"
#define ASK "\"model\":\"fake\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1"

static const struct {
    const char *path, *body;
    int status;
    const char *type, *param; // param NULL: null
    const char *word;         // part of the message; NULL: any
} cases[] = {
    {TEXT, "{\"model\":\"nope\",\"prompt\":\"hi\"}", 404, "NotFoundError", "model", "nope"},
    {CHAT, "{\"model\":\"nope\",\"messages\":[]}", 404, "NotFoundError", "model", "fake, alias"},
    {TEXT, "{\"model\":\"fake\",\"prompt\":\"hi\",\"max_tokens\":100000}", 400, "BadRequestError", "max_tokens",
     "max_model_len=2048"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":100000}", 400, "BadRequestError",
     "max_tokens", NULL},
    {TEXT, "{\"model\": \"fake\", \"prompt\": ", 400, "Bad Request", "body.28", "JSON"},
    {TEXT, "", 400, "Bad Request", "body", NULL},
    {TEXT, "[]", 400, "Bad Request", "body", "list"},
    {TEXT, "\"text\"", 400, "Bad Request", "body", NULL},
    {TEXT, "{" HI ",\"temperature\":-1}", 400, "BadRequestError", "temperature", "-1"},
    {TEXT, "{" HI ",\"temperature\":3}", 400, "BadRequestError", "temperature", "3"},
    {TEXT, "{" HI ",\"temperature\":\"hot\"}", 400, "Bad Request", "body.temperature", "'hot'"},
    {TEXT, "{" HI ",\"temperature\":NaN}", 400, "Bad Request", NULL, "JSON"},
    {TEXT, "{" HI ",\"temperature\":1e999}", 400, "Bad Request", NULL, "JSON"},
    {TEXT, "{\"model\":\"fake\",\"max_tokens\":1}", 400, "BadRequestError", "prompt", NULL},
    {TEXT, "{\"prompt\":\"\",\"max_tokens\":1}", 400, "BadRequestError", "prompt", NULL},
    {TEXT, "{\"prompt\":[],\"max_tokens\":1}", 400, "BadRequestError", NULL, NULL},
    {TEXT, "{\"prompt\":[\"\"],\"max_tokens\":1}", 400, "BadRequestError", "prompt", NULL},
    {TEXT, "{\"prompt\":[[]],\"max_tokens\":1}", 400, "BadRequestError", "prompt", NULL},
    {TEXT, "{\"prompt\":7}", 400, "Bad Request", "body.prompt", NULL},
    {TEXT, "{\"prompt\":[1,\"a\"]}", 400, "Bad Request", "body.prompt.1", NULL},
    {TEXT, "{\"prompt\":[\"a\",1]}", 400, "Bad Request", "body.prompt.1", NULL},
    {TEXT, "{\"prompt\":[9999999],\"max_tokens\":1}", 400, "BadRequestError", NULL, "9999999"},
    {TEXT, "{\"prompt\":[-1],\"max_tokens\":1}", 400, "Bad Request", "body.prompt.0", "-1"},
    {TEXT, "{\"prompt\":[1.5],\"max_tokens\":1}", 400, "Bad Request", "body.prompt.0", "1.5"},
    {CHAT, "{\"model\":\"fake\",\"max_tokens\":1}", 400, "Bad Request", "body.messages", NULL},
    {CHAT, "{\"messages\":[],\"max_tokens\":1}", 400, "BadRequestError", NULL, NULL},
    {CHAT, "{\"messages\":{}}", 400, "Bad Request", "body.messages", NULL},
    {CHAT, "{\"messages\":[7]}", 400, "Bad Request", "body.messages.0", NULL},
    {CHAT, "{\"messages\":[{\"content\":\"x\"}]}", 400, "Bad Request", "body.messages.0", "role"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", 400, "Bad Request", "body.messages.0.content",
     NULL},
    {CHAT,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:\"}}]}]}",
     400, "BadRequestError", NULL, "not a multimodal model"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}]}", 400, "BadRequestError", NULL,
     "smell"},
    {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":7}]}]}", 400, "Bad Request",
     "body.messages.0.content.0", NULL},
    {CHAT, "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"arguments\":\"{\"}}]}]}", 400,
     "Bad Request", "body.messages.0", "tool call"},
    {TEXT, "{\"prompt\":\"hi\",\"max_tokens\":0}", 400, "BadRequestError", "max_tokens", "0"},
    {TEXT, "{\"prompt\":\"hi\",\"max_tokens\":-1}", 400, "BadRequestError", "max_tokens", "-1"},
    {TEXT, "{" HI ",\"top_p\":0}", 400, "BadRequestError", "top_p", NULL},
    {TEXT, "{" HI ",\"top_p\":1.5}", 400, "BadRequestError", "top_p", "1.5"},
    {TEXT, "{" HI ",\"top_k\":-2}", 400, "BadRequestError", NULL, "top_k"},
    {TEXT, "{" HI ",\"min_p\":2}", 400, "BadRequestError", NULL, "min_p"},
    {TEXT, "{" HI ",\"n\":0}", 400, "BadRequestError", NULL, "n must be"},
    {TEXT, "{" HI ",\"n\":129}", 400, "BadRequestError", NULL, "n must be"},
    {TEXT, "{" HI ",\"n\":2,\"temperature\":0}", 400, "BadRequestError", NULL, "n must be 1"},
    {TEXT, "{" HI ",\"frequency_penalty\":3}", 400, "BadRequestError", NULL, "frequency_penalty"},
    {TEXT, "{" HI ",\"presence_penalty\":-3}", 400, "BadRequestError", NULL, "presence_penalty"},
    {TEXT, "{" HI ",\"repetition_penalty\":0}", 400, "BadRequestError", NULL, "repetition_penalty"},
    {TEXT, "{" HI ",\"logprobs\":100}", 400, "BadRequestError", "logprobs", "100"},
    {TEXT, "{" HI ",\"prompt_logprobs\":100}", 400, "BadRequestError", "prompt_logprobs", "100"},
    {CHAT, "{" ASK ",\"top_logprobs\":3}", 400, "BadRequestError", "top_logprobs", NULL},
    {TEXT, "{" HI ",\"suffix\":\"x\"}", 400, "BadRequestError", "suffix", NULL},
    {TEXT, "{" HI ",\"best_of\":2}", 400, "BadRequestError", "best_of", NULL},
    {TEXT, "{" HI ",\"stream_options\":{\"include_usage\":true}}", 400, "BadRequestError", "stream_options", NULL},
    {CHAT, "{" ASK ",\"tools\":[{\"type\":\"function\"}],\"tool_choice\":\"auto\"}", 400, "BadRequestError", NULL,
     "tools"},
    {CHAT, "{" ASK ",\"tools\":[{\"type\":\"function\"}]}", 400, "BadRequestError", NULL, "tools"},
    {CHAT, "{" ASK ",\"tool_choice\":\"required\"}", 400, "BadRequestError", NULL, "tool_choice"},
    {CHAT, "{" ASK ",\"response_format\":{\"type\":\"json_schema\"}}", 400, "BadRequestError", "response_format",
     "json_schema"},
    {CHAT, "{" ASK ",\"response_format\":{\"type\":\"json_object\"}}", 400, "BadRequestError", "response_format",
     "not supported"},
    {CHAT, "{" ASK ",\"response_format\":{\"type\":\"xml\"}}", 400, "Bad Request", "body.response_format.type",
     "'xml'"},
    {CHAT, "{" ASK ",\"structured_outputs\":{\"regex\":\"a\"}}", 400, "BadRequestError", "structured_outputs", NULL},
    {TEXT, "{" HI ",\"guided_regex\":\"a\"}", 400, "BadRequestError", "guided_regex", NULL},
    {TEXT, "{" HI ",\"logit_bias\":{\"9999999\":1}}", 400, "BadRequestError", "logit_bias", "9999999"},
    {TEXT, "{" HI ",\"logit_bias\":{\"x\":1}}", 400, "BadRequestError", "logit_bias", "'x'"},
    {TEXT, "{" HI ",\"logit_bias\":[1]}", 400, "Bad Request", "body.logit_bias", NULL},
    {TEXT, "{" HI ",\"stop_token_ids\":\"x\"}", 400, "Bad Request", "body.stop_token_ids", NULL},
    {TEXT, "{" HI ",\"stop_token_ids\":[300]}", 400, "BadRequestError", "stop_token_ids", "300"},
    {TEXT, "{" HI ",\"stop\":{}}", 400, "Bad Request", "body.stop", NULL},
    {TEXT, "{" HI ",\"stop\":[\"\"]}", 400, "BadRequestError", "stop", NULL},
    {TEXT, "{" HI ",\"min_tokens\":5}", 400, "BadRequestError", NULL, "min_tokens"},
    {TEXT, "{" HI ",\"seed\":1180591620717411303424}", 400, "Bad Request", "body.seed", "2^63"},
    {CHAT, "{" ASK ",\"continue_final_message\":true}", 400, "BadRequestError", NULL, "continue_final_message"},
    {CHAT, "{" ASK ",\"chat_template\":\"x\"}", 400, "BadRequestError", NULL, "--chat-template"},
    {CHAT, "{" ASK ",\"chat_template_kwargs\":[]}", 400, "Bad Request", "body.chat_template_kwargs", NULL},
    {TEXT, "{\"prompt\":\"\xff\xfe\"}", 400, "Bad Request", NULL, "JSON"},
    {TEXT, "{\"prompt\":\"\xc0\x80\"}", 400, "Bad Request", NULL, "JSON"},
    {TEXT, "{\"prompt\":\"\\ud800\"}", 400, "Bad Request", NULL, "JSON"},
    {TEXT, "{\"prompt\":\"fail:\",\"max_tokens\":9}", 500, "InternalServerError", NULL, "device failed"},
    {TEXT, "{\"prompt\":\"nan:\",\"logprobs\":1}", 500, "InternalServerError", NULL, "not finite"},
    {"/tokenize", "{\"model\":\"fake\"}", 400, "Bad Request", "body.prompt", NULL},
    {"/tokenize", "{\"model\":\"nope\",\"prompt\":\"x\"}", 404, "NotFoundError", "model", NULL},
    {"/detokenize", "{\"model\":\"fake\"}", 400, "Bad Request", "body.tokens", NULL},
    {"/detokenize", "{\"tokens\":[300]}", 400, "BadRequestError", NULL, "300"},
    {"/detokenize", "{\"tokens\":[\"x\"]}", 400, "Bad Request", "body.tokens", NULL},
};

static void check_envelope(const http_answer *answer, int status, const char *type, const char *param, const char *word)
{
    assert_int_equal(answer->status, status);
    assert_string_equal(http_header(answer, "Content-Type"), "application/json");
    json_t *root = json_loadb(lf_buf_text(&answer->body), answer->body.length, 0, NULL);
    const json_t *error = json_object_get(root, "error");
    assert_int_equal(json_object_size(error), 4);
    assert_int_equal(json_integer_value(json_object_get(error, "code")), status);
    assert_string_equal(json_string_value(json_object_get(error, "type")), type);
    const char *message = json_string_value(json_object_get(error, "message"));
    assert_non_null(message);
    if (word && !strstr(message, word)) fail_msg("'%s' is not in: %s", word, message);
    const json_t *found = json_object_get(error, "param");
    if (param)
        assert_string_equal(json_string_value(found), param);
    else if (!json_is_string(found) || strncmp(json_string_value(found), "body.", 5))
        assert_true(json_is_null(found));
    json_decref(root);
}

static void refusals(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        http_answer answer;
        http_ask(f->port, "POST", cases[i].path, NULL, cases[i].body, &answer);
        if (answer.status != cases[i].status)
            print_error("%s %s\n%s\n", cases[i].path, cases[i].body, lf_buf_text(&answer.body));
        check_envelope(&answer, cases[i].status, cases[i].type, cases[i].param, cases[i].word);
        http_answer_fini(&answer);
    }
}

// Everything that vLLM accepts although one might not.
static void accepted(void **state)
{
    static const char *const bodies[][2] = {
        {TEXT, "{\"prompt\":\"hi\",\"max_tokens\":1}"},
        {TEXT, "{" HI ",\"no_such_field\":1,\"priority\":3,\"user\":\"u\",\"suffix\":null,\"best_of\":1}"},
        {CHAT, "{" ASK ",\"no_such_field\":{\"a\":[]}}"},
        {CHAT, "{\"messages\":[{\"role\":\"wizard\",\"content\":\"x\"}],\"max_tokens\":1}"},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":"
               "\"1\",\"type\":\"function\","
               "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":\"tool\",\"content\":\"y\"}]"
               ",\"max_tokens\":1}"},
        {TEXT, "{\"model\":\"alias\",\"prompt\":\"hi\",\"max_tokens\":1,\"stop\":null,\"logit_bias\":null}"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        json_decref(http_post_json(f->port, bodies[i][0], bodies[i][1]));
}

static void over_long_prompts(void **state)
{
    fixture *f = *state;
    static const struct {
        int n;
        bool is_refused;
        const char *text;
    } prompts[] = {
        {2047, false, NULL},
        {2048, true, "However, your prompt contains 2048 input tokens, which leaves no room for output tokens."},
        {3000, true,
         "This model's maximum context length is 2048 tokens. However, your prompt contains 3000 input tokens, "
         "which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
         "(parameter=input_tokens, value=3000)"}};
    for (size_t i = 0; i < 3; i++) {
        lf_buf body = LF_BUF_INIT;
        http_answer answer;
        lf_buf_printf(&body, "{\"max_tokens\":100,\"prompt\":[1");
        for (int k = 1; k < prompts[i].n; k++) lf_buf_puts(&body, ",1");
        lf_buf_puts(&body, "]}");
        http_ask(f->port, "POST", TEXT, NULL, body.data, &answer);
        if (prompts[i].is_refused) {
            check_envelope(&answer, 400, "BadRequestError", "input_tokens", prompts[i].text);
        } else { // max_tokens is cut to what fits
            assert_int_equal(answer.status, 200);
            assert_non_null(strstr(answer.body.data, "\"completion_tokens\":1,"));
            assert_non_null(strstr(answer.body.data, "\"finish_reason\":\"length\""));
        }
        http_answer_fini(&answer);
        lf_buf_fini(&body);
    }
}

static void routes(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *method, *path, *headers;
        int status;
        const char *type;
    } rows[] = {
        {"GET", "/v1/nope", NULL, 404, "NotFoundError"},
        {"POST", "/v1/embeddings", NULL, 404, "NotFoundError"},
        {"GET", "/v1/completions", NULL, 405, "MethodNotAllowedError"},
        {"POST", "/v1/models", NULL, 405, "MethodNotAllowedError"},
        {"DELETE", "/health", NULL, 405, "MethodNotAllowedError"},
        {"BREW", "/health", NULL, 405, "MethodNotAllowedError"},
        {"GET", "/v1/models/nope", NULL, 404, "NotFoundError"},
        {"POST", "/v1/completions", "Content-Type: text/plain\r\n", 400, "Bad Request"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_answer answer;
        bool is_post = strcmp(rows[i].method, "POST") == 0;
        http_ask(f->port, rows[i].method, rows[i].path, rows[i].headers, is_post ? "{}" : NULL, &answer);
        const char *param = strstr(rows[i].path, "models/nope") ? "model" : NULL;
        check_envelope(&answer, rows[i].status, rows[i].type, param, NULL);
        bool is_route = rows[i].status == 405 || (rows[i].status == 404 && !param);
        assert_int_equal(strstr(answer.body.data, "\"detail\":") != NULL, is_route);
        assert_int_equal(http_header(&answer, "Allow") != NULL, rows[i].status == 405);
        http_answer_fini(&answer);
    }
}

static int open_fixture(void **state)
{
    static fixture f;
    fixture_open(&f, NULL);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    fixture_close(*state);
    return 0;
}

int test_refusals(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(accepted),
                                       cmocka_unit_test(over_long_prompts), cmocka_unit_test(routes)};
    return cmocka_run_group_tests_name("server/refusals", tests, open_fixture, close_fixture);
}
