// SPDX-License-Identifier: Apache-2.0
//
// Findings, sizes and JSON on stdout.
#include "cli/show.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct ranked {
    const lf_finding *finding;
    size_t place; // findings of one code and severity keep the order in which they were found
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->finding->severity != y->finding->severity) return x->finding->severity < y->finding->severity ? -1 : 1;
    int order = strcmp(x->finding->code, y->finding->code);
    if (order) return order;
    return x->place < y->place ? -1 : x->place > y->place;
}

// Sorted for showing; NULL when memory is gone.
static ranked *rank_findings(const lf_findings *findings)
{
    ranked *items = lf_realloc_array(NULL, findings->count, sizeof *items);
    for (size_t i = 0; items && i < findings->count; i++) items[i] = (ranked){&findings->items[i], i};
    if (items && findings->count) qsort(items, findings->count, sizeof *items, compare_ranked);
    return items;
}

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

static size_t group_end(const ranked *items, size_t n, size_t begin)
{
    size_t end = begin + 1;
    while (end < n && items[end].finding->severity == items[begin].finding->severity &&
           strcmp(items[end].finding->code, items[begin].finding->code) == 0) {
        end++;
    }
    return end;
}

void lf_show_findings(FILE *stream, const lf_findings *findings, size_t per_code)
{
    ranked *items = rank_findings(findings);
    if (!items) return;
    for (size_t begin = 0; begin < findings->count;) {
        size_t end = group_end(items, findings->count, begin), count = end - begin;
        const lf_finding *first = items[begin].finding;
        fprintf(stream, "%s %s (%zu)\n", lf_severity_name(first->severity), first->code, count);
        size_t shown = per_code ? LF_MIN(per_code, count) : count;
        for (size_t i = begin; i < begin + shown; i++) show_finding(stream, items[i].finding);
        if (shown < count) fprintf(stream, "  ... and %zu more\n", count - shown);
        fputc('\n', stream);
        begin = end;
    }
    if (findings->n_dropped) fprintf(stream, "%zu more findings were only counted\n\n", findings->n_dropped);
    free(items);
}

json_t *lf_show_text_json(const char *text)
{
    json_t *value = json_string(text);
    if (value) return value;
    char *ascii = strdup(text);
    for (char *at = ascii; ascii && *at; at++) {
        if ((unsigned char)*at >= 0x80) *at = '?';
    }
    value = json_string(ascii);
    free(ascii);
    return value;
}

static json_t *finding_json(const lf_finding *finding)
{
    const struct {
        const char *key, *text;
    } fields[] = {{"code", finding->code},         {"severity", lf_severity_name(finding->severity)},
                  {"subject", finding->subject},   {"message", finding->message},
                  {"expected", finding->expected}, {"found", finding->found},
                  {"remedy", finding->remedy}};
    json_t *object = json_object();
    for (size_t i = 0; i < LF_ARRAY_LENGTH(fields); i++) {
        if (json_object_set_new(object, fields[i].key, lf_show_text_json(fields[i].text)) == 0) continue;
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *lf_show_findings_json(const lf_findings *findings)
{
    ranked *items = rank_findings(findings);
    json_t *list = items ? json_array() : NULL;
    for (size_t i = 0; list && i < findings->count; i++) {
        if (json_array_append_new(list, finding_json(items[i].finding)) == 0) continue;
        json_decref(list);
        list = NULL;
    }
    free(items);
    return list;
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
