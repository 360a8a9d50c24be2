// SPDX-License-Identifier: Apache-2.0
//
// config.json as transformers reads it: defaults of each class, null against absent, what is refused and by which name.
// (Defaults: LlamaConfig(), Qwen2Config() and Qwen3Config() of transformers 5.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "config_text.h"
#include "tests.h"

static void absent_keys_are_the_defaults_of_the_class(void **state)
{
    lf_config c = parse("{\"architectures\": [\"LlamaForCausalLM\"]}");
    assert_string_equal(c.model_type, "llama");
    assert_int_equal(c.vocab_size, 32000);
    assert_int_equal(c.hidden_size, 4096);
    assert_int_equal(c.intermediate_size, 11008);
    assert_int_equal(c.num_hidden_layers, 32);
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.max_position_embeddings, 2048);
    assert_true(c.rms_norm_eps == 1e-6);
    assert_int_equal(c.bos_token_id, 1);
    assert_int_equal(c.n_eos_token_id, 1);
    assert_int_equal(c.eos_token_ids[0], 2);
    assert_false(c.has_qkv_bias || c.has_o_bias || c.has_mlp_bias || c.has_qk_norm || c.tie_word_embeddings);
    assert_int_equal(c.rope.kind, LF_ROPE_DEFAULT);
    assert_true(c.rope.theta == 10000);

    c = parse(
        "{\"model_type\": \"qwen2\", \"hidden_size\": 2048, \"num_attention_heads\": 64, \"attention_bias\": false}");
    assert_string_equal(c.architecture, "Qwen2ForCausalLM");
    assert_int_equal(c.num_key_value_heads, 32);
    assert_int_equal(c.head_dim, 32);
    assert_int_equal(c.intermediate_size, 22016);
    assert_int_equal(c.bos_token_id, -1);
    assert_int_equal(c.n_eos_token_id, 0);
    assert_int_equal(c.sliding_window, 0);
    assert_true(c.has_qkv_bias);
    assert_false(c.has_o_bias || c.has_qk_norm);

    c = parse(
        "{\"model_type\": \"qwen3\", \"hidden_size\": 2048, \"num_attention_heads\": 64, \"attention_bias\": true}");
    assert_int_equal(c.head_dim, 128);
    assert_int_equal(c.max_position_embeddings, 32768);
    assert_true(c.has_qkv_bias && c.has_o_bias && c.has_qk_norm);
    assert_false(c.has_mlp_bias);
}

static void null_is_not_absent(void **state)
{
    lf_config c = parse("{\"model_type\": \"qwen3\", \"hidden_size\": 2048, \"num_attention_heads\": 64, "
                        "\"head_dim\": null, \"num_key_value_heads\": null}");
    assert_int_equal(c.head_dim, 32);
    assert_int_equal(c.num_key_value_heads, 64);
    c = parse("{\"model_type\": \"llama\", \"eos_token_id\": null, \"bos_token_id\": null}");
    assert_int_equal(c.n_eos_token_id, 0);
    assert_int_equal(c.bos_token_id, -1);
}

static void end_tokens_are_a_number_or_a_list(void **state)
{
    lf_config c = parse("{\"model_type\": \"llama\", \"eos_token_id\": [7, 9, 7, -1, 32000]}");
    assert_int_equal(c.n_eos_token_id, 2);
    assert_int_equal(c.eos_token_ids[0], 7);
    assert_int_equal(c.eos_token_ids[1], 9);
    c = parse("{\"model_type\": \"llama\", \"eos_token_id\": -1, \"bos_token_id\": 40000}");
    assert_int_equal(c.n_eos_token_id, 0);
    assert_int_equal(c.bos_token_id, -1);
}

static void sliding_windows_are_one_for_the_model_or_refused(void **state)
{
    lf_error err;
    lf_config c = parse("{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"sliding_window\": 77, "
                        "\"max_window_layers\": 0}");
    assert_int_equal(c.sliding_window, 77);
    c = parse("{\"model_type\": \"qwen2\", \"use_sliding_window\": true, \"max_window_layers\": 32}");
    assert_int_equal(c.sliding_window, 0);
    c = parse("{\"model_type\": \"qwen3\", \"use_sliding_window\": true, \"sliding_window\": null, "
              "\"max_window_layers\": 0}");
    assert_int_equal(c.sliding_window, 0);
    c = parse("{\"model_type\": \"qwen3\", \"use_sliding_window\": true, \"sliding_window\": 5, "
              "\"num_hidden_layers\": 2, \"layer_types\": [\"sliding_attention\", \"sliding_attention\"]}");
    assert_int_equal(c.sliding_window, 5);
    assert_int_equal(try_parse(&c, "{\"model_type\": \"qwen2\", \"use_sliding_window\": true}", &err),
                     LF_ERR_UNSUPPORTED);
    assert_string_equal(err.subject, "max_window_layers");
    assert_int_equal(try_parse(&c,
                               "{\"model_type\": \"qwen3\", \"use_sliding_window\": true, \"num_hidden_layers\": 2, "
                               "\"layer_types\": [\"full_attention\", \"sliding_attention\"]}",
                               &err),
                     LF_ERR_UNSUPPORTED);
    assert_string_equal(err.subject, "layer_types");
}

