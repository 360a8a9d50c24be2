// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of model; the exit status counts failed tests.
#include "tests.h"

int main(void)
{
    return test_check() + test_config() + test_config_rope() + test_deepseek() + test_outline() + test_overrides() +
                   test_preflight() + test_rope() + test_table()
               ? 1
               : 0;
}
