// SPDX-License-Identifier: Apache-2.0
//
// Inside convert: the plan (which tensor stands where in which file), chunks (the bytes of a planned tensor, made on
// demand), the output directory, the journal, and the files around the weights.
#ifndef LF_CONVERT_CONVERT_INT_H
#define LF_CONVERT_CONVERT_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/progress.h"
#include "convert/convert.h"

enum {
    LF__CHUNK_BYTES = 256 << 10, // written at once; stays in the second-level cache between product and copy
    LF__MAX_CONFIG_BYTES = 16 << 20,
    LF__MAX_MANIFEST_BYTES = 16 << 20,
    LF__MAX_OUT_SHARDS = 10000,
    LF__SHARD_NAME_BYTES = 64,
};

// ---- plan.c

typedef struct lf__out_tensor {
    const lf_logical_tensor *tensor; // BORROWED
    uint64_t off;                    // from the start of the file's data section
    uint64_t bytes;
} lf__out_tensor;

typedef struct lf__out_shard {
    char name[LF__SHARD_NAME_BYTES];
    size_t first, count;   // of plan->tensors
    uint64_t header_bytes; // with the length in front: where the data section starts
    uint64_t file_bytes;
} lf__out_shard;

typedef struct lf__plan {
    lf__out_tensor *tensors; // OWNED, in the order they are written
    size_t n_tensor;
    lf__out_shard *shards; // OWNED
    size_t n_shard;
    char index_name[LF__SHARD_NAME_BYTES]; // "" when there is one shard, which needs no index
    char digest[LF_SHA256_HEX_BYTES];      // of all headers and the rounding: equal digests, equal files
    lf_convert_plan totals;
} lf__plan;

// Depends on headers and options only.
lf_status lf__plan_build(lf__plan *plan, const lf_checkpoint *checkpoint, const lf_quant *quant,
                         const lf_convert_options *options, lf_error *err);
void lf__plan_fini(lf__plan *plan);
bool lf__is_dequantized(const lf__out_tensor *tensor);
// The first header_bytes of the file. false when memory is gone.
bool lf__plan_header(const lf__plan *plan, const lf__out_shard *shard, lf_buf *out);
// Text as a JSON string, quotes included. Bytes from 0x80 on are copied, so `text` must be UTF-8.
void lf__put_json_string(lf_buf *out, const char *text);

// ---- source.c

// Names the source: sizes and headers of all shards, samples of their data, config.json. Two fine-tunes of one model
// have equal headers, and so the samples are there.
lf_status lf__source_fingerprint(char hex[LF_SHA256_HEX_BYTES], const lf_checkpoint *checkpoint,
                                 const char *config_text, size_t config_bytes, lf_error *err);
// Sizes and times of the shards' files: changes whenever a shard was touched, also when the samples are equal.
lf_status lf__source_stamp(char hex[LF_SHA256_HEX_BYTES], const lf_checkpoint *checkpoint, lf_error *err);

// ---- chunk.c

typedef struct lf__chunk {
    uint64_t off; // from the tensor's first output byte
    size_t bytes;
    const uint8_t *data; // in the scratch, or a VIEW of the mapped source
} lf__chunk;

uint64_t lf__chunk_count(const lf__out_tensor *tensor);
// Chunk i of a tensor; `scratch` holds LF__CHUNK_BYTES. LF_ERR_FORMAT when the data holds NaN codes, bad scales or
// products that overflow.
lf_status lf__chunk_make(const lf__out_tensor *tensor, uint64_t i, lf_dequant_rounding rounding, uint8_t *scratch,
                         lf__chunk *out, lf_error *err);
// Hints for chunks [begin, end): will be needed, are no longer needed (their pages leave this process).
void lf__chunk_prefetch(const lf__out_tensor *tensor, uint64_t begin, uint64_t end);
void lf__chunk_release(const lf_checkpoint *checkpoint, const lf__out_tensor *tensor, uint64_t begin, uint64_t end);

// ---- output.c

// The directory that is written. Files are made under a partial name and renamed when they are complete.
typedef struct lf__output {
    char *dir; // OWNED
    int fd;    // holds the lock that keeps a second conversion out; -1 when closed
    bool sync;
    bool is_made; // by lf__output_open(); goes again when it is closed empty
} lf__output;

