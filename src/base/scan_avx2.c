// SPDX-License-Identifier: Apache-2.0
//
// The scan in AVX2, compiled with exactly this flag: two registers of four lanes, a stripe per round. About 30
// instructions for 64 bytes, which one core executes faster than memory delivers them.
#include <immintrin.h>

#include "base/scan_int.h"

typedef struct sums {
    __m256i any, max_code, special;
} sums;

// d = data ^ key; lane += low half of d times high half of d; the lane beside += data.
static inline __m256i add_product(__m256i lane, __m256i data, __m256i key)
{
    __m256i d = _mm256_xor_si256(data, key);
    __m256i product = _mm256_mul_epu32(d, _mm256_srli_epi64(d, 32));
    __m256i beside = _mm256_shuffle_epi32(data, _MM_SHUFFLE(1, 0, 3, 2));
    return _mm256_add_epi64(_mm256_add_epi64(lane, product), beside);
}

static inline __m256i find_special(__m256i data, lf__special special)
{
    if (special.width == 1) {
        __m256i from = _mm256_set1_epi8((char)special.from8);
        __m256i key = _mm256_and_si256(_mm256_xor_si256(data, _mm256_set1_epi8((char)special.flip)),
                                       _mm256_set1_epi8((char)special.mask8));
        return _mm256_cmpeq_epi8(_mm256_max_epu8(key, from), key);
    }
    if (special.width == 2) {
        __m256i mask = _mm256_set1_epi16((short)special.mask);
        return _mm256_cmpeq_epi16(_mm256_and_si256(data, mask), mask);
    }
    if (special.width == 4) {
        __m256i mask = _mm256_set1_epi32((int)special.mask);
        return _mm256_cmpeq_epi32(_mm256_and_si256(data, mask), mask);
    }
    return _mm256_setzero_si256();
}

static inline void take(sums *s, __m256i data, lf__special special)
{
    s->any = _mm256_or_si256(s->any, data);
    if (special.width == 1) s->max_code = _mm256_max_epu8(s->max_code, _mm256_and_si256(data, _mm256_set1_epi8(0x7f)));
    s->special = _mm256_or_si256(s->special, find_special(data, special));
}

// The loop for one kind of special value: `special.width` is a constant where this is inlined.
static inline void scan(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special)
{
    __m256i *lanes = (__m256i *)(void *)state->lanes, *keys = (__m256i *)(void *)state->keys;
    __m256i lane0 = _mm256_loadu_si256(lanes), lane1 = _mm256_loadu_si256(lanes + 1);
    __m256i key0 = _mm256_loadu_si256(keys), key1 = _mm256_loadu_si256(keys + 1);
    const __m256i step = _mm256_set1_epi64x((long long)LF__SCAN_KEY_STEP);
    sums s = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t i = 0; i < n_stripe; i++, bytes += LF__SCAN_STRIPE) {
        const __m256i *at = (const __m256i *)(const void *)bytes;
        __m256i data0 = _mm256_loadu_si256(at), data1 = _mm256_loadu_si256(at + 1);
        _mm_prefetch((const char *)bytes + 1024, _MM_HINT_T0);
        lane0 = add_product(lane0, data0, key0);
        lane1 = add_product(lane1, data1, key1);
        key0 = _mm256_add_epi64(key0, step);
        key1 = _mm256_add_epi64(key1, step);
        take(&s, data0, special);
        take(&s, data1, special);
    }
    _mm256_storeu_si256(lanes, lane0);
    _mm256_storeu_si256(lanes + 1, lane1);
    _mm256_storeu_si256(keys, key0);
    _mm256_storeu_si256(keys + 1, key1);
    uint8_t any[32], max_code[32];
    _mm256_storeu_si256((__m256i *)(void *)any, s.any);
    _mm256_storeu_si256((__m256i *)(void *)max_code, s.max_code);
    for (int i = 0; i < 32; i++) {
        state->any |= any[i];
        if (max_code[i] > state->max_code) state->max_code = max_code[i];
    }
    state->has_special |= (uint8_t)(_mm256_movemask_epi8(s.special) != 0);
}

void lf__scan_stripes__avx2(lf__scan_state *state, const uint8_t *bytes, size_t n_stripe, lf__special special)
{
    switch (special.width) {
    case 1:
        special.width = 1;
        scan(state, bytes, n_stripe, special);
        break;
    case 2:
        special.width = 2;
        scan(state, bytes, n_stripe, special);
        break;
    case 4:
        special.width = 4;
        scan(state, bytes, n_stripe, special);
        break;
    default:
        special.width = 0;
        scan(state, bytes, n_stripe, special);
        break;
    }
}
