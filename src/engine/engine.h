// SPDX-License-Identifier: Apache-2.0
//
// The engine: token ids in, token ids out. One thread owns weights, KV cache and device, and serves all requests by
// continuous batching with chunked prefill; any thread may submit and cancel. It knows no text: stop strings belong to
// the caller, who answers each token with "go on" or "stop".
#ifndef LF_ENGINE_ENGINE_H
#define LF_ENGINE_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"
#include "device/device.h"
#include "load/load.h"

typedef struct lf_engine lf_engine;
typedef struct lf_request lf_request;

// Where a traced pass hands out its rows, in this order.
typedef enum lf_trace_point {
    LF_TRACE_EMBEDDING, // the tokens' embeddings
    LF_TRACE_ATTENTION, // the stream behind a layer's attention
    LF_TRACE_LAYER,     // the stream behind a whole layer
    LF_TRACE_NORM,      // behind the last norm
    LF_TRACE_LOGITS,    // of the tokens whose logits are needed: rows of vocab_size numbers
} lf_trace_point;

// VALID during the call only.
typedef struct lf_trace_rows {
    lf_trace_point point;
    int64_t step;      // 0, 1, ... since the engine is open
    int64_t layer;     // ATTENTION and LAYER; otherwise -1
    const float *rows; // [n_row, n_col]; of the stream, bf16 numbers
    size_t n_row, n_col;
    const int32_t *ids, *positions; // [n_row]: token, and place in its sequence
    const int32_t *experts;         // [n_row, n_active]: chosen by a layer with experts (LAYER); otherwise NULL
    size_t n_active;
} lf_trace_rows;

// Called on the engine thread.
typedef void (*lf_trace_fn)(void *ctx, const lf_trace_rows *rows);

typedef struct lf_engine_options {
    const char *model_dir;
    const json_t *hf_overrides; // BORROWED until the engine is open: laid over config.json; NULL: none
    lf_load_format load_format;
    lf_dequant_rounding rounding;
    int64_t max_model_len;          // 0: config.max_position_embeddings, less when memory is short (logged)
    int64_t max_num_seqs;           // 0: 32
    int64_t max_num_batched_tokens; // 0: 512; tokens of one step, and the size of a prefill chunk
    int64_t block_size;             // 0: 16; tokens of a KV block
    int64_t kv_cache_memory_bytes;  // 0: what max_num_seqs full-length sequences need, at most half of the free memory
    uint64_t seed;                  // of dummy weights and of requests without a seed
    int n_thread;                   // 0: all
    bool enforce_eager;
    bool show_progress;
    lf_comm *comm;               // BORROWED: the ranks of tensor parallelism; NULL: one rank
    bool enable_expert_parallel; // experts are dealt out whole instead of being cut
    lf_trace_fn on_trace;        // NULL: no pass is traced; rank 0 only
    void *trace_ctx;
} lf_engine_options;

// Numbers are of this rank where ranks differ.
typedef struct lf_engine_info {
    int64_t tensor_parallel_size;
    bool is_expert_parallel;
    int64_t max_model_len, max_num_seqs, max_num_batched_tokens, block_size;
    int64_t n_kv_block;
    uint64_t weight_bytes, kv_cache_bytes;
    double load_seconds;
    char device[256];
    // What one step costs at least, for measuring against the machine.
    uint64_t step_weight_bytes;   // weights that a decode step of one token reads: all but an untied embedding, and of
                                  // experts as many as a token chooses (of those held, a rank's share on average)
    double linear_flop_per_token; // of the layers' matrices on all ranks: 2 * rows * columns; of experts the chosen
    double lm_head_flop_per_row;
} lf_engine_info;

// One rank's part, for the report. Plain data: ranks send it to rank 0.
typedef struct lf_rank_info {
    char host[64];
    uint64_t weight_bytes, kv_cache_bytes; // on its device
    uint64_t bytes_read;                   // of the checkpoint; 0 for dummy weights
    double load_seconds;
} lf_rank_info;

// Checks, loads and starts the engine thread. Refuses a checkpoint with findings of severity error (LF_ERR_FINDINGS).
lf_status lf_engine_open(lf_engine **out, const lf_engine_options *options, lf_error *err);
// Cancels what runs, stops the thread and frees everything. NULL is accepted. With several ranks, the others stop too.
void lf_engine_close(lf_engine *engine);
// What a rank above 0 does instead: loads its part with the same options as rank 0, then computes what rank 0 says
// until it closes. Everything runs on the calling thread. *info may be NULL; otherwise it is filled once the rank is
// ready.
lf_status lf_engine_follow(const lf_engine_options *options, lf_engine_info *info, lf_error *err);

const lf_config *lf_engine_config(const lf_engine *engine);
void lf_engine_describe(const lf_engine *engine, lf_engine_info *out);
json_t *lf_engine_ledger(const lf_engine *engine); // new reference; see lf_weights_ledger
// Of all ranks, lf_engine_info.tensor_parallel_size of them. VALID while the engine is.
const lf_rank_info *lf_engine_ranks(const lf_engine *engine);

typedef struct lf_logit_bias {
    int32_t token;
    float bias;
} lf_logit_bias;

