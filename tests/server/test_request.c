// SPDX-License-Identifier: Apache-2.0
//
// Reading request bodies without a server: values, leniency, defaults.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/request.h"
#include "tests.h"

static const char *const names[] = {"fake", NULL};
static const lf_request_limits limits = {
    .max_model_len = 2048,
    .vocab_size = 300,
    .model_names = names,
    .defaults = {.temperature = 0.5f, .top_p = 0.75f, .top_k = 20, .repetition_penalty = 1}};

static lf_status read_body(lf_ask *ask, lf_endpoint endpoint, const char *text, lf_refusal *refusal)
{
    json_t *body;
    *ask = (lf_ask){0};
    lf_status status = lf_body_parse(&body, text, strlen(text), refusal);
    return status ? status : lf_ask_read(ask, endpoint, body, &limits, refusal);
}

static void read_ok(lf_ask *ask, lf_endpoint endpoint, const char *text)
{
    lf_refusal refusal;
    if (read_body(ask, endpoint, text, &refusal)) fail_msg("%s: %s", text, refusal.message);
}

static void defaults(void **state)
{
    lf_ask ask;
    read_ok(&ask, LF_ENDPOINT_COMPLETIONS, "{\"prompt\":\"x\"}");
    assert_int_equal(ask.sampling.max_tokens, 16);
    assert_true(ask.sampling.temperature == 0.5f && ask.sampling.top_p == 0.75f && ask.sampling.top_k == 20);
    assert_int_equal(ask.n, 1);
    assert_true(ask.skip_special_tokens && ask.add_special_tokens && !ask.stream && !ask.has_logprobs);
    assert_int_equal(ask.sampling.logprobs, -1);
    lf_ask_fini(&ask);
    read_ok(&ask, LF_ENDPOINT_CHAT, "{\"messages\":[]}");
    assert_int_equal(ask.sampling.max_tokens, 2048);
    assert_false(ask.has_max_tokens);
    assert_true(ask.add_generation_prompt && !ask.add_special_tokens);
    lf_ask_fini(&ask);
}

static void every_value_arrives(void **state)
{
    lf_ask ask;
    read_ok(&ask, LF_ENDPOINT_COMPLETIONS,
            "{\"model\":\"fake\",\"prompt\":\"x\",\"max_tokens\":7,\"min_tokens\":2,\"temperature\":1.5,\"top_p\":0.25,"
            "\"top_k\":-1,"
            "\"min_p\":0.125,\"presence_penalty\":-2,\"frequency_penalty\":2,\"repetition_penalty\":1.25,\"seed\":-1,"
            "\"stop\":[\"a\",\"bc\"],"
            "\"stop_token_ids\":[1,299],\"ignore_eos\":true,\"logit_bias\":{\"5\":-101,\"6\":1.5},\"logprobs\":3,\"n\":"
            "2,\"echo\":true,"
            "\"stream\":true,\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},\"skip_"
            "special_tokens\":false,"
            "\"include_stop_str_in_output\":true,\"return_token_ids\":true}");
    const lf_sampling *s = &ask.sampling;
    assert_true(s->max_tokens == 7 && s->min_tokens == 2 && s->temperature == 1.5f && s->top_p == 0.25f &&
                s->top_k == 0);
    assert_true(s->min_p == 0.125f && s->presence_penalty == -2 && s->frequency_penalty == 2 &&
                s->repetition_penalty == 1.25f);
    assert_true(s->has_seed && s->seed == UINT64_MAX && s->ignore_eos && s->logprobs == 3 && s->prompt_logprobs == 3);
    assert_true(s->n_stop_token_id == 2 && s->stop_token_ids[1] == 299);
    assert_true(s->n_logit_bias == 2 && s->logit_bias[0].bias == -100 && s->logit_bias[1].token == 6);
    assert_true(ask.n_stop == 2 && ask.stop[1].length == 2 && ask.n == 2 && ask.echo && ask.stream);
    assert_true(ask.include_usage && ask.continuous_usage_stats && !ask.skip_special_tokens &&
                ask.include_stop_str_in_output);
    lf_ask_fini(&ask);
}

static void leniency(void **state)
{
    lf_ask ask;
    read_ok(&ask, LF_ENDPOINT_COMPLETIONS,
            "{\"prompt\":\"x\",\"max_tokens\":\"5\",\"temperature\":\"0.25\",\"top_k\":4.0,\"stream\":\"true\","
            "\"seed\":null,\"stop\":\"\"}");
    assert_true(ask.sampling.max_tokens == 5 && ask.sampling.temperature == 0.25f && ask.sampling.top_k == 4);
    assert_true(ask.stream && !ask.sampling.has_seed && ask.n_stop == 0);
    lf_ask_fini(&ask);
    read_ok(&ask, LF_ENDPOINT_CHAT,
            "{\"messages\":[],\"max_tokens\":3,\"max_completion_tokens\":4,\"tool_choice\":\"none\",\"tools\":[{}],"
            "\"response_format\":{\"type\":\"text\"},\"logprobs\":true,\"top_logprobs\":20,\"user\":\"me\"}");
    assert_true(ask.sampling.max_tokens == 4 && ask.tools != NULL && ask.has_logprobs && ask.sampling.logprobs == 20);
    lf_ask_fini(&ask);
    // the last of two equal keys counts, as in Python
    read_ok(&ask, LF_ENDPOINT_COMPLETIONS, "{\"prompt\":\"x\",\"max_tokens\":5,\"max_tokens\":6}");
    assert_int_equal(ask.sampling.max_tokens, 6);
    lf_ask_fini(&ask);
}

static void all_problems_are_reported(void **state)
{
    lf_ask ask;
    lf_refusal refusal;
    assert_int_equal(read_body(&ask, LF_ENDPOINT_COMPLETIONS,
                               "{\"n\":\"x\",\"top_p\":[],\"stream\":7,\"stop\":[1],\"model\":3}", &refusal),
                     LF_ERR_INVALID);
    assert_string_equal(refusal.param, "body.model");
    static const char *const words[] = {"5 problems",        "body.n", "body.top_p", "body.stream", "body.stop.0",
                                        "<list of 0 items>", "'x'"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!strstr(refusal.message, words[i])) fail_msg("'%s' is not in: %s", words[i], refusal.message);
    }
    lf_ask_fini(&ask);
}

static void nesting_and_size(void **state)
{
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP + 16);
    lf_refusal refusal;
    json_t *body;
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    assert_int_equal(lf_body_parse(&body, text, 2 * DEEP, &refusal), LF_ERR_INVALID);
    assert_int_equal(refusal.http_status, 400);
    // 2000 levels are accepted by the parser and must not hurt anybody
    memcpy(text, "{\"a\":", 5);
    memset(text + 5, '[', 2000);
    memset(text + 2005, ']', 2000);
    text[4005] = '}';
    assert_int_equal(lf_body_parse(&body, text, 4006, &refusal), LF_OK);
    json_decref(body);
    free(text);
}

int test_request(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults), cmocka_unit_test(every_value_arrives),
                                       cmocka_unit_test(leniency), cmocka_unit_test(all_problems_are_reported),
                                       cmocka_unit_test(nesting_and_size)};
    return cmocka_run_group_tests_name("server/request", tests, NULL, NULL);
}
