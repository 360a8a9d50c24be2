// SPDX-License-Identifier: Apache-2.0
//
// The test server and the raw client.
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "fake_engine.h"
#include "text/utf8.h"

static const char chat_template[] =
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}";

// The printable character that byte-level BPE writes for a byte.
static uint32_t byte_character(unsigned byte)
{
    uint32_t next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool is_plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        uint32_t character = is_plain ? b : next++;
        if (b == byte) return character;
    }
    return 0;
}

static json_t *added_token(int id, const char *content, bool is_special)
{
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", content, "single_word", 0, "lstrip", 0,
                     "rstrip", 0, "normalized", 0, "special", is_special);
}

static void write_json(const char *dir, const char *name, json_t *root)
{
    char *path = lf_path_join(dir, name), *text = json_dumps(root, 0);
    assert_int_equal(lf_file_write(path, text, strlen(text), NULL), LF_OK);
    json_decref(root);
    free(path);
    free(text);
}

void fixture_write_text_files(const char *dir, bool has_no_template)
{
    json_t *vocab = json_object();
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[5] = {0};
        text[lf_utf8_put(text, byte_character(byte))] = '\0';
        json_object_set_new(vocab, text, json_integer(byte));
    }
    json_t *added =
        json_pack("[o, o, o]", added_token(FAKE_IM_START, "<|im_start|>", true),
                  added_token(FAKE_IM_END, "<|im_end|>", true), added_token(FAKE_LONG_TOKEN, "lo wo", false));
    json_t *level = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 0,
                              "use_regex", 1);
    json_t *model = json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:o, s:[]}", "type", "BPE", "dropout", "unk_token",
                              "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0,
                              "vocab", vocab, "merges");
    write_json(dir, "tokenizer.json",
               json_pack("{s:s, s:n, s:n, s:o, s:n, s:O, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding",
                         "added_tokens", added, "normalizer", "pre_tokenizer", level, "post_processor", "decoder",
                         level, "model", model));
    json_t *config = json_pack("{s:s}", "eos_token", "<|im_end|>");
    if (!has_no_template) json_object_set_new(config, "chat_template", json_string(chat_template));
    write_json(dir, "tokenizer_config.json", config);
}

