// SPDX-License-Identifier: Apache-2.0
//
// What can be counted without a parameter table: whether each layer that config.json promises has any tensor, and
// whether the experts of a layer are all there and alike. Names are sorted, so that a count is two binary searches;
// only a layer whose count is odd is looked at expert by expert.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/model_int.h"

enum { MAX_PREFIX = 128, MAX_EXPERT = MAX_PREFIX + 32 };

// The first tensor whose name, cut to the length of `prefix`, is not before it (`after`: is after it).
static size_t bound(const lf_quant *quant, const char *prefix, bool after)
{
    size_t low = 0, high = lf_quant_count(quant), length = strlen(prefix);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strncmp(lf_quant_tensor(quant, middle)->name, prefix, length);
        if (order < 0 || (after && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t count(const lf_quant *quant, const char *prefix)
{
    return bound(quant, prefix, true) - bound(quant, prefix, false);
}

static size_t count_expert(const lf_quant *quant, const char *experts, int64_t number)
{
    char prefix[MAX_EXPERT];
    snprintf(prefix, sizeof prefix, "%s%" PRId64 ".", experts, number);
    return count(quant, prefix);
}

static void add(lf_findings *findings, const char *code, const char *subject, const char *expected, const char *found,
                const char *message)
{
    lf_finding_args args = {.code = code,
                            .severity = LF_SEVERITY_ERROR,
                            .subject = subject,
                            .expected = expected,
                            .found = found,
                            .remedy = "get the complete checkpoint, or the config.json that belongs to it"};
    lf_findings_add(findings, &args, "%s", message);
}

static void check_layers(const lf_outline *outline, const lf_quant *quant, const char *root, lf_findings *findings)
{
    char prefix[MAX_PREFIX], first[MAX_PREFIX] = "", expected[64], found[64];
    int64_t n = 0;
    for (int64_t layer = 0; layer < outline->num_hidden_layers; layer++) {
        snprintf(prefix, sizeof prefix, "%slayers.%" PRId64 ".", root, layer);
        if (count(quant, prefix)) {
            n++;
        } else if (!first[0]) {
            snprintf(first, sizeof first, "%slayers.%" PRId64, root, layer);
        }
    }
    if (n == 0 || n == outline->num_hidden_layers) return; // 0: other layers have this root
    snprintf(expected, sizeof expected, "%" PRId64 " layers, as config.json says", outline->num_hidden_layers);
    snprintf(found, sizeof found, "%" PRId64 "; the first without a tensor is named above", n);
    add(findings, "layer-missing", first, expected, found, "layers without any tensor");
}

// `experts` is "...layers.3.mlp.experts."; a fused form has no numbers behind it.
static void check_experts(const lf_outline *outline, const lf_quant *quant, const char *experts, lf_findings *findings)
{
    size_t total = count(quant, experts), most = 0, n_less = 0;
    int64_t n = outline->num_experts, first = 0;
    if (total == 0 || !count_expert(quant, experts, 0)) return;
    if (total % (size_t)n == 0 && count_expert(quant, experts, n - 1) && !count_expert(quant, experts, n)) return;
    for (int64_t i = 0; i <= n; i++) most = LF_MAX(most, count_expert(quant, experts, i));
    for (int64_t i = n; i >= 0; i--) {
        size_t wanted = i < n ? most : 0;
        if (count_expert(quant, experts, i) == wanted) continue;
        n_less++;
        first = i;
    }
    if (n_less == 0) return;
    char subject[MAX_EXPERT], expected[96], found[96];
    snprintf(subject, sizeof subject, "%s%" PRId64, experts, first);
    snprintf(expected, sizeof expected, "%zu weights in each of %" PRId64 " experts", most, n);
    snprintf(found, sizeof found, "%zu in this one; %zu experts differ", count_expert(quant, experts, first), n_less);
    add(findings, "expert-incomplete", subject, expected, found, "the experts of a layer are not alike");
}

void lf__census(const lf_outline *outline, const lf_quant *quant, lf_findings *findings)
{
    static const char *const roots[] = {"model.", "", "language_model.model.", "model.language_model.", "backbone."};
    static const char *const kinds[] = {"mlp", "ffn", "block_sparse_moe", "feed_forward", "mixer", "moe"};
    char prefix[MAX_PREFIX];
    for (size_t r = 0; r < LF_ARRAY_LENGTH(roots); r++) {
        snprintf(prefix, sizeof prefix, "%slayers.", roots[r]);
        if (!count(quant, prefix) || outline->num_hidden_layers == 0) continue;
        check_layers(outline, quant, roots[r], findings);
        for (int64_t layer = 0; outline->num_experts && layer < outline->num_hidden_layers; layer++) {
            for (size_t k = 0; k < LF_ARRAY_LENGTH(kinds); k++) {
                snprintf(prefix, sizeof prefix, "%slayers.%" PRId64 ".%s.experts.", roots[r], layer, kinds[k]);
                check_experts(outline, quant, prefix, findings);
            }
        }
    }
}
