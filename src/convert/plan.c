// SPDX-License-Identifier: Apache-2.0
//
// The plan: every tensor's place in every output file, made from headers before a byte is written. The same source and
// options give the same plan on any machine; that is what resuming relies on. Tensors keep the order of the source
// files, so that reading goes front to back; inside an output file wider elements come first, so that each is aligned.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "convert/convert_int.h"

enum { MAX_HEADER_BYTES = 100000000 }; // of the format

bool lf__is_dequantized(const lf__out_tensor *tensor) { return tensor->tensor->layout != LF_SCALE_NONE; }

static lf_dtype out_dtype(const lf__out_tensor *tensor)
{
    return lf__is_dequantized(tensor) ? LF_DTYPE_BF16 : tensor->tensor->weight->dtype;
}

static int compare_source(const lf__out_tensor *a, const lf__out_tensor *b)
{
    const lf_stored_tensor *x = a->tensor->weight, *y = b->tensor->weight;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    if (x->file_off != y->file_off) return x->file_off < y->file_off ? -1 : 1;
    return strcmp(a->tensor->name, b->tensor->name); // empty tensors share an offset
}

static int by_source(const void *a, const void *b) { return compare_source(a, b); }

static int by_width(const void *a, const void *b)
{
    int x = lf_dtype_bits(out_dtype(a)), y = lf_dtype_bits(out_dtype(b));
    return x != y ? y - x : compare_source(a, b);
}

void lf__put_json_string(lf_buf *out, const char *text)
{
    lf_buf_putc(out, '"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            lf_buf_printf(out, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') lf_buf_putc(out, '\\');
        lf_buf_putc(out, (char)c);
    }
    lf_buf_putc(out, '"');
}

bool lf__plan_header(const lf__plan *plan, const lf__out_shard *shard, lf_buf *out)
{
    lf_buf_clear(out);
    lf_buf_append(out, "\0\0\0\0\0\0\0\0", 8);
    lf_buf_puts(out, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = shard->first; i < shard->first + shard->count; i++) {
        const lf__out_tensor *tensor = &plan->tensors[i];
        int64_t shape[LF_MAX_RANK];
        int rank = lf_logical_shape(tensor->tensor, shape);
        lf_buf_putc(out, ',');
        lf__put_json_string(out, tensor->tensor->name);
        lf_buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", lf_dtype_name(out_dtype(tensor)));
        for (int d = 0; d < rank; d++) lf_buf_printf(out, "%s%" PRId64, d ? "," : "", shape[d]);
        lf_buf_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", tensor->off, tensor->off + tensor->bytes);
    }
    lf_buf_putc(out, '}');
    while (out->length % 8 && !lf_buf_failed(out)) lf_buf_putc(out, ' ');
    if (lf_buf_failed(out)) return false;
    uint64_t length = out->length - 8;
    for (int i = 0; i < 8; i++) out->data[i] = (char)(length >> 8 * i & 0xff);
    return true;
}

static lf_status size_tensor(lf__out_tensor *out, const lf_logical_tensor *tensor, lf_error *err)
{
    *out = (lf__out_tensor){.tensor = tensor, .bytes = tensor->weight->bytes};
    if (!lf__is_dequantized(out)) return LF_OK;
    int64_t shape[LF_MAX_RANK];
    size_t bytes = sizeof(lf_bf16);
    int rank = lf_logical_shape(tensor, shape);
    for (int d = 0; d < rank; d++) {
        if (!lf_mul_size(bytes, (size_t)shape[d], &bytes) || bytes > INT64_MAX)
            return lf_error_set(err, LF_ERR_LIMIT, "'%s' is too large", tensor->name);
    }
    out->bytes = bytes;
    return LF_OK;
}

static lf_status collect(lf__plan *plan, const lf_quant *quant, lf_error *err)
{
    size_t n = lf_quant_count(quant);
    plan->tensors = lf_realloc_array(NULL, LF_MAX(n, 1), sizeof *plan->tensors);
    if (!plan->tensors) return lf_error_no_memory(err, n * sizeof *plan->tensors);
    const char *before = NULL;
    for (size_t i = 0; i < n; i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(quant, i);
        if (tensor->layout == LF_SCALE_BROKEN) {
            lf_error_set(err, LF_ERR_FORMAT, "'%s' is quantized, but has no usable scale", tensor->name);
            return lf_error_subject(err, "%s", tensor->name);
        }
        if (before && strcmp(before, tensor->name) == 0) {
            lf_error_set(err, LF_ERR_FORMAT, "two tensors would be called '%s'", tensor->name);
            return lf_error_subject(err, "%s", tensor->name);
        }
        before = tensor->name;
        lf_status status = size_tensor(&plan->tensors[i], tensor, err);
        if (status) return status;
        plan->totals.n_dequantized += lf__is_dequantized(&plan->tensors[i]);
        if (__builtin_add_overflow(plan->totals.output_bytes, plan->tensors[i].bytes, &plan->totals.output_bytes))
            return lf_error_set(err, LF_ERR_LIMIT, "the tensors are too large together");
    }
    plan->n_tensor = plan->totals.n_tensor = n;
    plan->totals.n_dropped = lf_quant_n_side(quant);
    return LF_OK;
}

