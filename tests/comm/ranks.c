// SPDX-License-Identifier: Apache-2.0
//
// One rank of the comm's tests; run.sh starts several under mpirun. `ranks calls` makes every call in many sizes and
// compares with what it computes alone: every rank's data is a function of its number, so each can compute all. Other
// scenarios end ranks at chosen moments and look at what the rest is told.
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "comm/comm.h"

static lf_comm *comm;
static int rank, n_rank, n_failed;

static void expect(bool is_so, const char *what, long detail)
{
    if (is_so) return;
    n_failed++;
    fprintf(stderr, "rank %d: %s (%ld)\n", rank, what, detail);
}

static void expect_ok(lf_status status, const lf_error *err, const char *what)
{
    if (!status) return;
    n_failed++;
    fprintf(stderr, "rank %d: %s: %s\n", rank, what, err->message);
}

// ---- the calls ----

// Values whose sum depends on the order of additions: magnitudes far apart, both signs, some zeros of either sign.
static float value_of(int r, size_t i, unsigned seed)
{
    uint64_t x = (uint64_t)(unsigned)r * 0x9e3779b97f4a7c15u + i * 0xd1342543de82ef95u + seed;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 32;
    if (x % 61 == 0) return x & 64 ? 0.0f : -0.0f;
    return ldexpf((float)(int32_t)(x & 0xffffff) - 8388608.0f, (int)(x >> 40 & 31) - 16);
}

static void check_sum(size_t n, unsigned seed)
{
    lf_error err = {0};
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = value_of(rank, i, seed);
    x[n] = 123.0f;
    expect_ok(lf_comm_sum_f32(comm, x, n, &err), &err, "sum");
    size_t n_wrong = 0;
    for (size_t i = 0; i < n; i++) {
        float sum = value_of(0, i, seed);
        for (int r = 1; r < n_rank; r++) sum += value_of(r, i, seed);
        n_wrong += memcmp(&sum, &x[i], sizeof sum) != 0;
    }
    expect(n_wrong == 0, "sum differs from the ordered one", (long)n_wrong);
    expect(x[n] == 123.0f, "sum wrote past its end", (long)n);
    free(x);
}

static void check_min(size_t n)
{
    lf_error err = {0};
    int64_t *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (int64_t)((i * 7 + (size_t)rank * 13) % 31) - 15;
    expect_ok(lf_comm_min_i64(comm, x, n, &err), &err, "min");
    for (size_t i = 0; i < n; i++) {
        int64_t least = INT64_MAX;
        for (int r = 0; r < n_rank; r++) least = LF_MIN(least, (int64_t)((i * 7 + (size_t)r * 13) % 31) - 15);
        expect(x[i] == least, "min is wrong", (long)i);
    }
    free(x);
}

static void check_broadcast(size_t bytes)
{
    lf_error err = {0};
    unsigned char *data = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) data[i] = rank == 0 ? (unsigned char)(i * 31 + bytes) : 0xee;
    expect_ok(lf_comm_broadcast(comm, data, bytes, &err), &err, "broadcast");
    size_t n_wrong = 0;
    for (size_t i = 0; i < bytes; i++) n_wrong += data[i] != (unsigned char)(i * 31 + bytes);
    expect(n_wrong == 0, "broadcast is wrong", (long)n_wrong);
    free(data);
}

// Rank r gives base + r * step bytes; with a step below 0 some give nothing.
static void check_gather(long base, long step)
{
    lf_error err = {0};
    size_t *part = malloc((size_t)n_rank * sizeof *part), sum = 0, n_wrong = 0, at = 0;
    for (int r = 0; r < n_rank; r++) sum += part[r] = (size_t)LF_MAX(0L, base + r * step);
    unsigned char *mine = malloc(part[rank] + 1), *all = malloc(sum + 1);
    memset(mine, rank + 1, part[rank]);
    expect_ok(lf_comm_gather(comm, mine, part, rank == 0 ? all : NULL, &err), &err, "gather");
    for (int r = 0; r < n_rank && rank == 0; r++) {
        for (size_t i = 0; i < part[r]; i++) n_wrong += all[at++] != r + 1;
    }
    expect(n_wrong == 0, "gather is wrong", (long)n_wrong);
    free(part);
    free(mine);
    free(all);
}

