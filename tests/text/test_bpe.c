// SPDX-License-Identifier: Apache-2.0
//
// Merging: both algorithms against the definition, and the time of long words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helpers.h"
#include "tests.h"

enum { N_LETTER = 3, N_MERGE = 60, MAX_TOKEN = 24 };

// A random table of merges over the letters a, b, c: token t is texts[t]; merge m joins left[m] and right[m] to
// N_LETTER + m.
typedef struct table {
    char texts[N_LETTER + N_MERGE][MAX_TOKEN];
    int left[N_MERGE];
    int right[N_MERGE];
    int n_merge;
} table;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

static int find_text(const table *t, const char *text)
{
    for (int i = 0; i < N_LETTER + t->n_merge; i++) {
        if (strcmp(t->texts[i], text) == 0) return i;
    }
    return -1;
}

static void make_table(table *t, uint32_t seed)
{
    *t = (table){.n_merge = 0};
    for (int i = 0; i < N_LETTER; i++) t->texts[i][0] = (char)('a' + i);
    while (t->n_merge < N_MERGE) {
        int left = (int)(next_random(&seed) % (unsigned)(N_LETTER + t->n_merge));
        int right = (int)(next_random(&seed) % (unsigned)(N_LETTER + t->n_merge));
        char text[2 * MAX_TOKEN];
        snprintf(text, sizeof text, "%s%s", t->texts[left], t->texts[right]);
        if (strlen(text) >= MAX_TOKEN || find_text(t, text) >= 0) continue;
        strcpy(t->texts[N_LETTER + t->n_merge], text);
        t->left[t->n_merge] = left;
        t->right[t->n_merge++] = right;
    }
}

static lf_tokenizer *tokenizer_of(const table *t)
{
    lf_buf vocab = LF_BUF_INIT;
    lf_buf merges = LF_BUF_INIT;
    for (int m = 0; m < t->n_merge; m++) {
        lf_buf_printf(&vocab, "%s\"%s\":%d", m ? "," : "", t->texts[N_LETTER + m], 256 + m);
        lf_buf_printf(&merges, "%s\"%s %s\"", m ? "," : "", t->texts[t->left[m]], t->texts[t->right[m]]);
    }
    lf_tokenizer *tokenizer = make_tokenizer(&(parts){.vocab = vocab.data, .merges = merges.data});
    lf_buf_fini(&vocab);
    lf_buf_fini(&merges);
    return tokenizer;
}

// The definition, step by step.
static size_t merge_by_definition(const table *t, const char *word, size_t length, int *tokens)
{
    size_t n = length;
    for (size_t i = 0; i < n; i++) tokens[i] = word[i] - 'a';
    for (int m = 0; m < t->n_merge; m++) {
        for (size_t i = 0; i + 1 < n; i++) {
            if (tokens[i] != t->left[m] || tokens[i + 1] != t->right[m]) continue;
            tokens[i] = N_LETTER + m;
            memmove(tokens + i + 1, tokens + i + 2, (n - i - 2) * sizeof *tokens);
            n--;
            m = -1; // the new token may be part of a pair of any rank
            break;
        }
    }
    return n;
}

static void assert_word(const lf_tokenizer *tokenizer, const table *t, const char *word, size_t length)
{
    int tokens[400];
    size_t n = merge_by_definition(t, word, length, tokens);
    lf_ids ids = LF_IDS_INIT;
    lf_error err;
    assert_int_equal(lf_tokenizer_encode(tokenizer, word, length, 0, &ids, &err), LF_OK);
    assert_int_equal(ids.count, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(ids.data[i], tokens[i] < N_LETTER ? (int)('a' + tokens[i]) : 256 + tokens[i] - N_LETTER);
    }
    lf_ids_fini(&ids);
}

static void follows_the_definition(void **state)
{
    for (uint32_t seed = 1; seed <= 12; seed++) {
        table t;
        make_table(&t, seed);
        lf_tokenizer *tokenizer = tokenizer_of(&t);
        uint32_t random = seed * 77;
        for (int round = 0; round < 400; round++) {
            char word[400];
            size_t length = 1 + next_random(&random) % (round % 4 == 0 ? 300 : 60); // either side of the short limit
            unsigned n_letter = 1 + next_random(&random) % N_LETTER;
            for (size_t i = 0; i < length; i++) word[i] = (char)('a' + next_random(&random) % n_letter);
            assert_word(tokenizer, &t, word, length);
            assert_word(tokenizer, &t, word, length); // now through the cache of whole words
        }
        lf_tokenizer_close(tokenizer);
    }
}

static void whole_words_bypass_merges_only_when_told(void **state)
{
    // "abc" is a token, but merges end at "a" "bc".
    parts from = {.vocab = "\"bc\":256,\"abc\":257,\"ab\":258", .merges = "[\"b\",\"c\"],[\"a\",\"b\"],[\"ab\",\"c\"]"};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "abc", IDS('a', 256));
    assert_ids(tokenizer, 0, "abc", IDS('a', 256));
    lf_tokenizer_close(tokenizer);
    from.settings = ",\"ignore_merges\":true";
    tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "abc", IDS(257));
    assert_ids(tokenizer, 0, "abcabc", IDS('a', 256, 'a', 256));
    lf_tokenizer_close(tokenizer);
}

static void a_repeated_merge_takes_the_later_rank(void **state)
{
    parts from = {.vocab = "\"ab\":256,\"bc\":257", .merges = "\"a b\",\"b c\",\"a b\""};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    assert_ids(tokenizer, 0, "abc", IDS('a', 257));
    lf_tokenizer_close(tokenizer);
}

// One word of 2,000,000 letters. Quadratic merging would take hours.
static void long_words_are_quick(void **state)
{
    parts from = {.vocab = "\"aa\":256,\"aaaa\":257,\"aaaaaaaa\":258", .merges = "\"a a\",\"aa aa\",\"aaaa aaaa\""};
    lf_tokenizer *tokenizer = make_tokenizer(&from);
    size_t length = 2000000 + 5;
    char *word = malloc(length);
    lf_ids ids = LF_IDS_INIT;
    lf_error err;
    memset(word, 'a', length);
    double start = cpu_seconds();
    assert_int_equal(lf_tokenizer_encode(tokenizer, word, length, 0, &ids, &err), LF_OK);
    assert_true(cpu_seconds() - start < 20);
    assert_int_equal(ids.count, 250000 + 2);
    for (size_t i = 0; i < 250000; i++) assert_int_equal(ids.data[i], 258);
    assert_int_equal(ids.data[250000], 257);
    assert_int_equal(ids.data[250001], 'a');
    lf_ids_fini(&ids);
    free(word);
    lf_tokenizer_close(tokenizer);
}

int test_bpe(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_definition),
        cmocka_unit_test(whole_words_bypass_merges_only_when_told),
        cmocka_unit_test(a_repeated_merge_takes_the_later_rank),
        cmocka_unit_test(long_words_are_quick),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
