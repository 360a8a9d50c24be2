// SPDX-License-Identifier: Apache-2.0
//
// Runs the test groups of engine; the exit status counts failed tests.
#include "tests.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"kv", test_kv},         {"sample", test_sample},     {"sched", test_sched},   {"golden", test_golden},
    {"open", test_open},     {"requests", test_requests}, {"batch", test_batch},   {"threads", test_threads},
    {"faults", test_faults}, {"trace", test_trace},       {"latent", test_latent},
};

int main(int argc, char **argv)
{
    int n_failed = 0;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (argc > 1 && strcmp(argv[1], groups[i].name) != 0) continue; // one group, while working on it
        n_failed += groups[i].run();
    }
    return n_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
