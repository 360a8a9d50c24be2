// SPDX-License-Identifier: Apache-2.0
//
// Going on with what is there: what is kept, what is written anew, what is refused.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

static const char shard_1[] = "model-00001-of-00004.safetensors", shard_3[] = "model-00003-of-00004.safetensors";

static void path_in(char path[256], const char *dir, const char *name) { snprintf(path, 256, "%s/%s", dir, name); }

static void set_time(const char *dir, const char *name, time_t seconds)
{
    char path[256];
    path_in(path, dir, name);
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void change_byte(const char *dir, const char *name, long off_from_end)
{
    char path[256];
    struct stat info;
    path_in(path, dir, name);
    assert_int_equal(stat(path, &info), 0);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, info.st_size - off_from_end), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, info.st_size - off_from_end), 1);
    close(fd);
    const struct timespec times[2] = {info.st_atim, info.st_mtim}; // nothing but the data tells
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

// A conversion of four shards that was stopped after `n_done` of them, as the journal of that moment says.
static void stop_after(const folder *f, const lf_convert_options *options, size_t n_done)
{
    lf_convert_result result;
    lf__journal journal;
    lf_error err = {0};
    lf__output output;
    convert_well(f, options, &result);
    assert_int_equal(result.n_written, 4);
    assert_int_equal(lf__output_open(&output, f->model, f->out, false, &err), LF_OK);
    assert_int_equal(lf__journal_load(&journal, &output, &err), LF_OK);
    lf_checkpoint *checkpoint;
    lf_findings findings = LF_FINDINGS_INIT;
    assert_int_equal(lf_checkpoint_open(&checkpoint, f->model, &findings, &err), LF_OK);
    assert_int_equal(lf__source_stamp(journal.stamp, checkpoint, &err), LF_OK);
    journal.is_complete = false;
    for (size_t i = 0; i < journal.n_shard; i++) {
        struct stat info;
        journal.shards[i].is_done = i < n_done;
        assert_int_equal(fstatat(output.fd, journal.shards[i].name, &info, 0), 0);
        journal.shards[i].modified_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
        if (i >= n_done) unlinkat(output.fd, journal.shards[i].name, 0);
    }
    assert_int_equal(lf__journal_store(&journal, &output, NULL, NULL, 0, &err), LF_OK);
    unlinkat(output.fd, "config.json", 0);
    unlinkat(output.fd, "model.safetensors.index.json", 0);
    lf__output_put(&output, "unrelated", "x", 1, &err); // in a directory of ours anything may lie
    lf__output_remove(&output, "unrelated", &err);
    lf_checkpoint_close(checkpoint);
    lf_findings_fini(&findings);
    lf__journal_fini(&journal);
    lf__output_close(&output);
}

static void begin(folder *f, const lf_convert_options *options, size_t n_done)
{
    folder_make(f);
    write_mixed_model(f->model, 1);
    stop_after(f, options, n_done);
}

static void keeps_what_is_finished(void **state)
{
    lf_convert_options options = plain_options();
    for (size_t n_done = 0; n_done <= 4; n_done++) {
        folder f;
        lf_convert_result result;
        begin(&f, &options, n_done);
        write_text(f.out, "model-00004-of-00004.safetensors.landfall-partial", "half of it");
        convert_well(&f, &options, &result);
        assert_int_equal(result.n_kept, n_done);
        assert_int_equal(result.n_written, 4 - n_done);
        assert_false(result.was_complete);
        assert_converted(&f, &options);
        convert_well(&f, &options, &result);
        assert_true(result.was_complete);
        assert_int_equal(result.n_written, 0);
        folder_remove(&f);
    }
}

static void writes_changed_shards_anew(void **state)
{
    lf_convert_options options = plain_options();
    folder f;
    lf_convert_result result;
    char path[256];
    begin(&f, &options, 3);
    set_time(f.out, shard_1, 1000);
    path_in(path, f.out, shard_3);
    assert_int_equal(truncate(path, 100), 0);
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_kept, 1);
    assert_int_equal(result.n_written, 3);
    assert_converted(&f, &options);
    // In a complete directory times do not count: it may have been copied. A missing or resized shard does.
    set_time(f.out, shard_1, 1000);
    convert_well(&f, &options, &result);
    assert_true(result.was_complete);
    path_in(path, f.out, shard_3);
    assert_int_equal(unlink(path), 0);
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_written, 1);
    assert_converted(&f, &options);
    folder_remove(&f);
}

static void lets_the_user_edit(void **state)
{
    lf_convert_options options = plain_options();
    folder f;
    lf_convert_result result;
    begin(&f, &options, 0);
    convert_well(&f, &options, &result);
    write_text(f.out, "config.json", "{\"edited\":true}");
    options.verify = true;
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_verified, 4);
    size_t length;
    char *config = read_bytes(f.out, "config.json", &length);
    assert_string_equal(config, "{\"edited\":true}");
    free(config);
    char *manifest = read_bytes(f.out, LF_CONVERT_MANIFEST, &length);
    assert_null(strstr(manifest, "\"sha256\": null"));
    assert_non_null(strstr(manifest, "{\"name\": \"tokenizer.json\", \"how\": \"linked\", "));
    free(manifest);
    folder_remove(&f);
}

