// SPDX-License-Identifier: Apache-2.0
//
// Rotary tables. Powers, cosines and sines are evaluated in float64 from float32 arguments and rounded once, which is
// the value that a float32 library aims at; everything else is done in float32, in transformers' order.
#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/par.h"

static const double pi = 3.14159265358979323846;

// base ** (2 i / dim) for i in [0, dim / 2): position i's wavelength over 2 pi.
static float position_frequency(const lf_rope *rope, int64_t i)
{
    float exponent = (float)(2 * i) / (float)rope->rotary_dim;
    return (float)pow((double)(float)rope->theta, (double)exponent);
}

// Long wavelengths are divided by factor, short ones kept, those between blended.
static float llama3_frequency(const lf_rope *rope, float inv_freq)
{
    double length = (double)rope->original_max_position_embeddings;
    float factor = (float)rope->factor, low = (float)rope->low_freq_factor;
    float low_wavelength = (float)(length / rope->low_freq_factor);
    float high_wavelength = (float)(length / rope->high_freq_factor);
    float wavelength = (float)(2 * pi) / inv_freq;
    if (wavelength > low_wavelength) return inv_freq / factor;
    if (wavelength < high_wavelength) return inv_freq;
    float smooth = ((float)length / wavelength - low) / (float)(rope->high_freq_factor - rope->low_freq_factor);
    return (1 - smooth) * inv_freq / factor + smooth * inv_freq;
}

// The dimension at which a full context turns `rotations` times.
static double yarn_correction_dim(const lf_rope *rope, double rotations)
{
    double length = (double)rope->original_max_position_embeddings;
    return (double)rope->rotary_dim * log(length / (rotations * 2 * pi)) / (2 * log(rope->theta));
}

static void yarn_range(const lf_rope *rope, float *low, float *width)
{
    double from = yarn_correction_dim(rope, rope->beta_fast), to = yarn_correction_dim(rope, rope->beta_slow);
    if (rope->truncate) {
        from = floor(from);
        to = ceil(to);
    }
    from = fmax(from, 0);
    to = fmin(to, (double)(rope->rotary_dim - 1));
    if (from == to) to += 0.001;
    *low = (float)from;
    *width = (float)(to - from);
}

void lf_rope_frequencies(const lf_rope *rope, float *inv_freq)
{
    float low = 0, width = 1;
    if (rope->kind == LF_ROPE_YARN) yarn_range(rope, &low, &width);
    for (int64_t i = 0; i < rope->rotary_dim / 2; i++) {
        float frequency = position_frequency(rope, i), inverse = 1 / frequency;
        switch (rope->kind) {
        case LF_ROPE_DEFAULT: break;
        case LF_ROPE_LINEAR: inverse /= (float)rope->factor; break;
        case LF_ROPE_LLAMA3: inverse = llama3_frequency(rope, inverse); break;
        case LF_ROPE_YARN: {
            float keep = 1 - fminf(fmaxf(((float)i - low) / width, 0), 1);
            inverse = 1 / ((float)rope->factor * frequency) * (1 - keep) + inverse * keep;
            break;
        }
        }
        inv_freq[i] = inverse;
    }
}

typedef struct table_job {
    const float *inv_freq;
    float *dst;
    size_t n_pair;
    float attention_factor;
} table_job;

static void fill_rows(void *ctx, size_t begin, size_t end, int thread)
{
    const table_job *job = ctx;
    for (size_t position = begin; position < end; position++) {
        float *row = job->dst + position * 2 * job->n_pair;
        for (size_t i = 0; i < job->n_pair; i++) {
            double sine, cosine;
            sincos((double)((float)position * job->inv_freq[i]), &sine, &cosine);
            row[i] = (float)cosine * job->attention_factor;
            row[job->n_pair + i] = (float)sine * job->attention_factor;
        }
    }
}

lf_status lf_rope_table(const lf_rope *rope, size_t n_position, float *dst, lf_error *err)
{
    size_t n_pair = (size_t)rope->rotary_dim / 2;
    float *inv_freq = lf_realloc_array(NULL, n_pair, sizeof *inv_freq);
    if (!inv_freq) return lf_error_no_memory(err, n_pair * sizeof *inv_freq);
    lf_rope_frequencies(rope, inv_freq);
    table_job job = {inv_freq, dst, n_pair, (float)rope->attention_factor};
    lf_par_for(n_position, 64, fill_rows, &job);
    free(inv_freq);
    return LF_OK;
}
