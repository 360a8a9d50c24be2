// SPDX-License-Identifier: Apache-2.0
//
// Which of the scale layouts a weight and its scale have, from their shapes and dtypes and the block sizes of
// config.json. Every reading that a published format allows is tried: none that fits is an error, and so are two that
// would give an element different scales. A block size is never derived from the shapes: DeepSeek's own
// kv_a_proj_with_mqa has 576 rows and 5 rows of scales. Rules: the catalog's sections 1, 4, 5.13 and 9.
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

typedef struct reading {
    lf_scale_layout layout;
    int64_t chunk_rows, block_rows, block_cols;
} reading;

typedef struct choice {
    const lf__quant_config *config;
    const lf_stored_tensor *weight, *scale;
    bool is_fp4;
    int64_t n_row, n_col;  // of the matrix form, in values
    int64_t rows_per_item; // rows of one expert; n_row when the weight is a matrix
    int64_t scale_shape[LF_MAX_RANK];
    int scale_rank;
    reading first, second; // two that disagree; n_reading says how many there are
    int n_reading;
} choice;

// Two readings that give every element the same scale have the same canonical form.
static reading canonical(const choice *c, reading r)
{
    r.block_rows = LF_MIN(r.block_rows, r.chunk_rows);
    if (r.chunk_rows % r.block_rows == 0) r.chunk_rows = LF_MAX(c->n_row, 1);
    r.block_cols = LF_MIN(r.block_cols, LF_MAX(c->n_col, 1));
    return r;
}

static void add_reading(choice *c, lf_scale_layout layout, int64_t chunk_rows, int64_t block_rows, int64_t block_cols)
{
    reading r = {layout, LF_MAX(chunk_rows, 1), LF_MAX(block_rows, 1), LF_MAX(block_cols, 1)};
    if (c->n_reading == 0) {
        c->first = r;
        c->n_reading = 1;
        return;
    }
    reading a = canonical(c, c->first), b = canonical(c, r);
    bool same = a.chunk_rows == b.chunk_rows && a.block_rows == b.block_rows && a.block_cols == b.block_cols;
    if (same || c->n_reading == 2) return;
    c->second = r;
    c->n_reading = 2;
}

// Whether the scale's shape is [n_leading..., rows, cols], where a weight of rank 3 has its experts in front.
static bool scale_is(const choice *c, int64_t rows, int64_t cols)
{
    int lead = c->weight->rank - 2;
    if (c->scale_rank != c->weight->rank || lead < 0 || lead > 1) return false;
    if (lead == 1 && c->scale_shape[0] != c->weight->shape[0]) return false;
    return c->scale_shape[lead] == rows && c->scale_shape[lead + 1] == cols;
}

static void try_block(choice *c, lf__block block)
{
    bool is_group = block.rows == 1 && block.cols > 1;
    if (is_group && c->n_col % block.cols) return; // groups are whole
    if (!scale_is(c, lf_ceil_div(c->rows_per_item, block.rows), lf_ceil_div(c->n_col, block.cols))) return;
    add_reading(c, is_group ? LF_SCALE_GROUP : LF_SCALE_BLOCK, c->rows_per_item, block.rows, block.cols);
}

static bool is_fused_qkv(const lf_stored_tensor *weight) { return strstr(weight->name, "qkv_proj") != NULL; }

// A fused QKV whose rows were cut for tensor parallelism before each part was padded to whole blocks (MiMo-V2). It may
// be so when the number of parts is a count of key-value heads, and the rows of scales exclude the ordinary reading; in
// a MiMo-V2 model they need not exclude it, because there the ordinary reading is the odd one.
static void try_chunks(choice *c, lf__block block)
{
    if (c->weight->rank != 2 || !is_fused_qkv(c->weight)) return;
    if (scale_is(c, lf_ceil_div(c->n_row, block.rows), lf_ceil_div(c->n_col, block.cols)) && !c->config->is_mimo)
        return;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(c->config->kv_heads); i++) {
        int64_t n = c->config->kv_heads[i];
        if (n < 2 || c->n_row % n || c->n_row == 0) continue;
        int64_t rows = c->n_row / n;
        if (!scale_is(c, n * lf_ceil_div(rows, block.rows), lf_ceil_div(c->n_col, block.cols))) continue;
        add_reading(c, LF_SCALE_BLOCK, rows, block.rows, block.cols);
    }
}

