// SPDX-License-Identifier: Apache-2.0
//
// The report: report.json for programs, report.md for people, both from one JSON object. It carries a digest of itself
// and of its log files, so that an edited report is found out by --recheck.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "verify/verify_int.h"

bool lf__report_digest(const json_t *report, char hex[65])
{
    json_t *copy = lf_json_copy(report);
    if (!copy) return false;
    json_object_del(copy, "digest");
    char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    json_decref(copy);
    if (!text) return false;
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_sha256_update(&hash, text, strlen(text));
    lf_sha256_final_hex(&hash, hex);
    free(text);
    return true;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

// A table cell: bars and line ends would break the row.
static void put_cell(lf_buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '|') lf_buf_putc(out, '\\');
        lf_buf_putc(out, *c == '\n' || *c == '\r' ? ' ' : *c);
    }
}

static void put_steps(lf_buf *out, const json_t *steps)
{
    size_t i;
    json_t *step;
    lf_buf_puts(out,
                "\n## Steps\n\n| gate | step | status | seconds | what was seen |\n| --- | --- | --- | ---: | --- |\n");
    json_array_foreach(steps, i, step)
    {
        lf_buf_printf(out, "| %s | ", text_of(step, "gate"));
        put_cell(out, text_of(step, "title"));
        lf_buf_printf(out, "%s | %s | %.2f | ",
                      json_is_true(json_object_get(step, "mandatory")) ? "" : " (informative)", text_of(step, "status"),
                      json_number_value(json_object_get(step, "seconds")));
        put_cell(out, text_of(step, "detail"));
        lf_buf_puts(out, " |\n");
    }
}

static void put_proof(lf_buf *out, const json_t *table)
{
    size_t i;
    json_t *row;
    lf_buf_puts(out, "\n## What dummy weights proved, and what only real weights proved\n\n| claim | dummy | real |\n| "
                     "--- | --- | --- |\n");
    json_array_foreach(table, i, row)
    {
        lf_buf_printf(out, "| %s | %s | %s |\n", text_of(row, "claim"), text_of(row, "dummy"), text_of(row, "real"));
    }
}

static void put_answers(lf_buf *out, const json_t *steps)
{
    size_t i, j;
    json_t *step, *row;
    json_array_foreach(steps, i, step)
    {
        const json_t *answers = json_object_get(json_object_get(step, "evidence"), "answers");
        if (strcmp(text_of(step, "id"), "real.answer") != 0 || !answers) continue;
        lf_buf_puts(out, "\n## Questions and answers with real weights\n\n| question | expected | answer | right |\n| "
                         "--- | --- | --- | --- |\n");
        json_array_foreach(answers, j, row)
        {
            const json_t *messages = json_object_get(row, "messages");
            const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
            lf_buf_puts(out, "| ");
            put_cell(out, text_of(last, "content"));
            lf_buf_puts(out, " | ");
            put_cell(out, text_of(row, "expected"));
            lf_buf_puts(out, " | ");
            put_cell(out, text_of(row, "answer"));
            lf_buf_printf(out, " | %s |\n", json_is_true(json_object_get(row, "right")) ? "yes" : "no");
        }
    }
}

static void put_findings(lf_buf *out, const json_t *steps)
{
    size_t i, j;
    json_t *step, *finding;
    json_array_foreach(steps, i, step)
    {
        const json_t *findings = json_object_get(json_object_get(step, "evidence"), "findings");
        if (json_array_size(findings) == 0) continue;
        lf_buf_puts(out, "\n## Findings of the check\n\n");
        json_array_foreach(findings, j, finding)
        {
            lf_buf_printf(out, "- %s `%s` %s: %s\n", text_of(finding, "severity"), text_of(finding, "code"),
                          text_of(finding, "subject"), text_of(finding, "message"));
        }
    }
}

static void put_range(lf_buf *out, const json_t *range)
{
    json_int_t begin = json_integer_value(json_array_get(range, 0)), end = json_integer_value(json_array_get(range, 1));
    if (begin == end) {
        lf_buf_puts(out, "none | ");
    } else if (begin + 1 == end) {
        lf_buf_printf(out, "%lld | ", (long long)begin);
    } else {
        lf_buf_printf(out, "%lld-%lld | ", (long long)begin, (long long)end - 1);
    }
}

static void put_mib(lf_buf *out, const json_t *rank, const char *key)
{
    const json_t *bytes = json_object_get(rank, key);
    if (bytes)
        lf_buf_printf(out, "%.2f | ", (double)json_integer_value(bytes) / (1024.0 * 1024.0));
    else
        lf_buf_puts(out, "? | ");
}

static void put_rank(lf_buf *out, const json_t *rank)
{
    lf_buf_printf(out, "| %lld | ", (long long)json_integer_value(json_object_get(rank, "rank")));
    put_cell(out, text_of(rank, "host"));
    lf_buf_puts(out, " | ");
    put_range(out, json_object_get(rank, "query_heads"));
    put_range(out, json_object_get(rank, "kv_heads"));
    if (json_is_array(json_object_get(rank, "experts")))
        put_range(out, json_object_get(rank, "experts"));
    else
        lf_buf_puts(out, "| ");
    put_mib(out, rank, "weight_bytes");
    put_mib(out, rank, "kv_cache_bytes");
    put_mib(out, rank, "bytes_read");
    lf_buf_puts(out, "\n");
}

