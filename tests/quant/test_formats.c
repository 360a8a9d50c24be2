// SPDX-License-Identifier: Apache-2.0
//
// Each published format against a computation of its own, element by element in global coordinates: the index rules of
// the catalog's section 4 as they stand there, codes decoded from their definitions, one float32 product, one rounding.
// Nothing here goes through the library but the rectangle that is compared.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

enum { N_RANDOM_RECT = 120 };

// The sizes that an index rule speaks of: a weight [E, R, C] (E = 1 for a matrix), blocks of br x bc, c chunks of rows.
typedef struct dims {
    int64_t E, R, C, br, bc, c;
} dims;

static int64_t cd(int64_t a, int64_t b) { return (a + b - 1) / b; }

typedef int64_t index_rule(dims d, int64_t e, int64_t r, int64_t k);
static int64_t one(dims d, int64_t e, int64_t r, int64_t k) { return 0; }
static int64_t per_row(dims d, int64_t e, int64_t r, int64_t k) { return e * d.R + r; }
static int64_t per_column(dims d, int64_t e, int64_t r, int64_t k) { return e * d.C + k; }
static int64_t per_expert(dims d, int64_t e, int64_t r, int64_t k) { return e; }
static int64_t per_group(dims d, int64_t e, int64_t r, int64_t k) { return (e * d.R + r) * (d.C / 32) + k / 32; }
static int64_t per_block(dims d, int64_t e, int64_t r, int64_t k)
{
    return (e * cd(d.R, d.br) + r / d.br) * cd(d.C, d.bc) + k / d.bc;
}
static int64_t per_chunk_block(dims d, int64_t e, int64_t r, int64_t k)
{
    int64_t rows = d.R / d.c;
    return (r / rows * cd(rows, d.br) + r % rows / d.br) * cd(d.C, d.bc) + k / d.bc;
}

typedef struct format_row {
    const char *name;
    const char *weight, *weight_dtype;
    int64_t weight_shape[4]; // as stored
    const char *scale, *scale_dtype;
    int64_t scale_shape[5];
    const char *config; // the whole config.json
    lf_scale_layout layout;
    index_rule *rule;
    dims dims; // logical
} format_row;

#define BLOCK "{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[16,24]}}"
#define BLOCK32 "{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[32,32]}}"
#define MIMO                                                                                                           \
    "{\"model_type\":\"mimo_v2\",\"num_key_value_heads\":4,\"swa_num_key_value_heads\":8,\"quantization_config\":"     \
    "{\"quant_method\":\"fp8\",\"weight_block_size\":[16,24]}}"
#define CT(format, weights)                                                                                            \
    "{\"quantization_config\":{\"quant_method\":\"compressed-tensors\",\"format\":\"" format                           \
    "\",\"config_groups\":{\"group_0\":{\"weights\":{\"num_bits\":8,\"type\":\"float\"," weights "}}}}}"

#define SIZES(e, r, k)                                                                                                 \
    {                                                                                                                  \
        .E = e, .R = r, .C = k                                                                                         \
    }
#define BLOCKS(e, r, k, rows, cols)                                                                                    \
    {                                                                                                                  \
        .E = e, .R = r, .C = k, .br = rows, .bc = cols                                                                 \
    }
#define CHUNKS(e, r, k, rows, cols, n)                                                                                 \
    {                                                                                                                  \
        .E = e, .R = r, .C = k, .br = rows, .bc = cols, .c = n                                                         \
    }