static uint64_t count_of(const lf_stored_tensor *tensor)
{
    return tensor->bytes * 8 / (uint64_t)lf_dtype_bits(tensor->dtype);
}

static void try_one_value(choice *c)
{
    if (count_of(c->scale) == 1) {
        add_reading(c, LF_SCALE_TENSOR, c->n_row, c->n_row, c->n_col);
        return;
    }
    if (c->weight->rank != 3 || c->scale_rank < 1 || c->scale_shape[0] != c->weight->shape[0]) return;
    for (int i = 1; i < c->scale_rank; i++) {
        if (c->scale_shape[i] != 1) return;
    }
    if (c->scale_rank <= 3) add_reading(c, LF_SCALE_TENSOR, c->rows_per_item, c->rows_per_item, c->n_col);
}

// One scale for each output channel: rows of a matrix; of fused experts the rows when they are stored [out, in], the
// columns when they are stored [in, out]. The latter are written [E, 1, C] or, by transformers' fbgemm, [E, C, 1].
static void try_channel(choice *c)
{
    bool is_vector = c->weight->rank == 2 && c->scale_rank == 1 && c->scale_shape[0] == c->n_row;
    if (c->config->n_block && !c->config->has_channel) return;
    if (is_vector || scale_is(c, c->rows_per_item, 1)) add_reading(c, LF_SCALE_CHANNEL, c->n_row, 1, c->n_col);
    if (c->weight->rank != 3) return;
    if (scale_is(c, 1, c->n_col) || scale_is(c, c->n_col, 1))
        add_reading(c, LF_SCALE_CHANNEL, c->rows_per_item, c->rows_per_item, 1);
}

static void normalize_scale_shape(choice *c)
{
    const lf_stored_tensor *scale = c->scale;
    c->scale_rank = scale->rank;
    memcpy(c->scale_shape, scale->shape, sizeof scale->shape);
    if (scale->rank != 4 || scale->shape[1] != 1 || scale->shape[3] != 1 || c->weight->rank != 2) return;
    c->scale_rank = 2; // [a, 1, b, 1] counts as [a, b] (ModelOpt)
    c->scale_shape[1] = scale->shape[2];
}

static void try_all(choice *c)
{
    bool is_mx = c->scale->dtype == LF_DTYPE_F8_E8M0 || c->scale->dtype == LF_DTYPE_U8;
    bool is_mx_only = c->is_fp4 || c->scale->dtype == LF_DTYPE_U8;
    if (is_mx) try_block(c, (lf__block){1, LF_MX_GROUP});
    if (is_mx_only) return;
    for (size_t i = 0; i < c->config->n_block; i++) {
        try_block(c, c->config->blocks[i]);
        try_chunks(c, c->config->blocks[i]);
    }
    try_one_value(c);
    try_channel(c);
}

static void add(lf_findings *findings, const char *code, const lf_stored_tensor *tensor, const char *expected,
                const char *found, const char *remedy, const char *message)
{
    lf_finding_args args = {.code = code,
                            .severity = LF_SEVERITY_ERROR,
                            .subject = tensor->name,
                            .expected = expected,
                            .found = found,
                            .remedy = remedy};
    lf_findings_add(findings, &args, "%s '%s'", message, tensor->name);
}

