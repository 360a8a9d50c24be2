// SPDX-License-Identifier: Apache-2.0
//
// Two traces of the same prompt (docs/trace-layers.md), compared row by row: where do they first differ by more than
// rounding can explain, and by how much?
//
// The tolerance. Ranks add parts of a product in float32 in another order, so a block's output, rounded to bf16, may be
// its neighbour; until that happens traces agree to the bit. From then on the two passes round independently of each
// other. A block (attention or feed-forward) rounds five times on its way: behind the norm, the first product, the
// attention or gate, the second product, and the sum. Rounding to bf16 moves a number by 0.425 * 2^-8 of its size in
// the root mean square (uniform errors, mantissas spread evenly over a binade). Independent errors add as squares:
// behind b blocks, in two passes, 0.425 * 2^-8 sqrt(10 b) of a row's length. That is what blocks as large as the stream
// would give that pass a difference on as they find it; random models stay at half of it. A wrong head, slice or norm
// differs by a good part of the row in the block where it is.
//
// Experts. A router compares scores, and a difference within the tolerance can turn a near tie over: the row then is
// computed by another expert, and rightly so. Such a row is counted, and compared no further. The same input with
// another expert is a fault.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "verify/verify_int.h"

enum { MAX_ROW = 16, MAX_LISTED = 32 };
static const double rounding = 0.425 * 0x1p-8; // of a number, root mean square
enum { N_ROUNDING = 2 * 5 };                   // of two passes through a block

// A trace that is read line by line.
typedef struct reader {
    const char *path;
    FILE *file;
    char *line; // OWNED by getline
    size_t capacity;
    int64_t n_line;
} reader;

// What has been seen of one point (a block, the norm, the logits) in all steps.
typedef struct point {
    const char *name; // STATIC
    int64_t layer;    // -1: none
    int64_t n_block;  // before it
    bool is_identical;
    size_t n_row;
    double worst; // difference of a row
} point;

typedef struct comparison {
    lf__comparison *out;
    int64_t n_layer;
    point *points;                           // OWNED [2 n_layer + 3], in the order of a pass
    bool is_rerouted[MAX_ROW];               // rows of this step
    double input[MAX_ROW];                   // their difference at the point before
    json_t *rerouted, *first, *first_digest; // OWNED
    size_t n_rerouted, n_step, n_likeliest, n_logits;
} comparison;

static lf_status malformed(const reader *r, const char *what, lf_error *err)
{
    return lf_error_set(err, LF_ERR_FORMAT, "%s line %" PRId64 ": %s", r->path, r->n_line, what);
}

// The next line as JSON; *out stays NULL at the end.
static lf_status read_line(reader *r, json_t **out, lf_error *err)
{
    *out = NULL;
    ssize_t length = getline(&r->line, &r->capacity, r->file);
    if (length < 0) return LF_OK;
    r->n_line++;
    lf_status status = lf_json_parse(out, r->line, (size_t)length, r->path, err);
    if (!status && !json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return malformed(r, "not a JSON object", err);
    }
    return status;
}

static int64_t number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
}

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static lf_status read_heads(comparison *c, reader *a, reader *b, lf_error *err)
{
    static const char *const keys[] = {"num_hidden_layers", "hidden_size", "vocab_size"};
    json_t *head_a = NULL, *head_b = NULL;
    lf_status status = read_line(a, &head_a, err);
    if (!status) status = read_line(b, &head_b, err);
    if (!status && strcmp(text(head_a, "format"), "landfall-trace-1") != 0) status = malformed(a, "no trace", err);
    if (!status && strcmp(text(head_b, "format"), "landfall-trace-1") != 0) status = malformed(b, "no trace", err);
    for (size_t i = 0; !status && i < LF_ARRAY_LENGTH(keys); i++) {
        if (number(head_a, keys[i]) != number(head_b, keys[i])) status = malformed(a, "a trace of another model", err);
    }
    c->n_layer = number(head_a, "num_hidden_layers");
    if (!status && (c->n_layer < 1 || c->n_layer > 1 << 16)) status = malformed(a, "no number of layers", err);
    json_decref(head_a);
    json_decref(head_b);
    return status;
}

