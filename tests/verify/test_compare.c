// SPDX-License-Identifier: Apache-2.0
//
// Comparing traces: the first point beyond the tolerance is named, rounding is not, near ties of a router are left out,
// and traces that do not go together are refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "tests.h"
#include "verify/verify_int.h"

enum { N_LAYER = 3, N_COL = 4 };

// How a trace differs from the plain one.
typedef struct trace_change {
    const char *point; // NULL: nowhere
    int layer, step;
    double factor;     // of the first value of the last row, from this point of this step on
    int expert;        // of the last row at this point; 0: the plain one
    int token;         // of that step
    const char *value; // in place of a value at this point
} trace_change;

static char path_a[64], path_b[64];

static void put_record(lf_buf *out, int step, const char *point, int layer, const trace_change *change,
                       bool *is_changed)
{
    bool is_here = change->point && strcmp(change->point, point) == 0 && change->layer == layer && change->step == step;
    bool is_logits = strcmp(point, "logits") == 0, is_layer = strcmp(point, "layer") == 0;
    *is_changed |= is_here;
    size_t n_row = is_logits || step > 0 ? 1 : 2;
    char layer_text[16];
    snprintf(layer_text, sizeof layer_text, layer < 0 ? "null" : "%d", layer);
    lf_buf_printf(out, "{\"step\":%d,\"point\":\"%s\",\"layer\":%s,\"n_row\":%zu,\"sha256\":\"%d\",\"rows\":[", step,
                  point, layer_text, n_row, *is_changed);
    for (size_t r = 0; r < n_row; r++) {
        bool is_last = r == n_row - 1;
        double first = 1.0 * (is_last && *is_changed && change->factor > 0 ? change->factor : 1);
        lf_buf_printf(out, "%s{\"row\":%zu,\"position\":%d,\"token\":%d,", r ? "," : "", r,
                      step > 0 ? step + 1 : (int)r, change->token && change->step == step ? change->token : 7);
        if (is_layer)
            lf_buf_printf(out, "\"experts\":[2,%d],", is_here && is_last && change->expert ? change->expert : 5);
        if (is_here && is_last && change->value)
            lf_buf_printf(out, "\"values\":[%s,-1,1,-1]}", change->value);
        else
            lf_buf_printf(out, "\"values\":[%.9g,-1,1,-1]}", first);
    }
    lf_buf_puts(out, "]}\n");
}

static void write_trace(const char *path, int n_layer, const trace_change *change, int n_step)
{
    lf_buf out = LF_BUF_INIT;
    bool is_changed = false;
    lf_error err;
    lf_buf_printf(&out,
                  "{\"format\":\"landfall-trace-1\",\"num_hidden_layers\":%d,\"hidden_size\":%d,\"vocab_size\":4}\n",
                  n_layer, N_COL);
    for (int step = 0; step < n_step; step++) {
        is_changed = false; // a cache is not simulated
        put_record(&out, step, "embedding", -1, change, &is_changed);
        for (int layer = 0; layer < n_layer; layer++) {
            put_record(&out, step, "attention", layer, change, &is_changed);
            put_record(&out, step, "layer", layer, change, &is_changed);
        }
        put_record(&out, step, "norm", -1, change, &is_changed);
        put_record(&out, step, "logits", -1, change, &is_changed);
    }
    assert_int_equal(lf_file_write(path, out.data, out.length, &err), LF_OK);
    lf_buf_fini(&out);
}

static lf__comparison compare(const trace_change *change)
{
    static const trace_change plain = {0};
    lf__comparison found;
    lf_error err = {0};
    write_trace(path_a, N_LAYER, change, 2);
    write_trace(path_b, N_LAYER, &plain, 2);
    if (lf__compare_traces(&found, path_a, path_b, &err)) fail_msg("%s", err.message);
    json_decref(found.evidence);
    found.evidence = NULL;
    return found;
}

static void equal_traces_agree_to_the_bit(void **state)
{
    lf__comparison found = compare(&(trace_change){0});
    assert_true(found.agrees && found.is_identical);
    assert_int_equal(found.n_step, 2);
    assert_int_equal(found.n_logits, 2);
    assert_true(found.logits_difference == 0);
}

// One value of four by x: the row by x / 2. Behind the four blocks of two layers 0.425 * 2^-8 sqrt(40) is allowed, 1.05
// %.
static void rounding_is_allowed_and_no_more(void **state)
{
    lf__comparison found = compare(&(trace_change){.point = "layer", .layer = 1, .factor = 1 + 2 * 0.01045});
    assert_true(found.agrees);
    assert_false(found.is_identical);
    assert_true(found.logits_difference > 0);
    found = compare(&(trace_change){.point = "layer", .layer = 1, .factor = 1 + 2 * 0.01055});
    assert_false(found.agrees);
    assert_non_null(strstr(found.first, "feed-forward of layer 1 is the first"));
    assert_non_null(strstr(found.first, "1.05 % at position 1 of step 0 (tolerance 1.05 %)"));
    found = compare(&(trace_change){.point = "attention", .layer = 2, .step = 1, .factor = 1.5});
    assert_non_null(strstr(found.first, "attention of layer 2 is the first"));
    assert_non_null(strstr(found.first, "position 2 of step 1"));
    found = compare(&(trace_change){.point = "embedding", .layer = -1, .factor = 1 + 0x1p-20});
    assert_false(found.agrees); // nothing is rounded before the first block
    found = compare(&(trace_change){.point = "logits", .layer = -1, .factor = 1.5});
    assert_non_null(strstr(found.first, "logits is the first"));
    assert_true(found.logits_difference > found.logits_tolerance);
}

