// SPDX-License-Identifier: Apache-2.0
//
// Sizes divide by nothing: the width is no multiple of a block of scales, nor is an expert's, and ranges of ranks cut
// through blocks.
//
// A router is a comparison, and two topologies round differently: with random routers some token would get other
// experts and everything after it other numbers. So routing is decided by what no rounding touches. The last N_EXPERT
// dimensions of the residual stream are RESERVED: no layer writes to them (rows of o_proj and of all down projections
// are zero there), so they stay what the embedding put there, for each token a permutation of equidistant levels. The
// router reads them, in another order in each layer. RMSNorm scales all of them by one factor, so the order of the
// scores is the permutation, whatever the rest of the stream rounds to; the routing weights still depend on all of it.
#include "shaped.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_EXPERT = 8, N_RESERVED = N_EXPERT };

typedef struct maker {
    synthetic *files;
    bool is_fp8;
    int64_t block_rows, block_cols;
    uint32_t random;
} maker;

static float uniform(maker *m) // [-1, 1)
{
    m->random = m->random * 1664525u + 1013904223u;
    return (float)((int32_t)m->random >> 8) * 0x1p-23f;
}

// A permutation of 0 .. N_EXPERT - 1.
static void shuffle(maker *m, size_t order[N_EXPERT])
{
    for (size_t i = 0; i < N_EXPERT; i++) {
        size_t j = (size_t)((uniform(m) + 1) / 2 * (float)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
}

// ---- the configuration ----

static const char common[] =
    "\"hidden_size\": 72, \"num_hidden_layers\": 2, \"vocab_size\": 97, \"max_position_embeddings\": 64, "
    "\"rms_norm_eps\": 1e-6, \"rope_theta\": 10000.0, \"tie_word_embeddings\": false";

static const struct {
    const char *model_type, *text;
} families[] = {
    {"qwen3", "\"architectures\": [\"Qwen3ForCausalLM\"], \"intermediate_size\": 200"},
    // layer 0 is dense
    {"qwen3_moe",
     "\"architectures\": [\"Qwen3MoeForCausalLM\"], \"intermediate_size\": 200, \"mlp_only_layers\": [0], "
     "\"num_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 20, \"norm_topk_prob\": true"},
    {"minimax_m2",
     "\"architectures\": [\"MiniMaxM2ForCausalLM\"], \"intermediate_size\": 20, \"num_local_experts\": 8, "
     "\"num_experts_per_tok\": 2, \"rotary_dim\": 4"},
    // layer 0 is dense; head_dim follows from the parts of a query
    {"deepseek_v3",
     "\"architectures\": [\"DeepseekV3ForCausalLM\"], \"intermediate_size\": 200, \"first_k_dense_replace\": 1, "
     "\"n_routed_experts\": 8, \"num_experts_per_tok\": 2, \"moe_intermediate_size\": 20, \"n_shared_experts\": 2, "
     "\"n_group\": 2, \"topk_group\": 1, \"q_lora_rank\": 40, \"kv_lora_rank\": 24, \"qk_nope_head_dim\": 8, "
     "\"qk_rope_head_dim\": 4, \"v_head_dim\": 10, \"num_nextn_predict_layers\": 0"},
};

static void begin(maker *m, const shape *wanted)
{
    char text[2048], quantization[256] = "", size_of_head[64] = "";
    const char *family = NULL;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(families[i].model_type, wanted->model_type) == 0) family = families[i].text;
    }
    assert_non_null(family);
    int64_t head_dim = wanted->n_head > 16 ? 8 : 16;
    // The blocks of released checkpoints where the heads need more than one, small odd ones elsewhere.
    bool is_wide = wanted->n_head * head_dim > 128;
    m->block_rows = is_wide ? 128 : 32;
    m->block_cols = is_wide ? 128 : 48;
    if (wanted->is_fp8) {
        snprintf(quantization, sizeof quantization,
                 ", \"quantization_config\": {\"quant_method\": \"fp8\", \"weight_block_size\": [%d, %d]}",
                 (int)m->block_rows, (int)m->block_cols);
    }
    if (strcmp(wanted->model_type, "deepseek_v3") != 0) {
        snprintf(size_of_head, sizeof size_of_head, ", \"head_dim\": %d", (int)head_dim);
    }
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", %s, %s, \"num_attention_heads\": %d, \"num_key_value_heads\": "
             "%d%s%s}",
             wanted->model_type, family, common, (int)wanted->n_head, (int)wanted->n_kv_head, size_of_head,
             quantization);
    synthetic_begin(m->files, text);
}

// ---- parameters ----

static bool writes_stream(lf_slot slot) // its rows are dimensions of the residual stream
{
    return slot == LF_SLOT_O || slot == LF_SLOT_DOWN || slot == LF_SLOT_EXPERT_DOWN || slot == LF_SLOT_SHARED_DOWN;
}

static bool is_linear(lf_slot slot)
{
    return !lf_slot_is_f32(slot) && slot != LF_SLOT_EMBED && slot != LF_SLOT_LM_HEAD;
}

