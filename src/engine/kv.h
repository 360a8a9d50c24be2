// SPDX-License-Identifier: Apache-2.0
//
// The paged KV cache. The pool hands out block numbers and knows nothing of devices; the cache is the device memory
// behind the numbers, two arrays per layer, or one where it holds latents. A sequence's table lists its blocks in
// order: position p lives in block table[p / block_size] at offset p % block_size.
#ifndef LF_ENGINE_KV_H
#define LF_ENGINE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"
#include "model/model.h"

typedef struct lf_block_pool {
    size_t block_size; // tokens
    size_t n_block;
    int32_t *free_blocks; // OWNED: a stack, so that the block freed last, which is still in the caches, is used first
    size_t n_free;
} lf_block_pool;

typedef struct lf_block_table {
    int32_t *blocks; // OWNED
    size_t n_block;
    size_t capacity; // fixed when the request is made: growing never allocates
} lf_block_table;

lf_status lf__block_pool_init(lf_block_pool *pool, size_t n_block, size_t block_size, lf_error *err);
void lf__block_pool_fini(lf_block_pool *pool);

// Room for a sequence of at most n_tok tokens.
lf_status lf__block_table_init(lf_block_table *table, size_t n_tok, size_t block_size, lf_error *err);
void lf__block_table_fini(lf_block_table *table);

size_t lf__blocks_for(const lf_block_pool *pool, size_t n_tok);
// Takes blocks until the table covers n_tok tokens. All or nothing: false, with the table as it was, when the pool is
// short.
bool lf__blocks_grow(lf_block_pool *pool, lf_block_table *table, size_t n_tok);
void lf__blocks_release(lf_block_pool *pool, lf_block_table *table);

typedef struct lf_kv_cache {
    lf_device *device;   // BORROWED
    lf_kv_layer *layers; // OWNED, and the device memory in them
    size_t n_layer;
    lf_block_pool pool;
} lf_kv_cache;

// n_kv_head: of this rank; 0 for a rank without heads, whose cache takes no memory.
// Bytes of one block over all layers; false when the product does not fit.
bool lf__kv_block_bytes(const lf_config *config, size_t n_kv_head, size_t block_size, size_t *out);
lf_status lf__kv_init(lf_kv_cache *kv, lf_device *device, const lf_config *config, size_t n_kv_head, size_t n_block,
                      size_t block_size, lf_error *err);
void lf__kv_fini(lf_kv_cache *kv); // a zeroed or half-built cache is accepted

#endif
