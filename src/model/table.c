// SPDX-License-Identifier: Apache-2.0
//
// The parameter table made concrete: rows whose condition holds, one per layer where the name says {layer}, one per
// expert where it says {expert}, their expressions evaluated for one config. Slots are nothing more than the union of
// the rows that name them, so their shapes come from the table too.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/model_int.h"

// How a slot's numbers are kept: matrices in the device's own layout, float32, or bf16 rows as they are stored.
typedef enum storage { PACKED, F32, ROWS } storage;

// ORDER lf_slot: name, how it is kept, whether there is one per layer, per expert.
static const struct {
    const char *name;
    storage storage;
    bool is_per_layer, is_per_expert;
} slots[] = {
    [LF_SLOT_EMBED] = {"embed", PACKED, false, false},
    [LF_SLOT_INPUT_NORM] = {"input_norm", F32, true, false},
    [LF_SLOT_QKV] = {"qkv", PACKED, true, false},
    [LF_SLOT_QKV_BIAS] = {"qkv_bias", F32, true, false},
    [LF_SLOT_Q_NORM] = {"q_norm", F32, true, false},
    [LF_SLOT_K_NORM] = {"k_norm", F32, true, false},
    [LF_SLOT_Q_A_NORM] = {"q_a_norm", F32, true, false},
    [LF_SLOT_Q_B] = {"q_b", PACKED, true, false},
    [LF_SLOT_KV_A_NORM] = {"kv_a_norm", F32, true, false},
    [LF_SLOT_KV_B] = {"kv_b", ROWS, true, false},
    [LF_SLOT_O] = {"o", PACKED, true, false},
    [LF_SLOT_O_BIAS] = {"o_bias", F32, true, false},
    [LF_SLOT_POST_ATTN_NORM] = {"post_attn_norm", F32, true, false},
    [LF_SLOT_GATE_UP] = {"gate_up", PACKED, true, false},
    [LF_SLOT_GATE_UP_BIAS] = {"gate_up_bias", F32, true, false},
    [LF_SLOT_DOWN] = {"down", PACKED, true, false},
    [LF_SLOT_DOWN_BIAS] = {"down_bias", F32, true, false},
    [LF_SLOT_ROUTER] = {"router", F32, true, false},
    [LF_SLOT_ROUTER_BIAS] = {"router_bias", F32, true, false},
    [LF_SLOT_SHARED_GATE_UP] = {"shared_gate_up", PACKED, true, false},
    [LF_SLOT_SHARED_DOWN] = {"shared_down", PACKED, true, false},
    [LF_SLOT_EXPERT_GATE_UP] = {"expert_gate_up", PACKED, true, true},
    [LF_SLOT_EXPERT_DOWN] = {"expert_down", PACKED, true, true},
    [LF_SLOT_FINAL_NORM] = {"final_norm", F32, false, false},
    [LF_SLOT_LM_HEAD] = {"lm_head", PACKED, false, false},
};
static_assert(LF_ARRAY_LENGTH(slots) == LF_SLOT_COUNT, "one row per slot");

const char *lf_slot_name(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT ? slots[slot].name : "?"; }
bool lf_slot_is_f32(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].storage == F32; }
bool lf_slot_is_row_major(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].storage == ROWS; }
bool lf_slot_is_per_layer(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].is_per_layer; }
bool lf_slot_is_per_expert(lf_slot slot) { return (unsigned)slot < LF_SLOT_COUNT && slots[slot].is_per_expert; }

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

bool lf_config_layer_is_moe(const lf_config *config, int64_t layer)
{
    return layer >= 0 && layer < LF_MAX_LAYERS && (config->moe_layers[layer / 64] >> layer % 64 & 1) != 0;
}

static bool has_layer_of(const lf_config *config, lf_layers kind)
{
    for (int64_t layer = 0; layer < config->num_hidden_layers; layer++) {
        if (lf_config_layer_is_moe(config, layer) == (kind == LF_MOE_LAYERS)) return true;
    }
    return false;
}

bool lf__condition_holds(const lf_condition *condition, const lf_config *config, int64_t layer)
{
    lf_layers kind = condition->layers;
    if (kind != LF_ALL_LAYERS) {
        bool holds =
            layer < 0 ? has_layer_of(config, kind) : lf_config_layer_is_moe(config, layer) == (kind == LF_MOE_LAYERS);
        if (!holds) return false;
    }
    if (!condition->flag) return true;
    bool flag;
    memcpy(&flag, (const char *)config + condition->flag, sizeof flag);
    return flag != condition->negated;
}

