// SPDX-License-Identifier: Apache-2.0
//
// Compiling and matching on PCRE2. Patterns and texts come from outside, so every match runs under a step limit and a
// memory limit. The JIT's own stack is small and fixed; a match that outgrows it is done again by the interpreter,
// whose memory is limited instead, so that a long but harmless text is not refused.
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "text/utf8.h"

enum {
    MATCH_LIMIT = 20 * 1000 * 1000,
    HEAP_LIMIT_KIB = 256 * 1024,
    MATCHES_PER_CHECK = 32,
};
static const int64_t BASE_BUDGET_NS = 5000000000;
static const int64_t BUDGET_NS_PER_BYTE = 2000;

struct lf_regex {
    pcre2_code *code; // OWNED
};

struct lf_regex_scratch {
    pcre2_match_data *data;       // OWNED, one pair of offsets
    pcre2_match_context *context; // OWNED
    size_t n_match;
    size_t n_byte; // of all texts walked over
    int64_t start_ns;
};

static lf_status compile_error(int code, const char *pattern, size_t length, lf_error *err)
{
    char text[200];
    if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAP_FAILED) return lf_error_no_memory(err, 0);
    if (pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text) < 0) text[0] = '\0';
    lf_error_set(err, LF_ERR_UNSUPPORTED, "regular expression does not compile: %s", text);
    return lf_error_found(err, "%.*s", (int)LF_MIN(length, (size_t)200), pattern);
}

lf_status lf_regex_compile(lf_regex **out, const char *pattern, size_t length, lf_error *err)
{
    lf_buf translated = LF_BUF_INIT;
    lf_regex *regex = NULL;
    pcre2_compile_context *context = NULL;
    lf_status status = lf_regex_translate(&translated, pattern, length, err);
    if (status) goto out;
    regex = calloc(1, sizeof *regex);
    context = pcre2_compile_context_create(NULL);
    if (!regex || !context) {
        status = lf_error_no_memory(err, sizeof *regex);
        goto out;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF); // '.' stops at "\n" only; '^' and '$' are at lines
    int code;
    size_t offset;
    uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    regex->code =
        pcre2_compile((PCRE2_SPTR)lf_buf_text(&translated), translated.length, options, &code, &offset, context);
    if (!regex->code) {
        status = compile_error(code, pattern, length, err);
        goto out;
    }
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); // where there is no JIT the interpreter serves
    *out = regex;
    regex = NULL;
out:
    pcre2_compile_context_free(context);
    lf_regex_free(regex);
    lf_buf_fini(&translated);
    return status;
}

void lf_regex_free(lf_regex *regex)
{
    if (!regex) return;
    pcre2_code_free(regex->code);
    free(regex);
}

static int64_t thread_time_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

lf_status lf_regex_scratch_new(lf_regex_scratch **out, lf_error *err)
{
    lf_regex_scratch *scratch = calloc(1, sizeof *scratch);
    if (scratch) {
        scratch->data = pcre2_match_data_create(1, NULL);
        scratch->context = pcre2_match_context_create(NULL);
    }
    if (!scratch || !scratch->data || !scratch->context) {
        lf_regex_scratch_free(scratch);
        return lf_error_no_memory(err, sizeof *scratch);
    }
    pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    scratch->start_ns = thread_time_ns();
    *out = scratch;
    return LF_OK;
}

void lf_regex_scratch_free(lf_regex_scratch *scratch)
{
    if (!scratch) return;
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    free(scratch);
}

static int match_at(const lf_regex_walk *walk, size_t from)
{
    PCRE2_SPTR text = (PCRE2_SPTR)walk->text;
    lf_regex_scratch *scratch = walk->scratch;
    uint32_t options = PCRE2_NO_UTF_CHECK;
    int code = pcre2_match(walk->regex->code, text, walk->length, from, options, scratch->data, scratch->context);
    if (code != PCRE2_ERROR_JIT_STACKLIMIT) return code;
    options |= PCRE2_NO_JIT;
    return pcre2_match(walk->regex->code, text, walk->length, from, options, scratch->data, scratch->context);
}

static lf_status match_error(int code, lf_error *err)
{
    switch (code) {
    case PCRE2_ERROR_NOMEMORY: return lf_error_no_memory(err, 0);
    case PCRE2_ERROR_MATCHLIMIT:
    case PCRE2_ERROR_DEPTHLIMIT:
    case PCRE2_ERROR_HEAPLIMIT:
        return lf_error_set(err, LF_ERR_LIMIT, "regular expression needs too many steps on this text");
    }
    return lf_error_set(err, LF_ERR_BUG, "regular expression failed with code %d", code);
}

// Whether the time for the texts so far is used up; looked at now and then only.
static bool is_over_budget(lf_regex_walk *walk)
{
    lf_regex_scratch *scratch = walk->scratch;
    if (walk->from == 0) scratch->n_byte += walk->length;
    if (++scratch->n_match % MATCHES_PER_CHECK) return false;
    return thread_time_ns() - scratch->start_ns > BASE_BUDGET_NS + (int64_t)scratch->n_byte * BUDGET_NS_PER_BYTE;
}

lf_status lf_regex_next(lf_regex_walk *walk, bool *found, size_t *begin, size_t *end, lf_error *err)
{
    *found = false;
    while (walk->from <= walk->length) {
        if (is_over_budget(walk)) return match_error(PCRE2_ERROR_MATCHLIMIT, err);
        int code = match_at(walk, walk->from);
        if (code == PCRE2_ERROR_NOMATCH) return LF_OK;
        if (code < 0) return match_error(code, err);
        const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(walk->scratch->data);
        if (pair[1] == pair[0] && pair[1] == walk->last_end) {
            size_t step = walk->from < walk->length ? lf_utf8_length((uint8_t)walk->text[walk->from]) : 1;
            walk->from += step;
            continue;
        }
        *found = true;
        *begin = pair[0];
        *end = pair[1];
        walk->from = walk->last_end = pair[1];
        return LF_OK;
    }
    return LF_OK;
}
