// SPDX-License-Identifier: Apache-2.0
//
// The buffers of the forward pass: how large for this model and this rank's part of it, and where. One list serves
// counting, allocating and freeing.
#include <stdlib.h>

#include "base/mem.h"
#include "engine/forward.h"
#include "model/rope.h"

// Rows are padded to whole cache lines, unless an operator wants them without gaps (rows is NULL).
typedef struct buffer {
    lf_rows *rows;
    lf_dptr *data;
    size_t n_row, n_col, element_bytes;
} buffer;

enum { MAX_BUFFER = 24 };

typedef struct buffer_list {
    buffer items[MAX_BUFFER];
    size_t count;
} buffer_list;

static void add_rows(buffer_list *list, lf_rows *rows, size_t n_row, size_t n_col, size_t element_bytes)
{
    list->items[list->count++] = (buffer){rows, &rows->data, n_row, n_col, element_bytes};
}

static void add_block(buffer_list *list, lf_dptr *data, size_t n_row, size_t n_col, size_t element_bytes)
{
    list->items[list->count++] = (buffer){NULL, data, n_row, n_col, element_bytes};
}

static size_t row_stride(const buffer *b)
{
    if (!b->rows) return b->n_col;
    size_t line = LF_CACHE_LINE_BYTES / b->element_bytes;
    return (b->n_col + line - 1) / line * line;
}

static void set_dimensions(lf_forward *f, const lf_forward_args *args)
{
    const lf_config *c = args->config;
    const lf_rank_plan *plan = args->plan;
    f->rank = (size_t)plan->rank;
    f->n_rank = (size_t)plan->n_rank;
    f->n_head = (size_t)lf_range_length(plan->query_heads);
    f->n_kv_head = (size_t)lf_range_length(plan->kv_heads);
    f->n_head_per_kv = (size_t)(c->num_attention_heads / c->num_key_value_heads);
    f->first_head = f->n_head ? (size_t)plan->query_heads.begin % f->n_head_per_kv : 0;
    bool owns_first = f->n_kv_head && lf_plan_kv_owner(c, plan->n_rank, plan->kv_heads.begin) == plan->rank;
    f->first_owned_kv = f->n_kv_head && !owns_first ? 1 : 0;
    f->n_owned_kv = f->n_kv_head - f->first_owned_kv;
    f->d_head = (size_t)c->head_dim;
    f->d_model = (size_t)c->hidden_size;
    f->d_ff = (size_t)lf_range_length(plan->ffn);
    int64_t expert_width = c->moe_intermediate_size;
    f->d_expert =
        (size_t)(plan->deals_experts ? expert_width
                                     : lf_range_length(lf_range_balanced(expert_width, plan->n_rank, plan->rank)));
    f->d_shared = (size_t)lf_range_length(lf_range_balanced(c->shared_intermediate_size, plan->n_rank, plan->rank));
    f->n_vocab = (size_t)c->vocab_size;
    f->softmax_scale = (float)lf_config_softmax_scale(c);
}

static void list_attention(buffer_list *list, lf_forward *f, const lf_forward_args *args)
{
    const lf_config *c = args->config;
    size_t n_tok = args->max_tok, bf16 = sizeof(lf_bf16), q = f->n_head * f->d_head;
    if (c->kv_lora_rank == 0) {
        add_rows(list, &f->qkv, n_tok, (f->n_head + 2 * f->n_kv_head) * f->d_head, bf16);
        add_rows(list, &f->attention, n_tok, q, bf16);
        return;
    }
    size_t latent = (size_t)lf_config_cache_width(c), q_columns = c->has_q_lora ? (size_t)c->q_lora_rank : q;
    add_rows(list, &f->qkv, n_tok, f->n_head ? q_columns + latent : 0, bf16);
    if (c->has_q_lora) add_rows(list, &f->queries, n_tok, q, bf16);
    add_rows(list, &f->absorbed, n_tok, f->n_head * latent, bf16);
    add_rows(list, &f->latents, n_tok, f->n_head * (size_t)c->kv_lora_rank, bf16);
    add_rows(list, &f->attention, n_tok, f->n_head * (size_t)c->v_head_dim, bf16);
}

static void list_experts(buffer_list *list, lf_forward *f, const lf_forward_args *args)
{
    const lf_config *c = args->config;
    size_t n_active = (size_t)c->num_experts_per_tok, scratch;
    add_block(list, &f->chosen_experts, args->max_tok, n_active, sizeof(int32_t));
    add_block(list, &f->chosen_scores, args->max_tok, n_active, sizeof(float));
    bool fits = args->device->ops->experts_scratch(args->max_tok, n_active, (size_t)c->num_experts, f->d_model,
                                                   f->d_expert, &scratch);
    add_block(list, &f->experts_scratch, 1, fits ? scratch : SIZE_MAX, 1);
}

