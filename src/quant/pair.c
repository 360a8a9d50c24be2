// SPDX-License-Identifier: Apache-2.0
//
// Pairing: every FP8 or packed FP4 weight with exactly one scale, every scale with exactly one such weight, from
// headers alone (lesson L4: what is unpaired is refused before data is read). The decision per tensor comes from its
// dtype and its companions; what the shapes then mean is decided in layout.c. The one scale that has many weights is
// that of an n-gram table (layout L7).
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "quant/quant_int.h"

enum { FATE_LOGICAL, FATE_SCALE, FATE_SIDE, FATE_REFUSED };
#define NO_TENSOR UINT32_MAX
enum { CANDIDATE_DOT_SCALE = 3 }; // lf__scale_candidate's number of "X.scale"

typedef struct pairing {
    lf_quant *quant;
    const lf_checkpoint *checkpoint;
    const lf__quant_config *config;
    lf_findings *findings;
    uint8_t *role;                          // of each stored tensor: lf__role
    uint8_t *is_weight;                     // FP8, or packed FP4: needs a scale
    uint8_t *fate;                          // of each stored tensor: one of FATE_
    uint32_t *scale_of;                     // weight -> its scale, NO_TENSOR: none
    uint8_t *is_missing;                    // weights without any scale
    size_t n_candidate[LF__MAX_CANDIDATES]; // how often the k-th companion name was found
    uint8_t *is_broken;                     // weights without a usable scale
    lf_buf name;                            // of a companion that is looked for
    uint32_t *weights;                      // [n_weight] those of is_weight, in order
    size_t n_weight;
    uint32_t (*companions)[LF__MAX_CANDIDATES]; // [n_weight] of its k-th candidate name, or NO_TENSOR
    atomic_bool lacks_memory;                   // set by any thread
    struct {
        size_t count;
        const char *first;
    } families[LF__FAMILY_COUNT];
} pairing;

static const lf_stored_tensor *tensor_at(const pairing *p, size_t i) { return lf_checkpoint_tensor(p->checkpoint, i); }

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

// Told after all weights were paired: then it is known what the scales of this checkpoint are called.
static void report_missing(pairing *p, size_t i)
{
    const lf_stored_tensor *weight = tensor_at(p, i);
    char shape[128], expected[512], found[LF_ERROR_FIELD_BYTES];
    size_t usual = 0;
    for (size_t k = 1; k < LF__MAX_CANDIDATES; k++) {
        if (p->n_candidate[k] > p->n_candidate[usual]) usual = k;
    }
    bool has_usual = lf__shared_scale_name(weight->name, &p->name) ||
                     (p->n_candidate[usual] && lf__scale_candidate(weight->name, usual, &p->name));
    lf__layout_expected(p->config, weight, shape, sizeof shape);
    snprintf(expected, sizeof expected, "%s, %s",
             has_usual ? lf_buf_text(&p->name) : "weight_scale_inv, weight_scale, scale or qscale_weight beside it",
             shape);
    snprintf(found, sizeof found, "no scale in any of %zu shards; the weight is in %s",
             lf_checkpoint_n_shard(p->checkpoint), file_of(p, weight));
    add(p, "scale-missing", weight, expected, found,
        "get the complete checkpoint: without its scale the weight is unusable", "scale missing for");
}

static void refuse_family(pairing *p, size_t i, lf__family family)
{
    if (p->families[family].count++ == 0) p->families[family].first = tensor_at(p, i)->name;
    p->is_broken[i] = true;
}

// Whether the scale, found for weight i, is already that of another weight; that is an error.
static bool is_taken(pairing *p, size_t scale, size_t i)
{
    if (p->fate[scale] != FATE_SCALE) return false;
    add(p, "scale-shared", tensor_at(p, i), "a scale of its own", tensor_at(p, scale)->name,
        "remove the weight that the scale does not belong to", "another weight has the scale of");
    return true;
}

static void name_roles(void *ctx, size_t begin, size_t end, int thread)
{
    const pairing *p = ctx;
    const char *reason;
    for (size_t i = begin; i < end; i++) p->role[i] = (uint8_t)lf__role_of(tensor_at(p, i)->name, &reason);
}

