// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints that are not as they should be, and the two that only look so: unaligned data, and a tied model that
// stores a head.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "fake_device.h"
#include "load/load.h"
#include "tests.h"

static const char plain_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 36, \"intermediate_size\": 100, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 30, \"vocab_size\": 131}";
static const char tied_config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 36, \"intermediate_size\": 100, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 30, \"vocab_size\": 131, "
    "\"tie_word_embeddings\": true}";
static const char down[] = "model.layers.1.mlp.down_proj.weight", head[] = "lm_head.weight";
static const char embed[] = "model.embed_tokens.weight", up[] = "model.layers.0.mlp.up_proj.weight";

static lf_status load(lf_weights **weights, fake_device *fake, const opened *o, lf_error *err)
{
    *err = (lf_error){0};
    fake_device_init(fake);
    lf_load_args args = {.device = &fake->base, .config = &o->config, .quant = o->quant};
    return lf_weights_load(weights, &args, err);
}

// Loads a finished checkpoint, expects a refusal, and gives the error.
static lf_error refusal(synthetic *s, lf_status expected)
{
    opened o;
    fake_device fake;
    lf_weights *weights = NULL;
    lf_error err;
    opened_init(&o, s->folder);
    lf_status status = load(&weights, &fake, &o, &err);
    if (status != expected) fail_msg("status %d: %s", status, err.message);
    assert_null(weights);
    assert_int_equal(fake.n_live, 0);
    opened_fini(&o);
    synthetic_remove(s);
    return err;
}

static void a_missing_parameter_is_named(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, down);
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FINDINGS);
    if (!strstr(err.message, down) && !strstr(err.subject, down)) fail_msg("%s", err.message);
}

static void an_extra_tensor_is_named(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, NULL);
    lf_bf16 values[4] = {0};
    synthetic_add(&s, "model.layers.2.self_attn.q_proj.weight", LF_DTYPE_BF16, 2, 2, 2, values);
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FINDINGS);
    if (!strstr(err.message, "layers.2") && !strstr(err.subject, "layers.2")) fail_msg("%s", err.message);
}

static void a_wrong_shape_is_named(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, head);
    lf_bf16 *values = calloc(131 * 36, sizeof *values);
    synthetic_add(&s, head, LF_DTYPE_BF16, 2, 36, 131, values);
    free(values);
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FINDINGS);
    if (!strstr(err.message, head) && !strstr(err.subject, head)) fail_msg("%s", err.message);
}

static void an_integer_weight_is_named(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, "model.norm.weight");
    int32_t values[36] = {0};
    synthetic_add(&s, "model.norm.weight", LF_DTYPE_I32, 1, 36, 1, values);
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FINDINGS);
    if (!strstr(err.message, "model.norm") && !strstr(err.subject, "model.norm")) fail_msg("%s", err.message);
}

static void a_truncated_file_is_refused(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, NULL);
    synthetic_end(&s, 0);
    char *path = lf_path_join(s.folder, "model.safetensors"), *bytes;
    size_t length;
    assert_int_equal(lf_file_read(&bytes, &length, path, (size_t)1 << 24, NULL), LF_OK);
    assert_int_equal(truncate(path, (off_t)length - 1), 0);
    free(bytes);
    free(path);
    opened o;
    opened_init(&o, s.folder);
    assert_true(o.findings.n_error > 0);
    opened_fini(&o);
    refusal(&s, LF_ERR_FINDINGS);
}

// Of several broken values the first in loading order is reported, with any number of threads.
static void a_value_that_is_not_finite_is_found(void **state)
{
    int before = lf_par_threads();
    for (int n_thread = 1; n_thread <= 4; n_thread++) {
        lf_par_set_threads(n_thread);
        synthetic s;
        synthetic_begin(&s, plain_config);
        synthetic_add_all(&s, NULL);
        *synthetic_element(&s, up, 99, 35) = 0x7fc0;   // NaN in the last element
        *synthetic_element(&s, down, 7, 3) = 0xff80;   // -Inf
        *synthetic_element(&s, head, 130, 0) = 0x7f81; // signalling NaN
        synthetic_end(&s, 0);
        lf_error err = refusal(&s, LF_ERR_FORMAT);
        assert_string_equal(err.subject, up);
        assert_non_null(strstr(err.message, "row 99, column 35"));
    }
    lf_par_set_threads(before);
}

static void a_norm_that_is_not_finite_is_found(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, NULL);
    *synthetic_element(&s, "model.norm.weight", 35, 0) = 0x7f80;
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FORMAT);
    assert_string_equal(err.subject, "model.norm.weight");
    assert_non_null(strstr(err.message, "35"));
}

// The largest finite numbers of either sign are no error.
static void large_values_are_values(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, NULL);
    for (int64_t col = 0; col < 36; col++) *synthetic_element(&s, up, 5, col) = col % 2 ? 0x7f7f : 0xff7f;
    synthetic_end(&s, 0);
    opened o;
    fake_device fake;
    lf_weights *weights = NULL;
    lf_error err;
    opened_init(&o, s.folder);
    if (load(&weights, &fake, &o, &err)) fail_msg("%s", err.message);
    lf_weights_free(weights);
    opened_fini(&o);
    synthetic_remove(&s);
}

