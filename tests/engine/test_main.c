// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of engine; the exit status counts failed tests.
#include "tests.h"

int main(void) { return test_kv() + test_sample() + test_sched() ? 1 : 0; }
