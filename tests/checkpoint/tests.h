// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests, and what they share: temporary directories with shards written from JSON text.
#ifndef LF_TESTS_CHECKPOINT_H
#define LF_TESTS_CHECKPOINT_H

#include <stddef.h>

#include "base/finding.h"

int test_names(void);
int test_safetensors(void);
int test_index(void);
int test_directory(void);

// A new empty directory under $TMPDIR or /tmp; remove_directory() deletes it with its files.
void make_directory(char *path, size_t path_bytes);
void remove_directory(const char *path);
void write_file(const char *dir, const char *name, const void *bytes, size_t length);
// A shard with this header and `data_bytes` bytes 0, 1, 2 ... of data.
void write_shard(const char *dir, const char *name, const char *header, size_t data_bytes);

// The first finding with this code, NULL when there is none.
const lf_finding *find_code(const lf_findings *findings, const char *code);
// Fails unless there is a finding with this code and severity about `subject` (NULL: any).
void assert_finding(const lf_findings *findings, const char *code, lf_severity severity, const char *subject);
void assert_no_errors(const lf_findings *findings);

#endif
