// SPDX-License-Identifier: Apache-2.0
//
// Pairing: every FP8 weight with exactly one scale, every scale with exactly one FP8 weight, from headers alone (lesson
// L4: what is unpaired is refused before data is read). The decision per tensor comes from its dtype and its
// companions; config.json only gives the block size, which is checked with ceil() against the scale's shape and never
// derived from it: DeepSeek's own kv_a_proj_with_mqa has 576 rows and 5 rows of scales.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/quant_int.h"

enum { MAX_CANDIDATES = 8 };
enum { FATE_LOGICAL, FATE_SCALE, FATE_SIDE, FATE_REFUSED };

typedef struct pairing {
    lf_quant *quant;
    const lf_checkpoint *checkpoint;
    lf__quant_config config;
    lf_findings *findings;
    uint8_t *role;                      // of each stored tensor: lf__role
    uint8_t *fate;                      // of each stored tensor: one of FATE_
    uint32_t *scale_of;                 // weight -> its scale, UINT32_MAX: none
    uint8_t *is_missing;                // weights without any scale
    size_t n_candidate[MAX_CANDIDATES]; // how often the k-th companion name was found
    uint8_t *is_broken;                 // weights without a usable scale
    lf_buf name;                        // of a companion that is looked for
    struct {
        size_t count;
        const char *first;
    } families[LF__FAMILY_COUNT];
} pairing;

static const lf_stored_tensor *tensor_at(const pairing *p, size_t i) { return lf_checkpoint_tensor(p->checkpoint, i); }

static bool is_fp8_weight(const pairing *p, size_t i)
{
    return lf_dtype_is_fp8(tensor_at(p, i)->dtype) && p->role[i] == LF__ROLE_PLAIN;
}

static void add(const pairing *p, const char *code, const lf_stored_tensor *tensor, const char *expected,
                const char *found, const char *remedy, const char *message)
{
    lf_finding_args args = {.code = code,
                            .severity = LF_SEVERITY_ERROR,
                            .subject = tensor->name,
                            .expected = expected,
                            .found = found,
                            .remedy = remedy};
    lf_findings_add(p->findings, &args, "%s '%s'", message, tensor->name);
}

static const char *file_of(const pairing *p, const lf_stored_tensor *tensor)
{
    return lf_checkpoint_shard(p->checkpoint, tensor->shard)->file_name;
}

// What the scale of a weight would have to look like, by the configuration.
static void format_expected(const pairing *p, const lf_stored_tensor *weight, char *dst, size_t dst_bytes)
{
    if (weight->rank == 2 && p->config.n_block) {
        lf__block block = p->config.blocks[0];
        snprintf(dst, dst_bytes, "[%lld, %lld] for [%lld, %lld] in blocks of %lldx%lld",
                 (long long)lf_ceil_div(weight->shape[0], block.rows),
                 (long long)lf_ceil_div(weight->shape[1], block.cols), (long long)weight->shape[0],
                 (long long)weight->shape[1], (long long)block.rows, (long long)block.cols);
    } else {
        snprintf(dst, dst_bytes, "one value, or one for each of the %lld rows",
                 (long long)(weight->rank ? weight->shape[0] : 1));
    }
}

// Told after all weights were paired: then it is known what the scales of this checkpoint are called.
static void report_missing(pairing *p, size_t i)
{
    const lf_stored_tensor *weight = tensor_at(p, i);
    char shape[128], expected[512], found[LF_ERROR_FIELD_BYTES];
    size_t usual = 0;
    for (size_t k = 1; k < MAX_CANDIDATES; k++) {
        if (p->n_candidate[k] > p->n_candidate[usual]) usual = k;
    }
    bool has_usual = p->n_candidate[usual] && lf__scale_candidate(weight->name, usual, &p->name);
    format_expected(p, weight, shape, sizeof shape);
    snprintf(expected, sizeof expected, "%s, %s",
             has_usual ? lf_buf_text(&p->name) : "weight_scale_inv, weight_scale, scale or qscale_weight beside it",
             shape);
    snprintf(found, sizeof found, "no scale in any of %zu shards; the weight is in %s",
             lf_checkpoint_n_shard(p->checkpoint), file_of(p, weight));
    add(p, "scale-missing", weight, expected, found,
        "get the complete checkpoint: without its scale the weight is unusable", "scale missing for");
}