// Wrong input: the status and the key that the error names.
static void wrong_configs_are_refused_by_name(void **state)
{
    static const struct {
        const char *text;
        lf_status status;
        const char *subject;
    } cases[] = {
        {"[]", LF_ERR_FORMAT, ""},
        {"{}", LF_ERR_FORMAT, "architectures"},
        {"{\"architectures\": []}", LF_ERR_FORMAT, "architectures"},
        {"{\"architectures\": [3]}", LF_ERR_FORMAT, "architectures"},
        {"{\"architectures\": \"LlamaForCausalLM\"}", LF_ERR_FORMAT, "architectures"},
        {"{\"architectures\": [\"GPT2LMHeadModel\"]}", LF_ERR_UNSUPPORTED, "architectures"},
        {"{\"model_type\": \"mamba\"}", LF_ERR_UNSUPPORTED, "architectures"},
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"qwen3\"}", LF_ERR_UNSUPPORTED, "model_type"},
        {"{\"model_type\": 1}", LF_ERR_FORMAT, "model_type"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 0}", LF_ERR_FORMAT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": -4096}", LF_ERR_FORMAT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": \"4096\"}", LF_ERR_FORMAT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 4611686018427387904}", LF_ERR_FORMAT, "hidden_size"},
        {"{\"model_type\": \"llama\", \"intermediate_size\": 1e12}", LF_ERR_FORMAT, "intermediate_size"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 1000000}", LF_ERR_FORMAT, "num_hidden_layers"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 0}", LF_ERR_FORMAT, "num_hidden_layers"},
        {"{\"model_type\": \"llama\", \"vocab_size\": 1099511627776}", LF_ERR_FORMAT, "vocab_size"},
        {"{\"model_type\": \"llama\", \"num_attention_heads\": 99999}", LF_ERR_FORMAT, "num_attention_heads"},
        {"{\"model_type\": \"llama\", \"num_key_value_heads\": 5}", LF_ERR_FORMAT, "num_key_value_heads"},
        {"{\"model_type\": \"llama\", \"num_key_value_heads\": 64}", LF_ERR_FORMAT, "num_key_value_heads"},
        {"{\"model_type\": \"llama\", \"head_dim\": 65536}", LF_ERR_FORMAT, "head_dim"},
        {"{\"model_type\": \"llama\", \"head_dim\": 7}", LF_ERR_FORMAT, "head_dim"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 100}", LF_ERR_FORMAT, "head_dim"},
        {"{\"model_type\": \"llama\", \"rms_norm_eps\": -1}", LF_ERR_FORMAT, "rms_norm_eps"},
        {"{\"model_type\": \"llama\", \"rms_norm_eps\": \"1e-6\"}", LF_ERR_FORMAT, "rms_norm_eps"},
        {"{\"model_type\": \"llama\", \"hidden_act\": \"gelu\"}", LF_ERR_UNSUPPORTED, "hidden_act"},
        {"{\"model_type\": \"llama\", \"tie_word_embeddings\": 1}", LF_ERR_FORMAT, "tie_word_embeddings"},
        {"{\"model_type\": \"llama\", \"per_layer_config\": {}}", LF_ERR_UNSUPPORTED, "per_layer_config"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": \"x\"}", LF_ERR_FORMAT, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": [1, null]}", LF_ERR_FORMAT, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"eos_token_id\": [1,2,3,4,5,6,7,8,9]}", LF_ERR_LIMIT, "eos_token_id"},
        {"{\"model_type\": \"llama\", \"layer_types\": [\"full_attention\"]}", LF_ERR_FORMAT, "layer_types"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"layer_types\": [\"linear_attention\"]}",
         LF_ERR_UNSUPPORTED, "layer_types"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"layer_types\": [\"sliding_attention\"]}",
         LF_ERR_FORMAT, "sliding_window"},
        {"{\"model_type\": \"llama\", \"num_hidden_layers\": 1, \"layer_types\": [1]}", LF_ERR_FORMAT, "layer_types"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        lf_error err;
        lf_config config;
        lf_status status = try_parse(&config, cases[i].text, &err);
        if (status != cases[i].status) fail_msg("%s: status %d (%s)", cases[i].text, status, err.message);
        assert_string_equal(err.subject, cases[i].subject);
        assert_true(err.message[0] != '\0');
    }
}

