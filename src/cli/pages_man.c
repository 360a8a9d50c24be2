// SPDX-License-Identifier: Apache-2.0
//
// Manual pages in man(7). All text goes through put_text(), which escapes what roff would read as its own; markup is
// written as font changes only, so that no text is ever an argument of a macro.
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "cli/pages.h"
#include "landfall.h"

static void put_bytes(FILE *stream, const char *text, size_t length)
{
    bool is_line_start = true;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (is_line_start && (c == '.' || c == '\'')) fputs("\\&", stream);
        is_line_start = c == '\n';
        switch (c) {
        case '\\': fputs("\\e", stream); break;
        case '-': fputs("\\-", stream); break;
        case '\'': fputs("\\(aq", stream); break;
        case '`': fputs("\\(ga", stream); break;
        case '^': fputs("\\(ha", stream); break;
        case '~': fputs("\\(ti", stream); break;
        default: fputc(c, stream);
        }
    }
}

static void put_text(FILE *stream, const char *text) { put_bytes(stream, text, strlen(text)); }

static void put_font(FILE *stream, char font, const char *text)
{
    fprintf(stream, "\\f%c", font);
    put_text(stream, text);
    fputs("\\fR", stream);
}

// Paragraphs are separated by an empty line.
static void put_paragraphs(FILE *stream, const char *text)
{
    for (const char *at = text; *at;) {
        const char *end = strstr(at, "\n\n");
        size_t length = end ? (size_t)(end - at) : strlen(at);
        put_bytes(stream, at, length);
        fputc('\n', stream);
        at += length;
        if (!end) break;
        at += 2;
        fputs(".PP\n", stream);
    }
}

// One sentence: the first letter large, a full stop at the end. A first word that is a value ("auto: ...", "exact, or
// ...") or no plain word ("bf16 ...") stays as it is typed.
static void put_sentence(FILE *stream, const char *text)
{
    size_t letters = strspn(text, "abcdefghijklmnopqrstuvwxyz"), length = strlen(text);
    if (letters && text[letters] == ' ') fputc(toupper((unsigned char)*text++), stream);
    put_text(stream, text);
    fputs(length && text[strlen(text) - 1] == '.' ? "\n" : ".\n", stream);
}

static void put_header(FILE *stream, const lf_pages *pages, const char *verb)
{
    fputs(".\\\" Made by the build from the option tables; do not edit.\n.TH LANDFALL", stream);
    if (verb) fputs("\\-", stream);
    for (const char *at = verb ? verb : ""; *at; at++) fputc(toupper((unsigned char)*at), stream);
    fprintf(stream, " 1 %s \"landfall %s\" \"Landfall manual\"\n.nh\n", pages->date, lf_version());
}

static void put_exit_status(FILE *stream)
{
    static const char *const meanings[] = {
        "All is well.",
        "The answer is no: findings of severity error, damaged or unsupported input, not signed off.",
        "Wrong usage.",
        "The environment failed: files, memory, space, network.",
    };
    fputs(".SH EXIT STATUS\n", stream);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(meanings); i++) fprintf(stream, ".TP\n\\fB%zu\\fR\n%s\n", i, meanings[i]);
}

static void put_limits(FILE *stream, const lf_opt *opt)
{
    if (opt->min == opt->max || opt->kind == LF_OPT_STRING || opt->kind == LF_OPT_LIST || opt->kind == LF_OPT_FLAG)
        return;
    if (opt->max >= INT32_MAX) // a limit that only keeps arithmetic safe
        fprintf(stream, "At least %" PRId64 ".\n", opt->min);
    else
        fprintf(stream, "From %" PRId64 " to %" PRId64 ".\n", opt->min, opt->max);
}

static void put_choices(FILE *stream, const lf_opt *opt)
{
    const char *at = opt->choices, *choice;
    size_t length;
    for (bool is_first = true; (choice = lf_pages_next_choice(&at, &length)); is_first = false) {
        fputs(is_first ? "One of \\fB" : "\\fR, \\fB", stream);
        put_bytes(stream, choice, length);
    }
    if (opt->choices) fputs("\\fR.\n", stream);
}

static void put_option(FILE *stream, const lf_opt *opt)
{
    fputs(".TP\n\\fB\\-\\-", stream);
    put_text(stream, opt->name);
    fputs("\\fR", stream);
    if (opt->metavar) {
        fputc(' ', stream);
        put_font(stream, 'I', opt->metavar);
    }
    if (opt->alias) {
        fputs(", ", stream);
        put_font(stream, 'B', opt->alias);
    }
    fputc('\n', stream);
    put_sentence(stream, opt->help);
    put_choices(stream, opt);
    put_limits(stream, opt);
}