// The companions of weights [begin, end): looking names up is most of the work of pairing, and writes nothing shared.
static void find_companions(void *ctx, size_t begin, size_t end, int thread)
{
    pairing *p = ctx;
    lf_buf name = LF_BUF_INIT;
    for (size_t w = begin; w < end; w++) {
        size_t i = p->weights[w];
        if (lf__companions_near(p->checkpoint, i, p->companions[w])) continue;
        bool more = true;
        for (size_t k = 0; k < LF__MAX_CANDIDATES; k++) {
            more = more && lf__scale_candidate(tensor_at(p, i)->name, k, &name);
            if (more && lf_buf_failed(&name)) atomic_store(&p->lacks_memory, true);
            size_t found = more ? lf__find_near(p->checkpoint, i, lf_buf_text(&name)) : SIZE_MAX;
            p->companions[w][k] = found == SIZE_MAX ? NO_TENSOR : (uint32_t)found;
        }
    }
    lf_buf_fini(&name);
}

// Companions of weight number w: how many, and the first. All of them count as used, so that an ambiguity is told once.
static size_t take_scales(pairing *p, size_t w, size_t *first, char *names, size_t names_bytes)
{
    size_t count = 0, used = 0, i = p->weights[w];
    names[0] = '\0';
    for (size_t k = 0; k < LF__MAX_CANDIDATES; k++) {
        size_t found = p->companions[w][k];
        if (found == NO_TENSOR || p->fate[found] == FATE_SIDE) continue;
        p->is_broken[i] |= is_taken(p, found, i);
        if (count++ == 0) *first = found;
        p->n_candidate[k]++;
        p->fate[found] = FATE_SCALE;
        const char *name = tensor_at(p, found)->name, *last = strrchr(name, '.');
        int length = used < names_bytes ? snprintf(names + used, names_bytes - used, "%s%s", count > 1 ? ", " : "",
                                                   last ? last + 1 : name)
                                        : 0;
        used += length > 0 ? (size_t)length : 0;
    }
    return count;
}

// The scale that weight i shares with other shards of an n-gram table; SIZE_MAX when there is none.
static size_t find_shared_scale(pairing *p, size_t i)
{
    if (!lf__shared_scale_name(tensor_at(p, i)->name, &p->name)) return SIZE_MAX;
    if (lf_buf_failed(&p->name)) p->findings->failed = true;
    size_t found = lf__find_near(p->checkpoint, i, lf_buf_text(&p->name));
    if (found != SIZE_MAX) p->fate[found] = FATE_SCALE;
    return found;
}

static bool is_layout_known(pairing *p, size_t i, const lf_stored_tensor *scale, bool is_shared)
{
    const lf_stored_tensor *weight = tensor_at(p, i);
    lf_logical_tensor layout = {0};
    if (!lf__layout_choose(p->config, weight, scale, p->findings, &layout)) return false;
    if (!is_shared || layout.layout == LF_SCALE_TENSOR) return true;
    char found[128];
    lf_stored_tensor_format(scale, found, sizeof found);
    add(p, "scale-shape", scale, "one value for all shards of the table", found,
        "get the complete checkpoint: its shards have lost their own scales",
        "the shape does not fit the shards of scale");
    return false;
}

static void pair_weight(pairing *p, size_t w)
{
    size_t i = p->weights[w], at = 0, shared = SIZE_MAX;
    const lf_stored_tensor *weight = tensor_at(p, i);
    char names[256];
    size_t count = take_scales(p, w, &at, names, sizeof names);
    if (count == 0) shared = find_shared_scale(p, i);
    bool was_broken = p->is_broken[i];
    p->is_broken[i] = true; // unless everything below passes
    if (count == 1 && lf__has_suffix(tensor_at(p, at)->name, ".scale_weight")) {
        refuse_family(p, i, LF__FAMILY_COMFY);
    } else if (count > 1) {
        add(p, "scale-ambiguous", weight, "exactly one scale", names,
            "remove the scale that does not belong to the weight", "more than one scale for");
    } else if (count == 0 && shared == SIZE_MAX) {
        p->is_missing[i] = true;
    } else if (!was_broken) {
        if (shared != SIZE_MAX) at = shared;
        if (!is_layout_known(p, i, tensor_at(p, at), shared != SIZE_MAX)) return;
        p->scale_of[i] = (uint32_t)at;
        p->is_broken[i] = false;
    }
}

