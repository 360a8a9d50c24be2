// SPDX-License-Identifier: Apache-2.0
//
// landfall verify: the bring-up of a checkpoint, with a report; or a report checked again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/rank_commands.h"
#include "cli/ranks.h"
#include "cli/verbs.h"
#include "verify/verify.h"

typedef struct verify_args {
    const char *load_format;
    const char *hf_overrides;
    const char *output_dir;
    const char *recheck;
    const char *probes;
    int64_t max_model_len, tensor_parallel_size;
    double ready_timeout;
    double request_timeout;
    bool hash_data, enable_expert_parallel, compare_single_rank;
    bool json;
} verify_args;

static const lf_opt verify_opts[] = {
    {.name = "load-format",
     .kind = LF_OPT_STRING,
     .metavar = "FORMAT",
     .choices = "auto|dummy",
     .help = "auto runs both gates; dummy only gate A, which never signs off",
     .offset = offsetof(verify_args, load_format)},
    {.name = "hf-overrides",
     .kind = LF_OPT_STRING,
     .metavar = "JSON",
     .help = "object laid over config.json: '{\"num_hidden_layers\": 4}'; fewer layers are never signed off",
     .offset = offsetof(verify_args, hf_overrides)},
    {.name = "output-dir",
     .kind = LF_OPT_STRING,
     .metavar = "DIR",
     .help = "where the report and the logs go",
     .offset = offsetof(verify_args, output_dir)},
    {.name = "hash-data",
     .kind = LF_OPT_FLAG,
     .help = "fingerprint the tensor data too",
     .offset = offsetof(verify_args, hash_data)},
    {.name = "probes",
     .kind = LF_OPT_STRING,
     .metavar = "FILE",
     .help = "questions with known answers, instead of the checkpoint's own",
     .offset = offsetof(verify_args, probes)},
    {.name = "recheck",
     .kind = LF_OPT_STRING,
     .metavar = "REPORT",
     .help = "check a report.json again (with MODEL: that it is this checkpoint's)",
     .offset = offsetof(verify_args, recheck)},
    {.name = "tensor-parallel-size",
     .alias = "-tp",
     .kind = LF_OPT_INT,
     .metavar = "N",
     .help = "ranks of the servers (default 1)",
     .offset = offsetof(verify_args, tensor_parallel_size),
     .min = 1,
     .max = LF_RANKS_MAX},
    {.name = "enable-expert-parallel",
     .kind = LF_OPT_FLAG,
     .help = "experts are dealt out whole to the ranks",
     .offset = offsetof(verify_args, enable_expert_parallel)},
    {.name = "compare-single-rank",
     .kind = LF_OPT_FLAG,
     .help = "compare layers and logits of the ranks with those of one rank; sign-off then needs it",
     .offset = offsetof(verify_args, compare_single_rank)},
    {.name = "max-model-len",
     .kind = LF_OPT_SIZE,
     .metavar = "N",
     .help = "longest context of the servers, in tokens",
     .offset = offsetof(verify_args, max_model_len),
     .min = 0,
     .max = INT64_C(1) << 30},
    {.name = "ready-timeout",
     .kind = LF_OPT_REAL,
     .metavar = "SECONDS",
     .help = "for a server to load and answer",
     .offset = offsetof(verify_args, ready_timeout),
     .min = 1,
     .max = 864000},
    {.name = "request-timeout",
     .kind = LF_OPT_REAL,
     .metavar = "SECONDS",
     .help = "for one request",
     .offset = offsetof(verify_args, request_timeout),
     .min = 1,
     .max = 864000},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print the report as JSON", .offset = offsetof(verify_args, json)},
};

static void print_step(void *ctx, const json_t *step)
{
    FILE *stream = ctx;
    fprintf(stream, "  %-15s %-14s %6.2f s  %s\n", json_string_value(json_object_get(step, "id")),
            json_string_value(json_object_get(step, "status")), json_number_value(json_object_get(step, "seconds")),
            json_string_value(json_object_get(step, "detail")));
    fflush(stream);
}

static void print_result(const json_t *report, const char *output_dir, bool as_json)
{
    size_t i;
    json_t *reason;
    if (as_json) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        putchar('\n');
        return;
    }
    bool signed_off = json_is_true(json_object_get(report, "signed_off"));
    json_array_foreach(json_object_get(report, "reasons"), i, reason) printf("  - %s\n", json_string_value(reason));
    printf("report: %s/report.md, %s/report.json\n%s\n", output_dir, output_dir,
           signed_off ? "signed off" : "not signed off");
}

static int recheck(const lf_verb *verb, const verify_args *args, const char *model_dir)
{
    lf_error err;
    if (lf_verify_recheck(args->recheck, model_dir, &err)) return lf_cli_fail(verb, &err);
    printf("%s: intact\nsigned off\n", args->recheck);
    return 0;
}

