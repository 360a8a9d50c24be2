// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of the server; the exit status says whether a test failed.
#include "tests.h"

int main(void)
{
    int n_failed = test_stop() + test_request() + test_refusals() + test_answers() + test_stream() + test_http() +
                   test_life() + test_faults();
    return n_failed ? 1 : 0;
}