void lf__layout_expected(const lf__quant_config *config, const lf_stored_tensor *weight, char *dst, size_t dst_bytes)
{
    long long rows = weight->rank > 1 ? weight->shape[weight->rank - 2] : 1;
    long long cols = weight->rank ? weight->shape[weight->rank - 1] : 1;
    char lead[32] = "";
    if (weight->rank == 3) snprintf(lead, sizeof lead, "%lld, ", (long long)weight->shape[0]);
    if (weight->dtype == LF_DTYPE_I8 || weight->dtype == LF_DTYPE_U8) {
        snprintf(dst, dst_bytes, "[%lld, %lld] F8_E8M0, one scale for %d values of packed FP4", rows,
                 cols / (LF_MX_GROUP / 2), LF_MX_GROUP);
    } else if ((weight->rank == 2 || weight->rank == 3) && config->n_block) {
        lf__block block = config->blocks[0];
        snprintf(dst, dst_bytes, "[%s%lld, %lld] for [%s%lld, %lld] in blocks of %lldx%lld", lead,
                 (long long)lf_ceil_div(rows, block.rows), (long long)lf_ceil_div(cols, block.cols), lead, rows, cols,
                 (long long)block.rows, (long long)block.cols);
    } else if (weight->rank == 3) {
        snprintf(dst, dst_bytes, "one value, [%s1, 1], [%s%lld, 1] or [%s1, %lld]", lead, lead, rows, lead, cols);
    } else if (weight->rank == 2) {
        snprintf(dst, dst_bytes, "one value, or one for each of the %lld rows", rows);
    } else {
        snprintf(dst, dst_bytes, "one value");
    }
}

static void describe_reading(char *dst, size_t dst_bytes, const choice *c, reading r)
{
    snprintf(dst, dst_bytes, "%s %lldx%lld in chunks of %lld rows", lf_scale_layout_name(r.layout),
             (long long)LF_MIN(r.block_rows, r.chunk_rows), (long long)LF_MIN(r.block_cols, c->n_col),
             (long long)r.chunk_rows);
}

static void report_ambiguous(const choice *c, lf_findings *findings)
{
    char shape[128], first[80], second[80], found[320];
    lf_stored_tensor_format(c->scale, shape, sizeof shape);
    describe_reading(first, sizeof first, c, c->first);
    describe_reading(second, sizeof second, c, c->second);
    snprintf(found, sizeof found, "%s fits %s and %s", shape, first, second);
    add(findings, "layout-ambiguous", c->scale, "a shape that fits one layout only", found,
        "leave in quantization_config only the block size and strategy that this weight was quantized with",
        "two layouts fit the shape of scale");
}

static void format_kv_heads(char *dst, size_t dst_bytes, const lf__quant_config *config)
{
    long long heads = config->kv_heads[0], swa_heads = config->kv_heads[1];
    if (heads == 0 && swa_heads == 0)
        snprintf(dst, dst_bytes, "num_key_value_heads in config.json: the number of chunks");
    else if (swa_heads == 0)
        snprintf(dst, dst_bytes, "as many chunks as key-value heads: %lld", heads);
    else
        snprintf(dst, dst_bytes, "as many chunks as key-value heads: %lld, or %lld", heads, swa_heads);
}

// Whether the scale could belong to chunks of a fused QKV, but not as many as the config has key-value heads.
static bool report_chunks(const choice *c, lf_findings *findings)
{
    if (c->weight->rank != 2 || c->scale_rank != 2 || !is_fused_qkv(c->weight) || c->is_fp4) return false;
    for (size_t i = 0; i < c->config->n_block; i++) {
        lf__block block = c->config->blocks[i];
        if (c->scale_shape[1] != lf_ceil_div(c->n_col, block.cols)) continue;
        for (int64_t n = 2; n <= 1024 && n <= c->n_row; n++) {
            if (c->n_row % n || n * lf_ceil_div(c->n_row / n, block.rows) != c->scale_shape[0]) continue;
            char expected[128], found[192], shape[128];
            format_kv_heads(expected, sizeof expected, c->config);
            lf_stored_tensor_format(c->scale, shape, sizeof shape);
            snprintf(found, sizeof found, "%s, which %lld chunks would have", shape, (long long)n);
            add(findings, "qkv-chunks", c->scale, expected, found,
                "take config.json from the original checkpoint: the number of chunks is never guessed",
                "the fused QKV is cut into another number of chunks than there are key-value heads, by its scale");
            return true;
        }
    }
    return false;
}

