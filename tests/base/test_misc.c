// SPDX-License-Identifier: Apache-2.0
//
// The small pieces of base: findings, hashes, checked sizes, parallel loops, processor features.
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/finding.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/par.h"
#include "tests.h"

static void findings_count_and_report(void **state)
{
    lf_error err;
    lf_findings findings = LF_FINDINGS_INIT;
    assert_int_equal(lf_findings_status(&findings, &err), LF_OK);
    const lf_finding_args warning = {.code = "w", .severity = LF_SEVERITY_WARNING, .subject = "x"};
    const lf_finding_args error = {
        .code = "e", .severity = LF_SEVERITY_ERROR, .subject = "y", .expected = "1", .found = "2", .remedy = "mend it"};
    lf_findings_add(&findings, &warning, "odd");
    assert_int_equal(lf_findings_status(&findings, &err), LF_OK);
    lf_findings_add(&findings, &error, "wrong %s", "shape");
    lf_findings_add(&findings, &error, "again");
    assert_int_equal(findings.n_error, 2);
    assert_int_equal(findings.n_warning, 1);
    assert_int_equal(lf_findings_status(&findings, &err), LF_ERR_FINDINGS);
    assert_string_equal(err.message, "2 errors; the first: wrong shape");
    assert_string_equal(err.subject, "y");
    assert_string_equal(err.hint, "mend it");
    assert_string_equal(findings.items[0].expected, "");
    for (int i = 0; i < LF_FINDINGS_MAX + 10; i++) lf_findings_add(&findings, &error, "many");
    assert_int_equal(findings.count, LF_FINDINGS_MAX);
    assert_int_equal(findings.n_dropped, 13);
    assert_int_equal(findings.n_error, LF_FINDINGS_MAX + 12);
    lf_findings_fini(&findings);
}

// FIPS 180-2 appendix B.
static void hashes_known_texts(void **state)
{
    char hex[LF_SHA256_HEX_BYTES];
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_sha256_update(&hash, "a", 1);
    lf_sha256_update(&hash, "bc", 2);
    lf_sha256_final_hex(&hash, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void sizes_are_checked(void **state)
{
    size_t out = 7, capacity = 0;
    void *array = NULL;
    assert_false(lf_mul_size(SIZE_MAX / 2, 3, &out));
    assert_false(lf_add_size(SIZE_MAX, 1, &out));
    assert_int_equal(out, 7);
    assert_null(lf_aligned_alloc(SIZE_MAX - 3));
    assert_null(lf_realloc_array(NULL, SIZE_MAX / 4, 8));
    assert_true(lf_array_grow(&array, &capacity, 100, 8));
    assert_true(capacity >= 100);
    assert_false(lf_array_grow(&array, &capacity, SIZE_MAX / 4, 8));
    free(array);
    assert_int_equal(lf_ceil_div(INT64_MAX, 128), INT64_MAX / 128 + 1);
    void *block = lf_aligned_calloc(100);
    assert_int_equal((uintptr_t)block % LF_CACHE_LINE_BYTES, 0);
    free(block);
}

static void count_items(void *ctx, size_t begin, size_t end, int thread)
{
    unsigned char *seen = ctx;
    assert_true(thread >= 0 && thread < lf_par_threads());
    for (size_t i = begin; i < end; i++) seen[i]++;
}

static void loops_cover_each_item_once(void **state)
{
    static const size_t lengths[] = {0, 1, 2, 3, 7, 64, 1000};
    for (size_t l = 0; l < LF_ARRAY_LENGTH(lengths); l++) {
        for (size_t grain = 0; grain < 5; grain++) {
            unsigned char seen[1000] = {0}, seen_dynamic[1000] = {0};
            lf_par_for(lengths[l], grain, count_items, seen);
            lf_par_for_dynamic(lengths[l], grain, count_items, seen_dynamic);
            for (size_t i = 0; i < 1000; i++) {
                assert_int_equal(seen[i], i < lengths[l]);
                assert_int_equal(seen_dynamic[i], i < lengths[l]);
            }
        }
    }
}

static void names_the_processor(void **state)
{
    assert_string_not_equal(lf_cpu_isa_name(lf_cpu_isa_best()), "?");
    assert_true(lf_cpu_isa_best() == lf_cpu_isa_best());
    assert_true(lf_cpu_count() >= 1);
    assert_string_equal(lf_cpu_isa_name((lf_cpu_isa)99), "?");
}

// The processors of one share, found by a process of its own because they stay with it; whether the call said yes.
static bool take_share(int index, int n_share, cpu_set_t *out)
{
    struct {
        bool is_taken;
        cpu_set_t set;
    } answer = {0};
    int ends[2], status = 1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        answer.is_taken = lf_cpu_take_share(index, n_share);
        bool is_known = sched_getaffinity(0, sizeof answer.set, &answer.set) == 0 &&
                        lf_cpu_count() == CPU_COUNT(&answer.set) &&
                        write(ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer;
        _exit(!is_known);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &answer, sizeof answer), sizeof answer);
    close(ends[0]);
    close(ends[1]);
    *out = answer.set;
    return answer.is_taken;
}

static void shares_are_all_processors_once(void **state)
{
    cpu_set_t all, share, taken;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    int n = CPU_COUNT(&all);
    for (int n_share = 1; n_share <= LF_MIN(n, 8); n_share++) {
        CPU_ZERO(&taken);
        for (int i = 0; i < n_share; i++) {
            assert_true(take_share(i, n_share, &share));
            assert_in_range(CPU_COUNT(&share), n / n_share, (n + n_share - 1) / n_share);
            CPU_XOR(&taken, &taken, &share); // a processor in two shares would be gone again
        }
        assert_true(CPU_EQUAL(&taken, &all));
    }
    const int refused[][2] = {{0, n + 1}, {-1, 1}, {1, 1}, {0, 0}};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(refused); i++) {
        assert_false(take_share(refused[i][0], refused[i][1], &share));
        assert_true(CPU_EQUAL(&share, &all));
    }
}

int test_misc(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_count_and_report), cmocka_unit_test(hashes_known_texts),
        cmocka_unit_test(sizes_are_checked),         cmocka_unit_test(loops_cover_each_item_once),
        cmocka_unit_test(names_the_processor),       cmocka_unit_test(shares_are_all_processors_once),
    };
    return cmocka_run_group_tests_name("misc", tests, NULL, NULL);
}
