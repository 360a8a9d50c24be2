// SPDX-License-Identifier: Apache-2.0
//
// The output directory. The invariant: under a final name stands nothing or the entire file, at every moment; what is
// being written has a partial name, which no loader looks for and which the next run removes. Everything goes through
// the directory's descriptor, so that a directory renamed meanwhile is still the one that was checked and locked.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "convert/convert_int.h"

static const char partial_suffix[] = ".landfall-partial";

static bool is_partial(const char *name)
{
    size_t length = strlen(name), suffix = sizeof partial_suffix - 1;
    return length > suffix && strcmp(name + length - suffix, partial_suffix) == 0;
}

static bool partial_name(char dst[NAME_MAX + 1], const char *name)
{
    return snprintf(dst, NAME_MAX + 1, "%s%s", name, partial_suffix) <= NAME_MAX;
}

static lf_status failed(const lf__output *output, const char *name, int failure, lf_error *err)
{
    lf_error_errno(err, failure, "cannot write %s/%s", output->dir, name);
    return lf_error_subject(err, "%s", name);
}

// Walks from the output upwards: it must not meet the model's directory.
static lf_status refuse_inside(const lf__output *output, const char *model_dir, lf_error *err)
{
    struct stat model, here, above;
    if (stat(model_dir, &model) != 0) return lf_error_errno(err, errno, "cannot open %s", model_dir);
    int fd = dup(output->fd);
    if (fd < 0 || fstat(fd, &here) != 0) goto failed;
    for (bool is_first = true;; is_first = false) {
        if (here.st_dev == model.st_dev && here.st_ino == model.st_ino) {
            close(fd);
            lf_error_set(err, LF_ERR_USAGE, is_first ? "%s is the model itself" : "%s lies inside the model",
                         output->dir);
            lf_error_subject(err, "%s", output->dir);
            return lf_error_hint(err, "choose another directory");
        }
        int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0 && errno == EACCES) break; // a parent that may be crossed, but not read
        if (parent < 0 || fstat(parent, &above) != 0) {
            if (parent >= 0) close(parent);
            goto failed;
        }
        close(fd);
        fd = parent;
        if (above.st_dev == here.st_dev && above.st_ino == here.st_ino) break;
        here = above;
    }
    close(fd);
    return LF_OK;

failed:
    lf_error_errno(err, errno, "cannot look above %s", output->dir);
    if (fd >= 0) close(fd);
    return err->status;
}

// Removes partial files; says whether others are there, and whether the journal is.
static lf_status sweep(const lf__output *output, bool *has_journal, char foreign[NAME_MAX + 1], lf_error *err)
{
    *has_journal = false;
    foreign[0] = '\0';
    int fd = dup(output->fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        lf_error_errno(err, errno, "cannot list %s", output->dir);
        if (fd >= 0) close(fd);
        return err->status;
    }
    rewinddir(dir); // a duplicate shares its place with the descriptor it was made from
    int failure = 0;
    for (struct dirent *entry; !failure && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0) continue;
        if (is_partial(name)) {
            if (unlinkat(output->fd, name, 0) != 0 && errno != ENOENT) failure = errno;
        } else if (strcmp(name, LF_CONVERT_MANIFEST) == 0) {
            *has_journal = true;
        } else {
            snprintf(foreign, NAME_MAX + 1, "%s", name);
        }
    }
    closedir(dir);
    return failure ? failed(output, "", failure, err) : LF_OK;
}

