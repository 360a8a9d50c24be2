// SPDX-License-Identifier: Apache-2.0
//
// Whole directories: which files are taken, how index and shards are joined (section 8 of the catalog, cases 15 to 23),
// the golden checkpoints.
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
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "tests.h"

#define U8(name, begin, end, n)                                                                                        \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":[" #n "],\"data_offsets\":[" #begin "," #end "]}"

typedef struct fixture {
    char dir[256];
    lf_checkpoint *checkpoint;
    lf_findings findings;
    lf_error err;
    lf_status status;
} fixture;

static void begin(fixture *f)
{
    *f = (fixture){0};
    make_directory(f->dir, sizeof f->dir);
}

static void open_it(fixture *f) { f->status = lf_checkpoint_open(&f->checkpoint, f->dir, &f->findings, &f->err); }

static void end(fixture *f)
{
    lf_checkpoint_close(f->checkpoint);
    lf_findings_fini(&f->findings);
    remove_directory(f->dir);
}

static void write_text(const fixture *f, const char *name, const char *text)
{
    write_file(f->dir, name, text, strlen(text));
}

static void opens_a_single_file(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "model.safetensors", "{" U8("b", 0, 3, 3) "," U8("a", 3, 5, 2) "}", 5);
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_int_equal(f.findings.count, 0);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 2);
    const lf_stored_tensor *a = lf_checkpoint_find(f.checkpoint, "a");
    assert_ptr_equal(a, lf_checkpoint_tensor(f.checkpoint, 0));
    assert_int_equal(a->bytes, 2);
    assert_int_equal(a->data[0], 3);
    assert_int_equal(a->data[1], 4);
    assert_null(lf_checkpoint_find(f.checkpoint, "c"));
    assert_null(lf_checkpoint_find(f.checkpoint, ""));
    assert_int_equal(lf_checkpoint_bytes(f.checkpoint), 5);
    assert_int_equal(lf_checkpoint_n_shard(f.checkpoint), 1);
    const lf_shard *shard = lf_checkpoint_shard(f.checkpoint, 0);
    assert_string_equal(shard->file_name, "model.safetensors");
    assert_int_equal(shard->file_bytes, 8 + shard->header_bytes + 5);
    assert_int_equal(shard->header[0], '{');
    assert_string_equal(lf_checkpoint_dir(f.checkpoint), f.dir);
    lf_checkpoint_prefetch(f.checkpoint, a);
    char text[64];
    lf_stored_tensor_format(a, text, sizeof text);
    assert_string_equal(text, "[2] U8");
    for (size_t n = 0; n < 8; n++) { // any buffer size
        memset(text, 'x', sizeof text);
        lf_stored_tensor_format(a, text, n);
        assert_int_equal(text[n], 'x');
    }
    end(&f);
}

static void joins_index_and_shards(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "x-1.safetensors", "{" U8("a", 0, 1, 1) "," U8("c", 1, 2, 1) "}", 2);
    write_shard(f.dir, "x-2.safetensors", "{" U8("b", 0, 1, 1) "}", 1);
    write_text(&f, "model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":3},\"weight_map\":{\"a\":\"x-1.safetensors\",\"b\":\"x-2.safetensors\","
               "\"c\":\"x-1.safetensors\"}}");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_int_equal(f.findings.count, 0);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 3);
    assert_int_equal(lf_checkpoint_find(f.checkpoint, "b")->shard, 1);
    end(&f);
}

static void reports_disagreement_of_index_and_shards(void **state)
{
    fixture f;
    begin(&f);
    // a: only where it is mapped; b: in both, mapped to 2; c: mapped to 2 but in 1; d: in no shard; e, e.weight_scale:
    // in no index
    write_shard(f.dir, "x-1.safetensors",
                "{" U8("a", 0, 1, 1) "," U8("b", 1, 2, 1) "," U8("c", 2, 3, 1) "," U8("e", 3, 4, 1) "," U8(
                    "e.weight_scale", 4, 5, 1) "}",
                5);
    write_shard(f.dir, "x-2.safetensors", "{" U8("b", 0, 2, 2) "}", 2);
    write_text(&f, "model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":99},\"weight_map\":{\"a\":\"x-1.safetensors\",\"b\":\"x-2.safetensors\","
               "\"c\":\"x-2.safetensors\",\"d\":\"x-1.safetensors\"}}");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "tensor-elsewhere", LF_SEVERITY_WARNING, "b");
    assert_finding(&f.findings, "tensor-misplaced", LF_SEVERITY_ERROR, "c");
    assert_finding(&f.findings, "tensor-missing", LF_SEVERITY_ERROR, "d");
    assert_finding(&f.findings, "tensor-not-in-index", LF_SEVERITY_WARNING, "e");
    assert_int_equal(f.findings.n_error, 3); // c, d, and the scale that the index forgets
    assert_int_equal(f.findings.n_warning, 2);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 2);
    assert_int_equal(lf_checkpoint_find(f.checkpoint, "b")->bytes, 2);
    end(&f);
}

