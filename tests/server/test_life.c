// SPDX-License-Identifier: Apache-2.0
//
// Many clients at once, clients that leave, and the way down.
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"
#include "tests.h"

#define TEXT "/v1/completions"

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

typedef struct client {
    pthread_t thread;
    int port;
    char body[256];
    http_answer answer;
} client;

static void *client_main(void *ctx)
{
    client *c = ctx;
    http_ask(c->port, "POST", TEXT, NULL, c->body, &c->answer);
    return NULL;
}

// The texts of a stream's events, put together.
static void join_text(const http_answer *answer, lf_buf *out)
{
    for (const char *at = lf_buf_text(&answer->body); (at = strstr(at, "\"text\":\"")); at++) {
        at += 8;
        lf_buf_append(out, at, strcspn(at, "\""));
    }
}

static void many_streams_answer_as_each_alone(void **state)
{
    enum { N = 48 };
    fixture *f = *state;
    static client alone[N], together[N];
    for (int i = 0; i < N; i++) {
        snprintf(alone[i].body, sizeof alone[i].body,
                 "{\"prompt\":\"number %d\",\"max_tokens\":%d,\"seed\":%d,\"stream\":true,\"temperature\":1}", i,
                 60 + i, i);
        alone[i].port = f->port;
        together[i] = alone[i];
        client_main(&alone[i]);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&together[i].thread, NULL, client_main, &together[i]), 0);
    for (int i = 0; i < N; i++) {
        lf_buf expected = LF_BUF_INIT, found = LF_BUF_INIT;
        pthread_join(together[i].thread, NULL);
        assert_int_equal(together[i].answer.status, 200);
        assert_true(together[i].answer.is_complete);
        join_text(&alone[i].answer, &expected);
        join_text(&together[i].answer, &found);
        assert_int_equal(expected.length, 60 + i);
        assert_string_equal(expected.data, found.data);
        lf_buf_fini(&expected);
        lf_buf_fini(&found);
        http_answer_fini(&alone[i].answer);
        http_answer_fini(&together[i].answer);
    }
}

static int64_t n_running(const fixture *f)
{
    lf_engine_stats stats;
    lf_engine_stats_read(f->session->engine, &stats);
    return stats.n_running;
}

static void wait_for_running(const fixture *f, int64_t n)
{
    for (int i = 0; i < 500 && n_running(f) != n; i++) sleep_ms(10);
    assert_int_equal(n_running(f), n);
}

