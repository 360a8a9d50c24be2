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

// The object that a slice belongs to, appended when it is the slot's first slice of this layer.
static lf_object *object_for(lf_weights *weights, const lf_slice *slice)
{
    const lf_parameter *parameter = slice->parameter;
    size_t key = object_key(weights, parameter->slot, parameter->layer);
    if (weights->object_of[key]) return &weights->objects[weights->object_of[key] - 1];
    lf_object *object = &weights->objects[weights->n_object++];
    weights->object_of[key] = weights->n_object;
    *object = (lf_object){
        .slot = parameter->slot,
        .layer = parameter->layer,
        .n_row = weights->slices.slot_n_row[parameter->slot],
        .n_col = weights->slices.slot_n_col[parameter->slot],
        .slices = slice,
    };
    return object;
}

static lf_status allocate_object(lf_weights *weights, lf_object *object, lf_error *err)
{
    lf_device *device = weights->device;
    size_t bytes;
    object->filled = calloc((size_t)object->n_row, sizeof *object->filled);
    if (!object->filled) return lf_error_no_memory(err, (size_t)object->n_row * sizeof *object->filled);
    lf_status status;
    if (lf_slot_is_vector(object->slot)) {
        if (!lf_mul_size((size_t)object->n_row, sizeof(float), &bytes)) return lf_error_no_memory(err, 0);
        status = device->ops->alloc(device, bytes, &object->vector, err);
    } else {
        status = device->ops->weight_create(device, object->n_row, object->n_col, &object->matrix, err);
    }
    if (status) lf_error_at(err, "%s of layer %" PRId64, lf_slot_name(object->slot), object->layer);
    return status;
}

// The slices of an object stand together in table order, so that a run describes them.
static lf_status build_objects(lf_weights *weights, lf_error *err)
{
    size_t n_slice = weights->slices.count, n_key;
    if (!lf_mul_size(LF_SLOT_COUNT, (size_t)weights->config.num_hidden_layers, &n_key))
        return lf_error_no_memory(err, 0);
    weights->object_of = calloc(n_key, sizeof *weights->object_of);
    weights->objects = calloc(LF_MAX(n_slice, 1), sizeof *weights->objects);
    if (!weights->object_of || !weights->objects) return lf_error_no_memory(err, n_key * sizeof *weights->object_of);

    for (size_t i = 0; i < n_slice; i++) {
        const lf_slice *slice = &weights->slices.items[i];
        lf_object *object = object_for(weights, slice);
        if (slice != object->slices + object->n_slice) {
            return lf_error_set(err, LF_ERR_BUG, "rows of slot %s do not stand together", lf_slot_name(object->slot));
        }
        object->n_slice++;
    }
    for (size_t i = 0; i < weights->n_object; i++) {
        lf_status status = allocate_object(weights, &weights->objects[i], err);
        if (status) return status;
    }
    return LF_OK;
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

lf_status lf_weights_load(lf_weights **out, const lf_load_args *args, lf_error *err)
{
    bool is_dummy = args->format == LF_LOAD_DUMMY, head_differs = false;
    int64_t start_ns = lf_now_ns();
    *out = NULL;
    if (!is_dummy && !args->quant) return lf_error_set(err, LF_ERR_INVALID, "real weights need a checkpoint");
    lf_weights *weights = calloc(1, sizeof *weights);
    if (!weights) return lf_error_no_memory(err, sizeof *weights);
    weights->device = args->device;
    weights->config = *args->config;
    weights->ledger.format = args->format;

    lf_rank_plan plan = {0};
    lf_status status = LF_OK;
    if (!is_dummy) {
        log_fp8(args);
        status = lf__head_differs(&head_differs, args->config, args->quant, args->rounding, err);
        if (status) goto out;
        if (head_differs) weights->config.tie_word_embeddings = false;
    }
    status = lf_rank_plan_build(&plan, &weights->config, 1, 0, err);
    if (!status) status = lf_parameters_build(&weights->parameters, &weights->config, err);
    if (!status) status = lf_slices_build(&weights->slices, &weights->parameters, &weights->config, &plan, err);
    if (!status) status = build_objects(weights, err);
    if (status) goto out;
    weights->ledger.n_parameter = weights->parameters.count;
    status = is_dummy ? fill_with_dummies(weights, args, err) : fill_from_checkpoint(weights, args, err);
    if (!status) status = args->device->ops->synchronize(args->device, err);
    if (status) goto out;
    for (size_t i = 0; i < weights->n_object; i++) {
        free(weights->objects[i].filled); // verified: the counts have done their work
        weights->objects[i].filled = NULL;
    }
    weights->ledger.seconds = (double)(lf_now_ns() - start_ns) / 1e9;
    log_result(weights);
out:
    if (status) {
        lf_weights_free(weights);
        return status;
    }
    *out = weights;
    return LF_OK;
}

void lf_weights_free(lf_weights *weights)
{
    if (!weights) return;
    for (size_t i = 0; i < weights->n_object; i++) {
        lf_object *object = &weights->objects[i];
        if (object->matrix) weights->device->ops->weight_free(weights->device, object->matrix);
        if (!lf_dptr_is_null(object->vector)) weights->device->ops->free(weights->device, object->vector);
        free(object->filled);
    }
    free(weights->objects);
    free(weights->object_of);
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
    const lf_object *object = find_object(weights, slot, layer);
    return object ? object->vector : (lf_dptr){NULL};
}

uint64_t lf_weights_bytes(const lf_weights *weights)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < weights->n_object; i++) {
        const lf_object *object = &weights->objects[i];
        bytes += object->matrix ? weights->device->ops->weight_bytes(object->matrix)
                                : (uint64_t)object->n_row * sizeof(float);
    }
    return bytes;
}
