// SPDX-License-Identifier: Apache-2.0
//
// The program's entry: finds the verb, runs it, and makes sure that results really reached stdout. The only place that
// exits.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verbs.h"
#include "landfall.h"

static const lf_verb *const verbs[] = {
#define X(verb) &lf_verb_##verb,
    LF_VERB_MAP(X)
#undef X
        NULL};

static void print_help(FILE *stream)
{
    fprintf(stream, "landfall %s: FP8 checkpoints on hardware without FP8\n\nUsage: landfall VERB ...\n\n",
            lf_version());
    for (size_t i = 0; verbs[i]; i++) {
        fprintf(stream, "  %-9s %-12s %s\n", verbs[i]->name, verbs[i]->operands, verbs[i]->summary);
    }
    fprintf(stream, "\n`landfall VERB --help` lists a verb's flags. Exit status: 0 all is well, 1 the answer is no,\n"
                    "2 wrong usage, 3 the environment failed.\n");
}

// Threads that wait for each other at the end of a loop spin for a fraction of a millisecond and then sleep. Spinning
// as long as libgomp does by itself makes a small model a hundred times slower beside one busy program; not spinning at
// all makes it three times slower on an idle machine, because waking a thread takes longer than its work. libgomp reads
// its policy when it is loaded, before main() runs, so the program starts itself once more with it, unless the user has
// chosen one. Only for verbs that compute: the others answer at once.
static void settle_waiting(const lf_verb *verb, char **argv)
{
    if (!verb->computes || getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    bool is_set = setenv("GOMP_SPINCOUNT", "5000", 1) == 0 && setenv("OMP_WAIT_POLICY", "passive", 1) == 0;
    if (is_set) execv("/proc/self/exe", argv); // goes on as it is when that fails
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("landfall %s\n", lf_version());
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; verbs[i]; i++) {
        if (strcmp(argv[1], verbs[i]->name) != 0) continue;
        settle_waiting(verbs[i], argv);
        return verbs[i]->run(verbs[i], argc - 2, argv + 2);
    }
    fprintf(stderr, "landfall: unknown verb '%s'; `landfall --help` lists them\n", argv[1]);
    return 2;
}

int main(int argc, char **argv)
{
    int exit_status = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "landfall: cannot write to stdout: %s\n", strerror(errno));
        if (exit_status == 0) exit_status = 3;
    }
    return exit_status;
}
