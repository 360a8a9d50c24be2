// SPDX-License-Identifier: Apache-2.0
//
// The stop-string automata. failure[k] is the length of the longest proper prefix of the string that is a suffix of its
// first k + 1 bytes; `matched` is always the longest prefix that the text so far ends with.
#include "server/stop.h"

#include <stdlib.h>
#include <string.h>

typedef struct automaton {
    unsigned char *text; // OWNED
    uint16_t *failure;   // OWNED, `length` entries
    size_t length;
    size_t matched; // < length between calls
} automaton;

struct lf_stop_matcher {
    size_t n;
    automaton strings[];
};

void lf_stop_matcher_free(lf_stop_matcher *matcher)
{
    if (!matcher) return;
    for (size_t i = 0; i < matcher->n; i++) {
        free(matcher->strings[i].text);
        free(matcher->strings[i].failure);
    }
    free(matcher);
}

static bool build(automaton *machine, const lf_stop_string *string)
{
    machine->length = string->length;
    machine->text = malloc(string->length);
    machine->failure = malloc(string->length * sizeof *machine->failure);
    if (!machine->text || !machine->failure) return false;
    memcpy(machine->text, string->text, string->length);
    machine->failure[0] = 0;
    for (size_t i = 1, k = 0; i < string->length; i++) {
        while (k > 0 && machine->text[i] != machine->text[k]) k = machine->failure[k - 1];
        if (machine->text[i] == machine->text[k]) k++;
        machine->failure[i] = (uint16_t)k;
    }
    return true;
}

lf_status lf_stop_matcher_new(lf_stop_matcher **out, const lf_stop_string *strings, size_t n, lf_error *err)
{
    *out = NULL;
    if (n == 0) return LF_OK;
    if (n > LF_STOP_MAX_STRINGS)
        return lf_error_set(err, LF_ERR_INVALID, "more than %d stop strings", LF_STOP_MAX_STRINGS);
    for (size_t i = 0; i < n; i++) {
        if (strings[i].length == 0) return lf_error_set(err, LF_ERR_INVALID, "a stop string is empty");
        if (strings[i].length > LF_STOP_MAX_BYTES) {
            return lf_error_set(err, LF_ERR_INVALID, "a stop string is longer than %d bytes", LF_STOP_MAX_BYTES);
        }
    }
    lf_stop_matcher *matcher = calloc(1, sizeof *matcher + n * sizeof matcher->strings[0]);
    if (!matcher) return lf_error_no_memory(err, 0);
    matcher->n = n;
    for (size_t i = 0; i < n; i++) {
        if (!build(&matcher->strings[i], &strings[i])) {
            lf_stop_matcher_free(matcher);
            return lf_error_no_memory(err, 0);
        }
    }
    *out = matcher;
    return LF_OK;
}

size_t lf_stop_matcher_feed(lf_stop_matcher *matcher, unsigned char byte, bool may_match)
{
    if (!matcher) return LF_STOP_NONE;
    size_t found = LF_STOP_NONE;
    for (size_t i = 0; i < matcher->n; i++) {
        automaton *machine = &matcher->strings[i];
        size_t k = machine->matched;
        while (k > 0 && machine->text[k] != byte) k = machine->failure[k - 1];
        if (machine->text[k] == byte) k++;
        if (k == machine->length) {
            if (found == LF_STOP_NONE && may_match) found = i;
            k = machine->failure[k - 1];
        }
        machine->matched = k;
    }
    return found;
}

size_t lf_stop_matcher_pending(const lf_stop_matcher *matcher)
{
    size_t longest = 0;
    for (size_t i = 0; matcher && i < matcher->n; i++) {
        if (matcher->strings[i].matched > longest) longest = matcher->strings[i].matched;
    }
    return longest;
}

size_t lf_stop_matcher_length(const lf_stop_matcher *matcher, size_t i) { return matcher->strings[i].length; }