// Random finite codes. Neighbouring scales differ widely, so that a scale of another block is seen.
static void add_fp8(maker *m, const lf_parameter *p, int64_t n_live_row)
{
    static const float rms_of_codes = 106.0f; // of the finite codes of e4m3
    int64_t n_row = p->shape[0], n_col = p->shape[1];
    int64_t n_scale_row = (n_row + m->block_rows - 1) / m->block_rows,
            n_scale_col = (n_col + m->block_cols - 1) / m->block_cols;
    uint8_t *codes = calloc((size_t)n_row, (size_t)n_col);
    float *scales = malloc((size_t)(n_scale_row * n_scale_col) * sizeof *scales);
    assert_true(codes && scales);
    for (int64_t i = 0; i < n_live_row * n_col; i++) {
        uint32_t code = (uint32_t)((uniform(m) + 1) * 127); // 0 .. 253: two signs of 127 finite codes
        codes[i] = (uint8_t)(code < 127 ? code : code - 127 + 128);
    }
    for (int64_t i = 0; i < n_scale_row * n_scale_col; i++) {
        scales[i] = expf(0.6f * uniform(m)) / (rms_of_codes * sqrtf((float)n_col));
    }
    char name[512];
    snprintf(name, sizeof name, "%s_scale_inv", p->name);
    synthetic_add(m->files, p->name, LF_DTYPE_F8_E4M3, 2, n_row, n_col, codes);
    synthetic_add(m->files, name, LF_DTYPE_F32, 2, n_scale_row, n_scale_col, scales);
    free(codes);
    free(scales);
}

static float amplitude_of(const lf_parameter *p)
{
    switch (p->slot) {
    case LF_SLOT_EMBED: return 1.0f;
    case LF_SLOT_ROUTER: return 0.02f;
    case LF_SLOT_LM_HEAD: return 2.0f * sqrtf(3.0f / (float)p->shape[1]);
    default: return sqrtf(3.0f / (float)p->shape[1]);
    }
}

static bool is_norm_of_stream(lf_slot slot)
{
    return slot == LF_SLOT_INPUT_NORM || slot == LF_SLOT_POST_ATTN_NORM || slot == LF_SLOT_FINAL_NORM;
}

// What routing rests on, over the random values of `fill`.
static void reserve(maker *m, const lf_parameter *p, float *values)
{
    int64_t n_row = p->shape[0], n_col = p->shape[1], first = n_col - N_RESERVED;
    size_t order[N_EXPERT];
    if (is_norm_of_stream(p->slot)) {
        for (int64_t i = n_row - N_RESERVED; i < n_row; i++) values[i] = 1.0f;
    } else if (p->slot == LF_SLOT_EMBED) {
        for (int64_t row = 0; row < n_row; row++) {
            shuffle(m, order);
            for (int64_t e = 0; e < N_EXPERT; e++) {
                values[row * n_col + first + e] = 0.75f * ((float)order[e] - (float)(N_EXPERT - 1) / 2);
            }
        }
    } else if (p->slot == LF_SLOT_ROUTER) { // row e reads reserved dimension order[e]
        shuffle(m, order);
        for (int64_t row = 0; row < N_EXPERT; row++) {
            for (int64_t e = 0; e < N_EXPERT; e++) {
                values[row * n_col + first + e] = e == (int64_t)order[row] ? 2.0f : 0.0f;
            }
        }
    } else if (p->slot == LF_SLOT_ROUTER_BIAS) { // one expert always comes, one never
        shuffle(m, order);
        for (int64_t i = 0; i < n_row; i++) values[i] = 0.0f;
        values[order[0]] = 10.0f;
        values[order[1]] = -10.0f;
    }
}

static void fill(maker *m, const lf_parameter *p, int64_t n_live_row, float *values)
{
    int64_t n = p->shape[0] * p->shape[1], n_live = n_live_row * p->shape[1];
    bool is_vector = p->rank == 1;
    float amplitude = amplitude_of(p);
    for (int64_t i = 0; i < n; i++) {
        float u = uniform(m);
        values[i] = is_vector ? 1.0f + 0.5f * u : i < n_live ? amplitude * u : 0.0f;
    }
    reserve(m, p, values);
}

// Routers with a bias, and the bias, are float32, all else is bf16.
static void add_plain(maker *m, const lf_parameter *p, int64_t n_live_row)
{
    size_t n = (size_t)(p->shape[0] * p->shape[1]);
    float *values = malloc(n * sizeof *values);
    lf_bf16 *halves = malloc(n * sizeof *halves);
    assert_true(values && halves);
    fill(m, p, n_live_row, values);
    for (size_t i = 0; i < n; i++) halves[i] = lf_bf16_from_f32(values[i]);
    bool is_router = p->slot == LF_SLOT_ROUTER || p->slot == LF_SLOT_ROUTER_BIAS;
    bool is_f32 = is_router && m->files->config.has_router_bias;
    synthetic_add(m->files, p->name, is_f32 ? LF_DTYPE_F32 : LF_DTYPE_BF16, p->rank, p->shape[0], p->shape[1],
                  is_f32 ? (const void *)values : halves);
    free(values);
    free(halves);
}

void shaped_write(synthetic *s, const shape *wanted)
{
    maker m = {.files = s, .is_fp8 = wanted->is_fp8, .random = 12345};
    begin(&m, wanted);
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, &s->config, NULL), LF_OK);
    for (size_t i = 0; i < parameters.count; i++) {
        const lf_parameter *p = &parameters.items[i];
        int64_t n_live_row = p->shape[0] - (writes_stream(p->slot) ? N_RESERVED : 0);
        if (m.is_fp8 && is_linear(p->slot)) {
            add_fp8(&m, p, n_live_row);
        } else {
            add_plain(&m, p, n_live_row);
        }
    }
    lf_parameters_fini(&parameters);
    synthetic_end(s, 0);
}
