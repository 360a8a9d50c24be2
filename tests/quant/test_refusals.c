// SPDX-License-Identifier: Apache-2.0
//
// What must not pass: for each layout the wrong shapes, dtypes, companions and configurations, each with its own code;
// and the checkpoints beside them that differ by one thing and are right.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "tests.h"

typedef struct part {
    const char *name, *dtype;
    int64_t shape[6];
} part;

typedef struct refusal_row {
    const char *config;         // the whole config.json
    const char *code, *subject; // NULL: nothing is wrong
    part parts[5];
} refusal_row;

#define QUANT(text) "{\"quantization_config\":{" text "}}"
#define MODEL(type, heads)                                                                                             \
    "{\"model_type\":\"" type "\",\"num_key_value_heads\":" heads                                                      \
    ",\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[16,16]}}"
static const char none[] = "{}";
static const char block16[] = QUANT("\"quant_method\":\"fp8\",\"weight_block_size\":[16,16]");
static const char mxfp8[] = QUANT("\"quant_method\":\"mxfp8\",\"weight_block_size\":[1,32]");
static const char fbgemm[] = QUANT("\"quant_method\":\"fbgemm_fp8\"");
static const char two_blocks[] = QUANT("\"quant_method\":\"compressed-tensors\",\"config_groups\":{"
                                       "\"a\":{\"weights\":{\"strategy\":\"block\",\"block_structure\":[16,16]}},"
                                       "\"b\":{\"weights\":{\"strategy\":\"block\",\"block_structure\":[20,16]}}}");
static const char block_and_channel[] =
    QUANT("\"quant_method\":\"compressed-tensors\",\"config_groups\":{"
          "\"a\":{\"weights\":{\"strategy\":\"block\",\"block_structure\":[16,16]}},"
          "\"b\":{\"weights\":{\"strategy\":\"channel\"}}}");

