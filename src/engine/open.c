// SPDX-License-Identifier: Apache-2.0
//
// Opening: read and check the model, settle the limits, open the device, load, divide what memory is left, allocate
// every buffer, and run one token through the model. The log lines are worded as vLLM's, because people grep for them;
// none says more than what happened.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine_int.h"
#include "model/preflight.h"

enum {
    DEFAULT_MAX_SEQ = 32,
    DEFAULT_BATCHED_TOK = 512,
    DEFAULT_BLOCK_SIZE = 16,
    MAX_SEQ = 4096,
    MAX_BATCHED_TOK = 1 << 16,
    MAX_BLOCK_SIZE = 1024,
    PROMPT_ROW = 32,
};

static const double GIB = 1024.0 * 1024.0 * 1024.0;

// ---- the model ----

static void log_warnings(const lf_findings *findings)
{
    enum { MOST = 20 };
    size_t n = 0;
    for (size_t i = 0; i < findings->count; i++) {
        const lf_finding *finding = &findings->items[i];
        if (finding->severity != LF_SEVERITY_WARNING || n++ >= MOST) continue;
        lf_log(LF_LOG_WARNING, "%s: %s (%s)", finding->subject, finding->message, finding->code);
    }
    if (n > MOST) lf_log(LF_LOG_WARNING, "%zu warnings more; `landfall check` shows them", n - MOST);
}

static lf_status read_own_model(lf_engine *engine, lf_preflight *preflight, lf_error *err)
{
    if (engine->options.load_format == LF_LOAD_DUMMY) { // lesson L1: config.json is all that must be there
        json_t *json = NULL;
        lf_status status =
            lf_config_load(&engine->config, &json, engine->options.model_dir, engine->options.hf_overrides, err);
        json_decref(json);
        return status;
    }
    lf_status status = lf_preflight_run(preflight, engine->options.model_dir, engine->options.hf_overrides, err);
    if (!status) status = lf_findings_status(&preflight->findings, err);
    if (!status && !preflight->has_table) {
        status = lf_error_set(err, LF_ERR_UNSUPPORTED, "no parameter table for the architecture of %s",
                              engine->options.model_dir);
        lf_error_expected(err, "%s", lf_config_supported());
    }
    if (status) return status;
    if (lf_comm_rank(engine->options.comm) == 0) log_warnings(&preflight->findings); // the others see the same
    engine->config = preflight->config;
    return LF_OK;
}

// What ranks must have in common, as a hash: config.json and what is laid over it, the files' headers and sizes, what
// loading is told, the program.
static lf_status fingerprint(const lf_engine *engine, const lf_preflight *preflight, char hex[LF_SHA256_HEX_BYTES],
                             lf_error *err)
{
    const lf_engine_options *o = &engine->options;
    lf_mapping file = {0};
    char *path = lf_path_join(o->model_dir, "config.json");
    char *overrides = o->hf_overrides ? json_dumps(o->hf_overrides, JSON_COMPACT | JSON_SORT_KEYS) : strdup("");
    lf_status status = path && overrides ? lf_mapping_open(&file, path, err) : lf_error_no_memory(err, 0);
    free(path);
    if (status) {
        free(overrides);
        return status;
    }
    lf_sha256 hash;
    lf_sha256_init(&hash);
    if (file.bytes) lf_sha256_update(&hash, file.data, file.bytes);
    lf_mapping_close(&file);
    lf_sha256_update(&hash, overrides, strlen(overrides) + 1);
    free(overrides);

    char text[160];
    int n = snprintf(text, sizeof text, "%s %d %d %d %llu", LF_VERSION, (int)o->load_format, (int)o->rounding,
                     o->enable_expert_parallel, (unsigned long long)o->seed);
    lf_sha256_update(&hash, text, (size_t)n + 1);
    for (size_t i = 0; preflight->checkpoint && i < lf_checkpoint_n_shard(preflight->checkpoint); i++) {
        const lf_shard *shard = lf_checkpoint_shard(preflight->checkpoint, i);
        n = snprintf(text, sizeof text, "%zu %llu", shard->header_bytes, (unsigned long long)shard->file_bytes);
        lf_sha256_update(&hash, text, (size_t)n + 1);
        lf_sha256_update(&hash, shard->header, shard->header_bytes);
    }
    lf_sha256_final_hex(&hash, hex);
    return LF_OK;
}

