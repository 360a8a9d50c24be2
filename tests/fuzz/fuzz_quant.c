// SPDX-License-Identifier: Apache-2.0
//
// A config and a shard from anywhere, paired and dequantized: one line of config.json, then the bytes of the shard.
// Nothing raw comes out, every scale that is asked for is there, and every element is the product that quant.h defines.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "quant/quant.h"

enum { MAX_SIDE = 80, N_RECT = 6, MAX_SCAN = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static char folder[] = "/tmp/landfall-fuzz-XXXXXX";
static char *shard_path;

static void require(int condition)
{
    if (!condition) abort();
}

static void remove_folder(void)
{
    unlink(shard_path);
    rmdir(folder);
    free(shard_path);
}

static void write_shard(const uint8_t *data, size_t length)
{
    if (!shard_path) {
        require(mkdtemp(folder) != NULL);
        shard_path = lf_path_join(folder, "model.safetensors");
        require(shard_path != NULL && atexit(remove_folder) == 0);
    }
    FILE *stream = fopen(shard_path, "wb");
    require(stream && fwrite(data, 1, length, stream) == length && fclose(stream) == 0);
}

static float scale_at(const lf_stored_tensor *scale, int64_t i)
{
    float value;
    uint16_t half;
    uint64_t bytes = (uint64_t)lf_dtype_bits(scale->dtype) / 8;
    require(i >= 0 && ((uint64_t)i + 1) * bytes <= scale->bytes);
    switch (scale->dtype) {
    case LF_DTYPE_U8:
    case LF_DTYPE_F8_E8M0: return lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scale->data[i]);
    case LF_DTYPE_F32: memcpy(&value, scale->data + 4 * i, 4); return value;
    default: memcpy(&half, scale->data + 2 * i, 2);
    }
    return scale->dtype == LF_DTYPE_F16 ? lf_f16_to_f32(half) : lf_bf16_to_f32(half);
}

// The definition in quant.h.
static lf_bf16 defined(const lf_logical_tensor *t, int64_t n_col, int64_t row, int64_t col)
{
    int64_t chunk_scale_rows = lf_ceil_div(t->chunk_rows, t->block_rows), at = row * n_col + col;
    int64_t scale_row = row / t->chunk_rows * chunk_scale_rows + row % t->chunk_rows / t->block_rows;
    float scale = scale_at(t->scale, scale_row * lf_ceil_div(n_col, t->block_cols) + col / t->block_cols);
    float value = lf_logical_is_fp4(t) ? lf_fp4_to_f32(t->weight->data[at / 2] >> (at % 2 * 4))
                                       : lf_fp8_to_f32(t->weight->dtype, t->weight->data[at]);
    float product = value * scale;
    return isnan(product) ? 0x7fc0 : lf_bf16_from_f32(product);
}

static void check_rect(const lf_logical_tensor *t, int64_t n_col, lf_rect rect)
{
    lf_dequant_report report = {0};
    lf_error err;
    size_t n = (size_t)(rect.n_row * rect.n_col);
    lf_bf16 *values = malloc(n * sizeof *values); // of exactly this size: a sanitizer sees what is written past it
    float *wide = malloc(n * sizeof *wide);
    require(values && wide);
    lf_status status = lf_dequant_bf16(t, rect, LF_DEQUANT_EXACT, values, (size_t)rect.n_col, &report, &err);
    require(lf_dequant_f32(t, rect, LF_DEQUANT_BF16_SCALE, wide, (size_t)rect.n_col, &report, &err) == status);
    bool is_float =
        t->weight->dtype == LF_DTYPE_BF16 || t->weight->dtype == LF_DTYPE_F16 || t->weight->dtype == LF_DTYPE_F32;
    require(status == (t->scale || is_float ? LF_OK : LF_ERR_UNSUPPORTED));
    for (size_t i = 0; t->scale && i < n; i++) {
        int64_t row = rect.row + (int64_t)i / rect.n_col, col = rect.col + (int64_t)i % rect.n_col;
        require(values[i] == defined(t, n_col, row, col));
    }
    free(values);
    free(wide);
}

static void check_tensor(const lf_logical_tensor *t, uint64_t random)
{
    int64_t n_row, n_col, shape[LF_MAX_RANK];
    lf_logical_matrix_shape(t, &n_row, &n_col);
    require(lf_logical_shape(t, shape) == t->weight->rank);
    bool has_scale = t->layout != LF_SCALE_NONE && t->layout != LF_SCALE_BROKEN;
    require(has_scale == (t->scale != NULL));
    require(!lf_dtype_is_fp8(t->weight->dtype) || t->layout != LF_SCALE_NONE);
    require(!t->scale || (t->chunk_rows >= 1 && t->block_rows >= 1 && t->block_cols >= 1));
    for (int i = 0; n_row && n_col && i < N_RECT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        lf_rect rect = {(int64_t)(random >> 33) % n_row, (int64_t)(random >> 20) % n_col, 0, 0};
        rect.n_row = LF_MIN(n_row - rect.row, 1 + (int64_t)(random >> 50) % MAX_SIDE);
        rect.n_col = LF_MIN(n_col - rect.col, 1 + (int64_t)(random >> 40) % MAX_SIDE);
        check_rect(t, n_col, rect);
    }
}

static void check_quant(const lf_checkpoint *checkpoint, const json_t *config)
{
    lf_findings findings = LF_FINDINGS_INIT;
    lf_quant *quant;
    lf_error err;
    require(lf_quant_open(&quant, checkpoint, config, &findings, &err) == LF_OK);
    size_t n_quantized = 0;
    for (size_t i = 0; i < lf_quant_count(quant); i++) {
        const lf_logical_tensor *t = lf_quant_tensor(quant, i);
        require(i == 0 || strcmp(lf_quant_tensor(quant, i - 1)->name, t->name) < 0);
        require(lf_quant_find(quant, t->name) == t);
        require(t->layout != LF_SCALE_BROKEN || findings.n_error);
        n_quantized += t->scale != NULL;
        check_tensor(t, i);
    }
    require(n_quantized == lf_quant_n_quantized(quant));
    for (size_t i = 0; i < findings.count; i++) require(findings.items[i].message[0] != '\0');
    if (lf_checkpoint_bytes(checkpoint) <= MAX_SCAN) require(lf_quant_scan(quant, NULL, &findings, &err) == LF_OK);
    lf_quant_close(quant);
    lf_findings_fini(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    json_t *config;
    lf_checkpoint *checkpoint;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_error err;
    const uint8_t *end = memchr(data, '\n', length);
    if (!end || lf_json_parse(&config, (const char *)data, (size_t)(end - data), "config.json", &err)) return 0;
    write_shard(end + 1, length - (size_t)(end + 1 - data));
    if (lf_checkpoint_open(&checkpoint, folder, &findings, &err) == LF_OK) {
        check_quant(checkpoint, config);
        lf_checkpoint_close(checkpoint);
    }
    lf_findings_fini(&findings);
    json_decref(config);
    return 0;
}
