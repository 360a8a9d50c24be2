// SPDX-License-Identifier: Apache-2.0
//
// Thousands of random models on up to 64 ranks: every row and column of every parameter is held as the rule says and no
// otherwise. The rule stands here a second time, in its plainest form: query heads are dealt out one after the other,
// the first ranks getting one more where it does not come out even, and a rank holds a KV head when one of its query
// heads reads it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "plan/plan.h"
#include "tests.h"

enum { MAX_RANK = 64, MAX_LENGTH = 4096, N_MODEL = 3000 };

static uint64_t state = 88172645463325252u; // xorshift: the same models in every run

static int64_t draw(int64_t least, int64_t most)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return least + (int64_t)(state % (uint64_t)(most - least + 1));
}

// ---- models ----

enum { TEXT_BYTES = 2048 };

static lf_config random_config(char text[TEXT_BYTES])
{
    static const char *const types[] = {"llama", "qwen2", "qwen3", "qwen3_moe", "minimax_m2", "deepseek_v3"};
    static const int64_t most_heads = 64;
    int64_t n_kv = draw(1, 12), n_head = n_kv * draw(1, LF_MAX(most_heads / n_kv / 2, 1)), n_expert = draw(1, 20);
    char latent[300], q_rank[16] = "null";
    int type = (int)draw(0, LF_ARRAY_LENGTH(types) - 1);
    if (draw(0, 1)) snprintf(q_rank, sizeof q_rank, "%d", (int)draw(1, 20));
    snprintf(latent, sizeof latent,
             "\"kv_lora_rank\": %d, \"q_lora_rank\": %s, \"qk_nope_head_dim\": %d, \"qk_rope_head_dim\": %d, "
             "\"v_head_dim\": %d, \"n_routed_experts\": %d, \"n_shared_experts\": %d, \"n_group\": 1, "
             "\"topk_group\": 1, \"first_k_dense_replace\": %d",
             (int)draw(1, 20), q_rank, (int)draw(1, 9), (int)draw(1, 3) * 2, (int)draw(1, 9), (int)n_expert,
             (int)draw(0, 3), (int)draw(0, 2));
    bool is_latent = strcmp(types[type], "deepseek_v3") == 0;
    if (!is_latent) snprintf(latent, sizeof latent, "\"rotary_dim\": 2");
    snprintf(
        text, TEXT_BYTES,
        "{\"model_type\": \"%s\", \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": %d, "
        "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d, "
        "\"num_experts\": %d, \"num_local_experts\": %d, \"num_experts_per_tok\": %d, \"moe_intermediate_size\": %d, "
        "\"mlp_only_layers\": [0], %s, \"attention_bias\": %s, \"mlp_bias\": %s, "
        "\"tie_word_embeddings\": %s}",
        types[type], (int)draw(1, 40), (int)draw(1, 300), (int)draw(1, 2), (int)n_head, (int)n_kv, (int)draw(1, 8) * 2,
        (int)draw(1, 300), (int)n_expert, (int)n_expert, (int)draw(1, n_expert), (int)draw(1, 90), latent,
        draw(0, 1) && !is_latent ? "true" : "false", draw(0, 1) ? "true" : "false", draw(0, 1) ? "true" : "false");
    lf_config config;
    lf_error err = {0};
    json_t *json = NULL;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    if (lf_config_parse(&config, json, &err)) fail_msg("%s: %s", err.message, text);
    json_decref(json);
    return config;
}

// ---- the rule ----

// holder[i]: the rank of element i of n.
static void deal(int64_t n, int64_t n_rank, int64_t *holder)
{
    int64_t i = 0;
    for (int64_t rank = 0; rank < n_rank; rank++) {
        for (int64_t k = 0; k < n / n_rank + (rank < n % n_rank); k++) holder[i++] = rank;
    }
    assert_int_equal(i, n);
}