// Shape [a, 1, b, 1] counts as [a, b] (ModelOpt).
static size_t scale_shape(const lf_stored_tensor *scale, int64_t shape[2], int64_t *n_element)
{
    *n_element = 1;
    for (int i = 0; i < scale->rank; i++) *n_element *= scale->shape[i];
    if (scale->rank == 4 && scale->shape[1] == 1 && scale->shape[3] == 1) {
        shape[0] = scale->shape[0];
        shape[1] = scale->shape[2];
        return 2;
    }
    for (int i = 0; i < scale->rank && i < 2; i++) shape[i] = scale->shape[i];
    return scale->rank;
}

static bool find_block(const pairing *p, const lf_stored_tensor *weight, const int64_t shape[2], lf_logical_tensor *out)
{
    for (size_t i = 0; i < p->config.n_block; i++) {
        lf__block block = p->config.blocks[i];
        if (shape[0] != lf_ceil_div(weight->shape[0], block.rows)) continue;
        if (shape[1] != lf_ceil_div(weight->shape[1], block.cols)) continue;
        out->layout = LF_SCALE_BLOCK;
        out->block_rows = block.rows;
        out->block_cols = block.cols;
        return true;
    }
    return false;
}

// Fills out->layout from the shapes; false after a finding.
static bool choose_layout(const pairing *p, const lf_stored_tensor *weight, const lf_stored_tensor *scale,
                          lf_logical_tensor *out)
{
    int64_t shape[2] = {1, 1}, n_element;
    size_t rank = scale_shape(scale, shape, &n_element);
    if (weight->rank == 2 && rank == 2 && find_block(p, weight, shape, out)) return true;
    if (n_element == 1) {
        out->layout = LF_SCALE_TENSOR;
        return true;
    }
    int64_t rows = weight->rank ? weight->shape[0] : 1;
    bool is_per_row = shape[0] == rows && (rank == 1 || (rank == 2 && shape[1] == 1));
    if (weight->rank == 2 && is_per_row && (p->config.n_block == 0 || p->config.has_channel)) {
        out->layout = LF_SCALE_CHANNEL;
        return true;
    }
    char expected[192], found[160];
    lf_stored_tensor_format(scale, found, sizeof found);
    if (weight->rank == 2 && rank == 2 && p->config.n_block == 0) {
        add(p, "block-size-missing", weight, "weight_block_size in quantization_config of config.json", found,
            "take config.json from the original checkpoint: the block size is never guessed",
            "no block size for the scale of");
        return false;
    }
    format_expected(p, weight, expected, sizeof expected);
    add(p, "scale-shape", scale, expected, found, "the scale or the block size in config.json is of another model",
        "the shape does not fit the weight of scale");
    return false;
}

static bool check_dtype(const pairing *p, const lf_stored_tensor *scale)
{
    static const lf_dtype accepted[] = {LF_DTYPE_F32, LF_DTYPE_BF16, LF_DTYPE_F16, LF_DTYPE_F8_E8M0};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(accepted); i++) {
        if (scale->dtype == accepted[i]) return true;
    }
    add(p, "scale-dtype", scale, "F32, BF16, F16 or F8_E8M0", lf_dtype_name(scale->dtype),
        "write the scales as float32: an integer byte is never read as a scale", "wrong dtype of scale");
    return false;
}

static void refuse_family(pairing *p, size_t i, lf__family family)
{
    if (p->families[family].count++ == 0) p->families[family].first = tensor_at(p, i)->name;
    p->is_broken[i] = true;
}