// An fp8 tensor of 1x1 blocks' worth of trouble: scales 64x64, one code or scale replaced.
static void broken_fp8_is_located(void **state)
{
    static const struct {
        int64_t row, col; // of the broken code; -1: none
        uint8_t code;
        float scale; // of block (1, 0)
        const char *says;
    } cases[] = {
        {70, 33, 0x7f, 1, "row 70, column 33"},   {99, 35, 0xff, 1, "row 99, column 35"},
        {-1, 0, 0, NAN, "row 64, column 0"},      {-1, 0, 0, -1, "row 64, column 0"},
        {-1, 0, 0, INFINITY, "row 64, column 0"}, {-1, 0, 0, 3e38f, "row 64, column 0"},
    };
    static const char config[] =
        "{\"model_type\": \"llama\", \"hidden_size\": 36, \"intermediate_size\": 100, \"num_hidden_layers\": 2, "
        "\"num_attention_heads\": 3, \"num_key_value_heads\": 1, \"head_dim\": 30, \"vocab_size\": 131, "
        "\"quantization_config\": {\"quant_method\": \"fp8\", \"fmt\": \"e4m3\", \"weight_block_size\": [64, 64]}}";
    for (size_t i = 0; i < LF_ARRAY_LENGTH(cases); i++) {
        synthetic s;
        synthetic_begin(&s, config);
        synthetic_add_all(&s, up);
        uint8_t codes[100 * 36];
        memset(codes, 0x40, sizeof codes);
        if (cases[i].row >= 0) codes[cases[i].row * 36 + cases[i].col] = cases[i].code;
        float scales[2] = {1, cases[i].scale};
        char scale_name[64];
        snprintf(scale_name, sizeof scale_name, "%s_scale_inv", up);
        synthetic_add(&s, up, LF_DTYPE_F8_E4M3, 2, 100, 36, codes);
        synthetic_add(&s, scale_name, LF_DTYPE_F32, 2, 2, 1, scales);
        synthetic_end(&s, 0);
        lf_error err = refusal(&s, LF_ERR_FORMAT);
        assert_string_equal(err.subject, up);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s: not %s", err.message, cases[i].says);
    }
}

/* L4: a raw FP8 code never reaches a kernel as a number. */
static void fp8_without_scale_is_refused(void **state)
{
    synthetic s;
    synthetic_begin(&s, plain_config);
    synthetic_add_all(&s, up);
    uint8_t codes[100 * 36] = {0};
    synthetic_add(&s, up, LF_DTYPE_F8_E4M3, 2, 100, 36, codes);
    synthetic_end(&s, 0);
    lf_error err = refusal(&s, LF_ERR_FORMAT);
    assert_string_equal(err.subject, up);
}

static void unaligned_data_loads_as_well(void **state)
{
    lf_bf16 *first = NULL;
    const size_t bytes = 100 * 2 * 36 * sizeof *first;
    for (size_t misalignment = 0; misalignment < 8; misalignment++) {
        synthetic s;
        synthetic_begin(&s, plain_config);
        synthetic_add_all(&s, NULL);
        synthetic_end(&s, misalignment);
        opened o;
        fake_device fake;
        lf_weights *weights = NULL;
        lf_error err;
        opened_init(&o, s.folder);
        if (load(&weights, &fake, &o, &err)) fail_msg("%s", err.message);
        const lf_weight *matrix = lf_weights_matrix(weights, LF_SLOT_GATE_UP, 1);
        assert_true(fake_weight_is_filled_once(matrix));
        if (!first) {
            first = malloc(bytes);
            memcpy(first, fake_weight_values(matrix), bytes);
        }
        assert_memory_equal(first, fake_weight_values(matrix), bytes);
        lf_weights_free(weights);
        opened_fini(&o);
        synthetic_remove(&s);
    }
    free(first);
}

// A stored head is tied when equal to the embedding, and used as it is when not.
static void a_tied_model_may_store_its_head(void **state)
{
    for (int differs = 0; differs < 2; differs++) {
        synthetic s;
        synthetic_begin(&s, tied_config);
        synthetic_add_all(&s, NULL);
        lf_bf16 values[131 * 36];
        memcpy(values, synthetic_element(&s, embed, 0, 0), sizeof values);
        if (differs) values[130 * 36 + 35] ^= 1;
        synthetic_add(&s, head, LF_DTYPE_BF16, 2, 131, 36, values);
        synthetic_end(&s, 0);
        opened o;
        fake_device fake;
        lf_weights *weights = NULL;
        lf_error err;
        opened_init(&o, s.folder);
        if (load(&weights, &fake, &o, &err)) fail_msg("%s", err.message);
        const lf_weight *embedding = lf_weights_matrix(weights, LF_SLOT_EMBED, 0);
        const lf_weight *loaded_head = lf_weights_matrix(weights, LF_SLOT_LM_HEAD, 0);
        assert_int_equal(embedding != loaded_head, differs);
        assert_memory_equal(fake_weight_values(loaded_head), values, sizeof values);
        json_t *ledger = lf_weights_ledger(weights);
        assert_int_equal(json_array_size(json_object_get(ledger, "tensors_ignored")), !differs);
        json_decref(ledger);
        lf_weights_free(weights);
        opened_fini(&o);
        synthetic_remove(&s);
    }
}

int test_real(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_parameter_is_named),
        cmocka_unit_test(an_extra_tensor_is_named),
        cmocka_unit_test(a_wrong_shape_is_named),
        cmocka_unit_test(an_integer_weight_is_named),
        cmocka_unit_test(a_truncated_file_is_refused),
        cmocka_unit_test(a_value_that_is_not_finite_is_found),
        cmocka_unit_test(a_norm_that_is_not_finite_is_found),
        cmocka_unit_test(large_values_are_values),
        cmocka_unit_test(broken_fp8_is_located),
        cmocka_unit_test(fp8_without_scale_is_refused),
        cmocka_unit_test(unaligned_data_loads_as_well),
        cmocka_unit_test(a_tied_model_may_store_its_head),
    };
    return cmocka_run_group_tests_name("real", tests, NULL, NULL);
}
