// SPDX-License-Identifier: Apache-2.0
//
// An opened model directory: the preflight, the outline and the census of it, and the facts made of them.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_int.h"
#include "base/mem.h"
#include "plan/admissible.h"

static_assert(LF_MAX_RANK == LF_ARRAY_LENGTH(((lf_tensor_facts *)0)->shape), "every stored shape fits");

static void fill_facts(lf_model *model)
{
    const lf_preflight *pf = &model->preflight;
    const lf_outline *o = &model->outline;
    model->facts = (lf_model_facts){
        .architecture = o->architecture,
        .scheme = lf_quant_scheme(pf->quant),
        .has_table = pf->has_table,
        .tie_word_embeddings = o->tie_word_embeddings,
        .has_vision = o->has_vision,
        .has_audio = o->has_audio,
        .n_shard = lf_checkpoint_n_shard(pf->checkpoint),
        .n_tensor = lf_checkpoint_count(pf->checkpoint),
        .n_quantized = lf_quant_n_quantized(pf->quant),
        .n_side = lf_quant_n_side(pf->quant),
        .n_parameter = model->census.n_parameter,
        .stored_bytes = lf_checkpoint_bytes(pf->checkpoint),
        .hidden_size = o->hidden_size,
        .intermediate_size = o->intermediate_size,
        .num_hidden_layers = o->num_hidden_layers,
        .vocab_size = o->vocab_size,
        .max_position_embeddings = o->max_position_embeddings,
        .num_attention_heads = o->num_attention_heads,
        .num_key_value_heads = o->num_key_value_heads,
        .head_dim = o->head_dim,
        .num_experts = o->num_experts,
        .num_experts_per_tok = o->num_experts_per_tok,
        .num_mtp_layers = o->num_mtp_layers,
    };
}

lf_status lf_model_open(lf_model **out, const char *model_dir, lf_error *err)
{
    *out = NULL;
    lf_model *model = calloc(1, sizeof *model);
    if (!model) return lf_error_no_memory(err, sizeof *model);
    lf_preflight *pf = &model->preflight;
    lf_status status = LF_OK;
    model->dir = strdup(model_dir);
    if (!model->dir) status = lf_error_no_memory(err, 0);
    if (!status) status = lf_preflight_run(pf, model_dir, NULL, err);
    if (status) goto out;
    lf_outline_read(&model->outline, pf->config_json, pf->has_table ? &pf->config : NULL);
    status = lf_census_build(&model->census, &model->outline, pf->quant, err);
    if (status) goto out;
    fill_facts(model);
    *out = model;
    model = NULL;
out:
    lf_model_close(model);
    return status;
}

void lf_model_close(lf_model *model)
{
    if (!model) return;
    lf_census_fini(&model->census);
    lf_preflight_fini(&model->preflight);
    free(model->dir);
    free(model);
}

const lf_model_facts *lf_model_facts_of(const lf_model *model) { return &model->facts; }

bool lf_model_tensor(const lf_model *model, size_t i, lf_tensor_facts *out)
{
    const lf_preflight *pf = &model->preflight;
    *out = (lf_tensor_facts){0};
    if (i >= lf_checkpoint_count(pf->checkpoint)) return false;
    const lf_stored_tensor *tensor = lf_checkpoint_tensor(pf->checkpoint, i);
    const lf_logical_tensor *logical = lf_quant_find(pf->quant, tensor->name);
    out->name = tensor->name;
    out->dtype = lf_dtype_name(tensor->dtype);
    out->file = lf_checkpoint_shard(pf->checkpoint, tensor->shard)->file_name;
    out->scale = logical && logical->scale ? logical->scale->name : NULL;
    out->scale_layout = lf_scale_layout_name(logical ? logical->layout : LF_SCALE_NONE);
    out->rank = tensor->rank;
    for (int k = 0; k < tensor->rank; k++) out->shape[k] = tensor->shape[k];
    out->offset = tensor->file_off;
    out->bytes = tensor->bytes;
    return true;
}

bool lf_model_admits(const lf_model *model, int64_t tensor_parallel_size, lf_split_rule rule, char *why,
                     size_t why_bytes)
{
    static const lf_engine_rule rules[] = {
        [LF_SPLIT_BF16] = LF_ENGINE_BF16,
        [LF_SPLIT_FP8_BLOCK] = LF_ENGINE_FP8_BLOCK,
        [LF_SPLIT_FP8_BLOCK_EXPERTS] = LF_ENGINE_FP8_BLOCK_EXPERTS,
    };
    if ((size_t)rule >= LF_ARRAY_LENGTH(rules) || tensor_parallel_size < 1 || tensor_parallel_size > LF_MAX_RANKS) {
        if (why && why_bytes)
            snprintf(why, why_bytes, "not a number of ranks from 1 to %d, or no such rule", LF_MAX_RANKS);
        return false;
    }
    return lf_tp_is_admissible(&model->outline, tensor_parallel_size, rules[rule], why, why_bytes);
}
