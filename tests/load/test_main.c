// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of load; the exit status counts failed tests.
#include "base/log.h"
#include "tests.h"

int main(void)
{
    lf_log_set_level(LF_LOG_ERROR);
    return test_dummy() + test_golden() + test_real() + test_memory() ? 1 : 0;
}
