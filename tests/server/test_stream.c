// SPDX-License-Identifier: Apache-2.0
//
// Streams: event for event what vLLM sends, and together exactly what a whole answer says.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests.h"

#define TEXT "/v1/completions"
#define CHAT "/v1/chat/completions"

static void chunk_shape(void **state)
{
    fixture *f = *state;
    http_answer answer;
    http_ask(f->port, "POST", CHAT, "X-Request-Id: my-id\r\n",
             "{\"messages\":[{\"role\":\"user\",\"content\":\"say:ab;\"}],\"stream\":true,\"stream_options\":{"
             "\"include_usage\":true}}",
             &answer);
    assert_int_equal(answer.status, 200);
    assert_string_equal(http_header(&answer, "X-Request-Id"), "my-id");
    const char *first = lf_buf_text(&answer.body);
    char expected[512];
    const char *created = strstr(first, "\"created\":");
    snprintf(expected, sizeof expected,
             "data: "
             "{\"id\":\"chatcmpl-my-id\",\"object\":\"chat.completion.chunk\",%.*s\"model\":\"fake\",\"choices\":[{"
             "\"index\":0,"
             "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}],\"prompt_"
             "token_ids\":null,"
             "\"prompt_text\":null}\n\n",
             (int)(strstr(created, "\"model\"") - created), created);
    assert_int_equal(strncmp(first, expected, strlen(expected)), 0);
    assert_non_null(strstr(first, "\"delta\":{\"content\":\""));
    assert_non_null(strstr(first, "\"finish_reason\":\"stop\",\"stop_reason\":null,\"token_ids\":null}]}\n\n"));
    assert_non_null(strstr(first, "\"choices\":[],\"usage\":{\"prompt_tokens\":"));
    const char *end = "data: [DONE]\n\n";
    assert_string_equal(first + answer.body.length - strlen(end), end);
    http_answer_fini(&answer);
}

