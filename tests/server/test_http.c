// SPDX-License-Identifier: Apache-2.0
//
// HTTP itself: odd and hostile clients, limits, keys.
#include <errno.h>
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

#include "base/clock.h"
#include "fixture.h"
#include "tests.h"

#define TEXT "/v1/completions"
#define BODY "{\"prompt\":\"say:hi;\"}"

static void send_text(int fd, const char *text) { http_send(fd, text, strlen(text)); }

static void check_hi(int fd)
{
    http_answer answer;
    http_read(fd, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(lf_buf_text(&answer.body), "\"text\":\"hi\""));
    http_answer_fini(&answer);
}

static void pipelined(void **state)
{
    fixture *f = *state;
    int fd = http_connect(f->port);
    char one[256];
    snprintf(one, sizeof one,
             "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n" BODY,
             strlen(BODY));
    lf_buf all = LF_BUF_INIT;
    for (int i = 0; i < 5; i++) lf_buf_puts(&all, one);
    http_send(fd, all.data, all.length);
    for (int i = 0; i < 5; i++) check_hi(fd);
    lf_buf_fini(&all);
    close(fd);
}

static void chunked_upload(void **state)
{
    fixture *f = *state;
    int fd = http_connect(f->port);
    send_text(
        fd,
        "POST " TEXT
        " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (const char *c = BODY; *c; c++) {
        char chunk[16];
        snprintf(chunk, sizeof chunk, "1\r\n%c\r\n", *c);
        send_text(fd, chunk);
    }
    send_text(fd, "0\r\n\r\n");
    check_hi(fd);
    close(fd);
}

static void expect_continue(void **state)
{
    fixture *f = *state;
    int fd = http_connect(f->port);
    char head[256];
    snprintf(
        head, sizeof head,
        "POST " TEXT
        " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %zu\r\n\r\n",
        strlen(BODY));
    send_text(fd, head);
    char line[64] = {0};
    assert_true(recv(fd, line, 25, MSG_WAITALL) == 25);
    assert_non_null(strstr(line, "100 Continue"));
    send_text(fd, BODY);
    check_hi(fd);
    close(fd);
    // refused before the body is sent
    fd = http_connect(f->port);
    send_text(fd, "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nExpect: "
                  "100-continue\r\nContent-Length: 99999999\r\n\r\n");
    http_answer answer;
    http_read(fd, &answer, false);
    assert_int_equal(answer.status, 413);
    http_answer_fini(&answer);
    close(fd);
}

