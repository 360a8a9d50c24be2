// SPDX-License-Identifier: Apache-2.0
//
// Filling the step descriptor. Invariant: sequences are added in row order, so query_start is ascending and token rows
// of a sequence are consecutive, as attention demands.
#include "engine/step.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

// Lays the five arrays out behind each other, in the host block and in the device block alike.
static size_t lay_out(lf_step *step, int32_t *host, lf_dptr device)
{
    struct {
        int32_t **host;
        lf_dptr *device;
        size_t n;
    } arrays[] = {
        {&step->query_start, &step->device_query_start, step->max_seq + 1},
        {&step->lengths, &step->device_lengths, step->max_seq},
        {&step->ids, &step->device_ids, step->max_tok},
        {&step->positions, &step->device_positions, step->max_tok},
        {&step->slots, &step->device_slots, step->max_tok},
    };
    size_t off = 0;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(arrays); i++) {
        if (host) *arrays[i].host = host + off;
        if (host) *arrays[i].device = lf_dptr_at(device, off * sizeof(int32_t));
        off += (arrays[i].n + 15) / 16 * 16; // whole cache lines
    }
    return off;
}

lf_status lf__step_init(lf_step *step, lf_device *device, const lf_step_limits *limits, lf_error *err)
{
    *step = (lf_step){.device = device,
                      .max_tok = limits->n_tok,
                      .max_seq = limits->n_seq,
                      .max_row = limits->n_row,
                      .block_size = limits->block_size};
    step->table_stride = limits->n_position / limits->block_size + 1;
    size_t n = lay_out(step, NULL, (lf_dptr){0}), bytes = n * sizeof(int32_t), table_bytes;
    if (!lf_mul_size(step->max_seq * sizeof(int32_t), step->table_stride, &table_bytes))
        return lf_error_no_memory(err, 0);
    step->host = lf_aligned_calloc(bytes);
    step->tables = lf_aligned_calloc(table_bytes);
    if (!step->host || !step->tables) return lf_error_no_memory(err, bytes + table_bytes);
    lf_status status = device->ops->alloc(device, bytes, &step->device_block, err);
    if (!status) status = device->ops->alloc(device, table_bytes, &step->device_tables, err);
    if (!status) status = device->ops->alloc(device, step->max_row * sizeof(int32_t), &step->device_rows, err);
    if (!status) lay_out(step, step->host, step->device_block);
    return status;
}

void lf__step_fini(lf_step *step)
{
    if (step->device) {
        step->device->ops->free(step->device, step->device_block);
        step->device->ops->free(step->device, step->device_tables);
        step->device->ops->free(step->device, step->device_rows);
    }
    free(step->host);
    free(step->tables);
    *step = (lf_step){0};
}

void lf__step_begin(lf_step *step)
{
    step->n_tok = step->n_seq = step->max_length = 0;
    step->query_start[0] = 0;
}

lf_status lf__step_add(lf_step *step, const int32_t *tokens, size_t first, size_t n, const lf_block_table *table,
                       lf_error *err)
{
    assert(step->n_seq < step->max_seq && n <= step->max_tok - step->n_tok);
    assert(first + n <= table->n_block * step->block_size && table->n_block <= step->table_stride);
    for (size_t i = 0; i < n; i++) {
        size_t row = step->n_tok + i, position = first + i;
        step->ids[row] = tokens[position];
        step->positions[row] = (int32_t)position;
        step->slots[row] = table->blocks[position / step->block_size] * (int32_t)step->block_size +
                           (int32_t)(position % step->block_size);
    }
    size_t sequence = step->n_seq++;
    step->n_tok += n;
    step->query_start[sequence + 1] = (int32_t)step->n_tok;
    step->lengths[sequence] = (int32_t)(first + n);
    step->max_length = LF_MAX(step->max_length, first + n);
    size_t offset = sequence * step->table_stride, n_used = lf__step_n_block(step, sequence);
    memcpy(step->tables + offset, table->blocks, n_used * sizeof(int32_t));
    return step->device->ops->write(step->device, lf_dptr_at(step->device_tables, offset * sizeof(int32_t)),
                                    table->blocks, n_used * sizeof(int32_t), err);
}

size_t lf__step_n_block(const lf_step *step, size_t sequence)
{
    return ((size_t)step->lengths[sequence] + step->block_size - 1) / step->block_size;
}

lf_status lf__step_commit(lf_step *step, lf_error *err)
{
    // Up to the last slot that is used; what lies between the arrays' ends goes along, in one copy.
    size_t n = (size_t)(step->slots + step->n_tok - step->host);
    return step->device->ops->write(step->device, step->device_block, step->host, n * sizeof(int32_t), err);
}

lf_status lf__step_select(lf_step *step, const int32_t *rows, size_t n_row, lf_error *err)
{
    assert(n_row <= step->max_row);
    return step->device->ops->write(step->device, step->device_rows, rows, n_row * sizeof(int32_t), err);
}
