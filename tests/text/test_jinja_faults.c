// SPDX-License-Identifier: Apache-2.0
//
// Memory of the template interpreter: an allocation that fails anywhere, in our code or in jansson, is reported as such
// and leaks nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "tests.h"
#include "text/chat_template.h"

static const char source[] =
    "{% macro m(x, y=2) %}{{ x }}{{ caller() if caller else '' }}{% endmacro %}{% set ns = namespace(t='') %}"
    "{% for message in messages if message.role != 'system' %}{% set ns.t = ns.t + (message.content | string) * 200 %}"
    "{% call m(message.role) %}{{ message | tojson(indent=2) }}{% endcall %}{% endfor %}"
    "{{ ns.t | length }}{{ messages | map(attribute='role') | join(',') | upper }}{{ '%s|%5d' % ('a', 3) }}"
    "{{ messages | sort(attribute='role') | list }}{{ messages[-1].content }}";

// Makes a template, renders a conversation and releases everything; the caller's JSON is made outside.
static lf_status make_and_render(const json_t *config, const lf_chat_render_args *args, lf_error *err)
{
    lf_chat_template *chat = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_status status = lf_chat_template_from_config(&chat, config, source, NULL, err);
    if (!status) status = lf_chat_template_render(chat, args, &out, err);
    lf_buf_fini(&out);
    lf_chat_template_free(chat);
    return status;
}

static void reports_failed_allocations(void **state)
{
    memory_route_jansson(true);
    json_t *config = json_pack("{s:s,s:{s:s},s:[s]}", "bos_token", "<s>", "eos_token", "content", "</s>",
                               "additional_special_tokens", "<t>");
    json_t *messages = json_pack("[{s:s,s:s},{s:s,s:s,s:s},{s:s,s:[{s:s,s:s}]},{s:s,s:s}]", "role", "user", "content",
                                 "hi", "role", "assistant", "content", "yo", "thinking", "hm", "role", "user",
                                 "content", "type", "text", "text", "x", "role", "assistant", "content", "and so ");
    json_t *extra = json_pack("{s:b}", "flag", 1);
    assert_non_null(config);
    assert_non_null(messages);
    assert_non_null(extra);
    const lf_chat_render_args args = {
        .messages = messages, .extra = extra, .continue_final_message = true, .add_generation_prompt = false};

    lf_error err = {0};
    long at, before = memory_n_live();
    if (make_and_render(config, &args, &err)) fail_msg("%s", err.message);
    assert_int_equal(memory_n_live(), before);
    for (at = 0; at < 100000; at++) {
        memset(&err, 0, sizeof err);
        memory_fail_at(at);
        lf_status status = make_and_render(config, &args, &err);
        if (!memory_stop_failing()) break;
        if (status != LF_ERR_NO_MEMORY) fail_msg("allocation %ld: %s: %s", at, lf_status_text(status), err.message);
        long n_leaked = memory_n_live() - before;
        if (n_leaked) fail_msg("allocation %ld: %ld blocks leaked", at, n_leaked);
    }
    print_message("failed each of %ld allocations\n", at);
    assert_in_range(at, 20, 99999);
    json_decref(config);
    json_decref(messages);
    json_decref(extra);
    memory_route_jansson(false);
}

int test_jinja_faults(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reports_failed_allocations)};
    return cmocka_run_group_tests_name("jinja faults", tests, NULL, NULL);
}