// Whether tensor i is called like a weight and holds bytes of which nothing says what they mean: the codes of an FP4
// weight whose scale was lost look like this.
static bool is_byte_weight(const pairing *p, size_t i)
{
    const lf_stored_tensor *tensor = tensor_at(p, i);
    bool is_byte = tensor->dtype == LF_DTYPE_I8 || tensor->dtype == LF_DTYPE_U8;
    return is_byte && tensor->rank >= 2 && lf__has_suffix(tensor->name, ".weight");
}

// Scales wait for their weights; what is neither scale nor weight is settled here.
static void classify(pairing *p, size_t i)
{
    lf__role role = (lf__role)p->role[i];
    if (role == LF__ROLE_PLAIN && (lf_dtype_is_fp8(tensor_at(p, i)->dtype) || lf__is_packed_fp4(p->checkpoint, i))) {
        p->is_weight[i] = true;
        return;
    }
    if (role == LF__ROLE_SIDE || role == LF__ROLE_ZERO_POINT) {
        p->fate[i] = FATE_SIDE;
        p->quant->n_side++;
        return;
    }
    lf__family family = role == LF__ROLE_PLAIN ? lf__family_of_packed(p->checkpoint, i) : LF__FAMILY_NONE;
    if (family != LF__FAMILY_NONE) {
        refuse_family(p, i, family);
    } else if (role == LF__ROLE_PLAIN && is_byte_weight(p, i)) {
        p->is_missing[i] = true;
        p->is_broken[i] = true;
    }
}

static const lf_stored_tensor *find_named(pairing *p, size_t i, size_t n, const char *end)
{
    lf_buf_clear(&p->name);
    lf_buf_append(&p->name, tensor_at(p, i)->name, n);
    lf_buf_puts(&p->name, end);
    if (lf_buf_failed(&p->name)) p->findings->failed = true;
    size_t found = lf__find_near(p->checkpoint, i, lf_buf_text(&p->name));
    return found == SIZE_MAX || found == i ? NULL : tensor_at(p, found);
}

// The weight that scale i names by its own name, for messages and for the ".scale" rule; NULL when there is none.
static const lf_stored_tensor *weight_beside(pairing *p, size_t i)
{
    static const char *const ends[] = {".weight", "._weight_qdata", ".weight_packed", ".qweight", ""};
    static const char *const suffixes[] = {"_weight_scale", "_scale_inv", "_scales_inv", "_scale"}; // fused experts
    const char *name = tensor_at(p, i)->name, *dot = strrchr(name, '.');
    const lf_stored_tensor *found = NULL;
    for (size_t k = 0; dot && !found && k < LF_ARRAY_LENGTH(ends); k++)
        found = find_named(p, i, (size_t)(dot - name), ends[k]);
    for (size_t k = 0; !found && k < LF_ARRAY_LENGTH(suffixes); k++) {
        if (lf__has_suffix(name, suffixes[k])) found = find_named(p, i, strlen(name) - strlen(suffixes[k]), "");
    }
    return found;
}

