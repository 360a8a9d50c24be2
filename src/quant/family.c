// SPDX-License-Identifier: Apache-2.0
//
// Families of quantized checkpoints that Landfall recognizes and refuses, so that the user reads a name instead of a
// hundred missing scales. To support one, take it out of here and give it a layout in pair.c. Fingerprints: the
// catalog's sections 1 and 6.
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

static const char *const names[] = {
    [LF__FAMILY_NONE] = "none",
    [LF__FAMILY_MXFP4] = "MXFP4 (4-bit blocks with E8M0 scales, as gpt-oss)",
    [LF__FAMILY_NVFP4] = "NVFP4 (4-bit weights with FP8 block scales)",
    [LF__FAMILY_FP4_PACKED] = "packed FP4 experts (DeepSeek-V4)",
    [LF__FAMILY_INT4] = "INT4 (pack-quantized)",
    [LF__FAMILY_INT8] = "INT8 (W8A8)",
    [LF__FAMILY_GPTQ_AWQ] = "GPTQ or AWQ",
    [LF__FAMILY_MXFP8] = "MXFP8 (1 x 32 groups with E8M0 scales)",
    [LF__FAMILY_FUSED_EXPERTS] = "FP8 fused 3-D experts",
    [LF__FAMILY_CHUNKED_QKV] = "FP8 with a fused QKV in padded chunks (MiMo-V2)",
    [LF__FAMILY_SHARED_SCALE] = "FP8 n-gram tables with one shared scale",
};
_Static_assert(LF_ARRAY_LENGTH(names) == LF__FAMILY_COUNT, "one name per family");

const char *lf__family_name(lf__family family) { return names[family]; }

// The tensor whose name is `name` with its last component replaced, NULL when there is none.
static const lf_stored_tensor *sibling(const lf_checkpoint *ck, size_t i, const char *component)
{
    char buffer[512];
    const char *name = lf_checkpoint_tensor(ck, i)->name, *dot = strrchr(name, '.');
    size_t parent = dot ? (size_t)(dot - name) + 1 : 0, length = strlen(component);
    if (parent + length >= sizeof buffer) return NULL;
    memcpy(buffer, name, parent);
    memcpy(buffer + parent, component, length + 1);
    size_t found = lf__find_near(ck, i, buffer);
    return found == SIZE_MAX ? NULL : lf_checkpoint_tensor(ck, found);
}

static lf__family family_of_byte_weight(const lf_checkpoint *ck, size_t i)
{
    lf_dtype dtype = lf_checkpoint_tensor(ck, i)->dtype;
    const lf_stored_tensor *scale = sibling(ck, i, "weight_scale");
    if (!scale) scale = sibling(ck, i, "scale");
    if (!scale) return LF__FAMILY_NONE;
    if (scale->dtype == LF_DTYPE_F8_E4M3) return LF__FAMILY_NVFP4;
    if (scale->dtype == LF_DTYPE_F8_E8M0) return LF__FAMILY_FP4_PACKED;
    return dtype == LF_DTYPE_I8 ? LF__FAMILY_INT8 : LF__FAMILY_MXFP4;
}

lf__family lf__family_of_packed(const lf_checkpoint *ck, size_t i)
{
    const lf_stored_tensor *tensor = lf_checkpoint_tensor(ck, i);
    bool is_byte = tensor->dtype == LF_DTYPE_U8 || tensor->dtype == LF_DTYPE_I8;
    bool is_word = tensor->dtype == LF_DTYPE_I32 || tensor->dtype == LF_DTYPE_U32;
    if (!is_byte && !is_word) return LF__FAMILY_NONE;
    const char *dot = strrchr(tensor->name, '.'), *last = dot ? dot + 1 : tensor->name;
    if (is_word) {
        if (strcmp(last, "weight_packed") == 0) return LF__FAMILY_INT4;
        return strcmp(last, "qweight") == 0 ? LF__FAMILY_GPTQ_AWQ : LF__FAMILY_NONE;
    }
    if (tensor->dtype == LF_DTYPE_U8 && lf__has_suffix(last, "_blocks")) return LF__FAMILY_MXFP4;
    bool is_weight = strcmp(last, "weight") == 0 || strcmp(last, "weight_packed") == 0;
    return is_weight && tensor->rank >= 2 ? family_of_byte_weight(ck, i) : LF__FAMILY_NONE;
}

// The rows of a scale when the weight's rows are cut in c chunks and each chunk is padded to whole blocks by itself.
static bool fits_chunks(int64_t rows, int64_t scale_rows, int64_t block)
{
    for (int64_t c = 2; c <= 1024 && c <= rows; c++) {
        if (rows % c == 0 && c * lf_ceil_div(rows / c, block) == scale_rows) return true;
    }
    return false;
}

lf__family lf__family_of_fp8(const lf__quant_config *config, const lf_stored_tensor *weight,
                             const lf_stored_tensor *scale)
{
    if (weight->rank > 2) return LF__FAMILY_FUSED_EXPERTS;
    if (!scale) return strstr(weight->name, "ngram_embedding.shard_") ? LF__FAMILY_SHARED_SCALE : LF__FAMILY_NONE;
    if (weight->rank != 2 || scale->rank != 2) return LF__FAMILY_NONE;
    int64_t rows = weight->shape[0], cols = weight->shape[1];
    bool is_per_32 = scale->shape[0] == rows && cols > 32 && scale->shape[1] == lf_ceil_div(cols, 32);
    bool is_e8m0 = scale->dtype == LF_DTYPE_U8 || scale->dtype == LF_DTYPE_F8_E8M0;
    if (is_per_32 && is_e8m0) return LF__FAMILY_MXFP8;
    if (!strstr(weight->name, ".qkv")) return LF__FAMILY_NONE;
    for (size_t i = 0; i < config->n_block; i++) {
        lf__block block = config->blocks[i];
        if (scale->shape[0] == lf_ceil_div(rows, block.rows)) return LF__FAMILY_NONE;
        bool is_chunked = fits_chunks(rows, scale->shape[0], block.rows);
        if (is_chunked && scale->shape[1] == lf_ceil_div(cols, block.cols)) return LF__FAMILY_CHUNKED_QKV;
    }
    return LF__FAMILY_NONE;
}

lf__family lf__family_of_method(const char *method)
{
    static const struct {
        const char *method;
        lf__family family;
    } methods[] = {
        {"mxfp4", LF__FAMILY_MXFP4},  {"fp_quant", LF__FAMILY_MXFP4}, {"gptq", LF__FAMILY_GPTQ_AWQ},
        {"awq", LF__FAMILY_GPTQ_AWQ}, {"mxfp8", LF__FAMILY_MXFP8},    {"nvfp4", LF__FAMILY_NVFP4},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(methods); i++) {
        if (strcmp(method, methods[i].method) == 0) return methods[i].family;
    }
    return LF__FAMILY_NONE;
}
