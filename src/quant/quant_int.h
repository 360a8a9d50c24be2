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

// The quantization_config (or compression_config) of config.json, at top level or under text_config. It never decides
// what a tensor is; it gives the block sizes and is compared with the tensors.
typedef struct lf__quant_config {
    bool is_present;
    const char *method; // quant_method; "" when absent. BORROWED from the JSON, as the lists
    lf__block blocks[LF__MAX_BLOCKS];
    size_t n_block;
    bool has_channel;             // a group with one scale per output channel
    bool has_group;               // a group with scales along K (MX)
    const json_t *unconverted[3]; // modules_to_not_convert, ignored_layers, ignore: arrays or NULL
} lf__quant_config;

void lf__quant_config_read(lf__quant_config *out, const json_t *config, lf_findings *findings);

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
// Writes the k-th companion name that a scale of weight `name` may have into `buf`; false past the last one.
bool lf__scale_candidate(const char *name, size_t k, lf_buf *buf);
bool lf__has_suffix(const char *text, const char *suffix);

// Families that are recognized and refused: one finding each.
typedef enum lf__family {
    LF__FAMILY_NONE,
    LF__FAMILY_MXFP4,
    LF__FAMILY_NVFP4,
    LF__FAMILY_FP4_PACKED,
    LF__FAMILY_INT4,
    LF__FAMILY_INT8,
    LF__FAMILY_GPTQ_AWQ,
    LF__FAMILY_MXFP8,
    LF__FAMILY_FUSED_EXPERTS,
    LF__FAMILY_CHUNKED_QKV,
    LF__FAMILY_SHARED_SCALE,
    LF__FAMILY_COUNT,
} lf__family;

// The name of a family for people.
const char *lf__family_name(lf__family family);
// The family that a tensor which is not an FP8 weight belongs to by its name, dtype and neighbours.
lf__family lf__family_of_packed(const lf_checkpoint *checkpoint, size_t i);
// The family of an FP8 weight and its scale (NULL: none was found).
lf__family lf__family_of_fp8(const lf__quant_config *config, const lf_stored_tensor *weight,
                             const lf_stored_tensor *scale);
// The family that quant_method names, for a checkpoint whose tensors did not tell.
lf__family lf__family_of_method(const char *method);

// Index of the tensor called `name`, SIZE_MAX when there is none. Names of one module stand near each other in the
// sorted list, so the search widens from `near` and costs the logarithm of the distance.
size_t lf__find_near(const lf_checkpoint *checkpoint, size_t near, const char *name);

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
