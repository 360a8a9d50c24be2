// SPDX-License-Identifier: Apache-2.0
//
// What all scales together show. The weights that share a name but for its numbers (layers, experts) are a family; they
// were trained alike, so that their scales lie within a few powers of two. The thresholds are far outside of what
// published checkpoints have: 16 times the family's median, 1024 times a weight's own mean.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"
#include "quant/scan_int.h"

static const double outlier_log2 = 4, spike_log2 = 10;

static uint32_t bits_of(const lf_stored_tensor *scale, uint64_t i)
{
    uint32_t bits = 0;
    uint16_t half;
    switch (scale->dtype) {
    case LF_DTYPE_F32: memcpy(&bits, scale->data + 4 * i, sizeof bits); return bits;
    case LF_DTYPE_BF16: memcpy(&half, scale->data + 2 * i, sizeof half); return (uint32_t)half << 16;
    case LF_DTYPE_F16: memcpy(&half, scale->data + 2 * i, sizeof half); return lf_f32_bits(lf_f16_to_f32(half));
    default: return lf_f32_bits(lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scale->data[i])); // MXFP8 keeps E8M0 in U8
    }
}

lf__scale_stats lf__scale_stats_of(const lf_stored_tensor *scale)
{
    lf__scale_stats stats = {.n = scale->bytes * 8 / (uint64_t)lf_dtype_bits(scale->dtype)};
    uint32_t max = 0;
    uint64_t sum = 0, n_good = 0;
    for (uint64_t i = 0; i < stats.n; i++) { // the bits of positive floats are in the order of their values
        uint32_t bits = bits_of(scale, i);
        bool is_good = bits - 1 < 0x7f7fffffu;
        n_good += is_good;
        sum += is_good ? bits : 0;
        max = is_good && bits > max ? bits : max;
    }
    stats.n_bad = stats.n - n_good;
    stats.max = lf_f32_from_bits(max);
    stats.mean_log2 = n_good ? (double)sum / (double)n_good * 0x1p-23 - 127 : 0;
    return stats;
}

typedef struct member {
    lf_digest family;
    double mean_log2;
    size_t tensor; // logical
} member;

static int compare_members(const void *a, const void *b)
{
    const member *x = a, *y = b;
    if (x->family.high != y->family.high) return x->family.high < y->family.high ? -1 : 1;
    if (x->family.low != y->family.low) return x->family.low < y->family.low ? -1 : 1;
    if (x->mean_log2 != y->mean_log2) return x->mean_log2 < y->mean_log2 ? -1 : 1;
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static void report_outlier(const lf_logical_tensor *tensor, double mean, double median, size_t n, lf_findings *findings)
{
    char expected[96], found[64];
    snprintf(expected, sizeof expected, "about %.3g, the median of the same weight in %zu places", exp2(median), n);
    snprintf(found, sizeof found, "%.3g on average", exp2(mean));
    lf_finding_args args = {.code = "scale-outlier",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = tensor->name,
                            .expected = expected,
                            .found = found,
                            .remedy = "compare with the original checkpoint: the scale may be of another weight"};
    lf_findings_add(findings, &args, "the scales of '%s' are %.3g times those of its siblings", tensor->name,
                    exp2(mean - median));
}

// Weights whose scales are far from the family's. The family is sorted by mean; a wide one tells nothing.
static void check_family(const lf_quant *quant, const member *members, size_t n, lf_findings *findings)
{
    if (n < 4) return;
    double median = members[n / 2].mean_log2, spread = members[n - 1 - n / 4].mean_log2 - members[n / 4].mean_log2;
    double limit = fmax(outlier_log2, 8 * spread);
    for (size_t i = 0; i < n; i++) {
        if (fabs(members[i].mean_log2 - median) <= limit) continue;
        report_outlier(lf_quant_tensor(quant, members[i].tensor), members[i].mean_log2, median, n, findings);
    }
}

// Scales within 32 times of the largest: many, where the others are so small because their blocks are empty.
static uint64_t count_large(const lf_stored_tensor *scale, const lf__scale_stats *stats)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < stats->n; i++) {
        float value = lf_f32_from_bits(bits_of(scale, i));
        n += value >= stats->max / 32 && value <= stats->max;
    }
    return n;
}

static void check_spike(const lf_logical_tensor *tensor, const lf__scale_stats *stats, lf_findings *findings)
{
    if (stats->n < 4 || stats->n_bad == stats->n || log2((double)stats->max) - stats->mean_log2 < spike_log2) return;
    if (tensor->layout == LF_SCALE_GROUP || count_large(tensor->scale, stats) > stats->n / 100 + 1) return;
    char expected[64], found[64];
    snprintf(expected, sizeof expected, "about %.3g, the mean", exp2(stats->mean_log2));
    snprintf(found, sizeof found, "%.3g", (double)stats->max);
    lf_finding_args args = {.code = "scale-spike",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = tensor->name,
                            .expected = expected,
                            .found = found,
                            .remedy = "compare with the original checkpoint: a single scale is out of line"};
    lf_findings_add(findings, &args, "a scale of '%s' is far larger than the others", tensor->name);
}

// Codes times scales give enormous weights, codes over scales sensible ones: the scales were stored as what one divides
// by.
static bool looks_reciprocal(const lf_logical_tensor *tensor, const lf_scan *weight, const lf__scale_stats *stats)
{
    if (!lf_dtype_is_fp8(tensor->weight->dtype) || stats->n_bad) return false;
    double code = (double)lf_fp8_to_f32(tensor->weight->dtype, weight->max_code), scale = exp2(stats->mean_log2);
    return scale > 4 && code * scale > 256 && code / scale < 16;
}

