// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out anywhere between a request's first byte and the last of its answer: the client gets the answer
// in full, the error envelope of a 5xx, or the end of the connection; nothing leaks, and the next request is answered.
// (libmicrohttpd is a shared library and keeps its own memory.)
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "../support/sanitized.h"
#include "fixture.h"
#include "tests.h"

typedef struct question {
    const char *method, *path, *body;
    bool is_stream;
} question;

static const question questions[] = {
    {"POST", "/v1/chat/completions",
     "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
     "\"text\":\"say:h\xc3\xa9llo;\"}]}],\"logprobs\":true,\"top_logprobs\":2,\"stop\":[\"zz\"],\"logit_bias\":{\"3\":"
     "1},"
     "\"n\":2,\"chat_template_kwargs\":{\"a\":1},\"return_token_ids\":true}",
     false},
    {"POST", "/v1/completions",
     "{\"prompt\":[\"say:one;\",\"say:two END;\"],\"echo\":true,\"logprobs\":2,\"prompt_logprobs\":1,\"stop\":\"END\","
     "\"stop_token_ids\":[5]}",
     false},
    {"POST", "/v1/completions", "{\"prompt\":[115,97,121,58,104,105,59],\"return_token_ids\":true,\"logprobs\":0}",
     false},
    {"POST", "/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"say:h\xc3\xa9llo "
     "EN\xc3\xa9;\"}],\"stream\":true,\"stop\":[\"END\"],"
     "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},\"logprobs\":true,\"top_logprobs\":"
     "1}",
     true},
    {"POST", "/v1/completions",
     "{\"prompt\":\"say:some text;\",\"stream\":true,\"n\":2,\"stream_options\":{\"include_usage\":true}}", true},
    {"POST", "/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"return_token_strs\":true}", false},
    {"POST", "/detokenize", "{\"tokens\":[104,105]}", false},
    {"GET", "/v1/models", NULL, false},
    {"GET", "/v1/models/fake", NULL, false},
};

typedef enum outcome { ANSWERED, REFUSED, CLOSED, N_OUTCOME } outcome;

static void ask(const fixture *f, const question *q, http_answer *answer)
{
    http_ask(f->port, q->method, q->path, "X-Request-Id: same\r\n", q->body, answer);
}

// What may differ between two right answers: the time, and where a stream was cut into events.
static void normalize(const question *q, const char *body, lf_buf *out)
{
    lf_buf texts[2] = {LF_BUF_INIT, LF_BUF_INIT}, tokens = LF_BUF_INIT;
    const char *at = body;
    while (!q->is_stream && *at) {
        const char *created = strstr(at, "\"created\":");
        size_t length = created ? (size_t)(created - at) + 10 : strlen(at);
        lf_buf_append(out, at, length);
        at += length;
        if (created) at += strspn(at, "0123456789");
    }
    while (q->is_stream && (at = strstr(at, "data: {"))) {
        json_error_t problem;
        json_t *event = json_loads(at + 6, JSON_DISABLE_EOF_CHECK, &problem);
        if (!event) fail_msg("%s: %.200s", problem.text, at);
        size_t i;
        json_t *choice, *usage = json_object_get(event, "usage");
        json_array_foreach(json_object_get(event, "choices"), i, choice)
        {
            json_t *text = json_object_get(choice, "text");
            if (!text) text = json_object_get(json_object_get(choice, "delta"), "content");
            lf_buf_puts(&texts[json_integer_value(json_object_get(choice, "index"))], json_string_value(text));
            json_t *entry, *content = json_object_get(json_object_get(choice, "logprobs"), "content");
            size_t k;
            json_array_foreach(content, k, entry)
                lf_buf_puts(&tokens, json_string_value(json_object_get(entry, "token")));
        }
        if (json_array_size(json_object_get(event, "choices")) == 0)
            lf_buf_printf(out, "usage %lld\n", json_integer_value(json_object_get(usage, "total_tokens")));
        json_decref(event);
        at++;
    }
    if (q->is_stream) {
        lf_buf_printf(out, "%s|%s|%s", lf_buf_text(&texts[0]), lf_buf_text(&texts[1]), lf_buf_text(&tokens));
        if (strstr(body, "data: [DONE]\n\n")) lf_buf_puts(out, " done");
    }
    lf_buf_fini(&texts[0]);
    lf_buf_fini(&texts[1]);
    lf_buf_fini(&tokens);
}