static char *make_folder(const char *config, const char *generation)
{
    char *folder = strdup("/tmp/lf_test_config_XXXXXX");
    assert_non_null(mkdtemp(folder));
    const char *const names[] = {"config.json", "generation_config.json"}, *const texts[] = {config, generation};
    for (size_t i = 0; i < 2; i++) {
        if (!texts[i]) continue;
        char *path = lf_path_join(folder, names[i]);
        assert_int_equal(lf_file_write(path, texts[i], strlen(texts[i]), NULL), LF_OK);
        free(path);
    }
    return folder;
}

static void remove_folder(char *folder)
{
    const char *const names[] = {"config.json", "generation_config.json"};
    for (size_t i = 0; i < 2; i++) {
        char *path = lf_path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

static void the_generation_config_adds_end_tokens(void **state)
{
    char *folder = make_folder("{\"model_type\": \"llama\", \"eos_token_id\": 2}", "{\"eos_token_id\": [2, 5]}");
    lf_config config;
    json_t *json = NULL;
    lf_error err = {0};
    assert_int_equal(lf_config_load(&config, &json, folder, NULL, &err), LF_OK);
    assert_int_equal(config.n_eos_token_id, 2);
    assert_int_equal(config.eos_token_ids[1], 5);
    assert_non_null(json_object_get(json, "model_type"));
    json_decref(json);
    remove_folder(folder);
}

static void files_that_cannot_be_read_are_named(void **state)
{
    static const struct {
        const char *config, *generation;
        lf_status status;
        const char *says;
    } cases[] = {
        {NULL, NULL, LF_ERR_NOT_FOUND, "config.json"},
        {"{", NULL, LF_ERR_FORMAT, "config.json"},
        {"{\"model_type\": \"llama\", \"hidden_size\": true}", NULL, LF_ERR_FORMAT, "/config.json"},
        {"{\"model_type\": \"llama\"}", "{\"eos_token_id\": {}}", LF_ERR_FORMAT, "generation_config.json"},
        {"{\"model_type\": \"llama\"}", "nope", LF_ERR_FORMAT, "generation_config.json"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        char *folder = make_folder(cases[i].config, cases[i].generation);
        lf_config config;
        json_t *json = NULL;
        lf_error err = {0};
        assert_int_equal(lf_config_load(&config, &json, folder, NULL, &err), cases[i].status);
        assert_null(json);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
        remove_folder(folder);
    }
}

static void every_golden_config_is_read(void **state)
{
    static const char *const names[] = {
        "llama_bf16_bias_tied", "llama_bf16_llama3rope",   "llama_bf16_yarn", "llama_fp8_block_f16",
        "llama_fp8_e5m2",       "llama_fp8_tensor_static", "qwen2_bf16_tied", "qwen2_fp8_block",
        "qwen3_bf16",           "qwen3_bf16_yarn_7to1",    "qwen3_fp8_block", "qwen3_fp8_block_32x48",
        "qwen3_fp8_block_e8m0", "qwen3_fp8_channel_ct",
    };
    const char *golden = getenv("LF_TEST_GOLDEN");
    assert_non_null(golden);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        char dir[512];
        snprintf(dir, sizeof dir, "%s/%s/checkpoint", golden, names[i]);
        lf_config config;
        json_t *json = NULL;
        lf_error err = {0};
        if (lf_config_load(&config, &json, dir, NULL, &err)) fail_msg("%s", err.message);
        assert_int_equal(config.bos_token_id, 1);
        assert_int_equal(config.n_eos_token_id, 1);
        assert_int_equal(config.sliding_window, 0);
        assert_true(strncmp(names[i], config.model_type, strlen(config.model_type)) == 0);
        json_decref(json);
    }
}

int test_config(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_are_the_defaults_of_the_class),
        cmocka_unit_test(null_is_not_absent),
        cmocka_unit_test(end_tokens_are_a_number_or_a_list),
        cmocka_unit_test(sliding_windows_are_one_for_the_model_or_refused),
        cmocka_unit_test(wrong_configs_are_refused_by_name),
        cmocka_unit_test(the_generation_config_adds_end_tokens),
        cmocka_unit_test(files_that_cannot_be_read_are_named),
        cmocka_unit_test(every_golden_config_is_read),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
