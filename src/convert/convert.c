// SPDX-License-Identifier: Apache-2.0
//
// A conversion from end to end: open and pair, plan, then the steps of a run in the only order that is safe to be
// killed in: journal before data, each shard complete before the journal names it, config.json and index after all
// shards, the manifest last.
#include "convert/convert.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "convert/convert_int.h"

enum { MAX_INDEX_BYTES = 64 << 20 };

struct lf_convert {
    char *model_dir; // OWNED, as everything below
    lf_convert_options options;
    lf_checkpoint *checkpoint;
    char *config_text; // NULL when there is no config.json
    size_t config_bytes;
    json_t *config;
    lf_quant *quant;
    lf__plan plan;
    lf__file_list files;
};

// Mistral's own releases have params.json instead.
static bool has_params(const lf_convert *c)
{
    char *path = lf_path_join(c->model_dir, "params.json");
    bool is_there = path && access(path, R_OK) == 0;
    free(path);
    return is_there;
}

static lf_status read_config(lf_convert *c, lf_findings *findings, lf_error *err)
{
    lf_error problem = {0};
    char *path = lf_path_join(c->model_dir, "config.json");
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_file_read(&c->config_text, &c->config_bytes, path, LF__MAX_CONFIG_BYTES, &problem);
    free(path);
    if (!status) status = lf_json_parse(&c->config, c->config_text, c->config_bytes, "config.json", &problem);
    if (!status && !json_is_object(c->config))
        status = lf_error_set(&problem, LF_ERR_FORMAT, "config.json is no object");
    bool is_missing = status == LF_ERR_NOT_FOUND;
    if (!status || (is_missing && has_params(c))) return LF_OK;
    if (!is_missing && lf_status_exit(status) == 3) { // the machine's fault, not the checkpoint's
        *err = problem;
        return status;
    }
    lf_finding_args args = {.code = is_missing ? "config-missing" : "config-invalid",
                            .severity = LF_SEVERITY_ERROR,
                            .subject = "config.json",
                            .remedy = "get the complete checkpoint: its config belongs to the converted one too"};
    lf_findings_add(findings, &args, "%s", problem.message);
    return LF_OK;
}

static lf_status require_quantized(const lf_convert *c, lf_error *err)
{
    if (lf_quant_n_quantized(c->quant) > 0) return LF_OK;
    lf_error_set(err, LF_ERR_UNSUPPORTED, "nothing to convert: %s is not quantized", c->model_dir);
    lf_error_subject(err, "%s", c->model_dir);
    return lf_error_hint(err, "use it as it is");
}

lf_status lf_convert_open(lf_convert **out, const char *model_dir, const lf_convert_options *options,
                          lf_findings *findings, lf_error *err)
{
    *out = NULL;
    if (options->shard_bytes == 0 || options->shard_bytes > INT64_MAX)
        return lf_error_set(err, LF_ERR_INVALID, "a shard size of %llu bytes",
                            (unsigned long long)options->shard_bytes);
    lf_convert *c = calloc(1, sizeof *c);
    if (!c) return lf_error_no_memory(err, sizeof *c);
    c->options = *options;
    c->model_dir = strdup(model_dir);
    lf_status status = c->model_dir ? LF_OK : lf_error_no_memory(err, 0);
    if (!status) status = lf_checkpoint_open(&c->checkpoint, model_dir, findings, err);
    if (!status) status = read_config(c, findings, err);
    if (!status) status = lf_quant_open(&c->quant, c->checkpoint, c->config, findings, err);
    if (!status && findings->failed) status = lf_error_no_memory(err, 0);
    if (!status) status = lf_findings_status(findings, err);
    if (!status) status = require_quantized(c, err);
    if (!status) status = lf__plan_build(&c->plan, c->checkpoint, c->quant, options, err);
    if (!status) status = lf__files_list(&c->files, model_dir, err);
    if (status) {
        lf_convert_close(c);
        return status;
    }
    *out = c;
    return LF_OK;
}

void lf_convert_close(lf_convert *c)
{
    if (!c) return;
    lf__files_fini(&c->files);
    lf__plan_fini(&c->plan);
    lf_quant_close(c->quant);
    lf_checkpoint_close(c->checkpoint);
    json_decref(c->config);
    free(c->config_text);
    free(c->model_dir);
    free(c);
}

const lf_convert_plan *lf_convert_plan_of(const lf_convert *c) { return &c->plan.totals; }
const lf_quant *lf_convert_quant(const lf_convert *c) { return c->quant; }
size_t lf_convert_n_file(const lf_convert *c) { return c->files.count; }
const lf_convert_file *lf_convert_file_at(const lf_convert *c, size_t i) { return &c->files.items[i]; }

