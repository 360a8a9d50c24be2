// SPDX-License-Identifier: Apache-2.0
//
// Checkpoints for the tests of this module, and the plain reading that the result is held against: one element at a
// time, scales looked up by division.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests.h"

const char block_config[] = "{\"architectures\":[\"NobodysForCausalLM\"],\"torch_dtype\":\"float16\",\"eps\":1e-06,"
                            "\"quantization_config\":{\"quant_method\":\"fp8\",\"weight_block_size\":[128,128]},"
                            "\"last\":[1,{\"dtype\":\"x\"}]}";

static uint8_t random_byte(maker *m)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(m->random >> 33);
}

void add_tensor(maker *m, int shard, const char *name, const char *dtype, const void *bytes, const int64_t *shape)
{
    lf_dtype parsed;
    assert_true(lf_dtype_from_name(dtype, strlen(dtype), &parsed));
    lf_buf *header = &m->header[shard], *data = &m->data[shard];
    size_t n = (size_t)lf_dtype_bits(parsed) / 8, begin = data->length;
    lf_buf_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", header->length ? "," : "", name, dtype);
    for (size_t i = 0; shape[i] >= 0; i++) {
        lf_buf_printf(header, "%s%lld", i ? "," : "", (long long)shape[i]);
        n *= (size_t)shape[i];
    }
    lf_buf_printf(header, "],\"data_offsets\":[%zu,%zu]}", begin, begin + n);
    lf_buf_printf(&m->weight_map, "%s\"%s\":\"model-%05d-of-00002.safetensors\"", m->weight_map.length ? "," : "", name,
                  shard + 1);
    m->total += n;
    if (bytes) {
        lf_buf_append(data, bytes, n);
        return;
    }
    // Positive floats below 1 in any width: the sign and the top exponent bits stay clear.
    for (size_t i = 0; i < n; i++) lf_buf_putc(data, (char)(1 + random_byte(m) % 0x37));
}

void write_text(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(text, 1, strlen(text), stream), strlen(text));
    assert_int_equal(fclose(stream), 0);
}

void write_model(maker *m, const char *dir, const char *config)
{
    (void)mkdir(dir, 0777);
    for (int shard = 0; shard < 2; shard++) {
        char path[512];
        size_t length = m->header[shard].length + 2;
        snprintf(path, sizeof path, "%s/model-%05d-of-00002.safetensors", dir, shard + 1);
        FILE *stream = fopen(path, "wb");
        assert_non_null(stream);
        for (int i = 0; i < 8; i++) fputc((int)(length >> 8 * i & 0xff), stream);
        fprintf(stream, "{%s}", lf_buf_text(&m->header[shard]));
        if (m->data[shard].length) fwrite(m->data[shard].data, 1, m->data[shard].length, stream);
        assert_int_equal(fclose(stream), 0);
        lf_buf_fini(&m->header[shard]);
        lf_buf_fini(&m->data[shard]);
    }
    lf_buf index = LF_BUF_INIT;
    lf_buf_printf(&index, "{\"metadata\":{\"total_size\":%llu,\"maker\":\"test\"},\"weight_map\":{%s}}",
                  (unsigned long long)m->total, lf_buf_text(&m->weight_map));
    write_text(dir, "model.safetensors.index.json", lf_buf_text(&index));
    lf_buf_fini(&index);
    lf_buf_fini(&m->weight_map);
    write_text(dir, "config.json", config);
    write_text(dir, "tokenizer.json", "{\"a tokenizer\": 1}\n");
}

void write_mixed_model(const char *dir, uint64_t seed)
{
    maker m = {.random = seed};
    const float half = 0.5f, small = 0.003f;
    ADD(&m, 0, "a.weight", "F8_E4M3", 300, 200); // partial blocks on both sides; the scale is in the other shard
    ADD(&m, 1, "a.weight_scale_inv", "F32", 3, 2);
    ADD(&m, 0, "b.weight", "F8_E4M3", 2, 140000); // rows longer than a chunk
    ADD(&m, 0, "b.weight_scale_inv", "BF16", 1, 1094);
    ADD(&m, 0, "norm.weight", "BF16", 301);
    ADD(&m, 0, "bias", "F32", 7);
    ADD(&m, 0, "half", "F16", 5, 3);
    ADD(&m, 1, "c.weight", "F8_E4M3", 1000, 150);
    ADD(&m, 1, "c.weight_scale_inv", "F32", 8, 2);
    add_tensor(&m, 1, "c.input_scale", "F32", &half, (const int64_t[]){-1});
    add_tensor(&m, 1, "attn.k_proj.k_scale", "F32", &half, (const int64_t[]){1, -1});
    ADD(&m, 1, "layers.61.mtp.weight", "F8_E4M3", 64, 64); // what no table knows
    add_tensor(&m, 1, "layers.61.mtp.weight_scale_inv", "F32", &small, (const int64_t[]){1, 1, -1});
    ADD(&m, 1, "experts.w1.weight", "I8", 64, 48); // FP4, two in a byte
    ADD(&m, 1, "experts.w1.scale", "F8_E8M0", 64, 3);
    ADD(&m, 1, "table", "I64", 11);
    ADD(&m, 1, "mask", "BOOL", 13);
    ADD(&m, 1, "empty", "BF16", 0, 4);
    ADD(&m, 1, "gr\\u00fc\\u00dfe \\\" \\\\", "F32", 2);
    write_model(&m, dir, block_config);
}