static void log_layers(const lf_config *config)
{
    if (config->num_hidden_layers >= config->num_checkpoint_layers) return;
    lf_log(LF_LOG_WARNING, "%lld of %lld layers: --hf-overrides leaves the others out, so answers are not the model's",
           (long long)config->num_hidden_layers, (long long)config->num_checkpoint_layers);
}

static void log_experts(const lf_engine *engine)
{
    char why[256];
    if (!engine->options.enable_expert_parallel || engine->config.num_experts > 0) return;
    lf_log(LF_LOG_WARNING, "--enable-expert-parallel is %s",
           lf_config_dense_reason(engine->config.architecture, why, sizeof why));
}

static lf_status read_model(lf_engine *engine, lf_preflight *preflight, lf_error *err)
{
    lf_comm *comm = engine->options.comm;
    char hex[LF_SHA256_HEX_BYTES] = "";
    lf_status status = read_own_model(engine, preflight, err);
    if (!status && lf_comm_rank(comm) == 0) {
        log_layers(&engine->config);
        log_experts(engine);
    }
    if (lf_comm_size(comm) == 1) return status;
    if (!status) status = fingerprint(engine, preflight, hex, err);
    status = lf_comm_agree(comm, status, err);
    return status ? status : lf__team_compare(comm, hex, "checkpoint, config, program or options", err);
}

// ---- limits ----

static lf_status settle(int64_t *value, int64_t fallback, int64_t max, const char *flag, lf_error *err)
{
    if (*value == 0) *value = fallback;
    if (*value >= 1 && *value <= max) return LF_OK;
    return lf_error_set(err, LF_ERR_INVALID, "--%s must be in [1, %lld], got %lld", flag, (long long)max,
                        (long long)*value);
}

static lf_status settle_limits(lf_engine *engine, lf_error *err)
{
    lf_engine_options *o = &engine->options;
    const lf_config *config = &engine->config;
    // YaRN's own limit is the stretched one, whichever of the two the config states.
    int64_t model_len = config->max_position_embeddings;
    if (config->rope.kind == LF_ROPE_YARN) {
        double stretched = (double)config->rope.original_max_position_embeddings * config->rope.factor;
        if (stretched < 1e9) model_len = LF_MAX(model_len, (int64_t)stretched);
    }
    if (o->max_model_len > model_len) {
        return lf_error_set(err, LF_ERR_INVALID,
                            "max_model_len %lld is greater than the model's own limit of %lld tokens",
                            (long long)o->max_model_len, (long long)model_len);
    }
    if (o->kv_cache_memory_bytes < 0) {
        return lf_error_set(err, LF_ERR_INVALID, "--kv-cache-memory-bytes must not be negative, got %lld",
                            (long long)o->kv_cache_memory_bytes);
    }
    engine->info.max_model_len = o->max_model_len;
    lf_status status =
        settle(&engine->info.max_model_len, config->max_position_embeddings, INT32_MAX / 2, "max-model-len", err);
    if (!status) status = settle(&o->max_num_seqs, DEFAULT_MAX_SEQ, MAX_SEQ, "max-num-seqs", err);
    if (!status) status = settle(&o->block_size, DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE, "block-size", err);
    if (!status) {
        status = settle(&o->max_num_batched_tokens, LF_MAX(DEFAULT_BATCHED_TOK, o->max_num_seqs), MAX_BATCHED_TOK,
                        "max-num-batched-tokens", err);
    }
    if (!status && o->max_num_batched_tokens < o->max_num_seqs) {
        status = lf_error_set(err, LF_ERR_INVALID,
                              "max_num_batched_tokens (%lld) must be greater than or equal to max_num_seqs (%lld)",
                              (long long)o->max_num_batched_tokens, (long long)o->max_num_seqs);
    }
    engine->info.max_num_seqs = o->max_num_seqs;
    engine->info.max_num_batched_tokens = o->max_num_batched_tokens;
    engine->info.block_size = o->block_size;
    return status;
}

// ---- weights ----