// The running program, to start it again as a server.
static lf_status own_path(char *dst, size_t dst_bytes, lf_error *err)
{
    ssize_t length = readlink("/proc/self/exe", dst, dst_bytes - 1);
    if (length < 0) return lf_error_set(err, LF_ERR_IO, "cannot find this program's own path in /proc/self/exe");
    dst[length] = '\0';
    return LF_OK;
}

static int verify(const lf_verb *verb, const verify_args *args, const char *model_dir, const lf_rank_commands *commands)
{
    lf_error err;
    char program[4096];
    if (own_path(program, sizeof program, &err)) return lf_cli_fail(verb, &err);
    bool has_ranks = commands->n_rank > 1;
    const lf_verify_options options = {
        .model_dir = model_dir,
        .hf_overrides = args->hf_overrides,
        .output_dir = args->output_dir,
        .program = program,
        .tensor_parallel_size = has_ranks ? commands->n_rank : args->tensor_parallel_size,
        .ranks = has_ranks ? &commands->ranks : NULL,
        .enable_expert_parallel = args->enable_expert_parallel,
        .compare_single_rank = args->compare_single_rank,
        .dummy_only = strcmp(args->load_format, "dummy") == 0,
        .hash_data = args->hash_data,
        .probes_path = args->probes,
        .max_model_len = args->max_model_len,
        .ready_timeout_s = args->ready_timeout,
        .request_timeout_s = args->request_timeout,
        .on_step = print_step,
        .on_step_ctx = args->json ? stderr : stdout,
    };
    json_t *report = NULL;
    lf_status status = lf_verify_run(&options, &report, &err);
    if (report) print_result(report, args->output_dir, args->json);
    json_decref(report);
    if (status == LF_ERR_NOT_SIGNED_OFF) return lf_status_exit(status); // the reasons are printed
    return status ? lf_cli_fail(verb, &err) : 0;
}

static int run_verify(const lf_verb *verb, int argc, char **argv)
{
    lf_error err;
    bool is_done;
    const char *model_dir;
    verify_args args = {
        .load_format = "auto", .output_dir = "landfall-verify", .ready_timeout = 3600, .request_timeout = 600};
    if (lf_opts_parse(verb, argc, argv, &args, &model_dir, 1, &is_done, &err)) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (args.recheck) return recheck(verb, &args, model_dir);
    if (!model_dir) {
        lf_error_set(&err, LF_ERR_USAGE, "no MODEL: usage: landfall verify MODEL [flags]");
        return lf_cli_fail(verb, &err);
    }
    lf_rank_commands commands;
    if (lf_rank_commands_open(&commands, verb, argc, argv, args.tensor_parallel_size, &err)) {
        return lf_cli_fail(verb, &err);
    }
    if (commands.is_over) return commands.exit_status;
    if (commands.n_rank == 1 && lf_ranks_check_size(args.tensor_parallel_size, &err)) return lf_cli_fail(verb, &err);
    int exit_status = verify(verb, &args, model_dir, &commands);
    lf_rank_commands_close(&commands);
    return exit_status;
}

const lf_verb lf_verb_verify = {
    .name = "verify",
    .operands = "MODEL",
    .summary = "bring a checkpoint up: check, dummy gate, real gate, report, sign-off",
    .description =
        "Brings a checkpoint up and collects the evidence: the preflight of landfall check, gate A with dummy "
        "weights, gate B with the real weights, and a report for people (report.md) and for programs (report.json). "
        "Both gates speak to a server over HTTP only.\n\n"
        "With --tensor-parallel-size N the servers run on N ranks of this machine, under mpirun or srun on the "
        "ranks that are there, and the report says what each rank holds and has read. --compare-single-rank runs a "
        "fixed prompt on the ranks and on one, and names the first layer that differs by more than rounding "
        "explains; when one rank does not fit into memory, the step is skipped, and a skipped step is never signed "
        "off.\n\n"
        "Sign-off is computed from the steps: dummy weights alone, a failed or skipped mandatory step, or a report "
        "that was edited afterwards never get there.",
    .example = "landfall verify models/landfall-tiny-qwen3-fp8 --output-dir verify-output\n"
               "landfall verify --recheck verify-output/report.json\n"
               "landfall verify models/landfall-tiny-qwen3-fp8 -tp 2 --compare-single-rank\n"
               "mpirun -n 4 landfall verify models/MiniMax-M2 --enable-expert-parallel\n"
               "landfall verify models/MiniMax-M2 --load-format dummy --hf-overrides '{\"num_hidden_layers\": 4}'",
    .opts = verify_opts,
    .n_opt = LF_ARRAY_LENGTH(verify_opts),
    .computes = true, // when it is a rank
    .run = run_verify,
};