typedef struct rule {
    const lf_config *config;
    int64_t n_rank;
    bool deals_experts;
    int64_t head[MAX_LENGTH], vocab[MAX_LENGTH], ffn[MAX_LENGTH], expert_ffn[MAX_LENGTH], shared_ffn[MAX_LENGTH],
        expert[MAX_LENGTH]; // holders
} rule;

static void rule_init(rule *r, const lf_config *config, int64_t n_rank, bool deals_experts)
{
    r->config = config;
    r->n_rank = n_rank;
    r->deals_experts = deals_experts;
    deal(config->num_attention_heads, n_rank, r->head);
    deal(config->vocab_size, n_rank, r->vocab);
    deal(config->intermediate_size, n_rank, r->ffn);
    deal(config->moe_intermediate_size, n_rank, r->expert_ffn);
    deal(config->shared_intermediate_size, n_rank, r->shared_ffn);
    deal(config->num_experts, n_rank, r->expert);
}

static bool holds_kv(const rule *r, int64_t rank, int64_t kv)
{
    int64_t group = r->config->num_attention_heads / r->config->num_key_value_heads;
    for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
        if (r->head[head] == rank) return true;
    }
    return false;
}

// Whether a rank holds a row (is_row) or column of a parameter.
static bool holds(const rule *r, const lf_parameter *p, int64_t rank, bool is_row, int64_t i)
{
    bool is_shared = p->slot == LF_SLOT_SHARED_GATE_UP || p->slot == LF_SLOT_SHARED_DOWN;
    const int64_t *widths = p->expert >= 0 ? r->expert_ffn : is_shared ? r->shared_ffn : r->ffn;
    int64_t n_head = r->config->num_attention_heads;
    if (p->expert >= 0 && r->deals_experts) return r->expert[p->expert] == rank;
    switch (p->partition) {
    case LF_PARTITION_NONE: return true;
    case LF_PARTITION_Q_HEADS: return !is_row || r->head[i / (p->shape[0] / n_head)] == rank;
    case LF_PARTITION_KV_HEADS: return !is_row || holds_kv(r, rank, i / r->config->head_dim);
    case LF_PARTITION_O_HEADS: return is_row || r->head[i / (p->shape[1] / n_head)] == rank;
    case LF_PARTITION_FFN_ROWS: return !is_row || widths[i] == rank;
    case LF_PARTITION_FFN_COLS: return is_row || widths[i] == rank;
    case LF_PARTITION_VOCAB: return !is_row || r->vocab[i] == rank;
    default: fail_msg("partition %d has no rule in this test", (int)p->partition); return false;
    }
}

// ---- comparing ----

// [begin, begin + n) must be exactly what the rule says, and nothing when the other side is nothing.
static void check_side(const rule *r, const lf_parameter *p, int64_t rank, bool is_row, int64_t begin, int64_t n,
                       bool is_nothing)
{
    int64_t length = p->shape[is_row ? 0 : 1];
    for (int64_t i = 0; i < length; i++) {
        bool is_held = i >= begin && i < begin + n;
        if (is_held != holds(r, p, rank, is_row, i) && !is_nothing) {
            fail_msg("%s, %s %d: rank %d of %d %s it", p->name, is_row ? "row" : "column", (int)i, (int)rank,
                     (int)r->n_rank, is_held ? "holds" : "lacks");
        }
    }
}

