// SPDX-License-Identifier: Apache-2.0
//
// The option table's parser and its help page.
#include "cli/opts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "comm/comm.h"

// Compares a flag typed by the user with an option's name; '_' counts as '-'.
static bool same_name(const char *typed, size_t length, const char *name)
{
    if (strlen(name) != length) return false;
    for (size_t i = 0; i < length; i++) {
        char c = typed[i] == '_' ? '-' : typed[i];
        if (c != name[i]) return false;
    }
    return true;
}

// An alias is typed as it is listed, or with one dash more: vLLM's "-tp" and the "--tp" that people expect beside it.
static bool is_alias(const lf_opt *opt, const char *argument, size_t length)
{
    if (!opt->alias) return false;
    size_t alias_length = strlen(opt->alias);
    if (length == alias_length + 1 && alias_length > 2 && argument[0] == '-') argument++, length--;
    return length == alias_length && strncmp(opt->alias, argument, length) == 0;
}

static const lf_opt *find_option(const lf_verb *verb, const char *argument, size_t length, bool *is_negated)
{
    *is_negated = false;
    for (size_t i = 0; i < verb->n_opt; i++) {
        const lf_opt *opt = &verb->opts[i];
        if (is_alias(opt, argument, length)) return opt;
        if (length < 3 || argument[0] != '-' || argument[1] != '-') continue;
        if (same_name(argument + 2, length - 2, opt->name)) return opt;
        if (opt->kind == LF_OPT_FLAG && length > 5 && strncmp(argument + 2, "no-", 3) == 0 &&
            same_name(argument + 5, length - 5, opt->name)) {
            *is_negated = true;
            return opt;
        }
    }
    return NULL;
}

// Levenshtein distance, for names of at most 63 characters; larger names are "far".
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= LF_ARRAY_LENGTH(row) || strlen(a) >= LF_ARRAY_LENGTH(row)) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            row[j] = LF_MIN(replace, LF_MIN(above, row[j - 1]) + 1);
            diagonal = above;
        }
    }
    return row[n];
}

static lf_status unknown_flag(const lf_verb *verb, const char *argument, lf_error *err)
{
    char typed[64];
    snprintf(typed, sizeof typed, "%s", argument[0] == '-' && argument[1] == '-' ? argument + 2 : argument + 1);
    typed[strcspn(typed, "=")] = '\0';
    const char *nearest = NULL;
    size_t best = 4;
    for (size_t i = 0; i < verb->n_opt; i++) {
        size_t distance = edit_distance(typed, verb->opts[i].name);
        if (distance < best) {
            best = distance;
            nearest = verb->opts[i].name;
        }
    }
    lf_error_set(err, LF_ERR_USAGE, "unknown flag %.*s", (int)strcspn(argument, "="), argument);
    if (nearest) return lf_error_hint(err, "did you mean --%s", nearest);
    return lf_error_hint(err, "`landfall %s --help` lists the flags", verb->name);
}

static lf_status bad_value(const lf_opt *opt, const char *expected, const char *value, lf_error *err)
{
    lf_error_set(err, LF_ERR_USAGE, "bad value of --%s", opt->name);
    lf_error_expected(err, "%s", expected);
    return lf_error_found(err, "'%s'", value);
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; *at;) {
        size_t n = strcspn(at, "|");
        if (n == length && strncmp(at, value, n) == 0) return true;
        at += n + (at[n] == '|');
    }
    return false;
}

static int64_t suffix_factor(const char *suffix)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } factors[] = {{"", 1},        {"k", 1000},    {"m", 1000000}, {"g", 1000000000},
                   {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(factors); i++) {
        if (strcmp(suffix, factors[i].suffix) == 0) return factors[i].factor;
    }
    return 0;
}

static lf_status set_integer(const lf_opt *opt, const char *value, int64_t *out, lf_error *err)
{
    char expected[96], *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    int64_t factor = opt->kind == LF_OPT_SIZE ? suffix_factor(end) : *end == '\0';
    int64_t result;
    bool is_limited = opt->min != opt->max;
    if (is_limited) {
        snprintf(expected, sizeof expected, "an integer from %lld to %lld", (long long)opt->min, (long long)opt->max);
    } else {
        snprintf(expected, sizeof expected, "an integer");
    }
    if (end == value || errno || factor == 0 || __builtin_mul_overflow((int64_t)number, factor, &result) ||
        (is_limited && (result < opt->min || result > opt->max))) {
        return bad_value(opt, expected, value, err);
    }
    *out = result;
    return LF_OK;
}

