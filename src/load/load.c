// SPDX-License-Identifier: Apache-2.0
//
// Loading from outside: builds the table and one device object per slot and layer, chooses the source, fills, and
// answers look-ups afterwards. Dummy and real weights differ in the source alone.
#include "load/load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "load/load_int.h"

static size_t object_key(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    size_t n_layer = (size_t)weights->config.num_hidden_layers;
    return (size_t)slot * n_layer + (lf_slot_is_per_layer(slot) ? (size_t)layer : 0);
}

static size_t n_expert_held(const lf_weights *weights) { return (size_t)lf_range_length(weights->plan.experts); }

// Where the matrix of an expert that this rank holds is looked up.
static const lf_weight **expert_place(const lf_weights *weights, lf_slot slot, int64_t layer, int64_t expert)
{
    size_t half = slot == LF_SLOT_EXPERT_GATE_UP ? 0 : (size_t)weights->config.num_hidden_layers;
    return weights->experts + (half + (size_t)layer) * n_expert_held(weights) +
           (size_t)(expert - weights->plan.experts.begin);
}

// The object that a slice belongs to, appended when it is the first slice of slot, layer and expert.
static lf_object *object_for(lf_weights *weights, const lf_slice *slice)
{
    const lf_parameter *parameter = slice->parameter;
    size_t *index = &weights->object_of[object_key(weights, parameter->slot, parameter->layer)];
    if (*index) {
        lf_object *object = &weights->objects[*index - 1];
        if (object->expert == parameter->expert) return object;
    }
    lf_object *object = &weights->objects[weights->n_object++];
    *index = weights->n_object; // of experts: the latest one
    *object =
        (lf_object){.slot = parameter->slot, .layer = parameter->layer, .expert = parameter->expert, .slices = slice};
    return object;
}

// Of a table.
static size_t element_bytes(const lf_object *object)
{
    return lf_slot_is_f32(object->slot) ? sizeof(float) : sizeof(lf_bf16);
}

static lf_status allocate_object(lf_weights *weights, lf_object *object, lf_error *err)
{
    lf_device *device = weights->device;
    size_t bytes;
    object->filled = calloc((size_t)object->n_row, sizeof *object->filled);
    if (!object->filled) return lf_error_no_memory(err, (size_t)object->n_row * sizeof *object->filled);
    lf_status status;
    if (lf_slot_is_f32(object->slot) || lf_slot_is_row_major(object->slot)) {
        if (!lf_mul_size((size_t)object->n_row * element_bytes(object), (size_t)object->n_col, &bytes)) {
            return lf_error_no_memory(err, 0);
        }
        status = device->ops->alloc(device, bytes, &object->table, err);
    } else {
        status = device->ops->weight_create(device, object->n_row, object->n_col, &object->matrix, err);
        if (object->expert >= 0) {
            *expert_place(weights, object->slot, object->layer, object->expert) = object->matrix;
        }
    }
    if (status) lf_error_at(err, "%s of layer %" PRId64, lf_slot_name(object->slot), object->layer);
    return status;
}

static lf_status make_room_for_objects(lf_weights *weights, lf_error *err)
{
    size_t n_layer = (size_t)weights->config.num_hidden_layers, n_slice = weights->slices.count, n_key, n_expert;
    if (!lf_mul_size(LF_SLOT_COUNT, n_layer, &n_key) || !lf_mul_size(2 * n_layer, n_expert_held(weights), &n_expert)) {
        return lf_error_no_memory(err, 0);
    }
    weights->object_of = calloc(n_key, sizeof *weights->object_of);
    weights->objects = calloc(LF_MAX(n_slice, 1), sizeof *weights->objects);
    weights->experts = calloc(LF_MAX(n_expert, 1), sizeof *weights->experts);
    weights->has_experts = calloc(n_layer, sizeof *weights->has_experts);
    if (!weights->object_of || !weights->objects || !weights->experts || !weights->has_experts) {
        return lf_error_no_memory(err, n_slice * sizeof *weights->objects);
    }
    return LF_OK;
}

