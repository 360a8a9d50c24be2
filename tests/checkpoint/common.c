// SPDX-License-Identifier: Apache-2.0
//
// Temporary directories, shards and findings for the tests of this module.
#include <dirent.h>
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
#include "tests.h"

void make_directory(char *path, size_t path_bytes)
{
    const char *parent = getenv("TMPDIR");
    snprintf(path, path_bytes, "%s/landfall-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
}

void remove_directory(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *file = lf_path_join(path, entry->d_name);
        if (entry->d_name[0] != '.') unlink(file);
        free(file);
    }
    closedir(dir);
    assert_int_equal(rmdir(path), 0);
}

void write_file(const char *dir, const char *name, const void *bytes, size_t length)
{
    char *path = lf_path_join(dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
    free(path);
}

void write_shard(const char *dir, const char *name, const char *header, size_t data_bytes)
{
    size_t length = strlen(header), total = 8 + length + data_bytes;
    uint8_t *bytes = calloc(1, total);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++) bytes[8 + length + i] = (uint8_t)i;
    write_file(dir, name, bytes, total);
    free(bytes);
}

const lf_finding *find_code(const lf_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) return &findings->items[i];
    }
    return NULL;
}

void assert_finding(const lf_findings *findings, const char *code, lf_severity severity, const char *subject)
{
    const lf_finding *found = find_code(findings, code);
    if (!found) {
        fail_msg("no finding '%s'; the first is '%s'", code, findings->count ? findings->items[0].code : "none");
        return;
    }
    assert_int_equal(found->severity, severity);
    assert_true(found->message[0] != '\0');
    if (subject) assert_string_equal(found->subject, subject);
}

void assert_no_errors(const lf_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const lf_finding *f = &findings->items[i];
        if (f->severity == LF_SEVERITY_ERROR)
            fail_msg("%s: %s (expected %s, found %s)", f->code, f->message, f->expected, f->found);
    }
    assert_int_equal(findings->n_error, 0);
}