// ---- what an earlier run left

static lf_status refuse_other(const char *out_dir, const char *what, const char *expected, const char *found,
                              lf_error *err)
{
    lf_error_set(err, LF_ERR_USAGE, "%s holds a conversion %s", out_dir, what);
    lf_error_subject(err, "%s", out_dir);
    lf_error_expected(err, "%s", expected);
    lf_error_found(err, "%s", found);
    return lf_error_hint(err, "choose another directory, or remove this one");
}

static lf_status require_same(const lf__journal *now, const lf__journal *before, const char *out_dir, lf_error *err)
{
    if (strcmp(now->source, before->source) != 0)
        return refuse_other(out_dir, "of another checkpoint", now->source, before->source, err);
    if (strcmp(now->rounding, before->rounding) != 0)
        return refuse_other(out_dir, "with another --dequant-rounding", now->rounding, before->rounding, err);
    if (now->shard_size != before->shard_size) {
        char expected[32], found[32];
        snprintf(expected, sizeof expected, "%lld", (long long)now->shard_size);
        snprintf(found, sizeof found, "%lld", (long long)before->shard_size);
        return refuse_other(out_dir, "with another --shard-size", expected, found, err);
    }
    if (strcmp(now->plan, before->plan) != 0)
        return refuse_other(out_dir, "by another version of Landfall", now->plan, before->plan, err);
    return LF_OK;
}