static lf_status sum_over_ranks(void *comm, float *x, size_t n, lf_error *err)
{
    return lf_comm_sum_f32(comm, x, n, err);
}

static lf_status gather_from_ranks(void *comm, const void *data, const size_t *part, void *all, lf_error *err)
{
    return lf_comm_gather(comm, data, part, all, err);
}

static lf_status make_collective(lf_engine *engine, lf_collective *out, lf_error *err)
{
    lf_comm *comm = engine->options.comm;
    size_t n_rank = (size_t)lf_comm_size(comm);
    *out = (lf_collective){.n_rank = 1};
    if (n_rank == 1) return LF_OK;
    engine->part_bytes = calloc(n_rank, sizeof *engine->part_bytes);
    if (!engine->part_bytes) return lf_error_no_memory(err, n_rank * sizeof *engine->part_bytes);
    *out = (lf_collective){.ctx = comm,
                           .rank = lf_comm_rank(comm),
                           .n_rank = (int)n_rank,
                           .sum_f32 = sum_over_ranks,
                           .gather = gather_from_ranks,
                           .part_bytes = engine->part_bytes};
    return LF_OK;
}

static lf_status open_device(lf_engine *engine, lf_device_caps *caps, lf_error *err)
{
    lf_device_options options = {
        .n_thread = engine->options.n_thread,
        .max_n_tok = (size_t)engine->info.max_num_batched_tokens,
        .max_vocab = (size_t)engine->config.vocab_size,
        .max_length = (size_t)engine->info.max_model_len,
    };
    lf_status status = make_collective(engine, &options.collective, err);
    if (!status) status = lf_device_cpu_open(&engine->device, &options, err);
    if (status) return status;
    engine->device->ops->describe(engine->device, caps);
    memcpy(engine->info.device, caps->description, sizeof engine->info.device);
    if (!caps->captures_graphs) lf_log(LF_LOG_INFO, "running eagerly: %s", caps->graph_reason);
    return LF_OK;
}

// Of one layer's matrix of this slot, all ranks together; 0 when there is none.
static double slot_flop(const lf_config *config, lf_slot slot)
{
    int64_t n_row, n_col;
    lf_slot_shape(config, slot, &n_row, &n_col);
    return 2.0 * (double)n_row * (double)n_col;
}

static void describe_weights(lf_engine *engine)
{
    const lf_config *config = &engine->config;
    lf_engine_info *info = &engine->info;
    const lf_weight *embedding = lf_weights_matrix(engine->weights, LF_SLOT_EMBED, 0);
    info->weight_bytes = info->step_weight_bytes = lf_weights_bytes(engine->weights);
    // Of an embedding a step reads one row per token, unless it is the head too.
    if (!config->tie_word_embeddings && embedding) {
        info->step_weight_bytes -= engine->device->ops->weight_bytes(embedding);
    }
    if (config->num_experts > 0) { // of the experts those that a token chooses
        double idle = 1 - (double)config->num_experts_per_tok / (double)config->num_experts;
        info->step_weight_bytes -= (uint64_t)(idle * (double)lf_weights_expert_bytes(engine->weights));
    }
    double attention = slot_flop(config, LF_SLOT_QKV) + slot_flop(config, LF_SLOT_Q_B) +
                       slot_flop(config, LF_SLOT_KV_B) + slot_flop(config, LF_SLOT_O);
    double dense = slot_flop(config, LF_SLOT_GATE_UP) + slot_flop(config, LF_SLOT_DOWN);
    double expert = slot_flop(config, LF_SLOT_EXPERT_GATE_UP) + slot_flop(config, LF_SLOT_EXPERT_DOWN);
    double shared = slot_flop(config, LF_SLOT_SHARED_GATE_UP) + slot_flop(config, LF_SLOT_SHARED_DOWN);
    for (int64_t layer = 0; layer < config->num_hidden_layers; layer++) {
        bool is_moe = lf_config_layer_is_moe(config, layer);
        info->linear_flop_per_token +=
            attention + (is_moe ? shared + (double)config->num_experts_per_tok * expert : dense);
    }
    info->lm_head_flop_per_row = 2.0 * (double)config->vocab_size * (double)config->hidden_size;
}

