// SPDX-License-Identifier: Apache-2.0
//
// Sorting of names: memcmp order, stable, whatever the lengths and prefixes are.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"
#include "tests.h"

static void assert_sorted(const char *const *names, size_t n)
{
    uint32_t *order = malloc((n ? n : 1) * sizeof *order);
    uint8_t *seen = calloc(1, n ? n : 1);
    assert_true(lf_sort_names(names, n, order));
    for (size_t i = 0; i < n; i++) {
        assert_true(order[i] < n && !seen[order[i]]);
        seen[order[i]] = 1;
        int relation = i ? strcmp(names[order[i - 1]], names[order[i]]) : -1;
        assert_true(relation < 0 || (relation == 0 && order[i - 1] < order[i]));
    }
    free(order);
    free(seen);
}

static void sorts_borders_of_eight_bytes(void **state)
{
    static const char *const names[] = {"abcdefgh",
                                        "abcdefg",
                                        "abcdefghi",
                                        "",
                                        "abcdefgh",
                                        "b",
                                        "abcdefgh\x01",
                                        "\xff",
                                        "abcdefgi",
                                        "abcdefghabcdefgh",
                                        "abcdefghabcdefg",
                                        "abcdefghabcdefghx",
                                        "",
                                        "a"};
    assert_sorted(names, LF_ARRAY_LENGTH(names));
    assert_sorted(NULL, 0);
    assert_sorted(names, 1);
}

static void sorts_tensor_names(void **state)
{
    enum { N = 5000 };
    static char text[N][80];
    static const char *names[N];
    uint32_t random = 1;
    for (size_t i = 0; i < N; i++) {
        random = random * 1664525 + 1013904223;
        snprintf(text[i], sizeof text[i], "model.layers.%u.mlp.experts.%u.weight%s", random >> 26, random >> 8 & 255,
                 random & 1 ? "_scale" : "");
        names[i] = text[i];
    }
    assert_sorted(names, N);
}

// Every number of runs of every length up to 9, ascending and descending, with equal names in and across runs.
static void merges_runs(void **state)
{
    static char text[100][8];
    const char *names[100];
    for (int step = -7; step <= 7; step++) {
        for (size_t n_run = 0; n_run < 10; n_run++) {
            for (size_t length = 1; length < 10; length++) {
                for (size_t i = 0; i < n_run * length; i++) {
                    int value = 500 + (int)(i / length) * step * 3 + (int)(i % length) * (step + 2);
                    snprintf(text[i], sizeof text[i], "%03d", value);
                    names[i] = text[i];
                }
                assert_sorted(names, n_run * length);
            }
        }
    }
}

// Names that share thousands of bytes: the work must stay proportional to the text.
static void stays_fast_on_long_prefixes(void **state)
{
    enum { N = 2000 };
    static const char *names[N];
    char *text = malloc((size_t)N * LF__MAX_NAME_BYTES);
    for (size_t i = 0; i < N; i++) {
        char *name = text + i * LF__MAX_NAME_BYTES;
        memset(name, 'x', LF__MAX_NAME_BYTES - 1);
        name[LF__MAX_NAME_BYTES - 1] = '\0';
        snprintf(name + LF__MAX_NAME_BYTES - 8, 8, "%zu", (i * 7919) % N);
        names[i] = name;
    }
    assert_sorted(names, N);
    free(text);
}

static void copies_into_the_arena(void **state)
{
    lf__arena arena = {0};
    char *large = malloc(1 << 20);
    memset(large, 'y', 1 << 20);
    const char *first = lf__arena_copy(&arena, (lf__text){"first", 5});
    const char *big = lf__arena_copy(&arena, (lf__text){large, 1 << 20});
    const char *last = lf__arena_copy(&arena, (lf__text){"", 0});
    assert_string_equal(first, "first");
    assert_int_equal(strlen(big), 1 << 20);
    assert_string_equal(last, "");
    assert_null(lf__arena_copy(&arena, (lf__text){large, SIZE_MAX}));
    lf__arena_fini(&arena);
    free(large);
}

int test_names(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_borders_of_eight_bytes),
        cmocka_unit_test(sorts_tensor_names),
        cmocka_unit_test(merges_runs),
        cmocka_unit_test(stays_fast_on_long_prefixes),
        cmocka_unit_test(copies_into_the_arena),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
