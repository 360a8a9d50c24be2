// SPDX-License-Identifier: Apache-2.0
//
// Chat templates: the variables they see, special tokens, reasoning aliases, continued messages, content formats.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests.h"
#include "text/chat_template.h"

static json_t *parse(const char *text)
{
    json_t *json;
    lf_error err;
    if (lf_json_parse(&json, text, strlen(text), "test", &err)) fail_msg("%s", err.message);
    return json;
}

typedef struct chat_case {
    const char *source;
    const char *messages;
    const char *extra;    // or NULL
    const char *expected; // text, or message of the error
    lf_status status;
    bool add_generation_prompt;
    bool continue_final_message;
} chat_case;

static const char tokens[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";

static void check(const chat_case *c)
{
    json_t *special = parse(tokens), *messages = parse(c->messages), *extra = c->extra ? parse(c->extra) : NULL;
    json_t *before = json_deep_copy(messages);
    lf_chat_template *chat;
    lf_buf out = LF_BUF_INIT;
    lf_error err = {0};
    assert_int_equal(lf_chat_template_new(&chat, c->source, strlen(c->source), special, &err), LF_OK);
    json_decref(special);
    const lf_chat_render_args args = {.messages = messages,
                                      .add_generation_prompt = c->add_generation_prompt,
                                      .continue_final_message = c->continue_final_message,
                                      .extra = extra};
    lf_buf_puts(&out, "kept:");
    lf_status status = lf_chat_template_render(chat, &args, &out, &err);
    const char *got = status ? err.message : lf_buf_text(&out) + strlen("kept:");
    if (status != c->status || strcmp(got, c->expected) != 0)
        fail_msg("%s\n with %s\n gives %s: %s", c->source, c->messages, lf_status_text(status), got);
    assert_memory_equal(lf_buf_text(&out), "kept:", strlen("kept:"));
    assert_true(json_equal(messages, before)); // the caller's JSON is not touched
    lf_buf_fini(&out);
    lf_chat_template_free(chat);
    json_decref(before);
    json_decref(messages);
    json_decref(extra);
}

static void shows_the_variables(void **state)
{
    static const chat_case cases[] = {
        {"{{ bos_token }}{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token }}{% endfor %}",
         "[{\"role\": \"user\", \"content\": \"hi\"}]", NULL, "<s>user:hi</s>", LF_OK, false, false},
        {"{{ tools }} {{ documents }} {{ add_generation_prompt }} {{ pad_token is defined }}", "[]", NULL,
         "None None False False", LF_OK, false, false},
        {"{{ add_generation_prompt }} {{ enable_thinking }} {{ bos_token }}", "[]",
         "{\"enable_thinking\": false, \"bos_token\": \"!\"}", "True False !", LF_OK, true, false},
        {"{{ add_generation_prompt }}", "[]", "{\"add_generation_prompt\": false}", "False", LF_OK, true, false},
        {"x", "[]", "{\"messages\": []}", "chat_template_kwargs must not contain 'messages'", LF_ERR_INVALID, false,
         false},
        {"x", "[]", "[]", "chat_template_kwargs is not an object", LF_ERR_INVALID, false, false},
        {"x", "{}", NULL, "messages is not an array", LF_ERR_INVALID, false, false},
        {"x", "[1]", NULL, "message 0 is not an object", LF_ERR_INVALID, false, false},
        {"{{ raise_exception('no system role') }}", "[]", NULL, "no system role", LF_ERR_INVALID, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i]);
}

static void aliases_reasoning(void **state)
{
    static const chat_case cases[] = {
        {"{{ messages }}", "[{\"role\": \"a\", \"thinking\": \"t\"}]", NULL,
         "[{'thinking': 't', 'role': 'a', 'reasoning_content': 't'}]", LF_OK, false, false},
        {"{{ messages }}", "[{\"role\": \"a\", \"reasoning\": \"r\", \"reasoning_content\": null}]", NULL,
         "[{'thinking': 'r', 'role': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}]", LF_OK, false, false},
        {"{{ messages }}", "[{\"role\": \"a\", \"reasoning\": null}]", NULL, "[{'role': 'a', 'reasoning': None}]",
         LF_OK, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i]);
}

static void continues_the_final_message(void **state)
{
    static const char plain[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>\n{% endfor %}";
    static const char trimming[] = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>{% endfor %}";
    static const char parts[] = "{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}";
    static const char two[] =
        "[{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"so \"}]";
    static const chat_case cases[] = {
        {plain, two, NULL, "<user>hi<end>\n<assistant>so ", LF_OK, false, true},
        {trimming, two, NULL, "<user>hi<end><assistant>so", LF_OK, false, true},
        {parts, "[{\"content\": [{\"type\": \"text\", \"text\": \"a\"}, {\"type\": \"image\"}]}]", NULL, "[a", LF_OK,
         false, true},
        {plain, "[]", NULL, "continue_final_message is set but the conversation is empty", LF_ERR_INVALID, false, true},
        {"x", two, NULL, "continue_final_message is set but the template never reads content", LF_ERR_INVALID, false,
         true},
        {"{{ messages[0].content }}", two, NULL,
         "continue_final_message is set but the template does not render the final message as it is", LF_ERR_INVALID,
         false, true},
        {plain, "[{\"role\": \"assistant\"}]", NULL,
         "continue_final_message is set but the final message has no content", LF_ERR_INVALID, false, true},
        {parts, "[{\"content\": [{\"type\": \"image\"}]}]", NULL,
         "continue_final_message is set but the final message has no text to continue", LF_ERR_INVALID, false, true},
        {plain, "[{\"role\": \"assistant\", \"content\": \"\"}]", NULL, "<assistant>", LF_OK, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i]);
}

static lf_chat_content content_of(const char *source)
{
    lf_chat_template *chat;
    lf_error err;
    if (lf_chat_template_new(&chat, source, strlen(source), NULL, &err)) fail_msg("%s", err.message);
    lf_chat_content content = lf_chat_template_content(chat);
    lf_chat_template_free(chat);
    return content;
}

static void detects_the_content_format(void **state)
{
    static const char *const strings[] = {
        "",
        "{% for m in messages %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] | trim }}{% endfor %}",
        "{% for m in messages %}{% for t in m.tool_calls %}{% endfor %}{% endfor %}",
        "{% for c in content %}{% endfor %}",
        "{% for m in messages %}{% for l in m.content.split('x') %}{% endfor %}{% endfor %}",
    };
    static const char *const parts[] = {
        "{% for m in messages %}{% for c in m.content %}{% endfor %}{% endfor %}",
        "{% for m in messages[1:] %}{% for c in m['content'] | list %}{% endfor %}{% endfor %}",
        "{% set loop_messages = messages %}{% for message in loop_messages | reverse %}"
        "{% for c in message['content'] %}{% endfor %}{% endfor %}",
        "{% if 1 %}{% for m in messages %}{% set content = m.content %}{% if content is string %}{% else %}"
        "{% for c in content if c.type == 'text' %}{% endfor %}{% endif %}{% endfor %}{% endif %}",
        "{% macro r(content) %}{% for item in content %}{{ item.text }}{% endfor %}{% endmacro %}"
        "{% for m in messages %}{{ r(m.content) }}{% endfor %}",
        "{% for c in messages[0].content %}{% endfor %}",
        "{% set first = messages[0] %}{% for c in first['content'] %}{% endfor %}",
    };
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (content_of(strings[i]) != LF_CHAT_CONTENT_STRING) fail_msg("%s", strings[i]);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (content_of(parts[i]) != LF_CHAT_CONTENT_PARTS) fail_msg("%s", parts[i]);
}

static const char *render_config(const char *config_text, const char *source, const char *name, lf_buf *out)
{
    json_t *config = parse(config_text), *messages = json_array();
    lf_chat_template *chat = NULL;
    lf_error err = {0};
    lf_status status = lf_chat_template_from_config(&chat, config, source, name, &err);
    json_decref(config); // the template keeps what it needs
    const lf_chat_render_args args = {.messages = messages};
    lf_buf_clear(out);
    if (!status) status = lf_chat_template_render(chat, &args, out, &err);
    if (status) {
        lf_buf_clear(out);
        lf_buf_printf(out, "%s: %s", lf_status_text(status), err.message);
    }
    lf_chat_template_free(chat);
    json_decref(messages);
    return lf_buf_text(out);
}

static void reads_tokenizer_configs(void **state)
{
    lf_buf out = LF_BUF_INIT;
    assert_string_equal(render_config("{\"bos_token\": {\"content\": \"<b>\", \"lstrip\": false}, \"eos_token\": null, "
                                      "\"additional_special_tokens\": [\"<x>\", {\"content\": \"<y>\"}], "
                                      "\"chat_template\": \"{{ bos_token }}{{ eos_token is defined }}"
                                      "{{ additional_special_tokens }}\"}",
                                      NULL, NULL, &out),
                        "<b>False['<x>', '<y>']");
    static const char several[] = "{\"chat_template\": [{\"name\": \"default\", \"template\": \"D\"}, "
                                  "{\"name\": \"tool_use\", \"template\": \"T\"}]}";
    assert_string_equal(render_config(several, NULL, NULL, &out), "D");
    assert_string_equal(render_config(several, NULL, "tool_use", &out), "T");
    assert_string_equal(render_config(several, "own", NULL, &out), "own");
    assert_string_equal(render_config(several, NULL, "rag", &out), "not found: the tokenizer has no chat template");
    assert_string_equal(render_config("{}", NULL, NULL, &out), "not found: the tokenizer has no chat template");
    assert_string_equal(render_config("{\"chat_template\": \"{% if\"}", NULL, NULL, &out),
                        "malformed input: chat template: template line 1: unexpected 'end of template'");
    lf_buf_fini(&out);
}

int test_chat_template(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_the_variables),         cmocka_unit_test(aliases_reasoning),
        cmocka_unit_test(continues_the_final_message), cmocka_unit_test(detects_the_content_format),
        cmocka_unit_test(reads_tokenizer_configs),
    };
    return cmocka_run_group_tests_name("chat template", tests, NULL, NULL);
}