static lf_status load(lf_engine *engine, const lf_preflight *preflight, lf_error *err)
{
    const lf_engine_options *options = &engine->options;
    lf_load_args args = {
        .device = engine->device,
        .config = &engine->config,
        .format = options->load_format,
        .quant = preflight->quant,
        .rounding = options->rounding,
        .seed = options->seed,
        .show_progress = options->show_progress,
        .comm = options->comm,
        .deals_experts = options->enable_expert_parallel,
    };
    lf_log(LF_LOG_INFO, "Starting to load model %s...", options->model_dir);
    int64_t start = lf_now_ns();
    lf_status status = lf_weights_load(&engine->weights, &args, err);
    if (status) return status;
    engine->info.load_seconds = (double)(lf_now_ns() - start) * 1e-9;
    describe_weights(engine);
    return LF_OK;
}

// ---- the KV cache ----

// 1234567 -> "1,234,567"
static const char *with_commas(int64_t value, char dst[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value), at = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) dst[at++] = ',';
        dst[at++] = digits[i];
    }
    dst[at] = '\0';
    return dst;
}

static lf_status refuse_short_cache(const lf_engine *engine, uint64_t available, size_t block_bytes, lf_error *err)
{
    const lf_engine_info *info = &engine->info;
    int64_t n_block = lf_ceil_div(info->max_model_len, info->block_size);
    int64_t fitting = (int64_t)(available / block_bytes) * info->block_size;
    lf_error_set(
        err, LF_ERR_NO_MEMORY,
        "to serve at least one request with max_model_len %lld, %.3f GiB of KV cache are needed, and %.3f GiB are "
        "available",
        (long long)info->max_model_len, (double)n_block * (double)block_bytes / GIB, (double)available / GIB);
    return lf_error_hint(err, "lower --max-model-len to at most %lld, or raise --kv-cache-memory-bytes",
                         (long long)fitting);
}

// How many blocks the cache gets of `free_bytes`, and how long a sequence may then be.
static lf_status plan_own_cache(lf_engine *engine, uint64_t free_bytes, lf_error *err)
{
    lf_engine_info *info = &engine->info;
    size_t block_bytes, n_kv_head = (size_t)lf_range_length(lf_weights_plan(engine->weights)->kv_heads);
    if (!lf__kv_block_bytes(&engine->config, n_kv_head, (size_t)info->block_size, &block_bytes)) {
        return lf_error_no_memory(err, 0);
    }
    uint64_t asked = (uint64_t)engine->options.kv_cache_memory_bytes;
    if (asked > free_bytes) {
        return lf_error_set(err, LF_ERR_NO_MEMORY, "--kv-cache-memory-bytes asks for %.3f GiB, and %.3f GiB are free",
                            (double)asked / GIB, (double)free_bytes / GIB);
    }
    uint64_t available = asked ? asked : free_bytes / 2;
    lf_log(LF_LOG_INFO, "Available KV cache memory: %.2f GiB", (double)available / GIB);

    // More than max_num_seqs sequences of full length can never be used.
    int64_t most = lf_ceil_div(info->max_model_len, info->block_size) * info->max_num_seqs;
    most = LF_MIN(most, INT32_MAX / info->block_size);
    info->n_kv_block = block_bytes ? (int64_t)LF_MIN((uint64_t)most, available / block_bytes) : most;
    int64_t n_token = info->n_kv_block * info->block_size;
    if (n_token < info->max_model_len) {
        if (engine->options.max_model_len > 0 || n_token == 0) {
            return refuse_short_cache(engine, available, block_bytes, err);
        }
        lf_log(LF_LOG_WARNING, "max_model_len lowered from %lld to %lld: memory for the KV cache is short",
               (long long)info->max_model_len, (long long)n_token);
        info->max_model_len = n_token;
    }
    return LF_OK;
}

