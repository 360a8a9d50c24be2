// SPDX-License-Identifier: Apache-2.0
//
// What a tensor is, by its name: for architectures without a parameter table. The lists hold the names that published
// checkpoints use; a name that is on none of them belongs to the part "other" and is cut by nobody.
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/outline.h"

const char *lf_part_name(lf_part part)
{
    static const char *const names[] = {"embedding", "attention", "mlp",    "experts", "norms",
                                        "head",      "MTP",       "vision", "other"};
    return (size_t)part < LF_ARRAY_LENGTH(names) ? names[part] : "?";
}

typedef struct component {
    const char *at;
    size_t length;
} component;

static component first_component(const char *name) { return (component){name, strcspn(name, ".")}; }

// The next one; at the end its length is 0 and it stands on the NUL.
static component next_component(component c)
{
    const char *at = c.at + c.length;
    if (*at == '.') at++;
    return (component){at, strcspn(at, ".")};
}

static bool is(component c, const char *text) { return strlen(text) == c.length && memcmp(c.at, text, c.length) == 0; }

static bool begins(component c, const char *text)
{
    size_t length = strlen(text);
    return c.length >= length && memcmp(c.at, text, length) == 0;
}

static bool is_one_of(component c, const char *const *list)
{
    for (; *list; list++) {
        if (is(c, *list)) return true;
    }
    return false;
}

static const char *const attention_names[] = {"self_attn", "attn", "attention", "linear_attn", "self_attention", NULL};
static const char *const mlp_names[] = {
    "mlp", "ffn", "feed_forward", "block_sparse_moe", "shared_experts", "shared_expert", "moe", NULL};
static const char *const embedding_names[] = {"embed_tokens",    "embed",      "wte", "tok_embeddings",
                                              "word_embeddings", "embeddings", NULL};
static const char *const head_names[] = {"lm_head", "head", "output", NULL};
static const char *const router_names[] = {"gate", "router", "e_score_correction_bias", "tid2eid", NULL};
static const char *const q_names[] = {"q_proj", "wq", "q_b_proj", "kv_b_proj", "wq_b", NULL};
static const char *const kv_names[] = {"k_proj", "v_proj", "wk", "wv", NULL};
static const char *const o_names[] = {"o_proj", "wo", NULL};
static const char *const ffn_row_names[] = {"gate_proj", "up_proj", "w1", "w3", NULL};
static const char *const ffn_col_names[] = {"down_proj", "w2", NULL};

static bool is_number(component c)
{
    size_t n = 0;
    while (n < c.length && c.at[n] >= '0' && c.at[n] <= '9') n++;
    return n == c.length && n > 0 && n < 10;
}

int64_t lf_layer_of(const char *name)
{
    for (component c = first_component(name); c.length; c = next_component(c)) {
        component next = next_component(c);
        if (is(c, "layers") && is_number(next)) return strtoll(next.at, NULL, 10);
    }
    return -1;
}

// Whether the name says vision or audio anywhere.
static bool is_of_tower(component c)
{
    static const char *const starts[] = {"visual", "vision", "multi_modal", "mm_", "patch_merge", "audio", "image_"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(starts); i++) {
        if (begins(c, starts[i])) return true;
    }
    return false;
}

// What the components of a name say, in one pass.
typedef struct reading {
    component module; // the last one that is no "weight", "bias" or number
    bool is_tower, is_expert, is_attention, is_mlp, is_router, is_head, is_embedding;
} reading;

static reading read_name(const char *name)
{
    reading r = {0};
    for (component c = first_component(name); c.length; c = next_component(c)) {
        r.is_tower |= is_of_tower(c);
        r.is_expert |= is(c, "experts");
        r.is_attention |= is_one_of(c, attention_names);
        r.is_mlp |= is_one_of(c, mlp_names);
        r.is_router |= is_one_of(c, router_names);
        r.is_head |= is_one_of(c, head_names);
        r.is_embedding |= is_one_of(c, embedding_names);
        if (!is(c, "weight") && !is(c, "bias") && !is_number(c)) r.module = c;
    }
    return r;
}

