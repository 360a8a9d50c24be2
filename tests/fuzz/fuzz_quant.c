// SPDX-License-Identifier: Apache-2.0
//
// A config and a shard from anywhere, paired and dequantized: one line of config.json, then the bytes of the shard, or
// '#' and lines that describe it.
// Nothing raw comes out, every scale that is asked for is there, and every element is the product that quant.h defines.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "checkpoint/checkpoint_int.h"
#include "quant/quant.h"

enum { MAX_SIDE = 80, N_RECT = 6, MAX_SCAN = 1 << 14, MAX_TENSOR = 1 << 16, MAX_FILE = 1 << 18 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static char nowhere[] = "/nowhere"; // where hf_quant_config.json is looked for

static void require(int condition)
{
    if (!condition) abort();
}

// A checkpoint of one shard in memory; false when its header is refused.
static bool open_shard(lf_checkpoint *ck, lf__shard *shard, lf_shard *view, const uint8_t *data, size_t length)
{
    *shard = (lf__shard){.file_name = "model.safetensors"};
    *view = (lf_shard){.file_name = "model.safetensors"};
    lf__safetensors_read(shard, data, length);
    *ck = (lf_checkpoint){.dir = nowhere, .shards = shard, .shard_views = view, .n_shard = 1, .count = shard->count};
    ck->tensors = malloc((shard->count + 1) * sizeof *ck->tensors);
    require(ck->tensors != NULL);
    for (size_t i = 0; i < shard->count; i++) {
        ck->tensors[i] = shard->tensors[shard->order[i]];
        ck->bytes += ck->tensors[i].bytes;
    }
    return !shard->is_refused;
}

// Lines "NAME DTYPE DIMENSION..." as the bytes of a shard with pseudo-random data: a fuzzer gets past the container's
// rules with these. Lines that say something else are left out.
static uint8_t *build_shard(const uint8_t *data, size_t length, size_t *out_length)
{
    char *text = strndup((const char *)data, length), *rest = NULL;
    lf_buf header = LF_BUF_INIT, file = LF_BUF_INIT;
    size_t n_byte = 0;
    require(text != NULL);
    lf_buf_puts(&header, "{\"__metadata__\":{}");
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[129], dtype_name[16];
        long long shape[4];
        lf_dtype dtype;
        int n = sscanf(line, "%128[A-Za-z0-9._] %15s %5lld %5lld %5lld %5lld", name, dtype_name, &shape[0], &shape[1],
                       &shape[2], &shape[3]);
        if (n < 2 || !lf_dtype_from_name(dtype_name, strlen(dtype_name), &dtype)) continue;
        size_t bytes = (size_t)lf_dtype_bits(dtype) / 8;
        bool is_small = true;
        for (int i = 0; i + 2 < n; i++) {
            is_small &= shape[i] >= 0 && shape[i] * (long long)bytes <= MAX_TENSOR;
            bytes *= is_small ? (size_t)shape[i] : 0;
        }
        if (!is_small || n_byte + bytes > MAX_FILE) continue;
        lf_buf_printf(&header, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, dtype_name);
        for (int i = 0; i + 2 < n; i++) lf_buf_printf(&header, i ? ",%lld" : "%lld", shape[i]);
        lf_buf_printf(&header, "],\"data_offsets\":[%zu,%zu]}", n_byte, n_byte + bytes);
        n_byte += bytes;
    }
    lf_buf_putc(&header, '}');
    for (int i = 0; i < 8; i++) lf_buf_putc(&file, (char)(header.length >> 8 * i));
    lf_buf_append(&file, header.data, header.length);
    uint64_t random = n_byte;
    for (size_t i = 0; i < n_byte; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        lf_buf_putc(&file, (char)(random >> 56));
    }
    *out_length = file.length;
    lf_buf_fini(&header);
    free(text);
    return (uint8_t *)lf_buf_take(&file);
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
    if (lf_checkpoint_bytes(checkpoint) <= MAX_SCAN)
        require(lf_quant_scan(quant, NULL, NULL, &findings, &err) == LF_OK);
    lf_quant_close(quant);
    lf_findings_fini(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    json_t *config;
    lf_checkpoint checkpoint;
    lf__shard shard;
    lf_shard view;
    lf_error err;
    const uint8_t *end = memchr(data, '\n', length);
    if (!end || lf_json_parse(&config, (const char *)data, (size_t)(end - data), "config.json", &err)) return 0;
    const uint8_t *bytes = end + 1;
    size_t n_byte = length - (size_t)(bytes - data);
    uint8_t *built = n_byte && *bytes == '#' ? build_shard(bytes + 1, n_byte - 1, &n_byte) : NULL;
    if (open_shard(&checkpoint, &shard, &view, built ? built : bytes, n_byte)) check_quant(&checkpoint, config);
    free(checkpoint.tensors);
    lf__shard_fini(&shard);
    json_decref(config);
    free(built);
    return 0;
}
