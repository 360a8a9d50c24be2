// SPDX-License-Identifier: Apache-2.0
//
// Files: reading whole small files under a limit, read-only mappings, and outputs that appear complete or not at all
// (written to a temporary name in the same folder, synced, renamed, folder synced).
#ifndef LF_BASE_FILE_H
#define LF_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

// Reads a whole file of at most limit_bytes into *out (free() it; a NUL byte follows the content). LF_ERR_LIMIT when
// larger.
lf_status lf_file_read(char **out, size_t *out_bytes, const char *path, size_t limit_bytes, lf_error *err);

typedef struct lf_mapping {
    const uint8_t *data; // read-only; NULL for an empty file
    size_t bytes;
    int fd; // kept open, for readahead advice and pread; -1 when closed
} lf_mapping;

lf_status lf_mapping_open(lf_mapping *out, const char *path, lf_error *err);
void lf_mapping_close(lf_mapping *mapping);

typedef struct lf_atomic_file {
    FILE *stream;    // write here
    char *path;      // OWNED final name
    char *temporary; // OWNED temporary name beside it
} lf_atomic_file;

// Starts an output. Until lf_atomic_file_commit() nothing exists under `path` that was not there before.
lf_status lf_atomic_file_open(lf_atomic_file *out, const char *path, lf_error *err);
// Flushes, syncs, renames. On failure the temporary file is removed. The object is closed either way.
lf_status lf_atomic_file_commit(lf_atomic_file *file, lf_error *err);
// Gives the output up and removes the temporary file. Accepts a closed or zeroed object.
void lf_atomic_file_abort(lf_atomic_file *file);
// All of the above for content that is in memory.
lf_status lf_file_write(const char *path, const void *bytes, size_t length, lf_error *err);

// Whether these are the first bytes of a pointer that Git LFS leaves in place of a large file.
bool lf_is_lfs_pointer(const char *bytes, size_t length);

// "dir/name" in fresh memory (free() it), NULL when memory is gone.
char *lf_path_join(const char *dir, const char *name);

#endif