// clang-format off
static const format_row formats[] = {
    {"Mistral, a scalar of rank 0",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale_inv", "BF16", {-1},
     "{\"quantization_config\":{\"quant_method\":\"fp8\",\"activation_scheme\":\"static\","
     "\"weight_block_size\":null}}",
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"Mistral consolidated",
     "layers.0.attention.wq.weight", "F8_E4M3", {37, 53, -1}, "layers.0.attention.wq.qscale_weight", "F32", {1, -1},
     "{}",
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"AutoFP8 static",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {1, -1},
     "{\"quantization_config\":{\"quant_method\":\"fp8\",\"activation_scheme\":\"static\",\"ignored_layers\":[]}}",
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"compressed-tensors tensor",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F16", {1, -1},
     CT("float-quantized", "\"strategy\":\"tensor\""),
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"compressed-tensors channel",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "BF16", {37, 1, -1},
     CT("float-quantized", "\"strategy\":\"channel\""),
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"compressed-tensors block",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "BF16", {3, 3, -1},
     CT("float-quantized", "\"strategy\":\"block\",\"block_structure\":[16,24]"),
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 37, 53, 16, 24)},
    {"compressed-tensors group",
     "m.weight", "F8_E4M3", {37, 96, -1}, "m.weight_scale", "F32", {37, 3, -1},
     CT("float-quantized", "\"strategy\":\"group\",\"group_size\":32"),
     LF_SCALE_GROUP, per_group, SIZES(1, 37, 96)},
    {"compressed-tensors MXFP8",
     "m.weight", "F8_E4M3", {37, 96, -1}, "m.weight_scale", "U8", {37, 3, -1},
     CT("mxfp8-quantized", "\"strategy\":\"group\",\"group_size\":32"),
     LF_SCALE_GROUP, per_group, SIZES(1, 37, 96)},
    {"a preset's list of targets",
     "m.weight", "F8_E4M3", {37, 5, -1}, "m.weight_scale", "F32", {37, 1, -1},
     "{\"compression_config\":{\"quant_method\":\"compressed-tensors\","
     "\"config_groups\":{\"FP8_DYNAMIC\":[\"Linear\"]}}}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 5)},
    {"fbgemm",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {37, 1, -1},
     "{\"quantization_config\":{\"quant_method\":\"fbgemm_fp8\",\"activation_scale_ub\":1200.0}}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"ModelOpt FP8",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {-1},
     "{\"quantization_config\":{\"quant_method\":\"modelopt\",\"quant_algo\":\"FP8\"}}",
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"ModelOpt per channel",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {37, -1},
     "{\"quantization_config\":{\"quant_method\":\"modelopt\",\"quant_algo\":\"FP8_PER_CHANNEL_PER_TOKEN\"}}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"ModelOpt block in 4 dimensions",
     "m.weight", "F8_E4M3", {300, 200, -1}, "m.weight_scale", "F32", {3, 1, 2, 1, -1},
     "{\"quantization_config\":{\"quant_method\":\"modelopt\",\"quant_algo\":\"FP8_PB_WO\"}}",
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 300, 200, 128, 128)},
    {"ModelOpt MXFP8",
     "m.weight", "F8_E4M3", {5, 64, -1}, "m.weight_scale", "U8", {5, 2, -1},
     "{\"quantization_config\":{\"quant_method\":\"modelopt\",\"quant_algo\":\"MXFP8\"}}",
     LF_SCALE_GROUP, per_group, SIZES(1, 5, 64)},
    {"ModelOpt by layer",
     "m.weight", "F8_E4M3", {5, 64, -1}, "m.weight_scale", "U8", {5, 2, -1},
     "{\"quantization_config\":{\"quant_method\":\"modelopt\",\"quant_algo\":\"MIXED_PRECISION\","
     "\"quantized_layers\":{\"a\":{\"quant_algo\":\"FP8\"},\"m\":{\"quant_algo\":\"MXFP8\"}}}}",
     LF_SCALE_GROUP, per_group, SIZES(1, 5, 64)},
    {"DeepSeek-V3",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale_inv", "F32", {3, 3, -1},
     BLOCK,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 37, 53, 16, 24)},
    {"Qwen3, the config under text_config",
     "m.weight", "F8_E4M3", {32, 48, -1}, "m.weight_scale_inv", "BF16", {2, 2, -1},
     "{\"text_config\":" BLOCK "}",
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 32, 48, 16, 24)},
    {"DeepSeek-V4",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.scale", "F8_E8M0", {3, 3, -1},
     BLOCK,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 37, 53, 16, 24)},
    {"DeepSeek-V4-Base",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.scale", "F32", {3, 3, -1},
     BLOCK,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 37, 53, 16, 24)},
    {"DeepSeek-V4's FP4 experts",
     "ffn.experts.0.w1.weight", "I8", {37, 48, -1}, "ffn.experts.0.w1.scale", "F8_E8M0", {37, 3, -1},
     BLOCK,
     LF_SCALE_GROUP, per_group, SIZES(1, 37, 96)},
    {"DeepSeek-V4.1's FP4 experts beside 32x32",
     "w.weight", "I8", {64, 32, -1}, "w.scale", "F8_E8M0", {64, 2, -1},
     BLOCK32,
     LF_SCALE_GROUP, per_group, SIZES(1, 64, 64)},
    {"DeepSeek-V4.1's dense weights",
     "m.weight", "F8_E4M3", {33, 65, -1}, "m.scale", "F8_E8M0", {2, 3, -1},
     BLOCK32,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 33, 65, 32, 32)},
    {"DeepSeek-V4.1's Engram tables",
     "engram.embed.weight", "F8_E4M3", {77, 256, -1}, "engram.embed.scale", "F8_E8M0", {77, 8, -1},
     BLOCK32,
     LF_SCALE_GROUP, per_group, SIZES(1, 77, 256)},
    {"MiniMax-M3",
     "m.weight", "F8_E4M3", {37, 96, -1}, "m.weight_scale_inv", "U8", {37, 3, -1},
     "{\"quantization_config\":{\"quant_method\":\"mxfp8\",\"weight_block_size\":[1,32]}}",
     LF_SCALE_GROUP, per_group, SIZES(1, 37, 96)},
    {"MXFP8 with F8_E8M0",
     "m.weight", "F8_E5M2", {37, 96, -1}, "m.weight_scale", "F8_E8M0", {37, 3, -1},
     "{\"quantization_config\":{\"quant_method\":\"mxfp8\",\"weight_block_size\":[1,32]}}",
     LF_SCALE_GROUP, per_group, SIZES(1, 37, 96)},
    {"MXFP8 of fused experts",
     "x.experts.down_proj", "F8_E4M3", {3, 7, 64, -1}, "x.experts.down_proj_scale", "U8", {3, 7, 2, -1},
     "{\"quantization_config\":{\"quant_method\":\"mxfp8\"}}",
     LF_SCALE_GROUP, per_group, SIZES(3, 7, 64)},
    {"Mistral-Small-4",
     "x.experts.gate_up_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.gate_up_proj_scale_inv", "BF16", {3, 1, 1, -1},
     "{\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":null}}",
     LF_SCALE_TENSOR, per_expert, SIZES(3, 37, 53)},
    {"one value for each expert, [E]",
     "x.experts.down_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.down_proj_scales_inv", "F32", {3, -1},
     BLOCK,
     LF_SCALE_TENSOR, per_expert, SIZES(3, 37, 53)},
    {"one value for each expert, [E, 1]",
     "x.experts.down_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.down_proj_scale", "F32", {3, 1, -1},
     "{}",
     LF_SCALE_TENSOR, per_expert, SIZES(3, 37, 53)},
    {"Qwen3-VL-MoE",
     "x.experts.gate_up_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.gate_up_proj_scale_inv", "BF16", {3, 3, 3, -1},
     BLOCK,
     LF_SCALE_BLOCK, per_block, BLOCKS(3, 37, 53, 16, 24)},
    {"Qwen3-VL-MoE, the other orientation",
     "x.experts.gate_up_proj", "F8_E4M3", {3, 53, 37, -1}, "x.experts.gate_up_proj_scale_inv", "BF16", {3, 4, 2, -1},
     BLOCK,
     LF_SCALE_BLOCK, per_block, BLOCKS(3, 53, 37, 16, 24)},
    {"fbgemm gate_up [E, 1, 2I]",
     "x.experts.gate_up_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.gate_up_proj_scale", "F32", {3, 1, 53, -1},
     "{\"quantization_config\":{\"quant_method\":\"fbgemm_fp8\"}}",
     LF_SCALE_CHANNEL, per_column, SIZES(3, 37, 53)},
    {"fbgemm down [E, H, 1] over [E, I, H]",
     "x.experts.down_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.down_proj_scale", "F32", {3, 53, 1, -1},
     "{\"quantization_config\":{\"quant_method\":\"fbgemm_fp8\"}}",
     LF_SCALE_CHANNEL, per_column, SIZES(3, 37, 53)},
    {"fused experts by output row",
     "x.experts.down_proj", "F8_E4M3", {3, 37, 53, -1}, "x.experts.down_proj_scale", "F32", {3, 37, 1, -1},
     "{}",
     LF_SCALE_CHANNEL, per_row, SIZES(3, 37, 53)},
    {"MiMo-V2, 4 chunks",
     "a.self_attn.qkv_proj.weight", "F8_E4M3", {4 * 25, 53, -1},
     "a.self_attn.qkv_proj.weight_scale_inv", "F32", {8, 3, -1},
     MIMO,
     LF_SCALE_BLOCK, per_chunk_block, CHUNKS(1, 100, 53, 16, 24, 4)},
    {"MiMo-V2, 8 chunks",
     "a.self_attn.qkv_proj.weight", "F8_E4M3", {8 * 17, 53, -1},
     "a.self_attn.qkv_proj.weight_scale_inv", "F32", {16, 3, -1},
     MIMO,
     LF_SCALE_BLOCK, per_chunk_block, CHUNKS(1, 136, 53, 16, 24, 8)},
    {"MiMo-V2, chunks of whole blocks",
     "a.self_attn.qkv_proj.weight", "F8_E4M3", {4 * 32, 53, -1},
     "a.self_attn.qkv_proj.weight_scale_inv", "F32", {8, 3, -1},
     MIMO,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 128, 53, 16, 24)},
    {"a fused QKV without chunks",
     "a.qkv_proj.weight", "F8_E4M3", {100, 53, -1}, "a.qkv_proj.weight_scale_inv", "F32", {7, 3, -1},
     MIMO,
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 100, 53, 16, 24)},
    {"Qwen3.8-Flash-Next",
     "l.ngram_embedding.shard_11.weight", "F8_E4M3", {37, 53, -1}, "l.ngram_embedding.weight_scale", "BF16", {1, -1},
     BLOCK,
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"an n-gram shard with a scale of its own",
     "l.ngram_embedding.shard_0.weight", "F8_E4M3", {37, 53, -1},
     "l.ngram_embedding.shard_0.weight_scale", "F32", {37, 1, -1},
     CT("float-quantized", "\"strategy\":\"channel\""),
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"Quark per channel",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {37, -1},
     "{\"quantization_config\":{\"quant_method\":\"quark\","
     "\"global_quant_config\":{\"weight\":{\"dtype\":\"fp8_e4m3\",\"qscheme\":\"per_channel\"}}}}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"Quark block",
     "m.weight", "F8_E4M3", {300, 200, -1}, "m.weight_scale", "F32", {3, 2, -1},
     "{\"quantization_config\":{\"quant_method\":\"quark\","
     "\"layer_quant_config\":{\"m\":{\"weight\":{\"dtype\":\"fp8_e4m3\",\"qscheme\":\"per_block\"}}}}}",
     LF_SCALE_BLOCK, per_block, BLOCKS(1, 300, 200, 128, 128)},
    {"torchao per tensor",
     "m._weight_qdata", "F8_E4M3", {37, 53, -1}, "m._weight_scale", "F32", {-1},
     "{\"quantization_config\":{\"quant_method\":\"torchao\"}}",
     LF_SCALE_TENSOR, one, SIZES(1, 37, 53)},
    {"torchao per row",
     "m._weight_qdata", "F8_E4M3", {37, 53, -1}, "m._weight_scale", "F32", {37, 1, -1},
     "{\"quantization_config\":{\"quant_method\":\"torchao\"}}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"ModelSlim",
     "m.weight", "F8_E4M3", {37, 53, -1}, "m.weight_scale", "F32", {37, 1, -1},
     "{}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 53)},
    {"one row and one column",
     "m.weight", "F8_E4M3", {1, 1, -1}, "m.weight_scale_inv", "F32", {1, 1, -1},
     BLOCK,
     LF_SCALE_BLOCK, one, SIZES(1, 1, 1)},
    {"one column in rows",
     "m.weight", "F8_E4M3", {37, 1, -1}, "m.weight_scale", "F32", {37, 1, -1},
     "{}",
     LF_SCALE_CHANNEL, per_row, SIZES(1, 37, 1)},
};
// clang-format on