static lf_status open_directory(lf__output *output, lf_error *err)
{
    int failure = 0;
    output->is_made = mkdir(output->dir, 0777) == 0;
    if (!output->is_made && errno != EEXIST) failure = errno;
    if (!failure && (output->fd = open(output->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) failure = errno;
    if (failure) {
        lf_error_errno(err, failure, "cannot make the directory %s", output->dir);
        return lf_error_subject(err, "%s", output->dir);
    }
    // Some network file systems have no such lock; then nothing keeps a second conversion out.
    if (flock(output->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        lf_error_set(err, LF_ERR_IO, "another conversion is writing %s", output->dir);
        return lf_error_subject(err, "%s", output->dir);
    }
    return LF_OK;
}

lf_status lf__output_open(lf__output *output, const char *model_dir, const char *out_dir, bool sync, lf_error *err)
{
    char foreign[NAME_MAX + 1];
    bool has_journal;
    *output = (lf__output){.fd = -1, .sync = sync, .dir = strdup(out_dir)};
    lf_status status = output->dir ? open_directory(output, err) : lf_error_no_memory(err, 0);
    if (!status) status = refuse_inside(output, model_dir, err);
    if (!status) status = sweep(output, &has_journal, foreign, err);
    if (!status && foreign[0] && !has_journal) {
        status = lf_error_set(err, LF_ERR_USAGE, "%s is not empty and holds no conversion", out_dir);
        lf_error_subject(err, "%s", out_dir);
        lf_error_expected(err, "an empty or absent directory");
        lf_error_found(err, "%s", foreign);
    }
    if (status) lf__output_close(output);
    return status;
}

void lf__output_close(lf__output *output)
{
    if (output->is_made) (void)rmdir(output->dir); // fails, as it should, when there is anything in it
    if (output->fd >= 0) close(output->fd);
    free(output->dir);
    *output = (lf__output){.fd = -1};
}

lf_status lf__output_create(const lf__output *output, const char *name, int *out_fd, lf_error *err)
{
    char partial[NAME_MAX + 1];
    if (!partial_name(partial, name)) return failed(output, name, ENAMETOOLONG, err);
    *out_fd = openat(output->fd, partial, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    return *out_fd < 0 ? failed(output, name, errno, err) : LF_OK;
}

static int sync_directory(const lf__output *output)
{
    if (!output->sync || fsync(output->fd) == 0 || errno == EINVAL) return 0; // EINVAL: a file system without it
    return errno;
}

lf_status lf__output_commit(const lf__output *output, const char *name, int fd, lf_error *err)
{
    char partial[NAME_MAX + 1];
    int failure = partial_name(partial, name) ? 0 : ENAMETOOLONG;
    if (!failure && output->sync && fsync(fd) != 0) failure = errno;
    if (close(fd) != 0 && !failure) failure = errno;
    if (!failure && renameat(output->fd, partial, output->fd, name) != 0) failure = errno;
    if (!failure)
        failure = sync_directory(output);
    else
        (void)unlinkat(output->fd, partial, 0);
    return failure ? failed(output, name, failure, err) : LF_OK;
}

void lf__output_discard(const lf__output *output, const char *name, int fd)
{
    char partial[NAME_MAX + 1];
    if (fd >= 0) close(fd);
    if (partial_name(partial, name)) (void)unlinkat(output->fd, partial, 0);
}

lf_status lf__output_write_all(const lf__output *output, const char *name, int fd, uint64_t off, const void *bytes,
                               size_t length, lf_error *err)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = pwrite(fd, (const char *)bytes + done, length - done, (off_t)(off + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EFAULT) { // the mapped source cannot be read: shortened, or its disk failed
            lf_error_set(err, LF_ERR_IO, "cannot read the source of %s", name);
            return lf_error_subject(err, "%s", name);
        }
        if (put <= 0) return failed(output, name, put < 0 ? errno : ENOSPC, err);
        done += (size_t)put;
    }
    return LF_OK;
}

lf_status lf__output_put(const lf__output *output, const char *name, const void *bytes, size_t length, lf_error *err)
{
    int fd = -1;
    lf_status status = lf__output_create(output, name, &fd, err);
    if (status) return status;
    status = lf__output_write_all(output, name, fd, 0, bytes, length, err);
    if (!status) return lf__output_commit(output, name, fd, err);
    lf__output_discard(output, name, fd);
    return status;
}

lf_status lf__output_remove(const lf__output *output, const char *name, lf_error *err)
{
    int failure = unlinkat(output->fd, name, 0) != 0 && errno != ENOENT ? errno : 0;
    if (!failure) failure = sync_directory(output);
    if (!failure) return LF_OK;
    lf_error_errno(err, failure, "cannot remove %s/%s", output->dir, name);
    return lf_error_subject(err, "%s", name);
}

lf_status lf__output_require_space(const lf__output *output, uint64_t bytes, lf_error *err)
{
    struct statvfs info;
    if (fstatvfs(output->fd, &info) != 0) return LF_OK; // then writing will tell
    uint64_t available = (uint64_t)info.f_bavail * info.f_frsize;
    if (available >= bytes) return LF_OK;
    lf_error_set(err, LF_ERR_NO_SPACE, "not enough space for %s", output->dir);
    lf_error_subject(err, "%s", output->dir);
    lf_error_expected(err, "%" PRIu64 " bytes (%.1f GiB)", bytes, (double)bytes / 1073741824.0);
    lf_error_found(err, "%" PRIu64 " bytes (%.1f GiB) free", available, (double)available / 1073741824.0);
    return lf_error_hint(err, "free space or choose another file system");
}
