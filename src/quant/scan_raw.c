// SPDX-License-Identifier: Apache-2.0
//
// An unquantized matrix that holds the values of FP8 codes: a converter cast the codes and forgot their scales. Nothing
// in the headers shows it, and the model runs and babbles. A float that was not made of a code is on the grid of codes
// with a probability of 1 in 16, so a few dozen values decide; values whose scale was applied are on no such grid, or
// are small.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "quant/scan_int.h"

enum { MAX_SAMPLE = 4096, MIN_SAMPLE = 64, MIN_DISTINCT = 32 };

static float value_at(const lf_stored_tensor *tensor, uint64_t i)
{
    uint16_t half;
    uint32_t bits;
    if (tensor->dtype == LF_DTYPE_F32) {
        memcpy(&bits, tensor->data + 4 * i, sizeof bits);
        return lf_f32_from_bits(bits);
    }
    memcpy(&half, tensor->data + 2 * i, sizeof half);
    return tensor->dtype == LF_DTYPE_F16 ? lf_f16_to_f32(half) : lf_f32_from_bits((uint32_t)half << 16);
}

// Whether the value is one of E4M3 (those of E5M2 above its smallest are among them): three bits behind the leading
// one, a multiple of 2^-9, at most 448.
static bool is_code_value(float value)
{
    float steps = fabsf(value) * 512;
    return (lf_f32_bits(value) & 0xfffffu) == 0 && steps <= 448 * 512 && steps == floorf(steps);
}

// The sample's mean magnitude; -1 when a value is off the grid or there are too few different ones to tell.
static double mean_of_codes(const lf_stored_tensor *tensor, uint64_t n)
{
    bool seen[1 << 12] = {0}; // by sign, exponent and three bits of a value
    size_t n_distinct = 0;
    double sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        float value = value_at(tensor, i);
        if (!is_code_value(value)) return -1;
        bool *slot = &seen[lf_f32_bits(value) >> 20];
        n_distinct += !*slot;
        *slot = true;
        sum += fabs((double)value);
    }
    return n_distinct < MIN_DISTINCT ? -1 : sum / (double)n;
}

void lf__scan_raw_codes(const lf_stored_tensor *tensor, lf_findings *findings)
{
    bool is_float = tensor->dtype == LF_DTYPE_BF16 || tensor->dtype == LF_DTYPE_F16 || tensor->dtype == LF_DTYPE_F32;
    if (!is_float || tensor->rank < 2) return;
    uint64_t n = LF_MIN(tensor->bytes * 8 / (uint64_t)lf_dtype_bits(tensor->dtype), (uint64_t)MAX_SAMPLE);
    double mean = n < MIN_SAMPLE ? -1 : mean_of_codes(tensor, n);
    if (mean <= 1) return;
    char found[96];
    snprintf(found, sizeof found, "values of FP8 codes only, %.3g on average", mean);
    lf_finding_args args = {.code = "raw-codes",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = tensor->name,
                            .expected = "weights, codes times scales",
                            .found = found,
                            .remedy = "convert again from the original checkpoint: the scales were not applied"};
    lf_findings_add(findings, &args, "'%s' holds FP8 codes that were taken for numbers", tensor->name);
}
