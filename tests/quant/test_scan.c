// SPDX-License-Identifier: Apache-2.0
//
// The deep scan: each thing that only data shows, planted alone into a sound checkpoint, and what must not be reported.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

enum { ROWS = 64, COLS = 64, N_LAYER = 8, N_SCALE = 4 };

// Eight layers of one block-FP8 weight (scales near 2^-9), a norm and an activation scale; everything may be edited.
typedef struct model {
    uint8_t codes[N_LAYER][ROWS * COLS];
    float scales[N_LAYER][N_SCALE];
    uint16_t norm[ROWS], head[ROWS * COLS], embed[ROWS * COLS];
    float side;
} model;

static model *new_model(void)
{
    model *m = calloc(1, sizeof *m);
    uint64_t random = 7;
    for (size_t layer = 0; layer < N_LAYER; layer++) {
        for (size_t i = 0; i < ROWS * COLS; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            m->codes[layer][i] = (uint8_t)(random >> 33) % 0x7f;
        }
        for (size_t i = 0; i < N_SCALE; i++) m->scales[layer][i] = 0x1p-9f * (1 + (float)(layer + i) / 8);
    }
    for (size_t i = 0; i < ROWS; i++) m->norm[i] = 0x3f80;
    for (size_t i = 0; i < ROWS * COLS; i++) m->head[i] = (uint16_t)(0x3c00 + i), m->embed[i] = (uint16_t)(0x3d00 + i);
    m->side = 1;
    return m;
}

static void scan(const model *m, lf_findings *findings, lf_digest *digests)
{
    maker shard = {0};
    opened o;
    lf_error err;
    char name[64];
    add_tensor(&shard, "embed.weight", "BF16", m->embed, (const int64_t[]){ROWS, COLS, -1});
    add_tensor(&shard, "head.weight", "BF16", m->head, (const int64_t[]){ROWS, COLS, -1});
    for (size_t layer = 0; layer < N_LAYER; layer++) {
        snprintf(name, sizeof name, "layers.%zu.up.weight", layer);
        add_tensor(&shard, name, "F8_E4M3", m->codes[layer], (const int64_t[]){ROWS, COLS, -1});
        snprintf(name, sizeof name, "layers.%zu.up.weight_scale_inv", layer);
        add_tensor(&shard, name, "F32", m->scales[layer], (const int64_t[]){2, 2, -1});
    }
    add_tensor(&shard, "layers.0.up.input_scale", "F32", &m->side, (const int64_t[]){-1});
    add_tensor(&shard, "norm.weight", "BF16", m->norm, (const int64_t[]){ROWS, -1});
    open_made(&o, &shard, "{\"weight_block_size\":[32,32]}");
    assert_no_findings(&o.findings);
    *findings = LF_FINDINGS_INIT;
    assert_int_equal(lf_quant_scan(o.quant, digests, NULL, findings, &err), LF_OK);
    close_opened(&o);
}

static void assert_sole(const model *m, const char *code, lf_severity severity, const char *subject)
{
    lf_findings findings;
    scan(m, &findings, NULL);
    assert_finding(&findings, code, severity, subject);
    if (findings.count != 1)
        fail_msg("%s: %zu findings, the second is %s", code, findings.count, findings.items[1].code);
    lf_findings_fini(&findings);
}

static void accepts_sound_data(void **state)
{
    model *m = new_model();
    lf_findings findings;
    m->codes[3][5] = 0x80;      // minus zero
    memset(m->codes[4], 0, 32); // some zeros
    for (size_t i = 0; i < 32; i++) memset(m->codes[5] + i * COLS, 0, 32);
    m->scales[5][0] = 0; // a scale of zero over a block of zeros
    scan(m, &findings, NULL);
    assert_no_findings(&findings);
    for (size_t i = 1; i < N_SCALE; i++) m->scales[6][i] = 0x1p-40f; // empty blocks: their scales say nothing
    m->scales[6][1] = 0x1p-9f;
    for (size_t i = 0; i < ROWS; i++) memset(m->codes[6] + i * COLS + 32 * (i < 32), i < 32 ? m->codes[6][0] : 0, 32);
    scan(m, &findings, NULL);
    for (size_t i = 0; i < findings.count; i++) assert_string_not_equal(findings.items[i].code, "scale-spike");
    lf_findings_fini(&findings);
    free(m);
}

