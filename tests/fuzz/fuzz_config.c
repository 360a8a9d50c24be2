// SPDX-License-Identifier: Apache-2.0
//
// config.json from anywhere: what is accepted must have a table whose sizes make sense, rotary frequencies that are
// numbers, and a plan for any rank count. The same input laid over a good config as overrides must leave a good one.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "model/model_int.h"
#include "model/rope.h"
#include "plan/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

static void require(int condition)
{
    if (!condition) abort();
}

static void check_plan(const lf_parameters *parameters, const lf_config *config)
{
    const int64_t n_ranks[] = {1, 3, LF_MAX_RANKS};
    for (size_t i = 0; i < sizeof n_ranks / sizeof *n_ranks; i++) {
        lf_rank_plan plan;
        lf_slices slices;
        lf_error err;
        require(lf_rank_plan_build(&plan, config, n_ranks[i], n_ranks[i] - 1, &err) == LF_OK);
        if (lf_slices_build(&slices, parameters, config, &plan, &err)) continue;
        for (size_t s = 0; s < slices.count; s++) {
            lf_rect rect = slices.items[s].rect;
            const int64_t *shape = slices.items[s].parameter->shape;
            require(rect.row >= 0 && rect.n_row >= 0 && rect.row + rect.n_row <= shape[0]);
            require(rect.col >= 0 && rect.n_col >= 0 && rect.col + rect.n_col <= shape[1]);
        }
        lf_budget_of(&slices, config, &plan);
        lf_slices_fini(&slices);
    }
}

static void check_overrides(const json_t *overrides)
{
    static const char good[] = "{\"architectures\": [\"Qwen3ForCausalLM\"], \"num_hidden_layers\": 3, "
                               "\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\"], "
                               "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.0}}";
    lf_config config;
    lf_error err;
    json_t *base = json_loads(good, 0, NULL);
    if (!base) return;
    lf_status status = lf__config_parse_over(&config, &base, overrides, &err);
    json_decref(base);
    if (status) return;
    require(config.num_hidden_layers >= 1 && config.num_checkpoint_layers == 3);
    require(!lf_config_skips(&config, "model.layers.0.input_layernorm.weight"));
    bool has_table = lf__arch_find(config.architecture) != NULL;
    require(lf_config_skips(&config, "model.layers.2.input_layernorm.weight") ==
            (has_table && config.num_hidden_layers < 3));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    json_t *json = NULL;
    lf_config config;
    lf_error err;
    if (lf_json_parse(&json, (const char *)data, length, "config.json", &err)) return 0;
    if (json_is_object(json)) check_overrides(json);
    lf_status status = lf_config_parse(&config, json, &err);
    json_decref(json);
    if (status) return 0;

    require(config.rope.rotary_dim >= 2 && config.rope.rotary_dim <= config.head_dim);
    require(lf_config_max_model_len(&config) >= 1);
    float *inv_freq = malloc((size_t)config.rope.rotary_dim / 2 * sizeof *inv_freq);
    if (!inv_freq) return 0;
    lf_rope_frequencies(&config.rope, inv_freq);
    for (int64_t i = 0; i < config.rope.rotary_dim / 2; i++) require(isfinite(inv_freq[i]) && inv_freq[i] >= 0);
    free(inv_freq);

    lf_parameters parameters;
    if (lf_parameters_build(&parameters, &config, &err)) return 0;
    for (size_t i = 0; i < parameters.count; i++) {
        const lf_parameter *parameter = &parameters.items[i];
        require(parameter->shape[0] >= 1 && parameter->shape[1] >= 1 && parameter->slot_row >= 0);
    }
    check_plan(&parameters, &config);
    lf_parameters_fini(&parameters);
    return 0;
}
