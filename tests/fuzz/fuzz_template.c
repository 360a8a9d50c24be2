// SPDX-License-Identifier: Apache-2.0
//
// Chat templates from anywhere, over a context from anywhere: template text, a NUL byte, JSON. Whatever they are, the
// interpreter ends within its limits and answers with text or an error that is not its own fault; what it writes is
// UTF-8 when both inputs are.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/chat_template.h"
#include "text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

// Small limits keep an execution short; the library's own behaviour at a limit does not depend on its size.
static const lf_jinja_options options = {
    .limits = {.max_steps = 200000, .max_memory_bytes = 16 << 20, .max_output_bytes = 1 << 20, .max_depth = 300},
    .now = 1700000000,
};

static int is_honest(lf_status status) { return status != LF_ERR_BUG && status != LF_ERR_NO_MEMORY; }

static void render(const char *source, size_t source_bytes, const json_t *context)
{
    lf_jinja_template *compiled = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    lf_status status = lf_jinja_compile(&compiled, source, source_bytes, &err);
    if (!status) {
        status = lf_jinja_render(compiled, context, &options, &out, &err);
        require(out.length <= options.limits.max_output_bytes);
        if (!status) require(lf_utf8_valid_prefix(lf_buf_text(&out), out.length) == out.length);
    }
    require(is_honest(status));
    if (status) require(lf_utf8_valid_prefix(err.message, strlen(err.message)) == strlen(err.message));
    lf_buf_fini(&out);
    lf_jinja_free(compiled);
}

static void chat(const char *source, size_t source_bytes, const json_t *context)
{
    lf_chat_template *template = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    if (lf_chat_template_new(&template, source, source_bytes, NULL, &err)) return;
    const lf_chat_render_args args = {.messages = json_object_get(context, "messages"),
                                      .tools = json_object_get(context, "tools"),
                                      .extra = json_object_get(context, "extra"),
                                      .continue_final_message = json_is_true(json_object_get(context, "continue")),
                                      .options = &options};
    if (args.messages) require(is_honest(lf_chat_template_render(template, &args, &out, &err)));
    lf_buf_fini(&out);
    lf_chat_template_free(template);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    const char *source = (const char *)data, *end = memchr(data, '\0', length);
    size_t source_bytes = end ? (size_t)(end - source) : length;
    json_t *context = NULL;
    lf_error err;
    if (end) lf_json_parse(&context, end + 1, length - source_bytes - 1, "context", &err);
    if (!context) context = json_object();
    if (json_is_object(context)) {
        render(source, source_bytes, context);
        chat(source, source_bytes, context);
    }
    json_decref(context);
    return 0;
}