// Whether n rows (or columns) make `count` blocks of any one size.
static bool could_be_blocks(int64_t n, int64_t count)
{
    return count >= 1 && count <= n && lf_ceil_div(n, lf_ceil_div(n, count)) == count;
}

static void report_misfit(const choice *c, lf_findings *findings)
{
    char expected[192], found[160];
    bool is_mx = c->scale->dtype == LF_DTYPE_F8_E8M0 || c->scale->dtype == LF_DTYPE_U8;
    int last = c->scale_rank - 1;
    lf_stored_tensor_format(c->scale, found, sizeof found);
    bool is_per_row = last > 0 && c->scale_rank == c->weight->rank && c->scale_shape[last - 1] == c->rows_per_item;
    if (is_mx && is_per_row && c->scale_shape[last] > 1) {
        snprintf(expected, sizeof expected, "%lld scales for a row of %lld values, groups of %d",
                 (long long)(c->n_col / LF_MX_GROUP), (long long)c->n_col, LF_MX_GROUP);
        add(findings, "group-size", c->scale, expected, found,
            "no published format has groups of another size: get the original checkpoint",
            "the groups are not of 32 values:");
        return;
    }
    if (report_chunks(c, findings)) return;
    bool has_blocks = last > 0 && could_be_blocks(c->rows_per_item, c->scale_shape[last - 1]) &&
                      could_be_blocks(c->n_col, c->scale_shape[last]);
    if (c->weight->rank == c->scale_rank && has_blocks && c->config->n_block == 0 && !is_mx) {
        add(findings, "block-size-missing", c->weight, "weight_block_size in quantization_config of config.json", found,
            "take config.json from the original checkpoint: the block size is never guessed",
            "no block size for the scale of");
        return;
    }
    lf__layout_expected(c->config, c->weight, expected, sizeof expected);
    add(findings, "scale-shape", c->scale, expected, found,
        "the scale or the block size in config.json is of another model", "the shape does not fit the weight of scale");
}

static bool check_dtype(const choice *c, lf_findings *findings)
{
    static const lf_dtype accepted[] = {LF_DTYPE_F32, LF_DTYPE_BF16, LF_DTYPE_F16, LF_DTYPE_F8_E8M0};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(accepted); i++) {
        if (c->scale->dtype == accepted[i] && (!c->is_fp4 || accepted[i] == LF_DTYPE_F8_E8M0)) return true;
    }
    if (c->scale->dtype == LF_DTYPE_U8 && c->config->has_e8m0_bytes && !c->is_fp4) return true;
    add(findings, "scale-dtype", c->scale, c->is_fp4 ? "F8_E8M0" : "F32, BF16, F16 or F8_E8M0",
        lf_dtype_name(c->scale->dtype),
        c->scale->dtype == LF_DTYPE_U8
            ? "take config.json from the original checkpoint: bytes are scales only where it says MXFP8"
            : "write the scales as float32: an integer is never read as a scale",
        "wrong dtype of scale");
    return false;
}

bool lf__layout_choose(const lf__quant_config *config, const lf_stored_tensor *weight, const lf_stored_tensor *scale,
                       lf_findings *findings, lf_logical_tensor *out)
{
    choice c = {.config = config, .weight = weight, .scale = scale, .is_fp4 = weight->dtype == LF_DTYPE_I8};
    lf_logical_tensor probe = {.weight = weight, .layout = c.is_fp4 ? LF_SCALE_GROUP : LF_SCALE_NONE};
    lf_logical_matrix_shape(&probe, &c.n_row, &c.n_col);
    c.rows_per_item = weight->rank == 3 ? weight->shape[1] : c.n_row;
    if (!check_dtype(&c, findings)) return false;
    normalize_scale_shape(&c);
    try_all(&c);
    if (c.n_reading == 1) {
        out->layout = c.first.layout;
        out->chunk_rows = c.first.chunk_rows;
        out->block_rows = c.first.block_rows;
        out->block_cols = c.first.block_cols;
        return true;
    }
    if (c.n_reading == 2)
        report_ambiguous(&c, findings);
    else
        report_misfit(&c, findings);
    return false;
}
