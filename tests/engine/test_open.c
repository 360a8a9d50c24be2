// SPDX-License-Identifier: Apache-2.0
//
// Opening: dummy weights from config.json alone, limits and their messages, models that must be refused.
#include "tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "client.h"
#include "golden.h"

static void assert_refused(lf_engine_options options, const char *dir, lf_status status, const char *why)
{
    lf_engine *engine = NULL;
    lf_error err = {0};
    options.model_dir = dir;
    assert_int_equal(lf_engine_open(&engine, &options, &err), status);
    assert_null(engine);
    char line[2048];
    lf_error_format(&err, line, sizeof line);
    if (!strstr(line, why)) fail_msg("'%s' does not say '%s'", line, why);
}

static void test_limits(void **state)
{
    (void)state;
    char dir[512];
    golden_dir(dir, "qwen3_bf16");
    const lf_engine_options dummy = {.load_format = LF_LOAD_DUMMY};
    lf_engine_options o = dummy;
    o.max_model_len = 513;
    assert_refused(o, dir, LF_ERR_INVALID, "greater than the model's own limit of 512");
    o.max_model_len = -1;
    assert_refused(o, dir, LF_ERR_INVALID, "--max-model-len");
    o = dummy;
    o.max_num_seqs = 10;
    o.max_num_batched_tokens = 9;
    assert_refused(o, dir, LF_ERR_INVALID,
                   "max_num_batched_tokens (9) must be greater than or equal to max_num_seqs (10)");
    o = dummy;
    o.block_size = 100000;
    assert_refused(o, dir, LF_ERR_INVALID, "--block-size");
    o = dummy;
    o.kv_cache_memory_bytes = -5;
    assert_refused(o, dir, LF_ERR_INVALID, "--kv-cache-memory-bytes");
    o.kv_cache_memory_bytes = INT64_MAX;
    assert_refused(o, dir, LF_ERR_NO_MEMORY, "--kv-cache-memory-bytes");
    o.kv_cache_memory_bytes = 10;
    assert_refused(o, dir, LF_ERR_NO_MEMORY, "max_model_len");
    o.kv_cache_memory_bytes = 100000;
    o.max_model_len = 512;
    assert_refused(o, dir, LF_ERR_NO_MEMORY, "lower --max-model-len to at most");
}

static void test_model_len_follows_memory(void **state)
{
    (void)state;
    char dir[512];
    golden_dir(dir, "qwen3_bf16");
    lf_engine *engine = client_open(
        &(lf_engine_options){.model_dir = dir, .load_format = LF_LOAD_DUMMY, .kv_cache_memory_bytes = 100000});
    lf_engine_info info;
    lf_engine_describe(engine, &info);
    assert_true(info.max_model_len > 0 && info.max_model_len < 512);
    assert_int_equal(info.max_model_len, info.n_kv_block * info.block_size);
    assert_true(info.kv_cache_bytes <= 100000);
    lf_engine_close(engine);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char path[700], buffer[4096];
    snprintf(path, sizeof path, "%s/%s", from_dir, name);
    FILE *from = fopen(path, "rb");
    snprintf(path, sizeof path, "%s/%s", to_dir, name);
    FILE *to = fopen(path, "wb");
    assert_true(from && to);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, from)) > 0;) assert_int_equal(fwrite(buffer, 1, n, to), n);
    fclose(from);
    fclose(to);
}

// Lesson L1: the architecture runs with config.json only; lesson L10: the same folder does not run for real.
static void test_dummy_needs_only_the_config(void **state)
{
    (void)state;
    char dir[512], temp[] = "/tmp/landfall-test-XXXXXX", path[600];
    golden_dir(dir, "qwen3_fp8_block");
    assert_non_null(mkdtemp(temp));
    copy_file(dir, temp, "config.json");
    lf_engine *engine = client_open(&(lf_engine_options){.model_dir = temp, .load_format = LF_LOAD_DUMMY, .seed = 5});
    const int32_t prompt[] = {1, 2, 3};
    lf_sampling sampling = client_greedy(20);
    client *c = calloc(1, sizeof *c);
    client_start(c, engine, prompt, 3, &sampling);
    client_wait(c);
    assert_int_equal(c->finish, LF_FINISH_LENGTH);
    assert_int_equal(c->n_token, 20);
    client_release(c);
    free(c);
    json_t *ledger = lf_engine_ledger(engine);
    assert_non_null(ledger);
    json_decref(ledger);
    lf_engine_close(engine);

    lf_engine *none = NULL;
    lf_error err = {0};
    assert_int_not_equal(lf_engine_open(&none, &(lf_engine_options){.model_dir = temp}, &err), LF_OK);
    assert_true(strlen(err.message) > 0);
    snprintf(path, sizeof path, "%s/config.json", temp);
    unlink(path);
    rmdir(temp);
}

