// SPDX-License-Identifier: Apache-2.0
//
// Whole answers: their shape, and what each field of a request does to them.
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

static json_t *at(json_t *root, const char *key) { return json_object_get(root, key); }
static json_t *choice(json_t *root, size_t i) { return json_array_get(at(root, "choices"), i); }
static const char *str(json_t *root, const char *key) { return json_string_value(at(root, key)); }
static json_int_t num(json_t *root, const char *key) { return json_integer_value(at(root, key)); }

// Posts, and compares text, finish_reason and completion_tokens of the only choice.
static void expect_text(fixture *f, const char *body, const char *text, const char *reason, json_int_t n_token)
{
    json_t *root = http_post_json(f->port, TEXT, body);
    if (strcmp(str(choice(root, 0), "text"), text)) print_error("%s\n", body);
    assert_string_equal(str(choice(root, 0), "text"), text);
    assert_string_equal(str(choice(root, 0), "finish_reason"), reason);
    assert_int_equal(num(at(root, "usage"), "completion_tokens"), n_token);
    json_decref(root);
}

static void completion_shape(void **state)
{
    fixture *f = *state;
    json_t *root = http_post_json(f->port, TEXT, "{\"model\":\"fake\",\"prompt\":\"say:hello;\",\"temperature\":0}");
    assert_int_equal(strncmp(str(root, "id"), "cmpl-", 5), 0);
    assert_string_equal(str(root, "object"), "text_completion");
    assert_string_equal(str(root, "model"), "fake");
    assert_true(num(root, "created") > 1700000000);
    assert_int_equal(json_array_size(at(root, "choices")), 1);
    json_t *only = choice(root, 0);
    assert_string_equal(str(only, "text"), "hello");
    assert_string_equal(str(only, "finish_reason"), "stop");
    static const char *const nulls[] = {"logprobs", "stop_reason", "token_ids", "prompt_logprobs", "prompt_token_ids"};
    for (size_t i = 0; i < 5; i++) assert_true(json_is_null(at(only, nulls[i])));
    json_t *usage = at(root, "usage");
    assert_int_equal(num(usage, "prompt_tokens"), 10);
    assert_int_equal(num(usage, "completion_tokens"), 6); // with the end token
    assert_int_equal(num(usage, "total_tokens"), 16);
    json_decref(root);
}

