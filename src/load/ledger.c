// SPDX-License-Identifier: Apache-2.0
//
// The ledger: proof that every row of every parameter was filled once (lesson L2), and a name with a reason for every
// stored tensor that was not used. It becomes part of the report as JSON.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "load/load_int.h"

lf_status lf__ledger_ignore(lf_ledger *ledger, const char *name, const char *reason, lf_error *err)
{
    lf_ignored_tensor *grown = lf_realloc_array(ledger->ignored, ledger->n_ignored + 1, sizeof *grown);
    if (!grown) return lf_error_no_memory(err, (ledger->n_ignored + 1) * sizeof *grown);
    ledger->ignored = grown;
    char *copy = strdup(name);
    if (!copy) return lf_error_no_memory(err, strlen(name) + 1);
    ledger->ignored[ledger->n_ignored++] = (lf_ignored_tensor){copy, reason};
    return LF_OK;
}

void lf__ledger_fini(lf_ledger *ledger)
{
    for (size_t i = 0; i < ledger->n_ignored; i++) free(ledger->ignored[i].name);
    free(ledger->ignored);
}

lf_status lf__ledger_verify(const lf_weights *weights, lf_error *err)
{
    for (size_t i = 0; i < weights->n_object; i++) {
        const lf_object *object = &weights->objects[i];
        for (int64_t row = 0; row < object->n_row; row++) {
            if (object->filled[row] == object->n_col) continue;
            lf_error_set(err, LF_ERR_BUG, "row %" PRId64 " of %s in layer %" PRId64 " was not filled exactly once", row,
                         lf_slot_name(object->slot), object->layer);
            lf_error_expected(err, "%" PRId64 " columns", object->n_col);
            return lf_error_found(err, "%" PRId32, object->filled[row]);
        }
    }
    return LF_OK;
}

uint64_t lf_weights_bytes_read(const lf_weights *weights) { return weights->ledger.source_bytes; }

json_t *lf_weights_ledger(const lf_weights *weights)
{
    const lf_ledger *ledger = &weights->ledger;
    json_t *ignored = json_array();
    for (size_t i = 0; i < ledger->n_ignored; i++) {
        json_array_append_new(
            ignored, json_pack("{s:s, s:s}", "name", ledger->ignored[i].name, "reason", ledger->ignored[i].reason));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:o, s:[]}",                        //
                     "load_format", ledger->format == LF_LOAD_DUMMY ? "dummy" : "auto",                 //
                     "parameters", (json_int_t)ledger->n_parameter,                                     //
                     "rows_filled", (json_int_t)ledger->n_row,                                          //
                     "tensors_used", (json_int_t)ledger->n_tensor_used,                                 //
                     "tensors_dequantized", (json_int_t)ledger->n_quantized,                            //
                     "bytes_read", (json_int_t)ledger->source_bytes,                                    //
                     "device_bytes", (json_int_t)lf_weights_bytes(weights), "seconds", ledger->seconds, //
                     "tensors_skipped", (json_int_t)ledger->n_skipped,                                  //
                     "tensors_ignored", ignored, "violations");
}