void folder_make(folder *f)
{
    const char *parent = getenv("TMPDIR");
    snprintf(f->path, sizeof f->path, "%s/landfall-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(f->path));
    snprintf(f->model, sizeof f->model, "%s/model", f->path);
    snprintf(f->out, sizeof f->out, "%s/out", f->path);
}

void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        unlink(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        char child[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        struct stat info;
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode))
            remove_tree(child);
        else
            unlink(child);
    }
    closedir(dir);
    rmdir(path);
}

void folder_remove(folder *f) { remove_tree(f->path); }

char *read_bytes(const char *dir, const char *name, size_t *length)
{
    char path[512], *bytes;
    lf_error err = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return lf_file_read(&bytes, length, path, (size_t)1 << 30, &err) ? NULL : bytes;
}

bool exists(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

lf_convert_options plain_options(void) { return (lf_convert_options){.shard_bytes = 305000, .sync = false}; }

lf_status convert_once(const folder *f, const lf_convert_options *options, lf_convert_result *result, lf_error *err)
{
    lf_convert *convert = NULL;
    lf_findings findings = LF_FINDINGS_INIT;
    lf_status status = lf_convert_open(&convert, f->model, options, &findings, err);
    if (!status) status = lf_convert_run(convert, f->out, result, err);
    lf_convert_close(convert);
    lf_findings_fini(&findings);
    return status;
}

void convert_well(const folder *f, const lf_convert_options *options, lf_convert_result *result)
{
    lf_error err = {0};
    if (convert_once(f, options, result, &err)) fail_msg("%s (%s, %s)", err.message, err.expected, err.found);
}

static float scale_at(const lf_stored_tensor *scale, int64_t i)
{
    float value;
    uint16_t half;
    switch (scale->dtype) {
    case LF_DTYPE_F32: memcpy(&value, scale->data + 4 * i, 4); return value;
    case LF_DTYPE_F8_E8M0: return lf_fp8_to_f32(LF_DTYPE_F8_E8M0, scale->data[i]);
    default: break;
    }
    assert_int_equal(scale->dtype, LF_DTYPE_BF16);
    memcpy(&half, scale->data + 2 * i, 2);
    return lf_bf16_to_f32(half);
}

static float value_at(const lf_logical_tensor *t, int64_t i)
{
    static const float fp4[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    if (lf_dtype_is_fp8(t->weight->dtype)) return lf_fp8_to_f32(t->weight->dtype, t->weight->data[i]);
    int code = t->weight->data[i / 2] >> (i % 2 ? 4 : 0) & 15;
    return code & 8 ? -fp4[code & 7] : fp4[code];
}

static lf_bf16 expected_element(const lf_logical_tensor *t, int64_t row, int64_t col, int64_t n_col,
                                lf_dequant_rounding rounding)
{
    int64_t per_chunk = (t->chunk_rows + t->block_rows - 1) / t->block_rows;
    int64_t scale_row = row / t->chunk_rows * per_chunk + row % t->chunk_rows / t->block_rows;
    int64_t scale_cols = (n_col + t->block_cols - 1) / t->block_cols;
    float scale = scale_at(t->scale, scale_row * scale_cols + col / t->block_cols);
    if (rounding == LF_DEQUANT_BF16_SCALE) scale = lf_bf16_to_f32(lf_bf16_from_f32(scale));
    return lf_bf16_from_f32(value_at(t, row * n_col + col) * scale);
}

static void assert_dequantized(const lf_logical_tensor *t, const lf_stored_tensor *made, lf_dequant_rounding rounding)
{
    int64_t shape[LF_MAX_RANK], n_row = 1;
    int rank = t->weight->rank;
    for (int i = 0; i < rank; i++) shape[i] = t->weight->shape[i];
    if (t->weight->dtype == LF_DTYPE_I8) shape[rank - 1] *= 2;
    assert_int_equal(made->dtype, LF_DTYPE_BF16);
    assert_int_equal(made->rank, rank);
    for (int i = 0; i < rank; i++) assert_int_equal(made->shape[i], shape[i]);
    for (int i = 0; i + 1 < rank; i++) n_row *= shape[i];
    for (int64_t row = 0; row < n_row; row++) {
        for (int64_t col = 0; col < shape[rank - 1]; col++) {
            lf_bf16 expected = expected_element(t, row, col, shape[rank - 1], rounding), found;
            memcpy(&found, made->data + 2 * (row * shape[rank - 1] + col), 2);
            if (found != expected) fail_msg("%s [%lld, %lld]", t->name, (long long)row, (long long)col);
        }
    }
}

static void assert_tensor(const lf_logical_tensor *t, const lf_stored_tensor *made, lf_dequant_rounding rounding)
{
    if (t->layout != LF_SCALE_NONE) {
        assert_dequantized(t, made, rounding);
        return;
    }
    assert_int_equal(made->dtype, t->weight->dtype);
    assert_int_equal(made->rank, t->weight->rank);
    for (int i = 0; i < made->rank; i++) assert_int_equal(made->shape[i], t->weight->shape[i]);
    assert_int_equal(made->bytes, t->weight->bytes);
    if (made->bytes) assert_memory_equal(made->data, t->weight->data, made->bytes);
}

static void assert_no_leftovers(const char *dir)
{
    DIR *stream = opendir(dir);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strstr(entry->d_name, "partial") || strstr(entry->d_name, ".tmp")) fail_msg("%s is left", entry->d_name);
    }
    closedir(stream);
}