static void list_buffers(buffer_list *list, lf_forward *f, const lf_forward_args *args)
{
    const lf_config *c = args->config;
    size_t n_tok = args->max_tok, bf16 = sizeof(lf_bf16), f32 = sizeof(float);
    set_dimensions(f, args);
    *list = (buffer_list){.count = 0};
    add_rows(list, &f->hidden, n_tok, f->d_model, bf16);
    add_rows(list, &f->residual, n_tok, f->d_model, bf16);
    list_attention(list, f, args);
    add_rows(list, &f->gate_up, n_tok, 2 * LF_MAX(f->d_ff, f->d_shared), bf16);
    add_rows(list, &f->activation, n_tok, LF_MAX(f->d_ff, f->d_shared), bf16);
    add_rows(list, &f->selected, args->max_row, f->d_model, bf16);
    if (f->rank == 0) add_rows(list, &f->logits, args->max_row, f->n_vocab, f32);
    if (c->num_experts > 0) list_experts(list, f, args);
    if (f->n_rank > 1 || c->num_experts > 0) add_block(list, &f->partial, n_tok, f->d_model, f32);
    if (f->n_rank == 1) return;
    add_block(list, &f->square_sums, n_tok, 2, f32);
    add_block(list, &f->rank_logits, args->max_row, (size_t)lf_range_length(args->plan->vocab), f32);
    if (f->rank == 0) add_block(list, &f->joined_logits, args->max_row, f->n_vocab, f32);
}

static bool buffer_bytes(const buffer *b, size_t *out)
{
    return lf_mul_size(row_stride(b), b->element_bytes, out) && lf_mul_size(*out, b->n_row, out);
}

static bool rope_bytes(const lf_forward_args *args, size_t *out)
{
    return lf_mul_size(args->n_position, (size_t)args->config->rope.rotary_dim * sizeof(float), out);
}

bool lf__forward_bytes(const lf_forward_args *args, size_t *out)
{
    lf_forward unused = {0};
    buffer_list list;
    list_buffers(&list, &unused, args);
    size_t total, bytes;
    if (!rope_bytes(args, &total)) return false;
    for (size_t i = 0; i < list.count; i++) {
        if (!buffer_bytes(&list.items[i], &bytes) || !lf_add_size(total, bytes, &total)) return false;
    }
    *out = total;
    return true;
}

static lf_status upload_rope_table(lf_forward *f, const lf_forward_args *args, lf_error *err)
{
    size_t bytes;
    if (!rope_bytes(args, &bytes)) return lf_error_no_memory(err, 0);
    float *table = lf_aligned_alloc(bytes);
    if (!table) return lf_error_no_memory(err, bytes);
    lf_status status = lf_rope_table(&args->config->rope, args->n_position, table, err);
    if (!status) status = f->device->ops->alloc(f->device, bytes, &f->cos_sin, err);
    if (!status) status = f->device->ops->write(f->device, f->cos_sin, table, bytes, err);
    free(table);
    return status;
}

static lf_status list_vocabulary(lf_forward *f, const lf_forward_args *args, lf_error *err)
{
    f->vocab_of_rank = calloc(f->n_rank, sizeof *f->vocab_of_rank);
    if (!f->vocab_of_rank) return lf_error_no_memory(err, f->n_rank * sizeof *f->vocab_of_rank);
    for (size_t r = 0; r < f->n_rank; r++) {
        lf_range range = lf_range_balanced(args->config->vocab_size, args->plan->n_rank, (int64_t)r);
        f->vocab_of_rank[r] = (size_t)lf_range_length(range);
    }
    return LF_OK;
}

lf_status lf__forward_init(lf_forward *f, const lf_forward_args *args, lf_error *err)
{
    *f = (lf_forward){.device = args->device, .config = args->config, .weights = args->weights, .kv = args->kv};
    buffer_list list;
    list_buffers(&list, f, args);
    lf_status status = LF_OK;
    for (size_t i = 0; i < list.count && !status; i++) {
        size_t bytes;
        if (!buffer_bytes(&list.items[i], &bytes)) return lf_error_no_memory(err, 0);
        if (list.items[i].rows) list.items[i].rows->stride = row_stride(&list.items[i]);
        if (bytes > 0) status = f->device->ops->alloc(f->device, bytes, list.items[i].data, err);
    }
    if (!status) status = list_vocabulary(f, args, err);
    return status ? status : upload_rope_table(f, args, err);
}

void lf__forward_fini(lf_forward *f)
{
    if (!f->device) return;
    lf_dptr owned[] = {f->hidden.data,   f->residual.data,   f->qkv.data,     f->attention.data,  f->queries.data,
                       f->absorbed.data, f->latents.data,    f->gate_up.data, f->activation.data, f->selected.data,
                       f->logits.data,   f->cos_sin,         f->partial,      f->square_sums,     f->chosen_experts,
                       f->chosen_scores, f->experts_scratch, f->rank_logits,  f->joined_logits};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(owned); i++) f->device->ops->free(f->device, owned[i]);
    free(f->vocab_of_rank);
    *f = (lf_forward){0};
}
