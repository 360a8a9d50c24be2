// SPDX-License-Identifier: Apache-2.0
//
// Dummy loading (lesson L1): from a config alone, every row once, the same values for any number of threads, finite and
// of the scale that keeps a forward pass in range.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/par.h"
#include "fake_device.h"
#include "load/load.h"
#include "tests.h"

static const char *const configs[] = {
    "{\"model_type\": \"qwen3\", \"hidden_size\": 80, \"intermediate_size\": 2100, \"num_hidden_layers\": 3, "
    "\"num_attention_heads\": 6, \"num_key_value_heads\": 3, \"head_dim\": 24, \"vocab_size\": 301}",
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 129, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 1, \"vocab_size\": 65, \"attention_bias\": true, "
    "\"mlp_bias\": true, \"tie_word_embeddings\": true}",
    "{\"model_type\": \"qwen2\", \"hidden_size\": 36, \"intermediate_size\": 40, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 3, \"vocab_size\": 7}",
};

static lf_config parse(const char *text)
{
    lf_error err = {0};
    lf_config config;
    json_t *json = NULL;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    if (lf_config_parse(&config, json, &err)) fail_msg("%s", err.message);
    json_decref(json);
    return config;
}

static lf_weights *load_dummy(fake_device *fake, const lf_config *config, uint64_t seed)
{
    lf_error err = {0};
    lf_weights *weights = NULL;
    lf_load_args args = {.device = &fake->base, .config = config, .format = LF_LOAD_DUMMY, .seed = seed};
    if (lf_weights_load(&weights, &args, &err)) fail_msg("%s", err.message);
    return weights;
}

static void every_slot_is_there_and_filled_once(void **state)
{
    for (size_t c = 0; c < LF_ARRAY_LENGTH(configs); c++) {
        lf_config config = parse(configs[c]);
        fake_device fake;
        fake_device_init(&fake);
        lf_weights *weights = load_dummy(&fake, &config, 1);
        uint64_t bytes = 0;
        for (int slot = 0; slot < LF_SLOT_COUNT; slot++) {
            int64_t n_row, n_col, n_layer = lf_slot_is_per_layer(slot) ? config.num_hidden_layers : 1;
            lf_slot_shape(&config, slot, &n_row, &n_col);
            for (int64_t layer = 0; layer < n_layer; layer++) {
                const lf_weight *matrix = lf_weights_matrix(weights, slot, layer);
                lf_dptr vector = lf_weights_vector(weights, slot, layer);
                if (slot == LF_SLOT_LM_HEAD && config.tie_word_embeddings) {
                    assert_ptr_equal(matrix, lf_weights_matrix(weights, LF_SLOT_EMBED, 0));
                    continue;
                }
                assert_int_equal(matrix != NULL, n_row > 0 && !lf_slot_is_f32(slot));
                assert_int_equal(!lf_dptr_is_null(vector), n_row > 0 && lf_slot_is_f32(slot));
                if (matrix) {
                    assert_int_equal(fake_weight_n_row(matrix), n_row);
                    assert_int_equal(fake_weight_n_col(matrix), n_col);
                    assert_true(fake_weight_is_filled_once(matrix));
                }
                bytes += (uint64_t)(n_row * n_col) * (lf_slot_is_f32(slot) ? 4 : 2);
            }
        }
        assert_int_equal(lf_weights_bytes(weights), bytes);
        assert_null(lf_weights_matrix(weights, LF_SLOT_QKV, -1));
        assert_null(lf_weights_matrix(weights, LF_SLOT_QKV, config.num_hidden_layers));
        assert_null(lf_weights_matrix(weights, LF_SLOT_COUNT, 0));
        lf_weights_free(weights);
        assert_int_equal(fake.n_live, 0);
    }
}

