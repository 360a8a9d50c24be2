// SPDX-License-Identifier: Apache-2.0
//
// landfall run: one question in the terminal. The text appears as it is generated, through the same session and
// generation that the server uses.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/ranks.h"
#include "cli/trace.h"
#include "cli/verbs.h"
#include "server/generation.h"
#include "server/job.h"
#include "server/prompt.h"
#include "server/session.h"

typedef struct run_args {
    const char *prompt, *system, *load_format, *hf_overrides, *chat_template, *dequant_rounding, *generation_config,
        *trace_layers;
    lf_opt_list stop;
    int64_t max_tokens, top_k, seed, max_model_len, threads, tensor_parallel_size;
    double temperature, top_p, min_p, repetition_penalty;
    bool raw, json, ignore_eos, verbose, enable_expert_parallel;
} run_args;

enum { UNSET = -2 };

#define OPTION(flag, field, kind_, ...)                                                                                \
    {                                                                                                                  \
        .name = flag, .kind = LF_OPT_##kind_, .offset = offsetof(run_args, field), __VA_ARGS__                         \
    }
static const lf_opt run_opts[] = {
    OPTION("prompt", prompt, STRING, .alias = "-p", .metavar = "TEXT", .help = "what to ask"),
    OPTION("system", system, STRING, .metavar = "TEXT", .help = "system message before it"),
    OPTION("raw", raw, FLAG, .help = "continue the text as it is, without the chat template"),
    OPTION("max-tokens", max_tokens, INT, .alias = "-n", .metavar = "N",
           .help = "most tokens to generate (default: what fits, at most 512)", .min = 1, .max = INT64_C(1) << 30),
    OPTION("temperature", temperature, REAL, .metavar = "T",
           .help = "0: always the likeliest token (default: generation_config.json)", .min = 0, .max = 2),
    OPTION("top-p", top_p, REAL, .metavar = "P", .help = "nucleus sampling", .min = 0, .max = 1),
    OPTION("top-k", top_k, INT, .metavar = "K", .help = "only the K likeliest tokens; 0: off", .min = 0,
           .max = INT32_MAX),
    OPTION("min-p", min_p, REAL, .metavar = "P", .help = "least probability, relative to the likeliest", .min = 0,
           .max = 1),
    OPTION("repetition-penalty", repetition_penalty, REAL, .metavar = "R", .help = "1: off", .min = 0, .max = 100),
    OPTION("seed", seed, INT, .metavar = "N", .help = "seed of sampling, and of dummy weights", .min = 0,
           .max = INT64_MAX),
    OPTION("stop", stop, LIST, .metavar = "TEXT", .help = "end before this text (repeatable)"),
    OPTION("ignore-eos", ignore_eos, FLAG, .help = "go on past the end token"),
    OPTION("load-format", load_format, STRING, .metavar = "FORMAT", .choices = "auto|safetensors|dummy",
           .help = "weights: the checkpoint's, or dummy values"),
    OPTION("hf-overrides", hf_overrides, STRING, .metavar = "JSON",
           .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'"),
    OPTION("max-model-len", max_model_len, SIZE, .metavar = "N", .help = "longest context in tokens", .min = 1,
           .max = INT64_C(1) << 30),
    OPTION("chat-template", chat_template, STRING, .metavar = "FILE",
           .help = "Jinja file, instead of the checkpoint's template"),
    OPTION("generation-config", generation_config, STRING, .metavar = "WHICH", .choices = "auto|vllm",
           .help = "auto: sampling defaults of generation_config.json; vllm: neutral ones"),
    OPTION("dequant-rounding", dequant_rounding, STRING, .metavar = "HOW", .choices = "exact|bf16-scale",
           .help = "exact, or scales rounded to bf16 first"),
    OPTION("tensor-parallel-size", tensor_parallel_size, INT, .alias = "-tp", .metavar = "N",
           .help = "ranks that share the model: started here, or those of mpirun or srun (default 1, or theirs)",
           .min = 1, .max = LF_RANKS_MAX),
    OPTION("enable-expert-parallel", enable_expert_parallel, FLAG,
           .help = "ranks hold whole experts instead of a part of each"),
    OPTION("threads", threads, INT, .metavar = "N", .help = "threads that compute (default: all processors)", .min = 1,
           .max = 4096),
    OPTION("trace-layers", trace_layers, STRING, .metavar = "FILE",
           .help = "write digests, statistics and some rows behind every layer, and the logits, as JSON lines"),
    OPTION("json", json, FLAG, .help = "print one JSON object at the end instead of text"),
    OPTION("verbose", verbose, FLAG, .alias = "-v", .help = "show the log"),
};

static lf_status make_prompt(lf_ids *ids, const lf_session *session, const run_args *args, lf_error *err)
{
    lf_refusal refusal;
    lf_buf text = LF_BUF_INIT;
    lf_status status;
    if (args->raw) {
        status = lf_text_encode(ids, session, args->prompt, strlen(args->prompt), true, &refusal);
    } else {
        json_t *messages = json_array();
        if (args->system)
            json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "system", "content", args->system));
        json_array_append_new(messages, json_pack("{s:s, s:s}", "role", "user", "content", args->prompt));
        lf_ask ask = {.endpoint = LF_ENDPOINT_CHAT, .messages = messages, .add_generation_prompt = true};
        status = lf_chat_render(&text, session, &ask, &refusal);
        if (!status) status = lf_text_encode(ids, session, lf_buf_text(&text), text.length, false, &refusal);
        json_decref(messages);
    }
    lf_buf_fini(&text);
    if (status) return lf_error_set(err, LF_ERR_INVALID, "%.400s", refusal.message);
    if (ids->count == 0) return lf_error_set(err, LF_ERR_INVALID, "the prompt has no tokens");
    if ((int64_t)ids->count >= session->info.max_model_len) {
        return lf_error_set(err, LF_ERR_INVALID, "the prompt has %zu tokens; the longest context is %lld", ids->count,
                            (long long)session->info.max_model_len);
    }
    return LF_OK;
}

