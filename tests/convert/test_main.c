// SPDX-License-Identifier: Apache-2.0
//
// Runs the groups of this module.
#include "base/log.h"
#include "tests.h"

static void ignore(void *ctx, lf_log_level level, const char *line) {}

int main(void)
{
    lf_log_set_sink(ignore, NULL);
    return test_plan() + test_chunk() + test_rewrite() + test_journal() + test_run() + test_resume();
}