// Bits of a format, by its definition: sign, exponent field, mantissa field. The four FP8 formats and E2M1.
static float decode(const char *dtype, unsigned code)
{
    int mantissa_bits = 3, bias = 7, bits = 8;
    if (strcmp(dtype, "F8_E5M2") == 0) mantissa_bits = 2, bias = 15;
    if (strcmp(dtype, "I8") == 0) mantissa_bits = 1, bias = 1, bits = 4;
    unsigned sign = code >> (bits - 1), mantissa = code & ((1u << mantissa_bits) - 1);
    int exponent = (int)((code & ((1u << (bits - 1)) - 1)) >> mantissa_bits);
    double fraction = (double)mantissa / (1 << mantissa_bits);
    double value = exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
    return (float)(sign ? -value : value);
}

static float scale_value(const uint8_t *bytes, const char *dtype, int64_t i)
{
    uint32_t word = 0;
    float value;
    if (strcmp(dtype, "U8") == 0 || strcmp(dtype, "F8_E8M0") == 0) return (float)ldexp(1, bytes[i] - 127);
    if (strcmp(dtype, "F32") == 0) {
        memcpy(&value, bytes + 4 * i, 4);
        return value;
    }
    memcpy(&word, bytes + 2 * i, 2); // little endian
    if (dtype[0] == 'B') {
        word <<= 16;
        memcpy(&value, &word, 4);
        return value;
    }
    return (float)ldexp(1 + (word & 0x3ff) / 1024.0, (int)(word >> 10) - 15); // a positive normal F16
}

