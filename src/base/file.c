// SPDX-License-Identifier: Apache-2.0
//
// Whole-file reads, mappings and atomic outputs. The invariant of an atomic output: at every moment, a power cut
// included, the final name holds either the old content or the new one, entire.
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static lf_status open_regular(const char *path, int *out_fd, size_t *out_bytes, lf_error *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        lf_error_errno(err, errno, "cannot open %s", path);
        return lf_error_subject(err, "%s", path);
    }
    if (fstat(fd, &info) != 0) {
        lf_error_errno(err, errno, "cannot read the size of %s", path);
        goto fail;
    }
    if (!S_ISREG(info.st_mode)) {
        lf_error_set(err, LF_ERR_IO, "%s is not a regular file", path);
        goto fail;
    }
    *out_fd = fd;
    *out_bytes = (size_t)info.st_size;
    return LF_OK;

fail:
    close(fd);
    return lf_error_subject(err, "%s", path);
}

lf_status lf_file_read(char **out, size_t *out_bytes, const char *path, size_t limit_bytes, lf_error *err)
{
    int fd;
    size_t bytes;
    lf_status status = open_regular(path, &fd, &bytes, err);
    if (status) return status;

    char *content = NULL;
    if (bytes > limit_bytes) {
        status = lf_error_set(err, LF_ERR_LIMIT, "%s is too large", path);
        lf_error_expected(err, "at most %zu bytes", limit_bytes);
        lf_error_found(err, "%zu bytes", bytes);
        lf_error_subject(err, "%s", path);
        goto out;
    }
    content = malloc(bytes + 1);
    if (!content) {
        status = lf_error_no_memory(err, bytes);
        goto out;
    }
    size_t done = 0;
    while (done < bytes) {
        ssize_t got = read(fd, content + done, bytes - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = lf_error_errno(err, errno, "cannot read %s", path);
            lf_error_subject(err, "%s", path);
            goto out;
        }
        if (got == 0) break; // shortened while being read: take what is there
        done += (size_t)got;
    }
    content[done] = '\0';
    *out = content;
    *out_bytes = done;
    content = NULL;

out:
    free(content);
    close(fd);
    return status;
}

lf_status lf_mapping_open(lf_mapping *out, const char *path, lf_error *err)
{
    *out = (lf_mapping){.fd = -1};
    int fd;
    size_t bytes;
    lf_status status = open_regular(path, &fd, &bytes, err);
    if (status) return status;
    void *data = NULL;
    if (bytes > 0) {
        data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            lf_error_errno(err, errno, "cannot map %s", path);
            close(fd);
            return lf_error_subject(err, "%s", path);
        }
    }
    *out = (lf_mapping){.data = data, .bytes = bytes, .fd = fd};
    return LF_OK;
}

void lf_mapping_close(lf_mapping *mapping)
{
    if (mapping->data) munmap((void *)(uintptr_t)mapping->data, mapping->bytes);
    if (mapping->fd >= 0) close(mapping->fd);
    *mapping = (lf_mapping){.fd = -1};
}

lf_status lf_atomic_file_open(lf_atomic_file *out, const char *path, lf_error *err)
{
    static const char suffix[] = ".XXXXXX.tmp";
    *out = (lf_atomic_file){0};
    out->path = strdup(path);
    out->temporary = malloc(strlen(path) + sizeof suffix);
    if (!out->path || !out->temporary) {
        lf_atomic_file_abort(out);
        return lf_error_no_memory(err, 0);
    }
    sprintf(out->temporary, "%s%s", path, suffix);
    int fd = mkostemps(out->temporary, 4, O_CLOEXEC);
    int failure = errno;
    if (fd >= 0) {
        mode_t mask = umask(0);
        umask(mask);
        (void)fchmod(fd, 0666 & ~mask); // mkostemps makes private files; outputs follow the user's umask
        out->stream = fdopen(fd, "wb");
        failure = errno;
        if (!out->stream) close(fd);
    } else {
        free(out->temporary); // nothing to remove
        out->temporary = NULL;
    }
    if (!out->stream) {
        lf_atomic_file_abort(out);
        lf_error_errno(err, failure, "cannot write %s", path);
        return lf_error_subject(err, "%s", path);
    }
    return LF_OK;
}

static int sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder) return ENOMEM;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return errno;
    int failure = fsync(fd) != 0 && errno != EINVAL ? errno : 0; // EINVAL: a file system without folder sync
    close(fd);
    return failure;
}

lf_status lf_atomic_file_commit(lf_atomic_file *file, lf_error *err)
{
    int failure = 0;
    if (fflush(file->stream) != 0 || ferror(file->stream) || fsync(fileno(file->stream)) != 0)
        failure = errno ? errno : EIO;
    if (fclose(file->stream) != 0 && !failure) failure = errno;
    file->stream = NULL;
    if (!failure && rename(file->temporary, file->path) != 0) failure = errno;
    if (!failure) {
        free(file->temporary);
        file->temporary = NULL;
        failure = sync_folder_of(file->path);
    }
    lf_status status = LF_OK;
    if (failure) {
        status = lf_error_errno(err, failure, "cannot write %s", file->path);
        lf_error_subject(err, "%s", file->path);
    }
    lf_atomic_file_abort(file);
    return status;
}

void lf_atomic_file_abort(lf_atomic_file *file)
{
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    *file = (lf_atomic_file){0};
}

lf_status lf_file_write(const char *path, const void *bytes, size_t length, lf_error *err)
{
    lf_atomic_file file;
    lf_status status = lf_atomic_file_open(&file, path, err);
    if (status) return status;
    errno = 0;
    if (length && fwrite(bytes, 1, length, file.stream) != length) {
        status = lf_error_errno(err, errno ? errno : EIO, "cannot write %s", path);
        lf_error_subject(err, "%s", path);
        lf_atomic_file_abort(&file);
        return status;
    }
    return lf_atomic_file_commit(&file, err);
}

bool lf_is_lfs_pointer(const char *bytes, size_t length)
{
    static const char start[] = "version https://git-lfs";
    return length >= sizeof start - 1 && memcmp(bytes, start, sizeof start - 1) == 0;
}

char *lf_path_join(const char *dir, const char *name)
{
    size_t dir_length = strlen(dir), total;
    if (!lf_add_size(dir_length, strlen(name), &total)) return NULL;
    char *path = malloc(total + 2);
    if (!path) return NULL;
    bool has_slash = dir_length > 0 && dir[dir_length - 1] == '/';
    sprintf(path, "%s%s%s", dir, has_slash ? "" : "/", name);
    return path;
}