static void chat_shape(void **state)
{
    fixture *f = *state;
    json_t *root =
        http_post_json(f->port, CHAT,
                       "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":["
                       "{\"type\":\"text\",\"text\":\"say:a\"},{\"type\":\"text\",\"text\":\"b;\"}]}]}");
    assert_int_equal(strncmp(str(root, "id"), "chatcmpl-", 9), 0);
    assert_string_equal(str(root, "object"), "chat.completion");
    json_t *message = at(choice(root, 0), "message");
    assert_string_equal(str(message, "role"), "assistant");
    assert_string_equal(str(message, "content"), "a\nb"); // parts are joined with newlines
    assert_string_equal(str(choice(root, 0), "finish_reason"), "stop");
    assert_true(json_is_null(at(choice(root, 0), "logprobs")));
    json_decref(root);
}

static void chat_prompt(void **state)
{
    fixture *f = *state;
    json_t *root = http_post_json(
        f->port, CHAT,
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":1,\"return_token_ids\":true}");
    json_t *ids = at(root, "prompt_token_ids");
    // <|im_start|>user\nhi<|im_end|> <|im_start|>assistant\n (the template's own trimming)
    assert_int_equal(json_integer_value(json_array_get(ids, 0)), 256);
    assert_int_equal(json_integer_value(json_array_get(ids, 8)), 257);
    assert_int_equal(json_array_size(ids), (size_t)num(at(root, "usage"), "prompt_tokens"));
    assert_int_equal(json_array_size(at(choice(root, 0), "token_ids")), 1);
    json_decref(root);
    root = http_post_json(
        f->port, CHAT,
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"say:x;\"}],"
        "\"add_generation_prompt\":false,\"continue_final_message\":true,\"echo\":true}");
    assert_string_equal(str(at(choice(root, 0), "message"), "content"), "say:x;x");
    json_decref(root);
}

static void stop_strings(void **state)
{
    fixture *f = *state;
    expect_text(f, "{\"prompt\":\"say:hello world;\",\"stop\":\"o w\"}", "hell", "stop", 4); // inside the token "lo wo"
    expect_text(f, "{\"prompt\":\"say:hello world;\",\"stop\":\"o w\",\"include_stop_str_in_output\":true}", "hello w",
                "stop", 4);
    expect_text(f, "{\"prompt\":\"say:abcabd;\",\"stop\":[\"abd\",\"zz\"]}", "abc", "stop", 6);
    expect_text(f, "{\"prompt\":\"say:abcabd;\",\"stop\":\"abcabde\"}", "abcabd", "stop",
                7); // never completed: nothing is lost
    expect_text(f, "{\"prompt\":\"say:aab;\",\"stop\":\"ab\",\"max_tokens\":2}", "aa", "length", 2);
    expect_text(f, "{\"prompt\":\"say:abcabd;\",\"stop\":\"c\",\"min_tokens\":4}", "abcabd", "stop", 7);
    json_t *root = http_post_json(f->port, TEXT, "{\"prompt\":\"say:hello;\",\"stop\":[\"x\",\"l\"]}");
    assert_string_equal(str(choice(root, 0), "stop_reason"), "l");
    json_decref(root);
}

static void end_conditions(void **state)
{
    fixture *f = *state;
    expect_text(f, "{\"prompt\":\"say:hello;\",\"stop_token_ids\":[108]}", "he", "stop", 3);
    expect_text(f, "{\"prompt\":\"say:hello;\",\"stop_token_ids\":[108],\"include_stop_str_in_output\":true}", "hel",
                "stop", 3);
    expect_text(f, "{\"prompt\":\"say:hi;\",\"ignore_eos\":true,\"max_tokens\":5}", "hi...", "length", 5);
    expect_text(f, "{\"prompt\":\"say:hi;\",\"min_tokens\":4,\"max_tokens\":9}", "hi..", "stop", 5);
    expect_text(f, "{\"prompt\":\"say:hi;\",\"skip_special_tokens\":false,\"include_stop_str_in_output\":true}",
                "hi<|im_end|>", "stop", 3);
    json_t *root =
        http_post_json(f->port, TEXT, "{\"prompt\":\"say:hello;\",\"stop_token_ids\":[108],\"return_token_ids\":true}");
    assert_int_equal(num(choice(root, 0), "stop_reason"), 108);
    assert_int_equal(json_array_size(at(choice(root, 0), "token_ids")), 3);
    json_decref(root);
}

static void characters_are_whole(void **state)
{
    fixture *f = *state;
    expect_text(f, "{\"prompt\":\"say:\xe4\xbd\xa0\xf0\x9f\x99\x82;\"}", "\xe4\xbd\xa0\xf0\x9f\x99\x82", "stop", 8);
    expect_text(f, "{\"prompt\":\"say:\xe4\xbd\xa0;\",\"max_tokens\":2}", "\xef\xbf\xbd", "length",
                2); // cut inside a character
}

static void prompts(void **state)
{
    fixture *f = *state;
    expect_text(f, "{\"prompt\":[115,97,121,58,104,105,59]}", "hi", "stop", 3);
    json_t *root =
        http_post_json(f->port, TEXT, "{\"prompt\":[\"say:a;\",\"say:bb;\"],\"n\":2,\"temperature\":1,\"echo\":true}");
    static const char *const texts[] = {"say:a;a", "say:a;a", "say:bb;bb", "say:bb;bb"};
    assert_int_equal(json_array_size(at(root, "choices")), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(num(choice(root, i), "index"), i);
        assert_string_equal(str(choice(root, i), "text"), texts[i]);
    }
    assert_int_equal(num(at(root, "usage"), "prompt_tokens"), 13);
    assert_int_equal(num(at(root, "usage"), "completion_tokens"), 10);
    json_decref(root);
    root = http_post_json(f->port, TEXT, "{\"prompt\":[[115,97,121,58,104,59],[115,97,121,58,105,59]]}");
    assert_string_equal(str(choice(root, 1), "text"), "i");
    json_decref(root);
    expect_text(f, "{\"prompt\":\"ab say:x;\",\"truncate_prompt_tokens\":6,\"echo\":true,\"max_tokens\":1}",
                "ab say:x;x", "length", 1);
    expect_text(f, "{\"prompt\":\"say:x;\",\"echo\":true,\"max_tokens\":0}", "say:x;", "length", 0);
}

static void samples_differ(void **state)
{
    fixture *f = *state;
    const char *body = "{\"prompt\":\"random\",\"n\":3,\"seed\":5,\"temperature\":1}";
    json_t *first = http_post_json(f->port, TEXT, body), *second = http_post_json(f->port, TEXT, body);
    assert_string_not_equal(str(choice(first, 0), "text"), str(choice(first, 1), "text"));
    assert_string_not_equal(str(choice(first, 1), "text"), str(choice(first, 2), "text"));
    for (size_t i = 0; i < 3; i++) assert_string_equal(str(choice(first, i), "text"), str(choice(second, i), "text"));
    json_decref(first);
    json_decref(second);
}

static void legacy_logprobs(void **state)
{
    fixture *f = *state;
    json_t *root =
        http_post_json(f->port, TEXT, "{\"prompt\":\"say:\xc3\xa9h;\",\"logprobs\":2,\"max_tokens\":3,\"echo\":true}");
    json_t *logprobs = at(choice(root, 0), "logprobs");
    // s a y : \xc3 \xa9 h ; and \xc3 \xa9 h
    assert_int_equal(json_array_size(at(logprobs, "tokens")), 11);
    assert_int_equal(json_array_size(at(logprobs, "token_logprobs")), 11);
    assert_int_equal(json_array_size(at(logprobs, "text_offset")), 11);
    assert_int_equal(json_array_size(at(logprobs, "top_logprobs")), 11);
    assert_true(json_is_null(json_array_get(at(logprobs, "token_logprobs"), 0)));
    assert_true(json_is_null(json_array_get(at(logprobs, "top_logprobs"), 0)));
    assert_true(json_real_value(json_array_get(at(logprobs, "token_logprobs"), 1)) < 0);
    assert_int_equal(json_integer_value(json_array_get(at(logprobs, "text_offset"), 4)), 4);
    assert_string_equal(json_string_value(json_array_get(at(logprobs, "tokens"), 6)), "h");
    // 'h' (104) has rank 1: it is also the first of the top 2
    assert_int_equal(json_object_size(json_array_get(at(logprobs, "top_logprobs"), 10)), 2);
    // 'y' (121) has rank 2: it is the second
    assert_int_equal(json_object_size(json_array_get(at(logprobs, "top_logprobs"), 2)), 2);
    json_decref(root);
    root = http_post_json(f->port, TEXT, "{\"prompt\":\"say:h;\",\"logprobs\":0,\"return_tokens_as_token_ids\":true}");
    logprobs = at(choice(root, 0), "logprobs");
    assert_string_equal(json_string_value(json_array_get(at(logprobs, "tokens"), 0)), "token_id:104");
    assert_string_equal(json_string_value(json_array_get(at(logprobs, "tokens"), 1)), "token_id:257");
    assert_int_equal(json_object_size(json_array_get(at(logprobs, "top_logprobs"), 0)), 1);
    json_decref(root);
}

static void chat_logprobs(void **state)
{
    fixture *f = *state;
    json_t *root = http_post_json(f->port, CHAT,
                                  "{\"messages\":[{\"role\":\"user\",\"content\":\"say:\xc3\xa9;\"}],\"logprobs\":true,"
                                  "\"top_logprobs\":3,\"prompt_logprobs\":1}");
    json_t *content = at(at(choice(root, 0), "logprobs"), "content");
    assert_int_equal(json_array_size(content), 3);
    json_t *entry = json_array_get(content, 0);
    assert_int_equal(json_integer_value(json_array_get(at(entry, "bytes"), 0)), 0xc3); // the real byte, not U+FFFD's
    assert_string_equal(str(entry, "token"), "\xef\xbf\xbd");
    assert_int_equal(json_array_size(at(entry, "top_logprobs")), 3);
    assert_string_equal(str(json_array_get(content, 2), "token"), "<|im_end|>");
    json_t *prompt = at(root, "prompt_logprobs");
    assert_int_equal(json_array_size(prompt), num(at(root, "usage"), "prompt_tokens"));
    assert_true(json_is_null(json_array_get(prompt, 0)));
    json_t *second = at(json_array_get(prompt, 1), "117"); // 'u' of "user"
    assert_int_equal(num(second, "rank"), 2);
    assert_string_equal(str(second, "decoded_token"), "u");
    json_decref(root);
}

static void tokenize(void **state)
{
    fixture *f = *state;
    json_t *root = http_post_json(
        f->port, "/tokenize", "{\"model\":\"fake\",\"prompt\":\"hello world<|im_end|>\",\"return_token_strs\":true}");
    assert_int_equal(num(root, "count"), 8); // h e l "lo wo" r l d <|im_end|>
    assert_int_equal(num(root, "max_model_len"), 2048);
    assert_int_equal(json_integer_value(json_array_get(at(root, "tokens"), 3)), 258);
    assert_string_equal(json_string_value(json_array_get(at(root, "token_strs"), 3)), "lo wo");
    json_decref(root);
    root = http_post_json(f->port, "/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_int_equal(json_integer_value(json_array_get(at(root, "tokens"), 0)), 256);
    json_decref(root);
    root = http_post_json(f->port, "/detokenize", "{\"tokens\":[104,105,257]}");
    assert_string_equal(str(root, "prompt"), "hi<|im_end|>");
    json_decref(root);
}

static json_t *get_json(fixture *f, const char *path)
{
    http_answer answer;
    http_ask(f->port, "GET", path, NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    json_t *root = json_loadb(lf_buf_text(&answer.body), answer.body.length, 0, NULL);
    http_answer_fini(&answer);
    return root;
}

static void information(void **state)
{
    fixture *f = *state;
    json_t *root = get_json(f, "/v1/models");
    json_t *model = json_array_get(at(root, "data"), 0);
    assert_int_equal(json_array_size(at(root, "data")), 2);
    assert_string_equal(str(model, "id"), "fake");
    assert_int_equal(num(model, "max_model_len"), 2048);
    assert_string_equal(str(model, "root"), f->dir);
    assert_int_equal(json_array_size(at(model, "permission")), 1);
    json_decref(root);
    root = get_json(f, "/v1/models/alias");
    assert_string_equal(str(root, "id"), "alias");
    json_decref(root);
    root = get_json(f, "/version");
    assert_non_null(str(root, "version"));
    json_decref(root);
    root = get_json(f, "/load");
    assert_int_equal(num(root, "server_load"), 0);
    json_decref(root);
    http_answer answer;
    http_ask(f->port, "GET", "/health", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.length, 0);
    assert_null(http_header(&answer, "Content-Type"));
    http_answer_fini(&answer);
}

static int health(const fixture *f)
{
    http_answer answer;
    http_ask(f->port, "GET", "/health", NULL, NULL, &answer);
    int status = answer.status;
    http_answer_fini(&answer);
    return status;
}

static void health_follows_the_engine(void **state)
{
    fixture *f = *state;
    http_answer answer;
    assert_int_equal(health(f), 200);
    http_ask(f->port, "POST", TEXT, NULL, "{\"prompt\":\"fail:\"}", &answer);
    assert_int_equal(answer.status, 500);
    http_answer_fini(&answer);
    assert_int_equal(health(f), 503);
    json_decref(http_post_json(f->port, TEXT, "{\"prompt\":\"say:x;\"}"));
    assert_int_equal(health(f), 200);
}

static void metrics(void **state)
{
    fixture *f = *state;
    json_decref(http_post_json(f->port, TEXT, "{\"prompt\":\"say:abc;\"}"));
    http_answer answer;
    http_ask(f->port, "GET", "/metrics", NULL, NULL, &answer);
    static const char *const lines[] = {
        "# TYPE vllm:num_requests_running gauge\n",
        "vllm:num_requests_running{engine=\"0\",model_name=\"fake\"} 0\n",
        "# TYPE vllm:request_success_total counter\n",
        "vllm:request_success_total{engine=\"0\",finished_reason=\"stop\",model_name=\"fake\"} ",
        "# TYPE vllm:time_to_first_token_seconds histogram\n",
        "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"fake\",le=\"0.001\"} ",
        "vllm:e2e_request_latency_seconds_bucket{engine=\"0\",model_name=\"fake\",le=\"+Inf\"} ",
        "vllm:request_prompt_tokens_sum{engine=\"0\",model_name=\"fake\"} ",
        "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"2xx\"} ",
        "vllm:generation_tokens_total{engine=\"0\",model_name=\"fake\"} ",
        "process_resident_memory_bytes ",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (!strstr(lf_buf_text(&answer.body), lines[i])) fail_msg("missing: %s", lines[i]);
    }
    http_answer_fini(&answer);
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

int test_answers(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completion_shape), cmocka_unit_test(chat_shape),
        cmocka_unit_test(chat_prompt),      cmocka_unit_test(stop_strings),
        cmocka_unit_test(end_conditions),   cmocka_unit_test(characters_are_whole),
        cmocka_unit_test(prompts),          cmocka_unit_test(samples_differ),
        cmocka_unit_test(legacy_logprobs),  cmocka_unit_test(chat_logprobs),
        cmocka_unit_test(tokenize),         cmocka_unit_test(information),
        cmocka_unit_test(metrics),          cmocka_unit_test(health_follows_the_engine),
    };
    return cmocka_run_group_tests_name("server/answers", tests, open_fixture, close_fixture);
}
