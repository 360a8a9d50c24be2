// SPDX-License-Identifier: Apache-2.0
//
// Stored tensors become logical tensors: an FP8 (or packed FP4) weight and its scale are one thing from here on, so a
// raw code never reaches anything above as a number. Pairing is strict in both directions and needs only headers
// (lesson L4). Layouts and companion names: the catalog's sections 1, 4 and 9.
#ifndef LF_QUANT_QUANT_H
#define LF_QUANT_QUANT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/finding.h"
#include "base/num.h"
#include "base/progress.h"
#include "base/scan.h"
#include "base/status.h"
#include "checkpoint/checkpoint.h"

typedef enum lf_scale_layout {
    LF_SCALE_NONE,    // not quantized
    LF_SCALE_TENSOR,  // L1, L7: one scalar; L5: one for each expert
    LF_SCALE_CHANNEL, // L2: one for each output channel; L5: for each of each expert
    LF_SCALE_BLOCK,  // L3: one for each block of rows and columns, partial blocks at the ends; L5, L6: by chunk of rows
    LF_SCALE_GROUP,  // L4: one for each run of block_cols values of a row
    LF_SCALE_BROKEN, // quantized, but without a usable scale: a finding says why, and dequantization refuses it
} lf_scale_layout;

// "none", "tensor", "channel", "block", "group", "broken"
const char *lf_scale_layout_name(lf_scale_layout layout);

typedef struct lf_logical_tensor {
    const char *name; // of the weight; BORROWED from checkpoint or quant (torchao's M._weight_qdata is called M.weight)
    const lf_stored_tensor *weight;
    const lf_stored_tensor *scale; // NULL when layout is LF_SCALE_NONE or LF_SCALE_BROKEN
    lf_scale_layout layout;
    // All layouts are one rule. The rows of the matrix form are cut into chunks that were quantized by themselves (an
    // expert, a part of a fused QKV; otherwise one chunk), and each chunk into blocks. Element (row, col) has scale
    //   (row / chunk_rows * ceil(chunk_rows / block_rows) + row % chunk_rows / block_rows) * ceil(n_col / block_cols)
    //   + col / block_cols.
    // All three are at least 1 for a quantized tensor.
    int64_t chunk_rows;
    int64_t block_rows, block_cols;
} lf_logical_tensor;

// A stored tensor that is neither weight nor weight scale: activation and KV-cache scales. Reported, not used.
typedef struct lf_side_tensor {
    const lf_stored_tensor *tensor;
    const char *reason; // STATIC: "activation scale: activations stay bf16"
} lf_side_tensor;

typedef struct lf_quant lf_quant;

// Pairs every FP8 weight of `checkpoint` with its scale. `config` is the parsed config.json (its quantization_config
// gives the block size; the decision per tensor comes from dtype and companion). Violations become findings.
// `checkpoint` must outlive the result. Fails only without memory.
lf_status lf_quant_open(lf_quant **out, const lf_checkpoint *checkpoint, const json_t *config, lf_findings *findings,
                        lf_error *err);
void lf_quant_close(lf_quant *quant); // NULL is accepted

// Logical tensors in ascending order of name: every stored tensor but the scales and the side tensors. Weights whose
// pairing failed, or whose family is not supported, are there as LF_SCALE_BROKEN, so that nothing else reports them as
// missing.
size_t lf_quant_count(const lf_quant *quant);
const lf_logical_tensor *lf_quant_tensor(const lf_quant *quant, size_t i);
const lf_logical_tensor *lf_quant_find(const lf_quant *quant, const char *name);
size_t lf_quant_n_side(const lf_quant *quant);
const lf_side_tensor *lf_quant_side(const lf_quant *quant, size_t i);
// Quantized weights that can be dequantized (neither NONE nor BROKEN).
size_t lf_quant_n_quantized(const lf_quant *quant);
// One line for people: "fp8 e4m3, block 128x128, F32 scales" or "not quantized". BORROWED.
const char *lf_quant_scheme(const lf_quant *quant);

typedef enum lf_dequant_rounding {
    LF_DEQUANT_EXACT,      // bf16(RNE(f32(code) * f32(scale))): DESIGN section 5
    LF_DEQUANT_BF16_SCALE, // the scale is rounded to bf16 first: engines of the catalog's path B
} lf_dequant_rounding;

// A rectangle of a logical tensor seen as a matrix: rank 2 as it is, rank 1 as [1, n], rank > 2 with the leading
// dimensions folded into rows. Rows and columns are global coordinates, so a rectangle may cut through scale blocks.
typedef struct lf_rect {
    int64_t row, col, n_row, n_col;
} lf_rect;

// Whether the weight is packed FP4 (E2M1, two values in a byte, the low half first) with a usable scale.
bool lf_logical_is_fp4(const lf_logical_tensor *tensor);
// The shape of the tensor's values: the stored shape, but packed FP4 holds two values in a byte of its last dimension,
// so that dimension doubles. What a converter writes into the header of a bf16 copy. Returns the rank.
int lf_logical_shape(const lf_logical_tensor *tensor, int64_t shape[LF_MAX_RANK]);
// The matrix form of that shape.
void lf_logical_matrix_shape(const lf_logical_tensor *tensor, int64_t *n_row, int64_t *n_col);

// What lf_dequant_* met in the data. Zero it before the first call; safe to share only within one thread.
typedef struct lf_dequant_report {
    uint64_t n_nan_code;  // FP8 NaN codes (each becomes a bf16 NaN)
    uint64_t n_bad_scale; // NaN, Inf, negative; or zero over a non-zero code; counted once per row that it is used in
    uint64_t n_overflow;  // products that are not finite in bf16 although code and scale are no NaN
    int64_t first_row, first_col; // where the first of them stood
} lf_dequant_report;

// dst[r * dst_stride + c] = element (row + r, col + c) as bf16; dst_stride in elements, >= n_col. Weights in BF16 are
// copied bit for bit, F32 and F16 rounded once, FP8 and packed FP4 dequantized. LF_ERR_UNSUPPORTED for other dtypes,
// LF_ERR_INVALID for a rectangle outside.
lf_status lf_dequant_bf16(const lf_logical_tensor *tensor, lf_rect rect, lf_dequant_rounding rounding, lf_bf16 *dst,
                          size_t dst_stride, lf_dequant_report *report, lf_error *err);
// The same into float32, without the rounding to bf16 (norm weights and biases stay exact). FP8 and FP4 weights pass
// through bf16.
lf_status lf_dequant_f32(const lf_logical_tensor *tensor, lf_rect rect, lf_dequant_rounding rounding, float *dst,
                         size_t dst_stride, lf_dequant_report *report, lf_error *err);

// Reads all data once and reports what headers cannot show: nan-code, bad-scale, overflow, nan-value (errors),
// scale-outlier, scale-spike, scale-reciprocal, all-zero, duplicate-data (warnings; the last a note where two names for
// one matrix are usual). Fills digests[i] of stored tensor i unless NULL, and adds the bytes read to `progress` unless
// NULL. Fails only without memory.
lf_status lf_quant_scan(const lf_quant *quant, lf_digest *digests, lf_progress *progress, lf_findings *findings,
                        lf_error *err);

#endif
