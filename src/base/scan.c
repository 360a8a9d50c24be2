// SPDX-License-Identifier: Apache-2.0
//
// The portable scan, the ends of a scan, and the choice of its kernel. The position of every stripe is in the keys, so
// that two rows that changed places change the digest; the lane beside gets the data as it is, so that a factor of zero
// hides nothing.
#include "base/scan.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/scan_int.h"

static const uint64_t first_keys[LF__SCAN_LANES] = {
    0x243f6a8885a308d3u, 0x13198a2e03707344u, 0xa4093822299f31d0u, 0x082efa98ec4e6c89u, // pi
    0x452821e638d01377u, 0xbe5466cf34e90c6cu, 0xc0ac29b7c97c50ddu, 0x3f84d5b5b5470917u};

static uint8_t has_special_8(uint64_t word, lf__special special)
{
    for (int i = 0; i < 64; i += 8) {
        if ((((uint8_t)(word >> i) ^ special.flip) & special.mask8) >= special.from8) return 1;
    }
    return 0;
}

static uint8_t has_special_wide(uint64_t word, lf__special special)
{
    int bits = special.width * 8;
    for (int i = 0; i < 64; i += bits) {
        if (((uint32_t)(word >> i) & special.mask) == special.mask) return 1;
    }
    return 0;
}

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

void lf__scan_stripes__ref(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special)
{
    for (size_t stripe = 0; stripe < n_stripe; stripe++, bytes += LF__SCAN_STRIPE) {
        uint64_t any = 0;
        for (size_t i = 0; i < LF__SCAN_LANES; i++) {
            uint64_t data = load_word(bytes + 8 * i), d = data ^ state->keys[i];
            state->lanes[i] += (d & 0xffffffffu) * (d >> 32);
            state->lanes[i ^ 1] += data;
            state->keys[i] += LF__SCAN_KEY_STEP;
            any |= data;
            if (special.width == 1) state->has_special |= has_special_8(data, special);
            if (special.width > 1) state->has_special |= has_special_wide(data, special);
        }
        for (size_t i = 0; i < LF__SCAN_STRIPE; i++) {
            uint8_t code = bytes[i] & 0x7f;
            state->max_code = LF_MAX(state->max_code, code);
        }
        for (int i = 0; i < 64; i += 8) state->any |= (uint8_t)(any >> i);
    }
}

static lf__special special_of(lf_dtype dtype)
{
    lf__fp8_format format = lf__fp8_format_of(dtype);
    switch (dtype) {
    case LF_DTYPE_F8_E4M3:
    case LF_DTYPE_F8_E5M2:
    case LF_DTYPE_F8_E4M3FNUZ:
    case LF_DTYPE_F8_E5M2FNUZ:
        return (lf__special){.width = 1, .flip = format.flip, .mask8 = format.mask, .from8 = format.nan_from};
    case LF_DTYPE_BF16: return (lf__special){.width = 2, .mask = 0x7f80};
    case LF_DTYPE_F16: return (lf__special){.width = 2, .mask = 0x7c00};
    case LF_DTYPE_F32: return (lf__special){.width = 4, .mask = 0x7f800000};
    default: return (lf__special){0};
    }
}

// A bijection of 64 bits in which every bit reaches every other.
static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xe9846af9b1a615d5u;
    x ^= x >> 29;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static lf_digest finish(const lf__scan_state *state, size_t n)
{
    uint64_t high = mix(n + 1), low = mix(~(uint64_t)n);
    for (size_t i = 0; i < LF__SCAN_LANES; i++) {
        high = mix(high ^ state->lanes[i]);
        low = mix(low + (state->lanes[i] ^ first_keys[i]));
    }
    return (lf_digest){high, low};
}

static void scan_stripes(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special)
{
#if defined(__x86_64__)
    if (lf_cpu_isa_best() >= LF_CPU_ISA_AVX2) {
        lf__scan_stripes__avx2(state, bytes, n_stripe, special);
        return;
    }
#endif
    lf__scan_stripes__ref(state, bytes, n_stripe, special);
}

lf_scan lf_scan_bytes(const uint8_t *bytes, size_t n, lf_dtype dtype)
{
    lf__scan_state state = {0};
    lf__special special = special_of(dtype);
    size_t n_stripe = n / LF__SCAN_STRIPE, rest = n % LF__SCAN_STRIPE;
    memcpy(state.keys, first_keys, sizeof first_keys);
    scan_stripes(&state, bytes, n_stripe, special);
    if (rest) { // zeros are special in no format
        uint8_t last[LF__SCAN_STRIPE] = {0};
        memcpy(last, bytes + n - rest, rest);
        lf__scan_stripes__ref(&state, last, 1, special);
    }
    return (lf_scan){.digest = finish(&state, n),
                     .any = state.any,
                     .max_code = special.width == 1 ? state.max_code : 0,
                     .has_special = state.has_special != 0};
}

lf_digest lf_digest_join(lf_digest first, lf_digest second)
{
    return (lf_digest){mix(mix(first.high) + second.high), mix(mix(first.low) + (second.low ^ first.high))};
}

void lf_digest_hex(lf_digest digest, char hex[LF_DIGEST_HEX_BYTES])
{
    snprintf(hex, LF_DIGEST_HEX_BYTES, "%016llx%016llx", (unsigned long long)digest.high,
             (unsigned long long)digest.low);
}
