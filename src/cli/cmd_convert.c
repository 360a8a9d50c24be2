// SPDX-License-Identifier: Apache-2.0
//
// landfall convert: an FP8 checkpoint as a bf16 directory for programs that cannot read FP8. Run again after an
// interruption, the same command goes on. Exit status 1 when the checkpoint does not pair or its data is damaged.
//
// --json prints one object:
//   model, out      the directories as given
//   ok              converted (with --dry-run: could be converted); otherwise errors and findings tell why
//   dry_run, was_complete
//   scheme          one line about the quantization
//   dequant_rounding, shard_size
//   tensors, dequantized, source_bytes, output_bytes, shards    the plan
//   shards_written, shards_kept, shards_verified, bytes_written, files_linked, files_copied
//   write_seconds, verify_seconds
//   dropped         array of {name, reason}: scales of activations and KV cache
//   files           array of {name, action, reason}: action is take, rewrite or skip
//   errors, findings    when the checkpoint does not pair; findings as `check --json` prints them
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/finding_json.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "convert/convert.h"

typedef struct convert_args {
    int64_t shard_size;
    const char *dequant_rounding;
    bool copy;
    bool verify;
    bool sync;
    bool dry_run;
    bool json;
} convert_args;

static const lf_opt convert_opts[] = {
    {.name = "shard-size",
     .kind = LF_OPT_SIZE,
     .metavar = "BYTES",
     .help = "most tensor bytes of one file (default 5g = 5 GB, as transformers)",
     .offset = offsetof(convert_args, shard_size),
     .min = 1,
     .max = INT64_MAX},
    {.name = "dequant-rounding",
     .kind = LF_OPT_STRING,
     .metavar = "HOW",
     .help = "exact, or bf16-scale: round each scale to bf16 first, as some engines do",
     .offset = offsetof(convert_args, dequant_rounding),
     .choices = "exact|bf16-scale"},
    {.name = "verify",
     .kind = LF_OPT_FLAG,
     .help = "read every file back, compare it with a fresh dequantization, note its SHA-256",
     .offset = offsetof(convert_args, verify)},
    {.name = "copy",
     .kind = LF_OPT_FLAG,
     .help = "copy tokenizer, templates and other files instead of hard-linking them",
     .offset = offsetof(convert_args, copy)},
    {.name = "sync",
     .kind = LF_OPT_FLAG,
     .help = "flush every file to the disk (default); --no-sync is faster, safe from kills only",
     .offset = offsetof(convert_args, sync)},
    {.name = "dry-run",
     .kind = LF_OPT_FLAG,
     .help = "check, plan, print, write nothing",
     .offset = offsetof(convert_args, dry_run)},
    {.name = "json", .kind = LF_OPT_FLAG, .help = "print JSON", .offset = offsetof(convert_args, json)},
};

enum { SHOWN_PER_CODE = 20 };

static const char *action_name(lf_convert_action action)
{
    switch (action) {
    case LF_CONVERT_TAKE: return "take";
    case LF_CONVERT_REWRITE: return "rewrite";
    case LF_CONVERT_SKIP: break;
    }
    return "skip";
}

// One line for each reason, with the first tensor that it applies to.
static void print_dropped(const lf_quant *quant)
{
    size_t n = lf_quant_n_side(quant);
    for (size_t i = 0; i < n; i++) {
        const lf_side_tensor *side = lf_quant_side(quant, i);
        size_t n_before = 0, n_same = 0;
        for (size_t k = 0; k < n; k++) {
            if (strcmp(lf_quant_side(quant, k)->reason, side->reason) != 0) continue;
            n_before += k < i;
            n_same++;
            if (n_before) break;
        }
        if (n_before) continue;
        printf("  dropped      %zu tensors, the first is %s (%s)\n", n_same, side->tensor->name, side->reason);
    }
}

static void print_skipped(const lf_convert *convert)
{
    for (size_t i = 0; i < lf_convert_n_file(convert); i++) {
        const lf_convert_file *file = lf_convert_file_at(convert, i);
        bool is_expected = file->action != LF_CONVERT_SKIP || strcmp(file->reason, "a file of weights") == 0 ||
                           strcmp(file->reason, "made anew") == 0;
        if (!is_expected) printf("  left out     %s (%s)\n", file->name, file->reason);
    }
}

