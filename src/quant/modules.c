// SPDX-License-Identifier: Apache-2.0
//
// The lists of unconverted modules (modules_to_not_convert, ignored_layers, ignore) against the tensors. The tensors
// decide what is quantized; published lists are often wrong or use names that no tensor has, so a disagreement is a
// warning. An entry matches whole path components anywhere in a module's name ("gate" does not match "gate_x");
// "re:" starts a regular expression and
// '*' makes a wildcard, both on the whole name.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fnmatch.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

enum { MAX_PATTERNS = 256, MATCH_LIMIT = 500, MAX_TRIALS = 2000000 };

typedef struct stretch {
    const char *bytes;
    size_t length;
} stretch;

typedef struct matcher {
    stretch *literals; // OWNED, sorted
    size_t n_literal, capacity;
    stretch *heads; // OWNED, sorted: the first components of the literals, most names fail on
    size_t n_head;
    pcre2_code *patterns[MAX_PATTERNS]; // OWNED
    size_t n_pattern;
    const char *wildcards[MAX_PATTERNS];
    size_t n_wildcard;
    pcre2_match_data *match;
    pcre2_match_context *limits;
    size_t n_trial;
} matcher;

static int compare_stretches(const void *a, const void *b)
{
    const stretch *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, LF_MIN(x->length, y->length));
    if (order) return order;
    return x->length < y->length ? -1 : x->length > y->length;
}

static bool contains(const stretch *sorted, size_t n, stretch text)
{
    return n && bsearch(&text, sorted, n, sizeof *sorted, compare_stretches);
}

static bool add_entry(matcher *m, const char *text)
{
    int code;
    PCRE2_SIZE at;
    if (strncmp(text, "re:", 3) == 0) {
        if (m->n_pattern == MAX_PATTERNS) return true;
        pcre2_code *pattern =
            pcre2_compile((PCRE2_SPTR)(text + 3), PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED, &code, &at, NULL);
        if (pattern) m->patterns[m->n_pattern++] = pattern; // one that cannot be compiled matches nothing
        return true;
    }
    if (strchr(text, '*')) {
        if (m->n_wildcard < MAX_PATTERNS) m->wildcards[m->n_wildcard++] = text;
        return true;
    }
    if (!lf_array_grow((void **)&m->literals, &m->capacity, m->n_literal + 1, sizeof *m->literals)) return false;
    m->literals[m->n_literal++] = (stretch){text, strlen(text)};
    return true;
}

static bool build(matcher *m, const lf__quant_config *config)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(config->unconverted); i++) {
        for (size_t k = 0; k < json_array_size(config->unconverted[i]); k++) {
            const char *text = json_string_value(json_array_get(config->unconverted[i], k));
            if (text && text[0] && !add_entry(m, text)) return false;
        }
    }
    m->heads = lf_realloc_array(NULL, m->n_literal, sizeof *m->heads);
    m->match = pcre2_match_data_create(1, NULL);
    m->limits = pcre2_match_context_create(NULL);
    if (!m->heads || !m->match || !m->limits) return false;
    pcre2_set_match_limit(m->limits, MATCH_LIMIT);
    if (m->n_literal) qsort(m->literals, m->n_literal, sizeof *m->literals, compare_stretches);
    for (size_t i = 0; i < m->n_literal; i++) {
        stretch head = {m->literals[i].bytes, strcspn(m->literals[i].bytes, ".")};
        bool is_new = m->n_head == 0 || compare_stretches(&m->heads[m->n_head - 1], &head) != 0;
        if (is_new) m->heads[m->n_head++] = head;
    }
    // Sorted literals need not have sorted heads ("a-b" < "a.b" < "a0"), and a head may come twice: harmless for
    // bsearch.
    if (m->n_head) qsort(m->heads, m->n_head, sizeof *m->heads, compare_stretches);
    return true;
}

static void fini(matcher *m)
{
    for (size_t i = 0; i < m->n_pattern; i++) pcre2_code_free(m->patterns[i]);
    pcre2_match_data_free(m->match);
    pcre2_match_context_free(m->limits);
    free(m->literals);
    free(m->heads);
}

// Whether an entry equals some run of whole components of `module`.
static bool matches_literal(const matcher *m, const char *module, size_t length)
{
    for (size_t begin = 0; begin < length;) {
        size_t end = begin;
        while (end < length && module[end] != '.') end++;
        size_t next = end + 1;
        if (contains(m->heads, m->n_head, (stretch){module + begin, end - begin})) {
            for (;;) {
                if (contains(m->literals, m->n_literal, (stretch){module + begin, end - begin})) return true;
                if (end >= length) break;
                for (end++; end < length && module[end] != '.';) end++;
            }
        }
        begin = next;
    }
    return false;
}

static bool matches(matcher *m, const char *module, size_t length)
{
    if (matches_literal(m, module, length)) return true;
    for (size_t i = 0; i < m->n_pattern && m->n_trial < MAX_TRIALS; i++, m->n_trial++) {
        if (pcre2_match(m->patterns[i], (PCRE2_SPTR)module, length, 0, 0, m->match, m->limits) >= 0) return true;
    }
    char name[512];
    if (m->n_wildcard == 0 || length >= sizeof name) return false;
    memcpy(name, module, length);
    name[length] = '\0';
    for (size_t i = 0; i < m->n_wildcard && m->n_trial < MAX_TRIALS; i++, m->n_trial++) {
        if (fnmatch(m->wildcards[i], name, 0) == 0) return true;
    }
    return false;
}

static void warn(lf_findings *findings, size_t count, const char *first, const char *expected, const char *found,
                 const char *message)
{
    if (count == 0) return;
    lf_finding_args args = {.code = "modules-disagree",
                            .severity = LF_SEVERITY_WARNING,
                            .subject = first,
                            .expected = expected,
                            .found = found,
                            .remedy = "nothing here: the tensors decide; other engines may trust the list"};
    lf_findings_add(findings, &args, "%zu %s, the first is '%s'", count, message, first);
}

void lf__modules_check(const lf__quant_config *config, const lf_quant *quant, lf_findings *findings)
{
    matcher m = {0};
    bool has_list = false;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(config->unconverted); i++)
        has_list |= json_array_size(config->unconverted[i]) > 0;
    if (!has_list || quant->n_quantized == 0) return;
    if (!build(&m, config)) {
        findings->failed = true;
        fini(&m);
        return;
    }
    size_t n_listed = 0, n_unlisted = 0;
    const char *first_listed = NULL, *first_unlisted = NULL;
    for (size_t i = 0; i < quant->count; i++) {
        const lf_logical_tensor *tensor = &quant->tensors[i];
        bool is_plain = tensor->layout == LF_SCALE_NONE, is_linear = lf__has_suffix(tensor->name, "_proj.weight");
        if (tensor->weight->rank != 2 || tensor->layout == LF_SCALE_BROKEN || (is_plain && !is_linear)) continue;
        size_t length = strlen(tensor->name);
        if (lf__has_suffix(tensor->name, ".weight")) length -= strlen(".weight");
        if (matches(&m, tensor->name, length) == is_plain) continue;
        if (!is_plain && n_listed++ == 0) first_listed = tensor->name;
        if (is_plain && n_unlisted++ == 0) first_unlisted = tensor->name;
    }
    warn(findings, n_listed, first_listed, "unquantized, by the lists of config.json", "FP8",
         "weights are FP8 although config.json lists them as not converted");
    warn(findings, n_unlisted, first_unlisted, "FP8, because the lists of config.json do not name it", "not quantized",
         "projections are not quantized and not listed in config.json");
    fini(&m);
}