static size_t n_point(const comparison *c) { return 2 * (size_t)c->n_layer + 3; }

static lf_status name_points(comparison *c, lf_error *err)
{
    c->points = calloc(n_point(c), sizeof *c->points);
    if (!c->points) return lf_error_no_memory(err, 0);
    int64_t last = 2 * c->n_layer + 1;
    for (int64_t i = 0; i < last + 2; i++) {
        const char *name = i == 0          ? "embedding"
                           : i == last     ? "norm"
                           : i == last + 1 ? "logits"
                           : i % 2         ? "attention"
                                           : "layer";
        c->points[i] = (point){.name = name, .layer = i && i < last ? (i - 1) / 2 : -1, .n_block = i};
        c->points[i].is_identical = true;
    }
    return LF_OK;
}

static point *find_point(comparison *c, const json_t *record)
{
    const char *name = text(record, "point");
    int64_t layer = number(record, "layer");
    for (size_t i = 0; i < n_point(c); i++) {
        if (c->points[i].layer == layer && strcmp(c->points[i].name, name) == 0) return &c->points[i];
    }
    return NULL;
}

static double tolerance_of(const point *p) { return rounding * sqrt((double)(N_ROUNDING * p->n_block)); }

static double value_of(const json_t *values, size_t i)
{
    const json_t *value = json_array_get(values, i);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static size_t likeliest(const json_t *values)
{
    size_t best = 0;
    for (size_t i = 1; i < json_array_size(values); i++) {
        if (value_of(values, i) > value_of(values, best)) best = i;
    }
    return best;
}

// |a - b| / |b|, of logits from their mean, which softmax does not see; INFINITY for what is not finite.
static double difference(const json_t *a, const json_t *b, bool is_logits)
{
    size_t n = json_array_size(b);
    double mean = 0, square = 0, length = 0;
    for (size_t i = 0; is_logits && i < n; i++) mean += value_of(b, i) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double delta = value_of(a, i) - value_of(b, i), from_mean = value_of(b, i) - mean;
        square += delta * delta;
        length += from_mean * from_mean;
    }
    if (!isfinite(square) || !isfinite(length)) return (double)INFINITY;
    return square == 0 ? 0 : sqrt(square / length);
}

static bool chooses(const json_t *experts, json_int_t expert)
{
    size_t i;
    const json_t *item;
    json_array_foreach(experts, i, item)
    {
        if (json_integer_value(item) == expert) return true;
    }
    return false;
}

static bool same_experts(const json_t *a, const json_t *b)
{
    size_t i;
    const json_t *item;
    if (json_array_size(a) != json_array_size(b)) return false;
    json_array_foreach(a, i, item)
    {
        if (!chooses(b, json_integer_value(item))) return false;
    }
    return true;
}

// JSON has no infinity.
static json_t *amount(double value) { return isfinite(value) ? json_real(value) : json_string("not finite"); }

static json_t *place(const point *p, const json_t *record, const json_t *row)
{
    return json_pack("{s:s, s:o, s:I, s:I}", "point", p->name, "layer",
                     p->layer >= 0 ? json_integer(p->layer) : json_null(), "step", (json_int_t)number(record, "step"),
                     "position", (json_int_t)number(row, "position"));
}

static void note_rerouted(comparison *c, const point *p, const json_t *record, const json_t *a, const json_t *b)
{
    if (c->n_rerouted++ >= MAX_LISTED) return;
    json_t *entry = place(p, record, b);
    json_object_set(entry, "experts", json_object_get(a, "experts"));
    json_object_set(entry, "experts_of_one_rank", json_object_get(b, "experts"));
    json_array_append_new(c->rerouted, entry);
}

