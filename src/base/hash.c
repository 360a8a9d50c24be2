// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 and its hexadecimal form.
#include "base/hash.h"

#include <stdint.h>
#include <stdio.h>

void lf_sha256_init(lf_sha256 *hash) { sha256_init(&hash->ctx); }

void lf_sha256_update(lf_sha256 *hash, const void *bytes, size_t length) { sha256_update(&hash->ctx, length, bytes); }

void lf_sha256_final_hex(lf_sha256 *hash, char hex[LF_SHA256_HEX_BYTES])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(&hash->ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) sprintf(hex + 2 * i, "%02x", digest[i]);
}