static void tolerates_a_wrong_total_size(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "x.safetensors", "{" U8("a", 0, 1, 1) "}", 1);
    write_text(&f, "model.safetensors.index.json",
               "{\"metadata\":{\"total_size\":7},\"weight_map\":{\"a\":\"x.safetensors\"}}");
    open_it(&f);
    assert_finding(&f.findings, "index-total-size", LF_SEVERITY_NOTE, NULL);
    assert_int_equal(f.findings.n_error + f.findings.n_warning, 0);
    end(&f);
}

static void keeps_checking_after_bad_shards(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "x-1.safetensors", "{" U8("a", 0, 9, 9) "}", 4); // truncated
    write_shard(f.dir, "x-2.safetensors", "{" U8("b", 0, 1, 1) "}", 1);
    write_text(&f, "x-3.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    write_text(&f, "model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"x-1.safetensors\",\"b\":\"x-2.safetensors\",\"c\":\"x-3.safetensors\",\"d\":"
               "\"x-4.safetensors\"}}");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "data-truncated", LF_SEVERITY_ERROR, "x-1.safetensors");
    assert_finding(&f.findings, "lfs-pointer", LF_SEVERITY_ERROR, "x-3.safetensors");
    assert_finding(&f.findings, "shard-missing", LF_SEVERITY_ERROR, "x-4.safetensors");
    assert_int_equal(f.findings.n_error, 3); // their tensors are not reported one by one
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 1);
    assert_true(lf_checkpoint_shard(f.checkpoint, 0)->is_refused);
    assert_false(lf_checkpoint_shard(f.checkpoint, 1)->is_refused);
    const lf_finding *truncated = find_code(&f.findings, "data-truncated");
    assert_non_null(strstr(truncated->expected, "bytes"));
    assert_non_null(strstr(truncated->found, "bytes"));
    end(&f);
}

static void names_a_shard_of_another_checkpoint(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "x-1.safetensors", "{" U8("a", 0, 1, 1) "," U8("b", 1, 2, 1) "}", 2);
    write_shard(f.dir, "x-2.safetensors",
                "{" U8("p", 0, 1, 1) "," U8("q", 1, 2, 1) "," U8("q.weight_scale", 2, 3, 1) "}", 3);
    write_text(&f, "model.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"x-1.safetensors\",\"b\":\"x-1.safetensors\",\"c\":\"x-2.safetensors\",\"d\":"
               "\"x-2.safetensors\"}}");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "shard-foreign", LF_SEVERITY_ERROR, "x-2.safetensors");
    assert_int_equal(f.findings.count, 1); // told once, not tensor by tensor
    assert_non_null(strstr(f.findings.items[0].found, "3 others"));
    assert_true(lf_checkpoint_shard(f.checkpoint, 1)->is_refused);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 2);
    end(&f);
}

static void link_to(const fixture *f, const char *target, const char *name)
{
    char *path = lf_path_join(f->dir, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

// A hub cache: the shards are links to blobs. One whose blob is missing is named as such.
static void follows_links(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "blob", "{" U8("a", 0, 1, 1) "}", 1);
    link_to(&f, "blob", "x-1.safetensors");
    write_text(&f, "index-blob", "{\"weight_map\":{\"a\":\"x-1.safetensors\"}}");
    link_to(&f, "index-blob", "model.safetensors.index.json");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_int_equal(f.findings.count, 0);
    assert_non_null(lf_checkpoint_find(f.checkpoint, "a"));
    lf_checkpoint_close(f.checkpoint);

    link_to(&f, "no-such-blob", "x-2.safetensors");
    write_text(&f, "index-blob", "{\"weight_map\":{\"a\":\"x-1.safetensors\",\"b\":\"x-2.safetensors\"}}");
    open_it(&f);
    assert_finding(&f.findings, "shard-missing", LF_SEVERITY_ERROR, "x-2.safetensors");
    assert_non_null(strstr(f.findings.items[0].message, "link"));
    end(&f);
}

static void names_a_pointer_in_place_of_the_index(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "model-1.safetensors", "{" U8("a", 0, 1, 1) "}", 1);
    write_text(&f, "model.safetensors.index.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "lfs-pointer", LF_SEVERITY_ERROR, "model.safetensors.index.json");
    assert_int_equal(f.findings.n_error, 1);
    end(&f);
}

static void takes_one_file_set(void **state)
{
    fixture f;
    begin(&f);
    write_shard(f.dir, "model.safetensors", "{" U8("a", 0, 1, 1) "}", 1);
    write_shard(f.dir, "consolidated.safetensors", "{" U8("z", 0, 1, 1) "}", 1);
    open_it(&f);
    assert_finding(&f.findings, "file-unused", LF_SEVERITY_NOTE, "consolidated.safetensors");
    assert_int_equal(f.findings.n_error, 0);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 1);
    end(&f);

    begin(&f);
    write_shard(f.dir, "consolidated.safetensors", "{" U8("z", 0, 1, 1) "}", 1);
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_int_equal(f.findings.count, 0);
    assert_non_null(lf_checkpoint_find(f.checkpoint, "z"));
    end(&f);

    begin(&f); // shards without the index: an error, and duplicates across them another
    write_shard(f.dir, "model-00001-of-00002.safetensors", "{" U8("a", 0, 1, 1) "}", 1);
    write_shard(f.dir, "model-00002-of-00002.safetensors", "{" U8("a", 0, 1, 1) "," U8("b", 1, 2, 1) "}", 2);
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "index-missing", LF_SEVERITY_ERROR, NULL);
    assert_finding(&f.findings, "duplicate-tensor", LF_SEVERITY_ERROR, "a");
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 2);
    end(&f);

    begin(&f); // a broken index: the shards are still looked at
    write_shard(f.dir, "model-00001-of-00001.safetensors", "{" U8("a", 0, 2, 2) "}", 1);
    write_text(&f, "model.safetensors.index.json", "{");
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "index-json", LF_SEVERITY_ERROR, NULL);
    assert_finding(&f.findings, "data-truncated", LF_SEVERITY_ERROR, NULL);
    end(&f);
}