static bool has_norm(component c)
{
    for (size_t i = 0; i + 4 <= c.length; i++) {
        if (memcmp(c.at + i, "norm", 4) == 0) return true;
    }
    return begins(c, "ln_");
}

bool lf_name_is_mtp(const lf_outline *outline, const char *name)
{
    bool is_mtp = false, is_tower = false;
    int64_t n_layer = LF_MAX(outline->num_hidden_layers, outline->num_checkpoint_layers);
    for (component c = first_component(name); c.length; c = next_component(c)) {
        component next = next_component(c);
        is_tower |= is_of_tower(c);
        is_mtp |= begins(c, "mtp") || begins(c, "nextn");
        if (n_layer && is(c, "layers") && is_number(next)) is_mtp |= strtoll(next.at, NULL, 10) >= n_layer;
    }
    return is_mtp && !is_tower;
}

static lf_part part_of(const lf_outline *outline, const char *name, const reading *r)
{
    if (r->is_tower) return LF_PART_VISION;
    if (lf_name_is_mtp(outline, name)) return LF_PART_MTP;
    if (has_norm(r->module)) return LF_PART_NORM;
    if (r->is_expert || (r->is_mlp && r->is_router)) return LF_PART_EXPERTS;
    if (r->is_attention) return LF_PART_ATTENTION;
    if (r->is_mlp) return LF_PART_MLP;
    if (r->is_embedding) return LF_PART_EMBEDDING;
    return r->is_head ? LF_PART_HEAD : LF_PART_OTHER;
}

static void cut(lf_role *role, lf_partition partition, int64_t unit)
{
    role->partition = partition;
    role->unit = unit;
}

// Norms of queries and keys: over one head, or over all of them.
static void cut_norm(const lf_outline *outline, component module, int64_t n, lf_role *role)
{
    bool is_q = is(module, "q_norm"), is_k = is(module, "k_norm");
    if ((!is_q && !is_k) || outline->kv_lora_rank || outline->head_dim == 0) return;
    int64_t n_head = is_q ? outline->num_attention_heads : outline->num_key_value_heads;
    role->is_head_norm = n == outline->head_dim;
    if (n_head > 1 && n == n_head * outline->head_dim) {
        cut(role, is_q ? LF_PARTITION_Q_HEADS : LF_PARTITION_KV_HEADS, outline->head_dim);
    }
}

static void cut_attention(const lf_outline *outline, component module, int64_t n_row, int64_t n_col, lf_role *role)
{
    int64_t n_head = outline->num_attention_heads, n_kv_head = outline->num_key_value_heads;
    if (n_head && is_one_of(module, q_names) && n_row % n_head == 0) {
        cut(role, LF_PARTITION_Q_HEADS, n_row / n_head);
    } else if (n_kv_head && is_one_of(module, kv_names) && n_row % n_kv_head == 0) {
        cut(role, LF_PARTITION_KV_HEADS, n_row / n_kv_head);
    } else if (n_head && is_one_of(module, o_names) && n_col > 1 && n_col % n_head == 0) {
        cut(role, LF_PARTITION_O_HEADS, n_col / n_head);
    }
}

lf_role lf_role_of(const lf_outline *outline, const char *name, int64_t n_row, int64_t n_col)
{
    reading r = read_name(name);
    lf_role role = {.part = part_of(outline, name, &r), .unit = 1, .is_expert = r.is_expert};
    if (role.part == LF_PART_VISION) return role;
    if (has_norm(r.module)) {
        cut_norm(outline, r.module, n_row, &role);
    } else if (r.is_attention) {
        cut_attention(outline, r.module, n_row, n_col, &role);
    } else if (r.is_mlp || r.is_expert) {
        if (is_one_of(r.module, ffn_row_names)) cut(&role, LF_PARTITION_FFN_ROWS, 1);
        if (is_one_of(r.module, ffn_col_names) && n_col > 1) cut(&role, LF_PARTITION_FFN_COLS, 1);
    } else if (n_col > 1 && n_row == outline->vocab_size && (r.is_embedding || r.is_head)) {
        cut(&role, LF_PARTITION_VOCAB, 1);
    }
    return role;
}