static void print_plan(const lf_convert *convert, const char *model, const char *out)
{
    const lf_convert_plan *plan = lf_convert_plan_of(convert);
    char source[32], output[32];
    printf("%s: %s, %s\n", model, lf_show_bytes(source, sizeof source, plan->source_bytes),
           lf_quant_scheme(lf_convert_quant(convert)));
    printf("%s: %s, %zu tensors in %zu shard%s\n", out, lf_show_bytes(output, sizeof output, plan->output_bytes),
           plan->n_tensor, plan->n_shard, plan->n_shard == 1 ? "" : "s");
    printf("  dequantized  %zu tensors\n  taken over   %zu tensors, bit for bit\n", plan->n_dequantized,
           plan->n_tensor - plan->n_dequantized);
    print_dropped(lf_convert_quant(convert));
    print_skipped(convert);
}

static void print_result(const lf_convert_result *result)
{
    char bytes[32];
    double seconds = (double)result->write_ns / 1e9;
    if (result->was_complete && result->n_verified == 0) {
        printf("complete already: %zu shard%s as written\n", result->n_kept, result->n_kept == 1 ? "" : "s");
        return;
    }
    if (result->n_written) {
        printf("wrote %zu shard%s, %s in %.1f s", result->n_written, result->n_written == 1 ? "" : "s",
               lf_show_bytes(bytes, sizeof bytes, result->bytes_written), seconds);
        if (seconds > 1) printf(" (%.2f GB/s)", (double)result->bytes_written / 1e9 / seconds);
    } else {
        printf("wrote no shard");
    }
    if (result->n_kept) printf(", kept %zu", result->n_kept);
    printf("; linked %zu files, copied %zu", result->n_linked, result->n_copied);
    if (result->n_verified)
        printf("; verified %zu shard%s in %.1f s", result->n_verified, result->n_verified == 1 ? "" : "s",
               (double)result->verify_ns / 1e9);
    printf("\n");
}

static json_t *dropped_json(const lf_quant *quant)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < lf_quant_n_side(quant); i++) {
        const lf_side_tensor *side = lf_quant_side(quant, i);
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", side->tensor->name, "reason", side->reason));
    }
    return list;
}

static json_t *files_json(const lf_convert *convert)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < lf_convert_n_file(convert); i++) {
        const lf_convert_file *file = lf_convert_file_at(convert, i);
        json_array_append_new(list, json_pack("{s:o, s:s, s:s?}", "name", lf_json_lossy_string(file->name), "action",
                                              action_name(file->action), "reason", file->reason));
    }
    return list;
}

static json_t *result_json(const lf_convert *convert, const lf_convert_result *result, const convert_args *args)
{
    const lf_convert_plan *plan = lf_convert_plan_of(convert);
    return json_pack(
        "{s:b, s:b, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, "
        "s:o}",
        "ok", 1, "dry_run", args->dry_run, "was_complete", result->was_complete,    //
        "scheme", lf_quant_scheme(lf_convert_quant(convert)),                       //
        "dequant_rounding", args->dequant_rounding, "shard_size", args->shard_size, //
        "tensors", (json_int_t)plan->n_tensor,                                      //
        "dequantized", (json_int_t)plan->n_dequantized,                             //
        "source_bytes", (json_int_t)plan->source_bytes,                             //
        "output_bytes", (json_int_t)plan->output_bytes,                             //
        "shards", (json_int_t)plan->n_shard,                                        //
        "shards_written", (json_int_t)result->n_written,                            //
        "shards_kept", (json_int_t)result->n_kept,                                  //
        "shards_verified", (json_int_t)result->n_verified,                          //
        "bytes_written", (json_int_t)result->bytes_written,                         //
        "files_linked", (json_int_t)result->n_linked,                               //
        "files_copied", (json_int_t)result->n_copied,                               //
        "write_seconds", (double)result->write_ns / 1e9,                            //
        "verify_seconds", (double)result->verify_ns / 1e9,                          //
        "dropped", dropped_json(lf_convert_quant(convert)), "files", files_json(convert));
}

