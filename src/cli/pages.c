// SPDX-License-Identifier: Apache-2.0
//
// landfall-pages: prints one manual page or one completion script. Run by the build, not installed.
//   landfall-pages DATE man [VERB] | bash | zsh
#include "cli/pages.h"

#include <string.h>

#include "base/mem.h"
#include "cli/verbs.h"

lf_value_source lf_pages_value_source(const lf_opt *opt)
{
    if (opt->choices) return LF_VALUE_CHOICES;
    if (!opt->metavar) return LF_VALUE_ANY;
    if (strcmp(opt->metavar, "FILE") == 0 || strcmp(opt->metavar, "REPORT") == 0) return LF_VALUE_FILE;
    return strcmp(opt->metavar, "DIR") == 0 ? LF_VALUE_DIRECTORY : LF_VALUE_ANY;
}

const char *lf_pages_next_choice(const char **at, size_t *length)
{
    const char *begin = *at;
    if (!begin || !*begin) return NULL;
    *length = strcspn(begin, "|");
    *at = begin + *length + (begin[*length] == '|');
    return begin;
}

int main(int argc, char **argv)
{
    static const lf_verb *const verbs[] = {
#define X(verb) &lf_verb_##verb,
        LF_VERB_MAP(X)
#undef X
    };
    const lf_pages pages = {.verbs = verbs, .n_verb = LF_ARRAY_LENGTH(verbs), .date = argc > 1 ? argv[1] : ""};
    const char *what = argc > 2 ? argv[2] : "", *verb = argc > 3 ? argv[3] : NULL;
    if (strcmp(what, "bash") == 0) {
        lf_pages_bash(stdout, &pages);
    } else if (strcmp(what, "zsh") == 0) {
        lf_pages_zsh(stdout, &pages);
    } else if (strcmp(what, "man") == 0 && !verb) {
        lf_pages_man(stdout, &pages);
    } else {
        size_t i = 0;
        while (i < pages.n_verb && (!verb || strcmp(verbs[i]->name, verb) != 0)) i++;
        if (strcmp(what, "man") != 0 || i == pages.n_verb) {
            fprintf(stderr, "usage: landfall-pages DATE man [VERB] | bash | zsh\n");
            return 2;
        }
        lf_pages_man_verb(stdout, &pages, verbs[i]);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 3;
}
