// SPDX-License-Identifier: Apache-2.0
//
// Files: limits on reading, and outputs that appear complete or not at all, also when the disk is full.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests.h"

static char folder[64], path[128];

static int make_folder(void **state)
{
    strcpy(folder, "/tmp/landfall-file-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/out", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static size_t count_entries(void)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) n += entry->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void writes_and_reads_back(void **state)
{
    lf_error err;
    char *text;
    size_t length;
    assert_int_equal(lf_file_write(path, "a\0b", 3, &err), LF_OK);
    assert_int_equal(lf_file_read(&text, &length, path, 3, &err), LF_OK);
    assert_int_equal(length, 3);
    assert_memory_equal(text, "a\0b", 4);
    free(text);
    assert_int_equal(lf_file_read(&text, &length, path, 2, &err), LF_ERR_LIMIT);
    assert_int_equal(count_entries(), 1);
}

static void nothing_appears_before_commit(void **state)
{
    lf_error err;
    lf_atomic_file file;
    struct stat info;
    unlink(path);
    assert_int_equal(lf_atomic_file_open(&file, path, &err), LF_OK);
    fputs("half", file.stream);
    fflush(file.stream);
    assert_int_equal(stat(path, &info), -1);
    lf_atomic_file_abort(&file);
    assert_int_equal(count_entries(), 0);
    lf_atomic_file_abort(&file); // accepts a closed object
}

static void abort_keeps_the_old_content(void **state)
{
    lf_error err;
    lf_atomic_file file;
    char *text;
    size_t length;
    assert_int_equal(lf_file_write(path, "old", 3, &err), LF_OK);
    assert_int_equal(lf_atomic_file_open(&file, path, &err), LF_OK);
    fputs("new and longer", file.stream);
    lf_atomic_file_abort(&file);
    assert_int_equal(lf_file_read(&text, &length, path, 100, &err), LF_OK);
    assert_string_equal(text, "old");
    free(text);
    assert_int_equal(lf_atomic_file_open(&file, path, &err), LF_OK);
    fputs("new", file.stream);
    assert_int_equal(lf_atomic_file_commit(&file, &err), LF_OK);
    assert_int_equal(lf_file_read(&text, &length, path, 100, &err), LF_OK);
    assert_string_equal(text, "new");
    free(text);
    assert_int_equal(count_entries(), 1);
}

static void full_disk_is_said(void **state)
{
    if (access("/dev/full", W_OK) != 0) {
        print_message("no /dev/full here\n");
        skip();
    }
    lf_error err;
    lf_atomic_file file;
    assert_int_equal(lf_file_write(path, "old", 3, &err), LF_OK);
    assert_int_equal(lf_atomic_file_open(&file, path, &err), LF_OK);
    assert_non_null(freopen("/dev/full", "w", file.stream));
    fputs("lost", file.stream);
    assert_int_equal(lf_atomic_file_commit(&file, &err), LF_ERR_NO_SPACE);
    assert_non_null(strstr(err.message, "No space left"));
    assert_int_equal(count_entries(), 1);
}

static void refuses_what_is_no_file(void **state)
{
    lf_error err;
    char *text;
    size_t length;
    lf_mapping mapping;
    assert_int_equal(lf_file_read(&text, &length, folder, 100, &err), LF_ERR_IO);
    assert_non_null(strstr(err.message, "not a regular file"));
    assert_int_equal(lf_file_read(&text, &length, "/nonexistent/x", 100, &err), LF_ERR_NOT_FOUND);
    assert_int_equal(lf_mapping_open(&mapping, "/dev/null", &err), LF_ERR_IO);
    assert_int_equal(mapping.fd, -1);
    assert_int_equal(lf_file_write("/nonexistent/x", "", 0, &err), LF_ERR_NOT_FOUND);
}

static void maps_files(void **state)
{
    lf_error err;
    lf_mapping mapping;
    assert_int_equal(lf_file_write(path, "map", 3, &err), LF_OK);
    assert_int_equal(lf_mapping_open(&mapping, path, &err), LF_OK);
    assert_int_equal(mapping.bytes, 3);
    assert_memory_equal(mapping.data, "map", 3);
    lf_mapping_close(&mapping);
    lf_mapping_close(&mapping);
    assert_int_equal(lf_file_write(path, "", 0, &err), LF_OK);
    assert_int_equal(lf_mapping_open(&mapping, path, &err), LF_OK);
    assert_null(mapping.data);
    lf_mapping_close(&mapping);
}

static void joins_paths(void **state)
{
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "/b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *joined = lf_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        free(joined);
    }
}

int test_file(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads_back),
        cmocka_unit_test(nothing_appears_before_commit),
        cmocka_unit_test(abort_keeps_the_old_content),
        cmocka_unit_test(full_disk_is_said),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(maps_files),
        cmocka_unit_test(joins_paths),
    };
    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