// Companions of weight i: how many, and the first. All of them count as used, so that an ambiguity is told once.
static size_t find_scales(pairing *p, size_t i, size_t *first, char *names, size_t names_bytes)
{
    size_t count = 0, used = 0;
    names[0] = '\0';
    for (size_t k = 0; k < MAX_CANDIDATES && lf__scale_candidate(tensor_at(p, i)->name, k, &p->name); k++) {
        if (lf_buf_failed(&p->name)) {
            p->findings->failed = true;
            return 0;
        }
        size_t found = lf__find_near(p->checkpoint, i, lf_buf_text(&p->name));
        if (found == SIZE_MAX || p->fate[found] == FATE_SIDE) continue;
        if (count++ == 0) *first = found;
        p->n_candidate[k]++;
        p->fate[found] = FATE_SCALE;
        const char *last = strrchr(lf_buf_text(&p->name), '.');
        int length = used < names_bytes ? snprintf(names + used, names_bytes - used, "%s%s", count > 1 ? ", " : "",
                                                   last ? last + 1 : lf_buf_text(&p->name))
                                        : 0;
        used += length > 0 ? (size_t)length : 0;
    }
    return count;
}

static void pair_weight(pairing *p, size_t i)
{
    const lf_stored_tensor *weight = tensor_at(p, i);
    char names[256];
    size_t at = 0, count = find_scales(p, i, &at, names, sizeof names);
    const lf_stored_tensor *scale = count ? tensor_at(p, at) : NULL;
    lf__family family = lf__family_of_fp8(&p->config, weight, scale);
    if (family != LF__FAMILY_NONE) {
        refuse_family(p, i, family);
        return;
    }
    p->is_broken[i] = true; // unless everything below passes
    lf_logical_tensor layout = {0};
    if (count == 0) {
        p->is_missing[i] = true;
    } else if (count > 1) {
        add(p, "scale-ambiguous", weight, "exactly one scale", names,
            "remove the scale that does not belong to the weight", "more than one scale for");
    } else if (check_dtype(p, scale) && choose_layout(p, weight, scale, &layout)) {
        p->scale_of[i] = (uint32_t)at;
        p->is_broken[i] = false;
    }
}

// Tensors that are no FP8 weights: scales wait for their weights, the rest is settled.
static void classify(pairing *p, size_t i)
{
    lf__role role = (lf__role)p->role[i];
    if (role == LF__ROLE_SIDE || role == LF__ROLE_ZERO_POINT) {
        p->fate[i] = FATE_SIDE;
        p->quant->n_side++;
        return;
    }
    lf__family family = role == LF__ROLE_PLAIN ? lf__family_of_packed(p->checkpoint, i) : LF__FAMILY_NONE;
    if (family != LF__FAMILY_NONE) refuse_family(p, i, family);
}

// The weight that scale i names by its own name, for messages and for the ".scale" rule; NULL when there is none.
static const lf_stored_tensor *weight_beside(pairing *p, size_t i)
{
    static const char *const ends[] = {".weight", "._weight_qdata", ".weight_packed", ".qweight", ""};
    const char *name = tensor_at(p, i)->name, *dot = strrchr(name, '.');
    for (size_t k = 0; dot && k < LF_ARRAY_LENGTH(ends); k++) {
        lf_buf_clear(&p->name);
        lf_buf_append(&p->name, name, (size_t)(dot - name));
        lf_buf_puts(&p->name, ends[k]);
        if (lf_buf_failed(&p->name)) p->findings->failed = true;
        size_t found = lf__find_near(p->checkpoint, i, lf_buf_text(&p->name));
        if (found != SIZE_MAX && found != i) return tensor_at(p, found);
    }
    return NULL;
}

// A tensor called like a scale that no weight asked for.
static void check_leftover_scale(pairing *p, size_t i)
{
    const lf_stored_tensor *scale = tensor_at(p, i);
    lf__role role = (lf__role)p->role[i];
    if (p->fate[i] != FATE_LOGICAL || p->is_broken[i] || p->scale_of[i] != UINT32_MAX) return;
    bool is_odd = role == LF__ROLE_PLAIN && lf__looks_like_scale(scale->name);
    if (role == LF__ROLE_PLAIN && !is_odd) return;
    const lf_stored_tensor *weight = weight_beside(p, i);
    size_t at = weight ? (size_t)(weight - tensor_at(p, 0)) : 0;
    if (weight && p->is_broken[at]) { // of a family that was refused, or of a weight that has its finding
        p->fate[i] = FATE_REFUSED;
        return;
    }
    if (is_odd) {
        if (!weight || !lf_dtype_is_fp8(weight->dtype)) return; // a parameter: "logit_scale"
        add(p, "scale-unknown", scale, "a companion name that is known", "a scale-like tensor beside an FP8 weight",
            "say in an issue which tool wrote it: ignoring it could give wrong weights", "unknown scale companion");
    } else if (role == LF__ROLE_MAYBE_SCALE && scale->dtype != LF_DTYPE_F8_E8M0) {
        return; // an ordinary parameter called "scale"
    } else {
        char expected[160], found[160] = "no such tensor";
        if (weight) lf_stored_tensor_format(weight, found, sizeof found);
        snprintf(expected, sizeof expected, "an FP8 weight for this scale in %s", file_of(p, scale));
        add(p, "scale-orphan", scale, expected, found,
            weight ? "the weight was converted but its scale was left behind: remove it, or get the original weight"
                   : "a weight was renamed or dropped: get the complete checkpoint",
            "scale without an FP8 weight:");
    }
    p->fate[i] = FATE_REFUSED;
}