static void check_agree(void)
{
    lf_error err = {0};
    expect(lf_comm_agree(comm, LF_OK, &err) == LF_OK, "agreement on success", 0);
    for (int failing = 0; failing < n_rank; failing++) {
        lf_status status = LF_OK;
        if (rank == failing || rank == n_rank - 1) {
            status = lf_error_set(&err, LF_ERR_FORMAT, "rank %d does not like it", rank);
            lf_error_hint(&err, "a hint of %d", rank);
        }
        char message[64], hint[64];
        snprintf(message, sizeof message, "rank %d does not like it", failing);
        snprintf(hint, sizeof hint, "a hint of %d", failing);
        status = lf_comm_agree(comm, status, &err);
        expect(status == LF_ERR_FORMAT && err.status == status, "status of the agreement", status);
        expect(strcmp(err.message, message) == 0 && strcmp(err.hint, hint) == 0, "error of the agreement", failing);
    }
}

static void run_calls(void)
{
    static const size_t counts[] = {0,    1,    2,    3,    15,   16,    17,    31,    100,    1023,  1024,
                                    1025, 4096, 8191, 8192, 8193, 16384, 20000, 65536, 100003, 524288};
    for (size_t i = 0; i < LF_ARRAY_LENGTH(counts); i++) check_sum(counts[i], (unsigned)i);
    for (size_t n = 0; n < 70; n++) check_sum(n * 131, (unsigned)n);
    for (size_t i = 0; i < 12; i++) {
        check_min(counts[i]);
        check_broadcast(counts[i]);
        check_broadcast(counts[i] * 777);
    }
    check_gather(0, 0);
    check_gather(1, 0);
    check_gather(1000, -400);
    check_gather(0, 70001);
    check_gather(300000, 3);
    check_agree();
    lf_comm_stats stats;
    lf_comm_stats_read(comm, &stats);
    expect(comm ? stats.n_call > 100 && stats.bytes_sent > 1000 && stats.ns > 0 : stats.n_call == 0, "stats",
           (long)stats.n_call);
}

// Slices: more than 64 MiB at once.
static void run_large(void)
{
    check_sum((size_t)17 << 20, 5);
    check_broadcast(((size_t)65 << 20) + 3);
    check_gather((long)66 << 20, 1);
}

// ---- ranks that end ----

static const char *result_dir; // where a rank writes what it was told

static void write_result(const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/rank%d", result_dir, rank);
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%s\n", text);
    fclose(file);
}

typedef struct notice {
    atomic_int n_call;
    atomic_llong at_ns;
} notice;

static void on_failure(void *ctx)
{
    notice *n = ctx;
    atomic_store(&n->at_ns, lf_now_ns());
    atomic_fetch_add(&n->n_call, 1);
}

static lf_status make_call(const char *kind, float *x, lf_error *err)
{
    int64_t least[4] = {rank, 1, 2, 3};
    size_t part[64];
    for (int r = 0; r < n_rank; r++) part[r] = 100000;
    if (strcmp(kind, "sum") == 0) return lf_comm_sum_f32(comm, x, 1024, err);
    if (strcmp(kind, "large-sum") == 0) return lf_comm_sum_f32(comm, x, 524288, err);
    if (strcmp(kind, "min") == 0) return lf_comm_min_i64(comm, least, 4, err);
    if (strcmp(kind, "broadcast") == 0) return lf_comm_broadcast(comm, x, 1 << 20, err);
    if (strcmp(kind, "gather") == 0) return lf_comm_gather(comm, x, part, x + 100000, err);
    if (strcmp(kind, "agree") == 0) return lf_comm_agree(comm, LF_OK, err);
    if (strcmp(kind, "idle") == 0) { // rank 0 has nothing to say
        while (rank == 0 && !lf_comm_failure(comm, err)) usleep(1000);
        return rank == 0 ? err->status : lf_comm_broadcast(comm, x, 64, err);
    }
    return lf_error_set(err, LF_ERR_BUG, "no such kind of call");
}