static void slow_sender(void **state)
{
    fixture *f = *state;
    int fd = http_connect(f->port);
    char request[256];
    snprintf(request, sizeof request,
             "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n" BODY,
             strlen(BODY));
    for (const char *c = request; *c; c++) {
        http_send(fd, c, 1);
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    check_hi(fd);
    close(fd);
}

static void malformed(void **state)
{
    static const char *const requests[] = {
        "\r\n\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n",
        "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST " TEXT " HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "POST " TEXT " HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "GET /%00%ff%zz HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /v1/models/%ff%fe HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /health HTTP/1.1\r\n: x\r\nbroken header\r\n\r\n",
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = http_connect(f->port);
        send_text(fd, requests[i]);
        shutdown(fd, SHUT_WR);
        http_answer answer;
        http_read(fd, &answer, false);
        assert_true(answer.status == 0 || answer.status == 200 || answer.status >= 400);
        http_answer_fini(&answer);
        close(fd);
    }
    // a head without an end
    int fd = http_connect(f->port);
    lf_buf head = LF_BUF_INIT;
    lf_buf_puts(&head, "GET /health HTTP/1.1\r\n");
    for (int i = 0; i < 20000; i++) lf_buf_printf(&head, "X-%d: aaaaaaaaaaaaaaaaaaaaaaaa\r\n", i);
    http_send(fd, head.data, head.length);
    http_answer answer;
    http_read(fd, &answer, false);
    assert_true(answer.status == 0 || answer.status == 431 || answer.status == 413);
    http_answer_fini(&answer);
    lf_buf_fini(&head);
    close(fd);
    json_decref(http_post_json(f->port, TEXT, BODY)); // and it still serves
}

static void large_bodies(void **state)
{
    fixture *f = *state;
    static const size_t sizes[] = {(4 << 20) - 64, (4 << 20) + 64, 20 << 20};
    for (size_t i = 0; i < 3; i++) {
        for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
            int fd = http_connect(f->port);
            char head[256];
            snprintf(head, sizeof head, "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n");
            send_text(fd, head);
            if (is_chunked)
                snprintf(head, sizeof head, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", sizes[i]);
            else
                snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n", sizes[i]);
            send_text(fd, head);
            char *block = malloc(sizes[i]);
            memset(block, ' ', sizes[i]);
            memcpy(block, BODY, strlen(BODY)); // JSON with spaces after it
            http_send(fd, block, sizes[i]);
            free(block);
            if (is_chunked) send_text(fd, "\r\n0\r\n\r\n");
            http_answer answer;
            http_read(fd, &answer, false);
            assert_int_equal(answer.status, i == 0 ? 200 : 413);
            if (i > 0) assert_non_null(strstr(lf_buf_text(&answer.body), "RequestEntityTooLargeError"));
            http_answer_fini(&answer);
            close(fd);
        }
    }
}

static void other_methods(void **state)
{
    fixture *f = *state;
    http_answer answer;
    http_ask(f->port, "HEAD", "/v1/models", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    http_answer_fini(&answer);
    http_ask(f->port, "OPTIONS", "/v1/chat/completions", NULL, NULL, &answer);
    assert_int_equal(answer.status, 204);
    assert_string_equal(http_header(&answer, "Allow"), "POST, OPTIONS");
    http_answer_fini(&answer);
    http_ask(f->port, "POST", "/ping", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    http_answer_fini(&answer);
    // the request line's query is not part of the route
    http_ask(f->port, "GET", "/v1/models?limit=1", NULL, NULL, &answer);
    assert_int_equal(answer.status, 200);
    http_answer_fini(&answer);
    // HTTP/1.0: a stream ends with the connection
    int fd = http_connect(f->port);
    send_text(fd, "POST " TEXT " HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: "
                  "36\r\n\r\n{\"prompt\":\"say:hi;\", \"stream\": true}");
    http_read(fd, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_non_null(strstr(lf_buf_text(&answer.body), "data: [DONE]\n\n"));
    http_answer_fini(&answer);
    close(fd);
}

static void request_ids(void **state)
{
    fixture *f = *state;
    http_answer answer;
    http_ask(f->port, "GET", "/version", "X-Request-Id: abc-123\r\n", NULL, &answer);
    assert_string_equal(http_header(&answer, "X-Request-Id"), "abc-123");
    http_answer_fini(&answer);
    http_ask(f->port, "GET", "/version", "X-Request-Id: a b<script>\r\n", NULL, &answer);
    assert_int_equal(strlen(http_header(&answer, "X-Request-Id")), 16);
    http_answer_fini(&answer);
}

static void many_idle_connections(void **state)
{
    fixture *f = *state;
    static int fds[400];
    for (size_t i = 0; i < 400; i++) fds[i] = http_connect(f->port);
    int64_t start = lf_now_ns();
    json_decref(http_post_json(f->port, TEXT, BODY));
    assert_true(lf_now_ns() - start < 50000000000); // not after the idle ones have timed out
    for (size_t i = 0; i < 400; i++) close(fds[i]);
}

static void api_keys(void **state)
{
    static const char *const keys[] = {"secret-one", "two", NULL};
    fixture_options options = {.http = {.api_keys = keys}};
    fixture f;
    fixture_open(&f, &options);
    static const struct {
        const char *path, *header;
        int status;
    } rows[] = {
        {"/v1/models", NULL, 401},
        {"/v1/models", "Authorization: Bearer secret-one\r\n", 200},
        {"/v1/models", "authorization: bearer two\r\n", 200},
        {"/v1/models", "Authorization: Bearer secret-on\r\n", 401},
        {"/v1/models", "Authorization: Bearer secret-onesecret-one\r\n", 401},
        {"/v1/models", "Authorization: Bearer \r\n", 401},
        {"/v1/models", "Authorization: Basic secret-one\r\n", 401},
        {"/metrics", NULL, 401},
        {"/version", NULL, 401},
        {"/health", NULL, 200},
        {"/ping", NULL, 200},
        {"/nope", NULL, 404},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_answer answer;
        http_ask(f.port, "GET", rows[i].path, rows[i].header, NULL, &answer);
        assert_int_equal(answer.status, rows[i].status);
        if (rows[i].status == 401) {
            assert_string_equal(http_header(&answer, "WWW-Authenticate"), "Bearer");
            assert_non_null(strstr(lf_buf_text(&answer.body), "\"error\":{\"message\":"));
        }
        http_answer_fini(&answer);
    }
    http_answer answer;
    http_ask(f.port, "POST", TEXT, NULL, BODY, &answer);
    assert_int_equal(answer.status, 401);
    http_answer_fini(&answer);
    fixture_close(&f);
}

static bool is_closed_within(int fd, int seconds)
{
    char block[4096];
    struct timeval limit = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ssize_t n;
    while ((n = recv(fd, block, sizeof block, 0)) > 0) continue;
    return n == 0 || errno == ECONNRESET || errno == EPIPE;
}

static void slow_loris(void **state)
{
    fixture_options options = {.http = {.idle_seconds = 1, .body_seconds = 1}};
    fixture f;
    fixture_open(&f, &options);
    int quiet = http_connect(f.port), trickle = http_connect(f.port), body = http_connect(f.port);
    send_text(trickle, "GET /health HTTP/1.1\r\n");
    send_text(body,
              "POST " TEXT " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{");
    for (int i = 0; i < 35; i++) { // a byte every 0.1 s: never silent for long
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        send(trickle, "X", 1, MSG_NOSIGNAL);
        send(body, " ", 1, MSG_NOSIGNAL);
    }
    assert_true(is_closed_within(quiet, 5));
    assert_true(is_closed_within(body, 5));
    assert_true(is_closed_within(trickle, 5));
    json_decref(http_post_json(f.port, TEXT, BODY));
    // a request that takes longer than the patience with silent clients is not cut off
    json_t *root = http_post_json(f.port, TEXT, "{\"prompt\":\"slow:\",\"max_tokens\":900}");
    json_decref(root);
    close(quiet);
    close(trickle);
    close(body);
    assert_true(lf_server_wait_idle(f.server, 3000)); // the trickling ones are gone too
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

int test_http(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined),     cmocka_unit_test(chunked_upload), cmocka_unit_test(expect_continue),
        cmocka_unit_test(slow_sender),   cmocka_unit_test(malformed),      cmocka_unit_test(large_bodies),
        cmocka_unit_test(other_methods), cmocka_unit_test(request_ids),    cmocka_unit_test(many_idle_connections),
        cmocka_unit_test(api_keys),      cmocka_unit_test(slow_loris),
    };
    return cmocka_run_group_tests_name("server/http", tests, open_fixture, close_fixture);
}