static lf_sampling make_sampling(const run_args *args, const lf_session *session, size_t n_prompt)
{
    const lf_generation_defaults *defaults = &session->defaults;
    lf_sampling sampling = LF_SAMPLING_DEFAULT;
    sampling.temperature = args->temperature > UNSET ? (float)args->temperature : defaults->temperature;
    sampling.top_p = args->top_p > 0 ? (float)args->top_p : defaults->top_p;
    sampling.min_p = args->min_p > UNSET ? (float)args->min_p : defaults->min_p;
    sampling.top_k = args->top_k > UNSET ? (int32_t)args->top_k : defaults->top_k;
    sampling.repetition_penalty =
        args->repetition_penalty > 0 ? (float)args->repetition_penalty : defaults->repetition_penalty;
    sampling.has_seed = args->seed >= 0;
    sampling.seed = (uint64_t)LF_MAX(args->seed, (int64_t)0);
    sampling.ignore_eos = args->ignore_eos;
    int64_t room = session->info.max_model_len - (int64_t)n_prompt;
    sampling.max_tokens = LF_MIN(args->max_tokens > 0 ? args->max_tokens : 512, room);
    return sampling;
}

static const char *finish_name(lf_finish finish)
{
    return finish == LF_FINISH_STOP ? "stop" : finish == LF_FINISH_LENGTH ? "length" : "abort";
}

// Prints what comes until the end; `all` collects it.
static lf_status follow(lf_generation *generation, lf_job *job, bool is_quiet, lf_buf *all, lf_chunk *chunk,
                        size_t *n_token, lf_error *err)
{
    do {
        if (!lf_generation_has_news(generation)) lf_job_wait(job, -1);
        lf_status status = lf_generation_take(generation, chunk, err);
        if (status) return status;
        *n_token += chunk->n_token;
        lf_buf_append(all, lf_buf_text(&chunk->text), chunk->text.length);
        if (!is_quiet && chunk->text.length > 0) {
            fwrite(chunk->text.data, 1, chunk->text.length, stdout);
            fflush(stdout);
        }
    } while (!chunk->is_done);
    if (!is_quiet) putchar('\n');
    return lf_buf_failed(all) ? lf_error_no_memory(err, 0) : LF_OK;
}

static void print_json(const run_args *args, const char *model, lf_generation *generation, const lf_buf *text,
                       const lf_chunk *chunk, size_t n_prompt, size_t n_token)
{
    lf_request_times times;
    const int64_t *arrival_ns;
    size_t n_arrival;
    lf_generation_times(generation, &times, &arrival_ns, &n_arrival);
    double first = (double)(times.first_token_ns - times.submitted_ns) * 1e-9;
    double decode = (double)(times.last_token_ns - times.first_token_ns) * 1e-9;
    json_t *root = json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:f, s:f}", "model", model, "prompt", args->prompt, "text",
                             lf_json_text(lf_buf_text(text), text->length), "finish_reason", finish_name(chunk->finish),
                             "prompt_tokens", (json_int_t)n_prompt, "completion_tokens", (json_int_t)n_token,
                             "time_to_first_token_seconds", first, "decode_tokens_per_second",
                             decode > 0 ? (double)(n_token - 1) / decode : 0.0);
    if (root) json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
}