static lf_status set_real(const lf_opt *opt, const char *value, double *out, lf_error *err)
{
    char expected[96], *end;
    bool is_limited = opt->min != opt->max;
    snprintf(expected, sizeof expected, is_limited ? "a number from %lld to %lld" : "a number", (long long)opt->min,
             (long long)opt->max);
    double number = strtod(value, &end);
    if (end == value || *end || number != number ||
        (is_limited && (number < (double)opt->min || number > (double)opt->max))) {
        return bad_value(opt, expected, value, err);
    }
    *out = number;
    return LF_OK;
}

static lf_status add_item(const lf_opt *opt, const char *value, lf_opt_list *list, lf_error *err)
{
    if (list->count == LF_OPT_LIST_MAX) {
        return lf_error_set(err, LF_ERR_USAGE, "--%s is given more than %d times", opt->name, LF_OPT_LIST_MAX);
    }
    list->items[list->count++] = value;
    return LF_OK;
}

static lf_status set_value(const lf_opt *opt, const char *value, void *values, lf_error *err)
{
    void *slot = (char *)values + opt->offset;
    switch (opt->kind) {
    case LF_OPT_STRING:
        if (opt->choices && !is_choice(opt->choices, value)) {
            char expected[128];
            snprintf(expected, sizeof expected, "one of %s", opt->choices);
            return bad_value(opt, expected, value, err);
        }
        *(const char **)slot = value;
        return LF_OK;
    case LF_OPT_INT:
    case LF_OPT_SIZE: return set_integer(opt, value, slot, err);
    case LF_OPT_REAL: return set_real(opt, value, slot, err);
    case LF_OPT_LIST: return add_item(opt, value, slot, err);
    case LF_OPT_FLAG: break;
    }
    return LF_ERR_BUG;
}

lf_status lf_opts_parse(const lf_verb *verb, int argc, char **argv, void *values, const char **operands,
                        size_t max_operand, bool *is_done, lf_error *err)
{
    size_t n_operand = 0;
    bool only_operands = false;
    *is_done = false;
    for (size_t i = 0; i < max_operand; i++) operands[i] = NULL;
    for (int i = 0; i < argc; i++) {
        const char *argument = argv[i];
        if (only_operands || argument[0] != '-' || argument[1] == '\0') {
            if (n_operand == max_operand) {
                return lf_error_set(err, LF_ERR_USAGE, "unexpected operand '%s': usage: landfall %s %s", argument,
                                    verb->name, verb->operands);
            }
            operands[n_operand++] = argument;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            lf_opts_help(verb);
            *is_done = true;
            return LF_OK;
        }
        bool is_negated;
        size_t length = strcspn(argument, "=");
        const lf_opt *opt = find_option(verb, argument, length, &is_negated);
        if (!opt) return unknown_flag(verb, argument, err);
        const char *value = argument[length] == '=' ? argument + length + 1 : NULL;
        if (opt->kind == LF_OPT_FLAG) {
            if (value) return lf_error_set(err, LF_ERR_USAGE, "--%s takes no value", opt->name);
            *(bool *)((char *)values + opt->offset) = !is_negated;
            continue;
        }
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value) return lf_error_set(err, LF_ERR_USAGE, "--%s needs a value (%s)", opt->name, opt->metavar);
        lf_status status = set_value(opt, value, values, err);
        if (status) return status;
    }
    return LF_OK;
}

void lf_opts_help(const lf_verb *verb)
{
    printf("Usage: landfall %s %s%s\n\n%s\n", verb->name, verb->operands, verb->n_opt ? " [flags]" : "", verb->summary);
    if (verb->n_opt) printf("\nFlags:\n");
    for (size_t i = 0; i < verb->n_opt; i++) {
        const lf_opt *opt = &verb->opts[i];
        char left[96];
        snprintf(left, sizeof left, "--%s%s%s%s%s", opt->name, opt->metavar ? " " : "",
                 opt->metavar ? opt->metavar : "", opt->alias ? ", " : "", opt->alias ? opt->alias : "");
        printf("  %-36s %s%s%s%s\n", left, opt->help, opt->choices ? " (" : "", opt->choices ? opt->choices : "",
               opt->choices ? ")" : "");
    }
}

int lf_cli_fail(const lf_verb *verb, const lf_error *err)
{
    char line[2048];
    // Wrong usage is the same on all ranks that mpirun has started.
    if (err->status == LF_ERR_USAGE && lf_comm_world_of_environment().rank > 0) return lf_status_exit(err->status);
    lf_error_format(err, line, sizeof line);
    fprintf(stderr, "landfall %s: %s\n", verb->name, line);
    return lf_status_exit(err->status);
}
