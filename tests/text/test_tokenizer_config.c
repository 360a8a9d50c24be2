// SPDX-License-Identifier: Apache-2.0
//
// tokenizer_config.json and the three places of a chat template.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "helpers.h"
#include "tests.h"
#include "text/tokenizer_config.h"

static const char *const names[] = {"tokenizer_config.json", "chat_template.jinja", "chat_template.json"};

static int make_folder(void **state)
{
    static char template[] = "/tmp/landfall-config-XXXXXX";
    char *dir = strdup(template);
    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}

static int remove_folder(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        char *path = lf_path_join(*state, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(*state);
    free(*state);
    return 0;
}

static void put(const char *dir, const char *name, const char *content)
{
    lf_error err;
    char *path = lf_path_join(dir, name);
    assert_int_equal(lf_file_write(path, content, strlen(content), &err), LF_OK);
    free(path);
}

static void assert_template(const char *dir, const char *expected, const char *source)
{
    lf_tokenizer_config config;
    lf_error err;
    if (lf_tokenizer_config_load(&config, dir, &err)) fail_msg("%s", err.message);
    if (!expected) {
        assert_null(config.chat_template);
        assert_null(config.chat_template_source);
    } else {
        assert_string_equal(config.chat_template, expected);
        assert_int_equal(config.chat_template_length, strlen(expected));
        assert_string_equal(config.chat_template_source, source);
    }
    lf_tokenizer_config_fini(&config);
}

static void an_empty_folder_has_nothing(void **state) { assert_template(*state, NULL, NULL); }

static void the_first_of_three_templates_counts(void **state)
{
    put(*state, names[2], "{\"chat_template\":\"third\"}");
    assert_template(*state, "third", names[2]);
    put(*state, names[0], "{\"chat_template\":\"second\"}");
    assert_template(*state, "second", names[0]);
    put(*state, names[1], "{{ first }}\n");
    assert_template(*state, "{{ first }}\n", names[1]);
}

static void a_list_of_templates_has_a_default(void **state)
{
    put(*state, names[0],
        "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"t\"},{\"name\":\"default\",\"template\":\"d\"}]}");
    assert_template(*state, "d", names[0]);
    put(*state, names[0], "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"t\"}]}");
    assert_template(*state, NULL, NULL);
}

static void reads_tokens_in_both_forms(void **state)
{
    put(*state, names[0],
        "{\"bos_token\":{\"__type\":\"AddedToken\",\"content\":\"<bos>\"},\"eos_token\":\"<eos>\",\"pad_token\":null,"
        "\"add_bos_token\":true,\"added_tokens_decoder\":{\"256\":{\"content\":\"<bos>\",\"special\":true},"
        "\"257\":{\"content\":\"x\",\"special\":false}},\"model_max_length\":1e30}");
    lf_tokenizer_config config;
    lf_error err;
    assert_int_equal(lf_tokenizer_config_load(&config, *state, &err), LF_OK);
    assert_string_equal(config.bos_token, "<bos>");
    assert_string_equal(config.eos_token, "<eos>");
    assert_null(config.pad_token);
    assert_null(config.unk_token);
    assert_true(config.add_bos_token);
    assert_false(config.add_eos_token);
    assert_int_equal(config.n_added, 2);
    assert_int_equal(config.added[0].id, 256);
    assert_true(config.added[0].is_special);
    assert_string_equal(config.added[1].content, "x");
    lf_tokenizer_config_fini(&config);
}

static void added_tokens_must_be_the_tokenizer_s(void **state)
{
    parts from = {.vocab = "\"<s>\":256"};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    lf_tokenizer_config config;
    lf_error err;
    put(*state, names[0], "{\"added_tokens_decoder\":{\"256\":{\"content\":\"<s>\"}}}");
    assert_int_equal(lf_tokenizer_config_load(&config, *state, &err), LF_OK);
    assert_int_equal(lf_tokenizer_config_agrees(&config, tokenizer, &err), LF_OK);
    config.added[0].id = 255;
    assert_int_equal(lf_tokenizer_config_agrees(&config, tokenizer, &err), LF_ERR_FORMAT);
    assert_string_equal(err.found, "id 256");
    config.added[0].content[1] = 'x';
    assert_int_equal(lf_tokenizer_config_agrees(&config, tokenizer, &err), LF_ERR_FORMAT);
    assert_string_equal(err.found, "no such token");
    lf_tokenizer_config_fini(&config);
    lf_tokenizer_close(tokenizer);
}

static void refuses_what_is_malformed(void **state)
{
    static const char *const contents[] = {
        "",
        "[]",
        "{\"bos_token\":1}",
        "{\"eos_token\":{\"content\":[]}}",
        "{\"add_bos_token\":\"yes\"}",
        "{\"added_tokens_decoder\":[]}",
        "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}",
        "{\"added_tokens_decoder\":{\"-1\":{\"content\":\"a\"}}}",
        "{\"added_tokens_decoder\":{\"99999999999\":{\"content\":\"a\"}}}",
        "{\"added_tokens_decoder\":{\"1\":{}}}",
        "{\"added_tokens_decoder\":{\"1\":{\"content\":\"a\",\"special\":1}}}",
        "{\"chat_template\":1}",
        "{\"chat_template\":[{\"name\":\"default\",\"template\":1}]}",
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(contents); i++) {
        lf_tokenizer_config config;
        lf_error err;
        put(*state, names[0], contents[i]);
        lf_status status = lf_tokenizer_config_load(&config, *state, &err);
        if (status != LF_ERR_FORMAT) fail_msg("'%s': status %d", contents[i], status);
        assert_null(config.added);
    }
}

static void the_bundled_model_agrees(void **state)
{
    char path[4096];
    const char *models = getenv("LF_TEST_MODELS");
    lf_tokenizer *tokenizer = NULL;
    lf_tokenizer_config config;
    lf_error err;
    snprintf(path, sizeof path, "%s/landfall-tiny-qwen3-fp8", models ? models : "models");
    assert_int_equal(lf_tokenizer_config_load(&config, path, &err), LF_OK);
    assert_string_equal(config.eos_token, "<|im_end|>");
    assert_non_null(config.chat_template);
    strcat(path, "/tokenizer.json");
    assert_int_equal(lf_tokenizer_open(&tokenizer, path, &err), LF_OK);
    assert_int_equal(lf_tokenizer_config_agrees(&config, tokenizer, &err), LF_OK);
    lf_tokenizer_config_fini(&config);
    lf_tokenizer_close(tokenizer);
}

int test_tokenizer_config(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_folder_has_nothing, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_first_of_three_templates_counts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_list_of_templates_has_a_default, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_tokens_in_both_forms, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(added_tokens_must_be_the_tokenizer_s, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(refuses_what_is_malformed, make_folder, remove_folder),
        cmocka_unit_test(the_bundled_model_agrees),
    };
    return cmocka_run_group_tests_name("tokenizer_config", tests, NULL, NULL);
}
