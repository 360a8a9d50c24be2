// SPDX-License-Identifier: Apache-2.0
//
// Everything that can go wrong outside, at every point where it can: the process is killed before its Nth system call,
// the Nth call fails, calls do a part of their work, memory runs out. Whatever happens, nothing leaks, what stands in
// the directory does not load unless it is right, and the next run ends in the same files as an undisturbed one.
//
// LF_TEST_FULL=1 sweeps every step with several threads as well.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../support/memory.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "tests.h"

typedef enum fault { NONE, DIE, FAIL, SHORT } fault;

static fault mode;
static long fault_step;
static int fault_errno;
static atomic_long n_step;
static atomic_long n_fault;

// Counts a system call; true when it shall fail, with errno set.
static bool step(void)
{
    if (mode == NONE || mode == SHORT) return false;
    if (atomic_fetch_add(&n_step, 1) != fault_step) return false;
    atomic_fetch_add(&n_fault, 1);
    if (mode == DIE) raise(SIGKILL);
    errno = fault_errno;
    return true;
}

static size_t shortened(size_t bytes) { return mode == SHORT && bytes > 1 ? 1 + bytes % 997 % (bytes - 1) : bytes; }

// The library is compiled for 64-bit file offsets, which some C libraries do with names of their own.
#define WRAP_TRANSFER(name, type)                                                                                      \
    ssize_t __real_##name(int fd, type *buffer, size_t bytes, off_t off);                                              \
    ssize_t __wrap_##name(int fd, type *buffer, size_t bytes, off_t off);                                              \
    ssize_t __wrap_##name(int fd, type *buffer, size_t bytes, off_t off)                                               \
    {                                                                                                                  \
        return step() ? -1 : __real_##name(fd, buffer, shortened(bytes), off);                                         \
    }
WRAP_TRANSFER(pwrite, const void)
WRAP_TRANSFER(pwrite64, const void)
WRAP_TRANSFER(pread, void)
WRAP_TRANSFER(pread64, void)

#define WRAP_OPENAT(name)                                                                                              \
    int __real_##name(int dir_fd, const char *path, int flags, ...);                                                   \
    int __wrap_##name(int dir_fd, const char *path, int flags, ...);                                                   \
    int __wrap_##name(int dir_fd, const char *path, int flags, ...)                                                    \
    {                                                                                                                  \
        return step() ? -1 : __real_##name(dir_fd, path, flags, 0666);                                                 \
    }
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

ssize_t __real_read(int fd, void *buffer, size_t bytes);
ssize_t __wrap_read(int fd, void *buffer, size_t bytes);
ssize_t __wrap_read(int fd, void *buffer, size_t bytes)
{
    return step() ? -1 : __real_read(fd, buffer, shortened(bytes));
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd) { return step() ? -1 : 0; } // without the wait: a kill loses nothing that was written

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return step() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return step() ? -1 : __real_linkat(from_fd, from, to_fd, to, flags);
}

int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
    return step() ? -1 : __real_unlinkat(dir_fd, name, flags);
}

int __real_mkdir(const char *path, mode_t permissions);
int __wrap_mkdir(const char *path, mode_t permissions);
int __wrap_mkdir(const char *path, mode_t permissions) { return step() ? -1 : __real_mkdir(path, permissions); }

static bool is_disk_full;

#define WRAP_STATVFS(name)                                                                                             \
    int __real_##name(int fd, struct statvfs *info);                                                                   \
    int __wrap_##name(int fd, struct statvfs *info);                                                                   \
    int __wrap_##name(int fd, struct statvfs *info)                                                                    \
    {                                                                                                                  \
        int result = __real_##name(fd, info);                                                                          \
        if (is_disk_full) info->f_bavail = 10;                                                                         \
        return result;                                                                                                 \
    }
WRAP_STATVFS(fstatvfs)
WRAP_STATVFS(fstatvfs64)

