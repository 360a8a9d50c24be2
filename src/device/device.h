// SPDX-License-Identifier: Apache-2.0
//
// The device: memory, weights and the operators that the forward pass is written in. One table of functions per backend
// (`cpu`, later `npu`); engine and load call them, a backend never calls up. Rules that every backend keeps:
//   - no operator allocates, waits or reads host data inside a step: whatever changes between two steps of one shape
//   (token ids,
//     positions, slot mapping, block tables, lengths) is in device buffers whose addresses stay;
//   - operators are issued in order and see each other's results; lf_device_ops.synchronize makes them visible to the
//   host;
//   - activations are bf16, row-major, rows `stride` elements apart; accumulation, norms, softmax and logits are
//   float32;
//   - n_tok may be padded to a capture size: padded rows compute garbage that nothing reads (slot -1 stores no KV).
// Dimension names are the kernels' short set: n_tok n_head n_kv_head d_head d_model n_vocab.
#ifndef LF_DEVICE_DEVICE_H
#define LF_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "base/status.h"

// An address in device memory. Only the device dereferences it (on the CPU it is an ordinary 64-byte aligned pointer).
typedef struct lf_dptr {
    void *address;
} lf_dptr;

static inline lf_dptr lf_dptr_at(lf_dptr base, size_t bytes) { return (lf_dptr){(char *)base.address + bytes}; }
static inline bool lf_dptr_is_null(lf_dptr p) { return p.address == NULL; }

typedef struct lf_device lf_device;
typedef struct lf_weight lf_weight; // a matrix [n_row, n_col] in the device's own layout

typedef struct lf_device_caps {
    const char *name;         // "cpu"
    char description[256];    // "AMD EPYC, avx2, 2 threads"
    bool executes_fp8;        // false: FP8 checkpoints are dequantized while loading (lesson L5)
    bool captures_graphs;     // graph_* below may be called
    const char *graph_reason; // why not, when captures_graphs is false; STATIC
    uint64_t memory_bytes;    // memory that weights and KV cache may take in all
} lf_device_caps;

// y[n_tok, n_row(w)] = x[n_tok, n_col(w)] * w^T (+ bias), accumulated in float32.
typedef struct lf_linear_args {
    const lf_weight *weight;
    lf_dptr x; // bf16
    size_t x_stride;
    lf_dptr bias; // f32 [n_row]; null: none
    lf_dptr y;    // bf16, or f32 when y_is_f32
    size_t y_stride;
    size_t n_tok;
    bool y_is_f32;
} lf_linear_args;

// y = x / sqrt(mean(x^2) + eps) * weight over each group of d elements. With `residual`: residual += x first (rounded
// to bf16), and the norm is of the sum. Groups: n_tok rows of n_group groups of d elements each; the row stride is
// free, so that the q and k heads inside a qkv row are normed in place (n_group = heads, d = d_head).
typedef struct lf_norm_args {
    lf_dptr x; // bf16
    size_t x_stride;
    lf_dptr residual; // bf16 [n_tok, d], n_group must be 1; null: none
    size_t residual_stride;
    lf_dptr weight; // f32 [d]
    lf_dptr y;      // bf16; may be x
    size_t y_stride;
    size_t n_tok, n_group, d;
    float eps;
} lf_norm_args;

// Rotates the first rotary_dim elements of each head in place: halves are paired (element i with i + rotary_dim / 2),
// or neighbours (2 i with 2 i + 1).
typedef struct lf_rope_args {
    lf_dptr x; // bf16 [n_tok, n_head, d_head] inside rows of x_stride
    size_t x_stride;
    size_t n_tok, n_head, d_head, rotary_dim;
    lf_dptr positions; // int32 [n_tok]
    lf_dptr cos_sin; // f32 [n_position, rotary_dim]: cos in the first half of a row, sin in the second, already scaled
    bool is_interleaved; // neighbours are paired
} lf_rope_args;

