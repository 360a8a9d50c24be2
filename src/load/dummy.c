// SPDX-License-Identifier: Apache-2.0
//
// Dummy values: a function of seed, parameter name and element, and of nothing else, so that threads, tiles and ranks
// change no bit. Matrices are uniform with standard deviation 1 / sqrt(fan-in), which keeps every projection's output
// in the range of its input; norms are 1 and biases small, so activations stay finite through any depth.
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

static lf_status dummy_matrix(const lf_source *base, size_t slice, lf_rect rect, lf_bf16 *scratch, lf_tile *out,
                              lf_error *err)
{
    const lf_dummy_source *source = (const lf_dummy_source *)base;
    const lf_parameter *parameter = base->weights->slices.items[slice].parameter;
    uint64_t key = key_of(source->seed, parameter->name), n_col = (uint64_t)parameter->shape[1];
    float amplitude = sqrtf(3.0f / (float)n_col);
    for (int64_t r = 0; r < rect.n_row; r++) {
        uint64_t i = (uint64_t)(rect.row + r) * n_col + (uint64_t)rect.col;
        uint64_t bits = mix(key + i / 4);
        lf_bf16 *row = scratch + r * rect.n_col;
        for (int64_t c = 0; c < rect.n_col; c++, i++) {
            if (i % 4 == 0) bits = mix(key + i / 4);
            row[c] = lf_bf16_from_f32(amplitude * uniform(bits, i));
        }
    }
    *out = (lf_tile){scratch, (size_t)rect.n_col};
    return LF_OK;
}

static bool is_bias(lf_slot slot)
{
    return slot == LF_SLOT_QKV_BIAS || slot == LF_SLOT_O_BIAS || slot == LF_SLOT_GATE_UP_BIAS ||
           slot == LF_SLOT_DOWN_BIAS;
}

static lf_status dummy_vector(const lf_source *base, size_t slice, int64_t row, int64_t n_row, float *dst,
                              lf_error *err)
{
    const lf_dummy_source *source = (const lf_dummy_source *)base;
    const lf_parameter *parameter = base->weights->slices.items[slice].parameter;
    uint64_t key = key_of(source->seed, parameter->name);
    for (int64_t r = 0; r < n_row; r++) {
        uint64_t i = (uint64_t)(row + r);
        dst[r] = is_bias(parameter->slot) ? 0.02f * uniform(mix(key + i / 4), i) : 1.0f;
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
