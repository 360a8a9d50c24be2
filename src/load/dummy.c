// SPDX-License-Identifier: Apache-2.0
//
// Dummy values: a function of seed, parameter name and element, and of nothing else, so that threads, tiles and ranks
// change no bit. Matrices are uniform with standard deviation 1 / sqrt(fan-in), which keeps every projection's output
// in the range of its input; norms are near 1 and biases small, so activations stay finite through any depth. No two
// elements are alike, so that a rank which holds another's slice computes something else.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "load/load_int.h"

// One step of splitmix64: a bijection that scatters consecutive counters.
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t key_of(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return mix(hash ^ mix(seed));
}

// Element i of a parameter, uniform in [-1, 1): 16 bits of the mixed counter i / 4.
static float uniform(uint64_t bits, uint64_t i) { return (float)(int16_t)(bits >> (i % 4 * 16)) * 0x1p-15f; }

// lf_bf16_from_f32 without its test for NaN, which never comes here: this loop makes every value of a dummy model.
static lf_bf16 round_finite(float value)
{
    uint32_t bits = lf_f32_bits(value);
    return (lf_bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

enum { BLOCK = 16 };
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "fill_block takes 16-bit pieces of a number from low to high");

// Elements i to i + 15 for i a multiple of 4. Fixed lengths and local arrays: the compiler turns the loops into
// vectors.
static void fill_block(lf_bf16 *dst, uint64_t key, uint64_t i, float step)
{
    uint64_t bits[BLOCK / 4];
    int16_t raw[BLOCK];
    lf_bf16 values[BLOCK];
    for (uint64_t j = 0; j < BLOCK / 4; j++) bits[j] = mix(key + i / 4 + j);
    memcpy(raw, bits, sizeof raw);
    for (size_t j = 0; j < BLOCK; j++) values[j] = round_finite(step * (float)raw[j]);
    memcpy(dst, values, sizeof values);
}

// dst[k] = element first + k, times amplitude.
static void fill_row(lf_bf16 *dst, int64_t n, uint64_t key, uint64_t first, float amplitude)
{
    for (int64_t k = 0; k < n;) {
        uint64_t i = first + (uint64_t)k;
        if (i % 4 == 0 && n - k >= BLOCK) {
            fill_block(dst + k, key, i, amplitude * 0x1p-15f);
            k += BLOCK;
        } else {
            dst[k++] = round_finite(amplitude * uniform(mix(key + i / 4), i));
        }
    }
}

static lf_status dummy_matrix(const lf_source *base, size_t slice, lf_rect rect, lf_bf16 *scratch, lf_tile *out,
                              lf_error *err)
{
    const lf_dummy_source *source = (const lf_dummy_source *)base;
    const lf_parameter *parameter = base->weights->slices.items[slice].parameter;
    uint64_t key = key_of(source->seed, parameter->name), n_col = (uint64_t)parameter->shape[1];
    float amplitude = sqrtf(3.0f / (float)n_col);
    for (int64_t r = 0; r < rect.n_row; r++) {
        uint64_t first = (uint64_t)(rect.row + r) * n_col + (uint64_t)rect.col;
        fill_row(scratch + r * rect.n_col, rect.n_col, key, first, amplitude);
    }
    *out = (lf_tile){scratch, (size_t)rect.n_col};
    return LF_OK;
}

// What the numbers of a slot that is kept in float32 are: uniform around the centre.
typedef struct range {
    float centre, amplitude;
} range;

static range range_of(lf_slot slot, int64_t fan_in)
{
    switch (slot) {
    case LF_SLOT_QKV_BIAS:
    case LF_SLOT_O_BIAS:
    case LF_SLOT_GATE_UP_BIAS:
    case LF_SLOT_DOWN_BIAS:
    case LF_SLOT_ROUTER_BIAS: return (range){0, 0.02f};
    case LF_SLOT_ROUTER: return (range){0, sqrtf(3.0f / (float)fan_in)};
    default: return (range){1, 0.25f}; // norms
    }
}

static lf_status dummy_vector(const lf_source *base, size_t slice, int64_t row, int64_t n_row, float *dst,
                              lf_error *err)
{
    const lf_dummy_source *source = (const lf_dummy_source *)base;
    const lf_parameter *parameter = base->weights->slices.items[slice].parameter;
    uint64_t key = key_of(source->seed, parameter->name), n_col = (uint64_t)parameter->shape[1];
    range values = range_of(parameter->slot, parameter->shape[1]);
    for (uint64_t k = 0; k < (uint64_t)n_row * n_col; k++) {
        uint64_t i = (uint64_t)row * n_col + k;
        dst[k] = values.centre + values.amplitude * uniform(mix(key + i / 4), i);
    }
    return LF_OK;
}

void lf__dummy_source_init(lf_dummy_source *source, const lf_weights *weights, uint64_t seed)
{
    *source = (lf_dummy_source){
        .base = {.matrix = dummy_matrix, .vector = dummy_vector, .weights = weights},
        .seed = seed,
    };
}