static void finds_what_is_not_finite(void **state)
{
    model *m = new_model();
    m->codes[2][77] = 0xff;
    assert_sole(m, "nan-code", LF_SEVERITY_ERROR, "layers.2.up.weight");
    free(m);
    const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000, 0xbf800000, 0, 0x80000000};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(bad); i++) {
        m = new_model();
        memcpy(&m->scales[6][1], &bad[i], sizeof bad[i]);
        assert_sole(m, "bad-scale", LF_SEVERITY_ERROR, "layers.6.up.weight");
        free(m);
    }
    m = new_model();
    m->norm[9] = 0x7fc0;
    assert_sole(m, "nan-value", LF_SEVERITY_ERROR, "norm.weight");
    m->norm[9] = 0xff80; // infinite: a mask may be
    assert_sole(m, "nan-value", LF_SEVERITY_WARNING, "norm.weight");
    m->norm[9] = 0x3f80;
    m->side = -1.0f / 0.0f;
    assert_sole(m, "nan-value", LF_SEVERITY_WARNING, "layers.0.up.input_scale");
    free(m);
}

static void finds_scales_of_zero_bytes(void **state)
{
    static const uint8_t zeros[4];
    const struct {
        const char *dtype, *config;
    } kinds[] = {{"F8_E8M0", "{\"weight_block_size\":[32,32]}"},
                 {"U8", "{\"quant_method\":\"mxfp8\",\"weight_block_size\":[32,32]}"}};
    for (size_t k = 0; k < LF_ARRAY_LENGTH(kinds); k++) {
        model *m = new_model();
        maker shard = {0};
        opened o;
        lf_error err;
        int64_t rows = k ? 2 : ROWS; // groups of one row, or blocks
        add_tensor(&shard, "up.weight", "F8_E4M3", m->codes[0], (const int64_t[]){rows, COLS, -1});
        add_tensor(&shard, "up.weight_scale_inv", kinds[k].dtype, zeros, (const int64_t[]){2, 2, -1});
        open_made(&o, &shard, kinds[k].config);
        assert_no_findings(&o.findings);
        assert_int_equal(lf_quant_scan(o.quant, NULL, NULL, &o.findings, &err), LF_OK);
        assert_finding(&o.findings, "bad-scale", LF_SEVERITY_ERROR, "up.weight");
        assert_int_equal(o.findings.count, 1);
        close_opened(&o);
        free(m);
    }
}

static void finds_bytes_taken_for_scales(void **state)
{
    model *m = new_model();
    for (size_t k = 0; k < N_LAYER; k++) {
        for (size_t i = 0; i < N_SCALE; i++) m->scales[k][i] = 113 + (float)((k + i) % 4);
    }
    assert_sole(m, "scale-exponents", LF_SEVERITY_ERROR, "layers.0.up.weight");
    for (size_t k = 0; k < N_LAYER; k++) { // reciprocals of powers of two
        for (size_t i = 0; i < N_SCALE; i++) m->scales[k][i] = i % 2 ? 64 : 128;
    }
    assert_sole(m, "scale-reciprocal", LF_SEVERITY_WARNING, "layers.0.up.weight");
    free(m);
}

// The head as the values of the codes of a layer, times `scale`.
static void set_head(model *m, float scale)
{
    for (size_t i = 0; i < ROWS * COLS; i++)
        m->head[i] = (uint16_t)(lf_f32_bits(scale * lf_fp8_to_f32(LF_DTYPE_F8_E4M3, m->codes[0][i])) >> 16);
}

static void finds_codes_taken_for_weights(void **state)
{
    model *m = new_model();
    lf_findings findings;
    set_head(m, 1);
    assert_sole(m, "raw-codes", LF_SEVERITY_ERROR, "head.weight");
    m->head[40] = 0x3f81; // no code: 1.0078125
    scan(m, &findings, NULL);
    assert_no_findings(&findings);
    set_head(m, 0x1p-12f); // the scale was applied
    scan(m, &findings, NULL);
    assert_no_findings(&findings);
    for (size_t i = 0; i < ROWS * COLS; i++) m->head[i] = i % 2 ? 0x4000 : 0x4040; // 2 and 3: no weights, but no codes
    scan(m, &findings, NULL);
    assert_no_findings(&findings);
    free(m);
}

