// SPDX-License-Identifier: Apache-2.0
//
// Completion for zsh, as specifications of its own _arguments. A specification is one word in single quotes; within it
// ':', '[' and ']' have a meaning and are escaped in texts.
#include <ctype.h>
#include <string.h>

#include "cli/pages.h"

static void put_text(FILE *stream, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'') {
            fputs("'\\''", stream);
            continue;
        }
        if (strchr(":[]\\", *text)) fputc('\\', stream);
        fputc(*text, stream);
    }
}

// ":N:(auto dummy)", ":FILE:_files" or ":N: ", where an empty action completes nothing.
static void put_value(FILE *stream, const lf_opt *opt)
{
    if (opt->kind == LF_OPT_FLAG) return;
    fputc(':', stream);
    put_text(stream, opt->metavar);
    const char *at = opt->choices, *choice;
    size_t length;
    switch (lf_pages_value_source(opt)) {
    case LF_VALUE_CHOICES:
        fputs(":(", stream);
        for (bool is_first = true; (choice = lf_pages_next_choice(&at, &length)); is_first = false)
            fprintf(stream, "%s%.*s", is_first ? "" : " ", (int)length, choice);
        fputc(')', stream);
        break;
    case LF_VALUE_FILE: fputs(":_files", stream); break;
    case LF_VALUE_DIRECTORY: fputs(":_files -/", stream); break;
    case LF_VALUE_ANY: fputs(": ", stream); break;
    }
}

static void put_option(FILE *stream, const lf_opt *opt)
{
    const char *repeat = opt->kind == LF_OPT_LIST ? "*" : "";
    const char *spelled[] = {opt->name, opt->alias};
    for (size_t i = 0; i < 2 && spelled[i]; i++) {
        fprintf(stream, "      '%s", repeat);
        // Two spellings of one flag exclude each other.
        if (opt->alias && !*repeat) fprintf(stream, "(--%s %s)", opt->name, opt->alias);
        fprintf(stream, "%s%s%s[", i == 0 ? "--" : "", spelled[i], i == 0 && opt->metavar ? "=" : "");
        put_text(stream, opt->help);
        fputc(']', stream);
        put_value(stream, opt);
        fputs("' \\\n", stream);
    }
}

// "1:latency:(latency)", "2:MODEL:_files -/".
static void put_operands(FILE *stream, const char *operands)
{
    int i = 1;
    for (const char *at = operands; *at; i++) {
        int length = (int)strcspn(at, " ");
        if (islower((unsigned char)at[0]))
            fprintf(stream, " \\\n      '%d:%.*s:(%.*s)'", i, length, at, length, at);
        else
            fprintf(stream, " \\\n      '%d:%.*s:_files -/'", i, length, at);
        at += length + (at[length] == ' ');
    }
    fputc('\n', stream);
}

void lf_pages_zsh(FILE *stream, const lf_pages *pages)
{
    fputs("#compdef landfall\n# zsh completion for landfall. Made by the build from the option tables; do not edit.\n\n"
          "_landfall() {\n"
          "  local curcontext=\"$curcontext\" state line\n"
          "  typeset -A opt_args\n"
          "  local -a verbs\n"
          "  verbs=(\n",
          stream);
    for (size_t i = 0; i < pages->n_verb; i++) {
        fprintf(stream, "    '%s:", pages->verbs[i]->name);
        put_text(stream, pages->verbs[i]->summary);
        fputs("'\n", stream);
    }
    fputs("  )\n"
          "  _arguments -C '(-h --help)'{-h,--help}'[list the verbs]' '(-V --version)'{-V,--version}'[print the "
          "version]' \\\n"
          "    '1:verb:->verb' '*::operand:->operand' && return\n"
          "  case $state in\n"
          "  verb) _describe -t verbs verb verbs ;;\n"
          "  operand)\n"
          "    case $words[1] in\n",
          stream);
    for (size_t i = 0; i < pages->n_verb; i++) {
        const lf_verb *verb = pages->verbs[i];
        fprintf(stream, "    %s)\n      _arguments \\\n", verb->name);
        for (size_t k = 0; k < verb->n_opt; k++) put_option(stream, &verb->opts[k]);
        fputs("      '(-h --help)'{-h,--help}'[list the flags]'", stream);
        put_operands(stream, verb->operands);
        fputs("      ;;\n", stream);
    }
    fputs("    esac\n    ;;\n  esac\n}\n\n_landfall \"$@\"\n", stream);
}