// The cache that all ranks can have. `status`: how this rank has fared so far.
static lf_status plan_cache(lf_engine *engine, lf_status status, uint64_t free_bytes, lf_error *err)
{
    lf_engine_info *info = &engine->info;
    lf_comm *comm = engine->options.comm;
    if (!status) status = plan_own_cache(engine, free_bytes, err);
    status = lf_comm_agree(comm, status, err);
    int64_t least[] = {info->n_kv_block, info->max_model_len};
    if (!status) status = lf_comm_min_i64(comm, least, LF_ARRAY_LENGTH(least), err);
    if (status) return status;
    info->n_kv_block = least[0];
    info->max_model_len = least[1];
    size_t block_bytes, n_kv_head = (size_t)lf_range_length(lf_weights_plan(engine->weights)->kv_heads);
    if (!lf__kv_block_bytes(&engine->config, n_kv_head, (size_t)info->block_size, &block_bytes)) {
        return lf_error_no_memory(err, 0);
    }
    info->kv_cache_bytes = (uint64_t)info->n_kv_block * block_bytes;
    int64_t n_token = info->n_kv_block * info->block_size;
    char tokens[32], length[32];
    lf_log(LF_LOG_INFO, "GPU KV cache size: %s tokens", with_commas(n_token, tokens));
    lf_log(LF_LOG_INFO, "Maximum concurrency for %s tokens per request: %.2fx",
           with_commas(info->max_model_len, length), (double)n_token / (double)info->max_model_len);
    return LF_OK;
}

// ---- buffers ----

static lf_status make_leader(lf_engine *engine, size_t n_row, const lf_step_limits *limits, lf_error *err)
{
    const lf_engine_options *o = &engine->options;
    lf_status status = lf__sched_init(&engine->sched, &engine->kv.pool, limits->n_seq, limits->n_tok, err);
    if (!status && o->on_trace) {
        status = lf__trace_init(&engine->trace, &engine->forward, limits->n_tok, n_row, o->on_trace, o->trace_ctx, err);
    }
    return status ? status : lf__emit_init(&engine->emit, &engine->forward, n_row, limits->n_seq, err);
}

static lf_status make_buffers(lf_engine *engine, uint64_t device_bytes, lf_error *err)
{
    lf_engine_info *info = &engine->info;
    // Rows of logits at a time: one for each sequence, and enough that prompt logprobs, which go through in pieces of
    // this size, do not read the head for every few tokens.
    size_t n_row = (size_t)LF_MAX(info->max_num_seqs, LF_MIN(PROMPT_ROW, info->max_num_batched_tokens));
    lf_forward_args args = {
        .device = engine->device,
        .config = &engine->config,
        .weights = engine->weights,
        .plan = lf_weights_plan(engine->weights),
        .kv = &engine->kv,
        .max_tok = (size_t)info->max_num_batched_tokens,
        .max_row = n_row,
        .n_position = (size_t)info->max_model_len,
    };
    size_t bytes = 0;
    lf_status status = lf__forward_bytes(&args, &bytes) ? LF_OK : lf_error_no_memory(err, SIZE_MAX);
    uint64_t edited_bytes = (uint64_t)info->max_num_seqs * (uint64_t)engine->config.vocab_size * sizeof(float);
    uint64_t used = info->weight_bytes + bytes + edited_bytes;
    status = plan_cache(engine, status, device_bytes > used ? device_bytes - used : 0, err);
    if (status) return status;
    args.n_position = (size_t)info->max_model_len;
    lf_step_limits limits = {
        .n_tok = args.max_tok,
        .n_seq = (size_t)info->max_num_seqs,
        .n_row = n_row,
        .n_position = args.n_position,
        .block_size = (size_t)info->block_size,
    };
    size_t n_kv_head = (size_t)lf_range_length(args.plan->kv_heads);
    status = lf__kv_init(&engine->kv, engine->device, &engine->config, n_kv_head, (size_t)info->n_kv_block,
                         limits.block_size, err);
    if (!status) status = lf__step_init(&engine->step, engine->device, &limits, err);
    if (!status) status = lf__team_init(&engine->team, engine->options.comm, &engine->step, err);
    if (!status) status = lf__forward_init(&engine->forward, &args, err);
    if (!status && args.plan->rank == 0) status = make_leader(engine, n_row, &limits, err);
    return status;
}