// A tensor called like a scale that no weight asked for.
static void check_leftover_scale(pairing *p, size_t i)
{
    const lf_stored_tensor *scale = tensor_at(p, i);
    lf__role role = (lf__role)p->role[i];
    if (p->fate[i] != FATE_LOGICAL || p->is_broken[i] || p->scale_of[i] != NO_TENSOR) return;
    bool is_e8m0 = scale->dtype == LF_DTYPE_F8_E8M0; // a format of scales only
    bool is_odd = role == LF__ROLE_PLAIN && !is_e8m0 && lf__looks_like_scale(scale->name);
    if (role == LF__ROLE_PLAIN && !is_odd && !is_e8m0) return;
    const lf_stored_tensor *weight = weight_beside(p, i);
    size_t at = weight ? (size_t)(weight - tensor_at(p, 0)) : 0;
    if (weight && p->is_broken[at]) { // of a family that was refused, or of a weight that has its finding
        p->fate[i] = FATE_REFUSED;
        return;
    }
    if (is_odd) {
        if (!weight || !p->is_weight[at]) return; // a parameter: "logit_scale"
        add(p, "scale-unknown", scale, "a companion name that is known", "a scale-like tensor beside an FP8 weight",
            "say in an issue which tool wrote it: ignoring it could give wrong weights", "unknown scale companion");
    } else if (role == LF__ROLE_MAYBE_SCALE && !is_e8m0 && !(scale->rank >= 2 && p->n_candidate[CANDIDATE_DOT_SCALE])) {
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
    bool is_float = lf_dtype_is_fp8(tensor->dtype) || tensor->dtype == LF_DTYPE_F16 || tensor->dtype == LF_DTYPE_BF16 ||
                    tensor->dtype == LF_DTYPE_F32 || tensor->dtype == LF_DTYPE_F64;
    uint64_t element_bytes = (uint64_t)lf_dtype_bits(tensor->dtype) / 8;
    for (uint64_t i = 0; i < tensor->bytes; i++) {
        uint8_t byte = tensor->data[i];
        bool is_sign = is_float && i % element_bytes == element_bytes - 1; // -0.0 is zero
        if (byte == 0 || (byte == 0x80 && is_sign)) continue;
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

// "M.weight" beside "M._weight_qdata": two weights that would be called the same. The list is sorted.
static void refuse_same_names(pairing *p)
{
    lf_quant *quant = p->quant;
    size_t n = 0;
    for (size_t i = 0; i < quant->count; i++) {
        lf_logical_tensor *last = n ? &quant->tensors[n - 1] : NULL;
        if (!last || strcmp(last->name, quant->tensors[i].name) != 0) {
            quant->tensors[n++] = quant->tensors[i];
            continue;
        }
        add(p, "weight-ambiguous", quant->tensors[i].weight, "one tensor for each weight", last->weight->name,
            "remove the tensor that does not belong to the checkpoint", "two tensors hold the same weight:");
        quant->n_quantized -= (last->scale != NULL) + (size_t)(quant->tensors[i].scale != NULL);
        last->layout = LF_SCALE_BROKEN;
        last->scale = NULL;
    }
    quant->count = n;
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
        } else if (p->scale_of[i] != NO_TENSOR) {
            tensor.scale = tensor_at(p, p->scale_of[i]);
            lf__layout_choose(p->config, tensor.weight, tensor.scale, p->findings, &tensor); // it passed before
            quant->n_quantized++;
        }
        quant->tensors[quant->count++] = tensor;
    }
    if (quant->n_name == 0) return true;
    qsort(quant->tensors, quant->count, sizeof *quant->tensors, compare_names);
    refuse_same_names(p);
    return true;
}

static void report_families(pairing *p)
{
    static const char supported[] = "FP8 with one scale per tensor, channel, block or group, or packed FP4 beside it";
    size_t n_family = 0;
    for (int family = 1; family < LF__FAMILY_COUNT; family++) {
        if (p->families[family].count == 0) continue;
        n_family++;
        char found[96];
        snprintf(found, sizeof found, "%s: %zu tensors", lf__family_name(family), p->families[family].count);
        lf_finding_args args = {.code = "scheme-unsupported",
                                .severity = LF_SEVERITY_ERROR,
                                .subject = p->families[family].first,
                                .expected = supported,
                                .found = found,
                                .remedy = lf__family_remedy(family)};
        lf_findings_add(p->findings, &args,
                        "the checkpoint is %s, which Landfall does not run; the first tensor is '%s'",
                        lf__family_name(family), p->families[family].first);
    }
    lf__family family = lf__family_of_config(p->config);
    if (n_family || p->quant->n_quantized || family == LF__FAMILY_NONE) return;
    lf_finding_args args = {.code = "scheme-unsupported",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = "config.json",
                            .expected = supported,
                            .found = p->config->method,
                            .remedy = lf__family_remedy(family)};
    lf_findings_add(p->findings, &args, "config.json says that the checkpoint is %s, which Landfall does not run",
                    lf__family_name(family));
}

// A config that says FP8 over tensors that hold none: what converters leave behind that do not edit the config.
static void check_stale(const pairing *p, size_t n_weight)
{
    static const char *const methods[] = {"fp8", "fbgemm_fp8", "compressed-tensors", "modelopt", "mxfp8"};
    bool says_fp8 = false;
    for (size_t i = 0; i < LF_ARRAY_LENGTH(methods); i++) says_fp8 |= strcmp(p->config->method, methods[i]) == 0;
    for (int family = 1; family < LF__FAMILY_COUNT; family++) says_fp8 &= p->families[family].count == 0;
    if (!says_fp8 || n_weight) return;
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
        p->config->method);
}

