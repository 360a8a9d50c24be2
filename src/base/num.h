// SPDX-License-Identifier: Apache-2.0
//
// Number formats: stored bits to float and back. The one list of safetensors dtypes in the program, and exact decoding
// of every code of the 8-bit formats. They live here, below everything, because both the quantization schemes and the
// CPU kernels read codes. Formats and special values: OCP 8-bit floating point and microscaling (MX) specifications.
#ifndef LF_BASE_NUM_H
#define LF_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// X(symbol, name in a safetensors header, bits per element)
#define LF_DTYPE_MAP(X)                                                                                                \
    X(LF_DTYPE_F4, "F4", 4)                                                                                            \
    X(LF_DTYPE_F6_E2M3, "F6_E2M3", 6)                                                                                  \
    X(LF_DTYPE_F6_E3M2, "F6_E3M2", 6)                                                                                  \
    X(LF_DTYPE_BOOL, "BOOL", 8)                                                                                        \
    X(LF_DTYPE_U8, "U8", 8)                                                                                            \
    X(LF_DTYPE_I8, "I8", 8)                                                                                            \
    X(LF_DTYPE_F8_E5M2, "F8_E5M2", 8)                                                                                  \
    X(LF_DTYPE_F8_E4M3, "F8_E4M3", 8) /* e4m3fn */                                                                     \
    X(LF_DTYPE_F8_E8M0, "F8_E8M0", 8) /* scales only: 2^(code - 127), 0xff is NaN */                                   \
    X(LF_DTYPE_F8_E4M3FNUZ, "F8_E4M3FNUZ", 8)                                                                          \
    X(LF_DTYPE_F8_E5M2FNUZ, "F8_E5M2FNUZ", 8)                                                                          \
    X(LF_DTYPE_I16, "I16", 16)                                                                                         \
    X(LF_DTYPE_U16, "U16", 16)                                                                                         \
    X(LF_DTYPE_F16, "F16", 16)                                                                                         \
    X(LF_DTYPE_BF16, "BF16", 16)                                                                                       \
    X(LF_DTYPE_I32, "I32", 32)                                                                                         \
    X(LF_DTYPE_U32, "U32", 32)                                                                                         \
    X(LF_DTYPE_F32, "F32", 32)                                                                                         \
    X(LF_DTYPE_C64, "C64", 64)                                                                                         \
    X(LF_DTYPE_F64, "F64", 64)                                                                                         \
    X(LF_DTYPE_I64, "I64", 64)                                                                                         \
    X(LF_DTYPE_U64, "U64", 64)

typedef enum lf_dtype {
#define X(symbol, name, bits) symbol,
    LF_DTYPE_MAP(X)
#undef X
        LF_DTYPE_COUNT
} lf_dtype;

// The name as in a safetensors header ("F8_E4M3"), "?" outside the enum.
const char *lf_dtype_name(lf_dtype dtype);
// Bits of one element; 0 outside the enum.
int lf_dtype_bits(lf_dtype dtype);
// Exact, case-sensitive; false when `name` (of `length` bytes) is no dtype.
bool lf_dtype_from_name(const char *name, size_t length, lf_dtype *out);
// The four 8-bit floating-point formats that hold weights (not E8M0).
bool lf_dtype_is_fp8(lf_dtype dtype);

typedef uint16_t lf_bf16; // the bits of a bfloat16
typedef uint16_t lf_f16;  // the bits of an IEEE binary16

static inline float lf_f32_from_bits(uint32_t bits)
{
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t lf_f32_bits(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float lf_bf16_to_f32(lf_bf16 bits) { return lf_f32_from_bits((uint32_t)bits << 16); }

// Round to nearest, ties to even; NaN stays a (quiet) NaN with its sign; subnormals are produced, not flushed.
static inline lf_bf16 lf_bf16_from_f32(float value)
{
    uint32_t bits = lf_f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (lf_bf16)((bits >> 16) | 0x40u);
    return (lf_bf16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

float lf_f16_to_f32(lf_f16 bits);
lf_f16 lf_f16_from_f32(float value);

// One code of a weight format (the four fp8 formats) or of E8M0 as float32, exactly; NaN codes give a quiet NaN.
// `dtype` must be one of those five.
float lf_fp8_to_f32(lf_dtype dtype, uint8_t code);
// All 256 values of lf_fp8_to_f32(dtype, code), index = code. Static, read-only.
const float *lf_fp8_table(lf_dtype dtype);
bool lf_fp8_is_nan(lf_dtype dtype, uint8_t code);
// A code of E2M1 (FP4; bits 0 to 3 of `code`): 0, 0.5, 1, 1.5, 2, 3, 4, 6, and from 8 on the same with a minus sign.
// Two codes stand in a byte, element 2 i in the low half of byte i (DeepSeek-V4).
float lf_fp4_to_f32(uint8_t code);
// Nearest e4m3fn code, ties to even, saturating to +-448; NaN gives 0x7f. For tests and synthetic checkpoints.
uint8_t lf_e4m3_from_f32(float value);

enum { LF_MX_GROUP = 32 };

// dst[i] = bf16(RNE(f32(code[i]) * scale)), path A of the catalog: one float32 multiplication, one rounding. The
// product that every dequantization of the program runs through; `dtype` is one of the four fp8 weight formats. Returns
// how many of the codes are NaN, which costs nothing extra. A NaN product is stored as 0x7fc0. dst and codes may be
// unaligned; they must not overlap.
size_t lf_dequant_fp8_bf16(lf_bf16 *dst, const uint8_t *codes, size_t n, float scale, lf_dtype dtype);
// The same for groups of LF_MX_GROUP codes, each with an E8M0 scale (MXFP8).
size_t lf_dequant_fp8_groups_bf16(lf_bf16 *dst, const uint8_t *codes, const uint8_t *scales, size_t n_group,
                                  lf_dtype dtype);
// The same with a scale for each element: scales[i] goes with codes[i].
size_t lf_dequant_fp8_scales_bf16(lf_bf16 *dst, const uint8_t *codes, const float *scales, size_t n, lf_dtype dtype);
// The same for elements [first, first + n) of packed E2M1 (FP4) under one scale. The format has no NaN.
void lf_dequant_fp4_bf16(lf_bf16 *dst, const uint8_t *packed, size_t first, size_t n, float scale);
// Plain array conversions. src may be unaligned (it points into a mapped file).
void lf_convert_f32_bf16(lf_bf16 *dst, const float *src, size_t n);
void lf_convert_bf16_f32(float *dst, const lf_bf16 *src, size_t n);
void lf_convert_f16_f32(float *dst, const lf_f16 *src, size_t n);

#endif
