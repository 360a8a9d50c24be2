// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of quant; the exit status counts failed tests.
#include "tests.h"

int main(void)
{
    return test_pair() + test_family() + test_dequant() + test_formats() + test_format_goldens() + test_golden() +
                   test_refusals() + test_scan()
               ? 1
               : 0;
}