static lf_status print_json(json_t *root, const char *model, const char *out, lf_error *err)
{
    if (root) {
        json_object_set_new(root, "model", lf_json_lossy_string(model));
        json_object_set_new(root, "out", lf_json_lossy_string(out));
    }
    return lf_show_json(root, err);
}

static lf_status show_refusal(const lf_findings *findings, const convert_args *args, const char *model, const char *out,
                              lf_error *err)
{
    if (args->json) {
        json_t *root = json_pack("{s:b, s:I, s:o}", "ok", 0, "errors", (json_int_t)findings->n_error, "findings",
                                 lf_findings_json(findings));
        return print_json(root, model, out, err);
    }
    lf_show_findings(stdout, findings, SHOWN_PER_CODE);
    printf("not converted: %zu error%s\n", findings->n_error, findings->n_error == 1 ? "" : "s");
    return LF_OK;
}

static lf_status convert(const convert_args *args, const char *model, const char *out, lf_findings *findings,
                         lf_error *err)
{
    lf_convert *c = NULL;
    lf_convert_result result = {0};
    lf_convert_options options = {
        .shard_bytes = (uint64_t)args->shard_size,
        .rounding = strcmp(args->dequant_rounding, "bf16-scale") == 0 ? LF_DEQUANT_BF16_SCALE : LF_DEQUANT_EXACT,
        .copy = args->copy,
        .verify = args->verify,
        .sync = args->sync,
        .show_progress = true,
    };
    lf_status status = lf_convert_open(&c, model, &options, findings, err);
    if (!status && !args->json) print_plan(c, model, out);
    if (!status && !args->dry_run) status = lf_convert_run(c, out, &result, err);
    if (!status && args->json)
        status = print_json(result_json(c, &result, args), model, out, err);
    else if (!status && !args->dry_run)
        print_result(&result);
    lf_convert_close(c);
    return status;
}

static int run_convert(const lf_verb *verb, int argc, char **argv)
{
    convert_args args = {.shard_size = LF_CONVERT_SHARD_BYTES, .dequant_rounding = "exact", .sync = true};
    const char *operands[2] = {NULL, NULL};
    bool is_done = false;
    lf_error err = {0};
    lf_findings findings = LF_FINDINGS_INIT;
    lf_status status = lf_opts_parse(verb, argc, argv, &args, operands, 2, &is_done, &err);
    if (status) return lf_cli_fail(verb, &err);
    if (is_done) return 0;
    if (!operands[0] || !operands[1]) {
        lf_error_set(&err, LF_ERR_USAGE, "%s is missing; `landfall convert --help` shows the usage",
                     operands[0] ? "OUT" : "MODEL");
        return lf_cli_fail(verb, &err);
    }
    status = convert(&args, operands[0], operands[1], &findings, &err);
    bool is_refused = status == LF_ERR_FINDINGS;
    if (is_refused) status = show_refusal(&findings, &args, operands[0], operands[1], &err);
    lf_findings_fini(&findings);
    if (status) return lf_cli_fail(verb, &err);
    return is_refused ? lf_status_exit(LF_ERR_FINDINGS) : 0;
}

const lf_verb lf_verb_convert = {
    .name = "convert",
    .operands = "MODEL OUT",
    .summary = "FP8 to bf16 directory; streaming, resumable, atomic",
    .description =
        "Writes a directory in bf16 that transformers, vLLM and llama.cpp's converter load as it is. Memory is "
        "constant, "
        "whatever the size of the checkpoint. Every file appears complete or not at all; the same command run again "
        "goes on where an earlier one was stopped, even by a kill. Nothing is converted from a checkpoint that does "
        "not pair, and free space is checked before anything is written.",
    .example = "landfall convert models/Qwen3-8B-FP8 Qwen3-8B-bf16 --verify",
    .opts = convert_opts,
    .n_opt = LF_ARRAY_LENGTH(convert_opts),
    .run = run_convert,
};