// A zero point that is not zero changes the weights; these are small, and their bytes are looked at here.
static void check_zero_point(const pairing *p, const lf_stored_tensor *tensor)
{
    for (uint64_t i = 0; i < tensor->bytes; i++) {
        bool is_sign_of_zero = tensor->dtype == LF_DTYPE_F32 ? i % 4 == 3 : i % 2 == 1; // -0.0 is zero
        uint8_t byte = tensor->data[i];
        if (byte == 0 || (byte == 0x80 && is_sign_of_zero)) continue;
        add(p, "zero-point", tensor, "zero", "another value", "asymmetric quantization is not supported",
            "a zero point of FP8 is not zero:");
        return;
    }
}

static bool collect_sides(pairing *p)
{
    lf_quant *quant = p->quant;
    size_t n = 0;
    quant->sides = lf_realloc_array(NULL, quant->n_side, sizeof *quant->sides);
    if (!quant->sides) return false;
    for (size_t i = 0; i < lf_checkpoint_count(p->checkpoint); i++) {
        if (p->fate[i] != FATE_SIDE) continue;
        lf_side_tensor side = {.tensor = tensor_at(p, i)};
        if (lf__role_of(side.tensor->name, &side.reason) == LF__ROLE_ZERO_POINT) check_zero_point(p, side.tensor);
        quant->sides[n++] = side;
    }
    return true;
}

// "M._weight_qdata" is the weight "M.weight" (torchao).
static const char *logical_name(lf_quant *quant, const char *stored)
{
    static const char suffix[] = "._weight_qdata";
    if (!lf__has_suffix(stored, suffix)) return stored;
    size_t parent = strlen(stored) - strlen(suffix);
    char *name = malloc(parent + sizeof ".weight");
    if (!name ||
        !lf_array_grow((void **)&quant->names, &quant->name_capacity, quant->n_name + 1, sizeof *quant->names)) {
        free(name);
        return NULL;
    }
    memcpy(name, stored, parent);
    strcpy(name + parent, ".weight");
    quant->names[quant->n_name++] = name;
    return name;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const lf_logical_tensor *)a)->name, ((const lf_logical_tensor *)b)->name);
}

static bool collect_logical(pairing *p)
{
    lf_quant *quant = p->quant;
    size_t n = lf_checkpoint_count(p->checkpoint);
    quant->tensors = lf_realloc_array(NULL, n, sizeof *quant->tensors);
    if (!quant->tensors) return false;
    for (size_t i = 0; i < n; i++) {
        if (p->fate[i] != FATE_LOGICAL) continue;
        lf_logical_tensor tensor = {.weight = tensor_at(p, i)};
        tensor.name = logical_name(quant, tensor.weight->name);
        if (!tensor.name) return false;
        if (p->is_broken[i]) {
            tensor.layout = LF_SCALE_BROKEN;
        } else if (p->scale_of[i] != UINT32_MAX) {
            tensor.scale = tensor_at(p, p->scale_of[i]);
            choose_layout(p, tensor.weight, tensor.scale, &tensor); // it passed before
            quant->n_quantized++;
        }
        quant->tensors[quant->count++] = tensor;
    }
    if (quant->n_name) qsort(quant->tensors, quant->count, sizeof *quant->tensors, compare_names);
    return true;
}