// One rank is said in a line.
static void put_topology(lf_buf *out, const json_t *topology, const json_t *fingerprint)
{
    size_t i;
    json_t *item;
    const json_t *ranks = json_object_get(topology, "ranks");
    if (!topology) return;
    const char *refused = text_of(topology, "expert_parallel_refused");
    lf_buf_printf(out, "\n## Ranks\n\nTensor-parallel size %lld, %s; %zu host%s.%s%s\n",
                  (long long)json_integer_value(json_object_get(topology, "tensor_parallel_size")),
                  json_is_true(json_object_get(topology, "expert_parallel")) ? "experts dealt out whole"
                                                                             : "no expert parallelism",
                  json_array_size(json_object_get(topology, "hosts")),
                  json_array_size(json_object_get(topology, "hosts")) == 1 ? "" : "s",
                  refused[0] ? " --enable-expert-parallel: " : "", refused);
    json_array_foreach(json_object_get(topology, "replicated_kv_heads"), i, item)
    {
        lf_buf_printf(out, "%s KV head %lld on ranks %lld-%lld",
                      i ? "," : "\nReplicated:", (long long)json_integer_value(json_object_get(item, "kv_head")),
                      (long long)json_integer_value(json_object_get(item, "first_rank")),
                      (long long)json_integer_value(json_object_get(item, "last_rank")));
    }
    if (json_array_size(json_object_get(topology, "replicated_kv_heads"))) lf_buf_puts(out, ".\n");
    if (json_is_true(json_object_get(topology, "cache_is_latent"))) {
        lf_buf_puts(out, "\nThe KV cache is a latent that every rank holds whole.\n");
    }
    lf_buf_puts(out, "\n| rank | host | query heads | KV heads | experts | weights, MiB | KV cache, MiB | read, MiB |\n"
                     "| ---: | --- | --- | --- | --- | ---: | ---: | ---: |\n");
    json_array_foreach(ranks, i, item) put_rank(out, item);
    const double mib = 1024.0 * 1024.0;
    lf_buf_printf(out, "\nAll ranks together have read %.2f MiB of a checkpoint with %.2f MiB of tensors.\n",
                  (double)json_integer_value(json_object_get(topology, "bytes_read")) / mib,
                  (double)json_integer_value(json_object_get(fingerprint, "tensor_bytes")) / mib);
}

static void put_overrides(lf_buf *out, const json_t *report)
{
    const json_t *overrides = json_object_get(report, "hf_overrides");
    char *text = overrides ? json_dumps(overrides, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (overrides && !text) lf_buf_puts(out, "With `--hf-overrides`.\n\n");
    if (text) lf_buf_printf(out, "With `--hf-overrides '%s'`.\n\n", text);
    free(text);
}

static void render_markdown(lf_buf *out, const json_t *report)
{
    size_t i;
    json_t *reason;
    const json_t *fingerprint = json_object_get(report, "fingerprint");
    const json_t *steps = json_object_get(report, "steps");
    bool signed_off = json_is_true(json_object_get(report, "signed_off"));
    lf_buf_printf(out, "# Bring-up of %s: %s\n\n", text_of(report, "model"),
                  signed_off ? "signed off" : "NOT signed off");
    put_overrides(out, report);
    json_array_foreach(json_object_get(report, "reasons"), i, reason)
    {
        lf_buf_printf(out, "- %s\n", json_string_value(reason));
    }
    lf_buf_printf(out,
                  "\n| | |\n| --- | --- |\n| checkpoint | `%s` |\n| architecture | %s |\n| scheme | %s |\n| "
                  "fingerprint | `%s` |\n"
                  "| data hashed | %s |\n| program | landfall %s |\n| device | %s |\n| when | %s |\n",
                  text_of(report, "model_dir"), text_of(report, "architecture"), text_of(report, "scheme"),
                  text_of(fingerprint, "checkpoint"),
                  json_is_string(json_object_get(fingerprint, "data")) ? "yes" : "no",
                  text_of(report, "landfall_version"), text_of(report, "device"), text_of(report, "created"));
    put_topology(out, json_object_get(report, "topology"), fingerprint);
    put_steps(out, steps);
    put_proof(out, json_object_get(report, "proof"));
    put_answers(out, steps);
    put_findings(out, steps);
    lf_buf_printf(out, "\nDigest of report.json: `%s`. `landfall verify --recheck report.json` checks it again.\n",
                  text_of(json_object_get(report, "digest"), "value"));
}

lf_status lf__report_write(json_t *report, const char *output_dir, lf_error *err)
{
    char hex[65];
    lf_buf markdown = LF_BUF_INIT;
    char *json_path = lf_path_join(output_dir, "report.json");
    char *markdown_path = lf_path_join(output_dir, "report.md");
    char *text = NULL;
    lf_status status = LF_OK;

    if (!json_path || !markdown_path || !lf__report_digest(report, hex) ||
        json_object_set_new(report, "digest", json_pack("{s:s, s:s}", "algorithm", "sha256", "value", hex)) != 0) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    render_markdown(&markdown, report);
    if (!text || lf_buf_failed(&markdown)) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    status = lf_file_write(markdown_path, lf_buf_text(&markdown), markdown.length, err);
    if (status) goto out;
    status = lf_file_write(json_path, text, strlen(text), err);
    if (status) unlink(markdown_path); // both or none: what people read must be what --recheck proves

out:
    lf_buf_fini(&markdown);
    free(text);
    free(json_path);
    free(markdown_path);
    return status;
}
