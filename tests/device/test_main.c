// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of device; the exit status says whether any failed.
#include "tests.h"

int main(void)
{
    int failed = test_memory() + test_kernels() + test_linear() + test_rowwise() + test_attention() + test_sample() +
                 test_logprob() + test_route() + test_experts() + test_head_product() + test_shared();
    test_device_close();
    return failed ? 1 : 0;
}
