// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint directory as a manifest of stored tensors: every safetensors shard is mapped and its header read
// strictly, nothing is copied, nothing is interpreted. Container rules: safetensors README and the catalog's
// section 11.
#ifndef LF_CHECKPOINT_CHECKPOINT_H
#define LF_CHECKPOINT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/finding.h"
#include "base/num.h"
#include "base/status.h"

enum { LF_MAX_RANK = 8 };

typedef struct lf_stored_tensor {
    const char *name; // BORROWED from the checkpoint
    lf_dtype dtype;
    uint8_t rank;
    int64_t shape[LF_MAX_RANK];
    uint32_t shard;      // index into lf_checkpoint_shard()
    uint64_t file_off;   // of the first byte, from the start of the shard file
    uint64_t bytes;      // exactly the product of shape times the element's bits, checked against the file's size
    const uint8_t *data; // VIEW into the mapped shard, may be unaligned; NULL when bytes is 0
} lf_stored_tensor;

typedef struct lf_shard {
    const char *file_name; // BORROWED, without folder
    const uint8_t *header; // VIEW of the JSON header, for fingerprints; NULL when it could not be found
    size_t header_bytes;
    uint64_t file_bytes;
    size_t n_tensor;
    bool is_refused; // missing, unreadable or malformed: a finding says why, none of its tensors is in the manifest
} lf_shard;

typedef struct lf_checkpoint lf_checkpoint;

// Opens a directory: the shards of model.safetensors.index.json, or model.safetensors alone, or
// consolidated.safetensors when nothing else is there. Whatever is wrong inside a readable directory becomes a finding
// (all of them; tensors of a refused shard are absent from the manifest), and the call still succeeds; it fails
// only when there is nothing to look at (no such directory, no shard at all, no memory).
lf_status lf_checkpoint_open(lf_checkpoint **out, const char *dir, lf_findings *findings, lf_error *err);
void lf_checkpoint_close(lf_checkpoint *checkpoint); // NULL is accepted

const char *lf_checkpoint_dir(const lf_checkpoint *checkpoint);
// Tensors in ascending order of name (memcmp order), each name once.
size_t lf_checkpoint_count(const lf_checkpoint *checkpoint);
const lf_stored_tensor *lf_checkpoint_tensor(const lf_checkpoint *checkpoint, size_t i);
// NULL when there is none. Binary search.
const lf_stored_tensor *lf_checkpoint_find(const lf_checkpoint *checkpoint, const char *name);
size_t lf_checkpoint_n_shard(const lf_checkpoint *checkpoint);
const lf_shard *lf_checkpoint_shard(const lf_checkpoint *checkpoint, size_t i);
// The name with '#' for every component that is a number: what the same tensor of all layers and experts is called.
// false when dst is too small.
bool lf_tensor_family(char *dst, size_t dst_bytes, const char *name);
// order[0..n) = the indices of `names` in memcmp order, equal names by index. One pass when they are in order already;
// never more than (total bytes) log (number of ascending runs). false when memory is gone.
bool lf_sort_names(const char *const *names, size_t n, uint32_t *order);
// Sum of the bytes of all tensors.
uint64_t lf_checkpoint_bytes(const lf_checkpoint *checkpoint);
// Asks the kernel to read a tensor's bytes ahead; a hint, never fails.
void lf_checkpoint_prefetch(const lf_checkpoint *checkpoint, const lf_stored_tensor *tensor);
// "[24, 8] F32" into dst; for messages.
void lf_stored_tensor_format(const lf_stored_tensor *tensor, char *dst, size_t dst_bytes);

#endif