static void fails_when_there_is_nothing(void **state)
{
    fixture f;
    begin(&f);
    open_it(&f);
    assert_int_equal(f.status, LF_ERR_NOT_FOUND);
    assert_null(f.checkpoint);
    write_text(&f, "model.gguf", "GGUF");
    open_it(&f);
    assert_int_equal(f.status, LF_ERR_NOT_FOUND);
    assert_non_null(strstr(f.err.found, "model.gguf"));
    end(&f);
    lf_findings findings = LF_FINDINGS_INIT;
    lf_checkpoint *checkpoint;
    assert_int_equal(lf_checkpoint_open(&checkpoint, "/nonexistent/landfall", &findings, &f.err), LF_ERR_NOT_FOUND);
    assert_int_equal(lf_checkpoint_open(&checkpoint, "/etc/passwd", &findings, &f.err), LF_ERR_NOT_FOUND);
    lf_findings_fini(&findings);
}

static void opens_empty_files(void **state)
{
    fixture f;
    begin(&f);
    write_file(f.dir, "model.safetensors", "", 0);
    open_it(&f);
    assert_int_equal(f.status, LF_OK);
    assert_finding(&f.findings, "header-too-small", LF_SEVERITY_ERROR, NULL);
    assert_int_equal(lf_checkpoint_count(f.checkpoint), 0);
    end(&f);
}

static void opens_the_golden_checkpoints(void **state)
{
    static const char *const names[] = {"llama_bf16_bias_tied",    "llama_fp8_block_f16",   "llama_fp8_e5m2",
                                        "llama_fp8_tensor_static", "qwen2_fp8_block",       "qwen3_bf16",
                                        "qwen3_fp8_block",         "qwen3_fp8_block_32x48", "qwen3_fp8_block_e8m0",
                                        "qwen3_fp8_channel_ct"};
    const char *golden = getenv("LF_TEST_GOLDEN");
    assert_non_null(golden);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(names); i++) {
        char dir[512];
        lf_checkpoint *checkpoint;
        lf_findings findings = LF_FINDINGS_INIT;
        lf_error err;
        snprintf(dir, sizeof dir, "%s/%s/checkpoint", golden, names[i]);
        assert_int_equal(lf_checkpoint_open(&checkpoint, dir, &findings, &err), LF_OK);
        assert_int_equal(findings.count, 0);
        size_t n = lf_checkpoint_count(checkpoint);
        assert_true(n > 20);
        for (size_t k = 0; k < n; k++) {
            const lf_stored_tensor *tensor = lf_checkpoint_tensor(checkpoint, k);
            assert_ptr_equal(lf_checkpoint_find(checkpoint, tensor->name), tensor);
            if (k) assert_true(strcmp(lf_checkpoint_tensor(checkpoint, k - 1)->name, tensor->name) < 0);
        }
        lf_checkpoint_close(checkpoint);
        lf_findings_fini(&findings);
    }
}

int test_directory(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_a_single_file),
        cmocka_unit_test(joins_index_and_shards),
        cmocka_unit_test(reports_disagreement_of_index_and_shards),
        cmocka_unit_test(tolerates_a_wrong_total_size),
        cmocka_unit_test(keeps_checking_after_bad_shards),
        cmocka_unit_test(names_a_shard_of_another_checkpoint),
        cmocka_unit_test(follows_links),
        cmocka_unit_test(names_a_pointer_in_place_of_the_index),
        cmocka_unit_test(takes_one_file_set),
        cmocka_unit_test(fails_when_there_is_nothing),
        cmocka_unit_test(opens_empty_files),
        cmocka_unit_test(opens_the_golden_checkpoints),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
