// SPDX-License-Identifier: Apache-2.0
//
// Findings, sizes and JSON on stdout.
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/finding_json.h"
#include "base/mem.h"

// Names come from the checkpoint: a control character in one must not reach the terminal.
static void put_text(FILE *stream, const char *text)
{
    for (; *text; text++) fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, stream);
    fputc('\n', stream);
}

static void show_finding(FILE *stream, const lf_finding *finding)
{
    const struct {
        const char *label, *text;
    } fields[] = {{"expected", finding->expected}, {"found", finding->found}, {"remedy", finding->remedy}};
    fputs("  ", stream);
    put_text(stream, finding->subject);
    fputs("    ", stream);
    put_text(stream, finding->message);
    for (size_t i = 0; i < LF_ARRAY_LENGTH(fields); i++) {
        if (!fields[i].text[0]) continue;
        fprintf(stream, "    %-9s ", fields[i].label);
        put_text(stream, fields[i].text);
    }
}

static size_t group_end(const lf_finding **items, size_t n, size_t begin)
{
    size_t end = begin + 1;
    while (end < n && items[end]->severity == items[begin]->severity &&
           strcmp(items[end]->code, items[begin]->code) == 0) {
        end++;
    }
    return end;
}

void lf_show_findings(FILE *stream, const lf_findings *findings, size_t per_code)
{
    const lf_finding **items = lf_findings_ranked(findings);
    if (!items) return;
    for (size_t begin = 0; begin < findings->count;) {
        size_t end = group_end(items, findings->count, begin), count = end - begin;
        const lf_finding *first = items[begin];
        fprintf(stream, "%s %s (%zu)\n", lf_severity_name(first->severity), first->code, count);
        size_t shown = per_code ? LF_MIN(per_code, count) : count;
        for (size_t i = begin; i < begin + shown; i++) show_finding(stream, items[i]);
        if (shown < count) fprintf(stream, "  ... and %zu more\n", count - shown);
        fputc('\n', stream);
        begin = end;
    }
    if (findings->n_dropped) fprintf(stream, "%zu more findings were only counted\n\n", findings->n_dropped);
    free(items);
}

lf_status lf_show_json(json_t *root, lf_error *err)
{
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (!text) return lf_error_no_memory(err, 0);
    puts(text);
    free(text);
    return LF_OK;
}

// value / base^k with the k-th suffix, k as large as leaves a value of at least 1.
static const char *scaled(char *dst, size_t dst_bytes, uint64_t value, double base, const char *const *suffixes,
                          size_t n)
{
    double amount = (double)value;
    size_t k = 0;
    for (; amount >= base && k + 1 < n; k++) amount /= base;
    snprintf(dst, dst_bytes, "%.*f%s%s", k ? 1 : 0, amount, suffixes[k][0] ? " " : "", suffixes[k]);
    return dst;
}

const char *lf_show_bytes(char *dst, size_t dst_bytes, uint64_t bytes)
{
    static const char *const suffixes[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    return scaled(dst, dst_bytes, bytes, 1024, suffixes, LF_ARRAY_LENGTH(suffixes));
}

const char *lf_show_count(char *dst, size_t dst_bytes, uint64_t count)
{
    static const char *const suffixes[] = {"", "thousand", "million", "billion"};
    return scaled(dst, dst_bytes, count, 1000, suffixes, LF_ARRAY_LENGTH(suffixes));
}
