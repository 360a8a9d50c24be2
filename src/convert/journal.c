// SPDX-License-Identifier: Apache-2.0
//
// landfall-convert.json: while a conversion runs, the journal that a later run goes on from; when it is complete, the
// manifest. It is read as strictly as any outside file, because it decides which files are kept without being written.
//
//   format         "landfall-convert"
//   version        1
//   state          "running" or "complete"
//   source         SHA-256 that names the source (source.c)
//   stamp          running: SHA-256 of the source files' sizes and times
//   plan           SHA-256 of all headers and the rounding
//   dequant_rounding, shard_size    the options that decide what is written
//   shards         array of {name, bytes, sha256, modified_ns}: finished ones; sha256 is null unless --verify read the
//                  file back, modified_ns stands in a running one only
//   files          complete: array of {name, how, bytes, sha256}: all others; how is linked, copied, rewritten or made
//   dropped        complete: array of {name, reason}: tensors that have no place in a bf16 checkpoint
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "convert/convert_int.h"

enum { JOURNAL_VERSION = 1 };

const char *lf__rounding_name(lf_dequant_rounding rounding)
{
    return rounding == LF_DEQUANT_BF16_SCALE ? "bf16-scale" : "exact";
}

static lf_status malformed(const char *key, lf_error *err)
{
    lf_error_set(err, LF_ERR_FORMAT, "\"%s\" of " LF_CONVERT_MANIFEST " is missing or wrong", key);
    lf_error_subject(err, LF_CONVERT_MANIFEST);
    return lf_error_hint(err, "remove the directory and convert anew");
}

// A string of at most dst_bytes - 1 bytes.
static bool take_text(char *dst, size_t dst_bytes, const json_t *value)
{
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length >= dst_bytes || strlen(json_string_value(value)) != length) return false;
    memcpy(dst, json_string_value(value), length + 1);
    return true;
}

static bool take_digest(char dst[LF_SHA256_HEX_BYTES], const json_t *value)
{
    return take_text(dst, LF_SHA256_HEX_BYTES, value) && strlen(dst) == LF_SHA256_HEX_BYTES - 1 &&
           strspn(dst, "0123456789abcdef") == LF_SHA256_HEX_BYTES - 1;
}

static bool take_shard(lf__done *shard, const json_t *value)
{
    *shard = (lf__done){.is_done = true};
    json_int_t bytes = json_integer_value(json_object_get(value, "bytes"));
    const json_t *digest = json_object_get(value, "sha256");
    shard->bytes = (uint64_t)bytes;
    shard->modified_ns = json_integer_value(json_object_get(value, "modified_ns"));
    return take_text(shard->name, sizeof shard->name, json_object_get(value, "name")) && bytes > 0 &&
           (json_is_null(digest) || take_digest(shard->sha256, digest));
}

static lf_status read_fields(lf__journal *journal, const json_t *root, lf_error *err)
{
    const char *state = json_string_value(json_object_get(root, "state"));
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, "landfall-convert") != 0) return malformed("format", err);
    if (json_integer_value(json_object_get(root, "version")) != JOURNAL_VERSION) return malformed("version", err);
    if (!state) return malformed("state", err);
    journal->is_complete = strcmp(state, "complete") == 0;
    if (!journal->is_complete && strcmp(state, "running") != 0) return malformed("state", err);
    if (!take_digest(journal->source, json_object_get(root, "source"))) return malformed("source", err);
    if (!take_digest(journal->plan, json_object_get(root, "plan"))) return malformed("plan", err);
    if (!journal->is_complete && !take_digest(journal->stamp, json_object_get(root, "stamp")))
        return malformed("stamp", err);
    if (!take_text(journal->rounding, sizeof journal->rounding, json_object_get(root, "dequant_rounding")))
        return malformed("dequant_rounding", err);
    journal->shard_size = json_integer_value(json_object_get(root, "shard_size"));
    if (journal->shard_size <= 0) return malformed("shard_size", err);

    const json_t *files = json_object_get(root, "files");
    if (journal->is_complete && !json_is_array(files)) return malformed("files", err);
    if (journal->is_complete) journal->files = json_incref((json_t *)(uintptr_t)files);

    const json_t *shards = json_object_get(root, "shards");
    size_t n = json_array_size(shards);
    if (!json_is_array(shards) || n > LF__MAX_OUT_SHARDS) return malformed("shards", err);
    journal->shards = calloc(LF_MAX(n, 1), sizeof *journal->shards);
    if (!journal->shards) return lf_error_no_memory(err, n * sizeof *journal->shards);
    journal->n_shard = n;
    for (size_t i = 0; i < n; i++) {
        if (!take_shard(&journal->shards[i], json_array_get(shards, i))) return malformed("shards", err);
    }
    return LF_OK;
}

