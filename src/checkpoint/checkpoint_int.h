// SPDX-License-Identifier: Apache-2.0
//
// Inside checkpoint: name storage and sorting, the strict JSON pull reader, and the two readers built on it (a shard's
// header, the index). Both readers work on bytes in memory, which is what the fuzz targets feed them.
#ifndef LF_CHECKPOINT_CHECKPOINT_INT_H
#define LF_CHECKPOINT_CHECKPOINT_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/finding.h"
#include "checkpoint/checkpoint.h"

enum {
    LF__MAX_HEADER_BYTES = 100000000, // the format's own limit
    LF__MAX_INDEX_BYTES = 400000000,
    LF__MAX_NAME_BYTES = 4096, // the longest published name has about 120
    LF__MAX_SHARDS = 10000,    // each is a mapping; the largest published checkpoint has 191
    LF__MAX_DEPTH = 64,        // of a JSON value that is skipped
};

// Bytes that are VIEWS, not NUL-terminated.
typedef struct lf__text {
    const char *bytes;
    size_t length;
} lf__text;

static inline bool lf__text_is(lf__text text, const char *literal)
{
    return strlen(literal) == text.length && memcmp(text.bytes, literal, text.length) == 0;
}

// Strings that live as long as their owner, cut from large blocks.
typedef struct lf__arena {
    struct lf__arena_block *blocks; // OWNED
    size_t used, capacity;          // of the newest block
} lf__arena;

void lf__arena_fini(lf__arena *arena);
// A NUL-terminated copy; NULL when memory is gone.
const char *lf__arena_copy(lf__arena *arena, lf__text text);

// A pull reader of JSON text, strict: no extensions, no duplicate handling (callers see every key), UTF-8 checked
// beforehand. The first problem is kept and everything after it fails.
typedef struct lf__pull {
    const char *begin, *at, *end;
    const char *problem; // STATIC; NULL while all is well
    size_t problem_off;  // byte offset of the problem
    bool no_memory;
    lf_buf scratch; // decoded strings that held escapes
} lf__pull;

void lf__pull_init(lf__pull *pull, const char *text, size_t length);
void lf__pull_fini(lf__pull *pull);
// Records the problem at the current place and returns false.
bool lf__pull_fail(lf__pull *pull, const char *problem);
static inline void lf__pull_space(lf__pull *pull)
{
    while (pull->at < pull->end && (*pull->at == ' ' || *pull->at == '\n' || *pull->at == '\r' || *pull->at == '\t')) {
        pull->at++;
    }
}
// The next byte after white space, '\0' at the end: tells what kind of value comes.
static inline char lf__pull_peek(lf__pull *pull)
{
    lf__pull_space(pull);
    return pull->at < pull->end ? *pull->at : '\0';
}
// Enters an object or array.
bool lf__pull_open(lf__pull *pull, char bracket);
// The next member's key, ':' consumed; false at the closing brace or on a problem. *is_first starts as true.
bool lf__pull_member(lf__pull *pull, bool *is_first, lf__text *key);
// Whether an array has another element; false at the closing bracket or on a problem.
bool lf__pull_element(lf__pull *pull, bool *is_first);
// A string; the text is a VIEW of the input, or of the scratch buffer until the next string with escapes.
bool lf__pull_string(lf__pull *pull, lf__text *out);
// Digits only: no sign, fraction, exponent or leading zero, below 2^64. Leaves the place alone and records nothing when
// the value is something else.
bool lf__pull_u64(lf__pull *pull, uint64_t *out);
// Any value, nested at most LF__MAX_DEPTH deep.
bool lf__pull_skip(lf__pull *pull);
// Only white space is left.
bool lf__pull_finish(lf__pull *pull);
// Offset of the first byte that is not UTF-8 (as RFC 3629: no overlong forms, no surrogates), `length` when there is
// none.
size_t lf__utf8_bad_offset(const char *text, size_t length);

// One shard. Opening is two steps: the file (mapping), then the header.
typedef struct lf__shard {
    const char *file_name; // BORROWED from the checkpoint's arena
    lf_mapping mapping;
    const uint8_t *header; // VIEW of the JSON text
    size_t header_bytes;
    lf_stored_tensor *tensors; // OWNED until they are merged; as the header lists them
    uint32_t *order;           // OWNED, of the same length: their ascending order of name
    size_t count, capacity;
    lf__arena names;
    lf_findings findings; // of this shard alone, so that shards can be read side by side
    bool is_refused;      // missing, unreadable or malformed
} lf__shard;

// Reads the header in `data` strictly; shard->file_name is set. Violations become shard->findings, and any error among
// them refuses the shard (no tensors).
void lf__safetensors_read(lf__shard *shard, const uint8_t *data, size_t bytes);
void lf__shard_fini(lf__shard *shard);

typedef struct lf__index_entry {
    const char *name; // BORROWED from the arena
    uint32_t file;
} lf__index_entry;

// The weight_map of an index file.
typedef struct lf__index {
    lf__index_entry *entries; // OWNED; in ascending order of name, each name once
    size_t count, capacity;
    const char **files; // OWNED array, BORROWED names; in ascending order of name
    size_t n_file, file_capacity;
    uint64_t total_size; // of the metadata
    bool has_total_size;
} lf__index;

// Reads `text`; names are stored in `arena`. false when the file is unusable (a finding says why). `subject` is the
// file's name.
bool lf__index_read(lf__index *index, lf__arena *arena, const char *text, size_t length, const char *subject,
                    lf_findings *findings);
void lf__index_fini(lf__index *index);

struct lf_checkpoint {
    char *dir;             // OWNED
    lf__arena names;       // file names, names of the index
    lf__shard *shards;     // OWNED
    lf_shard *shard_views; // OWNED, what lf_checkpoint_shard() shows
    size_t n_shard;
    lf_stored_tensor *tensors; // OWNED, in ascending order of name
    size_t count;
    uint64_t bytes;
};

// Joins the sorted tensors with the index (NULL: there is none) and reports where they disagree; afterwards each name
// stands once.
void lf__join_index(lf_checkpoint *checkpoint, const lf__index *index, lf_findings *findings);

#endif