// The paged KV cache of one layer: two arrays [n_block, n_kv_head, block_size, d_head] bf16. Latent attention keeps one
// array, `values` is null: a value is the first d_value elements of its key.
typedef struct lf_kv_layer {
    lf_dptr keys, values;
    size_t block_size, n_kv_head, d_head;
    size_t d_value; // d_head where values have an array of their own
} lf_kv_layer;

// Stores k and v of each token at its slot (block * block_size + offset in block); slot -1 stores nothing.
typedef struct lf_kv_store_args {
    lf_dptr k, v; // bf16 [n_tok, n_kv_head, d_head] inside rows of `stride`; v: null where values are part of keys
    size_t stride;
    size_t n_tok;
    lf_dptr slots; // int32 [n_tok]
    lf_kv_layer kv;
} lf_kv_store_args;

// Causal attention over the paged cache for n_seq sequences whose query tokens are consecutive rows: sequence s owns
// rows query_start[s] .. query_start[s + 1]; its last query is position length[s] - 1. Query head h reads KV head
// first_kv_head + h / (n_head / n_kv_head). Keys of the step are already stored. Sequences with no rows are skipped.
typedef struct lf_attention_args {
    lf_dptr q; // bf16 [n_tok, n_head, d_head] inside rows of q_stride
    size_t q_stride;
    lf_dptr out; // bf16 [n_tok, n_head * d_value] inside rows of out_stride
    size_t out_stride;
    size_t n_tok, n_seq, n_head;
    size_t first_kv_head, n_kv_head; // of the cache's: those that the query heads read, n_head / n_kv_head each
    lf_kv_layer kv;
    lf_dptr query_start;  // int32 [n_seq + 1]
    lf_dptr lengths;      // int32 [n_seq], context including this step
    lf_dptr block_tables; // int32 [n_seq, block_table_stride]
    size_t block_table_stride;
    size_t max_length; // upper bound of lengths, for choosing a split
    float scale;
    int64_t sliding_window; // 0: none; else a query sees the last sliding_window positions
} lf_attention_args;

// Every head has a matrix of its own: y[t, h] = W[h] x[t, h], or W[h]^T x[t, h], accumulated in float32. It brings
// queries into the space of a latent cache and results back out of it (DeepSeek-V2, arXiv 2405.04434, section 2.1.2:
// W_UK is absorbed into the queries, W_UV follows the sum), so that the cache is never expanded to keys and values.
typedef struct lf_head_product_args {
    lf_dptr weight; // bf16: W[h] is [n_row, n_col], row-major without gaps, head_stride elements behind W[h - 1]
    size_t head_stride;
    size_t n_row, n_col;
    bool is_transposed; // W^T: n_row elements become n_col; else n_col become n_row
    lf_dptr x;          // bf16: head h of token t begins at t * x_stride + h * x_head_stride
    size_t x_stride, x_head_stride;
    lf_dptr y; // bf16, likewise
    size_t y_stride, y_head_stride;
    size_t n_tail; // elements behind those of x that follow those of y as they are
    size_t n_tok, n_head;
} lf_head_product_args;

// y[t, i] = silu(x[t, i]) * x[t, d + i].
typedef struct lf_silu_mul_args {
    lf_dptr x; // bf16 [n_tok, 2 d]
    size_t x_stride;
    lf_dptr y; // bf16 [n_tok, d]
    size_t y_stride;
    size_t n_tok, d;
} lf_silu_mul_args;

// y[i] = row ids[i] - first_id of the matrix; zeros where the matrix has no such row (another rank does). Ids are
// checked by the engine.
typedef struct lf_embed_args {
    const lf_weight *weight; // NULL: no rows at all
    int64_t first_id;
    lf_dptr ids; // int32 [n_tok]
    lf_dptr y;   // bf16 [n_tok, d], or f32 when y_is_f32
    size_t y_stride;
    size_t n_tok, d;
    bool y_is_f32;
} lf_embed_args;

