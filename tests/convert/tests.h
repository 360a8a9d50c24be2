// SPDX-License-Identifier: Apache-2.0
//
// The groups of this module's tests, and what they share: FP8 checkpoints written tensor by tensor, and a plain reader
// of what was converted.
#ifndef LF_TESTS_CONVERT_H
#define LF_TESTS_CONVERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "convert/convert.h"
#include "convert/convert_int.h"

int test_plan(void);
int test_chunk(void);
int test_rewrite(void);
int test_journal(void);
int test_run(void);
int test_resume(void);

// A checkpoint under construction: two shards with an index, config.json and a tokenizer.json.
typedef struct maker {
    lf_buf header[2], data[2], weight_map;
    uint64_t total, random;
} maker;

// Adds a tensor to a shard; shape ends with -1. `bytes` NULL: pseudo-random bytes below 0x38, which are small numbers
// in every format.
void add_tensor(maker *m, int shard, const char *name, const char *dtype, const void *bytes, const int64_t *shape);
#define ADD(m, shard, name, dtype, ...)                                                                                \
    add_tensor(m, shard, name, dtype, NULL, (const int64_t[]){__VA_ARGS__ __VA_OPT__(, ) - 1})

extern const char block_config[]; // config.json of a checkpoint in blocks of 128x128

// Writes the checkpoint of `m` (which is emptied) into `dir`, made when it is absent.
void write_model(maker *m, const char *dir, const char *config);
// All layouts and dtypes: partial blocks, a scale in the other shard, channel and scalar scales, activation scales, odd
// lengths, empty tensors, tensors of no known architecture. `seed` decides the values.
void write_mixed_model(const char *dir, uint64_t seed);

// A new temporary folder; model and out are paths in it, which do not exist yet.
typedef struct folder {
    char path[128], model[160], out[160];
} folder;
void folder_make(folder *f);
void folder_remove(folder *f);
void remove_tree(const char *path);
void write_text(const char *dir, const char *name, const char *text);
// The content of a file (free() it), NULL when there is none.
char *read_bytes(const char *dir, const char *name, size_t *length);
bool exists(const char *dir, const char *name);

// Options for tests: small shards, no bars.
lf_convert_options plain_options(void);
// Opens and runs; the caller looks at the status.
lf_status convert_once(const folder *f, const lf_convert_options *options, lf_convert_result *result, lf_error *err);
// Fails the test unless it works.
void convert_well(const folder *f, const lf_convert_options *options, lf_convert_result *result);
// Every tensor of f->out against the plain computation from f->model; index, config, manifest and the absence of
// leftovers.
void assert_converted(const folder *f, const lf_convert_options *options);
// Whether both folders hold the same files with the same content.
bool same_folder(const char *a, const char *b);

#endif