static void threads_change_nothing_and_seeds_do(void **state)
{
    lf_config config = parse(configs[0]);
    fake_device fake;
    fake_device_init(&fake);
    int before = lf_par_threads();
    lf_par_set_threads(1);
    lf_weights *one = load_dummy(&fake, &config, 7), *other = load_dummy(&fake, &config, 8);
    lf_par_set_threads(5);
    lf_weights *many = load_dummy(&fake, &config, 7);
    lf_par_set_threads(before);
    static const lf_slot slots[] = {LF_SLOT_EMBED, LF_SLOT_QKV, LF_SLOT_O, LF_SLOT_GATE_UP, LF_SLOT_DOWN};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(slots); i++) {
        const lf_weight *a = lf_weights_matrix(one, slots[i], 1), *b = lf_weights_matrix(many, slots[i], 1);
        const lf_weight *c = lf_weights_matrix(other, slots[i], 1);
        size_t bytes = (size_t)(fake_weight_n_row(a) * fake_weight_n_col(a)) * sizeof(lf_bf16);
        assert_memory_equal(fake_weight_values(a), fake_weight_values(b), bytes);
        assert_memory_not_equal(fake_weight_values(a), fake_weight_values(c), bytes);
    }
    lf_weights_free(one);
    lf_weights_free(many);
    lf_weights_free(other);
}

// The definition, element by element: splitmix64 of a key made of seed and name, 16 bits per element.
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void values_are_a_function_of_seed_name_and_element(void **state)
{
    static const struct {
        int config;
        lf_slot slot;
        const char *name;
    } cases[] = {{0, LF_SLOT_DOWN, "model.layers.0.mlp.down_proj.weight"},
                 {1, LF_SLOT_DOWN, "model.layers.0.mlp.down_proj.weight"},
                 {2, LF_SLOT_LM_HEAD, "lm_head.weight"}};
    for (size_t t = 0; t < LF_ARRAY_LENGTH(cases); t++) {
        lf_config config = parse(configs[cases[t].config]);
        fake_device fake;
        fake_device_init(&fake);
        lf_weights *weights = load_dummy(&fake, &config, 99);
        const lf_weight *matrix = lf_weights_matrix(weights, cases[t].slot, 0);
        uint64_t hash = 0xcbf29ce484222325u;
        for (const char *c = cases[t].name; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
        uint64_t key = mix(hash ^ mix(99));
        uint64_t n_col = (uint64_t)fake_weight_n_col(matrix), n = (uint64_t)fake_weight_n_row(matrix) * n_col;
        for (uint64_t i = 0; i < n; i++) {
            float fraction = (float)(int16_t)(mix(key + i / 4) >> (i % 4 * 16)) * 0x1p-15f;
            assert_int_equal(fake_weight_values(matrix)[i], lf_bf16_from_f32(sqrtf(3.0f / (float)n_col) * fraction));
        }
        lf_weights_free(weights);
    }
}

static void layers_and_projections_differ(void **state)
{
    lf_config config = parse(configs[0]);
    fake_device fake;
    fake_device_init(&fake);
    lf_weights *weights = load_dummy(&fake, &config, 7);
    const lf_bf16 *a = fake_weight_values(lf_weights_matrix(weights, LF_SLOT_GATE_UP, 0));
    const lf_bf16 *b = fake_weight_values(lf_weights_matrix(weights, LF_SLOT_GATE_UP, 1));
    size_t half = (size_t)(config.intermediate_size * config.hidden_size);
    assert_memory_not_equal(a, b, half * sizeof *a);
    assert_memory_not_equal(a, a + half, half * sizeof *a);
    lf_weights_free(weights);
}

static void values_have_the_spread_of_the_fan_in(void **state)
{
    lf_config config = parse(configs[0]);
    fake_device fake;
    fake_device_init(&fake);
    lf_weights *weights = load_dummy(&fake, &config, 3);
    static const lf_slot slots[] = {LF_SLOT_EMBED, LF_SLOT_QKV, LF_SLOT_O, LF_SLOT_GATE_UP, LF_SLOT_DOWN};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(slots); i++) {
        const lf_weight *matrix = lf_weights_matrix(weights, slots[i], 2);
        const lf_bf16 *values = fake_weight_values(matrix);
        int64_t n = fake_weight_n_row(matrix) * fake_weight_n_col(matrix);
        double sum = 0, squares = 0;
        for (int64_t k = 0; k < n; k++) {
            double value = (double)lf_bf16_to_f32(values[k]);
            sum += value;
            squares += value * value;
        }
        double expected = 1 / sqrt((double)fake_weight_n_col(matrix));
        assert_true(fabs(sum / (double)n) < 0.05 * expected);
        assert_true(fabs(sqrt(squares / (double)n) / expected - 1) < 0.03);
    }
    const float *norm = lf_weights_vector(weights, LF_SLOT_FINAL_NORM, 0).address;
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < config.hidden_size; k++) {
        assert_true(norm[k] >= 0.75f && norm[k] <= 1.25f);
        sum += (double)norm[k];
        squares += ((double)norm[k] - 1) * ((double)norm[k] - 1);
    }
    assert_true(fabs(sum / (double)config.hidden_size - 1) < 0.05);
    assert_true(fabs(sqrt(squares / (double)config.hidden_size) * sqrt(3.0) / 0.25 - 1) < 0.2); // uniform
    lf_weights_free(weights);
}