static void test_refuses_what_check_refuses(void **state)
{
    (void)state;
    char dir[512], temp[] = "/tmp/landfall-test-XXXXXX", path[600];
    golden_dir(dir, "qwen3_fp8_block");
    assert_non_null(mkdtemp(temp));
    static const char *const files[] = {"config.json", "model.safetensors.index.json",
                                        "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"};
    for (size_t i = 0; i < 4; i++) copy_file(dir, temp, files[i]); // the third shard is missing
    assert_refused((lf_engine_options){0}, temp, LF_ERR_FINDINGS, "model-00003-of-00003.safetensors");
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", temp, files[i]);
        unlink(path);
    }
    rmdir(temp);
    assert_refused((lf_engine_options){0}, "/nonexistent", LF_ERR_NOT_FOUND, "/nonexistent");
}

// Sets every element of a bf16 tensor of DIR/model.safetensors to the largest finite number.
static void blow_up(const char *dir, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    uint64_t header_bytes;
    assert_int_equal(fread(&header_bytes, 1, sizeof header_bytes, file), sizeof header_bytes);
    char *text = malloc(header_bytes);
    assert_int_equal(fread(text, 1, header_bytes, file), header_bytes);
    json_t *header = json_loadb(text, header_bytes, 0, NULL);
    json_t *offsets = json_object_get(json_object_get(header, name), "data_offsets");
    assert_non_null(offsets);
    json_int_t begin = json_integer_value(json_array_get(offsets, 0)),
               end = json_integer_value(json_array_get(offsets, 1));
    assert_int_equal(fseek(file, (long)(8 + header_bytes + (uint64_t)begin), SEEK_SET), 0);
    for (json_int_t i = begin; i < end; i++) fputc(0x7f, file); // 0x7f7f
    assert_int_equal(fclose(file), 0);
    json_decref(header);
    free(text);
}

// Weights that are finite and wrong: the first logits end the request with the reason, and are counted.
static void test_broken_model_says_so(void **state)
{
    (void)state;
    char dir[512], temp[] = "/tmp/landfall-test-XXXXXX", path[600];
    golden_dir(dir, "qwen3_bf16");
    assert_non_null(mkdtemp(temp));
    copy_file(dir, temp, "config.json");
    copy_file(dir, temp, "model.safetensors");
    blow_up(temp, "model.norm.weight");
    lf_engine *engine = client_open(&(lf_engine_options){.model_dir = temp});
    const int32_t prompt[] = {1, 2, 3};
    for (int32_t prompt_logprobs = -1; prompt_logprobs < 1; prompt_logprobs++) {
        lf_sampling sampling = client_greedy(5);
        sampling.prompt_logprobs = prompt_logprobs;
        client *c = calloc(1, sizeof *c);
        client_start(c, engine, prompt, 3, &sampling);
        client_wait(c);
        assert_int_equal(c->finish, LF_FINISH_ERROR);
        assert_int_equal(c->n_token + c->n_prompt_row, 0);
        assert_non_null(strstr(c->error.message, "not finite"));
        client_release(c);
        free(c);
    }
    lf_engine_stats stats;
    lf_engine_stats_read(engine, &stats);
    assert_int_equal(stats.n_finished[LF_FINISH_ERROR], 2);
    assert_true(stats.n_not_finite_row >= 2);
    assert_true(stats.kv_cache_usage == 0);
    lf_engine_close(engine);
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", temp, files[i]);
        unlink(path);
    }
    rmdir(temp);
}

int test_open(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_model_len_follows_memory),
        cmocka_unit_test(test_dummy_needs_only_the_config),
        cmocka_unit_test(test_refuses_what_check_refuses),
        cmocka_unit_test(test_broken_model_says_so),
    };
    return cmocka_run_group_tests_name("engine/open", tests, NULL, NULL);
}