#define F8 "F8_E4M3"
#define E8 "F8_E8M0"
// clang-format off
static const refusal_row rows[] = {
    // L1, L2, L3
    {none, NULL, NULL, {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {8, 1, -1}}}},
    {none, "block-size-missing", "m.weight", {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {1, 8, -1}}}},
    {none, "scale-shape", "m.weight_scale", {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {16, -1}}}},
    {none, "scale-shape", "m.weight_scale", {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {8, 1, 1, -1}}}},
    {none, "scale-shape", "m.weight_scale", {{"m.weight", F8, {8, -1}}, {"m.weight_scale", "F32", {8, -1}}}},
    {none, "scale-dtype", "m.weight_scale", {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", F8, {8, 1, -1}}}},
    {none, "scale-dtype", "m.weight_scale", {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "I32", {1, -1}}}},
    {none, "scale-missing", "m.weight", {{"m.weight", F8, {8, 16, -1}}}},
    {none, "scale-missing", "m.weight", {{"m.weight", "F8_E5M2", {8, 16, -1}}, {"m.bias", "F32", {8, -1}}}},
    {none, "scale-missing", "m.weight", {{"m.weight", "U8", {8, 16, -1}}}},
    {block16, "scale-shape", "m.weight_scale_inv",
     {{"m.weight", F8, {36, 16, -1}}, {"m.weight_scale_inv", "F32", {2, 1, -1}}}}, // floor instead of ceil
    {block16, "scale-shape", "m.weight_scale_inv",
     {{"m.weight", F8, {36, 16, -1}}, {"m.weight_scale_inv", "F32", {3, 1, 1, 1, 1, -1}}}},
    {block16, "scale-shape", "m.weight_scale_inv",
     {{"m.weight", F8, {36, 40, -1}}, {"m.weight_scale_inv", "F32", {3, 2, 3, 1, -1}}}}, // no [a, 1, b, 1]
    {block16, "scale-shape", "m.weight_scale",
     {{"m.weight", F8, {36, 40, -1}}, {"m.weight_scale", "F32", {36, 1, -1}}}}, // a channel that no config speaks of
    {block_and_channel, NULL, NULL, {{"m.weight", F8, {36, 40, -1}}, {"m.weight_scale", "F32", {36, 1, -1}}}},
    {block_and_channel, NULL, NULL, {{"m.weight", F8, {36, 40, -1}}, {"m.weight_scale", "F32", {3, 3, -1}}}},
    {block_and_channel, NULL, NULL, {{"m.weight", F8, {1, 16, -1}}, {"m.weight_scale", "F32", {1, 1, -1}}}},
    {two_blocks, "layout-ambiguous", "m.weight_scale",
     {{"m.weight", F8, {30, 16, -1}}, {"m.weight_scale", "F32", {2, 1, -1}}}},
    {two_blocks, NULL, NULL, {{"m.weight", F8, {60, 16, -1}}, {"m.weight_scale", "F32", {3, 1, -1}}}}, // only 20
    {two_blocks, NULL, NULL, {{"m.weight", F8, {9, 16, -1}}, {"m.weight_scale", "F32", {1, 1, -1}}}},  // the same
    {none, "scale-shape", "m.weight_scale",
     {{"m.weight", F8, {8, 4, 2, 2, -1}}, {"m.weight_scale", "F32", {8, -1}}}}, // rank 4: one value only
    {none, NULL, NULL, {{"m.weight", F8, {8, 4, 2, 2, -1}}, {"m.weight_scale", "F32", {1, -1}}}},
    {none, "scale-ambiguous", "m.weight",
     {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {1, -1}}, {"m.scale", "F32", {1, -1}}}},
    {block16, "scale-orphan", "n.scale", // a "scale" of rank 2 where these are scales
     {{"m.weight", F8, {16, 16, -1}}, {"m.scale", "F32", {1, 1, -1}}, {"n.scale", "F32", {1, 1, -1}}}},
    {none, NULL, NULL, {{"n.weight", "F32", {8, -1}}, {"n.scale", "F32", {1, 1, -1}}}}, // a parameter
    {none, "scale-orphan", "x.e8m0", {{"x.e8m0", E8, {4, -1}}}},
    {none, "scale-unknown", "m.odd_scale",
     {{"m.weight", F8, {8, 16, -1}}, {"m.weight_scale", "F32", {1, -1}}, {"m.odd_scale", "F32", {1, -1}}}},
    {none, "scale-shared", "m._weight_qdata",
     {{"m._weight", F8, {8, 16, -1}}, {"m._weight_qdata", F8, {8, 16, -1}}, {"m._weight_scale", "F32", {1, -1}}}},
    {none, "weight-ambiguous", "m.weight",
     {{"m.weight", "BF16", {8, 16, -1}}, {"m._weight_qdata", F8, {8, 16, -1}}, {"m._weight_scale", "F32", {1, -1}}}},
    // L4: MXFP8
    {mxfp8, NULL, NULL, {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {8, 2, -1}}}},
    {mxfp8, "group-size", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 48, -1}}, {"m.weight_scale_inv", "U8", {8, 2, -1}}}}, // columns are no whole groups
    {mxfp8, "group-size", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {8, 4, -1}}}},
    {mxfp8, "scale-shape", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {2, 8, -1}}}},
    {mxfp8, "scale-shape", "m.weight_scale_inv", {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {1, -1}}}},
    {mxfp8, "scale-dtype", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "I8", {8, 2, -1}}}},
    {none, "scale-dtype", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {8, 2, -1}}}}, // nothing says that bytes are E8M0
    {QUANT("\"quant_method\":\"fp8\",\"weight_block_size\":[1,32]"), "scale-dtype", "m.weight_scale_inv",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale_inv", "U8", {8, 2, -1}}}},
    {none, "block-size-missing", "m.weight", {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale", "F32", {8, 2, -1}}}},
    {none, NULL, NULL, {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale", E8, {8, 2, -1}}}},
    {block16, "group-size", "m.weight_scale", {{"m.weight", F8, {8, 128, -1}}, {"m.weight_scale", E8, {8, 2, -1}}}},
    {QUANT("\"quant_method\":\"compressed-tensors\",\"config_groups\":{\"a\":{\"weights\":{\"type\":\"float\","
           "\"num_bits\":8,\"strategy\":\"group\",\"group_size\":0}}}"), "block-size-invalid", "config.json",
     {{"m.weight", F8, {8, 64, -1}}, {"m.weight_scale", "F32", {1, -1}}}},
    // L4: packed FP4
    {block16, NULL, NULL, {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", E8, {8, 2, -1}}}},
    {block16, NULL, NULL, {{"m.weight", "I8", {8, 32, -1}}, {"m.weight_scale_inv", E8, {8, 2, -1}}}},
    {block16, "group-size", "m.scale", {{"m.weight", "I8", {8, 128, -1}}, {"m.scale", E8, {8, 2, -1}}}}, // 128
    {block16, "group-size", "m.scale", {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", E8, {8, 4, -1}}}},
    {block16, "group-size", "m.scale", {{"m.weight", "I8", {8, 24, -1}}, {"m.scale", E8, {8, 2, -1}}}},
    {block16, "scale-shape", "m.scale", {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", E8, {1, 4, -1}}}},
    {block16, "scale-shape", "m.scale", {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", E8, {-1}}}},
    {block16, "scale-missing", "m.weight", {{"m.weight", "I8", {8, 32, -1}}}},
    {block16, "scale-ambiguous", "m.weight",
     {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", E8, {8, 2, -1}}, {"m.weight_scale", E8, {8, 2, -1}}}},
    {block16, "scale-orphan", "m.scale", {{"m.scale", E8, {8, 2, -1}}}},
    {block16, "scale-orphan", "m.scale", {{"m.weight", "BF16", {8, 64, -1}}, {"m.scale", E8, {8, 2, -1}}}},
    {block16, "scheme-unsupported", "m.weight", {{"m.weight", "I8", {8, 32, -1}}, {"m.scale", "F32", {8, 1, -1}}}},
    // L5
    {none, NULL, NULL, {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, 1, 1, -1}}}},
    {none, "scale-shape", "x.down_proj_scale",
     {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {2, -1}}}},
    {none, "scale-shape", "x.down_proj_scale",
     {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, 8, -1}}}},
    {none, "scale-shape", "x.down_proj_scale",
     {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, 1, 1, 1, -1}}}},
    {none, "block-size-missing", "x.down_proj",
     {{"x.down_proj", F8, {3, 32, 16, -1}}, {"x.down_proj_scale", "F32", {3, 2, 1, -1}}}},
    {block16, "scale-shape", "x.down_proj_scale_inv",
     {{"x.down_proj", F8, {3, 32, 16, -1}}, {"x.down_proj_scale_inv", "F32", {3, 1, 2, -1}}}}, // transposed
    {block16, "scale-shape", "x.down_proj_scale_inv",
     {{"x.down_proj", F8, {3, 32, 16, -1}}, {"x.down_proj_scale_inv", "F32", {6, 1, -1}}}}, // folded
    {block16, "scale-shape", "x.down_proj_scale_inv",
     {{"x.down_proj", F8, {3, 32, 16, -1}}, {"x.down_proj_scale_inv", "F32", {3, 32, 1, -1}}}},
    {fbgemm, NULL, NULL, {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, 16, 1, -1}}}},
    {fbgemm, NULL, NULL, {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, 8, 1, -1}}}},
    {fbgemm, "layout-ambiguous", "x.down_proj_scale", // [E, H, 1] over a square: rows or columns
     {{"x.down_proj", F8, {3, 16, 16, -1}}, {"x.down_proj_scale", "F32", {3, 16, 1, -1}}}},
    {fbgemm, NULL, NULL, {{"x.down_proj", F8, {3, 16, 16, -1}}, {"x.down_proj_scale", "F32", {3, 1, 16, -1}}}},
    {none, "scale-missing", "x.down_proj", {{"x.down_proj", F8, {3, 8, 16, -1}}}},
    {none, "scale-ambiguous", "x.down_proj",
     {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, -1}},
      {"x.down_proj_scale_inv", "F32", {3, -1}}}},
    {none, "scale-orphan", "x.gate_up_proj_scale_inv", {{"x.gate_up_proj_scale_inv", "F32", {3, -1}}}},
    {none, "scale-orphan", "x.gate_up_proj_scale", {{"x.gate_up_proj_scale", "F32", {3, -1}}}},
    {none, "scale-orphan", "x.down_proj_scales_inv",
     {{"x.down_proj", "BF16", {3, 8, 16, -1}}, {"x.down_proj_scales_inv", "F32", {3, -1}}}},
    {none, "scale-unknown", "x.down_proj_weight_scale",
     {{"x.down_proj", F8, {3, 8, 16, -1}}, {"x.down_proj_scale", "F32", {3, -1}},
      {"x.down_proj_weight_scale", "F32", {3, -1}}}},
    // L6
    {MODEL("mimo_v2", "4"), NULL, NULL,
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {8, 1, -1}}}},
    {MODEL("mimo_v2", "5"), "qkv-chunks", "a.qkv_proj.weight_scale_inv",
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {8, 1, -1}}}},
    {MODEL("mimo_v2", "2,\"swa_num_key_value_heads\":4"), "layout-ambiguous", "a.qkv_proj.weight_scale_inv",
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {8, 1, -1}}}},
    {block16, "qkv-chunks", "a.qkv_proj.weight_scale_inv",
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {8, 1, -1}}}},
    {MODEL("mimo_v2", "4"), "scale-shape", "a.qkv_proj.weight_scale_inv",
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {9, 1, -1}}}},
    {MODEL("mimo_v2", "4"), "scale-shape", "a.qkv_proj.weight_scale_inv",
     {{"a.qkv_proj.weight", F8, {100, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {8, 2, -1}}}},
    {MODEL("mimo_v2", "4"), "scale-shape", "a.o_proj.weight_scale_inv",
     {{"a.o_proj.weight", F8, {100, 16, -1}}, {"a.o_proj.weight_scale_inv", "F32", {8, 1, -1}}}},
    {MODEL("mimo_v2", "2"), "layout-ambiguous", "a.qkv_proj.weight_scale_inv", // 2 * ceil(29 / 16) = ceil(58 / 16)
     {{"a.qkv_proj.weight", F8, {58, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {4, 1, -1}}}},
    {MODEL("phi3", "2"), NULL, NULL,
     {{"a.qkv_proj.weight", F8, {58, 16, -1}}, {"a.qkv_proj.weight_scale_inv", "F32", {4, 1, -1}}}},
    // L7
    {none, NULL, NULL,
     {{"l.ngram_embedding.shard_0.weight", F8, {8, 16, -1}}, {"l.ngram_embedding.shard_127.weight", F8, {8, 16, -1}},
      {"l.ngram_embedding.weight_scale", "BF16", {1, -1}}}},
    {none, "scale-shape", "l.ngram_embedding.weight_scale",
     {{"l.ngram_embedding.shard_0.weight", F8, {8, 16, -1}}, {"l.ngram_embedding.weight_scale", "BF16", {8, 1, -1}}}},
    {none, "scale-missing", "l.ngram_embedding.shard_0.weight",
     {{"l.ngram_embedding.shard_0.weight", F8, {8, 16, -1}}}},
    {none, "scale-missing", "l.ngram_embedding.shard_a.weight",
     {{"l.ngram_embedding.shard_a.weight", F8, {8, 16, -1}}, {"l.ngram_embedding.weight_scale", "BF16", {1, -1}}}},
    {none, "scale-missing", "l.embedding.shard_0.weight",
     {{"l.embedding.shard_0.weight", F8, {8, 16, -1}}, {"l.embedding.weight_scale", "BF16", {1, -1}}}},
    {none, "scale-orphan", "l.ngram_embedding.weight_scale",
     {{"l.ngram_embedding.shard_0.weight", F8, {8, 16, -1}}, {"l.ngram_embedding.shard_0.weight_scale", "F32", {1, -1}},
      {"l.ngram_embedding.weight_scale", "BF16", {1, -1}}}},
};
// clang-format on

static void check_row(const refusal_row *row, size_t i)
{
    maker m = {0};
    opened o;
    for (size_t k = 0; k < LF_ARRAY_LENGTH(row->parts) && row->parts[k].name; k++)
        add_tensor(&m, row->parts[k].name, row->parts[k].dtype, NULL, row->parts[k].shape);
    open_with_config(&o, &m, row->config);
    if (!row->code) {
        for (size_t k = 0; k < o.findings.count; k++) {
            if (o.findings.items[k].severity == LF_SEVERITY_ERROR)
                fail_msg("row %zu (%s): %s", i, row->parts[0].name, o.findings.items[k].message);
        }
    } else {
        const lf_finding *found = find_code(&o.findings, row->code);
        if (!found || strcmp(found->subject, row->subject) != 0) {
            fail_msg("row %zu: %s of %s expected; the first finding is %s", i, row->code, row->subject,
                     o.findings.count ? o.findings.items[0].message : "none");
        }
        if (found->severity != LF_SEVERITY_ERROR || !found->remedy[0] || !found->expected[0] || !found->found[0])
            fail_msg("row %zu: %s says too little", i, row->code);
    }
    // Nothing raw comes out: what has no usable scale is refused, whatever its dtype.
    for (size_t k = 0; k < lf_quant_count(o.quant); k++) {
        const lf_logical_tensor *t = lf_quant_tensor(o.quant, k);
        lf_bf16 value;
        lf_dequant_report report = {0};
        lf_error err;
        lf_status status = lf_dequant_bf16(t, (lf_rect){0, 0, 1, 1}, LF_DEQUANT_EXACT, &value, 1, &report, &err);
        bool is_quantized = lf_dtype_is_fp8(t->weight->dtype) || t->weight->dtype == LF_DTYPE_I8;
        if (is_quantized) assert_int_equal(status == LF_OK, t->scale != NULL);
    }
    close_opened(&o);
}

static void names_what_is_wrong(void **state)
{
    for (size_t i = 0; i < LF_ARRAY_LENGTH(rows); i++) check_row(&rows[i], i);
}

static void says_what_a_shared_scale_would_be_called(void **state)
{
    maker m = {0};
    opened o;
    ADD(&m, "l.ngram_embedding.shard_0.weight", "F8_E4M3", 8, 16);
    open_made(&o, &m, NULL);
    const lf_finding *found = find_code(&o.findings, "scale-missing");
    assert_non_null(found);
    assert_non_null(strstr(found->expected, "l.ngram_embedding.weight_scale, "));
    close_opened(&o);
}

static void names_a_cast_without_scales(void **state)
{
    for (int has_scale = 0; has_scale < 2; has_scale++) {
        maker m = {0};
        opened o;
        ADD(&m, "a.weight", "F8_E5M2", 8, 8);
        ADD(&m, "b.weight", "F8_E5M2", 8, 8);
        ADD(&m, "c.weight", "F8_E5M2", 8, 8);
        if (has_scale) ADD(&m, "c.weight_scale", "F32", 1);
        open_made(&o, &m, NULL);
        assert_finding(&o.findings, "scale-missing", LF_SEVERITY_ERROR, "a.weight");
        assert_int_equal(find_code(&o.findings, "raw-cast") != NULL, !has_scale);
        if (!has_scale) assert_finding(&o.findings, "raw-cast", LF_SEVERITY_ERROR, "a.weight");
        close_opened(&o);
    }
}

static void knows_the_zero_of_each_dtype(void **state)
{
    static const struct {
        const char *dtype;
        uint8_t bytes[4];
        bool is_zero;
    } zeros[] = {
        {"I8", {0, 0, 0, 0}, true},      {"I8", {0, 0x80, 0, 0}, false},   {"F8_E4M3", {0, 0x80, 0, 0}, true},
        {"BF16", {0, 0x80, 0, 0}, true}, {"BF16", {0x80, 0, 0, 0}, false}, {"F32", {0, 0, 0, 0x80}, true},
        {"F32", {0, 0x80, 0, 0}, false}, {"I32", {0, 0, 0, 0x80}, false},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(zeros); i++) {
        maker m = {0};
        opened o;
        lf_dtype dtype;
        assert_true(lf_dtype_from_name(zeros[i].dtype, strlen(zeros[i].dtype), &dtype));
        ADD(&m, "m.weight", "F8_E4M3", 4, 8);
        ADD(&m, "m.weight_scale", "F32", 1);
        add_tensor(&m, "m.weight_zero_point", zeros[i].dtype, zeros[i].bytes,
                   (const int64_t[]){32 / lf_dtype_bits(dtype), -1});
        open_made(&o, &m, NULL);
        if ((find_code(&o.findings, "zero-point") == NULL) != zeros[i].is_zero) fail_msg("row %zu", i);
        close_opened(&o);
    }
}

static void reads_hf_quant_config(void **state)
{
    static const struct {
        const char *text, *code;
    } files[] = {
        {"{\"producer\":{\"name\":\"modelopt\"},\"quantization\":{\"quant_algo\":\"FP8_PB_WO\","
         "\"exclude_modules\":[\"lm_head\"]}}",
         NULL},
        {NULL, "block-size-missing"},
        {"{\"quantization\":{\"quant_algo\":\"FP8\"}}", "block-size-missing"},
        {"{\"quantization\":[]}", "quant-config-invalid"},
        {"{\"quantization\":", "quant-config-invalid"},
    };
    for (size_t i = 0; i < LF_ARRAY_LENGTH(files); i++) {
        maker m = {.extra_name = "hf_quant_config.json", .extra_text = files[i].text};
        opened o;
        ADD(&m, "m.weight", "F8_E4M3", 130, 8);
        ADD(&m, "m.weight_scale", "F32", 2, 1, 1, 1);
        open_made(&o, &m, NULL);
        if (files[i].code)
            assert_non_null(find_code(&o.findings, files[i].code));
        else
            assert_no_findings(&o.findings);
        close_opened(&o);
    }
}

int test_refusals(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_is_wrong),         cmocka_unit_test(says_what_a_shared_scale_would_be_called),
        cmocka_unit_test(names_a_cast_without_scales), cmocka_unit_test(knows_the_zero_of_each_dtype),
        cmocka_unit_test(reads_hf_quant_config),
    };
    return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
