// SPDX-License-Identifier: Apache-2.0
//
// The data of a whole checkpoint, read once at memory speed: what headers cannot show. Every byte passes one kernel
// (base/scan.h) in the order of the files; only tensors that it finds suspicious are looked at again, element by
// element.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "quant/quant_int.h"
#include "quant/scan_int.h"

enum { WINDOW_BYTES = 4 << 20, MIN_DUPLICATE_BYTES = 256 };

// Part of one tensor, cut between elements.
typedef struct window {
    uint32_t tensor; // stored
    uint64_t off, bytes;
} window;

typedef struct deep_scan {
    const lf_quant *quant;
    const lf_checkpoint *checkpoint;
    const lf_stored_tensor *stored; // the first of all
    size_t n_stored;
    window *windows; // OWNED, as the lists below; in the order of the files
    lf_scan *parts;  // one per window
    size_t n_window;
    lf_scan *scans;         // one per stored tensor
    lf__scale_stats *stats; // one per logical tensor
    lf_progress *progress;
} deep_scan;

static int compare_places(const void *a, const void *b)
{
    const lf_stored_tensor *x = *(const lf_stored_tensor *const *)a, *y = *(const lf_stored_tensor *const *)b;
    if (x->shard != y->shard) return x->shard < y->shard ? -1 : 1;
    return x->file_off < y->file_off ? -1 : x->file_off > y->file_off;
}

static bool make_windows(deep_scan *s)
{
    const lf_stored_tensor **places = lf_realloc_array(NULL, LF_MAX(s->n_stored, 1), sizeof(*places));
    if (!places) return false;
    size_t n = 0;
    for (size_t i = 0; i < s->n_stored; i++) {
        places[i] = lf_checkpoint_tensor(s->checkpoint, i);
        n += (size_t)(places[i]->bytes / WINDOW_BYTES + (places[i]->bytes % WINDOW_BYTES != 0));
    }
    if (s->n_stored) qsort(places, s->n_stored, sizeof(*places), compare_places);
    s->windows = lf_realloc_array(NULL, LF_MAX(n, 1), sizeof *s->windows);
    s->parts = lf_realloc_array(NULL, LF_MAX(n, 1), sizeof *s->parts);
    for (size_t i = 0; s->windows && s->parts && i < s->n_stored; i++) {
        for (uint64_t off = 0; off < places[i]->bytes; off += WINDOW_BYTES) {
            uint64_t bytes = LF_MIN(places[i]->bytes - off, (uint64_t)WINDOW_BYTES);
            s->windows[s->n_window++] = (window){(uint32_t)(places[i] - s->stored), off, bytes};
        }
    }
    free(places);
    return s->windows && s->parts;
}

// The whole pages of a window are mapped with one call instead of a fault for every few of them, and given back, so
// that a checkpoint larger than memory passes through. Both are hints.
static void advise_pages(const uint8_t *data, uint64_t bytes, int advice, bool inside)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data, end = begin + bytes;
    begin = inside ? (begin + page - 1) / page * page : begin / page * page;
    end = inside ? end / page * page : (end + page - 1) / page * page;
    if (begin < end) (void)madvise((void *)begin, end - begin, advice);
}

static void scan_windows(void *ctx, size_t begin, size_t end, int thread)
{
    deep_scan *s = ctx;
    for (size_t i = begin; i < end; i++) {
        const window *w = &s->windows[i];
        const lf_stored_tensor *tensor = &s->stored[w->tensor];
#ifdef MADV_POPULATE_READ
        if (w->bytes > 65536) advise_pages(tensor->data + w->off, w->bytes, MADV_POPULATE_READ, false);
#endif
        s->parts[i] = lf_scan_bytes(tensor->data + w->off, (size_t)w->bytes, tensor->dtype);
        if (w->bytes > 65536) advise_pages(tensor->data + w->off, w->bytes, MADV_DONTNEED, true);
        if (s->progress) lf_progress_add(s->progress, w->bytes);
    }
}

static void join_windows(deep_scan *s)
{
    for (size_t i = 0; i < s->n_window; i++) {
        const lf_scan *part = &s->parts[i];
        lf_scan *sum = &s->scans[s->windows[i].tensor];
        sum->digest = s->windows[i].off ? lf_digest_join(sum->digest, part->digest) : part->digest;
        sum->any |= part->any;
        sum->max_code = LF_MAX(sum->max_code, part->max_code);
        sum->has_special |= part->has_special;
    }
}

static void read_scales(void *ctx, size_t begin, size_t end, int thread)
{
    deep_scan *s = ctx;
    for (size_t i = begin; i < end; i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(s->quant, i);
        if (tensor->scale) s->stats[i] = lf__scale_stats_of(tensor->scale);
    }
}

// Whether a product of this weight may be anything but a finite number.
static bool is_suspicious(const lf_logical_tensor *tensor, const lf_scan *scan, const lf__scale_stats *stats)
{
    static const double bf16_limit = 0x1p127, largest_fp4 = 6;
    bool is_fp8 = lf_dtype_is_fp8(tensor->weight->dtype);
    double code = is_fp8 ? (double)lf_fp8_to_f32(tensor->weight->dtype, scan->max_code) : largest_fp4;
    return scan->has_special || stats->n_bad > 0 || !(code * (double)stats->max < bf16_limit);
}

