// SPDX-License-Identifier: Apache-2.0
//
// Matrix products by oneDNN, for processors with bf16 instructions: it reads our packed weights as they are (tag
// BA16a64b2a). This pair of files is the only place that knows oneDNN.
#ifndef LF_DEVICE_CPU_GEMM_ONEDNN_H
#define LF_DEVICE_CPU_GEMM_ONEDNN_H

#include <stdbool.h>

#include "device/device.h"

typedef struct lf_onednn lf_onednn;

// oneDNN ready for bf16 products over packed weights, or LF_ERR_UNSUPPORTED with the reason when the library has no
// fast implementation of that on this processor, or its result disagrees with ours on a small product.
lf_status lf__onednn_open(lf_onednn **out, lf_error *err);
void lf__onednn_close(lf_onednn *onednn);

// The tokens from `first` on that one product may take: the largest of a few fixed numbers that fits `n_tok`, so that
// there are few primitives; 0 when our own kernels do better.
size_t lf__onednn_tokens(size_t n_tok);
// y of tokens [first, first + n_tok), n_tok from lf__onednn_tokens. Allocates at the first use of a shape and of a pair
// of strides only. false: this shape is not for oneDNN, nothing was written.
bool lf__onednn_linear(lf_onednn *onednn, const lf_linear_args *args, size_t first, size_t n_tok);

// Seconds of one product [m, k] * [k, n] with weights in the library's own favourite layout; the shortest of a few
// runs.
lf_status lf__onednn_time_matmul(bool bf16, size_t m, size_t n, size_t k, double *out_seconds, lf_error *err);

#endif