static void note_first(comparison *c, const point *p, const json_t *record, const json_t *row, double found)
{
    lf__comparison *out = c->out;
    if (c->first) return;
    c->first = place(p, record, row);
    json_object_set_new(c->first, "difference", amount(found));
    json_object_set_new(c->first, "tolerance", json_real(tolerance_of(p)));
    char where[64] = "";
    if (p->layer >= 0) snprintf(where, sizeof where, " of layer %" PRId64, p->layer);
    snprintf(out->first, sizeof out->first,
             "%s%s is the first to differ beyond tolerance: by %.3g %% at position %" PRId64 " of step %" PRId64
             " (tolerance %.3g %%)",
             strcmp(p->name, "layer") == 0 ? "feed-forward" : p->name, where, 100 * found, number(row, "position"),
             number(record, "step"), 100 * tolerance_of(p));
}

static void compare_row(comparison *c, point *p, size_t r, const json_t *record, const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "values"), *y = json_object_get(b, "values");
    const json_t *experts_a = json_object_get(a, "experts"), *experts_b = json_object_get(b, "experts");
    bool is_logits = strcmp(p->name, "logits") == 0;
    if (is_logits) r = MAX_ROW - 1; // rows of logits are not numbered as the step's are
    if (is_logits) c->n_logits++, c->n_likeliest += likeliest(x) == likeliest(y);
    if (!same_experts(experts_a, experts_b)) {
        if (c->input[r] == 0) note_first(c, p, record, b, (double)INFINITY);
        note_rerouted(c, p, record, a, b);
        c->is_rerouted[r] = true;
    }
    if (c->is_rerouted[r]) return;
    double found = difference(x, y, is_logits);
    c->input[r] = found;
    p->n_row++;
    p->worst = LF_MAX(p->worst, found);
    if (!(found <= tolerance_of(p))) note_first(c, p, record, b, found);
}

// The last row of the stream is the one that logits are of.
static void begin_step(comparison *c)
{
    c->n_step++;
    for (size_t r = 0; r < MAX_ROW; r++) {
        c->is_rerouted[r] = false;
        c->input[r] = 0;
    }
}

// Two lines of the same point. *is_parted: the generated tokens are other ones, so there is no more to compare.
static lf_status compare_records(comparison *c, const reader *r, const json_t *a, const json_t *b, bool *is_parted,
                                 lf_error *err)
{
    const json_t *rows_a = json_object_get(a, "rows"), *rows_b = json_object_get(b, "rows");
    point *p = find_point(c, a);
    size_t n = json_array_size(rows_a);
    if (!p || p != find_point(c, b) || number(a, "step") != number(b, "step") || n != json_array_size(rows_b) ||
        n == 0 || n >= MAX_ROW) {
        return malformed(r, "the two traces do not go together", err);
    }
    if (p->n_block == 0) begin_step(c);
    bool is_identical = strcmp(text(a, "sha256"), text(b, "sha256")) == 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(rows_a, i), *y = json_array_get(rows_b, i);
        size_t n_value = json_array_size(json_object_get(x, "values"));
        if (n_value == 0 || n_value != json_array_size(json_object_get(y, "values")) ||
            number(x, "position") != number(y, "position")) {
            return malformed(r, "the two traces do not go together", err);
        }
        if (number(x, "token") != number(y, "token")) {
            *is_parted = true;
            return LF_OK;
        }
        compare_row(c, p, i, a, x, y);
        if (i == n - 1) c->is_rerouted[MAX_ROW - 1] = c->is_rerouted[i];
    }
    if (!is_identical && !c->first_digest) c->first_digest = place(p, a, json_array_get(rows_b, 0));
    p->is_identical &= is_identical;
    return LF_OK;
}

static lf_status compare_all(comparison *c, reader *a, reader *b, bool *is_parted, lf_error *err)
{
    for (;;) {
        json_t *x = NULL, *y = NULL;
        lf_status status = read_line(a, &x, err);
        if (!status) status = read_line(b, &y, err);
        bool is_end = !x && !y;
        if (!status && !is_end && (!x || !y)) status = malformed(x ? b : a, "the trace ends before the other", err);
        if (!status && !is_end) status = compare_records(c, a, x, y, is_parted, err);
        json_decref(x);
        json_decref(y);
        if (status || is_end || *is_parted) return status;
    }
}

