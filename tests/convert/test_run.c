// SPDX-License-Identifier: Apache-2.0
//
// Whole conversions: every element against the plain computation, what is refused, and the files around the weights.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "tests.h"

static void converts_every_layout(void **state)
{
    static const uint64_t sizes[] = {1, 5000, 305000, 1u << 30};
    static const lf_dequant_rounding roundings[] = {LF_DEQUANT_EXACT, LF_DEQUANT_BF16_SCALE};
    int n_thread = lf_par_threads();
    for (size_t i = 0; i < 16; i++) {
        folder f;
        lf_convert_result result;
        lf_convert_options options = plain_options();
        options.shard_bytes = sizes[i % 4];
        options.rounding = roundings[i / 4 % 2];
        options.verify = i % 2;
        options.sync = i == 6;
        options.copy = i / 8;
        lf_par_set_threads(i % 3 ? 4 : 1);
        folder_make(&f);
        write_mixed_model(f.model, i + 1);
        convert_well(&f, &options, &result);
        assert_converted(&f, &options);
        assert_int_equal(result.n_kept, 0);
        assert_int_equal(result.n_verified, options.verify ? result.n_written : 0);
        assert_int_equal(result.n_copied, options.copy);
        assert_int_equal(result.n_linked, !options.copy);
        folder_remove(&f);
    }
    lf_par_set_threads(n_thread);
}

static void keeps_config_and_index(void **state)
{
    folder f;
    lf_convert_result result;
    lf_convert_options options = plain_options();
    size_t length;
    folder_make(&f);
    write_mixed_model(f.model, 1);
    convert_well(&f, &options, &result);
    char *config = read_bytes(f.out, "config.json", &length);
    assert_string_equal(config,
                        "{\"architectures\":[\"NobodysForCausalLM\"],\"torch_dtype\":\"bfloat16\",\"eps\":1e-06,"
                        "\"last\":[1,{\"dtype\":\"x\"}]}");
    free(config);
    char *index = read_bytes(f.out, "model.safetensors.index.json", &length);
    assert_non_null(strstr(index, "\"maker\": \"test\""));
    assert_null(strstr(index, "scale"));
    free(index);
    folder_remove(&f);
}

static void takes_the_right_files(void **state)
{
    static const char *const taken[] = {"LICENSE", "chat_template.jinja", "modeling_x.py", "vocab.txt", "params.json"};
    static const char *const left[] = {"pytorch_model.bin",    "x.gguf",         "hf_quant_config.json",
                                       "other.safetensors",    ".gitattributes", "pytorch_model.bin.index.json",
                                       "a.landfall-partial.pt"};
    folder f;
    lf_convert_result result;
    lf_convert_options options = plain_options();
    folder_make(&f);
    write_mixed_model(f.model, 1);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(taken); i++) write_text(f.model, taken[i], "{\"quantization\":1,\"x\":2}");
    for (size_t i = 0; i < LF_ARRAY_LENGTH(left); i++) write_text(f.model, left[i], "{}");
    char path[256];
    snprintf(path, sizeof path, "%s/assets", f.model);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/linked.txt", f.model);
    assert_int_equal(symlink("vocab.txt", path), 0);
    snprintf(path, sizeof path, "%s/dangling", f.model);
    assert_int_equal(symlink("nowhere", path), 0);
    snprintf(path, sizeof path, "%s/pipe", f.model);
    assert_int_equal(mkfifo(path, 0666), 0);
    convert_well(&f, &options, &result);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(taken); i++) {
        if (!exists(f.out, taken[i])) fail_msg("%s was not taken over", taken[i]);
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(left); i++) {
        if (exists(f.out, left[i])) fail_msg("%s was taken over", left[i]);
    }
    assert_false(exists(f.out, "assets") || exists(f.out, "dangling") || exists(f.out, "pipe"));
    struct stat info;
    snprintf(path, sizeof path, "%s/linked.txt", f.out);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISREG(info.st_mode)); // the file, not the link
    size_t length;
    char *params = read_bytes(f.out, "params.json", &length);
    assert_string_equal(params, "{\"x\":2}");
    free(params);
    folder_remove(&f);
}