// The slices of an object stand together in table order, so that a run describes them. Objects of which this rank holds
// nothing do not exist.
static lf_status build_objects(lf_weights *weights, lf_error *err)
{
    lf_status status = make_room_for_objects(weights, err);
    for (size_t i = 0; i < weights->slices.count && !status; i++) {
        const lf_slice *slice = &weights->slices.items[i];
        if (slice->parameter->expert >= 0) weights->has_experts[slice->parameter->layer] = true;
        if (slice->rect.n_row == 0 || slice->rect.n_col == 0) continue;
        lf_object *object = object_for(weights, slice);
        // Rows of other slices of the object may be nothing on this rank; they still stand in the run.
        size_t n_before = (size_t)(slice - object->slices);
        bool stands_together = slice->parameter->slot == object->slot;
        for (size_t s = object->n_slice; s < n_before; s++) {
            stands_together &= object->slices[s].parameter->slot == object->slot;
        }
        if (!stands_together) {
            return lf_error_set(err, LF_ERR_BUG, "rows of slot %s do not stand together", lf_slot_name(object->slot));
        }
        object->n_slice = n_before + 1;
        object->n_row = slice->slot_row + slice->rect.n_row;
        object->n_col = slice->rect.n_col;
    }
    for (size_t i = 0; i < weights->n_object && !status; i++) {
        status = allocate_object(weights, &weights->objects[i], err);
    }
    return status;
}

static lf_status fill_from_checkpoint(lf_weights *weights, const lf_load_args *args, lf_error *err)
{
    lf_real_source source = {0};
    lf_status status = lf__real_source_init(&source, weights, args->quant, args->rounding, err);
    if (!status) status = lf__fill(weights, &source.base, args->show_progress, err);
    lf__real_source_fini(&source);
    return status;
}

static lf_status fill_with_dummies(lf_weights *weights, const lf_load_args *args, lf_error *err)
{
    lf_dummy_source source;
    lf__dummy_source_init(&source, weights, args->seed);
    return lf__fill(weights, &source.base, args->show_progress, err);
}

/* L5: "fp8 quantization is currently not supported" is what other stacks answer here; the dequantizing path needs no
 * flag. */
static void log_fp8(const lf_load_args *args)
{
    lf_device_caps caps = {0};
    args->device->ops->describe(args->device, &caps);
    size_t n_quantized = lf_quant_n_quantized(args->quant);
    if (n_quantized == 0 || caps.executes_fp8) return;
    lf_log(LF_LOG_INFO, "fp8 is not executed by device %s: %zu tensors (%s) are dequantized to bf16 while loading",
           caps.name, n_quantized, lf_quant_scheme(args->quant));
}

static void log_result(const lf_weights *weights)
{
    const lf_ledger *ledger = &weights->ledger;
    const double gib = 1024.0 * 1024.0 * 1024.0;
    double device_gib = (double)lf_weights_bytes(weights) / gib;
    if (ledger->format == LF_LOAD_DUMMY) {
        lf_log(LF_LOG_INFO, "Loading weights took %.2f seconds (dummy values, no weight file was read)",
               ledger->seconds);
    } else {
        lf_log(LF_LOG_INFO, "Loading weights took %.2f seconds (%zu tensors, %.2f GiB, %.2f GiB/s)", ledger->seconds,
               ledger->n_tensor_used, (double)ledger->source_bytes / gib,
               (double)ledger->source_bytes / gib / LF_MAX(ledger->seconds, 1e-9));
    }
    lf_log(LF_LOG_INFO, "Model loading took %.4f GiB memory and %.6f seconds", device_gib, ledger->seconds);
}

// Whether the checkpoint's head is another matrix than its embedding: each rank compares the rows that it holds.
static lf_status settle_tie(lf_weights *weights, const lf_load_args *args, lf_error *err)
{
    bool differs = false;
    lf_status status = lf__head_differs(&differs, args->config, weights->plan.vocab, args->quant, args->rounding, err);
    int64_t is_tied = !differs;
    status = lf_comm_agree(args->comm, status, err);
    if (!status) status = lf_comm_min_i64(args->comm, &is_tied, 1, err);
    if (!status && !is_tied) weights->config.tie_word_embeddings = false;
    return status;
}

static lf_status build_plan(lf_weights *weights, const lf_load_args *args, lf_error *err)
{
    lf_status status =
        lf_rank_plan_build(&weights->plan, &weights->config, lf_comm_size(args->comm), lf_comm_rank(args->comm), err);
    if (!status && args->deals_experts) {
        lf_rank_plan_deal_experts(&weights->plan, &weights->config, weights->plan.n_rank, weights->plan.rank);
    }
    return status;
}

static lf_status build(lf_weights *weights, lf_error *err)
{
    lf_status status = lf_parameters_build(&weights->parameters, &weights->config, err);
    if (!status) {
        status = lf_slices_build(&weights->slices, &weights->parameters, &weights->config, &weights->plan, err);
    }
    if (!status) status = build_objects(weights, err);
    weights->ledger.n_parameter = weights->parameters.count;
    return status;
}

