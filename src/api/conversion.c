// SPDX-License-Identifier: Apache-2.0
//
// The conversion as users of the library see it: options whose zero is the default, and no progress bar.
#include <stdlib.h>

#include "api/api_int.h"
#include "convert/convert.h"

struct lf_conversion {
    lf_convert *convert; // OWNED
    lf_conversion_facts facts;
};

static lf_convert_options convert_options(const lf_conversion_options *options)
{
    static const lf_conversion_options defaults = {0};
    if (!options) options = &defaults;
    return (lf_convert_options){
        .shard_bytes = options->shard_bytes ? options->shard_bytes : (uint64_t)LF_CONVERT_SHARD_BYTES,
        .rounding = options->bf16_scales ? LF_DEQUANT_BF16_SCALE : LF_DEQUANT_EXACT,
        .copy = options->copy,
        .verify = options->verify,
        .sync = !options->no_sync,
    };
}

lf_status lf_conversion_open(lf_conversion **out, const char *model_dir, const lf_conversion_options *options,
                             lf_findings *findings, lf_error *err)
{
    const lf_convert_options inner = convert_options(options);
    *out = NULL;
    lf_conversion *conversion = calloc(1, sizeof *conversion);
    if (!conversion) return lf_error_no_memory(err, sizeof *conversion);
    lf_status status = lf_convert_open(&conversion->convert, model_dir, &inner, findings, err);
    if (status) {
        free(conversion);
        return status;
    }
    const lf_convert_plan *plan = lf_convert_plan_of(conversion->convert);
    conversion->facts = (lf_conversion_facts){
        .n_shard = plan->n_shard,
        .n_tensor = plan->n_tensor,
        .n_dequantized = plan->n_dequantized,
        .n_dropped = plan->n_dropped,
        .source_bytes = plan->source_bytes,
        .output_bytes = plan->output_bytes,
    };
    *out = conversion;
    return LF_OK;
}

void lf_conversion_close(lf_conversion *conversion)
{
    if (!conversion) return;
    lf_convert_close(conversion->convert);
    free(conversion);
}

const lf_conversion_facts *lf_conversion_facts_of(const lf_conversion *conversion) { return &conversion->facts; }

lf_status lf_conversion_run(lf_conversion *conversion, const char *out_dir, lf_conversion_result *result, lf_error *err)
{
    lf_convert_result inner = {0};
    lf_status status = lf_convert_run(conversion->convert, out_dir, &inner, err);
    if (status || !result) return status;
    *result = (lf_conversion_result){
        .n_written = inner.n_written,
        .n_kept = inner.n_kept,
        .n_verified = inner.n_verified,
        .n_linked = inner.n_linked,
        .n_copied = inner.n_copied,
        .bytes_written = inner.bytes_written,
        .was_complete = inner.was_complete,
    };
    return LF_OK;
}
