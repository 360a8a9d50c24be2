// SPDX-License-Identifier: Apache-2.0
//
// Completion for bash: verbs, flags of the verb, choices, files and directories. It needs bash alone, not the
// bash-completion package. bash splits --flag=value into three words, so the word before the value may be "=".
#include <ctype.h>
#include <string.h>

#include "cli/pages.h"

static void put_words(FILE *stream, const char *choices)
{
    const char *at = choices, *choice;
    size_t length;
    for (bool is_first = true; (choice = lf_pages_next_choice(&at, &length)); is_first = false)
        fprintf(stream, "%s%.*s", is_first ? "" : " ", (int)length, choice);
}

// A case of the words before a value: "check:--sarif|check:-s".
static void put_value_case(FILE *stream, const lf_verb *verb, const lf_opt *opt)
{
    if (opt->kind == LF_OPT_FLAG) return;
    fprintf(stream, "    %s:--%s", verb->name, opt->name);
    if (opt->alias) fprintf(stream, "|%s:%s|%s:-%s", verb->name, opt->alias, verb->name, opt->alias);
    switch (lf_pages_value_source(opt)) {
    case LF_VALUE_CHOICES:
        fputs(") _landfall_words \"", stream);
        put_words(stream, opt->choices);
        fputs("\" ;;\n", stream);
        break;
    case LF_VALUE_FILE: fputs(") _landfall_paths -f ;;\n", stream); break;
    case LF_VALUE_DIRECTORY: fputs(") _landfall_paths -d ;;\n", stream); break;
    case LF_VALUE_ANY: fputs(") : ;;\n", stream); break;
    }
}

static void put_flags_case(FILE *stream, const lf_verb *verb)
{
    fprintf(stream, "    %s) _landfall_words \"", verb->name);
    for (size_t i = 0; i < verb->n_opt; i++) {
        const lf_opt *opt = &verb->opts[i];
        fprintf(stream, "--%s ", opt->name);
        if (opt->alias) fprintf(stream, "%s ", opt->alias);
    }
    fputs("--help\" ;;\n", stream);
}

// Operands that are written as they are, like "latency" of bench.
static void put_literal_case(FILE *stream, const lf_verb *verb)
{
    if (!islower((unsigned char)verb->operands[0])) return;
    fprintf(stream, "    %s:2) _landfall_words \"%.*s\" ;;\n", verb->name, (int)strcspn(verb->operands, " "),
            verb->operands);
}

void lf_pages_bash(FILE *stream, const lf_pages *pages)
{
    fputs("# bash completion for landfall. Made by the build from the option tables; do not edit.\n\n"
          "_landfall_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$current\"); }\n\n"
          "_landfall_paths() {\n"
          "    compopt -o filenames 2>/dev/null\n"
          "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$current\")\n"
          "}\n\n"
          "_landfall() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}\n"
          "    COMPREPLY=()\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        _landfall_words \"",
          stream);
    for (size_t i = 0; i < pages->n_verb; i++) fprintf(stream, "%s ", pages->verbs[i]->name);
    fputs("--help --version\"\n"
          "        return\n"
          "    fi\n"
          "    [[ $current == = ]] && current=\n"
          "    [[ $previous == = ]] && previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    case $verb:${previous//_/-} in\n",
          stream);
    for (size_t i = 0; i < pages->n_verb; i++)
        for (size_t k = 0; k < pages->verbs[i]->n_opt; k++)
            put_value_case(stream, pages->verbs[i], &pages->verbs[i]->opts[k]);
    fputs("    *) false ;;\n    esac && return\n"
          "    if [[ $current != -* ]]; then\n"
          "        case $verb:$COMP_CWORD in\n",
          stream);
    for (size_t i = 0; i < pages->n_verb; i++) put_literal_case(stream, pages->verbs[i]);
    fputs("        *) _landfall_paths -d ;;\n        esac\n        return\n    fi\n    case $verb in\n", stream);
    for (size_t i = 0; i < pages->n_verb; i++) put_flags_case(stream, pages->verbs[i]);
    fputs("    esac\n}\n\ncomplete -F _landfall landfall\n", stream);
}
