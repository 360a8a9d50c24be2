// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of base; the exit status counts failed tests.
#include "tests.h"

int main(void) { return test_buf() + test_num() + test_num_kernels() + test_status() ? 1 : 0; }