// Nearest bfloat16, ties to even, through the two candidates.
static uint16_t round_to_bf16(float value)
{
    uint32_t bits, up;
    memcpy(&bits, &value, 4);
    float below, above;
    uint32_t low = bits & 0xffff0000u;
    up = low + 0x10000u;
    memcpy(&below, &low, 4);
    memcpy(&above, &up, 4);
    double to_below = fabs((double)value - (double)below), to_above = fabs((double)above - (double)value);
    bool takes_above = to_above < to_below || (to_above == to_below && (low >> 16) % 2);
    return (uint16_t)((takes_above ? up : low) >> 16);
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static uint8_t *make_codes(const char *dtype, size_t n, uint64_t *random)
{
    uint8_t *codes = malloc(n);
    for (size_t i = 0; i < n; i++) {
        do codes[i] = (uint8_t)next_random(random);
        while (dtype[0] == 'F' && (codes[i] & 0x7f) >= (strcmp(dtype, "F8_E5M2") == 0 ? 0x7c : 0x7f));
    }
    return codes;
}

static uint8_t *make_scales(const char *dtype, size_t n, uint64_t *random)
{
    uint8_t *bytes = calloc(n, 4);
    for (size_t i = 0; i < n; i++) {
        uint32_t mantissa = (uint32_t)next_random(random) & 0x7fffff,
                 exponent = 110 + (uint32_t)next_random(random) % 12;
        uint32_t word = exponent << 23 | mantissa, half = word >> 16;
        if (strcmp(dtype, "F16") == 0) half = (1 + (uint32_t)next_random(random) % 20) << 10 | (mantissa & 0x3ff);
        if (strcmp(dtype, "F32") == 0)
            memcpy(bytes + 4 * i, &word, 4);
        else if (strcmp(dtype, "F16") == 0 || strcmp(dtype, "BF16") == 0)
            memcpy(bytes + 2 * i, &half, 2);
        else
            bytes[i] = (uint8_t)(i % 7 == 3 ? next_random(random) % 3 : 100 + next_random(random) % 40);
    }
    return bytes;
}

// The whole matrix by the format's rule.
static uint16_t *define(const format_row *row, const uint8_t *codes, const uint8_t *scales)
{
    dims d = row->dims;
    uint16_t *values = malloc((size_t)(d.E * d.R * d.C) * sizeof *values);
    for (int64_t e = 0; e < d.E; e++) {
        for (int64_t r = 0; r < d.R; r++) {
            for (int64_t k = 0; k < d.C; k++) {
                int64_t at = (e * d.R + r) * d.C + k;
                bool is_fp4 = strcmp(row->weight_dtype, "I8") == 0; // two values in a byte
                unsigned byte = codes[is_fp4 ? at / 2 : at];
                unsigned code = !is_fp4 ? byte : k % 2 ? byte >> 4 : byte & 15;
                float scale = scale_value(scales, row->scale_dtype, row->rule(d, e, r, k));
                values[at] = round_to_bf16(decode(row->weight_dtype, code) * scale);
            }
        }
    }
    return values;
}

static void compare(const lf_logical_tensor *t, const uint16_t *values, int64_t n_col, lf_rect rect)
{
    size_t stride = (size_t)rect.n_col + 2;
    lf_bf16 *got = malloc(((size_t)rect.n_row * stride + 1) * sizeof *got);
    float *wide = malloc(((size_t)rect.n_row * stride + 1) * sizeof *wide);
    lf_dequant_report report = {0};
    lf_error err;
    memset(got, 0xa5, (size_t)rect.n_row * stride * sizeof *got);
    assert_int_equal(lf_dequant_bf16(t, rect, LF_DEQUANT_EXACT, got, stride, &report, &err), LF_OK);
    assert_int_equal(lf_dequant_f32(t, rect, LF_DEQUANT_EXACT, wide, stride, &report, &err), LF_OK);
    for (int64_t r = 0; r < rect.n_row; r++) {
        for (int64_t c = 0; c < (int64_t)stride; c++) {
            size_t i = (size_t)r * stride + (size_t)c;
            bool is_inside = c < rect.n_col;
            uint16_t expected = is_inside ? values[(rect.row + r) * n_col + rect.col + c] : 0xa5a5;
            if (got[i] != expected) {
                fail_msg("row %d column %d: 0x%04x, expected 0x%04x", (int)(rect.row + r), (int)(rect.col + c), got[i],
                         expected);
            }
            if (is_inside) assert_int_equal(lf_f32_bits(wide[i]), (uint32_t)expected << 16);
        }
    }
    assert_int_equal(report.n_nan_code + report.n_bad_scale + report.n_overflow, 0);
    free(got);
    free(wide);
}

static size_t count_of(const int64_t *shape)
{
    size_t n = 1;
    while (*shape >= 0) n *= (size_t)*shape++;
    return n;
}

static void compare_format(const format_row *row, uint64_t seed)
{
    uint64_t random = seed;
    maker m = {0};
    opened o;
    uint8_t *codes = make_codes(row->weight_dtype, count_of(row->weight_shape), &random);
    uint8_t *scales = make_scales(row->scale_dtype, count_of(row->scale_shape), &random);
    ADD(&m, "pad", "U8", 1); // everything behind it is unaligned
    add_tensor(&m, row->weight, row->weight_dtype, codes, row->weight_shape);
    add_tensor(&m, row->scale, row->scale_dtype, scales, row->scale_shape);
    open_with_config(&o, &m, row->config);
    assert_no_findings(&o.findings);
    assert_int_equal(lf_quant_count(o.quant), 2);
    assert_int_equal(lf_quant_n_quantized(o.quant), 1);
    const lf_logical_tensor *t = lf_quant_tensor(o.quant, strcmp(row->weight, "pad") < 0 ? 0 : 1);
    assert_non_null(t->scale);
    assert_int_equal(t->layout, row->layout);
    int64_t n_row = row->dims.E * row->dims.R, n_col = row->dims.C, matrix_rows, matrix_cols, shape[LF_MAX_RANK];
    lf_logical_matrix_shape(t, &matrix_rows, &matrix_cols);
    assert_int_equal(matrix_rows, n_row);
    assert_int_equal(matrix_cols, n_col);
    int rank = lf_logical_shape(t, shape);
    assert_int_equal(rank, row->weight_shape[2] < 0 ? 2 : 3);
    assert_int_equal(shape[rank - 1], n_col);
    uint16_t *values = define(row, codes, scales);
    compare(t, values, n_col, (lf_rect){0, 0, n_row, n_col});
    for (int i = 0; i < N_RANDOM_RECT; i++) {
        lf_rect rect = {(int64_t)next_random(&random) % n_row, (int64_t)next_random(&random) % n_col, 0, 0};
        rect.n_row = 1 + (int64_t)next_random(&random) % (n_row - rect.row);
        rect.n_col = 1 + (int64_t)next_random(&random) % (n_col - rect.col);
        if (i % 2) rect.n_row = LF_MIN(rect.n_row, 3);
        compare(t, values, n_col, rect);
    }
    lf_findings found = LF_FINDINGS_INIT;
    lf_error err;
    assert_int_equal(lf_quant_scan(o.quant, NULL, NULL, &found, &err), LF_OK);
    assert_int_equal(found.n_error, 0); // scales at random: some are far from their neighbours, which is a warning
    lf_findings_fini(&found);
    free(values);
    free(codes);
    free(scales);
    close_opened(&o);
}

static void equals_the_catalogs_rules(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(formats); i++) {
        print_message("%s\n", formats[i].name);
        compare_format(&formats[i], 1 + i);
    }
}

