// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of base; the exit status counts failed tests.
#include "tests.h"

int main(void)
{
    int failed = test_buf() + test_file() + test_finding() + test_json() + test_misc() + test_num() +
                 test_num_kernels() + test_scan() + test_status();
    return failed ? 1 : 0;
}