// Makes the directory when it is absent and locks it. Removes what a killed run left under partial names. Refuses the
// model's own directory, anything below it, and a directory with foreign files.
lf_status lf__output_open(lf__output *output, const char *model_dir, const char *out_dir, bool sync, lf_error *err);
void lf__output_close(lf__output *output);
// Starts the file `name`: *out_fd is open for writing, under the partial name.
lf_status lf__output_create(const lf__output *output, const char *name, int *out_fd, lf_error *err);
// Makes it appear; fd is closed either way, and on failure nothing remains.
lf_status lf__output_commit(const lf__output *output, const char *name, int fd, lf_error *err);
void lf__output_discard(const lf__output *output, const char *name, int fd);
lf_status lf__output_write_all(const lf__output *output, const char *name, int fd, uint64_t off, const void *bytes,
                               size_t length, lf_error *err);
// A whole small file.
lf_status lf__output_put(const lf__output *output, const char *name, const void *bytes, size_t length, lf_error *err);
// Removes a finished file; it need not exist.
lf_status lf__output_remove(const lf__output *output, const char *name, lf_error *err);
// LF_ERR_NO_SPACE unless `bytes` more fit.
lf_status lf__output_require_space(const lf__output *output, uint64_t bytes, lf_error *err);

// ---- journal.c

typedef struct lf__done {
    char name[LF__SHARD_NAME_BYTES];
    bool is_done;
    uint64_t bytes;
    int64_t modified_ns;              // 0 in the manifest of a finished directory: it may have been copied since
    char sha256[LF_SHA256_HEX_BYTES]; // "" unless the shard was verified
} lf__done;

typedef struct lf__taken_file {
    const char *name; // BORROWED
    const char *how;  // STATIC: "linked", "copied", "rewritten", "made"
    uint64_t bytes;
    char sha256[LF_SHA256_HEX_BYTES];
} lf__taken_file;

// What stands in landfall-convert.json.
typedef struct lf__journal {
    bool is_complete;
    char source[LF_SHA256_HEX_BYTES], stamp[LF_SHA256_HEX_BYTES], plan[LF_SHA256_HEX_BYTES];
    char rounding[16];
    int64_t shard_size;
    lf__done *shards; // OWNED; in the plan's order when written, as found when read
    size_t n_shard;
    json_t *files; // OWNED; the list of a complete one that was read, NULL otherwise
} lf__journal;

lf_status lf__journal_parse(lf__journal *journal, const char *text, size_t length, lf_error *err);
// LF_ERR_NOT_FOUND when there is none.
lf_status lf__journal_load(lf__journal *journal, const lf__output *output, lf_error *err);
// Files and the dropped tensors of `quant` are listed in a complete one only: `files`, and those of journal->files.
lf_status lf__journal_store(const lf__journal *journal, const lf__output *output, const lf_quant *quant,
                            const lf__taken_file *files, size_t n_file, lf_error *err);
void lf__journal_fini(lf__journal *journal);
const char *lf__rounding_name(lf_dequant_rounding rounding);

// ---- rewrite.c

// config.json (or params.json) without its quantization and with bfloat16 as dtype; every other byte stays. `text` must
// have passed lf_json_parse() as an object.
lf_status lf__config_rewrite(lf_buf *out, const char *text, size_t length, bool is_params, lf_error *err);
// Appends a value as jansson prints it with `flags`.
void lf__put_json(lf_buf *out, const json_t *value, size_t flags);
// The index of the plan's shards; `old` is the source's index file (NULL: none), whose other entries stay.
lf_status lf__index_make(lf_buf *out, const lf__plan *plan, const json_t *old, lf_error *err);

// ---- files.c

typedef struct lf__file_list {
    lf_convert_file *items; // OWNED
    size_t count, capacity;
} lf__file_list;

// What stands in the model directory, and what becomes of it.
lf_status lf__files_list(lf__file_list *files, const char *model_dir, lf_error *err);
void lf__files_fini(lf__file_list *files);
// Links or copies one file into the output.
lf_status lf__file_take(const lf__output *output, const char *model_dir, const lf_convert_file *file, bool copy,
                        lf__taken_file *taken, lf_error *err);

// ---- write.c, verify.c

typedef struct lf__shards_job {
    const lf_checkpoint *checkpoint;
    const lf_quant *quant;
    const lf__plan *plan;
    const lf_convert_options *options;
    const lf__output *output;
    lf__journal *journal;   // which shards are done; updated, and stored after each that is written
    bool rewrite_different; // verifying: a shard that differs is no error, but is written anew
    lf_progress *progress;  // NULL: none
    lf_convert_result *result;
} lf__shards_job;

// Writes every shard that is not done.
lf_status lf__shards_write(lf__shards_job *job, lf_error *err);
// Compares every shard that is done with the source. One that differs is removed and no longer done, and that is
// LF_ERR_IO unless rewrite_different.
lf_status lf__shards_verify(lf__shards_job *job, lf_error *err);

#endif
