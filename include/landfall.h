// SPDX-License-Identifier: Apache-2.0
//
// liblandfall: the checkpoint tools of Landfall as a library. A model directory is opened from its headers, checked,
// described, planned for tensor parallelism, and converted from FP8 to bf16; `landfall inspect`, `check`, `plan` and
// `convert` are the same in the terminal. The engine is not here: an interface to it would freeze what still moves, so
// generation is offered through the HTTP API of `landfall serve` only.
//
// Rules for every function:
// - Handles are opaque. What _new and _open give is OWNED by the caller until _free or _close, which accept NULL. Every
//   other pointer that is returned is BORROWED from the handle it came from and lives as long.
// - A fallible function returns an lf_status, LF_OK (0) when it succeeded, and describes a failure in *err, which the
//   caller owns and which must not be NULL. *err is meaningless after success. An output handle is NULL after failure.
// - lf_status_exit() gives the exit status that the program ends with: 1 the answer is no, 2 wrong usage, 3 the
//   environment failed.
// - Structs of options are zeroed first ("= {0}"): zero is the default of every member. Sizes are in bytes, texts are
//   NUL-terminated; paths and names are bytes as the file system and the checkpoint have them.
// - Nothing prints, exits or changes the process's state. Different handles may be used by different threads at once;
//   one handle by one thread at a time. Long calls run parallel loops on OpenMP threads.
//
//   #include <landfall.h>       cc program.c $(pkg-config --cflags --libs landfall)
//
// examples/check_and_convert.c uses most of it. Until version 1.0 the soname changes when the interface does.
#ifndef LANDFALL_H
#define LANDFALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Symbols of the interface; all others of the shared library are hidden.
#if defined(__GNUC__)
#define LF_API __attribute__((visibility("default")))
#else
#define LF_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// The version of the library, "major.minor.patch". Static.
LF_API const char *lf_version(void);

// ---- Errors -------------------------------------------------------------------------------------------------------

// X(symbol, text, exit status): 1 the answer is no, 2 wrong usage, 3 the environment failed.
#define LF_STATUS_MAP(X)                                                                                               \
    X(LF_OK, "ok", 0)                                                                                                  \
    X(LF_ERR_FINDINGS, "findings", 1)       /* a check found errors; they are listed as findings */                    \
    X(LF_ERR_FORMAT, "malformed input", 1)  /* checkpoint, config, tokenizer, template, report: not what it must be */ \
    X(LF_ERR_UNSUPPORTED, "unsupported", 1) /* well-formed, but Landfall does not do this */                           \
    X(LF_ERR_LIMIT, "limit exceeded", 1)    /* a documented limit on input, steps, depth or output */                  \
    X(LF_ERR_NOT_SIGNED_OFF, "not signed off", 1)                                                                      \
    X(LF_ERR_USAGE, "wrong usage", 2)                                                                                  \
    X(LF_ERR_INVALID, "invalid argument", 2)                                                                           \
    X(LF_ERR_IO, "input/output error", 3)                                                                              \
    X(LF_ERR_NOT_FOUND, "not found", 3)                                                                                \
    X(LF_ERR_NO_MEMORY, "out of memory", 3)                                                                            \
    X(LF_ERR_NO_SPACE, "no space left", 3)                                                                             \
    X(LF_ERR_DEVICE, "device error", 3)                                                                                \
    X(LF_ERR_NETWORK, "network error", 3)                                                                              \
    X(LF_ERR_CANCELLED, "cancelled", 3)                                                                                \
    X(LF_ERR_BUG, "internal error", 3)                                                                                 \
    X(LF_ERR_COMM, "ranks failed", 3) /* a rank has gone, or ranks cannot meet */

typedef enum lf_status {
#define X(symbol, text, exit_status) symbol,
    LF_STATUS_MAP(X)
#undef X
} lf_status;

enum { LF_ERROR_FIELD_BYTES = 256, LF_ERROR_MESSAGE_BYTES = 512 };

// Owned by the caller, of fixed size, so that running out of memory can be described too.
typedef struct lf_error {
    lf_status status;
    char subject[LF_ERROR_FIELD_BYTES];   // file or tensor the failure is about; "" when there is none
    char expected[LF_ERROR_FIELD_BYTES];  // what was expected there; "" when not applicable
    char found[LF_ERROR_FIELD_BYTES];     // what was found instead
    char hint[LF_ERROR_FIELD_BYTES];      // what to do about it
    char message[LF_ERROR_MESSAGE_BYTES]; // one sentence, lower case, no full stop, failure first
} lf_error;

// The text of a status, never NULL. Static.
LF_API const char *lf_status_text(lf_status status);
// The process exit status that stands for `status` (0 to 3).
LF_API int lf_status_exit(lf_status status);
// Writes the whole error as one line ("message: expected E, found F; hint") into dst, always NUL-terminated.
LF_API void lf_error_format(const lf_error *err, char *dst, size_t dst_bytes);

// ---- Findings -----------------------------------------------------------------------------------------------------