// Fills shards in order, as transformers does: a new one is begun when the next tensor would not fit any more.
static lf_status cut(lf__plan *plan, uint64_t shard_bytes, lf_error *err)
{
    size_t capacity = 0;
    uint64_t used = 0;
    for (size_t i = 0; i < plan->n_tensor; i++) {
        lf__out_tensor *tensor = &plan->tensors[i];
        bool is_full = plan->n_shard == 0 || (used > 0 && (used > shard_bytes || tensor->bytes > shard_bytes - used));
        if (is_full && plan->n_shard == LF__MAX_OUT_SHARDS) {
            lf_error_set(err, LF_ERR_USAGE, "more than %d shards", (int)LF__MAX_OUT_SHARDS);
            return lf_error_hint(err, "choose a larger --shard-size");
        }
        if (is_full) {
            if (!lf_array_grow((void **)&plan->shards, &capacity, plan->n_shard + 1, sizeof *plan->shards))
                return lf_error_no_memory(err, 0);
            plan->shards[plan->n_shard++] = (lf__out_shard){.first = i};
            used = 0;
        }
        plan->shards[plan->n_shard - 1].count++;
        used += tensor->bytes;
    }
    return LF_OK;
}

static void name_shards(lf__plan *plan, const char *stem)
{
    unsigned n_shard = (unsigned)plan->n_shard; // at most LF__MAX_OUT_SHARDS
    for (size_t i = 0; i < plan->n_shard; i++) {
        char *name = plan->shards[i].name;
        if (plan->n_shard == 1)
            snprintf(name, LF__SHARD_NAME_BYTES, "%s.safetensors", stem);
        else
            snprintf(name, LF__SHARD_NAME_BYTES, "%s-%05u-of-%05u.safetensors", stem, (unsigned)i + 1, n_shard);
    }
    if (plan->n_shard > 1) snprintf(plan->index_name, LF__SHARD_NAME_BYTES, "%s.safetensors.index.json", stem);
}

static lf_status place(lf__plan *plan, const lf_convert_options *options, lf_error *err)
{
    lf_sha256 hash;
    lf_buf header = LF_BUF_INIT;
    lf_status status = LF_OK;
    lf_sha256_init(&hash);
    const char *rounding = lf__rounding_name(options->rounding);
    lf_sha256_update(&hash, rounding, strlen(rounding) + 1);
    for (size_t i = 0; !status && i < plan->n_shard; i++) {
        lf__out_shard *shard = &plan->shards[i];
        lf__out_tensor *tensors = plan->tensors + shard->first;
        uint64_t off = 0;
        qsort(tensors, shard->count, sizeof *tensors, by_width);
        for (size_t k = 0; k < shard->count; k++) {
            tensors[k].off = off;
            off += tensors[k].bytes;
        }
        if (!lf__plan_header(plan, shard, &header)) {
            status = lf_error_no_memory(err, 0);
        } else if (header.length > MAX_HEADER_BYTES) {
            status =
                lf_error_set(err, LF_ERR_LIMIT, "the header of %s would be larger than the format allows", shard->name);
            lf_error_hint(err, "choose a smaller --shard-size");
        } else {
            shard->header_bytes = header.length;
            shard->file_bytes = header.length + off;
            lf_sha256_update(&hash, shard->name, strlen(shard->name) + 1);
            lf_sha256_update(&hash, header.data, header.length);
        }
    }
    lf_sha256_final_hex(&hash, plan->digest);
    lf_buf_fini(&header);
    return status;
}

lf_status lf__plan_build(lf__plan *plan, const lf_checkpoint *checkpoint, const lf_quant *quant,
                         const lf_convert_options *options, lf_error *err)
{
    *plan = (lf__plan){.totals.source_bytes = lf_checkpoint_bytes(checkpoint)};
    lf_status status = collect(plan, quant, err);
    if (!status) {
        qsort(plan->tensors, plan->n_tensor, sizeof *plan->tensors, by_source);
        status = cut(plan, options->shard_bytes, err);
    }
    if (!status) {
        const char *first = lf_checkpoint_shard(checkpoint, 0)->file_name;
        name_shards(plan, strncmp(first, "consolidated", strlen("consolidated")) == 0 ? "consolidated" : "model");
        status = place(plan, options, err);
    }
    plan->totals.n_shard = plan->n_shard;
    if (status) lf__plan_fini(plan);
    return status;
}

void lf__plan_fini(lf__plan *plan)
{
    free(plan->tensors);
    free(plan->shards);
    *plan = (lf__plan){0};
}
