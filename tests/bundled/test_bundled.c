// SPDX-License-Identifier: Apache-2.0
//
// The bundled checkpoint through the whole line, against the reference library (tests/golden/bundled/answers.json): the
// chat template gives the same text, the tokenizer the same ids, greedy decoding the same tokens, and those the same
// answer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "server/generation.h"
#include "server/session.h"

static lf_session *session;
static json_t *answers;

static int open_session(void **state)
{
    char path[1024], model[1024];
    lf_error err;
    json_t *root;
    lf_log_set_level(LF_LOG_WARNING);
    snprintf(path, sizeof path, "%s/bundled/answers.json", getenv("LF_TEST_GOLDEN"));
    snprintf(model, sizeof model, "%s/landfall-tiny-qwen3-fp8", getenv("LF_TEST_MODELS"));
    const lf_session_options options = {.engine = {.model_dir = model}};
    if (lf_json_load(&root, path, 4 << 20, &err) || lf_session_open(&session, &options, &err)) {
        print_error("%s\n", err.message);
        return -1;
    }
    answers = json_incref(json_object_get(root, "answers"));
    json_decref(root);
    return json_array_size(answers) > 0 ? 0 : -1;
}

static int close_session(void **state)
{
    lf_session_close(session);
    json_decref(answers);
    return 0;
}

static void templates_render_alike(void **state)
{
    size_t i, n_chat = 0;
    json_t *answer;
    json_array_foreach(answers, i, answer)
    {
        lf_error err;
        lf_buf text = LF_BUF_INIT;
        if (!json_object_get(answer, "messages")) continue; // a bare prompt
        n_chat++;
        json_t *thinking = json_object_get(answer, "enable_thinking"), *extra = json_object();
        if (thinking) json_object_set(extra, "enable_thinking", thinking);
        const lf_chat_render_args args = {
            .messages = json_object_get(answer, "messages"), .add_generation_prompt = true, .extra = extra};
        if (lf_chat_template_render(session->chat, &args, &text, &err)) fail_msg("answer %zu: %s", i, err.message);
        assert_string_equal(lf_buf_text(&text), json_string_value(json_object_get(answer, "prompt")));
        lf_buf_fini(&text);
        json_decref(extra);
    }
    assert_true(n_chat >= 40);
}

static void assert_ids(const int32_t *ids, size_t n, const json_t *expected)
{
    assert_int_equal(n, json_array_size(expected));
    for (size_t i = 0; i < n; i++) assert_int_equal(ids[i], json_integer_value(json_array_get(expected, i)));
}

static void encode_prompt(const json_t *answer, lf_ids *ids)
{
    lf_error err;
    const char *prompt = json_string_value(json_object_get(answer, "prompt"));
    assert_int_equal(
        lf_tokenizer_encode(session->tokenizer, prompt, strlen(prompt), LF_ENCODE_PARSE_SPECIAL, ids, &err), LF_OK);
}

static void prompts_tokenize_alike(void **state)
{
    size_t i;
    json_t *answer;
    json_array_foreach(answers, i, answer)
    {
        lf_ids ids = LF_IDS_INIT;
        encode_prompt(answer, &ids);
        assert_ids(ids.data, ids.count, json_object_get(answer, "prompt_ids"));
        lf_ids_fini(&ids);
    }
}

// All at once: the answers must not depend on what else runs.
static void answers_are_alike(void **state)
{
    size_t n = json_array_size(answers);
    lf_generation **generations = calloc(n, sizeof *generations);
    lf_error err;
    assert_non_null(generations);
    for (size_t i = 0; i < n; i++) {
        lf_ids ids = LF_IDS_INIT;
        encode_prompt(json_array_get(answers, i), &ids);
        lf_generation_args args = {
            .prompt = ids.data, .n_prompt = ids.count, .sampling = LF_SAMPLING_DEFAULT, .skip_special_tokens = true};
        args.sampling.temperature = 0;
        args.sampling.max_tokens = 128;
        assert_int_equal(lf_generation_start(&generations[i], session, &args, &err), LF_OK);
        lf_ids_fini(&ids);
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *answer = json_array_get(answers, i);
        lf_chunk chunk = {0};
        lf_generation_wait(generations[i]);
        assert_int_equal(lf_generation_take(generations[i], &chunk, &err), LF_OK);
        assert_int_equal(chunk.finish, LF_FINISH_STOP);
        assert_ids(chunk.tokens, chunk.n_token, json_object_get(answer, "output_ids"));
        assert_string_equal(lf_buf_text(&chunk.text), json_string_value(json_object_get(answer, "text")));
        assert_int_equal(lf_generation_n_not_finite(generations[i]), 0);
        lf_chunk_fini(&chunk);
        lf_generation_free(generations[i]);
    }
    free(generations);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_render_alike),
        cmocka_unit_test(prompts_tokenize_alike),
        cmocka_unit_test(answers_are_alike),
    };
    return cmocka_run_group_tests_name("bundled", tests, open_session, close_session);
}