static bool is_per_layer(const lf_param *param) { return strstr(param->pattern, "{layer}") != NULL; }
static bool is_per_expert(const lf_param *param) { return lf_slot_is_per_expert(param->slot); }

// Decimal digits; returns the end.
static char *write_number(char *dst, int64_t number)
{
    char digits[20];
    size_t n = 0;
    do digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (n > 0) *dst++ = digits[--n];
    return dst;
}

// The pattern with {layer} and {expert} replaced, and a NUL; returns the end. Never longer than the pattern: numbers
// have at most four digits.
static char *expand_name(char *dst, const char *pattern, int64_t layer, int64_t expert)
{
    for (const char *c = pattern; *c;) {
        bool is_layer = strncmp(c, "{layer}", 7) == 0, is_expert = strncmp(c, "{expert}", 8) == 0;
        if (is_layer || is_expert) {
            dst = write_number(dst, is_layer ? layer : expert);
            c += is_layer ? 7 : 8;
        } else {
            *dst++ = *c++;
        }
    }
    *dst++ = '\0';
    return dst;
}

// What is being built: the names go to one block, the next to `name`.
typedef struct builder {
    lf_parameters *out;
    char *name;
    const lf_arch *arch;
    const lf_config *config;
} builder;

// Appends the row of one layer (-1: none) and expert (-1: none) where its condition holds; there is room.
static void append(builder *b, const lf_param *param, int64_t layer, int64_t expert)
{
    if (!lf__condition_holds(&param->condition, b->config, layer)) return;
    int64_t n_col = lf__expr_eval(&param->n_col, b->config);
    b->out->items[b->out->count++] = (lf_parameter){
        .name = b->name,
        .slot = param->slot,
        .layer = layer,
        .expert = expert,
        .rank = n_col ? 2 : 1,
        .shape = {lf__expr_eval(&param->n_row, b->config), n_col ? n_col : 1},
        .slot_row = lf__expr_eval(&param->slot_row, b->config),
        .partition = param->partition,
    };
    b->name = expand_name(b->name, param->pattern, layer, expert);
}

// The end of the run of rows of the same kind (per layer, per expert) that begins at `begin`.
static size_t run_end(const lf_arch *arch, size_t begin, bool (*is_of_kind)(const lf_param *))
{
    size_t end = begin;
    while (end < arch->n_param && is_of_kind(&arch->params[end])) end++;
    return end;
}

// The rows of one layer that begin at `begin` and hold in it; experts one after the other.
static void append_layer(builder *b, size_t begin, size_t end, int64_t layer)
{
    for (size_t i = begin; i < end;) {
        size_t experts_end = run_end(b->arch, i, is_per_expert);
        if (experts_end == i) {
            append(b, &b->arch->params[i++], layer, -1);
            continue;
        }
        for (int64_t expert = 0; expert < b->config->num_experts; expert++) {
            for (size_t row = i; row < experts_end; row++) append(b, &b->arch->params[row], layer, expert);
        }
        i = experts_end;
    }
}

// Upper bounds of the rows and of the bytes of their names.
static bool room_for(const lf_arch *arch, const lf_config *config, size_t *n_row, size_t *name_bytes)
{
    *n_row = *name_bytes = 0;
    for (size_t i = 0; i < arch->n_param; i++) {
        const lf_param *param = &arch->params[i];
        size_t n = 1, bytes;
        if (!lf__condition_holds(&param->condition, config, -1)) continue;
        if (is_per_layer(param)) n = (size_t)config->num_hidden_layers;
        if (is_per_expert(param) && !lf_mul_size(n, (size_t)config->num_experts, &n)) return false;
        if (!lf_mul_size(n, strlen(param->pattern) + 1, &bytes) || !lf_add_size(*name_bytes, bytes, name_bytes) ||
            !lf_add_size(*n_row, n, n_row)) {
            return false;
        }
    }
    return true;
}

