// SPDX-License-Identifier: Apache-2.0
//
// Rotary tables against transformers' own, for every kind (rope_reference.inc). Frequencies may differ in the last bit,
// because float32 pow differs between libraries; cosines and sines then by that bit times the angle.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/par.h"
#include "model/rope.h"
#include "tests.h"

typedef struct rope_case {
    const char *name, *config;
    size_t n_pair;
    const uint32_t *inv_freq, *table;
} rope_case;

#include "rope_reference.inc"

static const double ulp = 1.1920929e-7; // of a float32 in [1, 2)

static lf_rope parse_rope(const char *text)
{
    lf_error err = {0};
    lf_config config;
    json_t *json = NULL;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    if (lf_config_parse(&config, json, &err)) fail_msg("%s", err.message);
    json_decref(json);
    return config.rope;
}

static void frequencies_are_those_of_transformers(void **state)
{
    for (size_t c = 0; c < LF_ARRAY_LENGTH(rope_cases); c++) {
        const rope_case *expected = &rope_cases[c];
        lf_rope rope = parse_rope(expected->config);
        assert_int_equal(rope.rotary_dim, 2 * expected->n_pair);
        float inv_freq[64];
        lf_rope_frequencies(&rope, inv_freq);
        for (size_t i = 0; i < expected->n_pair; i++) {
            double wanted = (double)lf_f32_from_bits(expected->inv_freq[i]);
            if (!(fabs((double)inv_freq[i] - wanted) <= 3 * ulp * wanted)) {
                fail_msg("%s[%zu]: %.9g, expected %.9g", expected->name, i, (double)inv_freq[i], wanted);
            }
        }
    }
}

static void tables_are_those_of_transformers(void **state)
{
    const size_t n_position = 40960;
    for (size_t c = 0; c < LF_ARRAY_LENGTH(rope_cases); c++) {
        const rope_case *expected = &rope_cases[c];
        lf_rope rope = parse_rope(expected->config);
        size_t dim = 2 * expected->n_pair;
        float *table = malloc(n_position * dim * sizeof *table);
        assert_non_null(table);
        assert_int_equal(lf_rope_table(&rope, n_position, table, NULL), LF_OK);
        for (size_t p = 0; p < LF_ARRAY_LENGTH(rope_positions); p++) {
            size_t position = (size_t)rope_positions[p];
            for (size_t i = 0; i < dim; i++) {
                double wanted = (double)lf_f32_from_bits(expected->table[p * dim + i]);
                double inv_freq = (double)lf_f32_from_bits(expected->inv_freq[i % expected->n_pair]);
                double allowed = ulp * rope.attention_factor * (2 + 4 * (double)position * inv_freq);
                double got = (double)table[position * dim + i];
                if (!(fabs(got - wanted) <= allowed)) {
                    fail_msg("%s position %zu[%zu]: %.9g, expected %.9g", expected->name, position, i, got, wanted);
                }
            }
        }
        free(table);
    }
}

static void threads_change_nothing(void **state)
{
    lf_rope rope = parse_rope(rope_cases[3].config);
    const size_t n = 1000 * (size_t)rope.rotary_dim;
    float *one = malloc(n * sizeof *one), *many = malloc(n * sizeof *many);
    int before = lf_par_threads();
    lf_par_set_threads(1);
    assert_int_equal(lf_rope_table(&rope, 1000, one, NULL), LF_OK);
    lf_par_set_threads(5);
    assert_int_equal(lf_rope_table(&rope, 1000, many, NULL), LF_OK);
    lf_par_set_threads(before);
    assert_memory_equal(one, many, n * sizeof *one);
    free(one);
    free(many);
}

int test_rope(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_those_of_transformers),
        cmocka_unit_test(tables_are_those_of_transformers),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests_name("rope", tests, NULL, NULL);
}
