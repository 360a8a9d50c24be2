// SPDX-License-Identifier: Apache-2.0
//
// Block pool, block tables and the cache's device memory. Only the engine thread touches them, so there is no lock.
// Invariant: a block is either on the free stack or in exactly one table.
#include "engine/kv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

lf_status lf__block_pool_init(lf_block_pool *pool, size_t n_block, size_t block_size, lf_error *err)
{
    if (n_block == 0 || block_size == 0 || n_block > INT32_MAX / block_size) {
        return lf_error_set(err, LF_ERR_INVALID, "the KV cache cannot have %zu blocks of %zu tokens", n_block,
                            block_size);
    }
    pool->free_blocks = malloc(n_block * sizeof *pool->free_blocks);
    if (!pool->free_blocks) return lf_error_no_memory(err, n_block * sizeof *pool->free_blocks);
    pool->block_size = block_size;
    pool->n_block = pool->n_free = n_block;
    for (size_t i = 0; i < n_block; i++) pool->free_blocks[i] = (int32_t)(n_block - 1 - i);
    return LF_OK;
}

void lf__block_pool_fini(lf_block_pool *pool)
{
    free(pool->free_blocks);
    *pool = (lf_block_pool){0};
}

lf_status lf__block_table_init(lf_block_table *table, size_t n_tok, size_t block_size, lf_error *err)
{
    size_t capacity = n_tok / block_size + 1;
    table->blocks = malloc(capacity * sizeof *table->blocks);
    if (!table->blocks) return lf_error_no_memory(err, capacity * sizeof *table->blocks);
    table->capacity = capacity;
    table->n_block = 0;
    return LF_OK;
}

void lf__block_table_fini(lf_block_table *table)
{
    free(table->blocks);
    *table = (lf_block_table){0};
}

size_t lf__blocks_for(const lf_block_pool *pool, size_t n_tok)
{
    return n_tok / pool->block_size + (n_tok % pool->block_size != 0);
}

bool lf__blocks_grow(lf_block_pool *pool, lf_block_table *table, size_t n_tok)
{
    size_t need = lf__blocks_for(pool, n_tok);
    if (need <= table->n_block) return true;
    assert(need <= table->capacity);
    if (need - table->n_block > pool->n_free) return false;
    while (table->n_block < need) table->blocks[table->n_block++] = pool->free_blocks[--pool->n_free];
    return true;
}

void lf__blocks_release(lf_block_pool *pool, lf_block_table *table)
{
    while (table->n_block > 0) pool->free_blocks[pool->n_free++] = table->blocks[--table->n_block];
}

// Bytes of one array of one layer, whose heads keep `width` elements of a token.
static bool plane_bytes(int64_t width, size_t n_kv_head, size_t n_tok, size_t *out)
{
    size_t n = sizeof(lf_bf16);
    return lf_mul_size(n, n_kv_head, &n) && lf_mul_size(n, (size_t)width, &n) && lf_mul_size(n, n_tok, out);
}

bool lf__kv_block_bytes(const lf_config *config, size_t n_kv_head, size_t block_size, size_t *out)
{
    size_t n;
    return plane_bytes(lf_config_cache_width(config), n_kv_head, block_size, &n) &&
           lf_mul_size(n, (size_t)config->num_hidden_layers, out);
}

lf_status lf__kv_init(lf_kv_cache *kv, lf_device *device, const lf_config *config, size_t n_kv_head, size_t n_block,
                      size_t block_size, lf_error *err)
{
    bool is_latent = config->kv_lora_rank > 0;
    int64_t d_key = is_latent ? lf_config_cache_width(config) : config->head_dim;
    int64_t d_value = is_latent ? config->kv_lora_rank : config->head_dim;
    size_t n_tok, bytes;
    if (!lf_mul_size(n_block, block_size, &n_tok) || !plane_bytes(d_key, n_kv_head, n_tok, &bytes)) {
        return lf_error_set(err, LF_ERR_LIMIT, "a KV cache of %zu blocks of %zu tokens is too large", n_block,
                            block_size);
    }
    lf_status status = lf__block_pool_init(&kv->pool, n_block, block_size, err);
    if (status) return status;
    kv->device = device;
    kv->n_layer = (size_t)config->num_hidden_layers;
    kv->layers = calloc(kv->n_layer, sizeof *kv->layers);
    if (!kv->layers) return lf_error_no_memory(err, kv->n_layer * sizeof *kv->layers);
    for (size_t i = 0; i < kv->n_layer && !status; i++) {
        lf_kv_layer *layer = &kv->layers[i];
        layer->block_size = block_size;
        layer->n_kv_head = n_kv_head;
        layer->d_head = (size_t)d_key;
        layer->d_value = (size_t)d_value;
        if (bytes > 0) status = device->ops->alloc(device, bytes, &layer->keys, err);
        if (!status && bytes > 0 && !is_latent) status = device->ops->alloc(device, bytes, &layer->values, err);
    }
    return status;
}

void lf__kv_fini(lf_kv_cache *kv)
{
    for (size_t i = 0; kv->layers && i < kv->n_layer; i++) {
        kv->device->ops->free(kv->device, kv->layers[i].keys);
        kv->device->ops->free(kv->device, kv->layers[i].values);
    }
    free(kv->layers);
    lf__block_pool_fini(&kv->pool);
    *kv = (lf_kv_cache){0};
}
