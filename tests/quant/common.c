// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints for the tests of this module, in temporary directories.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests.h"

static uint8_t random_byte(maker *m)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(m->random >> 33);
}

void add_tensor(maker *m, const char *name, const char *dtype, const void *bytes, const int64_t *shape)
{
    lf_dtype parsed;
    assert_true(lf_dtype_from_name(dtype, strlen(dtype), &parsed));
    size_t n = (size_t)lf_dtype_bits(parsed), begin = m->data.length;
    lf_buf_printf(&m->header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", m->header.length ? "," : "", name, dtype);
    for (size_t i = 0; shape[i] >= 0; i++) {
        lf_buf_printf(&m->header, "%s%lld", i ? "," : "", (long long)shape[i]);
        n *= (size_t)shape[i];
    }
    n /= 8;
    lf_buf_printf(&m->header, "],\"data_offsets\":[%zu,%zu]}", begin, begin + n);
    if (bytes) {
        lf_buf_append(&m->data, bytes, n);
        return;
    }
    for (size_t i = 0; i < n; i++) lf_buf_putc(&m->data, (char)(random_byte(m) % 0x7c));
}

void open_directory(opened *o, const char *dir, json_t *config)
{
    lf_error err;
    *o = (opened){.config = config};
    assert_int_equal(lf_checkpoint_open(&o->checkpoint, dir, &o->findings, &err), LF_OK);
    assert_int_equal(lf_quant_open(&o->quant, o->checkpoint, config, &o->findings, &err), LF_OK);
}

void open_with_config(opened *o, maker *m, const char *config_text)
{
    json_t *config = json_loads(config_text, 0, NULL);
    assert_non_null(config);
    char dir[200];
    const char *parent = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/landfall-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(dir));
    lf_buf file = LF_BUF_INIT;
    size_t length = m->header.length + 2;
    for (int i = 0; i < 8; i++) lf_buf_putc(&file, (char)(length >> 8 * i));
    lf_buf_printf(&file, "{%s}", lf_buf_text(&m->header));
    lf_buf_append(&file, m->data.data, m->data.length);
    assert_false(lf_buf_failed(&file));
    char *path = lf_path_join(dir, "model.safetensors");
    FILE *stream = fopen(path, "wb"); // not lf_file_write(): it syncs, and there are hundreds of these
    assert_non_null(stream);
    assert_int_equal(fwrite(file.data, 1, file.length, stream), file.length);
    assert_int_equal(fclose(stream), 0);
    free(path);
    lf_buf_fini(&file);
    if (m->extra_text) {
        lf_error err;
        path = lf_path_join(dir, m->extra_name);
        assert_int_equal(lf_file_write(path, m->extra_text, strlen(m->extra_text), &err), LF_OK);
        free(path);
    }
    lf_buf_fini(&m->header);
    lf_buf_fini(&m->data);
    open_directory(o, dir, config);
    o->extra_name = m->extra_text ? m->extra_name : NULL;
    snprintf(o->dir, sizeof o->dir, "%s", dir);
}

void open_made(opened *o, maker *m, const char *quantization_config)
{
    lf_buf config = LF_BUF_INIT;
    if (quantization_config)
        lf_buf_printf(&config, "{\"quantization_config\":%s}", quantization_config);
    else
        lf_buf_puts(&config, "{}");
    open_with_config(o, m, lf_buf_text(&config));
    lf_buf_fini(&config);
}

void close_opened(opened *o)
{
    lf_quant_close(o->quant);
    lf_checkpoint_close(o->checkpoint);
    lf_findings_fini(&o->findings);
    json_decref(o->config);
    if (!o->dir[0]) return;
    char *path = lf_path_join(o->dir, "model.safetensors");
    unlink(path);
    free(path);
    if (o->extra_name) {
        path = lf_path_join(o->dir, o->extra_name);
        unlink(path);
        free(path);
    }
    assert_int_equal(rmdir(o->dir), 0);
}

const lf_finding *find_code(const lf_findings *findings, const char *code)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->items[i].code, code) == 0) return &findings->items[i];
    }
    return NULL;
}

void assert_finding(const lf_findings *findings, const char *code, lf_severity severity, const char *subject)
{
    const lf_finding *found = find_code(findings, code);
    if (!found) {
        fail_msg("no finding '%s'; the first is '%s'", code, findings->count ? findings->items[0].message : "none");
        return;
    }
    assert_int_equal(found->severity, severity);
    if (subject) assert_string_equal(found->subject, subject);
    assert_true(found->message[0] && (severity == LF_SEVERITY_NOTE || found->remedy[0]));
}

void assert_no_findings(const lf_findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const lf_finding *f = &findings->items[i];
        fail_msg("%s %s: %s (expected %s, found %s)", lf_severity_name(f->severity), f->code, f->message, f->expected,
                 f->found);
    }
}
