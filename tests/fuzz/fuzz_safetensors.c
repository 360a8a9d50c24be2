// SPDX-License-Identifier: Apache-2.0
//
// A shard from anywhere: what is accepted covers the file exactly, tensor by tensor, in order of name.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

static uint64_t checked_bytes(const lf_stored_tensor *tensor)
{
    uint64_t bits = (uint64_t)lf_dtype_bits(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++) {
        require(tensor->shape[i] >= 0);
        require(!__builtin_mul_overflow(bits, (uint64_t)tensor->shape[i], &bits));
    }
    require(bits % 8 == 0);
    return bits / 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    lf__shard shard = {.file_name = "model.safetensors"};
    lf__safetensors_read(&shard, data, length);
    require(!shard.findings.failed);
    require(shard.is_refused == (shard.findings.n_error > 0));
    require(!shard.is_refused || shard.count == 0);
    uint64_t sum = 0;
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < shard.count; i++) {
        const lf_stored_tensor *tensor = &shard.tensors[i];
        require(tensor->rank <= LF_MAX_RANK);
        require(i == 0 || strcmp(shard.tensors[shard.order[i - 1]].name, shard.tensors[shard.order[i]].name) < 0);
        require(tensor->bytes == checked_bytes(tensor));
        require((tensor->data == NULL) == (tensor->bytes == 0));
        if (tensor->bytes) {
            require(tensor->data == data + tensor->file_off);
            sink ^= tensor->data[0] ^ tensor->data[tensor->bytes - 1];
        }
        sum += tensor->bytes;
        char text[64];
        lf_stored_tensor_format(tensor, text, sizeof text);
    }
    (void)sink;
    require(shard.is_refused || sum + 8 + shard.header_bytes == length);
    lf__shard_fini(&shard);
    return 0;
}