static lf_status check_values(const deep_scan *s, lf_findings *findings, lf_error *err)
{
    lf_status status = LF_OK;
    for (size_t i = 0; !status && i < lf_quant_count(s->quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(s->quant, i);
        const lf_scan *scan = &s->scans[tensor->weight - s->stored];
        if (tensor->scale) {
            if (is_suspicious(tensor, scan, &s->stats[i])) status = lf__scan_products(tensor, findings, err);
        } else if (scan->has_special) {
            lf__scan_values(tensor->weight, findings);
        } else if (tensor->layout == LF_SCALE_NONE) {
            lf__scan_raw_codes(tensor->weight, findings);
        }
        if (scan->any || tensor->weight->rank < 2 || tensor->weight->bytes == 0) continue;
        lf_finding_args args = {.code = "all-zero",
                                .severity = LF_SEVERITY_WARNING,
                                .subject = tensor->name,
                                .expected = "values",
                                .found = "zeros only",
                                .remedy = "the data was not written, or lies in a hole of the file: get it again"};
        lf_findings_add(findings, &args, "'%s' is zero everywhere", tensor->name);
    }
    for (size_t i = 0; i < lf_quant_n_side(s->quant); i++) {
        const lf_stored_tensor *tensor = lf_quant_side(s->quant, i)->tensor;
        if (s->scans[tensor - s->stored].has_special) lf__scan_values(tensor, findings);
    }
    return status;
}

typedef struct copy {
    lf_digest digest;
    const lf_logical_tensor *tensor;
} copy;

static int compare_copies(const void *a, const void *b)
{
    const copy *x = a, *y = b;
    if (x->digest.high != y->digest.high) return x->digest.high < y->digest.high ? -1 : 1;
    if (x->digest.low != y->digest.low) return x->digest.low < y->digest.low ? -1 : 1;
    return strcmp(x->tensor->name, y->tensor->name);
}

static bool is_same_family(const char *a, const char *b)
{
    char x[512], y[512];
    return lf_tensor_family(x, sizeof x, a) && lf_tensor_family(y, sizeof y, b) && strcmp(x, y) == 0;
}

// The same weight in two layers is a mistake of whoever wrote the files; under two names (embedding and head, the
// copies in a layer for multi-token prediction) it is meant.
static void report_copies(const copy *copies, size_t n, lf_findings *findings)
{
    const char *first = copies[0].tensor->name, *second = copies[1].tensor->name;
    char found[96];
    snprintf(found, sizeof found, "%zu tensors of %llu equal bytes", n,
             (unsigned long long)copies[0].tensor->weight->bytes);
    bool is_odd = is_same_family(first, second);
    lf_finding_args args = {.code = "duplicate-data",
                            .severity = is_odd ? LF_SEVERITY_WARNING : LF_SEVERITY_NOTE,
                            .subject = first,
                            .found = found,
                            .remedy =
                                is_odd ? "compare with the original checkpoint: one may stand for the other" : NULL};
    lf_findings_add(findings, &args, "'%s' and '%s' hold the same data", first, second);
}

static bool check_copies(const deep_scan *s, lf_findings *findings)
{
    size_t n = 0;
    copy *copies = lf_realloc_array(NULL, LF_MAX(lf_quant_count(s->quant), 1), sizeof *copies);
    if (!copies) return false;
    for (size_t i = 0; i < lf_quant_count(s->quant); i++) {
        const lf_logical_tensor *tensor = lf_quant_tensor(s->quant, i);
        const lf_scan *scan = &s->scans[tensor->weight - s->stored];
        if (tensor->weight->rank < 2 || tensor->weight->bytes < MIN_DUPLICATE_BYTES || !scan->any) continue;
        copies[n++] = (copy){scan->digest, tensor};
    }
    if (n) qsort(copies, n, sizeof *copies, compare_copies);
    for (size_t begin = 0; begin < n;) {
        size_t end = begin + 1;
        while (end < n && copies[end].digest.high == copies[begin].digest.high &&
               copies[end].digest.low == copies[begin].digest.low) {
            end++;
        }
        if (end - begin > 1) report_copies(copies + begin, end - begin, findings);
        begin = end;
    }
    free(copies);
    return true;
}

lf_status lf_quant_scan(const lf_quant *quant, lf_digest *digests, lf_progress *progress, lf_findings *findings,
                        lf_error *err)
{
    deep_scan s = {.quant = quant, .checkpoint = quant->checkpoint, .progress = progress};
    lf_status status = LF_OK;
    s.n_stored = lf_checkpoint_count(s.checkpoint);
    s.stored = s.n_stored ? lf_checkpoint_tensor(s.checkpoint, 0) : NULL;
    s.scans = calloc(LF_MAX(s.n_stored, 1), sizeof *s.scans);
    s.stats = calloc(LF_MAX(lf_quant_count(quant), 1), sizeof *s.stats);
    if (!s.scans || !s.stats || !make_windows(&s)) {
        status = lf_error_no_memory(err, 0);
        goto out;
    }
    lf_par_for_dynamic(s.n_window, 1, scan_windows, &s);
    join_windows(&s);
    lf_par_for_dynamic(lf_quant_count(quant), 64, read_scales, &s);
    status = check_values(&s, findings, err);
    if (status) goto out;
    lf__scan_scales(quant, s.scans, s.stats, findings);
    if (!check_copies(&s, findings) || findings->failed) status = lf_error_no_memory(err, 0);
    for (size_t i = 0; digests && i < s.n_stored; i++) digests[i] = s.scans[i].digest;

out:
    free(s.windows);
    free(s.parts);
    free(s.scans);
    free(s.stats);
    return status;
}
