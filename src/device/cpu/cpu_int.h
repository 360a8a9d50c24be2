// SPDX-License-Identifier: Apache-2.0
//
// What the files of the CPU backend share: the device, its scratch, the packed matrix. All scratch is mapped when the
// device is opened or a weight is created; operators only use it. One thread at a time calls the operators of a device;
// they spread their work over the threads of base/par.h.
#ifndef LF_DEVICE_CPU_INT_H
#define LF_DEVICE_CPU_INT_H

#include <assert.h>

#include "base/mem.h"
#include "device/cpu/kernels.h"
#include "device/device.h"

enum {
    LF_WEIGHT_COLUMN_GROUP = 32, // columns of a matrix are padded to a multiple of it
    LF_MAX_D_HEAD = 576,         // longest head that attention has scratch for: a latent of 512 and 64 that rotate
    LF_QUERY_ROWS = 96,          // (token, head) pairs that attention works on at a time; whole groups
    LF_MANY_TOKENS = 32,         // from so many on, a linear layer works on tiles (linear_tiles.c)
    LF_TOKEN_BLOCK = 258,        // tokens that share one pass over a panel; whole groups
    LF_TILE_COLUMNS = 192,       // columns of a panel that are strips at a time: 48 KiB
    LF_LINEAR_TOKENS = 512,      // tokens expanded to f32 at a time
    LF_PRIVATE_TOKENS = 8,       // up to so many, each thread expands its own copy instead of waiting for the others
    LF_RUN_BLOCKS = 8,           // blocks of columns that tokens pass over at a time on a matrix unit
    LF_FEW_TOKENS = 112,         // up to so many stream the weights once on a matrix unit; whole groups
    LF_ITEM_PANELS = 4,          // panels of one piece of such work, at most
    LF_KEY_SEGMENT = 512,        // keys whose softmax is folded into the total as one; multiple of LF_KEY_CHUNK
};

// One mapping of zeroed pages, on huge pages where the system has them.
typedef struct lf_pages {
    void *address; // 64-byte aligned; NULL: none
    size_t bytes;  // as mapped; 0: from malloc
} lf_pages;

lf_status lf__pages_map(lf_pages *out, size_t bytes, lf_error *err);
void lf__pages_unmap(lf_pages *pages);

// A mapping that blocks share: each would waste a part of its last huge page, and a model of many experts has more of
// them than a process may have mappings. It lives as long as one of its blocks.
typedef struct lf_chunk {
    lf_pages pages;
    size_t used, n_block;
} lf_chunk;
enum { LF_CHUNK_BYTES = 64 << 20, LF_CHUNK_FEWEST = 64 << 10, LF_CHUNK_MOST = LF_CHUNK_BYTES / 4 };

// A block of LF_CHUNK_FEWEST to LF_CHUNK_MOST zeroed bytes, on a page of its own, in *current or in the new chunk that
// takes its place.
lf_status lf__chunk_take(lf_chunk **current, size_t bytes, void **out, lf_error *err);
// Gives a block of `chunk` back, which ends the chunk when it was the last.
void lf__chunk_give(lf_chunk **current, lf_chunk *chunk);

// The matrix [n_row, n_col]: panels of 64 rows, one after the other (kernels.h).
struct lf_weight {
    const lf_cpu_kernels *kernels; // BORROWED from the device
    lf_pages pages;
    lf_chunk *chunk; // that pages.address is in; NULL: pages are its own
    size_t n_row, n_col;
    size_t n_panel, n_pair; // ceil(n_row / 64); pairs of columns of a panel, n_col padded to whole column groups
};

static inline lf_bf16 *lf__weight_panel(const lf_weight *weight, size_t panel)
{
    return (lf_bf16 *)weight->pages.address + panel * weight->n_pair * LF_PANEL_PAIR;
}

// Sums of one piece of work of a linear layer: on tiles, or on blocks, whose tokens come in whole groups.
enum {
    LF_SUM_ELEMENTS = LF_MAX(LF_TOKEN_BLOCK, LF_ITEM_PANELS *LF_LINEAR_TOKENS) * LF_PANEL_ROWS,
};