// Where the difference grows most: worth a look even when it is within the tolerance. Logits have another length.
static json_t *largest_growth(const comparison *c)
{
    double most = 0;
    const point *where = NULL;
    for (size_t i = 1; i + 1 < n_point(c); i++) {
        const point *p = &c->points[i];
        double growth = p->worst * p->worst - p[-1].worst * p[-1].worst;
        if (!(growth > most)) continue;
        most = growth;
        where = p;
    }
    if (!where) return json_null();
    return json_pack("{s:s, s:o, s:o}", "point", where->name, "layer",
                     where->layer >= 0 ? json_integer(where->layer) : json_null(), "growth", amount(sqrt(most)));
}

static json_t *evidence_of(const comparison *c, bool is_parted)
{
    json_t *points = json_array();
    for (size_t i = 0; i < n_point(c); i++) {
        const point *p = &c->points[i];
        json_array_append_new(points, json_pack("{s:s, s:o, s:b, s:I, s:o, s:f}", "point", p->name, "layer",
                                                p->layer >= 0 ? json_integer(p->layer) : json_null(), "identical",
                                                p->is_identical, "rows", (json_int_t)p->n_row, "difference",
                                                amount(p->worst), "tolerance", tolerance_of(p)));
    }
    return json_pack("{s:s, s:I, s:b, s:I, s:I, s:O?, s:O?, s:o, s:I, s:O, s:o}",                                   //
                     "tolerance_rule",                                                                              //
                     "behind b blocks a row may differ by 0.425 * 2^-8 * sqrt(10 b) of its length: five roundings " //
                     "to bf16 in each block of both passes, independent errors; embeddings are identical",          //
                     "steps", (json_int_t)c->n_step, "tokens_part", is_parted, "logits_rows",
                     (json_int_t)c->n_logits,                                                              //
                     "same_likeliest", (json_int_t)c->n_likeliest, "first_not_identical", c->first_digest, //
                     "first_beyond_tolerance", c->first, "largest_growth", largest_growth(c), "n_rerouted",
                     (json_int_t)c->n_rerouted, "rerouted", //
                     c->rerouted, "points", points);
}

static lf_status open_reader(reader *r, const char *path, lf_error *err)
{
    *r = (reader){.path = path, .file = fopen(path, "re")};
    return r->file ? LF_OK : lf_error_set(err, LF_ERR_NOT_FOUND, "cannot open %s", path);
}

static void close_reader(reader *r)
{
    if (r->file) fclose(r->file);
    free(r->line);
}

lf_status lf__compare_traces(lf__comparison *out, const char *path, const char *path_of_one_rank, lf_error *err)
{
    *out = (lf__comparison){0};
    comparison c = {.out = out, .rerouted = json_array()};
    reader a = {0}, b = {0};
    bool is_parted = false;
    lf_status status = c.rerouted ? open_reader(&a, path, err) : lf_error_no_memory(err, 0);
    if (!status) status = open_reader(&b, path_of_one_rank, err);
    if (!status) status = read_heads(&c, &a, &b, err);
    if (!status) status = name_points(&c, err);
    if (!status) status = compare_all(&c, &a, &b, &is_parted, err);
    if (!status && c.n_logits == 0) status = malformed(&a, "no logits were compared", err);
    if (!status) {
        const point *logits = &c.points[n_point(&c) - 1];
        out->agrees = !c.first;
        out->is_identical = !c.first_digest && !is_parted;
        out->logits_difference = logits->worst;
        out->logits_tolerance = tolerance_of(logits);
        out->n_step = c.n_step;
        out->n_logits = logits->n_row;
        out->n_rerouted = c.n_rerouted;
        out->evidence = evidence_of(&c, is_parted);
        if (!out->evidence) status = lf_error_no_memory(err, 0);
    }
    free(c.points);
    json_decref(c.rerouted);
    json_decref(c.first);
    json_decref(c.first_digest);
    close_reader(&a);
    close_reader(&b);
    return status;
}