// The catalog's section 3.3: code, scale, and the bf16 of both roundings.
static const struct {
    uint8_t code;
    uint32_t scale;
    uint16_t exact, bf16_scale;
} vectors[] = {
    {0x00, 0x3f812345, 0x0000, 0x0000}, {0x80, 0x3f812345, 0x8000, 0x8000}, {0x01, 0x3f800000, 0x3b00, 0x3b00},
    {0x07, 0x3f800000, 0x3c60, 0x3c60}, {0x08, 0x3f800000, 0x3c80, 0x3c80}, {0x38, 0x3f800000, 0x3f80, 0x3f80},
    {0x7e, 0x3f800000, 0x43e0, 0x43e0}, {0xfe, 0x3a03126f, 0xbe65, 0xbe65}, {0x7e, 0x39123456, 0x3d80, 0x3d80},
    {0x77, 0x38d1b717, 0x3cc5, 0x3cc5}, {0x31, 0x389a7834, 0x382e, 0x382d}, {0x3a, 0x383171ff, 0x385e, 0x385d},
    {0x11, 0x3a24be40, 0x37b9, 0x37ba}, {0x7c, 0x3a079d3b, 0x3e4b, 0x3e4c}, {0x09, 0x396471c8, 0x3680, 0x3680},
    {0x09, 0x396638e3, 0x3682, 0x3681}, {0x09, 0x3969c71c, 0x3684, 0x3684}, {0x24, 0x397f5555, 0x3840, 0x383f},
    {0x01, 0x00800000, 0x0000, 0x0000},
};

