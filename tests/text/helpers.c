// SPDX-License-Identifier: Apache-2.0
//
// Small tokenizers for tests.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "helpers.h"
#include "text/utf8.h"
#include "text/vocab.h"

static const char *or_default(const char *text, const char *otherwise) { return text ? text : otherwise; }

void make_json(lf_buf *out, const parts *from)
{
    static const char byte_level[] =
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}";
    lf_buf_printf(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[%s],",
                  or_default(from->added_tokens, ""));
    lf_buf_printf(out, "\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"decoder\":%s,",
                  or_default(from->normalizer, "null"), or_default(from->pre_tokenizer, byte_level),
                  or_default(from->post_processor, "null"), or_default(from->decoder, byte_level));
    lf_buf_puts(out, "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[5] = {0};
        lf_utf8_put(text, lf_byte_char((uint8_t)byte));
        const char *escape = *text == '"' || *text == '\\' ? "\\" : "";
        lf_buf_printf(out, "%s\"%s%s\": %u", byte ? "," : "", escape, text, byte);
    }
    lf_buf_printf(out, "%s%s},\"merges\":[%s]%s}}", from->vocab ? "," : "", or_default(from->vocab, ""),
                  or_default(from->merges, ""), or_default(from->settings, ""));
    assert_false(lf_buf_failed(out));
}

lf_status open_status(const parts *from, lf_error *err)
{
    lf_buf json = LF_BUF_INIT;
    lf_tokenizer *tokenizer = NULL;
    make_json(&json, from);
    lf_status status = lf_tokenizer_open_memory(&tokenizer, json.data, json.length, err);
    lf_tokenizer_close(tokenizer);
    lf_buf_fini(&json);
    return status;
}

double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

lf_tokenizer *make_tokenizer(const parts *from)
{
    lf_buf json = LF_BUF_INIT;
    lf_tokenizer *tokenizer = NULL;
    lf_error err;
    make_json(&json, from);
    if (lf_tokenizer_open_memory(&tokenizer, json.data, json.length, &err)) fail_msg("%s", err.message);
    lf_buf_fini(&json);
    return tokenizer;
}

void assert_ids(const lf_tokenizer *tokenizer, unsigned flags, const char *text, const int32_t *expected)
{
    lf_ids ids = LF_IDS_INIT;
    lf_error err;
    size_t n = 0;
    while (expected[n] >= 0) n++;
    if (lf_tokenizer_encode(tokenizer, text, strlen(text), flags, &ids, &err)) fail_msg("%s", err.message);
    lf_buf found = LF_BUF_INIT;
    for (size_t i = 0; i < ids.count; i++) lf_buf_printf(&found, " %d", (int)ids.data[i]);
    if (ids.count != n || (n && memcmp(ids.data, expected, n * sizeof *expected) != 0)) {
        fail_msg("'%s' gives%s", text, lf_buf_text(&found));
    }
    lf_buf_fini(&found);
    lf_ids_fini(&ids);
}