static void what_is_not_finite_differs(void **state)
{
    lf__comparison found = compare(&(trace_change){.point = "norm", .layer = -1, .value = "null"});
    assert_false(found.agrees);
    assert_non_null(strstr(found.first, "norm is the first"));
}

static void another_expert_for_the_same_input_is_a_fault(void **state)
{
    lf__comparison found = compare(&(trace_change){.point = "layer", .layer = 1, .expert = 6, .factor = 1.5});
    assert_false(found.agrees);
    assert_int_equal(found.n_rerouted, 1);
    assert_non_null(strstr(found.first, "feed-forward of layer 1"));
}

// A near tie: the attention before differs within its tolerance, and another expert changes the row by a good part.
static void a_rerouted_row_is_compared_no_further(void **state)
{
    lf__comparison found;
    lf_error err = {0};
    char *text;
    size_t length;
    write_trace(path_a, N_LAYER, &(trace_change){.point = "attention", .layer = 1, .factor = 1.001}, 1);
    write_trace(path_b, N_LAYER, &(trace_change){0}, 1);
    assert_int_equal(lf_file_read(&text, &length, path_a, 1 << 20, &err), LF_OK);
    // From layer 1 on the last row has another expert and other numbers.
    char *at = strstr(text, "\"point\":\"layer\",\"layer\":1");
    at = strstr(strstr(at, "\"experts\":") + 1, "\"experts\":[2,5]");
    memcpy(at, "\"experts\":[2,6]", strlen("\"experts\":[2,6]"));
    for (char *one = at; (one = strstr(one, "1.001")); one += 5) memcpy(one, "9.001", 5);
    assert_int_equal(lf_file_write(path_a, text, length, &err), LF_OK);
    free(text);
    assert_int_equal(lf__compare_traces(&found, path_a, path_b, &err), LF_OK);
    assert_true(found.agrees);
    assert_int_equal(found.n_rerouted, 1);
    assert_int_equal(found.n_logits, 0); // the only row with logits is the one that left
    json_decref(found.evidence);
}

static void other_tokens_end_the_comparison(void **state)
{
    lf__comparison found =
        compare(&(trace_change){.point = "attention", .layer = 0, .step = 1, .token = 8, .factor = 3});
    assert_true(found.agrees);
    assert_false(found.is_identical);
    assert_int_equal(found.n_logits, 1); // of step 0
}

static void foreign_traces_are_refused(void **state)
{
    lf__comparison found;
    lf_error err = {0};
    const trace_change plain = {0};
    write_trace(path_a, N_LAYER, &plain, 2);
    write_trace(path_b, N_LAYER + 1, &plain, 2);
    assert_int_equal(lf__compare_traces(&found, path_a, path_b, &err), LF_ERR_FORMAT);
    assert_non_null(strstr(err.message, "another model"));
    write_trace(path_b, N_LAYER, &plain, 1);
    assert_int_equal(lf__compare_traces(&found, path_a, path_b, &err), LF_ERR_FORMAT);
    assert_non_null(strstr(err.message, "ends before the other"));
    static const char *const texts[] = {"",
                                        "{}\n",
                                        "[]\n",
                                        "{\"format\":\"landfall-trace-1\"}\n",
                                        "{\"format\"",
                                        "{\"format\":\"landfall-trace-1\",\"num_hidden_layers\":3,\"hidden_size\":4,"
                                        "\"vocab_size\":4}\n{\"step\":0,\"point\":\"elsewhere\",\"rows\":[{}]}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(lf_file_write(path_b, texts[i], strlen(texts[i]), &err), LF_OK);
        assert_int_equal(lf__compare_traces(&found, path_a, path_b, &err), LF_ERR_FORMAT);
        assert_null(found.evidence);
    }
    assert_int_equal(lf__compare_traces(&found, path_a, "/nonexistent/trace", &err), LF_ERR_NOT_FOUND);
}

static int make_paths(void **state)
{
    snprintf(path_a, sizeof path_a, "/tmp/landfall-trace-a.%d", (int)getpid());
    snprintf(path_b, sizeof path_b, "/tmp/landfall-trace-b.%d", (int)getpid());
    return 0;
}

static int remove_paths(void **state)
{
    unlink(path_a);
    unlink(path_b);
    return 0;
}

int test_compare(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_traces_agree_to_the_bit),
        cmocka_unit_test(rounding_is_allowed_and_no_more),
        cmocka_unit_test(what_is_not_finite_differs),
        cmocka_unit_test(another_expert_for_the_same_input_is_a_fault),
        cmocka_unit_test(a_rerouted_row_is_compared_no_further),
        cmocka_unit_test(other_tokens_end_the_comparison),
        cmocka_unit_test(foreign_traces_are_refused),
    };
    return cmocka_run_group_tests_name("compare", tests, make_paths, remove_paths);
}