// One token through the whole model on all ranks: what is wrong with the device shows now, and the pages of the weights
// are resident.
static lf_status warm_up(lf_engine *engine, lf_error *err)
{
    int32_t token = 0, row = 0, block = 0; // what it leaves in block 0 is overwritten by the block's first owner
    lf_block_table table = {.blocks = &block, .n_block = 1, .capacity = 1};
    lf__step_begin(&engine->step);
    lf_status status = lf__step_add(&engine->step, &token, 0, 1, &table, err);
    if (!status) status = lf__step_commit(&engine->step, err);
    if (!status) status = lf__forward_layers(&engine->forward, &engine->step, err);
    if (!status) status = lf__step_select(&engine->step, &row, 1, err);
    if (!status) status = lf__forward_logits(&engine->forward, &engine->step, 1, err);
    return status ? status : engine->device->ops->synchronize(engine->device, err);
}

// Every rank tells rank 0 what it holds.
static lf_status gather_ranks(lf_engine *engine, lf_error *err)
{
    lf_comm *comm = engine->options.comm;
    size_t n_rank = (size_t)lf_comm_size(comm);
    const lf_engine_info *info = &engine->info;
    lf_rank_info own;
    memset(&own, 0, sizeof own); // its padding is sent, too
    gethostname(own.host, sizeof own.host - 1);
    own.weight_bytes = info->weight_bytes;
    own.kv_cache_bytes = info->kv_cache_bytes;
    own.bytes_read = lf_weights_bytes_read(engine->weights);
    own.load_seconds = info->load_seconds;
    size_t *part = calloc(n_rank, sizeof *part);
    engine->ranks = calloc(n_rank, sizeof *engine->ranks);
    lf_status status = part && engine->ranks ? LF_OK : lf_error_no_memory(err, 0);
    status = lf_comm_agree(comm, status, err);
    for (size_t r = 0; !status && r < n_rank; r++) part[r] = sizeof own;
    if (!status) status = lf_comm_gather(comm, &own, part, engine->ranks, err);
    free(part);
    return status;
}

// Ranks agree after each part that can fail on one of them alone, so that all give up for one reason.
lf_status lf__engine_build(lf_engine *engine, lf_error *err)
{
    lf_preflight preflight = {0};
    lf_device_caps caps = {0};
    lf_comm *comm = engine->options.comm;
    engine->info.tensor_parallel_size = lf_comm_size(comm);
    lf_status status = read_model(engine, &preflight, err);
    if (!status) {
        engine->info.is_expert_parallel = engine->options.enable_expert_parallel && engine->config.num_experts > 0;
        status = settle_limits(engine, err);
        if (!status) status = open_device(engine, &caps, err);
        status = lf_comm_agree(comm, status, err);
    }
    if (!status) status = load(engine, &preflight, err);
    lf_preflight_fini(&preflight);
    if (status) return status;
    int64_t start = lf_now_ns();
    // The ranks of one host share its memory.
    uint64_t memory_bytes = caps.memory_bytes;
    if (comm) memory_bytes /= (uint64_t)LF_MAX(1, lf_comm_world_of_environment().n_local_rank);
    status = make_buffers(engine, memory_bytes, err);
    status = lf_comm_agree(comm, status, err);
    if (!status) status = warm_up(engine, err);
    if (!status) status = gather_ranks(engine, err);
    if (status) return status;
    if (engine->trace.on_rows) engine->forward.trace = &engine->trace; // from now on: the warm-up is nobody's
    lf_log(LF_LOG_INFO, "init engine (create kv cache, warmup model) took %.2f seconds",
           (double)(lf_now_ns() - start) * 1e-9);
    return LF_OK;
}

void lf__engine_tear_down(lf_engine *engine)
{
    lf__emit_fini(&engine->emit);
    lf__sched_fini(&engine->sched);
    lf__forward_fini(&engine->forward);
    lf__trace_fini(&engine->trace);
    lf__team_fini(&engine->team);
    lf__step_fini(&engine->step);
    lf__kv_fini(&engine->kv);
    lf_weights_free(engine->weights);
    engine->weights = NULL;
    if (engine->device) engine->device->ops->close(engine->device);
    engine->device = NULL;
    free(engine->part_bytes);
    engine->part_bytes = NULL;
    free(engine->ranks);
    engine->ranks = NULL;
}