lf_status lf__journal_parse(lf__journal *journal, const char *text, size_t length, lf_error *err)
{
    *journal = (lf__journal){0};
    json_t *root = NULL;
    lf_status status = lf_json_parse(&root, text, length, LF_CONVERT_MANIFEST, err);
    if (status) return status;
    status = json_is_object(root) ? read_fields(journal, root, err) : malformed("format", err);
    json_decref(root);
    if (status) lf__journal_fini(journal);
    return status;
}

lf_status lf__journal_load(lf__journal *journal, const lf__output *output, lf_error *err)
{
    char *text, *path = lf_path_join(output->dir, LF_CONVERT_MANIFEST);
    size_t length;
    *journal = (lf__journal){0};
    if (!path) return lf_error_no_memory(err, 0);
    lf_status status = lf_file_read(&text, &length, path, LF__MAX_MANIFEST_BYTES, err);
    free(path);
    if (status) return status;
    status = lf__journal_parse(journal, text, length, err);
    free(text);
    return status;
}

static void put_digest(lf_buf *out, const char *sha256)
{
    if (sha256[0])
        lf_buf_printf(out, "\"%s\"", sha256);
    else
        lf_buf_puts(out, "null");
}

static void put_shards(lf_buf *out, const lf__journal *journal)
{
    const char *comma = "";
    lf_buf_puts(out, "  \"shards\": [");
    for (size_t i = 0; i < journal->n_shard; i++) {
        const lf__done *shard = &journal->shards[i];
        if (!shard->is_done) continue;
        lf_buf_printf(out, "%s\n    {\"name\": ", comma);
        lf__put_json_string(out, shard->name);
        lf_buf_printf(out, ", \"bytes\": %" PRIu64 ", \"sha256\": ", shard->bytes);
        put_digest(out, shard->sha256);
        if (!journal->is_complete) lf_buf_printf(out, ", \"modified_ns\": %" PRId64, shard->modified_ns);
        lf_buf_putc(out, '}');
        comma = ",";
    }
    lf_buf_puts(out, "\n  ]");
}

static void put_files(lf_buf *out, const lf__journal *journal, const lf__taken_file *files, size_t n_file)
{
    size_t n_before = json_array_size(journal->files);
    lf_buf_puts(out, ",\n  \"files\": [");
    for (size_t i = 0; i < n_before; i++) {
        lf_buf_puts(out, i ? ",\n    " : "\n    ");
        lf__put_json(out, json_array_get(journal->files, i), 0);
    }
    for (size_t i = 0; i < n_file; i++) {
        lf_buf_printf(out, "%s\n    {\"name\": ", i + n_before ? "," : "");
        lf__put_json_string(out, files[i].name);
        lf_buf_printf(out, ", \"how\": \"%s\", \"bytes\": %" PRIu64 ", \"sha256\": ", files[i].how, files[i].bytes);
        put_digest(out, files[i].sha256);
        lf_buf_putc(out, '}');
    }
    lf_buf_puts(out, "\n  ]");
}

static void put_dropped(lf_buf *out, const lf_quant *quant)
{
    lf_buf_puts(out, ",\n  \"dropped\": [");
    for (size_t i = 0; i < lf_quant_n_side(quant); i++) {
        const lf_side_tensor *side = lf_quant_side(quant, i);
        lf_buf_puts(out, i ? ",\n    {\"name\": " : "\n    {\"name\": ");
        lf__put_json_string(out, side->tensor->name);
        lf_buf_puts(out, ", \"reason\": ");
        lf__put_json_string(out, side->reason);
        lf_buf_putc(out, '}');
    }
    lf_buf_puts(out, "\n  ]");
}

lf_status lf__journal_store(const lf__journal *journal, const lf__output *output, const lf_quant *quant,
                            const lf__taken_file *files, size_t n_file, lf_error *err)
{
    lf_buf text = LF_BUF_INIT;
    lf_buf_printf(&text, "{\n  \"format\": \"landfall-convert\",\n  \"version\": %d,\n  \"state\": \"%s\",\n",
                  (int)JOURNAL_VERSION, journal->is_complete ? "complete" : "running");
    lf_buf_printf(&text, "  \"source\": \"%s\",\n", journal->source);
    if (!journal->is_complete) lf_buf_printf(&text, "  \"stamp\": \"%s\",\n", journal->stamp);
    lf_buf_printf(&text, "  \"plan\": \"%s\",\n  \"dequant_rounding\": \"%s\",\n  \"shard_size\": %" PRId64 ",\n",
                  journal->plan, journal->rounding, journal->shard_size);
    put_shards(&text, journal);
    if (journal->is_complete) {
        put_files(&text, journal, files, n_file);
        put_dropped(&text, quant);
    }
    lf_buf_puts(&text, "\n}\n");
    lf_status status = lf_buf_failed(&text) ? lf_error_no_memory(err, 0)
                                            : lf__output_put(output, LF_CONVERT_MANIFEST, text.data, text.length, err);
    lf_buf_fini(&text);
    return status;
}

void lf__journal_fini(lf__journal *journal)
{
    free(journal->shards);
    json_decref(journal->files);
    *journal = (lf__journal){0};
}