static void the_ledger_says_dummy(void **state)
{
    lf_config config = parse(configs[2]);
    fake_device fake;
    fake_device_init(&fake);
    lf_weights *weights = load_dummy(&fake, &config, 3);
    json_t *ledger = lf_weights_ledger(weights);
    assert_string_equal(json_string_value(json_object_get(ledger, "load_format")), "dummy");
    assert_int_equal(json_integer_value(json_object_get(ledger, "parameters")), 2 * 12 + 3);
    assert_int_equal(json_integer_value(json_object_get(ledger, "tensors_used")), 0);
    assert_int_equal(json_integer_value(json_object_get(ledger, "bytes_read")), 0);
    assert_int_equal(json_array_size(json_object_get(ledger, "violations")), 0);
    json_decref(ledger);
    lf_weights_free(weights);
}

static void a_full_device_is_an_error_without_leaks(void **state)
{
    lf_config config = parse(configs[1]);
    for (int n = 0;; n++) {
        fake_device fake;
        fake_device_init(&fake);
        fake.n_allocation_left = n;
        lf_error err = {0};
        lf_weights *weights = NULL;
        lf_load_args args = {.device = &fake.base, .config = &config, .format = LF_LOAD_DUMMY};
        lf_status status = lf_weights_load(&weights, &args, &err);
        lf_weights_free(weights);
        assert_int_equal(fake.n_live, 0);
        if (status == LF_OK) break;
        assert_int_equal(status, LF_ERR_NO_MEMORY);
        assert_null(weights);
    }
}

static void real_weights_need_a_checkpoint(void **state)
{
    lf_config config = parse(configs[1]);
    fake_device fake;
    fake_device_init(&fake);
    lf_error err = {0};
    lf_weights *weights = NULL;
    lf_load_args args = {.device = &fake.base, .config = &config, .format = LF_LOAD_AUTO};
    assert_int_equal(lf_weights_load(&weights, &args, &err), LF_ERR_INVALID);
    assert_null(weights);
    lf_weights_free(NULL);
}

int test_dummy(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_there_and_filled_once),
        cmocka_unit_test(threads_change_nothing_and_seeds_do),
        cmocka_unit_test(values_are_a_function_of_seed_name_and_element),
        cmocka_unit_test(layers_and_projections_differ),
        cmocka_unit_test(values_have_the_spread_of_the_fan_in),
        cmocka_unit_test(the_ledger_says_dummy),
        cmocka_unit_test(a_full_device_is_an_error_without_leaks),
        cmocka_unit_test(real_weights_need_a_checkpoint),
    };
    return cmocka_run_group_tests_name("dummy", tests, NULL, NULL);
}