// Every body streamed and whole: the same text, reason and usage.
static void stream_equals_whole(void **state)
{
    static const char *const bodies[][2] = {
        {TEXT, "\"prompt\":\"say:hello world;\""},
        {TEXT, "\"prompt\":\"say:hello world;\",\"stop\":\"o w\""},
        {TEXT, "\"prompt\":\"say:hello world;\",\"stop\":[\"o w\"],\"include_stop_str_in_output\":true"},
        {TEXT, "\"prompt\":\"say:aaaaab;\",\"stop\":\"aaab\""},
        {TEXT, "\"prompt\":\"say:aaaaab;\",\"stop\":\"abc\""},
        {TEXT, "\"prompt\":\"say:\xe4\xbd\xa0\xe5\xa5\xbd\xf0\x9f\x99\x82;\",\"max_tokens\":60"},
        {TEXT, "\"prompt\":\"say:\xe4\xbd\xa0\xe5\xa5\xbd;\",\"max_tokens\":5"},
        {TEXT, "\"prompt\":\"say:x;\",\"echo\":true"},
        {TEXT, "\"prompt\":\"say:x;\",\"echo\":true,\"max_tokens\":0"},
        {TEXT, "\"prompt\":[\"say:a;\",\"say:bb;\"],\"n\":2,\"temperature\":1,\"echo\":true"},
        {TEXT, "\"prompt\":\"free\",\"max_tokens\":300"},
        {TEXT, "\"prompt\":\"free\",\"n\":4,\"seed\":1,\"temperature\":1,\"max_tokens\":40"},
        {TEXT, "\"prompt\":\"say:;\""},
        {TEXT, "\"prompt\":\"say:abc;\",\"stop_token_ids\":[98]"},
        {TEXT, "\"prompt\":\"say:abc;\",\"logprobs\":2"},
        {CHAT, "\"messages\":[{\"role\":\"user\",\"content\":\"say:hello world;\"}]"},
        {CHAT, "\"messages\":[{\"role\":\"user\",\"content\":\"say:hello "
               "world;\"}],\"stop\":\"rl\",\"logprobs\":true,\"top_logprobs\":2"},
        {CHAT,
         "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":3,\"temperature\":1,\"seed\":9,\"max_tokens\":30"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        char whole[512], streamed[640];
        stream_content content;
        snprintf(whole, sizeof whole, "{%s}", bodies[i][1]);
        snprintf(streamed, sizeof streamed, "{%s,\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                 bodies[i][1]);
        json_t *root = http_post_json(f->port, bodies[i][0], whole);
        stream_read(f->port, bodies[i][0], streamed, &content);
        assert_true(content.has_done);
        size_t k;
        json_t *choice;
        json_array_foreach(json_object_get(root, "choices"), k, choice)
        {
            json_t *text = json_object_get(choice, "text");
            if (!text) text = json_object_get(json_object_get(choice, "message"), "content");
            if (strcmp(json_string_value(text), lf_buf_text(&content.text[k]))) print_error("%s\n", whole);
            assert_string_equal(json_string_value(text), lf_buf_text(&content.text[k]));
            assert_string_equal(json_string_value(json_object_get(choice, "finish_reason")), content.finish_reason[k]);
        }
        json_t *usage = json_object_get(root, "usage");
        static const char *const counts[] = {"prompt_tokens", "completion_tokens", "total_tokens"};
        for (size_t c = 0; c < 3; c++) {
            assert_int_equal(json_integer_value(json_object_get(usage, counts[c])),
                             json_integer_value(json_object_get(content.usage, counts[c])));
        }
        stream_fini(&content);
        json_decref(root);
    }
}

static void usage_options(void **state)
{
    fixture *f = *state;
    stream_content content;
    stream_read(f->port, TEXT, "{\"prompt\":\"say:abc;\",\"stream\":true}", &content);
    assert_null(content.usage);
    assert_null(json_object_get(content.last, "usage"));
    stream_fini(&content);
    stream_read(f->port, TEXT,
                "{\"prompt\":\"say:abc;\",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_"
                "usage_stats\":true}}",
                &content);
    assert_int_equal(json_integer_value(json_object_get(content.usage, "completion_tokens")), 4);
    stream_fini(&content);
    http_answer answer;
    http_ask(f->port, "POST", TEXT, NULL,
             "{\"prompt\":\"say:slow:abc;\",\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_"
             "usage_stats\":true}}",
             &answer);
    assert_non_null(strstr(answer.body.data, "\"completion_tokens\":1}"));
    assert_non_null(strstr(answer.body.data, "\"completion_tokens\":2}"));
    http_answer_fini(&answer);
}

static void tokens_in_chunks(void **state)
{
    fixture *f = *state;
    http_answer answer;
    http_ask(f->port, "POST", TEXT, NULL,
             "{\"prompt\":\"slow:say:abc;\",\"stream\":true,\"return_token_ids\":true,\"logprobs\":0}", &answer);
    const char *body = lf_buf_text(&answer.body);
    assert_non_null(strstr(body, "\"prompt_token_ids\":[115,108,"));
    assert_non_null(strstr(body, "\"token_ids\":[97]"));
    assert_non_null(strstr(body, "\"text_offset\":[2]")); // offsets go on from chunk to chunk
    assert_non_null(strstr(body, "\"tokens\":[\"b\"]"));
    http_answer_fini(&answer);
}

static void errors_in_streams(void **state)
{
    fixture *f = *state;
    static const char *const bodies[] = {"{\"prompt\":\"fail:slow:\",\"stream\":true,\"max_tokens\":9}",
                                         "{\"prompt\":\"nan:\",\"stream\":true,\"logprobs\":1}"};
    for (size_t i = 0; i < 2; i++) {
        stream_content content;
        stream_read(f->port, TEXT, bodies[i], &content);
        assert_true(content.has_done);
        assert_non_null(content.error);
        assert_int_equal(json_integer_value(json_object_get(content.error, "code")), 500);
        stream_fini(&content);
    }
    // what is wrong before the first token is an ordinary refusal
    http_answer answer;
    http_ask(f->port, "POST", TEXT, NULL, "{\"prompt\":[],\"stream\":true}", &answer);
    assert_int_equal(answer.status, 400);
    assert_string_equal(http_header(&answer, "Content-Type"), "application/json");
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

int test_stream(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chunk_shape), cmocka_unit_test(stream_equals_whole),
                                       cmocka_unit_test(usage_options), cmocka_unit_test(tokens_in_chunks),
                                       cmocka_unit_test(errors_in_streams)};
    return cmocka_run_group_tests_name("server/stream", tests, open_fixture, close_fixture);
}
