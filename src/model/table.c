// SPDX-License-Identifier: Apache-2.0
//
// The parameter table made concrete: rows whose condition holds, one per layer where the name says {layer}, their
// expressions evaluated for one config. Slots are nothing more than the union of the rows that name them, so their
// shapes come from the table too.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/model_int.h"

// ORDER lf_slot: name, whether it is a vector, whether there is one per layer.
static const struct {
    const char *name;
    bool is_vector, is_per_layer;
} slots[] = {
    [LF_SLOT_EMBED] = {"embed", false, false},
    [LF_SLOT_INPUT_NORM] = {"input_norm", true, true},
    [LF_SLOT_QKV] = {"qkv", false, true},
    [LF_SLOT_QKV_BIAS] = {"qkv_bias", true, true},
    [LF_SLOT_Q_NORM] = {"q_norm", true, true},
    [LF_SLOT_K_NORM] = {"k_norm", true, true},
    [LF_SLOT_O] = {"o", false, true},
    [LF_SLOT_O_BIAS] = {"o_bias", true, true},
    [LF_SLOT_POST_ATTN_NORM] = {"post_attn_norm", true, true},
    [LF_SLOT_GATE_UP] = {"gate_up", false, true},
    [LF_SLOT_GATE_UP_BIAS] = {"gate_up_bias", true, true},
    [LF_SLOT_DOWN] = {"down", false, true},
    [LF_SLOT_DOWN_BIAS] = {"down_bias", true, true},
    [LF_SLOT_FINAL_NORM] = {"final_norm", true, false},
    [LF_SLOT_LM_HEAD] = {"lm_head", false, false},
};
static_assert(LF_ARRAY_LENGTH(slots) == LF_SLOT_COUNT, "one row per slot");

const char *lf_slot_name(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT ? slots[slot].name : "?"; }
bool lf_slot_is_vector(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].is_vector; }
bool lf_slot_is_per_layer(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].is_per_layer; }

const lf_arch *lf__arch_find(const char *architecture)
{
    for (size_t i = 0; i < lf__n_arch; i++) {
        if (strcmp(lf__archs[i]->architecture, architecture) == 0) return lf__archs[i];
    }
    return NULL;
}

static int64_t field(const lf_config *config, uint16_t offset)
{
    int64_t value = 1;
    if (offset) memcpy(&value, (const char *)config + offset, sizeof value);
    return value;
}

// Cannot overflow: lf_config_parse bounds every field (see the limits in config.c).
int64_t lf__expr_eval(const lf_expr *expr, const lf_config *config)
{
    int64_t sum = 0;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(expr->terms); i++) {
        if (expr->terms[i].a) sum += field(config, expr->terms[i].a) * field(config, expr->terms[i].b);
    }
    return sum;
}

bool lf__condition_holds(const lf_condition *condition, const lf_config *config)
{
    if (!condition->flag) return true;
    bool flag;
    memcpy(&flag, (const char *)config + condition->flag, sizeof flag);
    return flag != condition->negated;
}

static bool is_per_layer(const lf_param *param) { return strstr(param->pattern, "{layer}") != NULL; }

// The pattern with {layer} replaced, in fresh memory; NULL when memory is gone.
static char *expand_name(const char *pattern, int64_t layer)
{
    static const char placeholder[] = "{layer}";
    const char *at = strstr(pattern, placeholder);
    if (!at) return strdup(pattern);
    char *name;
    int length = asprintf(&name, "%.*s%" PRId64 "%s", (int)(at - pattern), pattern, layer, at + sizeof placeholder - 1);
    return length < 0 ? NULL : name;
}

// Appends the row for one layer (-1: none); the caller has made room. A row whose condition fails adds nothing.
static bool append(lf_parameters *out, const lf_param *param, int64_t layer, const lf_config *config)
{
    if (!lf__condition_holds(&param->condition, config)) return true;
    int64_t n_col = lf__expr_eval(&param->n_col, config);
    lf_parameter *parameter = &out->items[out->count];
    *parameter = (lf_parameter){
        .name = expand_name(param->pattern, layer),
        .slot = param->slot,
        .layer = layer,
        .rank = n_col ? 2 : 1,
        .shape = {lf__expr_eval(&param->n_row, config), n_col ? n_col : 1},
        .slot_row = lf__expr_eval(&param->slot_row, config),
        .partition = param->partition,
    };
    if (!parameter->name) return false;
    out->count++;
    return true;
}

// The end of the run of per-layer rows that begins at `begin`.
static size_t run_end(const lf_arch *arch, size_t begin)
{
    size_t end = begin;
    while (end < arch->n_param && is_per_layer(&arch->params[end])) end++;
    return end;
}

lf_status lf_parameters_build(lf_parameters *out, const lf_config *config, lf_error *err)
{
    *out = (lf_parameters){0};
    const lf_arch *arch = lf__arch_find(config->architecture);
    if (!arch) return lf_error_set(err, LF_ERR_UNSUPPORTED, "no parameter table for '%s'", config->architecture);

    size_t room;
    if (!lf_mul_size((size_t)config->num_hidden_layers + 1, arch->n_param, &room)) return lf_error_no_memory(err, 0);
    out->items = lf_realloc_array(NULL, room, sizeof *out->items);
    if (!out->items) return lf_error_no_memory(err, 0);

    bool ok = true;
    for (size_t i = 0; ok && i < arch->n_param;) {
        size_t end = run_end(arch, i);
        if (end == i) {
            ok = append(out, &arch->params[i], -1, config);
            i++;
            continue;
        }
        for (int64_t layer = 0; ok && layer < config->num_hidden_layers; layer++) {
            for (size_t row = i; ok && row < end; row++) ok = append(out, &arch->params[row], layer, config);
        }
        i = end;
    }
    if (ok) return LF_OK;
    lf_parameters_fini(out);
    return lf_error_no_memory(err, 0);
}

void lf_parameters_fini(lf_parameters *parameters)
{
    for (size_t i = 0; i < parameters->count; i++) free(parameters->items[i].name);
    free(parameters->items);
    *parameters = (lf_parameters){0};
}

void lf_slot_shape(const lf_config *config, lf_slot slot, int64_t *n_row, int64_t *n_col)
{
    *n_row = *n_col = 0;
    const lf_arch *arch = lf__arch_find(config->architecture);
    for (size_t i = 0; arch && i < arch->n_param; i++) {
        const lf_param *param = &arch->params[i];
        if (param->slot != slot || !lf__condition_holds(&param->condition, config)) continue;
        int64_t end = lf__expr_eval(&param->slot_row, config) + lf__expr_eval(&param->n_row, config);
        int64_t columns = lf__expr_eval(&param->n_col, config);
        *n_row = LF_MAX(*n_row, end);
        *n_col = columns ? columns : 1;
    }
}

static bool matches(const char *pattern, const char *name)
{
    if (pattern[0] != '*') return strcmp(pattern, name) == 0;
    size_t name_length = strlen(name), end_length = strlen(pattern + 1);
    return name_length >= end_length && strcmp(name + name_length - end_length, pattern + 1) == 0;
}

const char *lf_config_ignored_reason(const lf_config *config, const char *name)
{
    const lf_arch *arch = lf__arch_find(config->architecture);
    for (size_t i = 0; arch && i < arch->n_ignored; i++) {
        const lf_ignored_name *ignored = &arch->ignored[i];
        if (lf__condition_holds(&ignored->condition, config) && matches(ignored->pattern, name)) return ignored->reason;
    }
    return NULL;
}
