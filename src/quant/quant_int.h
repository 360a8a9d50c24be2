// SPDX-License-Identifier: Apache-2.0
//
// Inside quant: what config.json says about quantization, the names of companion tensors, the families that are
// recognized but not run, and the object that pairing fills.
#ifndef LF_QUANT_QUANT_INT_H
#define LF_QUANT_QUANT_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "quant/quant.h"

enum { LF__MAX_BLOCKS = 8 };

typedef struct lf__block {
    int64_t rows, cols;
} lf__block;

// The quantization_config (or compression_config) of config.json, at top level or under text_config;
// hf_quant_config.json when config.json has none. It never decides what a tensor is; it gives the block sizes and is
// compared with the tensors.
typedef struct lf__quant_config {
    bool is_present;
    const char *method; // quant_method; "" when absent. BORROWED from the JSON, as `format` and the lists
    const char *format; // of compressed-tensors; "" when absent
    lf__block blocks[LF__MAX_BLOCKS];
    size_t n_block;
    bool has_channel;             // a group with one scale per output channel
    bool has_e8m0_bytes;          // an MXFP8 format: U8 scales are E8M0
    bool is_mimo;                 // model_type: its fused QKV is stored in chunks
    int64_t kv_heads[2];          // num_key_value_heads, and of sliding-window layers; 0: not said
    const json_t *unconverted[5]; // modules_to_not_convert, ignored_layers, ignore, ...: arrays or NULL
    json_t *file;                 // OWNED: hf_quant_config.json when it was read
} lf__quant_config;

// `dir` is where hf_quant_config.json is looked for.
void lf__quant_config_read(lf__quant_config *out, const json_t *config, const char *dir, lf_findings *findings);
void lf__quant_config_fini(lf__quant_config *config);

// Fills the layout of `out` from the shapes and dtypes of a weight (FP8; or I8: packed FP4) and its scale; false after
// a finding.
bool lf__layout_choose(const lf__quant_config *config, const lf_stored_tensor *weight, const lf_stored_tensor *scale,
                       lf_findings *findings, lf_logical_tensor *out);
// What the scale of `weight` would have to look like, in words.
void lf__layout_expected(const lf__quant_config *config, const lf_stored_tensor *weight, char *dst, size_t dst_bytes);

// What a tensor's last name component makes of it.
typedef enum lf__role {
    LF__ROLE_PLAIN,
    LF__ROLE_SCALE,       // of the weight beside it; without that weight an orphan
    LF__ROLE_MAYBE_SCALE, // ".scale": of the weight beside it when that is FP8 or FP4, a parameter of its own otherwise
    LF__ROLE_SIDE,        // not needed when activations and KV cache are bf16
    LF__ROLE_ZERO_POINT,  // must be zero: FP8 is symmetric
} lf__role;

// The role of `name`; for the last two *reason says in words what the tensor is.
lf__role lf__role_of(const char *name, const char **reason);
// Whether the last component looks like a scale although it is none that is known.
bool lf__looks_like_scale(const char *name);
enum { LF__MAX_CANDIDATES = 8 };
// Writes the k-th (below LF__MAX_CANDIDATES) companion name that a scale of weight `name` may have into `buf`; false
// past the last one.
bool lf__scale_candidate(const char *name, size_t k, lf_buf *buf);
// The scale that a shard of an n-gram table shares with the others (layout L7); false when `name` is none.
bool lf__shared_scale_name(const char *name, lf_buf *buf);
bool lf__has_suffix(const char *text, const char *suffix);

// Families that are recognized and refused: one finding each.
typedef enum lf__family {
    LF__FAMILY_NONE,
    LF__FAMILY_MXFP4,
    LF__FAMILY_NVFP4,
    LF__FAMILY_FP6,
    LF__FAMILY_INT4,
    LF__FAMILY_INT8,
    LF__FAMILY_GPTQ_AWQ,
    LF__FAMILY_BITSANDBYTES,
    LF__FAMILY_TORCHAO_INT,
    LF__FAMILY_COMFY,
    LF__FAMILY_OTHER,
    LF__FAMILY_COUNT,
} lf__family;

// The name of a family for people, and what they can do.
const char *lf__family_name(lf__family family);
const char *lf__family_remedy(lf__family family);
// Whether an I8 weight is packed FP4: it has a scale of dtype F8_E8M0 beside it (DeepSeek-V4).
bool lf__is_packed_fp4(const lf_checkpoint *checkpoint, size_t i);
// The family that a tensor which is neither FP8 nor such an FP4 weight belongs to by its name, dtype and neighbours.
lf__family lf__family_of_packed(const lf_checkpoint *checkpoint, size_t i);
// The family that the configuration names, for a checkpoint whose tensors did not tell.
lf__family lf__family_of_config(const lf__quant_config *config);

// Index of the tensor called `name`, SIZE_MAX when there is none. Names of one module stand near each other in the
// sorted list, so the search widens from `near` and costs the logarithm of the distance.
size_t lf__find_near(const lf_checkpoint *checkpoint, size_t near, const char *name);
// found[k]: index of the tensor called like the k-th companion of weight i, UINT32_MAX: none. Looks at the few tensors
// of the weight's module; false, with nothing found, when there are too many of them to look at.
bool lf__companions_near(const lf_checkpoint *checkpoint, size_t i, uint32_t found[LF__MAX_CANDIDATES]);

// Pairs the tensors of quant->checkpoint and fills the rest of `quant`. Fails only without memory.
lf_status lf__pair(lf_quant *quant, const lf__quant_config *config, lf_findings *findings, lf_error *err);

// Warns when the lists of unconverted modules disagree with the tensors.
void lf__modules_check(const lf__quant_config *config, const lf_quant *quant, lf_findings *findings);

struct lf_quant {
    const lf_checkpoint *checkpoint;
    lf_logical_tensor *tensors; // OWNED, in ascending order of name
    size_t count;
    lf_side_tensor *sides; // OWNED
    size_t n_side;
    size_t n_quantized;
    char **names; // OWNED names of renamed tensors
    size_t n_name, name_capacity;
    char scheme[160];
};

#endif
