// SPDX-License-Identifier: Apache-2.0
//
// An FP8 checkpoint becomes a bf16 one: a directory that transformers, vLLM and llama.cpp's converter load as it is.
// Two steps: opening reads headers and JSON, pairs strictly and plans every output file; running writes. Memory is
// constant, whatever the size of the checkpoint. What a killed run had finished is kept by the next one.
#ifndef LF_CONVERT_CONVERT_H
#define LF_CONVERT_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/finding.h"
#include "base/status.h"
#include "quant/quant.h"

// The journal, and afterwards the manifest, of a converted directory.
#define LF_CONVERT_MANIFEST "landfall-convert.json"
#define LF_CONVERT_SHARD_BYTES INT64_C(5000000000) // transformers' 5GB

typedef struct lf_convert_options {
    uint64_t shard_bytes; // most tensor bytes of one file; a larger tensor has a file of its own
    lf_dequant_rounding rounding;
    bool copy;          // other files are copied; otherwise they are hard-linked where the file system can
    bool verify;        // read every shard back, compare it with a fresh dequantization, note its SHA-256
    bool sync;          // files survive a power cut, not only a kill
    bool show_progress; // a bar on stderr
} lf_convert_options;

// What will be written, known from headers alone.
typedef struct lf_convert_plan {
    size_t n_shard;
    size_t n_tensor;
    size_t n_dequantized;                // of these; the others are taken over bit for bit, in their own dtype
    size_t n_dropped;                    // activation and KV-cache scales, see lf_quant_side()
    uint64_t source_bytes, output_bytes; // of tensors
} lf_convert_plan;

typedef enum lf_convert_action {
    LF_CONVERT_TAKE,    // linked or copied
    LF_CONVERT_REWRITE, // config.json, params.json: without the quantization
    LF_CONVERT_SKIP,
} lf_convert_action;

// An entry of the model directory that is no shard of it.
typedef struct lf_convert_file {
    char *name; // OWNED by the conversion
    lf_convert_action action;
    const char *reason; // STATIC, why it is skipped; NULL otherwise
    uint64_t bytes;
} lf_convert_file;

typedef struct lf_convert_result {
    size_t n_written, n_kept, n_verified; // shards
    uint64_t bytes_written;               // of shards
    size_t n_linked, n_copied;            // other files
    bool was_complete;                    // there was nothing to do
    int64_t write_ns, verify_ns;
} lf_convert_result;

typedef struct lf_convert lf_convert;

// Opens and plans. LF_ERR_FINDINGS when a finding is an error: nothing is converted from a checkpoint that does not
// pair (lesson L4). LF_ERR_UNSUPPORTED when nothing in it is quantized.
lf_status lf_convert_open(lf_convert **out, const char *model_dir, const lf_convert_options *options,
                          lf_findings *findings, lf_error *err);
void lf_convert_close(lf_convert *convert); // NULL is accepted

const lf_convert_plan *lf_convert_plan_of(const lf_convert *convert);
const lf_quant *lf_convert_quant(const lf_convert *convert);
size_t lf_convert_n_file(const lf_convert *convert);
const lf_convert_file *lf_convert_file_at(const lf_convert *convert, size_t i); // in ascending order of name

// Writes `out_dir`, which is made when it is absent. Goes on where an earlier run with the same source and options was
// stopped. Every file appears complete or not at all; config.json and the index come last, so that half a conversion
// does not load. LF_ERR_USAGE: out_dir is the model or lies inside it, holds foreign files, another conversion, or one
// with other options. LF_ERR_NO_SPACE before anything is written when the file system is too full. LF_ERR_FORMAT names
// the tensor whose data is damaged; nothing of its shard remains.
lf_status lf_convert_run(lf_convert *convert, const char *out_dir, lf_convert_result *result, lf_error *err);

#endif