// Sampling as vLLM's SamplingParams. All counts are in tokens.
typedef struct lf_sampling {
    float temperature;                         // 0: greedy
    float top_p;                               // (0, 1]
    float min_p;                               // [0, 1]
    int32_t top_k;                             // 0: off
    float presence_penalty, frequency_penalty; // over generated tokens
    float repetition_penalty;                  // over prompt and generated tokens; 1: off
    bool has_seed;
    uint64_t seed;
    int64_t max_tokens; // >= 0; 0 evaluates the prompt only (prompt logprobs)
    int64_t min_tokens; // until then end and stop tokens cannot be sampled
    bool ignore_eos;
    int32_t logprobs;              // -1: none; else the number of top alternatives, 0 to LF_MAX_TOP_LOGPROBS
    int32_t prompt_logprobs;       // the same for the prompt's tokens
    const int32_t *stop_token_ids; // BORROWED until lf_engine_submit returns, as are the biases
    size_t n_stop_token_id;
    const lf_logit_bias *logit_bias;
    size_t n_logit_bias;
} lf_sampling;

extern const lf_sampling LF_SAMPLING_DEFAULT; // temperature 1, everything else off, max_tokens 16

typedef enum lf_finish {
    LF_FINISH_NONE,
    LF_FINISH_STOP,      // end token, stop token, or the caller said stop
    LF_FINISH_LENGTH,    // max_tokens or max_model_len reached
    LF_FINISH_CANCELLED, // lf_request_cancel, or the engine closes
    LF_FINISH_ERROR,     // see lf_token_event.error
} lf_finish;

typedef struct lf_token_event {
    int32_t token;                 // the new token; -1: none (prompt logprobs, or a finish without token)
    lf_finish finish;              // other than NONE: this is the request's last event
    int32_t stop_token;            // the end or stop token that finished it, -1 otherwise; it is also `token`
    bool is_eos;                   // stop_token is one of the model's end tokens
    const lf_logprob_row *logprob; // of the new token (target_logprob is its own); NULL unless asked for
    // Prompt logprobs, delivered in pieces before the first token: row i is for prompt position prompt_position + i
    // (position 0 has none and is never delivered).
    const lf_logprob_row *prompt_rows;
    size_t n_prompt_row;
    size_t prompt_position;
    const lf_error *error; // LF_FINISH_ERROR only
} lf_token_event;

typedef enum lf_verdict { LF_GO_ON, LF_STOP } lf_verdict;

// Called on the engine thread for each event of a request, in order; must be quick and must not call the engine.
// LF_STOP finishes the request: one more event follows, LF_FINISH_STOP with token -1. The event is VALID during the
// call only.
typedef lf_verdict (*lf_token_fn)(void *ctx, const lf_token_event *event);

// Queues a request. `prompt` is copied. LF_ERR_INVALID for an empty prompt, ids outside the vocabulary, or a prompt
// that leaves no room in max_model_len. *out stays valid until lf_request_release().
lf_status lf_engine_submit(lf_engine *engine, const int32_t *prompt, size_t n_prompt, const lf_sampling *sampling,
                           lf_token_fn on_event, void *ctx, lf_request **out, lf_error *err);
// Asks for the end; an LF_FINISH_CANCELLED event follows unless the request has finished. Any thread, any time before
// release.
void lf_request_cancel(lf_request *request);
// Cancels if needed, waits until no event can come any more, and frees. Not from a callback.
void lf_request_release(lf_request *request);

// Live numbers for /metrics and the heartbeat; consistent within one call.
typedef struct lf_engine_stats {
    int64_t n_running, n_waiting;
    double kv_cache_usage;                       // 0 to 1
    uint64_t n_prompt_token, n_generation_token; // since start
    uint64_t n_preemption, n_step;
    uint64_t n_not_finite_row; // rows of logits with NaN or Inf so far: not 0 means a broken model
    uint64_t n_finished[5];    // by lf_finish
} lf_engine_stats;
void lf_engine_stats_read(const lf_engine *engine, lf_engine_stats *out);

// Time by kind of operator, summed over the steps since profiling was switched on. Timing makes the device wait after
// every operator, so steps are a little slower than without.
typedef struct lf_step_profile {
    uint64_t linear_ns; // the layers' matrices
    uint64_t lm_head_ns, attention_ns, other_ns;
    uint64_t comm_ns;   // sums over ranks, waiting for slower ones included; several ranks, or a model with experts
    uint64_t sample_ns; // logprobs, edits, sampling
    uint64_t step_ns;   // whole steps: the six above and the engine's own work
    uint64_t n_step, n_token;
} lf_step_profile;
typedef struct lf_engine_profile {
    lf_step_profile prefill; // steps that compute more than one token of some request
    lf_step_profile decode;  // all others
} lf_engine_profile;
void lf_engine_profile_set(lf_engine *engine, bool is_on); // on: also starts from zero
void lf_engine_profile_read(const lf_engine *engine, lf_engine_profile *out);

// Timings of one request, valid from its last event on (monotonic nanoseconds, see base/clock.h).
typedef struct lf_request_times {
    int64_t submitted_ns, scheduled_ns, first_token_ns, last_token_ns;
    int64_t n_prompt, n_generated;
} lf_request_times;
void lf_request_times_read(const lf_request *request, lf_request_times *out);

#endif
