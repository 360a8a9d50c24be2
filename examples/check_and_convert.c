// SPDX-License-Identifier: Apache-2.0
//
// Checks a model directory, says what it is and what ranks would hold, and converts it from FP8 to bf16 when OUT is
// given. Exit status as the program's: 0 all is well, 1 the answer is no, 2 wrong usage, 3 the environment failed.
//
//   cc check_and_convert.c -o check_and_convert $(pkg-config --cflags --libs landfall)
//   ./check_and_convert MODEL [OUT]
#include <inttypes.h>
#include <landfall.h>
#include <stdio.h>

static void print_model(const lf_model *model)
{
    const lf_model_facts *facts = lf_model_facts_of(model);
    lf_tensor_facts tensor;
    printf("%s: %zu tensors in %zu shards, %s\n", facts->architecture[0] ? facts->architecture : "unknown architecture",
           facts->n_tensor, facts->n_shard, facts->scheme);
    for (size_t i = 0; lf_model_tensor(model, i, &tensor); i++) {
        if (!tensor.scale) continue;
        printf("the first quantized tensor: %s, %s, one scale per %s in %s\n", tensor.name, tensor.dtype,
               tensor.scale_layout, tensor.scale);
        return;
    }
}

static lf_status print_plan(const lf_model *model, int64_t n_rank, lf_error *err)
{
    lf_plan *plan;
    const lf_plan_options options = {.tensor_parallel_size = n_rank};
    lf_status status = lf_plan_open(&plan, model, &options, err);
    for (size_t rank = 0; !status && rank < lf_plan_n_rank(plan); rank++) {
        const lf_share *share = lf_plan_share(plan, rank);
        printf("rank %zu of %" PRId64 ": query heads [%" PRId64 ", %" PRId64 "), %" PRId64 " replicated KV heads, "
               "%" PRIu64 " bytes of weights\n",
               rank, n_rank, share->query_heads.begin, share->query_heads.end, share->n_kv_replicated,
               share->weight_bytes);
    }
    lf_plan_close(plan);
    return status;
}

static lf_status check(const char *dir, lf_findings *findings, lf_error *err)
{
    lf_model *model;
    lf_status status = lf_model_open(&model, dir, err);
    if (!status) print_model(model);
    if (!status) status = lf_check_run(model, NULL, findings, err);
    for (size_t i = 0; !status && i < lf_findings_count(findings); i++) {
        const lf_finding *finding = lf_findings_at(findings, i);
        printf("%s %s: %s: %s\n", lf_severity_name(finding->severity), finding->code, finding->subject,
               finding->message);
    }
    if (!status) status = lf_findings_status(findings, err);
    if (!status) status = print_plan(model, 2, err);
    lf_model_close(model);
    return status;
}

static lf_status convert(const char *dir, const char *out, lf_findings *findings, lf_error *err)
{
    lf_conversion *conversion;
    lf_conversion_result result;
    const lf_conversion_options options = {.verify = true};
    lf_status status = lf_conversion_open(&conversion, dir, &options, findings, err);
    if (!status) status = lf_conversion_run(conversion, out, &result, err);
    if (!status) {
        printf("%s: %zu tensors dequantized; %zu shards written, %zu verified\n", out,
               lf_conversion_facts_of(conversion)->n_dequantized, result.n_written, result.n_verified);
    }
    lf_conversion_close(conversion);
    return status;
}

int main(int argc, char **argv)
{
    lf_error err;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: check_and_convert MODEL [OUT]   (liblandfall %s)\n", lf_version());
        return lf_status_exit(LF_ERR_USAGE);
    }
    lf_findings *findings = lf_findings_new();
    if (!findings) return lf_status_exit(LF_ERR_NO_MEMORY);
    lf_status status = check(argv[1], findings, &err);
    if (!status && argc == 3) status = convert(argv[1], argv[2], findings, &err);
    lf_findings_free(findings);
    if (status) {
        char line[2048];
        lf_error_format(&err, line, sizeof line);
        fprintf(stderr, "check_and_convert: %s: %s\n", lf_status_text(status), line);
    }
    return lf_status_exit(status);
}