static void report_families(pairing *p)
{
    size_t n_family = 0;
    for (int family = 1; family < LF__FAMILY_COUNT; family++) {
        if (p->families[family].count == 0) continue;
        n_family++;
        char found[96];
        snprintf(found, sizeof found, "%s: %zu tensors", lf__family_name(family), p->families[family].count);
        lf_finding_args args = {.code = "scheme-unsupported",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = p->families[family].first,
                                .expected = "FP8 with one scale per tensor, per channel or per block",
                                .found = found,
                                .remedy = "use an FP8 or bf16 release of the model"};
        lf_findings_add(p->findings, &args,
                        "the checkpoint is %s, which Landfall does not run; the first tensor is '%s'",
                        lf__family_name(family), p->families[family].first);
    }
    lf__family family = lf__family_of_method(p->config.method);
    if (n_family || p->quant->n_quantized || family == LF__FAMILY_NONE) return;
    lf_finding_args args = {.code = "scheme-unsupported",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = "config.json",
                            .expected = "FP8 with one scale per tensor, per channel or per block",
                            .found = p->config.method,
                            .remedy = "use an FP8 or bf16 release of the model"};
    lf_findings_add(p->findings, &args, "config.json says that the checkpoint is %s, which Landfall does not run",
                    lf__family_name(family));
}

// A config that says FP8 over tensors that hold none: what converters leave behind that do not edit the config.
static void check_stale(const pairing *p, size_t n_fp8)
{
    static const char *const methods[] = {"fp8", "fbgemm_fp8", "compressed-tensors", "modelopt"};
    bool says_fp8 = false;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(methods); i++) says_fp8 |= strcmp(p->config.method, methods[i]) == 0;
    for (int family = 1; family < LF__FAMILY_COUNT; family++) says_fp8 &= p->families[family].count == 0;
    if (!says_fp8 || n_fp8) return;
    lf_finding_args args = {
        .code = "stale-config",
        .severity = LF_SEVERITY_WARNING,
        .subject = "config.json",
        .expected = "FP8 tensors",
        .found = "none",
        .remedy = "remove quantization_config from config.json: other engines refuse the directory with it"};
    lf_findings_add(
        p->findings, &args,
        "config.json says quant_method '%s', but no tensor is FP8: a converted directory with its old config",
        p->config.method);
}

lf_status lf__pair(lf_quant *quant, const lf__quant_config *config, lf_findings *findings, lf_error *err)
{
    size_t n = lf_checkpoint_count(quant->checkpoint), n_fp8 = 0;
    lf_status status = LF_OK;
    pairing p = {.quant = quant, .checkpoint = quant->checkpoint, .config = *config, .findings = findings};
    p.role = calloc(n ? n : 1, sizeof *p.role);
    p.fate = calloc(n ? n : 1, sizeof *p.fate);
    p.is_broken = calloc(n ? n : 1, sizeof *p.is_broken);
    p.is_missing = calloc(n ? n : 1, sizeof *p.is_missing);
    p.scale_of = lf_realloc_array(NULL, n, sizeof *p.scale_of);
    if (!p.role || !p.fate || !p.is_broken || !p.is_missing || !p.scale_of) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        const char *reason;
        p.scale_of[i] = UINT32_MAX;
        p.role[i] = (uint8_t)lf__role_of(lf_checkpoint_tensor(p.checkpoint, i)->name, &reason);
        if (!is_fp8_weight(&p, i)) classify(&p, i);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_fp8_weight(&p, i)) continue;
        n_fp8++;
        pair_weight(&p, i);
    }
    for (size_t i = 0; i < n; i++) {
        if (p.is_missing[i]) report_missing(&p, i);
        check_leftover_scale(&p, i);
    }
    bool has_memory = collect_sides(&p) && collect_logical(&p) && !findings->failed;
    if (!has_memory) status = lf_error_no_memory(err, 0);
    report_families(&p);
    check_stale(&p, n_fp8);

out:
    free(p.role);
    free(p.fate);
    free(p.is_broken);
    free(p.is_missing);
    free(p.scale_of);
    lf_buf_fini(&p.name);
    return status;
}