void fixture_open(fixture *f, const fixture_options *options)
{
    static const char *const names[] = {"fake", "alias", NULL};
    lf_error err = {0};
    *f = (fixture){0};
    lf_log_set_level(LF_LOG_ERROR);
    snprintf(f->dir, sizeof f->dir, "/tmp/lf-server-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    fixture_write_text_files(f->dir, options && options->has_no_template);
    if (options && options->generation_config) {
        char *path = lf_path_join(f->dir, "generation_config.json");
        assert_int_equal(lf_file_write(path, options->generation_config, strlen(options->generation_config), NULL),
                         LF_OK);
        free(path);
    }
    lf_session_options session_options = {.engine = {.model_dir = f->dir}};
    if (lf_session_open(&f->session, &session_options, &err)) fail_msg("%s", err.message);
    if (lf_session_warm_up(f->session, &err)) fail_msg("%s", err.message);
    assert_int_equal(lf_service_init(&f->service, f->session, names, &err), LF_OK);
    int fd = -1;
    if (lf_listener_open(&fd, "127.0.0.1", &f->port, &err)) fail_msg("%s", err.message);
    lf_server_options http = options ? options->http : (lf_server_options){0};
    http.quiet = true;
    if (lf_server_start(&f->server, &f->service, fd, &http, &err)) fail_msg("%s", err.message);
}

void fixture_close(fixture *f)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "generation_config.json"};
    lf_server_close(f->server);
    lf_service_fini(&f->service);
    lf_session_close(f->session);
    for (size_t i = 0; i < 3; i++) {
        char *path = lf_path_join(f->dir, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(f->dir);
}

// ---- the client ----

void http_answer_fini(http_answer *answer)
{
    lf_buf_fini(&answer->head);
    lf_buf_fini(&answer->body);
    *answer = (http_answer){0};
}

const char *http_header(const http_answer *answer, const char *name)
{
    static _Thread_local char value[512];
    size_t length = strlen(name);
    for (const char *line = lf_buf_text(&answer->head); line; line = strstr(line, "\r\n")) {
        if (line[0] == '\r') line += 2;
        if (strncasecmp(line, name, length) || line[length] != ':') continue;
        const char *start = line + length + 1 + strspn(line + length + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r"), start);
        return value;
    }
    return NULL;
}

int http_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    assert_true(fd >= 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

void http_send(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; // a server may refuse to read on
        text += n;
        length -= (size_t)n;
    }
}

// Reads up to the end of a head, byte by byte, so that nothing of the next answer is taken.
static bool read_head(int fd, lf_buf *head)
{
    char c;
    while (recv(fd, &c, 1, 0) == 1) {
        lf_buf_putc(head, c);
        if (head->length >= 4 && memcmp(head->data + head->length - 4, "\r\n\r\n", 4) == 0) return true;
    }
    return false;
}

static bool read_exactly(int fd, lf_buf *out, size_t n)
{
    char block[4096];
    while (n > 0) {
        ssize_t got = recv(fd, block, n < sizeof block ? n : sizeof block, 0);
        if (got <= 0) return false;
        lf_buf_append(out, block, (size_t)got);
        n -= (size_t)got;
    }
    return true;
}

static bool read_line(int fd, char *line, size_t line_bytes)
{
    for (size_t n = 0; n + 1 < line_bytes && recv(fd, line + n, 1, 0) == 1; n++) {
        if (line[n] != '\n') continue;
        line[n] = '\0';
        return true;
    }
    return false;
}

static bool read_chunked(int fd, lf_buf *out)
{
    char line[64];
    for (;;) {
        if (!read_line(fd, line, sizeof line)) return false;
        size_t n = strtoull(line, NULL, 16);
        if (n == 0) return read_line(fd, line, sizeof line);
        if (!read_exactly(fd, out, n) || !read_line(fd, line, sizeof line)) return false;
    }
}

void http_read(int fd, http_answer *answer, bool is_head)
{
    *answer = (http_answer){0};
    if (!read_head(fd, &answer->head)) return;
    answer->status = atoi(answer->head.data + 9);
    if (answer->status == 100) {
        http_answer_fini(answer);
        http_read(fd, answer, is_head);
        return;
    }
    const char *length = http_header(answer, "Content-Length");
    if (is_head || answer->status == 204) {
        answer->is_complete = true;
    } else if (length) {
        answer->is_complete = read_exactly(fd, &answer->body, strtoull(length, NULL, 10));
    } else if (http_header(answer, "Transfer-Encoding")) {
        answer->is_complete = read_chunked(fd, &answer->body);
    } else {
        while (read_exactly(fd, &answer->body, 1)) continue;
        answer->is_complete = true;
    }
}

void http_ask(int port, const char *method, const char *path, const char *headers, const char *body,
              http_answer *answer)
{
    int fd = http_connect(port);
    assert_true(fd >= 0);
    lf_buf request = LF_BUF_INIT;
    lf_buf_printf(&request, "%s %s HTTP/1.1\r\nHost: test\r\n%s", method, path, headers ? headers : "");
    bool has_type = headers && strcasestr(headers, "content-type");
    if (body)
        lf_buf_printf(&request, "%sContent-Length: %zu\r\n", has_type ? "" : "Content-Type: application/json\r\n",
                      strlen(body));
    lf_buf_printf(&request, "\r\n%s", body ? body : "");
    http_send(fd, request.data, request.length);
    http_read(fd, answer, strcmp(method, "HEAD") == 0);
    lf_buf_fini(&request);
    close(fd);
}

json_t *http_post_json(int port, const char *path, const char *body)
{
    http_answer answer;
    http_ask(port, "POST", path, NULL, body, &answer);
    if (answer.status != 200) fail_msg("%s %s: %d %s", path, body, answer.status, lf_buf_text(&answer.body));
    assert_true(answer.is_complete);
    assert_string_equal(http_header(&answer, "Content-Type"), "application/json");
    json_t *root = json_loadb(answer.body.data, answer.body.length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    http_answer_fini(&answer);
    return root;
}

// ---- streams ----

static void take_event(stream_content *out, const char *text, size_t length)
{
    json_t *event = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(event);
    out->n_chunk++;
    if (json_object_get(event, "error")) out->error = json_incref(json_object_get(event, "error"));
    size_t i;
    json_t *choice;
    json_array_foreach(json_object_get(event, "choices"), i, choice)
    {
        size_t index = (size_t)json_integer_value(json_object_get(choice, "index"));
        assert_true(index < 8);
        assert_string_equal(out->finish_reason[index], ""); // nothing after the end of a choice
        json_t *piece = json_object_get(choice, "text");
        if (!piece) piece = json_object_get(json_object_get(choice, "delta"), "content");
        if (piece) lf_buf_append(&out->text[index], json_string_value(piece), json_string_length(piece));
        const char *reason = json_string_value(json_object_get(choice, "finish_reason"));
        if (reason) snprintf(out->finish_reason[index], sizeof out->finish_reason[index], "%s", reason);
    }
    if (json_array_size(json_object_get(event, "choices")) == 0 && json_object_get(event, "usage")) {
        out->usage = json_incref(json_object_get(event, "usage"));
    }
    json_decref(out->last);
    out->last = event;
}

void stream_read(int port, const char *path, const char *body, stream_content *out)
{
    *out = (stream_content){0};
    http_answer answer;
    http_ask(port, "POST", path, NULL, body, &answer);
    if (answer.status != 200) fail_msg("%s: %d %s", body, answer.status, lf_buf_text(&answer.body));
    assert_true(answer.is_complete);
    assert_string_equal(http_header(&answer, "Content-Type"), "text/event-stream; charset=utf-8");
    for (const char *at = lf_buf_text(&answer.body); *at;) {
        assert_int_equal(strncmp(at, "data: ", 6), 0);
        const char *end = strstr(at, "\n\n");
        assert_non_null(end);
        assert_false(out->has_done);
        if (strncmp(at, "data: [DONE]", 12) == 0)
            out->has_done = true;
        else
            take_event(out, at + 6, (size_t)(end - at - 6));
        at = end + 2;
    }
    http_answer_fini(&answer);
}

void stream_fini(stream_content *content)
{
    for (size_t i = 0; i < 8; i++) lf_buf_fini(&content->text[i]);
    json_decref(content->usage);
    json_decref(content->last);
    json_decref(content->error);
}