// What one thread works in. Attention: a tile of query rows against chunks of keys; see attention.c. head_product works
// in the same.
typedef struct lf_thread_scratch {
    _Alignas(64) float sum[LF_SUM_ELEMENTS];
    _Alignas(64) float strips[LF_TILE_COLUMNS * LF_PANEL_ROWS];
    _Alignas(64) float query[LF_QUERY_ROWS * LF_MAX_D_HEAD];
    _Alignas(64) float score[LF_QUERY_ROWS * LF_KEY_CHUNK];
    _Alignas(64) float part[LF_QUERY_ROWS * LF_MAX_D_HEAD];
    _Alignas(64) float total[LF_QUERY_ROWS * LF_MAX_D_HEAD];
    float part_m[LF_QUERY_ROWS], part_l[LF_QUERY_ROWS];
    float total_m[LF_QUERY_ROWS], total_l[LF_QUERY_ROWS];
    _Alignas(64) float key_strips[LF_MAX_D_HEAD * LF_PANEL_ROWS];
    _Alignas(64) float value_strips[LF_MAX_D_HEAD * LF_KEY_CHUNK];
} lf_thread_scratch;

// Consecutive query tokens of one sequence that attention takes together.
typedef struct lf_attention_tile {
    int32_t sequence;
    int32_t first_tok, n_tok; // rows of q
    int32_t position;         // of the first
} lf_attention_tile;

typedef struct lf_cpu_device {
    lf_device base; // first: operators get a lf_device
    lf_cpu_kernels kernels;
    lf_cpu_isa isa;
    int n_thread;
    lf_device_options options;
    char description[256];
    uint64_t memory_bytes;
    lf_chunk *weights_chunk; // that the next weight may go into; owned by the weights in it
    lf_pages threads_pages;  // lf_thread_scratch [n_thread]
    lf_pages tiles_pages;    // lf_attention_tile [max_n_tok]
    lf_pages parts_pages;    // what an operator keeps between its loops: partial softmaxes, logits of experts
    lf_pages rows_pages;     // f32 [n_thread][max_vocab]: a row of weights for sampling
    lf_pages x_pages;        // activations as the products read them, grown by weight_create
    size_t x_stride;         // floats of one row in x_pages
    bool has_matrix_unit;    // linear layers use multiply_blocks
} lf_cpu_device;

static inline lf_cpu_device *lf__cpu(lf_device *device) { return (lf_cpu_device *)(void *)device; }
static inline lf_thread_scratch *lf__thread_scratch(lf_cpu_device *cpu, int thread)
{
    assert(thread >= 0 && thread < cpu->n_thread);
    return (lf_thread_scratch *)cpu->threads_pages.address + thread;
}

// Rows of so many elements that are worth a second thread: light work on a few of them is done sooner by one.
static inline size_t lf__grain_of(size_t row_elements) { return 16384 / (row_elements + 1) + 1; }

// weight.c
lf_status lf__cpu_weight_create(lf_device *device, int64_t n_row, int64_t n_col, lf_weight **out, lf_error *err);
void lf__cpu_weight_free(lf_device *device, lf_weight *weight);
void lf__cpu_weight_fill(lf_weight *weight, int64_t row, int64_t n_row, int64_t col, int64_t n_col, const lf_bf16 *src,
                         size_t src_stride);
uint64_t lf__cpu_weight_bytes(const lf_weight *weight);
lf_status lf__cpu_embed(lf_device *device, const lf_embed_args *args, lf_error *err);
// linear.c
lf_status lf__cpu_linear(lf_device *device, const lf_linear_args *args, lf_error *err);
void lf__linear_store(const lf_cpu_kernels *kernels, const lf_linear_args *args, const float *sum, size_t tok,
                      size_t n_tok, size_t row, size_t n_row);
// Tokens [first_tok, first_tok + n_tok) of a linear layer as its products read them: in tiles on a matrix unit, at most
// LF_FEW_TOKENS; else in float32, fewer than LF_MANY_TOKENS. Columns that the matrix does not have are zero.
typedef struct lf_few_tokens {
    const lf_linear_args *args;
    size_t first_tok, n_tok;
    const lf_bf16 *tiles; // filled by lf__tile_token
    const float *wide;    // [n_tok, 2 * n_pair]
    size_t wide_stride;
} lf_few_tokens;
// The product of these tokens and some strips of a panel, stored. sum: scratch, [tokens in whole groups, 64].
void lf__linear_strips(const lf_cpu_device *cpu, const lf_few_tokens *tokens, float *sum, size_t panel, size_t strip,
                       size_t n_strip);