// How a device whose peers share no memory with it adds up over ranks. Given at open, called by all_reduce only.
typedef struct lf_collective {
    void *ctx;
    int rank, n_rank;
    // x[i] = sum over all ranks of x[i], the same bits on each of them.
    lf_status (*sum_f32)(void *ctx, float *x, size_t n, lf_error *err);
    // part[r] bytes at rank r's `data` arrive on rank 0, one after the other, in `all`.
    lf_status (*gather)(void *ctx, const void *data, const size_t *part, void *all, lf_error *err);
    size_t *part_bytes; // BORROWED [n_rank]: room for the sizes of a gather
} lf_collective;

// Columns of a matrix that ranks hold in contiguous ranges come together on rank 0 (vocabulary-parallel logits).
typedef struct lf_join_args {
    lf_dptr x; // f32 [n_row, this rank's columns], rows without gaps; overwritten on no rank
    lf_dptr y; // rank 0: f32 [n_row, sum of columns]
    size_t y_stride;
    lf_dptr scratch;     // rank 0: f32 [n_row, sum of columns]
    const size_t *n_col; // [n_rank] columns of each rank; HOST, constant
    size_t n_row;
} lf_join_args;

// y = x summed over all ranks (+ bias). Without a collective there is one rank, and y = x (+ bias).
typedef struct lf_all_reduce_args {
    lf_dptr x;      // f32 [n_tok, d], rows d apart: this rank's part; overwritten by the sum
    bool is_absent; // this rank has no part: x holds nothing yet and counts as zeros
    lf_dptr bias;   // f32 [d]; null: none
    lf_dptr y;      // bf16 [n_tok, d]; null: the sum stays in x, without bias
    size_t y_stride;
    size_t n_tok, d;
} lf_all_reduce_args;

// Norm over a width that ranks share (MiniMax-M2's q and k norms): square_sums gives this rank's part of the sum of
// squares, all_reduce adds up, scale_norm applies x / sqrt(sum / count + eps) * weight.
typedef struct lf_square_sums_args {
    lf_dptr x; // bf16 [n_tok, d] inside rows of x_stride
    size_t x_stride;
    lf_dptr sums; // f32 [n_tok], sums_stride apart
    size_t sums_stride;
    size_t n_tok, d; // d may be 0: the sums are zeros
} lf_square_sums_args;
typedef struct lf_scale_norm_args {
    lf_dptr x; // bf16 [n_tok, d] inside rows of x_stride, in place
    size_t x_stride;
    lf_dptr sums; // f32 [n_tok], sums_stride apart: of the whole width
    size_t sums_stride;
    lf_dptr weight; // f32 [d]
    size_t n_tok, d;
    int64_t count; // elements of the whole width
    float eps;
} lf_scale_norm_args;

// Chooses experts, in float32. score = softmax or sigmoid of x * weight^T. Experts compete by score + bias; with
// groups, only those of the n_active_group groups whose two best competitors sum highest take part (DeepSeek-V3). The
// n_active best are chosen, ties by smaller id; what counts is their score without bias, divided by the sum of the
// chosen ones (+ 1e-20) when `normalizes`, times `scaling`. A NaN competes as the largest number, so that a broken
// expert is chosen and shows in the scores; the ids are valid and different from each other whatever x holds.
typedef enum lf_route_kind { LF_ROUTE_SOFTMAX, LF_ROUTE_SIGMOID } lf_route_kind;
typedef struct lf_route_args {
    lf_dptr x; // bf16 [n_tok, d]
    size_t x_stride;
    lf_dptr weight; // f32 [n_expert, d]
    lf_dptr bias;   // f32 [n_expert]; null: none
    size_t n_tok, d, n_expert, n_active;
    size_t n_group, n_active_group; // 1, 1: no groups
    lf_route_kind kind;
    bool normalizes;
    float scaling;
    lf_dptr experts; // out: int32 [n_tok, n_active], best first
    lf_dptr scores;  // out: f32 [n_tok, n_active]
} lf_route_args;