static lf_status load(lf_weights *weights, const lf_load_args *args, lf_error *err)
{
    bool is_dummy = args->format == LF_LOAD_DUMMY;
    lf_status status = build_plan(weights, args, err);
    if (status) return status;
    if (!is_dummy) {
        log_fp8(args);
        status = settle_tie(weights, args, err);
        if (status) return status;
    }
    status = build(weights, err);
    if (!status) status = is_dummy ? fill_with_dummies(weights, args, err) : fill_from_checkpoint(weights, args, err);
    if (!status) status = args->device->ops->synchronize(args->device, err);
    return lf_comm_agree(args->comm, status, err);
}

lf_status lf_weights_load(lf_weights **out, const lf_load_args *args, lf_error *err)
{
    int64_t start_ns = lf_now_ns();
    *out = NULL;
    if (args->format != LF_LOAD_DUMMY && !args->quant) {
        return lf_error_set(err, LF_ERR_INVALID, "real weights need a checkpoint");
    }
    lf_weights *weights = calloc(1, sizeof *weights);
    if (!weights) return lf_error_no_memory(err, sizeof *weights);
    weights->device = args->device;
    weights->config = *args->config;
    weights->ledger.format = args->format;
    lf_status status = load(weights, args, err);
    if (status) {
        lf_weights_free(weights);
        return status;
    }
    for (size_t i = 0; i < weights->n_object; i++) {
        free(weights->objects[i].filled); // verified: the counts have done their work
        weights->objects[i].filled = NULL;
    }
    weights->ledger.seconds = (double)(lf_now_ns() - start_ns) / 1e9;
    log_result(weights);
    *out = weights;
    return LF_OK;
}

void lf_weights_free(lf_weights *weights)
{
    if (!weights) return;
    for (size_t i = 0; i < weights->n_object; i++) {
        lf_object *object = &weights->objects[i];
        if (object->matrix) weights->device->ops->weight_free(weights->device, object->matrix);
        if (!lf_dptr_is_null(object->table)) weights->device->ops->free(weights->device, object->table);
        free(object->filled);
    }
    free(weights->objects);
    free(weights->object_of);
    free(weights->experts);
    free(weights->has_experts);
    lf_slices_fini(&weights->slices);
    lf_parameters_fini(&weights->parameters);
    lf__ledger_fini(&weights->ledger);
    free(weights);
}

static const lf_object *find_object(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    if ((unsigned)slot >= LF_SLOT_COUNT) return NULL;
    if (lf_slot_is_per_layer(slot) && (layer < 0 || layer >= weights->config.num_hidden_layers)) return NULL;
    size_t index = weights->object_of[object_key(weights, slot, layer)];
    return index ? &weights->objects[index - 1] : NULL;
}

const lf_weight *lf_weights_matrix(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    const lf_object *object = find_object(weights, slot, layer);
    if (!object && slot == LF_SLOT_LM_HEAD) object = find_object(weights, LF_SLOT_EMBED, layer);
    return object ? object->matrix : NULL;
}

lf_dptr lf_weights_vector(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    const lf_object *object = lf_slot_is_f32(slot) ? find_object(weights, slot, layer) : NULL;
    return object ? object->table : (lf_dptr){NULL};
}

lf_dptr lf_weights_rows(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    const lf_object *object = lf_slot_is_row_major(slot) ? find_object(weights, slot, layer) : NULL;
    return object ? object->table : (lf_dptr){NULL};
}

const lf_weight *const *lf_weights_experts(const lf_weights *weights, lf_slot slot, int64_t layer)
{
    if (!lf_slot_is_per_expert(slot) || layer < 0 || layer >= weights->config.num_hidden_layers) return NULL;
    if (!weights->has_experts[layer] || n_expert_held(weights) == 0) return NULL;
    return expert_place(weights, slot, layer, weights->plan.experts.begin);
}

const lf_rank_plan *lf_weights_plan(const lf_weights *weights) { return &weights->plan; }

static uint64_t object_bytes(const lf_weights *weights, const lf_object *object)
{
    if (object->matrix) return weights->device->ops->weight_bytes(object->matrix);
    return (uint64_t)object->n_row * (uint64_t)object->n_col * element_bytes(object);
}

uint64_t lf_weights_bytes(const lf_weights *weights)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < weights->n_object; i++) bytes += object_bytes(weights, &weights->objects[i]);
    return bytes;
}

uint64_t lf_weights_expert_bytes(const lf_weights *weights)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < weights->n_object; i++) {
        if (weights->objects[i].expert >= 0) bytes += object_bytes(weights, &weights->objects[i]);
    }
    return bytes;
}