static void set_fault(fault kind, long at, int error)
{
    mode = kind;
    fault_step = at;
    fault_errno = error;
    n_step = n_fault = 0;
}

static bool is_full(void) { return getenv("LF_TEST_FULL") != NULL; }

static int count_descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir) return 0;
    while (readdir(dir)) n++;
    closedir(dir);
    return n;
}

static lf_convert_options fault_options(void)
{
    lf_convert_options options = plain_options();
    options.sync = options.verify = true;
    return options;
}

// A model, and the undisturbed conversion that all others must equal.
typedef struct bench {
    folder f;
    char reference[160];
} bench;

static void bench_make(bench *b)
{
    lf_convert_options options = fault_options();
    lf_convert_result result;
    set_fault(NONE, 0, 0);
    lf_par_set_threads(1);
    folder_make(&b->f);
    write_mixed_model(b->f.model, 5);
    convert_well(&b->f, &options, &result);
    assert_converted(&b->f, &options);
    snprintf(b->reference, sizeof b->reference, "%s/reference", b->f.path);
    assert_int_equal(rename(b->f.out, b->reference), 0);
}

static void remove_out(const folder *f) { remove_tree(f->out); }

// What a loader would find: config.json or the index only beside shards that are all there and all right.
static void assert_loads_right_or_not_at_all(const bench *b)
{
    if (!exists(b->f.out, "config.json") && !exists(b->f.out, "model.safetensors.index.json")) return;
    for (int i = 1; i <= 4; i++) {
        char name[64];
        size_t n, m;
        snprintf(name, sizeof name, "model-%05d-of-00004.safetensors", i);
        char *found = read_bytes(b->f.out, name, &n), *expected = read_bytes(b->reference, name, &m);
        if (!found || n != m || memcmp(found, expected, n) != 0) fail_msg("loadable with a wrong %s", name);
        free(found);
        free(expected);
    }
}

static void assert_ends_well(const bench *b)
{
    lf_convert_options options = fault_options();
    lf_convert_result result;
    set_fault(NONE, 0, 0);
    convert_well(&b->f, &options, &result);
    if (!same_folder(b->f.out, b->reference)) fail_msg("%s differs from an undisturbed conversion", b->f.out);
    remove_out(&b->f);
}

// Runs a conversion in a process of its own that is killed before system call `at`; false when it came to its end.
static bool run_and_kill(const bench *b, long at, int n_thread)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        lf_convert_options options = fault_options();
        lf_convert_result result;
        lf_error err = {0};
        lf_par_set_threads(n_thread);
        set_fault(DIE, at, 0);
        _exit(convert_once(&b->f, &options, &result, &err) == LF_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) return true;
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static void survives_a_kill_anywhere(void **state)
{
    bench b;
    long at = 0;
    bench_make(&b);
    while (run_and_kill(&b, at, 1)) {
        assert_loads_right_or_not_at_all(&b);
        assert_ends_well(&b);
        at++;
    }
    print_message("killed before each of %ld calls\n", at);
    assert_true(at > 60);
    assert_ends_well(&b);
    folder_remove(&b.f);
}

// Killed again and again, each time a little later: every run starts from what the one before left.
static void gets_there_through_many_kills(void **state)
{
    bench b;
    long n_kill = 0;
    bench_make(&b);
    while (run_and_kill(&b, 3 + n_kill / 2, 1)) {
        assert_loads_right_or_not_at_all(&b);
        n_kill++;
    }
    print_message("killed %ld times\n", n_kill);
    assert_true(n_kill > 50);
    assert_ends_well(&b);
    folder_remove(&b.f);
}

static void survives_a_kill_among_threads(void **state)
{
    bench b;
    bench_make(&b);
    for (long at = 2; run_and_kill(&b, at, 3); at += is_full() ? 1 : 11) {
        assert_loads_right_or_not_at_all(&b);
        assert_ends_well(&b);
    }
    folder_remove(&b.f);
}

