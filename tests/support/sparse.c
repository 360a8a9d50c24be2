// SPDX-License-Identifier: Apache-2.0
#include "sparse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

static void write_header(const char *path, const sparse_tensor *tensors, size_t n)
{
    lf_buf header = LF_BUF_INIT;
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        lf_dtype dtype;
        assert_true(lf_dtype_from_name(tensors[i].dtype, strlen(tensors[i].dtype), &dtype));
        uint64_t bytes = (uint64_t)lf_dtype_bits(dtype) / 8;
        lf_buf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "{", tensors[i].name,
                      tensors[i].dtype);
        for (size_t k = 0; k < 3 && tensors[i].shape[k]; k++) {
            lf_buf_printf(&header, "%s%lld", k ? "," : "", (long long)tensors[i].shape[k]);
            bytes *= (uint64_t)tensors[i].shape[k];
        }
        lf_buf_printf(&header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)end,
                      (unsigned long long)(end + bytes));
        end += bytes;
    }
    lf_buf_puts(&header, "}");
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++) fputc((int)(header.length >> 8 * i & 255), file);
    assert_int_equal(fwrite(header.data, 1, header.length, file), header.length);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), (off_t)(8 + header.length + end)), 0);
    fclose(file);
    lf_buf_fini(&header);
}

void sparse_open(sparse_model *model, const char *config, const sparse_tensor *tensors, size_t n)
{
    lf_error err;
    const char *parent = getenv("TMPDIR");
    *model = (sparse_model){0};
    snprintf(model->dir, sizeof model->dir, "%s/landfall-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(model->dir));
    char *path = lf_path_join(model->dir, "model.safetensors"), *config_path = lf_path_join(model->dir, "config.json");
    write_header(path, tensors, n);
    assert_int_equal(lf_file_write(config_path, config, strlen(config), &err), LF_OK);
    assert_int_equal(lf_json_load(&model->config, config_path, 1 << 20, &err), LF_OK);
    assert_int_equal(lf_checkpoint_open(&model->checkpoint, model->dir, &model->findings, &err), LF_OK);
    assert_int_equal(lf_quant_open(&model->quant, model->checkpoint, model->config, &model->findings, &err), LF_OK);
    if (model->findings.count) fail_msg("%s", model->findings.items[0].message);
    lf_outline_read(&model->outline, model->config, NULL);
    free(path);
    free(config_path);
}

void sparse_close(sparse_model *model)
{
    static const char *const files[] = {"model.safetensors", "config.json"};
    lf_quant_close(model->quant);
    lf_checkpoint_close(model->checkpoint);
    json_decref(model->config);
    lf_findings_fini(&model->findings);
    for (size_t i = 0; i < 2; i++) {
        char *path = lf_path_join(model->dir, files[i]);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(model->dir), 0);
}

const lf_finding *sparse_find(const sparse_model *model, const char *code, const char *subject)
{
    for (size_t i = 0; i < model->findings.count; i++) {
        const lf_finding *finding = &model->findings.items[i];
        if (strcmp(finding->code, code) == 0 && (!subject || strcmp(finding->subject, subject) == 0)) return finding;
    }
    return NULL;
}
