// SPDX-License-Identifier: Apache-2.0
//
// The parts of the deep scan: the quick look at every byte (scan.c), what is derived from all scales (scan_scales.c),
// the slow look at what is suspicious (scan_exact.c), and codes that were taken for numbers (scan_raw.c).
#ifndef LF_QUANT_SCAN_INT_H
#define LF_QUANT_SCAN_INT_H

#include "base/scan.h"
#include "quant/quant.h"

// The scales of one weight. Logarithms are base 2, linear between powers of two, which is close enough to compare
// sizes.
typedef struct lf__scale_stats {
    uint64_t n, n_bad; // bad: NaN, infinite, zero, negative
    float max;         // of the good ones
    double mean_log2;
} lf__scale_stats;

lf__scale_stats lf__scale_stats_of(const lf_stored_tensor *scale);

// Scales that stand out: a weight among the weights of the same name in other layers, a scale among those of its
// weight, and scales that look like their reciprocals. `scans` belongs to the stored tensors, `stats` to the logical
// ones.
void lf__scan_scales(const lf_quant *quant, const lf_scan *scans, const lf__scale_stats *stats, lf_findings *findings);

// Dequantizes a paired weight and reports NaN codes, bad scales and overflows.
lf_status lf__scan_products(const lf_logical_tensor *tensor, lf_findings *findings, lf_error *err);
// Reports an unquantized matrix whose values are those of FP8 codes, which no scale was applied to.
void lf__scan_raw_codes(const lf_stored_tensor *tensor, lf_findings *findings);
// Counts and reports values of a stored tensor that are not finite.
void lf__scan_values(const lf_stored_tensor *tensor, lf_findings *findings);

#endif