static lf_status generate(const run_args *args, const char *model, lf_session *session, lf_error *err)
{
    lf_ids ids = LF_IDS_INIT;
    lf_job job = {.event_fd = -1};
    lf_generation *generation = NULL;
    lf_chunk chunk = {0};
    lf_buf text = LF_BUF_INIT;
    lf_stop_string stop[LF_OPT_LIST_MAX];
    size_t n_token = 0;
    lf_status status = make_prompt(&ids, session, args, err);
    if (!status) status = lf_job_init(&job, err);
    if (status) goto out;
    for (size_t i = 0; i < args->stop.count; i++) {
        stop[i] = (lf_stop_string){.text = args->stop.items[i], .length = strlen(args->stop.items[i])};
    }
    lf_generation_args generation_args = {.prompt = ids.data,
                                          .n_prompt = ids.count,
                                          .sampling = make_sampling(args, session, ids.count),
                                          .stop = stop,
                                          .n_stop = args->stop.count,
                                          .skip_special_tokens = true,
                                          .wake = lf_job_wake,
                                          .wake_ctx = &job};
    status = lf_generation_start(&generation, session, &generation_args, err);
    if (!status) status = follow(generation, &job, args->json, &text, &chunk, &n_token, err);
    if (!status && args->json) print_json(args, model, generation, &text, &chunk, ids.count, n_token);
out:
    lf_generation_free(generation);
    lf_job_fini(&job);
    lf_chunk_fini(&chunk);
    lf_buf_fini(&text);
    lf_ids_fini(&ids);
    return status;
}

static lf_status run_rank(const run_args *args, const char *model, const json_t *overrides, const lf_ranks *ranks,
                          lf_error *err)
{
    lf_session_options options = {
        .engine = {.model_dir = model,
                   .hf_overrides = overrides,
                   .load_format = strcmp(args->load_format, "dummy") == 0 ? LF_LOAD_DUMMY : LF_LOAD_AUTO,
                   .rounding = strcmp(args->dequant_rounding, "exact") == 0 ? LF_DEQUANT_EXACT : LF_DEQUANT_BF16_SCALE,
                   .max_model_len = args->max_model_len,
                   .max_num_seqs = 1,
                   .seed = (uint64_t)LF_MAX(args->seed, (int64_t)0),
                   .n_thread = args->threads ? (int)args->threads : ranks->n_thread,
                   .show_progress = lf_comm_rank(ranks->comm) == 0,
                   .comm = ranks->comm,
                   .enable_expert_parallel = args->enable_expert_parallel},
        .chat_template_path = args->chat_template,
        .ignore_generation_config = strcmp(args->generation_config, "vllm") == 0,
    };
    if (lf_comm_rank(ranks->comm) > 0) return lf_engine_follow(&options.engine, NULL, err);
    lf_session *session = NULL;
    lf_trace_file trace;
    lf_status status = lf_trace_file_open(&trace, args->trace_layers, &options.engine, err);
    if (!status) status = lf_session_open(&session, &options, err);
    if (!status) lf_trace_file_head(&trace, model, session->engine);
    if (!status) status = generate(args, model, session, err);
    lf_session_close(session);
    return lf_trace_file_close(&trace, status, err);
}

static int run_run(const lf_verb *verb, int argc, char **argv)
{
    run_args args = {.load_format = "auto",
                     .dequant_rounding = "exact",
                     .generation_config = "auto",
                     .top_k = UNSET,
                     .seed = -1,
                     .temperature = UNSET,
                     .min_p = UNSET};
    const char *model = NULL;
    bool is_done = false;
    lf_error err = {0};
    lf_status status = lf_opts_parse(verb, argc, argv, &args, &model, 1, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!model || !args.prompt) {
        lf_error_set(&err, LF_ERR_USAGE, "%s is missing; `landfall run --help` shows the usage",
                     model ? "-p TEXT" : "MODEL");
        return lf_cli_fail(verb, &err);
    }
    if (!args.verbose) lf_log_set_level(LF_LOG_WARNING);
    json_t *overrides = NULL;
    status = lf_overrides_parse(&overrides, args.hf_overrides, &err);
    if (status) return lf_cli_fail(verb, &err);
    lf_ranks ranks;
    status = lf_ranks_open(&ranks, verb, argc, argv, args.tensor_parallel_size, &err);
    bool is_over = !status && ranks.is_over;
    if (!status && !is_over) status = run_rank(&args, model, overrides, &ranks, &err);
    json_decref(overrides);
    return is_over ? ranks.exit_status : lf_ranks_close(&ranks, verb, status, &err);
}

const lf_verb lf_verb_run = {
    .name = "run",
    .operands = "MODEL",
    .summary = "generate in the terminal",
    .description =
        "Loads a model, dequantizing FP8 on the way, and prints its answer to one prompt as it is generated.",
    .example = "landfall run models/landfall-tiny-qwen3-fp8 -p 'What is the capital of France?'",
    .opts = run_opts,
    .n_opt = LF_ARRAY_LENGTH(run_opts),
    .computes = true,
    .run = run_run,
};