// The same section's second table: code under an E8M0 byte, which MXFP8 stores as U8.
static const struct {
    uint8_t code, scale;
    uint16_t expected;
    uint64_t n_overflow, n_bad_scale;
} e8m0_vectors[] = {
    {0x38, 0, 0x0040, 0, 0},   {0x7e, 0, 0x0460, 0, 0},   {0x01, 0, 0x0000, 0, 0},   {0x38, 1, 0x0080, 0, 0},
    {0x08, 127, 0x3c80, 0, 0}, {0x7e, 246, 0x7f60, 0, 0}, {0x7e, 247, 0x7f80, 1, 0}, {0x38, 255, 0x7fc0, 0, 1},
};

static void equals_the_catalogs_vectors(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(vectors); i++) {
        maker m = {0};
        opened o;
        add_tensor(&m, "m.weight", "F8_E4M3", &vectors[i].code, (const int64_t[]){1, 1, -1});
        add_tensor(&m, "m.weight_scale", "F32", &vectors[i].scale, (const int64_t[]){1, -1});
        open_made(&o, &m, NULL);
        assert_no_findings(&o.findings);
        lf_bf16 exact, rounded;
        lf_dequant_report report = {0};
        lf_error err;
        const lf_logical_tensor *t = lf_quant_tensor(o.quant, 0);
        lf_rect all = {0, 0, 1, 1};
        assert_int_equal(lf_dequant_bf16(t, all, LF_DEQUANT_EXACT, &exact, 1, &report, &err), LF_OK);
        assert_int_equal(lf_dequant_bf16(t, all, LF_DEQUANT_BF16_SCALE, &rounded, 1, &report, &err), LF_OK);
        if (exact != vectors[i].exact || rounded != vectors[i].bf16_scale)
            fail_msg("vector %zu: 0x%04x and 0x%04x", i, exact, rounded);
        close_opened(&o);
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(e8m0_vectors); i++) {
        for (int is_byte = 0; is_byte < 2; is_byte++) {
            uint8_t codes[32] = {0};
            codes[17] = e8m0_vectors[i].code;
            maker m = {0};
            opened o;
            add_tensor(&m, "m.weight", "F8_E4M3", codes, (const int64_t[]){1, 32, -1});
            add_tensor(&m, "m.weight_scale", is_byte ? "U8" : "F8_E8M0", &e8m0_vectors[i].scale,
                       (const int64_t[]){1, 1, -1});
            open_made(&o, &m, "{\"quant_method\":\"mxfp8\"}");
            assert_no_findings(&o.findings);
            lf_bf16 got[32];
            lf_dequant_report report = {0};
            lf_error err;
            lf_rect all = {0, 0, 1, 32};
            assert_int_equal(
                lf_dequant_bf16(lf_quant_tensor(o.quant, 0), all, LF_DEQUANT_EXACT, got, 32, &report, &err), LF_OK);
            assert_int_equal(got[17], e8m0_vectors[i].expected);
            assert_int_equal(report.n_overflow, e8m0_vectors[i].n_overflow);
            assert_int_equal(report.n_bad_scale, e8m0_vectors[i].n_bad_scale);
            close_opened(&o);
        }
    }
}