// Whether the file begins with the planned header and has the planned size.
static bool has_planned_header(const lf__output *output, const lf__plan *plan, const lf__out_shard *shard,
                               const lf__done *done, bool *no_memory)
{
    struct stat info;
    lf_buf header = LF_BUF_INIT;
    int fd = openat(output->fd, shard->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    bool is_same = fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == shard->file_bytes;
    int64_t modified_ns = is_same ? (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec : 0;
    is_same = is_same && (done->modified_ns == 0 || done->modified_ns == modified_ns);
    char *found = is_same ? malloc(shard->header_bytes) : NULL;
    *no_memory |= is_same && (!found || !lf__plan_header(plan, shard, &header));
    is_same = is_same && !*no_memory && pread(fd, found, shard->header_bytes, 0) == (ssize_t)shard->header_bytes &&
              memcmp(found, header.data, shard->header_bytes) == 0;
    free(found);
    lf_buf_fini(&header);
    close(fd);
    return is_same;
}

// Keeps the shards that `before` lists and that are still as they were left.
static lf_status keep_shards(const lf_convert *c, const lf__output *output, const lf__journal *before,
                             lf__journal *journal, lf_error *err)
{
    size_t k = 0;
    bool no_memory = false;
    for (size_t i = 0; i < journal->n_shard && k < before->n_shard; i++) {
        lf__done *done = &journal->shards[i];
        if (strcmp(before->shards[k].name, done->name) != 0) continue; // both are in the plan's order
        const lf__done *was = &before->shards[k++];
        if (!has_planned_header(output, &c->plan, &c->plan.shards[i], was, &no_memory)) continue;
        *done = *was;
    }
    return no_memory ? lf_error_no_memory(err, 0) : LF_OK;
}

static lf_status start_journal(const lf_convert *c, lf__journal *journal, lf_error *err)
{
    *journal = (lf__journal){.shard_size = (int64_t)c->options.shard_bytes, .n_shard = c->plan.n_shard};
    memcpy(journal->plan, c->plan.digest, sizeof journal->plan);
    snprintf(journal->rounding, sizeof journal->rounding, "%s", lf__rounding_name(c->options.rounding));
    journal->shards = calloc(LF_MAX(c->plan.n_shard, 1), sizeof *journal->shards);
    if (!journal->shards) return lf_error_no_memory(err, c->plan.n_shard * sizeof *journal->shards);
    for (size_t i = 0; i < c->plan.n_shard; i++)
        memcpy(journal->shards[i].name, c->plan.shards[i].name, sizeof journal->shards[i].name);
    lf_status status = lf__source_fingerprint(journal->source, c->checkpoint, c->config_text, c->config_bytes, err);
    return status ? status : lf__source_stamp(journal->stamp, c->checkpoint, err);
}

// ---- the steps after the shards

static lf_status put_made(const lf__output *output, const char *name, const char *how, const lf_buf *text,
                          lf__taken_file *taken, lf_error *err)
{
    lf_sha256 hash;
    lf_sha256_init(&hash);
    lf_sha256_update(&hash, text->data, text->length);
    *taken = (lf__taken_file){.name = name, .how = how, .bytes = text->length};
    lf_sha256_final_hex(&hash, taken->sha256);
    return lf__output_put(output, name, text->data, text->length, err);
}

static lf_status rewrite_file(const lf_convert *c, const lf__output *output, const char *name, lf__taken_file *taken,
                              lf_error *err)
{
    bool is_params = strcmp(name, "params.json") == 0;
    char *text = NULL, *path = lf_path_join(c->model_dir, name);
    size_t length = 0;
    json_t *parsed = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_status status =
        path ? lf_file_read(&text, &length, path, LF__MAX_CONFIG_BYTES, err) : lf_error_no_memory(err, 0);
    if (!status) status = lf_json_parse(&parsed, text, length, name, err);
    if (!status && !json_is_object(parsed)) status = lf_error_set(err, LF_ERR_FORMAT, "%s is no object", name);
    if (!status) status = lf__config_rewrite(&out, text, length, is_params, err);
    if (!status) status = put_made(output, name, "rewritten", &out, taken, err);
    json_decref(parsed);
    lf_buf_fini(&out);
    free(text);
    free(path);
    return status;
}

static lf_status put_index(const lf_convert *c, const lf__output *output, lf__taken_file *taken, lf_error *err)
{
    json_t *old = NULL;
    lf_buf out = LF_BUF_INIT;
    lf_error problem = {0};
    char *path = lf_path_join(c->model_dir, c->plan.index_name);
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_json_load(&old, path, MAX_INDEX_BYTES, &problem);
    free(path);
    // A single file has no index; a gigantic one loses what stands beside its weight map.
    if (status == LF_ERR_NOT_FOUND || status == LF_ERR_LIMIT) status = LF_OK;
    if (status) *err = problem;
    if (!status) status = lf__index_make(&out, &c->plan, old, err);
    if (!status) status = put_made(output, c->plan.index_name, "made", &out, taken, err);
    json_decref(old);
    lf_buf_fini(&out);
    return status;
}

// Everything but shards and manifest; what the engines look for first comes last.
static lf_status put_files(const lf_convert *c, const lf__output *output, lf__taken_file *taken, size_t *n_taken,
                           lf_convert_result *result, lf_error *err)
{
    lf_status status = LF_OK;
    for (size_t i = 0; !status && i < c->files.count; i++) {
        const lf_convert_file *file = &c->files.items[i];
        if (file->action != LF_CONVERT_TAKE) continue;
        lf__taken_file *t = &taken[(*n_taken)++];
        status = lf__file_take(output, c->model_dir, file, c->options.copy, t, err);
        result->n_linked += !status && strcmp(t->how, "linked") == 0;
        result->n_copied += !status && strcmp(t->how, "copied") == 0;
    }
    if (!status && c->plan.index_name[0]) status = put_index(c, output, &taken[(*n_taken)++], err);
    for (size_t i = 0; !status && i < c->files.count; i++) {
        const lf_convert_file *file = &c->files.items[i];
        if (file->action == LF_CONVERT_REWRITE) status = rewrite_file(c, output, file->name, &taken[(*n_taken)++], err);
    }
    return status;
}

// Takes back what makes the directory loadable, because shards are going to be written.
static lf_status make_unloadable(const lf_convert *c, const lf__output *output, lf_error *err)
{
    lf_status status = lf__output_remove(output, "config.json", err);
    if (!status) status = lf__output_remove(output, "params.json", err);
    if (!status && c->plan.index_name[0]) status = lf__output_remove(output, c->plan.index_name, err);
    return status;
}

// ---- a run

static uint64_t pending_bytes(const lf_convert *c, const lf__journal *journal, size_t *n_pending)
{
    uint64_t bytes = 0;
    *n_pending = 0;
    for (size_t i = 0; i < c->plan.n_shard; i++) {
        if (journal->shards[i].is_done) continue;
        bytes += c->plan.shards[i].file_bytes;
        (*n_pending)++;
    }
    return bytes;
}

static uint64_t file_bytes(const lf_convert *c)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < c->files.count; i++) {
        if (c->files.items[i].action != LF_CONVERT_SKIP) bytes += c->files.items[i].bytes;
    }
    return bytes;
}

static lf_status with_progress(lf__shards_job *job, const char *label, uint64_t total,
                               lf_status (*step)(lf__shards_job *, lf_error *), int64_t *ns, lf_error *err)
{
    lf_progress progress;
    int64_t start = lf_now_ns();
    if (job->options->show_progress) {
        lf_progress_begin(&progress, label, "bytes", total);
        job->progress = &progress;
    }
    lf_status status = step(job, err);
    if (job->progress) lf_progress_end(&progress);
    job->progress = NULL;
    *ns += lf_now_ns() - start;
    return status;
}

