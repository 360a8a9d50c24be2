// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 through nettle, for fingerprints of checkpoints and digests of reports.
#ifndef LF_BASE_HASH_H
#define LF_BASE_HASH_H

#include <nettle/sha2.h>
#include <stddef.h>

enum { LF_SHA256_HEX_BYTES = 65 };

typedef struct lf_sha256 {
    struct sha256_ctx ctx;
} lf_sha256;

void lf_sha256_init(lf_sha256 *hash);
void lf_sha256_update(lf_sha256 *hash, const void *bytes, size_t length);
// Writes 64 lower-case hexadecimal digits and a NUL.
void lf_sha256_final_hex(lf_sha256 *hash, char hex[LF_SHA256_HEX_BYTES]);

#endif
