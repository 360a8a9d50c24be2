// SPDX-License-Identifier: Apache-2.0
//
// One look at every byte of a tensor, at memory speed: a digest, whether anything is not zero, the largest FP8 code,
// and whether a value is not a number. The digest finds equal tensors and damaged copies; it is no cryptographic hash.
#ifndef LF_BASE_SCAN_H
#define LF_BASE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

typedef struct lf_digest {
    uint64_t high, low;
} lf_digest;

enum { LF_DIGEST_HEX_BYTES = 33 };

// 32 lower-case hexadecimal digits and a NUL, `high` first.
void lf_digest_hex(lf_digest digest, char hex[LF_DIGEST_HEX_BYTES]);

typedef struct lf_scan {
    lf_digest digest;
    uint8_t any;      // all bytes or-ed together
    uint8_t max_code; // of FP8: the largest magnitude, code & 0x7f; NaN codes count. 0 for other dtypes
    bool has_special; // FP8: a NaN code; BF16, F16, F32: NaN or infinity. false for other dtypes
} lf_scan;

// Looks at bytes[0, n), which may be unaligned and hold part of a tensor of `dtype`, cut between elements. The digest
// is the same on every processor: eight 64-bit lanes take 64 bytes at a time,
//   d = data[i] ^ key[i];  lane[i] += (d mod 2^32) * (d div 2^32);  lane[i ^ 1] += data[i];  key[i] += step,
// the last 64 bytes filled up with zeros, and are mixed with n at the end.
lf_scan lf_scan_bytes(const uint8_t *bytes, size_t n, lf_dtype dtype);

// The digest of two parts together, in this order.
lf_digest lf_digest_join(lf_digest first, lf_digest second);

#endif