static void check_rank(const rule *r, const lf_parameters *parameters, const lf_slices *slices, int64_t rank,
                       uint64_t *area)
{
    int64_t next_row[LF_SLOT_COUNT] = {0}, layer = -2, expert = -2;
    lf_slot slot = LF_SLOT_COUNT;
    assert_int_equal(slices->count, parameters->count);
    for (size_t i = 0; i < slices->count; i++) {
        const lf_parameter *p = &parameters->items[i];
        lf_rect rect = slices->items[i].rect;
        bool is_nothing = rect.n_row == 0 || rect.n_col == 0;
        check_side(r, p, rank, true, rect.row, rect.n_row, is_nothing);
        check_side(r, p, rank, false, rect.col, rect.n_col, is_nothing);
        // Nothing is right only where a side really is nothing.
        if (is_nothing) {
            bool has_row = false, has_col = false;
            for (int64_t row = 0; row < p->shape[0]; row++) has_row |= holds(r, p, rank, true, row);
            for (int64_t col = 0; col < p->shape[1]; col++) has_col |= holds(r, p, rank, false, col);
            assert_false(has_row && has_col);
        }
        area[i] += (uint64_t)rect.n_row * (uint64_t)rect.n_col;
        // Within a rank the parts of an object stack without a hole.
        if (p->slot != slot || p->layer != layer || p->expert != expert) next_row[p->slot] = 0;
        slot = p->slot, layer = p->layer, expert = p->expert;
        if (!is_nothing) assert_int_equal(slices->items[i].slot_row, next_row[p->slot]);
        next_row[p->slot] += rect.n_row;
    }
}

// Every element once over all ranks, but what is replicated.
static void check_areas(const rule *r, const lf_parameters *parameters, const uint64_t *area)
{
    for (size_t i = 0; i < parameters->count; i++) {
        const lf_parameter *p = &parameters->items[i];
        uint64_t whole = (uint64_t)p->shape[0] * (uint64_t)p->shape[1], n_copy = 1;
        bool is_dealt = p->expert >= 0 && r->deals_experts;
        if (p->partition == LF_PARTITION_NONE && !is_dealt) n_copy = (uint64_t)r->n_rank;
        if (p->partition != LF_PARTITION_KV_HEADS) {
            assert_int_equal(area[i], n_copy * whole);
            continue;
        }
        uint64_t n_held = 0;
        for (int64_t kv = 0; kv < r->config->num_key_value_heads; kv++) {
            for (int64_t rank = 0; rank < r->n_rank; rank++) n_held += holds_kv(r, rank, kv);
        }
        assert_int_equal(area[i], n_held * whole / (uint64_t)r->config->num_key_value_heads);
    }
}

// A KV head has one owner: the first of its holders, and there are as many as lf_plan_kv_copies says.
static void check_owners(const rule *r)
{
    for (int64_t kv = 0; kv < r->config->num_key_value_heads; kv++) {
        int64_t first = -1, n = 0;
        for (int64_t rank = 0; rank < r->n_rank; rank++) {
            if (!holds_kv(r, rank, kv)) continue;
            if (n++ == 0) first = rank;
        }
        assert_int_equal(lf_plan_kv_owner(r->config, r->n_rank, kv), first);
        assert_int_equal(lf_plan_kv_copies(r->config, r->n_rank, kv), n);
    }
}

static void check_model(rule *r, const lf_config *config, int64_t n_rank, bool deals_experts)
{
    lf_parameters parameters;
    assert_int_equal(lf_parameters_build(&parameters, config, NULL), LF_OK);
    uint64_t *area = calloc(parameters.count, sizeof *area);
    assert_non_null(area);
    rule_init(r, config, n_rank, deals_experts);
    check_owners(r);
    for (int64_t rank = 0; rank < n_rank; rank++) {
        lf_rank_plan plan;
        lf_slices slices;
        assert_int_equal(lf_rank_plan_build(&plan, config, n_rank, rank, NULL), LF_OK);
        if (deals_experts) lf_rank_plan_deal_experts(&plan, config, n_rank, rank);
        assert_int_equal(lf_slices_build(&slices, &parameters, config, &plan, NULL), LF_OK);
        check_rank(r, &parameters, &slices, rank, area);
        lf_slices_fini(&slices);
    }
    check_areas(r, &parameters, area);
    free(area);
    lf_parameters_fini(&parameters);
}

static void random_models_are_covered_as_the_rule_says(void **state_unused)
{
    static rule r;
    char text[TEXT_BYTES];
    for (int i = 0; i < N_MODEL; i++) {
        lf_config config = random_config(text);
        int64_t n_rank = i % 10 == 0 ? draw(17, MAX_RANK) : draw(1, 16);
        check_model(&r, &config, n_rank, config.num_experts > 0 && draw(0, 1));
    }
}

