// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of checkpoint; the exit status counts failed tests.
#include "tests.h"

int main(void) { return test_names() + test_safetensors() + test_index() + test_directory() ? 1 : 0; }