// y[t] += sum over the chosen experts e of token t that this rank holds of score * down[e](silu(gate) * up), with gate
// and up the halves of gate_up[e](x[t]). Tokens of one expert are computed together; experts that nobody chose are not
// touched. The halves and the activation between the two matrices are bf16; the sum is float32 in increasing order of
// experts. Ids of experts that this rank does not hold, negative ones included (a token that takes no part), add
// nothing.
typedef struct lf_experts_args {
    const lf_weight *const *gate_up; // [n_held] matrices [2 d_ff, d]: gate rows, then up rows; NULL when d_ff is 0
    const lf_weight *const *down;    // [n_held] matrices [d, d_ff]; NULL when d_ff is 0
    size_t first_expert, n_held;     // this rank's are [first_expert, first_expert + n_held)
    lf_dptr experts, scores;         // from route
    lf_dptr x;                       // bf16 [n_tok, d]
    size_t x_stride;
    lf_dptr y;                       // f32 [n_tok, d], rows d apart
    bool is_first;                   // y holds nothing yet and counts as zeros
    size_t n_tok, n_active, d, d_ff; // d_ff may be 0: nothing is added
    lf_dptr scratch;                 // lf_device_ops.experts_scratch bytes, 64-byte aligned
} lf_experts_args;

// y[i] = x[rows[i]], d elements of bf16 each.
typedef struct lf_gather_args {
    lf_dptr x;
    size_t x_stride;
    lf_dptr rows; // int32 [n_row]
    lf_dptr y;
    size_t y_stride;
    size_t n_row, d;
} lf_gather_args;

// One change of one logit: l = (l > 0 ? l / repetition : l * repetition) + add. Repetition, frequency and presence
// penalties, logit_bias and bans (add = -INFINITY) are all of this form.
typedef struct lf_logit_edit {
    int32_t row, token;
    float repetition; // 1: none
    float add;
} lf_logit_edit;

// How one row of logits becomes a token. temperature below 1e-5: the first largest logit. Otherwise softmax(logits /
// temperature), then min_p, top_k, top_p in the order and meaning of vLLM V1 (logits equal to the k-th stay; top_p is
// of what the others left), then the inverse of the cumulative distribution at `uniform`, in order of token id.
// -INFINITY is a banned token; a row with a NaN or +INFINITY, or with nothing else than banned tokens, gives token -1.
typedef struct lf_sample_row {
    int32_t row; // of the logits
    float temperature;
    float top_p;   // 1: off
    float min_p;   // 0: off
    int32_t top_k; // 0: off
    float uniform; // [0, 1)
} lf_sample_row;

enum { LF_MAX_TOP_LOGPROBS = 20 };

// Log-probabilities of one row of (unedited) logits.
typedef struct lf_logprob_row {
    float log_sum_exp;
    int32_t n_not_finite; // NaN or Inf logits of the row: anything but 0 means a broken model
    int32_t n_top;
    int32_t top_tokens[LF_MAX_TOP_LOGPROBS]; // largest first, ties by smaller id
    float top_logprobs[LF_MAX_TOP_LOGPROBS];
    float target_logprob; // of the row's target token; 0 when it has none
    int32_t target_rank;  // 1: the largest; 0 when it has no target
} lf_logprob_row;

struct lf_device_ops {
    // identity
    void (*describe)(const lf_device *device, lf_device_caps *out);
    void (*close)(lf_device *device);

    // memory: zero-filled, 64-byte aligned
    lf_status (*alloc)(lf_device *device, size_t bytes, lf_dptr *out, lf_error *err);
    void (*free)(lf_device *device, lf_dptr p);
    lf_status (*write)(lf_device *device, lf_dptr dst, const void *src, size_t bytes, lf_error *err);
    lf_status (*read)(lf_device *device, void *dst, lf_dptr src, size_t bytes, lf_error *err);
    lf_status (*synchronize)(lf_device *device, lf_error *err);