// Not one weight has a scale, and there are several: the codes were written without scales, which is a way to store
// diffusion models.
static void check_raw_cast(const pairing *p, size_t n_weight)
{
    size_t n_missing = 0, first = SIZE_MAX;
    for (size_t i = 0; i < lf_checkpoint_count(p->checkpoint); i++) {
        if (p->is_missing[i] && n_missing++ == 0) first = i;
    }
    if (n_weight < 2 || n_missing != n_weight) return;
    char found[64];
    snprintf(found, sizeof found, "%zu quantized weights, no scale", n_missing);
    add(p, "raw-cast", tensor_at(p, first), "a scale for each weight", found,
        "get a release with scales: a cast without scales has lost the small and the large weights",
        "no quantized weight of the checkpoint has a scale (cast without scaling), the first is");
}

lf_status lf__pair(lf_quant *quant, const lf__quant_config *config, lf_findings *findings, lf_error *err)
{
    enum { GRAIN = 512 }; // tensors that are worth another thread
    size_t n = lf_checkpoint_count(quant->checkpoint);
    lf_status status = LF_OK;
    pairing p = {.quant = quant, .checkpoint = quant->checkpoint, .config = config, .findings = findings};
    p.role = calloc(n ? n : 1, sizeof *p.role);
    p.fate = calloc(n ? n : 1, sizeof *p.fate);
    p.is_weight = calloc(n ? n : 1, sizeof *p.is_weight);
    p.is_broken = calloc(n ? n : 1, sizeof *p.is_broken);
    p.is_missing = calloc(n ? n : 1, sizeof *p.is_missing);
    p.scale_of = lf_realloc_array(NULL, LF_MAX(n, (size_t)1), sizeof *p.scale_of);
    p.weights = lf_realloc_array(NULL, LF_MAX(n, (size_t)1), sizeof *p.weights);
    if (!p.weights || !p.role || !p.fate || !p.is_weight || !p.is_broken || !p.is_missing || !p.scale_of) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    lf_par_for(n, GRAIN, name_roles, &p);
    for (size_t i = 0; i < n; i++) {
        p.scale_of[i] = NO_TENSOR;
        classify(&p, i);
        if (p.is_weight[i]) p.weights[p.n_weight++] = (uint32_t)i;
    }
    p.companions = lf_realloc_array(NULL, LF_MAX(p.n_weight, (size_t)1), sizeof *p.companions);
    if (!p.companions) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    lf_par_for(p.n_weight, GRAIN, find_companions, &p);
    for (size_t w = 0; w < p.n_weight; w++) pair_weight(&p, w);
    for (size_t i = 0; i < n; i++) {
        if (p.is_missing[i]) report_missing(&p, i);
        check_leftover_scale(&p, i);
    }
    bool has_memory = collect_sides(&p) && collect_logical(&p) && !findings->failed && !atomic_load(&p.lacks_memory);
    if (!has_memory) status = lf_error_no_memory(err, 0);
    report_families(&p);
    check_stale(&p, p.n_weight);
    check_raw_cast(&p, p.n_weight);

out:
    free(p.role);
    free(p.fate);
    free(p.is_weight);
    free(p.is_broken);
    free(p.is_missing);
    free(p.scale_of);
    free(p.weights);
    free(p.companions);
    lf_buf_fini(&p.name);
    return status;
}