static json_t *load_json(const char *dir, const char *name)
{
    size_t length;
    char *text = read_bytes(dir, name, &length);
    if (!text) fail_msg("no %s", name);
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    free(text);
    return root;
}

static void assert_digests(const char *dir, const json_t *manifest, const char *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(manifest, list), i, item)
    {
        size_t length;
        char hex[LF_SHA256_HEX_BYTES],
            *bytes = read_bytes(dir, json_string_value(json_object_get(item, "name")), &length);
        assert_non_null(bytes);
        assert_int_equal(json_integer_value(json_object_get(item, "bytes")), length);
        lf_sha256 hash;
        lf_sha256_init(&hash);
        lf_sha256_update(&hash, bytes, length);
        lf_sha256_final_hex(&hash, hex);
        const char *digest = json_string_value(json_object_get(item, "sha256"));
        if (digest) assert_string_equal(digest, hex);
        free(bytes);
    }
}

void assert_converted(const folder *f, const lf_convert_options *options)
{
    lf_error err = {0};
    lf_findings findings = LF_FINDINGS_INIT;
    lf_checkpoint *source = NULL, *made = NULL;
    lf_quant *quant = NULL;
    json_t *config = load_json(f->model, "config.json"), *manifest = load_json(f->out, LF_CONVERT_MANIFEST);
    assert_int_equal(lf_checkpoint_open(&source, f->model, &findings, &err), LF_OK);
    assert_int_equal(lf_quant_open(&quant, source, config, &findings, &err), LF_OK);
    assert_int_equal(lf_checkpoint_open(&made, f->out, &findings, &err), LF_OK);
    for (size_t i = 0; i < findings.count; i++) {
        if (findings.items[i].severity != LF_SEVERITY_NOTE) fail_msg("%s", findings.items[i].message);
    }
    assert_int_equal(lf_checkpoint_count(made), lf_quant_count(quant));
    for (size_t i = 0; i < lf_quant_count(quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
        const lf_stored_tensor *found = lf_checkpoint_find(made, tensor->name);
        if (!found)
            fail_msg("no %s", tensor->name);
        else
            assert_tensor(tensor, found, options->rounding);
    }
    assert_string_equal(json_string_value(json_object_get(manifest, "state")), "complete");
    assert_int_equal(json_array_size(json_object_get(manifest, "shards")), lf_checkpoint_n_shard(made));
    assert_int_equal(json_array_size(json_object_get(manifest, "dropped")), lf_quant_n_side(quant));
    assert_digests(f->out, manifest, "shards");
    assert_digests(f->out, manifest, "files");
    assert_no_leftovers(f->out);
    assert_true(exists(f->out, "tokenizer.json"));
    json_decref(config);
    json_decref(manifest);
    lf_quant_close(quant);
    lf_checkpoint_close(source);
    lf_checkpoint_close(made);
    lf_findings_fini(&findings);
}

static size_t count_files(const char *dir)
{
    size_t n = 0;
    DIR *stream = opendir(dir);
    if (!stream) return 0;
    while (readdir(stream)) n++;
    closedir(stream);
    return n;
}

bool same_folder(const char *a, const char *b)
{
    DIR *stream = opendir(a);
    bool is_same = stream && count_files(a) == count_files(b);
    for (struct dirent *entry; is_same && (entry = readdir(stream));) {
        size_t n, m;
        if (entry->d_name[0] == '.') continue;
        char *x = read_bytes(a, entry->d_name, &n), *y = read_bytes(b, entry->d_name, &m);
        is_same = x && y && n == m && memcmp(x, y, n) == 0;
        free(x);
        free(y);
    }
    if (stream) closedir(stream);
    return is_same;
}
