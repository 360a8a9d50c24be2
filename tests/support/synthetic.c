// SPDX-License-Identifier: Apache-2.0
//
// Writing and opening test checkpoints. Tensors are found again by scanning the header text, which is enough for a
// test.
#include "synthetic.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"

static void write_file(const synthetic *s, const char *name, const char *bytes, size_t length)
{
    char *path = lf_path_join(s->folder, name);
    assert_int_equal(lf_file_write(path, bytes, length, NULL), LF_OK);
    free(path);
}

void synthetic_begin(synthetic *s, const char *config_text)
{
    *s = (synthetic){.folder = "/tmp/lf_test_XXXXXX"};
    assert_non_null(mkdtemp(s->folder));
    write_file(s, "config.json", config_text, strlen(config_text));
    json_t *json = NULL;
    lf_error err = {0};
    if (lf_config_load(&s->config, &json, s->folder, NULL, &err)) fail_msg("%s", err.message);
    json_decref(json);
}

void synthetic_add(synthetic *s, const char *name, lf_dtype dtype, int rank, int64_t n_row, int64_t n_col,
                   const void *bytes)
{
    size_t n_byte = (size_t)(n_row * (rank == 2 ? n_col : 1)) * (size_t)lf_dtype_bits(dtype) / 8;
    size_t begin = s->data.length;
    lf_buf_printf(&s->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%" PRId64, s->header.length ? "," : "{", name,
                  lf_dtype_name(dtype), n_row);
    if (rank == 2) lf_buf_printf(&s->header, ",%" PRId64, n_col);
    lf_buf_printf(&s->header, "],\"data_offsets\":[%zu,%zu]}", begin, begin + n_byte);
    lf_buf_append(&s->data, bytes, n_byte);
    assert_false(lf_buf_failed(&s->data) || lf_buf_failed(&s->header));
}

void synthetic_add_all(synthetic *s, const char *but)
{
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, &s->config, NULL), LF_OK);
    uint32_t random = 12345;
    for (size_t i = 0; i < parameters.count; i++) {
        const lf_parameter *parameter = &parameters.items[i];
        if (but && strstr(parameter->name, but)) continue;
        size_t n = (size_t)(parameter->shape[0] * parameter->shape[1]);
        lf_bf16 *values = malloc(n * sizeof *values);
        for (size_t k = 0; k < n; k++) {
            random = random * 1664525u + 1013904223u;
            values[k] = lf_bf16_from_f32((float)(int32_t)random * 0x1p-31f);
        }
        synthetic_add(s, parameter->name, LF_DTYPE_BF16, parameter->rank, parameter->shape[0], parameter->shape[1],
                      values);
        free(values);
    }
    lf_parameters_fini(&parameters);
}

lf_bf16 *synthetic_element(synthetic *s, const char *name, int64_t row, int64_t col)
{
    char key[256];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *entry = strstr(lf_buf_text(&s->header), key);
    assert_non_null(entry);
    long long n_row = 0, n_col = 1;
    sscanf(strstr(entry, "\"shape\":["), "\"shape\":[%lld,%lld", &n_row, &n_col);
    size_t begin = strtoull(strstr(entry, "\"data_offsets\":[") + strlen("\"data_offsets\":["), NULL, 10);
    assert_true(row < n_row && col < n_col);
    return (lf_bf16 *)(void *)(s->data.data + begin) + row * n_col + col;
}

void synthetic_end(synthetic *s, size_t misalignment)
{
    lf_buf_putc(&s->header, '}');
    while ((8 + s->header.length) % 8 != misalignment) lf_buf_putc(&s->header, ' ');
    lf_buf file = LF_BUF_INIT;
    uint64_t length = s->header.length;
    lf_buf_append(&file, &length, sizeof length);
    lf_buf_append(&file, s->header.data, s->header.length);
    lf_buf_append(&file, s->data.data, s->data.length);
    assert_false(lf_buf_failed(&file));
    write_file(s, "model.safetensors", file.data, file.length);
    lf_buf_fini(&file);
    lf_buf_fini(&s->header);
    lf_buf_fini(&s->data);
}

void synthetic_remove(synthetic *s)
{
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        char *path = lf_path_join(s->folder, names[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(s->folder), 0);
}

void opened_init(opened *o, const char *folder)
{
    lf_error err = {0};
    *o = (opened){.findings = LF_FINDINGS_INIT};
    if (lf_config_load(&o->config, &o->config_json, folder, NULL, &err)) fail_msg("%s", err.message);
    if (lf_checkpoint_open(&o->checkpoint, folder, &o->findings, &err)) fail_msg("%s", err.message);
    if (lf_quant_open(&o->quant, o->checkpoint, o->config_json, &o->findings, &err)) fail_msg("%s", err.message);
}

void opened_fini(opened *o)
{
    lf_quant_close(o->quant);
    lf_checkpoint_close(o->checkpoint);
    json_decref(o->config_json);
    lf_findings_fini(&o->findings);
}
