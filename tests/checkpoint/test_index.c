// SPDX-License-Identifier: Apache-2.0
//
// The index reader: entries in order, file names that may not leave the directory, duplicates, malformed JSON.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"
#include "tests.h"

typedef struct fixture {
    lf__index index;
    lf__arena arena;
    lf_findings findings;
} fixture;

static bool read_index(fixture *f, const char *text)
{
    *f = (fixture){0};
    return lf__index_read(&f->index, &f->arena, text, strlen(text), "index.json", &f->findings);
}

static void release(fixture *f)
{
    lf__index_fini(&f->index);
    lf__arena_fini(&f->arena);
    lf_findings_fini(&f->findings);
}

static void reads_entries_in_order(void **state)
{
    fixture f;
    assert_true(read_index(&f,
                           "{\"metadata\":{\"total_size\":12,\"x\":[1]},\"weight_map\":{\"b\":\"2.safetensors\","
                           "\"\\u0061\":\"1.safetensors\",\"c\":\"2.safetensors\",\"d\":\"1.safetensors\"},\"y\":{}}"));
    assert_int_equal(f.findings.count, 0);
    assert_int_equal(f.index.count, 4);
    assert_int_equal(f.index.n_file, 2);
    assert_string_equal(f.index.files[0], "1.safetensors");
    assert_string_equal(f.index.files[1], "2.safetensors");
    const struct {
        const char *name;
        uint32_t file;
    } expected[] = {{"a", 0}, {"b", 1}, {"c", 1}, {"d", 0}};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(f.index.entries[i].name, expected[i].name);
        assert_int_equal(f.index.entries[i].file, expected[i].file);
    }
    assert_true(f.index.has_total_size);
    assert_int_equal(f.index.total_size, 12);
    release(&f);
}

static void refuses_paths_that_escape(void **state)
{
    static const char *const paths[] = {"../x.safetensors",
                                        "/etc/x.safetensors",
                                        "a/x.safetensors",
                                        "..\\\\x.safetensors",
                                        "x.bin",
                                        "",
                                        ".safetensors",
                                        "..safetensors",
                                        "a\\u0000.safetensors",
                                        "a\\n.safetensors",
                                        "x.safetensors.tmp",
                                        "./x.safetensors",
                                        ".hidden.safetensors"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(paths); i++) {
        char text[256];
        fixture f;
        snprintf(text, sizeof text, "{\"weight_map\":{\"ok\":\"m.safetensors\",\"a\":\"%s\"}}", paths[i]);
        assert_true(read_index(&f, text));
        assert_finding(&f.findings, "index-path", LF_SEVERITY_ERROR, "index.json");
        assert_int_equal(f.index.count, 1);
        assert_int_equal(f.index.n_file, 1);
        release(&f);
    }
}

static void reports_bad_entries(void **state)
{
    fixture f;
    assert_true(
        read_index(&f, "{\"weight_map\":{\"a\":1,\"b\":null,\"c\":[\"x.safetensors\"],\"d\\u0000\":\"x.safetensors\","
                       "\"e\":\"x.safetensors\"}}"));
    assert_int_equal(f.findings.n_error, 4);
    assert_finding(&f.findings, "index-entry", LF_SEVERITY_ERROR, NULL);
    assert_int_equal(f.index.count, 1);
    release(&f);

    assert_true(
        read_index(&f, "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\",\"a\":\"y.safetensors\"}}"));
    assert_finding(&f.findings, "index-duplicate", LF_SEVERITY_ERROR, NULL);
    assert_int_equal(f.index.count, 2);
    release(&f);
}

static void refuses_what_is_no_index(void **state)
{
    static const char *const texts[] = {"",
                                        "{}",
                                        "[]",
                                        "{\"weight_map\":[]}",
                                        "{\"weight_map\":{}",
                                        "null",
                                        "{\"weight_map\":{}}x",
                                        "{\"weight_map\":{\"a\"}}",
                                        "{\"weight_map\":{},\"weight_map\":{}}",
                                        "\xff",
                                        "version https://git-lfs.github.com/spec/v1"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(texts); i++) {
        fixture f;
        assert_false(read_index(&f, texts[i]));
        assert_finding(&f.findings, "index-json", LF_SEVERITY_ERROR, "index.json");
        release(&f);
    }
    fixture f;
    assert_true(read_index(&f, "{\"weight_map\":{}}"));
    assert_int_equal(f.index.count, 0);
    release(&f);
}

static void ignores_odd_total_sizes(void **state)
{
    static const char *const sizes[] = {"-1", "1.5", "\"12\"", "null", "99999999999999999999", "{}"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(sizes); i++) {
        char text[128];
        fixture f;
        snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":%s},\"weight_map\":{}}", sizes[i]);
        assert_true(read_index(&f, text));
        assert_false(f.index.has_total_size);
        release(&f);
    }
}

// The file of an entry is compared with the text of the one before, which must not let malformed text through.
static void reads_repeated_files(void **state)
{
    fixture f;
    assert_true(read_index(&f, "{\"weight_map\":{\"a\":\"x\\\"y.safetensors\",\"b\":\"x\\\"y.safetensors\",\"c\":"
                               "\"\\u0078\\\"y.safetensors\",\"d\":\"z.safetensors\",\"e\":\"z.safetensors\",\"f\":"
                               "\"z.safetensorsX.safetensors\"}}"));
    const uint32_t expected[] = {0, 0, 0, 1, 1, 2};
    assert_int_equal(f.index.n_file, 3);
    assert_int_equal(f.index.count, 6);
    for (size_t i = 0; i < 6; i++) assert_int_equal(f.index.entries[i].file, expected[i]);
    release(&f);

    static const char *const malformed[] = {
        "{\"weight_map\":{\"a\":\"x\\\"y.safetensors\",\"b\":\"x\"y.safetensors\"}}",
        "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors",
        "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x.safetensors\"",
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(malformed); i++) {
        assert_false(read_index(&f, malformed[i]));
        assert_finding(&f.findings, "index-json", LF_SEVERITY_ERROR, NULL);
        release(&f);
    }
}

static void bounds_the_number_of_files(void **state)
{
    lf_buf text = LF_BUF_INIT;
    fixture f;
    lf_buf_puts(&text, "{\"weight_map\":{");
    for (int i = 0; i <= LF__MAX_SHARDS; i++)
        lf_buf_printf(&text, "%s\"%d\":\"%d.safetensors\"", i ? "," : "", i, (i * 7919) % (LF__MAX_SHARDS + 1));
    lf_buf_puts(&text, "}}");
    assert_false(read_index(&f, lf_buf_text(&text)));
    assert_finding(&f.findings, "index-too-many-shards", LF_SEVERITY_ERROR, NULL);
    release(&f);
    lf_buf_fini(&text);
}

int test_index(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_entries_in_order),     cmocka_unit_test(refuses_paths_that_escape),
        cmocka_unit_test(reports_bad_entries),        cmocka_unit_test(refuses_what_is_no_index),
        cmocka_unit_test(reads_repeated_files),       cmocka_unit_test(ignores_odd_total_sizes),
        cmocka_unit_test(bounds_the_number_of_files),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
