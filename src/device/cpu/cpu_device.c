// SPDX-License-Identifier: Apache-2.0
//
// The CPU device: opening (kernels chosen, scratch mapped), memory, and the table of operators. Operators have finished
// when they return, so reading and writing are plain copies and synchronize has nothing to wait for.
#include "device/cpu/cpu_int.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/par.h"

static void describe(const lf_device *device, lf_device_caps *out)
{
    const lf_cpu_device *cpu = (const lf_cpu_device *)(const void *)device;
    *out = (lf_device_caps){
        .name = "cpu",
        .graph_reason = "the cpu backend starts an operator with a function call: a replay would save nothing",
        .memory_bytes = cpu->memory_bytes,
    };
    memcpy(out->description, cpu->description, sizeof out->description);
}

static void close_device(lf_device *device)
{
    lf_cpu_device *cpu = lf__cpu(device);
    if (!cpu) return;
    lf__pages_unmap(&cpu->threads_pages);
    lf__pages_unmap(&cpu->tiles_pages);
    lf__pages_unmap(&cpu->parts_pages);
    lf__pages_unmap(&cpu->rows_pages);
    lf__pages_unmap(&cpu->x_pages);
    free(cpu);
}

// A block's own lf_pages stands one cache line before its address.
static lf_status alloc_block(lf_device *device, size_t bytes, lf_dptr *out, lf_error *err)
{
    static_assert(sizeof(lf_pages) <= LF_CACHE_LINE_BYTES, "the head of a block is one cache line");
    size_t with_head;
    if (!lf_add_size(bytes, LF_CACHE_LINE_BYTES, &with_head)) return lf_error_no_memory(err, bytes);
    lf_pages pages = {0};
    lf_status rc = lf__pages_map(&pages, with_head, err);
    if (rc) return rc;
    memcpy(pages.address, &pages, sizeof pages);
    out->address = (char *)pages.address + LF_CACHE_LINE_BYTES;
    return LF_OK;
}

static void free_block(lf_device *device, lf_dptr p)
{
    if (lf_dptr_is_null(p)) return;
    lf_pages pages;
    memcpy(&pages, (char *)p.address - LF_CACHE_LINE_BYTES, sizeof pages);
    lf__pages_unmap(&pages);
}

static lf_status write_block(lf_device *device, lf_dptr dst, const void *src, size_t bytes, lf_error *err)
{
    if (bytes) memcpy(dst.address, src, bytes);
    return LF_OK;
}

static lf_status read_block(lf_device *device, void *dst, lf_dptr src, size_t bytes, lf_error *err)
{
    if (bytes) memcpy(dst, src.address, bytes);
    return LF_OK;
}

static lf_status synchronize(lf_device *device, lf_error *err) { return LF_OK; }

static const struct lf_device_ops operators = {
    .describe = describe,
    .close = close_device,
    .alloc = alloc_block,
    .free = free_block,
    .write = write_block,
    .read = read_block,
    .synchronize = synchronize,
    .weight_create = lf__cpu_weight_create,
    .weight_free = lf__cpu_weight_free,
    .weight_fill = lf__cpu_weight_fill,
    .weight_bytes = lf__cpu_weight_bytes,
    .linear = lf__cpu_linear,
    .rms_norm = lf__cpu_rms_norm,
    .rope = lf__cpu_rope,
    .kv_store = lf__cpu_kv_store,
    .attention = lf__cpu_attention,
    .head_product = lf__cpu_head_product,
    .silu_mul = lf__cpu_silu_mul,
    .embed = lf__cpu_embed,
    .gather = lf__cpu_gather,
    .all_reduce = lf__cpu_all_reduce,
    .join = lf__cpu_join,
    .square_sums = lf__cpu_square_sums,
    .scale_norm = lf__cpu_scale_norm,
    .route = lf__cpu_route,
    .experts = lf__cpu_experts,
    .experts_scratch = lf__cpu_experts_scratch,
    .logprobs = lf__cpu_logprobs,
    .edit_logits = lf__cpu_edit_logits,
    .sample = lf__cpu_sample,
};

static void processor_name(char *out, size_t bytes)
{
    snprintf(out, bytes, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value || value[1] == '\0') continue;
        value[strcspn(value, "\n")] = '\0';
        snprintf(out, bytes, "%s", value + 2);
        break;
    }
    fclose(file);
}

static lf_status map_scratch(lf_cpu_device *cpu, lf_error *err)
{
    // Room for the partial results of split attention: a bound, not a need; without room attention is not split. The
    // router does with it in rounds of as many tokens as fit.
    enum { PART_BYTES_PER_THREAD = 4 << 20 };
    size_t n_thread = (size_t)cpu->n_thread, tiles_bytes;
    if (!lf_mul_size(cpu->options.max_n_tok, sizeof(lf_attention_tile), &tiles_bytes))
        return lf_error_no_memory(err, 0);
    lf_status rc = lf__pages_map(&cpu->threads_pages, n_thread * sizeof(lf_thread_scratch), err);
    if (!rc) rc = lf__pages_map(&cpu->tiles_pages, tiles_bytes, err);
    if (!rc) rc = lf__pages_map(&cpu->parts_pages, n_thread * PART_BYTES_PER_THREAD, err);
    if (!rc) rc = lf__cpu_sample_reserve(cpu, err);
    return rc;
}

lf_status lf_device_cpu_open(lf_device **out, const lf_device_options *options, lf_error *err)
{
    if (options->max_n_tok == 0 || options->max_n_tok > INT32_MAX || options->max_length > INT32_MAX) {
        return lf_error_set(err, LF_ERR_INVALID, "a device for %zu tokens of context %zu cannot be opened",
                            options->max_n_tok, options->max_length);
    }
    lf_cpu_device *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return lf_error_no_memory(err, sizeof *cpu);
    if (options->n_thread > 0) lf_par_set_threads(options->n_thread);
    cpu->base.ops = &operators;
    cpu->options = *options;
    cpu->n_thread = lf_par_threads();
    cpu->isa = lf_cpu_isa_best();
    lf_cpu_kernels_choose(&cpu->kernels, cpu->isa);
    cpu->has_matrix_unit = cpu->kernels.multiply_blocks != lf_multiply_blocks__ref;
    cpu->memory_bytes = lf_mem_available();
    lf_status rc = map_scratch(cpu, err);
    if (rc) {
        close_device(&cpu->base);
        return lf_error_at(err, "cpu device");
    }
    char processor[160];
    processor_name(processor, sizeof processor);
    snprintf(cpu->description, sizeof cpu->description, "%s, %s, %d thread%s", processor, lf_cpu_isa_name(cpu->isa),
             cpu->n_thread, cpu->n_thread == 1 ? "" : "s");
    lf_log(LF_LOG_INFO, "cpu device: %s", cpu->description);
    *out = &cpu->base;
    return LF_OK;
}
