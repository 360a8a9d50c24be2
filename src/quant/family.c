// SPDX-License-Identifier: Apache-2.0
//
// Families of quantized checkpoints that Landfall recognizes and refuses, so that the user reads a name instead of a
// hundred missing scales. To support one, take it out of here and give it a reading in layout.c. Fingerprints: the
// catalog's sections 1 and 6.
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

static const char other_release[] = "use an FP8 or bf16 release of the model";

static const struct {
    const char *name, *remedy;
} families[] = {
    [LF__FAMILY_NONE] = {"none", ""},
    [LF__FAMILY_MXFP4] = {"MXFP4 (4-bit blocks with E8M0 scales, as gpt-oss)",
                          "use a bf16 release of the model, or an engine with MXFP4 kernels"},
    [LF__FAMILY_NVFP4] = {"NVFP4 (4-bit weights with FP8 block scales)",
                          "use the FP8 or bf16 release: here the F8_E4M3 tensors are scales, not weights"},
    [LF__FAMILY_FP6] = {"FP6 (6-bit floats)", other_release},
    [LF__FAMILY_INT4] = {"INT4 (pack-quantized)", other_release},
    [LF__FAMILY_INT8] = {"INT8 (W8A8)", other_release},
    [LF__FAMILY_GPTQ_AWQ] = {"GPTQ or AWQ", other_release},
    [LF__FAMILY_BITSANDBYTES] = {"bitsandbytes (NF4, FP4 or INT8)", other_release},
    [LF__FAMILY_TORCHAO_INT] = {"torchao with integer weights", other_release},
    [LF__FAMILY_COMFY] = {"FP8 of a diffusion tool (ComfyUI)",
                          "this is no language model directory: use the release for transformers or vLLM"},
    [LF__FAMILY_OTHER] = {"in a quantization format other than FP8", other_release},
};
_Static_assert(LF_ARRAY_LENGTH(families) == LF__FAMILY_COUNT, "one row per family");

const char *lf__family_name(lf__family family) { return families[family].name; }
const char *lf__family_remedy(lf__family family) { return families[family].remedy; }

static const lf_stored_tensor *find(const lf_checkpoint *ck, size_t i, const char *name, size_t n, const char *suffix)
{
    char buffer[512];
    size_t length = strlen(suffix);
    if (n + length >= sizeof buffer) return NULL;
    memcpy(buffer, name, n);
    memcpy(buffer + n, suffix, length + 1);
    size_t found = lf__find_near(ck, i, buffer);
    return found == SIZE_MAX ? NULL : lf_checkpoint_tensor(ck, found);
}

// The tensor whose name is that of tensor i with its last component replaced; NULL when there is none.
static const lf_stored_tensor *sibling(const lf_checkpoint *ck, size_t i, const char *component)
{
    const char *name = lf_checkpoint_tensor(ck, i)->name, *dot = strrchr(name, '.');
    return find(ck, i, name, dot ? (size_t)(dot - name) + 1 : 0, component);
}

// The tensor whose name is that of tensor i with `suffix` behind it.
static const lf_stored_tensor *appended(const lf_checkpoint *ck, size_t i, const char *suffix)
{
    const char *name = lf_checkpoint_tensor(ck, i)->name;
    return find(ck, i, name, strlen(name), suffix);
}