// Strips of one piece of work when there are n_panel panels in all: LF_PANEL_STRIPS or 1.
size_t lf__linear_item_strips(const lf_cpu_device *cpu, size_t n_panel);
lf_status lf__cpu_linear_reserve(lf_cpu_device *cpu, size_t n_pair, lf_error *err);
// linear_tiles.c
void lf__linear_tiles(lf_cpu_device *cpu, const lf_linear_args *args, size_t first, size_t n_tok);
// linear_blocks.c
// Tokens that the tiles of n_tok tokens have room for; those from n_tok on are to be filled, too.
static inline size_t lf__tile_tokens(size_t n_tok)
{
    return n_tok <= LF_BLOCK_TOKENS ? n_tok : (n_tok + LF_BLOCK_TOKENS - 1) / LF_BLOCK_TOKENS * LF_BLOCK_TOKENS;
}
// Token `tok` of the tiles (kernels.h, THE BLOCKS) of n_tok tokens of n_block blocks: the n elements at src, then
// zeros.
void lf__tile_token(lf_bf16 *tiles, size_t n_tok, size_t tok, size_t n_block, const lf_bf16 *src, size_t n);
void lf__multiply_tiles(const lf_cpu_device *cpu, const lf_few_tokens *tokens, float *sum, size_t panel, size_t strip,
                        size_t n_strip);
void lf__linear_blocks(lf_cpu_device *cpu, const lf_linear_args *args, size_t first, size_t n_tok);
// rowwise.c
lf_status lf__cpu_rms_norm(lf_device *device, const lf_norm_args *args, lf_error *err);
lf_status lf__cpu_rope(lf_device *device, const lf_rope_args *args, lf_error *err);
lf_status lf__cpu_kv_store(lf_device *device, const lf_kv_store_args *args, lf_error *err);
lf_status lf__cpu_silu_mul(lf_device *device, const lf_silu_mul_args *args, lf_error *err);
lf_status lf__cpu_gather(lf_device *device, const lf_gather_args *args, lf_error *err);
// shared.c
lf_status lf__cpu_all_reduce(lf_device *device, const lf_all_reduce_args *args, lf_error *err);
lf_status lf__cpu_join(lf_device *device, const lf_join_args *args, lf_error *err);
lf_status lf__cpu_square_sums(lf_device *device, const lf_square_sums_args *args, lf_error *err);
lf_status lf__cpu_scale_norm(lf_device *device, const lf_scale_norm_args *args, lf_error *err);
// route.c
lf_status lf__cpu_route(lf_device *device, const lf_route_args *args, lf_error *err);
// experts.c
lf_status lf__cpu_experts(lf_device *device, const lf_experts_args *args, lf_error *err);
bool lf__cpu_experts_scratch(size_t n_tok, size_t n_active, size_t n_held, size_t d, size_t d_ff, size_t *out);
// attention.c
lf_status lf__cpu_attention(lf_device *device, const lf_attention_args *args, lf_error *err);
// head_product.c
lf_status lf__cpu_head_product(lf_device *device, const lf_head_product_args *args, lf_error *err);
// sample.c, logprob.c
lf_status lf__cpu_sample_reserve(lf_cpu_device *cpu, lf_error *err);
lf_status lf__cpu_logprobs(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                           const int32_t *targets, const int32_t *n_top, lf_logprob_row *out, lf_error *err);
lf_status lf__cpu_edit_logits(lf_device *device, lf_dptr logits, size_t stride, size_t n_edit,
                              const lf_logit_edit *edits, lf_error *err);
lf_status lf__cpu_sample(lf_device *device, lf_dptr logits, size_t stride, size_t n_vocab, size_t n_row,
                         const lf_sample_row *rows, int32_t *tokens, lf_error *err);

#endif
