// SPDX-License-Identifier: Apache-2.0
//
// A server on a free port of 127.0.0.1 over the fake engine, and a raw HTTP/1.1 client that can also misbehave. The
// tokenizer has one token per byte (id = byte), "<|im_start|>" (256), "<|im_end|>" (257, end token) and "lo wo" (258);
// the chat template is ChatML. The model is called "fake", and "alias".
#ifndef LF_TESTS_SERVER_FIXTURE_H
#define LF_TESTS_SERVER_FIXTURE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "server/server.h"

typedef struct fixture {
    char dir[64];
    lf_session *session;
    lf_service service;
    lf_server *server;
    int port;
} fixture;

typedef struct fixture_options {
    lf_server_options http;
    const char *generation_config; // content of the file; NULL: none
    bool has_no_template;
} fixture_options;

void fixture_open(fixture *f, const fixture_options *options); // asserts
void fixture_close(fixture *f);
// Writes tokenizer.json and tokenizer_config.json of the test model into a directory.
void fixture_write_text_files(const char *dir, bool has_no_template);

typedef struct http_answer {
    int status;        // 0: no answer at all
    lf_buf head, body; // body without chunked framing
    bool is_complete;  // the framing said that this was all
} http_answer;
void http_answer_fini(http_answer *answer);
// The value of a header (case-insensitive name) in a buffer of this thread, NULL when absent.
const char *http_header(const http_answer *answer, const char *name);

int http_connect(int port);
void http_send(int fd, const char *text, size_t length); // asserts that all went out
// Reads one answer (`is_head`: it has no body); the connection stays open.
void http_read(int fd, http_answer *answer, bool is_head);
// One request on a connection of its own. `headers` are further lines, each ending with \r\n; body NULL: none.
void http_ask(int port, const char *method, const char *path, const char *headers, const char *body,
              http_answer *answer);
// POST of JSON with a 200 as the answer, parsed (new reference).
json_t *http_post_json(int port, const char *path, const char *body);

// Content of a stream: all events' choices put together by index, and what else it held.
typedef struct stream_content {
    lf_buf text[8];
    char finish_reason[8][16];
    size_t n_chunk;
    bool has_done;                // data: [DONE]
    json_t *usage, *last, *error; // new references or NULL
} stream_content;
void stream_read(int port, const char *path, const char *body, stream_content *out);
void stream_fini(stream_content *content);

#endif