static void report_reciprocal(const lf_logical_tensor *first, const lf__scale_stats *stats, size_t n,
                              lf_findings *findings)
{
    char found[64];
    snprintf(found, sizeof found, "%.3g on average", exp2(stats->mean_log2));
    lf_finding_args args = {.code = "scale-reciprocal",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = first->name,
                            .expected = "scales below 1, to multiply the codes by",
                            .found = found,
                            .remedy = "the tool that wrote them stored 1 / scale: every engine multiplies"};
    lf_findings_add(findings, &args, "the scales of %zu weights look like their reciprocals, the first is '%s'", n,
                    first->name);
}

// Whether the scales, stored as floats, are whole numbers as the bytes of E8M0 are: 115.0 where 2^-12 is meant. Powers
// of two alone could as well be reciprocals.
static bool looks_like_exponents(const lf_stored_tensor *scale, const lf__scale_stats *stats)
{
    bool is_byte = scale->dtype == LF_DTYPE_U8 || scale->dtype == LF_DTYPE_F8_E8M0, has_other = false;
    if (is_byte || stats->n_bad || stats->max > 254 || stats->mean_log2 < 6) return false;
    for (uint64_t i = 0; i < stats->n; i++) {
        float value = lf_f32_from_bits(bits_of(scale, i));
        if (value < 64 || value != floorf(value)) return false;
        has_other |= (lf_f32_bits(value) & 0x7fffffu) != 0;
    }
    return has_other;
}

// E8M0 has no zero: bytes that were never written are scales of 2^-127, which make nothing of any code.
static bool is_unwritten(const lf_logical_tensor *tensor, const lf_scan *weight, const lf__scale_stats *stats)
{
    lf_dtype dtype = tensor->scale->dtype;
    bool is_byte = dtype == LF_DTYPE_U8 || dtype == LF_DTYPE_F8_E8M0;
    return is_byte && weight->any && stats->max <= 0x1p-127f;
}

static void report_unwritten(const lf_logical_tensor *tensor, lf_findings *findings)
{
    lf_finding_args args = {.code = "bad-scale",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = tensor->name,
                            .expected = "exponents",
                            .found = "zero bytes only, scales of 2^-127",
                            .remedy = "the scale was not written: get the checkpoint again"};
    lf_findings_add(findings, &args, "all scales of '%s' are zero bytes over values", tensor->name);
}

static void report_exponents(const lf_logical_tensor *first, const lf__scale_stats *stats, size_t n,
                             lf_findings *findings)
{
    char expected[64], found[64];
    snprintf(expected, sizeof expected, "about %.3g, 2 to the power of that minus 127", exp2((double)stats->max - 127));
    snprintf(found, sizeof found, "whole numbers up to %.3g", (double)stats->max);
    lf_finding_args args = {.code = "scale-exponents",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = first->name,
                            .expected = expected,
                            .found = found,
                            .remedy = "convert again: each byte of an E8M0 scale is an exponent, not a number"};
    lf_findings_add(findings, &args, "the scales of %zu weights are E8M0 bytes taken for numbers, the first is '%s'", n,
                    first->name);
}

void lf__scan_scales(const lf_quant *quant, const lf_scan *scans, const lf__scale_stats *stats, lf_findings *findings)
{
    size_t n = 0, n_reciprocal = 0, first_reciprocal = 0, n_exponents = 0, first_exponents = 0;
    member *members = lf_realloc_array(NULL, LF_MAX(lf_quant_count(quant), 1), sizeof *members);
    if (!members) {
        findings->failed = true;
        return;
    }
    const lf_stored_tensor *stored = lf_quant_count(quant) ? lf_checkpoint_tensor(quant->checkpoint, 0) : NULL;
    for (size_t i = 0; i < lf_quant_count(quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
        char family[512];
        if (!tensor->scale || stats[i].n_bad == stats[i].n) continue;
        check_spike(tensor, &stats[i], findings);
        if (is_unwritten(tensor, &scans[tensor->weight - stored], &stats[i])) {
            report_unwritten(tensor, findings);
            continue;
        }
        if (looks_like_exponents(tensor->scale, &stats[i])) {
            if (n_exponents++ == 0) first_exponents = i;
        } else if (looks_reciprocal(tensor, &scans[tensor->weight - stored], &stats[i])) {
            if (n_reciprocal++ == 0) first_reciprocal = i;
        }
        if (!lf_tensor_family(family, sizeof family, tensor->name)) continue;
        lf_digest key = lf_scan_bytes((const uint8_t *)family, strlen(family), LF_DTYPE_U8).digest;
        members[n++] = (member){key, stats[i].mean_log2, i};
    }
    if (n) qsort(members, n, sizeof *members, compare_members);
    for (size_t begin = 0; begin < n;) {
        size_t end = begin + 1;
        while (end < n && members[end].family.high == members[begin].family.high &&
               members[end].family.low == members[begin].family.low) {
            end++;
        }
        check_family(quant, members + begin, end - begin, findings);
        begin = end;
    }
    if (n_reciprocal) {
        report_reciprocal(lf_quant_tensor(quant, first_reciprocal), &stats[first_reciprocal], n_reciprocal, findings);
    }
    if (n_exponents) {
        report_exponents(lf_quant_tensor(quant, first_exponents), &stats[first_exponents], n_exponents, findings);
    }
    free(members);
}
