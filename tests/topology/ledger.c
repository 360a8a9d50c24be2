// SPDX-License-Identifier: Apache-2.0
//
// What ranks hold and read, beside what `landfall plan --json` says they will: ranges, weights to the byte, cache. And
// what all of them read together: of bf16 checkpoints exactly the checkpoint and what is replicated (parameters that
// every rank needs whole, rows of KV heads that several ranks hold); of FP8 ones besides the scales of blocks that a
// border between ranks cuts, which both sides need: at most all scales once more for each rank.
#include "ranks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "load/load_int.h"

// Of one rank, in the words of the plan.
typedef struct holding {
    int64_t n_query_head, n_kv_head, first_owned_kv, n_owned_kv, first_expert, n_expert, n_vocab;
    int64_t weight_bytes, kv_bytes_per_token; // without a device's padding
    int64_t device_bytes, bytes_read;
} holding;

static int64_t weight_bytes(const lf_weights *weights)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < weights->n_object; i++) {
        const lf_object *object = &weights->objects[i];
        bytes += object->n_row * object->n_col * (lf_slot_is_f32(object->slot) ? 4 : 2);
    }
    return bytes;
}

static holding holding_of(const lf_engine *engine)
{
    const lf_forward *f = &engine->forward;
    const lf_rank_plan *plan = lf_weights_plan(engine->weights);
    json_t *ledger = lf_weights_ledger(engine->weights);
    size_t block_bytes =
        engine->info.n_kv_block ? (size_t)(engine->info.kv_cache_bytes / (uint64_t)engine->info.n_kv_block) : 0;
    holding h = {
        .n_query_head = (int64_t)f->n_head,
        .n_kv_head = (int64_t)f->n_kv_head,
        .first_owned_kv = plan->kv_heads.begin + (int64_t)f->first_owned_kv,
        .n_owned_kv = (int64_t)f->n_owned_kv,
        .first_expert = plan->experts.begin,
        .n_expert = lf_range_length(plan->experts),
        .n_vocab = (int64_t)f->vocab_of_rank[f->rank],
        .weight_bytes = weight_bytes(engine->weights),
        .kv_bytes_per_token = (int64_t)block_bytes / engine->info.block_size,
        .device_bytes = json_integer_value(json_object_get(ledger, "device_bytes")),
        .bytes_read = json_integer_value(json_object_get(ledger, "bytes_read")),
    };
    json_decref(ledger);
    return h;
}

// ---- what the program says ----

static json_t *plan_of(const char *folder, int n_rank, bool deals_experts)
{
    const char *landfall = getenv("LF_TEST_LANDFALL");
    char command[1024];
    json_error_t error;
    assert_non_null(landfall);
    snprintf(command, sizeof command, "env -i '%s' plan '%s' --json -tp %d %s", landfall, folder, n_rank,
             deals_experts ? "--enable-expert-parallel" : "");
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    json_t *root = json_loadf(pipe, 0, &error);
    assert_int_equal(pclose(pipe), 0);
    assert_non_null(root);
    return root;
}

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static int64_t bound(const json_t *rank, const char *key, size_t i)
{
    return json_integer_value(json_array_get(json_object_get(rank, key), i));
}

static int64_t length(const json_t *rank, const char *key) { return bound(rank, key, 1) - bound(rank, key, 0); }

static void judge_equal(ranks *r, const char *name, const char *what, int64_t found, int64_t expected)
{
    judge(r, found == expected, name, what, (double)found, (double)expected);
}

static void judge_rank(ranks *r, const char *name, const json_t *said, const holding *h)
{
    const json_t *owned = json_object_get(said, "kv_heads_owned");
    judge_equal(r, name, "query heads", h->n_query_head, length(said, "query_heads"));
    judge_equal(r, name, "KV heads", h->n_kv_head, length(said, "kv_heads"));
    judge_equal(r, name, "KV heads owned", h->n_owned_kv, (int64_t)json_array_size(owned));
    if (h->n_owned_kv > 0) {
        judge_equal(r, name, "first KV head owned", h->first_owned_kv, json_integer_value(json_array_get(owned, 0)));
    }
    judge_equal(r, name, "vocabulary", h->n_vocab, length(said, "vocab"));
    if (json_is_array(json_object_get(said, "experts"))) {
        judge_equal(r, name, "experts", h->n_expert, length(said, "experts"));
        judge_equal(r, name, "first expert", h->first_expert, bound(said, "experts", 0));
    }
    judge_equal(r, name, "weight bytes", h->weight_bytes, number(said, "weight_bytes"));
    judge_equal(r, name, "cache bytes", h->kv_bytes_per_token, number(said, "kv_bytes_per_token"));
    judge(r, h->device_bytes >= h->weight_bytes, name, "device bytes", (double)h->device_bytes,
          (double)h->weight_bytes);
}