// One conversion whose call `at` fails; false when there was no such call any more.
static bool run_and_fail(const bench *b, long at, int error)
{
    lf_convert_options options = fault_options();
    lf_convert_result result;
    lf_error err = {0};
    int n_descriptor = count_descriptors();
    long n_live = memory_n_live();
    set_fault(FAIL, at, error);
    lf_status status = convert_once(&b->f, &options, &result, &err);
    bool has_failed = n_fault > 0;
    set_fault(NONE, 0, 0);
    assert_int_equal(count_descriptors(), n_descriptor);
    assert_int_equal(memory_n_live(), n_live);
    if (status) {
        if (lf_status_exit(status) != 3) fail_msg("call %ld: %s", at, err.message);
        assert_true(err.message[0] != '\0');
        assert_loads_right_or_not_at_all(b);
        assert_ends_well(b);
    } else { // tolerated: a link that becomes a copy
        assert_converted(&b->f, &options);
        remove_out(&b->f);
    }
    return has_failed;
}

static void survives_every_failing_call(void **state)
{
    static const int errors[] = {EIO, ENOSPC};
    bench b;
    bench_make(&b);
    if (is_full()) {
        for (long at = 0; run_and_fail(&b, at / 2, errors[at % 2]); at++) continue;
    } else {
        for (long at = 0; run_and_fail(&b, at, errors[at % 2]); at++) continue;
    }
    folder_remove(&b.f);
}

static void finishes_in_small_pieces(void **state)
{
    bench b;
    lf_convert_options options = fault_options();
    lf_convert_result result;
    bench_make(&b);
    for (int i = 0; i < 2; i++) {
        options.copy = i;
        set_fault(SHORT, 0, 0);
        convert_well(&b.f, &options, &result);
        set_fault(NONE, 0, 0);
        assert_converted(&b.f, &options);
        assert_int_equal(result.n_verified, 4);
        remove_out(&b.f);
    }
    folder_remove(&b.f);
}

static void tells_a_source_that_cannot_be_read(void **state)
{
    bench b;
    lf_convert_options options = fault_options();
    lf_convert_result result;
    lf_error err = {0};
    bench_make(&b);
    for (long at = 0; err.status != LF_ERR_IO || !strstr(err.message, "cannot read the source of model-"); at++) {
        err = (lf_error){0};
        set_fault(FAIL, at, EFAULT);
        (void)convert_once(&b.f, &options, &result, &err);
        assert_true(n_fault > 0);
        set_fault(NONE, 0, 0);
        remove_out(&b.f);
    }
    folder_remove(&b.f);
}

static void survives_without_memory(void **state)
{
    bench b;
    lf_convert_options options = fault_options();
    bench_make(&b);
    for (long call = 0;; call += is_full() ? 1 : 1 + call / 60) {
        lf_convert_result result;
        lf_error err = {0};
        int n_descriptor = count_descriptors();
        long n_live = memory_n_live();
        memory_fail_at(call);
        lf_status status = convert_once(&b.f, &options, &result, &err);
        bool has_failed = memory_stop_failing();
        assert_int_equal(memory_n_live(), n_live);
        assert_int_equal(count_descriptors(), n_descriptor);
        if (status) {
            if (status != LF_ERR_NO_MEMORY) fail_msg("allocation %ld: %s", call, err.message);
            assert_loads_right_or_not_at_all(&b);
        }
        if (!has_failed) {
            assert_int_equal(status, LF_OK);
            break;
        }
        if (call % 8 == 0 && exists(b.f.out, LF_CONVERT_MANIFEST)) remove_out(&b.f); // else go on from there
    }
    assert_ends_well(&b);
    folder_remove(&b.f);
}