// `who` ends itself, or gives up, some time into a series of calls. The others must be told within a second.
static void run_end(const char *kind, int who, bool gives_up)
{
    notice seen = {0};
    lf_error err = {0}, again = {0}, cause;
    float *x = calloc(1 << 22, sizeof *x);
    lf_comm_on_failure(comm, on_failure, &seen);
    for (int i = 0; i < 5; i++) expect_ok(lf_comm_agree(comm, LF_OK, &err), &err, "agree before the end");
    int64_t start = lf_now_ns();
    if (rank == who && strcmp(kind, "idle") == 0) usleep(300000);
    lf_status status = LF_OK;
    for (long i = 0; !status; i++) {
        bool is_time = rank == who && (i == 20 || strcmp(kind, "idle") == 0);
        if (is_time && !gives_up) kill(getpid(), SIGKILL);
        if (is_time) {
            lf_error_set(&cause, LF_ERR_IO, "rank %d has had enough", rank);
            lf_error_hint(&cause, "ask it nicely");
            lf_comm_give_up(comm, &cause);
        }
        status = make_call(kind, x, &err);
    }
    int64_t told = lf_now_ns();
    expect(status == LF_ERR_COMM && err.status == status, "status after the end", status);
    expect(told - start < 1500000000, "told too late (ms)", (long)((told - start) / 1000000));
    expect(lf_comm_failure(comm, &again) && strcmp(again.message, err.message) == 0, "the cause stays", 0);
    expect(lf_comm_sum_f32(comm, x, 8, &again) == LF_ERR_COMM, "calls stay failed", again.status);
    usleep(50000);
    expect(atomic_load(&seen.n_call) == (gives_up && rank == who ? 0 : 1), "on_failure", atomic_load(&seen.n_call));
    char line[1024];
    lf_error_format(&err, line, sizeof line);
    if (n_failed == 0) write_result(line);
    free(x);
}

// ---- ranks that wait ----

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

// Ranks above 0 wait for a broadcast for three seconds: they must not burn their processors, and must wake at once.
static void run_idle(void)
{
    lf_error err = {0};
    int64_t sent_ns = 0;
    expect_ok(lf_comm_agree(comm, LF_OK, &err), &err, "agree");
    double before = cpu_seconds();
    if (rank == 0) {
        sleep(3);
        sent_ns = lf_now_ns();
    }
    expect_ok(lf_comm_broadcast(comm, &sent_ns, sizeof sent_ns, &err), &err, "broadcast");
    double late_ms = (double)(lf_now_ns() - sent_ns) * 1e-6, used = cpu_seconds() - before;
    if (rank == 0) return;
    expect(used < 0.05 * 3, "percent of a processor while waiting", (long)(used / 3 * 100));
    expect(late_ms < 200, "late (ms)", (long)late_ms);
    if (rank == 1) printf("idle: %.2f %% of a processor, awake after %.2f ms\n", used / 3 * 100, late_ms);
}

static int run_scenario(int argc, char **argv)
{
    const char *scenario = argv[1];
    if (strcmp(scenario, "calls") == 0)
        run_calls();
    else if (strcmp(scenario, "large") == 0)
        run_large();
    else if (strcmp(scenario, "idle") == 0)
        run_idle();
    else if (argc == 5 && (strcmp(scenario, "die") == 0 || strcmp(scenario, "give-up") == 0)) {
        result_dir = argv[4];
        run_end(argv[2], atoi(argv[3]), scenario[0] == 'g');
    } else {
        fprintf(stderr, "no such scenario: %s\n", scenario);
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    lf_error err = {0};
    if (argc < 2) return 2;
    if (lf_comm_open(&comm, &err)) {
        char line[1024];
        lf_error_format(&err, line, sizeof line);
        fprintf(stderr, "cannot open: %s\n", line);
        return 3;
    }
    rank = lf_comm_rank(comm);
    n_rank = lf_comm_size(comm);
    int exit_status = run_scenario(argc, argv);
    lf_comm_close(comm);
    if (rank == 0) printf("%s: %d ranks, %s\n", argv[1], n_rank, n_failed ? "failed" : "passed");
    return n_failed ? 1 : exit_status;
}