// ---- what was read ----

typedef struct reading {
    int64_t least, most;
} reading;

// Ranks beside the first one that hold a parameter, each row of it or all.
static int64_t replicated_bytes(const lf_parameter *p, const lf_config *config, int64_t n_rank, int64_t bytes)
{
    int64_t n_copy = 0;
    if (p->partition == LF_PARTITION_NONE) return (n_rank - 1) * bytes;
    if (p->partition != LF_PARTITION_KV_HEADS) return 0;
    for (int64_t head = 0; head < config->num_key_value_heads; head++) {
        n_copy += lf_plan_kv_copies(config, n_rank, head) - 1;
    }
    return n_copy * bytes / config->num_key_value_heads;
}

// Bytes that n_rank ranks may read together.
static reading allowed(const char *folder, int64_t n_rank)
{
    opened o;
    lf_parameters parameters;
    reading sum = {0, 0};
    opened_init(&o, folder);
    assert_int_equal(lf_parameters_build(&parameters, &o.config, NULL), LF_OK);
    for (size_t i = 0; i < parameters.count; i++) {
        const lf_parameter *p = &parameters.items[i];
        const lf_logical_tensor *tensor = lf_quant_find(o.quant, p->name);
        int64_t bytes = (int64_t)tensor->weight->bytes, scale = tensor->scale ? (int64_t)tensor->scale->bytes : 0;
        int64_t both = bytes + scale + replicated_bytes(p, &o.config, n_rank, bytes);
        sum.least += both;
        sum.most += both;
        if (tensor->scale) sum.most += (n_rank - 1) * scale;
    }
    lf_parameters_fini(&parameters);
    opened_fini(&o);
    return sum;
}

// ---- running ----

static void judge_ranks(ranks *r, const char *name, const char *folder, bool deals_experts, const holding *all)
{
    json_t *plan = plan_of(folder, r->n_rank, deals_experts);
    reading limits = allowed(folder, r->n_rank);
    int64_t sum = 0;
    for (int rank = 0; rank < r->n_rank; rank++) {
        judge_rank(r, name, json_array_get(json_object_get(plan, "ranks"), (size_t)rank), &all[rank]);
        sum += all[rank].bytes_read;
    }
    judge(r, sum >= limits.least, name, "bytes read, at least", (double)sum, (double)limits.least);
    judge(r, sum <= limits.most, name, "bytes read, at most", (double)sum, (double)limits.most);
    json_decref(plan);
}

static void run_model(ranks *r, const char *name, const char *folder, bool deals_experts)
{
    lf_engine engine;
    lf_error err = {0};
    size_t part[64];
    assert_true(r->n_rank <= 64);
    holding *all = calloc((size_t)r->n_rank, sizeof *all);
    assert_non_null(all);
    for (int i = 0; i < r->n_rank; i++) part[i] = sizeof *all;
    model_build(&engine, r->comm, &(model_options){.dir = folder, .deals_experts = deals_experts});
    holding mine = holding_of(&engine);
    model_end(&engine);
    assert_int_equal(lf_comm_gather(r->comm, &mine, part, all, &err), LF_OK);
    if (r->rank == 0) judge_ranks(r, name, folder, deals_experts, all);
    free(all);
}

static void run_shape(ranks *r, const shape *wanted, bool has_experts)
{
    char folder[64] = "", name[128], whole[160];
    synthetic files;
    lf_error err = {0};
    snprintf(name, sizeof name, "%s %d %d %s", wanted->model_type, (int)wanted->n_head, (int)wanted->n_kv_head,
             wanted->is_fp8 ? "fp8" : "bf16");
    snprintf(whole, sizeof whole, "%s, experts whole", name);
    if (r->rank == 0) {
        shaped_write(&files, wanted);
        memcpy(folder, files.folder, sizeof folder);
    }
    assert_int_equal(lf_comm_broadcast(r->comm, folder, sizeof folder, &err), LF_OK);
    run_model(r, name, folder, false);
    if (has_experts) run_model(r, whole, folder, true);
    if (r->rank == 0) synthetic_remove(&files);
}

void run_ledgers(ranks *r) { for_each_shape(r, true, run_shape); }
