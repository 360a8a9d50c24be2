// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of api; the exit status counts failed tests.
#include <stdio.h>
#include <stdlib.h>

#include "tests.h"

const char *bundled(void)
{
    static char dir[4096];
    const char *models = getenv("LF_TEST_MODELS");
    snprintf(dir, sizeof dir, "%s/landfall-tiny-qwen3-fp8", models ? models : "models");
    return dir;
}

const char *golden(const char *name)
{
    static char dir[4096];
    const char *folder = getenv("LF_TEST_GOLDEN");
    snprintf(dir, sizeof dir, "%s/%s/checkpoint", folder ? folder : "tests/golden", name);
    return dir;
}

int main(void) { return test_model() + test_conversion() + test_program() + test_faults() ? 1 : 0; }
