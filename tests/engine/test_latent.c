// SPDX-License-Identifier: Apache-2.0
//
// What latent attention asks of the device, seen by a device that notes it and passes it on: the two norms inside have
// an eps of their own, the cache is one array for all heads, and a layer reads its matrices per head once each way.
#include "tests.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/engine_int.h"
#include "golden.h"
#include "logits.h"

static const struct lf_device_ops *own; // of the device that does the work
static struct {
    size_t n_model_norm, n_latent_norm, n_product, n_transposed, n_attention;
} seen;

static lf_status rms_norm(lf_device *device, const lf_norm_args *args, lf_error *err)
{
    bool is_latent = args->d == 24 || args->d == 128; // q_lora_rank, kv_lora_rank
    assert_true(args->eps == (is_latent ? 1e-6f : 0.25f));
    is_latent ? seen.n_latent_norm++ : seen.n_model_norm++;
    return own->rms_norm(device, args, err);
}

static lf_status head_product(lf_device *device, const lf_head_product_args *args, lf_error *err)
{
    args->is_transposed ? seen.n_transposed++ : seen.n_product++;
    assert_int_equal(args->n_col, 128);
    assert_int_equal(args->n_row, args->is_transposed ? 12 : 10);
    return own->head_product(device, args, err);
}

static lf_status attention(lf_device *device, const lf_attention_args *args, lf_error *err)
{
    double temperature = 0.1 * log(4) + 1;
    assert_int_equal(args->n_head, 7);
    assert_int_equal(args->kv.n_kv_head, 1);
    assert_int_equal(args->kv.d_head, 128 + 8);
    assert_int_equal(args->kv.d_value, 128);
    assert_true(lf_dptr_is_null(args->kv.values));
    assert_true(fabs((double)args->scale - temperature * temperature / sqrt(12 + 8)) < 1e-7);
    seen.n_attention++;
    return own->attention(device, args, err);
}

static void test_what_a_layer_asks_for(void **state)
{
    (void)state;
    golden g;
    golden_read(&g, "moe/deepseek_v3_fp8_block");
    json_t *overrides = json_pack("{s:f}", "rms_norm_eps", 0.25);
    lf_engine engine = {
        .options = {
            .model_dir = g.dir, .hf_overrides = overrides, .max_num_seqs = 1, .kv_cache_memory_bytes = 16 << 20}};
    lf_error err = {0};
    if (lf__engine_build(&engine, &err)) fail_msg("%s", err.message);
    own = engine.device->ops;
    struct lf_device_ops noting = *own;
    noting.rms_norm = rms_norm;
    noting.head_product = head_product;
    noting.attention = attention;
    engine.device->ops = &noting;
    float *logits = malloc(g.n_vocab * sizeof *logits);
    memset(&seen, 0, sizeof seen);
    engine_logits(&engine, g.prompt, 1, 1, logits);
    assert_int_equal(seen.n_model_norm, 2 * 2 + 1);
    assert_int_equal(seen.n_latent_norm, 2 * 2);
    assert_int_equal(seen.n_product, 2);
    assert_int_equal(seen.n_transposed, 2);
    assert_int_equal(seen.n_attention, 2);
    free(logits);
    engine.device->ops = own;
    lf__engine_tear_down(&engine);
    json_decref(overrides);
    golden_free(&g);
}

int test_latent(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_layer_asks_for),
    };
    return cmocka_run_group_tests_name("engine/latent", tests, NULL, NULL);
}