static outcome judge(const question *q, const http_answer *answer, const char *expected, long at)
{
    const char *body = lf_buf_text(&answer->body);
    if (answer->status == 0 || !answer->is_complete) return CLOSED;
    if (answer->status != 200 || (q->is_stream && strstr(body, "data: {\"error\""))) {
        bool is_server_s = answer->status == 500 || answer->status == 503 || answer->status == 200;
        if (!is_server_s || !strstr(body, "{\"error\":{\"message\":\""))
            fail_msg("%s, allocation %ld: %d %s", q->path, at, answer->status, body);
        return REFUSED;
    }
    lf_buf found = LF_BUF_INIT;
    normalize(q, body, &found);
    const char *text = lf_buf_text(&found);
    size_t same = 0;
    while (text[same] && text[same] == expected[same]) same++;
    if (strcmp(text, expected) != 0)
        fail_msg("%s, allocation %ld: \"%.200s\" instead of \"%.200s\"", q->path, at, text + same, expected + same);
    lf_buf_fini(&found);
    return ANSWERED;
}

// Threads of closed connections end a moment after their clients see it.
static void wait_for_live(long expected, const char *path, long at)
{
    for (int i = 0; i < 5000 && memory_n_live() != expected; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    long n_leaked = memory_n_live() - expected;
    if (n_leaked) fail_msg("%s, allocation %ld: %ld blocks leaked", path, at, n_leaked);
}

static void sweep(const fixture *f, const question *q, void (*start)(long call), long stride)
{
    long n_outcome[N_OUTCOME] = {0}, n_failed = 0;
    lf_buf expected = LF_BUF_INIT;
    http_answer answer;
    ask(f, q, &answer);
    if (answer.status != 200) fail_msg("%s: %d %s", q->path, answer.status, lf_buf_text(&answer.body));
    normalize(q, lf_buf_text(&answer.body), &expected);
    http_answer_fini(&answer);
    assert_true(lf_server_wait_idle(f->server, 5000));
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    long live = memory_n_live();
    int n_quiet = 0; // threads differ in what they share: a run that no failure reached is not the end yet
    for (long at = 0; n_quiet < 4; at += stride) {
        start(at);
        ask(f, q, &answer);
        bool has_failed = memory_stop_failing();
        outcome how = judge(q, &answer, lf_buf_text(&expected), at);
        http_answer_fini(&answer);
        wait_for_live(live, q->path, at);
        if (!has_failed) assert_int_equal(how, ANSWERED);
        n_quiet = has_failed ? 0 : n_quiet + 1;
        n_failed += has_failed;
        n_outcome[how]++;
    }
    print_message("%s: %ld allocations %s: %ld answered all the same, %ld refused, %ld closed\n", q->path, n_failed,
                  start == memory_fail_at ? "failed in turn" : "and all after it failed", n_outcome[ANSWERED] - n_quiet,
                  n_outcome[REFUSED], n_outcome[CLOSED]);
    if (start == memory_fail_at) assert_true(n_outcome[REFUSED] > n_failed / 2);
    lf_buf_fini(&expected);
}

static void requests_survive_failed_allocations(void **state)
{
    (void)state;
    memory_spare_thread(true); // the client
    memory_route_jansson(true);
    fixture f;
    fixture_open(&f, NULL);
    const long stride = IS_SANITIZED ? 5 : 1;
    if (IS_SANITIZED) print_message("one allocation of %ld under a sanitizer\n", stride);
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        sweep(&f, &questions[i], memory_fail_at, stride);
        sweep(&f, &questions[i], memory_fail_from, 7 * stride);
    }
    fixture_close(&f);
    memory_route_jansson(false);
    memory_spare_thread(false);
}

int test_faults(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests_survive_failed_allocations)};
    return cmocka_run_group_tests_name("server/faults", tests, NULL, NULL);
}