// Mistral's own releases: no config.json, other file names.
static void converts_consolidated(void **state)
{
    folder f;
    maker m = {0};
    const float scale = 0.5f;
    lf_convert_result result;
    lf_convert_options options = plain_options();
    folder_make(&f);
    ADD(&m, 0, "wo.weight", "F8_E4M3", 6, 5);
    add_tensor(&m, 0, "wo.qscale_weight", "F32", &scale, (const int64_t[]){-1});
    add_tensor(&m, 0, "wo.qscale_act", "F32", &scale, (const int64_t[]){-1});
    write_model(&m, f.model, "{}");
    char from[256], to[256];
    snprintf(from, sizeof from, "%s/model-00001-of-00002.safetensors", f.model);
    snprintf(to, sizeof to, "%s/consolidated.safetensors", f.model);
    assert_int_equal(rename(from, to), 0);
    const char *const gone[] = {"model-00002-of-00002.safetensors", "model.safetensors.index.json", "config.json"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(gone); i++) {
        snprintf(from, sizeof from, "%s/%s", f.model, gone[i]);
        assert_int_equal(unlink(from), 0);
    }
    write_text(f.model, "params.json", "{\"dim\": 5, \"quantization\": {\"qformat_weight\": \"fp8_e4m3\"}}");
    convert_well(&f, &options, &result);
    assert_true(exists(f.out, "consolidated.safetensors"));
    assert_false(exists(f.out, "config.json"));
    size_t length;
    char *params = read_bytes(f.out, "params.json", &length);
    assert_string_equal(params, "{\"dim\": 5}");
    free(params);
    folder_remove(&f);
}

static lf_status open_model(const folder *f, lf_findings *findings, lf_error *err)
{
    lf_convert *convert = NULL;
    lf_convert_options options = plain_options();
    lf_status status = lf_convert_open(&convert, f->model, &options, findings, err);
    lf_convert_close(convert);
    return status;
}

/* L4: an unpaired weight is refused before data is read, an unpaired scale as well */
static void refuses_what_does_not_pair(void **state)
{
    for (int i = 0; i < 2; i++) {
        folder f;
        maker m = {0};
        lf_findings findings = LF_FINDINGS_INIT;
        lf_error err = {0};
        folder_make(&f);
        ADD(&m, 0, "a.weight", "F8_E4M3", 4, 4);
        ADD(&m, 1, "a.weight_scale_inv", "F32", 1, 1);
        if (i == 0) ADD(&m, 0, "b.weight", "F8_E4M3", 4, 4);
        if (i == 1) ADD(&m, 0, "b.weight_scale_inv", "F32", 1, 1);
        write_model(&m, f.model, block_config);
        assert_int_equal(open_model(&f, &findings, &err), LF_ERR_FINDINGS);
        assert_int_equal(findings.n_error, 1);
        lf_findings_fini(&findings);
        folder_remove(&f);
    }
}

static void refuses_broken_configs(void **state)
{
    static const char *const configs[] = {"[]", "{", "{\"a\":1,\"a\":2}", "", "\xff"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(configs); i++) {
        folder f;
        lf_findings findings = LF_FINDINGS_INIT;
        lf_error err = {0};
        folder_make(&f);
        write_mixed_model(f.model, 1);
        write_text(f.model, "config.json", configs[i]);
        assert_int_equal(open_model(&f, &findings, &err), LF_ERR_FINDINGS);
        bool is_named = false;
        for (size_t k = 0; k < findings.count; k++) is_named |= strcmp(findings.items[k].code, "config-invalid") == 0;
        assert_true(is_named);
        lf_findings_fini(&findings);
        folder_remove(&f);
    }
}

