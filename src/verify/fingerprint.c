// SPDX-License-Identifier: Apache-2.0
//
// The identity of a checkpoint. Hashing headers, config, names and sizes takes milliseconds and pins every tensor's
// name, shape and place; only --hash-data pins the values too, at the speed of the disk.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/progress.h"
#include "verify/verify_int.h"

enum { HASH_STEP_BYTES = 8 << 20 };

lf_status lf__file_digest(const char *path, char hex[65], lf_error *err)
{
    lf_mapping mapping;
    lf_status status = lf_mapping_open(&mapping, path, err);
    if (status) return status;
    lf_sha256 hash;
    lf_sha256_init(&hash);
    if (mapping.bytes) lf_sha256_update(&hash, mapping.data, mapping.bytes);
    lf_sha256_final_hex(&hash, hex);
    lf_mapping_close(&mapping);
    return LF_OK;
}

// Names, lengths and counts go in with their terminator or as text, so that no two different lists hash alike.
static void hash_headers(const lf_checkpoint *checkpoint, char hex[65])
{
    lf_sha256 hash;
    lf_sha256_init(&hash);
    for (size_t i = 0; i < lf_checkpoint_n_shard(checkpoint); i++) {
        const lf_shard *shard = lf_checkpoint_shard(checkpoint, i);
        char sizes[64];
        int length =
            snprintf(sizes, sizeof sizes, "%zu %llu", shard->header_bytes, (unsigned long long)shard->file_bytes);
        lf_sha256_update(&hash, shard->file_name, strlen(shard->file_name) + 1);
        lf_sha256_update(&hash, sizes, (size_t)length + 1);
        lf_sha256_update(&hash, shard->header, shard->header_bytes);
    }
    lf_sha256_final_hex(&hash, hex);
}

static void hash_data(const lf_checkpoint *checkpoint, char hex[65])
{
    lf_progress progress;
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_progress_begin(&progress, "hashing data", "bytes", lf_checkpoint_bytes(checkpoint));
    for (size_t i = 0; i < lf_checkpoint_count(checkpoint); i++) {
        const lf_stored_tensor *tensor = lf_checkpoint_tensor(checkpoint, i);
        lf_sha256_update(&hash, tensor->name, strlen(tensor->name) + 1);
        lf_checkpoint_prefetch(checkpoint, tensor);
        for (uint64_t at = 0; at < tensor->bytes; at += HASH_STEP_BYTES) {
            size_t bytes = (size_t)LF_MIN((uint64_t)HASH_STEP_BYTES, tensor->bytes - at);
            lf_sha256_update(&hash, tensor->data + at, bytes);
            lf_progress_add(&progress, bytes);
        }
    }
    lf_progress_end(&progress);
    lf_sha256_final_hex(&hash, hex);
}

lf_status lf__fingerprint(json_t **out, const char *model_dir, const lf_checkpoint *checkpoint, bool with_data,
                          lf_error *err)
{
    char config_hex[65], headers_hex[65], data_hex[65] = "", all_hex[65];
    char *config_path = lf_path_join(model_dir, "config.json");
    if (!config_path) return lf_error_no_memory(err, 0);
    lf_status status = lf__file_digest(config_path, config_hex, err);
    free(config_path);
    if (status) return status;

    hash_headers(checkpoint, headers_hex);
    if (with_data) hash_data(checkpoint, data_hex);
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_sha256_update(&hash, config_hex, 64);
    lf_sha256_update(&hash, headers_hex, 64);
    lf_sha256_final_hex(&hash, all_hex);

    *out = json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I}", "algorithm", "sha256", "checkpoint", all_hex, "config",
                     config_hex, "headers", headers_hex, "data", with_data ? json_string(data_hex) : json_null(),
                     "n_shard", (json_int_t)lf_checkpoint_n_shard(checkpoint), "n_tensor",
                     (json_int_t)lf_checkpoint_count(checkpoint), "tensor_bytes",
                     (json_int_t)lf_checkpoint_bytes(checkpoint));
    return *out ? LF_OK : lf_error_no_memory(err, 0);
}