// A finding is what a check has to say about a checkpoint. Unlike an error it does not stop the work.
typedef enum lf_severity { LF_SEVERITY_ERROR, LF_SEVERITY_WARNING, LF_SEVERITY_NOTE } lf_severity;

LF_API const char *lf_severity_name(lf_severity severity); // "error", "warning", "note". Static.

// The texts are OWNED by the list that the finding is in; never NULL, "" when not applicable.
typedef struct lf_finding {
    const char *code; // STATIC, stable, kebab-case: "scale-missing"
    lf_severity severity;
    char *subject; // tensor or file name
    char *message; // one sentence, lower case, no full stop
    char *expected;
    char *found;
    char *remedy;
} lf_finding;

typedef struct lf_findings lf_findings;

// An empty list; NULL without memory.
LF_API lf_findings *lf_findings_new(void);
LF_API void lf_findings_free(lf_findings *findings);
// The findings that are kept, at most 10,000; lf_findings_n_error() and lf_findings_n_warning() count all.
LF_API size_t lf_findings_count(const lf_findings *findings);
// Finding i as it was found, i < count; NULL beyond. BORROWED until a call that adds to the list.
LF_API const lf_finding *lf_findings_at(const lf_findings *findings, size_t i);
LF_API size_t lf_findings_n_error(const lf_findings *findings);
LF_API size_t lf_findings_n_warning(const lf_findings *findings);
// LF_OK when no finding is an error. Otherwise LF_ERR_FINDINGS, with their number and the first of them in `err`.
// LF_ERR_NO_MEMORY when the list is incomplete because memory ran out.
LF_API lf_status lf_findings_status(const lf_findings *findings, lf_error *err);
// The JSON array that `landfall check --json` prints under "findings", errors first. *out is the caller's, for free().
// LF_ERR_NO_MEMORY.
LF_API lf_status lf_findings_to_json(const lf_findings *findings, char **out, lf_error *err);

// ---- A model directory --------------------------------------------------------------------------------------------

// A directory with safetensors shards and config.json, known from headers and JSON; data is mapped, not read.
typedef struct lf_model lf_model;

// Opens a directory. What is wrong inside a readable one is a finding of lf_check_run(), not a failure: fails when
// there is nothing to look at. LF_ERR_NOT_FOUND, LF_ERR_IO, LF_ERR_FORMAT, LF_ERR_NO_MEMORY.
LF_API lf_status lf_model_open(lf_model **out, const char *model_dir, lf_error *err);
LF_API void lf_model_close(lf_model *model);

typedef struct lf_check_options {
    int64_t tensor_parallel_size; // ranks whose partition is checked too, at most 16384; 0 is 1
    int64_t expert_parallel_size; // ranks that experts are dealt out to whole; 0 is 1
    bool deep;                    // read all data: NaN codes, bad or odd scales, zeros, duplicates
} lf_check_options;

// Adds to `findings` everything there is to say about the checkpoint: files, headers, scales, parameters, tokenizer,
// chat template, partition. `options` may be NULL. Finding errors is success: ask lf_findings_status() afterwards.
// LF_ERR_USAGE for sizes out of range, LF_ERR_NO_MEMORY.
LF_API lf_status lf_check_run(const lf_model *model, const lf_check_options *options, lf_findings *findings,
                              lf_error *err);

// What a model is. Numbers of config.json are 0 where it says nothing.
typedef struct lf_model_facts {
    const char *architecture; // "Qwen3ForCausalLM"; "" when config.json names none
    const char *scheme;       // for people: "fp8 e4m3, block 128x128, F32 scales", "not quantized"
    bool has_table;           // Landfall knows the parameters of this architecture and can run it
    bool tie_word_embeddings, has_vision, has_audio;
    size_t n_shard, n_tensor; // as stored, scales included
    size_t n_quantized;       // weights with a usable scale
    size_t n_side;            // scales of activations and of the KV cache, which are reported and not used
    uint64_t n_parameter;     // elements of all weights, without scales
    uint64_t stored_bytes;    // of all tensors
    int64_t hidden_size, intermediate_size, num_hidden_layers, vocab_size, max_position_embeddings;
    int64_t num_attention_heads, num_key_value_heads, head_dim;
    int64_t num_experts, num_experts_per_tok, num_mtp_layers;
} lf_model_facts;

LF_API const lf_model_facts *lf_model_facts_of(const lf_model *model);

// A tensor as it is stored. All texts are BORROWED from the model.
typedef struct lf_tensor_facts {
    const char *name;
    const char *dtype;        // "F8_E4M3", "BF16" ...
    const char *file;         // its shard, without folder
    const char *scale;        // the tensor that holds its scale; NULL when it has none
    const char *scale_layout; // "none", "tensor", "channel", "block", "group"; "broken": a finding says why
    int rank;                 // dimensions
    int64_t shape[8];
    uint64_t offset, bytes; // of the data in its file
} lf_tensor_facts;

// Describes tensor i, i < n_tensor, in ascending order of name. False, with *out zeroed, beyond.
LF_API bool lf_model_tensor(const lf_model *model, size_t i, lf_tensor_facts *out);

