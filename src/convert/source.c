// SPDX-License-Identifier: Apache-2.0
//
// What makes two sources the same. Headers and sizes are not enough, because all fine-tunes of a model share them, and
// hashing all data would cost more than converting it: so a few samples of every shard are hashed. A change that the
// samples miss shows in the stamp, which every touch of a file changes; the caller then compares instead of trusting.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "convert/convert_int.h"

enum { SAMPLES = 32, SAMPLE_BYTES = 4096 };

static void hash_text(lf_sha256 *hash, const char *text) { lf_sha256_update(hash, text, strlen(text) + 1); }

static void hash_number(lf_sha256 *hash, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    hash_text(hash, text);
}

static lf_status open_shard(const lf_checkpoint *checkpoint, const lf_shard *shard, int *fd, lf_error *err)
{
    char *path = lf_path_join(lf_checkpoint_dir(checkpoint), shard->file_name);
    if (!path) return lf_error_no_memory(err, 0);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    int failure = errno;
    free(path);
    if (*fd >= 0) return LF_OK;
    lf_error_errno(err, failure, "cannot open %s", shard->file_name);
    return lf_error_subject(err, "%s", shard->file_name);
}

static lf_status read_at(int fd, uint8_t *dst, size_t bytes, uint64_t off, const char *name, lf_error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(fd, dst + done, bytes - done, (off_t)(off + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            lf_error_errno(err, errno, "cannot read %s", name);
            return lf_error_subject(err, "%s", name);
        }
        if (got == 0) {
            lf_error_set(err, LF_ERR_IO, "%s became shorter while it was read", name);
            return lf_error_subject(err, "%s", name);
        }
        done += (size_t)got;
    }
    return LF_OK;
}

// Samples at equal distances, the first and the last bytes of the file among them.
static lf_status hash_samples(lf_sha256 *hash, const lf_checkpoint *checkpoint, const lf_shard *shard, lf_error *err)
{
    int fd = -1;
    lf_status status = open_shard(checkpoint, shard, &fd, err);
    if (status) return status;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    uint8_t sample[SAMPLE_BYTES];
    size_t bytes = (size_t)LF_MIN((uint64_t)SAMPLE_BYTES, shard->file_bytes);
    uint64_t room = shard->file_bytes - bytes;
    for (uint64_t i = 0; !status && i < SAMPLES; i++) {
        uint64_t off = room / (SAMPLES - 1) * i + room % (SAMPLES - 1) * i / (SAMPLES - 1);
        status = read_at(fd, sample, bytes, off, shard->file_name, err);
        if (!status) lf_sha256_update(hash, sample, bytes);
    }
    close(fd);
    return status;
}

lf_status lf__source_fingerprint(char hex[LF_SHA256_HEX_BYTES], const lf_checkpoint *checkpoint,
                                 const char *config_text, size_t config_bytes, lf_error *err)
{
    lf_sha256 hash;
    lf_status status = LF_OK;
    lf_sha256_init(&hash);
    hash_number(&hash, config_bytes);
    if (config_bytes) lf_sha256_update(&hash, config_text, config_bytes);
    for (size_t i = 0; !status && i < lf_checkpoint_n_shard(checkpoint); i++) {
        const lf_shard *shard = lf_checkpoint_shard(checkpoint, i);
        hash_text(&hash, shard->file_name);
        hash_number(&hash, shard->file_bytes);
        hash_number(&hash, shard->header_bytes);
        lf_sha256_update(&hash, shard->header, shard->header_bytes);
        status = hash_samples(&hash, checkpoint, shard, err);
    }
    lf_sha256_final_hex(&hash, hex);
    return status;
}

lf_status lf__source_stamp(char hex[LF_SHA256_HEX_BYTES], const lf_checkpoint *checkpoint, lf_error *err)
{
    lf_sha256 hash;
    lf_sha256_init(&hash);
    for (size_t i = 0; i < lf_checkpoint_n_shard(checkpoint); i++) {
        const lf_shard *shard = lf_checkpoint_shard(checkpoint, i);
        char *path = lf_path_join(lf_checkpoint_dir(checkpoint), shard->file_name);
        if (!path) return lf_error_no_memory(err, 0);
        struct stat info;
        int failure = stat(path, &info) == 0 ? 0 : errno;
        free(path);
        if (failure) {
            lf_error_errno(err, failure, "cannot read the time of %s", shard->file_name);
            return lf_error_subject(err, "%s", shard->file_name);
        }
        hash_text(&hash, shard->file_name);
        hash_number(&hash, (uint64_t)info.st_size);
        hash_number(&hash, (uint64_t)info.st_mtim.tv_sec);
        hash_number(&hash, (uint64_t)info.st_mtim.tv_nsec);
    }
    lf_sha256_final_hex(&hash, hex);
    return LF_OK;
}