// The source was touched since the kept shards were written: they must prove themselves, and are written anew where
// they do not fit.
static lf_status compare_kept(lf__shards_job *job, uint64_t bytes, lf_error *err)
{
    job->rewrite_different = true;
    lf_status status =
        with_progress(job, "comparing what is there", bytes, lf__shards_verify, &job->result->verify_ns, err);
    job->rewrite_different = false;
    job->result->n_verified = 0;
    return status;
}

// The shards, from whatever an earlier run left (NULL: there was none) to all of them done. *is_changed says whether
// the directory was incomplete.
static lf_status do_shards(const lf_convert *c, const lf__output *output, const lf__journal *before,
                           lf__journal *journal, lf_convert_result *result, bool *is_changed, lf_error *err)
{
    lf__shards_job job = {.checkpoint = c->checkpoint,
                          .quant = c->quant,
                          .plan = &c->plan,
                          .options = &c->options,
                          .output = output,
                          .journal = journal,
                          .result = result};
    size_t n_pending;
    lf_status status = LF_OK;
    uint64_t bytes = pending_bytes(c, journal, &n_pending), total = c->plan.totals.output_bytes;
    *is_changed = n_pending > 0 || !before || !before->is_complete;
    if (*is_changed) status = make_unloadable(c, output, err);
    if (!status && before && !before->is_complete && strcmp(journal->stamp, before->stamp) != 0) {
        status = compare_kept(&job, total - LF_MIN(total, bytes), err);
        bytes = pending_bytes(c, journal, &n_pending);
    }
    result->n_kept = c->plan.n_shard - n_pending;
    if (!status && *is_changed) status = lf__output_require_space(output, bytes + file_bytes(c), err);
    if (!status && *is_changed) status = lf__journal_store(journal, output, c->quant, NULL, 0, err);
    if (!status && n_pending)
        status = with_progress(&job, "converting", bytes, lf__shards_write, &result->write_ns, err);
    if (status || !c->options.verify) return status;
    status = with_progress(&job, "verifying", total, lf__shards_verify, &result->verify_ns, err);
    (void)pending_bytes(c, journal, &n_pending);
    if (status && n_pending) { // a shard was taken out
        lf_error ignored = {0};
        (void)make_unloadable(c, output, &ignored);
        (void)lf__journal_store(journal, output, c->quant, NULL, 0, &ignored);
    }
    return status;
}

// The files and the manifest. In a directory that was complete, `files` of its manifest stay as they are: the user may
// have edited them since.
static lf_status finish(const lf_convert *c, const lf__output *output, json_t *files, lf__journal *journal,
                        lf_convert_result *result, lf_error *err)
{
    size_t n = 0;
    journal->is_complete = true;
    if (files) {
        journal->files = json_incref(files);
        return lf__journal_store(journal, output, c->quant, NULL, 0, err);
    }
    lf__taken_file *taken = calloc(c->files.count + 1, sizeof *taken);
    if (!taken) return lf_error_no_memory(err, 0);
    lf_status status = put_files(c, output, taken, &n, result, err);
    if (!status) status = lf__journal_store(journal, output, c->quant, taken, n, err);
    free(taken);
    return status;
}

lf_status lf_convert_run(lf_convert *c, const char *out_dir, lf_convert_result *result, lf_error *err)
{
    lf__output output;
    lf__journal before = {0}, journal = {0};
    bool is_changed = false;
    *result = (lf_convert_result){0};
    lf_status status = lf__output_open(&output, c->model_dir, out_dir, c->options.sync, err);
    if (status) return status;
    status = start_journal(c, &journal, err);
    if (status) goto out;
    status = lf__journal_load(&before, &output, err);
    bool has_before = status == LF_OK;
    if (status == LF_ERR_NOT_FOUND) status = LF_OK;
    if (!status && has_before) status = require_same(&journal, &before, out_dir, err);
    if (!status && has_before) status = keep_shards(c, &output, &before, &journal, err);
    if (!status) status = do_shards(c, &output, has_before ? &before : NULL, &journal, result, &is_changed, err);
    result->was_complete = !status && !is_changed;
    if (!status && (is_changed || c->options.verify))
        status = finish(c, &output, is_changed ? NULL : before.files, &journal, result, err);

out:
    lf__journal_fini(&before);
    lf__journal_fini(&journal);
    lf__output_close(&output);
    return status;
}