// ---- what an even split gets wrong ----

// Rows [rank * n / n_rank, (rank + 1) * n / n_rank): how k_norm, k_proj and v_proj are often cut.
static lf_range even_split(int64_t n, int64_t n_rank, int64_t rank)
{
    return (lf_range){rank * n / n_rank, (rank + 1) * n / n_rank};
}

// Rows of the KV heads' norm that a rank has where it needs them: row i of its part for dimension i of the heads it
// holds.
static int64_t n_row_in_place(lf_range needed, lf_range given)
{
    int64_t n = 0;
    for (int64_t i = 0; i < lf_range_length(needed) && i < lf_range_length(given); i++) {
        n += needed.begin + i == given.begin + i;
    }
    return n;
}

static lf_range k_norm_rows(const lf_config *config, const lf_parameters *parameters, int64_t n_rank, int64_t rank)
{
    lf_rank_plan plan;
    assert_int_equal(lf_rank_plan_build(&plan, config, n_rank, rank, NULL), LF_OK);
    for (size_t i = 0; i < parameters->count; i++) {
        if (parameters->items[i].slot != LF_SLOT_K_NORM) continue;
        lf_rect rect = lf_slice_rect(&parameters->items[i], config, &plan);
        return (lf_range){rect.row, rect.row + rect.n_row};
    }
    fail_msg("no k_norm");
    return (lf_range){0, 0};
}

// MiniMax-M2: 48 query heads on 8 KV heads of 128. On 8 ranks an even split is right; on 16, where two ranks share a KV
// head, every rank gets 64 numbers for 128 dimensions ("128 vs 64"), and every second rank those of the other half.
static void an_even_split_is_wrong_where_kv_heads_are_replicated(void **state_unused)
{
    static const char text[] =
        "{\"model_type\": \"minimax_m2\", \"num_attention_heads\": 48, \"num_key_value_heads\": 8, "
        "\"head_dim\": 128, \"hidden_size\": 16, \"intermediate_size\": 8, \"num_hidden_layers\": 1, "
        "\"num_local_experts\": 2, \"num_experts_per_tok\": 1, \"vocab_size\": 9, \"rotary_dim\": 64}";
    lf_config config;
    lf_error err = {0};
    json_t *json = NULL;
    lf_parameters parameters;
    assert_int_equal(lf_json_parse(&json, text, strlen(text), "config", &err), LF_OK);
    assert_int_equal(lf_config_parse(&config, json, &err), LF_OK);
    json_decref(json);
    assert_int_equal(lf_parameters_build(&parameters, &config, &err), LF_OK);
    for (int64_t n_rank = 1; n_rank <= 48; n_rank++) {
        bool is_right = true;
        int64_t n_held = 0;
        for (int64_t rank = 0; rank < n_rank; rank++) {
            lf_range needed = k_norm_rows(&config, &parameters, n_rank, rank);
            lf_range given = even_split(8 * 128, n_rank, rank);
            is_right &= needed.begin == given.begin && needed.end == given.end;
            if (n_rank == 16) {
                assert_int_equal(lf_range_length(needed), 128);
                assert_int_equal(lf_range_length(given), 64);
                assert_int_equal(n_row_in_place(needed, given), rank % 2 == 0 ? 64 : 0);
            }
            n_held += lf_range_length(needed);
        }
        assert_int_equal(is_right, 8 % n_rank == 0);
        // A sum of squares over all that ranks hold counts replicated heads as often as they are held: on 16 ranks the
        // norm would divide by sqrt(2) too much.
        if (n_rank == 16) assert_int_equal(n_held, 2 * 8 * 128);
    }
    lf_parameters_fini(&parameters);
}

int test_cover(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_models_are_covered_as_the_rule_says),
        cmocka_unit_test(an_even_split_is_wrong_where_kv_heads_are_replicated),
    };
    return cmocka_run_group_tests_name("cover", tests, NULL, NULL);
}