// ---- Tensor parallelism -------------------------------------------------------------------------------------------

// [begin, end); empty when equal.
typedef struct lf_span {
    int64_t begin, end;
} lf_span;

// What one rank holds, in the model's own numbering. A KV head whose query heads straddle ranks is held by each of
// them. `intermediate` is a part of the dense layers' width, or of each expert's where there are no dense layers.
typedef struct lf_share {
    lf_span query_heads, kv_heads, intermediate, vocab;
    lf_span experts;             // held whole; empty unless experts are dealt out
    int64_t n_kv_replicated;     // of kv_heads, those that other ranks hold too
    uint64_t weight_bytes;       // in bf16
    uint64_t kv_bytes_per_token; // keys and values of all layers, in bf16
} lf_share;

typedef struct lf_plan_options {
    int64_t tensor_parallel_size; // at most 16384; 0 is 1
    int64_t expert_parallel_size; // ranks that experts are dealt out to whole; 0 is 1, also for a model without experts
} lf_plan_options;

typedef struct lf_plan lf_plan;

// Plans a model over max(tensor_parallel_size, expert_parallel_size) ranks, any number of them. `options` may be NULL.
// LF_ERR_USAGE for sizes out of range, LF_ERR_UNSUPPORTED when config.json says nothing about heads, LF_ERR_NO_MEMORY.
LF_API lf_status lf_plan_open(lf_plan **out, const lf_model *model, const lf_plan_options *options, lf_error *err);
LF_API void lf_plan_close(lf_plan *plan);
LF_API size_t lf_plan_n_rank(const lf_plan *plan);
// NULL when rank >= lf_plan_n_rank().
LF_API const lf_share *lf_plan_share(const lf_plan *plan, size_t rank);

// Engines other than Landfall split evenly, and some need whole FP8 blocks in every part.
typedef enum lf_split_rule {
    LF_SPLIT_BF16,              // heads and widths must divide
    LF_SPLIT_FP8_BLOCK,         // every part must be whole blocks as well
    LF_SPLIT_FP8_BLOCK_EXPERTS, // the same with experts dealt out whole
} lf_split_rule;

// Whether such an engine accepts the size, from 1 to 16384. When not, `why` (may be NULL) gets the first reason,
// NUL-terminated.
LF_API bool lf_model_admits(const lf_model *model, int64_t tensor_parallel_size, lf_split_rule rule, char *why,
                            size_t why_bytes);

// ---- Conversion from FP8 to bf16 ----------------------------------------------------------------------------------

typedef struct lf_conversion_options {
    uint64_t shard_bytes; // most tensor bytes of one file; 0 is 5 GB; a larger tensor has a file of its own
    bool bf16_scales;     // round each scale to bf16 before it is used, as some engines do; otherwise exact
    bool copy;            // copy tokenizer and other files, where hard links are made otherwise
    bool verify;          // read every shard back, compare it with a fresh dequantization, note its SHA-256
    bool no_sync;         // faster; safe from kills, not from a power cut
} lf_conversion_options;

// What will be written, known from headers alone.
typedef struct lf_conversion_facts {
    size_t n_shard, n_tensor;
    size_t n_dequantized;                // of n_tensor; the others are taken over bit for bit
    size_t n_dropped;                    // scales of activations and of the KV cache
    uint64_t source_bytes, output_bytes; // of tensors
} lf_conversion_facts;

typedef struct lf_conversion_result {
    size_t n_written, n_kept, n_verified; // shards
    size_t n_linked, n_copied;            // other files
    uint64_t bytes_written;               // of shards
    bool was_complete;                    // there was nothing to do
} lf_conversion_result;

typedef struct lf_conversion lf_conversion;

// Opens and plans a conversion; nothing is written. `options` may be NULL. LF_ERR_FINDINGS, with all findings added to
// `findings`, when weights and scales do not pair: nothing is converted from such a checkpoint. LF_ERR_UNSUPPORTED when
// nothing in it is quantized. LF_ERR_NOT_FOUND, LF_ERR_IO, LF_ERR_FORMAT, LF_ERR_NO_MEMORY.
LF_API lf_status lf_conversion_open(lf_conversion **out, const char *model_dir, const lf_conversion_options *options,
                                    lf_findings *findings, lf_error *err);
LF_API void lf_conversion_close(lf_conversion *conversion);
LF_API const lf_conversion_facts *lf_conversion_facts_of(const lf_conversion *conversion);
// Writes `out_dir`, which is made when it is absent, and goes on where an earlier run with the same source and options
// was stopped. Every file appears complete or not at all. Memory is constant, whatever the size. `result` may be NULL.
// LF_ERR_USAGE: out_dir is the model or lies inside it, holds foreign files, or another conversion. LF_ERR_NO_SPACE
// before anything is written. LF_ERR_FORMAT names the tensor whose data is damaged. LF_ERR_IO, LF_ERR_NO_MEMORY.
LF_API lf_status lf_conversion_run(lf_conversion *conversion, const char *out_dir, lf_conversion_result *result,
                                   lf_error *err);

#ifdef __cplusplus
}
#endif

#endif
