// SPDX-License-Identifier: Apache-2.0
//
// The files around the weights: tokenizer, templates, generation_config.json, licence, code. Regular files of the top
// folder are taken over under their own name, whatever they are, except weights, what describes the quantization, and
// what is made anew. Symbolic links are followed: a hub cache consists of them.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "convert/convert_int.h"

enum { COPY_BYTES = 1 << 20 };

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

// Why a regular file is not taken over, NULL when it is.
static const char *skip_reason(const char *name)
{
    static const char *const weights[] = {".safetensors", ".bin",     ".pt",     ".pth", ".ckpt", ".gguf",
                                          ".onnx",        ".msgpack", ".h5",     ".npz", ".ot",   ".bin.index.json",
                                          ".tflite",      ".nemo",    ".mlmodel"};
    static const char *const quantization[] = {"hf_quant_config.json", "quantize_config.json", "quant_config.json",
                                               "quantization_config.json"};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(weights); i++) {
        if (has_suffix(name, weights[i])) return "a file of weights";
    }
    for (size_t i = 0; i < LF_ARRAY_LENGTH(quantization); i++) {
        if (strcmp(name, quantization[i]) == 0) return "describes the quantization";
    }
    if (has_suffix(name, ".safetensors.index.json")) return "made anew";
    if (strcmp(name, LF_CONVERT_MANIFEST) == 0) return "the manifest of another conversion";
    if (name[0] == '.') return "a hidden file";
    return is_utf8(name) ? NULL : "its name is not UTF-8";
}

static lf_status add_file(lf__file_list *files, int dir_fd, const char *name, lf_error *err)
{
    struct stat info;
    lf_convert_file file = {.action = LF_CONVERT_SKIP};
    if (fstatat(dir_fd, name, &info, 0) != 0) {
        file.reason = "a link to nothing";
    } else if (S_ISDIR(info.st_mode)) {
        file.reason = "a folder";
    } else if (!S_ISREG(info.st_mode)) {
        file.reason = "no regular file";
    } else {
        file.bytes = (uint64_t)info.st_size;
        file.reason = skip_reason(name);
        bool is_config = strcmp(name, "config.json") == 0 || strcmp(name, "params.json") == 0;
        if (!file.reason) file.action = is_config ? LF_CONVERT_REWRITE : LF_CONVERT_TAKE;
    }
    if (!lf_array_grow((void **)&files->items, &files->capacity, files->count + 1, sizeof *files->items) ||
        !(file.name = strdup(name)))
        return lf_error_no_memory(err, 0);
    files->items[files->count++] = file;
    return LF_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const lf_convert_file *)a)->name, ((const lf_convert_file *)b)->name);
}

lf_status lf__files_list(lf__file_list *files, const char *model_dir, lf_error *err)
{
    *files = (lf__file_list){0};
    DIR *dir = opendir(model_dir);
    if (!dir) return lf_error_errno(err, errno, "cannot list %s", model_dir);
    lf_status status = LF_OK;
    for (struct dirent *entry; !status && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        status = add_file(files, dirfd(dir), name, err);
    }
    closedir(dir);
    if (files->count) qsort(files->items, files->count, sizeof *files->items, by_name);
    if (status) lf__files_fini(files);
    return status;
}

void lf__files_fini(lf__file_list *files)
{
    for (size_t i = 0; i < files->count; i++) free(files->items[i].name);
    free(files->items);
    *files = (lf__file_list){0};
}

static lf_status read_failed(const char *name, int failure, lf_error *err)
{
    lf_error_errno(err, failure, "cannot read %s", name);
    return lf_error_subject(err, "%s", name);
}

// Reads `source` to its end, into `hash` and, unless out_fd is negative, into a file of the output.
static lf_status read_through(const lf__output *output, const char *name, int source, int out_fd, lf__taken_file *taken,
                              lf_error *err)
{
    uint8_t *buffer = malloc(COPY_BYTES);
    if (!buffer) return lf_error_no_memory(err, COPY_BYTES);
    lf_sha256 hash;
    lf_status status = LF_OK;
    lf_sha256_init(&hash);
    taken->bytes = 0;
    for (;;) {
        ssize_t got = read(source, buffer, COPY_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = read_failed(name, errno, err);
        if (got <= 0) break;
        lf_sha256_update(&hash, buffer, (size_t)got);
        if (out_fd >= 0) status = lf__output_write_all(output, name, out_fd, taken->bytes, buffer, (size_t)got, err);
        if (status) break;
        taken->bytes += (uint64_t)got;
    }
    lf_sha256_final_hex(&hash, taken->sha256);
    free(buffer);
    return status;
}

static lf_status copy_file(const lf__output *output, const char *name, int source, lf__taken_file *taken, lf_error *err)
{
    int fd = -1;
    taken->how = "copied";
    lf_status status = lf__output_create(output, name, &fd, err);
    if (status) return status;
    status = read_through(output, name, source, fd, taken, err);
    if (!status) return lf__output_commit(output, name, fd, err);
    lf__output_discard(output, name, fd);
    return status;
}

// Whether `name` of the output now is the source's own file. Where that is not possible (another file system, no
// permission), the caller copies.
static bool link_file(const lf__output *output, const char *path, const char *name)
{
    (void)unlinkat(output->fd, name, 0); // of an earlier run
    return linkat(AT_FDCWD, path, output->fd, name, AT_SYMLINK_FOLLOW) == 0;
}

lf_status lf__file_take(const lf__output *output, const char *model_dir, const lf_convert_file *file, bool copy,
                        lf__taken_file *taken, lf_error *err)
{
    char *path = lf_path_join(model_dir, file->name);
    if (!path) return lf_error_no_memory(err, 0);
    *taken = (lf__taken_file){.name = file->name, .how = "linked"};
    lf_status status;
    int source = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source < 0)
        status = read_failed(file->name, errno, err);
    else if (copy || !link_file(output, path, file->name))
        status = copy_file(output, file->name, source, taken, err);
    else
        status = read_through(output, file->name, source, -1, taken, err);
    if (source >= 0) close(source);
    free(path);
    return status;
}
