// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of verify; the exit status counts failed tests.
#include "tests.h"

int main(void) { return test_compare() + test_probes() + test_report() + test_signoff() + test_single_rank() ? 1 : 0; }