// All 256 bytes of two FP4 codes under all 256 scales.
static void decodes_every_fp4_product(void **state)
{
    uint8_t bytes[256], scale;
    uint16_t got[512];
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    for (int s = 0; s < 256; s++) {
        uint8_t scales[16];
        memset(scales, s, sizeof scales);
        scale = (uint8_t)s;
        maker m = {0};
        opened o;
        add_tensor(&m, "m.weight", "I8", bytes, (const int64_t[]){1, 256, -1});
        add_tensor(&m, "m.scale", "F8_E8M0", scales, (const int64_t[]){1, 16, -1});
        open_made(&o, &m, NULL);
        assert_no_findings(&o.findings);
        lf_dequant_report report = {0};
        lf_error err;
        lf_rect all = {0, 0, 1, 512};
        assert_int_equal(lf_dequant_bf16(lf_quant_tensor(o.quant, 0), all, LF_DEQUANT_EXACT, got, 512, &report, &err),
                         LF_OK);
        for (unsigned i = 0; i < 512 && s < 255; i++) {
            unsigned code = i % 2 ? i / 2 >> 4 : i / 2 & 15;
            double product = (double)decode("I8", code) * ldexp(1, scale - 127);
            uint32_t expected = round_to_bf16((float)product);
            if (fabs(product) >= ldexp(1, 128)) expected = product < 0 ? 0xff80 : 0x7f80;
            if (got[i] != expected) fail_msg("code %u scale %d: 0x%04x, expected 0x%04x", code, s, got[i], expected);
        }
        // Codes of 2 and more overflow under 2^127, of 4 and more under 2^126: 4 and 2 of 8 magnitudes.
        uint64_t n_overflow = s == 254 ? 512 / 8 * 4 : s == 253 ? 512 / 8 * 2 : 0;
        assert_int_equal(report.n_overflow, n_overflow);
        assert_int_equal(report.n_bad_scale, s == 255 ? 16 : 0);
        close_opened(&o);
    }
}

int test_formats(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_catalogs_rules),
        cmocka_unit_test(equals_the_catalogs_vectors),
        cmocka_unit_test(decodes_every_fp4_product),
    };
    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