static void finds_what_changed_on_the_disk(void **state)
{
    lf_convert_options options = plain_options();
    folder f;
    lf_convert_result result;
    lf_error err = {0};
    begin(&f, &options, 0);
    convert_well(&f, &options, &result);
    change_byte(f.out, shard_3, 10);
    convert_well(&f, &options, &result); // not looked at
    assert_true(result.was_complete);
    options.verify = true;
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_IO);
    assert_string_equal(err.subject, shard_3);
    assert_non_null(strstr(err.message, "is not what was written"));
    assert_false(exists(f.out, shard_3) || exists(f.out, "config.json"));
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_written, 1);
    assert_int_equal(result.n_verified, 4);
    assert_converted(&f, &options);
    folder_remove(&f);
}

static void refuses_another_source(void **state)
{
    lf_convert_options options = plain_options();
    folder f;
    lf_convert_result result;
    lf_error err = {0};
    begin(&f, &options, 2);
    write_mixed_model(f.model, 2); // the same headers and sizes, other values: a fine-tune
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_USAGE);
    assert_non_null(strstr(err.message, "of another checkpoint"));
    write_mixed_model(f.model, 1);
    write_text(f.model, "config.json",
               "{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[128,128]}}");
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_USAGE);
    write_mixed_model(f.model, 1);
    convert_well(&f, &options, &result);
    assert_converted(&f, &options);
    folder_remove(&f);
}

// One byte that no sample holds: the stamp tells that a file was touched, the comparison finds the shard.
static void compares_after_a_touch(void **state)
{
    lf_convert_options options = plain_options();
    folder f;
    lf_convert_result result;
    begin(&f, &options, 3);
    set_time(f.model, "model-00001-of-00002.safetensors", 1000);
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_kept, 3);
    assert_converted(&f, &options);

    folder_remove(&f);
    begin(&f, &options, 3);
    change_byte(f.model, "model-00001-of-00002.safetensors", 20000); // between two samples of this file
    set_time(f.model, "model-00001-of-00002.safetensors", 1000);
    convert_well(&f, &options, &result);
    assert_int_equal(result.n_kept, 2);
    assert_int_equal(result.n_written, 2);
    assert_converted(&f, &options);
    folder_remove(&f);
}

static void refuses_other_options(void **state)
{
    folder f;
    lf_convert_result result;
    lf_error err = {0};
    lf_convert_options options = plain_options(), other = options;
    begin(&f, &options, 2);
    other.rounding = LF_DEQUANT_BF16_SCALE;
    assert_int_equal(convert_once(&f, &other, &result, &err), LF_ERR_USAGE);
    assert_non_null(strstr(err.message, "--dequant-rounding"));
    other = options;
    other.shard_bytes++;
    assert_int_equal(convert_once(&f, &other, &result, &err), LF_ERR_USAGE);
    assert_non_null(strstr(err.message, "--shard-size"));
    other = options;
    other.copy = other.sync = other.verify = true; // these do not decide what is written
    convert_well(&f, &other, &result);
    assert_int_equal(result.n_kept, 2);
    assert_converted(&f, &options);
    folder_remove(&f);
}

static void refuses_foreign_directories(void **state)
{
    folder f;
    lf_convert_result result;
    lf_error err = {0};
    lf_convert_options options = plain_options();
    folder_make(&f);
    write_mixed_model(f.model, 1);
    assert_int_equal(mkdir(f.out, 0777), 0);
    write_text(f.out, "x.landfall-partial", "stale");
    convert_well(&f, &options, &result); // nothing but what a killed run leaves
    folder_remove(&f);

    folder_make(&f);
    write_mixed_model(f.model, 1);
    assert_int_equal(mkdir(f.out, 0777), 0);
    write_text(f.out, "config.json", "{}");
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_USAGE);
    assert_string_equal(err.found, "config.json");
    write_text(f.out, LF_CONVERT_MANIFEST, "{\"format\":\"landfall-convert\"}");
    assert_int_equal(convert_once(&f, &options, &result, &err), LF_ERR_FORMAT);
    size_t length;
    char *config = read_bytes(f.out, "config.json", &length);
    assert_string_equal(config, "{}");
    free(config);
    folder_remove(&f);
}

int test_resume(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_finished), cmocka_unit_test(writes_changed_shards_anew),
        cmocka_unit_test(lets_the_user_edit),     cmocka_unit_test(finds_what_changed_on_the_disk),
        cmocka_unit_test(refuses_another_source), cmocka_unit_test(compares_after_a_touch),
        cmocka_unit_test(refuses_other_options),  cmocka_unit_test(refuses_foreign_directories),
    };
    return cmocka_run_group_tests_name("convert resume", tests, NULL, NULL);
}
