// SPDX-License-Identifier: Apache-2.0
//
// The kernel behind lf_scan_bytes: whole stripes of 64 bytes, one function per instruction set.
#ifndef LF_BASE_SCAN_INT_H
#define LF_BASE_SCAN_INT_H

#include <stddef.h>
#include <stdint.h>

#include "base/num_int.h"

enum { LF__SCAN_LANES = 8, LF__SCAN_STRIPE = 64 };

// How values that are not finite are recognized in a word of `width` bytes: (word ^ flip) & mask is `from` or more; for
// 16 and 32 bits it then equals `from`. A width of 0 recognizes nothing.
typedef struct lf__special {
    uint8_t width;
    uint8_t flip, mask8, from8;
    uint32_t mask;
} lf__special;

typedef struct lf__scan_state {
    uint64_t lanes[LF__SCAN_LANES], keys[LF__SCAN_LANES];
    uint8_t any, max_code; // of all bytes, whatever the dtype
    uint8_t has_special;
} lf__scan_state;

#define LF__SCAN_KEY_STEP 0x9e3779b97f4a7c15u // 2^64 over the golden ratio: no key comes twice

void lf__scan_stripes__ref(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special);
#if defined(__x86_64__)
void lf__scan_stripes__avx2(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special);
#endif

#endif
