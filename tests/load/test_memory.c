// SPDX-License-Identifier: Apache-2.0
//
// Peak memory of loading (lesson L3: one pass, no second copy): a bf16 checkpoint of about 200 MB onto the cpu device.
// The mapped file counts as resident while its pages are mapped, so holding on to it would double the figure.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/synthetic.h"
#include "base/mem.h"
#include "load/load.h"
#include "tests.h"

static const char config_text[] =
    "{\"model_type\": \"qwen3\", \"hidden_size\": 1024, \"intermediate_size\": 3072, \"num_hidden_layers\": 6, "
    "\"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 128, \"vocab_size\": 10000}";

// A field of /proc/self/status in bytes; 0 when it cannot be read.
static uint64_t status_bytes(const char *field)
{
    char line[256];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, field, strlen(field)) == 0) kib = strtoull(line + strlen(field) + 1, NULL, 10);
    }
    fclose(file);
    return kib * 1024;
}

static bool reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file) return false;
    bool ok = fputs("5", file) >= 0;
    return fclose(file) == 0 && ok;
}

static void the_peak_is_the_model_and_little_more(void **state)
{
    synthetic s;
    synthetic_begin(&s, config_text);
    synthetic_add_all(&s, NULL);
    uint64_t stored_bytes = s.data.length;
    synthetic_end(&s, 0);
    assert_in_range(stored_bytes, 180u << 20, 260u << 20);
    opened o;
    opened_init(&o, s.folder);
    lf_error err = {0};
    lf_device *device = NULL;
    lf_device_options options = {.max_n_tok = 1, .max_vocab = 10000, .max_length = 16};
    if (lf_device_cpu_open(&device, &options, &err)) fail_msg("%s", err.message);

    uint64_t before = status_bytes("VmRSS");
    if (!reset_peak() || before == 0) {
        print_message("skipped: /proc/self/clear_refs and status are needed\n");
        device->ops->close(device);
        opened_fini(&o);
        synthetic_remove(&s);
        skip();
    }
    lf_weights *weights = NULL;
    lf_load_args args = {.device = device, .config = &o.config, .quant = o.quant};
    if (lf_weights_load(&weights, &args, &err)) fail_msg("%s", err.message);
    uint64_t peak = status_bytes("VmHWM") - before, slack = 48u << 20;
    if (peak > lf_weights_bytes(weights) + slack) {
        fail_msg("peak %llu MiB for a model of %llu MiB", (unsigned long long)peak >> 20,
                 (unsigned long long)lf_weights_bytes(weights) >> 20);
    }
    lf_weights_free(weights);
    device->ops->close(device);
    opened_fini(&o);
    synthetic_remove(&s);
}

int test_memory(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_peak_is_the_model_and_little_more)};
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