static int start_request(const fixture *f, bool is_stream)
{
    char request[512], body[128];
    snprintf(body, sizeof body, "{\"prompt\":\"slow:\",\"max_tokens\":2000,\"stream\":%s}",
             is_stream ? "true" : "false");
    snprintf(request, sizeof request,
             "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    int fd = http_connect(f->port);
    http_send(fd, request, strlen(request));
    return fd;
}

static void leaving_cancels(void **state)
{
    fixture *f = *state;
    lf_engine_stats before, after;
    lf_engine_stats_read(f->session->engine, &before);
    for (int is_stream = 0; is_stream < 2; is_stream++) {
        for (int is_hard = 0; is_hard < 2; is_hard++) {
            int fd = start_request(f, is_stream);
            wait_for_running(f, 1);
            sleep_ms(30);
            struct linger hard = {.l_onoff = is_hard, .l_linger = 0}; // RST instead of FIN
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
            close(fd);
            wait_for_running(f, 0);
        }
    }
    lf_engine_stats_read(f->session->engine, &after);
    assert_int_equal(after.n_finished[LF_FINISH_CANCELLED] - before.n_finished[LF_FINISH_CANCELLED], 4);
    assert_true(lf_server_wait_idle(f->server, 2000));
    http_answer answer;
    http_ask(f->port, "GET", "/metrics", NULL, NULL, &answer);
    assert_non_null(strstr(answer.body.data, "finished_reason=\"abort\",model_name=\"fake\"} 4\n"));
    http_answer_fini(&answer);
}

// A client that never reads does not hold up the others, and costs no more than its own answer.
static void stalled_reader(void **state)
{
    fixture *f = *state;
    int fds[8];
    for (size_t i = 0; i < 8; i++) {
        fds[i] = start_request(f, true);
    }
    json_decref(http_post_json(f->port, TEXT, "{\"prompt\":\"say:hi;\"}"));
    assert_int_equal(n_running(f), 8); // all of them go on
    for (size_t i = 0; i < 8; i++) close(fds[i]);
    wait_for_running(f, 0);
}

static void graceful_end(void **state)
{
    fixture f;
    fixture_open(&f, NULL);
    client c = {.port = f.port, .body = "{\"prompt\":\"slow:\",\"max_tokens\":300}"}; // 0.6 s
    client s = {.port = f.port, .body = "{\"prompt\":\"slow:\",\"max_tokens\":300,\"stream\":true}"};
    int idle = http_connect(f.port);
    pthread_create(&c.thread, NULL, client_main, &c);
    pthread_create(&s.thread, NULL, client_main, &s);
    wait_for_running(&f, 2);
    lf_server_quiesce(f.server);
    int late = http_connect(f.port);
    assert_int_equal(late, -1); // nobody listens any more
    http_answer answer;
    http_send(idle, "GET /health HTTP/1.1\r\nHost: t\r\n\r\n", 33);
    http_read(idle, &answer, false);
    assert_int_equal(answer.status, 503);
    assert_string_equal(http_header(&answer, "Connection"), "close");
    http_answer_fini(&answer);
    close(idle);
    assert_true(lf_server_wait_idle(f.server, 10000));
    pthread_join(c.thread, NULL);
    pthread_join(s.thread, NULL);
    assert_int_equal(c.answer.status, 200);
    assert_non_null(strstr(c.answer.body.data, "\"completion_tokens\":300,"));
    assert_non_null(strstr(s.answer.body.data, "data: [DONE]"));
    http_answer_fini(&c.answer);
    http_answer_fini(&s.answer);
    fixture_close(&f);
}

static void abrupt_end(void **state)
{
    fixture f;
    fixture_open(&f, NULL);
    client c = {.port = f.port, .body = "{\"prompt\":\"slow:\",\"max_tokens\":2000}"}; // 4 s
    client s = {.port = f.port, .body = "{\"prompt\":\"slow:\",\"max_tokens\":2000,\"stream\":true}"};
    pthread_create(&c.thread, NULL, client_main, &c);
    pthread_create(&s.thread, NULL, client_main, &s);
    wait_for_running(&f, 2);
    sleep_ms(50);
    lf_server_quiesce(f.server);
    assert_false(lf_server_wait_idle(f.server, 50));
    fixture_close(&f);
    pthread_join(c.thread, NULL);
    pthread_join(s.thread, NULL);
    // both were told what there was
    assert_non_null(strstr(c.answer.body.data, "\"finish_reason\":\"abort\""));
    assert_non_null(strstr(s.answer.body.data, "\"finish_reason\":\"abort\""));
    http_answer_fini(&c.answer);
    http_answer_fini(&s.answer);
}

static void taken_port(void **state)
{
    fixture *f = *state;
    int fd = -1, port = f->port;
    lf_error err = {0};
    assert_int_equal(lf_listener_open(&fd, "127.0.0.1", &port, &err), LF_ERR_NETWORK);
    assert_non_null(strstr(err.message, "Address already in use"));
    assert_int_equal(lf_listener_open(&fd, "no.such.host.invalid", &port, &err), LF_ERR_NETWORK);
}

static void defaults_of_the_checkpoint(void **state)
{
    fixture f;
    fixture_options options = {
        .generation_config =
            "{\"temperature\":0.0,\"top_k\":1,\"top_p\":0.5,\"max_new_tokens\":3,\"eos_token_id\":257}",
        .has_no_template = true};
    fixture_open(&f, &options);
    assert_true(f.session->defaults.temperature == 0 && f.session->defaults.top_k == 1 &&
                f.session->defaults.max_tokens == 3);
    http_answer answer;
    http_ask(f.port, "POST", "/v1/chat/completions", NULL, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
             &answer);
    assert_int_equal(answer.status, 400);
    assert_non_null(strstr(answer.body.data, "chat template"));
    http_answer_fini(&answer);
    fixture_close(&f);
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

int test_life(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_streams_answer_as_each_alone),
        cmocka_unit_test(leaving_cancels),
        cmocka_unit_test(stalled_reader),
        cmocka_unit_test(graceful_end),
        cmocka_unit_test(abrupt_end),
        cmocka_unit_test(taken_port),
        cmocka_unit_test(defaults_of_the_checkpoint),
    };
    return cmocka_run_group_tests_name("server/life", tests, open_fixture, close_fixture);
}