static void finds_scales_that_stand_out(void **state)
{
    model *m = new_model();
    for (size_t i = 0; i < N_SCALE; i++) m->scales[3][i] *= 64;
    assert_sole(m, "scale-outlier", LF_SEVERITY_WARNING, "layers.3.up.weight");
    for (size_t i = 0; i < N_SCALE; i++) m->scales[3][i] /= 64 * 64;
    assert_sole(m, "scale-outlier", LF_SEVERITY_WARNING, "layers.3.up.weight");
    free(m);
    m = new_model();
    m->scales[1][2] *= 16384; // 2^14 over four scales: the mean moves by 2^3.5 only
    assert_sole(m, "scale-spike", LF_SEVERITY_WARNING, "layers.1.up.weight");
    free(m);
    m = new_model();
    for (size_t k = 0; k < N_LAYER; k++) {
        for (size_t i = 0; i < N_SCALE; i++) m->scales[k][i] = 1 / m->scales[k][i];
    }
    assert_sole(m, "scale-reciprocal", LF_SEVERITY_WARNING, "layers.0.up.weight");
    for (size_t k = 0; k < N_LAYER; k++) { // raw small codes under scales of one
        for (size_t i = 0; i < N_SCALE; i++) m->scales[k][i] = 1;
    }
    lf_findings findings;
    scan(m, &findings, NULL);
    assert_no_findings(&findings);
    free(m);
}

static void finds_zeros_and_copies(void **state)
{
    model *m = new_model();
    memset(m->codes[7], 0, sizeof m->codes[7]);
    assert_sole(m, "all-zero", LF_SEVERITY_WARNING, "layers.7.up.weight");
    free(m);
    m = new_model();
    memcpy(m->codes[6], m->codes[1], sizeof m->codes[6]);
    assert_sole(m, "duplicate-data", LF_SEVERITY_WARNING, "layers.1.up.weight");
    free(m);
    m = new_model();
    memcpy(m->head, m->embed, sizeof m->head); // tied, and stored twice
    assert_sole(m, "duplicate-data", LF_SEVERITY_NOTE, "embed.weight");
    free(m);
}

static void digests_follow_the_data(void **state)
{
    lf_digest first[24] = {0}, second[24] = {0};
    lf_findings findings;
    model *m = new_model();
    scan(m, &findings, first);
    m->codes[4][ROWS * COLS - 1] ^= 1;
    scan(m, &findings, second);
    size_t n_changed = 0;
    for (size_t i = 0; i < 24; i++) n_changed += first[i].high != second[i].high;
    assert_int_equal(n_changed, 1);
    free(m);
}

// A tensor larger than a window: the same digest whatever the number of threads, and faults in any window are found.
static void joins_windows(void **state)
{
    enum { BYTES = (9 << 20) + 77 };
    uint8_t *codes = malloc(BYTES);
    for (size_t i = 0; i < BYTES; i++) codes[i] = (uint8_t)(i * 31 % 0x7e);
    for (size_t at = 100; at < BYTES; at += 4 << 20) {
        maker shard = {0};
        opened o;
        lf_error err;
        float scale = 1;
        lf_findings findings = LF_FINDINGS_INIT;
        uint8_t kept = codes[at];
        codes[at] = 0x7f;
        add_tensor(&shard, "m.weight", "F8_E4M3", codes, (const int64_t[]){1, BYTES, -1});
        add_tensor(&shard, "m.weight_scale", "F32", &scale, (const int64_t[]){1, -1});
        codes[at] = kept;
        open_made(&o, &shard, NULL);
        lf_digest digests[2], again[2];
        assert_int_equal(lf_quant_scan(o.quant, digests, NULL, &findings, &err), LF_OK);
        assert_finding(&findings, "nan-code", LF_SEVERITY_ERROR, "m.weight");
        assert_int_equal(lf_quant_scan(o.quant, again, NULL, &findings, &err), LF_OK);
        assert_memory_equal(digests, again, sizeof digests);
        lf_findings_fini(&findings);
        close_opened(&o);
    }
    free(codes);
}

int test_scan(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_sound_data),
        cmocka_unit_test(finds_what_is_not_finite),
        cmocka_unit_test(finds_scales_of_zero_bytes),
        cmocka_unit_test(finds_bytes_taken_for_scales),
        cmocka_unit_test(finds_codes_taken_for_weights),
        cmocka_unit_test(finds_scales_that_stand_out),
        cmocka_unit_test(finds_zeros_and_copies),
        cmocka_unit_test(digests_follow_the_data),
        cmocka_unit_test(joins_windows),
    };
    return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
