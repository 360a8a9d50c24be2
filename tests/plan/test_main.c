// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of plan; the exit status counts failed tests.
#include "tests.h"

int main(void) { return test_census() + test_cover() + test_heads() + test_slice() + test_split_check() ? 1 : 0; }