lf_status lf_parameters_build(lf_parameters *out, const lf_config *config, lf_error *err)
{
    *out = (lf_parameters){0};
    const lf_arch *arch = lf__arch_find(config->architecture);
    if (!arch) return lf_error_set(err, LF_ERR_UNSUPPORTED, "no parameter table for '%s'", config->architecture);

    size_t room, name_bytes;
    if (!room_for(arch, config, &room, &name_bytes)) return lf_error_no_memory(err, 0);
    out->items = lf_realloc_array(NULL, LF_MAX(room, 1), sizeof *out->items);
    out->names = malloc(LF_MAX(name_bytes, 1));
    if (!out->items || !out->names) {
        lf_parameters_fini(out);
        return lf_error_no_memory(err, name_bytes);
    }
    builder b = {.out = out, .name = out->names, .arch = arch, .config = config};
    for (size_t i = 0; i < arch->n_param;) {
        size_t end = run_end(arch, i, is_per_layer);
        if (end == i) append(&b, &arch->params[i++], -1, -1);
        for (int64_t layer = 0; end > i && layer < config->num_hidden_layers; layer++) append_layer(&b, i, end, layer);
        i = LF_MAX(i, end);
    }
    return LF_OK;
}

void lf_parameters_fini(lf_parameters *parameters)
{
    free(parameters->items);
    free(parameters->names);
    *parameters = (lf_parameters){0};
}

void lf_slot_shape(const lf_config *config, lf_slot slot, int64_t *n_row, int64_t *n_col)
{
    *n_row = *n_col = 0;
    const lf_arch *arch = lf__arch_find(config->architecture);
    for (size_t i = 0; arch && i < arch->n_param; i++) {
        const lf_param *param = &arch->params[i];
        if (param->slot != slot || !lf__condition_holds(&param->condition, config, -1)) continue;
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
        if (lf__condition_holds(&ignored->condition, config, -1) && matches(ignored->pattern, name))
            return ignored->reason;
    }
    return arch && lf_config_is_mtp(config, name) ? arch->mtp_reason : NULL;
}

// Reads a number as lf_parameters_build() writes it; -1 when there is none.
static int64_t read_number(const char **at)
{
    enum { MOST = 1 << 24 };
    const char *c = *at;
    int64_t value = 0;
    while (*c >= '0' && *c <= '9' && value < MOST) value = value * 10 + (*c++ - '0');
    if (c == *at || (**at == '0' && c > *at + 1)) return -1;
    *at = c;
    return value;
}

// Whether a name begins with this pattern; *at moves behind it. layer and expert are -1 where the pattern has none.
static bool begins_with(const char **at, const char *pattern, int64_t *layer, int64_t *expert)
{
    const char *name = *at;
    *layer = *expert = -1;
    while (*pattern) {
        bool is_layer = strncmp(pattern, "{layer}", 7) == 0, is_expert = strncmp(pattern, "{expert}", 8) == 0;
        if (is_layer || is_expert) {
            int64_t number = read_number(&name);
            if (number < 0) return false;
            *(is_layer ? layer : expert) = number;
            pattern += is_layer ? 7 : 8;
        } else if (*pattern++ != *name++) {
            return false;
        }
    }
    *at = name;
    return true;
}

static bool is_of_pattern(const char *pattern, const char *name, int64_t *layer, int64_t *expert)
{
    return begins_with(&name, pattern, layer, expert) && *name == '\0';
}

bool lf_config_is_mtp(const lf_config *config, const char *name)
{
    const lf_arch *arch = lf__arch_find(config->architecture);
    if (!arch || !arch->mtp_prefix || config->num_mtp_layers == 0) return false;
    int64_t layer, expert, first = config->num_checkpoint_layers;
    return begins_with(&name, arch->mtp_prefix, &layer, &expert) && layer >= first &&
           layer < first + config->num_mtp_layers;
}

bool lf_config_skips(const lf_config *config, const char *name)
{
    if (config->num_checkpoint_layers <= config->num_hidden_layers) return false;
    const lf_arch *arch = lf__arch_find(config->architecture);
    for (size_t i = 0; arch && i < arch->n_param; i++) {
        const lf_param *param = &arch->params[i];
        int64_t layer, expert;
        if (!is_of_pattern(param->pattern, name, &layer, &expert)) continue;
        if (layer < config->num_hidden_layers || layer >= config->num_checkpoint_layers) continue;
        // Which of the layers that are left out have experts is not known any more: either kind of row will do.
        lf_condition condition = {.flag = param->condition.flag, .negated = param->condition.negated};
        if (expert < config->num_checkpoint_experts && lf__condition_holds(&condition, config, -1)) return true;
    }
    return false;
}
