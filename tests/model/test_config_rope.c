// SPDX-License-Identifier: Apache-2.0
//
// The rotary section of config.json: both spellings, which of two places wins, and what is refused. (The resulting
// tables are compared with transformers in test_rope.c.)
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config_text.h"
#include "tests.h"

#define LLAMA(rest) "{\"model_type\": \"llama\", \"head_dim\": 64, \"max_position_embeddings\": 4096, " rest "}"

static void both_spellings_mean_the_same(void **state)
{
    lf_config a = parse(LLAMA("\"rope_theta\": 5e5, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}"));
    lf_config b =
        parse(LLAMA("\"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 2.0, \"rope_theta\": 500000}"));
    lf_config c = parse(LLAMA("\"rope_theta\": 1, \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0, "
                              "\"rope_theta\": 500000}, \"rope_parameters\": {\"rope_type\": \"yarn\"}"));
    assert_int_equal(a.rope.kind, LF_ROPE_LINEAR);
    assert_memory_equal(&a.rope, &b.rope, sizeof a.rope);
    assert_memory_equal(&a.rope, &c.rope, sizeof a.rope);
    assert_true(a.rope.theta == 5e5 && a.rope.factor == 2);
    assert_int_equal(lf_config_max_model_len(&a), 8192);
}

static void nothing_means_default(void **state)
{
    lf_config a = parse(LLAMA("\"rope_scaling\": null")), b = parse(LLAMA("\"rope_scaling\": {}"));
    lf_config c = parse(LLAMA("\"rope_parameters\": {\"rope_theta\": 10000}"));
    assert_int_equal(a.rope.kind, LF_ROPE_DEFAULT);
    assert_memory_equal(&a.rope, &b.rope, sizeof a.rope);
    assert_memory_equal(&a.rope, &c.rope, sizeof a.rope);
    assert_int_equal(a.rope.rotary_dim, 64);
    assert_int_equal(lf_config_max_model_len(&a), 4096);
}

static void a_partial_rotary_embedding_is_whole_pairs(void **state)
{
    assert_int_equal(parse(LLAMA("\"partial_rotary_factor\": 0.5")).rope.rotary_dim, 32);
    assert_int_equal(parse(LLAMA("\"partial_rotary_factor\": 0.5, \"rope_parameters\": "
                                 "{\"partial_rotary_factor\": 0.25}"))
                         .rope.rotary_dim,
                     16);
}

static void yarn_derives_what_is_absent(void **state)
{
    lf_config c = parse(LLAMA("\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, "
                              "\"original_max_position_embeddings\": 2048}"));
    assert_true(c.rope.beta_fast == 32 && c.rope.beta_slow == 1 && c.rope.truncate);
    assert_true(fabs(c.rope.attention_factor - (0.1 * log(4) + 1)) < 1e-15);
    assert_int_equal(lf_config_max_model_len(&c), 8192);

    c = parse(
        LLAMA("\"original_max_position_embeddings\": 1024, \"rope_scaling\": {\"type\": \"yarn\", "
              "\"factor\": null, \"original_max_position_embeddings\": 2048, \"mscale\": 1, \"mscale_all_dim\": 1}"));
    assert_int_equal(c.rope.original_max_position_embeddings, 1024);
    assert_true(c.rope.factor == 4 && c.rope.attention_factor == 1);

    c = parse(LLAMA("\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4, \"beta_fast\": 0, \"beta_slow\": null, "
                    "\"mscale\": 1, \"attention_factor\": 1.5, \"truncate\": false}"));
    assert_int_equal(c.rope.original_max_position_embeddings, 4096);
    assert_true(c.rope.beta_fast == 32 && c.rope.beta_slow == 1 && c.rope.attention_factor == 1.5);
    assert_false(c.rope.truncate);
}

static void wrong_sections_are_refused_by_name(void **state)
{
    static const struct {
        const char *text;
        lf_status status;
        const char *subject;
    } cases[] = {
        {LLAMA("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}"), LF_ERR_UNSUPPORTED, "rope_scaling"},
        {LLAMA("\"rope_scaling\": {\"rope_type\": \"longrope\"}"), LF_ERR_UNSUPPORTED, "rope_scaling"},
        {LLAMA("\"rope_parameters\": {\"rope_type\": \"mrope\"}"), LF_ERR_UNSUPPORTED, "rope_parameters"},
        {LLAMA("\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}}"), LF_ERR_UNSUPPORTED,
         "rope_parameters.full_attention"},
        {LLAMA("\"rope_scaling\": \"linear\""), LF_ERR_FORMAT, "rope_scaling"},
        {LLAMA("\"rope_scaling\": {\"type\": 4}"), LF_ERR_FORMAT, "type"},
        {LLAMA("\"rope_scaling\": {\"type\": \"linear\"}"), LF_ERR_FORMAT, "factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}"), LF_ERR_FORMAT, "factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"linear\", \"factor\": -2}"), LF_ERR_FORMAT, "factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"yarn\"}"), LF_ERR_FORMAT, "factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2, \"original_max_position_embeddings\": 0}"),
         LF_ERR_FORMAT, "original_max_position_embeddings"},
        {LLAMA("\"rope_theta\": 1, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}"), LF_ERR_FORMAT,
         "rope_theta"},
        {LLAMA("\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2, \"low_freq_factor\": 1}"), LF_ERR_FORMAT,
         "high_freq_factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2, \"high_freq_factor\": 4}"), LF_ERR_FORMAT,
         "low_freq_factor"},
        {LLAMA("\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2, \"low_freq_factor\": 4, "
               "\"high_freq_factor\": 4}"),
         LF_ERR_FORMAT, "high_freq_factor"},
        {LLAMA("\"rope_theta\": 0"), LF_ERR_FORMAT, "rope_theta"},
        {LLAMA("\"rope_theta\": \"1e6\""), LF_ERR_FORMAT, "rope_theta"},
        {LLAMA("\"partial_rotary_factor\": 0"), LF_ERR_FORMAT, "partial_rotary_factor"},
        {LLAMA("\"partial_rotary_factor\": 1.5"), LF_ERR_FORMAT, "partial_rotary_factor"},
        {LLAMA("\"partial_rotary_factor\": 0.17"), LF_OK, ""},
        {LLAMA("\"partial_rotary_factor\": 0.18"), LF_ERR_FORMAT, "partial_rotary_factor"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_error err;
        lf_config config;
        lf_status status = try_parse(&config, cases[i].text, &err);
        if (status != cases[i].status) fail_msg("%s: status %d (%s)", cases[i].text, status, err.message);
        assert_string_equal(err.subject, cases[i].subject);
    }
}

int test_config_rope(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_mean_the_same),
        cmocka_unit_test(nothing_means_default),
        cmocka_unit_test(a_partial_rotary_embedding_is_whole_pairs),
        cmocka_unit_test(yarn_derives_what_is_absent),
        cmocka_unit_test(wrong_sections_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("config_rope", tests, NULL, NULL);
}