static void asks_for_space_first(void **state)
{
    bench b;
    lf_convert_options options = fault_options();
    lf_convert_result result;
    lf_error err = {0};
    bench_make(&b);
    is_disk_full = true;
    assert_int_equal(convert_once(&b.f, &options, &result, &err), LF_ERR_NO_SPACE);
    assert_non_null(strstr(err.message, "not enough space"));
    assert_non_null(strstr(err.expected, "bytes ("));
    assert_non_null(strstr(err.found, "free"));
    assert_false(exists(b.f.path, "out"));
    is_disk_full = false;
    assert_ends_well(&b);
    folder_remove(&b.f);
}

// 96 MiB of codes, most of them a hole, through a process that may hold little of them at a time.
static void needs_little_memory(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
    print_message("the sanitizer keeps freed memory\n");
    skip();
#endif
    bench b = {0};
    char path[256];
    maker m = {.random = 1};
    const float scale = 1;
    set_fault(NONE, 0, 0);
    folder_make(&b.f);
    add_tensor(&m, 0, "small.weight", "F8_E4M3", "\x38\x39", (const int64_t[]){1, 2, -1});
    add_tensor(&m, 0, "small.weight_scale_inv", "F32", &scale, (const int64_t[]){1, 1, -1});
    ADD(&m, 1, "norm.weight", "BF16", 4);
    write_model(&m, b.f.model, block_config);
    // The large weight is added to the header by hand: its data is past the end of what was written.
    const char *header =
        "{\"small.weight_scale_inv\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]},"
        "\"small.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[1,2],\"data_offsets\":[4,6]},"
        "\"large.weight_scale\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[6,10]},"
        "\"large.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[24576,4096],\"data_offsets\":[10,100663306]}}";
    snprintf(path, sizeof path, "%s/model-00001-of-00002.safetensors", b.f.model);
    FILE *stream = fopen(path, "wb");
    uint64_t length = strlen(header);
    fwrite(&length, sizeof length, 1, stream);
    fwrite(header, 1, length, stream);
    fwrite(&scale, 4, 1, stream);
    fwrite("\x38\x39", 2, 1, stream);
    fwrite(&scale, 4, 1, stream);
    assert_int_equal(fclose(stream), 0);
    assert_int_equal(truncate(path, (off_t)(8 + length + 100663306)), 0);
    write_text(b.f.model, "model.safetensors.index.json",
               "{\"weight_map\":{\"small.weight\":\"model-00001-of-00002.safetensors\",\"small.weight_scale_inv\":"
               "\"model-00001-of-00002.safetensors\",\"large.weight\":\"model-00001-of-00002.safetensors\","
               "\"large.weight_scale\":\"model-00001-of-00002.safetensors\",\"norm.weight\":"
               "\"model-00002-of-00002.safetensors\"}}");
    pid_t pid = fork();
    if (pid == 0) {
        lf_convert_options options = fault_options();
        lf_convert_result result;
        lf_error err = {0};
        options.shard_bytes = LF_CONVERT_SHARD_BYTES;
        _exit(convert_once(&b.f, &options, &result, &err) == LF_OK ? 0 : 1);
    }
    int status;
    struct rusage usage;
    assert_int_equal(wait4(pid, &status, 0, &usage), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    print_message("%ld MiB at most\n", usage.ru_maxrss / 1024);
    assert_true(usage.ru_maxrss < 40 * 1024);
    folder_remove(&b.f);
}

static void ignore(void *ctx, lf_log_level level, const char *line) {}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_kill_anywhere),      cmocka_unit_test(gets_there_through_many_kills),
        cmocka_unit_test(survives_a_kill_among_threads), cmocka_unit_test(survives_every_failing_call),
        cmocka_unit_test(finishes_in_small_pieces),      cmocka_unit_test(tells_a_source_that_cannot_be_read),
        cmocka_unit_test(survives_without_memory),       cmocka_unit_test(asks_for_space_first),
        cmocka_unit_test(needs_little_memory),
    };
    lf_log_set_sink(ignore, NULL);
    lf_par_set_threads(1); // before the first loop: a forked child may start its own threads only then
    return cmocka_run_group_tests_name("convert faults", tests, NULL, NULL);
}