static void put_see_also(FILE *stream, const lf_pages *pages, const lf_verb *self)
{
    fputs(".SH SEE ALSO\n", stream);
    if (self) fprintf(stream, "\\fBlandfall\\fR(1)%s\n", pages->n_verb > 1 ? "," : "");
    size_t last = pages->n_verb && pages->verbs[pages->n_verb - 1] == self ? pages->n_verb - 2 : pages->n_verb - 1;
    for (size_t i = 0; i < pages->n_verb; i++) {
        if (pages->verbs[i] == self) continue;
        fprintf(stream, "\\fBlandfall\\-%s\\fR(1)%s\n", pages->verbs[i]->name, i == last ? "" : ",");
    }
}

// "MODEL OUT" in italics, literal words ("latency") in bold.
static void put_operands(FILE *stream, const char *operands)
{
    for (const char *at = operands; *at;) {
        size_t length = strcspn(at, " ");
        fprintf(stream, " \\f%c", islower((unsigned char)at[0]) ? 'B' : 'I');
        put_bytes(stream, at, length);
        fputs("\\fR", stream);
        at += length + (at[length] == ' ');
    }
}

void lf_pages_man_verb(FILE *stream, const lf_pages *pages, const lf_verb *verb)
{
    put_header(stream, pages, verb->name);
    fprintf(stream, ".SH NAME\nlandfall\\-%s \\- ", verb->name);
    put_text(stream, verb->summary);
    fprintf(stream, "\n.SH SYNOPSIS\n\\fBlandfall %s\\fR", verb->name);
    put_operands(stream, verb->operands);
    fputs(verb->n_opt ? " [\\fIflags\\fR]\n.SH DESCRIPTION\n" : "\n.SH DESCRIPTION\n", stream);
    put_paragraphs(stream, verb->description);
    fputs(".SH OPTIONS\n", stream);
    for (size_t i = 0; i < verb->n_opt; i++) put_option(stream, &verb->opts[i]);
    fputs(".TP\n\\fB\\-\\-help\\fR, \\fB\\-h\\fR\nList the flags.\n", stream);
    put_exit_status(stream);
    if (verb->example) {
        fputs(".SH EXAMPLE\n.EX\n", stream);
        put_text(stream, verb->example);
        fputs("\n.EE\n", stream);
    }
    put_see_also(stream, pages, verb);
}

void lf_pages_man(FILE *stream, const lf_pages *pages)
{
    put_header(stream, pages, NULL);
    fputs(".SH NAME\nlandfall \\- FP8 checkpoints on hardware without FP8\n.SH SYNOPSIS\n"
          "\\fBlandfall\\fR \\fIverb\\fR [\\fIoperands\\fR] [\\fIflags\\fR]\n.SH DESCRIPTION\n",
          stream);
    put_paragraphs(stream,
                   "Landfall checks FP8 checkpoints of language models strictly from their headers, converts them to "
                   "bf16, or dequantizes them while loading, and serves them through an OpenAI-compatible API on "
                   "machines whose processors cannot execute FP8. It signs the bring-up of a checkpoint off with "
                   "evidence.\n\nMODEL is always a directory that holds config.json and safetensors files.");
    fputs(".SH VERBS\n", stream);
    for (size_t i = 0; i < pages->n_verb; i++) {
        fprintf(stream, ".TP\n\\fB%s\\fR", pages->verbs[i]->name);
        put_operands(stream, pages->verbs[i]->operands);
        fputc('\n', stream);
        put_sentence(stream, pages->verbs[i]->summary);
    }
    fputs(".SH OPTIONS\n", stream);
    put_paragraphs(stream,
                   "Each verb has a page of its own, landfall-VERB(1). Flags may stand before and after operands, as "
                   "'--flag value' or '--flag=value'; an underscore counts as a dash; '--no-flag' clears a flag that "
                   "takes no value; after '--' everything is an operand. Sizes take the suffixes k, m, g (powers of "
                   "1000) and K, M, G (powers of 1024).");
    fputs(".TP\n\\fB\\-\\-help\\fR, \\fB\\-h\\fR\nList the verbs.\n"
          ".TP\n\\fB\\-\\-version\\fR, \\fB\\-V\\fR\nPrint the version.\n",
          stream);
    put_exit_status(stream);
    fputs(".SH ENVIRONMENT\n.TP\n\\fBLANDFALL_API_KEY\\fR\nA key that clients of \\fBlandfall serve\\fR must send.\n"
          ".TP\n\\fBLF_CPU_ISA\\fR\nThe most that kernels may use: \\fBref\\fR, \\fBavx2\\fR or \\fBavx512\\fR.\n"
          ".TP\n\\fBOMP_WAIT_POLICY\\fR, \\fBGOMP_SPINCOUNT\\fR\n"
          "How threads wait for each other; Landfall chooses a short spin unless one of them is set.\n",
          stream);
    put_see_also(stream, pages, NULL);
}
