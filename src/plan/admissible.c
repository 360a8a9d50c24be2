// SPDX-License-Identifier: Apache-2.0
#include "plan/admissible.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"

typedef struct answer {
    char *why;
    size_t why_bytes;
} answer;

static bool refuse(answer *a, const char *field, int64_t n, int64_t tp, const char *rule, int64_t divisor)
{
    if (!a->why_bytes) return false;
    if (divisor)
        snprintf(a->why, a->why_bytes, "%s %" PRId64 " / %" PRId64 " = %.6g, not a multiple of %" PRId64, field, n, tp,
                 (double)n / (double)tp, divisor);
    else
        snprintf(a->why, a->why_bytes, "%s %" PRId64 " %s %" PRId64, field, n, rule, tp);
    return false;
}

// One width that is cut into tp parts: it must divide, and into whole blocks when `block` is not 0. An absent width (0)
// has nothing to say.
static bool fits(answer *a, const char *field, int64_t n, int64_t tp, int64_t block)
{
    if (n <= 0) return true;
    if (n % tp) return refuse(a, field, n, tp, "is not divisible by", 0);
    return block == 0 || n / tp % block == 0 || tp == 1 || refuse(a, field, n, tp, NULL, block);
}

static bool heads_fit(answer *a, const lf_outline *o, int64_t tp)
{
    int64_t n_kv = o->num_key_value_heads;
    if (o->num_attention_heads % tp)
        return refuse(a, "num_attention_heads", o->num_attention_heads, tp, "is not divisible by", 0);
    if (o->kv_lora_rank || n_kv == 0 || n_kv % tp == 0 || tp % n_kv == 0) return true;
    return refuse(a, "num_key_value_heads", n_kv, tp, "neither divides nor is a multiple of", 0);
}

// Rows and columns of the attention's projections on a rank, in blocks.
static bool attention_fits(answer *a, const lf_outline *o, int64_t tp, int64_t rows, int64_t cols)
{
    int64_t n_head = o->num_attention_heads;
    if (o->kv_lora_rank) {
        return fits(a, "query rows", n_head * (o->qk_nope_head_dim + o->qk_rope_head_dim), tp, rows) &&
               fits(a, "key and value rows", n_head * (o->qk_nope_head_dim + o->v_head_dim), tp, rows) &&
               fits(a, "attention columns", n_head * o->v_head_dim, tp, cols);
    }
    int64_t n_kv_rank = LF_MAX(o->num_key_value_heads / tp, 1); // replicated when there are fewer
    if (tp > 1 && rows && n_kv_rank * o->head_dim % rows)
        return refuse(a, "key rows", o->num_key_value_heads * o->head_dim, LF_MIN(tp, o->num_key_value_heads), NULL,
                      rows);
    return fits(a, "query rows", n_head * o->head_dim, tp, rows) &&
           fits(a, "attention columns", n_head * o->head_dim, tp, cols);
}

bool lf_tp_is_admissible(const lf_outline *o, int64_t tp, lf_engine_rule rule, char *why, size_t why_bytes)
{
    answer a = {why, why ? why_bytes : 0};
    bool has_blocks = rule != LF_ENGINE_BF16;
    int64_t rows = has_blocks ? o->block_rows : 0, block = has_blocks ? LF_MAX(o->block_rows, o->block_cols) : 0;
    if (why_bytes && why) why[0] = '\0';
    if (o->num_attention_heads && !heads_fit(&a, o, tp)) return false;
    if (has_blocks && o->num_attention_heads && !attention_fits(&a, o, tp, rows, o->block_cols)) return false;
    if (o->has_dense_layers && !fits(&a, "intermediate_size", o->intermediate_size, tp, block)) return false;
    if (!fits(&a, "the shared experts'", o->shared_intermediate_size, tp, block)) return false;
    if (rule == LF_ENGINE_FP8_BLOCK_EXPERTS) return fits(&a, "the number of experts", o->num_experts, tp, 0);
    return o->num_experts == 0 || fits(&a, "moe_intermediate_size", o->moe_intermediate_size, tp, block);
}