static const char *last_component(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static const lf_stored_tensor *scale_beside(const lf_checkpoint *ck, size_t i)
{
    static const char *const components[] = {"weight_scale", "weight_scale_inv", "scale"};
    for (size_t k = 0; k < LF_ARRAY_LENGTH(components); k++) {
        const lf_stored_tensor *scale = sibling(ck, i, components[k]);
        if (scale) return scale;
    }
    return NULL;
}

bool lf__is_packed_fp4(const lf_checkpoint *ck, size_t i)
{
    const lf_stored_tensor *tensor = lf_checkpoint_tensor(ck, i);
    if (tensor->dtype != LF_DTYPE_I8 || strcmp(last_component(tensor->name), "weight") != 0) return false;
    const lf_stored_tensor *scale = scale_beside(ck, i);
    return scale && scale->dtype == LF_DTYPE_F8_E8M0;
}

static lf__family family_of_byte_weight(const lf_checkpoint *ck, size_t i)
{
    lf_dtype dtype = lf_checkpoint_tensor(ck, i)->dtype;
    if (appended(ck, i, ".absmax") || appended(ck, i, ".quant_map")) return LF__FAMILY_BITSANDBYTES;
    if (sibling(ck, i, "SCB")) return LF__FAMILY_BITSANDBYTES;
    const lf_stored_tensor *scale = scale_beside(ck, i);
    if (!scale) return LF__FAMILY_NONE;
    if (scale->dtype == LF_DTYPE_F8_E4M3) return LF__FAMILY_NVFP4;
    return dtype == LF_DTYPE_I8 ? LF__FAMILY_INT8 : LF__FAMILY_MXFP4;
}

static lf__family family_of_words(const char *last)
{
    if (strcmp(last, "weight_packed") == 0) return LF__FAMILY_INT4;
    return strcmp(last, "qweight") == 0 ? LF__FAMILY_GPTQ_AWQ : LF__FAMILY_NONE;
}

lf__family lf__family_of_packed(const lf_checkpoint *ck, size_t i)
{
    const lf_stored_tensor *tensor = lf_checkpoint_tensor(ck, i);
    const char *last = last_component(tensor->name);
    switch (tensor->dtype) {
    case LF_DTYPE_F6_E2M3:
    case LF_DTYPE_F6_E3M2: return LF__FAMILY_FP6;
    case LF_DTYPE_F4: {
        const lf_stored_tensor *scale = scale_beside(ck, i);
        return scale && scale->dtype == LF_DTYPE_F8_E4M3 ? LF__FAMILY_NVFP4 : LF__FAMILY_MXFP4;
    }
    case LF_DTYPE_I32:
    case LF_DTYPE_U32: return strcmp(last, "_weight_qdata") == 0 ? LF__FAMILY_TORCHAO_INT : family_of_words(last);
    case LF_DTYPE_I8:
    case LF_DTYPE_U8: break;
    default: return LF__FAMILY_NONE;
    }
    if (strcmp(last, "_weight_qdata") == 0) return LF__FAMILY_TORCHAO_INT;
    if (tensor->dtype == LF_DTYPE_U8 && lf__has_suffix(last, "_blocks")) return LF__FAMILY_MXFP4;
    bool is_weight = strcmp(last, "weight") == 0 || strcmp(last, "weight_packed") == 0;
    return is_weight && tensor->rank >= 2 ? family_of_byte_weight(ck, i) : LF__FAMILY_NONE;
}

lf__family lf__family_of_config(const lf__quant_config *config)
{
    static const struct {
        const char *name; // a quant_method, or a format of compressed-tensors
        lf__family family;
    } rows[] = {
        {"mxfp4", LF__FAMILY_MXFP4},
        {"fp_quant", LF__FAMILY_MXFP4},
        {"mxfp4-pack-quantized", LF__FAMILY_MXFP4},
        {"nvfp4", LF__FAMILY_NVFP4},
        {"nvfp4-pack-quantized", LF__FAMILY_NVFP4},
        {"gptq", LF__FAMILY_GPTQ_AWQ},
        {"awq", LF__FAMILY_GPTQ_AWQ},
        {"pack-quantized", LF__FAMILY_INT4},
        {"int-quantized", LF__FAMILY_INT8},
        {"bitsandbytes", LF__FAMILY_BITSANDBYTES},
        {"auto-round", LF__FAMILY_OTHER},
        {"aqlm", LF__FAMILY_OTHER},
        {"bitnet", LF__FAMILY_OTHER},
        {"eetq", LF__FAMILY_OTHER},
        {"exl2", LF__FAMILY_OTHER},
        {"exl3", LF__FAMILY_OTHER},
        {"higgs", LF__FAMILY_OTHER},
        {"hqq", LF__FAMILY_OTHER},
        {"quanto", LF__FAMILY_OTHER},
        {"quip", LF__FAMILY_OTHER},
        {"spqr", LF__FAMILY_OTHER},
        {"vptq", LF__FAMILY_OTHER},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) {
        if (strcmp(config->method, rows[i].name) == 0 || strcmp(config->format, rows[i].name) == 0)
            return rows[i].family;
    }
    return LF__FAMILY_NONE;
}