static void refuses_what_is_not_quantized(void **state)
{
    folder f;
    maker m = {0};
    lf_findings findings = LF_FINDINGS_INIT;
    lf_error err = {0};
    folder_make(&f);
    ADD(&m, 0, "a.weight", "BF16", 4, 4);
    ADD(&m, 1, "b.weight", "F32", 4, 4);
    write_model(&m, f.model, "{}");
    assert_int_equal(open_model(&f, &findings, &err), LF_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "is not quantized"));
    lf_findings_fini(&findings);
    folder_remove(&f);
}

static void stops_at_damaged_data(void **state)
{
    folder f;
    lf_error err = {0};
    lf_convert_result result;
    lf_convert_options options = plain_options();
    folder_make(&f);
    write_mixed_model(f.model, 1);
    maker m = {0};
    uint8_t codes[12] = {0};
    codes[7] = 0x7f;
    const float scale = 1;
    add_tensor(&m, 1, "bad.weight", "F8_E4M3", codes, (const int64_t[]){3, 4, -1});
    add_tensor(&m, 1, "bad.weight_scale_inv", "F32", &scale, (const int64_t[]){1, 1, -1});
    ADD(&m, 0, "good.weight", "BF16", 4);
    write_model(&m, f.model, block_config);
    options.shard_bytes = 8;
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_FORMAT);
    assert_string_equal(err.message, "NaN code in 'bad.weight' at row 1, column 3");
    assert_false(exists(f.out, "config.json") || exists(f.out, "model.safetensors.index.json"));
    assert_false(exists(f.out, "model-00002-of-00002.safetensors"));
    assert_false(exists(f.out, "model-00002-of-00002.safetensors.landfall-partial"));
    folder_remove(&f);
}

static void refuses_to_run_twice_at_once(void **state)
{
    folder f;
    lf_error err = {0};
    lf_convert_result result;
    lf_convert_options options = plain_options();
    folder_make(&f);
    write_mixed_model(f.model, 1);
    mkdir(f.out, 0777);
    int fd = open(f.out, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_IO);
    assert_non_null(strstr(err.message, "another conversion is writing"));
    close(fd);
    convert_well(&f, &options, &result);
    folder_remove(&f);
}

static void writes_through_no_link(void **state)
{
    folder f;
    lf_error err = {0};
    lf_convert_result result;
    lf_convert_options options = plain_options();
    char victim[256], link[256];
    folder_make(&f);
    write_mixed_model(f.model, 1);
    convert_well(&f, &options, &result);
    // A partial name that leads elsewhere is removed, not followed.
    write_text(f.path, "victim", "untouched");
    snprintf(victim, sizeof victim, "%s/victim", f.path);
    snprintf(link, sizeof link, "%s/model-00001-of-00004.safetensors", f.out);
    unlink(link);
    snprintf(link, sizeof link, "%s/model-00001-of-00004.safetensors.landfall-partial", f.out);
    assert_int_equal(symlink(victim, link), 0);
    (void)convert_once(&f, &options, &result, &err);
    size_t length;
    char *text = read_bytes(f.path, "victim", &length);
    assert_string_equal(text, "untouched");
    free(text);
    assert_converted(&f, &options);
    folder_remove(&f);
}

int test_run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_every_layout),         cmocka_unit_test(keeps_config_and_index),
        cmocka_unit_test(takes_the_right_files),         cmocka_unit_test(converts_consolidated),
        cmocka_unit_test(refuses_what_does_not_pair),    cmocka_unit_test(refuses_broken_configs),
        cmocka_unit_test(refuses_what_is_not_quantized), cmocka_unit_test(stops_at_damaged_data),
        cmocka_unit_test(refuses_to_run_twice_at_once),  cmocka_unit_test(writes_through_no_link),
    };
    return cmocka_run_group_tests_name("convert run", tests, NULL, NULL);
}