    // weights. `weight_create` and `weight_free` are called by one thread at a time. `weight_fill` takes rows [row, row
    // + n_row) of columns [col, col + n_col) as bf16 and packs them; calls from several threads at once are allowed
    // when they touch different groups of LF_WEIGHT_ROW_GROUP rows. Padding is zero.
    lf_status (*weight_create)(lf_device *device, int64_t n_row, int64_t n_col, lf_weight **out, lf_error *err);
    void (*weight_free)(lf_device *device, lf_weight *weight);
    void (*weight_fill)(lf_weight *weight, int64_t row, int64_t n_row, int64_t col, int64_t n_col, const lf_bf16 *src,
                        size_t src_stride);
    uint64_t (*weight_bytes)(const lf_weight *weight);

    // operators
    lf_status (*linear)(lf_device *device, const lf_linear_args *args, lf_error *err);
    lf_status (*rms_norm)(lf_device *device, const lf_norm_args *args, lf_error *err);
    lf_status (*rope)(lf_device *device, const lf_rope_args *args, lf_error *err);
    lf_status (*kv_store)(lf_device *device, const lf_kv_store_args *args, lf_error *err);
    lf_status (*attention)(lf_device *device, const lf_attention_args *args, lf_error *err);
    lf_status (*head_product)(lf_device *device, const lf_head_product_args *args, lf_error *err);
    lf_status (*silu_mul)(lf_device *device, const lf_silu_mul_args *args, lf_error *err);
    lf_status (*embed)(lf_device *device, const lf_embed_args *args, lf_error *err);
    lf_status (*gather)(lf_device *device, const lf_gather_args *args, lf_error *err);
    lf_status (*all_reduce)(lf_device *device, const lf_all_reduce_args *args, lf_error *err);
    lf_status (*join)(lf_device *device, const lf_join_args *args, lf_error *err);
    lf_status (*square_sums)(lf_device *device, const lf_square_sums_args *args, lf_error *err);
    lf_status (*scale_norm)(lf_device *device, const lf_scale_norm_args *args, lf_error *err);
    lf_status (*route)(lf_device *device, const lf_route_args *args, lf_error *err);
    lf_status (*experts)(lf_device *device, const lf_experts_args *args, lf_error *err);
    // Bytes of scratch that experts needs for up to n_tok tokens; false when there is no such number. What a step
    // leaves in it nobody needs: one buffer serves all layers.
    bool (*experts_scratch)(size_t n_tok, size_t n_active, size_t n_held, size_t d, size_t d_ff, size_t *out);

    // sampling. Logits are f32 [n_row, n_vocab] inside rows of `stride`; results go to host memory, so these also
    // synchronize. `targets[i]` < 0: no target; n_top <= LF_MAX_TOP_LOGPROBS.
    lf_status (*logprobs)(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                          const int32_t *targets, const int32_t *n_top, lf_logprob_row *out, lf_error *err);
    lf_status (*edit_logits)(lf_device *device, lf_dptr logits, size_t stride, size_t n_edit,
                             const lf_logit_edit *edits, lf_error *err);
    lf_status (*sample)(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                        const lf_sample_row *rows, int32_t *tokens, lf_error *err);

    // (optional) graph capture: NULL when caps.captures_graphs is false
    lf_status (*graph_begin)(lf_device *device, lf_error *err);
    lf_status (*graph_end)(lf_device *device, void **out_graph, lf_error *err);
    lf_status (*graph_replay)(lf_device *device, void *graph, lf_error *err);
    void (*graph_free)(lf_device *device, void *graph);
};

// Rows of a weight that share memory granules: weight_fill from two threads must not meet inside one group.
enum { LF_WEIGHT_ROW_GROUP = 64 };

struct lf_device {
    const struct lf_device_ops *ops;
};

typedef struct lf_device_options {
    int n_thread;             // 0: all processors this process may use
    size_t max_n_tok;         // most rows an operator will be given: scratch is sized for it at open
    size_t max_vocab;         // longest row of logits that sample and logprobs will see
    size_t max_length;        // longest context
    lf_collective collective; // how ranks add up; zero: one rank
} lf_device_options;

// The CPU backend. Chooses its kernels for this processor (base/cpu.h) and logs the choice in one line.
lf_status lf_device_cpu_open(lf_device **out, const lf_device_options *options, lf_error *err);

#endif
